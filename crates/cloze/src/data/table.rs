//! Labelled texts and pairs, from tables and records.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::data::columns::{self, Columns, Wanted};
use crate::data::delimited::{Dialect, Row, Rows};
use crate::data::labels::{self, Labels, SEPARATORS, flag, of_value, separated};
use crate::data::options::{
    Budget, DataOptions, Faults, Format, LabelSets, Read, bytes_of, heap_cost, problem, text_of, unread_note,
};
use crate::data::parquet::class_names;
use crate::data::records::{self, Record};
use crate::error::Error;

/// One example: a text or a pair, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The text, as it stands in the file.
    pub text: String,
    /// The second text of a pair.
    pub text_b: Option<String>,
    /// Its labels, or its value, without the space around; none where nothing is known or several may be asked for.
    pub labels: Arc<[String]>,
    /// The line of the file, or the row of a Parquet file, from 1, at which the example begins.
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
    /// Every example needs a label.
    One,
    /// Every example needs a number.
    Value,
    /// Every example may have any number of labels: a list in JSON, cells with separators, or a column for each label.
    Several,
}

impl Labelling {
    fn is_needed(self) -> bool {
        self != Labelling::Optional
    }

    fn wanted(self) -> Wanted {
        if self.is_needed() { Wanted::Label } else { Wanted::LabelIfAny }
    }
}

/// The examples of a file; see [`read_examples_from`]. Its ending names the format, unless `options` do.
///
/// # Errors
/// As [`read_examples_from`].
pub fn read_examples(path: &Path, options: &DataOptions, labelling: Labelling) -> Result<Read<Example>, Error> {
    read_file(path, options, labelling, &mut Faults::end_reading())
}

/// The examples in `bytes`; `name` stands for their file in messages.
///
/// Columns, or fields of records, are recognised by name; see [`ColumnSpec`](crate::data::ColumnSpec). A byte-order
/// mark is skipped, and so are empty lines, except in plain text, where each line is a text.
///
/// # Errors
/// Named with line or column: what cannot be read or is not UTF-8; no example at all; a column that is missing or
/// ambiguous, with the columns there are; a row with more or fewer columns than the first; a quoted cell that does not
/// end where it should; a label that is needed and not there; a list with the same label twice.
pub fn read_examples_from(
    bytes: &[u8],
    format: Format,
    name: &Path,
    options: &DataOptions,
    labelling: Labelling,
) -> Result<Read<Example>, Error> {
    let reading = Reading::new(name, options, labelling, bytes.len());
    reading.read(bytes, format, &mut Faults::end_reading())
}

/// The examples of a file without its faulty rows, which `faults` collects.
pub(crate) fn read_file(
    path: &Path,
    options: &DataOptions,
    labelling: Labelling,
    faults: &mut Faults,
) -> Result<Read<Example>, Error> {
    let Some(format) = options.format.or_else(|| Format::of_ending(path)) else {
        return Err(unknown_format(path));
    };
    let bytes = if format == Format::Parquet { Vec::new() } else { bytes_of(path)? };
    let size = match format {
        Format::Parquet => std::fs::metadata(path).map_or(0, |file| file.len() as usize),
        _ => bytes.len(),
    };
    Reading::new(path, options, labelling, size).read(&bytes, format, faults)
}

pub(crate) fn unknown_format(path: &Path) -> Error {
    let names = Format::names().collect::<Vec<_>>().join(", ");
    let message = format!(
        "the ending names no format of examples; rename the file, or choose --format: {names}. Such \
         files may be packed as .gz or .zst, but for Parquet and BRAT"
    );
    problem(path, None, &message)
}

/// The labels that occur in examples, in their order.
pub fn label_set(examples: &[Example]) -> Vec<String> {
    label_order(examples.iter().flat_map(|example| example.labels.iter()))
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

/// Examples while they are read.
struct Reading<'a> {
    path: &'a Path,
    options: &'a DataOptions,
    labelling: Labelling,
    budget: Budget,
    examples: Vec<Example>,
    /// For each example whether its labels were a list of numbers.
    numbers: Vec<bool>,
    sets: LabelSets,
    unlabelled: usize,
    /// The field that the labels are in.
    label_field: String,
    notes: Vec<String>,
}

impl<'a> Reading<'a> {
    fn new(path: &'a Path, options: &'a DataOptions, labelling: Labelling, size: usize) -> Reading<'a> {
        Reading {
            path,
            options,
            labelling,
            budget: Budget::of_file(size),
            examples: Vec::new(),
            numbers: Vec::new(),
            sets: LabelSets::default(),
            unlabelled: 0,
            label_field: String::new(),
            notes: Vec::new(),
        }
    }

    fn read(mut self: Reading<'a>, bytes: &[u8], format: Format, faults: &mut Faults) -> Result<Read<Example>, Error> {
        match format {
            Format::Tsv | Format::Csv => self.read_rows(text_of(bytes, self.path)?, format, faults)?,
            Format::Jsonl | Format::Json | Format::Parquet => self.read_records(bytes, format, faults)?,
            Format::Text => self.read_lines(text_of(bytes, self.path)?)?,
            Format::Conll | Format::Conllu | Format::Brat => {
                let message = format!("{} files have labels of words; use --task tokens", format.name());
                return Err(self.problem(None, &message));
            }
        }
        if self.unlabelled > 0 {
            let note = format!("{}: examples without a label, left out: {}", self.path.display(), self.unlabelled);
            self.notes.push(note);
        }
        if self.examples.is_empty() && faults.found.is_empty() {
            return Err(self.problem(None, "there are no examples in it"));
        }
        let Reading { path, options, labelling, mut examples, numbers, mut notes, label_field, .. } = self;
        let of_file = if format == Format::Parquet { class_names(path, &label_field) } else { Vec::new() };
        labels::resolve(&mut examples, &numbers, options.names(&of_file), labelling, path, &mut notes, faults)?;
        Ok(Read { items: examples, notes })
    }

    fn problem(&self, line: Option<usize>, message: &str) -> Error {
        problem(self.path, line, message)
    }

    fn push(
        &mut self,
        text: String,
        text_b: Option<String>,
        labels: Arc<[String]>,
        are_numbers: bool,
        line: usize,
    ) -> Result<(), Error> {
        let strings = heap_cost(text.len()) + text_b.as_ref().map_or(0, |text| heap_cost(text.len()));
        self.budget.take(size_of::<Example>() + strings, self.path, line)?;
        self.examples.push(Example { text, text_b, labels, line });
        self.numbers.push(are_numbers);
        Ok(())
    }

    /// Notes an example without label, or gives the error that it is.
    fn unlabelled(&mut self, line: usize, what: &str) -> Result<(), Error> {
        if self.options.skip_unlabelled {
            self.unlabelled += 1;
            return Ok(());
        }
        let message = format!("{what}; add the label, or leave such examples out with --skip-unlabelled");
        Err(self.problem(Some(line), &message))
    }

    fn read_rows(&mut self, text: &str, format: Format, faults: &mut Faults) -> Result<(), Error> {
        let Some((dialect, columns, first)) = self.recognise(text, format)? else { return Ok(()) };
        let width = first.cells.len();
        let name = |at: usize| match columns.has_header {
            true => first.cells[at].trim().to_string(),
            false => at.to_string(),
        };
        let unread: Vec<String> = (0..width).filter(|&at| !columns.reads(at)).map(name).collect();
        self.notes.extend(unread_note(self.path, "columns", &unread));
        let names: Vec<String> = columns.labels.iter().map(|&at| name(at)).collect();
        let separator = self.separator(Rows::new(text, dialect).skip(usize::from(columns.has_header)), &columns)?;
        if columns.are_flags {
            let path = self.path.display();
            self.notes.push(format!("{path}: columns that hold only 0 and 1 are read as labels: {}", names.join(", ")));
        }
        for row in Rows::new(text, dialect).skip(usize::from(columns.has_header)) {
            let row = row.map_err(|(line, message)| self.problem(Some(line), &message));
            let Some(row) = faults.take(row)? else { continue };
            let result = self.read_row(row, width, &columns, &names, separator);
            faults.take(result)?;
        }
        Ok(())
    }

    /// How the table is separated, its columns, and its first row: by its ending, else by the only other separator
    /// with which the columns are found.
    fn recognise<'t>(&mut self, text: &'t str, format: Format) -> Result<Option<(Dialect, Columns, Row<'t>)>, Error> {
        let usual = if format == Format::Tsv { '\t' } else { ',' };
        // A tab in a file of the ending .tsv is the one separator that comes without quoting.
        let dialect = |delimiter: char| Dialect { delimiter, quotes: !(format == Format::Tsv && delimiter == '\t') };
        let columns_of = |dialect: Dialect| -> Result<Option<(Columns, Row<'t>)>, Error> {
            let Some(first) = Rows::new(text, dialect).next() else { return Ok(None) };
            let first = first.map_err(|(line, message)| self.problem(Some(line), &message))?;
            let columns = self.columns_of(text, dialect, &first)?;
            Ok(Some((columns, first)))
        };
        let chosen = dialect(self.options.delimiter.unwrap_or(usual));
        let fault = match columns_of(chosen) {
            Ok(None) => return Ok(None),
            Ok(Some((columns, first))) => return Ok(Some((chosen, columns, first))),
            Err(fault) => fault,
        };
        let mut found = Vec::new();
        for other in ['\t', ',', ';', '|'].into_iter().filter(|other| *other != usual) {
            if self.options.delimiter.is_none()
                && let Ok(Some((columns, first))) = columns_of(dialect(other))
                && first.cells.len() > 1
            {
                found.push((dialect(other), columns, first));
            }
        }
        match found.pop().filter(|_| found.is_empty()) {
            None => Err(fault),
            Some(found) => {
                let note = format!(
                    "{}: columns are separated by `{}` (choose another with --delimiter)",
                    self.path.display(),
                    found.0.delimiter.escape_debug()
                );
                self.notes.push(note);
                Ok(Some(found))
            }
        }
    }

    /// The columns by the first row; without a column for the label those that hold nothing but 0 and 1.
    fn columns_of(&self, text: &str, dialect: Dialect, first: &Row) -> Result<Columns, Error> {
        let cells: Vec<&str> = first.cells.iter().map(AsRef::as_ref).collect();
        let wrong = |message: String| self.problem(Some(first.line), &message);
        let mut columns =
            self.options.find(|spec| columns::find(&cells, spec, self.labelling.wanted())).map_err(wrong)?;
        if self.labelling.is_needed() && columns.labels.is_empty() {
            columns.labels = self.flag_columns(text, dialect, &columns, cells.len());
            columns.are_flags = true;
            if columns.labels.is_empty() {
                return Err(wrong(columns::no_label(&cells)));
            }
        }
        Ok(columns)
    }

    /// The columns, at least two, that hold nothing but 0 and 1.
    fn flag_columns(&self, text: &str, dialect: Dialect, columns: &Columns, width: usize) -> Vec<usize> {
        if self.labelling == Labelling::Value || !columns.has_header {
            return Vec::new();
        }
        let mut are_flags: Vec<bool> = (0..width).map(|at| !columns.reads(at)).collect();
        let mut rows = 0;
        for row in Rows::new(text, dialect).skip(1).flatten().filter(|row| row.cells.len() == width) {
            are_flags.iter_mut().zip(&row.cells).for_each(|(is, cell)| *is &= flag(cell).is_some());
            rows += 1;
        }
        let found: Vec<usize> = (0..width).filter(|&at| are_flags[at]).collect();
        if rows > 0 && found.len() > 1 { found } else { Vec::new() }
    }

    /// Separator of several labels in a cell: as chosen, else the only one of the usual characters that occurs.
    fn separator<'t>(
        &mut self,
        rows: impl Iterator<Item = Result<Row<'t>, (usize, String)>>,
        columns: &Columns,
    ) -> Result<char, Error> {
        let (Labelling::Several, [column]) = (self.labelling, columns.labels.as_slice()) else { return Ok(',') };
        if let Some(separator) = self.options.label_separator {
            return Ok(separator);
        }
        // The line at which each occurs for the first time.
        let mut seen = [None; SEPARATORS.len()];
        for row in rows.flatten() {
            let Some(cell) = row.cells.get(*column) else { continue };
            for (seen, separator) in seen.iter_mut().zip(SEPARATORS) {
                if seen.is_none() && cell.contains(separator) {
                    *seen = Some(row.line);
                }
            }
        }
        let found: Vec<(char, usize)> =
            SEPARATORS.into_iter().zip(seen).filter_map(|(separator, line)| Some((separator, line?))).collect();
        match found[..] {
            [] | [(',', _)] => Ok(','),
            [(separator, _)] => {
                let note = format!(
                    "{}: labels are separated by `{separator}` (choose another with --label-separator)",
                    self.path.display()
                );
                self.notes.push(note);
                Ok(separator)
            }
            [(first, _), (second, line), ..] => {
                let message = format!(
                    "labels are separated by `{first}` or by `{second}`; choose with --label-separator, as both occur"
                );
                Err(self.problem(Some(line), &message))
            }
        }
    }

    fn read_row(
        &mut self,
        mut row: Row,
        width: usize,
        columns: &Columns,
        names: &[String],
        separator: char,
    ) -> Result<(), Error> {
        let line = row.line;
        if row.cells.len() != width {
            let found = columns::counted(row.cells.len());
            return Err(self.problem(Some(line), &format!("{found}, where the first row has {width}")));
        }
        let labels = match (columns.labels.as_slice(), self.labelling) {
            ([], _) => labels::none(),
            ([column], labelling) => {
                let cell = row.cells[*column].trim();
                match labelling {
                    Labelling::Several => self.sets.shared(separated(cell, separator)),
                    _ if cell.is_empty() && labelling.is_needed() => {
                        return self.unlabelled(line, "the label is empty");
                    }
                    _ => self.sets.shared(vec![cell.to_string()]),
                }
            }
            (several, labelling) => {
                let mut own = Vec::new();
                for (&column, name) in several.iter().zip(names) {
                    let cell = &row.cells[column];
                    match flag(cell) {
                        Some(true) => own.push(name.clone()),
                        Some(false) => {}
                        None => {
                            let message = format!("column `{name}` holds `{cell}`; expected 0 or 1, as it is a label");
                            return Err(self.problem(Some(line), &message));
                        }
                    }
                }
                if labelling == Labelling::One && own.len() != 1 {
                    let message = format!(
                        "{} of the columns {} hold 1; expected one label (several are for --task multi-label)",
                        own.len(),
                        names.join(", ")
                    );
                    return Err(self.problem(Some(line), &message));
                }
                self.sets.shared(own)
            }
        };
        // The same column may serve twice, so none is moved out but the last.
        let text_b = columns.text_b.map(|at| row.cells[at].to_string());
        let text = std::mem::take(&mut row.cells[columns.text]).into_owned();
        self.push(text, text_b, labels, false, line)
    }

    fn read_records(&mut self, bytes: &[u8], format: Format, faults: &mut Faults) -> Result<(), Error> {
        let path = self.path;
        let mut found = FieldCache::default();
        let mut unread: Vec<String> = Vec::new();
        records::for_each(bytes, format, path, faults, &mut |record, faults| {
            let result = self.read_record(&record, &mut found, &mut unread);
            faults.take(result).map(|_| ())
        })?;
        self.notes.extend(unread_note(path, "fields", &unread));
        Ok(())
    }

    fn read_record(&mut self, record: &Record, found: &mut FieldCache, unread: &mut Vec<String>) -> Result<(), Error> {
        // A field that is null is a field that is not there.
        let (names, places) = record.names();
        let at_line = |message: String| problem(self.path, Some(record.line), &message);
        if found.names != names {
            let columns = self.find_fields(&names);
            *found = FieldCache { names: names.iter().map(|name| name.to_string()).collect(), columns: columns.ok() };
            match &found.columns {
                None => found.names.clear(),
                Some(columns) => {
                    records::note_unread(unread, &names, |at| columns.reads(at));
                    if let [label] = columns.labels[..] {
                        self.label_field = names[label].to_string();
                    }
                }
            }
        }
        let Some(columns) = &found.columns else {
            let columns = self.find_fields(&names);
            let null_label = self.null_label(record);
            return match (columns, null_label) {
                (Err(_), Some(name)) => self.unlabelled(record.line, &format!("field `{name}` is null")),
                (Err(message), None) => Err(at_line(message)),
                (Ok(_), _) => unreachable!("the same fields are found again"),
            };
        };
        let (mut labels, mut are_numbers) = (labels::none(), false);
        match columns.labels.as_slice() {
            [] if self.labelling.is_needed() => {
                return match self.null_label(record) {
                    Some(name) => self.unlabelled(record.line, &format!("field `{name}` is null")),
                    None if self.options.skip_unlabelled => self.unlabelled(record.line, ""),
                    None => Err(at_line(columns::no_label(&names))),
                };
            }
            [] => {}
            [at] => {
                let value = record.value(places[*at], &self.budget, self.path)?;
                match of_value(names[*at], &value, self.labelling, self.options.label_separator) {
                    // What is not asked for need not be understood.
                    Err(_) | Ok(Labels::Missing) if !self.labelling.is_needed() => {}
                    Err(message) => return Err(at_line(message)),
                    Ok(Labels::Missing) => {
                        return self.unlabelled(record.line, &format!("field `{}` is empty", names[*at]));
                    }
                    Ok(Labels::These(found)) => labels = self.sets.shared(found),
                    Ok(Labels::Numbers(found)) => (labels, are_numbers) = (self.sets.shared(found), true),
                }
            }
            several => {
                let mut own = Vec::new();
                for &at in several {
                    let value = record.value(places[at], &self.budget, self.path)?;
                    match flag(&value.to_string()) {
                        Some(true) => own.push(names[at].to_string()),
                        Some(false) => {}
                        None => {
                            let message =
                                format!("field `{}` holds {value}; expected 0 or 1, as it is a label", names[at]);
                            return Err(at_line(message));
                        }
                    }
                }
                if self.labelling == Labelling::One && own.len() != 1 {
                    let message = format!("{} of the labels' fields hold 1; expected one label", own.len());
                    return Err(at_line(message));
                }
                labels = self.sets.shared(own);
            }
        }
        let text = record.string(places[columns.text]).map_err(at_line)?;
        let text_b = columns.text_b.map(|at| record.string(places[at])).transpose().map_err(at_line)?;
        self.push(text, text_b, labels, are_numbers, record.line)
    }

    fn find_fields(&self, names: &[&str]) -> Result<Columns, String> {
        self.options.find(|spec| columns::find_fields(names, spec, self.labelling.wanted()))
    }

    /// The name of the label's field, if it is there and null.
    fn null_label(&self, record: &Record) -> Option<String> {
        let all: Vec<&str> = record.fields.iter().map(|(name, _)| name.as_ref()).collect();
        let columns = self.find_fields(&all).ok()?;
        let is_null = |at: &usize| record.place(all[*at]).is_none();
        columns.labels.iter().find(|at| is_null(at)).map(|&at| all[at].to_string())
    }

    fn read_lines(&mut self, text: &str) -> Result<(), Error> {
        if self.labelling.is_needed() {
            return Err(self.problem(None, "plain text has no labels; use a .tsv, .csv or .jsonl file"));
        }
        if self.options.columns.is_some() {
            return Err(self.problem(None, "plain text has no columns to choose; use a .tsv, .csv or .jsonl file"));
        }
        for (text, line) in text.lines().zip(1..) {
            self.push(text.to_string(), None, labels::none(), false, line)?;
        }
        Ok(())
    }
}

/// The columns of the record before, since most have the same fields.
#[derive(Default)]
struct FieldCache {
    names: Vec<String>,
    columns: Option<Columns>,
}

#[cfg(test)]
mod tests;
