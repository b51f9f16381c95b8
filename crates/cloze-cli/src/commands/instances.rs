//! `cloze instances`: a file of pre-training instances, as Google BERT's script makes them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use cloze::data::google::{
    FileFormat, InstanceOptions, PythonRandom, create_instances, read_documents, write_instances,
};
use cloze::folder::read;
use cloze_tokenizer::Tokenizer;
use serde::Serialize;

use crate::arguments::{Common, at_least, casing, note_tokenizer, share};
use crate::output::{Output, grouped};
use crate::progress::Progress;

/// Flags of `cloze instances`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloze instances --google --input book.txt --vocab vocab.txt \\\n    --output book.tfrecord\n\n\
    Texts have a sentence a line, and an empty line between documents. From the same texts, vocabulary and seed, \
    create_pretraining_data.py makes the same instances in the same order under Python 3."
)]
pub struct Arguments {
    /// Make the instances of Google BERT's create_pretraining_data.py, draw for draw
    #[arg(long, required = true)]
    google: bool,
    /// Read these text files in UTF-8
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Read the vocabulary from this vocab.txt or model directory
    #[arg(long, visible_alias = "tokenizer", value_name = "PATH")]
    vocab: PathBuf,
    /// Keep upper case and accents
    #[arg(long)]
    cased: bool,
    /// Write this file, .jsonl or .tfrecord
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Seed of all random draws
    #[arg(long, value_name = "N", default_value_t = 12_345, value_parser = at_least(0_u64))]
    seed: u64,
    /// Make instances of up to N tokens, special tokens included
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least(5_u32))]
    max_seq_length: u32,
    /// Mask at most N tokens of an instance
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least(0_u32))]
    max_predictions_per_seq: u32,
    /// Mask this share of the tokens
    #[arg(long, value_name = "SHARE", default_value_t = 0.15, value_parser = share)]
    masked_lm_prob: f64,
    /// Cut this share of the instances shorter than --max-seq-length
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    short_seq_prob: f64,
    /// Pass N times over the documents, each time with other draws
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least(0_u32))]
    dupe_factor: u32,
    /// Mask all pieces of a word together; Chinese characters are words by themselves
    #[arg(long)]
    whole_word: bool,
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    documents: usize,
    sentences: usize,
    instances: usize,
    #[serde(serialize_with = "crate::output::lossy")]
    output: &'a Path,
}

/// Runs `cloze instances`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    // Before the long work, so that a wrong name is found out at once.
    FileFormat::of(&arguments.output).context("--output")?;
    let options = InstanceOptions {
        max_seq_length: arguments.max_seq_length as usize,
        max_predictions_per_seq: arguments.max_predictions_per_seq as usize,
        masked_lm_prob: arguments.masked_lm_prob,
        short_seq_prob: arguments.short_seq_prob,
        dupe_factor: arguments.dupe_factor as usize,
        whole_word: arguments.whole_word,
    };
    let _reading = read(&arguments.vocab)?;
    let tokenizer = Tokenizer::open_google(&arguments.vocab, casing(arguments.cased))?;
    note_tokenizer(&tokenizer);
    let mut documents = read_documents(&arguments.input, &tokenizer)?;
    let mut random = PythonRandom::new(arguments.seed);
    let progress = Progress::new();
    let mut walked = |done, total| progress.at("making instances", done, total);
    let instances = create_instances(&mut documents, &tokenizer, &options, &mut random, &mut walked)?;
    progress.clear();
    write_instances(&arguments.output, &instances, &tokenizer, &options)?;

    let answer = Answer {
        documents: documents.len(),
        sentences: documents.iter().map(Vec::len).sum(),
        instances: instances.len(),
        output: &arguments.output,
    };
    let mut output = Output::new(common.json);
    output.answer(&answer, || {
        format!(
            "{} instances of {} sentences in {} documents: {}",
            grouped(answer.instances as u64),
            grouped(answer.sentences as u64),
            grouped(answer.documents as u64),
            answer.output.display()
        )
    })?;
    Ok(output.finish()?)
}
