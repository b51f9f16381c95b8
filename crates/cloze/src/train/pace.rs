//! How fast a run goes, and how long it still takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cloze_kernels::Cpu;

use crate::memory::peak_resident_bytes;

use super::events::StepLog;

/// Steps that the speed is measured over.
const WINDOW: usize = 50;
/// How often the machine's ceiling is measured, and for how long.
const TIME_BETWEEN_CEILINGS: Duration = Duration::from_secs(20);
const CEILING_MILLISECONDS: u64 = 20;

pub(super) struct Pace {
    steps: VecDeque<PacedStep>,
    /// Operations a second that the machine does at most as far as is known, and when that was measured last.
    ceiling: Option<(f64, Instant)>,
}

/// A step that has ended.
struct PacedStep {
    at: Instant,
    tokens: usize,
    operations: f64,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { steps: VecDeque::from([PacedStep { at: Instant::now(), tokens: 0, operations: 0.0 }]), ceiling: None }
    }

    /// Notes the end of a step of so many tokens, and adds to its log how fast the last ones went; where it is known how
    /// many operations it was, also how that compares with the ceiling.
    pub fn step(&mut self, log: &mut StepLog, tokens: usize, operations: Option<f64>, kernels: &Cpu) {
        self.steps.push_back(PacedStep { at: Instant::now(), tokens, operations: operations.unwrap_or_default() });
        if self.steps.len() > WINDOW + 1 {
            self.steps.pop_front();
        }
        let (first, last) = (self.steps[0].at, self.steps[self.steps.len() - 1].at);
        let seconds = (last - first).as_secs_f64().max(1e-9);
        let tokens: usize = self.steps.iter().skip(1).map(|step| step.tokens).sum();
        log.tokens_per_second = tokens as f64 / seconds;
        log.seconds_left = seconds / (self.steps.len() - 1) as f64 * (log.steps - log.step) as f64;
        if operations.is_some() {
            let operations: f64 = self.steps.iter().skip(1).map(|step| step.operations).sum();
            let reached = operations / seconds;
            log.fraction_of_ceiling = Some(reached / self.ceiling(reached, kernels));
        }
        log.peak_rss_bytes = peak_resident_bytes();
    }

    /// The most operations a second that this machine has shown so far. A measurement that other programs disturb finds
    /// less than the machine can do, so that the largest one counts; `reached` is a measurement, too.
    fn ceiling(&mut self, reached: f64, kernels: &Cpu) -> f64 {
        let (known, measured_at) = match self.ceiling {
            Some((known, at)) if at.elapsed() < TIME_BETWEEN_CEILINGS => (known, at),
            before => {
                let measured = 1e9 * kernels.ceiling_gflops(CEILING_MILLISECONDS);
                (before.map_or(measured, |(known, _)| known.max(measured)), Instant::now())
            }
        };
        let known = known.max(reached);
        self.ceiling = Some((known, measured_at));
        known
    }

    /// Leaves out the time since the last step, which went to something else.
    pub fn pause(&mut self) {
        let now = Instant::now();
        if let Some(last) = self.steps.back().map(|step| step.at) {
            let gap = now - last;
            self.steps.iter_mut().for_each(|step| step.at += gap);
        }
    }
}
