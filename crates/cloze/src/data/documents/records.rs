//! JSON lines: a record a line, of which one field is the text.

use std::fmt;
use std::path::Path;

use rayon::prelude::*;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::DocumentOptions;
use super::inputs::Compression;
use super::lines::LineBlocks;
use crate::data::records::Name;
use crate::error::Error;

/// Lines whose texts, or errors, are in memory together before the first of them is looked at.
const LINES_AT_ONCE: usize = 1 << 13;

/// The texts of a file of JSON lines.
pub(super) struct JsonRecords<'a> {
    path: &'a Path,
    text_field: String,
    lines: LineBlocks<'a>,
}

impl<'a> JsonRecords<'a> {
    pub(super) fn open(
        path: &'a Path,
        compression: Compression,
        options: &DocumentOptions,
    ) -> Result<JsonRecords<'a>, Error> {
        let lines = LineBlocks::open(path, compression, options.line_limit)?;
        Ok(JsonRecords { path, text_field: options.text_field.clone(), lines })
    }

    /// The texts of the next records with their lines, and the bytes that are done after them; `None` at the end of
    /// the file. Blank lines are skipped; a text of `null` is empty.
    #[allow(clippy::type_complexity)]
    pub(super) fn next_block(&mut self) -> Result<Option<(Vec<(usize, String)>, u64)>, Error> {
        let Some((text, first_line, bytes_done)) = self.lines.next_block()? else { return Ok(None) };
        let lines = (first_line..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let lines: Vec<(usize, &str)> = lines.collect();
        let mut texts = Vec::new();
        // In parts, as an error of each line would take far more memory than the lines.
        for part in lines.chunks(LINES_AT_ONCE) {
            let found: Vec<Result<(usize, String), Error>> = part
                .par_iter()
                .map(|&(number, line)| match text_of(line, &self.text_field) {
                    Ok(text) => Ok((number, text)),
                    Err(message) => Err(Error::Data { path: self.path.to_path_buf(), line: Some(number), message }),
                })
                .collect();
            // In order, so that the first error is told whatever threads did.
            for text in found {
                texts.push(text?);
            }
        }
        Ok(Some((texts, bytes_done)))
    }
}

/// The text of a record; nothing of the other fields is kept in memory.
fn text_of(line: &str, field: &str) -> Result<String, String> {
    let mut strings = Vec::new();
    let mut json = serde_json::Deserializer::from_str(line);
    let found = Object { field, strings: Some(&mut strings) }.deserialize(&mut json);
    let found = found.and_then(|found| json.end().map(|()| found)).map_err(|error| {
        // Its own place is within the line.
        let told = error.to_string();
        let told = told.split(" at line ").next().unwrap_or_default();
        format!("column {}: not a JSON object on one line ({told}); repair or remove the line", error.column())
    })?;
    match found {
        Some(Found::String(text)) => Ok(text),
        Some(Found::Null) => Ok(String::new()),
        Some(Found::Other) => Err(format!("the field `{field}` is no string; choose another with --text-field")),
        None => {
            let there = if strings.is_empty() { "none".to_string() } else { strings.join(", ") };
            Err(format!("no field `{field}`; fields that hold strings are: {there}; choose with --text-field"))
        }
    }
}

/// Value of the field that holds the text.
enum Found {
    String(String),
    Null,
    Other,
}

/// The field of this name in an object, that of an object within being `outer.inner`.
struct Object<'f> {
    field: &'f str,
    /// Names of the other fields that hold strings, as a message has them; none where they are not asked for.
    strings: Option<&'f mut Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Option<Found>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Option<Found>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        const NAMED_MAX: usize = 20;
        let (mut own, mut within) = (None, None);
        let parts = self.field.split_once('.');
        while let Some(name) = map.next_key_seed(Name)? {
            if name == self.field {
                own = Some(map.next_value_seed(Value)?);
                continue;
            }
            let value: &RawValue = map.next_value()?;
            if let Some((_, inner)) = parts.filter(|(outer, _)| name == *outer) {
                within = if value.get().starts_with('{') {
                    let object = Object { field: inner, strings: None };
                    let found = object.deserialize(&mut serde_json::Deserializer::from_str(value.get()));
                    found.map_err(A::Error::custom)?
                } else {
                    None
                };
            }
            if let Some(strings) = &mut self.strings
                && value.get().starts_with('"')
                && strings.len() < NAMED_MAX
            {
                strings.push(format!("`{name}`"));
            }
        }
        Ok(own.or(within))
    }
}

/// A value of which only a string is kept.
struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?.get();
        match value.as_bytes()[0] {
            b'"' => serde_json::from_str(value).map(Found::String).map_err(D::Error::custom),
            b'n' => Ok(Found::Null),
            _ => Ok(Found::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_of_a_record() {
        assert_eq!(text_of(r#"{"id": 3, "text": "a\n\n\u00e9"}"#, "text").unwrap(), "a\n\né");
        assert_eq!(text_of(r#"{"text": null}"#, "text").unwrap(), "");
        assert_eq!(text_of(r#"{"a": {"b.c": "x"}, "a.d": "y"}"#, "a.b.c").unwrap(), "x");
        assert_eq!(text_of(r#"{"a": {"d": "x"}, "a.d": "y"}"#, "a.d").unwrap(), "y");
        for (line, message) in [
            (
                r#"{"title": "x", "n": 1, "body": "y"}"#,
                "no field `text`; fields that hold strings are: `title`, `body`",
            ),
            (r#"{"n": 1}"#, "fields that hold strings are: none"),
            (r#"{"text": ["x"]}"#, "the field `text` is no string"),
            (r#"{"text": "x""#, "column 12: not a JSON object on one line (EOF while parsing an object); repair"),
            (r#"["text"]"#, "not a JSON object"),
        ] {
            let error = text_of(line, "text").unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
