//! The folder of a run: its settings, its checkpoints, and how it goes on after an end of any kind.
//!
//! ```text
//! output/
//!     cloze.json              the settings, from the start; at the end marked as finished
//!     checkpoint-<step>/      a model directory, optimizer.safetensors, trainer_state.json, SHA256SUMS
//!     runs/                   files of events: the curves for TensorBoard
//!     config.json, model.safetensors, vocab.txt, …    the result, at the end
//! ```
//!
//! A checkpoint is written to another name and renamed, so that one that has its name is whole. Its checksums tell
//! whether it still is.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloze_tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::checkpoint::{self, Checkpoint, TensorFile};
use crate::error::at;
use crate::params::Declaration;
use crate::settings::{FILE_NAME, RunSettings, StoredRun, StoredSettings, difference};
use crate::{Config, Error};

use super::TrainerState;
use super::curves::{self, Curves};
use super::events::{Event, Metrics, Observer, RunOptions, StepLog};
use super::history::History;
use super::pretrain::SampleText;

/// Without `save_steps`, a checkpoint is written when the last one is this old.
const TIME_BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(600);
/// Older checkpoints are removed, the best one aside, unless more are wanted. Whether weights are any good shows in the
/// step after them: where it fails, the checkpoint before is good.
const CHECKPOINTS_KEPT: usize = 2;

/// The name of the file with all that is known of a finished model on its development set.
pub const EVALUATION: &str = "evaluation.json";
/// The name of the model card.
pub const CARD: &str = "README.md";
/// The name of the report that the program writes.
pub const REPORT: &str = "report.html";
/// A comment in model cards and reports. Files of these names without it are somebody else's.
pub const MARK: &str = "<!-- Cloze wrote this file; a new training in this folder replaces it. -->";

/// What is found in the output folder before a run.
pub(super) enum Found {
    /// Nothing of a run, or nothing that is to be kept.
    Nothing,
    /// A run with the same settings that has not come to its end.
    Unfinished(Box<StoredRun>),
    /// A run with the same settings that has.
    Finished,
}

/// A run that is under way.
pub(super) struct Run {
    output: PathBuf,
    stored: StoredSettings,
    save_steps: Option<u64>,
    checkpoints_kept: usize,
    last_save: Instant,
    /// Whether it goes on with what is in the folder; and the step from which, if there is a checkpoint.
    goes_on: bool,
    resumed_at: Option<u64>,
    /// There are some once the run has begun.
    curves: Option<Curves>,
    /// What is written into every model directory.
    pub config: Config,
    pub declaration: Declaration,
    pub tokenizer: Tokenizer,
    pub state: RunState,
}

/// How far a run has come, besides weights and moments.
#[derive(Clone, Debug, Default)]
pub(super) struct RunState {
    /// The pass over the data that the next step begins in.
    pub epoch: u64,
    /// Instances of that pass that are already trained on.
    pub position: u64,
    /// The metric that is watched.
    pub metric: Option<String>,
    /// The best value of the metric that is watched.
    pub best: Option<Best>,
    pub history: History,
    /// Held-out sentences whose masked words are predicted again and again.
    pub samples: Vec<SampleText>,
}

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    pub step: u64,
    pub metric: f64,
}

/// Looks at the output folder; refuses to touch what belongs to other settings or to nobody.
pub(super) fn look(options: &RunOptions, settings: &RunSettings) -> Result<Found, Error> {
    let output = &options.output;
    fs::create_dir_all(output).map_err(at("create", output))?;
    if options.overwrite {
        return Ok(Found::Nothing);
    }
    let folder = output.display();
    let Some(run) = StoredSettings::read(output)?.run else {
        if checkpoint::holds_model(output) {
            return Err(Error::Settings(format!(
                "{folder} already holds a model; choose another --output, or give --overwrite to replace it"
            )));
        }
        return Ok(Found::Nothing);
    };
    if let Some((name, then, now)) = difference(&run.settings, settings) {
        return Err(Error::Settings(if run.finished {
            format!(
                "the run in {folder} is finished, with {name} = {then}, now it is {now}; to train its model further, give \
                 --model {folder} and another --output; to begin anew, --overwrite"
            )
        } else {
            format!(
                "the run in {folder} was started with {name} = {then}, now it is {now}; \
                 use the same settings to resume, another --output, or --overwrite to begin anew"
            )
        }));
    }
    Ok(if run.finished { Found::Finished } else { Found::Unfinished(Box::new(run)) })
}

impl Run {
    /// A run in the output folder, which is not touched yet.
    pub fn new(
        options: &RunOptions,
        stored: StoredSettings,
        config: Config,
        declaration: Declaration,
        tokenizer: Tokenizer,
    ) -> Run {
        Run {
            output: options.output.clone(),
            stored,
            save_steps: options.save_steps,
            checkpoints_kept: options.keep_checkpoints.map_or(CHECKPOINTS_KEPT, NonZeroUsize::get),
            last_save: Instant::now(),
            goes_on: false,
            resumed_at: None,
            curves: None,
            config,
            declaration,
            tokenizer,
            state: RunState::default(),
        }
    }

    /// Reads the newest good checkpoint of an unfinished run, the state to go on from. Without one the run begins anew.
    pub fn restore(
        &mut self,
        found: Found,
        mut run: StoredRun,
        observer: &mut Observer,
    ) -> Result<Option<TrainerState>, Error> {
        let mut restored = None;
        if let Found::Unfinished(before) = found {
            if before.data != run.data {
                return Err(Error::Settings(format!(
                    "the data of the run in {} has changed since it was started; \
                     restore it to go on, or give --overwrite to begin anew",
                    self.output.display()
                )));
            }
            self.goes_on = true;
            run.steps = before.steps;
            restored = self.newest_checkpoint(observer)?;
            if restored.is_some() && before.machine != run.machine {
                let _ = observer(&Event::Note(format!(
                    "the run was started on {}, this is {}: the last bits of the result may differ",
                    before.machine, run.machine
                )));
            }
        }
        self.resumed_at = restored.as_ref().map(|state| state.step);
        self.stored.run = Some(run);
        Ok(restored)
    }

    /// Takes over the output folder; what was in it before stays until then.
    pub fn begin(&mut self) -> Result<(), Error> {
        if !self.goes_on {
            self.clear()?;
        }
        self.stored.write(&self.output)?;
        self.curves = Some(Curves::open(&self.output, self.resumed_at, &self.state.history)?);
        Ok(())
    }

    /// Notes a step in the log.
    pub fn log_step(&mut self, log: &StepLog) -> Result<(), Error> {
        self.state.history.step(log);
        self.draw_curves()
    }

    /// Notes an evaluation in the log. After the last step it is the only one to see that a run has diverged.
    pub fn log_evaluation(&mut self, step: u64, epoch: f64, metrics: &Metrics) -> Result<(), Error> {
        if let Some((_, value)) = metrics.iter().find(|(name, value)| name == "loss" && !value.is_finite()) {
            return Err(Error::NotFinite { step, what: "the loss of the evaluation".to_string(), value: *value });
        }
        self.state.history.evaluation(step, epoch, metrics);
        self.draw_curves()
    }

    /// Adds what was predicted in the samples to the evaluation noted last.
    pub fn log_samples(&mut self, predictions: Vec<Vec<(String, f64)>>) {
        self.state.history.add("samples", json!(predictions));
    }

    /// Notes the evaluation after `step` if it is better than all before, and tells whether it is. The loss is better when
    /// smaller.
    pub fn note_best(&mut self, step: u64, metrics: &Metrics) -> bool {
        let metric = self.state.metric.as_deref();
        // A metric that is not defined (a correlation of constants, F1 of three labels) is worse than any.
        let found = metrics.iter().find(|(name, _)| Some(name.as_str()) == metric);
        let found = found.map_or(f64::NEG_INFINITY, |(_, value)| *value);
        let better = match self.state.best {
            None => true,
            Some(best) if metric == Some("loss") => found < best.metric,
            Some(best) => found > best.metric,
        };
        if better {
            self.state.best = Some(Best { step, metric: found });
        }
        better
    }

    /// The number of steps of a run that was asked for something else: as stored, or counted now, to be stored.
    pub fn steps(&mut self, count: impl FnOnce() -> Result<u64, Error>) -> Result<u64, Error> {
        match &mut self.stored.run {
            Some(StoredRun { steps: Some(steps), .. }) => Ok(*steps),
            Some(run) => Ok(*run.steps.insert(count()?)),
            None => count(),
        }
    }

    /// Whether a checkpoint is due after `step`.
    pub fn wants_checkpoint(&self, step: u64) -> bool {
        match self.save_steps {
            Some(steps) => step.is_multiple_of(steps.max(1)),
            None => self.last_save.elapsed() >= TIME_BETWEEN_CHECKPOINTS,
        }
    }

    /// Writes `checkpoint-<step>`, then removes old ones. What is not finite takes no place of a good one: it is an error.
    pub fn save(&mut self, state: &TrainerState, epoch: f64, steps: u64, observer: &mut Observer) -> Result<(), Error> {
        state.check(&self.declaration)?;
        let path = self.checkpoint_path(state.step);
        let unfinished = self.output.join(format!("checkpoint-{}.tmp", state.step));
        remove(&unfinished)?;
        if let Err(error) = self.write_checkpoint(&unfinished, state, epoch, steps) {
            // On a full disk, what was begun is in the way of everything else. The first error is the one to report.
            let _ = remove(&unfinished);
            return Err(error);
        }
        remove(&path)?;
        fs::rename(&unfinished, &path).map_err(at("rename", &unfinished))?;
        sync(&self.output)?;
        self.last_save = Instant::now();
        let best = self.state.best.map(|best| best.step);
        for &old in self.steps_on_disk()?.iter().rev().skip(self.checkpoints_kept) {
            if Some(old) != best {
                remove(&self.checkpoint_path(old))?;
            }
        }
        let _ = observer(&Event::Saved { step: state.step, path });
        Ok(())
    }

    fn write_checkpoint(&self, dir: &Path, state: &TrainerState, epoch: f64, steps: u64) -> Result<(), Error> {
        self.write_model(dir, &state.weights)?;
        let mut tensors = Vec::new();
        for (prefix, values) in [("exp_avg", &state.first_moments), ("exp_avg_sq", &state.second_moments)] {
            for parameter in &self.declaration.parameters {
                let name = format!("{prefix}.{}", parameter.name);
                tensors.push((name, parameter.shape.clone(), &values[parameter.span.range()]));
            }
        }
        checkpoint::write_tensors(&dir.join("optimizer.safetensors"), &tensors, &[])?;
        self.write_trainer_state(dir, state.step, epoch, steps)?;
        checkpoint::write_sums(dir)?;
        sync(dir)
    }

    /// The weights of the checkpoint at `step`, all of whose files are found to be whole.
    pub fn weights_at(&self, step: u64) -> Result<Vec<f32>, Error> {
        let dir = self.checkpoint_path(step);
        checkpoint::check_sums(&dir)?;
        let mut weights = vec![0.0; self.declaration.len];
        Checkpoint::open(&dir)?.read(&self.declaration, &mut weights)?;
        Ok(weights)
    }

    /// The output folder.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// What is stored with the model. [`Run::write_result`] and [`Run::finish`] write it.
    pub fn stored(&mut self) -> &mut StoredSettings {
        &mut self.stored
    }

    /// Writes the result.
    pub fn write_result(&mut self, weights: &[f32], step: u64, epoch: f64) -> Result<(), Error> {
        self.write_model(&self.output, weights)?;
        self.write_trainer_state(&self.output, step, epoch, step)
    }

    /// Marks the run, whose result is written, as finished.
    pub fn finish(&mut self) -> Result<(), Error> {
        if let Some(run) = &mut self.stored.run {
            run.finished = true;
        }
        self.stored.write(&self.output)
    }

    fn draw_curves(&mut self) -> Result<(), Error> {
        self.curves.as_mut().map_or(Ok(()), |curves| curves.follow(&self.state.history))
    }

    fn checkpoint_path(&self, step: u64) -> PathBuf {
        self.output.join(format!("checkpoint-{step}"))
    }

    fn write_model(&self, dir: &Path, weights: &[f32]) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(at("create", dir))?;
        checkpoint::save(dir, &self.config, &self.declaration, weights)?;
        self.tokenizer.save(dir)?;
        if dir != self.output {
            // A checkpoint is a model of its own; the run belongs to the folder above.
            StoredSettings { run: None, ..self.stored.clone() }.write(dir)?;
        }
        Ok(())
    }

    fn write_trainer_state(&self, dir: &Path, step: u64, epoch: f64, steps: u64) -> Result<(), Error> {
        let best = self.state.best;
        let state = json!({
            "best_metric": best.map(|best| best.metric),
            "best_global_step": best.map(|best| best.step),
            "metric_for_best_model": self.state.metric,
            "best_model_checkpoint": best.map(|best| format!("checkpoint-{}", best.step)),
            "epoch": epoch,
            "global_step": step,
            "max_steps": steps,
            "position": { "epoch": self.state.epoch, "instance": self.state.position },
            "log_history": self.state.history.entries,
            "samples": self.state.samples,
        });
        checkpoint::write_file(&dir.join("trainer_state.json"), format!("{state:#}\n").as_bytes())
    }

    /// The steps of all whole checkpoints, ascending.
    fn steps_on_disk(&self) -> Result<Vec<u64>, Error> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.output).map_err(at("read", &self.output))? {
            let name = entry.map_err(at("read", &self.output))?.file_name();
            let step =
                name.to_str().and_then(|name| name.strip_prefix("checkpoint-")).and_then(|n| n.parse::<u64>().ok());
            steps.extend(step);
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// The state of the newest checkpoint that can be read. A damaged one is noticed, and said.
    fn newest_checkpoint(&mut self, observer: &mut Observer) -> Result<Option<TrainerState>, Error> {
        let mut damaged = None;
        for step in self.steps_on_disk()?.into_iter().rev() {
            match self.read_checkpoint(step) {
                Ok((state, run_state)) => {
                    self.state = run_state;
                    return Ok(Some(state));
                }
                Err(error) => {
                    let note = format!("checkpoint-{step} cannot be used, trying an older one: {error}");
                    let _ = observer(&Event::Note(note));
                    damaged = Some(error);
                }
            }
        }
        match damaged {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    fn read_checkpoint(&self, step: u64) -> Result<(TrainerState, RunState), Error> {
        let dir = self.checkpoint_path(step);
        let weights = self.weights_at(step)?;
        let optimizer = TensorFile::open(&dir.join("optimizer.safetensors"))?;
        let read = |prefix: &str| -> Result<Vec<f32>, Error> {
            let mut values = vec![0.0; self.declaration.len];
            for parameter in &self.declaration.parameters {
                let name = format!("{prefix}.{}", parameter.name);
                optimizer.read(&name, &parameter.shape, &mut values[parameter.span.range()])?;
            }
            Ok(values)
        };
        let (first_moments, second_moments) = (read("exp_avg")?, read("exp_avg_sq")?);
        let path = dir.join("trainer_state.json");
        let text = fs::read_to_string(&path).map_err(at("read", &path))?;
        let state = run_state(&text, step).map_err(|message| Error::Data {
            path,
            line: None,
            message: format!("{message}; the file is damaged"),
        })?;
        Ok((TrainerState { step, weights, first_moments, second_moments }, state))
    }

    /// Removes what a run before has left.
    fn clear(&self) -> Result<(), Error> {
        remove(&self.output.join(FILE_NAME))?;
        for name in [checkpoint::index::QUANTIZED, EVALUATION] {
            remove(&self.output.join(name))?;
        }
        curves::remove(&self.output)?;
        for path in [CARD, REPORT].map(|name| self.output.join(name)) {
            if is_ours(&path) {
                remove(&path)?;
            }
        }
        for entry in fs::read_dir(&self.output).map_err(at("read", &self.output))? {
            let entry = entry.map_err(at("read", &self.output))?;
            let name = entry.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix("checkpoint-"));
            if step.is_some_and(|step| step.trim_end_matches(".tmp").parse::<u64>().is_ok()) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Whether a model card or report was written by Cloze: it holds [`MARK`].
pub fn is_ours(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()))
}

/// The contents of `trainer_state.json`.
fn run_state(text: &str, step: u64) -> Result<RunState, String> {
    let state: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let number = |name: &str, value: &Value| value.as_u64().ok_or(format!("no number `{name}`"));
    if number("global_step", &state["global_step"])? != step {
        return Err(format!("`global_step` is not {step}"));
    }
    // JSON has no infinity: a metric that is not defined, which counts as worse than any, is stored as null.
    let best_metric = state["best_metric"].as_f64().unwrap_or(f64::NEG_INFINITY);
    let best = state["best_global_step"].as_u64().map(|step| Best { step, metric: best_metric });
    let entries = state["log_history"].as_array().ok_or("no list `log_history`")?.clone();
    Ok(RunState {
        epoch: number("position.epoch", &state["position"]["epoch"])?,
        position: number("position.instance", &state["position"]["instance"])?,
        metric: state["metric_for_best_model"].as_str().map(str::to_string),
        best,
        history: History::new(entries),
        samples: serde_json::from_value(state["samples"].clone()).unwrap_or_default(),
    })
}

/// Removes a file or folder, if it is there.
fn remove(path: &Path) -> Result<(), Error> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes the names in a folder durable.
fn sync(dir: &Path) -> Result<(), Error> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(at("write to", dir))
}
