//! `cloze pretrain`: masked language model and next sentence prediction on raw text.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, ValueEnum};
use cloze::data::Objective;
use cloze::data::corpus::is_store;
use cloze::optim::OptimizerKind;
use cloze::settings::{Budget, Phase, PretrainSettings, Start};
use cloze::train::{RunOptions, pretrain};

use crate::arguments::{Cli, Common, memory, part, positive, share};
use crate::input::CorpusArgs;
use crate::report;
use crate::reporter::{Reporter, write_report};
use crate::training::{self, RunArgs, UpdateFlags};

/// Flags of `cloze pretrain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloze pretrain --input books/*.txt --tokenizer vocab --preset tiny --steps 10000 --output model\n\n\
    Interrupted by Ctrl-C or killed, the same command goes on from the last checkpoint."
)]
pub struct Arguments {
    /// Text in UTF-8: .txt, .jsonl, .parquet, each also with .gz or .zst; folders of such files; or patterns
    /// such as 'books/**/*.txt'; or a store that `cloze prepare` made
    #[arg(long, required_unless_present = "instances", num_args = 1.., value_name = "PATH")]
    input: Vec<PathBuf>,
    /// Instead of text, files of instances (.jsonl, .tfrecord) as `cloze instances` or Google's scripts write them; they
    /// are trained on in their order, again and again
    #[arg(long, num_args = 1.., value_name = "FILE", conflicts_with_all = ["input", "phase", "whole_word", "dev_fraction"])]
    instances: Vec<PathBuf>,
    /// Text to measure with [default: a share of the documents is held out, see --dev-fraction]; with --instances files
    /// of instances
    #[arg(long, num_args = 1.., value_name = "PATH")]
    dev: Vec<PathBuf>,
    /// Share of the documents to measure with, whatever the order of the files; none below 20 different documents
    #[arg(long, value_name = "F", default_value = "0.01", value_parser = part, conflicts_with = "dev")]
    dev_fraction: f64,
    /// A model directory or a vocab.txt [default: that of --model, or of the store]; of another vocabulary than --model
    /// has, the tokens that both have keep their rows
    #[arg(long, visible_alias = "vocab", value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// A bare vocab.txt is of a cased model
    #[arg(long)]
    cased: bool,
    #[command(flatten)]
    start: training::StartArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    /// A stretch of the run with sequences of this length: its share of all steps. To be given several times, as
    /// --phase 128:0.9 --phase 512:0.1
    #[arg(long, value_name = "LENGTH:SHARE", value_parser = phase, conflicts_with = "max_seq_length")]
    phase: Vec<Phase>,
    /// Steps between two measurements on held-out text [default: a tenth of the run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    eval_steps: Option<u64>,
    /// Held-out sequences that are measured on at most; the same ones each time, drawn from all of them [default: 10000]
    #[arg(long, value_name = "N")]
    eval_instances: Option<NonZeroUsize>,
    /// What is learnt
    #[arg(long, value_name = "WHAT", default_value = "mlm+nsp")]
    objective: ObjectiveName,
    /// Share of the tokens to predict
    #[arg(long, value_name = "SHARE", default_value = "0.15", value_parser = share)]
    masked_lm_prob: f64,
    /// Mask all pieces of a word together
    #[arg(long)]
    whole_word: bool,
    /// How often a document is walked in shorter sequences
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    short_seq_prob: f64,
    #[command(flatten)]
    text: CorpusArgs,
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
    optimizer: PretrainOptimizerName,
    /// Memory to stay within, as 2G: batches are computed in parts, and layers twice, as far as that needs; the result is
    /// the same to the bit
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    max_memory: Option<u64>,
    #[command(flatten)]
    run: RunArgs,
}

/// How long the run is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct BudgetArgs {
    /// Optimizer steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Passes over the corpus
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<f64>,
    /// Tokens to train on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tokens: Option<u64>,
    /// Time of the whole run, as 30m or 8h: the first steps tell how many steps that is
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
}

impl BudgetArgs {
    fn budget(&self) -> Budget {
        match (self.steps, self.epochs, self.tokens, self.time) {
            (Some(steps), ..) => Budget::Steps(steps),
            (_, Some(epochs), ..) => Budget::Epochs(epochs),
            (_, _, Some(tokens), _) => Budget::Tokens(tokens),
            (.., Some(time)) => Budget::Seconds(time.as_secs_f64()),
            _ => unreachable!("one of --steps, --epochs, --tokens and --time is required"),
        }
    }
}

/// The value of `--phase`.
fn phase(text: &str) -> Result<Phase, String> {
    let parts = text.split_once(':').and_then(|(length, share)| Some((length.parse().ok()?, share.parse().ok()?)));
    let (max_seq_length, share) = parts.ok_or("expected a length and a share, as 128:0.9")?;
    Ok(Phase { max_seq_length, share })
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PretrainOptimizerName {
    /// As BERT was trained: no bias correction
    BertAdam,
    /// With bias correction
    #[value(name = "adamw")]
    AdamW,
    /// For large batches: the update of each tensor in proportion to its norm
    Lamb,
}

impl From<PretrainOptimizerName> for OptimizerKind {
    fn from(name: PretrainOptimizerName) -> OptimizerKind {
        match name {
            PretrainOptimizerName::BertAdam => OptimizerKind::BertAdam,
            PretrainOptimizerName::AdamW => OptimizerKind::AdamW,
            PretrainOptimizerName::Lamb => OptimizerKind::Lamb,
        }
    }
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
    /// Refuses flags that are right one by one, but not together.
    pub fn check(&self) -> Result<(), clap::Error> {
        let has_tokenizer = self.tokenizer.is_some()
            || matches!(self.start.start(), Start::Model(_))
            || self.input.iter().any(|input| is_store(input));
        if has_tokenizer {
            return Ok(());
        }
        let message = "the following required argument was not provided:\n  --tokenizer <PATH>";
        Err(Cli::command().error(ErrorKind::MissingRequiredArgument, message))
    }

    fn settings(&self, common: &Common) -> PretrainSettings {
        let flags = UpdateFlags { batch_size: self.batch_size, learning_rate: self.learning_rate, warmup: self.warmup };
        let defaults = PretrainSettings::new(self.input.clone(), "", self.start.start(), 1);
        let corpus = self.text.corpus_options();
        PretrainSettings {
            budget: self.budget.budget(),
            instances: self.instances.clone(),
            phases: self.phase.clone(),
            masked_lm_prob: self.masked_lm_prob,
            whole_word: self.whole_word,
            short_seq_prob: self.short_seq_prob,
            dev: self.dev.clone(),
            dev_fraction: self.dev_fraction,
            tokenizer: self.tokenizer.clone(),
            cased: self.cased,
            objective: self.objective.into(),
            document: corpus.document,
            sentences: corpus.sentences,
            text_field: corpus.text_field,
            drop_duplicates: corpus.drop_duplicates,
            eval_steps: self.eval_steps,
            eval_instances: self.eval_instances.map(NonZeroUsize::get),
            max_seq_length: self.run.max_seq_length.unwrap_or(defaults.max_seq_length),
            update: self.run.update(common, self.optimizer.into(), flags),
            ..defaults
        }
    }
}

/// Runs `cloze pretrain`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<ExitCode> {
    let settings = arguments.settings(common);
    let options = RunOptions { max_memory: arguments.max_memory, ..arguments.run.options(common) };
    let mut reporter = Reporter::new(common.json);
    let ending = reporter.train(|observer| pretrain(&settings, &options, observer))?;
    write_report(&ending, || report::pretrain::write(&options.output));
    reporter.conclude(&ending, &options.output)
}
