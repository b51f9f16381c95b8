//! The sub-commands, one file each.

mod bench;
mod check;
mod compare;
mod embed;
mod evaluate;
mod fill;
mod finetune;
mod info;
mod instances;
mod predict;
mod prepare;
mod pretrain;
mod quantize;
mod report;
mod tokenize;
pub mod vocab;

use std::process::ExitCode;

use clap::Subcommand;

use crate::arguments::Cli;
use crate::quickstart;

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole way in a few minutes on a generated sample: vocabulary, pre-training, fine-tuning, report
    Quickstart(quickstart::Arguments),
    /// Train a WordPiece vocabulary from text
    Vocab(vocab::Arguments),
    /// Turn text into tokens, ids and offsets
    Tokenize(tokenize::Arguments),
    /// Write pre-training instances, the very ones that Google BERT's script makes
    Instances(instances::Arguments),
    /// Turn a corpus into token ids on disk, to pre-train on without reading the text again
    Prepare(prepare::Arguments),
    /// Pre-train a model on raw text: masked language model and next sentence prediction
    Pretrain(Box<pretrain::Arguments>),
    /// Find what is wrong with data, model and settings before anything is trained
    Check(check::Arguments),
    /// Fine-tune a model for a task on labelled examples
    Finetune(Box<finetune::Arguments>),
    /// Measure a model on labelled examples, or a pre-trained one on raw text
    Evaluate(evaluate::Arguments),
    /// Test which of two models is better
    Compare(compare::Arguments),
    /// Write the report of a training, finished or under way
    Report(report::Arguments),
    /// Predict labels, scores, entities, answers, or whether one text follows another
    Predict(predict::Arguments),
    /// Fill in masked words
    Fill(fill::Arguments),
    /// Turn texts into vectors
    Embed(embed::Arguments),
    /// Write a smaller and faster model with int8 weights in its encoder
    Quantize(quantize::Arguments),
    /// Measure speed and memory
    Bench(bench::Arguments),
    /// Show what a model directory holds
    Info(info::Arguments),
}

impl Command {
    /// Names of the command and of the one below it, for messages.
    pub fn path(&self) -> &'static [&'static str] {
        match self {
            Command::Quickstart(_) => &["quickstart"],
            Command::Pretrain(_) => &["pretrain"],
            Command::Finetune(_) => &["finetune"],
            Command::Bench(_) => &["bench", "train"],
            _ => &[],
        }
    }

    /// Whether the command trains a model.
    pub fn trains(&self) -> bool {
        match self {
            Command::Quickstart(_) | Command::Pretrain(_) | Command::Finetune(_) => true,
            Command::Bench(arguments) => arguments.trains(),
            _ => false,
        }
    }
}

/// Runs one command to its exit code.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let common = &cli.common;
    common.limit_threads()?;
    match &cli.command {
        Command::Quickstart(arguments) => return quickstart::run(arguments, common),
        Command::Pretrain(arguments) => return pretrain::run(arguments, common),
        Command::Check(arguments) => return check::run(arguments, common),
        Command::Finetune(arguments) => return finetune::run(arguments, common),
        Command::Vocab(arguments) => vocab::run(arguments, common)?,
        Command::Tokenize(arguments) => tokenize::run(arguments, common)?,
        Command::Prepare(arguments) => prepare::run(arguments, common)?,
        Command::Instances(arguments) => instances::run(arguments, common)?,
        Command::Evaluate(arguments) => evaluate::run(arguments, common)?,
        Command::Compare(arguments) => compare::run(arguments, common)?,
        Command::Report(arguments) => report::run(arguments, common)?,
        Command::Predict(arguments) => predict::run(arguments, common)?,
        Command::Fill(arguments) => fill::run(arguments, common)?,
        Command::Embed(arguments) => embed::run(arguments, common)?,
        Command::Quantize(arguments) => quantize::run(arguments, common)?,
        Command::Bench(arguments) => bench::run(arguments, common)?,
        Command::Info(arguments) => info::run(arguments, common)?,
    }
    Ok(ExitCode::SUCCESS)
}
