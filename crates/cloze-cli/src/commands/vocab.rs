//! `cloze vocab`: a WordPiece vocabulary from text.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use cloze_tokenizer::Tokenizer;
use cloze_tokenizer::train::{TrainOptions, WordCounts, train};
use serde::Serialize;

use crate::arguments::{Common, casing, create_folder};
use crate::output::{Output, grouped};
use crate::progress::Progress;

/// Flags of `cloze vocab`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze vocab --input book1.txt book2.txt --output vocab --size 8000")]
pub struct Arguments {
    /// Text files in UTF-8
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Folder for vocab.txt, tokenizer.json and their companions
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Tokens in the vocabulary
    #[arg(long, value_name = "N", default_value_t = 30_522)]
    size: usize,
    /// Keep upper case and accents
    #[arg(long)]
    cased: bool,
    /// Rarer pieces are not joined
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_frequency: u64,
}

#[derive(Serialize)]
struct Answer<'a> {
    tokens: usize,
    output: &'a Path,
}

/// Runs `cloze vocab`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let tokens = make(&arguments.input, &arguments.output, &options(arguments))?;
    let mut output = Output::new(common.json);
    output.answer(&Answer { tokens, output: &arguments.output }, || {
        format!("{} tokens in {}", grouped(tokens as u64), arguments.output.display())
    })?;
    Ok(output.finish()?)
}

fn options(arguments: &Arguments) -> TrainOptions {
    TrainOptions {
        size: arguments.size,
        min_frequency: arguments.min_frequency,
        casing: casing(arguments.cased),
        ..TrainOptions::default()
    }
}

/// Trains on the files, writes the folder, and says how many tokens there are.
pub fn make(files: &[PathBuf], folder: &Path, options: &TrainOptions) -> anyhow::Result<usize> {
    let bytes = total_bytes(files)?;
    if folder.join("config.json").exists() {
        bail!("{} holds a model, which needs its own vocabulary; choose another --output", folder.display());
    }
    // Before the long work, so that a wrong path is found out at once.
    create_folder(folder)?;
    let counts = count(files, bytes, options)?;
    let progress = Progress::new();
    let tokens =
        train(&counts, options, &mut |done, total| progress.at("training the vocabulary", done as u64, total as u64))?;
    progress.clear();
    let size = tokens.len();
    Tokenizer::from_tokens(tokens, options.casing)?.save(folder)?;
    Ok(size)
}

/// The size of all files, which must all be there and not all be empty.
fn total_bytes(files: &[PathBuf]) -> anyhow::Result<u64> {
    let mut total = 0;
    for file in files {
        total += std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    }
    if total == 0 {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        bail!("{}: no text in it; a vocabulary needs text", names.join(", "));
    }
    Ok(total)
}

fn count(files: &[PathBuf], total: u64, options: &TrainOptions) -> anyhow::Result<WordCounts> {
    let progress = Progress::new();
    let mut counts = WordCounts::new(options.casing);
    let mut done = 0;
    for file in files {
        let mut reader = BufReader::with_capacity(
            1 << 20,
            File::open(file).with_context(|| format!("cannot read {}", file.display()))?,
        );
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            let read =
                reader.read_until(b'\n', &mut bytes).with_context(|| format!("cannot read {}", file.display()))?;
            if read == 0 {
                break;
            }
            let Ok(text) = std::str::from_utf8(&bytes) else {
                bail!("{}:{line}: not UTF-8; convert the file, for example with iconv", file.display());
            };
            counts.add_text(text);
            done += read as u64;
            progress.at("counting words", done, total);
        }
    }
    progress.clear();
    Ok(counts)
}
