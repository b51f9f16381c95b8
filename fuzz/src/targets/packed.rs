//! Files that hold other contents: taken apart, and put together with lengths and checksums that are right.

use std::io::{Read, Write};

use cloze::data::tfrecord::write_record;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::mutate::Parts;

/// Bytes of contents that are looked at.
const CONTENTS_MAX: u64 = 16 << 20;

pub fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(contents).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub fn from_gzip(file: &[u8]) -> Option<Parts> {
    let mut contents = Vec::new();
    MultiGzDecoder::new(file).take(CONTENTS_MAX).read_to_end(&mut contents).ok()?;
    Some((contents, Vec::new()))
}

pub fn zstd(contents: &[u8]) -> Vec<u8> {
    compress_to_vec(contents, CompressionLevel::Fastest)
}

pub fn from_zstd(file: &[u8]) -> Option<Parts> {
    let mut contents = Vec::new();
    let decoder = ruzstd::decoding::StreamingDecoder::new(file).ok()?;
    decoder.take(CONTENTS_MAX).read_to_end(&mut contents).ok()?;
    Some((contents, Vec::new()))
}

/// The header of a safetensors file, and its data.
pub fn from_safetensors(file: &[u8]) -> Option<Parts> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (header, data) = rest.split_at_checked(length)?;
    Some((header.to_vec(), data.to_vec()))
}

pub fn safetensors(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// The first record of a TFRecord file, and what follows it.
pub fn from_tfrecord(file: &[u8]) -> Option<Parts> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let record = rest.get(4..)?.get(..length)?;
    Some((record.to_vec(), rest.get(4 + length + 4..)?.to_vec()))
}

pub fn tfrecord(record: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    write_record(&mut file, record).expect("memory takes it");
    file.extend_from_slice(rest);
    file
}
