//! How a training is shown while it runs, how a signal stops it, and what is said at its end.
//!
//! People read standard error. With `--json`, events are lines on standard output, too, and the last line says how the
//! training ended. Notes are for people, in every case. A stream that nobody reads any more never ends a training: the
//! model is the product.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use cloze::eval::Tuning;
use cloze::settings::{FILE_NAME, RunSettings, StoredSettings};
use cloze::train::{Advice, Event, Metrics, Observer, Outcome, REPORT, SUMMARY, StepLog, Verdict};
use serde_json::{Map, Value, json};

use crate::output::{Output, duration, grouped};
use crate::progress::Progress;
use crate::report;
use crate::signals;

/// Perplexities above this mean that nothing is known yet, and are not told apart.
const PERPLEXITY_MAX: f64 = 1e6;

/// Shows events.
pub struct Reporter {
    progress: Progress,
    /// None without `--json`, and once a line could not be written.
    json: Option<Output>,
    /// Error that kept a line from being written; a closed pipe is none.
    failure: Option<io::Error>,
}

impl Reporter {
    /// Nothing is shown yet.
    pub fn new(json: bool) -> Reporter {
        Reporter { progress: Progress::new(), json: json.then(|| Output::new(true)), failure: None }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Note(text) => self.progress.line(&format!("note: {text}")),
            Event::Progress { what, done, total } => self.progress.at(what, *done, *total),
            Event::Started { steps, steps_done, parameters } => {
                let before = match steps_done {
                    0 => String::new(),
                    done => format!(", {} of them done before", grouped(*done)),
                };
                let (parameters, steps) = (grouped(*parameters as u64), grouped(*steps));
                self.progress.line(&format!("{parameters} parameters, {steps} steps{before}"));
            }
            Event::Step(step) => {
                let place = [
                    format!("step {} of {}", grouped(step.step), grouped(step.steps)),
                    format!("{} left", duration(step.seconds_left)),
                ];
                self.progress.with_figures("training", step.step, step.steps, &place, &figures(step));
            }
            Event::Evaluated { step, metrics, .. } => {
                self.progress.line(&format!("step {}: {}", grouped(*step), evaluated(metrics).join(", ")));
            }
            Event::Verdict(verdict) => {
                self.progress.line(&verdict.text());
                if let Some(advice) = verdict.advice {
                    self.progress.line(&advised(advice));
                }
            }
            Event::Saved { path, .. } => self.progress.line(&format!("saved {}", path.display())),
        }
        if let Some(line) = self.json.as_ref().and_then(|_| json_line(event)) {
            self.write(&line);
        }
    }

    /// Writes a line for programs. The first one that fails is the last one that is tried.
    fn write(&mut self, line: &Value) {
        let Some(output) = &mut self.json else { return };
        if let Err(error) = output.answer(line, String::new).and_then(|()| output.flush()) {
            self.json = None;
            self.failure = (error.kind() != io::ErrorKind::BrokenPipe).then_some(error);
        }
    }

    /// Answer to the library, which asks after each event whether to go on: until a signal comes.
    pub fn verdict(&self) -> ControlFlow<()> {
        if signals::stop_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.progress.clear();
    }

    /// Runs a training, shows its events, and lets a signal stop it.
    pub fn train<F>(&mut self, work: F) -> anyhow::Result<Ending>
    where
        F: FnOnce(&mut Observer) -> Result<Outcome, cloze::Error>,
    {
        let outcome = work(&mut |event| {
            // Before the first step there is nothing to save, and reading a corpus may take minutes.
            if matches!(event, Event::Started { .. }) {
                signals::stop_at_next_step();
            }
            self.show(event);
            self.verdict()
        });
        signals::stop_at_once();
        self.clear();
        Ok(match outcome? {
            Outcome::Finished(metrics) => Ending::Finished(metrics),
            Outcome::AlreadyFinished => Ending::AlreadyFinished,
            Outcome::Stopped { step } => Ending::Stopped { step },
        })
    }

    /// Says how a training that is a command of its own has ended, in words and as the last JSON line. The exit code is 0
    /// when it is finished, and that of the signal when one stopped it.
    ///
    /// # Errors
    /// If lines for programs could not be written, for another reason than that nobody reads them.
    pub fn conclude(mut self, ending: &Ending, output: &Path) -> anyhow::Result<ExitCode> {
        let facts = Facts::gather(ending, output);
        let best = match (facts.best_step, facts.steps) {
            (Some(best), Some(steps)) => format!("; best step: {} of {}", grouped(best), grouped(steps)),
            _ => String::new(),
        };
        let dir = output.display();
        let code = match ending {
            Ending::Finished(_) => {
                match best_of_series(output) {
                    Some(best) => say!("finished; {best}"),
                    None => say!("finished; the model is in {dir}{best}"),
                }
                ExitCode::SUCCESS
            }
            Ending::AlreadyFinished => {
                say!(
                    "this training is finished already; nothing was changed. To train its model further, start from it: \
                     --model {dir} --output ANOTHER; to begin anew: --overwrite"
                );
                ExitCode::SUCCESS
            }
            Ending::Stopped { step } => {
                say!("stopped after step {}; the same command goes on from there", grouped(*step));
                signals::exit_code()
            }
        };
        self.write(&facts.line(ending, output));
        match self.failure {
            None => Ok(code),
            Some(error) => Err(error).with_context(|| {
                let state = if matches!(ending, Ending::Stopped { .. }) { "stopped in order" } else { "finished" };
                format!("the training is {state}, but its JSON lines could not be written to standard output")
            }),
        }
    }
}

/// Advice as flags.
fn advised(advice: Advice) -> String {
    let flags = match advice {
        Advice::Steps(steps) => format!("--steps {steps}"),
        Advice::Epochs(epochs) => format!("--epochs {epochs}"),
        Advice::LearningRate(rate) => format!("--learning-rate {rate:.0e}"),
        Advice::Dev => "--dev FILE".to_string(),
    };
    format!("to try next: the same command with {flags} --overwrite")
}

/// Metrics of an evaluation in words, the constants of the data beside what is held against them. Figures of single types
/// of entities, which may be many, are left out.
fn evaluated(metrics: &Metrics) -> Vec<String> {
    let value = |name: &str| metrics.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
    if let (Some(loss), Some(accuracy)) = (value("mlm_loss"), value("mlm_accuracy")) {
        let against = |name: &str, text: fn(f64) -> String| value(name).map_or_else(String::new, text);
        let mut parts = vec![
            format!("held-out MLM loss {loss:.3}")
                + &against("unigram_entropy", |entropy| format!(" ({entropy:.3} by word frequencies)")),
            format!("{} right", percent(accuracy)),
        ];
        if let Some(accuracy) = value("nsp_accuracy") {
            let majority = against("nsp_majority", |share| format!(" ({} by one answer)", percent(share)));
            parts.push(format!("NSP {} right{majority}", percent(accuracy)));
        }
        return parts;
    }
    let kinds: Vec<&str> = metrics.iter().filter_map(|(name, _)| name.strip_suffix("_support")).collect();
    let is_of_kind =
        |name: &str| kinds.iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('_')));
    let shown = metrics.iter().filter(|(name, _)| !is_of_kind(name));
    shown.map(|(name, value)| format!("{name} {}", figure(*value))).collect()
}

/// A metric with four digits behind the point; huge ones in powers of ten.
pub fn figure(value: f64) -> String {
    if value.abs() < PERPLEXITY_MAX || !value.is_finite() { format!("{value:.4}") } else { format!("{value:.1e}") }
}

/// A perplexity with as many digits as mean something.
pub fn perplexity(value: f64) -> String {
    match value {
        value if value >= PERPLEXITY_MAX => format!("over {}", grouped(PERPLEXITY_MAX as u64)),
        value if value >= 1000.0 => grouped(value.round() as u64),
        value => format!("{value:.1}"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Line of `--json` for an event.
fn json_line(event: &Event) -> Option<Value> {
    match event {
        // The last line has the verdict.
        Event::Note(_) | Event::Progress { .. } | Event::Verdict(_) => None,
        Event::Started { steps, steps_done, parameters } => {
            Some(json!({ "steps": steps, "steps_done": steps_done, "parameters": parameters }))
        }
        Event::Step(step) => serde_json::to_value(step).ok(),
        Event::Evaluated { step, epoch, metrics } => {
            let mut line = json!({ "step": step, "epoch": epoch });
            for (name, value) in metrics {
                line[format!("eval_{}", name.trim_start_matches("eval_"))] = json!(value);
            }
            Some(line)
        }
        Event::Saved { step, path } => Some(json!({ "step": step, "saved": path.to_string_lossy() })),
    }
}

/// The figures of a step, first what is of most interest.
fn figures(step: &StepLog) -> Vec<String> {
    let mut parts = Vec::new();
    match (step.mlm_loss, step.mlm_perplexity, step.mlm_accuracy) {
        (Some(loss), Some(value), Some(accuracy)) => {
            parts.push(format!("MLM {loss:.3}, perplexity {}, {} right", perplexity(value), percent(accuracy)));
        }
        _ => parts.push(format!("loss {:.3}", step.loss)),
    }
    if let (Some(loss), Some(accuracy)) = (step.nsp_loss, step.nsp_accuracy) {
        parts.push(format!("NSP {loss:.3}, {} right", percent(accuracy)));
    }
    parts.push(format!("{} tokens/s", grouped(step.tokens_per_second as u64)));
    parts.extend(step.fraction_of_ceiling.map(|share| format!("{:.0} % of the ceiling", 100.0 * share)));
    parts.extend(step.peak_rss_bytes.map(|bytes| format!("{} MB", grouped(bytes >> 20))));
    parts.push(format!("rate {:.1e}", step.learning_rate));
    parts.push(format!("gradient {:.2}", step.grad_norm));
    parts
}

/// How a training ended.
pub enum Ending {
    /// All is done; with the last metrics of a pre-training, or the best of a fine-tuning.
    Finished(Metrics),
    /// It had been done before.
    AlreadyFinished,
    /// A signal stopped it after this step.
    Stopped {
        /// Steps done.
        step: u64,
    },
}

/// End of a training, as its files tell it. Series of several seeds have none.
#[derive(Default)]
struct Facts {
    step: Option<u64>,
    steps: Option<u64>,
    best_step: Option<u64>,
    metrics: Map<String, Value>,
    verdict: Option<Verdict>,
    tuning: Option<Tuning>,
}

impl Facts {
    fn gather(ending: &Ending, output: &Path) -> Facts {
        let dir = match ending {
            Ending::Stopped { step } => output.join(format!("checkpoint-{step}")),
            _ => output.to_path_buf(),
        };
        let state = report::State::read(&dir).ok();
        let mut stored = StoredSettings::read(output).unwrap_or_default();
        let metrics = match (ending, &state) {
            (Ending::Finished(metrics), _) => {
                metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
            }
            // Of the weights as they are stored, with all that was found for them.
            (Ending::AlreadyFinished, _) if stored.metrics.is_some() => stored.metrics.take().unwrap_or_default(),
            // A fine-tuning keeps its best weights, a pre-training its last ones.
            (_, Some(state)) if is_pretraining(output) => state.evaluation(None),
            (_, Some(state)) => state.evaluation(state.best_global_step),
            _ => Map::new(),
        };
        let StoredSettings { verdict, tuning, .. } = stored;
        match (state, ending) {
            (Some(state), _) => Facts {
                verdict,
                tuning,
                step: Some(state.global_step),
                steps: Some(state.max_steps),
                best_step: state.best_global_step,
                metrics,
            },
            (None, Ending::Stopped { step }) => Facts { step: Some(*step), metrics, ..Facts::default() },
            (None, _) => Facts { metrics, ..Facts::default() },
        }
    }

    /// The last line of `--json`.
    fn line(&self, ending: &Ending, output: &Path) -> Value {
        let mut line = json!({
            "finished": !matches!(ending, Ending::Stopped { .. }),
            "unchanged": matches!(ending, Ending::AlreadyFinished),
            "output": output.to_string_lossy(),
        });
        for (name, value) in [("step", self.step), ("best_step", self.best_step)] {
            if let Some(value) = value {
                line[name] = json!(value);
            }
        }
        line["metrics"] = Value::Object(self.metrics.clone());
        if let Some(tuning) = &self.tuning {
            line["tuning"] = json!(tuning);
        }
        if let Some(verdict) = &self.verdict {
            line["verdict"] = json!({ "has_learnt": verdict.has_learnt, "text": verdict.text() });
            line["verdict"]["advice"] = json!(verdict.advice.map(advised));
        }
        line
    }
}

/// A sentence that names the best of several seeds, if the folder is that of such a series.
fn best_of_series(output: &Path) -> Option<String> {
    if output.join(FILE_NAME).exists() {
        return None;
    }
    let summary: Value = serde_json::from_slice(&std::fs::read(output.join(SUMMARY)).ok()?).ok()?;
    let best = &summary["best"];
    let (Some(seed), Some(metric), Some(value)) =
        (best["seed"].as_u64(), best["metric"].as_str(), best["value"].as_f64())
    else {
        return Some(format!("no seed is known to be the best; the models are in {}", output.join("seed-N").display()));
    };
    let folder = output.join(format!("seed-{seed}"));
    Some(format!("seed {seed} is the best ({metric} {}); its model is in {}", figure(value), folder.display()))
}

/// True if the folder is that of a pre-training.
fn is_pretraining(output: &Path) -> bool {
    let run = StoredSettings::read(output).ok().and_then(|stored| stored.run);
    run.is_some_and(|run| matches!(run.settings, RunSettings::Pretrain(_)))
}

/// Has the report of a finished training in `output` written. The model is whole without it; one that is missing, because
/// the program was killed before, is made up for.
pub fn write_report(ending: &Ending, output: &Path, write: impl FnOnce() -> anyhow::Result<PathBuf>) {
    let is_due = match ending {
        Ending::Finished(_) => true,
        Ending::AlreadyFinished => !output.join(REPORT).exists(),
        Ending::Stopped { .. } => false,
    };
    if is_due {
        match write() {
            Ok(path) => say!("curves and figures: {}", path.display()),
            Err(error) => say!("note: no report was written: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(values: &[(&str, f64)]) -> Metrics {
        values.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    }

    #[test]
    fn advice_is_a_flag_to_type() {
        for (advice, flags) in [
            (Advice::Steps(2_000), "--steps 2000 --overwrite"),
            (Advice::Epochs(9), "--epochs 9 --overwrite"),
            (Advice::LearningRate(1e-4), "--learning-rate 1e-4 --overwrite"),
            (Advice::Dev, "--dev FILE --overwrite"),
        ] {
            assert!(advised(advice).ends_with(flags), "{}", advised(advice));
        }
    }

    #[test]
    fn an_evaluation_holds_constants_beside_what_is_measured_against_them() {
        let pretraining = metrics(&[
            ("loss", 4.6),
            ("mlm_loss", 4.0),
            ("mlm_perplexity", 54.6),
            ("mlm_accuracy", 0.291),
            ("nsp_loss", 0.6),
            ("nsp_accuracy", 0.783),
            ("unigram_entropy", 6.5),
            ("nsp_majority", 0.563),
        ]);
        assert_eq!(
            evaluated(&pretraining).join(", "),
            "held-out MLM loss 4.000 (6.500 by word frequencies), 29.1 % right, NSP 78.3 % right (56.3 % by one answer)"
        );
        let words = metrics(&[("loss", 0.5), ("f1", 0.75), ("place_f1", 0.5), ("place_support", 3.0)]);
        assert_eq!(evaluated(&words), ["loss 0.5000", "f1 0.7500"]);
    }

    #[test]
    fn perplexities_have_the_digits_that_mean_something() {
        assert_eq!(perplexity(54.598), "54.6");
        assert_eq!(perplexity(30_522.4), "30,522");
        for huge in [1e6, 1e200, f64::INFINITY] {
            assert_eq!(perplexity(huge), "over 1,000,000");
        }
        assert_eq!((figure(0.12345), figure(1e200)), ("0.1235".to_string(), "1.0e200".to_string()));
    }

    #[test]
    fn the_last_line_says_how_where_and_how_well() {
        let facts = Facts {
            verdict: None,
            tuning: None,
            step: Some(24),
            steps: Some(24),
            best_step: Some(12),
            metrics: Map::from_iter([("accuracy".to_string(), json!(0.5))]),
        };
        let expected = json!({
            "finished": true, "unchanged": false, "output": "model", "step": 24, "best_step": 12,
            "metrics": { "accuracy": 0.5 },
        });
        assert_eq!(facts.line(&Ending::Finished(Vec::new()), Path::new("model")), expected);
        let stopped = Facts { step: Some(3), ..Facts::default() };
        let expected = json!({ "finished": false, "unchanged": false, "output": "model", "step": 3, "metrics": {} });
        assert_eq!(stopped.line(&Ending::Stopped { step: 3 }, Path::new("model")), expected);
    }
}
