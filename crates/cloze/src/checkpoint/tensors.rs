//! One safetensors file: its header, checked before anything is believed, and its tensors, read in
//! pieces straight to where they belong.
//!
//! The format: the length of the header in 8 bytes, little-endian; the header, a JSON object which
//! gives each tensor's type, shape and stretch of the data; the data, without gaps.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cloze_tokenizer::small_file;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde_json::Value;

use super::names::printable;
use crate::error::{Error, at};

/// Bytes before the header.
const PREFIX_BYTES: u64 = 8;
/// More than the names and shapes of the largest model that a configuration may describe.
const HEADER_BYTES_MAX: u64 = 4 << 20;
/// The types of weights; f64 is rounded to f32.
const WEIGHT_TYPES: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64];
/// Elements that are read and converted at a time: their bytes stay in a core's cache.
const CHUNK: usize = 1 << 16;

/// An open safetensors file, its header read and checked.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    /// Where the data begins.
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Opens a file and checks its header against its length: every tensor's stretch must have the
    /// size of its shape, and together they must cover the data without gaps or overlaps.
    pub fn open(path: &Path) -> Result<TensorFile, Error> {
        let metadata = fs::metadata(path).map_err(at("read", path))?;
        // Opening a pipe would wait for somebody to write to it.
        if !metadata.is_file() {
            return Err(error(path, None, "not a regular file".into()));
        }
        let file = File::open(path).map_err(at("read", path))?;
        let file_bytes = file.metadata().map_err(at("read", path))?.len();
        let header = read_header(path, &file, file_bytes)?;
        let data_start = PREFIX_BYTES + header.len() as u64;
        let unreadable = |reason| error(path, None, format!("the header is not readable as JSON: {reason}"));
        let entries = small_file::parse_json(&header).map_err(|reason| unreadable(reason.to_string()))?;
        let Value::Object(entries) = entries else { return Err(unreadable("it is no object".to_string())) };
        let mut tensors = BTreeMap::new();
        let mut metadata = BTreeMap::new();
        for (name, entry) in entries {
            if name == "__metadata__" {
                metadata = serde_json::from_value(entry).map_err(|reason| {
                    error(path, None, format!("`__metadata__` in the header is not a map of strings: {reason}"))
                })?;
            } else {
                let info = serde_json::from_value(entry).map_err(|reason| {
                    error(path, Some(&name), format!("its entry in the header is not readable: {reason}"))
                })?;
                tensors.insert(name, info);
            }
        }
        check_stretches(path, &tensors, file_bytes - data_start)?;
        Ok(TensorFile { path: path.to_path_buf(), file, data_start, tensors, metadata })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor, if the file has it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// The strings that the file keeps beside its tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Reads one tensor (f32, f16, bf16, or f64, which is rounded), which must have this shape, to `values`.
    pub fn read(&self, name: &str, shape: &[usize], values: &mut [f32]) -> Result<(), Error> {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        self.check_shape(name, shape)?;
        self.numbers(name)?.read(0, values)
    }

    /// An error unless the file has a tensor of this name and shape, in one of the types of weights.
    pub(super) fn check_shape(&self, name: &str, shape: &[usize]) -> Result<(), Error> {
        self.check(name, shape, &WEIGHT_TYPES)
    }

    /// An error unless the file has a tensor of this name and shape, in one of these types.
    pub(super) fn check(&self, name: &str, shape: &[usize], types: &[Dtype]) -> Result<(), Error> {
        let info = self.info(name)?;
        if info.shape != shape {
            return Err(self.error(name, format!("expected shape {shape:?}, found {:?}", info.shape)));
        }
        if types.contains(&info.dtype) { Ok(()) } else { Err(self.wrong_type(name, types, info.dtype)) }
    }

    /// The numbers of a tensor in f32, f16, bf16 or f64, to be read in any pieces.
    pub(super) fn numbers(&self, name: &str) -> Result<NumberReader<'_, f32>, Error> {
        let info = self.info(name)?;
        let (size, convert): (usize, Convert<f32>) = match info.dtype {
            Dtype::F32 => (4, |values, bytes| convert(values, bytes, f32::from_le_bytes)),
            Dtype::F16 => (2, |values, bytes| convert(values, bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
            Dtype::BF16 => (2, |values, bytes| convert(values, bytes, |bytes| bf16::from_le_bytes(bytes).to_f32())),
            Dtype::F64 => (8, |values, bytes| convert(values, bytes, |bytes| f64::from_le_bytes(bytes) as f32)),
            other => return Err(self.wrong_type(name, &WEIGHT_TYPES, other)),
        };
        Ok(self.reader(info, size, convert))
    }

    /// The numbers of a tensor in i8, to be read in any pieces.
    pub(super) fn integers(&self, name: &str) -> Result<NumberReader<'_, i8>, Error> {
        let info = self.info(name)?;
        match info.dtype {
            Dtype::I8 => Ok(self.reader(info, 1, |values, bytes| convert(values, bytes, i8::from_le_bytes))),
            other => Err(self.wrong_type(name, &[Dtype::I8], other)),
        }
    }

    fn reader<T>(&self, info: &TensorInfo, size: usize, convert: Convert<T>) -> NumberReader<'_, T> {
        let (start, end) = info.data_offsets;
        NumberReader { file: self, start: self.data_start + start as u64, len: (end - start) / size, size, convert }
    }

    fn wrong_type(&self, name: &str, types: &[Dtype], found: Dtype) -> Error {
        let names: Vec<String> = types.iter().map(Dtype::to_string).collect();
        let expected = match names.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => names.concat(),
        };
        self.error(name, format!("expected numbers of type {expected}, found {found}"))
    }

    pub(super) fn error(&self, tensor: &str, message: String) -> Error {
        error(&self.path, Some(tensor), message)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, Error> {
        self.tensors.get(name).ok_or_else(|| self.error(name, "missing".into()))
    }
}

/// The numbers of a tensor.
pub(super) struct NumberReader<'a, T> {
    file: &'a TensorFile,
    /// Where they begin in the file.
    start: u64,
    /// How many there are.
    len: usize,
    /// Bytes of each.
    size: usize,
    convert: Convert<T>,
}

impl<T: Copy + Default> NumberReader<'_, T> {
    /// All numbers at once.
    pub(super) fn all(&self) -> Result<Vec<T>, Error> {
        let mut values = vec![T::default(); self.len];
        self.read(0, &mut values)?;
        Ok(values)
    }

    /// Reads the numbers from the element `first` on that `values` has room for.
    pub(super) fn read(&self, first: usize, values: &mut [T]) -> Result<(), Error> {
        assert!(first + values.len() <= self.len, "{first} + {} of {} numbers", values.len(), self.len);
        let mut bytes = vec![0; values.len().min(CHUNK) * self.size];
        let mut offset = self.start + (first * self.size) as u64;
        for values in values.chunks_mut(CHUNK) {
            let bytes = &mut bytes[..values.len() * self.size];
            self.file.file.read_exact_at(bytes, offset).map_err(at("read", &self.file.path))?;
            (self.convert)(values, bytes);
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    /// Hands over all numbers, at most `chunk` at a time, each time with the index of the first. Only one
    /// chunk is in memory at a time.
    pub(super) fn for_each_chunk(
        &self,
        chunk: usize,
        mut work: impl FnMut(usize, &[T]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut values = vec![T::default(); self.len.min(chunk)];
        for first in (0..self.len).step_by(chunk) {
            let values = &mut values[..chunk.min(self.len - first)];
            self.read(first, values)?;
            work(first, values)?;
        }
        Ok(())
    }
}

/// Turns the bytes of elements of some type to numbers.
type Convert<T> = fn(&mut [T], &[u8]);

/// `values[i] = from(bytes of element i)`
fn convert<T, const SIZE: usize>(values: &mut [T], bytes: &[u8], from: impl Fn([u8; SIZE]) -> T) {
    let (elements, _) = bytes.as_chunks();
    for (value, &element) in values.iter_mut().zip(elements) {
        *value = from(element);
    }
}

pub(super) fn error(path: &Path, tensor: Option<&str>, message: String) -> Error {
    Error::Checkpoint { path: path.to_path_buf(), tensor: tensor.map(printable), message }
}

/// The bytes of the header. Their number comes from outside, so it is compared with the file's length
/// before anything is allocated.
fn read_header(path: &Path, file: &File, file_bytes: u64) -> Result<Vec<u8>, Error> {
    let mut prefix = [0; PREFIX_BYTES as usize];
    if file_bytes < PREFIX_BYTES {
        return Err(error(path, None, format!("{file_bytes} bytes are too few for a safetensors file")));
    }
    file.read_exact_at(&mut prefix, 0).map_err(at("read", path))?;
    if &prefix == b"version " {
        let message = "this is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`";
        return Err(error(path, None, message.into()));
    }
    let header_bytes = u64::from_le_bytes(prefix);
    let room = file_bytes - PREFIX_BYTES;
    if header_bytes > room {
        let message = format!(
            "the header is said to have {header_bytes} bytes, but only {room} follow: the file is cut short or is not in safetensors format"
        );
        return Err(error(path, None, message));
    }
    if header_bytes > HEADER_BYTES_MAX {
        let message = format!("the header has {header_bytes} bytes, more than the {HEADER_BYTES_MAX} that are read");
        return Err(error(path, None, message));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact_at(&mut header, PREFIX_BYTES).map_err(at("read", path))?;
    Ok(header)
}

/// Compares every tensor's stretch of the data with its shape, with its neighbours and with the file.
fn check_stretches(path: &Path, tensors: &BTreeMap<String, TensorInfo>, data_bytes: u64) -> Result<(), Error> {
    let mut sorted: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
    sorted.sort_by_key(|(_, info)| info.data_offsets);
    let mut next = 0;
    for (name, info) in sorted {
        let (start, end) = info.data_offsets;
        let fault = if start != next {
            format!("begins at byte {start} of the data where {next} was expected: tensors overlap or leave a gap")
        } else if end < start {
            format!("ends at byte {end} of the data, before its beginning at {start}")
        } else if end as u64 > data_bytes {
            format!("ends at byte {end} of the data, but the file has only {data_bytes}: it is cut short")
        } else {
            match bytes_of(info) {
                Some(bytes) if bytes == end - start => {
                    next = end;
                    continue;
                }
                Some(bytes) => {
                    let shape = &info.shape;
                    format!("shape {shape:?} of {} takes {bytes} bytes, but has {}", info.dtype, end - start)
                }
                None => format!("shape {:?} of {} makes no whole number of bytes that fits", info.shape, info.dtype),
            }
        };
        return Err(error(path, Some(name), fault));
    }
    if next as u64 != data_bytes {
        let message = format!("{} bytes follow the last tensor: the file is damaged", data_bytes - next as u64);
        return Err(error(path, None, message));
    }
    Ok(())
}

/// Bytes that a tensor's shape takes; none if that is no whole number or does not fit.
fn bytes_of(info: &TensorInfo) -> Option<usize> {
    let len = info.shape.iter().try_fold(1_usize, |len, &size| len.checked_mul(size))?;
    let bits = len.checked_mul(info.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}
