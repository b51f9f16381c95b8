//! Which columns of a table hold texts and labels.

use std::str::FromStr;

use crate::error::Error;

/// Names that are recognised as the column of the text, of the second text and of the label.
const TEXT_NAMES: &[&str] = &["text", "text_a", "sentence", "sentence1", "#1 String"];
const TEXT_B_NAMES: &[&str] = &["text_b", "sentence2", "#2 String"];
const LABEL_NAMES: &[&str] = &["label", "Quality", "score"];

const NUMBERED_FIELDS: &str = "fields of JSON lines have names; choose them by name, not by number";

/// A choice of columns, as in `text=NAME|N,text_b=NAME|N,label=NAME|N`.
///
/// Columns go by name, or all by number from 0; numbers mean that the table has no header. What is not chosen is
/// recognised by its name: `text`, `text_a`, `sentence`, `sentence1`, `#1 String`; `text_b`, `sentence2`, `#2 String`;
/// `label`, `Quality`, `score`. But where `text` is chosen and `text_b` is not, there is no second text.
///
/// Where words have labels, `text` is the column of the word: by default the first, and the last that of the label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnSpec {
    text: Option<Column>,
    text_b: Option<Column>,
    label: Option<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Name(String),
    Number(usize),
}

impl FromStr for ColumnSpec {
    type Err = Error;

    fn from_str(spec: &str) -> Result<ColumnSpec, Error> {
        let wrong = |message: String| Error::Settings(format!("columns `{spec}`: {message}"));
        let mut columns = ColumnSpec::default();
        for part in spec.split(',') {
            let Some((role, column)) = part.split_once('=') else {
                return Err(wrong(format!("expected text=, text_b= or label= with a column, found `{part}`")));
            };
            let column = column.trim();
            let place = match role.trim() {
                "text" => &mut columns.text,
                "text_b" => &mut columns.text_b,
                "label" => &mut columns.label,
                other => return Err(wrong(format!("`{other}` is none of text, text_b, label"))),
            };
            if column.is_empty() {
                return Err(wrong(format!("no column is given for `{}`", role.trim())));
            }
            if place.is_some() {
                return Err(wrong(format!("`{}` is given twice", role.trim())));
            }
            *place = Some(column.parse().map_or_else(|_| Column::Name(column.to_string()), Column::Number));
        }
        let is_number = |column: &&Column| matches!(column, Column::Number(_));
        let numbers = columns.chosen().filter(is_number).count();
        if numbers > 0 && numbers < columns.chosen().count() {
            return Err(wrong("a number means that there is no header, so the others need numbers, too".to_string()));
        }
        if numbers > 0 && columns.text.is_none() {
            return Err(wrong("without a header the column of the text must be given, as text=N".to_string()));
        }
        Ok(columns)
    }
}

impl ColumnSpec {
    fn chosen(&self) -> impl Iterator<Item = &Column> {
        [&self.text, &self.text_b, &self.label].into_iter().flatten()
    }

    fn has_numbers(&self) -> bool {
        self.chosen().any(|column| matches!(column, Column::Number(_)))
    }
}

/// Where texts and labels stand in every row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) text: usize,
    pub(crate) text_b: Option<usize>,
    pub(crate) label: Option<usize>,
    /// Whether the first row holds names.
    pub(crate) has_header: bool,
}

/// Finds the columns by the first row of a table. The error is a message for the user.
pub(crate) fn find(first_row: &[String], spec: Option<&ColumnSpec>, needs_label: bool) -> Result<Columns, String> {
    let none_chosen = ColumnSpec::default();
    let spec = spec.unwrap_or(&none_chosen);
    let has_header = !spec.has_numbers();
    let names: Vec<&str> = first_row.iter().map(|name| name.trim()).collect();
    let text = match &spec.text {
        Some(column) => locate(column, &names)?,
        None => one_of(&names, TEXT_NAMES)?.ok_or_else(|| unrecognised("text", TEXT_NAMES, &names))?,
    };
    let text_b = match &spec.text_b {
        Some(column) => Some(locate(column, &names)?),
        None if spec.text.is_none() => one_of(&names, TEXT_B_NAMES)?,
        None => None,
    };
    let label = match &spec.label {
        Some(column) => Some(locate(column, &names)?),
        None if has_header && needs_label => {
            Some(one_of(&names, LABEL_NAMES)?.ok_or_else(|| unrecognised("label", LABEL_NAMES, &names))?)
        }
        None if has_header => one_of(&names, LABEL_NAMES).unwrap_or(None),
        None if needs_label => return Err("the column of the label is missing; add label=N".to_string()),
        None => None,
    };
    Ok(Columns { text, text_b, label, has_header })
}

/// Finds the fields of a JSON object by their names.
pub(crate) fn find_fields(names: &[String], spec: Option<&ColumnSpec>, needs_label: bool) -> Result<Columns, String> {
    if spec.is_some_and(ColumnSpec::has_numbers) {
        return Err(NUMBERED_FIELDS.to_string());
    }
    find(names, spec, needs_label)
}

/// Finds the columns of a file that has a word a line: as chosen, else the first column is the word, and the last
/// its label. Only names make the first row a header.
pub(crate) fn find_words(first_row: &[&str], spec: Option<&ColumnSpec>, needs_label: bool) -> Result<Columns, String> {
    let none_chosen = ColumnSpec::default();
    let spec = spec.unwrap_or(&none_chosen);
    refuse_second_text(spec)?;
    let has_header = spec.chosen().any(|column| matches!(column, Column::Name(_)));
    let names: Vec<&str> = first_row.iter().map(|name| name.trim()).collect();
    let text = spec.text.as_ref().map_or(Ok(0), |column| locate(column, &names))?;
    if !needs_label {
        return Ok(Columns { text, text_b: None, label: None, has_header });
    }
    let label = spec.label.as_ref().map_or(Ok(names.len() - 1), |column| locate(column, &names))?;
    if label == text {
        let columns =
            if names.len() == 1 { "the first row has 1 column" } else { "word and label are the same column" };
        return Err(format!("{columns}; expected a word and its label; choose with --columns text=N,label=N, from 0"));
    }
    Ok(Columns { text, text_b: None, label: Some(label), has_header })
}

/// The names of the fields of JSON lines that hold the words and their labels.
pub(crate) fn word_fields(spec: Option<&ColumnSpec>) -> Result<(&str, &str), String> {
    let Some(spec) = spec else { return Ok(("words", "labels")) };
    refuse_second_text(spec)?;
    let name_or = |column, default| match column {
        &Some(Column::Number(_)) => Err(NUMBERED_FIELDS.to_string()),
        Some(Column::Name(name)) => Ok(name.as_str()),
        None => Ok(default),
    };
    Ok((name_or(&spec.text, "words")?, name_or(&spec.label, "labels")?))
}

fn refuse_second_text(spec: &ColumnSpec) -> Result<(), String> {
    match spec.text_b {
        Some(_) => Err("words have no second text; choose with --columns text=…,label=…".to_string()),
        None => Ok(()),
    }
}

/// The place of a chosen column among those there are.
fn locate(column: &Column, names: &[&str]) -> Result<usize, String> {
    match column {
        Column::Number(number) if *number < names.len() => Ok(*number),
        Column::Number(number) => {
            Err(format!("there is no column {number}, counted from 0; the first row has {} columns", names.len()))
        }
        Column::Name(name) => one_of(names, &[name.as_str()])?
            .ok_or_else(|| format!("no column or field `{name}`; there are {}", listed(names))),
    }
}

/// The place of the only one of `wanted` among the names.
fn one_of(names: &[&str], wanted: &[&str]) -> Result<Option<usize>, String> {
    let places: Vec<usize> = (0..names.len()).filter(|&place| wanted.contains(&names[place])).collect();
    match places[..] {
        [] => Ok(None),
        [place] => Ok(Some(place)),
        _ => {
            let found: Vec<&str> = places.iter().map(|&place| names[place]).collect();
            Err(format!(
                "{} could each be meant; choose with --columns text=NAME,text_b=NAME,label=NAME",
                listed(&found)
            ))
        }
    }
}

fn unrecognised(role: &str, known: &[&str], names: &[&str]) -> String {
    format!(
        "no column or field for the {role} (known names: {}); there are {}. Choose with --columns text=NAME,text_b=NAME,label=NAME, or by \
         numbers from 0 if the first line is no header",
        known.join(", "),
        listed(names)
    )
}

/// The names for a message; a first row that is no header may be long, so its cells are cut.
fn listed(names: &[&str]) -> String {
    let shown = |name: &&str| match name.char_indices().nth(30) {
        Some((end, _)) => format!("`{}…`", &name[..end]),
        None => format!("`{name}`"),
    };
    names.iter().map(shown).collect::<Vec<_>>().join(", ")
}
