//! Reading JSON so that every complaint names file and field.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::Error;
use crate::small_file;

/// A place in a JSON file, which may be empty.
#[derive(Clone)]
pub(super) struct Field<'a> {
    path: &'a Path,
    name: String,
    value: Option<&'a Value>,
}

/// How much of a wrong string an error shows.
const SHOWN_CHARS_MAX: usize = 60;

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Value, Error> {
    small_file::parse_json(bytes).map_err(|source| Error::Json { path: path.to_path_buf(), source })
}

impl<'a> Field<'a> {
    pub fn root(path: &'a Path, value: &'a Value) -> Field<'a> {
        Field { path, name: String::new(), value: Some(value) }
    }

    /// The field `key` of this object.
    pub fn get(&self, key: &str) -> Field<'a> {
        let dot = if self.name.is_empty() { "" } else { "." };
        Field {
            path: self.path,
            name: format!("{}{dot}{key}", self.name),
            value: self.value.and_then(|value| value.get(key)),
        }
    }

    /// The elements of this array.
    pub fn elements(&self) -> Result<impl Iterator<Item = Field<'a>> + use<'a>, Error> {
        let elements = self.value.and_then(Value::as_array);
        let elements = elements.ok_or_else(|| self.error("an array"))?;
        let Field { path, name, .. } = self.clone();
        Ok(elements.iter().enumerate().map(move |(index, value)| Field {
            path,
            name: format!("{name}[{index}]"),
            value: Some(value),
        }))
    }

    /// Value that stands here.
    pub fn value(&self) -> Option<&'a Value> {
        self.value
    }

    /// Whether nothing, or `null`, stands here.
    pub fn is_absent(&self) -> bool {
        matches!(self.value, None | Some(Value::Null))
    }

    pub fn object(&self) -> Result<&'a Map<String, Value>, Error> {
        self.value.and_then(Value::as_object).ok_or_else(|| self.error("an object"))
    }

    pub fn string(&self) -> Result<&'a str, Error> {
        self.value.and_then(Value::as_str).ok_or_else(|| self.error("a string"))
    }

    pub fn boolean(&self) -> Result<bool, Error> {
        self.value.and_then(Value::as_bool).ok_or_else(|| self.error("true or false"))
    }

    /// A boolean, or `None` for an absent field.
    pub fn optional_boolean(&self) -> Result<Option<bool>, Error> {
        if self.is_absent() { Ok(None) } else { self.boolean().map(Some) }
    }

    pub fn integer(&self) -> Result<u64, Error> {
        self.value.and_then(Value::as_u64).ok_or_else(|| self.error("an integer from 0"))
    }

    /// A number that may be larger than any integer type.
    pub fn number(&self) -> Result<f64, Error> {
        self.value.and_then(Value::as_f64).ok_or_else(|| self.error("a number"))
    }

    /// One of some names, or `None` for an absent field.
    pub fn optional_choice<T: Copy>(&self, names: &[(&str, T)]) -> Result<Option<T>, Error> {
        if self.is_absent() {
            return Ok(None);
        }
        let found = self.value.and_then(Value::as_str);
        match names.iter().find(|(name, _)| found == Some(name)) {
            Some(&(_, choice)) => Ok(Some(choice)),
            None => {
                let names: Vec<String> = names.iter().map(|(name, _)| format!("\"{name}\"")).collect();
                Err(self.error(&names.join(" or ")))
            }
        }
    }

    /// An error unless exactly this string stands here.
    pub fn expect_string(&self, expected: &str) -> Result<(), Error> {
        match self.value.and_then(Value::as_str) {
            Some(found) if found == expected => Ok(()),
            _ => Err(self.error(&format!("\"{expected}\""))),
        }
    }

    /// An error unless exactly this value stands here.
    pub fn expect(&self, expected: &Value) -> Result<(), Error> {
        match self.value {
            Some(found) if found == expected => Ok(()),
            _ => Err(self.error(&expected.to_string())),
        }
    }

    /// That something else stands here than what was `expected`.
    pub fn error(&self, expected: &str) -> Error {
        let found = match self.value {
            None => "nothing".to_string(),
            Some(Value::Array(array)) => format!("an array of {} elements", array.len()),
            Some(Value::Object(object)) => match object.get("type").and_then(Value::as_str) {
                Some(kind) => format!("an object of type {}", shown(kind)),
                None => format!("an object of {} fields", object.len()),
            },
            Some(Value::String(string)) => shown(string),
            Some(other) => other.to_string(),
        };
        self.error_found(expected, found)
    }

    /// The same with other words for what was found.
    pub fn error_found(&self, expected: &str, found: String) -> Error {
        Error::Field { path: self.path.to_path_buf(), field: self.name.clone(), expected: expected.to_string(), found }
    }
}

/// A string in quotes, cut if it is long.
pub(super) fn shown(string: &str) -> String {
    let mut cut: String = string.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < string.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}
