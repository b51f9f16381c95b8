//! Recipes: settings that suit the size of a model and the amount of data.
//!
//! The published settings are for models of 100 million parameters, batches of 256 sequences and a million steps. A small
//! model trained for minutes learns nothing with them. Each recipe here was measured; `docs/log.md` has the tables.

use std::fmt::{self, Display, Formatter};

use crate::Config;
use crate::first_weights::FirstWeights;
use crate::optim::OptimizerKind;

use super::{FinetuneSettings, FinetuneTask, Phase, PretrainSettings};

/// The name of the published settings.
pub const BERT: &str = "bert";

/// Settings of a pre-training that follow from the size of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct PretrainRecipe {
    /// Name of the recipe.
    pub name: String,
    /// How the weights are drawn, if the run starts from no model.
    pub first_weights: FirstWeights,
    /// The optimizer.
    pub optimizer: OptimizerKind,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Share of the steps over which the rate rises.
    pub warmup: f64,
    /// Sequences of an optimizer step.
    pub batch_size: usize,
    /// Dropout everywhere, instead of the configuration's.
    pub dropout: Option<f32>,
    /// Sequence lengths, and the share of the steps of each.
    pub phases: Vec<Phase>,
}

/// Settings of a fine-tuning that follow from the size of the model and the number of examples.
#[derive(Clone, Debug, PartialEq)]
pub struct FinetuneRecipe {
    /// Name of the recipe.
    pub name: String,
    /// The optimizer.
    pub optimizer: OptimizerKind,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Share of the steps over which the rate rises.
    pub warmup: f64,
    /// Examples of an optimizer step.
    pub batch_size: usize,
    /// Dropout everywhere, instead of the configuration's.
    pub dropout: Option<f32>,
    /// Passes over the examples.
    pub epochs: u64,
    /// Longest input in tokens.
    pub max_seq_length: usize,
}

/// Sizes with settings of their own: the published ones, and the largest hidden size that each serves.
const SIZES: [(&str, usize); 4] = [("tiny", 128), ("mini", 256), ("small", 512), ("base", usize::MAX)];

/// The smallest of [`SIZES`] that serves this model. A deep model of small width is as hard to train as the next size.
fn size(config: &Config) -> &'static str {
    let is_deep = config.hidden_size >= 384 && config.num_hidden_layers > 6;
    let fits = |&&(_, most): &&(&str, usize)| config.hidden_size <= most && !(is_deep && most <= 512);
    SIZES.iter().find(fits).map_or("base", |(name, _)| name)
}

impl PretrainRecipe {
    /// The published settings: 256 sequences of 128 tokens a step, Google's optimizer at 1e-4.
    pub fn bert(config: &Config) -> PretrainRecipe {
        PretrainRecipe {
            name: BERT.to_string(),
            first_weights: FirstWeights::Bert,
            optimizer: OptimizerKind::BertAdam,
            learning_rate: 1e-4,
            warmup: 0.01,
            batch_size: 256,
            dropout: None,
            phases: vec![Phase { max_seq_length: config.max_position_embeddings.min(128), share: 1.0 }],
        }
    }

    /// The settings for a model of this size that starts from random weights, or goes on from a model's.
    pub fn of(config: &Config, goes_on: bool) -> PretrainRecipe {
        // A higher rate needs a longer warm-up.
        let (name, learning_rate, warmup) = match size(config) {
            "tiny" => ("tiny", 1e-3, 0.1),
            "mini" => ("mini", 8e-4, 0.15),
            "small" => ("small", 3e-4, 0.1),
            _ => return PretrainRecipe::bert(config),
        };
        let longest = config.max_position_embeddings.min(128);
        let phases = match longest {
            128 => vec![Phase { max_seq_length: 64, share: 0.8 }, Phase { max_seq_length: 128, share: 0.2 }],
            _ => vec![Phase { max_seq_length: longest, share: 1.0 }],
        };
        let (learning_rate, phases) = match goes_on {
            // The weights are worth keeping, and the longest positions are known.
            true => (learning_rate / 4.0, vec![Phase { max_seq_length: longest, share: 1.0 }]),
            false => (learning_rate, phases),
        };
        PretrainRecipe {
            name: name.to_string(),
            first_weights: if goes_on { FirstWeights::Bert } else { FirstWeights::Neighbors },
            optimizer: OptimizerKind::AdamW,
            learning_rate,
            warmup,
            batch_size: 16,
            dropout: Some(0.0),
            phases,
        }
    }

    /// The settings that a run was started with, which its rerun takes what is not given from.
    pub fn stored(settings: &PretrainSettings) -> PretrainRecipe {
        PretrainRecipe {
            name: settings.recipe.clone(),
            first_weights: settings.first_weights,
            optimizer: settings.update.optimizer.kind,
            learning_rate: settings.update.learning_rate,
            warmup: settings.update.warmup,
            batch_size: settings.update.batch_size,
            dropout: settings.update.dropout,
            phases: settings.phases(),
        }
    }
}

/// Examples above which a step takes 32 of them, else 16: small data wants more steps.
const LARGE: usize = 5_000;
impl FinetuneRecipe {
    /// The published settings: three epochs of 32 examples a step, AdamW at 2e-5.
    pub fn bert(task: FinetuneTask, config: &Config) -> FinetuneRecipe {
        FinetuneRecipe {
            name: BERT.to_string(),
            optimizer: OptimizerKind::AdamW,
            learning_rate: 2e-5,
            warmup: 0.1,
            batch_size: 32,
            dropout: None,
            epochs: 3,
            max_seq_length: max_seq_length(task, config),
        }
    }

    /// The settings for a model of this size and so many examples.
    ///
    /// Small data is read more often, until a model has had enough steps or has seen it too often. Small models are
    /// pre-trained without dropout, and need it here.
    pub fn of(task: FinetuneTask, config: &Config, examples: usize) -> FinetuneRecipe {
        let (name, learning_rate, dropout, steps_min, epochs_max) = match size(config) {
            "tiny" => ("tiny", 5e-4, Some(0.2), 1_250, 20),
            "mini" => ("mini", 3e-4, Some(0.1), 1_250, 20),
            "small" => ("small", 1e-4, Some(0.1), 600, 10),
            _ => ("base", 2e-5, None, 600, 10),
        };
        let batch_size = if examples > LARGE { 32 } else { 16 };
        let steps_of_epoch = examples.div_ceil(batch_size).max(1);
        FinetuneRecipe {
            name: name.to_string(),
            learning_rate,
            batch_size,
            dropout,
            epochs: (usize::div_ceil(steps_min, steps_of_epoch) as u64).clamp(3, epochs_max),
            ..FinetuneRecipe::bert(task, config)
        }
    }

    /// The settings that a run was started with, which its rerun takes what is not given from.
    pub fn stored(settings: &FinetuneSettings) -> FinetuneRecipe {
        FinetuneRecipe {
            name: settings.recipe.clone(),
            optimizer: settings.update.optimizer.kind,
            learning_rate: settings.update.learning_rate,
            warmup: settings.update.warmup,
            batch_size: settings.update.batch_size,
            dropout: settings.update.dropout,
            epochs: settings.epochs,
            max_seq_length: settings.max_seq_length,
        }
    }
}

/// The longest input in tokens: 384 for questions, 128 for everything else, and never more than the model reads.
fn max_seq_length(task: FinetuneTask, config: &Config) -> usize {
    let usual = if task == FinetuneTask::Questions { 384 } else { 128 };
    usual.min(config.max_position_embeddings)
}

fn name_of(optimizer: OptimizerKind) -> &'static str {
    match optimizer {
        OptimizerKind::BertAdam => "bert-adam",
        OptimizerKind::AdamW => "adamw",
        OptimizerKind::Lamb => "lamb",
    }
}

impl Display for PretrainRecipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let phase = |phase: &Phase| format!("{} tokens for {:.0} %", phase.max_seq_length, 100.0 * phase.share);
        let lengths = match self.phases.as_slice() {
            [one] => format!("{} tokens", one.max_seq_length),
            phases => phases.iter().map(phase).collect::<Vec<_>>().join(", "),
        };
        write!(
            f,
            "{} at {:e}, warm-up {} %, {} sequences a step of {lengths}",
            name_of(self.optimizer),
            self.learning_rate,
            100.0 * self.warmup,
            self.batch_size,
        )?;
        if let Some(dropout) = self.dropout {
            write!(f, ", dropout {dropout}")?;
        }
        match self.first_weights {
            FirstWeights::Bert => Ok(()),
            FirstWeights::Neighbors => write!(f, ", first weights that look at neighbors"),
        }
    }
}

impl Display for FinetuneRecipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {:e}, warm-up {} %, {} examples a step, {} epochs, {} tokens at most",
            name_of(self.optimizer),
            self.learning_rate,
            100.0 * self.warmup,
            self.batch_size,
            self.epochs,
            self.max_seq_length,
        )?;
        self.dropout.map_or(Ok(()), |dropout| write!(f, ", dropout {dropout}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_choose_recipes() {
        for (preset, name) in [
            ("tiny", "tiny"),
            ("mini", "mini"),
            ("small", "small"),
            ("medium", "bert"),
            ("base", "bert"),
            ("large", "bert"),
        ] {
            let config = Config::preset(preset).unwrap();
            assert_eq!(PretrainRecipe::of(&config, false).name, name, "{preset}");
        }
    }

    #[test]
    fn no_recipe_is_longer_than_what_the_model_reads() {
        let config = Config { max_position_embeddings: 64, ..Config::tiny() };
        for recipe in [PretrainRecipe::of(&config, false), PretrainRecipe::bert(&config)] {
            assert!(recipe.phases.iter().all(|phase| phase.max_seq_length <= 64), "{recipe:?}");
        }
        for task in [FinetuneTask::Classification, FinetuneTask::Questions] {
            assert_eq!(FinetuneRecipe::of(task, &config, 100).max_seq_length, 64);
        }
        assert_eq!(FinetuneRecipe::of(FinetuneTask::Questions, &Config::tiny(), 100).max_seq_length, 384);
    }

    #[test]
    fn shares_of_phases_are_one_whole() {
        for preset in ["tiny", "mini", "small", "base"] {
            let recipe = PretrainRecipe::of(&Config::preset(preset).unwrap(), false);
            assert!((recipe.phases.iter().map(|phase| phase.share).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn little_data_is_read_more_often() {
        let epochs = |examples| FinetuneRecipe::of(FinetuneTask::Classification, &Config::tiny(), examples).epochs;
        assert_eq!((epochs(400), epochs(2_000), epochs(70_000)), (20, 10, 3));
        assert_eq!(epochs(0), 20);
    }

    #[test]
    fn stored_settings_are_a_recipe_again() {
        let config = Config::tiny();
        let recipe = PretrainRecipe::of(&config, false);
        let mut settings =
            PretrainSettings::new(vec!["a.txt".into()], "vocab", crate::settings::Start::Preset("tiny".into()), 100);
        settings.apply(&recipe);
        assert_eq!(PretrainRecipe::stored(&settings), recipe);
        let recipe = FinetuneRecipe::of(FinetuneTask::Classification, &config, 2_000);
        let start = crate::settings::Start::Model("model".into());
        let mut settings = FinetuneSettings::new(FinetuneTask::Classification, start, "train.tsv", "dev.tsv");
        settings.apply(&recipe);
        assert_eq!(FinetuneRecipe::stored(&settings), recipe);
    }
}
