//! Labelled examples from tables: `.tsv`, `.csv`, `.jsonl` and plain `.txt`.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::data::columns::{self, ColumnSpec, Columns};
use crate::data::encoding::utf8;
use crate::error::{Error, at};

/// One example: a text or a pair, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The text, as it stands in the file.
    pub text: String,
    /// The second text of a pair.
    pub text_b: Option<String>,
    /// Its labels, or its value, without the space around; none where nothing is known or several may be asked for.
    pub labels: Vec<String>,
    /// The line of the file, from 1, at which the example begins.
    pub line: usize,
}

impl Example {
    /// Its label or value; empty where nothing is known.
    pub fn label(&self) -> &str {
        self.labels.first().map_or("", String::as_str)
    }
}

/// What is asked for besides the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labelling {
    /// Labels are read where they are found.
    Optional,
    /// Every example needs a label or value.
    One,
    /// Every example may have any number of labels: a list in JSON lines, else with commas between.
    Several,
}

impl Labelling {
    fn is_needed(self) -> bool {
        self != Labelling::Optional
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Columns divided by tabs. There is no quoting: a quote is a character like any other.
    Tsv,
    /// Columns divided by commas, quoted where needed (RFC 4180).
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// A text a line; nothing else.
    Text,
}

impl Format {
    /// The format that a file's ending names, in capitals or not.
    pub fn of(path: &Path) -> Result<Format, Error> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        match ending.as_str() {
            "tsv" => Ok(Format::Tsv),
            "csv" => Ok(Format::Csv),
            "jsonl" => Ok(Format::Jsonl),
            "txt" => Ok(Format::Text),
            _ => {
                Err(problem(path, None, "the ending names no format of examples; expected .tsv, .csv, .jsonl or .txt"))
            }
        }
    }
}

/// The examples of a file, whose ending names its format; see [`read_examples_from`].
pub fn read_examples(path: &Path, columns: Option<&ColumnSpec>, labelling: Labelling) -> Result<Vec<Example>, Error> {
    let format = Format::of(path)?;
    let file = std::fs::File::open(path).map_err(at("read", path))?;
    read_examples_from(file, format, path, columns, labelling)
}

/// The examples that `reader` gives; `name` stands for it in messages.
///
/// Without `columns`, the columns (or fields of JSON lines) are recognised by name; see [`ColumnSpec`]. A
/// byte-order mark is skipped, and so are empty lines, except in plain text, where each line is a text.
///
/// # Errors
///
/// Named with line or column: what cannot be read or is not UTF-8; no example at all; a column that is missing or
/// cannot be told, with the columns there are; a row with more or fewer columns than the first; a label that is
/// needed and not there.
pub fn read_examples_from(
    mut reader: impl Read,
    format: Format,
    name: &Path,
    columns: Option<&ColumnSpec>,
    labelling: Labelling,
) -> Result<Vec<Example>, Error> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(at("read", name))?;
    let text = utf8(&bytes, name, 0)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let examples = match format {
        Format::Tsv => from_rows(tsv_rows(text), name, columns, labelling)?,
        Format::Csv => from_rows(csv_rows(text, name)?, name, columns, labelling)?,
        Format::Jsonl => from_json_lines(text, name, columns, labelling)?,
        Format::Text => from_lines(text, name, columns, labelling)?,
    };
    if examples.is_empty() {
        return Err(problem(name, None, "there are no examples in it"));
    }
    Ok(examples)
}

/// The labels that occur in examples, in their order.
pub fn label_set(examples: &[Example]) -> Vec<String> {
    label_order(examples.iter().flat_map(|example| &example.labels))
}

/// Labels, each once: as integers by value if all of them are integers, else by code point.
pub fn label_order<'a>(labels: impl Iterator<Item = &'a String>) -> Vec<String> {
    let labels: BTreeSet<&str> = labels.map(String::as_str).collect();
    let mut labels: Vec<&str> = labels.into_iter().collect();
    let value = |label: &str| label.parse::<i64>().ok();
    if labels.iter().all(|label| value(label).is_some()) {
        labels.sort_by_key(|label| value(label));
    }
    labels.into_iter().map(str::to_string).collect()
}

struct Row {
    line: usize,
    cells: Vec<String>,
}

fn tsv_rows(text: &str) -> Vec<Row> {
    let numbered = text.lines().zip(1..).filter(|(line, _)| !line.is_empty());
    numbered.map(|(row, line)| Row { line, cells: row.split('\t').map(str::to_string).collect() }).collect()
}

fn csv_rows(text: &str, name: &Path) -> Result<Vec<Row>, Error> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    let mut last_start = 0;
    for record in reader.records() {
        let record = record.map_err(|error| problem(name, None, &error.to_string()))?;
        let position = record.position().expect("a record that was read has a position");
        last_start = position.byte() as usize;
        // The position is that of the line breaks and empty lines before the record.
        let breaks = text[last_start..].bytes().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let line = position.line() as usize + breaks.filter(|&byte| byte == b'\n').count();
        rows.push(Row { line, cells: record.iter().map(str::to_string).collect() });
    }
    // A quote that is never closed swallows the rest of the file into one cell, without an error.
    let last_is_open = text[last_start..].bytes().filter(|&byte| byte == b'"').count() % 2 == 1;
    if let Some(row) = rows.last().filter(|row| last_is_open && row.cells.iter().any(|cell| cell.contains('\n'))) {
        return Err(problem(name, Some(row.line), "a quote opens in this row and is never closed"));
    }
    Ok(rows)
}

fn from_rows(
    rows: Vec<Row>,
    name: &Path,
    spec: Option<&ColumnSpec>,
    labelling: Labelling,
) -> Result<Vec<Example>, Error> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let width = first.cells.len();
    let Columns { text, text_b, label, has_header } = columns::find(&first.cells, spec, labelling.is_needed())
        .map_err(|message| problem(name, Some(first.line), &message))?;
    let mut examples = Vec::with_capacity(rows.len());
    for mut row in rows.into_iter().skip(usize::from(has_header)) {
        if row.cells.len() != width {
            let message = format!("{} columns, where the first row has {width}", row.cells.len());
            return Err(problem(name, Some(row.line), &message));
        }
        // The same column may serve twice, so none is moved out but the last.
        let cell = label.map_or("", |at| row.cells[at].trim());
        let labels = match labelling {
            Labelling::Several => {
                cell.split(',').map(str::trim).filter(|label| !label.is_empty()).map(str::to_string).collect()
            }
            Labelling::One if cell.is_empty() => return Err(problem(name, Some(row.line), "the label is empty")),
            _ => label.map(|_| cell.to_string()).into_iter().collect(),
        };
        let text_b = text_b.map(|at| row.cells[at].clone());
        let text = std::mem::take(&mut row.cells[text]);
        examples.push(Example { text, text_b, labels, line: row.line });
    }
    Ok(examples)
}

fn from_json_lines(
    text: &str,
    name: &Path,
    spec: Option<&ColumnSpec>,
    labelling: Labelling,
) -> Result<Vec<Example>, Error> {
    let mut examples = Vec::new();
    for (json, line) in text.lines().zip(1..).filter(|(json, _)| !json.trim().is_empty()) {
        let at_line = |message: String| problem(name, Some(line), &message);
        let fields: Map<String, Value> =
            serde_json::from_str(json).map_err(|error| at_line(format!("not a JSON object: {error}")))?;
        // A field that is null is a field that is not there.
        let names: Vec<String> =
            fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.clone()).collect();
        let columns = columns::find_fields(&names, spec, labelling.is_needed()).map_err(at_line)?;
        let text_of = |at: usize| match &fields[&names[at]] {
            Value::String(text) => Ok(text.clone()),
            _ => Err(at_line(format!("field `{}` is no string", names[at]))),
        };
        let labels = columns.label.map(|at| labels_of(&names[at], &fields[&names[at]], labelling)).transpose();
        // What is not asked for need not be understood.
        let labels = if labelling.is_needed() { labels.map_err(at_line)? } else { labels.unwrap_or(None) };
        let labels = labels.unwrap_or_default();
        let text_b = columns.text_b.map(text_of).transpose()?;
        examples.push(Example { text: text_of(columns.text)?, text_b, labels, line });
    }
    Ok(examples)
}

fn labels_of(field: &str, value: &Value, labelling: Labelling) -> Result<Vec<String>, String> {
    match value {
        Value::Array(values) if labelling == Labelling::Several => {
            values.iter().map(|value| label_of(field, value)).collect()
        }
        _ => label_of(field, value).map(|label| vec![label]),
    }
}

pub(crate) fn label_of(field: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(label) if !label.trim().is_empty() => Ok(label.trim().to_string()),
        Value::String(_) => Err(format!("field `{field}` is empty")),
        Value::Number(label) => Ok(label.to_string()),
        Value::Bool(label) => Ok(label.to_string()),
        _ => Err(format!("field `{field}` holds {value}; expected one label, a string or a number")),
    }
}

fn from_lines(text: &str, name: &Path, spec: Option<&ColumnSpec>, labelling: Labelling) -> Result<Vec<Example>, Error> {
    if labelling.is_needed() {
        return Err(problem(name, None, "plain text has no labels; use a .tsv, .csv or .jsonl file"));
    }
    if spec.is_some() {
        return Err(problem(name, None, "plain text has no columns to choose; use a .tsv, .csv or .jsonl file"));
    }
    let examples = text.lines().zip(1..).map(|(text, line)| Example {
        text: text.to_string(),
        text_b: None,
        labels: Vec::new(),
        line,
    });
    Ok(examples.collect())
}

pub(crate) fn problem(path: &Path, line: Option<usize>, message: &str) -> Error {
    Error::Data { path: path.to_path_buf(), line, message: message.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str, format: Format, columns: &str, needs_label: bool) -> Result<Vec<Example>, String> {
        read_bytes(content.as_bytes(), format, columns, needs_label)
    }

    /// `columns` is "" for none; `Err` is the message.
    fn read_bytes(content: &[u8], format: Format, columns: &str, needs_label: bool) -> Result<Vec<Example>, String> {
        let columns: Option<ColumnSpec> = (!columns.is_empty()).then(|| columns.parse().unwrap());
        let labelling = if needs_label { Labelling::One } else { Labelling::Optional };
        read_examples_from(content, format, Path::new("data"), columns.as_ref(), labelling)
            .map_err(|error| error.to_string())
    }

    fn example(text: &str, text_b: Option<&str>, label: Option<&str>, line: usize) -> Example {
        let labels = label.map(str::to_string).into_iter().collect();
        Example { text: text.to_string(), text_b: text_b.map(str::to_string), labels, line }
    }

    #[test]
    fn tsv_has_no_quoting() {
        let table = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n\
            1\t7\t8\tHe said \" no .\t\" Yes \", she.\r\n\r\n0\t9\t9\ta, b\tc\r\n";
        let expected = [
            example("He said \" no .", Some("\" Yes \", she."), Some("1"), 2),
            example("a, b", Some("c"), Some("0"), 4),
        ];
        assert_eq!(read(table, Format::Tsv, "", true).unwrap(), expected);
    }

    #[test]
    fn csv_has_quoting() {
        let table = "\u{feff}label,sentence\n x ,\"a, \"\"b\"\"\nc\"\n\ny,d\n";
        let expected = [example("a, \"b\"\nc", None, Some("x"), 2), example("d", None, Some("y"), 5)];
        assert_eq!(read(table, Format::Csv, "", true).unwrap(), expected);
        assert_eq!(read(&table.replace('\n', "\r\n"), Format::Csv, "", true).unwrap()[1], expected[1]);
    }

    #[test]
    fn json_lines_have_fields() {
        let table = "{\"text\": \"a\\tb\", \"label\": 1, \"more\": []}\n\n\
            {\"label\": \"x\", \"text_b\": \"c\", \"text\": \"d\"}\n\
            {\"sentence1\": \"e\", \"sentence2\": \"f\", \"score\": 2.5}";
        let expected = [
            example("a\tb", None, Some("1"), 1),
            example("d", Some("c"), Some("x"), 3),
            example("e", Some("f"), Some("2.5"), 4),
        ];
        assert_eq!(read(table, Format::Jsonl, "", true).unwrap(), expected);
        let expected = [example("c", None, Some("1"), 1)];
        let table = "{\"body\": \"c\", \"text\": \"a\", \"class\": 1, \"text_b\": \"b\"}";
        assert_eq!(read(table, Format::Jsonl, "text=body,label=class", true).unwrap(), expected);
        // A label that nobody asked for may be anything.
        let expected = [example("c", None, None, 1)];
        assert_eq!(read("{\"text\": \"c\", \"label\": [1]}", Format::Jsonl, "", false).unwrap(), expected);
    }

    #[test]
    fn several_labels_are_a_list_or_have_commas_between() {
        let read = |content: &str, format| {
            let examples = read_examples_from(content.as_bytes(), format, Path::new("data"), None, Labelling::Several);
            examples.map(|examples| examples.into_iter().map(|example| example.labels).collect::<Vec<_>>())
        };
        let expected = [vec!["a".to_string(), "b c".to_string()], vec![], vec!["a".to_string()]];
        assert_eq!(read("text\tlabel\nx\ta, b c\ny\t\nz\ta,\n", Format::Tsv).unwrap(), expected);
        let json = "{\"text\": \"x\", \"label\": [\"a\", \"b c\"]}\n{\"text\": \"y\", \"label\": []}\n\
            {\"text\": \"z\", \"label\": \"a\"}";
        assert_eq!(read(json, Format::Jsonl).unwrap(), expected);
        let message = read("{\"text\": \"x\", \"label\": [[]]}", Format::Jsonl).unwrap_err().to_string();
        assert!(message.contains("data:1: field `label` holds []; expected one label"), "{message}");
    }

    #[test]
    fn every_line_of_plain_text_is_a_text() {
        let expected = [example("a\tb", None, None, 1), example("", None, None, 2), example(" c ", None, None, 3)];
        assert_eq!(read("a\tb\r\n\n c \n", Format::Text, "", false).unwrap(), expected);
    }

    #[test]
    fn columns_are_chosen_by_name_or_number() {
        let table = "id\tbody\tlabel\ttext_b\n1\ta\tx\tb\n";
        let read_with = |columns: &str| read(table, Format::Tsv, columns, true).unwrap();
        assert_eq!(read_with("text=body"), [example("a", None, Some("x"), 2)]);
        assert_eq!(read_with("text=body,text_b=text_b,label=id"), [example("a", Some("b"), Some("1"), 2)]);
        assert_eq!(read_with("text=body,text_b=body"), [example("a", Some("a"), Some("x"), 2)]);
        let expected = [example("body", None, Some("id"), 1), example("a", None, Some("1"), 2)];
        assert_eq!(read_with("text=1,label=0"), expected);
        let unlabelled = read("a\tb\n", Format::Tsv, "text=1", false).unwrap();
        assert_eq!(unlabelled, [example("b", None, None, 1)]);
        let labelled = read("text\tscore\na\t1\n", Format::Tsv, "", false).unwrap();
        assert_eq!(labelled, [example("a", None, Some("1"), 2)]);
    }

    /// What is read with which columns, and what the message says.
    #[test]
    fn faults_are_named() {
        let tsv = |table: &str, columns: &str| read(table, Format::Tsv, columns, true).unwrap_err();
        let json = |table: &str| read(table, Format::Jsonl, "", true).unwrap_err();
        let cases = [
            (tsv("", ""), "data: there are no examples in it"),
            (tsv("\n", ""), "data: there are no examples in it"),
            (tsv("text\tlabel\n", ""), "data: there are no examples in it"),
            (tsv("body\tlabel\na\t1\n", ""), "data:1: no column or field for the text (known names: text, text_a,"),
            (tsv("body\tlabel\na\t1\n", ""), "there are `body`, `label`."),
            (tsv("text\tclass\na\t1\n", ""), "data:1: no column or field for the label (known names: label,"),
            (tsv("text\tlabel\na\t1\n", "text=body"), "data:1: no column or field `body`; there are `text`, `label`"),
            (tsv("text\tlabel\tscore\n", ""), "data:1: `label`, `score` could each be meant; choose with"),
            (tsv("text\tlabel\ttext\n", ""), "data:1: `text`, `text` could each be meant; choose with"),
            (tsv("text\tlabel\na\t1\nb\n", ""), "data:3: 1 columns, where the first row has 2"),
            (tsv("text\tlabel\na\tb\t1\n", ""), "data:2: 3 columns, where the first row has 2"),
            (tsv("text\tlabel\na\t \n", ""), "data:2: the label is empty"),
            (tsv("a\tb\n", "text=0,label=2"), "data:1: there is no column 2, counted from 0; the first row has 2"),
            (tsv("a\tb\n", "text=0"), "data:1: the column of the label is missing; add label=N"),
            (json("[1]"), "data:1: not a JSON object: "),
            (json("{\"text\": \"a\", \"label\": 1}\n{\"text\":"), "data:2: not a JSON object: "),
            (json("{\"label\": 1}"), "data:1: no column or field for the text"),
            (json("{\"text\": \"a\", \"label\": null}"), "data:1: no column or field for the label"),
            (json("{\"text\": 7, \"label\": 1}"), "data:1: field `text` is no string"),
            (json("{\"text\": \"a\", \"label\": [1, 2]}"), "data:1: field `label` holds [1,2]; expected one label"),
            (json("{\"text\": \"a\", \"label\": \"\"}"), "data:1: field `label` is empty"),
            (
                read("{\"text\": \"a\"}", Format::Jsonl, "text=0", false).unwrap_err(),
                "data:1: fields of JSON lines have",
            ),
            (read("a\n", Format::Text, "", true).unwrap_err(), "data: plain text has no labels"),
            (read("a\n", Format::Text, "text=a", false).unwrap_err(), "data: plain text has no columns"),
            (
                read("text,label\n\"a,1\nb,2\nc", Format::Csv, "", true).unwrap_err(),
                "data:2: a quote opens in this row",
            ),
            (read_bytes(b"text\na\n\xff", Format::Tsv, "", false).unwrap_err(), "data:3: byte 1 of the line, 0xFF,"),
        ];
        for (message, expected) in cases {
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        }
    }

    #[test]
    fn a_first_row_that_is_no_header_is_listed_in_short() {
        let message = read("A very long sentence that is certainly no name\t1\n", Format::Tsv, "", true).unwrap_err();
        assert!(message.contains("there are `A very long sentence that is c…`, `1`."), "{message}");
        assert!(message.contains("numbers from 0 if the first line is no header"), "{message}");
    }

    #[test]
    fn column_choices_that_make_no_sense_are_refused() {
        for (spec, expected) in [
            ("", "expected text=, text_b= or label= with a column, found ``"),
            ("body", "expected text=, text_b= or label= with a column, found `body`"),
            ("texts=a", "`texts` is none of text, text_b, label"),
            ("text=", "no column is given for `text`"),
            ("text=a,text=b", "`text` is given twice"),
            ("text=0,label=b", "a number means that there is no header"),
            ("label=0", "without a header the column of the text must be given"),
        ] {
            let message = spec.parse::<ColumnSpec>().unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        }
    }

    #[test]
    fn the_ending_tells_the_format() {
        assert_eq!(Format::of(Path::new("a.b/c.TSV")).unwrap(), Format::Tsv);
        assert_eq!(Format::of(Path::new("c.csv")).unwrap(), Format::Csv);
        assert_eq!(Format::of(Path::new("c.jsonl")).unwrap(), Format::Jsonl);
        assert_eq!(Format::of(Path::new("c.txt")).unwrap(), Format::Text);
        let message = Format::of(Path::new("c.json")).unwrap_err().to_string();
        assert!(message.starts_with("c.json: the ending names no format of examples"), "{message}");
        let message = read_examples(Path::new("no/such.tsv"), None, Labelling::Optional).unwrap_err().to_string();
        assert!(message.starts_with("cannot read no/such.tsv: "), "{message}");
    }

    #[test]
    fn labels_are_ordered_by_value_or_by_code_point() {
        let labels = |labels: &[&str]| {
            let examples: Vec<Example> = labels.iter().map(|label| example("", None, Some(label), 1)).collect();
            label_set(&examples)
        };
        assert_eq!(labels(&["10", "9", "-1", "9"]), ["-1", "9", "10"]);
        assert_eq!(labels(&["10", "9", "x"]), ["10", "9", "x"]);
        assert_eq!(labels(&["b", "B", "é", "a"]), ["B", "a", "b", "é"]);
        assert_eq!(label_set(&[example("", None, None, 1)]), Vec::<String>::new());
    }
}
