//! Time of a run that was asked for a time: what its parts cost, and how many steps fit.
//!
//! Nothing here looks at a clock. Times are seconds, and all come from outside.

use crate::settings::Replan;

use super::course::Course;

/// Share of the time left after which the number of steps is looked at again: some twenty times a run, more often towards
/// its end, and at the end of each phase.
const BETWEEN_REPLANS: f64 = 0.2;
/// The least time between two of them, and the error of the end that is let be: shares of the time asked for.
const BETWEEN_REPLANS_MIN: f64 = 0.01;
const TOLERANCE: f64 = 0.005;
/// The least number of steps that a speed is measured over.
const STEPS_TIMED: u64 = 8;
/// The number of evaluations of a run, unless another is asked for, and the share of the time that they may take.
const EVALUATIONS: u64 = 10;
const EVALUATING: f64 = 0.25;
/// An evaluation's forward pass to a whole step, until one was measured.
const FORWARD: f64 = 1.0 / 3.0;

/// Cost of a batch of a phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Operations of a step.
    pub operations: f64,
    /// Evaluated tokens to those of a batch.
    pub batches_evaluated: f64,
}

/// Costs of the parts of a run, as measured so far.
pub(super) struct Timing {
    /// Seconds that were asked for.
    pub asked: f64,
    /// Work of each phase.
    work: Vec<Work>,
    /// Steps between evaluations, once they are known.
    pub eval_steps: Option<u64>,
    /// The number of evaluations until then.
    evaluations: u64,
    /// Steps between checkpoints, if they were asked for.
    save_steps: Option<u64>,
    /// The phase that the run is in, once it is in one.
    phase: Option<usize>,
    seconds_of_operation: Option<f64>,
    /// Seconds and number of the steps since the last look at the number of steps.
    steps: (f64, u64),
    /// An evaluation to a step on as many tokens.
    evaluation: f64,
    /// Seconds of a checkpoint, and of the start of a phase.
    checkpoint: f64,
    start: f64,
    /// Seconds after which the number of steps is looked at again.
    next: f64,
}

impl Timing {
    /// Times of a run of `asked` seconds, of which some are `spent` already.
    pub fn new(asked: f64, spent: f64, work: Vec<Work>, eval_steps: Option<u64>, save_steps: Option<u64>) -> Timing {
        let mut timing = Timing {
            asked,
            work,
            eval_steps,
            evaluations: EVALUATIONS,
            save_steps,
            phase: None,
            seconds_of_operation: None,
            steps: (0.0, 0),
            evaluation: FORWARD,
            checkpoint: 0.0,
            start: 0.0,
            next: 0.0,
        };
        timing.plan_next_look(spent);
        timing
    }

    /// Notes what a step of the first phase takes, before the run has begun.
    pub fn tried(&mut self, seconds: f64) {
        self.seconds_of_operation = Some(seconds / self.work[0].operations);
    }

    /// Notes the start of a phase.
    pub fn started(&mut self, phase: usize, seconds: f64) {
        self.measure();
        (self.phase, self.steps, self.start) = (Some(phase), (0.0, 0), seconds);
    }

    /// Notes a step.
    pub fn stepped(&mut self, seconds: f64) {
        self.steps.0 += seconds;
        self.steps.1 += 1;
    }

    /// Notes an evaluation. What it costs is kept by the time of the steps before it, and goes with the speed of the machine.
    pub fn evaluated(&mut self, seconds: f64) {
        let phase = self.phase.unwrap_or_default();
        let step = match self.steps {
            (seconds, steps) if steps >= STEPS_TIMED => Some(seconds / steps as f64),
            _ => self.seconds_of_step(phase),
        };
        if let Some(step) = step {
            self.evaluation = seconds / (step * self.work[phase].batches_evaluated);
        }
    }

    /// Notes a checkpoint.
    pub fn saved(&mut self, seconds: f64) {
        self.checkpoint = seconds;
    }

    /// The number of steps that fits into the whole time, of which some is spent, and the steps between evaluations; none
    /// if none fits.
    pub fn first_plan(&mut self, spent: f64, ends: impl Fn(u64) -> Vec<u64>) -> Option<(u64, u64)> {
        let left = self.asked - spent;
        let most = (EVALUATING * left / self.seconds_of_evaluation(0)) as u64;
        self.evaluations = most.clamp(1, EVALUATIONS);
        let steps = self.most_steps(0, left, &ends);
        let every = self.eval_steps.unwrap_or(steps.div_ceil(self.evaluations));
        (self.seconds_left(0, &ends(steps)) <= left).then_some((steps, every))
    }

    /// Another number of steps after `step` of them, if the time is to be met and the number is due to be looked at.
    pub fn replan(&mut self, spent: f64, step: u64, course: &Course) -> Option<Replan> {
        let now = course.phase_ends(step);
        // A phase that has ended cannot be made longer.
        let is_due = spent >= self.next || now.contains(&(step + 1));
        let is_repeated = step == course.last_replan();
        if step < course.last_replan() || !(is_due || is_repeated) {
            return None;
        }
        self.plan_next_look(spent);
        self.measure();
        self.seconds_of_operation?;
        let left = self.asked - spent;
        if is_repeated || (self.seconds_left(step, &now) - left).abs() < TOLERANCE * self.asked {
            return None;
        }
        let ends = |steps| course.phase_ends_after(Replan { step, steps });
        let steps = self.most_steps(step, left, &ends);
        (steps != course.steps(step)).then_some(Replan { step, steps })
    }

    fn plan_next_look(&mut self, spent: f64) {
        let left = self.asked - spent;
        self.next = spent + (BETWEEN_REPLANS * left).max(BETWEEN_REPLANS_MIN * self.asked);
    }

    /// Takes the speed from the steps noted last, if they are enough, and forgets them.
    fn measure(&mut self) {
        let Some(phase) = self.phase else { return };
        if let (seconds, steps @ STEPS_TIMED..) = self.steps {
            self.seconds_of_operation = Some(seconds / (steps as f64 * self.work[phase].operations));
            self.steps = (0.0, 0);
        }
    }

    /// Seconds of an evaluation in a phase.
    pub fn seconds_of_evaluation(&self, phase: usize) -> f64 {
        let step = self.seconds_of_step(phase).unwrap_or_default();
        self.evaluation * self.work[phase].batches_evaluated * step
    }

    fn seconds_of_step(&self, phase: usize) -> Option<f64> {
        Some(self.seconds_of_operation? * self.work[phase].operations)
    }

    /// Seconds from `step` to the end of a run whose phases end so.
    fn seconds_left(&self, step: u64, ends: &[u64]) -> f64 {
        let steps = ends.last().copied().unwrap_or_default();
        let every = self.eval_steps.unwrap_or(steps.div_ceil(self.evaluations)).max(1);
        // The result takes as long as a checkpoint, and some are written between evaluations.
        let mut seconds = self.checkpoint;
        seconds += self.checkpoint * self.save_steps.map_or(0, |every| (steps - step) / every.max(1)) as f64;
        let mut from = step;
        for (phase, &end) in ends.iter().enumerate().filter(|(_, end)| **end > step) {
            let own = self.seconds_of_step(phase).unwrap_or_default();
            if self.phase.is_none_or(|now| phase > now) && end > from {
                seconds += self.start;
            }
            seconds += (end - from) as f64 * own;
            if self.work[phase].batches_evaluated > 0.0 {
                let last = u64::from(end == steps && !steps.is_multiple_of(every));
                let evaluations = end / every - from / every + last;
                seconds += evaluations as f64 * (self.seconds_of_evaluation(phase) + self.checkpoint);
            }
            from = end;
        }
        seconds
    }

    /// The largest number of steps in all whose rest after `step` fits into the time left; a step is always done.
    fn most_steps(&self, step: u64, left: f64, ends: &dyn Fn(u64) -> Vec<u64>) -> u64 {
        const MOST: u64 = 1 << 40;
        let fits = |more: u64| self.seconds_left(step, &ends(step + more)) <= left;
        let mut more = 1;
        while more < MOST && fits(2 * more) {
            more *= 2;
        }
        // `more` fits, or is 1, and twice as many do not.
        let mut too_many = 2 * more;
        while too_many - more > 1 {
            let middle = more + (too_many - more) / 2;
            if fits(middle) {
                more = middle;
            } else {
                too_many = middle;
            }
        }
        step + more
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::optim::{Decay, OptimizerKind, Schedule};
    use crate::settings::Phase;

    const PHASES: [Phase; 2] = [Phase { max_seq_length: 64, share: 0.8 }, Phase { max_seq_length: 128, share: 0.2 }];

    fn course(total_steps: u64) -> Course {
        let (kind, decay) = (OptimizerKind::AdamW, Decay::Linear);
        let schedule = Schedule { peak: 1.0, warmup_steps: 0, total_steps, kind, decay };
        Course::new(schedule, PHASES.to_vec(), &[], Path::new("cloze.json")).unwrap()
    }

    fn work() -> Vec<Work> {
        [1e6, 2.2e6].map(|operations| Work { operations, batches_evaluated: 30.0 }).to_vec()
    }

    /// A machine that is as slow as `slowness` says at each time, and what a run of `asked` seconds does on it.
    fn run(asked: f64, slowness: impl Fn(f64) -> f64, evaluation: f64, checkpoint: f64) -> (f64, u64, Vec<u64>, usize) {
        const STEP: f64 = 0.02;
        let mut clock = 3.0;
        let mut timing = Timing::new(asked, clock, work(), None, None);
        timing.tried(STEP * slowness(clock));
        let (first, every) = timing.first_plan(clock, |steps| course(steps).phase_ends(0)).unwrap();
        let mut course = course(first);
        timing.eval_steps = Some(every);
        let (mut step, mut phase, mut replans, mut in_phases) = (0, None, 0, vec![0, 0]);
        while step < course.steps(step) {
            let now = course.phase_ends(step).iter().position(|&end| step < end);
            if phase != now {
                assert!(now > phase, "a phase came back");
                phase = now;
                clock += 1.0;
                timing.started(now.unwrap(), 1.0);
            }
            // The longer sequences take a little more than their operations say.
            let seconds = STEP * slowness(clock) * [1.0, 2.4][now.unwrap()];
            clock += seconds;
            step += 1;
            in_phases[now.unwrap()] += 1;
            timing.stepped(seconds);
            if step.is_multiple_of(every) || step == course.steps(step) {
                let seconds = evaluation * slowness(clock);
                clock += seconds + checkpoint;
                timing.evaluated(seconds);
                timing.saved(checkpoint);
            }
            if let Some(replan) = timing.replan(clock, step, &course) {
                course.replan(replan);
                replans += 1;
            }
        }
        (clock + checkpoint, step, in_phases, replans)
    }

    #[test]
    fn a_run_ends_in_time_whatever_becomes_of_the_machine() {
        let asked = 600.0;
        let slower_from = |share: f64| move |clock: f64| if clock > share * asked { 2.0 } else { 1.0 };
        let cases: [(&str, &dyn Fn(f64) -> f64); 8] = [
            ("steady", &|_| 1.0),
            ("slower from the start", &|clock| if clock > 5.0 { 2.0 } else { 1.0 }),
            ("slower half way", &slower_from(0.5)),
            ("slower in the last phase", &slower_from(0.8)),
            ("slower near the end", &slower_from(0.93)),
            ("faster half way", &|clock| if clock > 300.0 { 0.5 } else { 1.0 }),
            ("a disturbance", &|clock| if (200.0..400.0).contains(&clock) { 3.0 } else { 1.0 }),
            ("up and down", &|clock| 1.5 + (clock / 20.0).sin() / 2.0),
        ];
        for (name, slowness) in cases {
            for (evaluation, checkpoint) in [(0.2, 0.1), (6.0, 3.0)] {
                let (seconds, steps, in_phases, replans) = run(asked, slowness, evaluation, checkpoint);
                let share = in_phases[1] as f64 / steps as f64;
                assert!((seconds / asked - 1.0).abs() < 0.03, "{name}: {seconds:.0} s");
                assert!((0.1..0.35).contains(&share), "{name}: {share:.2} of the steps in the last phase");
                assert!(replans <= 25, "{name}: {replans}");
            }
        }
    }

    #[test]
    fn a_steady_run_keeps_its_number_of_steps() {
        let mut timing = Timing::new(100.0, 0.0, work(), Some(100), None);
        timing.tried(0.02);
        let (steps, _) = timing.first_plan(0.0, |steps| course(steps).phase_ends(0)).unwrap();
        let course = course(steps);
        let mut clock = 0.0;
        let first = course.phase_ends(0)[0];
        timing.started(0, 0.0);
        for step in 1..=steps {
            // The longer sequences take as much more as their operations say.
            let seconds = if step <= first { 0.02 } else { 0.02 * 2.2 };
            clock += seconds;
            timing.stepped(seconds);
            if step.is_multiple_of(100) || step == steps {
                // Thirty batches of a third of a step.
                clock += 10.0 * seconds;
                timing.evaluated(10.0 * seconds);
            }
            assert_eq!(timing.replan(clock, step, &course), None, "after step {step} of {steps}");
            if step == first {
                timing.started(1, 0.0);
            }
        }
        assert!((99.5..=100.0).contains(&clock), "{clock:.2} s");
    }

    #[test]
    fn time_that_is_over_leaves_one_step() {
        let mut timing = Timing::new(10.0, 0.0, work(), None, None);
        timing.tried(0.02);
        let course = course(400);
        assert_eq!(timing.replan(11.0, 200, &course), Some(Replan { step: 200, steps: 201 }));
        let mut timing = Timing::new(0.01, 0.0, work(), None, None);
        timing.tried(0.02);
        assert!(timing.first_plan(0.02, |steps| self::course(steps).phase_ends(0)).is_none());
    }

    #[test]
    fn evaluations_take_a_share_of_the_time() {
        let plan = |asked: f64| {
            let mut timing = Timing::new(asked, 0.0, work(), None, None);
            timing.tried(0.02);
            let (steps, every) = timing.first_plan(0.0, |steps| course(steps).phase_ends(0)).unwrap();
            steps.div_ceil(every)
        };
        // Each takes 0.2 seconds at first.
        assert_eq!((plan(100.0), plan(4.0), plan(1.0)), (10, 5, 1));
    }

    #[test]
    fn a_resumed_run_replans_no_sooner_than_it_knows_its_speed() {
        let mut timing = Timing::new(100.0, 50.0, work(), None, None);
        let course = course(1_000);
        timing.started(0, 1.0);
        assert_eq!(timing.replan(70.0, 500, &course), None, "nothing is measured");
        for _ in 0..STEPS_TIMED {
            timing.stepped(0.02);
        }
        assert!(timing.replan(90.0, 500 + STEPS_TIMED, &course).is_some());
    }
}
