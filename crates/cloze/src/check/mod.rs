//! What is wrong with data, model and settings, told before anything is trained.
//!
//! [`check`] reads what a fine-tuning would read and tells everything that it finds, with file and line: lines that
//! are broken, labels that only one file has, examples that occur twice or in both files, words without tokens, an
//! unknown vocabulary, answers that are not where they should be. It also counts: labels, lengths, and about how much
//! memory and time the training takes.

mod estimate;
mod finding;
mod labels;
mod model;
mod read;
mod repeats;
mod structure;
mod tokens;

use std::path::{Path, PathBuf};

use cloze_tokenizer::TokenizerFile;
use serde::Serialize;

use crate::data::{DataOptions, DataSettings};
use crate::infer::Long;
use crate::settings::{ClassWeights, FinetuneSettings, FinetuneTask, QuestionSettings, Start};
use crate::{Error, Precision};

pub use estimate::Estimate;
pub use finding::{Finding, Place, Severity};
pub use labels::{LabelCount, Values};
pub use tokens::{Bar, Cut, Lengths};

use model::Opened;
use read::{Data, Item};

/// What is checked. [`CheckSettings::new`] gives the defaults of fine-tuning.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckSettings {
    /// What would be learnt.
    pub task: FinetuneTask,
    /// How questions would be read.
    pub questions: QuestionSettings,
    /// Examples to train on.
    pub train: PathBuf,
    /// Examples to evaluate on.
    pub dev: Option<PathBuf>,
    /// Which columns hold text and label, as `text=NAME,label=NAME`; by default recognised by name.
    pub columns: Option<String>,
    /// How both files would be read.
    pub reading: DataSettings,
    /// Where the weights would come from.
    pub start: Option<Start>,
    /// A model directory or `vocab.txt`; by default that of the model to start from.
    pub tokenizer: Option<PathBuf>,
    /// The file that decides where those of the tokenizer contradict each other.
    pub tokenizer_file: Option<TokenizerFile>,
    /// Whether a bare `vocab.txt` is of a cased model.
    pub cased: bool,
    /// Whether a head with other labels may be replaced.
    pub new_head: bool,
    /// Tokens of an input at most.
    pub max_seq_length: usize,
    /// What becomes of longer inputs.
    pub long: Long,
    /// How the loss of an example would depend on its label.
    pub class_weights: ClassWeights,
    /// Examples of an optimizer step.
    pub batch_size: usize,
    /// Parts in which a step is computed.
    pub accumulate: usize,
    /// Passes over the training examples.
    pub epochs: u64,
    /// The numbers of products.
    pub precision: Precision,
}

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The files alone: nothing is tokenized, nothing is measured.
    Quick,
    /// Everything.
    Full,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// What could be read.
    pub files: Vec<FileFigures>,
    /// What was found, the worst first.
    #[serde(skip)]
    pub findings: Vec<Finding>,
    /// How often each label occurs; empty for regression.
    pub labels: Vec<LabelCount>,
    /// How long the examples of each file are; empty without a tokenizer.
    pub lengths: Vec<Lengths>,
    /// About what the training takes; none without a model.
    pub estimate: Option<Estimate>,
}

/// A file that could be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileFigures {
    /// The file.
    pub path: PathBuf,
    /// Examples, sentences or questions.
    pub examples: usize,
    /// Words of all sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<usize>,
    /// How the labels of words mark entities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<&'static str>,
    /// The mean number of labels of an example that may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_per_example: Option<f64>,
    /// The values of a regression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
}

/// Checks what a fine-tuning with these settings would read. `threads` are those to measure speed with; by default as
/// many as the process may use.
///
/// # Errors
/// If a choice of columns cannot be understood, or there is no memory for the measurement. Everything that is wrong
/// with files is a finding.
pub fn check(settings: &CheckSettings, depth: Depth, threads: Option<usize>) -> Result<CheckReport, Error> {
    let mut findings = Vec::new();
    let options = DataOptions::new(settings.columns.as_deref(), &settings.reading)?;
    let model = model::open(settings, depth, &mut findings);
    // As a training does it: the labels of a head that is kept name those that are given by number.
    let options = match (&model.config, model.head) {
        (Some(config), Some(_)) if !settings.new_head => options.naming(&config.labels),
        _ => options,
    };
    let mut read = |path: &PathBuf| read::read(settings, &options, path, &mut findings);
    let train = read(&settings.train);
    let dev = settings.dev.as_ref().and_then(&mut read);
    model::check_settings(settings, &model, train.as_ref(), &mut findings);

    let read = [(Some(&settings.train), &train), (settings.dev.as_ref(), &dev)];
    let read: Vec<(&Path, &Data)> =
        read.into_iter().filter_map(|(path, data)| Some((path?.as_path(), data.as_ref()?))).collect();
    let files = read.iter().map(|(path, data)| check_file(settings, data, path, &mut findings)).collect();
    let counts = match settings.task {
        FinetuneTask::Regression => Vec::new(),
        _ => labels::counts(train.as_ref(), dev.as_ref()),
    };
    if train.is_some() {
        labels::check(settings, &counts, dev.as_ref(), &model, &mut findings);
    }
    let items: Vec<Vec<Item>> = read.iter().map(|(_, data)| data.items(settings.task)).collect();
    for ((path, _), items) in read.iter().zip(&items) {
        repeats::empty(items, path, &mut findings);
        repeats::within(items, path, &mut findings);
    }
    if let ([(train_path, train), (dev_path, dev)], [train_items, dev_items]) = (&*read, &*items) {
        repeats::between(train_items, train_path, dev_items, dev_path, &mut findings);
        match (train, dev) {
            (Data::Sentences(train), Data::Sentences(dev)) => {
                structure::schemes(train, dev, dev_path, &mut findings);
            }
            (Data::Questions(train), Data::Questions(dev)) => {
                structure::shared_contexts(&train.questions, &dev.questions, dev_path, &mut findings);
            }
            _ => {}
        }
    }
    let mut report = CheckReport { files, findings, labels: counts, lengths: Vec::new(), estimate: None };
    if depth == Depth::Full {
        tokenize_and_estimate(settings, &model, &read, &items, threads, &mut report)?;
    }
    report.findings.sort_by_key(|finding| finding.severity);
    Ok(report)
}

/// What one file says about itself.
fn check_file(settings: &CheckSettings, data: &Data, path: &Path, findings: &mut Vec<Finding>) -> FileFigures {
    let mut figures = FileFigures {
        path: path.to_path_buf(),
        examples: data.len(),
        words: None,
        scheme: None,
        labels_per_example: None,
        values: None,
    };
    match data {
        Data::Texts(_) if settings.task == FinetuneTask::Regression => {
            figures.values = labels::values(data, path, findings);
        }
        Data::Texts(texts) if settings.task == FinetuneTask::MultiLabel => {
            let labels: usize = texts.iter().map(|text| text.labels.len()).sum();
            figures.labels_per_example = Some(labels as f64 / texts.len().max(1) as f64);
        }
        Data::Texts(_) => {}
        Data::Sentences(sentences) => {
            figures.words = Some(sentences.iter().map(|sentence| sentence.words.len()).sum());
            figures.scheme = Some(structure::name(structure::sentences(sentences, path, findings)));
        }
        Data::Questions(squad) => structure::questions(&squad.questions, path, findings),
    }
    figures
}

/// What needs a tokenizer, and what needs its results.
fn tokenize_and_estimate(
    settings: &CheckSettings,
    model: &Opened,
    read: &[(&Path, &Data)],
    items: &[Vec<Item>],
    threads: Option<usize>,
    report: &mut CheckReport,
) -> Result<(), Error> {
    let Some(tokenizer) = &model.tokenizer else { return Ok(()) };
    let findings = &mut report.findings;
    model::check_tokenizer(settings, model, items, findings);
    report.lengths = read
        .iter()
        .zip(items)
        .map(|((path, _), items)| tokens::check(settings, tokenizer, items, path, findings))
        .collect();
    // Without the training file there is nothing to estimate.
    let (train, dev) = (report.lengths.first(), report.lengths.get(1));
    let (Some(config), Some(train)) = (&model.config, train.filter(|train| train.path == settings.train)) else {
        return Ok(());
    };
    if findings.iter().any(|finding| finding.kind == "max-seq-length" && finding.severity == Severity::Error) {
        return Ok(());
    }
    let labels = report.labels.iter().filter(|label| label.train > 0).count();
    report.estimate = Some(estimate::estimate(settings, config, labels, train, dev, threads)?);
    Ok(())
}

impl CheckReport {
    /// How many findings are as bad as this.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

impl CheckSettings {
    /// The defaults of fine-tuning: three epochs of 32 examples a step, cut to 128 tokens; questions in windows of
    /// 384.
    pub fn new(task: FinetuneTask, train: impl Into<PathBuf>) -> CheckSettings {
        CheckSettings {
            task,
            train: train.into(),
            dev: None,
            columns: None,
            reading: DataSettings::default(),
            start: None,
            tokenizer: None,
            tokenizer_file: None,
            cased: false,
            new_head: false,
            max_seq_length: if task == FinetuneTask::Questions { 384 } else { 128 },
            long: if matches!(task, FinetuneTask::Tokens | FinetuneTask::Questions) {
                Long::Window
            } else {
                Long::Truncate
            },
            class_weights: ClassWeights::None,
            batch_size: 32,
            accumulate: 1,
            questions: QuestionSettings::default(),
            epochs: 3,
            precision: Precision::F32,
        }
    }
}

impl From<&FinetuneSettings> for CheckSettings {
    fn from(settings: &FinetuneSettings) -> CheckSettings {
        CheckSettings {
            dev: settings.dev.clone(),
            columns: settings.columns.clone(),
            reading: settings.reading.clone(),
            start: Some(settings.start.clone()),
            tokenizer: settings.tokenizer.clone(),
            cased: settings.cased,
            new_head: settings.new_head,
            max_seq_length: settings.max_seq_length,
            long: settings.long,
            class_weights: settings.class_weights.clone(),
            batch_size: settings.update.batch_size,
            accumulate: settings.update.accumulate,
            questions: settings.questions,
            epochs: settings.epochs,
            precision: settings.update.precision,
            ..CheckSettings::new(settings.task, &settings.train)
        }
    }
}

#[cfg(test)]
mod tests;
