//! Hugging Face model directories, read and written.
//!
//! Nothing in a file is believed before it is checked: sizes in `config.json` are compared with the
//! shapes in the headers of the tensor files, and those with the files' lengths, before anything of
//! that size is allocated.

mod heads;
pub(crate) mod index;
mod names;
mod pieces;
mod save;
mod sentence;
mod sums;
mod tensors;

/// Refuses a directory of Google's program, with how to make one that can be read.
fn refuse_tensorflow(dir: &Path) -> Result<(), Error> {
    if dir.join("config.json").exists() || !dir.join(GOOGLES_FILE).exists() {
        return Ok(());
    }
    let message = "a TensorFlow checkpoint of Google's program, which is not read; convert it with Hugging Face transformers 4 \
                   (`load_tf_weights_in_bert`, then `save_pretrained`), which writes config.json and model.safetensors";
    Err(tensors::error(dir, None, message.to_string()))
}

#[cfg(test)]
mod heads_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod quantized_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use safetensors::Dtype;

use heads::Found;
use index::Index;
pub use index::holds_model;
pub(crate) use names::scale_name;
use names::{TIED, is_redundant, printable};
pub(crate) use pieces::{Rows, TakeRows};
pub(crate) use save::{TensorHead, write_tensor_file, write_with};
pub use save::{save, write_file, write_tensors};
pub use sentence::{
    Dense, DenseActivation, EmbedderSettings, Pooling, Prompts, SentenceModule, SentenceSettings, model_folder,
    open_tokenizer,
};
pub(crate) use sentence::{forget_score_function, score_function};
pub(crate) use sums::{SUMS, check_sums, file_sum, hex, write_sums};
pub use tensors::TensorFile;

use crate::config::{Config, GOOGLES_FILE};
use crate::error::Error;
use crate::folder::{self, Depth, Reading, changes};
use crate::params::{Declaration, HeadSet, Parameter, TaskHead};
use crate::settings::StoredSettings;

/// An open model directory: its configuration, and the names, shapes and places of its tensors. Their
/// values are not yet read.
#[derive(Debug)]
pub struct Checkpoint {
    config: Config,
    index: Index,
    heads: HeadSet,
    notes: Vec<String>,
    /// Files that are not as they were written, and how.
    changed: Vec<String>,
    /// Keeps others from replacing the files while they are read.
    _reading: Option<Reading>,
}

/// What a model directory and a model do not have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Declared parameters that the directory lacks; they keep the values that they had.
    pub missing: Vec<String>,
    /// Tensors of the directory, as they are called there, that the model has no place for.
    pub unused: Vec<String>,
    /// Files of the directory that have changed since Cloze wrote them, and how: of sizes, and of small files.
    pub changed: Vec<String>,
}

impl Checkpoint {
    /// Opens a directory with `config.json` and `model.safetensors`, or its shards with their index; in the layout of
    /// old releases of sentence-transformers, these are in a folder inside of it.
    ///
    /// All tensors of the embeddings and of the encoder must be there; heads may be missing. Every
    /// tensor that belongs to the model must have the shape that the configuration asks for.
    ///
    /// # Errors
    /// Also if the directory is unfinished, or another process writes to it.
    pub fn open(dir: &Path) -> Result<Checkpoint, Error> {
        let reading = folder::read(dir)?;
        let settings = StoredSettings::read(dir)?;
        if let Some(run) = settings.run.filter(|run| !run.finished) {
            let command = format!("`cloze {}`", run.settings.command());
            return Err(Error::Unfinished { path: dir.to_path_buf(), command });
        }
        let changed = settings.files.map_or(Ok(Vec::new()), |files| changes(dir, &files, Depth::Small))?;
        Ok(Checkpoint { changed, _reading: Some(reading), ..Checkpoint::open_own(dir)? })
    }

    /// Opens a directory that this process is writing.
    pub(crate) fn open_own(dir: &Path) -> Result<Checkpoint, Error> {
        let dir = &model_folder(dir)?;
        refuse_tensorflow(dir)?;
        let mut config = Config::read(&dir.join("config.json"))?;
        let index = Index::open(dir)?;
        let Found { heads, notes } = heads::find(&dir.join("config.json"), &config, &index)?;
        if let (Some(TaskHead::Pooled(labels) | TaskHead::Tokens(labels)), true) =
            (heads.task, config.labels.is_empty())
        {
            // Hugging Face leaves them out where they are its own default.
            config.labels = (0..labels).map(|id| format!("LABEL_{id}")).collect();
        }
        let checkpoint = Checkpoint { config, index, heads, notes, changed: Vec::new(), _reading: None };
        for parameter in &Declaration::new(&checkpoint.config, heads).parameters {
            match checkpoint.find(parameter) {
                Some((file, stored)) if checkpoint.is_quantized() && parameter.is_encoder_weight() => {
                    checkpoint.check_quantized(parameter, file, stored)?;
                }
                Some((file, stored)) => file.check_shape(stored, &parameter.shape)?,
                None => return Err(checkpoint.incomplete(dir, parameter)),
            }
        }
        Ok(checkpoint)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Heads that the directory has tensors of. A known class in `architectures` decides the head of the task, else
    /// the tensors and the labels do.
    pub fn heads(&self) -> HeadSet {
        self.heads
    }

    /// Sentences for the user on how the head of the task was chosen.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the encoder's weights are stored in int8, in a file that [`quantize`](crate::quantize::quantize)
    /// wrote.
    pub fn is_quantized(&self) -> bool {
        self.index.quantized
    }

    /// An error if the weights are quantized, which says that they cannot be used for `what`.
    pub(crate) fn expect_all_digits(&self, what: &str) -> Result<(), Error> {
        if !self.is_quantized() {
            return Ok(());
        }
        let message = format!(
            "its weights are in int8, which is not enough to {what}: the digits are lost; use the model that it was quantized from"
        );
        Err(tensors::error(self.index.files[0].path(), None, message))
    }

    /// Forgets the head of a task, for a new one: its tensors are reported as unused.
    pub fn forget_task(&mut self) {
        self.heads.task = None;
    }

    /// Fills `weights`, `[declaration.len]`, with the declared parameters that the directory has, and
    /// leaves the others as they are. Tensors go to their places piece by piece; no file is held in
    /// memory.
    pub fn read(&self, declaration: &Declaration, weights: &mut [f32]) -> Result<Report, Error> {
        assert_eq!(weights.len(), declaration.len);
        self.expect_all_digits("train")?;
        for parameter in &declaration.parameters {
            let columns = parameter.columns();
            let values = &mut weights[parameter.span.range()];
            self.for_each_piece(parameter, &mut |row, piece| {
                let piece = piece.numbers();
                values[row * columns..][..piece.len()].copy_from_slice(piece);
                Ok(())
            })?;
        }
        self.report(declaration)
    }

    /// What the directory lacks, and what it has too much, of these parameters.
    ///
    /// # Errors
    /// If the directory has a decoder of its own, not tied to the word embeddings.
    pub(crate) fn report(&self, declaration: &Declaration) -> Result<Report, Error> {
        let mut missing = Vec::new();
        let mut used = BTreeSet::new();
        for parameter in &declaration.parameters {
            match self.find(parameter) {
                Some((file, stored)) => {
                    used.insert((file.path(), stored));
                    if self.is_quantized() && parameter.is_encoder_weight() {
                        used.extend(
                            self.index.find(&scale_name(parameter)).map(|(file, stored)| (file.path(), stored)),
                        );
                    }
                }
                None => missing.push(parameter.name.clone()),
            }
        }
        self.check_tied(declaration)?;
        let unused = self.index.places.iter().filter(|(declared, place)| {
            let path = self.index.files[place.file].path();
            !is_redundant(declared) && !used.contains(&(path, place.stored.as_str()))
        });
        let unused = unused.map(|(_, place)| printable(&place.stored)).collect();
        Ok(Report { missing, unused, changed: self.changed.clone() })
    }

    /// The tensor of a parameter, or the one that is tied to it where only that was stored.
    fn find(&self, parameter: &Parameter) -> Option<(&TensorFile, &str)> {
        let of_a_task = ["classifier.", "qa_outputs."].iter().any(|head| parameter.name.starts_with(head));
        if of_a_task && self.heads.task.is_none() {
            return None;
        }
        self.index.find(&parameter.name).or_else(|| {
            let (tied, _) = TIED.iter().find(|(_, source)| *source == parameter.name)?;
            self.index.find(tied)
        })
    }

    /// The tensors of an encoder's weight in int8: the weight, and a scale for each of its rows.
    fn check_quantized(&self, parameter: &Parameter, file: &TensorFile, stored: &str) -> Result<(), Error> {
        file.check(stored, &parameter.shape, &[Dtype::I8])?;
        let name = scale_name(parameter);
        match self.index.find(&name) {
            Some((file, stored)) => file.check(stored, &parameter.shape[..1], &[Dtype::F32]),
            None => Err(file.error(
                &name,
                format!("missing; without its scales `{}` cannot be read: quantize the model again", parameter.name),
            )),
        }
    }

    fn incomplete(&self, dir: &Path, parameter: &Parameter) -> Error {
        let message = format!(
            "missing; config.json asks for it with shape {:?} (num_hidden_layers is {})",
            parameter.shape, self.config.num_hidden_layers
        );
        let path = match &self.index.files[..] {
            [file] => file.path(),
            _ => dir,
        };
        tensors::error(path, Some(&parameter.name), message)
    }
}
