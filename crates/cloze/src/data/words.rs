//! Sentences whose words have labels, from files of every kind.

use std::path::Path;

use serde_json::Value;

use crate::data::brat;
use crate::data::columns::{self, WordFields};
use crate::data::conll::{self, is_blank};
use crate::data::labels::{Renaming, label_of};
use crate::data::options::{
    Budget, DataOptions, Faults, Format, Read, bytes_of, first_lines_of, problem, string_cost, text_of, unread_note,
};
use crate::data::parquet::class_names;
use crate::data::records::{self, Record};
use crate::data::spans::{self, to_sentence};
use crate::data::table::unknown_format;
use crate::data::word_table::{self, Header};
use crate::error::Error;

mod builder;

pub(in crate::data) use self::builder::Builder;

/// Bytes of a file that tell what it holds, in most files.
const FIRST_PART: usize = 1 << 16;

const NO_SENTENCES: &str = "a table of words needs a header with a column `word` and a column that names the sentence, as \
                            `sentence_id` or `Sentence #`; without a header a word a line is read from .tsv or .conll, \
                            its columns separated by tabs or spaces, and sentences from .jsonl";

/// The words of a sentence and their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The words, as they stand in the file; none is empty.
    pub words: Vec<String>,
    /// A label for each word; empty where labels were not asked for.
    pub labels: Vec<String>,
    /// The line of the file, or the row of a Parquet file, from 1, at which the sentence begins.
    pub line: usize,
    /// The line of each word; empty where all stand in the sentence's line.
    pub word_lines: Vec<u32>,
    /// Number of the document that it is in; 0 throughout where the file marks none.
    pub document: u32,
}

impl Sentence {
    /// The line of the file in which a word stands.
    pub fn line_of(&self, word: usize) -> usize {
        self.word_lines.get(word).map_or(self.line, |&line| line as usize)
    }

    /// Bytes that a sentence takes beside its strings and lines: itself, and what the allocator adds to its lists.
    pub(crate) const COST: usize = size_of::<Sentence>() + 3 * 32;

    /// Gives back what the lists have room for and do not need, which is more than the words of short sentences.
    pub(crate) fn shrink(&mut self) {
        self.words.shrink_to_fit();
        self.labels.shrink_to_fit();
        self.word_lines.shrink_to_fit();
    }
}

/// The format of a file of labelled words: as chosen, else as its ending says, where `.tsv` and `.txt` have a word a line.
pub(crate) fn format_of(path: &Path, options: &DataOptions) -> Result<Format, Error> {
    match options.format.or_else(|| Format::of_ending(path)) {
        None if path.is_dir() => Ok(Format::Brat),
        Some(Format::Tsv | Format::Text) => Ok(Format::Conll),
        Some(format) => Ok(format),
        None => Err(unknown_format(path)),
    }
}

/// True if a file has sentences that are split into words: a word a line in a file of that ending, or records with a
/// list of words.
///
/// # Errors
/// If the file cannot be read.
pub fn holds_words(path: &Path, options: &DataOptions) -> Result<bool, Error> {
    let format = match options.format.or_else(|| Format::of_ending(path)) {
        Some(Format::Conll | Format::Conllu) => return Ok(true),
        Some(format @ (Format::Jsonl | Format::Json | Format::Parquet)) => format,
        Some(format @ (Format::Csv | Format::Tsv)) => format,
        _ => return Ok(false),
    };
    let first = match format {
        Format::Parquet => Some((Vec::new(), false)),
        _ => first_lines_of(path, FIRST_PART)?,
    };
    let tell = |bytes: &[u8]| match format {
        Format::Csv | Format::Tsv => Ok(Some(Header::of(text_of(bytes, path)?, options).is_some())),
        _ => first_record_holds_words(bytes, format, path, options),
    };
    if let Some((bytes, has_more)) = first {
        match tell(&bytes) {
            Ok(Some(holds)) => return Ok(holds),
            told if !has_more => return told.map(|_| false),
            // Less than the whole may be no JSON.
            _ => {}
        }
    }
    Ok(tell(&bytes_of(path)?)?.unwrap_or(false))
}

/// True if the first record has a list of words; none if there are no records.
fn first_record_holds_words(
    bytes: &[u8],
    format: Format,
    path: &Path,
    options: &DataOptions,
) -> Result<Option<bool>, Error> {
    let mut found = None;
    let result = records::for_each(bytes, format, path, &mut Faults::end_reading(), &mut |record, _| {
        let (names, _) = record.names();
        let fields = options.find(|spec| columns::find_word_fields(&names, spec));
        let is_list = |at: usize| record.fields[at].1.get().starts_with('[');
        let words = fields.ok().and_then(|fields| fields.words);
        found = Some(words.is_some_and(|at| record.place(names[at]).is_some_and(is_list)));
        // One record is enough.
        Err(problem(path, None, ""))
    });
    found.map_or_else(|| result.map(|()| None), |found| Ok(Some(found)))
}

/// The sentences of a file; see [`read_sentences_from`]. Its ending names the format, unless `options` do.
///
/// # Errors
/// As [`read_sentences_from`].
pub fn read_sentences(path: &Path, options: &DataOptions, needs_labels: bool) -> Result<Read<Sentence>, Error> {
    read_file(path, options, needs_labels, &mut Faults::end_reading())
}

/// The sentences in `bytes`; `name` stands for their file in messages. A byte-order mark is skipped.
///
/// **Column files** have a word a line, with its label in another column, and an empty line after a sentence. A header
/// with a column of sentences, such as `Sentence #`, makes a table of them, whose cells may be quoted.
///
/// **Records**, in JSON lines, lists and Parquet, have lists of `words` (or `tokens`) and `labels` (or `ner_tags`,
/// `tags`). Labels are strings or numbers. A sentence may have no words. Or they have a `text` and labelled spans in
/// `entities`, `spans` or `label`, as spaCy, doccano, Prodigy and Label Studio write them.
///
/// **BRAT**: an `.ann` file beside its text, or a folder of such.
///
/// # Errors
/// Named with file and line: what cannot be read or is not UTF-8; no sentence at all; a row with more or fewer columns
/// than most; a column or field that is missing; a word or a label that is empty; words and labels of different
/// number.
pub fn read_sentences_from(
    bytes: &[u8],
    format: Format,
    name: &Path,
    options: &DataOptions,
    needs_labels: bool,
) -> Result<Read<Sentence>, Error> {
    read(bytes, format, name, options, needs_labels, &mut Faults::end_reading())
}

/// The sentences of a file without its faulty ones, which `faults` collects.
pub(crate) fn read_file(
    path: &Path,
    options: &DataOptions,
    needs_labels: bool,
    faults: &mut Faults,
) -> Result<Read<Sentence>, Error> {
    let format = format_of(path, options)?;
    // Parquet is not read from front to back, and BRAT's annotations are several files.
    let is_apart = matches!(format, Format::Parquet | Format::Brat);
    let bytes = if is_apart { Vec::new() } else { bytes_of(path)? };
    read(&bytes, format, path, options, needs_labels, faults)
}

fn read(
    bytes: &[u8],
    format: Format,
    path: &Path,
    options: &DataOptions,
    needs_labels: bool,
    faults: &mut Faults,
) -> Result<Read<Sentence>, Error> {
    let mut notes = Vec::new();
    let mut label_field = String::new();
    let mut sentences = match format {
        Format::Conll | Format::Tsv | Format::Text | Format::Conllu | Format::Csv => {
            let (text, is_conllu) = (text_of(bytes, path)?, format == Format::Conllu);
            match Header::of(text, options).filter(|_| !is_conllu) {
                Some(header) => word_table::read(text, &header, path, options, needs_labels, &mut notes, faults)?,
                None if format == Format::Csv => return Err(problem(path, None, NO_SENTENCES)),
                None => conll::read(text, is_conllu, path, options, needs_labels, &mut notes, faults)?,
            }
        }
        Format::Brat => brat::read(path, &mut notes, faults)?,
        _ => from_records(bytes, format, path, options, needs_labels, &mut label_field, &mut notes, faults)?,
    };
    if sentences.is_empty() && faults.found.is_empty() {
        return Err(problem(path, None, "there are no sentences in it"));
    }
    let of_file = if format == Format::Parquet { class_names(path, &label_field) } else { Vec::new() };
    let labels = sentences.iter().flat_map(|sentence| &sentence.labels);
    if let Some(renaming) = Renaming::of(labels, options.names(&of_file)) {
        notes.extend(renaming.note(path));
        let labels = sentences.iter_mut().flat_map(|sentence| &mut sentence.labels);
        labels.for_each(|label| *label = renaming.name(label));
    }
    Ok(Read { items: sentences, notes })
}

#[allow(clippy::too_many_arguments)]
fn from_records(
    bytes: &[u8],
    format: Format,
    path: &Path,
    options: &DataOptions,
    needs_labels: bool,
    label_field: &mut String,
    notes: &mut Vec<String>,
    faults: &mut Faults,
) -> Result<Vec<Sentence>, Error> {
    let size = if format == Format::Parquet {
        std::fs::metadata(path).map_or(0, |file| file.len() as usize)
    } else {
        bytes.len()
    };
    let mut budget = Budget::of_words(size);
    let mut sentences = Vec::new();
    let mut unread: Vec<String> = Vec::new();
    let (mut unlabelled, mut within) = (0, 0);
    records::for_each(bytes, format, path, faults, &mut |record, faults| {
        let mut reader = RecordReader {
            path,
            options,
            needs_labels,
            label_field,
            budget: &mut budget,
            unread: &mut unread,
            within: &mut within,
        };
        match faults.take(reader.read(&record))? {
            Some(Some(sentence)) => sentences.push(sentence),
            Some(None) => unlabelled += 1,
            None => {}
        }
        Ok(())
    })?;
    notes.extend(unread_note(path, "fields", &unread));
    notes.extend(brat::within_note(path, within));
    if unlabelled > 0 {
        notes.push(format!("{}: sentences without labels, left out: {unlabelled}", path.display()));
    }
    Ok(sentences)
}

/// State while sentences are made of records.
struct RecordReader<'a> {
    path: &'a Path,
    options: &'a DataOptions,
    needs_labels: bool,
    label_field: &'a mut String,
    budget: &'a mut Budget,
    unread: &'a mut Vec<String>,
    /// Places where spans split words.
    within: &'a mut usize,
}

impl RecordReader<'_> {
    /// The sentence of a record; none for one that is left out because it has no labels.
    fn read(&mut self, record: &Record) -> Result<Option<Sentence>, Error> {
        let (names, places) = record.names();
        let path = self.path;
        let at_line = |message: String| problem(path, Some(record.line), &message);
        // Prodigy's tokens are objects, which its spans say more about.
        let is_list = |at: &usize| {
            let list = record.fields[places[*at]].1.get().strip_prefix('[');
            list.is_some_and(|items| !items.trim_start().starts_with('{'))
        };
        let fields = self.options.find(|spec| columns::find_word_fields(&names, spec));
        let fields = fields.map(|fields| WordFields { words: fields.words.filter(is_list), ..fields });
        let spans = self.options.find(|spec| columns::find_span_fields(&names, spec));
        let (words, labels) = match (fields, spans) {
            (Ok(WordFields { words: Some(words), labels }), _) => (words, labels),
            (_, Ok((text, spans))) => return self.read_spans(record, &names, &places, text, spans),
            (Err(message), _) => return Err(at_line(message)),
            (Ok(_), Err(message)) => return Err(at_line(message)),
        };
        records::note_unread(self.unread, &names, |at| at == words || labels == Some(at));
        let mut sentence = Sentence { line: record.line, ..Sentence::default() };
        for (index, word) in self.list(record, places[words])?.into_iter().enumerate() {
            let place = format!("`{}[{index}]`", names[words]);
            match word {
                Value::String(word) if is_blank(&word) => return Err(at_line(format!("{place} is empty"))),
                Value::String(word) => sentence.words.push(word),
                other => return Err(at_line(format!("{place} is {other}; expected a string"))),
            }
        }
        if self.needs_labels {
            let Some(labels) = labels else {
                if self.options.skip_unlabelled {
                    return Ok(None);
                }
                return Err(at_line(columns::no_word_labels(&names)));
            };
            let field = names[labels];
            *self.label_field = field.to_string();
            for (index, label) in self.list(record, places[labels])?.iter().enumerate() {
                sentence.labels.push(label_of(&format!("{field}[{index}]"), label).map_err(at_line)?);
            }
            let (words_count, labels_count) = (sentence.words.len(), sentence.labels.len());
            if words_count != labels_count {
                let message = format!(
                    "{words_count} words and {labels_count} labels; expected a label for each word in `{}`",
                    names[words]
                );
                return Err(at_line(message));
            }
        }
        sentence.shrink();
        self.charge(&sentence)?;
        Ok(Some(sentence))
    }

    /// The words of a text, which labelled spans label.
    fn read_spans(
        &mut self,
        record: &Record,
        names: &[&str],
        places: &[usize],
        text: usize,
        spans: Option<usize>,
    ) -> Result<Option<Sentence>, Error> {
        let at_line = |message: String| problem(self.path, Some(record.line), &message);
        records::note_unread(self.unread, names, |at| at == text || spans == Some(at));
        let text = record.string(places[text]).map_err(at_line)?;
        self.budget.take(text.len() * size_of::<char>(), self.path, record.line)?;
        let characters: Vec<char> = text.chars().collect();
        let spans = match spans {
            Some(spans) => self.list(record, places[spans])?,
            None if !self.needs_labels => Vec::new(),
            None if self.options.skip_unlabelled => return Ok(None),
            None => return Err(at_line(columns::no_word_labels(names))),
        };
        let spans = spans.iter().map(|span| spans::of_value(span, &characters)).collect::<Result<Vec<_>, _>>();
        let sentence = spans.and_then(|spans| to_sentence(&characters, spans, record.line));
        let (mut sentence, within) = sentence.map_err(at_line)?;
        *self.within += within;
        if !self.needs_labels {
            sentence.labels.clear();
        }
        sentence.shrink();
        self.charge(&sentence)?;
        Ok(Some(sentence))
    }

    fn charge(&mut self, sentence: &Sentence) -> Result<(), Error> {
        let strings = sentence.words.iter().chain(&sentence.labels).map(|text| string_cost(text.len()));
        self.budget.take(Sentence::COST + strings.sum::<usize>(), self.path, sentence.line)
    }

    fn list(&self, record: &Record, place: usize) -> Result<Vec<Value>, Error> {
        match record.value(place, self.budget, self.path)? {
            Value::Array(values) => Ok(values),
            _ => {
                let message = format!("field `{}` is no list", record.fields[place].0);
                Err(problem(self.path, Some(record.line), &message))
            }
        }
    }
}

#[cfg(test)]
mod tests;
