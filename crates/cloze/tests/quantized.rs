//! A quantized directory: the answers of its source in int8, to the bit, and nothing that needs more digits.

use std::path::Path;

use cloze::checkpoint::{Pooling, SentenceSettings};
use cloze::infer::{EmbedOptions, OpenOptions, ReadOptions};
use cloze::quantize::quantize;
use cloze::settings::{FinetuneSettings, FinetuneTask, PretrainSettings, Start, StoredSettings};
use cloze::train::{RunOptions, finetune};
use cloze::{Model, Precision, Text};

/// A model and, beside it, the same quantized.
fn pair() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (source, small) = (dir.path().join("source"), dir.path().join("small"));
    cloze::example_model(&source).unwrap();
    SentenceSettings::embedder(Pooling::Max, true, Some(9)).write(&source, 16).unwrap();
    StoredSettings { max_seq_length: Some(7), ..StoredSettings::default() }.write(&source).unwrap();
    quantize(&source, None, &small, false).unwrap();
    (dir, source, small)
}

fn open(dir: &Path, precision: Option<Precision>) -> Result<Model, cloze::Error> {
    Model::open_with(dir, OpenOptions { threads: Some(2), precision, ..OpenOptions::default() })
}

#[test]
fn the_answers_are_those_of_the_source_in_int8_to_the_bit() {
    let (_dir, source, small) = pair();
    let rounded = open(&source, Some(Precision::Int8)).unwrap();
    let quantized = open(&small, None).unwrap();
    assert_eq!((quantized.precision(), quantized.is_quantized()), (Precision::Int8, true));
    assert!(!rounded.is_quantized());
    let texts: Vec<Text> = vec!["the cat sat".into(), ("the dog", "a cat sat the dog the cat").into(), "".into()];
    let embed = |model: &Model| model.embed(&texts, EmbedOptions::default()).unwrap();
    let classify = |model: &Model| model.classify(&texts, ReadOptions::default()).unwrap();
    let fill = |model: &Model| model.fill("the [MASK] sat".into(), 5).unwrap();
    assert_eq!(embed(&rounded), embed(&quantized));
    assert_eq!(classify(&rounded), classify(&quantized));
    assert_eq!(fill(&rounded), fill(&quantized));
    assert_eq!(embed(&quantized), embed(&open(&small, Some(Precision::Int8)).unwrap()));
    // Rounding shows, but little.
    let exact = open(&source, None).unwrap();
    assert_ne!(embed(&exact), embed(&quantized));
    for (a, b) in embed(&exact).iter().zip(embed(&quantized)) {
        let cosine: f32 = a.vectors[0].iter().zip(&b.vectors[0]).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.99, "{cosine}");
    }
}

#[test]
fn everything_beside_the_weights_goes_along() {
    let (_dir, source, small) = pair();
    let (source, small) = (open(&source, None).unwrap(), open(&small, None).unwrap());
    assert_eq!(source.config(), small.config());
    assert_eq!(source.heads(), small.heads());
    assert_eq!(source.sentence_settings(), small.sentence_settings());
    // The sizes and checksums of files are each directory's own.
    let settings = |model: &Model| StoredSettings { files: None, ..model.settings().clone() };
    assert_eq!((small.max_length(), settings(&small)), (7, settings(&source)));
    assert_eq!(small.tokenizer().vocab_size(), source.tokenizer().vocab_size());
    assert!(small.load_report().missing.is_empty() && small.load_report().unused.is_empty());
}

#[test]
fn other_precisions_are_refused_with_a_remedy() {
    let (_dir, _, small) = pair();
    for (precision, name) in [(Precision::F32, "f32"), (Precision::Bf16, "bf16")] {
        let error = open(&small, Some(precision)).err().unwrap().to_string();
        for part in ["model.int8.safetensors", "int8", name, "quantized from"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn training_from_it_is_refused_before_anything_is_written() {
    let (dir, _, small) = pair();
    let (train, output) = (dir.path().join("train.tsv"), dir.path().join("tuned"));
    std::fs::write(&train, "text\tlabel\nthe cat\tyes\na dog\tno\n").unwrap();
    let settings = FinetuneSettings::new(FinetuneTask::Classification, Start::Model(small.clone()), &train, &train);
    let options = RunOptions { output: output.clone(), ..RunOptions::default() };
    let error = finetune(&settings, &options, &mut |_| std::ops::ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("model.int8.safetensors") && error.contains("train"), "{error}");
    let text = dir.path().join("text.txt");
    std::fs::write(&text, "the cat sat.\na dog.\n").unwrap();
    let settings = PretrainSettings::new(vec![text], &small, Start::Model(small.clone()), 1);
    let error = cloze::train::pretrain(&settings, &options, &mut |_| std::ops::ControlFlow::Continue(()));
    assert!(error.unwrap_err().to_string().contains("quantized from"));
    assert_eq!(std::fs::read_dir(&output).unwrap().count(), 0);
}

#[test]
fn a_model_is_replaced_only_on_request_and_never_by_itself() {
    let (_dir, source, small) = pair();
    let error = |result: Result<_, cloze::Error>| result.err().unwrap().to_string();
    assert!(error(quantize(&source, None, &small, false).map(|_| ())).contains("--overwrite"));
    assert!(error(quantize(&source, None, &source, true).map(|_| ())).contains("the model itself"));
    assert!(error(quantize(&small, None, &source, true).map(|_| ())).contains("int8"), "twice");
    assert!(open(&source, None).is_ok(), "the source is as it was");

    // Over a model in f32 with files of its own: none of them is left to be read.
    let other = tempfile::tempdir().unwrap();
    cloze::example_model(other.path()).unwrap();
    SentenceSettings::embedder(Pooling::Cls, false, None).write(other.path(), 16).unwrap();
    std::fs::remove_file(source.join("modules.json")).unwrap();
    quantize(&source, None, other.path(), true).unwrap();
    let replaced = open(other.path(), None).unwrap();
    assert_eq!((replaced.is_quantized(), replaced.sentence_settings()), (true, None));
    assert_eq!(replaced.settings().max_seq_length, Some(7));
}
