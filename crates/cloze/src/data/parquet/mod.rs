//! Parquet files: what every reader of them checks before crate `parquet` reads on, and rows as JSON objects.
//!
//! Crate `parquet` panics on some damaged files, and believes the sizes that page headers claim. So the claims are
//! compared with the file first ([`pages`]), and what still panics is caught ([`guard`]) and reported as damage.

pub(crate) mod guard;
mod json;
pub(crate) mod pages;
pub(crate) mod zstd;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::TreeBuilder;
use serde_json::Value;

use crate::data::options::problem;
use crate::error::{Error, at};

/// Rows that are read at once.
const BATCH_ROWS: usize = 64;

/// Opens a Parquet file for reading. `path` stands for it in messages.
///
/// # Errors
/// If it is no whole Parquet file.
pub(crate) fn open(file: File, path: &Path) -> Result<SerializedFileReader<File>, Error> {
    guard::caught(|| SerializedFileReader::new(file)).map_err(|reason| {
        problem(path, None, &format!("not a whole Parquet file ({reason}); check that it is one, and fetch it again"))
    })
}

/// Checks the places and sizes that the file claims for its columns, those chosen.
///
/// # Errors
/// If they are not possible in a file of this size, or compressed in a way that is not read.
pub(crate) fn check_columns(
    file: &File,
    reader: &SerializedFileReader<File>,
    is_read: impl Fn(usize) -> bool,
    path: &Path,
) -> Result<(), Error> {
    let size = file.metadata().map_err(at("read", path))?.len();
    let wrong = |message: String| problem(path, None, &message);
    let mut rows = 0_u64;
    for group in reader.metadata().row_groups() {
        rows = rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
        for column in (0..group.num_columns()).filter(|&column| is_read(column)) {
            let column = group.column(column);
            if let Compression::LZO = column.compression() {
                let name = column.column_path().string();
                return Err(wrong(format!(
                    "column `{name}` is compressed by LZO, which is not read; write the file anew with snappy"
                )));
            }
            pages::check(file, size, column).map_err(wrong)?;
        }
    }
    // Rows that all hold the same take almost no room, but the time to read them.
    if rows > (1 << 20) + 1_000 * size {
        return Err(wrong(format!("the footer claims {rows} rows in {size} bytes; fetch the file again")));
    }
    Ok(())
}

/// Hands over the rows of a file as JSON objects, numbered from 1.
///
/// # Errors
/// If the file is damaged, with the row, and what `each` gives back.
pub(crate) fn for_each_row(path: &Path, each: &mut dyn FnMut(&str, usize) -> Result<(), Error>) -> Result<(), Error> {
    let file = File::open(path).map_err(at("read", path))?;
    let reader = open(file.try_clone().map_err(at("read", path))?, path)?;
    check_columns(&file, &reader, |_| true, path)?;
    let file = Arc::new(file);
    let mut row = 0;
    let damaged = |row: usize, reason: String| {
        problem(path, Some(row + 1), &format!("the file is damaged from this row on ({reason}); fetch it again"))
    };
    for group in 0..reader.num_row_groups() {
        let group = guard::caught(|| reader.get_row_group(group)).map_err(|reason| damaged(row, reason))?;
        let group = zstd::Unpacking::new(group, Arc::clone(&file));
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let rows = guard::caught(|| TreeBuilder::new().with_batch_size(BATCH_ROWS).as_iter(schema, &group));
        let mut rows = rows.map_err(|reason| damaged(row, reason))?;
        loop {
            let next = guard::caught(|| rows.next().transpose()).map_err(|reason| damaged(row, reason))?;
            let Some(next) = next else { break };
            row += 1;
            each(&json::of_row(&next), row)?;
        }
    }
    Ok(())
}

/// The names of a column's classes, in the order of their ids, as Hugging Face's `datasets` keeps them in the file;
/// empty where there are none.
pub(crate) fn class_names(path: &Path, column: &str) -> Vec<String> {
    names_in(path, column).unwrap_or_default()
}

fn names_in(path: &Path, column: &str) -> Option<Vec<String>> {
    let reader = open(File::open(path).ok()?, path).ok()?;
    let metadata = reader.metadata().file_metadata().key_value_metadata()?;
    let stored = metadata.iter().find(|entry| entry.key == "huggingface")?.value.as_ref()?;
    let stored: Value = serde_json::from_str(stored).ok()?;
    let feature = stored.get("info")?.get("features")?.get(column)?;
    // A list of classes is a feature within a feature.
    let names = feature.get("names").or_else(|| feature.get("feature")?.get("names"))?;
    names.as_array()?.iter().map(|name| name.as_str().map(str::to_string)).collect()
}

/// The text of an error, without the name of its kind.
pub(crate) fn reason(error: &ParquetError) -> String {
    match error {
        ParquetError::General(message) | ParquetError::NYI(message) | ParquetError::EOF(message) => message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
