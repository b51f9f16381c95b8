//! `cloze prepare`: a corpus as token ids on disk, to pre-train on.

use std::path::{Path, PathBuf};

use clap::Args;
use cloze::data::corpus::{Existing, Store, StoreOptions, prepare};
use cloze::data::{CorpusSample, Objective, PlanOptions, SampledInstance};
use serde::Serialize;

use crate::arguments::{Common, memory, open_tokenizer};
use crate::input::CorpusArgs;
use crate::output::{Output, grouped, percent};
use crate::progress::Progress;

/// Flags of `cloze prepare`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze prepare --input books/*.txt --tokenizer vocab --output store\n  \
    cloze pretrain --input store --preset tiny --steps 10000 --output model\n\n\
    Interrupted, the same command resumes after the last whole shard. The same text and flags give the same \
    files, with any number of threads.")]
pub struct Arguments {
    /// Read this text in UTF-8: .txt, .jsonl, .parquet, each also with .gz or .zst; folders of such files; or patterns
    /// such as 'books/**/*.txt'
    #[arg(long, required = true, num_args = 1.., value_name = "PATH", help_heading = "Text")]
    input: Vec<PathBuf>,
    /// Read the tokenizer from this model directory or vocab.txt
    #[arg(long, value_name = "PATH")]
    tokenizer: PathBuf,
    /// Read a bare vocab.txt as that of a cased model: keep upper case and accents
    #[arg(long)]
    cased: bool,
    /// Write shards, store.json and tokenizer to this folder
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Stay within this much memory, as 512M or 4G; it limits the longest line, and the documents that duplicates are
    /// searched in
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = memory)]
    max_memory: u64,
    /// Show sample instances of up to N tokens; pretrain draws its own
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = sequence_length)]
    max_seq_length: u32,
    /// Replace a store that the folder holds
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    text: CorpusArgs,
}

/// Parses a number of tokens that shards can hold.
fn sequence_length(text: &str) -> Result<u32, String> {
    let length = text.parse().ok().filter(|length| (5..=65_535).contains(length));
    length.ok_or_else(|| "expected a whole number from 5 to 65,535".to_string())
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(serialize_with = "crate::output::lossy")]
    output: &'a Path,
    files: usize,
    documents: u64,
    /// Left out, being copies.
    duplicates: usize,
    sentences: u64,
    tokens: u64,
    words: u64,
    words_per_token: f64,
    /// The share of the words that are `[UNK]`.
    unknown_rate: f64,
    /// How many have at least 1, 2, 4, … tokens, and fewer than twice that.
    sentence_lengths: &'a [u64],
    document_lengths: &'a [u64],
    instances: InstanceFigures<'a>,
}

/// Of some documents.
#[derive(Serialize)]
struct InstanceFigures<'a> {
    max_seq_length: usize,
    counted: u64,
    mean_tokens: f64,
    /// The share of those that are shorter than the maximum.
    short_share: f64,
    /// The share of the documents' tokens that an epoch reads.
    read_share: f64,
    /// Sentences of the whole corpus that are longer than an instance, and are read in pieces.
    sentences_split: u64,
    examples: &'a [SampledInstance],
}

/// Runs `cloze prepare`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let tokenizer = open_tokenizer(&arguments.tokenizer, arguments.cased, common)?;
    let mut options = StoreOptions::new(arguments.text.corpus_options());
    options.max_memory = Some(arguments.max_memory);
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::GoOn };
    let progress = Progress::new();
    let mut told = |what: &'static str, done, total| progress.at(what, done, total);
    let store = prepare(&arguments.input, &tokenizer, &options, &arguments.output, existing, &mut told)?;
    progress.clear();
    store.notes().iter().for_each(|note| say!("note: {note}"));
    let plan = PlanOptions {
        max_seq_length: arguments.max_seq_length as usize,
        short_seq_prob: 0.1,
        objective: Objective::MlmNsp,
        shuffle: true,
    };
    let sample = CorpusSample::draw(&store.read.corpus, &plan, &tokenizer, common.seed)?;
    // `[CLS]` and two `[SEP]` take their places.
    let long_sentences = store.read.corpus.sentences_longer_than(plan.max_seq_length - 3)?;
    let answer = Answer::new(&arguments.output, &store, &sample, plan.max_seq_length, long_sentences);
    let mut output = Output::new(common.json);
    output.answer(&answer, || answer.readable())?;
    Ok(output.finish()?)
}

impl<'a> Answer<'a> {
    fn new(
        output: &'a Path,
        store: &'a Store,
        sample: &'a CorpusSample,
        max_seq_length: usize,
        sentences_split: u64,
    ) -> Answer<'a> {
        let figures = &store.figures;
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        Answer {
            output,
            files: store.read.files,
            documents: figures.documents,
            duplicates: store.read.duplicates,
            sentences: figures.sentences,
            tokens: figures.tokens,
            words: figures.words,
            words_per_token: share(figures.words, figures.tokens),
            unknown_rate: share(figures.unknown, figures.words),
            sentence_lengths: &figures.sentence_lengths,
            document_lengths: &figures.document_lengths,
            instances: InstanceFigures {
                max_seq_length,
                counted: sample.instances,
                mean_tokens: share(sample.tokens, sample.instances),
                short_share: share(sample.short, sample.instances),
                read_share: sample.coverage.share(),
                sentences_split,
                examples: &sample.examples,
            },
        }
    }

    fn readable(&self) -> String {
        let mut lines = vec![
            format!(
                "{} documents, {} sentences, {} tokens of {} files in {}",
                grouped(self.documents),
                grouped(self.sentences),
                grouped(self.tokens),
                grouped(self.files as u64),
                self.output.display()
            ),
            format!(
                "{} words, {:.3} a token; unknown to the vocabulary: {}",
                grouped(self.words),
                self.words_per_token,
                percent(self.unknown_rate)
            ),
            format!("tokens of a sentence: {}", lengths(self.sentence_lengths)),
            format!("tokens of a document: {}", lengths(self.document_lengths)),
        ];
        let instances = &self.instances;
        if instances.counted > 0 {
            lines.push(format!(
                "instances of at most {} tokens, {} looked at: {:.1} tokens on average, {} shorter than the most",
                instances.max_seq_length,
                grouped(instances.counted),
                instances.mean_tokens,
                percent(instances.short_share)
            ));
            let split = match instances.sentences_split {
                0 => "no sentence is longer than an instance".to_string(),
                count => format!("{} sentences are longer than an instance and read in pieces", grouped(count)),
            };
            lines.push(format!("an epoch of them reads {} of the tokens; {split}", percent(instances.read_share)));
        }
        for example in instances.examples {
            let follows = if example.is_random_next { "the second half is from elsewhere" } else { "the halves go on" };
            lines.push(format!("\nAn instance ({follows}; what is to be predicted in brackets):"));
            lines.push(example.readable());
        }
        lines.join("\n")
    }
}

/// A histogram in words.
fn lengths(counts: &[u64]) -> String {
    let total = counts.iter().sum::<u64>().max(1);
    let parts = counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(place, count)| {
        let (low, high) = (1u64 << place, (1u64 << (place + 1)) - 1);
        let range = if low == high { low.to_string() } else { format!("{}–{}", grouped(low), grouped(high)) };
        format!("{range}: {}", percent(*count as f64 / total as f64))
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_reads_well() {
        assert_eq!(lengths(&[1, 0, 3]), "1: 25.00 %, 4–7: 75.00 %");
        assert_eq!(lengths(&[]), "");
    }
}
