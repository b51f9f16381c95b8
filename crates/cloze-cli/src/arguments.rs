//! The flags that several sub-commands share.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser};
use cloze::checkpoint::Report;
use cloze::infer::OpenOptions;
use cloze::precision::{self, check_training};
use cloze::{Model, Precision};
use cloze_tokenizer::{Casing, Tokenizer};

use crate::commands::Command;

/// BERT from raw text to predictions: vocabulary, pre-training, fine-tuning, evaluation, prediction,
/// embedding. Models are Hugging Face directories.
#[derive(Debug, Parser)]
#[command(
    name = "cloze",
    version,
    max_term_width = 100,
    after_help = "Example, the whole way in a few minutes:\n  cloze quickstart"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Common {
    /// Everything drawn at random follows from it
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Threads to compute with; results are the same for any number [default: all that this process may use]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Number format to compute in: f32; bf16, which is faster and has fewer digits; or int8, for using a model
    /// only, faster still [default: f32]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = precision_parser())]
    precision: Option<Precision>,
    /// Answer in JSON lines
    #[arg(long, global = true)]
    pub json: bool,
}

impl Cli {
    /// Refuses flags that are right one by one, but not together.
    pub fn check(&self) -> Result<(), clap::Error> {
        if !self.command.trains() {
            return Ok(());
        }
        let wrong =
            |error: cloze::Error| Cli::command().error(ErrorKind::ArgumentConflict, format!("--precision: {error}"));
        check_training(self.common.training_precision()).map_err(wrong)?;
        match &self.command {
            Command::Pretrain(arguments) => arguments.check(),
            _ => Ok(()),
        }
    }
}

/// The names of the precisions.
fn precision_parser() -> impl TypedValueParser<Value = Precision> {
    let names = precision::NAMES.map(|(name, _)| name);
    PossibleValuesParser::new(names).map(|name| precision::named(&name).expect("one of the names"))
}

impl Common {
    /// The number of threads asked for.
    pub fn threads(&self) -> Option<usize> {
        self.threads.map(NonZeroUsize::get)
    }

    /// Lets reading and tokenising, which run outside of a model's own threads, use as many.
    pub fn limit_threads(&self) -> anyhow::Result<()> {
        if let Some(threads) = self.threads() {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
        }
        Ok(())
    }

    /// The precision that a training computes in.
    pub fn training_precision(&self) -> Precision {
        self.precision.unwrap_or_default()
    }

    /// How a model is opened.
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions { threads: self.threads(), precision: self.precision }
    }
}

/// Which tokenizer.
#[derive(Debug, Args)]
pub struct TokenizerArgs {
    /// A model directory or a vocab.txt
    #[arg(long, visible_alias = "vocab", value_name = "PATH")]
    pub tokenizer: PathBuf,
    /// A bare vocab.txt is of a cased model
    #[arg(long)]
    pub cased: bool,
}

impl TokenizerArgs {
    /// Reads it.
    pub fn open(&self) -> Result<Tokenizer, cloze_tokenizer::Error> {
        Tokenizer::open(&self.tokenizer, casing(self.cased))
    }
}

/// What `--cased` means.
pub fn casing(cased: bool) -> Casing {
    if cased { Casing::Cased } else { Casing::Uncased }
}

/// Opens a model directory, and says what its files lack or have too much of.
pub fn open_model(dir: &Path, common: &Common) -> anyhow::Result<Model> {
    let model = Model::open_with(dir, common.open_options())?;
    note_substitute(model.substitute());
    note_report(dir, model.load_report());
    let (tokens, rows) = (model.tokenizer().vocab_size(), model.config().vocab_size);
    if tokens < rows {
        say!(
            "note: {}: the vocabulary has {tokens} tokens, the word embeddings have {rows}; that is as it should be if \
             they were padded, otherwise the vocabulary is another model's",
            dir.display()
        );
    }
    Ok(model)
}

/// Says what a model directory lacks or has too much.
pub fn note_report(dir: &Path, report: &Report) {
    for (what, names) in [("missing, so taken as 0", &report.missing), ("not used", &report.unused)] {
        if !names.is_empty() {
            say!("note: {}: tensors {what}: {}", dir.display(), names.join(", "));
        }
    }
}

/// Says that the processor computes something else than the precision asked for.
pub fn note_substitute(substitute: Option<&str>) {
    if let Some(note) = substitute {
        say!("note: {note}");
    }
}

/// Parses a number above 0, for flags.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0, "a number above 0")
}

/// Parses a number of 0 or more, for flags.
pub fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0, "a number, 0 or more")
}

/// Parses a share of something, for flags.
pub fn share(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..=1.0).contains(&value), "a number from 0 to 1")
}

/// Parses a share of something that is never all of it, for flags.
pub fn part(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..1.0).contains(&value), "a number, at least 0 and below 1")
}

/// Parses an amount of memory, for flags: bytes, or with K, M, G or T that many times 1,024.
pub fn memory(text: &str) -> Result<u64, String> {
    let expected = || "expected an amount of memory such as 512M or 2G".to_string();
    let (number, factor) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            let power = "KMGT".find(unit.to_ascii_uppercase()).ok_or_else(expected)?;
            (&text[..at], 1u64 << (10 * (power + 1)))
        }
        _ => (text, 1),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    let bytes = number.checked_mul(factor).ok_or_else(expected)?;
    if bytes < MEMORY_MIN { Err("expected at least 16M".to_string()) } else { Ok(bytes) }
}

/// Below this the program itself is what takes memory.
const MEMORY_MIN: u64 = 16 << 20;

fn number(text: &str, is_allowed: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && is_allowed(*value));
    value.ok_or_else(|| format!("expected {expected}"))
}

/// Creates the folder of an output; the message names the folder and what to do.
pub fn create_folder(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).map_err(|error| {
        anyhow::anyhow!("cannot create the folder {}: {error}; choose another --output", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
            command.get_subcommands_mut().filter(|command| command.get_name() != "help").for_each(check);
        }
        check(&mut Cli::command());
    }

    #[test]
    fn amounts_of_memory() {
        assert_eq!(memory("16777216"), Ok(16 << 20));
        assert_eq!(memory("256M"), Ok(256 << 20));
        assert_eq!(memory("2g"), Ok(2 << 30));
        assert_eq!(memory("1T"), Ok(1 << 40));
        assert_eq!(memory("20000K"), Ok(20_000 << 10));
        assert_eq!(memory("15M"), Err("expected at least 16M".to_string()));
        for text in ["", "M", "1.5G", "-1G", "1GB", "2 G", "99999999T", "much", "1é"] {
            assert!(memory(text).is_err_and(|message| message.contains("such as 512M")), "{text}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(share("1"), Ok(1.0));
        assert_eq!(part("0"), Ok(0.0));
        assert_eq!(not_negative("0"), Ok(0.0));
        for text in ["0", "-1", "nan", "inf", "one"] {
            assert_eq!(positive(text), Err("expected a number above 0".to_string()), "{text}");
        }
        assert!(share("1.1").is_err() && part("1").is_err() && not_negative("-0.1").is_err());
    }
}
