//! Flags that `pretrain` and `finetune` share.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cloze::optim::{Decay, OptimizerKind, OptimizerSettings};
use cloze::settings::{FinetuneTask, Start, UpdateSettings};
use cloze::train::RunOptions;

use crate::arguments::{Common, not_negative, part, positive};

/// Which weights a training starts from.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    start: StartChoice,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct StartChoice {
    /// Random weights of a published size: tiny, mini, small, medium, base or large
    #[arg(long, value_name = "NAME", value_parser = ["tiny", "mini", "small", "medium", "base", "large"])]
    preset: Option<String>,
    /// Random weights of the sizes in a config.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The weights of a model directory
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

impl StartArgs {
    /// What was chosen.
    pub fn start(&self) -> Start {
        let StartChoice { preset, config, model } = &self.start;
        match (preset, config, model) {
            (Some(name), _, _) => Start::Preset(name.clone()),
            (_, Some(path), _) => Start::Config(path.clone()),
            (_, _, Some(dir)) => Start::Model(dir.clone()),
            _ => unreachable!("one of --preset, --config and --model is required"),
        }
    }
}

/// The tokenizer of a training, or of a check of one.
#[derive(Debug, Args)]
pub struct TokenizerArgs {
    /// A model directory or a vocab.txt [default: that of --model]
    #[arg(long, visible_alias = "vocab", value_name = "PATH", required_unless_present = "model")]
    pub tokenizer: Option<PathBuf>,
    /// A bare vocab.txt is of a cased model
    #[arg(long)]
    pub cased: bool,
}

/// Flags of every training.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Folder for the model and, in `runs`, its curves for TensorBoard; an unfinished training in it is resumed
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Start anew although the folder holds a training with other settings
    #[arg(long)]
    pub overwrite: bool,
    /// Write a checkpoint every N steps, to go on from after a crash
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub save_steps: Option<u64>,
    /// Keep the newest N checkpoints, and the best one [default: 2]
    #[arg(long, value_name = "N")]
    pub keep: Option<NonZeroUsize>,
    /// Longest sequence in tokens, special tokens included [default: 128; 384 for qa]
    #[arg(long, value_name = "N")]
    pub max_seq_length: Option<usize>,
    /// Compute a batch in N parts, which needs less memory; the result is the same to the bit
    #[arg(long, value_name = "N", default_value = "1")]
    pub accumulate: NonZeroUsize,
    /// Weight decay [default: 0.01]
    #[arg(long, value_name = "DECAY", value_parser = not_negative)]
    pub weight_decay: Option<f64>,
    /// Gradients are scaled down to this norm [default: 1]
    #[arg(long, value_name = "NORM", value_parser = positive)]
    pub clip: Option<f64>,
    /// Dropout everywhere [default: as the model's configuration says]
    #[arg(long, value_name = "P", value_parser = part)]
    pub dropout: Option<f64>,
    /// How the learning rate falls after its rise
    #[arg(long, value_name = "HOW", default_value = "linear")]
    pub schedule: ScheduleName,
    /// Whether the optimizer's moments are corrected for their start from zero [default: on with adamw]
    #[arg(long, value_name = "WHETHER")]
    pub bias_correction: Option<Switch>,
    /// Whether to shuffle what is learnt from, or keep the order of the file
    #[arg(long, value_name = "WHETHER", default_value = "on")]
    pub shuffle: Switch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// Names of schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleName {
    Linear,
    Cosine,
    Constant,
}

impl From<ScheduleName> for Decay {
    fn from(name: ScheduleName) -> Decay {
        match name {
            ScheduleName::Linear => Decay::Linear,
            ScheduleName::Cosine => Decay::Cosine,
            ScheduleName::Constant => Decay::Constant,
        }
    }
}

/// Names of optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptimizerName {
    /// As BERT was trained: no bias correction
    BertAdam,
    /// With bias correction
    #[value(name = "adamw")]
    AdamW,
}

impl From<OptimizerName> for OptimizerKind {
    fn from(name: OptimizerName) -> OptimizerKind {
        match name {
            OptimizerName::BertAdam => OptimizerKind::BertAdam,
            OptimizerName::AdamW => OptimizerKind::AdamW,
        }
    }
}

/// What a fine-tuning teaches.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TaskName {
    /// One label of several for a text or a pair
    Classification,
    /// A number for a text or a pair
    Regression,
    /// Any number of labels for a text or a pair
    MultiLabel,
    /// A label for each word
    Tokens,
    /// The answer to a question in a text, from files like SQuAD's
    Qa,
}

impl From<TaskName> for FinetuneTask {
    fn from(name: TaskName) -> FinetuneTask {
        match name {
            TaskName::Classification => FinetuneTask::Classification,
            TaskName::Regression => FinetuneTask::Regression,
            TaskName::MultiLabel => FinetuneTask::MultiLabel,
            TaskName::Tokens => FinetuneTask::Tokens,
            TaskName::Qa => FinetuneTask::Questions,
        }
    }
}

/// Flags whose defaults differ between trainings.
pub struct UpdateFlags {
    /// Sequences for one optimizer step.
    pub batch_size: NonZeroUsize,
    /// The highest.
    pub learning_rate: f64,
    /// Share of the steps.
    pub warmup: f64,
}

impl RunArgs {
    /// How the weights are updated, given the flags whose defaults differ between trainings.
    pub fn update(&self, common: &Common, optimizer: OptimizerKind, flags: UpdateFlags) -> UpdateSettings {
        let mut optimizer = OptimizerSettings::new(optimizer);
        optimizer.weight_decay = self.weight_decay.unwrap_or(optimizer.weight_decay);
        optimizer.clip = self.clip.unwrap_or(optimizer.clip);
        optimizer.bias_correction = self.bias_correction.map(|switch| switch == Switch::On);
        UpdateSettings {
            batch_size: flags.batch_size.get(),
            accumulate: self.accumulate.get(),
            optimizer,
            learning_rate: flags.learning_rate,
            warmup: flags.warmup,
            decay: self.schedule.into(),
            dropout: self.dropout.map(|dropout| dropout as f32),
            shuffle: self.shuffle == Switch::On,
            seed: common.seed,
            precision: common.training_precision(),
        }
    }

    /// Where and how to run.
    pub fn options(&self, common: &Common) -> RunOptions {
        RunOptions {
            output: self.output.clone(),
            overwrite: self.overwrite,
            threads: common.threads(),
            save_steps: self.save_steps,
            keep_checkpoints: self.keep,
            max_memory: None,
        }
    }
}
