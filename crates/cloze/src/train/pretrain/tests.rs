//! Runs by a clock that the tests turn.

#[path = "../../../tests/common/world.rs"]
mod world;

use std::cell::Cell;
use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use super::pretrain_by;
use crate::settings::{Budget, Phase, PretrainSettings, Replan, StoredSettings};
use crate::train::{Event, Outcome, RunOptions};

use world::World;

/// Steps from which the machine is four times slower.
const SLOWER: u64 = 30;

/// Runs on a machine whose steps take 0.02 seconds, later 0.08; stops after `stop`, if that is a step. Gives how it ended,
/// the clock, and number, rate and epoch of each step.
fn run(world: &World, settings: &PretrainSettings, stop: Option<u64>) -> (Outcome, f64, Vec<(u64, f64, f64)>) {
    let clock = Cell::new(0.0);
    let mut steps = Vec::new();
    let mut observer = |event: &Event| {
        let Event::Step(log) = event else { return ControlFlow::Continue(()) };
        steps.push((log.step, log.learning_rate, log.epoch));
        clock.set(clock.get() + if log.step < SLOWER { 0.02 } else { 0.08 });
        if stop == Some(log.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = RunOptions { keep_checkpoints: NonZeroUsize::new(1_000), ..world.options("run", 1) };
    // A trial step takes as long as a look at the clock.
    let now = || {
        clock.set(clock.get() + 0.01);
        clock.get()
    };
    let outcome = pretrain_by(settings, &options, &mut observer, &now).unwrap();
    (outcome, clock.get(), steps)
}

fn replans(world: &World) -> Vec<Replan> {
    StoredSettings::read(&world.path("run")).unwrap().run.unwrap().replans
}

fn settings(world: &World) -> PretrainSettings {
    let mut settings = world.pretraining();
    settings.budget = Budget::Seconds(20.0);
    settings.phases = [(12, 0.8), (24, 0.2)].map(|(max_seq_length, share)| Phase { max_seq_length, share }).to_vec();
    settings.update.batch_size = 4;
    settings.eval_steps = Some(40);
    settings
}

#[test]
fn a_run_that_was_killed_after_a_replan_repeats_its_steps() {
    let world = World::new();
    let settings = settings(&world);
    // Until a replan holds, and some steps more.
    let (_, _, whole) = run(&world, &settings, Some(100));
    let kept = replans(&world);
    assert!(!kept.is_empty() && kept.iter().all(|replan| (4..100).contains(&replan.step)), "{kept:?}");
    let first = kept[0].step;
    let file = |name: &str| fs::read(world.path("run/checkpoint-100").join(name)).unwrap();
    let names = ["model.safetensors", "optimizer.safetensors"];
    let before = names.map(file);
    for _ in 0..2 {
        // What a kill leaves: checkpoints from before the replan, and the replan.
        for step in first..=100 {
            let _ = fs::remove_dir_all(world.path(&format!("run/checkpoint-{step}")));
        }
        let (outcome, _, again) = run(&world, &settings, Some(100));
        assert_eq!(outcome, Outcome::Stopped { step: 100 });
        assert!(again.len() < whole.len() && again[0].0 <= first, "resumed before the replan");
        assert_eq!(again, whole[whole.len() - again.len()..], "step, rate and epoch");
        assert!(before == names.map(file), "other bits");
        assert_eq!(replans(&world), kept);
    }
}

#[test]
fn a_run_that_is_interrupted_takes_the_time_asked_for_in_all() {
    let world = World::new();
    let settings = settings(&world);
    let (outcome, first, _) = run(&world, &settings, Some(120));
    assert_eq!(outcome, Outcome::Stopped { step: 120 });
    let (outcome, second, steps) = run(&world, &settings, None);
    assert!(matches!(outcome, Outcome::Finished(_)));
    let seconds = first + second;
    assert!((19.4..20.6).contains(&seconds), "{seconds:.2} s, {:?}", replans(&world));
    let &(last, rate, _) = steps.last().unwrap();
    assert!(rate < 0.1 * settings.update.learning_rate, "{rate} at the end");
    assert!(steps.windows(2).all(|pair| pair[0].2 < pair[1].2), "epochs go on");
    let run = StoredSettings::read(&world.path("run")).unwrap().run.unwrap();
    assert!(run.finished && run.replans.last().unwrap().steps == last);
    assert!(run.steps.unwrap() > last, "the machine became slower");
}
