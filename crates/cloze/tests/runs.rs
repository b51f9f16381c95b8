//! Whole runs: interrupted anywhere and started again, with other numbers of threads and parts, they
//! end in the same weights to the bit; nothing that is there already is lost.

#[path = "common/world.rs"]
mod world;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use cloze::data::CorpusOptions;
use cloze::eval::{PretrainingData, evaluate_pretraining};
use cloze::heads::{Targets, TrainingBatch};
use cloze::infer::ReadOptions;
use cloze::model::Batch;
use cloze::optim::{OptimizerKind, OptimizerSettings};
use cloze::params::{Declaration, HeadSet, TaskHead};
use cloze::settings::{Budget, FinetuneSettings, FinetuneTask, PretrainSettings, Start};
use cloze::train::{Event, Outcome, RunOptions, Trainer, finetune, pretrain};
use cloze::{Config, Cpu, Error, Precision};

use world::{WORDS, World, ignore, stop_after};

#[test]
fn an_interrupted_pretraining_ends_in_the_same_bits() {
    let world = World::new();
    let settings = world.pretraining();
    let outcome = pretrain(&settings, &world.options("whole", 1), &mut ignore).unwrap();
    let Outcome::Finished(metrics) = outcome else { panic!("{outcome:?}") };
    assert!(metrics.iter().any(|(name, _)| name == "mlm_loss"));

    let outcome = pretrain(&settings, &world.options("parts", 2), &mut stop_after(4)).unwrap();
    assert_eq!(outcome, Outcome::Stopped { step: 4 });
    let outcome = pretrain(&settings, &world.options("parts", 1), &mut stop_after(8)).unwrap();
    assert_eq!(outcome, Outcome::Stopped { step: 8 });
    pretrain(&settings, &world.options("parts", 3), &mut ignore).unwrap();
    assert!(world.weights("whole") == world.weights("parts"), "other weights after two interruptions");

    let before = world.weights("whole");
    assert_eq!(pretrain(&settings, &world.options("whole", 1), &mut ignore).unwrap(), Outcome::AlreadyFinished);
    assert!(before == world.weights("whole"));
}

#[test]
fn a_run_that_goes_on_does_not_prepare_its_text_again() {
    let world = World::new();
    let settings = world.pretraining();
    pretrain(&settings, &world.options("run", 2), &mut stop_after(4)).unwrap();
    let store = world.path("run/corpus/train/store.json");
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let before = written(&store);
    pretrain(&settings, &world.options("run", 2), &mut stop_after(6)).unwrap();
    assert_eq!(written(&store), before);
    pretrain(&settings, &world.options("run", 2), &mut ignore).unwrap();
    assert!(!world.path("run/corpus").exists());
}

#[test]
fn fewer_instances_are_evaluated_on_request() {
    let world = World::new();
    let evaluated = |eval_instances| {
        let settings = PretrainSettings { eval_instances, ..world.pretraining() };
        let options = world.options(&format!("run-{eval_instances:?}"), 1);
        let outcome = pretrain(&settings, &options, &mut ignore).unwrap();
        let Outcome::Finished(metrics) = outcome else { panic!("{outcome:?}") };
        metrics
    };
    let all = evaluated(None);
    assert_eq!(all, evaluated(Some(10_000)));
    assert_ne!(all, evaluated(Some(1)));
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let world = World::new();
    let settings = world.pretraining();
    pretrain(&settings, &world.options("whole", 2), &mut ignore).unwrap();
    // A panic in the middle of step 8 leaves what a kill leaves: the checkpoint of step 6.
    let killed = std::panic::catch_unwind(|| {
        let mut kill = |event: &Event| match event {
            Event::Step(log) if log.step == 8 => panic!("killed"),
            _ => ControlFlow::Continue(()),
        };
        pretrain(&settings, &world.options("killed", 2), &mut kill)
    });
    assert!(killed.is_err());
    // And half a checkpoint.
    fs::create_dir(world.path("killed/checkpoint-9.tmp")).unwrap();
    fs::write(world.path("killed/checkpoint-9.tmp/model.safetensors"), "half").unwrap();
    let mut first = None;
    let mut note_first = |event: &Event| {
        if let Event::Step(log) = event {
            first.get_or_insert(log.step);
        }
        ControlFlow::Continue(())
    };
    pretrain(&settings, &world.options("killed", 1), &mut note_first).unwrap();
    assert_eq!(first, Some(7));
    assert!(world.weights("whole") == world.weights("killed"));
}

#[test]
fn a_damaged_checkpoint_is_noticed_and_the_one_before_it_used() {
    let world = World::new();
    let settings = world.pretraining();
    pretrain(&settings, &world.options("whole", 2), &mut ignore).unwrap();
    pretrain(&settings, &world.options("damaged", 2), &mut stop_after(6)).unwrap();
    let newest = world.path("damaged/checkpoint-6/model.safetensors");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let mut notes = Vec::new();
    let mut note = |event: &Event| {
        if let Event::Note(note) = event {
            notes.push(note.clone());
        }
        ControlFlow::Continue(())
    };
    pretrain(&settings, &world.options("damaged", 2), &mut note).unwrap();
    assert!(notes.iter().any(|note| note.contains("checkpoint-6 cannot be used")), "{notes:?}");
    assert!(world.weights("whole") == world.weights("damaged"));
}

#[test]
fn accumulation_gives_the_bits_of_the_whole_batch() {
    for precision in [Precision::F32, Precision::Bf16] {
        let world = World::new();
        let mut settings = world.pretraining();
        settings.update.precision = precision;
        pretrain(&settings, &world.options("whole", 2), &mut ignore).unwrap();
        for accumulate in [3, 4] {
            settings.update.accumulate = accumulate;
            let output = format!("{accumulate}-parts");
            pretrain(&settings, &world.options(&output, 2), &mut ignore).unwrap();
            assert!(world.weights("whole") == world.weights(&output), "{precision:?} in {accumulate} parts");
        }
    }
}

#[test]
fn fine_tuning_in_parts_gives_the_bits_of_the_whole_batch() {
    for precision in [Precision::F32, Precision::Bf16] {
        let world = World::new();
        let mut settings = FinetuneSettings { epochs: 2, ..world.finetuning() };
        settings.update.precision = precision;
        finetune(&settings, &world.options("whole", 2), &mut ignore).unwrap();
        settings.update.accumulate = 5;
        finetune(&settings, &world.options("parts", 2), &mut ignore).unwrap();
        assert!(world.weights("whole") == world.weights("parts"), "{precision:?}");
    }
}

#[test]
fn other_settings_are_refused_by_name_and_overwrite_begins_anew() {
    let world = World::new();
    let settings = world.pretraining();
    pretrain(&settings, &world.options("run", 2), &mut stop_after(4)).unwrap();
    let other = PretrainSettings { budget: Budget::Steps(13), ..settings.clone() };
    let error = pretrain(&other, &world.options("run", 2), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("steps = 12, now it is 13"), "{error}");
    fs::write(world.path("corpus.txt"), "the cat runs.\nthe dog sleeps.\n").unwrap();
    let error = pretrain(&settings, &world.options("run", 2), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("data") && error.contains("changed"), "{error}");
    let options = RunOptions { overwrite: true, ..world.options("run", 2) };
    assert!(matches!(pretrain(&other, &options, &mut ignore).unwrap(), Outcome::Finished(_)));
}

#[test]
fn a_model_that_is_no_run_is_not_overwritten() {
    let world = World::new();
    cloze::example_model(&world.path("model")).unwrap();
    let before = world.weights("model");
    let error = pretrain(&world.pretraining(), &world.options("model", 2), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("already holds a model") && error.contains("--overwrite"), "{error}");
    assert!(before == world.weights("model"));
}

#[test]
fn divergence_stops_with_the_step_and_keeps_the_last_checkpoint() {
    let world = World::new();
    let mut settings = world.pretraining();
    settings.update.learning_rate = 1e38;
    settings.update.warmup = 0.5;
    let options = RunOptions { save_steps: Some(1), ..world.options("run", 2) };
    let error = pretrain(&settings, &options, &mut ignore).unwrap_err();
    assert!(matches!(error, Error::NotFinite { step: 2.., .. }), "{error}");
    assert!(checkpoints(&world.path("run")) > 0);
}

#[test]
fn weights_that_are_not_finite_become_no_checkpoint() {
    let world = World::new();
    let mut settings = world.pretraining();
    // More than f32 holds: step 1 at the rate 0 changes nothing, step 2 leaves no weight finite.
    settings.update.learning_rate = 1e39;
    settings.update.warmup = 0.5;
    // An evaluation would see it before.
    settings.dev_fraction = 0.0;
    let options = RunOptions { save_steps: Some(1), ..world.options("run", 2) };
    let error = pretrain(&settings, &options, &mut ignore).unwrap_err();
    assert!(matches!(error, Error::NotFinite { step: 2, .. }) && error.to_string().contains("the weight `"), "{error}");
    assert_eq!(checkpoints(&world.path("run")), 1);
    assert!(cloze::Model::open(world.path("run/checkpoint-1")).is_ok());
}

#[test]
fn a_run_whose_last_step_diverges_is_not_finished() {
    let world = World::new();
    let mut settings = FinetuneSettings { epochs: 1, ..world.finetuning() };
    settings.update.batch_size = 20;
    settings.update.learning_rate = 1e30;
    settings.update.warmup = 0.0;
    let error = finetune(&settings, &world.options("run", 2), &mut ignore).unwrap_err();
    assert!(matches!(error, Error::NotFinite { step: 1, .. }), "{error}");
    assert!(error.to_string().contains("in the evaluation"), "{error}");
    assert!(!world.path("run/model.safetensors").exists());
}

#[test]
fn a_gradient_that_overflows_where_the_loss_does_not_changes_nothing() {
    let config = Config { labels: vec!["LABEL_0".into()], ..Config::tiny() };
    let heads = HeadSet { pooler: true, task: Some(TaskHead::Pooled(1)), ..HeadSet::default() };
    let declaration = Declaration::new(&config, heads);
    let mut weights = declaration.initial_weights(config.initializer_range, 1);
    // A value of some 1e29, whose square is finite in f64, and so is its gradient; not that of the pooled output.
    let classifier = declaration.parameters.iter().find(|parameter| parameter.name == "classifier.weight").unwrap();
    weights[classifier.span.range()].iter_mut().for_each(|weight| *weight *= 1e30);
    let optimizer = OptimizerSettings::new(OptimizerKind::AdamW);
    let mut trainer = Trainer::new(Cpu::new(1).unwrap(), &config, &declaration, &weights, optimizer, 1).unwrap();
    let mut batch = Batch::default();
    batch.push(&[2, 7, 3], &[0; 3]);
    let batch = TrainingBatch::new(batch, Targets::Values(vec![1.0]));
    let loss = trainer.compute_gradients(&batch, 1).unwrap().total();
    assert!(loss.is_finite() && loss > f64::from(f32::MAX), "{loss}");
    let before = trainer.state().unwrap();
    let error = trainer.step(&batch, 1, 1e-3).unwrap_err();
    assert!(matches!(error, Error::NotFinite { step: 1, .. }), "{error}");
    let error = error.to_string();
    for part in ["step 1: the gradient of `bert.", "lower learning rate", "warm-up", "clipping"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(trainer.state().unwrap(), before);
}

fn checkpoints(dir: &Path) -> usize {
    let is_checkpoint =
        |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.starts_with("checkpoint-"));
    fs::read_dir(dir).unwrap().flatten().filter(is_checkpoint).count()
}

#[test]
fn fine_tuning_learns_resumes_and_keeps_the_best_epoch() {
    let world = World::new();
    let settings = FinetuneSettings { epochs: 8, ..world.finetuning() };
    let outcome = finetune(&settings, &world.options("whole", 1), &mut ignore).unwrap();
    let Outcome::Finished(metrics) = outcome else { panic!("{outcome:?}") };
    let accuracy = metrics.iter().find(|(name, _)| name == "accuracy").unwrap().1;
    assert_eq!(accuracy, 1.0, "the label is a word of the text");
    finetune(&settings, &world.options("parts", 2), &mut stop_after(5)).unwrap();
    finetune(&settings, &world.options("parts", 3), &mut ignore).unwrap();
    assert!(world.weights("whole") == world.weights("parts"));

    let model = cloze::Model::open(world.path("whole")).unwrap();
    assert_eq!(model.config().labels, ["blue", "red"]);
    assert_eq!(model.classify(&["the blue dog runs".into()], ReadOptions::default()).unwrap()[0].label, "blue");
    assert_eq!(model.max_length(), 16);
    let state = fs::read_to_string(world.path("whole/trainer_state.json")).unwrap();
    assert!(state.contains("best_model_checkpoint"), "{state}");
}

#[test]
fn a_head_is_continued_or_replaced_on_request() {
    let world = World::new();
    finetune(&world.finetuning(), &world.options("first", 2), &mut ignore).unwrap();
    let mut settings = world.finetuning();
    settings.start = Start::Model(world.path("first"));
    settings.tokenizer = None;
    assert!(finetune(&settings, &world.options("second", 2), &mut ignore).is_ok());

    let table = fs::read_to_string(world.path("train.tsv")).unwrap().replace("\tred", "\tgreen");
    fs::write(world.path("train.tsv"), &table).unwrap();
    fs::write(world.path("dev.tsv"), &table).unwrap();
    let error = finetune(&settings, &world.options("third", 2), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("--new-head") && error.contains("green"), "{error}");
    settings.new_head = true;
    assert!(finetune(&settings, &world.options("third", 2), &mut ignore).is_ok());
}

#[test]
fn regression_learns_a_number() {
    let world = World::new();
    let mut table = "text\tscore\n".to_string();
    for row in 0..24 {
        let value = [0.0, 1.5][row % 2];
        table.push_str(&format!("the {} {}\t{value}\n", WORDS[row % 2], WORDS[2 + row / 2 % 2]));
    }
    fs::write(world.path("train.tsv"), &table).unwrap();
    fs::write(world.path("dev.tsv"), &table).unwrap();
    let settings = FinetuneSettings { task: FinetuneTask::Regression, epochs: 12, ..world.finetuning() };
    let outcome = finetune(&settings, &world.options("run", 2), &mut ignore).unwrap();
    let Outcome::Finished(metrics) = outcome else { panic!("{outcome:?}") };
    assert!(metrics.iter().any(|(name, value)| name == "pearson" && *value > 0.9), "{metrics:?}");
    let model = cloze::Model::open(world.path("run")).unwrap();
    let answers = model.regress(&["the red cat".into(), "the blue cat".into()], ReadOptions::default()).unwrap();
    assert!(answers[0].score < answers[1].score);
    assert!(model.classify(&["the red cat".into()], ReadOptions::default()).is_err());
}

#[test]
fn unknown_labels_in_the_development_set_are_named_with_file_and_line() {
    let world = World::new();
    fs::write(world.path("dev.tsv"), "text\tlabel\nthe red cat\tred\nthe cat\tpink\n").unwrap();
    let error = finetune(&world.finetuning(), &world.options("run", 2), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("dev.tsv:3") && error.contains("pink") && error.contains("blue, red"), "{error}");
}

#[test]
fn numbers_that_make_no_sense_are_refused_before_anything_is_written() {
    let world = World::new();
    let settings = FinetuneSettings { epochs: u64::MAX, ..world.finetuning() };
    let error = finetune(&settings, &world.options("run", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("more than can be counted"), "{error}");
    for max_seq_length in [0, 4, 33, 1 << 16] {
        let settings = PretrainSettings { max_seq_length, ..world.pretraining() };
        let error = pretrain(&settings, &world.options("run", 1), &mut ignore).unwrap_err().to_string();
        assert!(error.contains(&max_seq_length.to_string()), "{error}");
    }
    assert!(!world.path("run/cloze.json").exists());
}

#[test]
fn a_batch_that_does_not_fit_the_model_is_an_error() {
    let config = Config { vocab_size: 9, labels: vec!["a".into(), "b".into()], ..Config::tiny() };
    let heads = HeadSet { pooler: true, mlm: true, nsp: false, task: Some(TaskHead::Pooled(2)) };
    let declaration = Declaration::new(&config, heads);
    let weights = declaration.initial_weights(config.initializer_range, 1);
    let optimizer = OptimizerSettings::new(OptimizerKind::AdamW);
    let mut trainer = Trainer::new(Cpu::new(1).unwrap(), &config, &declaration, &weights, optimizer, 1).unwrap();
    let masked = |rows: &[u32], labels: &[u32], next_sentence| Targets::Pretraining {
        masked_rows: rows.to_vec(),
        masked_labels: labels.to_vec(),
        next_sentence,
    };
    for (targets, message) in [
        (Targets::Classes(vec![0, 2]), "class 2 is not below 2"),
        (Targets::Classes(vec![0]), "1 targets for 2 examples"),
        (Targets::Values(vec![0.0, 1.0]), "no regression head"),
        (masked(&[5], &[1], None), "masked row 5 is not below 5"),
        (masked(&[1], &[9], None), "masked token 9 is not below 9"),
        (masked(&[2, 1], &[1, 1], None), "must ascend"),
        (masked(&[1], &[1], Some(vec![0, 1])), "no next sentence head"),
    ] {
        let mut batch = Batch::default();
        batch.push(&[2, 7, 3], &[0; 3]);
        batch.push(&[2, 3], &[0; 2]);
        let error = trainer.step(&TrainingBatch::new(batch, targets), 1, 1e-3).unwrap_err().to_string();
        assert!(error.contains(message), "{error}, not {message}");
    }
    assert_eq!(trainer.step_count(), 0);
}

#[test]
fn evaluation_on_text_refuses_lengths_without_room_for_a_pair() {
    let world = World::new();
    cloze::example_model(&world.path("model")).unwrap();
    let model = cloze::Model::open(world.path("model")).unwrap();
    let data = PretrainingData { corpus: CorpusOptions::default(), max_seq_length: Some(4), seed: 1 };
    let files = [world.path("corpus.txt")];
    let error = evaluate_pretraining(&model, &files, data.clone(), &mut ignore).unwrap_err().to_string();
    assert!(error.contains("4 tokens") && error.contains("5 to"), "{error}");
    let data = PretrainingData { max_seq_length: Some(24), ..data };
    assert!(evaluate_pretraining(&model, &files, data, &mut ignore).is_ok());
}
