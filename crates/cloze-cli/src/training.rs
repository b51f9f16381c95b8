//! Flags that `pretrain` and `finetune` share.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cloze::optim::{Decay, OptimizerKind, OptimizerSettings};
use cloze::settings::{FinetuneTask, RunSettings, Start, StoredSettings, UpdateSettings, recipe};
use cloze::train::{BATCH_SIZE_MAX, RunOptions};

use crate::arguments::{Common, at_least, between, not_negative, part, positive, share};

/// Which weights a training starts from.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    start: StartChoice,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
#[command(next_help_heading = "Model")]
struct StartChoice {
    /// Start from random weights of a published size
    #[arg(long, value_name = "NAME", value_parser = ["tiny", "mini", "small", "medium", "base", "large"])]
    preset: Option<String>,
    /// Start from random weights of the sizes in this config.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start from the weights in this model directory
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
#[command(next_help_heading = "Model")]
pub struct TokenizerArgs {
    /// Read the tokenizer from this model directory or vocab.txt [default: the one of --model]
    #[arg(long, visible_alias = "vocab", value_name = "PATH", required_unless_present = "model")]
    pub tokenizer: Option<PathBuf>,
    /// Read a bare vocab.txt as that of a cased model: keep upper case and accents
    #[arg(long)]
    pub cased: bool,
}

/// Flags of every training.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Write the model to this folder, and curves for TensorBoard to `runs` in it; resume a training that it holds
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub output: PathBuf,
    /// Replace a training with other settings, or a model, that the folder holds
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,
    /// Write a checkpoint every N steps, to resume from [default: every 10 minutes]
    #[arg(long, value_name = "N", value_parser = at_least(1_u64), help_heading = "Output")]
    pub save_steps: Option<u64>,
    /// Keep the newest N checkpoints and the best one [default: 2]
    #[arg(long, value_name = "N", value_parser = at_least(NonZeroUsize::MIN), help_heading = "Output")]
    pub keep: Option<NonZeroUsize>,
    /// Cut or window texts at N tokens, special tokens included [default: by the recipe, at most what the model reads]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize), help_heading = "Data")]
    pub max_seq_length: Option<usize>,
    /// Compute each batch in N parts: takes less memory and gives the same bits
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = at_least(NonZeroUsize::MIN),
        help_heading = "Memory and evaluation"
    )]
    pub accumulate: NonZeroUsize,
    /// Decay the weights by this share of the learning rate a step [default: 0.01]
    #[arg(long, value_name = "DECAY", value_parser = not_negative, help_heading = "Optimizer")]
    pub weight_decay: Option<f64>,
    /// Scale gradients down to this norm where they exceed it [default: 1]
    #[arg(long, value_name = "NORM", value_parser = positive, help_heading = "Optimizer")]
    pub clip: Option<f64>,
    /// Drop this share of the activations [default: by the recipe, else as the model's config.json says]
    #[arg(long, value_name = "SHARE", value_parser = part, help_heading = "Optimizer")]
    pub dropout: Option<f64>,
    /// Choose how the learning rate falls after the warm-up
    #[arg(long, value_name = "HOW", default_value = "linear", help_heading = "Optimizer")]
    pub schedule: ScheduleName,
    /// Correct the optimizer's moments for their start from zero [default: off with bert-adam, else on]
    #[arg(long, value_name = "SWITCH", help_heading = "Optimizer")]
    pub bias_correction: Option<Switch>,
    /// Shuffle the training data, or keep the order of the file
    #[arg(long, value_name = "SWITCH", default_value = "on", help_heading = "Data")]
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
    /// Adam as BERT was trained with, without bias correction
    BertAdam,
    /// Adam with bias correction and decoupled weight decay
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
    /// One label of several for each text or pair
    Classification,
    /// A number for each text or pair
    Regression,
    /// Any number of labels for each text or pair
    MultiLabel,
    /// A label for each word
    Tokens,
    /// The answer to a question, found in a text; files like SQuAD's
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

/// The longest sequence: as chosen, else `default`, or what the model reads if that is less.
pub fn max_seq_length(chosen: Option<usize>, default: usize, start: Option<&Start>) -> usize {
    let readable = || start.and_then(Start::max_seq_length).unwrap_or(default);
    chosen.unwrap_or_else(|| default.min(readable()))
}

/// Flags that override a recipe.
#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// Take settings that are not given from this recipe [default: auto, or that of the run that --output holds]
    #[arg(long, value_name = "NAME", help_heading = "Optimizer")]
    pub recipe: Option<RecipeName>,
    /// Use N sequences for each optimizer step [default: by the recipe]
    #[arg(long, value_name = "N", value_parser = between(1, BATCH_SIZE_MAX), help_heading = "Optimizer")]
    pub batch_size: Option<NonZeroUsize>,
    /// Set the highest learning rate [default: by the recipe]
    #[arg(long, value_name = "RATE", value_parser = positive, help_heading = "Optimizer")]
    pub learning_rate: Option<f64>,
    /// Raise the learning rate over this share of the steps [default: by the recipe]
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Optimizer")]
    pub warmup: Option<f64>,
}

/// Names of recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecipeName {
    /// Settings that suit the size of the model and the amount of data
    Auto,
    /// The settings of the paper
    Bert,
}

impl RunArgs {
    /// The run in the output folder, unless it is to be replaced: its rerun takes what is not given from it.
    pub fn stored_run(&self) -> Result<Option<RunSettings>, cloze::Error> {
        if self.overwrite || !self.output.is_dir() {
            return Ok(None);
        }
        Ok(StoredSettings::read(&self.output)?.run.map(|run| run.settings))
    }

    /// The settings of updates that a recipe gives, with the flags over them.
    pub fn update(
        &self,
        common: &Common,
        of_recipe: &UpdateSettings,
        optimizer: Option<OptimizerKind>,
        flags: &RecipeArgs,
    ) -> UpdateSettings {
        let mut optimizer = optimizer.map_or(of_recipe.optimizer, OptimizerSettings::new);
        optimizer.weight_decay = self.weight_decay.unwrap_or(optimizer.weight_decay);
        optimizer.clip = self.clip.unwrap_or(optimizer.clip);
        optimizer.bias_correction = self.bias_correction.map(|switch| switch == Switch::On);
        UpdateSettings {
            batch_size: flags.batch_size.map_or(of_recipe.batch_size, NonZeroUsize::get),
            accumulate: self.accumulate.get(),
            optimizer,
            learning_rate: flags.learning_rate.unwrap_or(of_recipe.learning_rate),
            warmup: flags.warmup.unwrap_or(of_recipe.warmup),
            decay: self.schedule.into(),
            dropout: self.dropout.map(|dropout| dropout as f32).or(of_recipe.dropout),
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
            tokenizer_file: common.tokenizer_file,
        }
    }
}

/// Says which recipe a run follows, and what it comes to with the flags over it.
pub fn say_recipe(name: &str, recipe: &impl Display) {
    let other = if name == recipe::BERT { "" } else { "; --recipe bert is the paper's" };
    say!("recipe {name}: {recipe} (flags override it{other})");
}
