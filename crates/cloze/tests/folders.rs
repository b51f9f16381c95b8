//! Output folders of runs: one writer at a time, unfinished or whole, and what becomes of damaged checkpoints.

#[path = "common/world.rs"]
mod world;

use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use cloze::settings::{FinetuneSettings, PretrainSettings, Start, StoredSettings};
use cloze::train::{Event, Outcome, RunOptions, finetune, finetune_seeds, pretrain};
use cloze::{Error, Model, folder};
use sha2::{Digest, Sha256};

use world::{World, ignore, stop_after};

/// Runs a fine-tuning that dies in the middle of a step.
fn die(world: &World, settings: &FinetuneSettings, options: &RunOptions, at: u64) {
    let mut observer = |event: &Event| match event {
        Event::Step(log) if log.step == at => panic!("killed"),
        _ => ControlFlow::Continue(()),
    };
    assert!(catch_unwind(AssertUnwindSafe(|| finetune(settings, options, &mut observer))).is_err());
    assert!(world.path("run").exists());
}

/// Collects the notes of a run.
fn notes(run: impl FnOnce(&mut dyn FnMut(&Event) -> ControlFlow<()>)) -> Vec<String> {
    let mut notes = Vec::new();
    run(&mut |event: &Event| {
        if let Event::Note(note) = event {
            notes.push(note.clone());
        }
        ControlFlow::Continue(())
    });
    notes
}

#[test]
fn a_folder_has_one_run_at_a_time() {
    let world = World::new();
    let settings = world.pretraining();
    let mut refused = 0;
    let mut try_again = |event: &Event| {
        if let Event::Step(_) = event {
            let options = RunOptions { overwrite: true, ..world.options("run", 1) };
            let error = pretrain(&settings, &options, &mut ignore).unwrap_err();
            assert!(matches!(error, Error::Busy { .. }), "{error}");
            assert!(error.to_string().contains("another cloze (cloze pretrain, process"), "{error}");
            refused += 1;
        }
        ControlFlow::Continue(())
    };
    pretrain(&settings, &world.options("run", 1), &mut try_again).unwrap();
    assert_eq!(refused, 12);
    Model::open(world.path("run")).unwrap();
}

#[test]
fn an_unfinished_run_is_refused_and_a_finished_one_lists_its_files() {
    let world = World::new();
    let settings = world.finetuning();
    finetune(&settings, &world.options("run", 1), &mut stop_after(4)).unwrap();
    let error = Model::open(world.path("run")).err().unwrap();
    assert!(matches!(error, Error::Unfinished { .. }), "{error}");
    assert!(error.to_string().contains("`cloze finetune`"), "{error}");
    Model::open(world.path("run/checkpoint-4")).unwrap();
    // A run of version 0.1 has no marker, but is known from its settings.
    fs::rename(world.path("run/cloze.unfinished"), world.path("marker")).unwrap();
    assert!(matches!(Model::open(world.path("run")), Err(Error::Unfinished { .. })));
    fs::rename(world.path("marker"), world.path("run/cloze.unfinished")).unwrap();

    finetune(&settings, &world.options("run", 1), &mut ignore).unwrap();
    let model = Model::open(world.path("run")).unwrap();
    assert_eq!(model.load_report().changed, Vec::<String>::new());
    let files = StoredSettings::read(&world.path("run")).unwrap().files.unwrap();
    for name in ["model.safetensors", "config.json", "tokenizer.json", "evaluation.json"] {
        assert!(files.contains_key(name), "{name}: {:?}", files.keys());
    }
    assert_eq!(folder::verify(&world.path("run")).unwrap(), (files.len(), Vec::new()));
    let left = fs::read_dir(world.path("run")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.ends_with(".tmp") && !name.starts_with("cloze.") || name == "cloze.json"));

    // People edit and save over; that is told, and no error.
    let config = fs::read_to_string(world.path("run/config.json")).unwrap();
    fs::write(world.path("run/config.json"), format!("{config} ")).unwrap();
    let changed = Model::open(world.path("run")).unwrap().load_report().changed.clone();
    assert!(changed.len() == 1 && changed[0].starts_with("config.json has"), "{changed:?}");
    let mut weights = world.weights("run");
    *weights.last_mut().unwrap() ^= 1;
    fs::write(world.path("run/model.safetensors"), weights).unwrap();
    assert_eq!(folder::verify(&world.path("run")).unwrap().1.len(), 2);
}

#[test]
fn a_run_that_is_killed_while_it_replaces_a_model_leaves_no_mixture() {
    let world = World::new();
    let settings = world.finetuning();
    finetune(&settings, &world.options("run", 1), &mut ignore).unwrap();
    let mut other = settings.clone();
    other.update.seed = 2;
    let options = RunOptions { overwrite: true, ..world.options("run", 1) };
    die(&world, &other, &options, 2);
    assert!(matches!(Model::open(world.path("run")), Err(Error::Unfinished { .. })));
    for name in ["model.safetensors", "config.json", "evaluation.json", "README.md"] {
        assert!(!world.path("run").join(name).exists(), "{name} is of the model before");
    }
    finetune(&other, &world.options("run", 1), &mut ignore).unwrap();
    finetune(&other, &world.options("whole", 1), &mut ignore).unwrap();
    assert!(world.weights("run") == world.weights("whole"));
}

#[test]
fn a_folder_in_which_nothing_was_computed_is_no_run() {
    let world = World::new();
    let settings = world.finetuning();
    die(&world, &settings, &world.options("run", 1), 1);
    let mut mended = settings.clone();
    mended.update.learning_rate = 5e-3;
    assert!(matches!(finetune(&mended, &world.options("run", 1), &mut ignore).unwrap(), Outcome::Finished(_)));
    // Now something was: other settings are refused, and what makes it longer is named.
    let longer = FinetuneSettings { epochs: 9, ..mended };
    let error = finetune(&longer, &world.options("run", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("epochs = 3, now it is 9") && error.contains("--model"), "{error}");
    let error = pretrain(&world.pretraining(), &world.options("run", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("holds a run of `cloze finetune`, not of `cloze pretrain`"), "{error}");
    assert!(error.len() < 300, "{error}");
}

#[test]
fn a_run_does_not_replace_the_model_that_it_starts_from() {
    let world = World::new();
    finetune(&world.finetuning(), &world.options("run", 1), &mut ignore).unwrap();
    let settings = FinetuneSettings { start: Start::Model(world.path("run")), ..world.finetuning() };
    let options = RunOptions { overwrite: true, ..world.options("run", 1) };
    let error = finetune(&settings, &options, &mut ignore).unwrap_err().to_string();
    assert!(error.contains("the model that the run starts from"), "{error}");
    Model::open(world.path("run")).unwrap();
}

#[test]
fn other_parts_of_a_batch_and_other_spellings_of_paths_go_on() {
    let world = World::new();
    let settings = world.finetuning();
    finetune(&settings, &world.options("whole", 1), &mut ignore).unwrap();
    finetune(&settings, &world.options("run", 1), &mut stop_after(4)).unwrap();
    let mut other = settings.clone();
    other.update.accumulate = 3;
    let spelt = |path: &PathBuf| path.parent().unwrap().join("run/..").join(path.file_name().unwrap());
    (other.train, other.tokenizer) = (spelt(&settings.train), settings.tokenizer.as_ref().map(spelt));
    // The same examples in another file.
    fs::copy(world.path("dev.tsv"), world.path("copy.tsv")).unwrap();
    other.dev = Some(world.path("copy.tsv"));
    finetune(&other, &world.options("run", 1), &mut ignore).unwrap();
    assert!(world.weights("run") == world.weights("whole"));
    // Other examples are named.
    finetune(&settings, &world.options("again", 1), &mut stop_after(4)).unwrap();
    fs::write(world.path("copy.tsv"), "text\tlabel\nthe cat\tred\n").unwrap();
    let error = finetune(&other, &world.options("again", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("dev = ") && error.contains("copy.tsv has other contents"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_not_what_is_kept() {
    let world = World::new();
    // Without evaluations there is no best checkpoint, which would be kept, too.
    let settings = PretrainSettings { dev_fraction: 0.0, ..world.pretraining() };
    pretrain(&settings, &world.options("whole", 1), &mut ignore).unwrap();
    let options = RunOptions { save_steps: Some(1), ..world.options("run", 1) };
    pretrain(&settings, &options, &mut stop_after(5)).unwrap();
    let damage = |step: u64| {
        let path = world.path(&format!("run/checkpoint-{step}/model.safetensors"));
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    damage(5);
    // Step 5 is computed again, and replaces the damaged one; with it, 4 is the second that is kept.
    pretrain(&settings, &options, &mut stop_after(5)).unwrap();
    damage(5);
    let rare = RunOptions { save_steps: Some(7), ..options };
    pretrain(&settings, &rare, &mut stop_after(7)).unwrap();
    let left = |step: u64| world.path(&format!("run/checkpoint-{step}")).exists();
    assert!(left(4) && !left(5) && left(7), "the sound ones are kept");
    pretrain(&settings, &rare, &mut ignore).unwrap();
    assert!(world.weights("run") == world.weights("whole"));
}

/// Rewrites a checkpoint as versions wrote it that stored the loss of the best evaluation in the log alone.
fn make_older(checkpoint: &std::path::Path) {
    let path = checkpoint.join("run_state.json");
    let mut state: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    state.as_object_mut().unwrap().remove("best_loss").unwrap();
    let text = state.to_string();
    let sum: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, text).unwrap();
    let path = checkpoint.join("SHA256SUMS");
    let sums = fs::read_to_string(&path).unwrap();
    let own =
        |line: &str| if line.ends_with("  run_state.json") { format!("{sum}  run_state.json") } else { line.into() };
    let sums: Vec<String> = sums.lines().map(own).collect();
    fs::write(&path, sums.join("\n") + "\n").unwrap();
}

/// F1 of two versions that stands for different thresholds is not compared.
#[test]
fn a_run_on_several_labels_of_an_older_version_is_not_resumed() {
    let world = World::new();
    for (metric, is_refused) in [(None, true), (Some("loss".to_string()), false)] {
        let task = cloze::settings::FinetuneTask::MultiLabel;
        let settings = FinetuneSettings { task, metric, eval_steps: Some(1), epochs: 2, ..world.finetuning() };
        let output = if is_refused { "f1" } else { "loss" };
        let options = world.options(output, 1);
        finetune(&settings, &options, &mut stop_after(2)).unwrap();
        make_older(&world.path(&format!("{output}/checkpoint-2")));
        let result = finetune(&settings, &options, &mut ignore);
        match is_refused {
            false => drop(result.unwrap()),
            true => {
                let message = result.unwrap_err().to_string();
                assert!(message.contains("older version") && message.contains("--overwrite"), "{message}");
                let options = RunOptions { overwrite: true, ..options };
                finetune(&settings, &options, &mut ignore).unwrap();
            }
        }
    }
}

#[test]
fn a_resumed_run_chooses_the_same_of_equal_evaluations() {
    let world = World::new();
    // The rate is too low for other answers: all metrics are equal, and only losses differ.
    let mut settings = FinetuneSettings { eval_steps: Some(1), epochs: 2, ..world.finetuning() };
    settings.update.learning_rate = 1e-5;
    let states = |output: &str| {
        let read = |name: &str| fs::read_to_string(world.path(&format!("{output}/{name}"))).unwrap();
        let [trainer, own] = ["trainer_state.json", "run_state.json"].map(read);
        let trainer: serde_json::Value = serde_json::from_str(&trainer).unwrap();
        let own: serde_json::Value = serde_json::from_str(&own).unwrap();
        (trainer["best_global_step"].clone(), trainer["best_metric"].clone(), own["best_loss"].clone())
    };
    // With most seeds the first loss is not the lowest; one of these will do.
    let is_later = (1..=9).any(|seed| {
        settings.update.seed = seed;
        let options = RunOptions { overwrite: true, ..world.options("whole", 1) };
        finetune(&settings, &options, &mut ignore).unwrap();
        states("whole").0.as_u64().is_some_and(|step| step > 2)
    });
    assert!(is_later && states("whole").2.is_f64(), "{:?}", states("whole"));
    for step in 1..6 {
        let output = format!("stopped-{step}");
        let options = world.options(&output, 1);
        finetune(&settings, &options, &mut stop_after(step)).unwrap();
        if step % 2 == 0 {
            make_older(&world.path(&format!("{output}/checkpoint-{step}")));
        }
        finetune(&settings, &options, &mut ignore).unwrap();
        assert_eq!(states(&output), states("whole"), "stopped after step {step}");
        assert!(world.weights(&output) == world.weights("whole"), "stopped after step {step}");
    }
}

#[test]
fn a_damaged_best_checkpoint_gives_way_to_the_next_best() {
    let world = World::new();
    // Every evaluation has a checkpoint, and the rate is too low for another answer: the accuracies are equal.
    let mut settings = FinetuneSettings { eval_steps: Some(1), epochs: 2, ..world.finetuning() };
    settings.update.learning_rate = 1e-12;
    let options = RunOptions { keep_checkpoints: std::num::NonZeroUsize::new(99), ..world.options("run", 1) };
    let steps = 6;
    finetune(&settings, &options, &mut stop_after(steps - 1)).unwrap();
    let state = |step: u64| {
        let text = fs::read_to_string(world.path(&format!("run/checkpoint-{step}/trainer_state.json"))).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let best = state(steps - 1)["best_global_step"].as_u64().unwrap();
    let newest = steps - 1;
    let damaged = world.path(&format!("run/checkpoint-{best}/config.json"));
    fs::write(&damaged, fs::read_to_string(&damaged).unwrap() + " ").unwrap();
    let told = notes(|observer| {
        finetune(&settings, &options, observer).unwrap();
    });
    let expected = match best == newest {
        true => format!("checkpoint-{best} cannot be used"),
        false => format!("checkpoint-{best}, which was the best one, cannot be used"),
    };
    assert!(told.iter().any(|note| note.contains(&expected)), "{told:?}");
    Model::open(world.path("run")).unwrap();
}

#[test]
fn the_best_of_several_seeds_is_named_and_linked() {
    let world = World::new();
    let settings = FinetuneSettings { epochs: 1, ..world.finetuning() };
    let options = world.options("series", 1);
    let outcome = finetune_seeds(&settings, &[3, 1], &options, &mut ignore).unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)));
    let text = fs::read_to_string(world.path("series/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    let best = summary["best"]["seed"].as_u64().unwrap();
    assert_eq!(summary["best"]["metric"], "accuracy");
    #[cfg(unix)]
    {
        assert_eq!(fs::read_link(world.path("series/best")).unwrap(), PathBuf::from(format!("seed-{best}")));
        Model::open(world.path("series/best")).unwrap();
    }
    assert!([3, 1].contains(&best));
    let outcome = finetune_seeds(&settings, &[3, 1], &options, &mut ignore).unwrap();
    assert_eq!(outcome, Outcome::AlreadyFinished);
    assert_eq!(fs::read_to_string(world.path("series/summary.json")).unwrap(), text);
}
