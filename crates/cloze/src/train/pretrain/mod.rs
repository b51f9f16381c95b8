//! Pre-training: masked language model and next sentence prediction over a corpus.

mod course;
mod data;
mod length;
mod samples;
mod source;
mod timing;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use cloze_kernels::Cpu;
use cloze_tokenizer::Tokenizer;

use crate::bench::train_operations;
use crate::data::corpus::{store_among, store_options};
use crate::data::{CorpusOptions, Coverage, Objective};
use crate::first_weights::FirstWeights;
use crate::infer::threads;
use crate::memory::resident_bytes;
use crate::params::{Declaration, HeadSet};
use crate::precision::check_training;
use crate::settings::{Budget, FILE_NAME, Phase, PretrainSettings, RunSettings, Start, StoredSettings, check_phases};
use crate::{Config, Error};

use self::course::Course;
use self::data::{Sets, plan_file, remove_cache};
use self::samples::Samples;
use self::source::Source;
use self::timing::Timing;
use super::Trainer;
use super::events::{Event, Metrics, Observer, Outcome, RunOptions, StepLog};
use super::found::{Found, look};
use super::memory::{self, Plan};
use super::pace::Pace;
use super::run::Run;
use super::setup;
use super::short_runs;
use super::verdict::{Effort, Verdict};

pub(crate) use self::data::Data;
pub(super) use self::samples::SampleText;
pub(crate) use self::source::HeldOut;

/// The metric on held-out text that tells the best checkpoint.
const METRIC: &str = "loss";

/// A change of the number of steps by this share is told.
const TOLD: f64 = 0.1;

/// Runs a pre-training to its end, or goes on with one; the result is a model directory.
///
/// # Errors
/// If files cannot be read or written, if the output folder belongs to another run, and if a loss or
/// gradient is not finite: the last checkpoint is then left as it was.
pub fn pretrain(settings: &PretrainSettings, options: &RunOptions, observer: &mut Observer) -> Result<Outcome, Error> {
    let started = Instant::now();
    pretrain_by(settings, options, observer, &|| started.elapsed().as_secs_f64())
}

/// The same with a clock, which tells the seconds since the call.
fn pretrain_by(
    settings: &PretrainSettings,
    options: &RunOptions,
    observer: &mut Observer,
    clock: &dyn Fn() -> f64,
) -> Result<Outcome, Error> {
    check(settings)?;
    let settings = &with_options_of_store(settings)?;
    let run_settings = RunSettings::Pretrain(settings.clone());
    let found = look(options, &run_settings)?;
    if matches!(found, Found::Finished) {
        remove_cache(&options.output)?;
        return Ok(Outcome::AlreadyFinished);
    }
    let kernels = Cpu::with_precision(threads(options.threads)?, settings.update.precision)?;
    let tokenizer_path = tokenizer_path(settings)?;
    let tokenizer = setup::open_tokenizer(tokenizer_path.as_ref(), settings.cased, &settings.start, options, observer)?;
    let rows = setup::other_vocabulary(&settings.start, &tokenizer, observer)?;
    let (mut config, checkpoint) =
        setup::open_start(&settings.start, &tokenizer, tokenizer_path.as_ref(), rows.is_some(), observer)?;
    setup::apply_update_settings(&mut config, &settings.update, settings.longest())?;
    config.labels.clear();
    config.problem_type = None;

    let heads = setup::pretraining_heads(settings.objective == Objective::MlmNsp);
    // Before anything is read or the output folder taken, so that a limit that is too low costs nothing.
    plans(settings, options, &config, heads)?;
    let sets = Sets::read(settings, &tokenizer, &options.output, observer)?;
    let plans = plans(settings, options, &config, heads)?;
    let prepared = setup::Prepared {
        kernels,
        tokenizer: tokenizer.clone(),
        config,
        heads,
        checkpoint,
        rows,
        first_weights: settings.first_weights,
        token_counts: token_counts(settings, &sets.train, &tokenizer)?,
        settings: run_settings,
        update: settings.update.clone(),
        stored: StoredSettings { max_seq_length: Some(settings.longest()), ..StoredSettings::default() },
        data: sets.hash()?,
    };
    let (mut run, mut trainer) = prepared.open(options, found, observer)?;
    run.state.metric = Some(METRIC.to_string());
    let mut pretraining = Pretraining {
        settings,
        tokenizer: &tokenizer,
        sets: &sets,
        phases: settings.phases(),
        plans,
        source: Source::new(&sets.train, settings, &tokenizer, plan_file(&options.output)?),
        held_out: None,
        samples: None,
        eval_steps: 1,
    };
    let stopwatch = Stopwatch { clock, before: run.state.seconds, lap: 0.0 };
    let mut timing = match settings.budget {
        Budget::Seconds(asked) => Some(pretraining.timing(asked, &stopwatch, &trainer, options)?),
        _ => None,
    };
    let steps = pretraining.choose_steps(&mut timing, &stopwatch, &mut trainer, &mut run)?;
    let course = Course::new(
        setup::schedule(&settings.update, steps),
        pretraining.phases.clone(),
        run.replans(),
        &run.output().join(FILE_NAME),
    )?;
    let (steps_done, parameters) = (trainer.step_count(), run.declaration.len);
    if let Some(note) = short_runs::of_pretraining(settings, &run.config, steps).filter(|_| steps_done == 0) {
        let _ = observer(&Event::Note(note));
    }
    run.begin()?;
    let _ = observer(&Event::Started { steps: course.steps(steps_done), steps_done, parameters });
    pretraining.train(course, timing, stopwatch, &mut trainer, &mut run, observer)
}

/// Time of a run, without that between an interruption and its end.
struct Stopwatch<'a> {
    clock: &'a dyn Fn() -> f64,
    /// Seconds that the run had taken when the program began to count.
    before: f64,
    /// When the last lap ended.
    lap: f64,
}

impl Stopwatch<'_> {
    fn spent(&self) -> f64 {
        self.before + (self.clock)()
    }

    /// Seconds since the last lap, and begins another.
    fn lap(&mut self) -> f64 {
        let now = (self.clock)();
        now - std::mem::replace(&mut self.lap, now)
    }
}

/// The settings with how the documents of a store were made, unless something else is asked for, which opening the
/// store refuses. So the record of the run says what it was trained on.
fn with_options_of_store(settings: &PretrainSettings) -> Result<PretrainSettings, Error> {
    let mut settings = settings.clone();
    if settings.corpus_options() == CorpusOptions::default()
        && let Some(options) = store_among(&settings.input)?.and_then(store_options)
    {
        let CorpusOptions { document, sentences, text_field, drop_duplicates } = options;
        (settings.document, settings.sentences) = (document, sentences);
        (settings.text_field, settings.drop_duplicates) = (text_field, drop_duplicates);
    }
    Ok(settings)
}

/// The tokenizer that is asked for, if one is: random weights take that of a store without being told.
fn tokenizer_path(settings: &PretrainSettings) -> Result<Option<PathBuf>, Error> {
    let of_store = match settings.start {
        Start::Model(_) => None,
        _ => store_among(&settings.input)?.map(Path::to_path_buf),
    };
    Ok(settings.tokenizer.clone().or(of_store))
}

/// How often each token occurs in the text, if the first weights ask for it.
fn token_counts(settings: &PretrainSettings, data: &Data, tokenizer: &Tokenizer) -> Result<Vec<u64>, Error> {
    let is_asked_for = settings.first_weights == FirstWeights::Neighbors && !matches!(settings.start, Start::Model(_));
    match data {
        _ if !is_asked_for => Ok(Vec::new()),
        Data::Corpus(corpus) => corpus.token_counts(tokenizer.vocab_size()),
        Data::Instances(instances) => Ok(instances.label_counts().to_vec()),
    }
}

/// How the steps of each phase are computed, in the memory that there is.
fn plans(
    settings: &PretrainSettings,
    options: &RunOptions,
    config: &Config,
    heads: HeadSet,
) -> Result<Vec<Plan>, Error> {
    let (sequences, parts) = (settings.update.batch_size, settings.update.accumulate);
    let (declaration, resident) = (Declaration::new(config, heads), resident_bytes().unwrap_or_default());
    let plan = |phase: &Phase| match options.max_memory {
        None => Ok(Plan { parts, recompute: false }),
        Some(limit) => memory::plan(limit, resident, config, &declaration, sequences, phase.max_seq_length, parts),
    };
    settings.phases().iter().map(plan).collect()
}

/// A pre-training that is under way.
struct Pretraining<'a> {
    settings: &'a PretrainSettings,
    tokenizer: &'a Tokenizer,
    sets: &'a Sets,
    phases: Vec<Phase>,
    /// How the steps of each phase are computed.
    plans: Vec<Plan>,
    source: Source<'a>,
    /// Held-out instances of the length of the phase.
    held_out: Option<HeldOut>,
    /// Of those of the first phase.
    samples: Option<Samples>,
    /// Steps between evaluations.
    eval_steps: u64,
}

impl Pretraining<'_> {
    /// Times of the run, as far as they are known before its first step.
    fn timing(
        &mut self,
        asked: f64,
        stopwatch: &Stopwatch,
        trainer: &Trainer,
        options: &RunOptions,
    ) -> Result<Timing, Error> {
        self.hold_out(self.phases[0].max_seq_length)?;
        let work = length::work(self.settings, trainer, &mut self.source, self.held_out.as_ref())?;
        Ok(Timing::new(asked, stopwatch.spent(), work, self.settings.eval_steps, options.save_steps))
    }

    /// The number of steps of the run: as asked for, counted, planned in time, or stored by the run that is resumed. It
    /// says how often to evaluate.
    fn choose_steps(
        &mut self,
        timing: &mut Option<Timing>,
        stopwatch: &Stopwatch,
        trainer: &mut Trainer,
        run: &mut Run,
    ) -> Result<u64, Error> {
        let settings = self.settings;
        let (steps, eval_steps) = match (settings.budget, timing) {
            (Budget::Steps(steps), _) => (steps, None),
            (_, None) => run.steps(|| Ok((length::steps(settings, &mut self.source)?, None)))?,
            (_, Some(timing)) => run.steps(|| {
                let (source, parts) = (&mut self.source, self.plans[0].parts);
                let clock = || stopwatch.spent();
                let (steps, every) = length::steps_in_time(settings, timing, trainer, source, parts, &clock)?;
                Ok((steps, Some(every)))
            })?,
        };
        self.eval_steps = settings.eval_steps.or(eval_steps).unwrap_or(steps.div_ceil(10)).max(1);
        Ok(steps)
    }

    /// Makes the held-out instances of this length, unless they are there.
    fn hold_out(&mut self, max_seq_length: usize) -> Result<(), Error> {
        if self.held_out.as_ref().is_some_and(|held_out| held_out.max_seq_length() == max_seq_length) {
            return Ok(());
        }
        let make = |data| HeldOut::new(data, self.settings, max_seq_length, self.tokenizer);
        self.held_out = self.sets.held_out.as_ref().map(make).transpose()?;
        Ok(())
    }

    /// Trains to the end of the run, or until the observer stops it.
    fn train(
        mut self,
        mut course: Course,
        mut timing: Option<Timing>,
        mut stopwatch: Stopwatch,
        trainer: &mut Trainer,
        run: &mut Run,
        observer: &mut Observer,
    ) -> Result<Outcome, Error> {
        self.hold_out(self.phases[0].max_seq_length)?;
        self.samples = self.held_out.as_ref().map(|held_out| Samples::of(held_out, self.tokenizer));
        run.state.samples = self.samples.as_ref().map(|samples| samples.texts.clone()).unwrap_or_default();
        let eval_steps = self.eval_steps;
        if let Some(timing) = &mut timing {
            timing.eval_steps = Some(eval_steps);
        }
        let mut phase = None;
        let mut pace = Pace::new();
        let mut metrics = run.state.history.metrics_of(trainer.step_count());
        let mut told = course.steps(trainer.step_count());
        stopwatch.lap();
        while trainer.step_count() < course.steps(trainer.step_count()) {
            let ends = course.phase_ends(trainer.step_count());
            let now = ends.iter().position(|&end| trainer.step_count() < end);
            if phase != now {
                phase = now;
                self.enter(now.unwrap_or_default(), &ends, trainer, run, observer)?;
                let seconds = stopwatch.lap();
                timing.iter_mut().for_each(|timing| timing.started(now.unwrap_or_default(), seconds));
            }
            let parts = self.plans[now.unwrap_or_default()].parts;
            let mut log = self.step(parts, &course, &mut pace, trainer, run)?;
            let (step, steps, epoch) = (log.step, log.steps, log.epoch);
            if let Some(timing) = &timing {
                log.seconds_left = (timing.asked - stopwatch.spent()).max(0.0);
            }
            run.log_step(&log)?;
            let mut stop = observer(&Event::Step(log)).is_break();
            let seconds = stopwatch.lap();
            timing.iter_mut().for_each(|timing| timing.stepped(seconds));
            let mut is_best = false;
            if let Some(held_out) = self.held_out.as_ref().filter(|_| step.is_multiple_of(eval_steps) || step == steps)
            {
                metrics = self.evaluate(held_out, (step, epoch), trainer, run, observer)?;
                is_best = run.note_best(step, &metrics);
                stop |= observer(&Event::Evaluated { step, epoch, metrics: metrics.clone() }).is_break();
                let seconds = stopwatch.lap();
                timing.iter_mut().for_each(|timing| timing.evaluated(seconds));
            }
            let last = step == steps;
            if stop || last || is_best || run.wants_checkpoint(step) {
                run.state.seconds = stopwatch.spent();
                run.save(&trainer.state()?, epoch, steps, observer)?;
                if stop && !last {
                    return Ok(Outcome::Stopped { step });
                }
                let seconds = stopwatch.lap();
                timing.iter_mut().for_each(|timing| timing.saved(seconds));
            }
            let spent = stopwatch.spent();
            let replan = timing.as_mut().filter(|_| !last).and_then(|timing| timing.replan(spent, step, &course));
            if let Some(replan) = replan {
                // Stored before the next step, so that a run that is killed repeats what it has done.
                run.replan(replan)?;
                course.replan(replan);
                tell_replan(replan.steps, &mut told, observer);
            }
            pace.pause();
        }
        self.finish(metrics, trainer, run, observer)
    }

    /// Takes a step on the next batch, and gives its log.
    fn step(
        &mut self,
        parts: usize,
        course: &Course,
        pace: &mut Pace,
        trainer: &mut Trainer,
        run: &mut Run,
    ) -> Result<StepLog, Error> {
        let batch_size = self.settings.update.batch_size;
        let before = self.source.position();
        let batch = self.source.next_batch(batch_size)?;
        (run.state.epoch, run.state.position) = self.source.position();
        let learning_rate = course.rate(trainer.step_count());
        let report =
            trainer.step(&batch, parts, learning_rate).map_err(|error| on_instances(error, before, batch_size))?;
        let epoch = self.source.epochs_done() - run.state.epochs_skipped;
        run.state.epochs_done = epoch;
        let nsp = (report.losses.nsp.count > 0).then_some(report.losses.nsp);
        let mut log = StepLog {
            step: report.step,
            // A new number of steps holds from the next one on.
            steps: course.steps(report.step - 1),
            epoch,
            loss: report.losses.total(),
            learning_rate,
            grad_norm: report.gradient_norm,
            mlm_loss: Some(report.losses.mlm.mean_loss()),
            mlm_perplexity: Some(report.losses.mlm.mean_loss().exp()),
            mlm_accuracy: Some(report.losses.mlm.accuracy()),
            nsp_loss: nsp.map(|nsp| nsp.mean_loss()),
            nsp_accuracy: nsp.map(|nsp| nsp.accuracy()),
            ..StepLog::default()
        };
        let operations = train_operations(&trainer.network().config, &batch);
        pace.step(&mut log, batch.batch.tokens(), Some(operations), &trainer.network().kernels);
        Ok(log)
    }

    /// Measures the weights on the held-out text, and logs what they predict.
    fn evaluate(
        &self,
        held_out: &HeldOut,
        (step, epoch): (u64, f64),
        trainer: &mut Trainer,
        run: &mut Run,
        observer: &mut Observer,
    ) -> Result<Metrics, Error> {
        let metrics = held_out.evaluate(|losses, batch| trainer.evaluate(losses, batch), observer)?;
        run.log_evaluation(step, epoch, &metrics)?;
        if let Some(samples) = &self.samples {
            run.log_samples(samples.predict(trainer, self.tokenizer)?);
        }
        Ok(metrics)
    }

    /// Writes the model and the verdict on it, and ends the run.
    fn finish(
        &self,
        metrics: Metrics,
        trainer: &Trainer,
        run: &mut Run,
        observer: &mut Observer,
    ) -> Result<Outcome, Error> {
        let state = trainer.state()?;
        let steps = state.step;
        run.write_result(&state.weights, steps, run.state.history.epoch())?;
        let effort = Effort { steps, epochs: 0, learning_rate: self.settings.update.learning_rate };
        let instances = self.held_out.as_ref().map_or(0, HeldOut::instances);
        let verdict = Verdict::of_pretraining(&metrics, instances, effort);
        let _ = observer(&Event::Verdict(verdict.clone()));
        run.stored().verdict = Some(verdict);
        run.finish()?;
        remove_cache(run.output())?;
        Ok(Outcome::Finished(metrics))
    }

    /// Begins a phase, or goes on in it, as `step` says. A phase begins with an epoch of its own, and losses on sequences
    /// of another length compare with none before.
    fn enter(
        &mut self,
        phase: usize,
        ends: &[u64],
        trainer: &mut Trainer,
        run: &mut Run,
        observer: &mut Observer,
    ) -> Result<(), Error> {
        let (step, max_seq_length) = (trainer.step_count(), self.phases[phase].max_seq_length);
        let Plan { parts, recompute } = self.plans[phase];
        if recompute {
            trainer.recompute()?;
        }
        if recompute || parts > self.settings.update.accumulate {
            let again = if recompute { ", and every layer twice" } else { "" };
            let note = format!("a batch is computed in {parts} parts{again}, to stay within the memory allowed");
            let _ = observer(&Event::Note(note));
        }
        if phase > 0 && step == ends[phase - 1] {
            run.state.best = None;
            (run.state.epoch, run.state.position) = (run.state.epoch + 1, 0);
            // What is left of the epoch before is not read, and does not count.
            run.state.epochs_skipped = run.state.epoch as f64 - run.state.epochs_done;
            let _ =
                observer(&Event::Note(format!("from step {} on with sequences of {max_seq_length} tokens", step + 1)));
        }
        self.source.start(max_seq_length, run.state.epoch, run.state.position)?;
        if let Some(coverage) = self.source.coverage() {
            let _ = observer(&Event::Note(coverage_note(coverage, max_seq_length)));
        }
        self.hold_out(max_seq_length)
    }
}

/// Tells a new number of steps that differs much from the one told last.
fn tell_replan(steps: u64, told: &mut u64, observer: &mut Observer) {
    if steps.abs_diff(*told) as f64 > TOLD * *told as f64 {
        let _ = observer(&Event::Note(format!("{steps} steps instead of {told}, to end in time")));
        *told = steps;
    }
}

/// How much of the text an epoch reads, in words.
fn coverage_note(coverage: Coverage, max_seq_length: usize) -> String {
    /// Below this share the reader should know what to do.
    const LITTLE: f64 = 0.75;
    let Coverage { split, .. } = coverage;
    let mut note = format!(
        "an epoch of sequences of at most {max_seq_length} tokens reads {:.1} % of the text",
        100.0 * coverage.share()
    );
    if split > 0 {
        note.push_str(&format!("; {split} sentences that are longer are read in pieces"));
    }
    if coverage.share() < LITTLE {
        note.push_str(
            "; the rest is cut off where two halves are longer than a sequence: longer sequences (--max-seq-length) or \
             shorter sentences (--sentences split) read more",
        );
    }
    note
}

/// An error of a step, with the instances that it was computed on.
fn on_instances(error: Error, (epoch, first): (u64, u64), batch_size: usize) -> Error {
    match error {
        Error::NotFinite { step, what, value } => {
            let (first, last) = (first + 1, first + batch_size as u64);
            let what = format!("{what}, on instances {first} to {last} of epoch {},", epoch + 1);
            Error::NotFinite { step, what, value }
        }
        other => other,
    }
}

fn check(settings: &PretrainSettings) -> Result<(), Error> {
    let wrong = |message: &str| Err(Error::Settings(message.to_string()));
    check_training(settings.update.precision)?;
    settings.budget.check()?;
    let phases = settings.phases();
    check_phases(&phases)?;
    let lengths = settings.objective.sequence_lengths();
    if let Some(phase) = phases.iter().find(|phase| !lengths.contains(&phase.max_seq_length)) {
        return Err(Error::Settings(format!(
            "a maximum sequence length of {}; this objective needs {} to {}",
            phase.max_seq_length,
            lengths.start(),
            lengths.end()
        )));
    }
    if !settings.instances.is_empty() && (phases.len() > 1 || settings.whole_word || !settings.input.is_empty()) {
        return wrong(
            "instances from files are taken as they are: they go with neither text, nor phases, nor whole-word masking",
        );
    }
    if !(0.0..1.0).contains(&settings.dev_fraction) {
        return wrong("the share of held-out documents must be at least 0 and below 1");
    }
    if !(0.0..=1.0).contains(&settings.masked_lm_prob) || settings.masked_lm_prob == 0.0 {
        return wrong("the share of tokens to predict must be above 0 and at most 1");
    }
    if !(0.0..=1.0).contains(&settings.short_seq_prob) {
        return wrong("the probability of short instances must be between 0 and 1");
    }
    Ok(())
}
