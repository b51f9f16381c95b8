//! Which files are meant: files, all files of folders, and patterns.

use std::fs;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};

use crate::data::corpus::is_store;
use crate::error::{Error, at};

/// The files that inputs stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files in the order of the inputs; those of a folder or a pattern sorted by path.
    pub files: Vec<PathBuf>,
    /// What folders hold besides: hidden files, files of other endings, links to folders, stores of token ids.
    pub skipped: Vec<PathBuf>,
}

/// How a file holds texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    JsonLines,
    Parquet,
}

/// How a whole file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Finds the files that `inputs` stand for. A file is taken as it is; a folder stands for all `.txt`, `.jsonl` and
/// `.parquet` files below it, also with `.gz` or `.zst` behind; anything else is a pattern, in which `*` and `?` stand
/// for parts of a name, `[a-z]` for one of some letters, and `**` for any number of folders.
///
/// # Errors
/// A folder cannot be read or holds no such file; a pattern is malformed or fits no file; a file is not there.
pub fn find_files(inputs: &[PathBuf]) -> Result<Found, Error> {
    let mut found = Found::default();
    for input in inputs {
        if is_store(input) {
            let message =
                "the folder is a store of token ids, made by `cloze prepare` to pre-train on; give the text that \
                           it was made of"
                    .to_string();
            return Err(Error::Data { path: input.clone(), line: None, message });
        } else if input.is_dir() {
            let files_before = found.files.len();
            let skipped_before = found.skipped.len();
            walk(input, &mut found)?;
            found.files[files_before..].sort();
            found.skipped[skipped_before..].sort();
            if found.files.len() == files_before {
                let message = "the folder holds no .txt, .jsonl or .parquet file; name files of other endings one by \
                               one, or by a pattern"
                    .to_string();
                return Err(Error::Data { path: input.clone(), line: None, message });
            }
        } else if !input.exists() && is_pattern(input) {
            found.files.extend(matches(input)?);
        } else {
            fs::metadata(input).map_err(at("read", input))?;
            found.files.push(input.clone());
        }
    }
    Ok(found)
}

/// What the ending of a file says; any other ending is text.
pub(super) fn kind(path: &Path) -> (Kind, Compression) {
    known_kind(path).unwrap_or((Kind::Text, compression(path).0))
}

fn known_kind(path: &Path) -> Option<(Kind, Compression)> {
    let (compression, inner) = compression(path);
    let ending = inner.extension()?.to_str()?.to_ascii_lowercase();
    let kind = match ending.as_str() {
        "txt" => Kind::Text,
        "jsonl" => Kind::JsonLines,
        "parquet" => Kind::Parquet,
        _ => return None,
    };
    Some((kind, compression))
}

/// How a file is compressed, and its name without the ending that says so.
fn compression(path: &Path) -> (Compression, PathBuf) {
    let compression = match path.extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case("gz") => Compression::Gzip,
        Some(ending) if ending.eq_ignore_ascii_case("zst") => Compression::Zstd,
        _ => return (Compression::None, path.to_path_buf()),
    };
    (compression, path.with_extension(""))
}

fn walk(folder: &Path, found: &mut Found) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(at("read", folder))? {
        let entry = entry.map_err(at("read", folder))?;
        let path = entry.path();
        let is_link = entry.file_type().map_err(at("read", &path))?.is_symlink();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if is_hidden || is_store(&path) {
            found.skipped.push(path);
        } else if path.is_dir() {
            // A link may lead back to a folder above, and so on without end.
            if is_link { found.skipped.push(path) } else { walk(&path, found)? }
        } else if known_kind(&path).is_some() {
            found.files.push(path);
        } else {
            found.skipped.push(path);
        }
    }
    Ok(())
}

fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// The files that fit a pattern, sorted by path; `*` stands for no hidden ones, and none are those of a store.
fn matches(pattern: &Path) -> Result<Vec<PathBuf>, Error> {
    let wrong = |message: String| Error::Data { path: pattern.to_path_buf(), line: None, message };
    let text = pattern.to_str().ok_or_else(|| wrong("the pattern is not UTF-8".to_string()))?;
    let options =
        MatchOptions { require_literal_separator: true, require_literal_leading_dot: true, ..MatchOptions::new() };
    let paths = glob_with(text, options).map_err(|error| wrong(format!("not a pattern of files: {error}")))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| {
            let path = error.path().to_path_buf();
            Error::Io { action: "read", path, source: error.into() }
        })?;
        if path.is_file() && !path.parent().is_some_and(is_store) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(wrong("no file fits this pattern; check the folder and the ending".to_string()));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with some files, all empty.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/deep")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        for name in [
            "z.txt",
            "b/2.jsonl.gz",
            "b/10.TXT",
            "b/deep/x.parquet",
            "b/deep/y.txt.zst",
            "a.md",
            ".hid.txt",
            ".git/c.txt",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("store")).unwrap();
        for name in ["store.json", "vocab.txt"] {
            fs::write(folder.path().join("store").join(name), "").unwrap();
        }
        folder
    }

    fn found(folder: &Path, inputs: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let inputs: Vec<PathBuf> = inputs.iter().map(|input| folder.join(input)).collect();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
        };
        let found = find_files(&inputs).map_err(|error| error.to_string())?;
        Ok((names(&found.files), names(&found.skipped)))
    }

    #[test]
    fn folders_are_read_whole_in_order_and_what_is_skipped_is_told() {
        let folder = folder();
        let (files, skipped) = found(folder.path(), &[""]).unwrap();
        assert_eq!(files, ["b/10.TXT", "b/2.jsonl.gz", "b/deep/x.parquet", "b/deep/y.txt.zst", "z.txt"]);
        assert_eq!(skipped, [".git", ".hid.txt", "a.md", "store"]);
        let (files, _) = found(folder.path(), &["z.txt", "b/deep", "a.md"]).unwrap();
        assert_eq!(files, ["z.txt", "b/deep/x.parquet", "b/deep/y.txt.zst", "a.md"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_is_not_followed() {
        let folder = folder();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/up")).unwrap();
        let (files, skipped) = found(folder.path(), &["b"]).unwrap();
        assert_eq!((files.len(), skipped), (4, vec!["b/up".to_string()]));
    }

    #[test]
    fn patterns() {
        let folder = folder();
        for (pattern, expected) in [
            ("*.txt", &["z.txt"][..]),
            ("**/*.txt*", &["b/deep/y.txt.zst", "z.txt"]),
            ("b/*", &["b/10.TXT", "b/2.jsonl.gz"]),
            ("b/[0-9].jsonl.??", &["b/2.jsonl.gz"]),
        ] {
            assert_eq!(
                found(folder.path(), &[pattern]).unwrap(),
                (expected.iter().map(|s| s.to_string()).collect(), vec![])
            );
        }
        // A name that is there is no pattern.
        fs::write(folder.path().join("a[1].txt"), "").unwrap();
        assert_eq!(found(folder.path(), &["a[1].txt"]).unwrap().0, ["a[1].txt"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = folder();
        fs::create_dir(folder.path().join("empty")).unwrap();
        for (input, message) in [
            ("*.csv", "no file fits this pattern"),
            ("a[.txt", "not a pattern of files"),
            ("none.txt", "cannot read"),
            ("store", "the folder is a store"),
            ("empty", "the folder holds no .txt, .jsonl or .parquet file"),
        ] {
            let error = found(folder.path(), &["z.txt", input]).unwrap_err();
            assert!(error.contains(message) && error.contains(input), "{error}");
        }
    }

    #[test]
    fn endings() {
        for (name, expected) in [
            ("a.txt", (Kind::Text, Compression::None)),
            ("a.TXT.GZ", (Kind::Text, Compression::Gzip)),
            ("a", (Kind::Text, Compression::None)),
            ("a.gz", (Kind::Text, Compression::Gzip)),
            ("a.md.zst", (Kind::Text, Compression::Zstd)),
            ("a.jsonl.zst", (Kind::JsonLines, Compression::Zstd)),
            ("a.b.parquet", (Kind::Parquet, Compression::None)),
            ("a.parquet.gz", (Kind::Parquet, Compression::Gzip)),
        ] {
            assert_eq!(kind(Path::new(name)), expected, "{name}");
        }
    }
}
