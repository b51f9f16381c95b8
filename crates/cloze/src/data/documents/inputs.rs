//! Which files are meant: files, all files of folders, and patterns.

use std::collections::BTreeMap;
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
    /// The folders among the inputs.
    folders: Vec<PathBuf>,
}

impl Found {
    /// Note on skipped files, in one line: how many of each kind, and the pattern that reads them.
    pub fn note(&self) -> Option<String> {
        if self.skipped.is_empty() {
            return None;
        }
        let mut groups: BTreeMap<Skipped, Vec<&Path>> = BTreeMap::new();
        for path in &self.skipped {
            groups.entry(self.why_skipped(path)).or_default().push(path);
        }
        let groups = groups.iter().map(|(why, paths)| why.told(paths)).collect::<Vec<_>>();
        Some(format!("{} files read; skipped: {}", self.files.len(), groups.join("; ")))
    }

    fn why_skipped(&self, path: &Path) -> Skipped {
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            return Skipped::Hidden;
        }
        if path.is_dir() {
            return if is_store(path) { Skipped::Store } else { Skipped::Link };
        }
        if path.exists() && !path.is_file() {
            return Skipped::NoFile;
        }
        let folder = self.folders.iter().find(|folder| path.starts_with(folder)).map(PathBuf::as_path);
        match path.extension() {
            None => Skipped::Ending { ending: None, folder: folder.map(Path::to_path_buf) },
            Some(ending) => Skipped::Ending {
                ending: Some(ending.to_string_lossy().into_owned()),
                folder: folder.map(Path::to_path_buf),
            },
        }
    }
}

/// Why something in a folder is not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Skipped {
    /// An ending that is not that of text.
    Ending { ending: Option<String>, folder: Option<PathBuf> },
    /// A name with a period before it.
    Hidden,
    /// A link to a folder.
    Link,
    /// A pipe or a device.
    NoFile,
    /// A folder that `cloze prepare` made.
    Store,
}

impl Skipped {
    fn told(&self, paths: &[&Path]) -> String {
        /// So many are named.
        const NAMED_MAX: usize = 3;
        let names: Vec<String> = paths.iter().take(NAMED_MAX).map(|path| path.display().to_string()).collect();
        let names = names.join(", ");
        let few = paths.len() <= NAMED_MAX;
        let count = paths.len();
        match self {
            Skipped::Ending { ending, folder } => {
                let kind = ending.as_ref().map_or("without an ending".to_string(), |ending| format!("of .{ending}"));
                let which = if few { names } else { format!("{count} files {kind}") };
                match (ending, folder) {
                    (Some(ending), Some(folder)) => {
                        let pattern = folder.join("**").join(format!("*.{ending}"));
                        format!("{which} (to read: '{}')", pattern.display())
                    }
                    _ => format!("{which} (to read, name them)"),
                }
            }
            Skipped::Hidden => {
                if few {
                    format!("{names} (hidden)")
                } else {
                    format!("{count} hidden files or folders")
                }
            }
            Skipped::Link => format!("{names}{} (links to folders)", if few { "" } else { ", …" }),
            Skipped::NoFile => format!("{names}{} (no files)", if few { "" } else { ", …" }),
            Skipped::Store => format!("{names}{} (stores of token ids)", if few { "" } else { ", …" }),
        }
    }
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
pub(crate) enum Compression {
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
    let mut errors = Vec::new();
    for input in inputs {
        if let Err(error) = find(input, &mut found, &mut errors) {
            errors.push(error);
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(Error::together(errors)) }
}

/// Adds the files that one input stands for.
fn find(input: &Path, found: &mut Found, errors: &mut Vec<Error>) -> Result<(), Error> {
    let wrong = |message: String| Err(Error::Data { path: input.to_path_buf(), line: None, message });
    if is_store(input) {
        return wrong(
            "the folder is a store of token ids, made by `cloze prepare` to pre-train on; give the text that it was made \
             of"
            .to_string(),
        );
    }
    if input.is_dir() {
        let (files_before, skipped_before, errors_before) = (found.files.len(), found.skipped.len(), errors.len());
        found.folders.push(input.to_path_buf());
        walk(input, found, errors)?;
        found.files[files_before..].sort();
        found.skipped[skipped_before..].sort();
        if found.files.len() == files_before && errors.len() == errors_before {
            let skipped = Found { skipped: found.skipped.split_off(skipped_before), ..found.clone() };
            let there = skipped.note().and_then(|note| Some(note.split_once("skipped: ")?.1.to_string()));
            let there = there.map_or("it is empty".to_string(), |there| format!("there are: {there}"));
            return wrong(format!("the folder holds no .txt, .jsonl or .parquet file; {there}"));
        }
        return Ok(());
    }
    if !input.exists() && fs::symlink_metadata(input).is_err() && is_pattern(input) {
        found.files.extend(matches(input)?);
        return Ok(());
    }
    found.files.push(checked_file(input)?);
    Ok(())
}

/// A path, if a file is there that can be read more than once.
fn checked_file(path: &Path) -> Result<PathBuf, Error> {
    let is_link = fs::symlink_metadata(path).map_err(at("read", path))?.is_symlink();
    let wrong = |message: &str| Error::Data { path: path.to_path_buf(), line: None, message: message.to_string() };
    match fs::metadata(path) {
        Err(error) if is_link && error.kind() == std::io::ErrorKind::NotFound => {
            Err(wrong("the link leads to a file that is not there; remove the link, or restore the file"))
        }
        Err(error) => Err(at("read", path)(error)),
        Ok(file) if !file.is_file() => Err(wrong(
            "is a pipe or a device, and a corpus is read more than once; write the text to a file, and give that",
        )),
        Ok(_) => Ok(path.to_path_buf()),
    }
}

/// What the ending of a file says; any other ending is text.
pub(super) fn kind(path: &Path) -> (Kind, Compression) {
    known_kind(path).unwrap_or((Kind::Text, compression(path).0))
}

/// True if a file is text, in which blank lines can end documents.
pub(crate) fn is_text(path: &Path) -> bool {
    kind(path).0 == Kind::Text
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
pub(crate) fn compression(path: &Path) -> (Compression, PathBuf) {
    let compression = match path.extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case("gz") => Compression::Gzip,
        Some(ending) if ending.eq_ignore_ascii_case("zst") => Compression::Zstd,
        _ => return (Compression::None, path.to_path_buf()),
    };
    (compression, path.with_extension(""))
}

fn walk(folder: &Path, found: &mut Found, errors: &mut Vec<Error>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(at("read", folder))? {
        let entry = entry.map_err(at("read", folder))?;
        let path = entry.path();
        let is_link = entry.file_type().map_err(at("read", &path))?.is_symlink();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if is_hidden || is_store(&path) {
            found.skipped.push(path);
        } else if path.is_dir() {
            // A link may lead back to a folder above, and so on without end.
            if is_link {
                found.skipped.push(path);
            } else if let Err(error) = walk(&path, found, errors) {
                errors.push(error);
            }
        } else if known_kind(&path).is_none() || (path.exists() && !path.is_file()) {
            found.skipped.push(path);
        } else {
            match checked_file(&path) {
                Ok(path) => found.files.push(path),
                Err(error) => errors.push(error),
            }
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
    fn what_is_skipped_is_one_line_with_the_pattern_that_reads_it() {
        let folder = folder();
        let note = || {
            let note = find_files(&[folder.path().to_path_buf()]).unwrap().note().unwrap();
            note.replace(&folder.path().display().to_string(), "F")
        };
        let one = "5 files read; skipped: F/a.md (to read: 'F/**/*.md'); F/.git, F/.hid.txt (hidden); F/store (stores of \
                   token ids)";
        assert_eq!(note(), one);
        for number in 0..1890 {
            fs::write(folder.path().join(format!("b/deep/{number}.md")), "").unwrap();
        }
        assert_eq!(note(), one.replace("F/a.md (", "1891 files of .md ("));
        let markdown = found(folder.path(), &["**/*.md"]).unwrap().0;
        assert_eq!(markdown.len(), 1891, "the pattern reads them");
        fs::create_dir(folder.path().join("docs")).unwrap();
        fs::write(folder.path().join("docs/x.md"), "").unwrap();
        let error = found(folder.path(), &["docs"]).unwrap_err();
        assert!(
            error.contains("no .txt, .jsonl or .parquet file; there are: ") && error.contains("docs/**/*.md'"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_dangling_links_are_named_and_all_at_once() {
        let folder = folder();
        std::os::unix::fs::symlink("nowhere", folder.path().join("b/dangling.txt")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero.txt")).unwrap();
        let error = found(folder.path(), &["b", "zero.txt", "none.txt", "*.csv"]).unwrap_err();
        assert!(error.starts_with("4 files cannot be read:\n"), "{error}");
        for told in ["dangling.txt: the link leads to a file", "zero.txt: is a pipe or a device", "none.txt", "*.csv"] {
            assert!(error.contains(told), "{error}");
        }
        fs::remove_file(folder.path().join("b/dangling.txt")).unwrap();
        // In a folder they are left out.
        let (files, skipped) = found(folder.path(), &[""]).unwrap();
        assert!(files.len() == 5 && skipped.contains(&"zero.txt".to_string()));
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
