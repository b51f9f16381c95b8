//! Sizes and checksums of the files of a finished folder, and whether they still are what was written.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cloze_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use super::temporary::shown;
use crate::Error;
use crate::checkpoint::index::{QUANTIZED, SHARDS, SINGLE};
use crate::checkpoint::{SUMS, check_sums, file_sum};
use crate::error::at;
use crate::settings::StoredSettings;

/// Files up to this size are read again whenever the folder is opened. Tokenizers of 120,000 tokens are smaller.
const SMALL_MAX: u64 = 8 << 20;

/// A file as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of its contents, in hexadecimal.
    pub sha256: String,
}

/// Files by their names in the folder, with `/` where they are in a folder below.
pub type StoredFiles = BTreeMap<String, StoredFile>;

/// How much of the files is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Sizes, and the contents of small files.
    Small,
    /// All contents.
    All,
}

/// Sizes and checksums of these files of a folder.
pub(crate) fn files_of(dir: &Path, names: impl IntoIterator<Item = String>) -> Result<StoredFiles, Error> {
    let stored = |name: String| {
        let path = dir.join(&name);
        let bytes = fs::metadata(&path).map_err(at("read", &path))?.len();
        Ok((name, StoredFile { bytes, sha256: file_sum(&path)? }))
    };
    names.into_iter().map(stored).collect()
}

/// The names of the files that are there and decide what a model answers, but `cloze.json`.
pub(crate) fn model_files(dir: &Path) -> Result<Vec<String>, Error> {
    let single = [
        SINGLE,
        SHARDS,
        QUANTIZED,
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ];
    let mut names: Vec<String> = single.iter().chain(&Tokenizer::FILES).map(|name| name.to_string()).collect();
    // Modules of sentence-transformers have folders such as `1_Pooling`.
    for entry in fs::read_dir(dir).map_err(at("read", dir))? {
        let name = shown(entry.map_err(at("read", dir))?.file_name());
        let number = name.split_once('_').map(|(number, _)| number);
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            names.extend(["config.json", SINGLE].map(|file| format!("{name}/{file}")));
        }
    }
    names.retain(|name| dir.join(name).is_file());
    names.sort_unstable();
    Ok(names)
}

/// The names of all files of a folder and of the folders below it.
pub(super) fn all_files(dir: &Path) -> Result<Vec<String>, Error> {
    let (mut names, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let path = dir.join(&folder);
        for entry in fs::read_dir(&path).map_err(at("read", &path))? {
            let entry = entry.map_err(at("read", &path))?;
            let name = folder.join(entry.file_name());
            match entry.file_type().map_err(at("read", &path))?.is_dir() {
                true => folders.push(name),
                false => names.push(name.to_string_lossy().into_owned()),
            }
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The files that are no longer what was written, each with what is the matter.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn changes(dir: &Path, files: &StoredFiles, depth: Depth) -> Result<Vec<String>, Error> {
    let mut changes = Vec::new();
    for (name, stored) in files {
        let path = dir.join(name);
        let change = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Some("is missing".to_string()),
            Err(error) => return Err(at("read", &path)(error)),
            Ok(found) if !found.is_file() => Some("is no file".to_string()),
            Ok(found) if found.len() != stored.bytes => {
                Some(format!("has {} bytes, had {}", found.len(), stored.bytes))
            }
            Ok(found) if depth == Depth::All || found.len() <= SMALL_MAX => {
                (file_sum(&path)? != stored.sha256).then(|| "has other contents".to_string())
            }
            Ok(_) => None,
        };
        changes.extend(change.map(|change| format!("{name} {change}")));
    }
    Ok(changes)
}

/// Compares every byte of a folder with what was written: of a model, of a tokenizer, or of a checkpoint.
/// Gives the number of files and what is the matter with some.
///
/// # Errors
/// If the folder is unfinished or being written, stores no checksums, or a file cannot be read.
pub fn verify(dir: &Path) -> Result<(usize, Vec<String>), Error> {
    let _reading = super::read(dir)?;
    if let Some(files) = StoredSettings::read(dir)?.files {
        return Ok((files.len(), changes(dir, &files, Depth::All)?));
    }
    if dir.join(SUMS).is_file() {
        let files = all_files(dir)?.len() - 1;
        return Ok((files, check_sums(dir).err().map(|error| error.to_string()).into_iter().collect()));
    }
    let message = "no checksums are stored here: it was not written by this version of Cloze".to_string();
    Err(Error::Data { path: dir.to_path_buf(), line: None, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_told_by_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("1_Pooling")).unwrap();
        let names = ["1_Pooling/config.json", "config.json", "model.safetensors", "vocab.txt"];
        for name in names {
            fs::write(path(name), name).unwrap();
        }
        fs::write(path("notes.txt"), "mine").unwrap();
        assert_eq!(model_files(dir.path()).unwrap(), names);
        // The weights are too large to be read at every start.
        let big = fs::File::create(path("model.safetensors")).unwrap();
        big.set_len(SMALL_MAX + 1).unwrap();
        let files = files_of(dir.path(), model_files(dir.path()).unwrap()).unwrap();
        assert_eq!(changes(dir.path(), &files, Depth::All).unwrap(), Vec::<String>::new());

        fs::write(path("config.json"), "config.jsoN").unwrap();
        fs::write(path("vocab.txt"), "").unwrap();
        fs::remove_file(path("1_Pooling/config.json")).unwrap();
        let small =
            ["1_Pooling/config.json is missing", "config.json has other contents", "vocab.txt has 0 bytes, had 9"];
        assert_eq!(changes(dir.path(), &files, Depth::Small).unwrap(), small);
        use std::io::Write as _;
        (&big).write_all(b"x").unwrap();
        assert_eq!(changes(dir.path(), &files, Depth::Small).unwrap(), small);
        let all = changes(dir.path(), &files, Depth::All).unwrap();
        assert!(all.contains(&"model.safetensors has other contents".to_string()), "{all:?}");
    }

    #[test]
    fn what_stores_no_checksums_is_not_verified() {
        let dir = tempfile::tempdir().unwrap();
        assert!(verify(dir.path()).unwrap_err().to_string().contains("no checksums"));
    }
}
