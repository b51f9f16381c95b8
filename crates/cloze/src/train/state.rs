//! How far a run has come, in two files: `trainer_state.json` as Hugging Face's Trainer reads it, and
//! `run_state.json` with what only Cloze needs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Error;
use crate::checkpoint::write_file;
use crate::error::at;

use super::history::History;
use super::pretrain::SampleText;

/// The name of the file that Hugging Face's Trainer reads, too. It takes no keys that it does not know.
pub const TRAINER_STATE: &str = "trainer_state.json";
/// The name of the file with everything else.
pub const RUN_STATE: &str = "run_state.json";
/// Draws are told apart by the number of the epoch in 32 bits. No run gets as far as half of that.
const EPOCHS_MAX: u64 = 1 << 31;

/// How far a run has come, besides weights and moments.
#[derive(Clone, Debug, Default)]
pub(super) struct RunState {
    /// The pass over the data that the next step begins in.
    pub epoch: u64,
    /// Instances of that pass that are already trained on.
    pub position: u64,
    /// Passes over the data done: parts of several where a pass was left for sequences of another length.
    pub epochs_done: f64,
    /// Parts of passes that were left out so.
    pub epochs_skipped: f64,
    /// Seconds that the run has taken, of a pre-training.
    pub seconds: f64,
    /// The metric that is watched.
    pub metric: Option<String>,
    /// The best evaluation so far, by the metric that is watched.
    pub best: Option<Best>,
    /// True if a version wrote it that chose the best evaluation by the metric alone.
    pub is_older: bool,
    pub history: History,
    /// Held-out sentences whose masked words are predicted again and again.
    pub samples: Vec<SampleText>,
}

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    pub step: u64,
    /// Value of the metric; negative infinity where it is not defined.
    pub metric: f64,
    /// Loss on the same examples, which decides between equal metrics.
    pub loss: f64,
}

impl RunState {
    /// Writes both files after `step` of `steps`.
    pub fn write(&self, dir: &Path, step: u64, epoch: f64, steps: u64) -> Result<(), Error> {
        let best = self.best;
        let trainer = json!({
            "best_metric": best.map(|best| best.metric),
            "best_global_step": best.map(|best| best.step),
            "best_model_checkpoint": best.map(|best| format!("checkpoint-{}", best.step)),
            "epoch": epoch,
            "global_step": step,
            "max_steps": steps,
            "log_history": self.history.entries,
        });
        let own = json!({
            "best_loss": best.map(|best| best.loss),
            "global_step": step,
            "metric_for_best_model": self.metric,
            "position": { "epoch": self.epoch, "instance": self.position, "epochs_skipped": self.epochs_skipped },
            "samples": self.samples,
            "seconds": self.seconds,
        });
        write_file(&dir.join(RUN_STATE), format!("{own:#}\n").as_bytes())?;
        write_file(&dir.join(TRAINER_STATE), format!("{trainer:#}\n").as_bytes())
    }

    /// Reads both files of the checkpoint at `step` of a run, for which some time may have been `asked`. Version 0.1 had
    /// everything in the first.
    pub fn read(dir: &Path, step: u64, asked: Option<f64>) -> Result<RunState, Error> {
        let trainer = read(&dir.join(TRAINER_STATE), step)?;
        let own = dir.join(RUN_STATE);
        let (path, own) = match own.exists() {
            true => (own.clone(), read(&own, step)?),
            false => (dir.join(TRAINER_STATE), trainer.clone()),
        };
        let damaged = |path: &Path, message: String| damaged(path, &message);
        let number = |name: &str| {
            let value = own["position"][name].as_u64();
            value.ok_or_else(|| damaged(&path, format!("no number `position.{name}`")))
        };
        let epoch = number("epoch")?;
        if epoch > EPOCHS_MAX {
            return Err(damaged(&path, format!("`position.epoch` is {epoch}, expected at most {EPOCHS_MAX}")));
        }
        // JSON has no infinity: a metric that is not defined, which counts as worse than any, is stored as null.
        let metric = trainer["best_metric"].as_f64().unwrap_or(f64::NEG_INFINITY);
        let entries = trainer["log_history"].as_array().cloned();
        let is_entry = |entry: &Value| entry.is_object() && entry["step"].is_u64();
        let entries = entries.filter(|entries| entries.iter().all(is_entry));
        let path = dir.join(TRAINER_STATE);
        let message = "no list `log_history` of entries with a `step`".to_string();
        let history = History::new(entries.ok_or_else(|| damaged(&path, message))?);
        let best = trainer["best_global_step"].as_u64().map(|step| {
            // Earlier versions stored it in the log alone.
            let loss = own["best_loss"].as_f64().or_else(|| history.loss_of(step));
            Best { step, metric, loss: loss.unwrap_or(f64::INFINITY) }
        });
        // Earlier versions did not count the seconds; they planned all steps for the whole time.
        let estimated = || Some(asked? * step as f64 / trainer["max_steps"].as_u64()?.max(step).max(1) as f64);
        Ok(RunState {
            epoch,
            position: number("instance")?,
            epochs_done: trainer["epoch"].as_f64().unwrap_or_default(),
            // Versions before had neither.
            epochs_skipped: own["position"]["epochs_skipped"].as_f64().unwrap_or_default(),
            seconds: own["seconds"].as_f64().or_else(estimated).unwrap_or_default(),
            metric: own["metric_for_best_model"].as_str().map(str::to_string),
            is_older: best.is_some() && own.get("best_loss").is_none(),
            best,
            history,
            samples: serde_json::from_value(own["samples"].clone()).unwrap_or_default(),
        })
    }
}

/// Reads a file that is of this step.
fn read(path: &Path, step: u64) -> Result<Value, Error> {
    let text = fs::read_to_string(path).map_err(at("read", path))?;
    let state: Value = serde_json::from_str(&text).map_err(|error| damaged(path, &error.to_string()))?;
    match state["global_step"].as_u64() {
        Some(own) if own == step => Ok(state),
        _ => Err(damaged(path, &format!("`global_step` is {}, expected {step}", state["global_step"]))),
    }
}

fn damaged(path: &Path, message: &str) -> Error {
    Error::Data { path: path.to_path_buf(), line: None, message: format!("{message}; the file is damaged") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> RunState {
        let entry = json!({ "epoch": 0.5, "loss": 2.5, "step": 7, "samples": [["a", 0.5]] });
        RunState {
            epoch: 3,
            position: 17,
            epochs_done: 0.5,
            epochs_skipped: 2.0 / 13.0,
            seconds: 100.0 / 7.0,
            metric: Some("loss".to_string()),
            best: Some(Best { step: 5, metric: 2.0 / 13.0, loss: 1.0 / 3.0 }),
            is_older: false,
            history: History::new(vec![entry]),
            samples: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        state().write(dir.path(), 7, 0.5, 12).unwrap();
        let read = RunState::read(dir.path(), 7, None).unwrap();
        assert_eq!((read.epoch, read.position, read.metric, read.best), (3, 17, state().metric, state().best));
        assert_eq!((read.epochs_done, read.epochs_skipped, read.seconds), (0.5, 2.0 / 13.0, 100.0 / 7.0));
        assert_eq!(read.history.entries, state().history.entries);
        let message = RunState::read(dir.path(), 8, None).unwrap_err().to_string();
        assert!(message.contains("`global_step` is 7, expected 8"), "{message}");
    }

    /// The fields of `TrainerState` in transformers 5.24, which `load_from_json` hands to its constructor.
    const FIELDS: [&str; 20] = [
        "epoch",
        "global_step",
        "max_steps",
        "logging_steps",
        "eval_steps",
        "save_steps",
        "train_batch_size",
        "num_train_epochs",
        "num_input_tokens_seen",
        "total_flos",
        "log_history",
        "best_metric",
        "best_global_step",
        "best_model_checkpoint",
        "is_local_process_zero",
        "is_world_process_zero",
        "is_hyper_param_search",
        "trial_name",
        "trial_params",
        "stateful_callbacks",
    ];

    #[test]
    fn hugging_faces_trainer_knows_every_key() {
        let dir = tempfile::tempdir().unwrap();
        state().write(dir.path(), 7, 0.5, 12).unwrap();
        let written = fs::read_to_string(dir.path().join(TRAINER_STATE)).unwrap();
        let written: Value = serde_json::from_str(&written).unwrap();
        let keys: Vec<&String> = written.as_object().unwrap().keys().collect();
        assert!(keys.len() > 5 && keys.iter().all(|key| FIELDS.contains(&key.as_str())), "{keys:?}");
    }

    #[test]
    fn a_checkpoint_of_version_0_1_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let old = json!({
            "best_metric": 0.5, "best_global_step": 5, "metric_for_best_model": "loss", "global_step": 7,
            "position": { "epoch": 1, "instance": 2 }, "log_history": [{ "step": 5, "eval_loss": 0.25 }],
        });
        fs::write(dir.path().join(TRAINER_STATE), old.to_string()).unwrap();
        let read = RunState::read(dir.path(), 7, None).unwrap();
        assert_eq!((read.best, read.is_older), (Some(Best { step: 5, metric: 0.5, loss: 0.25 }), true));
        assert_eq!((read.epoch, read.position, read.metric.as_deref()), (1, 2, Some("loss")));
    }

    /// A run of that version was asked for a time, and did not count it.
    #[test]
    fn seconds_that_were_not_counted_are_estimated() {
        let dir = tempfile::tempdir().unwrap();
        state().write(dir.path(), 7, 0.5, 28).unwrap();
        let seconds = |asked| RunState::read(dir.path(), 7, asked).unwrap().seconds;
        assert_eq!((seconds(Some(80.0)), seconds(None)), (100.0 / 7.0, 100.0 / 7.0), "what was counted holds");
        let path = dir.path().join(RUN_STATE);
        let mut own: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        own.as_object_mut().unwrap().remove("seconds");
        fs::write(&path, own.to_string()).unwrap();
        assert_eq!((seconds(Some(80.0)), seconds(None)), (20.0, 0.0));
    }

    #[test]
    fn an_epoch_beyond_all_draws_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for epoch in [EPOCHS_MAX + 1, (1 << 32) - 1, 1 << 32, u64::MAX] {
            RunState { epoch, ..state() }.write(dir.path(), 7, 0.5, 12).unwrap();
            let message = RunState::read(dir.path(), 7, None).unwrap_err().to_string();
            assert!(message.contains(RUN_STATE) && message.contains("position.epoch"), "{message}");
        }
        RunState { epoch: EPOCHS_MAX, ..state() }.write(dir.path(), 7, 0.5, 12).unwrap();
        RunState::read(dir.path(), 7, None).unwrap();
    }

    #[test]
    fn entries_without_a_step_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for entry in [json!({}), json!(7), json!({ "step": -1 }), json!({ "step": "7" })] {
            RunState { history: History::new(vec![entry]), ..state() }.write(dir.path(), 7, 0.5, 12).unwrap();
            let message = RunState::read(dir.path(), 7, None).unwrap_err().to_string();
            assert!(message.contains("log_history"), "{message}");
        }
    }
}
