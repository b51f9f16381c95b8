//! How files of labelled data are read: formats, separators, columns, and how faults and guesses are reported.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::columns::ColumnSpec;
use crate::data::documents::{Compression, compression, unpack};
use crate::data::encoding::utf8;
use crate::error::{Error, at};
use crate::train::{Event, Observer};

/// Bytes that may be counted besides a multiple of the file. Lists are up to half empty while they grow, so that of a
/// small file reading takes twice as much.
const MEMORY_FIXED: usize = 32 << 20;
/// Bytes that reading may take for each byte of the file, the file itself included.
const MEMORY_PER_BYTE: usize = 4;
/// The same for sentences of words. A word and its label are two strings of 56 bytes in a line of perhaps six bytes, as
/// in files with a Chinese character a line.
const MEMORY_PER_BYTE_OF_WORDS: usize = 24;

/// Bytes that a compressed file may unpack to. A small one may claim anything.
const UNPACKED_MAX: usize = 1 << 30;

/// A way of writing labelled data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Columns separated by tabs. A quote is a character like any other.
    Tsv,
    /// Columns separated by commas, quoted where needed (RFC 4180).
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// A list of JSON objects, SQuAD's format, or an export of Label Studio.
    Json,
    /// A text a line; nothing else.
    Text,
    /// Records in columns, as Hugging Face's data sets are stored.
    Parquet,
    /// A word a line, with its label in another column; an empty line ends a sentence.
    Conll,
    /// CoNLL-U: ten columns, of which the second is the word and the fourth its part of speech.
    Conllu,
    /// BRAT's annotations, beside a text of the same name.
    Brat,
}

/// The formats with their names, and the endings that stand for them.
const FORMATS: &[(Format, &str, &[&str])] = &[
    (Format::Tsv, "tsv", &["tsv", "tab"]),
    (Format::Csv, "csv", &["csv"]),
    (Format::Jsonl, "jsonl", &["jsonl", "ndjson"]),
    (Format::Json, "json", &["json"]),
    (Format::Text, "text", &["txt"]),
    (Format::Parquet, "parquet", &["parquet"]),
    (Format::Conll, "conll", &["conll", "iob", "iob2", "bio"]),
    (Format::Conllu, "conllu", &["conllu"]),
    (Format::Brat, "brat", &["ann"]),
];

impl Format {
    /// Names of all formats, as `--format` takes them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|(_, name, _)| *name)
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Format> {
        FORMATS.iter().find(|(_, own, _)| *own == name).map(|(format, _, _)| *format)
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(format, _, _)| *format == self).map_or("", |(_, name, _)| name)
    }

    /// The format that a file's ending stands for, in capitals or not, before an ending `.gz` or `.zst`.
    pub fn of_ending(path: &Path) -> Option<Format> {
        let (compression, inner) = compression(path);
        let ending = inner.extension()?.to_str()?.to_ascii_lowercase();
        let known = FORMATS.iter().find(|(_, _, endings)| endings.contains(&ending.as_str()));
        let format = known.map(|(format, _, _)| *format);
        // Parquet is compressed within, and BRAT's annotations are of another file.
        let is_whole = |format: &Format| !matches!(format, Format::Parquet | Format::Brat);
        format.filter(|format| compression == Compression::None || is_whole(format))
    }
}

/// Settings of reading that are stored with a run and its model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSettings {
    /// The format of files whose ending says nothing, or something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Separator of columns; recognised by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Separator of several labels in a cell; recognised by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_separator: Option<char>,
    /// A file of label names, one a line, in the order of their ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// True if examples without a label are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_unlabelled: bool,
}

/// How a file of labelled data is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataOptions {
    /// Which columns or fields hold what; by default recognised by name.
    pub columns: Option<ColumnSpec>,
    /// Columns that a model was trained with, for files that have them.
    pub usual_columns: Option<ColumnSpec>,
    /// The format; by default that of the file's ending.
    pub format: Option<Format>,
    /// Separator of columns; recognised by default.
    pub delimiter: Option<char>,
    /// Separator of several labels in a cell; recognised by default.
    pub label_separator: Option<char>,
    /// Names of the labels in the order of their ids. They name labels that are given as numbers.
    pub label_names: Vec<String>,
    /// The labels of a model, which name numbers where neither `label_names` nor the file itself do.
    pub usual_names: Vec<String>,
    /// True if examples without a label are left out, and counted, instead of being errors.
    pub skip_unlabelled: bool,
}

impl DataSettings {
    /// True if nothing is chosen.
    pub fn is_default(&self) -> bool {
        *self == DataSettings::default()
    }
}

impl DataOptions {
    /// Options as they were written: a choice of columns, and settings, whose file of labels is read.
    ///
    /// # Errors
    /// If the choice of columns cannot be understood, or the file of labels cannot be read.
    pub fn new(columns: Option<&str>, settings: &DataSettings) -> Result<DataOptions, Error> {
        Ok(DataOptions {
            columns: columns.map(str::parse).transpose()?,
            usual_columns: None,
            format: settings.format,
            delimiter: settings.delimiter,
            label_separator: settings.label_separator,
            usual_names: Vec::new(),
            label_names: settings.labels.as_deref().map(read_label_names).transpose()?.unwrap_or_default(),
            skip_unlabelled: settings.skip_unlabelled,
        })
    }

    /// Options that choose columns and nothing else.
    pub fn of_columns(columns: Option<ColumnSpec>) -> DataOptions {
        DataOptions { columns, ..DataOptions::default() }
    }

    /// The same, but what is not chosen is as a model was trained with. Files need not have its columns.
    ///
    /// # Errors
    /// If the model's choice of columns cannot be understood.
    pub fn with_stored(&self, columns: Option<&str>, settings: &DataSettings) -> Result<DataOptions, Error> {
        Ok(DataOptions {
            usual_columns: columns.map(str::parse).transpose()?,
            delimiter: self.delimiter.or(settings.delimiter),
            label_separator: self.label_separator.or(settings.label_separator),
            ..self.clone()
        })
    }

    /// Columns found by `find`: the chosen ones, else those usual for a model, else those known by name.
    /// Numbers that are usual are used where nothing is known by name, since the file may have a header.
    pub(crate) fn find<T>(&self, find: impl Fn(Option<&ColumnSpec>) -> Result<T, String>) -> Result<T, String> {
        let (None, Some(usual)) = (&self.columns, &self.usual_columns) else { return find(self.columns.as_ref()) };
        let without_labels = usual.without_labels();
        let with_usual = || find(Some(usual)).or_else(|_| find(Some(&without_labels)));
        if usual.has_numbers() {
            find(None).or_else(|message| with_usual().map_err(|_| message))
        } else {
            with_usual().or_else(|_| find(None))
        }
    }

    /// The same, with the labels of a model as names of labels that are numbers.
    pub fn naming(&self, labels: &[String]) -> DataOptions {
        DataOptions { usual_names: labels.to_vec(), ..self.clone() }
    }

    /// The names for labels of a file, which may hold some itself.
    pub(crate) fn names<'a>(&'a self, of_file: &'a [String]) -> &'a [String] {
        [self.label_names.as_slice(), of_file, &self.usual_names]
            .into_iter()
            .find(|names| !names.is_empty())
            .unwrap_or(of_file)
    }
}

/// Reads a file of label names, one a line, in the order of their ids. Empty lines are skipped.
///
/// # Errors
/// If the file cannot be read, has no label, or has one twice.
pub fn read_label_names(path: &Path) -> Result<Vec<String>, Error> {
    let bytes = std::fs::read(path).map_err(at("read", path))?;
    let text = utf8(&bytes, path, 0)?;
    let mut lines: HashMap<&str, usize> = HashMap::new();
    let mut names = Vec::new();
    for (label, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim).zip(1..) {
        if label.is_empty() {
            continue;
        }
        if let Some(first) = lines.insert(label, line) {
            let message = format!("the label `{label}` stands in line {first}, too; each label has one id");
            return Err(problem(path, Some(line), &message));
        }
        names.push(label.to_string());
    }
    if names.is_empty() {
        return Err(problem(path, None, "there are no labels in it; expected one a line"));
    }
    Ok(names)
}

/// Contents of a file, and notes on how it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<T> {
    /// Examples, sentences or questions, in the order of the file.
    pub items: Vec<T>,
    /// Notes on guesses and on parts that were not read.
    pub notes: Vec<String>,
}

impl<T> Read<T> {
    /// The items, once the notes are told.
    pub(crate) fn told(self, observer: &mut Observer) -> Vec<T> {
        for note in self.notes {
            let _ = observer(&Event::Note(note));
        }
        self.items
    }
}

/// Treatment of rows that cannot be read.
pub(crate) struct Faults {
    /// Rows that are left out at most; none where the first fault ends the reading.
    most: usize,
    /// The faults of rows that were left out.
    pub(crate) found: Vec<Error>,
}

impl Faults {
    /// The first fault is the error of the file.
    pub(crate) fn end_reading() -> Faults {
        Faults { most: 0, found: Vec::new() }
    }

    /// Rows with faults are left out, up to a number of them.
    pub(crate) fn leave_out(most: usize) -> Faults {
        Faults { most, found: Vec::new() }
    }

    /// Notes a fault, or gives it back where it ends the reading.
    pub(crate) fn add(&mut self, error: Error) -> Result<(), Error> {
        if self.found.len() >= self.most {
            return Err(error);
        }
        self.found.push(error);
        Ok(())
    }

    /// The value, if there is one; notes the fault otherwise.
    pub(crate) fn take<T>(&mut self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.add(error).map(|()| None),
        }
    }
}

/// How much memory reading a file may still take.
pub(crate) struct Budget {
    total: usize,
    left: usize,
}

impl Budget {
    /// For a file of so many bytes, which are in memory.
    pub(crate) fn of_file(bytes: usize) -> Budget {
        Budget::new(bytes, MEMORY_PER_BYTE)
    }

    /// For a file of words and their labels.
    pub(crate) fn of_words(bytes: usize) -> Budget {
        Budget::new(bytes, MEMORY_PER_BYTE_OF_WORDS)
    }

    fn new(bytes: usize, factor: usize) -> Budget {
        let total = MEMORY_FIXED.saturating_add(bytes.saturating_mul(factor));
        Budget { total, left: total - bytes.min(total) }
    }

    /// Takes some of it.
    ///
    /// # Errors
    /// If it is used up, with the line at which it is.
    pub(crate) fn take(&mut self, bytes: usize, path: &Path, line: usize) -> Result<(), Error> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let message = format!(
                    "the file has so many small parts that reading it takes more than {} MiB, the limit for its size; \
                     check that it is the right file, or divide it",
                    self.total >> 20
                );
                Err(problem(path, Some(line), &message))
            }
        }
    }

    /// Checks that a list or an object written in so many bytes may be taken apart.
    pub(crate) fn check_value(&self, written: usize, path: &Path, line: usize) -> Result<(), Error> {
        // The densest value is a list of digits: 32 bytes of memory for two written ones, and as much while it grows.
        const DENSEST: usize = 32;
        if written.saturating_mul(DENSEST) <= self.left {
            return Ok(());
        }
        let message = format!("a value of {written} bytes is too long to be a label; check that it is the right file");
        Err(problem(path, Some(line), &message))
    }
}

/// Bytes that a string takes, with what it points to.
pub(crate) fn string_cost(bytes: usize) -> usize {
    size_of::<String>() + heap_cost(bytes)
}

/// Bytes that an allocation takes: allocators round up, and keep its length before it.
pub(crate) fn heap_cost(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { ((bytes + 23) / 16 * 16).max(32) }
}

/// Equal lists of labels, kept once.
#[derive(Default)]
pub(crate) struct LabelSets {
    known: HashMap<Vec<String>, Arc<[String]>>,
}

impl LabelSets {
    pub(crate) fn shared(&mut self, labels: Vec<String>) -> Arc<[String]> {
        if let Some(known) = self.known.get(&labels) {
            return Arc::clone(known);
        }
        let shared: Arc<[String]> = labels.clone().into();
        self.known.insert(labels, Arc::clone(&shared));
        shared
    }
}

/// The text of a file, without a byte-order mark.
pub(crate) fn text_of<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, Error> {
    let text = utf8(bytes, path, 0)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// All bytes of a file, unpacked if its name ends in `.gz` or `.zst`.
pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>, Error> {
    let (compression, _) = compression(path);
    if compression == Compression::None {
        return std::fs::read(path).map_err(at("read", path));
    }
    let mut bytes = Vec::new();
    let reader = unpack::open(path, compression)?.reader;
    reader
        .take(UNPACKED_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| unpack::damaged(path, None, compression, source))?;
    if bytes.len() > UNPACKED_MAX {
        let message = format!("it unpacks to more than {} MiB; unpack it first, or divide it", UNPACKED_MAX >> 20);
        return Err(problem(path, None, &message));
    }
    Ok(bytes)
}

/// The whole lines among the first bytes of a file, unpacked as by [`bytes_of`], and whether there is more. None if there
/// is no line end in so many bytes and there is more.
pub(crate) fn first_lines_of(path: &Path, bytes_max: usize) -> Result<Option<(Vec<u8>, bool)>, Error> {
    let (compression, _) = compression(path);
    let mut bytes = Vec::new();
    let reader = unpack::open(path, compression)?.reader;
    let read = reader.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|source| match compression {
        Compression::None => at("read", path)(source),
        _ => unpack::damaged(path, None, compression, source),
    })?;
    if bytes.len() <= bytes_max {
        return Ok(Some((bytes, false)));
    }
    Ok(bytes.iter().rposition(|&byte| byte == b'\n').map(|end| {
        bytes.truncate(end + 1);
        (bytes, true)
    }))
}

/// The names of unread columns for a note; nothing where all are read.
pub(crate) fn unread_note(path: &Path, what: &str, names: &[String]) -> Option<String> {
    const SHOWN: usize = 20;
    let mut listed: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        listed.push(format!("and {} more", names.len() - SHOWN));
    }
    (!names.is_empty()).then(|| format!("{}: {what} that are not read: {}", path.display(), listed.join(", ")))
}

pub(crate) fn problem(path: &Path, line: Option<usize>, message: &str) -> Error {
    Error::Data { path: path.to_path_buf(), line, message: message.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_endings_stand_for_formats() {
        for (format, name, endings) in FORMATS {
            assert_eq!((Format::named(name), format.name()), (Some(*format), *name));
            for ending in *endings {
                assert_eq!(Format::of_ending(Path::new(&format!("a.b/C.{}", ending.to_uppercase()))), Some(*format));
            }
        }
        assert_eq!(Format::of_ending(Path::new("data")), None);
        assert_eq!(Format::of_ending(Path::new("data.xlsx")), None);
        assert_eq!(Format::of_ending(Path::new("train.tsv.gz")), Some(Format::Tsv));
        assert_eq!(Format::of_ending(Path::new("train.JSONL.ZST")), Some(Format::Jsonl));
        for none in ["train.gz", "train.parquet.gz", "a.ann.zst"] {
            assert_eq!(Format::of_ending(Path::new(none)), None);
        }
        assert_eq!(Format::names().count(), 9);
    }

    #[test]
    fn faults_end_the_reading_or_are_left_out() {
        let fault = || problem(Path::new("f"), Some(1), "bad");
        assert!(Faults::end_reading().add(fault()).is_err());
        let mut faults = Faults::leave_out(2);
        assert!(faults.add(fault()).is_ok() && faults.add(fault()).is_ok() && faults.add(fault()).is_err());
        assert_eq!(faults.found.len(), 2);
        assert_eq!(faults.take(Ok(3)).unwrap(), Some(3));
    }

    #[test]
    fn label_names_are_read_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.txt");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_label_names(&path).map_err(|error| error.to_string())
        };
        assert_eq!(read("\u{feff}pos\r\n\n neg \n").unwrap(), ["pos", "neg"]);
        assert!(read("a\nb\na\n").unwrap_err().contains("labels.txt:3: the label `a` stands in line 1, too"));
        assert!(read("\n").unwrap_err().contains("there are no labels in it"));
    }

    #[test]
    fn memory_is_limited_by_the_size_of_the_file() {
        let mut budget = Budget::of_file(1_000);
        budget.take(30 << 20, Path::new("f"), 3).unwrap();
        let message = budget.take(5 << 20, Path::new("f"), 4).unwrap_err().to_string();
        assert!(message.starts_with("f:4: the file has so many small parts"), "{message}");
        assert!(budget.check_value(1_000, Path::new("f"), 4).is_ok());
        assert!(budget.check_value(1 << 20, Path::new("f"), 4).is_err());
    }

    #[test]
    fn packed_files_are_unpacked() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.tsv.gz");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(b"text\tlabel\na\tx\nb\ty\n").unwrap();
        let packed = packed.finish().unwrap();
        std::fs::write(&path, &packed).unwrap();
        assert_eq!(bytes_of(&path).unwrap(), b"text\tlabel\na\tx\nb\ty\n");
        let options = DataOptions::default();
        let read = crate::data::read_examples(&path, &options, crate::data::Labelling::One).unwrap();
        assert_eq!(crate::data::label_set(&read.items), ["x", "y"]);
        std::fs::write(&path, &packed[..packed.len() - 9]).unwrap();
        let message = bytes_of(&path).unwrap_err().to_string();
        assert!(message.contains("train.tsv.gz") && message.contains("gzip -t"), "{message}");
    }
}
