//! `cloze pretrain`: masked language model and next sentence prediction on raw text.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use cloze::data::Objective;
use cloze::data::corpus::is_store;
use cloze::first_weights::FirstWeights;
use cloze::optim::OptimizerKind;
use cloze::settings::{Budget, Phase, PretrainRecipe, PretrainSettings, RunSettings, Start};
use cloze::train::{RunOptions, pretrain};

use crate::arguments::{Common, at_least, memory, part, positive, share, time, wrong_usage};
use crate::input::CorpusArgs;
use crate::models;
use crate::report;
use crate::reporter::{Reporter, write_report};
use crate::training::{self, RecipeArgs, RecipeName, RunArgs};

/// Flags of `cloze pretrain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloze pretrain --input books/*.txt --tokenizer vocab --preset tiny \\\n    --steps 10000 --output model\n\n\
    Interrupted by Ctrl-C or killed, the same command resumes from the last checkpoint."
)]
pub struct Arguments {
    /// Train on this text in UTF-8: .txt, .jsonl, .parquet, each also with .gz or .zst; folders of such files; patterns
    /// such as 'books/**/*.txt'; or a store that `cloze prepare` made
    #[arg(
        long,
        required_unless_present = "instances",
        num_args = 1..,
        value_name = "PATH",
        help_heading = "Text"
    )]
    input: Vec<PathBuf>,
    /// Train on these files of instances (.jsonl, .tfrecord) of `cloze instances` or Google's scripts instead of text, in
    /// their order, again and again
    #[arg(
        long,
        num_args = 1..,
        value_name = "FILE",
        conflicts_with_all = ["input", "phase", "whole_word", "dev_fraction"],
        help_heading = "Text"
    )]
    instances: Vec<PathBuf>,
    /// Evaluate on this text, with --instances on these files of instances [default: documents held out by
    /// --dev-fraction]
    #[arg(long, num_args = 1.., value_name = "PATH", help_heading = "Text")]
    dev: Vec<PathBuf>,
    /// Hold out this share of the documents for evaluation, the same ones in any order of the files; of fewer than 20
    /// different documents the end of each
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0.01",
        value_parser = part,
        conflicts_with = "dev",
        help_heading = "Text"
    )]
    dev_fraction: f64,
    /// Read the tokenizer from this model directory or vocab.txt; tokens that --model has, too, keep their embeddings
    /// [default: the one of --model or of the store]
    #[arg(long, visible_alias = "vocab", value_name = "PATH", help_heading = "Model")]
    tokenizer: Option<PathBuf>,
    /// Read a bare vocab.txt as that of a cased model: keep upper case and accents
    #[arg(long, help_heading = "Model")]
    cased: bool,
    #[command(flatten)]
    start: training::StartArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Use sequences of LENGTH tokens for this share of the steps; give it several times, as --phase 128:0.9 --phase
    /// 512:0.1 [default: one phase of --max-seq-length]
    #[arg(
        long,
        value_name = "LENGTH:SHARE",
        value_parser = phase,
        conflicts_with = "max_seq_length",
        help_heading = "Length of the run"
    )]
    phase: Vec<Phase>,
    /// Evaluate on held-out text every N steps [default: ten times a run, fewer times where that takes more than a quarter of --time]
    #[arg(long, value_name = "N", value_parser = at_least(1_u64), help_heading = "Memory and evaluation")]
    eval_steps: Option<u64>,
    /// Evaluate on at most N held-out sequences, the same ones each time [default: 10,000]
    #[arg(
        long,
        value_name = "N",
        value_parser = at_least(NonZeroUsize::MIN),
        help_heading = "Memory and evaluation"
    )]
    eval_instances: Option<NonZeroUsize>,
    /// Choose the objective: masked language model with or without next sentence prediction
    #[arg(long, value_name = "NAME", default_value = "mlm+nsp", help_heading = "Objective")]
    objective: ObjectiveName,
    /// Mask this share of the tokens
    #[arg(long, value_name = "SHARE", default_value = "0.15", value_parser = share, help_heading = "Objective")]
    masked_lm_prob: f64,
    /// Mask all pieces of a word together; a Chinese character is a word by itself, so for whole Chinese words train with
    /// --instances on instances that another program made from a word-segmented file
    #[arg(long, help_heading = "Objective")]
    whole_word: bool,
    /// Cut this share of the instances shorter than the longest sequence
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share, help_heading = "Objective")]
    short_seq_prob: f64,
    #[command(flatten)]
    text: CorpusArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Draw the weights of a new model like BERT's, or so that the first layer looks at neighbors [default: by the recipe]
    #[arg(long, value_name = "HOW", conflicts_with = "model", help_heading = "Optimizer")]
    first_weights: Option<FirstWeightsName>,
    /// Choose the optimizer [default: by the recipe]
    #[arg(long, value_name = "NAME", help_heading = "Optimizer")]
    optimizer: Option<PretrainOptimizerName>,
    /// Stay within this much memory, as 2G, by computing batches in parts and layers twice; gives the same bits [default:
    /// no limit]
    #[arg(long, value_name = "SIZE", value_parser = memory, help_heading = "Memory and evaluation")]
    max_memory: Option<u64>,
    #[command(flatten)]
    run: RunArgs,
}

/// How long the run is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
#[command(next_help_heading = "Length of the run")]
struct BudgetArgs {
    /// Train for N optimizer steps
    #[arg(long, value_name = "N", value_parser = at_least(1_u64))]
    steps: Option<u64>,
    /// Pass N times over the corpus; parts of a pass are allowed, as 0.5
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<f64>,
    /// Train on N tokens
    #[arg(long, value_name = "N", value_parser = at_least(1_u64))]
    tokens: Option<u64>,
    /// Train for this time, as 30m or 8h, evaluations included; the number of steps follows the speed of the machine
    #[arg(long, value_name = "TIME", value_parser = time)]
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
    /// Adam as BERT was trained with, without bias correction
    BertAdam,
    /// Adam with bias correction and decoupled weight decay
    #[value(name = "adamw")]
    AdamW,
    /// LAMB, for large batches: scales the update of each tensor to the tensor's norm
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

/// Names of the ways in which first weights are drawn.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FirstWeightsName {
    /// A truncated normal
    Bert,
    /// Deviations that suit the width, and heads of the first layer that look at the tokens beside each
    Neighbors,
}

impl From<FirstWeightsName> for FirstWeights {
    fn from(name: FirstWeightsName) -> FirstWeights {
        match name {
            FirstWeightsName::Bert => FirstWeights::Bert,
            FirstWeightsName::Neighbors => FirstWeights::Neighbors,
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
        Err(wrong_usage(&["pretrain"], ErrorKind::MissingRequiredArgument, message))
    }

    /// The recipe of the run: as asked for, else that of the run in the output folder, else by the size of the model.
    fn recipe(&self, start: &Start) -> Result<PretrainRecipe, cloze::Error> {
        let stored = match self.recipe.recipe {
            None => self.run.stored_run()?,
            Some(_) => None,
        };
        if let Some(RunSettings::Pretrain(before)) = stored {
            return Ok(PretrainRecipe::stored(&before));
        }
        let config = start.config()?;
        Ok(match self.recipe.recipe {
            Some(RecipeName::Bert) => PretrainRecipe::bert(&config),
            _ => PretrainRecipe::of(&config, matches!(start, Start::Model(_))),
        })
    }

    fn settings(&self, common: &Common) -> Result<PretrainSettings, cloze::Error> {
        let mut settings = PretrainSettings::new(self.input.clone(), "", self.start.start(), 1);
        settings.apply(&self.recipe(&settings.start)?);
        if let Some(length) = self.run.max_seq_length {
            settings.max_seq_length = length;
        }
        // Instances have the lengths that they have.
        if !self.phase.is_empty() || self.run.max_seq_length.is_some() || !self.instances.is_empty() {
            settings.phases = self.phase.clone();
        }
        let corpus = self.text.corpus_options();
        Ok(PretrainSettings {
            budget: self.budget.budget(),
            instances: self.instances.clone(),
            masked_lm_prob: self.masked_lm_prob,
            whole_word: self.whole_word,
            short_seq_prob: self.short_seq_prob,
            dev: self.dev.clone(),
            dev_fraction: self.dev_fraction,
            tokenizer: self.tokenizer.clone(),
            cased: self.cased,
            first_weights: self.first_weights.map_or(settings.first_weights, FirstWeights::from),
            objective: self.objective.into(),
            document: corpus.document,
            sentences: corpus.sentences,
            text_field: corpus.text_field,
            drop_duplicates: corpus.drop_duplicates,
            eval_steps: self.eval_steps,
            eval_instances: self.eval_instances.map(NonZeroUsize::get),
            update: self.run.update(common, &settings.update, self.optimizer.map(OptimizerKind::from), &self.recipe),
            ..settings
        })
    }
}

/// Runs `cloze pretrain`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<ExitCode> {
    let start = arguments.start.start();
    if let Start::Model(dir) = &start {
        models::need(dir)?;
    }
    let settings = arguments.settings(common)?;
    training::say_recipe(&settings.recipe, &PretrainRecipe::stored(&settings));
    let options = RunOptions { max_memory: arguments.max_memory, ..arguments.run.options(common) };
    let mut reporter = Reporter::new(common.json);
    let ending = reporter.train(|observer| pretrain(&settings, &options, observer))?;
    write_report(&ending, &options.output, || report::pretrain::write(&options.output));
    reporter.conclude(&ending, &options.output)
}
