//! Writing so that nobody ever finds half a file: to a temporary name in the same folder, flushed to
//! the disk, then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::{Error, at};
use crate::folder::create;
use crate::params::{Declaration, HeadSet, TaskHead};

/// Writes a model directory: `model.safetensors` in f32 with the declared names in their order, then
/// `config.json`, whose `architectures` names the class with the declared heads. The same arguments
/// give the same bytes.
pub fn save(dir: &Path, config: &Config, declaration: &Declaration, weights: &[f32]) -> Result<(), Error> {
    assert_eq!(weights.len(), declaration.len);
    fs::create_dir_all(dir).map_err(at("create", dir))?;
    let tensors: Vec<_> = declaration
        .parameters
        .iter()
        .map(|parameter| (parameter.name.clone(), parameter.shape.clone(), &weights[parameter.span.range()]))
        .collect();
    let metadata = [("format".to_string(), "pt".to_string())];
    write_tensors(&dir.join("model.safetensors"), &tensors, &metadata)?;
    let mut config = Config { architectures: vec![architecture(declaration.heads).to_string()], ..config.clone() };
    if declaration.heads.task == Some(TaskHead::Span) {
        // Hugging Face gives this head as many outputs as there are labels, and two where none are named.
        config.labels.clear();
    }
    config.write(&dir.join("config.json"))
}

/// Hugging Face's class for a model with these heads.
fn architecture(heads: HeadSet) -> &'static str {
    match (heads.task, heads.mlm, heads.nsp) {
        (Some(TaskHead::Pooled(_)), _, _) => "BertForSequenceClassification",
        (Some(TaskHead::Tokens(_)), _, _) => "BertForTokenClassification",
        (Some(TaskHead::Span), _, _) => "BertForQuestionAnswering",
        (None, true, true) => "BertForPreTraining",
        (None, true, false) => "BertForMaskedLM",
        (None, false, true) => "BertForNextSentencePrediction",
        (None, false, false) => "BertModel",
    }
}

/// Writes a safetensors file of f32 tensors (name, shape, values) in this order.
pub fn write_tensors(
    path: &Path,
    tensors: &[(String, Vec<usize>, &[f32])],
    metadata: &[(String, String)],
) -> Result<(), Error> {
    let heads: Vec<_> = tensors.iter().map(|(name, shape, _)| TensorHead::new(name, Dtype::F32, shape)).collect();
    write_tensor_file(path, &heads, metadata, |file| tensors.iter().try_for_each(|(_, _, values)| file.f32(values)))
}

/// What the header of a file tells of a tensor.
pub(crate) struct TensorHead {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl TensorHead {
    pub fn new(name: impl Into<String>, dtype: Dtype, shape: &[usize]) -> TensorHead {
        TensorHead { name: name.into(), dtype, shape: shape.to_vec() }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// Takes the numbers of a file's tensors, in any pieces, in the order of the heads.
pub(crate) struct TensorWriter<'a> {
    path: &'a Path,
    file: &'a mut BufWriter<File>,
    written: usize,
}

impl TensorWriter<'_> {
    pub fn f32(&mut self, values: &[f32]) -> Result<(), Error> {
        self.numbers(values, f32::to_le_bytes)
    }

    pub fn i8(&mut self, values: &[i8]) -> Result<(), Error> {
        self.numbers(values, i8::to_le_bytes)
    }

    pub fn i64(&mut self, values: &[i64]) -> Result<(), Error> {
        self.numbers(values, i64::to_le_bytes)
    }

    fn numbers<T: Copy, const N: usize>(&mut self, values: &[T], bytes_of: fn(T) -> [u8; N]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for values in values.chunks(1 << 14) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|&value| bytes_of(value)));
            self.file.write_all(&bytes).map_err(at("write to", self.path))?;
            self.written += bytes.len();
        }
        Ok(())
    }
}

/// Writes a safetensors file of tensors of any type; `write` hands over their numbers. Nobody finds the
/// file before it is whole.
pub(crate) fn write_tensor_file(
    path: &Path,
    heads: &[TensorHead],
    metadata: &[(String, String)],
    write: impl FnOnce(&mut TensorWriter) -> Result<(), Error>,
) -> Result<(), Error> {
    let header = header(heads, metadata).map_err(io::Error::from).map_err(at("write to", path))?;
    write_with(path, |file| {
        let prefix = (header.len() as u64).to_le_bytes();
        file.write_all(&prefix).and_then(|()| file.write_all(&header)).map_err(at("write to", path))?;
        let mut writer = TensorWriter { path, file, written: 0 };
        write(&mut writer)?;
        assert_eq!(writer.written, heads.iter().map(TensorHead::bytes).sum::<usize>(), "bytes of all tensors");
        Ok(())
    })
}

/// The header, padded with spaces so that the data begins at a multiple of 8 bytes.
fn header(heads: &[TensorHead], metadata: &[(String, String)]) -> Result<Vec<u8>, serde_json::Error> {
    let mut entries = Map::new();
    let strings: Map<String, Value> =
        metadata.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    entries.insert("__metadata__".into(), strings.into());
    let mut start = 0;
    for head in heads {
        let end = start + head.bytes();
        let info = TensorInfo { dtype: head.dtype, shape: head.shape.clone(), data_offsets: (start, end) };
        let previous = entries.insert(head.name.clone(), serde_json::to_value(info)?);
        assert!(previous.is_none(), "two tensors are named {}", head.name);
        start = end;
    }
    let mut bytes = serde_json::to_vec(&entries)?;
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

/// Writes a small file. Whoever reads it finds the old contents or the new, never a mixture.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<(), Error> {
    write_with(path, |file| file.write_all(contents).map_err(at("write to", path)))
}

/// Writes a file with `write`, and replaces what was there only when all is on the disk.
pub(crate) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (temporary, file) = create(path).map_err(at("write to", path))?;
    let written = replace(path, &temporary, file, write);
    if written.is_err() {
        // The first error is the one to report; the temporary file may have its name already.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn replace(
    path: &Path,
    temporary: &Path,
    file: File,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut writer = BufWriter::new(file);
    write(&mut writer)?;
    let finish = || {
        // The file stays open, and locked, until it has its name.
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(temporary, path)?;
        // The new name itself is on the disk only with the folder.
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    };
    finish().map_err(at("write to", path))
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
    use tempfile::TempDir;

    use super::*;
    use crate::checkpoint::tests::{ALL, expect_error, small_config, stored, weights};
    use crate::checkpoint::{Checkpoint, Report, TensorFile};
    use crate::params::HeadSet;

    #[test]
    fn what_is_saved_reads_back_to_the_bit() {
        let folder = TempDir::new().unwrap();
        let dir = folder.path().join("new/folder");
        let declaration = Declaration::new(&small_config(), ALL);
        // Numbers that no rounding would leave alone.
        let weights: Vec<f32> = weights(&declaration).iter().map(|weight| (weight / 7.0).sin() * 1e-20).collect();
        let config =
            Config { other: serde_json::Map::from_iter([("use_cache".into(), true.into())]), ..small_config() };
        save(&dir, &config, &declaration, &weights).unwrap();
        let checkpoint = Checkpoint::open(&dir).unwrap();
        assert_eq!(
            *checkpoint.config(),
            Config { architectures: vec!["BertForSequenceClassification".into()], ..config }
        );
        let mut read = vec![f32::NAN; weights.len()];
        assert_eq!(checkpoint.read(&declaration, &mut read).unwrap(), Report::default());
        assert!(read.iter().zip(&weights).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn what_is_saved_is_plain_safetensors_and_always_the_same_bytes() {
        let folder = TempDir::new().unwrap();
        let dir = folder.path();
        let declaration = Declaration::new(&small_config(), ALL);
        let weights = weights(&declaration);
        let save = || {
            save(dir, &small_config(), &declaration, &weights).unwrap();
            fs::read(dir.join("model.safetensors")).unwrap()
        };
        let bytes = save();
        assert_eq!(bytes, save());
        let (header_bytes, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header_bytes % 8, 0);
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
        let names: Vec<&String> = declaration.parameters.iter().map(|parameter| &parameter.name).collect();
        assert_eq!(metadata.offset_keys().iter().collect::<Vec<_>>(), names);
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for expected in stored(&declaration, &weights) {
            let tensor = tensors.tensor(&expected.name).unwrap();
            assert_eq!(
                (tensor.dtype(), tensor.shape(), tensor.data()),
                (Dtype::F32, &expected.shape[..], &expected.bytes[..])
            );
        }
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["config.json", "model.safetensors"], "no temporary files are left");
    }

    #[test]
    fn architectures_follow_the_heads() {
        let dir = TempDir::new().unwrap();
        let none = HeadSet { pooler: true, ..HeadSet::default() };
        for (heads, name) in [
            (none, "BertModel"),
            (HeadSet { mlm: true, ..none }, "BertForMaskedLM"),
            (HeadSet { nsp: true, ..none }, "BertForNextSentencePrediction"),
            (HeadSet { mlm: true, nsp: true, ..none }, "BertForPreTraining"),
            (ALL, "BertForSequenceClassification"),
        ] {
            let declaration = Declaration::new(&small_config(), heads);
            save(dir.path(), &small_config(), &declaration, &weights(&declaration)).unwrap();
            let checkpoint = Checkpoint::open(dir.path()).unwrap();
            assert_eq!((checkpoint.heads(), &checkpoint.config().architectures[..]), (heads, &[name.to_string()][..]));
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("state.json");
        write_file(&path, b"old").unwrap();
        // A file cannot take the place of a folder.
        fs::create_dir(dir.path().join("folder")).unwrap();
        expect_error(write_file(&dir.path().join("folder"), b"new"), &["folder", "write to"]);
        let failed = write_with(&path, |_| Err(Error::Settings("full".to_string())));
        expect_error(failed, &["full"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        write_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        expect_error(write_file(&dir.path().join("none/state.json"), b"new"), &["none/state.json"]);
    }

    #[test]
    fn tensors_of_any_name_with_strings_beside_them() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("optimizer.safetensors");
        // More than two pieces, the last one not full.
        let long: Vec<f32> = (0..40_000).map(|index| index as f32 / 3.0).collect();
        let tensors = [
            ("m/é \"x\"".to_string(), vec![40_000], &long[..]),
            ("empty".to_string(), vec![0, 3], &[][..]),
            ("scalar".to_string(), vec![], &long[7..8]),
        ];
        let metadata = [("step".to_string(), "17".to_string()), ("a".to_string(), "b".to_string())];
        write_tensors(&path, &tensors, &metadata).unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["empty", "m/é \"x\"", "scalar"]);
        assert_eq!(file.metadata()["step"], "17");
        for (name, shape, values) in &tensors {
            let mut read = vec![f32::NAN; values.len()];
            assert_eq!(file.shape(name), Some(&shape[..]));
            file.read(name, shape, &mut read).unwrap();
            assert_eq!(read, *values);
        }
        expect_error(file.read("v", &[1], &mut [0.0]), &["optimizer.safetensors", "`v`", "missing"]);
    }
}
