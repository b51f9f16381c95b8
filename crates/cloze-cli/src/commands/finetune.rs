//! `cloze finetune`: a model for a task, from labelled examples.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use cloze::heads::WindowPooling;
use cloze::infer::Subtokens;
use cloze::optim::RateSettings;
use cloze::settings::{ClassWeights, FinetuneSettings};
use cloze::train::{finetune, finetune_seeds};

use crate::arguments::{Common, positive, share};
use crate::input::{ColumnArgs, LongArgs};
use crate::questions::QuestionArgs;
use crate::report;
use crate::reporter::{Reporter, write_report};
use crate::training::{self, OptimizerName, RunArgs, TaskName, TokenizerArgs, UpdateFlags};

/// Flags of `cloze finetune`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloze finetune --task classification --model model --train train.tsv --dev dev.tsv --output classifier\n\n\
    Interrupted by Ctrl-C or killed, the same command goes on from the last checkpoint."
)]
pub struct Arguments {
    /// What the labels are
    #[arg(long, value_name = "TASK")]
    task: TaskName,
    #[command(flatten)]
    start: training::StartArgs,
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// Examples to learn from: .tsv, .csv or .jsonl; for tokens .conll or .jsonl; for qa a .json like SQuAD's
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Examples to measure with after each epoch
    #[arg(long, value_name = "FILE")]
    dev: PathBuf,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    long: LongArgs,
    /// How what the windows of a text say becomes what the text says
    #[arg(long, value_name = "HOW", default_value = "mean")]
    window_pooling: PoolingName,
    /// Which of a word's tokens its label is learnt and predicted from
    #[arg(long, value_name = "WHICH", default_value = "first")]
    subtokens: SubtokensName,
    /// Passes over the examples
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// Examples for one optimizer step
    #[arg(long, value_name = "N", default_value = "32")]
    batch_size: NonZeroUsize,
    /// Highest learning rate
    #[arg(long, value_name = "RATE", default_value = "2e-5", value_parser = positive)]
    learning_rate: f64,
    /// Share of the steps over which the learning rate rises
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    warmup: f64,
    /// Which optimizer
    #[arg(long, value_name = "NAME", default_value = "adamw")]
    optimizer: OptimizerName,
    /// Which figure decides the best weights [default: accuracy; pearson for regression, f1 for multi-label, tokens
    /// and qa]
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Measure every N steps [default: after each epoch]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    eval_steps: Option<u64>,
    /// End early when N measurements in a row were no better than the best before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    patience: Option<u64>,
    /// Let rare labels count more: balanced, or LABEL=WEIGHT,LABEL=WEIGHT,... (others have 1)
    #[arg(long, value_name = "WEIGHTS", value_parser = class_weights)]
    class_weights: Option<ClassWeights>,
    /// Multiply the learning rate by this for each layer further down from the head
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = positive)]
    layer_decay: f64,
    /// Highest learning rate of the head and the pooler [default: that of --learning-rate]
    #[arg(long, value_name = "RATE", value_parser = positive)]
    head_learning_rate: Option<f64>,
    /// Leave the embeddings and the first N layers as they are
    #[arg(long, value_name = "N")]
    freeze_layers: Option<usize>,
    /// Train once with each of these seeds, into OUTPUT/seed-N, with a summary of all in OUTPUT/summary.json
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Put a fresh head on a model that has one for other labels
    #[arg(long)]
    new_head: bool,
    /// Fit a temperature on --dev, so that probabilities are what they say; it is stored with the model
    #[arg(long)]
    calibrate: bool,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    questions: QuestionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SubtokensName {
    /// The first
    First,
    /// The mean of all
    Mean,
}

impl From<SubtokensName> for Subtokens {
    fn from(name: SubtokensName) -> Subtokens {
        match name {
            SubtokensName::First => Subtokens::First,
            SubtokensName::Mean => Subtokens::Mean,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PoolingName {
    Mean,
    Max,
}

impl From<PoolingName> for WindowPooling {
    fn from(name: PoolingName) -> WindowPooling {
        match name {
            PoolingName::Mean => WindowPooling::Mean,
            PoolingName::Max => WindowPooling::Max,
        }
    }
}

impl Arguments {
    fn settings(&self, common: &Common) -> FinetuneSettings {
        let flags = UpdateFlags { batch_size: self.batch_size, learning_rate: self.learning_rate, warmup: self.warmup };
        let defaults = FinetuneSettings::new(self.task.into(), self.start.start(), &self.train, &self.dev);
        FinetuneSettings {
            tokenizer: self.tokenizer.tokenizer.clone(),
            cased: self.tokenizer.cased,
            columns: self.columns.text(),
            epochs: self.epochs,
            max_seq_length: self.run.max_seq_length.unwrap_or(defaults.max_seq_length),
            long: self.long.choice().unwrap_or(defaults.long),
            window_pooling: self.window_pooling.into(),
            subtokens: self.subtokens.into(),
            questions: self.questions.applied_to(defaults.questions),
            calibrate: self.calibrate,
            new_head: self.new_head,
            metric: self.metric.clone(),
            eval_steps: self.eval_steps,
            patience: self.patience,
            class_weights: self.class_weights.clone().unwrap_or_default(),
            rates: RateSettings {
                layer_decay: self.layer_decay,
                head_learning_rate: self.head_learning_rate,
                frozen_layers: self.freeze_layers,
            },
            update: self.run.update(common, self.optimizer.into(), flags),
            ..defaults
        }
    }
}

/// `balanced`, or a list of labels with their weights.
fn class_weights(text: &str) -> Result<ClassWeights, String> {
    if text == "balanced" {
        return Ok(ClassWeights::Balanced);
    }
    let weight = |part: &str| {
        let (label, weight) = part.rsplit_once('=').ok_or(format!("`{part}` is no LABEL=WEIGHT"))?;
        let weight = weight.trim().parse().map_err(|_| format!("`{weight}` is no number"))?;
        Ok((label.trim().to_string(), weight))
    };
    text.split(',').map(weight).collect::<Result<_, String>>().map(ClassWeights::Given)
}

/// Runs `cloze finetune`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<ExitCode> {
    let settings = arguments.settings(common);
    let options = arguments.run.options(common);
    let mut reporter = Reporter::new(common.json);
    let ending = reporter.train(|observer| match arguments.seeds.as_slice() {
        [] => finetune(&settings, &options, observer),
        seeds => finetune_seeds(&settings, seeds, &options, observer),
    })?;
    write_report(&ending, || match arguments.seeds.as_slice() {
        [] => report::finetune::write(&options.output),
        _ => report::seeds::write_all(&options.output),
    });
    reporter.conclude(&ending, &options.output)
}
