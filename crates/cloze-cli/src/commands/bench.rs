//! `cloze bench`: speed and memory of this machine, on random weights and ids.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use cloze::{Config, bench};
use serde::Serialize;

use crate::arguments::Common;
use crate::output::{Output, grouped};

/// Flags of `cloze bench`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze bench forward --preset base --batch 8 --seq-length 128\n  \
    cloze bench train --preset tiny --lengths 12,64,128 --json")]
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
    #[arg(long, value_name = "N", default_value_t = 128, conflicts_with = "lengths")]
    seq_length: usize,
    /// Tokens in each, one by one, instead of --batch and --seq-length
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', conflicts_with = "batch")]
    lengths: Vec<usize>,
    /// Measured repetitions, after one to warm up
    #[arg(long, value_name = "N", default_value = "5")]
    repetitions: NonZeroUsize,
}

impl Shape {
    fn lengths(&self) -> Vec<usize> {
        if self.lengths.is_empty() { vec![self.seq_length; self.batch.get()] } else { self.lengths.clone() }
    }
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Line {
    milliseconds: f64,
    tokens_per_second: f64,
    peak_rss_bytes: u64,
}

/// Runs `cloze bench`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let (shape, training) = match &arguments.what {
        What::Forward(shape) => (shape, false),
        What::Train(shape) => (shape, true),
    };
    let lengths = shape.lengths();
    let Some(config) = Config::preset(&shape.preset) else {
        bail!("--preset: there is no {}", shape.preset);
    };
    let work = if training { bench::train } else { bench::forward };
    let times = work(&config, &lengths, shape.repetitions.get(), common.threads(), common.seed)?;
    let median = median(&mut times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>());
    let tokens: usize = lengths.iter().sum();
    let line = Line {
        milliseconds: 1e3 * median,
        tokens_per_second: tokens as f64 / median,
        peak_rss_bytes: peak_rss_bytes(),
    };
    let mut output = Output::new(common.json);
    output.answer(&line, || {
        format!(
            "{:.2} ms, {} tokens/s, {:.1} MB at most",
            line.milliseconds,
            grouped(line.tokens_per_second as u64),
            line.peak_rss_bytes as f64 / 1e6
        )
    })?;
    Ok(output.finish()?)
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
