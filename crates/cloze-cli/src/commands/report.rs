//! `cloze report`: the page that tells of a training, from its files.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::arguments::Common;
use crate::output::Output;
use crate::report;

/// Flags of `cloze report`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze report classifier\n\n\
    A training writes its report.html at its end. This command writes it again; while a pre-training is under way, it \
    reports its newest checkpoint.")]
pub struct Arguments {
    /// Output folder of a pre-training, or of a finished fine-tuning
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(serialize_with = "crate::output::lossy")]
    report: &'a Path,
}

/// Runs `cloze report`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let path = report::of_folder(&arguments.folder)?;
    let mut output = Output::new(common.json);
    output.answer(&Answer { report: &path }, || path.display())?;
    Ok(output.finish()?)
}
