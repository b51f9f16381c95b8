//! `cloze.json`: what is stored with a model, or a run, that `config.json` has no key for.

mod budget;
mod difference;
mod paths;
pub mod recipe;
mod start;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::{CheckSettings, Depth, check};
use crate::checkpoint::{Checkpoint, write_file};
use crate::config::{parse_json, read_if_there};
use crate::data::{CorpusOptions, DataSettings, DocumentBreak, Objective, SentenceUnit};
use crate::eval::Tuning;
use crate::eval::calibration::TEMPERATURES;
use crate::first_weights::FirstWeights;
use crate::folder::StoredFiles;
use crate::heads::WindowPooling;
use crate::infer::spans::{AnswerSettings, WindowSettings, WindowStep};
use crate::infer::{Long, Subtokens};
use crate::optim::{Decay, OptimizerKind, OptimizerSettings, RateSettings};
use crate::precision::{self, Precision};
use crate::train::Verdict;
use crate::{Config, Error};

pub use budget::{Budget, Phase};
pub(crate) use budget::{check_phases, phase_ends};
pub use difference::{Difference, difference};
pub(crate) use paths::{adopt_paths, places};
use paths::{lossy, lossy_list, lossy_option};
pub use recipe::{FinetuneRecipe, PretrainRecipe};

/// The name of the file.
pub const FILE_NAME: &str = "cloze.json";

/// The contents of `cloze.json`. Every field may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredSettings {
    /// The longest input in tokens that the model was trained on; longer input is cut to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seq_length: Option<usize>,
    /// What becomes of longer texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<Long>,
    /// How the logits of a text's windows become the text's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_pooling: Option<WindowPooling>,
    /// What logits are divided by before they become probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Which of a word's tokens its label is predicted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtokens: Option<Subtokens>,
    /// The probability from which each label is given, where a text may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Vec<f64>>,
    /// How the thresholds were chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// The label whose F1 is measured, of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive_label: Option<String>,
    /// How questions are read and answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub questions: Option<QuestionSettings>,
    /// Which columns of a table hold text and label, where nothing else is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<String>,
    /// How labelled data is read, where nothing else is chosen.
    #[serde(skip_serializing_if = "DataSettings::is_default")]
    pub reading: DataSettings,
    /// The metrics of the model on its development set, as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<serde_json::Map<String, Value>>,
    /// True if the run taught the model anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The run that made the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<StoredRun>,
    /// Sizes and checksums of the other files of the directory, as they were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<StoredFiles>,
}

/// How questions on a text are read and answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuestionSettings {
    /// Tokens of a question; what is beyond is cut off.
    pub max_query_length: usize,
    /// How the windows of a text follow each other.
    pub step: WindowStep,
    /// How an answer is chosen.
    #[serde(flatten)]
    pub answers: AnswerSettings,
}

/// A run: its settings, its data, the machine, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRun {
    /// What was asked for.
    pub settings: RunSettings,
    /// SHA-256 of the data that it reads.
    pub data: String,
    /// What it computes with; on another instruction set the last bits may differ.
    pub machine: String,
    /// The version of the program.
    pub version: String,
    /// How many steps the run has, where it was asked for something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Steps between evaluations, of a run that was asked for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_steps: Option<u64>,
    /// Changes of the number of steps on the way, of a run that was asked for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replans: Vec<Replan>,
    /// Where the files of `settings` are, seen from the folder of the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, String>,
    /// Whether the run has ended and its model is complete.
    pub finished: bool,
}

/// A change of the number of steps on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replan {
    /// The step after which it holds.
    pub step: u64,
    /// The steps of the whole run from then on.
    pub steps: u64,
}

/// What a run was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunSettings {
    /// Pre-training.
    Pretrain(PretrainSettings),
    /// Fine-tuning.
    Finetune(FinetuneSettings),
}

impl RunSettings {
    /// The sub-command that starts such a run.
    pub fn command(&self) -> &'static str {
        match self {
            RunSettings::Pretrain(_) => "pretrain",
            RunSettings::Finetune(_) => "finetune",
        }
    }
}

/// Where a model's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Random weights in a published size: `tiny`, `mini`, `small`, `medium`, `base`, `large`.
    Preset(String),
    /// Random weights in the sizes of a `config.json`.
    Config(#[serde(serialize_with = "lossy")] PathBuf),
    /// A model directory.
    Model(#[serde(serialize_with = "lossy")] PathBuf),
}

impl Start {
    /// The configuration that a run starts with; its vocabulary size may be another one.
    ///
    /// # Errors
    /// If there is no such preset, or the file or model cannot be read.
    pub fn config(&self) -> Result<Config, Error> {
        match self {
            Start::Preset(name) => Config::preset(name).ok_or_else(|| {
                Error::Settings(format!("no preset `{name}`; there are tiny, mini, small, medium, base and large"))
            }),
            Start::Config(path) => Config::read(path),
            Start::Model(dir) => Ok(Checkpoint::open(dir)?.config().clone()),
        }
    }
}

/// How the weights are updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateSettings {
    /// Sequences of an optimizer step.
    pub batch_size: usize,
    /// Consecutive parts in which a step is computed; the result has the same bits for any number.
    pub accumulate: usize,
    /// The optimizer and its numbers.
    pub optimizer: OptimizerSettings,
    /// The peak of the learning rate.
    pub learning_rate: f64,
    /// Share of the steps over which the rate rises to its peak.
    pub warmup: f64,
    /// How the rate falls after that.
    #[serde(default)]
    pub decay: Decay,
    /// Dropout everywhere, instead of the configuration's.
    pub dropout: Option<f32>,
    /// Whether the order of the examples is drawn anew in every epoch, or that of the file.
    pub shuffle: bool,
    /// Decides every random draw.
    pub seed: u64,
    /// The numbers of products. Weights, gradients and moments are f32 in any case.
    #[serde(default, with = "precision::stored")]
    pub precision: Precision,
}

/// What a pre-training is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainSettings {
    /// Name of the recipe that what is not given comes from.
    #[serde(default = "default_recipe")]
    pub recipe: String,
    /// Files of text, folders of them, and patterns.
    #[serde(serialize_with = "lossy_list")]
    pub input: Vec<PathBuf>,
    /// Files of instances to train on in their order, instead of text.
    #[serde(default, serialize_with = "lossy_list")]
    pub instances: Vec<PathBuf>,
    /// Text held out likewise, or files of instances like those to train on.
    #[serde(serialize_with = "lossy_list")]
    pub dev: Vec<PathBuf>,
    /// Without such files, the share of the documents that is held out.
    pub dev_fraction: f64,
    /// A model directory or `vocab.txt`; by default that of the model to start from.
    #[serde(serialize_with = "lossy_option")]
    pub tokenizer: Option<PathBuf>,
    /// Whether a bare `vocab.txt` is of a cased model.
    pub cased: bool,
    /// Where the weights come from.
    pub start: Start,
    /// How the weights are drawn, if they come from no model.
    #[serde(default)]
    pub first_weights: FirstWeights,
    /// What is learnt.
    pub objective: Objective,
    /// What ends a document.
    pub document: DocumentBreak,
    /// What a sentence is.
    pub sentences: SentenceUnit,
    /// The field of JSON lines, or the column of Parquet files, that holds the text.
    #[serde(default = "default_text_field")]
    pub text_field: String,
    /// Whether only the first of equal documents is kept.
    #[serde(default)]
    pub drop_duplicates: bool,
    /// How long the run is.
    #[serde(flatten)]
    pub budget: Budget,
    /// Steps between evaluations on the held-out documents; by default a tenth of the run.
    pub eval_steps: Option<u64>,
    /// Held-out instances that are evaluated at most, drawn from all of them; by default 10,000.
    #[serde(default)]
    pub eval_instances: Option<usize>,
    /// Tokens of a sequence at most.
    pub max_seq_length: usize,
    /// Instead of one length, stretches of the run with a length each.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// How often a document is walked in shorter instances.
    pub short_seq_prob: f64,
    /// Share of the tokens to predict.
    pub masked_lm_prob: f64,
    /// Whether the tokens of a word are masked together.
    #[serde(default)]
    pub whole_word: bool,
    /// How the weights are updated.
    pub update: UpdateSettings,
}

/// What fine-tuning teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinetuneTask {
    /// One label for each text or pair.
    Classification,
    /// A number for each text or pair.
    Regression,
    /// Any number of labels for each text or pair.
    MultiLabel,
    /// A label for each word.
    Tokens,
    /// The answer to a question in a text.
    #[serde(rename = "qa")]
    Questions,
}

/// How much the loss of an example counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// All the same.
    #[default]
    None,
    /// Inversely to how often its label occurs in training, so that all labels count the same together: examples /
    /// (labels · examples with the label).
    Balanced,
    /// As given for each label; 1 for others.
    Given(Vec<(String, f64)>),
}

/// What a fine-tuning is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneSettings {
    /// Name of the recipe that what is not given comes from.
    #[serde(default = "default_recipe")]
    pub recipe: String,
    /// What is learnt.
    pub task: FinetuneTask,
    /// Where the weights come from.
    pub start: Start,
    /// A model directory or `vocab.txt`; by default that of the model to start from.
    #[serde(serialize_with = "lossy_option")]
    pub tokenizer: Option<PathBuf>,
    /// Whether a bare `vocab.txt` is of a cased model.
    pub cased: bool,
    /// Labelled examples to train on.
    #[serde(serialize_with = "lossy")]
    pub train: PathBuf,
    /// Labelled examples to evaluate on after every epoch; without them a tenth of the others is held out.
    #[serde(serialize_with = "lossy_option")]
    pub dev: Option<PathBuf>,
    /// Which columns hold text and label, as `text=NAME,label=NAME`; by default recognised by name.
    pub columns: Option<String>,
    /// How the files are read.
    #[serde(default, skip_serializing_if = "DataSettings::is_default")]
    pub reading: DataSettings,
    /// Passes over the training examples.
    pub epochs: u64,
    /// Tokens of an input at most.
    pub max_seq_length: usize,
    /// What becomes of longer inputs.
    #[serde(default)]
    pub long: Long,
    /// How the logits of an input's windows become the input's.
    #[serde(default)]
    pub window_pooling: WindowPooling,
    /// Which of a word's tokens its label is learnt and predicted from.
    #[serde(default)]
    pub subtokens: Subtokens,
    /// How questions are read and answered.
    #[serde(default)]
    pub questions: QuestionSettings,
    /// Whether a temperature is fitted on the development set.
    #[serde(default)]
    pub calibrate: bool,
    /// Whether a head with other labels may be replaced.
    pub new_head: bool,
    /// The metric on the development set that chooses the best weights.
    pub metric: Option<String>,
    /// The label whose F1 is measured, where there are two; by default the second.
    #[serde(default)]
    pub positive_label: Option<String>,
    /// Steps between evaluations on the development set; by default one after each epoch.
    #[serde(default)]
    pub eval_steps: Option<u64>,
    /// The run ends when so many evaluations in a row were no better than the best before.
    #[serde(default)]
    pub patience: Option<u64>,
    /// How the loss of an example depends on its label.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// Learning rates of the parts of the model.
    #[serde(default)]
    pub rates: RateSettings,
    /// How the weights are updated.
    pub update: UpdateSettings,
}

fn default_recipe() -> String {
    recipe::BERT.to_string()
}

fn default_text_field() -> String {
    CorpusOptions::default().text_field
}

impl PretrainSettings {
    /// How files become a corpus.
    pub fn corpus_options(&self) -> CorpusOptions {
        CorpusOptions {
            document: self.document,
            sentences: self.sentences,
            text_field: self.text_field.clone(),
            drop_duplicates: self.drop_duplicates,
        }
    }

    /// The defaults: MLM and NSP at 128 tokens, 256 sequences a step, Google's optimizer at 1e-4.
    pub fn new(input: Vec<PathBuf>, tokenizer: impl Into<PathBuf>, start: Start, steps: u64) -> PretrainSettings {
        PretrainSettings {
            recipe: default_recipe(),
            input,
            instances: Vec::new(),
            dev: Vec::new(),
            dev_fraction: 0.01,
            tokenizer: Some(tokenizer.into()),
            cased: false,
            start,
            first_weights: FirstWeights::Bert,
            objective: Objective::MlmNsp,
            document: DocumentBreak::BlankLine,
            sentences: SentenceUnit::Split,
            text_field: default_text_field(),
            drop_duplicates: false,
            budget: Budget::Steps(steps),
            eval_steps: None,
            eval_instances: None,
            max_seq_length: 128,
            phases: Vec::new(),
            short_seq_prob: 0.1,
            masked_lm_prob: 0.15,
            whole_word: false,
            update: UpdateSettings {
                batch_size: 256,
                accumulate: 1,
                optimizer: OptimizerSettings::new(OptimizerKind::BertAdam),
                learning_rate: 1e-4,
                warmup: 0.01,
                decay: Decay::Linear,
                dropout: None,
                shuffle: true,
                seed: 1,
                precision: Precision::F32,
            },
        }
    }

    /// Takes everything that a recipe decides from it.
    pub fn apply(&mut self, recipe: &PretrainRecipe) {
        self.recipe = recipe.name.clone();
        self.first_weights = recipe.first_weights;
        self.update.optimizer = OptimizerSettings::new(recipe.optimizer);
        self.update.learning_rate = recipe.learning_rate;
        self.update.warmup = recipe.warmup;
        self.update.batch_size = recipe.batch_size;
        self.update.dropout = recipe.dropout;
        self.max_seq_length = recipe.phases.iter().map(|phase| phase.max_seq_length).max().unwrap_or(128);
        self.phases = if recipe.phases.len() > 1 { recipe.phases.clone() } else { Vec::new() };
    }

    /// The stretches of the run; one of the maximum length if none are given.
    pub fn phases(&self) -> Vec<Phase> {
        match self.phases.is_empty() {
            true => vec![Phase { max_seq_length: self.max_seq_length, share: 1.0 }],
            false => self.phases.clone(),
        }
    }

    /// The longest sequences of the run.
    pub fn longest(&self) -> usize {
        self.phases().iter().map(|phase| phase.max_seq_length).max().unwrap_or(self.max_seq_length)
    }
}

impl FinetuneSettings {
    /// The defaults: three epochs of 32 examples a step, AdamW at 2e-5.
    pub fn new(
        task: FinetuneTask,
        start: Start,
        train: impl Into<PathBuf>,
        dev: impl Into<PathBuf>,
    ) -> FinetuneSettings {
        FinetuneSettings { dev: Some(dev.into()), ..FinetuneSettings::holding_out(task, start, train) }
    }

    /// The same defaults without a file to evaluate on: a tenth of the training examples is held out for that.
    pub fn holding_out(task: FinetuneTask, start: Start, train: impl Into<PathBuf>) -> FinetuneSettings {
        FinetuneSettings {
            recipe: default_recipe(),
            task,
            start,
            tokenizer: None,
            cased: false,
            train: train.into(),
            dev: None,
            columns: None,
            reading: DataSettings::default(),
            epochs: 3,
            max_seq_length: if task == FinetuneTask::Questions { 384 } else { 128 },
            long: match task {
                FinetuneTask::Tokens | FinetuneTask::Questions => Long::Window,
                _ => Long::Truncate,
            },
            window_pooling: WindowPooling::Mean,
            subtokens: Subtokens::First,
            questions: QuestionSettings::default(),
            calibrate: false,
            new_head: false,
            metric: None,
            positive_label: None,
            eval_steps: None,
            patience: None,
            class_weights: ClassWeights::None,
            rates: RateSettings::default(),
            update: UpdateSettings {
                batch_size: 32,
                accumulate: 1,
                optimizer: OptimizerSettings::new(OptimizerKind::AdamW),
                learning_rate: 2e-5,
                warmup: 0.1,
                decay: Decay::Linear,
                dropout: None,
                shuffle: true,
                seed: 1,
                precision: Precision::F32,
            },
        }
    }
}

impl FinetuneSettings {
    /// Number of examples, sentences or questions to train on, as far as they can be read.
    ///
    /// # Errors
    /// If the choice of columns cannot be understood.
    pub fn examples(&self) -> Result<usize, Error> {
        let report = check(&CheckSettings { dev: None, ..CheckSettings::from(self) }, Depth::Quick, None)?;
        Ok(report.files.first().map_or(0, |file| file.examples))
    }

    /// Takes everything that a recipe decides from it.
    pub fn apply(&mut self, recipe: &FinetuneRecipe) {
        self.recipe = recipe.name.clone();
        self.update.optimizer = OptimizerSettings::new(recipe.optimizer);
        self.update.learning_rate = recipe.learning_rate;
        self.update.warmup = recipe.warmup;
        self.update.batch_size = recipe.batch_size;
        self.update.dropout = recipe.dropout;
        self.epochs = recipe.epochs;
        self.max_seq_length = recipe.max_seq_length;
    }
}

impl QuestionSettings {
    /// Refuses settings that leave no answer.
    pub fn check(&self) -> Result<(), Error> {
        let AnswerSettings { n_best, max_answer_length, .. } = self.answers;
        if n_best == 0 || max_answer_length == 0 {
            return Err(Error::Settings(format!(
                "the {n_best} best answers of {max_answer_length} tokens at most: both must be 1 or more"
            )));
        }
        Ok(())
    }

    /// Settings of windows of `max_seq_length` tokens. The usual length of questions becomes half of short windows, which
    /// would have no room for a context otherwise; a length that was chosen stays.
    pub fn windows(&self, max_seq_length: usize) -> WindowSettings {
        const SPECIAL_TOKENS: usize = 3;
        let usual = WindowSettings::default().max_query_length;
        let is_short = max_seq_length <= usual + SPECIAL_TOKENS;
        let max_query_length = match self.max_query_length == usual && is_short {
            true => (max_seq_length.saturating_sub(SPECIAL_TOKENS) / 2).max(1),
            false => self.max_query_length,
        };
        WindowSettings { max_seq_length, max_query_length, step: self.step }
    }
}

impl Default for QuestionSettings {
    fn default() -> QuestionSettings {
        let WindowSettings { max_query_length, step, .. } = WindowSettings::default();
        QuestionSettings { max_query_length, step, answers: AnswerSettings::default() }
    }
}

impl StoredSettings {
    /// Reads `cloze.json` of a directory; a directory without one has nothing stored.
    pub fn read(dir: &Path) -> Result<StoredSettings, Error> {
        let path = dir.join(FILE_NAME);
        let Some(bytes) = read_if_there(&path)? else { return Ok(StoredSettings::default()) };
        // Names that come twice in a map would not be noticed by what follows.
        parse_json(&path, &bytes)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Data {
            path,
            line: Some(error.line()),
            message: format!("not the settings of a model or run: {error}"),
        })
    }

    /// Refuses what no training stores and what has no meaning for a model with so many labels.
    pub fn check(&self, labels: usize) -> Result<(), Error> {
        let wrong = |message: String| Err(Error::Settings(format!("{FILE_NAME}: {message}")));
        if let Some(temperature) = self.temperature.filter(|own| !(TEMPERATURES.0..=TEMPERATURES.1).contains(own)) {
            let (least, most) = TEMPERATURES;
            return wrong(format!("a temperature of {temperature}; expected {least} to {most}"));
        }
        if let Some(thresholds) = self.thresholds.as_ref().filter(|thresholds| thresholds.len() != labels) {
            return wrong(format!("{} thresholds for {labels} labels; expected one for each", thresholds.len()));
        }
        self.questions.map_or(Ok(()), |questions| questions.check())
    }

    /// Writes `cloze.json` into a directory.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::Settings(error.to_string()))?;
        write_file(&dir.join(FILE_NAME), format!("{text}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PretrainSettings {
        PretrainSettings::new(vec!["a.txt".into()], "vocab", Start::Preset("tiny".into()), 100)
    }

    #[test]
    fn short_windows_have_room_for_a_context() {
        let length = |settings: QuestionSettings, max| settings.windows(max).max_query_length;
        let usual = QuestionSettings::default();
        assert_eq!([384, 68, 67, 40, 5].map(|max| length(usual, max)), [64, 64, 32, 18, 1]);
        assert_eq!(length(QuestionSettings { max_query_length: 63, ..usual }, 40), 63, "as chosen");
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(StoredSettings::read(dir.path()).unwrap(), StoredSettings::default());
        let run = StoredRun {
            settings: RunSettings::Pretrain(settings()),
            data: "00".into(),
            machine: "cpu".into(),
            version: "0".into(),
            steps: None,
            eval_steps: None,
            replans: Vec::new(),
            places: BTreeMap::new(),
            finished: false,
        };
        let stored = StoredSettings { max_seq_length: Some(128), run: Some(run), ..StoredSettings::default() };
        stored.write(dir.path()).unwrap();
        assert_eq!(StoredSettings::read(dir.path()).unwrap(), stored);
    }

    #[test]
    fn budgets_are_stored_under_their_names() {
        for (budget, name) in [
            (Budget::Steps(100), "steps"),
            (Budget::Epochs(1.5), "epochs"),
            (Budget::Tokens(1 << 40), "tokens"),
            (Budget::Seconds(60.0), "seconds"),
        ] {
            let stored = serde_json::to_value(PretrainSettings { budget, ..settings() }).unwrap();
            assert!(stored.get(name).is_some(), "{stored}");
            assert_eq!(serde_json::from_value::<PretrainSettings>(stored).unwrap().budget, budget);
        }
    }

    #[test]
    fn a_pre_training_stored_by_version_0_1_can_be_read() {
        let mut stored = serde_json::to_value(settings()).unwrap();
        for field in ["recipe", "first_weights", "instances", "phases", "whole_word"] {
            assert!(stored.as_object_mut().unwrap().remove(field).is_some(), "{field}");
        }
        assert_eq!(serde_json::from_value::<PretrainSettings>(stored).unwrap(), settings());
    }

    #[test]
    fn a_fine_tuning_stored_by_version_0_1_can_be_read() {
        let settings =
            FinetuneSettings::new(FinetuneTask::Classification, Start::Model("model".into()), "train.tsv", "dev.tsv");
        let mut stored = serde_json::to_value(&settings).unwrap();
        let added = [
            "recipe",
            "long",
            "window_pooling",
            "subtokens",
            "questions",
            "calibrate",
            "eval_steps",
            "patience",
            "class_weights",
            "rates",
        ];
        for field in added {
            assert!(stored.as_object_mut().unwrap().remove(field).is_some(), "{field}");
        }
        assert!(stored["update"].as_object_mut().unwrap().remove("decay").is_some());
        assert_eq!(serde_json::from_value::<FinetuneSettings>(stored).unwrap(), settings);
    }

    #[test]
    fn a_run_stored_without_a_precision_is_one_in_f32() {
        let mut stored = serde_json::to_value(RunSettings::Pretrain(settings())).unwrap();
        let update = stored["pretrain"]["update"].as_object_mut().unwrap();
        assert_eq!(update.remove("precision"), Some("f32".into()));
        let read: RunSettings = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(difference(&read, &RunSettings::Pretrain(settings())), None);
        let mut other = settings();
        other.update.precision = Precision::Bf16;
        let found = difference(&read, &RunSettings::Pretrain(other)).unwrap();
        assert_eq!(
            (found.name.as_str(), found.then.as_str(), found.now.as_str()),
            ("precision", "\"f32\"", "\"bf16\"")
        );
        stored["pretrain"]["update"]["precision"] = "f64".into();
        let error = serde_json::from_value::<RunSettings>(stored).unwrap_err().to_string();
        assert!(error.contains("no precision `f64`"), "{error}");
    }
}
