//! Notes on trainings that are too short to learn anything, told before their time is spent.

use crate::Config;
use crate::first_weights::FirstWeights;
use crate::settings::{Budget, PretrainRecipe, PretrainSettings, Start};

/// Steps of a fine-tuning below which a new head has hardly left its random weights.
const STEPS_OF_HEAD: u64 = 100;

/// Steps of a pre-training after which the loss is below that of word frequencies. `docs/log.md` has the runs.
fn steps_to_learn(first_weights: FirstWeights, config: &Config) -> u64 {
    let recipe = PretrainRecipe::of(config, false);
    match (first_weights, recipe.name.as_str()) {
        (FirstWeights::Neighbors, "tiny") => 500,
        (FirstWeights::Neighbors, "mini") => 1_000,
        // Measured with the weights of BERT for tiny and mini; nothing says that larger models need fewer.
        _ => 5_000,
    }
}

/// A note on a pre-training of so few steps that it ends at the level of word frequencies, with the flags to type instead.
/// A model that exists has passed that level.
pub(super) fn of_pretraining(settings: &PretrainSettings, config: &Config, steps: u64) -> Option<String> {
    let enough = steps_to_learn(settings.first_weights, config);
    if steps >= enough || matches!(settings.start, Start::Model(_)) {
        return None;
    }
    let flags = match settings.budget {
        Budget::Seconds(seconds) => {
            let minutes = (seconds * enough as f64 / steps as f64 / 60.0).ceil();
            if minutes < 180.0 { format!("--time {minutes}m") } else { format!("--time {}h", (minutes / 60.0).ceil()) }
        }
        _ => format!("--steps {enough}"),
    };
    let in_place = match settings.budget {
        Budget::Epochs(_) => " in place of --epochs",
        Budget::Tokens(_) => " in place of --tokens",
        Budget::Steps(_) | Budget::Seconds(_) => "",
    };
    let mut note = format!(
        "{} too few to learn from text: such a model knows little but word frequencies before some {enough}; stop (Ctrl-C) \
         and give the same command with {flags} --overwrite{in_place}",
        counted(steps)
    );
    let recipe = PretrainRecipe::of(config, false);
    let by_recipe = steps_to_learn(recipe.first_weights, config);
    // Those of the paper, and not only its name, which is that of all that have no recipe.
    if PretrainRecipe::stored(settings) == PretrainRecipe::bert(config) && by_recipe < enough {
        note.push_str(&format!("; without --recipe bert, some {by_recipe} smaller steps are enough"));
    }
    Some(note)
}

/// A note on a fine-tuning of so few steps that a new head does not learn, with the flags to type instead.
pub(super) fn of_finetuning(has_head: bool, steps: u64, steps_per_epoch: u64) -> Option<String> {
    if has_head || steps >= STEPS_OF_HEAD {
        return None;
    }
    let epochs = STEPS_OF_HEAD.div_ceil(steps_per_epoch.max(1));
    Some(format!(
        "{} few for a new head, which takes {STEPS_OF_HEAD} or more to learn: give more examples, or the same command with \
         --epochs {epochs} --overwrite",
        counted(steps)
    ))
}

fn counted(steps: u64) -> String {
    if steps == 1 { "1 step is".to_string() } else { format!("{steps} steps are") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(recipe: &PretrainRecipe, budget: Budget) -> PretrainSettings {
        let mut settings = PretrainSettings::new(vec!["a.txt".into()], "vocab", Start::Preset("tiny".into()), 1);
        settings.apply(recipe);
        PretrainSettings { budget, ..settings }
    }

    #[test]
    fn short_pretrainings_are_told_what_would_be_enough() {
        let config = Config::preset("tiny").unwrap();
        let recipe = PretrainRecipe::of(&config, false);
        let note = of_pretraining(&settings(&recipe, Budget::Steps(80)), &config, 80).unwrap();
        assert!(note.contains("80 steps are too few") && note.contains("--steps 500 --overwrite"), "{note}");
        assert!(!note.contains("--recipe"), "{note}");
        let note = of_pretraining(&settings(&recipe, Budget::Seconds(60.0)), &config, 90).unwrap();
        assert!(note.ends_with("the same command with --time 6m --overwrite"), "{note}");
        // A command takes one of these flags.
        for (budget, flag) in [(Budget::Epochs(2.0), "--epochs"), (Budget::Tokens(10_000), "--tokens")] {
            let note = of_pretraining(&settings(&recipe, budget), &config, 90).unwrap();
            assert!(note.ends_with(&format!("with --steps 500 --overwrite in place of {flag}")), "{note}");
        }
        assert_eq!(of_pretraining(&settings(&recipe, Budget::Steps(500)), &config, 500), None);
        let bert = settings(&PretrainRecipe::bert(&config), Budget::Seconds(240.0));
        let note = of_pretraining(&bert, &config, 80).unwrap();
        assert!(note.contains("--time 5h --overwrite; without --recipe bert, some 500 smaller"), "{note}");
        let model = PretrainSettings { start: Start::Model("model".into()), ..bert };
        assert_eq!(of_pretraining(&model, &config, 80), None);
    }

    #[test]
    fn short_finetunings_are_told_how_many_epochs_would_be_enough() {
        let note = of_finetuning(false, 6, 2).unwrap();
        assert!(note.contains("6 steps are few") && note.contains("--epochs 50 --overwrite"), "{note}");
        assert_eq!(of_finetuning(true, 6, 2), None, "the head has learnt before");
        assert_eq!(of_finetuning(false, 100, 2), None);
        assert!(of_finetuning(false, 1, 1).unwrap().contains("1 step is few"));
    }
}
