//! `cloze finetune`: a model for a task, from labelled examples.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};
use cloze::settings::{FinetuneSettings, FinetuneTask};
use cloze::train::finetune;

use crate::arguments::{Common, positive, share};
use crate::input::{ColumnArgs, LongArgs};
use crate::training::{self, OptimizerName, RunArgs, UpdateFlags};

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
    /// A model directory or a vocab.txt [default: that of --model]
    #[arg(long, visible_alias = "vocab", value_name = "PATH", required_unless_present = "model")]
    tokenizer: Option<PathBuf>,
    /// A bare vocab.txt is of a cased model
    #[arg(long)]
    cased: bool,
    /// Examples to learn from: .tsv, .csv or .jsonl
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Examples to measure with after each epoch
    #[arg(long, value_name = "FILE")]
    dev: PathBuf,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    long: LongArgs,
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
    /// Which figure decides the best epoch [default: accuracy; pearson for regression]
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Put a fresh head on a model that has one for other labels
    #[arg(long)]
    new_head: bool,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TaskName {
    /// One label of several for a text or a pair
    Classification,
    /// A number for a text or a pair
    Regression,
    /// Any number of labels for a text (not in this version)
    MultiLabel,
    /// A label for each word (not in this version)
    Tokens,
    /// The answer to a question in a text (not in this version)
    Qa,
}

impl Arguments {
    fn settings(&self, common: &Common) -> anyhow::Result<FinetuneSettings> {
        let task = match self.task {
            TaskName::Classification => FinetuneTask::Classification,
            TaskName::Regression => FinetuneTask::Regression,
            TaskName::MultiLabel | TaskName::Tokens | TaskName::Qa => {
                bail!("--task: this version trains classification and regression only")
            }
        };
        self.long.check()?;
        let flags = UpdateFlags { batch_size: self.batch_size, learning_rate: self.learning_rate, warmup: self.warmup };
        Ok(FinetuneSettings {
            tokenizer: self.tokenizer.clone(),
            cased: self.cased,
            columns: self.columns.text(),
            epochs: self.epochs,
            max_seq_length: self.run.max_seq_length,
            new_head: self.new_head,
            metric: self.metric.clone(),
            update: self.run.update(common, self.optimizer, flags),
            ..FinetuneSettings::new(task, self.start.start(), &self.train, &self.dev)
        })
    }
}

/// Runs `cloze finetune`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<ExitCode> {
    let settings = arguments.settings(common)?;
    let options = arguments.run.options(common);
    let ending = training::train(common.json, |observer| finetune(&settings, &options, observer))?;
    Ok(training::exit_code(ending, &options.output))
}
