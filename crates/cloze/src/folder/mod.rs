//! Folders that are whole or say that they are not.
//!
//! Every command that writes a folder takes it first ([`Folder::take`]): a lock keeps others out and dies with its
//! process. Before the first change a marker is written, [`UNFINISHED`]; it is removed after the last one. Between the
//! two, opening the folder is refused with the way out. So nobody reads a mixture of an old and a new state, wherever a
//! program is killed or a disk is full.
//!
//! ```text
//! folder/
//!     cloze.lock          who writes here, for messages; the lock itself is on the folder
//!     cloze.unfinished    between the first change and the last one
//!     cloze.json          last: sizes and checksums of the other files
//!     NAME.cloze-<16 hexadecimal digits>.tmp    a file or folder that is not whole yet
//! ```

mod files;
mod lock;
mod owner;
mod replacement;
mod temporary;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::checkpoint::write_file;
use crate::error::at;

pub use files::{Depth, StoredFile, StoredFiles, verify};
pub(crate) use files::{changes, files_of, model_files};
use lock::{Attempt, Kind};
use owner::Owner;
pub(crate) use replacement::Replacement;
pub use temporary::remove_stale_of;
pub(crate) use temporary::{create, remove, remove_stale, remove_whole, temporary};

/// The name of the marker of a folder that is not whole.
pub const UNFINISHED: &str = "cloze.unfinished";
/// The name of the file that tells who writes.
const LOCK: &str = "cloze.lock";

/// A folder that this process writes; nobody else does until it is dropped.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    owner: Owner,
    /// Who left the folder unfinished before.
    before: Option<Owner>,
    /// None where the file system has no locks.
    lock: Option<File>,
}

impl Folder {
    /// Creates the folder if it is missing, locks it, and removes what killed processes have left half-written.
    /// `command` is the command that writes, for messages.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process writes to the folder or reads it; [`Error::Io`] if it cannot be created.
    pub fn take(dir: &Path, command: &str) -> Result<Folder, Error> {
        fs::create_dir_all(dir).map_err(at("create", dir))?;
        let lock = lock::exclusive(dir)?;
        let owner = Owner::this(command);
        // The file only serves messages: a full disk must not keep anybody from clearing it.
        let _ = fs::write(dir.join(LOCK), owner.text());
        remove_stale(dir);
        let before = fs::read(dir.join(UNFINISHED)).ok().map(|bytes| Owner::parse(&bytes));
        Ok(Folder { dir: dir.to_path_buf(), owner, before, lock })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// True if the folder is marked as unfinished, by this process or one before it.
    pub fn is_unfinished(&self) -> bool {
        self.dir.join(UNFINISHED).exists()
    }

    /// True if a command was interrupted while it changed the folder.
    pub fn was_unfinished(&self) -> bool {
        self.before.is_some()
    }

    /// Refuses a folder that another command left unfinished.
    ///
    /// # Errors
    /// [`Error::Unfinished`], which names that command.
    pub fn expect_own(&self) -> Result<(), Error> {
        match &self.before {
            Some(before) if before.command != self.owner.command => Err(before.unfinished(&self.dir)),
            _ => Ok(()),
        }
    }

    /// A sentence for the user where the file system has no locks.
    pub fn note(&self) -> Option<String> {
        self.lock.is_none().then(|| {
            format!(
                "the file system of {} has no locks: make sure that no other cloze writes there",
                self.dir.display()
            )
        })
    }

    /// Marks the folder as unfinished, before the first change.
    pub fn begin(&mut self) -> Result<(), Error> {
        write_file(&self.dir.join(UNFINISHED), self.owner.text().as_bytes())
    }

    /// Takes the mark away, after the last change.
    pub fn finish(&mut self) -> Result<(), Error> {
        sync(&self.dir)?;
        temporary::remove(&self.dir.join(UNFINISHED))?;
        self.before = None;
        sync(&self.dir)
    }

    /// Goes on as a reader: others may read, too, and nobody may change the folder.
    pub fn into_reading(mut self) -> Reading {
        // Where another writer comes between, the files are no longer known to stay.
        let lock = self.lock.take().filter(|file| file.try_lock_shared().is_ok());
        Reading { _lock: lock }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Before the lock is released, which the field does.
        let _ = fs::remove_file(self.dir.join(LOCK));
    }
}

/// A folder that is read; nobody changes it until this is dropped.
#[derive(Debug)]
pub struct Reading {
    _lock: Option<File>,
}

/// Opens a folder for reading. A file, and what is not there, is nobody's folder.
///
/// # Errors
/// [`Error::Busy`] if another process writes to it, [`Error::Unfinished`] if a command was interrupted there.
pub fn read(dir: &Path) -> Result<Reading, Error> {
    if !dir.is_dir() {
        return Ok(Reading { _lock: None });
    }
    let lock = match lock::attempt(dir, Kind::Shared) {
        Attempt::Held(file) => Some(file),
        Attempt::Impossible => None,
        Attempt::Contended => return Err(lock::writer_of(dir)),
    };
    match fs::read(dir.join(UNFINISHED)) {
        Ok(bytes) => Err(Owner::parse(&bytes).unfinished(dir)),
        Err(_) => Ok(Reading { _lock: lock }),
    }
}

/// Removes from a folder that is to go what this module has put there.
pub(crate) fn remove_marks(dir: &Path) -> Result<(), Error> {
    remove_stale(dir);
    [UNFINISHED, LOCK].iter().try_for_each(|name| remove(&dir.join(name)))
}

/// True if a file is the marker or tells who writes.
pub(crate) fn is_own(name: &str) -> bool {
    [UNFINISHED, LOCK].contains(&name)
}

/// Makes the names in a folder durable.
pub(crate) fn sync(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at("write to", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_writer_and_no_readers_beside_it() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("new/model");
        let folder = Folder::take(&dir, "finetune").unwrap();
        assert_eq!(folder.note(), None, "the tests need a file system with locks");
        let busy = Folder::take(&dir, "quantize").unwrap_err();
        let pid = std::process::id().to_string();
        for expected in ["another cloze", "finetune", &pid, "writes to", "model"] {
            assert!(busy.to_string().contains(expected), "{busy}");
        }
        assert!(matches!(busy, Error::Busy { .. }));
        assert!(matches!(read(&dir), Err(Error::Busy { .. })));
        drop(folder);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);

        let reading = read(&dir).unwrap();
        let second = read(&dir).unwrap();
        let busy = Folder::take(&dir, "quantize").unwrap_err().to_string();
        assert!(busy.contains("reads"), "{busy}");
        drop((reading, second));
        Folder::take(&dir, "quantize").unwrap();
    }

    #[test]
    fn an_unfinished_folder_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::take(dir.path(), "vocab extend").unwrap();
        folder.begin().unwrap();
        drop(folder);
        let refused = read(dir.path()).unwrap_err().to_string();
        for expected in ["unfinished", "`cloze vocab extend`", "--overwrite"] {
            assert!(refused.contains(expected), "{refused}");
        }
        assert!(matches!(read(dir.path()), Err(Error::Unfinished { .. })));
        // The same command goes on; another one does not take it for its own.
        let other = Folder::take(dir.path(), "quantize").unwrap();
        assert!(matches!(other.expect_own(), Err(Error::Unfinished { .. })));
        drop(other);
        let mut again = Folder::take(dir.path(), "vocab extend").unwrap();
        again.expect_own().unwrap();
        assert!(again.was_unfinished());
        again.finish().unwrap();
        drop(again);
        read(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_marker_that_cannot_be_read_is_one_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        for contents in [&b""[..], b"{\"command\":", &[0xff; 40]] {
            fs::write(dir.path().join(UNFINISHED), contents).unwrap();
            assert!(matches!(read(dir.path()), Err(Error::Unfinished { .. })));
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_fault_of_its_own() {
        read(Path::new("/nowhere/at/all")).unwrap();
    }
}
