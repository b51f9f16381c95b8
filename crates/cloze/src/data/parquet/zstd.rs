//! Pages that are compressed by zstd, unpacked in Rust.
//!
//! Crate `parquet` would need a library in C for them. Its readers take pages from a trait, so a reader of our own can
//! stand below them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use crc::{CRC_32_ISO_HDLC, Crc};
use parquet::basic::{Compression, Encoding};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::RowGroupReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use ruzstd::decoding::StreamingDecoder;

use super::pages::{PageHeader, place, read_header};

/// A row group whose columns may be compressed by zstd.
pub(crate) struct Unpacking<'a> {
    group: Box<dyn RowGroupReader + 'a>,
    file: Arc<File>,
}

impl<'a> Unpacking<'a> {
    pub(crate) fn new(group: Box<dyn RowGroupReader + 'a>, file: Arc<File>) -> Unpacking<'a> {
        Unpacking { group, file }
    }
}

impl RowGroupReader for Unpacking<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.group.metadata()
    }

    fn num_columns(&self) -> usize {
        self.group.num_columns()
    }

    fn get_column_page_reader(&self, column: usize) -> Result<Box<dyn PageReader>, ParquetError> {
        let metadata = self.group.metadata().column(column);
        if !matches!(metadata.compression(), Compression::ZSTD(_)) {
            return self.group.get_column_page_reader(column);
        }
        let size = self.file.metadata()?.len();
        let (at, left) = place(metadata, size).map_err(ParquetError::General)?;
        Ok(Box::new(Pages { file: Arc::clone(&self.file), at, left, values_left: metadata.num_values() }))
    }

    fn get_column_bloom_filter(&self, _column: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, _projection: Option<Type>) -> Result<RowIter<'_>, ParquetError> {
        Err(ParquetError::NYI("rows of a group are read by TreeBuilder".to_string()))
    }
}

/// The pages of a column.
struct Pages {
    file: Arc<File>,
    at: u64,
    left: u64,
    values_left: i64,
}

impl Iterator for Pages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        while self.left > 0 && self.values_left > 0 {
            let header = read_header(&mut &*self.file, self.at, self.left).map_err(ParquetError::General)?;
            let from = self.at + header.header_bytes as u64;
            let length = header.header_bytes as u64 + u64::try_from(header.packed_bytes)?;
            self.left = self.left.checked_sub(length).ok_or_else(|| short("a page"))?;
            self.at += length;
            let mut packed = Vec::new();
            (&*self.file).seek(SeekFrom::Start(from))?;
            (&*self.file).take(header.packed_bytes as u64).read_to_end(&mut packed)?;
            if header.crc.is_some_and(|crc| Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&packed) != crc as u32) {
                return Err(ParquetError::General("the checksum of a page does not fit".to_string()));
            }
            if let Some(page) = page(&header, &packed)? {
                self.values_left -= if header.kind == 2 { 0 } else { header.values };
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        if self.left == 0 || self.values_left <= 0 {
            return Ok(None);
        }
        let header = read_header(&mut &*self.file, self.at, self.left).map_err(ParquetError::General)?;
        Ok(Some(PageMetadata {
            num_rows: (header.kind == 3).then_some(header.rows as usize),
            num_levels: Some(header.values as usize),
            is_dict: header.kind == 2,
        }))
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.get_next_page().map(|_| ())
    }
}

fn short(what: &str) -> ParquetError {
    ParquetError::EOF(format!("{what} reaches out of its column"))
}

/// A page from its bytes; nothing for one without values.
fn page(header: &PageHeader, packed: &[u8]) -> Result<Option<Page>, ParquetError> {
    let unpacked = usize::try_from(header.unpacked_bytes)?;
    let num_values = u32::try_from(header.values)?;
    let encoding = encoding(header.encoding)?;
    let statistics = None;
    Ok(match header.kind {
        0 => Some(Page::DataPage {
            buf: unpack(packed, unpacked)?.into(),
            num_values,
            encoding,
            def_level_encoding: self::encoding(header.levels[0])?,
            rep_level_encoding: self::encoding(header.levels[1])?,
            statistics,
        }),
        2 => {
            let buf = unpack(packed, unpacked)?.into();
            Some(Page::DictionaryPage { buf, num_values, encoding, is_sorted: false })
        }
        3 => {
            let [definition, repetition] = header.levels;
            let levels = usize::try_from(definition)?
                .checked_add(usize::try_from(repetition)?)
                .filter(|&levels| levels <= packed.len() && levels <= unpacked)
                .ok_or_else(|| short("the levels of a page"))?;
            let mut buf = packed[..levels].to_vec();
            if header.is_packed && unpacked > levels {
                buf.extend(unpack(&packed[levels..], unpacked - levels)?);
            } else {
                buf.extend_from_slice(&packed[levels..]);
            }
            Some(Page::DataPageV2 {
                buf: buf.into(),
                num_values,
                encoding,
                num_nulls: u32::try_from(header.nulls)?,
                num_rows: u32::try_from(header.rows)?,
                def_levels_byte_len: u32::try_from(definition)?,
                rep_levels_byte_len: u32::try_from(repetition)?,
                is_compressed: false,
                statistics,
            })
        }
        _ => None,
    })
}

/// Unpacks frames of zstd to exactly so many bytes.
fn unpack(packed: &[u8], size: usize) -> Result<Vec<u8>, ParquetError> {
    let mut unpacked = Vec::new();
    if size > 0 {
        let frame = StreamingDecoder::new(packed).map_err(|error| ParquetError::General(error.to_string()))?;
        // One byte more than is expected tells a longer page from one of the right size.
        frame.take(size as u64 + 1).read_to_end(&mut unpacked)?;
    }
    match unpacked.len() == size {
        true => Ok(unpacked),
        false => Err(ParquetError::General("a page has another size than its header claims".to_string())),
    }
}

fn encoding(code: i64) -> Result<Encoding, ParquetError> {
    Ok(match code {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        other => return Err(ParquetError::General(format!("an encoding with the number {other}"))),
    })
}
