//! Sentences whose words have labels: column files as in CoNLL's shared tasks, and JSON lines.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::data::columns::{self, ColumnSpec};
use crate::data::encoding::utf8;
use crate::data::table::{label_of, problem};
use crate::error::{Error, at};

/// The words of a sentence and their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The words, as they stand in the file; none is empty.
    pub words: Vec<String>,
    /// A label for each word; empty where labels were not asked for.
    pub labels: Vec<String>,
    /// The line of the file, from 1, at which the sentence begins. In a column file word `i` stands in line `line + i`.
    pub line: usize,
}

/// How sentences are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentenceFormat {
    /// A word a line, with its label in another column; an empty line ends a sentence.
    Columns,
    /// A JSON object a line: `{"words": [...], "labels": [...]}`.
    Jsonl,
}

impl SentenceFormat {
    /// The format that a file's ending names, in capitals or not.
    pub fn of(path: &Path) -> Result<SentenceFormat, Error> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        match ending.as_str() {
            "conll" | "iob" | "iob2" | "bio" | "txt" | "tsv" => Ok(SentenceFormat::Columns),
            "jsonl" => Ok(SentenceFormat::Jsonl),
            _ => Err(problem(
                path,
                None,
                "the ending names no format of labelled words; expected .conll, .iob, .iob2, .bio, .tsv or .txt \
                 for a word a line, or .jsonl",
            )),
        }
    }
}

/// The sentences of a file, whose ending names its format; see [`read_sentences_from`].
pub fn read_sentences(path: &Path, columns: Option<&ColumnSpec>, needs_labels: bool) -> Result<Vec<Sentence>, Error> {
    let format = SentenceFormat::of(path)?;
    let file = std::fs::File::open(path).map_err(at("read", path))?;
    read_sentences_from(file, format, path, columns, needs_labels)
}

/// The sentences that `reader` gives; `name` stands for it in messages. A byte-order mark is skipped.
///
/// **Column files.** Columns are divided by tabs; in a file without any tab by spaces, one or more. Every row has as
/// many as the first. Without `columns` the word is the first and the label the last. A line of nothing but space and
/// tabs ends a sentence, and so does a line whose first column is `-DOCSTART-`, which is no word.
///
/// A comment is a line before the first word of a sentence that begins with `# ` and has *not* as many columns as the
/// rows. Thus no word `#` is taken for a comment, also where it stands alone or its label follows after a space. The
/// number of columns is that of the first line that does not begin with `# `. A comment that happens to have as many
/// columns as the rows is read as a word.
///
/// **JSON lines.** The fields are `words` and `labels`, or as named in `columns`. Labels are strings or numbers. Empty
/// lines are skipped. A sentence may have no words.
///
/// # Errors
///
/// Named with file and line: what cannot be read or is not UTF-8; no sentence at all; a row with more or fewer columns
/// than the first; a column or field that is missing; a word or a label that is empty; words and labels of different
/// number.
pub fn read_sentences_from(
    mut reader: impl Read,
    format: SentenceFormat,
    name: &Path,
    columns: Option<&ColumnSpec>,
    needs_labels: bool,
) -> Result<Vec<Sentence>, Error> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(at("read", name))?;
    let text = utf8(&bytes, name, 0)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let sentences = match format {
        SentenceFormat::Columns => from_columns(text, name, columns, needs_labels)?,
        SentenceFormat::Jsonl => from_json_lines(text, name, columns, needs_labels)?,
    };
    if sentences.is_empty() {
        return Err(problem(name, None, "there are no sentences in it"));
    }
    Ok(sentences)
}

fn from_columns(
    text: &str,
    name: &Path,
    spec: Option<&ColumnSpec>,
    needs_labels: bool,
) -> Result<Vec<Sentence>, Error> {
    let by_tabs = text.contains('\t');
    let split = |line: &str| -> Vec<String> {
        let cells = line.split(if by_tabs { '\t' } else { ' ' });
        cells.filter(|cell| by_tabs || !cell.is_empty()).map(str::to_string).collect()
    };
    let is_row = |line: &str| !is_blank(line) && !starts_document(line);
    let mut rows = text.lines().zip(1..).filter(|(line, _)| is_row(line));
    let Some((first, first_line)) = rows.clone().find(|(line, _)| !line.starts_with("# ")).or_else(|| rows.next())
    else {
        return Ok(Vec::new());
    };
    let first = split(first);
    let names: Vec<&str> = first.iter().map(String::as_str).collect();
    let columns =
        columns::find_words(&names, spec, needs_labels).map_err(|message| problem(name, Some(first_line), &message))?;

    let mut sentences = Vec::new();
    let mut sentence = Sentence::default();
    for (row, line) in text.lines().zip(1..) {
        if !is_row(row) {
            end(&mut sentence, &mut sentences);
            continue;
        }
        let mut cells = split(row);
        let is_header = columns.has_header && line == first_line;
        let is_comment = sentence.words.is_empty() && row.starts_with("# ") && cells.len() != first.len();
        if is_header || is_comment {
            continue;
        }
        if cells.len() != first.len() {
            let message = format!(
                "expected {} as in the first row (line {first_line}), found {}; columns are divided by {} here",
                counted(first.len()),
                counted(cells.len()),
                if by_tabs { "tabs" } else { "spaces" },
            );
            return Err(problem(name, Some(line), &message));
        }
        if let Some(label) = columns.label {
            let label = cells[label].trim();
            if label.is_empty() {
                return Err(problem(name, Some(line), "the label is empty"));
            }
            sentence.labels.push(label.to_string());
        }
        let word = std::mem::take(&mut cells[columns.text]);
        if is_blank(&word) {
            return Err(problem(name, Some(line), "the word is empty"));
        }
        if sentence.words.is_empty() {
            sentence.line = line;
        }
        sentence.words.push(word);
    }
    end(&mut sentence, &mut sentences);
    Ok(sentences)
}

/// Adds a sentence to the others if it has words, and leaves an empty one.
fn end(sentence: &mut Sentence, sentences: &mut Vec<Sentence>) {
    if !sentence.words.is_empty() {
        sentences.push(std::mem::take(sentence));
    }
}

/// Whether there is nothing but ASCII space. A no-break space may be somebody's word.
fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_whitespace())
}

fn starts_document(line: &str) -> bool {
    line.split([' ', '\t']).next() == Some("-DOCSTART-")
}

fn counted(columns: usize) -> String {
    format!("{columns} column{}", if columns == 1 { "" } else { "s" })
}

fn from_json_lines(
    text: &str,
    name: &Path,
    spec: Option<&ColumnSpec>,
    needs_labels: bool,
) -> Result<Vec<Sentence>, Error> {
    let (words_field, labels_field) = columns::word_fields(spec).map_err(|message| problem(name, None, &message))?;
    let mut sentences = Vec::new();
    for (json, line) in text.lines().zip(1..).filter(|(json, _)| !json.trim().is_empty()) {
        let at_line = |message: String| problem(name, Some(line), &message);
        let fields: Map<String, Value> =
            serde_json::from_str(json).map_err(|error| at_line(format!("not a JSON object: {error}")))?;
        let list_of = |field: &str| match fields.get(field) {
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(at_line(format!("field `{field}` is no list"))),
            None => {
                let names: Vec<String> = fields.keys().map(|name| format!("`{name}`")).collect();
                Err(at_line(format!(
                    "no field `{field}`; there are {}. Choose with --columns text=NAME,label=NAME",
                    names.join(", ")
                )))
            }
        };
        let mut sentence = Sentence { line, ..Sentence::default() };
        for (index, word) in list_of(words_field)?.iter().enumerate() {
            match word {
                Value::String(word) if is_blank(word) => {
                    return Err(at_line(format!("`{words_field}[{index}]` is empty")));
                }
                Value::String(word) => sentence.words.push(word.clone()),
                other => return Err(at_line(format!("`{words_field}[{index}]` is {other}; expected a string"))),
            }
        }
        if needs_labels {
            for (index, label) in list_of(labels_field)?.iter().enumerate() {
                sentence.labels.push(label_of(&format!("{labels_field}[{index}]"), label).map_err(at_line)?);
            }
            let (words, labels) = (sentence.words.len(), sentence.labels.len());
            if words != labels {
                return Err(at_line(format!(
                    "{words} words and {labels} labels; expected a label for each word in `{words_field}`"
                )));
            }
        }
        sentences.push(sentence);
    }
    Ok(sentences)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `columns` is "" for none; `Err` is the message.
    fn read(content: &[u8], format: SentenceFormat, columns: &str, labels: bool) -> Result<Vec<Sentence>, String> {
        let columns: Option<ColumnSpec> = (!columns.is_empty()).then(|| columns.parse().unwrap());
        read_sentences_from(content, format, Path::new("data"), columns.as_ref(), labels)
            .map_err(|error| error.to_string())
    }

    fn rows(content: &str, columns: &str, labels: bool) -> Result<Vec<Sentence>, String> {
        read(content.as_bytes(), SentenceFormat::Columns, columns, labels)
    }

    fn json(content: &str, columns: &str) -> Result<Vec<Sentence>, String> {
        read(content.as_bytes(), SentenceFormat::Jsonl, columns, true)
    }

    /// Words and labels are divided by spaces.
    fn sentence(words: &str, labels: &str, line: usize) -> Sentence {
        let list = |text: &str| text.split_whitespace().map(str::to_string).collect();
        Sentence { words: list(words), labels: list(labels), line }
    }

    #[test]
    fn columns_are_divided_by_tabs_or_by_spaces() {
        let expected = [sentence("EU rejects", "B-ORG O", 3), sentence("Peter", "B-PER", 7)];
        let text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ  B-VP O \n\n\nPeter NNP B-NP B-PER";
        assert_eq!(rows(text, "", true).unwrap(), expected);
        let expected = [sentence("EU rejects", "B-ORG O", 1), sentence("Peter", "B-PER", 4)];
        let text = "\u{feff}EU\tB-ORG\r\nrejects\tO\r\n\t\r\nPeter\t B-PER \r\n";
        assert_eq!(rows(text, "", true).unwrap(), expected);
        // In a file with tabs a space is a part of the word.
        let found = rows("a b\tO\n", "", true).unwrap();
        assert_eq!((found[0].words.as_slice(), found[0].labels.as_slice()), (&["a b".into()][..], &["O".into()][..]));
    }

    #[test]
    fn a_line_of_document_start_ends_a_sentence() {
        let expected = [sentence("a", "O", 1), sentence("b", "O", 3)];
        assert_eq!(rows("a O\n-DOCSTART- O\nb O\n", "", true).unwrap(), expected);
        assert_eq!(rows("a\tO\n-DOCSTART-\nb\tO\n", "", true).unwrap(), expected);
    }

    #[test]
    fn columns_are_chosen_by_number_or_by_name() {
        let text = "1\tThe\tDET\tO\n2\tcat\tNOUN\tB-X\n";
        assert_eq!(rows(text, "text=1", true).unwrap(), [sentence("The cat", "O B-X", 1)]);
        assert_eq!(rows(text, "text=1,label=2", true).unwrap(), [sentence("The cat", "DET NOUN", 1)]);
        assert_eq!(rows(text, "text=1,label=2", false).unwrap(), [sentence("The cat", "", 1)]);
        let text = "# a comment\nid\tform\tupos\n\n# another one\n1\tThe\tDET\n2\tcat\tNOUN\n";
        let expected = [sentence("The cat", "DET NOUN", 5)];
        assert_eq!(rows(text, "text=form,label=upos", true).unwrap(), expected);
        assert_eq!(rows(text, "text=form", true).unwrap(), expected);
        assert_eq!(rows(text, "label=upos", true).unwrap(), [sentence("1 2", "DET NOUN", 5)]);
    }

    #[test]
    fn comments_are_skipped_and_words_are_not() {
        let expected = [sentence("# 1", "O X", 2), sentence("# a", "O O", 5)];
        assert_eq!(rows("# text = # 1\n# O\n1 X\n\n# O\na O\n", "", true).unwrap(), expected);
        assert_eq!(rows("# text = # 1\n#\tO\n1\tX\n\n#\tO\na\tO\n", "", true).unwrap(), expected);
        // Words alone: `#` has one column, as the others have.
        assert_eq!(rows("# a comment\na\n#\n# \n\n#\nb\n", "", false).unwrap()[0], sentence("a # #", "", 2));
        // Nothing else is there to tell the number of columns.
        assert_eq!(rows("# O\n# X\n", "", true).unwrap(), [sentence("# #", "O X", 1)]);
        // Within a sentence there are no comments.
        assert!(rows("a O\n# text = b\nb O\n", "", true).unwrap_err().starts_with("data:2: expected 2 columns"));
    }

    #[test]
    fn json_lines_have_lists() {
        let text = "{\"words\": [\"New York\", \"is\"], \"labels\": [\"B-LOC\", 0], \"id\": 3}\n\n\
            {\"labels\": [], \"words\": []}\n";
        let found = json(text, "").unwrap();
        assert_eq!(found[0].words, ["New York", "is"]);
        assert_eq!(found[0].labels, ["B-LOC", "0"]);
        assert_eq!(found[1], sentence("", "", 3));
        let text = "{\"tokens\": [\"a\"], \"ner_tags\": [\"O\"], \"labels\": 1}";
        assert_eq!(json(text, "text=tokens,label=ner_tags").unwrap(), [sentence("a", "O", 1)]);
        let unlabelled = read(b"{\"words\": [\"a\"], \"labels\": 7}", SentenceFormat::Jsonl, "", false);
        assert_eq!(unlabelled.unwrap(), [sentence("a", "", 1)]);
    }

    /// What is read with which columns, and what the message says.
    #[test]
    fn faults_are_named() {
        let labelled = |text: &str| rows(text, "", true).unwrap_err();
        let cases = [
            (labelled(""), "data: there are no sentences in it"),
            (labelled("\n-DOCSTART- -X- O\n \n"), "data: there are no sentences in it"),
            (labelled("\na\nb\n"), "data:2: the first row has 1 column; expected a word and its label"),
            (rows("a b\n", "text=1", true).unwrap_err(), "data:1: word and label are the same column"),
            (labelled("a X O\n\nb O\n"), "data:3: expected 3 columns as in the first row (line 1), found 2 columns;"),
            (
                labelled("a\tO\nb O\n"),
                "data:2: expected 2 columns as in the first row (line 1), found 1 column; columns are divided by tabs",
            ),
            (labelled("a O\nb c O\n"), "found 3 columns; columns are divided by spaces here"),
            (labelled("a\tO\nb\t \n"), "data:2: the label is empty"),
            (labelled("a\tO\n\tO\n"), "data:2: the word is empty"),
            (rows("a O\n", "text=0,label=3", true).unwrap_err(), "data:1: there is no column 3, counted from 0; the"),
            (
                rows("w t\na O\n", "text=w,label=x", true).unwrap_err(),
                "data:1: no column or field `x`; there are `w`, `t`",
            ),
            (rows("a O\n", "text=0,text_b=1", true).unwrap_err(), "data:1: words have no second text"),
            (
                read(b"a O\nb\xff O\n", SentenceFormat::Columns, "", true).unwrap_err(),
                "data:2: byte 2 of the line, 0xFF,",
            ),
            (json("\n", "").unwrap_err(), "data: there are no sentences in it"),
            (json("[1]", "").unwrap_err(), "data:1: not a JSON object: "),
            (json("{\"text\": \"a\"}", "").unwrap_err(), "data:1: no field `words`; there are `text`. Choose with"),
            (json("{\"words\": \"a\", \"labels\": []}", "").unwrap_err(), "data:1: field `words` is no list"),
            (json("{\"words\": [\"a\"]}", "").unwrap_err(), "data:1: no field `labels`; there are `words`"),
            (json("{\"words\": [\"a\"], \"labels\": []}", "").unwrap_err(), "data:1: 1 words and 0 labels; expected"),
            (json("{\"words\": [1], \"labels\": []}", "").unwrap_err(), "data:1: `words[0]` is 1; expected a string"),
            (json("{\"words\": [\"\"], \"labels\": [1]}", "").unwrap_err(), "data:1: `words[0]` is empty"),
            (json("{\"words\": [\"a\"], \"labels\": [\" \"]}", "").unwrap_err(), "data:1: field `labels[0]` is empty"),
            (json("{\"words\": [], \"labels\": []}", "text=0").unwrap_err(), "data: fields of JSON lines have names"),
            (json("{\"words\": [], \"labels\": []}", "text_b=w").unwrap_err(), "data: words have no second text"),
        ];
        for (message, expected) in cases {
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        }
    }

    #[test]
    fn the_ending_tells_the_format() {
        for name in ["a.conll", "a.IOB", "a.iob2", "a.bio", "a.txt", "a.tsv"] {
            assert_eq!(SentenceFormat::of(Path::new(name)).unwrap(), SentenceFormat::Columns);
        }
        assert_eq!(SentenceFormat::of(Path::new("a.jsonl")).unwrap(), SentenceFormat::Jsonl);
        let message = SentenceFormat::of(Path::new("a.csv")).unwrap_err().to_string();
        assert!(message.starts_with("a.csv: the ending names no format of labelled words"), "{message}");
        let message = read_sentences(Path::new("no/such.conll"), None, false).unwrap_err().to_string();
        assert!(message.starts_with("cannot read no/such.conll: "), "{message}");
    }
}
