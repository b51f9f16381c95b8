//! The log of a run, kept in `trainer_state.json` as Hugging Face's Trainer keeps it.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::events::{Metrics, StepLog};

/// Log entries of a run, at most about this many.
const ENTRIES: u64 = 500;

/// The log of a run: means over some steps, and evaluations.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub entries: Vec<Value>,
    /// The steps since the last entry; not kept in checkpoints.
    pending: Vec<StepLog>,
    /// Seconds that the run had taken when the program began to count.
    seconds_before: f64,
    begun: Instant,
}

impl Default for History {
    fn default() -> History {
        History::new(Vec::new())
    }
}

impl History {
    /// A log that goes on from here.
    pub fn new(entries: Vec<Value>) -> History {
        let seconds_before = entries.iter().rev().find_map(|entry| entry["seconds"].as_f64()).unwrap_or_default();
        History { entries, pending: Vec::new(), seconds_before, begun: Instant::now() }
    }

    /// How long the run has taken, without the time between an interruption and its end.
    fn seconds(&self) -> Value {
        json!((10.0 * (self.seconds_before + self.begun.elapsed().as_secs_f64())).round() / 10.0)
    }

    /// Notes a step. Every so many steps, and at the last, their means become an entry.
    pub fn step(&mut self, log: &StepLog) {
        self.pending.push(log.clone());
        let every = (log.steps / ENTRIES).max(1);
        if log.step.is_multiple_of(every) || log.step == log.steps {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let Some(last) = self.pending.last() else { return };
        let mean = |of: fn(&StepLog) -> f64| self.pending.iter().map(of).sum::<f64>() / self.pending.len() as f64;
        let mut entry = Map::new();
        entry.insert("epoch".into(), json!(last.epoch));
        entry.insert("grad_norm".into(), json!(mean(|log| log.grad_norm)));
        entry.insert("learning_rate".into(), json!(last.learning_rate));
        entry.insert("loss".into(), json!(mean(|log| log.loss)));
        let mut optional = |name: &str, of: fn(&StepLog) -> Option<f64>| {
            let values: Vec<f64> = self.pending.iter().filter_map(of).collect();
            if !values.is_empty() {
                entry.insert(name.into(), json!(values.iter().sum::<f64>() / values.len() as f64));
            }
        };
        optional("mlm_loss", |log| log.mlm_loss);
        optional("mlm_accuracy", |log| log.mlm_accuracy);
        optional("nsp_loss", |log| log.nsp_loss);
        optional("nsp_accuracy", |log| log.nsp_accuracy);
        optional("fraction_of_ceiling", |log| log.fraction_of_ceiling);
        entry.insert("seconds".into(), self.seconds());
        entry.insert("step".into(), json!(last.step));
        entry.insert("tokens_per_second".into(), json!(last.tokens_per_second.round()));
        self.entries.push(Value::Object(entry));
        self.pending.clear();
    }

    /// Adds something to the last entry.
    pub fn add(&mut self, name: &str, value: Value) {
        if let Some(Value::Object(entry)) = self.entries.last_mut() {
            entry.insert(name.to_string(), value);
        }
    }

    /// Notes an evaluation.
    pub fn evaluation(&mut self, step: u64, epoch: f64, metrics: &Metrics) {
        self.flush();
        let mut entry = Map::new();
        entry.insert("epoch".into(), json!(epoch));
        for (name, value) in metrics {
            entry.insert(format!("eval_{name}"), json!(value));
        }
        entry.insert("step".into(), json!(step));
        self.entries.push(Value::Object(entry));
    }

    /// How many passes over the data were done at the last entry.
    pub fn epoch(&self) -> f64 {
        self.entries.last().and_then(|entry| entry["epoch"].as_f64()).unwrap_or_default()
    }

    /// The step of the last entry.
    pub fn last_step(&self) -> u64 {
        self.entries.last().and_then(|entry| entry["step"].as_u64()).unwrap_or_default()
    }

    /// How many evaluations came after step `step`.
    pub fn evaluations_after(&self, step: u64) -> u64 {
        let is_later = |entry: &&Value| is_evaluation(entry) && entry["step"].as_u64().is_some_and(|own| own > step);
        self.entries.iter().filter(is_later).count() as u64
    }

    /// The loss of the evaluation after step `step`.
    pub fn loss_of(&self, step: u64) -> Option<f64> {
        self.metrics_of(step).into_iter().find(|(name, _)| name == "loss").map(|(_, loss)| loss)
    }

    /// True if there were evaluations, and this metric was 0 or not defined in all of them.
    pub fn is_always_zero(&self, metric: &str) -> bool {
        let mut evaluations = self.entries.iter().filter(|entry| is_evaluation(entry)).peekable();
        let name = format!("eval_{metric}");
        evaluations.peek().is_some() && evaluations.all(|entry| entry[&name].as_f64().is_none_or(|value| value == 0.0))
    }

    /// The metrics of the evaluation after step `step`.
    pub fn metrics_of(&self, step: u64) -> Metrics {
        let is_wanted = |entry: &&Value| entry["step"] == json!(step) && is_evaluation(entry);
        let entry = self.entries.iter().rev().find(is_wanted).and_then(Value::as_object);
        let metric = |(name, value): (&String, &Value)| {
            Some((name.strip_prefix("eval_")?.to_string(), value.as_f64().unwrap_or(f64::NAN)))
        };
        entry.map(|entry| entry.iter().filter_map(metric).collect()).unwrap_or_default()
    }
}

fn is_evaluation(entry: &Value) -> bool {
    entry.as_object().is_some_and(|entry| entry.keys().any(|key| key.starts_with("eval_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_logged_in_means() {
        let mut history = History::default();
        for step in 1..=1000 {
            history.step(&StepLog { step, steps: 1000, loss: step as f64, ..StepLog::default() });
        }
        assert_eq!(history.entries.len(), 500);
        assert_eq!(history.entries[0]["loss"], json!(1.5));
        history.evaluation(1000, 1.0, &vec![("accuracy".to_string(), 0.5)]);
        assert_eq!(history.metrics_of(1000), vec![("accuracy".to_string(), 0.5)]);
        assert_eq!(history.metrics_of(999), vec![]);
        assert_eq!((history.evaluations_after(999), history.evaluations_after(1000)), (1, 0));
    }

    #[test]
    fn a_metric_that_is_always_zero_is_noticed() {
        let mut history = History::default();
        assert!(!history.is_always_zero("f1"), "no evaluation");
        let mut evaluation = |f1: f64| {
            history.evaluation(1, 1.0, &vec![("loss".to_string(), 0.5), ("f1".to_string(), f1)]);
            (history.is_always_zero("f1"), history.is_always_zero("pearson"), history.is_always_zero("loss"))
        };
        assert_eq!(evaluation(0.0), (true, true, false));
        assert_eq!(evaluation(f64::NAN), (true, true, false), "0 or not defined");
        assert_eq!(evaluation(0.25), (false, true, false));
        assert_eq!(history.loss_of(1), Some(0.5));
    }
}
