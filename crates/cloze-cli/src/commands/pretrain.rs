//! `cloze pretrain`: masked language model and next sentence prediction on raw text.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use cloze::data::Objective;
use cloze::settings::PretrainSettings;
use cloze::train::pretrain;

use crate::arguments::{Common, part, positive, share};
use crate::input::TextArgs;
use crate::training::{self, OptimizerName, RunArgs, TokenizerArgs, UpdateFlags};

/// Flags of `cloze pretrain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloze pretrain --input books/*.txt --tokenizer vocab --preset tiny --steps 10000 --output model\n\n\
    Interrupted by Ctrl-C or killed, the same command goes on from the last checkpoint."
)]
pub struct Arguments {
    /// Text files in UTF-8
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Text files to measure with [default: a share of the documents is held out, see --dev-fraction]
    #[arg(long, num_args = 1.., value_name = "FILE")]
    dev: Vec<PathBuf>,
    /// Share of the documents to measure with; none are held out below 20 documents
    #[arg(long, value_name = "F", default_value = "0.01", value_parser = part, conflicts_with = "dev")]
    dev_fraction: f64,
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    #[command(flatten)]
    start: training::StartArgs,
    /// Optimizer steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Steps between two measurements on held-out text [default: a tenth of the run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    eval_steps: Option<u64>,
    /// What is learnt
    #[arg(long, value_name = "WHAT", default_value = "mlm+nsp")]
    objective: ObjectiveName,
    #[command(flatten)]
    text: TextArgs,
    /// Sequences for one optimizer step
    #[arg(long, value_name = "N", default_value = "256")]
    batch_size: NonZeroUsize,
    /// Highest learning rate
    #[arg(long, value_name = "RATE", default_value = "1e-4", value_parser = positive)]
    learning_rate: f64,
    /// Share of the steps over which the learning rate rises
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    warmup: f64,
    /// Which optimizer
    #[arg(long, value_name = "NAME", default_value = "bert-adam")]
    optimizer: OptimizerName,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ObjectiveName {
    #[value(name = "mlm+nsp")]
    MlmNsp,
    Mlm,
}

impl From<ObjectiveName> for Objective {
    fn from(name: ObjectiveName) -> Objective {
        match name {
            ObjectiveName::MlmNsp => Objective::MlmNsp,
            ObjectiveName::Mlm => Objective::Mlm,
        }
    }
}

impl Arguments {
    fn settings(&self, common: &Common) -> PretrainSettings {
        let flags = UpdateFlags { batch_size: self.batch_size, learning_rate: self.learning_rate, warmup: self.warmup };
        let defaults = PretrainSettings::new(self.input.clone(), "", self.start.start(), self.steps);
        PretrainSettings {
            dev: self.dev.clone(),
            dev_fraction: self.dev_fraction,
            tokenizer: self.tokenizer.tokenizer.clone(),
            cased: self.tokenizer.cased,
            objective: self.objective.into(),
            document: self.text.document(),
            sentences: self.text.sentences(),
            eval_steps: self.eval_steps,
            max_seq_length: self.run.max_seq_length.unwrap_or(defaults.max_seq_length),
            update: self.run.update(common, self.optimizer, flags),
            ..defaults
        }
    }
}

/// Runs `cloze pretrain`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<ExitCode> {
    let settings = arguments.settings(common);
    let options = arguments.run.options(common);
    let ending = training::train(common.json, |observer| pretrain(&settings, &options, observer))?;
    Ok(training::exit_code(ending, &options.output))
}
