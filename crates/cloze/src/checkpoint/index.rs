//! Which file of a model directory holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde_json::Value;

use super::names::{canonical, printable};
use super::tensors::{TensorFile, error};
use crate::config::Fields;
use crate::error::Error;

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const SHARDS: &str = "model.safetensors.index.json";
pub(crate) const QUANTIZED: &str = "model.int8.safetensors";
/// What tells a quantized file: its metadata.
pub(crate) const QUANTIZED_METADATA: [(&str, &str); 2] = [("format", "cloze-int8"), ("version", "1")];
/// Each is kept open.
const SHARDS_MAX: usize = 256;

/// Where a tensor is.
#[derive(Debug)]
pub(super) struct Place {
    /// Which file.
    pub(super) file: usize,
    /// Its name in that file.
    pub(super) stored: String,
}

/// The files of a model directory and the tensors in them, under their declared names.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) files: Vec<TensorFile>,
    pub(super) places: BTreeMap<String, Place>,
    /// Whether the encoder's weights are in int8.
    pub(super) quantized: bool,
}

impl Index {
    /// The tensors of `model.safetensors`, or of the shards that an index names, or else of
    /// `model.int8.safetensors`.
    pub(super) fn open(dir: &Path) -> Result<Index, Error> {
        let mut quantized = false;
        let files = if exists(&dir.join(SINGLE)) {
            vec![TensorFile::open(&dir.join(SINGLE))?]
        } else if exists(&dir.join(SHARDS)) {
            open_shards(dir)?
        } else if exists(&dir.join(QUANTIZED)) {
            quantized = true;
            vec![open_quantized(dir)?]
        } else {
            return Err(nothing_to_read(dir));
        };
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            for stored in file.names() {
                let place = Place { file: number, stored: stored.to_string() };
                if let Some(other) = places.insert(canonical(stored), place) {
                    let message = format!(
                        "stands for the same parameter as `{}` in {}",
                        printable(&other.stored),
                        files[other.file].path().display()
                    );
                    return Err(file.error(stored, message));
                }
            }
        }
        Ok(Index { files, places, quantized })
    }

    /// A tensor by its declared name: its file, and its name there.
    pub(super) fn find(&self, declared: &str) -> Option<(&TensorFile, &str)> {
        self.places.get(declared).map(|place| (&self.files[place.file], place.stored.as_str()))
    }
}

/// Whether a folder holds a model, or a part of one.
pub fn holds_model(dir: &Path) -> bool {
    ["config.json", SINGLE, SHARDS, QUANTIZED].iter().any(|name| exists(&dir.join(name)))
}

/// The file that [`quantize`](crate::quantize::quantize) writes; its metadata must say that it is one.
fn open_quantized(dir: &Path) -> Result<TensorFile, Error> {
    let file = TensorFile::open(&dir.join(QUANTIZED))?;
    for (key, value) in QUANTIZED_METADATA {
        let found = file.metadata().get(key);
        if found.map(String::as_str) != Some(value) {
            let found = found.map_or("nothing".to_string(), |found| format!("`{}`", printable(found)));
            let message = format!(
                "expected `{value}` as `{key}` in the metadata, found {found}: another program or a newer version wrote it; quantize the model again"
            );
            return Err(error(file.path(), None, message));
        }
    }
    Ok(file)
}

/// Whether there is something of this name, be it a link that leads nowhere.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Opens the shards that an index names. Every tensor must be where the index says, and nowhere else.
fn open_shards(dir: &Path) -> Result<Vec<TensorFile>, Error> {
    let path = dir.join(SHARDS);
    let mut fields = Fields::read(&path)?;
    let Some(weight_map) = fields.object("weight_map")? else {
        return Err(fields.error("weight_map", "missing; expected the file of each tensor".into()));
    };
    let mut shards: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (tensor, file) in weight_map {
        match file {
            Value::String(file) if is_file_name(&file) => shards.entry(file).or_default().insert(tensor),
            _ => {
                let message =
                    format!("expected the name of a file in the same folder, found {}", printable(&file.to_string()));
                return Err(error(&path, Some(&tensor), message));
            }
        };
    }
    if shards.len() > SHARDS_MAX {
        let message = format!("names {} files, more than the {SHARDS_MAX} that are read", shards.len());
        return Err(fields.error("weight_map", message));
    }
    let mut files = Vec::with_capacity(shards.len());
    for (name, tensors) in shards {
        let shard = dir.join(&name);
        if !exists(&shard) {
            return Err(error(&shard, None, format!("missing, though {SHARDS} names it; fetch or copy all shards")));
        }
        let file = TensorFile::open(&shard)?;
        if let Some(tensor) = tensors.iter().find(|tensor| file.shape(tensor).is_none()) {
            return Err(file.error(tensor, format!("missing, though {SHARDS} says that it is here")));
        }
        if let Some(tensor) = file.names().find(|&tensor| !tensors.contains(tensor)) {
            return Err(file.error(tensor, format!("{SHARDS} does not say that it is here")));
        }
        files.push(file);
    }
    Ok(files)
}

/// Whether this is the plain name of a file: no folder, no way up, no root.
fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let plain = matches!(components.next(), Some(Component::Normal(first)) if first == name);
    plain && components.next().is_none() && !name.contains(['\\', '\0'])
}

/// The error for a directory without safetensors; it says how to come by them.
fn nothing_to_read(dir: &Path) -> Error {
    let other = ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"]
        .into_iter()
        .find(|name| exists(&dir.join(name)));
    match other {
        Some(name) => {
            let message = format!(
                "weights are read from {SINGLE} only; load this model with Hugging Face transformers and write it again with `save_pretrained`, which makes that file"
            );
            error(&dir.join(name), None, message)
        }
        None => {
            error(dir, None, format!("neither {SINGLE} nor {SHARDS} is in this folder: it holds no model's weights"))
        }
    }
}
