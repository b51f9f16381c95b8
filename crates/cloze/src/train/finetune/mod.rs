//! Fine-tuning: what texts are, what their words are, what answers to questions are.

mod data;
mod held_out;
mod labels;
mod questions;
mod texts;
mod words;

use cloze_kernels::Cpu;
use serde_json::json;

use crate::check::{self, CheckSettings, Depth, Finding, Severity};
use crate::checkpoint::write_file;
use crate::data::{DataOptions, DataSettings, Scheme};
use crate::eval::{self, Evaluation, EvaluationOptions, Source};
use crate::first_weights::FirstWeights;
use crate::infer::{InferenceWorkspace, Long, OpenOptions, threads};
use crate::precision::check_training;
use crate::random::{Purpose, Random};
use crate::settings::{FinetuneSettings, FinetuneTask, RunSettings, StoredSettings};
use crate::{Config, Error, Model};

use super::Trainer;
use super::card::{Card, noting};
use super::events::{Event, Metrics, Observer, Outcome, RunOptions, StepLog};
use super::found::{Found, look};
use super::pace::Pace;
use super::run::{EVALUATION, Run};
use super::setup;
use super::short_runs;
use super::verdict::{Effort, Verdict};

pub(super) use data::dev_name;
use data::{Sets, TaskData};

/// Runs a fine-tuning to its end, or goes on with one; the result is a model directory with the best
/// weights, measured and described.
///
/// # Errors
/// If files cannot be read or written, a label is unknown, the output folder belongs to another run, or
/// a loss or gradient is not finite: the last checkpoint is then left as it was.
pub fn finetune(settings: &FinetuneSettings, options: &RunOptions, observer: &mut Observer) -> Result<Outcome, Error> {
    check_settings(settings)?;
    let run_settings = RunSettings::Finetune(settings.clone());
    let found = look(options, &run_settings)?;
    if matches!(found, Found::Finished) {
        return Ok(Outcome::AlreadyFinished);
    }
    tell_warnings(settings, observer)?;
    let kernels = Cpu::with_precision(threads(options.threads)?, settings.update.precision)?;
    let tokenizer =
        setup::open_tokenizer(settings.tokenizer.as_ref(), settings.cased, &settings.start, options, observer)?;
    let (mut config, mut checkpoint) =
        setup::open_start(&settings.start, &tokenizer, settings.tokenizer.as_ref(), false, observer)?;
    setup::apply_update_settings(&mut config, &settings.update, settings.max_seq_length)?;

    if let Some(frozen) = settings.rates.frozen_layers.filter(|&frozen| frozen > config.num_hidden_layers) {
        let layers = config.num_hidden_layers;
        return Err(Error::Settings(format!("{frozen} layers to be left as they are: the model has {layers}")));
    }

    let mut notes = Vec::new();
    let Sets { train: train_data, dev: dev_data, held_out, heads } =
        data::read(settings, &mut config, checkpoint.as_mut(), &tokenizer, &mut noting(&mut notes, observer))?;
    let steps_per_epoch = (train_data.len() as u64).div_ceil(settings.update.batch_size as u64);
    let steps = steps_per_epoch.checked_mul(settings.epochs).ok_or_else(|| {
        Error::Settings(format!("{} epochs of {steps_per_epoch} steps are more than can be counted", settings.epochs))
    })?;
    let has_head = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.heads().task.is_some());
    let dev_data = dev_data.as_ref();
    let metric = metric(settings, &config, dev_data.unwrap_or(&train_data))?;
    if dev_data.is_none() {
        tell_without_effect(settings, observer);
    }
    let mut stored = stored(settings);
    let may_lack_answers = |data: &TaskData| data.may_lack_answers();
    if let (Some(questions), true) =
        (&mut stored.questions, may_lack_answers(&train_data) || dev_data.is_some_and(may_lack_answers))
    {
        questions.answers.null_threshold.get_or_insert(0.0);
    }
    let prepared = setup::Prepared {
        kernels,
        tokenizer,
        heads,
        config,
        checkpoint,
        rows: None,
        first_weights: FirstWeights::Bert,
        token_counts: Vec::new(),
        settings: run_settings,
        update: settings.update.clone(),
        stored,
        data: data::hash([&train_data].into_iter().chain(dev_data)),
    };
    let (mut run, mut trainer) = prepared.open(options, found, observer)?;
    check_age(settings, metric, &run)?;
    let (steps_done, parameters) = (trainer.step_count(), run.declaration.len);
    if let Some(note) = short_runs::of_finetuning(has_head, steps, steps_per_epoch).filter(|_| steps_done == 0) {
        let _ = observer(&Event::Note(note));
    }
    run.begin()?;
    let _ = observer(&Event::Started { steps, steps_done, parameters });
    run.state.metric = dev_data.map(|_| metric.to_string());
    if let Some(step) = train(settings, &mut trainer, &mut run, &train_data, dev_data, observer)? {
        return Ok(Outcome::Stopped { step });
    }
    drop(trainer);
    let evaluation = measure(settings, options.threads, held_out, &mut run, observer)?;
    finish(settings, evaluation, &notes, &mut run, observer).map(Outcome::Finished)
}

/// Tells which of the flags that were given need examples to measure with, if there are none.
fn tell_without_effect(settings: &FinetuneSettings, observer: &mut Observer) {
    let flags = [
        ("--metric", settings.metric.is_some()),
        ("--eval-steps", settings.eval_steps.is_some()),
        ("--patience", settings.patience.is_some()),
        ("--calibrate", settings.calibrate),
    ];
    let given: Vec<&str> = flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect();
    if !given.is_empty() {
        let note = format!("without effect, as there is nothing to measure with: {}", given.join(", "));
        let _ = observer(&Event::Note(note));
    }
}

/// Tells what is probably a mistake in the data. What is surely one ends the run when it comes to it, and answers that
/// are not found are told then, one by one.
fn tell_warnings(settings: &FinetuneSettings, observer: &mut Observer) -> Result<(), Error> {
    let report = check::check(&CheckSettings::from(settings), Depth::Quick, None)?;
    let is_told = |finding: &&Finding| finding.severity == Severity::Warning && finding.kind != "misaligned-answer";
    for finding in report.findings.iter().filter(is_told) {
        let _ = observer(&Event::Note(finding.to_string()));
    }
    Ok(())
}

/// What is stored with the model about how it reads.
fn stored(settings: &FinetuneSettings) -> StoredSettings {
    let of_words = settings.task == FinetuneTask::Tokens;
    let of_questions = settings.task == FinetuneTask::Questions;
    StoredSettings {
        max_seq_length: Some(settings.max_seq_length),
        long: Some(settings.long),
        window_pooling: (!of_words && !of_questions && settings.long == Long::Window)
            .then_some(settings.window_pooling),
        subtokens: of_words.then_some(settings.subtokens),
        questions: of_questions.then_some(settings.questions),
        columns: settings.columns.clone(),
        reading: DataSettings { labels: None, ..settings.reading.clone() },
        positive_label: settings.positive_label.clone(),
        ..StoredSettings::default()
    }
}

/// Trains to the end and writes the best weights, or gives the step after which the observer has stopped it.
fn train(
    settings: &FinetuneSettings,
    trainer: &mut Trainer,
    run: &mut Run,
    train_data: &TaskData,
    dev_data: Option<&TaskData>,
    observer: &mut Observer,
) -> Result<Option<u64>, Error> {
    let update = &settings.update;
    let examples = train_data.len();
    let steps_per_epoch = (examples as u64).div_ceil(update.batch_size as u64);
    let steps = steps_per_epoch * settings.epochs;
    let schedule = setup::schedule(update, steps);
    let mut workspace = InferenceWorkspace::new(&trainer.network().kernels, &run.config)?;
    let mut pace = Pace::new();
    let mut order = Vec::new();
    let mut order_of = None;
    trainer.set_rates(&settings.rates, update.learning_rate);
    while trainer.step_count() < steps && !is_out_of_patience(settings, run) {
        let (epoch, place) = (trainer.step_count() / steps_per_epoch, trainer.step_count() % steps_per_epoch);
        if order_of != Some(epoch) {
            order = epoch_order(examples, update.shuffle, update.seed, epoch);
            order_of = Some(epoch);
        }
        let first = place as usize * update.batch_size;
        let batch = train_data.batch(&order[first..(first + update.batch_size).min(examples)]);
        let learning_rate = schedule.rate(trainer.step_count());
        let parts = update.accumulate.min(batch.examples());
        let report = trainer.step(&batch, parts, learning_rate)?;
        let step = report.step;
        let epochs_done = step as f64 / steps_per_epoch as f64;
        let mut log = StepLog {
            step,
            steps,
            epoch: epochs_done,
            loss: report.losses.total(),
            learning_rate,
            grad_norm: report.gradient_norm,
            ..StepLog::default()
        };
        pace.step(&mut log, batch.batch.tokens(), None, &trainer.network().kernels);
        run.log_step(&log)?;
        let epoch_ends = step.is_multiple_of(steps_per_epoch);
        let position = if epoch_ends { 0 } else { (first + batch.examples()) as u64 };
        (run.state.epoch, run.state.position) = (step / steps_per_epoch, position);
        let mut stop = observer(&Event::Step(log)).is_break();
        let evaluates = dev_data.is_some()
            && match settings.eval_steps {
                Some(every) => step.is_multiple_of(every) || step == steps,
                None => epoch_ends,
            };
        if let Some(dev_data) = dev_data.filter(|_| evaluates) {
            let metric = run.state.metric.as_deref().unwrap_or_default();
            let metrics = dev_data.evaluate(trainer, &mut workspace, &run.config, metric, observer)?;
            run.log_evaluation(step, epochs_done, &metrics)?;
            run.note_best(step, &metrics);
            stop |= observer(&Event::Evaluated { step, epoch: epochs_done, metrics }).is_break();
        }
        // Without an evaluation of the last step its checkpoint still is what the result is made of.
        if stop || evaluates || step == steps || run.wants_checkpoint(step) {
            run.save(&trainer.state()?, epochs_done, steps, observer)?;
            if stop && step < steps && !is_out_of_patience(settings, run) {
                return Ok(Some(step));
            }
        }
        pace.pause();
    }
    let done = trainer.step_count();
    let weights = run.best_weights(done, observer)?;
    let best = run.state.best.map_or(done, |best| best.step);
    if done < steps {
        let patience = settings.patience.unwrap_or_default();
        let note = format!("stopped after step {done}: {patience} evaluations were no better than that of step {best}");
        let _ = observer(&Event::Note(note));
    }
    run.write_result(&weights, done, done as f64 / steps_per_epoch as f64)?;
    drop(weights);
    Ok(None)
}

/// Measures the model as its users will, on the development set or the examples that were `held_out` in its place, and
/// stores what is found there: thresholds, temperature. None if there is neither.
fn measure(
    settings: &FinetuneSettings,
    threads: Option<usize>,
    held_out: Option<Source>,
    run: &mut Run,
    observer: &mut Observer,
) -> Result<Option<Evaluation>, Error> {
    if held_out.is_none() && settings.dev.is_none() {
        return Ok(None);
    }
    let data = DataOptions::new(settings.columns.as_deref(), &settings.reading)?;
    let options = EvaluationOptions { data, seed: settings.update.seed, ..EvaluationOptions::default() };
    let model = Model::open_own(run.output(), OpenOptions { threads, ..OpenOptions::default() })?;
    let path = data::dev_name(settings);
    let source = match held_out {
        Some(held_out) => held_out,
        None => Source::read(&model, &path, &options, observer)?,
    };
    let mut results = eval::results(&model, &source, &path, &options, observer)?;
    let metric = run.state.metric.clone().unwrap_or_default();
    results.tune(run.stored(), settings.calibrate, &metric, &source);
    if let Some(threshold) = run.stored().questions.and_then(|questions| questions.answers.null_threshold) {
        let note = format!("stored: no answer to questions whose null odds are greater than {threshold:.4}");
        let _ = observer(&Event::Note(note));
    }
    let evaluation = Evaluation::of(&model, results, &source, run.stored().tuning.as_ref(), options.seed)?;
    if let Some(note) = evaluation.note_on_tuning() {
        let _ = observer(&Event::Note(note));
    }
    Ok(Some(evaluation))
}

/// Stores metrics and verdict, and describes the model. `notes` were told while the data was read.
fn finish(
    settings: &FinetuneSettings,
    evaluation: Option<Evaluation>,
    notes: &[String],
    run: &mut Run,
    observer: &mut Observer,
) -> Result<Metrics, Error> {
    let metric = run.state.metric.clone().unwrap_or_default();
    let evaluation = evaluation.as_ref();
    let metrics = evaluation.map(|evaluation| evaluation.metrics.clone()).unwrap_or_default();
    run.stored().metrics =
        evaluation.map(|own| own.metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect());
    let steps = run.state.history.last_step();
    let effort = Effort { steps, epochs: settings.epochs, learning_rate: settings.update.learning_rate };
    let mut verdict = Verdict::of_finetuning(evaluation, effort);
    if run.state.history.is_always_zero(&metric) {
        verdict
            .findings
            .push(format!("{metric} was 0 or not defined after every evaluation, so the loss chose the weights"));
    }
    let _ = observer(&Event::Verdict(verdict.clone()));
    run.stored().verdict = Some(verdict);
    if let Some(evaluation) = evaluation {
        let text = serde_json::to_string_pretty(evaluation).map_err(|error| Error::Settings(error.to_string()))?;
        write_file(&run.output().join(EVALUATION), format!("{text}\n").as_bytes())?;
    }
    let (labels, output) = (run.config.labels.clone(), run.output().to_path_buf());
    let card = Card { settings, stored: run.stored(), labels: &labels, evaluation, notes, metric: &metric };
    card.write(&output, observer)?;
    run.finish()?;
    Ok(metrics)
}

/// Refuses settings that make no sense, whatever the data.
fn check_settings(settings: &FinetuneSettings) -> Result<(), Error> {
    check_training(settings.update.precision)?;
    if settings.epochs == 0 {
        return Err(Error::Settings("0 epochs train nothing; use 1 or more".to_string()));
    }
    if settings.eval_steps == Some(0) || settings.patience == Some(0) {
        return Err(Error::Settings("steps between evaluations and patience must be 1 or more".to_string()));
    }
    if let Some(label) = settings.positive_label.as_ref().filter(|_| settings.task != FinetuneTask::Classification) {
        return eval::check_positive_label(label, false, &[]);
    }
    settings.questions.check()?;
    let known: &[&str] = match settings.task {
        FinetuneTask::Classification => &["accuracy", "f1", "macro_f1", "matthews_correlation", "loss"],
        FinetuneTask::MultiLabel => &["f1", "macro_f1", "exact_match", "loss"],
        FinetuneTask::Regression => &["pearson", "spearman", "loss"],
        FinetuneTask::Questions => &["f1", "exact_match", "best_f1", "best_exact", "loss"],
        FinetuneTask::Tokens => &["f1", "macro_f1", "strict_f1", "precision", "recall", "accuracy", "loss"],
    };
    match settings.metric.as_deref().filter(|metric| !known.contains(metric)) {
        Some(metric) => {
            Err(Error::Settings(format!("no metric `{metric}` for this task; there are {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

/// The metric that chooses the best weights: as wanted, or the usual one.
///
/// # Errors
/// If these labels or questions do not have the wanted one.
fn metric<'a>(settings: &'a FinetuneSettings, config: &Config, dev: &TaskData) -> Result<&'a str, Error> {
    // Labels of words may mark none, such as parts of speech.
    let has_entities = Scheme::of_labels(&config.labels) != Scheme::None;
    let missing = |metric: &str, why: &str| Err(Error::Settings(format!("no metric `{metric}`: {why}")));
    match (settings.metric.as_deref(), settings.task) {
        (Some(wanted), FinetuneTask::Tokens) if !has_entities && !["accuracy", "loss"].contains(&wanted) => {
            missing(wanted, "the labels mark no entities; there are accuracy and loss")
        }
        (Some(wanted @ ("best_f1" | "best_exact")), FinetuneTask::Questions) if !dev.may_lack_answers() => {
            missing(wanted, "all questions have answers; there are f1, exact_match and loss")
        }
        (Some(wanted), _) => Ok(wanted),
        (None, FinetuneTask::Classification) => Ok("accuracy"),
        (None, FinetuneTask::Regression) => Ok("pearson"),
        (None, FinetuneTask::MultiLabel) => Ok("f1"),
        (None, FinetuneTask::Tokens) => Ok(if has_entities { "f1" } else { "accuracy" }),
        // The threshold is chosen at the end.
        (None, FinetuneTask::Questions) => Ok(if dev.may_lack_answers() { "best_f1" } else { "f1" }),
    }
}

/// Refuses to resume a run whose evaluations cannot be compared with those to come.
fn check_age(settings: &FinetuneSettings, metric: &str, run: &Run) -> Result<(), Error> {
    if settings.task == FinetuneTask::MultiLabel && metric != "loss" && run.state.is_older {
        return Err(Error::Settings(format!(
            "{}: an older version of Cloze began this run and measured F1 at thresholds of 0.5, now they are tuned at every \
             evaluation; begin anew with --overwrite",
            run.output().display()
        )));
    }
    Ok(())
}

/// Whether the last evaluations were no better than the best one.
fn is_out_of_patience(settings: &FinetuneSettings, run: &Run) -> bool {
    let since_best = run.state.best.map_or(0, |best| run.state.history.evaluations_after(best.step));
    settings.patience.is_some_and(|patience| since_best >= patience)
}

/// The order of the examples in an epoch.
fn epoch_order(examples: usize, shuffle: bool, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    if shuffle {
        Random::new(seed, Purpose::Shuffle, epoch, 0).shuffle(&mut order);
    }
    order
}
