//! `cloze finetune`: a model for a task, from labelled examples.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use cloze::heads::WindowPooling;
use cloze::infer::Subtokens;
use cloze::optim::{OptimizerKind, RateSettings};
use cloze::settings::{ClassWeights, FinetuneRecipe, FinetuneSettings, RunSettings, Start};
use cloze::train::{finetune, finetune_seeds};

use crate::arguments::{Common, at_least, positive};
use crate::data_args::{DataArgs, LabelArgs};
use crate::input::LongArgs;
use crate::models;
use crate::questions::QuestionArgs;
use crate::report;
use crate::reporter::{Reporter, write_report};
use crate::training::{self, OptimizerName, RecipeArgs, RecipeName, RunArgs, TaskName, TokenizerArgs};

/// Flags of `cloze finetune`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloze finetune --task classification --model model \\\n    --train train.tsv --dev dev.tsv --output classifier\n\n\
    Without --dev, a tenth of the training examples is held out to choose and measure the weights.\n\
    Interrupted by Ctrl-C or killed, the same command resumes from the last checkpoint."
)]
pub struct Arguments {
    /// Choose what to predict
    #[arg(long, value_name = "TASK")]
    task: TaskName,
    #[command(flatten)]
    start: training::StartArgs,
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// Train on these examples: .tsv, .csv, .jsonl, .json or .parquet; words also .conll, .conllu or
    /// .ann; questions also SQuAD's .json
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    train: PathBuf,
    /// Evaluate on these examples after each epoch, and keep the best weights [default: a tenth of --train, held out by
    /// label and hash, with copies of a text, questions on a context and sentences of a document together; of fewer than 50
    /// different texts none, and the last weights are kept]
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    dev: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    long: LongArgs,
    /// Combine the predictions of a long text's windows by their mean, or by the largest of each class
    #[arg(long, value_name = "HOW", default_value = "mean", help_heading = "Data")]
    window_pooling: PoolingName,
    /// Learn and predict a word's label from its first token, or from the mean of its tokens
    #[arg(long, value_name = "WHICH", default_value = "first", help_heading = "Data")]
    subtokens: SubtokensName,
    /// Pass N times over the training examples [default: by the recipe]
    #[arg(long, value_name = "N", value_parser = at_least(1_u64), help_heading = "Optimizer")]
    epochs: Option<u64>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Choose the optimizer [default: by the recipe]
    #[arg(long, value_name = "NAME", help_heading = "Optimizer")]
    optimizer: Option<OptimizerName>,
    /// Keep the weights that are best by this metric, of equals those with the lower loss; tune the thresholds of
    /// multi-label for it [default: accuracy; pearson for regression; f1 for multi-label, tokens and qa]
    #[arg(long, value_name = "NAME", help_heading = "Memory and evaluation")]
    metric: Option<String>,
    /// Measure F1 of this label, of two [default: the second by value or alphabet]
    #[arg(long, value_name = "LABEL", help_heading = "Memory and evaluation")]
    positive_label: Option<String>,
    /// Evaluate every N steps [default: after each epoch]
    #[arg(long, value_name = "N", value_parser = at_least(1_u64), help_heading = "Memory and evaluation")]
    eval_steps: Option<u64>,
    /// Stop early when N evaluations in a row are no better than the best one before [default: never]
    #[arg(long, value_name = "N", value_parser = at_least(1_u64), help_heading = "Memory and evaluation")]
    patience: Option<u64>,
    /// Weigh the labels in the loss: balanced (rare ones count more), or LABEL=WEIGHT,LABEL=WEIGHT,... with 1 for the
    /// others [default: all alike]
    #[arg(long, value_name = "WEIGHTS", value_parser = class_weights, help_heading = "Optimizer")]
    class_weights: Option<ClassWeights>,
    /// Multiply the learning rate by this factor for each layer down from the head
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = positive, help_heading = "Optimizer")]
    layer_decay: f64,
    /// Set the highest learning rate of head and pooler [default: the one of --learning-rate]
    #[arg(long, value_name = "RATE", value_parser = positive, help_heading = "Optimizer")]
    head_learning_rate: Option<f64>,
    /// Leave the embeddings and the first N layers as they are [default: train all]
    #[arg(long, value_name = "N", value_parser = at_least(0_usize), help_heading = "Optimizer")]
    freeze_layers: Option<usize>,
    /// Train once with each of these seeds, into OUTPUT/seed-N, and write a summary to OUTPUT/summary.json
    #[arg(
        long,
        value_name = "N,N,...",
        value_delimiter = ',',
        value_parser = at_least(0_u64),
        help_heading = "Memory and evaluation"
    )]
    seeds: Vec<u64>,
    /// Replace the model's head if it is for other labels
    #[arg(long, help_heading = "Model")]
    new_head: bool,
    /// Fit a temperature on --dev or the held-out examples, so that probabilities match how often answers are right; store it with the model
    #[arg(long, help_heading = "Memory and evaluation")]
    calibrate: bool,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    questions: QuestionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SubtokensName {
    /// The word's first token
    First,
    /// The mean of the word's tokens
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
    /// The recipe of the run: as asked for, else that of the run in the output folder, else by the size of the model and
    /// the number of examples.
    fn recipe(&self, settings: &FinetuneSettings) -> Result<FinetuneRecipe, cloze::Error> {
        let stored = match self.recipe.recipe {
            None => self.run.stored_run()?,
            Some(_) => None,
        };
        if let Some(RunSettings::Finetune(before)) = stored {
            return Ok(FinetuneRecipe::stored(&before));
        }
        let config = settings.start.config()?;
        Ok(match self.recipe.recipe {
            Some(RecipeName::Bert) => FinetuneRecipe::bert(settings.task, &config),
            _ => FinetuneRecipe::of(settings.task, &config, settings.examples()?),
        })
    }

    fn settings(&self, common: &Common) -> Result<FinetuneSettings, cloze::Error> {
        let mut defaults = FinetuneSettings::holding_out(self.task.into(), self.start.start(), &self.train);
        defaults.dev = self.dev.clone();
        defaults.columns = self.data.columns();
        defaults.reading = self.data.settings(self.labels.labels.clone());
        let recipe = self.recipe(&defaults)?;
        defaults.apply(&recipe);
        Ok(FinetuneSettings {
            tokenizer: self.tokenizer.tokenizer.clone(),
            cased: self.tokenizer.cased,
            epochs: self.epochs.unwrap_or(defaults.epochs),
            max_seq_length: self.run.max_seq_length.unwrap_or(defaults.max_seq_length),
            long: self.long.choice().unwrap_or(defaults.long),
            window_pooling: self.window_pooling.into(),
            subtokens: self.subtokens.into(),
            questions: self.questions.applied_to(defaults.questions),
            calibrate: self.calibrate,
            new_head: self.new_head,
            metric: self.metric.clone(),
            positive_label: self.positive_label.clone(),
            eval_steps: self.eval_steps,
            patience: self.patience,
            class_weights: self.class_weights.clone().unwrap_or_default(),
            rates: RateSettings {
                layer_decay: self.layer_decay,
                head_learning_rate: self.head_learning_rate,
                frozen_layers: self.freeze_layers,
            },
            update: self.run.update(common, &defaults.update, self.optimizer.map(OptimizerKind::from), &self.recipe),
            ..defaults
        })
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
    let start = arguments.start.start();
    if let Start::Model(dir) = &start {
        models::need(dir)?;
    }
    let settings = arguments.settings(common)?;
    training::say_recipe(&settings.recipe, &FinetuneRecipe::stored(&settings));
    let options = arguments.run.options(common);
    let mut reporter = Reporter::new(common.json);
    let ending = reporter.train(|observer| match arguments.seeds.as_slice() {
        [] => finetune(&settings, &options, observer),
        seeds => finetune_seeds(&settings, seeds, &options, observer),
    })?;
    write_report(&ending, &options.output, || match arguments.seeds.as_slice() {
        [] => report::finetune::write(&options.output),
        _ => report::seeds::write_all(&options.output),
    });
    reporter.conclude(&ending, &options.output)
}
