//! Reading small files from outside: settings, vocabularies, lists of labels.
//!
//! Small files are regular ones, of bounded size. Anything else could hang (a pipe) or never end
//! (`/dev/zero`). An object in it has each name once: of two values readers take one or the other, and a model that
//! two programs read in two ways is a fault that nobody finds. And memory is bounded by the size of the file.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system's reason.
    #[error("{0}")]
    Io(#[from] io::Error),

    /// A directory, a pipe or a device.
    #[error("not a regular file")]
    NotRegular,

    /// A link whose target is not there.
    #[error("a link to {}, which does not exist", target.display())]
    BrokenLink {
        /// The target as the link names it.
        target: PathBuf,
    },

    /// The file is larger than any of its kind.
    #[error("larger than {bytes_max} bytes, which no file of this kind needs")]
    TooLarge {
        /// The largest accepted size.
        bytes_max: u64,
    },
}

impl ReadError {
    /// True if there is no file of this name, nor a link.
    pub fn is_absent(&self) -> bool {
        matches!(self, ReadError::Io(error) if error.kind() == ErrorKind::NotFound)
    }
}

/// Opens a regular file; links are followed.
///
/// # Errors
///
/// If there is no such file, it is not a regular one, or cannot be opened.
pub fn open_regular(path: &Path) -> Result<File, ReadError> {
    // Asked before it is opened: opening a pipe would wait for somebody to write to it.
    let metadata = fs::metadata(path).map_err(|error| match fs::read_link(path) {
        Ok(target) if error.kind() == ErrorKind::NotFound => ReadError::BrokenLink { target },
        _ => ReadError::Io(error),
    })?;
    if !metadata.is_file() {
        return Err(ReadError::NotRegular);
    }
    Ok(File::open(path)?)
}

/// The bytes of a regular file.
///
/// # Errors
///
/// As [`open_regular`]; if the file is larger than `bytes_max`, or cannot be read.
pub fn read_regular(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(ReadError::TooLarge { bytes_max });
    }
    Ok(bytes)
}

/// The same, or `None` if there is no file of this name. A link to nothing is an error: somebody meant a file.
///
/// # Errors
///
/// As [`read_regular`].
pub fn read_if_there(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, ReadError> {
    match read_regular(path, bytes_max) {
        Err(error) if error.is_absent() => Ok(None),
        read => read.map(Some),
    }
}

/// Values of a file of a few bytes. Each takes up to some 250 bytes of memory.
const VALUES: usize = 1 << 18;
/// Bytes of a file for each further value.
const BYTES_PER_VALUE: usize = 64;

/// Parses JSON.
///
/// # Errors
///
/// If it is not JSON, an object has a name twice, or there are more values than a file of settings has. The error
/// tells line and column.
pub fn parse_json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let values_left = Cell::new(VALUES + bytes.len() / BYTES_PER_VALUE);
    parse(bytes, Seed { values_left: &values_left, table: None })
}

/// Parses JSON and takes one table out of it: the object at `names`, which may be large, as names and numbers in the
/// order of the file. What is left in its place is an empty object.
///
/// # Errors
///
/// As [`parse_json`].
pub(crate) fn parse_json_with_table(bytes: &[u8], names: &[&str]) -> Result<(Value, Option<Table>), serde_json::Error> {
    let values_left = Cell::new(VALUES + bytes.len() / BYTES_PER_VALUE);
    let mut table = None;
    let seed = Seed { values_left: &values_left, table: Some((names, &mut table)) };
    let value = parse(bytes, seed)?;
    Ok((value, table))
}

/// A large object of numbers.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Each name once.
    pub entries: Vec<(String, u64)>,
    /// The first name whose value is no whole number from 0, and the value.
    pub wrong: Option<(String, Value)>,
}

fn parse(bytes: &[u8], seed: Seed) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A value to be read.
struct Seed<'s> {
    values_left: &'s Cell<usize>,
    /// The names that lead from here to the table, and where it goes.
    table: Option<(&'s [&'s str], &'s mut Option<Table>)>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.values_left.get().checked_sub(1);
        let left = left.ok_or_else(|| D::Error::custom("more values than a file of this size and kind has"))?;
        self.values_left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(Seed { values_left: self.values_left, table: None })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        if let Some(([], table)) = self.table {
            *table = Some(read_table(map, self.values_left)?);
            return Ok(Value::Object(Map::new()));
        }
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(named_twice(&name));
            }
            let table = match &mut self.table {
                Some(([first, rest @ ..], table)) if *first == name => Some((rest, &mut **table)),
                _ => None,
            };
            let value = map.next_value_seed(Seed { values_left: self.values_left, table })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

fn read_table<'de, A: MapAccess<'de>>(mut map: A, values_left: &Cell<usize>) -> Result<Table, A::Error> {
    let mut table = Table::default();
    while let Some(name) = map.next_key::<String>()? {
        // Reading a number takes no memory, so numbers are not counted.
        match map.next_value_seed(Entry { values_left })? {
            Ok(number) => table.entries.push((name, number)),
            Err(value) => {
                table.wrong.get_or_insert((name, value));
            }
        }
    }
    let mut names = HashSet::with_capacity(table.entries.len());
    match table.entries.iter().find(|(name, _)| !names.insert(name.as_str())) {
        Some((name, _)) => Err(named_twice(name)),
        None => {
            drop(names);
            Ok(table)
        }
    }
}

fn named_twice<E: serde::de::Error>(name: &str) -> E {
    let shown: String = name.chars().take(60).collect();
    E::custom(format_args!("the name {shown:?} comes twice in an object; keep one of them"))
}

/// The value of an entry in a table: a number, or whatever else stands there.
struct Entry<'s> {
    values_left: &'s Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = Result<u64, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = deserializer.deserialize_any(Seed { values_left: self.values_left, table: None })?;
        Ok(value.as_u64().ok_or(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_serde_json() {
        for text in [
            "null",
            " [1, -2, 2.5, 1e300, true, \"a\\u00e9\", {\"b\": {}, \"a\": []}] ",
            "18446744073709551615",
            "1e400",
            "0.1234567890123456789",
            "[1,]",
            "{\"a\": 1} x",
            "",
        ] {
            let (ours, theirs) = (parse_json(text.as_bytes()), serde_json::from_str::<Value>(text));
            assert_eq!(ours.as_ref().ok(), theirs.as_ref().ok(), "{text}");
            assert_eq!(ours.err().map(|e| e.to_string()), theirs.err().map(|e| e.to_string()), "{text}");
        }
    }

    #[test]
    fn a_name_that_comes_twice() {
        for text in ["{\"a\": 1, \"a\": 1}", "{\"b\": [{\"a\": 1,\n \"c\": 2, \"a\": null}]}"] {
            let message = parse_json(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains("the name \"a\" comes twice") && message.contains("line"), "{message}");
        }
        assert!(parse_json(b"{\"a\": {\"a\": 1}, \"A\": 1}").is_ok());
        let table = parse_json_with_table(b"{\"v\": {\"a\": 1, \"b\": 2, \"a\": 3}}", &["v"]);
        assert!(table.unwrap_err().to_string().contains("the name \"a\" comes twice"));
    }

    #[test]
    fn a_table_is_taken_out() {
        let text = b"{\"m\": {\"v\": {\"b\": 7, \"a\": 0, \"c\": -1}, \"w\": 1}, \"v\": {\"x\": 1}}";
        let (value, table) = parse_json_with_table(text, &["m", "v"]).unwrap();
        let table = table.unwrap();
        assert_eq!(value.to_string(), "{\"m\":{\"v\":{},\"w\":1},\"v\":{\"x\":1}}");
        assert_eq!(table.entries, [("b".to_string(), 7), ("a".to_string(), 0)]);
        assert_eq!(table.wrong, Some(("c".to_string(), (-1).into())));
        let (value, table) = parse_json_with_table(b"{\"m\": {\"v\": [1]}}", &["m", "v"]).unwrap();
        assert!(table.is_none() && value["m"]["v"][0] == 1);
    }

    #[test]
    fn more_values_than_memory_has_room_for() {
        let text = format!("[{}0]", "0,".repeat(VALUES + VALUES / 8));
        assert!(parse_json(text.as_bytes()).unwrap_err().to_string().contains("more values"));
        let text = format!("[{}0]", "0,".repeat(VALUES / 2));
        assert!(parse_json(text.as_bytes()).is_ok());
    }

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("file");
        assert!(read_if_there(&path, 10).unwrap().is_none());
        fs::write(&path, "0123456789").unwrap();
        assert_eq!(read_regular(&path, 10).unwrap(), b"0123456789");
        assert!(matches!(read_regular(&path, 9), Err(ReadError::TooLarge { bytes_max: 9 })));
        assert!(matches!(read_regular(dir.path(), 10), Err(ReadError::NotRegular)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            let link = dir.path().join("link");
            symlink("nowhere", &link).unwrap();
            assert!(read_if_there(&link, 10).unwrap_err().to_string().contains("nowhere"));
            fs::remove_file(&link).unwrap();
            symlink(&path, &link).unwrap();
            assert!(read_if_there(&link, 10).unwrap().is_some());
            assert!(matches!(read_if_there(Path::new("/dev/zero"), 10), Err(ReadError::NotRegular)));
        }
    }
}
