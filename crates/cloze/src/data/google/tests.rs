//! Instances against those of Google's own script, and files of them.

use std::fs;
use std::path::{Path, PathBuf};

use cloze_tokenizer::{Casing, Tokenizer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::example::{from_example, to_example};
use super::*;

/// Made by `checks/python/google_instances.py`, which runs `create_pretraining_data.py` under CPython 3.11.
fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/google_instances.json")).unwrap()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// The fixture's texts and vocabulary as files.
fn files(fixture: &Value, dir: &Path) -> (Vec<PathBuf>, Tokenizer) {
    let texts = strings(&fixture["texts"]).into_iter().enumerate().map(|(number, text)| {
        let path = dir.join(format!("{number}.txt"));
        fs::write(&path, text).unwrap();
        path
    });
    let vocabulary = dir.join("vocab.txt");
    fs::write(&vocabulary, strings(&fixture["vocabulary"]).join("\n") + "\n").unwrap();
    (texts.collect(), Tokenizer::open_google(&vocabulary, Casing::Uncased).unwrap())
}

fn options(options: &Value) -> InstanceOptions {
    let count = |name: &str| options[name].as_u64().unwrap() as usize;
    InstanceOptions {
        max_seq_length: count("max_seq_length"),
        max_predictions_per_seq: count("max_predictions_per_seq"),
        masked_lm_prob: options["masked_lm_prob"].as_f64().unwrap(),
        short_seq_prob: options["short_seq_prob"].as_f64().unwrap(),
        dupe_factor: count("dupe_factor"),
        whole_word: options["do_whole_word_mask"].as_bool().unwrap(),
    }
}

/// All instances of a case of the fixture.
fn instances(case: &Value, texts: &[PathBuf], tokenizer: &Tokenizer) -> Vec<Instance> {
    let mut random = PythonRandom::new(case["options"]["random_seed"].as_u64().unwrap());
    let mut documents = read_documents(texts, tokenizer).unwrap();
    create_instances(&mut documents, tokenizer, &options(&case["options"]), &mut random, &mut |_, _| {}).unwrap()
}

#[test]
fn instances_are_those_of_googles_script() {
    let (dir, fixture) = (TempDir::new().unwrap(), fixture());
    let (texts, tokenizer) = files(&fixture, dir.path());
    let tokens =
        |ids: &[u32]| -> String { ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect::<Vec<_>>().join(" ") };
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let expected = case["instances"].as_array().unwrap();
        let made = instances(case, &texts, &tokenizer);
        assert!(expected.len() > 20 && made.len() == expected.len(), "{} of {}", made.len(), expected.len());
        for (at, (instance, expected)) in made.iter().zip(expected).enumerate() {
            let found = json!([
                tokens(&instance.tokens),
                instance.segment_ids.iter().map(|&segment| u32::from(segment)).sum::<u32>(),
                u8::from(instance.is_random_next),
                instance.masked_lm_positions,
                tokens(&instance.masked_lm_labels),
            ]);
            assert_eq!(&found, expected, "instance {at} of {}", case["options"]);
            assert!(instance.segment_ids.is_sorted() && instance.segment_ids.len() == instance.tokens.len());
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let (dir, fixture) = (TempDir::new().unwrap(), fixture());
    let (texts, tokenizer) = files(&fixture, dir.path());
    let case = &fixture["cases"][0];
    let instances = instances(case, &texts, &tokenizer);
    let mut hashes = Vec::new();
    for name in ["a.jsonl", "a.tfrecord"] {
        let path = dir.path().join(name);
        write_instances(&path, &instances, &tokenizer, &options(&case["options"])).unwrap();
        let read = open(&path, &tokenizer).unwrap();
        assert_eq!(read.read(0..read.len()).unwrap(), instances, "{name}");
        assert_eq!(read.read(7..9).unwrap(), instances[7..9], "{name}");
        assert_eq!(read.longest(), instances.iter().map(|instance| instance.tokens.len()).max().unwrap());
        hashes.push(read.hash().to_string());
        assert!(!dir.path().join(format!("{name}.tmp")).exists());
    }
    assert_eq!(hashes[0], hashes[1]);
    let both = ["a.jsonl", "a.tfrecord"].map(|name| dir.path().join(name));
    let both = InstanceFiles::open(&both, &tokenizer, &mut |_, _| {}).unwrap();
    assert_eq!(both.len(), 2 * instances.len());
    assert_eq!(both.read(instances.len()..instances.len() + 1).unwrap(), instances[..1]);
    for (name, expected) in [("a.txt", "expected .jsonl or .tfrecord"), ("b.jsonl", "there are no instances in it")] {
        let path = dir.path().join(name);
        fs::write(&path, "").unwrap();
        let message = open(&path, &tokenizer).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

/// The file's instances; `Err` is the message.
fn open(path: &Path, tokenizer: &Tokenizer) -> Result<InstanceFiles, String> {
    InstanceFiles::open(&[path.to_path_buf()], tokenizer, &mut |_, _| {}).map_err(|error| error.to_string())
}

fn small() -> (Instance, InstanceOptions) {
    let instance = Instance {
        tokens: vec![2, 300, 4, 3, 70_000, 3],
        segment_ids: vec![0, 0, 0, 0, 1, 1],
        is_random_next: true,
        masked_lm_positions: vec![2, 4],
        masked_lm_labels: vec![128, 7],
    };
    (instance, InstanceOptions { max_seq_length: 8, max_predictions_per_seq: 3, ..InstanceOptions::default() })
}

/// What TensorFlow 2.21 makes of the same features: with `I = lambda v: tf.train.Feature(int64_list=
/// tf.train.Int64List(value=v))`, `F` likewise of floats, and `features` of `"input_ids": I([2, 300, 4, 3, 70000, 3, 0,
/// 0])` and so on, `tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
/// deterministic=True).hex()`.
const EXAMPLE: &str = "0ad8010a1c0a09696e7075745f696473120f1a0d0a0b02ac020403f0a2040300000a1a0a0a696e7075745f6d61736b120c1a0a0a0801010101010100000a190a0d6d61736b65645f6c6d5f69647312081a060a04800107000a1e0a136d61736b65645f6c6d5f706f736974696f6e7312071a050a030204000a250a116d61736b65645f6c6d5f776569676874731210120e0a0c0000803f0000803f000000000a1d0a146e6578745f73656e74656e63655f6c6162656c7312051a030a01010a1b0a0b7365676d656e745f696473120c1a0a0a080000000001010000";

#[test]
fn examples_are_those_of_tensorflow() {
    let (instance, options) = small();
    let example = to_example(&instance, &options);
    let hex: String = example.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, EXAMPLE);
    assert_eq!(from_example(&example), Ok(instance));
    // Cut or changed anywhere, it is an error or another instance, but nothing panics.
    for at in 0..example.len() {
        let _ = from_example(&example[..at]);
        for bit in 0..8 {
            let mut damaged = example.clone();
            damaged[at] ^= 1 << bit;
            let _ = from_example(&damaged);
        }
    }
    assert_eq!(from_example(&[]), Err("there is no feature `input_mask`".to_string()));
}

#[test]
fn damaged_lines_are_named() {
    let (dir, fixture) = (TempDir::new().unwrap(), fixture());
    let (_, tokenizer) = files(&fixture, dir.path());
    let path = dir.path().join("a.jsonl");
    let good = json!({"tokens": ["[CLS]", "[MASK]", "[SEP]", "dog", "[SEP]"], "segment_ids": [0, 0, 0, 1, 1],
        "is_random_next": false, "masked_lm_positions": [1, 3], "masked_lm_labels": ["the", "dog"]});
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    for (second, expected) in [
        (with("tokens", json!([])), "a.jsonl:2: there are no tokens"),
        (with("segment_ids", json!([0])), "a.jsonl:2: 1 segments for 5 tokens"),
        (with("segment_ids", json!([0, 0, 0, 1, 2])), "a.jsonl:2: segment 2; expected 0 or 1"),
        (with("masked_lm_labels", json!(["fox"])), "a.jsonl:2: 2 masked positions with 1 labels"),
        (with("masked_lm_labels", json!(["fox", "xof"])), "a.jsonl:2: `xof` is not in the vocabulary"),
        (with("masked_lm_positions", json!([3, 3])), "a.jsonl:2: the masked positions do not rise"),
        (with("masked_lm_positions", json!([1, 5])), "a.jsonl:2: position 5 of 5 tokens"),
        (with("tokens", json!("a")), "a.jsonl:2: not the object of an instance: "),
        (json!([1]), "a.jsonl:2: not the object of an instance: "),
    ] {
        fs::write(&path, format!("{good}\n{second}\n")).unwrap();
        let message = open(&path, &tokenizer).unwrap_err();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn damaged_records_are_named() {
    let (dir, fixture) = (TempDir::new().unwrap(), fixture());
    let (_, tokenizer) = files(&fixture, dir.path());
    let path = dir.path().join("a.tfrecord");
    let (large, options) = small();
    let instance = Instance { tokens: vec![2, 30, 4, 3, 7, 3], masked_lm_labels: vec![28, 7], ..large.clone() };
    let write = |records: &[Vec<u8>]| {
        let mut file = Vec::new();
        records.iter().for_each(|record| crate::data::tfrecord::write_record(&mut file, record).unwrap());
        fs::write(&path, file).unwrap();
        open(&path, &tokenizer).unwrap_err()
    };
    let good = to_example(&instance, &options);
    let far = Instance { masked_lm_positions: vec![2, 6], ..instance };
    for (second, expected) in [
        (vec![], "record 2: there is no feature `input_mask`; expected an example of pre-training"),
        (good[..20].to_vec(), "record 2: field 1 is longer than its message"),
        (to_example(&far, &options), "record 2: position 6 of 6 tokens"),
        (to_example(&large, &options), "record 2: token 300 of a vocabulary of 68"),
    ] {
        let message = write(&[good.clone(), second]);
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn texts_and_options_that_make_no_instances_are_refused() {
    let (dir, fixture) = (TempDir::new().unwrap(), fixture());
    let (texts, tokenizer) = files(&fixture, dir.path());
    let empty = dir.path().join("empty.txt");
    fs::write(&empty, "\n \n\u{200B}\n").unwrap();
    let message = read_documents(std::slice::from_ref(&empty), &tokenizer).unwrap_err().to_string();
    assert!(message.contains("empty.txt: no text in it"), "{message}");
    fs::write(&empty, b"a\n\xFF\n").unwrap();
    let message = read_documents(&[empty], &tokenizer).unwrap_err().to_string();
    assert!(message.contains("empty.txt:2: byte 1 of the line, 0xFF"), "{message}");

    let mut documents = read_documents(&texts, &tokenizer).unwrap();
    let mut create = |options: InstanceOptions| {
        create_instances(&mut documents, &tokenizer, &options, &mut PythonRandom::new(1), &mut |_, _| {})
            .unwrap_err()
            .to_string()
    };
    let message = create(InstanceOptions { max_seq_length: 4, ..InstanceOptions::default() });
    assert!(message.contains("a maximum length of 4 tokens"), "{message}");
    let message = create(InstanceOptions { short_seq_prob: 1.5, ..InstanceOptions::default() });
    assert!(message.contains("short_seq_prob is 1.5"), "{message}");
}
