//! What `pretrain` and `finetune` share: their flags, how a run is shown, and how a signal stops it.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use cloze::optim::{Decay, OptimizerKind, OptimizerSettings};
use cloze::settings::{FinetuneTask, Start, UpdateSettings};
use cloze::train::{Event, Metrics, Observer, Outcome, RunOptions, StepLog};
use serde_json::{Value, json};

use crate::arguments::{Common, not_negative, part, positive};
use crate::output::{Output, duration, grouped};
use crate::progress::Progress;
use crate::signals;

/// Which weights a training starts from.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    start: StartChoice,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct StartChoice {
    /// Random weights of a published size: tiny, mini, small, medium, base or large
    #[arg(long, value_name = "NAME", value_parser = ["tiny", "mini", "small", "medium", "base", "large"])]
    preset: Option<String>,
    /// Random weights of the sizes in a config.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The weights of a model directory
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

impl StartArgs {
    /// What was chosen.
    pub fn start(&self) -> Start {
        let StartChoice { preset, config, model } = &self.start;
        match (preset, config, model) {
            (Some(name), _, _) => Start::Preset(name.clone()),
            (_, Some(path), _) => Start::Config(path.clone()),
            (_, _, Some(dir)) => Start::Model(dir.clone()),
            _ => unreachable!("one of --preset, --config and --model is required"),
        }
    }
}

/// The tokenizer of a training, or of a check of one.
#[derive(Debug, Args)]
pub struct TokenizerArgs {
    /// A model directory or a vocab.txt [default: that of --model]
    #[arg(long, visible_alias = "vocab", value_name = "PATH", required_unless_present = "model")]
    pub tokenizer: Option<PathBuf>,
    /// A bare vocab.txt is of a cased model
    #[arg(long)]
    pub cased: bool,
}

/// Flags of every training.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Folder for the model and, in `runs`, its curves for TensorBoard; an unfinished training in it is resumed
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Start anew although the folder holds a training with other settings
    #[arg(long)]
    pub overwrite: bool,
    /// Write a checkpoint every N steps, to go on from after a crash
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub save_steps: Option<u64>,
    /// Keep the newest N checkpoints, and the best one [default: 2]
    #[arg(long, value_name = "N")]
    pub keep: Option<NonZeroUsize>,
    /// Longest sequence in tokens, special tokens included [default: 128; 384 for qa]
    #[arg(long, value_name = "N")]
    pub max_seq_length: Option<usize>,
    /// Compute a batch in N parts, which needs less memory; the result is the same to the bit
    #[arg(long, value_name = "N", default_value = "1")]
    pub accumulate: NonZeroUsize,
    /// Weight decay [default: 0.01]
    #[arg(long, value_name = "DECAY", value_parser = not_negative)]
    pub weight_decay: Option<f64>,
    /// Gradients are scaled down to this norm [default: 1]
    #[arg(long, value_name = "NORM", value_parser = positive)]
    pub clip: Option<f64>,
    /// Dropout everywhere [default: as the model's configuration says]
    #[arg(long, value_name = "P", value_parser = part)]
    pub dropout: Option<f64>,
    /// How the learning rate falls after its rise
    #[arg(long, value_name = "HOW", default_value = "linear")]
    pub schedule: ScheduleName,
    /// Whether the optimizer's moments are corrected for their start from zero [default: on with adamw]
    #[arg(long, value_name = "WHETHER")]
    pub bias_correction: Option<Switch>,
    /// Whether to shuffle what is learnt from, or keep the order of the file
    #[arg(long, value_name = "WHETHER", default_value = "on")]
    pub shuffle: Switch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// Names of schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleName {
    Linear,
    Cosine,
    Constant,
}

impl From<ScheduleName> for Decay {
    fn from(name: ScheduleName) -> Decay {
        match name {
            ScheduleName::Linear => Decay::Linear,
            ScheduleName::Cosine => Decay::Cosine,
            ScheduleName::Constant => Decay::Constant,
        }
    }
}

/// Names of optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptimizerName {
    /// As BERT was trained: no bias correction
    BertAdam,
    /// With bias correction
    #[value(name = "adamw")]
    AdamW,
}

impl From<OptimizerName> for OptimizerKind {
    fn from(name: OptimizerName) -> OptimizerKind {
        match name {
            OptimizerName::BertAdam => OptimizerKind::BertAdam,
            OptimizerName::AdamW => OptimizerKind::AdamW,
        }
    }
}

/// What a fine-tuning teaches.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TaskName {
    /// One label of several for a text or a pair
    Classification,
    /// A number for a text or a pair
    Regression,
    /// Any number of labels for a text or a pair
    MultiLabel,
    /// A label for each word
    Tokens,
    /// The answer to a question in a text, from files like SQuAD's
    Qa,
}

impl From<TaskName> for FinetuneTask {
    fn from(name: TaskName) -> FinetuneTask {
        match name {
            TaskName::Classification => FinetuneTask::Classification,
            TaskName::Regression => FinetuneTask::Regression,
            TaskName::MultiLabel => FinetuneTask::MultiLabel,
            TaskName::Tokens => FinetuneTask::Tokens,
            TaskName::Qa => FinetuneTask::Questions,
        }
    }
}

/// Flags whose defaults differ between trainings.
pub struct UpdateFlags {
    /// Sequences for one optimizer step.
    pub batch_size: NonZeroUsize,
    /// The highest.
    pub learning_rate: f64,
    /// Share of the steps.
    pub warmup: f64,
}

impl RunArgs {
    /// How the weights are updated, given the flags whose defaults differ between trainings.
    pub fn update(&self, common: &Common, optimizer: OptimizerKind, flags: UpdateFlags) -> UpdateSettings {
        let mut optimizer = OptimizerSettings::new(optimizer);
        optimizer.weight_decay = self.weight_decay.unwrap_or(optimizer.weight_decay);
        optimizer.clip = self.clip.unwrap_or(optimizer.clip);
        optimizer.bias_correction = self.bias_correction.map(|switch| switch == Switch::On);
        UpdateSettings {
            batch_size: flags.batch_size.get(),
            accumulate: self.accumulate.get(),
            optimizer,
            learning_rate: flags.learning_rate,
            warmup: flags.warmup,
            decay: self.schedule.into(),
            dropout: self.dropout.map(|dropout| dropout as f32),
            shuffle: self.shuffle == Switch::On,
            seed: common.seed,
            precision: common.training_precision(),
        }
    }

    /// Where and how to run.
    pub fn options(&self, common: &Common) -> RunOptions {
        RunOptions {
            output: self.output.clone(),
            overwrite: self.overwrite,
            threads: common.threads(),
            save_steps: self.save_steps,
            keep_checkpoints: self.keep,
            max_memory: None,
        }
    }
}

/// Shows events: for people on standard error, with `--json` also as lines on standard output.
pub struct Reporter {
    progress: Progress,
    json: Option<Output>,
    /// A broken pipe, or whatever else kept a line from being written.
    failure: Option<std::io::Error>,
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
            Event::Started { steps, steps_done: 0, parameters } => {
                self.progress.line(&format!("{} parameters, {steps} steps", grouped(*parameters as u64)));
            }
            Event::Started { steps, steps_done, parameters } => self.progress.line(&format!(
                "{} parameters, {steps} steps, {steps_done} of them done before",
                grouped(*parameters as u64)
            )),
            Event::Step(step) => {
                let left = duration(step.seconds_left);
                let place = format!("step {} of {}, {left} left", grouped(step.step), grouped(step.steps));
                self.progress.with_figures("training", step.step, step.steps, &place, &figures(step));
            }
            Event::Evaluated { step, metrics, .. } => {
                self.progress.line(&format!("step {step}: {}", of_all(metrics).join(", ")));
            }
            Event::Saved { path, .. } => self.progress.line(&format!("saved {}", path.display())),
        }
        if let Some(output) = &mut self.json
            && let Some(line) = json_line(event)
            && let Err(error) = output.answer(&line, String::new).and_then(|()| output.flush())
        {
            self.failure.get_or_insert(error);
        }
    }

    /// What the library asks after each event: go on, unless a signal came or nobody reads any more.
    pub fn verdict(&self) -> ControlFlow<()> {
        if signals::stop_requested() || self.failure.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Takes the bar away and writes what is held back.
    pub fn finish(self) -> std::io::Result<()> {
        self.progress.clear();
        match (self.failure, self.json) {
            (Some(error), _) => Err(error),
            (None, Some(output)) => output.finish(),
            (None, None) => Ok(()),
        }
    }
}

/// Metrics on a line, without those of single types of entities, which may be many.
fn of_all(metrics: &Metrics) -> Vec<String> {
    let kinds: Vec<&str> = metrics.iter().filter_map(|(name, _)| name.strip_suffix("_support")).collect();
    let of_kind =
        |name: &str| kinds.iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('_')));
    let shown = metrics.iter().filter(|(name, _)| !of_kind(name));
    shown.map(|(name, value)| format!("{name} {value:.4}")).collect()
}

/// What `--json` tells of an event.
fn json_line(event: &Event) -> Option<Value> {
    match event {
        Event::Note(text) => Some(json!({ "note": text })),
        Event::Progress { .. } => None,
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
        Event::Saved { step, path } => Some(json!({ "step": step, "saved": path })),
    }
}

/// The figures of a step on one line, first what is of most interest: a narrow terminal cuts the rest.
fn figures(step: &StepLog) -> String {
    let mut parts = Vec::new();
    let right = |share: f64| format!("{:.1} % right", 100.0 * share);
    match (step.mlm_loss, step.mlm_perplexity, step.mlm_accuracy) {
        (Some(loss), Some(perplexity), Some(accuracy)) => {
            parts.push(format!("MLM {loss:.3} (perplexity {perplexity:.1}, {})", right(accuracy)));
        }
        _ => parts.push(format!("loss {:.3}", step.loss)),
    }
    if let (Some(loss), Some(accuracy)) = (step.nsp_loss, step.nsp_accuracy) {
        parts.push(format!("NSP {loss:.3} ({})", right(accuracy)));
    }
    let fraction = step.fraction_of_ceiling.map(|share| format!(" ({:.0} % of the ceiling)", 100.0 * share));
    parts.push(format!("{} tokens/s{}", grouped(step.tokens_per_second as u64), fraction.unwrap_or_default()));
    parts.extend(step.peak_rss_bytes.map(|bytes| format!("{} MB", grouped(bytes >> 20))));
    parts.push(format!("lr {:.1e}, |g| {:.2}", step.learning_rate, step.grad_norm));
    parts.join(", ")
}

/// How a training ended.
pub enum Ending {
    /// All is done.
    Finished,
    /// It had been done before.
    AlreadyFinished,
    /// A signal stopped it after this step.
    Stopped {
        /// Steps done.
        step: u64,
    },
}

/// Runs a training, shows its events, and lets a signal stop it.
pub fn train<F>(json: bool, work: F) -> anyhow::Result<Ending>
where
    F: FnOnce(&mut Observer) -> Result<Outcome, cloze::Error>,
{
    let mut reporter = Reporter::new(json);
    let outcome = work(&mut |event| {
        // Before the first step there is nothing to save, and reading a corpus may take minutes.
        if matches!(event, Event::Started { .. }) {
            signals::stop_at_next_step();
        }
        reporter.show(event);
        reporter.verdict()
    });
    signals::stop_at_once();
    reporter.finish()?;
    Ok(match outcome? {
        Outcome::Finished(_) => Ending::Finished,
        Outcome::AlreadyFinished => Ending::AlreadyFinished,
        Outcome::Stopped { step } => Ending::Stopped { step },
    })
}

/// Has the report of a training that is finished written. The model is whole without it.
pub fn write_report(ending: &Ending, write: impl FnOnce() -> anyhow::Result<PathBuf>) {
    if let Ending::Finished = ending {
        match write() {
            Ok(path) => eprintln!("curves and figures: {}", path.display()),
            Err(error) => eprintln!("note: no report was written: {error:#}"),
        }
    }
}

/// The exit code of a training that is a command of its own: 0 when it is finished, 1 when a signal
/// stopped it.
pub fn exit_code(ending: Ending, output: &Path) -> ExitCode {
    match ending {
        Ending::Finished => {
            eprintln!("finished; the model is in {}", output.display());
            ExitCode::SUCCESS
        }
        Ending::AlreadyFinished => {
            eprintln!("this training is finished already; nothing was changed (--overwrite starts it anew)");
            ExitCode::SUCCESS
        }
        Ending::Stopped { step } => {
            eprintln!("stopped after step {step}; the same command goes on from there");
            ExitCode::FAILURE
        }
    }
}
