//! Steps of a run, which may change on the way, with the rates and phases that follow from them.

use std::path::Path;

use crate::Error;
use crate::optim::Schedule;
use crate::settings::{Phase, Replan, phase_ends};

/// Steps of a run from its first plan and all replans.
///
/// A replan leaves what is done as it is, and stretches what is left: the rate begins at the value it has, and reaches its
/// end at the new last step. The phases that have ended keep their steps; the others end at their shares of the new number.
pub(super) struct Course {
    /// Rates of the first plan.
    schedule: Schedule,
    phases: Vec<Phase>,
    replans: Vec<Replan>,
}

impl Course {
    /// A course from what is stored in the file at `path`.
    ///
    /// # Errors
    /// If the replans are not in order, or end a run that has already ended.
    pub fn new(schedule: Schedule, phases: Vec<Phase>, replans: &[Replan], path: &Path) -> Result<Course, Error> {
        let mut course = Course { schedule, phases, replans: Vec::new() };
        for &replan in replans {
            let Replan { step, steps } = replan;
            if step <= course.last_replan() || step >= course.steps(step) || steps <= step {
                let message =
                    format!("`replans` has {steps} steps from step {step} on, which cannot be; restore the file");
                return Err(Error::Data { path: path.to_path_buf(), line: None, message });
            }
            course.replans.push(replan);
        }
        Ok(course)
    }

    /// Steps of the whole run, as planned after `step` of them.
    pub fn steps(&self, step: u64) -> u64 {
        self.before(step).last().map_or(self.schedule.total_steps, |replan| replan.steps)
    }

    /// The step after which the number has changed last; 0 if it never has.
    pub fn last_replan(&self) -> u64 {
        self.replans.last().map_or(0, |replan| replan.step)
    }

    /// Adds a replan, later than all before.
    pub fn replan(&mut self, replan: Replan) {
        assert!(replan.step > self.last_replan() && replan.steps > replan.step, "{replan:?} after {:?}", self.replans);
        self.replans.push(replan);
    }

    /// The rate of the step after `step`.
    pub fn rate(&self, step: u64) -> f64 {
        self.schedule.rate_at(self.place(step))
    }

    /// The step at which each phase ends, as planned after `step`.
    pub fn phase_ends(&self, step: u64) -> Vec<u64> {
        let first = phase_ends(&self.phases, self.schedule.total_steps);
        self.before(step).fold(first, |ends, replan| self.moved(ends, *replan))
    }

    /// The step at which each phase would end after this replan.
    pub fn phase_ends_after(&self, replan: Replan) -> Vec<u64> {
        self.moved(self.phase_ends(replan.step), replan)
    }

    fn moved(&self, ends: Vec<u64>, Replan { step, steps }: Replan) -> Vec<u64> {
        let new = phase_ends(&self.phases, steps);
        ends.into_iter().zip(new).map(|(end, new)| if end <= step { end } else { new.max(step) }).collect()
    }

    /// Place on the first plan that `step` has come to: a straight line from replan to replan.
    fn place(&self, step: u64) -> f64 {
        let total = self.schedule.total_steps as f64;
        let (mut place, mut from, mut steps) = (0.0, 0, self.schedule.total_steps);
        let further = |place: f64, from: u64, steps: u64, to: u64| match from {
            0 => to as f64,
            _ => place + (total - place) * (to - from) as f64 / (steps - from) as f64,
        };
        for replan in self.before(step) {
            place = further(place, from, steps, replan.step);
            (from, steps) = (replan.step, replan.steps);
        }
        further(place, from, steps, step)
    }

    fn before(&self, step: u64) -> impl Iterator<Item = &Replan> {
        self.replans.iter().filter(move |replan| replan.step <= step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Decay, OptimizerKind};

    fn schedule(decay: Decay) -> Schedule {
        Schedule { peak: 1.0, warmup_steps: 10, total_steps: 100, kind: OptimizerKind::AdamW, decay }
    }

    fn course(replans: &[(u64, u64)]) -> Result<Course, Error> {
        let phases = [(64, 0.8), (128, 0.2)].map(|(max_seq_length, share)| Phase { max_seq_length, share });
        let replans: Vec<Replan> = replans.iter().map(|&(step, steps)| Replan { step, steps }).collect();
        Course::new(schedule(Decay::Linear), phases.to_vec(), &replans, Path::new("cloze.json"))
    }

    #[test]
    fn a_course_without_replans_is_the_schedule() {
        let course = course(&[]).unwrap();
        for step in 0..=100 {
            assert_eq!(course.rate(step).to_bits(), schedule(Decay::Linear).rate(step).to_bits());
            assert_eq!((course.steps(step), course.phase_ends(step)), (100, vec![80, 100]));
        }
    }

    #[test]
    fn the_rate_goes_on_from_where_it_is_and_ends_at_zero() {
        for replans in [&[(5, 50)][..], &[(40, 60)], &[(40, 300)], &[(40, 60), (50, 200), (190, 191)]] {
            let course = course(replans).unwrap();
            let steps = course.steps(u64::MAX);
            assert_eq!(course.rate(steps), 0.0, "{replans:?}");
            for &(step, _) in replans {
                // What the rate would have been without the replan.
                let before: Vec<_> = replans.iter().copied().filter(|&(own, _)| own < step).collect();
                assert_eq!(course.rate(step), self::course(&before).unwrap().rate(step), "{replans:?}");
            }
            for step in 10..steps {
                assert!(course.rate(step) >= course.rate(step + 1), "{replans:?} at {step}");
            }
        }
        let slower = course(&[(40, 60)]).unwrap();
        assert!((slower.rate(50) - slower.rate(40) / 2.0).abs() < 1e-12, "half of what is left");
    }

    #[test]
    fn phases_never_go_back_and_share_out_what_is_left() {
        let ends = |replans: &[(u64, u64)]| course(replans).unwrap().phase_ends(u64::MAX);
        assert_eq!(ends(&[(40, 60)]), [48, 60]);
        assert_eq!(ends(&[(40, 300)]), [240, 300]);
        assert_eq!(ends(&[(70, 80)]), [70, 80], "its share of the steps is over");
        assert_eq!(ends(&[(90, 500)]), [80, 500], "the first phase has ended");
        assert_eq!(ends(&[(80, 200)]), [80, 200], "it ends just here");
        let course = course(&[(40, 60)]).unwrap();
        assert_eq!(course.phase_ends(39), [80, 100]);
        assert_eq!((course.steps(39), course.steps(40)), (100, 60));
        assert_eq!(course.phase_ends_after(Replan { step: 45, steps: 50 }), [45, 50]);
    }

    #[test]
    fn replans_that_cannot_be_are_an_error() {
        for replans in [&[(0, 50)][..], &[(40, 40)], &[(100, 200)], &[(40, 60), (40, 70)], &[(40, 60), (60, 70)]] {
            let message = course(replans).err().unwrap().to_string();
            assert!(message.contains("cloze.json") && message.contains("`replans`"), "{message}");
        }
    }
}
