//! `cloze bench`: speed and memory of this machine, on random weights and ids.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, Subcommand};
use cloze::data::{Format, read_examples_from};
use cloze::{Config, bench};
use cloze_tokenizer::Tokenizer;
use serde::Serialize;

use crate::arguments::{Common, TokenizerArgs};
use crate::output::{Output, grouped};

/// Flags of `cloze bench`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze bench forward --preset base --batch 8 --seq-length 128\n  \
    cloze bench train --preset tiny --lengths 12,64,128 --json\n  \
    cloze bench tokenize --tokenizer vocab --input book.txt")]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All hidden states of the last layer, and the pooler
    #[command(after_help = "Example:\n  cloze bench forward --preset base --batch 8 --seq-length 128")]
    Forward(Shape),
    /// One whole step of pre-training: forward, backward, clipping, AdamW; dropout on, round(0.15·length)
    /// tokens of a row masked
    #[command(after_help = "Example:\n  cloze bench train --preset tiny --batch 32 --seq-length 128")]
    Train(Shape),
    /// Turning the lines of a text file into token ids and character offsets
    #[command(after_help = "Example:\n  cloze bench tokenize --tokenizer vocab --input book.txt --json")]
    Tokenize(TokenizeArgs),
}

#[derive(Debug, Args)]
struct Shape {
    /// Size of the model: tiny, mini, small, medium, base or large
    #[arg(long, value_name = "NAME", value_parser = ["tiny", "mini", "small", "medium", "base", "large"])]
    preset: String,
    /// Sequences
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroUsize,
    /// Tokens in each
    #[arg(long, value_name = "N", default_value = "128", conflicts_with = "lengths")]
    seq_length: NonZeroUsize,
    /// Tokens in each, one by one, instead of --batch and --seq-length
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', conflicts_with = "batch")]
    lengths: Vec<NonZeroUsize>,
    #[command(flatten)]
    repetitions: Repetitions,
}

#[derive(Debug, Args)]
struct TokenizeArgs {
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// A text file in UTF-8, whatever its ending; a text a line
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    #[command(flatten)]
    repetitions: Repetitions,
}

#[derive(Debug, Args)]
struct Repetitions {
    /// Measured repetitions, after one to warm up; the median is told
    #[arg(long, value_name = "N", default_value = "5")]
    repetitions: NonZeroUsize,
}

impl Shape {
    fn lengths(&self) -> Vec<usize> {
        if self.lengths.is_empty() {
            vec![self.seq_length.get(); self.batch.get()]
        } else {
            self.lengths.iter().map(|length| length.get()).collect()
        }
    }
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Line {
    milliseconds: f64,
    tokens_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<f64>,
    peak_rss_bytes: u64,
}

/// Runs `cloze bench`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let line = match &arguments.what {
        What::Forward(shape) => network(shape, common, bench::forward)?,
        What::Train(shape) => network(shape, common, bench::train)?,
        What::Tokenize(arguments) => tokenize(arguments, common)?,
    };
    let mut output = Output::new(common.json);
    output.answer(&line, || {
        let bytes = line.bytes_per_second.map_or_else(String::new, |bytes| format!("{:.1} MB/s, ", bytes / 1e6));
        format!(
            "{:.2} ms, {bytes}{} tokens/s, {:.1} MB of memory at most",
            line.milliseconds,
            grouped(line.tokens_per_second as u64),
            line.peak_rss_bytes as f64 / 1e6
        )
    })?;
    Ok(output.finish()?)
}

/// What is timed: model, lengths of the sequences, repetitions, threads, seed.
type Work = fn(&Config, &[usize], usize, Option<usize>, u64) -> Result<bench::Times, cloze::Error>;

fn network(shape: &Shape, common: &Common, work: Work) -> anyhow::Result<Line> {
    let Some(config) = Config::preset(&shape.preset) else {
        bail!("--preset: there is no {}", shape.preset);
    };
    let lengths = shape.lengths();
    let times = work(&config, &lengths, shape.repetitions.repetitions.get(), common.threads(), common.seed)?;
    Ok(line(&times, lengths.iter().sum(), None))
}

fn tokenize(arguments: &TokenizeArgs, common: &Common) -> anyhow::Result<Line> {
    let tokenizer = arguments.tokenizer.open()?;
    let (texts, bytes) = read_lines(&arguments.input)?;
    let threads = common.threads().or(std::thread::available_parallelism().ok().map(NonZeroUsize::get)).unwrap_or(1);
    let mut times = Vec::new();
    let mut tokens = 0;
    for _ in 0..=arguments.repetitions.repetitions.get() {
        let start = Instant::now();
        tokens = count_tokens(&tokenizer, &texts, threads);
        times.push(start.elapsed());
    }
    // The first repetition warms up.
    Ok(line(&times[1..], tokens, Some(bytes)))
}

/// The lines of a file, and how many bytes they are.
fn read_lines(path: &Path) -> anyhow::Result<(Vec<String>, usize)> {
    let file = std::fs::File::open(path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?;
    let texts: Vec<String> =
        read_examples_from(file, Format::Text, path, None, false)?.into_iter().map(|example| example.text).collect();
    let bytes = texts.iter().map(String::len).sum();
    Ok((texts, bytes))
}

/// Encodes all texts, ids and character offsets, and adds up their tokens.
fn count_tokens(tokenizer: &Tokenizer, texts: &[String], threads: usize) -> usize {
    // Of the whole encoding, not of its length alone, the compiler must believe that it is used.
    let encode = |text: &String| black_box(tokenizer.encode(text, None));
    let count = |texts: &[String]| texts.iter().map(|text| encode(text).len()).sum::<usize>();
    // Lines of a text are alike enough for equal numbers of them to take equal times.
    std::thread::scope(|scope| {
        let parts = texts.chunks(texts.len().div_ceil(threads).max(1));
        let workers: Vec<_> = parts.map(|part| scope.spawn(move || count(part))).collect();
        workers.into_iter().map(|worker| worker.join().expect("tokenizing does not panic")).sum()
    })
}

fn line(times: &[Duration], tokens: usize, bytes: Option<usize>) -> Line {
    let seconds = median(&mut times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>());
    Line {
        milliseconds: 1e3 * seconds,
        tokens_per_second: tokens as f64 / seconds,
        bytes_per_second: bytes.map(|bytes| bytes as f64 / seconds),
        peak_rss_bytes: peak_rss_bytes(),
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The most memory that this process has held, as Linux counts it; 0 where it cannot be told.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_told() {
        assert!(peak_rss_bytes() > 1 << 20);
    }
}
