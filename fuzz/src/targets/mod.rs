//! Fuzzing targets, one for each reader.
//!
//! A reader that is added to the product gets a target here: how its inputs look, some to begin with (here, or as files
//! in `corpus/<target>/`), and a function that reads one and uses what it gets as the product would. Errors are answers;
//! what must hold of any answer is an `assert!`.

mod corpora;
mod models;
mod packed;
mod runs;
mod tables;
mod tokenizers;

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use crate::mutate::Shape;

/// Inputs of this length show what is quadratic.
const LONG: usize = 1 << 20;

/// Inputs of which all tokens are in memory at once, with forty bytes each.
const SHORT: usize = 1 << 17;

/// Memory of most readers in lengths of the input, which is in memory itself.
const TIMES: usize = 4;

/// Memory of readers of words with labels in lengths of the input, as the product limits it. Four times would not hold
/// the words themselves: each is a string of 24 bytes and at least 32 on the heap, and so is its label. That is 20 times
/// a line of six bytes, a Chinese character and its label; most lines have ten bytes and more.
pub const WORDS: usize = 24;

/// Reads an input and gives what there is to say about it.
pub type Run = Box<dyn FnMut(&[u8]) -> String>;

/// Inputs to begin with, beside those in the corpus.
pub type Seeds = fn(&Path) -> Vec<Vec<u8>>;

/// A reader.
pub struct Target {
    pub name: &'static str,
    /// Input that the target reads, in a few words.
    pub what: &'static str,
    pub shape: Shape,
    /// Bytes of an input at most.
    pub length_max: usize,
    /// Memory that an input may take in lengths of its own, beside a fixed amount.
    pub bytes_times: usize,
    /// Makes seeds, with an empty folder to work in.
    pub seeds: Seeds,
    /// Puts into a folder what the reader needs beside the input.
    pub prepare: fn(&Path) -> Run,
}

pub static TARGETS: &[Target] = &[
    tokenizers::VOCAB_TXT,
    tokenizers::TOKENIZER_JSON,
    tokenizers::TOKENIZER_CONFIG,
    tokenizers::SPECIAL_TOKENS_MAP,
    tokenizers::TEXT,
    tokenizers::VOCABULARY_TRAINING,
    models::CONFIG,
    models::SETTINGS,
    models::SAFETENSORS,
    models::INT8,
    models::SHARD_INDEX,
    models::MODULES,
    models::POOLING,
    models::SENTENCE_CONFIG,
    tables::TSV,
    tables::CSV,
    tables::JSONL,
    tables::TXT,
    tables::COLUMNS,
    tables::CONLL,
    tables::WORDS_JSONL,
    tables::SQUAD,
    tables::QUESTION_LINES,
    tables::QUESTIONS_CSV,
    tables::JSON,
    tables::LABEL_STUDIO,
    tables::CONLLU,
    tables::BRAT,
    tables::WORD_TABLE,
    tables::GZIP,
    tables::PARQUET,
    corpora::TEXT,
    corpora::RECORDS,
    corpora::PARQUET,
    corpora::GZIP,
    corpora::ZSTD,
    corpora::SENTENCES,
    corpora::TFRECORD,
    corpora::INSTANCES_JSONL,
    corpora::INSTANCES_TFRECORD,
    corpora::STORE,
    corpora::STORE_SHARD,
    runs::TRAINER_STATE,
    runs::RUN_SETTINGS,
];

/// Texts with what there may be too much of, each as long as an input may be.
fn long_texts() -> Vec<Vec<u8>> {
    ["\n", "a\n", "\t", ",", "\"", ". ", "a. ", "a ", "[", "{\"a\":"]
        .map(|part| part.repeat(LONG / part.len()).into_bytes())
        .to_vec()
}

/// The files of the product's tests.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cloze/tests/fixtures")
}

/// The words of an error, or what `ok` says.
fn told<T, E: Display>(result: Result<T, E>, ok: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => ok(value),
        Err(error) => error.to_string(),
    }
}

/// A target's file, written anew for every input.
fn write(path: &Path, input: &[u8]) {
    fs::write(path, input).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Copies a folder with its folders; what is there already is gone.
fn copy_folder(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).expect("a copy");
        }
    }
}
