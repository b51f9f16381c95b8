//! One column of strings of a Parquet file, some rows at a time.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::DocumentOptions;
use super::inputs::Compression as Packed;
use super::lines::BLOCK_BYTES;
use super::unpack::to_temporary_file;
use crate::data::parquet::guard::caught;
use crate::data::parquet::zstd::Unpacking;
use crate::data::parquet::{check_columns, open};
use crate::error::{Error, at};

/// Rows that are read at once: few, because each may be as long as the limit for texts.
const BATCH_ROWS: usize = 16;

/// The texts of a Parquet file; one that is packed as a whole is unpacked on the disk first, since its end tells what is
/// where. In memory are the dictionary of a row group, its current pages, and a block of texts.
pub(super) struct ParquetRows<'a> {
    path: &'a Path,
    file: SerializedFileReader<File>,
    /// The same file, for pages that are unpacked here.
    pages: Arc<File>,
    /// Bytes of the file, and rows, which tell how much of it is done.
    size_on_disk: u64,
    rows_total: usize,
    rows_done: usize,
    column: usize,
    column_name: String,
    line_limit: usize,
    /// The row group that is read next, and the rows and the reader of the one before it.
    next_group: usize,
    group_rows_left: usize,
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
}

impl<'a> ParquetRows<'a> {
    pub(super) fn open(path: &'a Path, packed: Packed, options: &DocumentOptions) -> Result<ParquetRows<'a>, Error> {
        let file = match packed {
            Packed::None => File::open(path).map_err(at("read", path))?,
            packed => to_temporary_file(path, packed)?,
        };
        let pages = Arc::new(file.try_clone().map_err(at("read", path))?);
        let file = open(file, path)?;
        let wrong = |message| Error::Data { path: path.to_path_buf(), line: None, message };
        let metadata = file.metadata();
        let column = find_column(metadata.file_metadata().schema_descr(), &options.text_field).map_err(wrong)?;
        check_columns(&pages, &file, |at| at == column, path)?;
        let rows = metadata.row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0));
        let rows_total = rows.sum();
        Ok(ParquetRows {
            path,
            size_on_disk: std::fs::metadata(path).map_err(at("read", path))?.len(),
            rows_total,
            rows_done: 0,
            column,
            column_name: options.text_field.clone(),
            line_limit: options.line_limit,
            next_group: 0,
            group_rows_left: 0,
            reader: None,
            file,
            pages,
        })
    }

    /// The next texts with their rows from 1, and about how many bytes of the file are done after them; `None` at the
    /// end. A row without text is left out.
    #[allow(clippy::type_complexity)]
    pub(super) fn next_block(&mut self) -> Result<Option<(Vec<(usize, String)>, u64)>, Error> {
        let mut texts = Vec::new();
        let mut size = 0;
        while size < BLOCK_BYTES {
            let Some(rows) = self.next_rows()? else { break };
            for row in rows {
                self.rows_done += 1;
                let Some(bytes) = row else { continue };
                let text = text(bytes.data(), self.line_limit).map_err(|message| Error::Data {
                    path: self.path.to_path_buf(),
                    line: Some(self.rows_done),
                    message,
                })?;
                let text = (self.rows_done, text);
                size += size_of_val(&text) + text.1.len();
                texts.push(text);
            }
        }
        let share = self.rows_done as f64 / self.rows_total.max(1) as f64;
        Ok((!texts.is_empty()).then_some((texts, (share * self.size_on_disk as f64) as u64)))
    }

    /// The next rows, `None` being one without text; no rows at all at the end of the file.
    fn next_rows(&mut self) -> Result<Option<Vec<Option<ByteArray>>>, Error> {
        while self.group_rows_left == 0 {
            if self.next_group == self.file.num_row_groups() {
                return Ok(None);
            }
            caught(|| self.next_group()).map_err(|reason| self.damaged(&reason))?;
        }
        let rows = caught(|| self.read_batch()).map_err(|reason| self.damaged(&reason))?;
        self.group_rows_left -= rows.len();
        Ok(Some(rows))
    }

    fn next_group(&mut self) -> Result<(), ParquetError> {
        let group = Unpacking::new(self.file.get_row_group(self.next_group)?, Arc::clone(&self.pages));
        self.next_group += 1;
        self.group_rows_left = usize::try_from(group.metadata().num_rows())?;
        self.reader = Some(get_typed_column_reader(group.get_column_reader(self.column)?));
        Ok(())
    }

    fn read_batch(&mut self) -> Result<Vec<Option<ByteArray>>, ParquetError> {
        let reader = self.reader.as_mut().expect("a row group has been opened");
        let schema = self.file.metadata().file_metadata().schema_descr();
        let level_of_text = schema.column(self.column).max_def_level();
        let mut levels = Vec::new();
        let mut values = Vec::new();
        let wanted = BATCH_ROWS.min(self.group_rows_left);
        let (read, _, _) = reader.read_records(wanted, Some(&mut levels), None, &mut values)?;
        if read == 0 {
            return Err(ParquetError::General("the column has fewer rows than its row group".to_string()));
        }
        if level_of_text == 0 {
            return Ok(values.into_iter().map(Some).collect());
        }
        let mut values = values.into_iter();
        Ok(levels.iter().map(|&level| if level == level_of_text { values.next() } else { None }).collect())
    }

    fn damaged(&self, reason: &str) -> Error {
        let message = format!(
            "column `{}` cannot be read from this row on ({reason}); fetch the file again, or write it anew",
            self.column_name
        );
        Error::Data { path: self.path.to_path_buf(), line: Some(self.rows_done + 1), message }
    }
}

/// The column of strings of this name, that of one within others being `outer.inner`.
fn find_column(schema: &SchemaDescriptor, name: &str) -> Result<usize, String> {
    const SHOWN: usize = 30;
    let fault = |column: &ColumnDescriptor| match column.physical_type() {
        _ if column.max_rep_level() > 0 => Some("in a list"),
        Type::BYTE_ARRAY => None,
        _ => Some("no strings"),
    };
    let columns = schema.columns();
    if let Some(found) = columns.iter().position(|column| column.path().string() == name && fault(column).is_none()) {
        return Ok(found);
    }
    let mut names: Vec<String> = columns
        .iter()
        .take(SHOWN)
        .map(|column| {
            let fault = fault(column).map_or(String::new(), |fault| format!(" ({fault})"));
            format!("`{}`{fault}", column.path().string())
        })
        .collect();
    names.extend((columns.len() > SHOWN).then(|| "…".to_string()));
    Err(format!("no column `{name}` of strings; there are: {}; choose with --text-field", names.join(", ")))
}

fn text(bytes: &[u8], limit: usize) -> Result<String, String> {
    if bytes.len() > limit {
        return Err(format!("the text has {} bytes, the limit for texts is {limit}; cut it", bytes.len()));
    }
    std::str::from_utf8(bytes).map(str::to_string).map_err(|error| {
        let at = error.valid_up_to();
        format!(
            "byte {} of the text, 0x{:02X}, is not UTF-8; choose a column of strings with --text-field, or write the \
             column anew",
            at + 1,
            bytes[at]
        )
    })
}
