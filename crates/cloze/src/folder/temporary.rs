//! Names of files and folders that are not whole yet, and what becomes of those that a killed process has left.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;
use crate::error::at;

const MIDDLE: &str = ".cloze-";
const END: &str = ".tmp";
const DIGITS: usize = 16;
/// File systems allow 255 bytes; what is longer than this is left out of the temporary name.
const NAME_MAX: usize = 200;

/// A name that nobody else uses, in the folder of `path`: `NAME.cloze-<16 hexadecimal digits>.tmp`.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // The keys of a RandomState are the system's random numbers. Nothing that is computed depends on them.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    let mut name = path.file_name().filter(|name| name.len() <= NAME_MAX).unwrap_or_default().to_os_string();
    name.push(format!("{MIDDLE}{:016x}{END}", hasher.finish()));
    path.with_file_name(name)
}

/// The name that a temporary one stands for.
fn stands_for(name: &str) -> Option<&str> {
    let (whole, digits) = name.strip_suffix(END)?.rsplit_once(MIDDLE)?;
    (digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(whole)
}

/// True if versions before this one called a half-written checkpoint so.
fn is_old_checkpoint(name: &str) -> bool {
    let step = name.strip_prefix("checkpoint-").and_then(|name| name.strip_suffix(END));
    step.is_some_and(|step| step.parse::<u64>().is_ok())
}

/// Removes what killed processes have left half-written in a folder that this process has locked. What cannot be removed
/// is left: it is in nobody's way.
pub(crate) fn remove_stale(dir: &Path) {
    remove_matching(dir, |name| stands_for(name).is_some() || is_old_checkpoint(name));
}

/// Removes what killed processes have left of a single file, whose folder nobody locks.
pub fn remove_stale_of(path: &Path) {
    let Some(own) = path.file_name().and_then(|name| name.to_str()) else { return };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    remove_matching(dir, |name| stands_for(name) == Some(own));
}

fn remove_matching(dir: &Path, matches: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(&matches) {
            continue;
        }
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir_all(path);
        } else if !is_being_written(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// True if the process that writes the file still runs: it holds a lock on it.
fn is_being_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Creates a file under a temporary name, locked for as long as it is open.
pub(crate) fn create(path: &Path) -> std::io::Result<(PathBuf, File)> {
    loop {
        let temporary = temporary(path);
        // A new file, so that a link of this name is never followed.
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        // Where there are no locks, nobody takes the file for stale but whoever has the folder.
        let _ = file.try_lock();
        // Between the two calls another process may have taken it for stale.
        if temporary.exists() {
            return Ok((temporary, file));
        }
    }
}

/// Removes a file or folder, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder so that nobody finds half of it under its name.
pub(crate) fn remove_whole(dir: &Path) -> Result<(), Error> {
    let away = temporary(dir);
    match fs::rename(dir, &away) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("remove", dir)(error)),
        Ok(()) => {}
    }
    remove(&away)
}

/// The name of a file below a folder, for messages and lists.
pub(super) fn shown(name: OsString) -> String {
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_known_again() {
        let names: std::collections::HashSet<PathBuf> =
            (0..1000).map(|_| temporary(Path::new("dir/vocab.txt"))).collect();
        assert_eq!(names.len(), 1000);
        for name in names {
            assert_eq!(name.parent(), Some(Path::new("dir")));
            assert_eq!(stands_for(name.file_name().unwrap().to_str().unwrap()), Some("vocab.txt"));
        }
        let long = temporary(Path::new(&"n".repeat(255)));
        assert!(long.as_os_str().len() < 255);
        for name in ["a.tmp", "a.cloze-12.tmp", "a.cloze-0123456789abcdeg.tmp", "a.cloze-0123456789abcdef"] {
            assert_eq!(stands_for(name), None, "{name}");
        }
        assert!(is_old_checkpoint("checkpoint-12.tmp") && !is_old_checkpoint("checkpoint-x.tmp"));
    }

    #[test]
    fn stale_files_are_removed_and_those_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (living, file) = create(&path("report.html")).unwrap();
        for name in ["report.html.cloze-0123456789abcdef.tmp", "other.cloze-0123456789abcdef.tmp", "mine.tmp"] {
            fs::write(path(name), "half").unwrap();
        }
        for name in ["checkpoint-5.cloze-0123456789abcdef.tmp", "checkpoint-9.tmp"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("config.json"), "half").unwrap();
        }
        remove_stale_of(&path("report.html"));
        assert!(!path("report.html.cloze-0123456789abcdef.tmp").exists());
        assert!(path("other.cloze-0123456789abcdef.tmp").exists() && living.exists());
        remove_stale(dir.path());
        let mut left: Vec<String> = fs::read_dir(dir.path()).unwrap().map(|e| shown(e.unwrap().file_name())).collect();
        left.sort();
        assert_eq!(left, ["mine.tmp".to_string(), shown(living.file_name().unwrap().to_os_string())]);
        drop(file);
        remove_stale(dir.path());
        assert!(!living.exists());
    }
}
