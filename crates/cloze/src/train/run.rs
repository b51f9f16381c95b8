//! The folder of a run: its settings, its checkpoints, and how it goes on after an end of any kind.
//!
//! ```text
//! output/
//!     cloze.json              the settings, from the start; at the end marked as finished
//!     checkpoint-<step>/      a model directory, optimizer.safetensors, trainer_state.json, run_state.json, SHA256SUMS
//!     runs/                   files of events: the curves for TensorBoard
//!     config.json, model.safetensors, vocab.txt, …    the result, at the end
//! ```
//!
//! From the first change to the last, the folder is marked as unfinished (see [`crate::folder`]), and nobody else writes
//! there. A checkpoint is written to another name and renamed, so that one that has its name is whole. Its checksums tell
//! whether it still is.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloze_tokenizer::Tokenizer;
use serde_json::json;

use crate::checkpoint::{self, Checkpoint, TensorFile};
use crate::error::at;
use crate::folder::{Folder, files_of, model_files, remove, remove_whole, sync, temporary};
use crate::infer::Model;
use crate::memory::zeros;
use crate::params::Declaration;
use crate::quantize::obsolete;
use crate::settings::{Budget, FILE_NAME, PretrainSettings, Replan, RunSettings, StoredRun, StoredSettings};
use crate::{Config, Error};

use super::TrainerState;
use super::curves::{self, Curves};
use super::events::{Event, Metrics, Observer, RunOptions, StepLog};
use super::found::{Found, Unfinished};
use super::state::{Best, RunState};

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

/// A run that is under way.
pub(super) struct Run {
    folder: Folder,
    stored: StoredSettings,
    save_steps: Option<u64>,
    checkpoints_kept: usize,
    last_save: Instant,
    /// The steps of checkpoints that were found to be damaged.
    damaged: BTreeSet<u64>,
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

impl Run {
    /// A run in the folder that was found, in which nothing is changed yet. What an unfinished run has left is read: the
    /// newest good checkpoint is the state to go on from. Without one the run begins anew.
    pub fn open(
        options: &RunOptions,
        found: Found,
        mut run: StoredRun,
        model: RunModel,
        observer: &mut Observer,
    ) -> Result<(Run, Option<TrainerState>), Error> {
        let (folder, unfinished) = match found {
            Found::Nothing(folder) => (folder, None),
            Found::Unfinished(unfinished, folder) => (folder, Some(unfinished)),
            Found::Finished => unreachable!("a finished run is not opened"),
        };
        if let Some(note) = folder.note() {
            let _ = observer(&Event::Note(note));
        }
        let RunModel { stored, config, declaration, tokenizer } = model;
        let mut opened = Run {
            folder,
            stored,
            save_steps: options.save_steps,
            checkpoints_kept: options.keep_checkpoints.map_or(CHECKPOINTS_KEPT, NonZeroUsize::get),
            last_save: Instant::now(),
            damaged: BTreeSet::new(),
            goes_on: false,
            resumed_at: None,
            curves: None,
            config,
            declaration,
            tokenizer,
            state: RunState::default(),
        };
        let mut restored = None;
        if let Some(unfinished) = unfinished {
            restored = opened.restore(*unfinished, &mut run, observer)?;
        }
        opened.resumed_at = restored.as_ref().map(|state| state.step);
        opened.stored.run = Some(run);
        Ok((opened, restored))
    }

    fn restore(
        &mut self,
        unfinished: Unfinished,
        run: &mut StoredRun,
        observer: &mut Observer,
    ) -> Result<Option<TrainerState>, Error> {
        let before = &unfinished.run;
        if before.data != run.data {
            if steps_in(self.output())?.is_empty() {
                return Ok(None);
            }
            return Err(unfinished.other_data(self.output()));
        }
        self.goes_on = true;
        (run.steps, run.eval_steps) = (before.steps, before.eval_steps);
        run.replans.clone_from(&before.replans);
        let restored = self.newest_checkpoint(observer)?;
        if restored.is_some() {
            self.check_best(observer)?;
            if before.machine != run.machine {
                let _ = observer(&Event::Note(format!(
                    "the run was started on {}, this is {}: the last bits of the result may differ",
                    before.machine, run.machine
                )));
            }
        }
        Ok(restored)
    }

    /// Takes over the output folder; what was in it before stays usable until then. From here to the end the folder says
    /// that it is unfinished.
    pub fn begin(&mut self) -> Result<(), Error> {
        self.folder.begin()?;
        if !self.goes_on {
            self.clear()?;
        }
        self.stored.write(self.folder.path())?;
        self.curves = Some(Curves::open(self.folder.path(), self.resumed_at, &self.state.history)?);
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

    /// Notes the evaluation after `step` if it is better than all before, and returns whether it is.
    pub fn note_best(&mut self, step: u64, metrics: &Metrics) -> bool {
        let found = self.evaluated(step, metrics);
        let better = self.state.best.is_none_or(|best| self.is_better(found, best));
        if better {
            self.state.best = Some(found);
        }
        better
    }

    /// The evaluation after `step` as it is compared with others.
    fn evaluated(&self, step: u64, metrics: &Metrics) -> Best {
        let loss = metrics.iter().find(|(name, value)| name == "loss" && !value.is_nan());
        Best { step, metric: self.watched(metrics), loss: loss.map_or(f64::INFINITY, |(_, loss)| *loss) }
    }

    /// The value of the metric that is watched. One that is not defined (a correlation of constants, F1 of three labels)
    /// is worse than any.
    fn watched(&self, metrics: &Metrics) -> f64 {
        let metric = self.state.metric.as_deref();
        let found = metrics.iter().find(|(name, _)| Some(name.as_str()) == metric).map(|(_, value)| *value);
        found.filter(|value| !value.is_nan()).unwrap_or(f64::NEG_INFINITY)
    }

    /// Compares an evaluation with the best one before it. The greater metric is better, the smaller if it is the loss; of
    /// equal ones that with the lower loss; of evaluations that are equal in both the earlier.
    fn is_better(&self, found: Best, best: Best) -> bool {
        let is_loss = self.state.metric.as_deref() == Some("loss");
        let wins = if is_loss { found.metric < best.metric } else { found.metric > best.metric };
        wins || found.metric == best.metric && found.loss < best.loss
    }

    /// The number of steps of a run that was asked for something else, and the steps between evaluations where they follow
    /// from it: as stored, or counted now, to be stored.
    pub fn steps(
        &mut self,
        count: impl FnOnce() -> Result<(u64, Option<u64>), Error>,
    ) -> Result<(u64, Option<u64>), Error> {
        if let Some(StoredRun { steps: Some(steps), eval_steps, .. }) = self.stored.run {
            return Ok((steps, eval_steps));
        }
        let (steps, eval_steps) = count()?;
        if let Some(run) = &mut self.stored.run {
            (run.steps, run.eval_steps) = (Some(steps), eval_steps);
        }
        Ok((steps, eval_steps))
    }

    /// Changes of that number that are stored.
    pub fn replans(&self) -> &[Replan] {
        self.stored.run.as_ref().map_or(&[], |run| &run.replans)
    }

    /// Stores a change of the number of steps.
    pub fn replan(&mut self, replan: Replan) -> Result<(), Error> {
        if let Some(run) = &mut self.stored.run {
            run.replans.push(replan);
        }
        self.stored.write(self.folder.path())
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
        let unfinished = temporary(&path);
        if let Err(error) = self.write_checkpoint(&unfinished, state, epoch, steps) {
            // On a full disk, what was begun is in the way of everything else. The first error is the one to report.
            let _ = remove(&unfinished);
            return Err(error);
        }
        remove_whole(&path)?;
        fs::rename(&unfinished, &path).map_err(at("rename", &unfinished))?;
        sync(self.output())?;
        self.damaged.remove(&state.step);
        self.last_save = Instant::now();
        self.remove_old(state.step)?;
        let _ = observer(&Event::Saved { step: state.step, path });
        Ok(())
    }

    /// Removes all checkpoints but the newest ones and the best one. A damaged one, and one beyond the step that the run
    /// has come to, is none that is kept.
    fn remove_old(&self, step: u64) -> Result<(), Error> {
        let best = self.state.best.map(|best| best.step);
        let mut sound = 0;
        for &old in steps_in(self.output())?.iter().rev() {
            let is_sound = old <= step && !self.damaged.contains(&old);
            sound += usize::from(is_sound);
            let is_kept = is_sound && (sound <= self.checkpoints_kept || Some(old) == best);
            if !is_kept {
                remove_whole(&self.checkpoint_path(old))?;
            }
        }
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
        self.state.write(dir, state.step, epoch, steps)?;
        checkpoint::write_sums(dir)?;
        sync(dir)
    }

    /// The best weights, or those of the last of `steps` if there was no evaluation. A damaged checkpoint is said, and the
    /// next best one taken.
    pub fn best_weights(&mut self, steps: u64, observer: &mut Observer) -> Result<Vec<f32>, Error> {
        self.check_best(observer)?;
        self.weights_at(self.state.best.map_or(steps, |best| best.step))
    }

    /// Goes on with the best of the checkpoints that are whole, if the best one of all is not.
    fn check_best(&mut self, observer: &mut Observer) -> Result<(), Error> {
        while let Some(best) = self.state.best {
            let Err(error) = checkpoint::check_sums(&self.checkpoint_path(best.step)) else { return Ok(()) };
            self.damaged.insert(best.step);
            self.state.best = self.best_of(&steps_in(self.output())?);
            let next = match self.state.best {
                Some(next) => format!("the best of the others is checkpoint-{}", next.step),
                None => "no other one was evaluated".to_string(),
            };
            let step = best.step;
            let note = format!("checkpoint-{step}, which was the best one, cannot be used: {error}; {next}");
            let _ = observer(&Event::Note(note));
        }
        Ok(())
    }

    /// The best evaluation after one of these steps; damaged checkpoints are left out.
    fn best_of(&self, steps: &[u64]) -> Option<Best> {
        let mut best: Option<Best> = None;
        for &step in steps.iter().filter(|step| !self.damaged.contains(step)) {
            let metrics = self.state.history.metrics_of(step);
            let found = self.evaluated(step, &metrics);
            if !metrics.is_empty() && best.is_none_or(|best| self.is_better(found, best)) {
                best = Some(found);
            }
        }
        best
    }

    /// The weights of the checkpoint at `step`, all of whose files are found to be whole.
    fn weights_at(&self, step: u64) -> Result<Vec<f32>, Error> {
        let dir = self.checkpoint_path(step);
        checkpoint::check_sums(&dir)?;
        let mut weights = zeros(self.declaration.len, "the weights")?;
        Checkpoint::open(&dir)?.read(&self.declaration, &mut weights)?;
        Ok(weights)
    }

    /// The output folder.
    pub fn output(&self) -> &Path {
        self.folder.path()
    }

    /// Settings stored with the model. [`Run::finish`] writes them.
    pub fn stored(&mut self) -> &mut StoredSettings {
        &mut self.stored
    }

    /// Writes the result.
    pub fn write_result(&mut self, weights: &[f32], step: u64, epoch: f64) -> Result<(), Error> {
        self.write_model(self.output(), weights)?;
        self.state.write(self.output(), step, epoch, step)
    }

    /// Marks the run, whose result is written, as finished: everything is opened once, then sizes and checksums are stored.
    pub fn finish(&mut self) -> Result<(), Error> {
        if let Some(run) = &mut self.stored.run {
            run.finished = true;
        }
        self.stored.check(self.config.labels.len())?;
        Model::check_own(self.folder.path())?;
        let mut names = model_files(self.folder.path())?;
        // Not the log, which has times in it: the same run stores the same settings.
        names.extend(Some(EVALUATION.to_string()).filter(|name| self.folder.path().join(name).is_file()));
        self.stored.files = Some(files_of(self.folder.path(), names)?);
        self.stored.write(self.folder.path())?;
        self.folder.finish()
    }

    fn draw_curves(&mut self) -> Result<(), Error> {
        self.curves.as_mut().map_or(Ok(()), |curves| curves.follow(&self.state.history))
    }

    fn checkpoint_path(&self, step: u64) -> PathBuf {
        self.output().join(format!("checkpoint-{step}"))
    }

    fn write_model(&self, dir: &Path, weights: &[f32]) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(at("create", dir))?;
        // Last `config.json`: whoever does not know the marker of an unfinished folder finds no model before.
        self.tokenizer.save(dir)?;
        checkpoint::save(dir, &self.config, &self.declaration, weights)?;
        if dir != self.output() {
            // A checkpoint is a model of its own; the run belongs to the folder above.
            StoredSettings { run: None, ..self.stored.clone() }.write(dir)?;
        }
        Ok(())
    }

    /// The state of the newest checkpoint that can be read. A damaged one is noticed, and said.
    fn newest_checkpoint(&mut self, observer: &mut Observer) -> Result<Option<TrainerState>, Error> {
        let mut damaged = None;
        for step in steps_in(self.output())?.into_iter().rev() {
            match self.read_checkpoint(step) {
                Ok((state, run_state)) => {
                    self.state = run_state;
                    return Ok(Some(state));
                }
                Err(error) => {
                    let note = format!("checkpoint-{step} cannot be used, trying an older one: {error}");
                    let _ = observer(&Event::Note(note));
                    self.damaged.insert(step);
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
            let mut values = zeros(self.declaration.len, "the moments of the optimizer")?;
            for parameter in &self.declaration.parameters {
                let name = format!("{prefix}.{}", parameter.name);
                optimizer.read(&name, &parameter.shape, &mut values[parameter.span.range()])?;
            }
            Ok(values)
        };
        let (first_moments, second_moments) = (read("exp_avg")?, read("exp_avg_sq")?);
        let asked = match self.stored.run.as_ref().map(|run| &run.settings) {
            Some(RunSettings::Pretrain(PretrainSettings { budget: Budget::Seconds(asked), .. })) => Some(*asked),
            _ => None,
        };
        let state = RunState::read(&dir, step, asked)?;
        Ok((TrainerState { step, weights, first_moments, second_moments }, state))
    }

    /// Removes what a model or run before has left, first what makes it a model.
    fn clear(&self) -> Result<(), Error> {
        let output = self.output();
        for name in ["config.json", FILE_NAME].into_iter().chain(obsolete(output)) {
            remove(&output.join(name))?;
        }
        curves::remove(output)?;
        for step in steps_in(output)? {
            remove_whole(&self.checkpoint_path(step))?;
        }
        Ok(())
    }
}

/// The model of a run: what is written into every model directory.
pub(super) struct RunModel {
    pub stored: StoredSettings,
    pub config: Config,
    pub declaration: Declaration,
    pub tokenizer: Tokenizer,
}

/// The steps of all whole checkpoints in a folder, ascending.
pub(super) fn steps_in(output: &Path) -> Result<Vec<u64>, Error> {
    let mut steps = Vec::new();
    for entry in fs::read_dir(output).map_err(at("read", output))? {
        let name = entry.map_err(at("read", output))?.file_name();
        let step = name.to_str().and_then(|name| name.strip_prefix("checkpoint-")).and_then(|n| n.parse::<u64>().ok());
        steps.extend(step);
    }
    steps.sort_unstable();
    Ok(steps)
}

/// True if a model card or report was written by Cloze: it holds [`MARK`].
pub fn is_ours(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()))
}
