//! `cloze bench`: speed and memory of this machine, on random weights and ids.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::bail;
use clap::{Args, Subcommand};
use cloze::Config;
use cloze::bench::{self, Measurement, Work, median};
use cloze::data::{DataOptions, Format, Labelling, read_examples};
use cloze::memory::peak_resident_bytes;
use cloze::train::BATCH_SIZE_MAX;
use cloze_tokenizer::Tokenizer;
use serde::Serialize;

use crate::arguments::{Common, TokenizerArgs, at_least, between, note_substitute, open_model};
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
    /// Time a forward pass: all hidden states of the last layer, and the pooler
    #[command(after_help = "Example:\n  cloze bench forward --preset base --batch 8 --seq-length 128\n  \
        cloze bench forward --model model --lengths 12,64,128 \\\n    --output outputs.safetensors --json")]
    Forward(ForwardArgs),
    /// Time a whole step of pre-training: forward, backward, clipping, AdamW; with dropout and round(0.15·length) masked
    /// tokens a row
    #[command(after_help = "Example:\n  cloze bench train --preset tiny --batch 32 --seq-length 128")]
    Train(TrainArgs),
    /// Time turning the lines of a text into token ids and offsets
    #[command(after_help = "Example:\n  cloze bench tokenize --tokenizer vocab --input book.txt --json")]
    Tokenize(TokenizeArgs),
}

#[derive(Debug, Args)]
struct ForwardArgs {
    #[command(flatten)]
    weights: Weights,
    #[command(flatten)]
    shape: Shape,
    /// Write inputs and outputs to this safetensors file, for other programs to compare with
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Weights {
    /// Use random weights of a published size: tiny, mini, small, medium, base or large
    #[arg(long, value_name = "NAME", value_parser = preset)]
    preset: Option<Config>,
    /// Use the weights in this model directory
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct TrainArgs {
    /// Use random weights of a published size: tiny, mini, small, medium, base or large
    #[arg(long, value_name = "NAME", value_parser = preset)]
    preset: Config,
    #[command(flatten)]
    shape: Shape,
    /// Compute each layer again in backward instead of keeping its values: takes less memory and more time, gives the
    /// same bits
    #[arg(long)]
    recompute: bool,
}

/// The configuration of a published size, for flags.
fn preset(name: &str) -> Result<Config, String> {
    Config::preset(name).ok_or_else(|| "there are tiny, mini, small, medium, base and large".to_string())
}

/// Tokens of a batch that is timed at most: their buffers for a large model take some hundreds of gigabytes.
const TOKENS_MAX: usize = 1 << 22;

#[derive(Debug, Args)]
struct Shape {
    /// Use a batch of N sequences
    #[arg(long, value_name = "N", default_value = "1", value_parser = between(1, BATCH_SIZE_MAX))]
    batch: NonZeroUsize,
    /// Give each sequence N tokens
    #[arg(
        long,
        value_name = "N",
        default_value = "128",
        value_parser = between(1, TOKENS_MAX),
        conflicts_with = "lengths"
    )]
    seq_length: NonZeroUsize,
    /// Use sequences of these lengths, instead of --batch and --seq-length
    #[arg(
        long,
        value_name = "N,N,...",
        value_delimiter = ',',
        value_parser = between(1, TOKENS_MAX),
        conflicts_with = "batch"
    )]
    lengths: Vec<NonZeroUsize>,
    #[command(flatten)]
    repetitions: Repetitions,
}

#[derive(Debug, Args)]
struct TokenizeArgs {
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// Read this text file in UTF-8, a text a line
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    #[command(flatten)]
    repetitions: Repetitions,
}

#[derive(Debug, Args)]
struct Repetitions {
    /// Repeat N times after one time to warm up, and take the median
    #[arg(long, value_name = "N", default_value = "5", value_parser = at_least(NonZeroUsize::MIN))]
    repetitions: NonZeroUsize,
}

impl Arguments {
    /// Whether a training step is timed.
    pub fn trains(&self) -> bool {
        matches!(self.what, What::Train(_))
    }
}

impl Shape {
    fn work(&self, common: &Common) -> anyhow::Result<Work> {
        let tokens = match self.lengths.as_slice() {
            [] => self.seq_length.get().saturating_mul(self.batch.get()),
            lengths => lengths.iter().fold(0usize, |sum, length| sum.saturating_add(length.get())),
        };
        if tokens > TOKENS_MAX {
            bail!(
                "a batch of {tokens} tokens; at most {TOKENS_MAX} are timed: make the batch or its sequences smaller"
            );
        }
        let lengths = if self.lengths.is_empty() {
            vec![self.seq_length.get(); self.batch.get()]
        } else {
            self.lengths.iter().map(|length| length.get()).collect()
        };
        Ok(Work { lengths, repetitions: self.repetitions.repetitions.get(), seed: common.seed })
    }
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Line {
    milliseconds: f64,
    tokens_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<f64>,
    /// Billions of operations in products of matrices a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    gflops: Option<f64>,
    /// Of what this machine's vector units do at most, measured around each repetition.
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction_of_ceiling: Option<f64>,
    /// The sum of all hidden states of the last layer and of the pooler's output.
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<f64>,
    /// Both losses together, before the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    losses: Option<f64>,
    peak_rss_bytes: u64,
}

/// Runs `cloze bench`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let line = match &arguments.what {
        What::Forward(arguments) => forward(arguments, common)?,
        What::Train(arguments) => train(arguments, common)?,
        What::Tokenize(arguments) => tokenize(arguments, common)?,
    };
    let mut output = Output::new(common.json);
    output.answer(&line, || readable(&line))?;
    Ok(output.finish()?)
}

fn readable(line: &Line) -> String {
    let mut text = format!("{:.2} ms", line.milliseconds);
    if let Some(bytes) = line.bytes_per_second {
        text.push_str(&format!(", {:.1} MB/s", bytes / 1e6));
    }
    text.push_str(&format!(", {} tokens/s", grouped(line.tokens_per_second as u64)));
    if let (Some(gflops), Some(fraction)) = (line.gflops, line.fraction_of_ceiling) {
        text.push_str(&format!(", {gflops:.1} Gflop/s, {:.0} % of this machine's ceiling", 100.0 * fraction));
    }
    if let Some(checksum) = line.checksum {
        text.push_str(&format!(", checksum {checksum:.6}"));
    }
    if let Some(loss) = line.losses {
        text.push_str(&format!(", first loss {loss:.6}"));
    }
    text.push_str(&format!(", {:.1} MB of memory at most", line.peak_rss_bytes as f64 / 1e6));
    text
}

fn forward(arguments: &ForwardArgs, common: &Common) -> anyhow::Result<Line> {
    let work = arguments.shape.work(common)?;
    let ran = match (&arguments.weights.preset, &arguments.weights.model) {
        (Some(config), _) => {
            let network = bench::random_network(config, common.open_options(), common.seed)?;
            note_substitute(network.kernels.substitute());
            bench::forward(&network, &work)?
        }
        (None, Some(dir)) => bench::forward(open_model(dir, common)?.network(), &work)?,
        (None, None) => unreachable!("one of --preset and --model is required"),
    };
    if let Some(path) = &arguments.output {
        ran.write(path)?;
    }
    Ok(Line { checksum: Some(ran.checksum()), ..measured(&ran.measurement, &work) })
}

fn train(arguments: &TrainArgs, common: &Common) -> anyhow::Result<Line> {
    let work = arguments.shape.work(common)?;
    let ran = bench::train(&arguments.preset, common.open_options(), arguments.recompute, &work)?;
    note_substitute(ran.substitute);
    Ok(Line { losses: Some(ran.first_loss), ..measured(&ran.measurement, &work) })
}

fn tokenize(arguments: &TokenizeArgs, common: &Common) -> anyhow::Result<Line> {
    let tokenizer = arguments.tokenizer.open(common)?;
    let (texts, bytes) = read_lines(&arguments.input)?;
    let threads = common.threads().or(std::thread::available_parallelism().ok().map(NonZeroUsize::get)).unwrap_or(1);
    let mut times = Vec::new();
    let mut tokens = 0;
    for _ in 0..=arguments.repetitions.repetitions.get() {
        let start = Instant::now();
        tokens = count_tokens(&tokenizer, &texts, threads);
        times.push(start.elapsed().as_secs_f64());
    }
    // The first repetition warms up.
    let seconds = median(times.split_off(1));
    Ok(Line { bytes_per_second: Some(bytes as f64 / seconds), ..line(seconds, tokens) })
}

/// The lines of a file, and how many bytes they are.
fn read_lines(path: &Path) -> anyhow::Result<(Vec<String>, usize)> {
    let options = DataOptions { format: Some(Format::Text), ..DataOptions::default() };
    let examples = read_examples(path, &options, Labelling::Optional)?.items;
    let texts: Vec<String> = examples.into_iter().map(|example| example.text).collect();
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

fn measured(measurement: &Measurement, work: &Work) -> Line {
    Line {
        gflops: Some(measurement.gflops()),
        fraction_of_ceiling: Some(measurement.fraction_of_ceiling()),
        ..line(measurement.seconds(), work.lengths.iter().sum())
    }
}

fn line(seconds: f64, tokens: usize) -> Line {
    Line {
        milliseconds: 1e3 * seconds,
        tokens_per_second: tokens as f64 / seconds,
        bytes_per_second: None,
        gflops: None,
        fraction_of_ceiling: None,
        checksum: None,
        losses: None,
        peak_rss_bytes: peak_resident_bytes().unwrap_or_default(),
    }
}
