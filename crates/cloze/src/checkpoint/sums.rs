//! Checksums of the files of a folder, in a file as `sha256sum` writes and checks it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::write_file;
use crate::Error;
use crate::error::at;

/// The name of the file.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// Lower-case hexadecimal.
pub(crate) fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the checksums of all files of `dir` into it.
pub(crate) fn write_sums(dir: &Path) -> Result<(), Error> {
    let mut lines = String::new();
    for name in names(dir)? {
        lines.push_str(&format!("{}  {name}\n", file_sum(&dir.join(&name))?));
    }
    write_file(&dir.join(SUMS), lines.as_bytes())
}

/// Finds every change of a byte in `dir` since [`write_sums`].
///
/// # Errors
///
/// A file that is missing, changed, or not among those with a checksum; a file of checksums that is no such.
pub(crate) fn check_sums(dir: &Path) -> Result<(), Error> {
    let path = dir.join(SUMS);
    let text = fs::read_to_string(&path).map_err(at("read", &path))?;
    let fault = |path: &Path, message: &str| Error::Checkpoint {
        path: path.to_path_buf(),
        tensor: None,
        message: message.to_string(),
    };
    let mut listed = BTreeSet::new();
    for line in text.split_inclusive('\n') {
        let (expected, name) = line
            .strip_suffix('\n')
            .and_then(|line| line.split_once("  "))
            .ok_or_else(|| fault(&path, "a line is not a checksum and a name; the file is damaged"))?;
        let file = dir.join(name);
        if file_sum(&file)? != expected {
            return Err(fault(&file, "does not fit its checksum; the file is damaged"));
        }
        listed.insert(name.to_string());
    }
    if listed != names(dir)? {
        return Err(fault(&path, "does not name the files of its folder; one of them is missing or was added"));
    }
    Ok(())
}

/// The names of all files of `dir` but the checksums themselves.
fn names(dir: &Path) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(at("read", dir))? {
        let name = entry.map_err(at("read", dir))?.file_name().to_string_lossy().into_owned();
        if name != SUMS {
            names.insert(name);
        }
    }
    Ok(names)
}

/// SHA-256 of a file.
pub(crate) fn file_sum(path: &Path) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    File::open(path).and_then(|mut file| io::copy(&mut file, &mut hasher)).map_err(at("read", path))?;
    Ok(hex(hasher))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, contents) in
            [("config.json", &b"{\"hidden_size\": 4}\n"[..]), ("weights", &[0, 1, 2, 255]), ("empty", b"")]
        {
            fs::write(dir.path().join(name), contents).unwrap();
        }
        write_sums(dir.path()).unwrap();
        dir
    }

    #[test]
    fn sums_are_those_of_sha256sum() {
        let dir = folder();
        check_sums(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join(SUMS)).unwrap();
        // SHA-256 of nothing, as everybody knows it.
        assert!(text.contains("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty\n"), "{text}");
    }

    #[test]
    fn a_change_of_any_bit_of_any_byte_is_found() {
        let dir = folder();
        let mut changes = 0;
        for name in ["config.json", "weights", SUMS] {
            let path = dir.path().join(name);
            let whole = fs::read(&path).unwrap();
            for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                fs::write(&path, damaged).unwrap();
                assert!(check_sums(dir.path()).is_err(), "bit {bit} of byte {at} of {name}");
                changes += 1;
            }
            for length in 0..whole.len() {
                fs::write(&path, &whole[..length]).unwrap();
                assert!(check_sums(dir.path()).is_err(), "{length} bytes of {name}");
            }
            fs::write(&path, whole).unwrap();
            check_sums(dir.path()).unwrap();
        }
        assert!(changes > 1000);
    }

    #[test]
    fn a_file_that_is_missing_or_was_added_is_found() {
        let dir = folder();
        fs::write(dir.path().join("more"), "").unwrap();
        assert!(check_sums(dir.path()).is_err());
        fs::remove_file(dir.path().join("more")).unwrap();
        fs::remove_file(dir.path().join("empty")).unwrap();
        assert!(check_sums(dir.path()).is_err());
        fs::write(dir.path().join("empty"), "").unwrap();
        check_sums(dir.path()).unwrap();
        fs::remove_file(dir.path().join(SUMS)).unwrap();
        assert!(check_sums(dir.path()).is_err());
    }
}
