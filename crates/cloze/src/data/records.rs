//! Records with named fields: JSON lines, lists of JSON objects, and rows of Parquet files.
//!
//! Records are handed over one by one, and their fields are taken apart only when they are asked for, so that a file
//! of whatever content takes little more memory than its text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::data::label_studio;
use crate::data::options::{Budget, Faults, Format, problem, text_of};
use crate::data::parquet;
use crate::error::Error;

/// An object whose values are not yet read.
pub(crate) struct Record<'a> {
    /// The line at which it begins, or its row in a Parquet file; from 1.
    pub(crate) line: usize,
    pub(crate) fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Record<'a> {
    /// Reads an object. The error is a message without the line.
    pub(crate) fn parse(json: &'a str, line: usize) -> Result<Record<'a>, String> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let fields = match json.trim_start().starts_with("[\"") {
            true => spacy_pair(json),
            false => {
                let fields = Fields.deserialize(&mut deserializer);
                fields.and_then(|fields| deserializer.end().map(|()| fields))
            }
        };
        let fields = fields.map_err(|error| format!("not a JSON object: {error}"))?;
        let mut names = HashSet::new();
        match fields.iter().find(|(name, _)| !names.insert(name.as_ref())) {
            Some((name, _)) => Err(format!("the field `{name}` occurs twice; keep one of them")),
            None => Ok(Record { line, fields }),
        }
    }

    /// An item of Label Studio's export as a flat record, written anew; nothing if it is none. The error is a message
    /// without the line.
    fn flattened(&self, json: &str) -> Result<Option<String>, String> {
        const BYTES_MAX: usize = 4 << 20;
        let begins = |name: &str, with: char| self.field(name).is_some_and(|value| value.get().starts_with(with));
        if !begins("data", '{') || !(begins("annotations", '[') || begins("completions", '[')) {
            return Ok(None);
        }
        if json.len() > BYTES_MAX {
            return Err(format!(
                "an item of {} bytes; up to {BYTES_MAX} are read of Label Studio's export",
                json.len()
            ));
        }
        let item = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(label_studio::flatten(&item)?.map(|flat| flat.to_string()))
    }

    /// The place of a field that is there and not null.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|(own, value)| own == name && !is_null(value))
    }

    /// A field, null or not.
    pub(crate) fn any_field(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    /// A field that is there and not null.
    pub(crate) fn field(&self, name: &str) -> Option<&'a RawValue> {
        self.any_field(name).filter(|value| !is_null(value))
    }

    /// The names of the fields that are not null, and their places.
    pub(crate) fn names(&self) -> (Vec<&str>, Vec<usize>) {
        let there = self.fields.iter().enumerate().filter(|(_, (_, value))| !is_null(value));
        there.map(|(place, (name, _))| (name.as_ref(), place)).unzip()
    }

    /// A field that holds a string.
    pub(crate) fn string(&self, place: usize) -> Result<String, String> {
        let (name, value) = &self.fields[place];
        serde_json::from_str(value.get()).map_err(|_| format!("field `{name}` is no string"))
    }

    /// A field, whatever it holds.
    pub(crate) fn value(&self, place: usize, budget: &Budget, path: &Path) -> Result<Value, Error> {
        let (name, value) = &self.fields[place];
        budget.check_value(value.get().len(), path, self.line)?;
        serde_json::from_str(value.get())
            .map_err(|error| problem(path, Some(self.line), &format!("field `{name}`: {error}")))
    }
}

/// A text and its annotations, in spaCy's old format: `["text", {"entities": [...]}]`.
fn spacy_pair(json: &str) -> serde_json::Result<Vec<(Cow<'_, str>, &RawValue)>> {
    let (text, annotations): (&RawValue, &RawValue) = serde_json::from_str(json)?;
    let mut fields = Fields.deserialize(&mut serde_json::Deserializer::from_str(annotations.get()))?;
    fields.push((Cow::Borrowed("text"), text));
    Ok(fields)
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// The fields of an object in their order, unread.
struct Fields;

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        const FIELDS_MAX: usize = 10_000;
        let mut fields = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            if fields.len() == FIELDS_MAX {
                return Err(serde::de::Error::custom(format!("more than {FIELDS_MAX} fields")));
            }
            fields.push((name, map.next_value()?));
        }
        Ok(fields)
    }
}

/// A name, borrowed where it holds no escape.
pub(crate) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_string()))
    }
}

/// Hands over the items of a list, unread.
struct Items<F>(F);

impl<'de, F: FnMut(&'de RawValue) -> Result<(), Error>> DeserializeSeed<'de> for Items<F> {
    type Value = Result<(), Error>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&'de RawValue) -> Result<(), Error>> Visitor<'de> for Items<F> {
    type Value = Result<(), Error>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut result = Ok(());
        while let Some(item) = list.next_element()? {
            // After an error the rest is only passed over, so that the list is known to be whole.
            if result.is_ok() {
                result = (self.0)(item);
            }
        }
        Ok(result)
    }
}

/// Hands over the items of a list that is written in `json`; nothing if it is no list.
///
/// # Errors
/// Text that is no JSON, with the line, and every error of `each`.
pub(crate) fn for_each_item<'a>(
    json: &'a str,
    lines: &mut LineOf<'a>,
    path: &Path,
    each: impl FnMut(&'a RawValue) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let result = Items(each).deserialize(&mut deserializer);
    match result {
        Ok(result) => result?,
        Err(error) => return Err(not_json(path, lines.of(json) + error.line() - 1, &error)),
    }
    deserializer.end().map_err(|error| not_json(path, lines.of(json) + error.line() - 1, &error))
}

pub(crate) fn not_json(path: &Path, line: usize, error: &serde_json::Error) -> Error {
    // The error tells line and column of its part of the file only.
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    problem(path, Some(line), &format!("not JSON: {text} in column {}", error.column()))
}

/// Adds the names of unread fields to those of the records before.
pub(crate) fn note_unread(unread: &mut Vec<String>, names: &[&str], is_read: impl Fn(usize) -> bool) {
    const NAMED: usize = 1_000;
    for (at, name) in names.iter().enumerate() {
        if !is_read(at) && unread.len() < NAMED && !unread.iter().any(|own| own == name) {
            unread.push(name.to_string());
        }
    }
}

/// The lines of parts of a text, which are asked for in their order.
#[derive(Clone)]
pub(crate) struct LineOf<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> LineOf<'a> {
    pub(crate) fn new(text: &'a str) -> LineOf<'a> {
        LineOf { text, at: 0, line: 1 }
    }

    /// The line, from 1, at which a part of the text begins.
    pub(crate) fn of(&mut self, part: &str) -> usize {
        let at = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len());
        if at < self.at {
            (self.at, self.line) = (0, 1);
        }
        self.line += self.text.as_bytes()[self.at..at].iter().filter(|&&byte| byte == b'\n').count();
        self.at = at;
        self.line
    }
}

/// True if a text of JSON is one value over the whole file instead of an object a line.
pub(crate) fn is_list(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

/// Hands over all records of a file in `format`: JSON lines, a list of objects, such a list in the field `data`,
/// `examples` or `rows` of an object, or Parquet, which is read from `path` instead of `bytes`. Records that are no
/// objects are faults.
///
/// # Errors
/// The first fault, or one too many; what is no JSON or Parquet; what `each` gives back.
pub(crate) fn for_each(
    bytes: &[u8],
    format: Format,
    path: &Path,
    faults: &mut Faults,
    each: &mut dyn FnMut(Record, &mut Faults) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut one = |json: &str, line: usize, faults: &mut Faults| {
        let at_line = |message: String| problem(path, Some(line), &message);
        let Some(record) = faults.take(Record::parse(json, line).map_err(at_line))? else { return Ok(()) };
        let Some(flat) = faults.take(record.flattened(json).map_err(at_line))? else { return Ok(()) };
        match flat {
            None => each(record, faults),
            Some(flat) => match faults.take(Record::parse(&flat, line).map_err(at_line))? {
                Some(record) => each(record, faults),
                None => Ok(()),
            },
        }
    };
    if format == Format::Parquet {
        return parquet::for_each_row(path, &mut |json, row| one(json, row, faults));
    }
    let text = text_of(bytes, path)?;
    // A line of spaCy's pairs begins with a bracket, too.
    if format == Format::Jsonl && (!is_list(text) || text.trim_start().starts_with("[\"")) {
        for (json, line) in text.lines().zip(1..).filter(|(json, _)| !json.trim().is_empty()) {
            one(json, line, faults)?;
        }
        return Ok(());
    }
    let list = list_in(text, path)?;
    let mut lines = LineOf::new(text);
    let mut lines_of_items = LineOf::new(text);
    for_each_item(list, &mut lines, path, |item| one(item.get(), lines_of_items.of(item.get()), faults))
}

/// The list of records in a file of JSON.
fn list_in<'a>(text: &'a str, path: &Path) -> Result<&'a str, Error> {
    const NAMES: &[&str] = &["data", "examples", "rows"];
    if is_list(text) {
        return Ok(text);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = Fields.deserialize(&mut deserializer).and_then(|fields| deserializer.end().map(|()| fields));
    let fields = fields.map_err(|error| not_json(path, error.line(), &error))?;
    let list = fields.iter().find(|(name, value)| NAMES.contains(&name.as_ref()) && value.get().starts_with('['));
    list.map(|(_, value)| value.get()).ok_or_else(|| {
        let names: Vec<String> = fields.iter().take(20).map(|(name, _)| format!("`{name}`")).collect();
        let message = format!(
            "an object with {}; expected a list of objects, alone or in a field `data`, `examples` or `rows`. An \
             object a line is read from .jsonl",
            if names.is_empty() { "no fields".to_string() } else { names.join(", ") }
        );
        problem(path, Some(1), &message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines and the names of all records.
    fn read(text: &str, format: Format) -> Result<Vec<(usize, String)>, String> {
        let mut found = Vec::new();
        for_each(text.as_bytes(), format, Path::new("f"), &mut Faults::end_reading(), &mut |record, _| {
            found.push((record.line, record.names().0.join(" ")));
            Ok(())
        })
        .map_err(|error| error.to_string())?;
        Ok(found)
    }

    #[test]
    fn objects_are_found_in_lines_and_in_lists() {
        let expected = [(1, "a b".to_string()), (3, "a".to_string())];
        let lines = "{\"a\": 1, \"b\": []}\n\n{\"c\": null, \"a\": \"x\\n\"}\n";
        assert_eq!(read(lines, Format::Jsonl).unwrap(), expected);
        let list = "[{\"a\": 1, \"b\": []},\n\n{\"c\": null, \"a\": \"x\\n\"}]\n";
        assert_eq!(read(list, Format::Json).unwrap(), expected);
        assert_eq!(read(list, Format::Jsonl).unwrap(), expected, "a list may be called .jsonl");
        let wrapped = format!("{{\"version\": 1, \"data\": {list}}}");
        assert_eq!(read(&wrapped, Format::Json).unwrap(), expected);
    }

    #[test]
    fn faults_are_named_with_their_line() {
        for (text, format, expected) in [
            ("{}\n[1]", Format::Jsonl, "f:2: not a JSON object: invalid type: sequence, expected an object"),
            ("{\"a\": 1}\n{\"a\":", Format::Jsonl, "f:2: not a JSON object: EOF"),
            ("{\"a\": 1, \"a\": 2}", Format::Jsonl, "f:1: the field `a` occurs twice"),
            ("[{},\n 3]", Format::Json, "f:2: not a JSON object"),
            ("[{},\n {]", Format::Json, "f:2: not JSON: "),
            ("[{}]\n[]", Format::Json, "f:2: not JSON: trailing characters"),
            ("{\"data\":\n [{},\n ,]}", Format::Json, "f:3: not JSON: expected value in column 2"),
            ("{\"a\": 1}\n{\"a\": 1}", Format::Json, "f:2: not JSON: trailing characters"),
            ("{\"rows\": 3}", Format::Json, "f:1: an object with `rows`; expected a list of objects"),
            ("", Format::Json, "f:1: not JSON: EOF"),
        ] {
            let message = read(text, format).unwrap_err();
            assert!(message.starts_with(expected), "{text}: {message}");
        }
    }
}
