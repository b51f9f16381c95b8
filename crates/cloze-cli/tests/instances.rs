//! `cloze instances`: files, seeds, and what is refused.

mod common;

use common::World;
use serde_json::{Value, json};

#[test]
fn instances_follow_from_text_vocabulary_and_seed() {
    let world = World::new();
    let command = "instances --google --input corpus.txt --vocab vocab.txt --max-seq-length 24 --dupe-factor 2";
    let answer = world.run(&format!("{command} --output a.jsonl --json")).ok().answer();
    let text = String::from_utf8(world.read("a.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 48);
    assert_eq!(answer, json!({"documents": 24, "sentences": 144, "instances": lines.len(), "output": "a.jsonl"}));
    for line in &lines {
        let length = |name: &str| line[name].as_array().unwrap().len();
        assert_eq!(line["tokens"][0], "[CLS]");
        assert!(length("tokens") <= 24 && length("tokens") == length("segment_ids"));
        assert!(length("masked_lm_labels") >= 1 && length("masked_lm_labels") == length("masked_lm_positions"));
        assert_eq!(line.as_object().unwrap().len(), 5);
    }

    // The seed is 12345 unless it is said, before or behind the name of the command.
    world.run(&format!("{command} --output b.jsonl --seed 12345 --threads 1")).ok();
    world.run(&format!("--seed 2 {command} --output c.jsonl")).ok();
    world.run(&format!("{command} --output d.jsonl --seed 2")).ok();
    assert_eq!(world.read("a.jsonl"), world.read("b.jsonl"));
    assert_ne!(world.read("a.jsonl"), world.read("c.jsonl"));
    assert_eq!(world.read("c.jsonl"), world.read("d.jsonl"));
    world.run(&format!("{command} --output a.tfrecord --whole-word")).ok();
    assert!(world.read("a.tfrecord").len() > 48 * 16);
}

#[test]
fn wrong_names_and_numbers_are_refused() {
    let world = World::new();
    let command = "instances --input corpus.txt --vocab vocab.txt";
    for (arguments, code, expected) in [
        ("--output a.jsonl", 2, "--google"),
        ("--google --output a.jsonl --max-seq-length 4", 2, "--max-seq-length"),
        ("--google --output a.jsonl --masked-lm-prob 2", 2, "a number from 0 to 1"),
        ("--google --output a.txt", 1, "expected .jsonl or .tfrecord"),
    ] {
        let ran = world.run(&format!("{command} {arguments}"));
        assert_eq!(ran.code, Some(code), "{ran:#?}");
        assert!(ran.stderr.contains(expected), "{ran:#?}");
    }
}

#[test]
fn tokenize_knows_googles_rules() {
    let world = World::new();
    let tokens = |mode: &str| {
        let ran = world.run_with(&format!("tokenize --vocab vocab.txt --json {mode}"), &["--text", "cat [SEP]"]).ok();
        ran.answer()["tokens"].as_array().unwrap().len()
    };
    assert_eq!((tokens(""), tokens("--mode huggingface"), tokens("--mode google")), (4, 4, 6));
}
