//! Tables with a word a row, a header, and a column that says which sentence a word belongs to.

use std::path::Path;

use crate::data::columns::{self, TableColumns};
use crate::data::delimited::{Dialect, Row, Rows};
use crate::data::options::{DataOptions, Faults, problem, unread_note};
use crate::data::words::{Builder, Sentence};
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
            // Tabs never stand in a word, so a quote beside them is one.
            let dialect = Dialect { delimiter, quotes: delimiter != '\t' };
            let first = Rows::new(text, dialect).next()?.ok()?;
            let names: Vec<String> = first.cells.iter().map(|name| name.trim().to_string()).collect();
            let listed: Vec<&str> = names.iter().map(String::as_str).collect();
            let columns = options.find(|spec| columns::find_table_of_words(&listed, spec)).ok()?;
            Some(Header { dialect, names, columns })
        })
    }
}

/// The sentences of a table. A row that names another sentence than the row before begins one; a row that names none
/// belongs to the sentence of the row before.
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
        columns: *columns,
        width: names.len(),
        needs_labels,
        id: String::new(),
        builder: Builder::new(path, options, text.len()),
    };
    for row in Rows::new(text, *dialect).skip(1) {
        let row = row.map_err(|(line, message)| problem(path, Some(line), &message));
        if let Err(error) = row.and_then(|row| reader.read_row(&row)) {
            reader.builder.fault(error, faults)?;
        }
    }
    Ok(reader.builder.finish(notes))
}

/// Rows that become sentences.
struct Reader<'a> {
    path: &'a Path,
    columns: TableColumns,
    width: usize,
    needs_labels: bool,
    /// Name of the sentence, as its rows have it.
    id: String,
    builder: Builder<'a>,
}

impl Reader<'_> {
    fn read_row(&mut self, row: &Row) -> Result<(), Error> {
        // First of all: a faulty row that begins a sentence is no fault of the one before.
        let id = row.cells.get(self.columns.sentence).map_or("", |cell| cell.trim());
        if !id.is_empty() && id != self.id {
            self.builder.end_sentence();
            self.id = id.to_string();
        }
        let wrong = |message: &str| problem(self.path, Some(row.line), message);
        if row.cells.len() != self.width {
            let (expected, found) = (columns::counted(self.width), columns::counted(row.cells.len()));
            return Err(wrong(&format!("expected {expected} as in the header, found {found}")));
        }
        if self.builder.is_left_out() {
            return Ok(());
        }
        let word = row.cells[self.columns.word].trim();
        let label = match (self.needs_labels, self.columns.label) {
            (false, _) => None,
            (true, Some(label)) => Some(row.cells[label].trim()),
            (true, None) => {
                return Err(wrong("no column for the labels of the words; choose with --columns label=NAME"));
            }
        };
        if [word, label.unwrap_or_default()].iter().any(|cell| cell.contains(['\n', '\r'])) {
            return Err(wrong(
                "a quote opens in this row and closes in a later one, so that a word or its label has a line end; write a \
                 quote that is a word as four quotes",
            ));
        }
        self.builder.add(word, label, row.line)
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
    fn a_quote_is_a_word() {
        let expected = "2 \"/O Hi/O \"/O";
        let tabs = "sentence_id\tword\tlabel\n1\t\"\tO\n1\tHi\tO\n1\t\"\tO\n";
        for format in [Format::Tsv, Format::Conll] {
            assert_eq!(told(tabs, format, "").unwrap().0, [expected]);
        }
        let quoted = "sentence_id,word,label\n1,\"\"\"\",O\n1,Hi,O\n1,\"\"\"\",O\n";
        assert_eq!(told(quoted, Format::Csv, "").unwrap().0, [expected]);
        let error = told("sentence_id,word,label\n1,\",O\n1,Hi,O\n1,\",O\n", Format::Csv, "").unwrap_err();
        assert!(error.contains("f:2: a quote opens in this row and closes in a later one"), "{error}");
    }

    #[test]
    fn a_fault_leaves_its_own_sentence_out_and_no_other() {
        let found = |text: &str| {
            let (options, mut faults) = (DataOptions::default(), Faults::leave_out(5));
            let header = Header::of(text, &options).unwrap();
            let read = read(text, &header, Path::new("f"), &options, true, &mut Vec::new(), &mut faults).unwrap();
            (read.iter().map(|own| own.words.join(" ")).collect::<Vec<_>>(), faults.found.len())
        };
        let words = |words: &[&str]| words.iter().map(|own| own.to_string()).collect::<Vec<_>>();
        let header = "sentence_id,word,label\n";
        assert_eq!(found(&format!("{header}1,a,O\n2,b\n2,c,O\n3,d,O\n")), (words(&["a", "d"]), 1));
        assert_eq!(found(&format!("{header}1,a,O\n1,b\n2,c,O\n")), (words(&["c"]), 1));
        // Without a cell for its sentence the row may belong to the one before.
        let last = "word,label,sentence_id\na,O,1\nb,O\nc,O,2\n";
        assert_eq!(found(last), (words(&["c"]), 1));
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
