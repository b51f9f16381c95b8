//! How many steps a run has that was asked for something else.

use crate::Error;
use crate::bench::train_operations;
use crate::settings::{Budget, PretrainSettings, phase_ends};
use crate::train::Trainer;

use super::source::{HeldOut, Source};
use super::timing::{Timing, Work};

/// The trial that a time budget begins with has a step that is not timed, then timed ones until this share of the
/// budget is over.
const TRIAL: f64 = 0.01;
/// A longer trial would not tell more: seconds.
const LONGEST_TRIAL: f64 = 5.0;
/// The least number of steps that are timed.
const STEPS_TIMED: u32 = 2;

/// A stretch of the run: its share of the steps, and what an epoch is in it.
struct Stretch {
    share: f64,
    instances: f64,
    tokens: f64,
}

/// The number of steps of a run that was asked for epochs or tokens.
pub(super) fn steps(settings: &PretrainSettings, source: &mut Source) -> Result<u64, Error> {
    let mut stretches = Vec::new();
    for phase in settings.phases() {
        source.start(phase.max_seq_length, 0, 0)?;
        stretches.push(Stretch {
            share: phase.share,
            instances: source.instances() as f64,
            tokens: source.tokens() as f64,
        });
    }
    let batch = settings.update.batch_size as f64;
    let sum = |each: &dyn Fn(&Stretch) -> f64| stretches.iter().map(|stretch| stretch.share * each(stretch)).sum();
    let (wanted, of_a_step): (f64, f64) = match settings.budget {
        Budget::Epochs(epochs) => (epochs, sum(&|stretch| batch / stretch.instances)),
        Budget::Tokens(tokens) => (tokens as f64, sum(&|stretch| batch * stretch.tokens / stretch.instances)),
        Budget::Steps(_) | Budget::Seconds(_) => unreachable!("steps are known, and those of a time are planned"),
    };
    Ok((wanted / of_a_step).ceil() as u64)
}

/// The work of a step and of an evaluation in each phase; `held_out` is of the first.
pub(super) fn work(
    settings: &PretrainSettings,
    trainer: &Trainer,
    source: &mut Source,
    held_out: Option<&HeldOut>,
) -> Result<Vec<Work>, Error> {
    let mut batches = Vec::new();
    for phase in settings.phases() {
        source.start(phase.max_seq_length, 0, 0)?;
        let batch = source.next_batch(settings.update.batch_size)?;
        batches.push((train_operations(&trainer.network().config, &batch), batch.batch.tokens() as f64));
    }
    let evaluated = held_out.map_or(0, HeldOut::tokens) as f64;
    // Longer sequences make fewer instances of the same text, unless there are more than are evaluated.
    let is_selection = held_out.is_some_and(|held_out| held_out.is_selection(settings));
    let first = batches[0].1;
    let work = |(operations, tokens): (f64, f64)| Work {
        operations,
        batches_evaluated: evaluated / if is_selection { first } else { tokens },
    };
    Ok(batches.into_iter().map(work).collect())
}

/// The number of steps that fit into the time, and the steps between evaluations, as a few steps tell that are tried out;
/// the trainer is put back to where it was. `clock` tells the seconds that are spent.
pub(super) fn steps_in_time(
    settings: &PretrainSettings,
    timing: &mut Timing,
    trainer: &mut Trainer,
    source: &mut Source,
    parts: usize,
    clock: &dyn Fn() -> f64,
) -> Result<(u64, u64), Error> {
    let phases = settings.phases();
    source.start(phases[0].max_seq_length, 0, 0)?;
    let trial = (TRIAL * timing.asked).min(LONGEST_TRIAL);
    let step = seconds_of_a_step(settings.update.batch_size, parts, trainer, source, trial, clock)?;
    timing.tried(step);
    let spent = clock();
    timing.first_plan(spent, |steps| phase_ends(&phases, steps)).ok_or_else(|| {
        Error::Settings(format!(
            "a run of {:.0} seconds is too short: {spent:.0} are over before the first step, a step takes {step:.2}, an \
             evaluation {:.2}; give it more time, larger --eval-steps or less text to evaluate on",
            timing.asked,
            timing.seconds_of_evaluation(0),
        ))
    })
}

/// The time of a step on batches of the source, tried out for `trial` seconds.
fn seconds_of_a_step(
    batch_size: usize,
    parts: usize,
    trainer: &mut Trainer,
    source: &mut Source,
    trial: f64,
    clock: &dyn Fn() -> f64,
) -> Result<f64, Error> {
    let before = trainer.state()?;
    let mut step = || -> Result<(), Error> {
        let batch = source.next_batch(batch_size)?;
        trainer.step(&batch, parts, 0.0).map(|_| ())
    };
    step()?;
    let begin = clock();
    let mut timed = 0;
    while timed < STEPS_TIMED || clock() - begin < trial {
        step()?;
        timed += 1;
    }
    let seconds = (clock() - begin) / f64::from(timed);
    trainer.restore(&before)?;
    Ok(seconds)
}
