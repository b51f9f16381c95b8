//! `cloze quantize`: a model directory with int8 weights from another one.

use std::path::{Path, PathBuf};

use clap::Args;
use cloze::quantize::quantize;
use serde::Serialize;

use crate::arguments::{Common, note_report};
use crate::models;
use crate::output::Output;

/// Flags of `cloze quantize`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze quantize --model classifier --output classifier-int8\n  \
    cloze predict --model classifier-int8 --text \"The milk was good.\"\n\n\
    Weights of the encoder are stored in int8, the embeddings stay as they are: a base model has about two fifths of \
    its size in f32. The answers are those of the same model with --precision int8, to the bit. The result cannot be \
    trained.")]
pub struct Arguments {
    /// Quantize this model directory
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Write the model to this folder
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Replace a model that the folder holds
    #[arg(long)]
    overwrite: bool,
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(serialize_with = "crate::output::lossy")]
    output: &'a Path,
    /// Of the file with the weights.
    bytes: u64,
    /// Of the same weights in f32.
    bytes_f32: u64,
}

/// Runs `cloze quantize`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let Arguments { model, output, overwrite } = arguments;
    models::need(model)?;
    let quantized = quantize(model, common.tokenizer_file, output, *overwrite)?;
    note_report(model, &quantized.report);
    let answer = Answer { output, bytes: quantized.bytes, bytes_f32: quantized.bytes_f32 };
    let mut lines = Output::new(common.json);
    lines.answer(&answer, || {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let share = 100.0 * answer.bytes as f64 / answer.bytes_f32.max(1) as f64;
        format!(
            "{}: {}, {share:.0} % of its size in f32 ({})",
            output.display(),
            megabytes(answer.bytes),
            megabytes(answer.bytes_f32)
        )
    })?;
    Ok(lines.finish()?)
}
