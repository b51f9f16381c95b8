//! Tables with a word a row, a header, and a column that says which sentence a word belongs to.

use std::path::Path;

use crate::data::columns::{self, TableColumns};
use crate::data::delimited::{Dialect, Row, Rows};
use crate::data::options::{Budget, DataOptions, Faults, problem, string_cost, unread_note};
use crate::data::words::Sentence;
use crate::error::Error;

/// How a table is written, and its columns.
pub(super) struct Header {
    dialect: Dialect,
    names: Vec<String>,
    columns: TableColumns,
}

impl Header {
    /// The header of a table of words; none if the first row has no column of sentences and one of words.
    pub(super) fn of(text: &str, options: &DataOptions) -> Option<Header> {
        let delimiters = options.delimiter.map_or_else(|| vec![',', '\t', ';', '|'], |chosen| vec![chosen]);
        delimiters.into_iter().find_map(|delimiter| {
            let dialect = Dialect { delimiter, quotes: true };
            let first = Rows::new(text, dialect).next()?.ok()?;
            let names: Vec<String> = first.cells.iter().map(|name| name.trim().to_string()).collect();
            let listed: Vec<&str> = names.iter().map(String::as_str).collect();
            let columns = options.find(|spec| columns::find_table_of_words(&listed, spec)).ok()?;
            Some(Header { dialect, names, columns })
        })
    }
}

/// The sentences of a table: a row whose cell of the sentence is another than the one before begins a sentence, an empty
/// cell goes on with it.
pub(super) fn read(
    text: &str,
    header: &Header,
    path: &Path,
    options: &DataOptions,
    needs_labels: bool,
    notes: &mut Vec<String>,
    faults: &mut Faults,
) -> Result<Vec<Sentence>, Error> {
    let Header { dialect, names, columns } = header;
    if needs_labels {
        let is_read = |at: usize| at == columns.word || at == columns.sentence || columns.label == Some(at);
        let unread: Vec<String> = (0..names.len()).filter(|&at| !is_read(at)).map(|at| names[at].clone()).collect();
        notes.extend(unread_note(path, "columns", &unread));
    }
    let mut reader = Reader {
        path,
        options,
        columns: *columns,
        width: names.len(),
        needs_labels,
        budget: Budget::of_words(text.len()),
        id: String::new(),
        sentence: Sentence::default(),
        is_left_out: false,
        unlabelled: 0,
        sentences: Vec::new(),
    };
    for row in Rows::new(text, *dialect).skip(1) {
        let row = row.map_err(|(line, message)| problem(path, Some(line), &message));
        if let Err(error) = row.and_then(|row| reader.read_row(&row)) {
            // Half of a sentence would have faults that the file has not.
            reader.is_left_out = true;
            faults.add(error)?;
        }
    }
    reader.end_sentence();
    if reader.unlabelled > 0 {
        let count = reader.unlabelled;
        notes.push(format!("{}: sentences with words without a label, left out: {count}", path.display()));
    }
    Ok(reader.sentences)
}

/// Sentences while they are read.
struct Reader<'a> {
    path: &'a Path,
    options: &'a DataOptions,
    columns: TableColumns,
    width: usize,
    needs_labels: bool,
    budget: Budget,
    /// What the rows of the sentence have in its column.
    id: String,
    sentence: Sentence,
    /// True if the rest of the sentence is not read.
    is_left_out: bool,
    unlabelled: usize,
    sentences: Vec<Sentence>,
}

impl Reader<'_> {
    fn read_row(&mut self, row: &Row) -> Result<(), Error> {
        let wrong = |message: &str| problem(self.path, Some(row.line), message);
        if row.cells.len() != self.width {
            let (expected, found) = (columns::counted(self.width), columns::counted(row.cells.len()));
            return Err(wrong(&format!("expected {expected} as in the header, found {found}")));
        }
        let id = row.cells[self.columns.sentence].trim();
        if !id.is_empty() && id != self.id {
            self.end_sentence();
            self.id = id.to_string();
        }
        if self.is_left_out {
            return Ok(());
        }
        let wrong = |message: &str| problem(self.path, Some(row.line), message);
        let word = row.cells[self.columns.word].trim();
        if word.is_empty() {
            return Err(wrong("the word is empty"));
        }
        if self.needs_labels {
            let Some(label) = self.columns.label else {
                return Err(wrong("no column for the labels of the words; choose with --columns label=NAME"));
            };
            let label = row.cells[label].trim();
            if label.is_empty() {
                if self.options.skip_unlabelled {
                    self.unlabelled += 1;
                    self.is_left_out = true;
                    return Ok(());
                }
                let message = "the label is empty; add it, or leave such sentences out with --skip-unlabelled";
                return Err(wrong(message));
            }
            self.budget.take(string_cost(label.len()), self.path, row.line)?;
            self.sentence.labels.push(label.to_string());
        }
        self.budget.take(string_cost(word.len()) + size_of::<u32>(), self.path, row.line)?;
        if self.sentence.words.is_empty() {
            self.budget.take(Sentence::COST, self.path, row.line)?;
            self.sentence.line = row.line;
        }
        self.sentence.words.push(word.to_string());
        self.sentence.word_lines.push(u32::try_from(row.line).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Adds the sentence to the others if it has words, and begins another.
    fn end_sentence(&mut self) {
        let mut sentence = std::mem::take(&mut self.sentence);
        sentence.shrink();
        if !sentence.words.is_empty() && !self.is_left_out {
            self.sentences.push(sentence);
        }
        self.is_left_out = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::options::{Format, Read};
    use crate::data::words::read_sentences_from;

    fn told(text: &str, format: Format, columns: &str) -> Result<(Vec<String>, Vec<String>), String> {
        let columns = if columns.is_empty() { None } else { Some(columns.parse().unwrap()) };
        let options = DataOptions { columns, ..DataOptions::default() };
        let read = read_sentences_from(text.as_bytes(), format, Path::new("f"), &options, true);
        let Read { items, notes } = read.map_err(|error| error.to_string())?;
        let sentence = |own: &Sentence| {
            let words = own.words.iter().zip(&own.labels).map(|(word, label)| format!("{word}/{label}"));
            format!("{} {}", own.line_of(0), words.collect::<Vec<_>>().join(" "))
        };
        Ok((items.iter().map(sentence).collect(), notes))
    }

    #[test]
    fn a_column_tells_the_sentences() {
        let kaggle = "Sentence #,Word,POS,Tag\nSentence: 1,London,NNP,B-geo\n,\",\",\",\",O\n,ran,VB,O\n\
                      Sentence: 2,Bob,NNP,B-per\n";
        let (sentences, notes) = told(kaggle, Format::Csv, "").unwrap();
        assert_eq!(sentences, ["2 London/B-geo ,/O ran/O", "5 Bob/B-per"]);
        assert_eq!(notes, ["f: columns that are not read: `POS`"]);
        let chosen = told(kaggle, Format::Csv, "text=Word,label=POS").unwrap();
        assert_eq!(chosen.0[1], "5 Bob/NNP");
        for (text, format) in [
            ("sentence_id;word;label\n7;a;O\n7;b;B-X\n8;c;O\n", Format::Csv),
            ("word\tlabel\tsentence_id\na\tO\t7\nb\tB-X\t7\nc\tO\t8\n", Format::Tsv),
        ] {
            assert_eq!(told(text, format, "").unwrap().0, ["2 a/O b/B-X", "4 c/O"]);
        }
    }

    #[test]
    fn faults_are_named() {
        for (text, message) in [
            ("sentence_id,word,label\n1,a\n", "f:2: expected 3 columns as in the header, found 2 columns"),
            ("sentence_id,word,label\n1,a,O\n1,,O\n", "f:3: the word is empty"),
            ("sentence_id,word,label\n1,a,\n", "f:2: the label is empty"),
            ("sentence_id,word\n1,a\n", "f:2: no column for the labels of the words"),
            ("word,label\na,O\n", "a column that names the sentence"),
        ] {
            let error = told(text, Format::Csv, "").unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
