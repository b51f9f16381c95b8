//! A model's metrics on a file.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use cloze_kernels::Kernels;

use crate::Error;
use crate::data::{
    ColumnSpec, Corpus, DocumentBreak, Labelling, Objective, SentenceUnit, read_examples, read_sentences,
};
use crate::heads::{Workspace, losses};
use crate::infer::{Long, Model, ReadOptions, SentenceWindow, Task};
use crate::model::Keep;
use crate::settings::{PretrainSettings, Start};
use crate::train::{Event, HeldOut, Metrics, Observer};

use super::task::{classes, read, several_labels, task_metrics, values};
use super::words::{WordResults, read_labelled_words};

/// Examples between two reports of progress.
const EXAMPLES_AT_A_TIME: usize = 256;

/// How good a model is on some data.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// `classification`, `regression`, `multi-label`, `tokens` or `pretraining`.
    pub task: &'static str,
    /// Examples, or instances of pre-training.
    pub examples: usize,
    /// The loss first.
    pub metrics: Metrics,
}

/// Evaluates a classifier or a regression on labelled examples.
///
/// # Errors
/// If the model has no such head, the file cannot be read, or an example's label is unknown.
pub fn evaluate(
    model: &Model,
    path: &Path,
    columns: Option<&ColumnSpec>,
    options: ReadOptions,
    observer: &mut Observer,
) -> Result<Evaluation, Error> {
    if model.task() == Some(Task::Tokens) {
        return evaluate_words(model, path, columns, options, observer);
    }
    let (name, labelling) = match model.task() {
        Some(Task::Classification) => ("classification", Labelling::One),
        Some(Task::Regression) => ("regression", Labelling::One),
        Some(Task::MultiLabel) => ("multi-label", Labelling::Several),
        _ => return Err(Error::Settings("the model has no head to evaluate on labelled examples".to_string())),
    };
    let examples = read_examples(path, columns, labelling)?;
    let gold = match model.task() {
        Some(Task::Regression) => values(&examples, path)?,
        Some(Task::MultiLabel) => several_labels(&examples, &model.config().labels, path)?,
        _ => classes(&examples, &model.config().labels, path)?,
    };
    let (texts, note) = read(model.tokenizer(), &examples, model.reading(options)?, path);
    if let Some(note) = note {
        let _ = observer(&Event::Note(note));
    }
    let mut logits = Vec::with_capacity(examples.len());
    for chunk in texts.chunks(EXAMPLES_AT_A_TIME) {
        logits.extend(model.classifier_logits(chunk)?);
        let (done, total) = (logits.len() as u64, examples.len() as u64);
        let _: ControlFlow<()> = observer(&Event::Progress { what: "evaluating", done, total });
    }
    let metrics = task_metrics(&logits, &gold, model.config().labels.len());
    Ok(Evaluation { task: name, examples: examples.len(), metrics })
}

/// Evaluates a classifier of words.
fn evaluate_words(
    model: &Model,
    path: &Path,
    columns: Option<&ColumnSpec>,
    options: ReadOptions,
    observer: &mut Observer,
) -> Result<Evaluation, Error> {
    let sentences = read_sentences(path, columns, true)?;
    let long = options.long.or(model.settings().long).or(Some(Long::Window));
    let reading = model.reading(ReadOptions { long, ..options })?;
    let subtokens = model.settings().subtokens.unwrap_or_default();
    let names = &model.config().labels;
    let (read, gold, note) = read_labelled_words(model.tokenizer(), &sentences, names, reading, subtokens, path)?;
    if let Some(note) = note {
        let _ = observer(&Event::Note(note));
    }
    let mut results = WordResults::default();
    for (sentences, gold) in read.chunks(EXAMPLES_AT_A_TIME).zip(gold.chunks(EXAMPLES_AT_A_TIME)) {
        let windows: Vec<&SentenceWindow> = sentences.iter().flat_map(|sentence| &sentence.windows).collect();
        let mut logits = model.token_logits(&windows)?.into_iter();
        for (sentence, gold) in sentences.iter().zip(gold) {
            let own: Vec<Vec<f64>> = logits.by_ref().take(sentence.windows.len()).collect();
            results.add(sentence, gold, &own, names.len());
        }
        let (done, total) = (results.gold.len() as u64, read.len() as u64);
        let _: ControlFlow<()> = observer(&Event::Progress { what: "evaluating", done, total });
    }
    Ok(Evaluation { task: "tokens", examples: read.len(), metrics: results.metrics(names) })
}

/// How text files are read for [`evaluate_pretraining`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PretrainingData {
    /// What ends a document.
    pub document: DocumentBreak,
    /// What a sentence is.
    pub sentences: SentenceUnit,
    /// Tokens of an instance at most; by default as the model was trained.
    pub max_seq_length: Option<usize>,
    /// Decides instances and masks.
    pub seed: u64,
}

/// Evaluates masked language model and, if the model has the head, next sentence prediction on text
/// files, with masks fixed by the seed.
///
/// # Errors
/// If the model has no masked language model head, or a file cannot be read.
pub fn evaluate_pretraining(
    model: &Model,
    files: &[PathBuf],
    data: PretrainingData,
    observer: &mut Observer,
) -> Result<Evaluation, Error> {
    let heads = model.heads();
    if !heads.mlm {
        return Err(Error::Settings("the model has no masked language model head to evaluate on text".to_string()));
    }
    let default_length = model.settings().max_seq_length.unwrap_or(128).min(model.config().max_position_embeddings);
    let mut settings = PretrainSettings::new(files.to_vec(), "", Start::Model("".into()), 1);
    settings.max_seq_length = model.checked_length(data.max_seq_length, default_length)?;
    settings.objective = if heads.nsp && heads.pooler { Objective::MlmNsp } else { Objective::Mlm };
    let lengths = settings.objective.sequence_lengths();
    if !lengths.contains(&settings.max_seq_length) {
        return Err(Error::Settings(format!(
            "a maximum length of {} tokens: instances of this model need {} to {}",
            settings.max_seq_length,
            lengths.start(),
            lengths.end()
        )));
    }
    settings.update.seed = data.seed;
    let mut progress = |done, total| {
        let _ = observer(&Event::Progress { what: "reading", done, total });
    };
    let corpus = Corpus::read(files, model.tokenizer(), data.document, data.sentences, &mut progress)?;
    let held_out = HeldOut::new(&corpus, &settings, model.tokenizer());
    let network = model.network();
    let mut workspace = Workspace::new(&network.kernels, model.config(), Keep::LastHiddenState)?;
    let metrics = held_out.evaluate(
        |sums, batch| {
            let totals = batch.totals();
            network.kernels.scope(|| losses(network, &mut workspace, sums, None, batch, 0, totals, None))
        },
        observer,
    )?;
    Ok(Evaluation { task: "pretraining", examples: held_out.instances(), metrics })
}
