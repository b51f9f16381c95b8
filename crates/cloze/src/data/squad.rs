//! Questions on texts: files in the format of SQuAD 1.1 and 2.0, and JSON lines of questions without answers.

use std::collections::HashSet;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::data::encoding::utf8;
use crate::error::{Error, at};

/// A question on a text, and its answers where they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Names the question; no other one of the file has it.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// The text that is asked about. Questions on the same text share it.
    pub context: Arc<str>,
    /// What annotators answered; none if the text has no answer, or nobody knows it.
    pub answers: Vec<Answer>,
    /// Whether the file says that the text does not answer the question (SQuAD 2.0).
    pub is_impossible: bool,
}

/// An answer as it was annotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// A part of the context, or so the file says.
    pub text: String,
    /// Where the text begins in the context, in Unicode scalar values.
    pub start: usize,
}

/// Which SQuAD a file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SquadVersion {
    /// Every question has an answer in its text.
    V1,
    /// Some questions have none.
    V2,
}

/// The questions of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squad {
    /// 2.0 if the file calls itself so, or any of its questions says whether it is impossible.
    pub version: SquadVersion,
    /// In the order of the file.
    pub questions: Vec<Question>,
}

/// An answer that its context does not have where the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misaligned {
    /// The question's id.
    pub id: String,
    /// The answer's text.
    pub expected: String,
    /// As many characters of the context, from the answer's offset.
    pub found: String,
}

/// The questions of a SQuAD file; see [`read_questions_from`].
pub fn read_questions(path: &Path) -> Result<Squad, Error> {
    read_questions_from(std::fs::File::open(path).map_err(at("read", path))?, path)
}

/// The questions in the SQuAD format that `reader` gives; `name` stands for it in messages.
///
/// A byte-order mark is skipped. A question without `answers` is one that nobody has answered yet.
///
/// # Errors
///
/// What cannot be read, or is not UTF-8 or JSON, with line and column. With the path within the JSON, such as
/// `data[3].paragraphs[0].qas[2].id`: a field that is missing or of another type; an id that occurs twice; an answer
/// that begins behind the end of its context. No question at all.
pub fn read_questions_from(reader: impl Read, name: &Path) -> Result<Squad, Error> {
    let text = read_text(reader, name)?;
    let json: Value = serde_json::from_str(&text).map_err(|error| {
        problem(name, Some(error.line()), format!("not JSON: {error}; expected a file in the format of SQuAD"))
    })?;
    drop(text);
    let squad = squad_of(&json).map_err(|message| problem(name, None, message))?;
    if squad.questions.is_empty() {
        return Err(problem(name, None, "there are no questions in it".to_string()));
    }
    Ok(squad)
}

/// Questions to be answered, from JSON lines with `question`, `context`, and `id` if they have one; without it, a
/// question's id is the number of its line, from 1. A byte-order mark and empty lines are skipped.
///
/// # Errors
///
/// With the line: what is no JSON object; a field that is missing or no string; an id that occurs twice. No question
/// at all.
pub fn read_question_lines_from(reader: impl Read, name: &Path) -> Result<Vec<Question>, Error> {
    let text = read_text(reader, name)?;
    let mut ids = HashSet::new();
    let mut questions: Vec<Question> = Vec::new();
    for (json, line) in text.lines().zip(1..).filter(|(json, _)| !json.trim().is_empty()) {
        let at_line = |message: String| problem(name, Some(line), message);
        let fields: Map<String, Value> =
            serde_json::from_str(json).map_err(|error| at_line(format!("not a JSON object: {error}")))?;
        let id = match fields.get("id").filter(|id| !id.is_null()) {
            Some(_) => id_of(&fields, "", &mut ids).map_err(at_line)?,
            None => unique_id(line.to_string(), "id", &mut ids).map_err(at_line)?,
        };
        let context = string(&fields, "", "context").map_err(at_line)?;
        let last = questions.last().map(|last| &last.context).filter(|last| ***last == *context);
        questions.push(Question {
            id,
            question: string(&fields, "", "question").map_err(at_line)?.to_string(),
            context: last.cloned().unwrap_or_else(|| context.into()),
            answers: Vec::new(),
            is_impossible: false,
        });
    }
    if questions.is_empty() {
        return Err(problem(name, None, "there are no questions in it".to_string()));
    }
    Ok(questions)
}

/// The characters of the context that are the first answer, the one to train on; `None` if there is none, if the
/// question is impossible, or if the context does not have it there, which [`misaligned`] tells.
///
/// An answer that is not exactly at its offset is still found as Google's `run_squad.py` finds it: within the words
/// of the context, divided by whitespace, that the offset and the answer's length reach into, and whatever the
/// whitespace is.
pub fn aligned_span(question: &Question) -> Option<Range<usize>> {
    let answer = question.answers.first().filter(|_| !question.is_impossible)?;
    find_answer(&question.context, answer)
}

/// The answers that are not in their context where the file says, with the tolerance of [`aligned_span`].
pub fn misaligned(questions: &[Question]) -> Vec<Misaligned> {
    let of_question = |question: &Question| -> Vec<Misaligned> {
        let answers = question.answers.iter().filter(|answer| find_answer(&question.context, answer).is_none());
        let listed = answers.map(|answer| Misaligned {
            id: question.id.clone(),
            expected: answer.text.clone(),
            found: question.context.chars().skip(answer.start).take(answer.text.chars().count()).collect(),
        });
        listed.collect()
    };
    questions.iter().flat_map(of_question).collect()
}

fn find_answer(context: &str, answer: &Answer) -> Option<Range<usize>> {
    let length = answer.text.chars().count();
    if length == 0 {
        return None;
    }
    let context: Vec<char> = context.chars().collect();
    let end = answer.start + length;
    if context.len() >= end && context[answer.start..end].iter().copied().eq(answer.text.chars()) {
        return Some(answer.start..end);
    }
    find_nearby(&context, answer.start..end, &answer.text)
}

/// Where `answer` is within the words that `range` reaches into.
fn find_nearby(context: &[char], range: Range<usize>, answer: &str) -> Option<Range<usize>> {
    if range.end > context.len() {
        return None;
    }
    // A position in whitespace belongs to the word before it.
    let first_word = (0..=range.start).rev().find(|&at| !is_space(context[at])).unwrap_or(range.start);
    let start = (0..first_word).rev().find(|&at| is_space(context[at])).map_or(0, |space| space + 1);
    let end = (range.end - 1..context.len()).find(|&at| is_space(context[at])).unwrap_or(context.len());
    // The words with one space between them, and which character of the context each of theirs is.
    let mut words: Vec<(char, usize)> = Vec::new();
    for (&c, at) in context[start..end].iter().zip(start..) {
        if !is_space(c) {
            words.push((c, at));
        } else if words.last().is_some_and(|&(last, _)| last != ' ') {
            words.push((' ', at));
        }
    }
    let answer: Vec<char> = answer.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    if answer.is_empty() {
        return None;
    }
    let is_answer = |words: &[(char, usize)]| words.iter().map(|&(c, _)| c).eq(answer.iter().copied());
    let found = words.windows(answer.len()).find(|words| is_answer(words))?;
    Some(found[0].1..found[found.len() - 1].1 + 1)
}

/// What divides words in `run_squad.py`: less than all that Unicode calls whitespace.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{202F}')
}

fn read_text(mut reader: impl Read, name: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(at("read", name))?;
    let text = utf8(&bytes, name, 0)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_string())
}

fn squad_of(json: &Value) -> Result<Squad, String> {
    let Value::Object(file) = json else {
        return Err(format!("{}; expected an object with `data`, as in SQuAD", kind(json)));
    };
    let mut version = match file.get("version").and_then(Value::as_str) {
        Some(version) if version.trim_start_matches('v').starts_with('2') => SquadVersion::V2,
        _ => SquadVersion::V1,
    };
    let mut ids = HashSet::new();
    let mut questions = Vec::new();
    for (article, path) in objects(file, "", "data")? {
        for (paragraph, path) in objects(article, &path, "paragraphs")? {
            let context: Arc<str> = string(paragraph, &path, "context")?.into();
            let length = context.chars().count();
            for (fields, path) in objects(paragraph, &path, "qas")? {
                let is_impossible = match fields.get("is_impossible") {
                    None => false,
                    Some(Value::Bool(is_impossible)) => {
                        version = SquadVersion::V2;
                        *is_impossible
                    }
                    Some(other) => {
                        return Err(format!("{path}.is_impossible: {}; expected true or false", kind(other)));
                    }
                };
                questions.push(Question {
                    id: id_of(fields, &path, &mut ids)?,
                    question: string(fields, &path, "question")?.to_string(),
                    context: context.clone(),
                    answers: answers_of(fields, &path, length)?,
                    is_impossible,
                });
            }
        }
    }
    Ok(Squad { version, questions })
}

/// The answers of a question on a context of `length` characters.
fn answers_of(question: &Map<String, Value>, path: &str, length: usize) -> Result<Vec<Answer>, String> {
    if !question.contains_key("answers") {
        return Ok(Vec::new());
    }
    let answer_of = |(answer, path): Placed| {
        let path = &path;
        let start = field(answer, path, "answer_start", "a number of characters")?;
        let start = start.as_u64().ok_or_else(|| {
            format!("{}: {start}; expected a number of characters, 0 or more", join(path, "answer_start"))
        })?;
        if start >= length as u64 {
            return Err(format!(
                "{}: {start}, but the context ends after {length} characters; offsets count Unicode characters, \
                 not bytes",
                join(path, "answer_start")
            ));
        }
        Ok(Answer { text: string(answer, path, "text")?.to_string(), start: start as usize })
    };
    objects(question, path, "answers")?.into_iter().map(answer_of).collect()
}

/// The fields of an object of the file, and its path.
type Placed<'a> = (&'a Map<String, Value>, String);

/// The objects in the list `name` of the object at `path`.
fn objects<'a>(object: &'a Map<String, Value>, path: &str, name: &str) -> Result<Vec<Placed<'a>>, String> {
    let list = field(object, path, name, "a list")?;
    let Value::Array(items) = list else {
        return Err(format!("{}: {}; expected a list", join(path, name), kind(list)));
    };
    let item_of = |(item, index): (&'a Value, usize)| {
        let path = format!("{}[{index}]", join(path, name));
        match item {
            Value::Object(item) => Ok((item, path)),
            other => Err(format!("{path}: {}; expected an object", kind(other))),
        }
    };
    items.iter().zip(0..).map(item_of).collect()
}

fn string<'a>(object: &'a Map<String, Value>, path: &str, name: &str) -> Result<&'a str, String> {
    let value = field(object, path, name, "a string")?;
    value.as_str().ok_or_else(|| format!("{}: {}; expected a string", join(path, name), kind(value)))
}

fn id_of(object: &Map<String, Value>, path: &str, ids: &mut HashSet<String>) -> Result<String, String> {
    unique_id(string(object, path, "id")?.to_string(), &join(path, "id"), ids)
}

fn unique_id(id: String, path: &str, ids: &mut HashSet<String>) -> Result<String, String> {
    if ids.insert(id.clone()) { Ok(id) } else { Err(format!("{path}: `{id}` is another question's id, too")) }
}

fn field<'a>(object: &'a Map<String, Value>, path: &str, name: &str, expected: &str) -> Result<&'a Value, String> {
    object.get(name).ok_or_else(|| format!("{}: missing; expected {expected}", join(path, name)))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// What a value is, for messages: contexts are too long to be shown.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn problem(path: &Path, line: Option<usize>, message: String) -> Error {
    Error::Data { path: path.to_path_buf(), line, message }
}

#[cfg(test)]
mod tests;
