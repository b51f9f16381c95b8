//! The headers of a column's pages, and whether what they claim is possible.
//!
//! A header is a struct in Thrift's compact protocol: fields of a kind in four bits and a distance from the number of
//! the field before, numbers in groups of seven bits, the lowest first. Only sizes and counts are read; all else is
//! passed over.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

/// Bytes of a page at most, unpacked.
const PAGE_BYTES_MAX: u64 = 128 << 20;
/// Bytes of a header at most. It may hold the smallest and the largest value of its page.
const HEADER_BYTES_MAX: usize = 16 << 20;
/// Structs within structs at most.
const DEPTH_MAX: usize = 16;

/// Sizes that a page header claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageHeader {
    /// Bytes of the header itself.
    pub(crate) header_bytes: usize,
    /// 0 data, 1 index, 2 dictionary, 3 data in the second version.
    pub(crate) kind: i64,
    pub(crate) unpacked_bytes: i64,
    pub(crate) packed_bytes: i64,
    pub(crate) crc: Option<i64>,
    pub(crate) values: i64,
    pub(crate) encoding: i64,
    /// Encodings of the levels (data), or bytes of the levels (second version): definition, repetition.
    pub(crate) levels: [i64; 2],
    /// Nulls of a page of the second version.
    pub(crate) nulls: i64,
    pub(crate) rows: i64,
    pub(crate) is_packed: bool,
}

/// Checks place and pages of a column. The error is a message for the user.
pub(super) fn check(mut file: &File, size: u64, column: &ColumnChunkMetaData) -> Result<(), String> {
    let name = column.column_path().string();
    let (start, length) = place(column, size)?;
    let damaged = |what: &str| format!("column `{name}`: {what}; the file is damaged, fetch it again");
    let values_max = column.num_values();
    let (mut at, mut values) = (0, 0);
    while at < length && values < values_max {
        let header = read_header(&mut file, start + at, length - at).map_err(|what| damaged(&what))?;
        let (unpacked, packed) = (header.unpacked_bytes, header.packed_bytes);
        if packed < 0 || unpacked < 0 || header.header_bytes as u64 + packed as u64 > length - at {
            return Err(damaged("a page reaches out of its column"));
        }
        if unpacked as u64 > PAGE_BYTES_MAX {
            return Err(format!(
                "column `{name}`: a page of {unpacked} bytes; up to {PAGE_BYTES_MAX} are read. Write the file anew \
                 with smaller pages, or fetch it again if it is damaged"
            ));
        }
        if column.compression() == Compression::UNCOMPRESSED && packed != unpacked {
            return Err(damaged("a page that is not compressed has two sizes"));
        }
        // Strings have their lengths before them; a list of true and false has eight in a byte.
        if header.kind == 2 && header.values > 8 * unpacked {
            return Err(damaged("a dictionary has more values than bytes"));
        }
        let is_data = matches!(header.kind, 0 | 3);
        if header.values < 0 || header.nulls < 0 || header.rows < 0 || (is_data && header.values > values_max) {
            return Err(damaged("a page has more values than its column"));
        }
        values += if is_data { header.values } else { 0 };
        at += header.header_bytes as u64 + packed as u64;
    }
    Ok(())
}

/// Where a column begins in its file, and how many bytes it has.
pub(super) fn place(column: &ColumnChunkMetaData, size: u64) -> Result<(u64, u64), String> {
    let start = match column.dictionary_page_offset() {
        Some(dictionary) if dictionary > 0 => dictionary.min(column.data_page_offset()),
        _ => column.data_page_offset(),
    };
    let end = start.checked_add(column.compressed_size());
    if start < 0 || column.compressed_size() < 0 || end.is_none_or(|end| end as u64 > size) {
        return Err(format!("the footer puts a column outside of the {size} bytes of the file; fetch the file again"));
    }
    Ok((start as u64, column.compressed_size() as u64))
}

/// The page header at a place of a file, which has up to `left` bytes.
pub(super) fn read_header(file: &mut &File, at: u64, left: u64) -> Result<PageHeader, String> {
    let mut wanted = 512_usize;
    loop {
        let mut bytes = Vec::new();
        let read =
            file.seek(SeekFrom::Start(at)).and_then(|_| file.take(left.min(wanted as u64)).read_to_end(&mut bytes));
        read.map_err(|error| error.to_string())?;
        match parse(&bytes) {
            Ok(header) => return Ok(header),
            Err(Fault::Short) if bytes.len() == wanted && wanted < HEADER_BYTES_MAX => wanted *= 8,
            Err(_) => return Err("a page header that cannot be read".to_string()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Short,
    Wrong,
}

/// Bytes in Thrift's compact protocol.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.bytes.get(self.at).ok_or(Fault::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault::Wrong)
    }

    fn signed(&mut self) -> Result<i64, Fault> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Fault> {
        let left = (self.bytes.len() - self.at) as u64;
        if bytes > left {
            return Err(if bytes > HEADER_BYTES_MAX as u64 { Fault::Wrong } else { Fault::Short });
        }
        self.at += bytes as usize;
        Ok(())
    }

    /// Hands over the fields of a struct: number, kind. What `each` does not read is passed over.
    fn fields(
        &mut self,
        depth: usize,
        each: &mut dyn FnMut(&mut Self, i64, u8) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::Wrong);
        }
        let mut number = 0;
        loop {
            let byte = self.byte()?;
            let (distance, kind) = (i64::from(byte >> 4), byte & 0xF);
            if kind == 0 {
                return Ok(());
            }
            number = if distance > 0 { number + distance } else { self.signed()? };
            if !each(self, number, kind)? {
                self.pass(kind, depth)?;
            }
        }
    }

    fn pass(&mut self, kind: u8, depth: usize) -> Result<(), Fault> {
        match kind {
            // True and false are in the kind itself.
            1 | 2 => Ok(()),
            3 => self.skip(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(length)
            }
            12 => self.fields(depth + 1, &mut |_, _, _| Ok(false)),
            // Page headers have no lists and maps.
            _ => Err(Fault::Wrong),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<PageHeader, Fault> {
    let mut header = PageHeader { is_packed: true, kind: -1, ..PageHeader::default() };
    let mut compact = Compact { bytes, at: 0 };
    compact.fields(0, &mut |compact, number, kind| {
        match (number, kind) {
            (1, 5) => header.kind = compact.signed()?,
            (2, 5) => header.unpacked_bytes = compact.signed()?,
            (3, 5) => header.packed_bytes = compact.signed()?,
            (4, 5) => header.crc = Some(compact.signed()?),
            (5 | 7 | 8, 12) => compact.fields(1, &mut |compact, inner, kind| {
                match (number, inner, kind) {
                    (_, 1, 5) => header.values = compact.signed()?,
                    (5 | 7, 2, 5) => header.encoding = compact.signed()?,
                    (5, 3 | 4, 5) => header.levels[inner as usize - 3] = compact.signed()?,
                    (8, 2, 5) => header.nulls = compact.signed()?,
                    (8, 3, 5) => header.rows = compact.signed()?,
                    (8, 4, 5) => header.encoding = compact.signed()?,
                    (8, 5 | 6, 5) => header.levels[inner as usize - 5] = compact.signed()?,
                    (8, 7, 1 | 2) => header.is_packed = kind == 1,
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    header.header_bytes = compact.at;
    if matches!(header.kind, 0..=3) { Ok(header) } else { Err(Fault::Wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_in_thrifts_compact_protocol() {
        // A data page of 300 values, 1,000 bytes, 200 packed, plain, with levels in RLE and statistics to pass over.
        let header = [
            0x15, 0x00, 0x15, 0xD0, 0x0F, 0x15, 0x90, 0x03, 0x2C, 0x15, 0xD8, 0x04, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06,
            0x1C, 0x18, 0x02, b'a', b'b', 0x00, 0x00, 0x00,
        ];
        let found = parse(&header).unwrap();
        assert_eq!((found.kind, found.unpacked_bytes, found.packed_bytes), (0, 1_000, 200));
        assert_eq!((found.values, found.encoding, found.levels), (300, 0, [3, 3]));
        assert_eq!((found.header_bytes, found.is_packed), (header.len(), true));
        for length in 0..header.len() {
            assert_eq!(parse(&header[..length]), Err(Fault::Short), "{length} bytes");
        }
        assert_eq!(parse(&[0x19, 0x00]), Err(Fault::Wrong), "a list");
        assert_eq!(parse(&[0x1C; 64]), Err(Fault::Wrong), "structs without end");
    }
}
