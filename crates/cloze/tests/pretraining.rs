//! Pre-training: phases, budgets, instances from files, optimizers; stopped anywhere and started again.

#[path = "common/world.rs"]
mod world;

use std::fs;
use std::ops::ControlFlow;

use cloze::data::google::{InstanceOptions, PythonRandom, create_instances, read_documents, write_instances};
use cloze::optim::{OptimizerKind, OptimizerSettings};
use cloze::settings::{Budget, Phase, PretrainSettings, StoredSettings};
use cloze::train::{Event, Outcome, RunOptions, pretrain};
use cloze_tokenizer::{Casing, Tokenizer};

use world::{World, ignore, stop_after};

/// Runs to the end: once at a stretch, and stopped after these steps; the weights must be the same.
fn interrupted(world: &World, settings: &PretrainSettings, stops: &[u64]) {
    pretrain(settings, &world.options("whole", 1), &mut ignore).unwrap();
    for &step in stops {
        let outcome = pretrain(settings, &world.options("parts", 2), &mut stop_after(step)).unwrap();
        assert_eq!(outcome, Outcome::Stopped { step });
    }
    pretrain(settings, &world.options("parts", 1), &mut ignore).unwrap();
    assert!(world.weights("whole") == world.weights("parts"), "other weights after stops at {stops:?}");
}

/// The number of steps that a run says it has when it begins; it is stopped after the first.
fn steps(settings: &PretrainSettings, options: &RunOptions) -> u64 {
    let mut found = 0;
    let mut stop = |event: &Event| match event {
        Event::Started { steps, .. } => {
            found = *steps;
            ControlFlow::Continue(())
        }
        Event::Step(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    pretrain(settings, options, &mut stop).unwrap();
    found
}

#[test]
fn phases_have_lengths_of_their_own_and_go_on_anywhere() {
    let world = World::new();
    let phase = |max_seq_length, share| Phase { max_seq_length, share };
    let settings = PretrainSettings { phases: vec![phase(12, 0.5), phase(24, 0.5)], ..world.pretraining() };
    interrupted(&world, &settings, &[3, 6, 7]);
    // Both phases read on where the other has stopped to count: four documents of the 24 are longer than a sequence.
    let epochs = |run: &str| -> Vec<(u64, f64)> {
        let state = fs::read_to_string(world.path(run).join("trainer_state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let entries = state["log_history"].as_array().unwrap().iter().filter(|entry| entry.get("loss").is_some());
        entries.map(|entry| (entry["step"].as_u64().unwrap(), entry["epoch"].as_f64().unwrap())).collect()
    };
    let whole = epochs("whole");
    assert_eq!(whole, epochs("parts"));
    assert_eq!(whole.len(), 12);
    let mut of_a_step: Vec<f64> = whole.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    of_a_step.insert(0, whole[0].1);
    for steps in [&of_a_step[..6], &of_a_step[6..]] {
        // A batch of 32 reads the same share of the instances of its phase, but for epochs of another number of them.
        assert!(steps.iter().all(|step| (step / steps[1] - 1.0).abs() < 0.2), "{of_a_step:?}");
    }
    assert_eq!(StoredSettings::read(&world.path("whole")).unwrap().max_seq_length, Some(24));

    let settings = PretrainSettings { phases: vec![phase(24, 0.5)], ..world.pretraining() };
    let error = pretrain(&settings, &world.options("wrong", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("add up to 1"), "{error}");
}

#[test]
fn epochs_and_tokens_become_steps() {
    let world = World::new();
    let mut settings = world.pretraining();
    settings.dev_fraction = 0.0;
    settings.budget = Budget::Epochs(1.0);
    let epoch = steps(&settings, &world.options("epoch", 1));
    settings.budget = Budget::Epochs(3.5);
    let epochs = steps(&settings, &world.options("epochs", 1));
    assert!(epoch > 1 && (3 * epoch..=4 * epoch).contains(&epochs), "{epoch} steps, {epochs} in 3.5 epochs");
    let stored = StoredSettings::read(&world.path("epochs")).unwrap();
    assert_eq!(stored.run.unwrap().steps, Some(epochs));
    settings.budget = Budget::Tokens(1);
    assert_eq!(steps(&settings, &world.options("token", 1)), 1);
    settings.budget = Budget::Tokens(100_000);
    // 32 sequences of at most 24 tokens.
    assert!((131..=400).contains(&steps(&settings, &world.options("tokens", 1))));
    settings.budget = Budget::Epochs(0.0);
    let error = pretrain(&settings, &world.options("wrong", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("--epochs"), "{error}");
}

#[test]
fn a_time_becomes_steps_that_stay() {
    let world = World::new();
    let mut settings = world.pretraining();
    // A trial of half a second.
    settings.budget = Budget::Seconds(50.0);
    let first = steps(&settings, &world.options("run", 1));
    assert!(first > 1);
    assert_eq!(steps(&settings, &world.options("run", 2)), first);
    // The trial leaves no trace: a run by steps has the same weights.
    settings.budget = Budget::Steps(first);
    steps(&settings, &world.options("by-steps", 1));
    pretrain(&settings, &world.options("by-steps", 2), &mut stop_after(2)).unwrap();
    let weights = |run: &str| fs::read(world.path(run).join("checkpoint-2/model.safetensors")).unwrap();
    assert!(weights("run") == weights("by-steps"));
    settings.budget = Budget::Seconds(1e-3);
    let error = pretrain(&settings, &world.options("short", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("is too short"), "{error}");
    // It has not begun: the next try is a new one, and with --overwrite the run of before is still there.
    let overwrite = RunOptions { overwrite: true, ..world.options("by-steps", 1) };
    let before = fs::read(world.path("by-steps/cloze.json")).unwrap();
    pretrain(&settings, &overwrite, &mut ignore).unwrap_err();
    assert!(before == fs::read(world.path("by-steps/cloze.json")).unwrap());
    assert!(weights("run") == weights("by-steps"));
    settings.budget = Budget::Steps(1);
    pretrain(&settings, &world.options("short", 1), &mut ignore).unwrap();
}

#[test]
fn every_optimizer_and_whole_words_go_on_anywhere() {
    for kind in [OptimizerKind::Lamb, OptimizerKind::AdamW] {
        let world = World::new();
        let mut settings = world.pretraining();
        settings.whole_word = true;
        settings.masked_lm_prob = 0.3;
        settings.update.optimizer = OptimizerSettings::new(kind);
        interrupted(&world, &settings, &[5]);
    }
}

#[test]
fn instances_are_trained_on_in_their_order() {
    let world = World::new();
    let tokenizer = Tokenizer::open_google(&world.path("vocab"), Casing::Uncased).unwrap();
    let mut documents = read_documents(&[world.path("corpus.txt")], &tokenizer).unwrap();
    let options = InstanceOptions { max_seq_length: 24, dupe_factor: 1, ..InstanceOptions::default() };
    let instances =
        create_instances(&mut documents, &tokenizer, &options, &mut PythonRandom::new(1), &mut |_, _| {}).unwrap();
    let (train, dev) = instances.split_at(instances.len() - 10);
    write_instances(&world.path("train.tfrecord"), train, &tokenizer, &options).unwrap();
    write_instances(&world.path("train.jsonl"), train, &tokenizer, &options).unwrap();
    write_instances(&world.path("dev.jsonl"), dev, &tokenizer, &options).unwrap();
    let with = |name: &str| PretrainSettings {
        input: Vec::new(),
        instances: vec![world.path(name)],
        dev: vec![world.path("dev.jsonl")],
        ..world.pretraining()
    };
    interrupted(&world, &with("train.tfrecord"), &[4]);
    pretrain(&with("train.jsonl"), &world.options("lines", 1), &mut ignore).unwrap();
    assert!(world.weights("whole") == world.weights("lines"));

    let short = PretrainSettings { max_seq_length: 20, ..with("train.jsonl") };
    let error = pretrain(&short, &world.options("short", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("give --max-seq-length 24"), "{error}");
}

#[test]
fn as_many_checkpoints_are_kept_as_wanted_and_the_best() {
    let world = World::new();
    let options = RunOptions { keep_checkpoints: 3.try_into().ok(), ..world.options("run", 1) };
    let settings = PretrainSettings { eval_steps: Some(5), ..world.pretraining() };
    pretrain(&settings, &options, &mut ignore).unwrap();
    let mut found: Vec<String> = fs::read_dir(world.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("checkpoint-"))
        .collect();
    found.sort();
    let state = fs::read_to_string(world.path("run/trainer_state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let best = state["best_model_checkpoint"].as_str().unwrap();
    assert!(found.iter().any(|name| name == best), "{best} is not in {found:?}");
    assert!(["checkpoint-12", "checkpoint-9"].iter().all(|name| found.iter().any(|own| own == name)), "{found:?}");
    assert!((3..=4).contains(&found.len()), "{found:?}");
}

#[test]
fn too_little_memory_is_told_before_anything_is_trained() {
    let world = World::new();
    pretrain(&world.pretraining(), &world.options("run", 1), &mut ignore).unwrap();
    let before = world.weights("run");
    let options = RunOptions { max_memory: Some(1 << 20), overwrite: true, ..world.options("run", 1) };
    let error = pretrain(&world.pretraining(), &options, &mut ignore).unwrap_err().to_string();
    assert!(error.contains("a limit of 0.00 GiB is too little"), "{error}");
    assert!(before == world.weights("run"));
}
