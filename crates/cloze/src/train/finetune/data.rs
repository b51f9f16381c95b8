//! What a fine-tuning learns from and is measured with.

use std::path::PathBuf;

use cloze_tokenizer::Tokenizer;
use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, hex};
use crate::data::DataOptions;
use crate::eval::Source;
use crate::eval::thresholds::Aim;
use crate::heads::TrainingBatch;
use crate::infer::InferenceWorkspace;
use crate::params::HeadSet;
use crate::settings::{FinetuneSettings, FinetuneTask};
use crate::train::{Metrics, Observer, Trainer};
use crate::{Config, Error};

use super::held_out;
use super::questions::{self, QuestionData};
use super::texts::{self, TextData};
use super::words::{self, WordData};

/// Data of one file, as the model reads it.
pub(super) enum TaskData {
    /// What texts and pairs are.
    Texts(TextData),
    /// What words are.
    Words(WordData),
    /// What answers to questions are.
    Questions(QuestionData),
}

/// The data of a run, and the heads that it needs.
pub(super) struct Sets {
    pub train: TaskData,
    /// None if nothing is held out.
    pub dev: Option<TaskData>,
    /// The held-out examples of the training file, if there is no file of others.
    pub held_out: Option<Source>,
    pub heads: HeadSet,
}

/// Reads the files, and chooses the labels.
pub(super) fn read(
    settings: &FinetuneSettings,
    config: &mut Config,
    checkpoint: Option<&mut Checkpoint>,
    tokenizer: &Tokenizer,
    observer: &mut Observer,
) -> Result<Sets, Error> {
    let mut options = DataOptions::new(settings.columns.as_deref(), &settings.reading)?;
    let has_head = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.heads().task.is_some());
    if has_head && !settings.new_head {
        // The head's labels name those that the files give by number.
        options = options.naming(&config.labels);
    }
    match settings.task {
        FinetuneTask::Questions => questions::read(settings, config, checkpoint, tokenizer, &options, observer),
        FinetuneTask::Tokens => words::read(settings, config, checkpoint, tokenizer, &options, observer),
        FinetuneTask::Classification | FinetuneTask::Regression | FinetuneTask::MultiLabel => {
            texts::read(settings, config, checkpoint, tokenizer, &options, observer)
        }
    }
}

/// Name of the examples to evaluate on in notes.
pub(in crate::train) fn dev_name(settings: &FinetuneSettings) -> PathBuf {
    settings.dev.clone().unwrap_or_else(|| held_out::name(&settings.train))
}

impl TaskData {
    /// Number of what a batch is made of: texts, or windows of sentences.
    pub fn len(&self) -> usize {
        match self {
            TaskData::Texts(data) => data.len(),
            TaskData::Words(data) => data.len(),
            TaskData::Questions(data) => data.len(),
        }
    }

    /// Whether they are questions that may have no answer.
    pub fn may_lack_answers(&self) -> bool {
        matches!(self, TaskData::Questions(data) if data.may_have_no_answer())
    }

    /// The `chosen` ones as a batch.
    pub fn batch(&self, chosen: &[usize]) -> TrainingBatch {
        match self {
            TaskData::Texts(data) => data.batch(chosen),
            TaskData::Words(data) => data.batch(chosen),
            TaskData::Questions(data) => data.batch(chosen),
        }
    }

    /// How good the model is on them. Where texts may have several labels, these are those at the thresholds that are best
    /// for `metric` here: at fixed ones a model that is still unsure gives no label at all.
    ///
    /// # Errors
    /// If an output of the model is not finite.
    pub fn evaluate(
        &self,
        trainer: &Trainer,
        workspace: &mut InferenceWorkspace,
        config: &Config,
        metric: &str,
        observer: &mut Observer,
    ) -> Result<Metrics, Error> {
        let labels = &config.labels;
        let metrics = match self {
            TaskData::Texts(data) => data.results(trainer, workspace, labels, observer).map(|mut found| {
                found.tune(Aim::of_metric(metric));
                found.metrics()
            }),
            TaskData::Words(data) => data.results(trainer, workspace, labels, observer).map(|found| found.metrics()),
            TaskData::Questions(data) => data.results(trainer, workspace, observer).and_then(|found| found.metrics()),
        };
        metrics.map_err(|error| match error {
            Error::Overflow { place } => Error::NotFinite {
                step: trainer.step_count(),
                what: format!("the output of {place} in the evaluation"),
                value: f64::NAN,
            },
            other => other,
        })
    }
}

/// SHA-256 of the data as the model reads it: token ids and what they should give.
pub(super) fn hash<'a>(sets: impl Iterator<Item = &'a TaskData>) -> String {
    let mut hasher = Sha256::new();
    for data in sets {
        hasher.update((data.len() as u64).to_le_bytes());
        match data {
            TaskData::Texts(data) => data.hash(&mut hasher),
            TaskData::Words(data) => data.hash(&mut hasher),
            TaskData::Questions(data) => data.hash(&mut hasher),
        }
    }
    hex(hasher)
}

/// Adds the ids of a sequence.
pub(super) fn hash_ids(hasher: &mut Sha256, ids: &[u32]) {
    hasher.update((ids.len() as u64).to_le_bytes());
    ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
}
