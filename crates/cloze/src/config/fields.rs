//! Reading JSON objects from outside, field by field, with errors that name file and field.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use cloze_tokenizer::small_file::{self, ReadError};
use serde_json::{Map, Value};

use crate::error::{Error, at};

/// No settings file is larger; indices of shards and lists of labels come nearest.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The object of a JSON file. What is taken out is known; what is left at the end is not.
#[derive(Debug)]
pub(crate) struct Fields {
    path: PathBuf,
    map: Map<String, Value>,
}

/// A JSON file of any form.
pub(crate) fn read_json(path: &Path) -> Result<Value, Error> {
    let bytes = small_file::read_regular(path, FILE_BYTES_MAX).map_err(|error| not_read(path, error))?;
    parse_json(path, &bytes)
}

/// The bytes of a JSON file, or `None` if there is none of this name.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    small_file::read_if_there(path, FILE_BYTES_MAX).map_err(|error| not_read(path, error))
}

/// The value of a JSON file, in whose objects no name comes twice.
pub(crate) fn parse_json(path: &Path, bytes: &[u8]) -> Result<Value, Error> {
    small_file::parse_json(bytes).map_err(|error| Error::Data {
        path: path.to_path_buf(),
        line: Some(error.line()).filter(|&line| line > 0),
        message: format!("not readable as JSON: {error}"),
    })
}

fn not_read(path: &Path, error: ReadError) -> Error {
    match error {
        ReadError::Io(error) => at("read", path)(error),
        other => Error::Data { path: path.to_path_buf(), line: None, message: other.to_string() },
    }
}

/// A value as it stands in the file, cut to what fits a message.
pub(crate) fn short(value: &Value) -> String {
    const LENGTH_MAX: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LENGTH_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Fields {
    pub(crate) fn read(path: &Path) -> Result<Fields, Error> {
        match read_json(path)? {
            Value::Object(map) => Ok(Fields { path: path.to_path_buf(), map }),
            found => Err(Error::Data {
                path: path.to_path_buf(),
                line: None,
                message: format!("expected a JSON object, found {}", short(&found)),
            }),
        }
    }

    pub(crate) fn error(&self, field: &str, message: String) -> Error {
        Error::Config { path: self.path.clone(), field: field.to_string(), message }
    }

    fn unexpected(&self, field: &str, expected: &str, found: &Value) -> Error {
        self.error(field, format!("expected {expected}, found {}", short(found)))
    }

    /// A field's value; null counts as absent, as in Python's readers.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// The same, and the field is known from now on.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.map.shift_remove(field).filter(|value| !value.is_null())
    }

    /// All fields that were not taken, but `dropped`.
    pub(crate) fn rest(mut self, dropped: &[&str]) -> Map<String, Value> {
        self.map.retain(|field, _| !dropped.contains(&field.as_str()));
        self.map
    }

    pub(crate) fn optional_size(&mut self, field: &str, min: usize, max: usize) -> Result<Option<usize>, Error> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| (min..=max).contains(size)) {
            Some(size) => Ok(Some(size)),
            None => Err(self.unexpected(field, &format!("a whole number from {min} to {max}"), &value)),
        }
    }

    pub(crate) fn size(&mut self, field: &str, min: usize, max: usize) -> Result<usize, Error> {
        self.optional_size(field, min, max)?
            .ok_or_else(|| self.error(field, format!("missing; expected a whole number from {min} to {max}")))
    }

    pub(crate) fn number(&mut self, field: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, Error> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match value.as_f64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let expected = format!("a number from {:?} to {:?}", range.start(), range.end());
                Err(self.unexpected(field, &expected, &value))
            }
        }
    }

    /// A share in `[0, 1)`.
    pub(crate) fn probability(&mut self, field: &str) -> Result<Option<f32>, Error> {
        let Some(value) = self.take(field) else { return Ok(None) };
        // Tested after rounding: a share just below 1 must not become 1.
        match value.as_f64().map(|number| number as f32).filter(|share| (0.0..1.0).contains(share)) {
            Some(share) => Ok(Some(share)),
            None => Err(self.unexpected(field, "a share from 0 to below 1", &value)),
        }
    }

    pub(crate) fn boolean(&mut self, field: &str) -> Result<Option<bool>, Error> {
        let Some(value) = self.take(field) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.unexpected(field, "true or false", &value))
    }

    pub(crate) fn choice<T: Copy>(&mut self, field: &str, names: &[(&'static str, T)]) -> Result<Option<T>, Error> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match names.iter().find(|(name, _)| value.as_str() == Some(name)) {
            Some(&(_, choice)) => Ok(Some(choice)),
            None => {
                let names: Vec<_> = names.iter().map(|(name, _)| format!("\"{name}\"")).collect();
                Err(self.unexpected(field, &format!("one of {}", names.join(", ")), &value))
            }
        }
    }

    pub(crate) fn strings(&mut self, field: &str) -> Result<Option<Vec<String>>, Error> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let strings = value.as_array().and_then(|values| {
            values.iter().map(|value| value.as_str().map(str::to_string)).collect::<Option<Vec<String>>>()
        });
        strings.map(Some).ok_or_else(|| self.unexpected(field, "a list of strings", &value))
    }

    pub(crate) fn object(&mut self, field: &str) -> Result<Option<Map<String, Value>>, Error> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(found) => Err(self.unexpected(field, "an object", &found)),
        }
    }
}
