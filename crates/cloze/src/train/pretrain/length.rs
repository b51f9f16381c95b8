//! How many steps a run has that was asked for something else.

use std::time::Instant;

use crate::Error;
use crate::bench::train_operations;
use crate::settings::{Budget, PretrainSettings};
use crate::train::Trainer;

use super::source::{HeldOut, Source};

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

/// The number of steps that `settings.budget` asks for.
///
/// A time budget counts from `started`. A few steps are tried out for it, and the trainer is put back to where it was.
pub(super) fn steps(
    settings: &PretrainSettings,
    trainer: &mut Trainer,
    source: &mut Source,
    held_out: Option<&HeldOut>,
    parts: usize,
    started: Instant,
) -> Result<u64, Error> {
    if let Budget::Steps(steps) = settings.budget {
        return Ok(steps);
    }
    let phases = settings.phases();
    let mut stretches = Vec::new();
    for phase in &phases {
        source.start(phase.max_seq_length, 0, 0)?;
        stretches.push(Stretch {
            share: phase.share,
            instances: source.instances() as f64,
            tokens: source.tokens() as f64,
        });
    }
    let batch = settings.update.batch_size as f64;
    let sum = |each: &dyn Fn(&Stretch) -> f64| stretches.iter().map(|stretch| stretch.share * each(stretch)).sum();
    match settings.budget {
        Budget::Steps(steps) => Ok(steps),
        Budget::Epochs(epochs) => {
            let epochs_of_a_step: f64 = sum(&|stretch| batch / stretch.instances);
            Ok((epochs / epochs_of_a_step).ceil() as u64)
        }
        Budget::Tokens(tokens) => {
            let tokens_of_a_step: f64 = sum(&|stretch| batch * stretch.tokens / stretch.instances);
            Ok((tokens as f64 / tokens_of_a_step).ceil() as u64)
        }
        Budget::Seconds(seconds) => {
            let mut operations = Vec::new();
            for phase in &phases {
                source.start(phase.max_seq_length, 0, 0)?;
                operations
                    .push(train_operations(&trainer.network().config, &source.next_batch(settings.update.batch_size)?));
            }
            source.start(phases[0].max_seq_length, 0, 0)?;
            let first = seconds_of_a_step(
                settings.update.batch_size,
                parts,
                trainer,
                source,
                (TRIAL * seconds).min(LONGEST_TRIAL),
            )?;
            let of_phases =
                operations.iter().zip(&phases).map(|(own, phase)| phase.share * first * own / operations[0]);
            let step: f64 = of_phases.sum();
            // A forward pass is about a third of a step.
            let tokens = held_out.map_or(0, HeldOut::tokens) as f64;
            let evaluation = tokens * first / (batch * stretches[0].tokens / stretches[0].instances) / 3.0;
            let left = seconds - started.elapsed().as_secs_f64();
            let steps = match settings.eval_steps {
                Some(every) => left / (step + evaluation / every as f64),
                None => (left - 10.0 * evaluation) / step,
            };
            if steps < 1.0 {
                return Err(Error::Settings(format!(
                    "a run of {seconds:.0} seconds is too short: {:.0} are over before the first step, a step takes \
                     {step:.2}, an evaluation {evaluation:.2}; give it more time, larger --eval-steps or less text to \
                     evaluate on",
                    started.elapsed().as_secs_f64()
                )));
            }
            Ok(steps as u64)
        }
    }
}

/// The time of a step on what the source gives, tried out for so many seconds.
fn seconds_of_a_step(
    batch_size: usize,
    parts: usize,
    trainer: &mut Trainer,
    source: &mut Source,
    trial: f64,
) -> Result<f64, Error> {
    let before = trainer.state()?;
    let mut step = || -> Result<(), Error> {
        let batch = source.next_batch(batch_size)?;
        trainer.step(&batch, parts, 0.0).map(|_| ())
    };
    step()?;
    let begin = Instant::now();
    let mut timed = 0;
    while timed < STEPS_TIMED || begin.elapsed().as_secs_f64() < trial {
        step()?;
        timed += 1;
    }
    let seconds = begin.elapsed().as_secs_f64() / f64::from(timed);
    trainer.restore(&before)?;
    Ok(seconds)
}
