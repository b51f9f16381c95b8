//! JSON lines: a record a line, of which one field is the text.

use std::path::Path;

use rayon::prelude::*;
use serde_json::{Map, Value};

use super::DocumentOptions;
use super::inputs::Compression;
use super::lines::LineBlocks;
use crate::error::Error;

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
        let texts: Vec<Result<(usize, String), Error>> = lines
            .par_iter()
            .map(|&(number, line)| match text_of(line, &self.text_field) {
                Ok(text) => Ok((number, text)),
                Err(message) => Err(Error::Data { path: self.path.to_path_buf(), line: Some(number), message }),
            })
            .collect();
        // In order, so that the first error is told whatever threads did.
        let texts = texts.into_iter().collect::<Result<Vec<_>, Error>>()?;
        Ok(Some((texts, bytes_done)))
    }
}

/// The text of a record; `Err` says what is wrong with it.
fn text_of(line: &str, field: &str) -> Result<String, String> {
    let mut record: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
        // Its own place is within the line.
        let told = error.to_string();
        let told = told.split(" at line ").next().unwrap_or_default();
        format!("column {}: not a JSON object on one line ({told}); repair or remove the line", error.column())
    })?;
    match find(&mut record, field).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) => Ok(String::new()),
        Some(_) => Err(format!("the field `{field}` is no string; choose another with --text-field")),
        None => {
            let strings = record.iter().filter(|(_, value)| value.is_string());
            let names: Vec<String> = strings.take(20).map(|(name, _)| format!("`{name}`")).collect();
            let there = if names.is_empty() { "none".to_string() } else { names.join(", ") };
            Err(format!("no field `{field}`; fields that hold strings are: {there}; choose with --text-field"))
        }
    }
}

/// The field of this name, that of an object within the record being `outer.inner`.
fn find<'a>(record: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Value> {
    if record.contains_key(field) {
        return record.get_mut(field);
    }
    let (outer, inner) = field.split_once('.')?;
    find(record.get_mut(outer)?.as_object_mut()?, inner)
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
