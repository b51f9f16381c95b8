//! The files of a training, read back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cloze::eval::slices::Slice;
use cloze::eval::{Calibration, Mistake};
use cloze::settings::{FinetuneSettings, PretrainSettings, RunSettings, StoredRun, StoredSettings};
use cloze::train::{EVALUATION, RUN_STATE, TRAINER_STATE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chart::points;
use crate::output::grouped;

/// Everything that is known of a finished fine-tuning.
#[derive(Clone, Debug)]
pub struct FinishedRun {
    /// Its folder.
    pub dir: PathBuf,
    /// What was asked for.
    pub settings: FinetuneSettings,
    /// The run itself.
    pub run: StoredRun,
    /// What is stored with the model.
    pub stored: StoredSettings,
    /// How it went.
    pub state: State,
    /// How good the model is; of no examples if nothing was held out.
    pub evaluation: Evaluation,
}

/// The part of `run_state.json` that a report shows.
#[derive(Deserialize)]
struct Own {
    metric_for_best_model: Option<String>,
    #[serde(default)]
    samples: Vec<SampleText>,
}

/// The part of `trainer_state.json` and `run_state.json` that a report shows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct State {
    /// The metric that chose the weights.
    pub metric_for_best_model: Option<String>,
    /// The step that they are of.
    pub best_global_step: Option<u64>,
    /// The steps that are done.
    pub global_step: u64,
    /// The steps of the whole run.
    #[serde(default)]
    pub max_steps: u64,
    /// Means over some steps, and evaluations.
    pub log_history: Vec<Value>,
    /// What a pre-training predicts at its evaluations.
    #[serde(default)]
    pub samples: Vec<SampleText>,
}

/// The verdict on a run as the last sentence of an introduction; empty if there is none yet.
pub fn verdict(stored: &StoredSettings) -> String {
    stored.verdict.as_ref().map_or(String::new(), |verdict| format!(" Verdict: {}.", verdict.text()))
}

/// A text with a masked word.
#[derive(Clone, Debug, Deserialize)]
pub struct SampleText {
    /// With `[MASK]` once.
    pub text: String,
    /// The word.
    pub answer: String,
}

/// Everything that is known of a pre-training.
#[derive(Clone, Debug)]
pub struct PretrainingRun {
    /// The model as it is: the folder of the run, or its newest checkpoint.
    pub model: PathBuf,
    /// What was asked for.
    pub settings: PretrainSettings,
    /// The run itself.
    pub run: StoredRun,
    /// True if it taught the model anything, once it has ended.
    pub verdict: String,
    /// How it went so far.
    pub state: State,
}

/// The part of `evaluation.json` that a report shows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Evaluation {
    /// Examples of the development set.
    pub examples: u64,
    /// In their order; a metric that is not a number is null.
    pub metrics: Map<String, Value>,
    /// `low` and `high` of some metrics.
    pub intervals: Map<String, Value>,
    /// `precision`, `recall`, `f1`, `support` of each class.
    pub classes: Map<String, Value>,
    /// `[gold][predicted]`
    pub confusion: Vec<Vec<usize>>,
    /// The label whose F1 is measured, of two.
    #[serde(default)]
    pub positive_label: Option<String>,
    /// Rows and columns of it.
    pub labels: Vec<String>,
    /// Whether probabilities are what they say.
    pub calibration: Option<Calibration>,
    /// By length.
    pub slices: Vec<Slice<Map<String, Value>>>,
    /// The surest first.
    pub mistakes: Vec<Mistake>,
}

impl State {
    /// Reads the state of a run or of a checkpoint.
    pub fn read(dir: &Path) -> anyhow::Result<State> {
        let state: State = json(&dir.join(TRAINER_STATE))?;
        let own = dir.join(RUN_STATE);
        // Version 0.1 had everything in one file.
        if !own.exists() {
            return Ok(state);
        }
        let Own { metric_for_best_model, samples } = json(&own)?;
        Ok(State { metric_for_best_model, samples, ..state })
    }

    /// Metrics of the evaluation after `step`, else of the last one.
    pub fn evaluation(&self, step: Option<u64>) -> Map<String, Value> {
        let evaluations = || self.log_history.iter().rev().filter_map(Value::as_object);
        let metrics = |entry: &Map<String, Value>| -> Map<String, Value> {
            let own = entry.iter().filter_map(|(name, value)| Some((name.strip_prefix("eval_")?, value)));
            own.map(|(name, value)| (name.to_string(), value.clone())).collect()
        };
        let is_wanted = |entry: &&Map<String, Value>| entry.get("step").and_then(Value::as_u64) == step;
        let wanted = evaluations().filter(is_wanted).map(metrics).find(|metrics| !metrics.is_empty());
        wanted.or_else(|| evaluations().map(metrics).find(|metrics| !metrics.is_empty())).unwrap_or_default()
    }
}

impl FinishedRun {
    /// Reads the folder of a fine-tuning; others are refused with what they are.
    pub fn read(dir: &Path) -> anyhow::Result<FinishedRun> {
        let shown = dir.display();
        let stored = StoredSettings::read(dir)?;
        let Some(run) = stored.run.clone() else {
            bail!("{shown} is not the --output of a `cloze finetune`: its cloze.json, if any, tells of no training");
        };
        let RunSettings::Finetune(settings) = run.settings.clone() else {
            bail!("{shown} is the output of a pre-training, not of a fine-tuning");
        };
        if !run.finished {
            bail!("the fine-tuning in {shown} has not finished; the command that started it goes on with it");
        }
        let evaluation = dir.join(EVALUATION);
        let evaluation = if evaluation.is_file() {
            json(&evaluation)?
        } else if settings.dev.is_none() && stored.metrics.is_none() {
            Evaluation::default()
        } else {
            bail!(
                "{shown} has no {EVALUATION}: it was lost, or an older version of Cloze trained here; train once more"
            );
        };
        Ok(FinishedRun { dir: dir.to_path_buf(), settings, run, stored, state: State::read(dir)?, evaluation })
    }

    /// True if there were examples to measure with.
    pub fn is_measured(&self) -> bool {
        self.evaluation.examples > 0
    }

    /// The examples that were measured with, in words.
    pub fn measured_on(&self) -> String {
        match (&self.settings.dev, self.is_measured()) {
            (Some(dev), _) => {
                format!("measured on {} examples of {}", grouped(self.evaluation.examples), dev.display())
            }
            (None, true) => {
                format!("measured on {} examples of it that were held out", grouped(self.evaluation.examples))
            }
            (None, false) => "with nothing held out to measure how good the result is".to_string(),
        }
    }

    /// The metric that chose the weights.
    pub fn metric(&self) -> &str {
        let first = || self.evaluation.metrics.keys().find(|name| *name != "loss").map(String::as_str);
        self.state.metric_for_best_model.as_deref().or_else(first).unwrap_or("loss")
    }

    /// The points (x, y) of the log's entries that have both.
    pub fn points(&self, x: &str, y: &str) -> Vec<(f64, f64)> {
        points(&self.state.log_history, x, y)
    }
}

impl PretrainingRun {
    /// Reads the folder of a pre-training; of one that is under way, the newest checkpoint.
    pub fn read(dir: &Path) -> anyhow::Result<PretrainingRun> {
        let shown = dir.display();
        let stored = StoredSettings::read(dir)?;
        let verdict = verdict(&stored);
        let Some(run) = stored.run else {
            bail!("{shown} is not the --output of a `cloze pretrain`");
        };
        let RunSettings::Pretrain(settings) = run.settings.clone() else {
            bail!("{shown} is not the --output of a `cloze pretrain`");
        };
        let model = if run.finished { Some(dir.to_path_buf()) } else { newest_checkpoint(dir)? };
        let Some(model) = model else {
            bail!("the pre-training in {shown} has no checkpoint yet; the first one tells how it goes");
        };
        let state = State::read(&model)?;
        Ok(PretrainingRun { model, settings, run, verdict, state })
    }
}

fn newest_checkpoint(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let step = name.and_then(|name| name.strip_prefix("checkpoint-")).and_then(|step| step.parse::<u64>().ok());
        newest = newest.max(step.map(|step| (step, path)));
    }
    Ok(newest.map(|(_, path)| path))
}

/// Every setting that is set, by the name that it has in `cloze.json`.
pub fn settings_facts(settings: &impl Serialize) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    if let Ok(Value::Object(settings)) = serde_json::to_value(settings) {
        flatten("", &settings, &mut facts);
    }
    facts
}

fn flatten(prefix: &str, settings: &Map<String, Value>, facts: &mut Vec<(String, String)>) {
    for (name, value) in settings {
        let name = format!("{prefix}{name}");
        match value {
            Value::Null => {}
            Value::Object(inner) => flatten(&format!("{name}."), inner, facts),
            Value::String(text) => facts.push((name, text.clone())),
            other => facts.push((name, other.to_string())),
        }
    }
}

/// What a run was made of and on.
pub fn run_facts(run: &StoredRun) -> Vec<(String, String)> {
    let fact = |name: &str, value: &str| (name.to_string(), value.to_string());
    vec![fact("SHA-256 of the data", &run.data), fact("machine", &run.machine), fact("version of Cloze", &run.version)]
}

impl Evaluation {
    /// The metrics of all examples, `first` in front of the others: not those of a single class, which have their own
    /// table, nor counts and thresholds.
    pub fn main_metrics(&self, first: &str) -> Vec<String> {
        let is_of_class = |name: &str| {
            let parts = ["_precision", "_recall", "_f1", "_support"].map(|part| name.strip_suffix(part));
            parts.into_iter().flatten().any(|class| self.classes.contains_key(class))
        };
        let is_main = |name: &str| !is_of_class(name) && !name.ends_with("total") && !name.ends_with("_thresh");
        let mut names: Vec<String> = self.metrics.keys().filter(|name| is_main(name)).cloned().collect();
        names.sort_by_key(|name| name != first);
        names
    }
}

/// Reads a JSON file.
pub fn json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_of_a_class_are_not_among_the_metrics() {
        let mut evaluation = Evaluation::default();
        evaluation.classes.insert("person".to_string(), json!({}));
        for name in ["loss", "strict_f1", "f1", "person_f1", "person_support", "HasAns_total", "best_f1_thresh"] {
            evaluation.metrics.insert(name.to_string(), json!(0.5));
        }
        assert_eq!(evaluation.main_metrics("f1"), ["f1", "loss", "strict_f1"]);
    }
}
