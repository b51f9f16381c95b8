//! Questions on texts, from SQuAD's files and from tables and records with a question a row.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::data::columns::{self, QuestionFields};
use crate::data::delimited::{Dialect, Rows};
use crate::data::options::{Budget, DataOptions, Faults, Format, bytes_of, problem, string_cost, text_of, unread_note};
use crate::data::records::{self, LineOf, Record, for_each_item, is_list, not_json};
use crate::data::squad::{Answer, Question, Squad, SquadVersion};
use crate::data::table::unknown_format;
use crate::error::Error;

/// The questions of a file; see [`read_questions_from`]. Its ending names the format, unless `options` do.
///
/// # Errors
/// As [`read_questions_from`].
pub fn read_questions(path: &Path, options: &DataOptions, needs_answers: bool) -> Result<Squad, Error> {
    read_file(path, options, needs_answers, &mut Faults::end_reading())
}

/// The questions in `bytes`; `name` stands for their file in messages. A byte-order mark is skipped.
///
/// **SQuAD's format** (1.1 and 2.0), also without `data` around the list. A question without `answers` is one that
/// nobody has answered yet.
///
/// **Records and tables** have a question a row: `question`, `context`, `answers` (or `answer`), `answer_start`, `id`.
/// Answers are a text, a list of texts, or lists of `text` and `answer_start`, as Hugging Face has them; none at all
/// says that the text does not answer the question. Without an id, a question's id is the number of its line.
///
/// An answer without a place, or at -1, is searched in its context.
///
/// # Errors
/// With the line, and the path within SQuAD's JSON, such as `data[3].paragraphs[0].qas[2].id`: what cannot be read; a
/// field that is missing or of another type; an id that occurs twice; an answer that begins behind the end of its
/// context, or is not in it. No question at all.
pub fn read_questions_from(
    bytes: &[u8],
    format: Format,
    name: &Path,
    options: &DataOptions,
    needs_answers: bool,
) -> Result<Squad, Error> {
    read(bytes, format, name, options, needs_answers, bytes.len(), &mut Faults::end_reading())
}

/// True if questions are read from files of a format, rather than pairs of texts.
pub fn holds_questions(path: &Path, options: &DataOptions) -> bool {
    let format = options.format.or_else(|| Format::of_ending(path));
    format.is_some_and(|format| format != Format::Text)
}

/// The questions of a file without the faulty ones, which `faults` collects.
pub(crate) fn read_file(
    path: &Path,
    options: &DataOptions,
    needs_answers: bool,
    faults: &mut Faults,
) -> Result<Squad, Error> {
    let format = options.format.or_else(|| Format::of_ending(path)).ok_or_else(|| unknown_format(path))?;
    let bytes = if format == Format::Parquet { Vec::new() } else { bytes_of(path)? };
    let size = match format {
        Format::Parquet => std::fs::metadata(path).map_or(0, |file| file.len() as usize),
        _ => bytes.len(),
    };
    read(&bytes, format, path, options, needs_answers, size, faults)
}

fn read(
    bytes: &[u8],
    format: Format,
    path: &Path,
    options: &DataOptions,
    needs_answers: bool,
    size: usize,
    faults: &mut Faults,
) -> Result<Squad, Error> {
    let mut reader = Reader {
        path,
        options,
        needs_answers,
        budget: Budget::of_file(size),
        ids: HashSet::new(),
        version: SquadVersion::V1,
        questions: Vec::new(),
        searched: 0,
        ambiguous: 0,
        unread: Vec::new(),
    };
    match format {
        Format::Tsv | Format::Csv => reader.read_rows(text_of(bytes, path)?, format, faults)?,
        Format::Json => reader.read_json(text_of(bytes, path)?, faults)?,
        Format::Jsonl | Format::Parquet => records::for_each(bytes, format, path, faults, &mut |record, faults| {
            let result = reader.read_record(&record);
            faults.take(result).map(|_| ())
        })?,
        Format::Text | Format::Conll | Format::Conllu | Format::Brat => {
            let message =
                format!("{} files hold no questions; use .json, .jsonl, .parquet, .csv or .tsv", format.name());
            return Err(problem(path, None, &message));
        }
    }
    if reader.questions.is_empty() && faults.found.is_empty() {
        return Err(problem(path, None, "there are no questions in it"));
    }
    let mut notes: Vec<String> = unread_note(path, "fields", &reader.unread).into_iter().collect();
    if reader.searched > 0 {
        let (searched, ambiguous) = (reader.searched, reader.ambiguous);
        notes.push(format!(
            "{}: answers without a place, searched in their texts: {searched}; {ambiguous} of them occur more than once \
             there, and the first place is read",
            path.display()
        ));
    }
    Ok(Squad { version: reader.version, questions: reader.questions, notes })
}

/// Questions while they are read.
struct Reader<'a> {
    path: &'a Path,
    options: &'a DataOptions,
    needs_answers: bool,
    budget: Budget,
    ids: HashSet<String>,
    version: SquadVersion,
    questions: Vec<Question>,
    /// Answers that were searched in their contexts, and those that occur there more than once.
    searched: usize,
    ambiguous: usize,
    unread: Vec<String>,
}

/// An object of a file, and its path within the file.
struct Placed<'a> {
    record: Record<'a>,
    path: String,
}

impl Reader<'_> {
    /// SQuAD's format, or a list of questions.
    fn read_json(&mut self, text: &str, faults: &mut Faults) -> Result<(), Error> {
        let mut lines = LineOf::new(text);
        if is_list(text) {
            return self.read_list(text, "", &mut lines, faults);
        }
        let file: &RawValue = serde_json::from_str(text.trim_ascii()).map_err(|error| {
            // The text begins behind white space.
            not_json(self.path, LineOf::new(text).of(text.trim_ascii_start()) + error.line() - 1, &error)
        })?;
        let file = self.object(file, String::new(), &mut lines)?;
        if let Some(version) = file.record.field("version") {
            let version: Value = serde_json::from_str(version.get()).unwrap_or_default();
            let name = version.as_str().map_or_else(|| version.to_string(), str::to_string);
            if name.trim_start_matches('v').starts_with('2') {
                self.version = SquadVersion::V2;
            }
        }
        if file.record.field("paragraphs").is_some() || file.record.field("qas").is_some() {
            return self.read_item(file, &mut lines, faults);
        }
        let data = self.list(&file, "data")?;
        self.read_list(data.get(), "data", &mut lines, faults)
    }

    fn read_list<'t>(
        &mut self,
        list: &'t str,
        path: &str,
        lines: &mut LineOf<'t>,
        faults: &mut Faults,
    ) -> Result<(), Error> {
        let mut index = 0;
        let mut lines_of_list = lines.clone();
        for_each_item(list, &mut lines_of_list, self.path, |item| {
            let placed = self.object(item, format!("{path}[{index}]"), lines);
            index += 1;
            match faults.take(placed)? {
                Some(placed) => self.read_item(placed, lines, faults),
                None => Ok(()),
            }
        })
    }

    /// An article, a paragraph, or a question with its context.
    fn read_item<'t>(&mut self, item: Placed<'t>, lines: &mut LineOf<'t>, faults: &mut Faults) -> Result<(), Error> {
        if item.record.field("paragraphs").is_some() {
            let paragraphs = faults.take(self.list(&item, "paragraphs"))?;
            return match paragraphs {
                Some(paragraphs) => self.read_list(paragraphs.get(), &join(&item.path, "paragraphs"), lines, faults),
                None => Ok(()),
            };
        }
        let has_question = item.record.field("question").is_some();
        if item.record.field("qas").is_none() && has_question {
            let result = self.read_record(&item.record);
            return faults.take(result).map(|_| ());
        }
        if item.record.field("qas").is_none() && item.record.field("context").is_none() {
            let message = format!("{}: missing; expected a list", join(&item.path, "paragraphs"));
            return faults.add(problem(self.path, Some(item.record.line), &message));
        }
        let context = self.string(&item, "context").map(Arc::<str>::from);
        let Some(context) = faults.take(context)? else { return Ok(()) };
        self.budget.take(string_cost(context.len()), self.path, item.record.line)?;
        let Some(qas) = faults.take(self.list(&item, "qas"))? else { return Ok(()) };
        let mut index = 0;
        let path = join(&item.path, "qas");
        let mut lines_of_list = lines.clone();
        for_each_item(qas.get(), &mut lines_of_list, self.path, |qa| {
            let placed = self.object(qa, format!("{path}[{index}]"), lines);
            index += 1;
            let result = placed.and_then(|placed| self.read_qa(&placed, &context));
            faults.take(result).map(|_| ())
        })
    }

    /// A question of SQuAD's on its context.
    fn read_qa(&mut self, qa: &Placed, context: &Arc<str>) -> Result<(), Error> {
        let wrong = |field: &str, message: &str| {
            problem(self.path, Some(qa.record.line), &format!("{}: {message}", join(&qa.path, field)))
        };
        let (mut is_impossible, mut is_said) = (false, false);
        if let Some(flag) = qa.record.any_field("is_impossible") {
            is_said = true;
            is_impossible = match flag.get() {
                "true" => true,
                "false" => false,
                other => return Err(wrong("is_impossible", &format!("{}; expected true or false", kind(other)))),
            };
        }
        let id = match qa.record.any_field("id") {
            None => return Err(wrong("id", "missing; expected a string")),
            Some(id) => id_of(id)
                .ok_or_else(|| wrong("id", &format!("{}; expected a string or a whole number", kind(id.get()))))?,
        };
        let question = self.string(qa, "question")?;
        let mut found = Found::default();
        if let Some(answers) = qa.record.any_field("answers") {
            let answers = self.value(&qa.record, answers, "answers")?;
            found = answers_of(&answers, None, context, &join(&qa.path, "answers"))
                .map_err(|message| problem(self.path, Some(qa.record.line), &message))?;
        }
        if !is_said && found.says_none && found.answers.is_empty() {
            is_impossible = true;
        }
        self.push(qa.record.line, &join(&qa.path, "id"), id, question, Arc::clone(context), found, is_impossible)
    }

    /// A question with its context and answers.
    fn read_record(&mut self, record: &Record) -> Result<(), Error> {
        let at_line = |message: String| problem(self.path, Some(record.line), &message);
        let (names, places) = record.names();
        let all: Vec<&str> = record.fields.iter().map(|(name, _)| name.as_ref()).collect();
        let fields = self.options.find(|spec| columns::find_question_fields(&names, spec)).map_err(at_line)?;
        let QuestionFields { question, context, answer, start, id, is_impossible } = fields;
        let read = [Some(question), Some(context), answer, start, id, is_impossible];
        records::note_unread(&mut self.unread, &names, |at| read.contains(&Some(at)));
        let string = |at: usize| record.string(places[at]).map_err(at_line);
        let (question, context) = (string(question)?, string(context)?);
        let context = match self.questions.last().filter(|last| *last.context == *context) {
            Some(last) => Arc::clone(&last.context),
            None => {
                self.budget.take(string_cost(context.len()), self.path, record.line)?;
                context.into()
            }
        };
        let id = match id {
            None => record.line.to_string(),
            Some(at) => id_of(record.fields[places[at]].1)
                .ok_or_else(|| at_line("id: expected a string or a whole number".to_string()))?,
        };
        let mut impossible = false;
        if let Some(at) = is_impossible {
            let value = self.value(record, record.fields[places[at]].1, names[at])?;
            impossible = flag_of(&value)
                .ok_or_else(|| at_line(format!("field `{}` holds {value}; expected true or false", names[at])))?;
        }
        let mut found = Found::default();
        match answer {
            Some(at) => {
                let answers = self.value(record, record.fields[places[at]].1, names[at])?;
                let start = start.map(|at| self.value(record, record.fields[places[at]].1, names[at])).transpose()?;
                found = answers_of(&answers, start.as_ref(), &context, names[at]).map_err(at_line)?;
            }
            None if self.needs_answers && !impossible => {
                // A field that is there and null is an answer that there is none.
                let null = self.options.find(|spec| columns::find_question_fields(&all, spec)).ok();
                if null.is_none_or(|fields| fields.answer.is_none()) {
                    return Err(at_line(columns::no_answer(&names)));
                }
                found.says_none = true;
            }
            None => {}
        }
        if self.needs_answers && found.answers.is_empty() {
            impossible = true;
        }
        self.push(record.line, "id", id, question, context, found, impossible)
    }

    #[allow(clippy::too_many_arguments)]
    fn push(
        &mut self,
        line: usize,
        id_path: &str,
        id: String,
        question: String,
        context: Arc<str>,
        found: Found,
        is_impossible: bool,
    ) -> Result<(), Error> {
        let Found { answers, searched, ambiguous, .. } = found;
        let strings: usize = answers.iter().map(|answer| string_cost(answer.text.len()) + size_of::<usize>()).sum();
        let own = size_of::<Question>() + question.len() + 3 * string_cost(id.len()) + strings;
        self.budget.take(own, self.path, line)?;
        if !self.ids.insert(id.clone()) {
            let message = format!("{id_path}: `{id}` is another question's id, too");
            return Err(problem(self.path, Some(line), &message));
        }
        self.searched += searched;
        self.ambiguous += ambiguous;
        if is_impossible {
            self.version = SquadVersion::V2;
        }
        self.questions.push(Question { id, question, context, answers, is_impossible });
        Ok(())
    }

    /// A table with a question a row; every cell is a string.
    fn read_rows(&mut self, text: &str, format: Format, faults: &mut Faults) -> Result<(), Error> {
        let usual = if format == Format::Tsv { '\t' } else { ',' };
        let dialect = |delimiter: char| Dialect { delimiter, quotes: !(format == Format::Tsv && delimiter == '\t') };
        let finds = |dialect: Dialect| {
            let Some(Ok(first)) = Rows::new(text, dialect).next() else { return false };
            let cells: Vec<&str> = first.cells.iter().map(|cell| cell.trim()).collect();
            self.options.find(|spec| columns::find_question_fields(&cells, spec)).is_ok()
        };
        let chosen = dialect(self.options.delimiter.unwrap_or(usual));
        let others = [';', ',', '\t', '|'].map(dialect);
        let dialect = match self.options.delimiter {
            None if !finds(chosen) => others.into_iter().find(|other| finds(*other)).unwrap_or(chosen),
            _ => chosen,
        };
        let mut rows = Rows::new(text, dialect);
        let Some(first) = rows.next() else { return Ok(()) };
        let first = first.map_err(|(line, message)| problem(self.path, Some(line), &message))?;
        let names: Vec<&str> = first.cells.iter().map(|cell| cell.trim()).collect();
        for row in rows {
            let row = row.map_err(|(line, message)| problem(self.path, Some(line), &message));
            let Some(row) = faults.take(row)? else { continue };
            if row.cells.len() != names.len() {
                let found = columns::counted(row.cells.len());
                let message = format!("{found}, where the first row has {}", names.len());
                faults.add(problem(self.path, Some(row.line), &message))?;
                continue;
            }
            // Cells become strings of JSON; an empty one is a field that says nothing.
            let cell = |cell: &str| if cell.is_empty() { "null".to_string() } else { Value::from(cell).to_string() };
            let object: Vec<String> = names
                .iter()
                .zip(&row.cells)
                .map(|(name, own)| format!("{}:{}", Value::from(*name), cell(own)))
                .collect();
            let object = format!("{{{}}}", object.join(","));
            let record =
                Record::parse(&object, row.line).map_err(|message| problem(self.path, Some(row.line), &message));
            let result = record.and_then(|record| self.read_record(&record));
            faults.take(result)?;
        }
        Ok(())
    }

    fn object<'t>(&self, value: &'t RawValue, path: String, lines: &mut LineOf<'t>) -> Result<Placed<'t>, Error> {
        let line = lines.of(value.get());
        let wrong = |message: String| {
            let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
            problem(self.path, Some(line), &format!("{place}{message}"))
        };
        if !value.get().starts_with('{') {
            return Err(wrong(format!("{}; expected an object", kind(value.get()))));
        }
        let record = Record::parse(value.get(), line).map_err(wrong)?;
        Ok(Placed { record, path })
    }

    fn list<'t>(&self, object: &Placed<'t>, name: &str) -> Result<&'t RawValue, Error> {
        let wrong = |message: &str| {
            let message = format!("{}: {message}", join(&object.path, name));
            problem(self.path, Some(object.record.line), &message)
        };
        match object.record.any_field(name) {
            None => Err(wrong("missing; expected a list")),
            Some(list) if list.get().starts_with('[') => Ok(list),
            Some(other) => Err(wrong(&format!("{}; expected a list", kind(other.get())))),
        }
    }

    fn string(&self, object: &Placed, name: &str) -> Result<String, Error> {
        let wrong = |message: &str| {
            let message = format!("{}: {message}", join(&object.path, name));
            problem(self.path, Some(object.record.line), &message)
        };
        let value = object.record.any_field(name).ok_or_else(|| wrong("missing; expected a string"))?;
        let string = serde_json::from_str(value.get());
        string.map_err(|_| wrong(&format!("{}; expected a string", kind(value.get()))))
    }

    fn value(&self, record: &Record, value: &RawValue, name: &str) -> Result<Value, Error> {
        self.budget.check_value(value.get().len(), self.path, record.line)?;
        serde_json::from_str(value.get())
            .map_err(|error| problem(self.path, Some(record.line), &format!("field `{name}`: {error}")))
    }
}

/// Answers, and how they were found.
#[derive(Default)]
struct Found {
    answers: Vec<Answer>,
    /// True if it is said that there is none.
    says_none: bool,
    searched: usize,
    ambiguous: usize,
}

/// The answers in a value: a text, a list of texts or of objects, or an object of lists. `start` is the place of a
/// single text.
fn answers_of(answers: &Value, start: Option<&Value>, context: &str, path: &str) -> Result<Found, String> {
    let mut found = Found::default();
    let mut add = |text: &Value, start: Option<&Value>, path: &str, field: &str| {
        let text_path = if field.is_empty() { path.to_string() } else { join(path, field) };
        let Value::String(text) = text else {
            return Err(format!("{text_path}: {}; expected a string", kind_of(text)));
        };
        let start = start.map(|start| start_of(start, &join(path, "answer_start"))).transpose()?.flatten();
        if text.is_empty() && start.is_none() {
            found.says_none = true;
            return Ok(());
        }
        let start = match start {
            Some(start) => start,
            None => {
                found.searched += 1;
                let Some(at) = context.find(text.as_str()) else {
                    return Err(format!(
                        "{text_path}: `{}` is not in the context, and its place is not given",
                        cut(text)
                    ));
                };
                found.ambiguous += usize::from(context[at + text.len()..].contains(text.as_str()));
                context[..at].chars().count()
            }
        };
        let length = context.chars().count();
        if start >= length {
            return Err(format!(
                "{}: {start}, but the context ends after {length} characters; offsets count Unicode characters, not \
                 bytes",
                join(path, "answer_start")
            ));
        }
        found.answers.push(Answer { text: text.clone(), start });
        Ok(())
    };
    match answers {
        Value::Null => {}
        Value::String(text) if text.trim().is_empty() && start.is_none_or(Value::is_null) => found.says_none = true,
        Value::String(_) => add(answers, start, path, "")?,
        Value::Array(items) => {
            let starts = start.and_then(Value::as_array);
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                match item {
                    Value::Object(fields) => {
                        let text =
                            fields.get("text").ok_or_else(|| format!("{path}.text: missing; expected a string"))?;
                        add(text, fields.get("answer_start"), &path, "text")?;
                    }
                    other => add(other, starts.and_then(|starts| starts.get(index)), &path, "")?,
                }
            }
        }
        Value::Object(fields) => {
            let list = |name: &str| match fields.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Array(items)) => Ok(Some(items.as_slice())),
                Some(single) => Ok::<_, String>(Some(std::slice::from_ref(single))),
            };
            let texts = list("text")?.ok_or_else(|| format!("{path}.text: missing; expected a list"))?;
            let starts = list("answer_start")?;
            if let Some(starts) = starts.filter(|starts| starts.len() != texts.len()) {
                return Err(format!("{path}: {} texts and {} places", texts.len(), starts.len()));
            }
            for (index, text) in texts.iter().enumerate() {
                add(text, starts.map(|starts| &starts[index]), path, "text")?;
            }
            found.says_none |= texts.is_empty();
        }
        other => return Err(format!("{path}: {}; expected a list", kind_of(other))),
    }
    Ok(found)
}

/// The place of an answer; nothing for one that is not known, which is -1 or null.
fn start_of(start: &Value, path: &str) -> Result<Option<usize>, String> {
    let number = match start {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().parse::<i64>().ok(),
        Value::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().filter(|value| value.fract() == 0.0).map(|value| value as i64))
        }
        _ => None,
    };
    match number {
        Some(-1) => Ok(None),
        Some(number) if number >= 0 => Ok(Some(number as usize)),
        _ => Err(format!("{path}: {start}; expected a number of characters, 0 or more")),
    }
}

fn flag_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => crate::data::labels::flag(text),
        Value::Number(_) => crate::data::labels::flag(&value.to_string()),
        _ => None,
    }
}

/// A string or a whole number.
fn id_of(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()) {
        Ok(Value::String(id)) => Some(id),
        Ok(Value::Number(id)) if id.is_i64() || id.is_u64() => Some(id.to_string()),
        _ => None,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// The kind of a value, for messages: contexts are too long to be shown.
fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "true or false",
        Some(b'"') => "a string",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        _ => "a number",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn cut(text: &str) -> String {
    const SHOWN: usize = 60;
    text.char_indices().nth(SHOWN).map_or_else(|| text.to_string(), |(end, _)| format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests;
