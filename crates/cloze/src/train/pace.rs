//! How fast a run goes, and how long it still takes.

use std::collections::VecDeque;
use std::time::Instant;

/// Steps that the speed is measured over.
const WINDOW: usize = 50;

pub(super) struct Pace {
    /// When each of the last steps ended, and its tokens.
    steps: VecDeque<(Instant, usize)>,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { steps: VecDeque::from([(Instant::now(), 0)]) }
    }

    /// Notes the end of a step; gives tokens per second and the seconds that `steps_left` take.
    pub fn step(&mut self, tokens: usize, steps_left: u64) -> (f64, f64) {
        self.steps.push_back((Instant::now(), tokens));
        if self.steps.len() > WINDOW + 1 {
            self.steps.pop_front();
        }
        let (first, last) = (self.steps[0].0, self.steps[self.steps.len() - 1].0);
        let seconds = (last - first).as_secs_f64().max(1e-9);
        let tokens: usize = self.steps.iter().skip(1).map(|(_, tokens)| tokens).sum();
        let seconds_left = seconds / (self.steps.len() - 1) as f64 * steps_left as f64;
        (tokens as f64 / seconds, seconds_left)
    }

    /// Leaves out the time since the last step, which went to something else.
    pub fn pause(&mut self) {
        let now = Instant::now();
        if let Some((last, _)) = self.steps.back().copied() {
            let gap = now - last;
            self.steps.iter_mut().for_each(|(at, _)| *at += gap);
        }
    }
}
