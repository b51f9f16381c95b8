//! TFRecord files: a row of records, each some bytes between their length and checksums. TensorBoard's events and
//! TensorFlow's examples are kept in such files.
//!
//! A record of `n` bytes is `n` as u64, the checksum of these eight bytes, the `n` bytes, and their checksum, all
//! numbers little-endian. A checksum is a CRC-32C, rotated and shifted so that the checksum of bytes that hold
//! checksums is still a good one.

use std::io::{Read, Write};
use std::path::Path;

use crc::{CRC_32_ISCSI, Crc, Table};

use crate::Error;
use crate::error::at;

/// CRC-32C, also known as Castagnoli's; sixteen bytes a step, because files of examples are large.
const CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Bytes before a record: its length and the checksum of the length.
const HEADER: usize = 12;

/// Appends a record to what `writer` holds.
pub fn write_record(writer: &mut impl Write, record: &[u8]) -> std::io::Result<()> {
    let length = (record.len() as u64).to_le_bytes();
    writer.write_all(&length)?;
    writer.write_all(&masked_crc(&length).to_le_bytes())?;
    writer.write_all(record)?;
    writer.write_all(&masked_crc(record).to_le_bytes())
}

/// Reads the next record into `record`; false at the end of the file, where `record` is left empty.
///
/// `offset` is the place in bytes at which `reader` stands in the file at `path`; a record that is read moves it on.
///
/// # Errors
///
/// Named with the byte at which the record begins: a file that ends within it, as a killed program leaves it behind;
/// a checksum that does not fit. A false length is found by its checksum, and no memory is taken for bytes that are
/// not there.
pub fn read_record(record: &mut Vec<u8>, reader: &mut impl Read, offset: &mut u64, path: &Path) -> Result<bool, Error> {
    let start = *offset;
    let fault = |message: String| Error::Data {
        path: path.to_path_buf(),
        line: None,
        message: format!("the record at byte {start} {message}"),
    };
    // Fewer bytes than asked for mean the end of the file. Memory grows with the bytes that are there.
    let mut fill = |bytes: &mut Vec<u8>, count: u64| {
        bytes.clear();
        reader.by_ref().take(count).read_to_end(bytes).map_err(at("read", path))
    };

    let found = fill(record, HEADER as u64)?;
    if found == 0 {
        return Ok(false);
    }
    if found < HEADER {
        return Err(fault(format!(
            "breaks off: {found} bytes are left where its length and their checksum take {HEADER}; the file was cut \
             short, the records before it are whole"
        )));
    }
    let (length, checksum) = record.split_at(8);
    if masked_crc(length).to_le_bytes() != checksum {
        return Err(fault(
            "has a length that does not fit its checksum; the file is damaged, or it is no TFRecord file (compressed \
             ones have to be unpacked first)"
                .to_string(),
        ));
    }
    let length = u64::from_le_bytes(length.try_into().expect("the header was split after eight bytes"));
    let found = fill(record, length)? as u64;
    let mut checksum = Vec::with_capacity(4);
    if found < length || fill(&mut checksum, 4)? < 4 {
        return Err(fault(format!(
            "breaks off: of its {length} bytes and their checksum, {} are there; the file was cut short, the records \
             before it are whole",
            found + checksum.len() as u64
        )));
    }
    if masked_crc(record).to_le_bytes() != checksum[..] {
        return Err(fault(format!("does not fit its checksum over {length} bytes; the file is damaged")));
    }
    *offset = start + HEADER as u64 + length + 4;
    Ok(true)
}

/// The checksum as it stands in the file.
fn masked_crc(bytes: &[u8]) -> u32 {
    CRC_32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three records as TensorBoard 2.21.0 writes them: with `w = RecordWriter(f)` of
    /// `tensorboard.summary.writer.record_writer`, `w.write(b"")`, `w.write(b"123456789")`,
    /// `w.write(bytes(range(40)))`, and then `f.getvalue().hex()`.
    const FILE: &str = "000000000000000029039807d8ea82a2090000000000000037f97139313233343536373839e5b08ac72800000000000000ff70164a000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262775118983";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn records() -> [Vec<u8>; 3] {
        [Vec::new(), b"123456789".to_vec(), (0..40).collect()]
    }

    /// All records of a file, or the message of the fault.
    fn read(file: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let (mut reader, mut record, mut offset, mut found) = (file, Vec::new(), 0, Vec::new());
        while read_record(&mut record, &mut reader, &mut offset, Path::new("file"))
            .map_err(|error| error.to_string())?
        {
            found.push(record.clone());
            assert_eq!(offset, (file.len() - reader.len()) as u64);
        }
        Ok(found)
    }

    /// The check value of RFC 3720's CRC-32C.
    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(CRC_32C.checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn frames_are_tensorboards() {
        let mut file = Vec::new();
        for record in records() {
            write_record(&mut file, &record).unwrap();
        }
        assert_eq!(file, bytes(FILE));
        assert_eq!(read(&bytes(FILE)).unwrap(), records());
        assert_eq!(read(&[]).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_file_cut_short_says_where() {
        let file = bytes(FILE);
        // The records begin at bytes 0, 16 and 41; the file has 97.
        let starts = [0, 16, 41, 97];
        for length in (0..file.len()).filter(|length| !starts.contains(length)) {
            let start = starts.iter().rfind(|&&start| start < length).unwrap();
            let message = read(&file[..length]).unwrap_err();
            assert!(
                message.starts_with(&format!("file: the record at byte {start} breaks off")),
                "{length}: {message}"
            );
        }
        let message = read(&file[..21]).unwrap_err();
        assert!(message.contains("5 bytes are left where its length and their checksum take 12"), "{message}");
        let message = read(&file[..95]).unwrap_err();
        assert!(message.contains("of its 40 bytes and their checksum, 42 are there"), "{message}");
    }

    #[test]
    fn every_damaged_bit_is_seen() {
        let file = bytes(FILE);
        for bit in 0..8 * file.len() {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let start = [0, 16, 41].iter().rfind(|&&start| start <= bit / 8).unwrap();
            let message = read(&damaged).unwrap_err();
            assert!(message.starts_with(&format!("file: the record at byte {start} ")), "bit {bit}: {message}");
            assert!(message.contains("checksum"), "bit {bit}: {message}");
        }
    }

    #[test]
    fn a_false_length_takes_no_memory() {
        let mut file = u64::MAX.to_le_bytes().to_vec();
        file.extend(masked_crc(&u64::MAX.to_le_bytes()).to_le_bytes());
        file.extend([1, 2, 3]);
        let message = read(&file).unwrap_err();
        assert!(message.contains("of its 18446744073709551615 bytes and their checksum, 3 are there"), "{message}");
    }
}
