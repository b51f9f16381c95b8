//! Floats that decide come back from JSON with the bits that they were stored with.

#[path = "common/world.rs"]
mod world;

use std::fs;

use cloze::settings::{FinetuneSettings, FinetuneTask, PretrainSettings, Start};
use cloze::train::{Outcome, finetune, pretrain};

use world::{World, ignore, stop_after};

/// Accuracies, shares and F1 scores are quotients of counts like these.
#[test]
fn every_quotient_of_small_counts_survives_json() {
    let mut tried = 0;
    for n in 1..=3000u32 {
        for k in 0..=n {
            let quotient = f64::from(k) / f64::from(n);
            let stored = serde_json::json!({ "best_metric": quotient }).to_string();
            let read: serde_json::Value = serde_json::from_str(&stored).unwrap();
            assert_eq!(read["best_metric"].as_f64().map(f64::to_bits), Some(quotient.to_bits()), "{k}/{n}: {stored}");
            tried += 1;
        }
    }
    assert_eq!(tried, 3000 * 3001 / 2 + 3000);
}

#[test]
fn an_equal_metric_is_no_better_after_an_interruption() {
    let world = World::new();
    // One text for every label, so that the model answers one label throughout. Thirteen rows, two of each label but
    // one: the accuracy is 2/13, which a parser that is off by one unit reads as a smaller number.
    let rows = |count: usize| {
        let label = |row: usize| format!("the cat sleeps\tl{}\n", row % 7);
        format!("text\tlabel\n{}", (0..count).map(label).collect::<String>())
    };
    fs::write(world.path("seven.tsv"), rows(21)).unwrap();
    fs::write(world.path("thirteen.tsv"), rows(13)).unwrap();
    let settings = FinetuneSettings {
        train: world.path("seven.tsv"),
        dev: Some(world.path("thirteen.tsv")),
        epochs: 4,
        new_head: true,
        max_seq_length: 16,
        ..world.finetuning()
    };
    assert_eq!(settings.task, FinetuneTask::Classification);
    let outcome = finetune(&settings, &world.options("whole", 1), &mut ignore).unwrap();
    let Outcome::Finished(metrics) = outcome else { panic!("{outcome:?}") };
    assert!(metrics.contains(&("accuracy".to_string(), 2.0 / 13.0)), "{metrics:?}");
    let steps = 21u64.div_ceil(settings.update.batch_size as u64);
    let options = world.options("parts", 1);
    assert_eq!(finetune(&settings, &options, &mut stop_after(steps)).unwrap(), Outcome::Stopped { step: steps });
    finetune(&settings, &options, &mut ignore).unwrap();
    assert!(world.weights("whole") == world.weights("parts"), "another epoch was taken for the best");
}

#[test]
fn a_share_that_was_stored_is_the_same_setting_again() {
    let world = World::new();
    let start = Start::Config(world.path("config.json"));
    let settings = PretrainSettings { dev_fraction: 2.0 / 13.0, start, ..world.pretraining() };
    let options = world.options("run", 1);
    pretrain(&settings, &options, &mut stop_after(2)).unwrap();
    assert!(matches!(pretrain(&settings, &options, &mut ignore).unwrap(), Outcome::Finished(_)));
}
