//! The lock of a folder.
//!
//! The lock is the system's own (`flock`) on the folder itself, opened for reading. So it needs no file, holds in a
//! read-only folder, and dies with its process. Where a file system has no such locks, the process named in the folder's
//! files decides.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::owner::Owner;
use super::{LOCK, UNFINISHED};
use crate::Error;

/// How long a writer waits for readers. A model is read in less, a store is not.
const READERS_MAX: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// The kind of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// For any number of readers.
    Shared,
    /// For a writer.
    Exclusive,
}

/// The outcome of one try.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The lock lasts as long as the file.
    Held(File),
    /// Another process has a lock that excludes this one.
    Contended,
    /// There is no such folder, or its file system has no locks.
    Impossible,
}

/// Tries to lock a folder once.
pub(super) fn attempt(dir: &Path, kind: Kind) -> Attempt {
    let Ok(file) = File::open(dir) else { return Attempt::Impossible };
    let locked = match kind {
        Kind::Shared => file.try_lock_shared(),
        Kind::Exclusive => file.try_lock(),
    };
    match locked {
        Ok(()) => Attempt::Held(file),
        Err(TryLockError::WouldBlock) => Attempt::Contended,
        Err(TryLockError::Error(_)) => Attempt::Impossible,
    }
}

/// Locks a folder to write to it; none where that cannot be done. Readers are waited for, a moment.
///
/// # Errors
/// [`Error::Busy`] if another process writes to it, or goes on reading it.
pub(super) fn exclusive(dir: &Path) -> Result<Option<File>, Error> {
    let begun = Instant::now();
    loop {
        match attempt(dir, Kind::Exclusive) {
            Attempt::Held(file) => return Ok(Some(file)),
            Attempt::Impossible => return without_locks(dir).map(|()| None),
            Attempt::Contended => {}
        }
        if let Attempt::Contended = attempt(dir, Kind::Shared) {
            return Err(writer_of(dir));
        }
        if begun.elapsed() > READERS_MAX {
            let what = "another cloze reads";
            return Err(Error::Busy { path: dir.to_path_buf(), what: what.to_string(), remedy: WAIT });
        }
        sleep(PAUSE);
    }
}

const WAIT: &str = "wait until it has ended, or choose another folder";

/// The error of a folder that another process writes to.
pub(super) fn writer_of(dir: &Path) -> Error {
    let owner = [LOCK, UNFINISHED].into_iter().find_map(|name| fs::read(dir.join(name)).ok());
    let owner = owner.map(|bytes| Owner::parse(&bytes)).unwrap_or_default();
    let what = format!("another cloze ({}) writes to", owner.describe());
    Error::Busy { path: dir.to_path_buf(), what, remedy: WAIT }
}

/// Refuses a folder without locks that a process which may still run has taken.
fn without_locks(dir: &Path) -> Result<(), Error> {
    let Ok(bytes) = fs::read(dir.join(LOCK)) else { return Ok(()) };
    let owner = Owner::parse(&bytes);
    if owner.is_this_process() || !owner.may_run() {
        return Ok(());
    }
    let what = format!("another cloze ({}) writes to", owner.describe());
    let remedy = "if it has ended, remove the file cloze.lock there; the file system has no locks that would tell";
    Err(Error::Busy { path: dir.to_path_buf(), what, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_locks_the_process_in_the_file_decides() {
        let dir = tempfile::tempdir().unwrap();
        without_locks(dir.path()).unwrap();
        let here = Owner::this("pretrain");
        let write = |owner: &Owner| fs::write(dir.path().join(LOCK), owner.text()).unwrap();
        write(&here);
        without_locks(dir.path()).unwrap();
        // Process 1 runs for as long as the machine does.
        write(&Owner { pid: 1, ..here.clone() });
        let busy = without_locks(dir.path()).unwrap_err().to_string();
        for expected in ["cloze pretrain", "process 1 on", "cloze.lock", "no locks"] {
            assert!(busy.contains(expected), "{busy}");
        }
        write(&Owner { host: "elsewhere".to_string(), ..here.clone() });
        assert!(without_locks(dir.path()).unwrap_err().to_string().contains("elsewhere"));
        if Path::new("/proc/self").exists() {
            write(&Owner { pid: u32::MAX, ..here });
            without_locks(dir.path()).unwrap();
        }
    }
}
