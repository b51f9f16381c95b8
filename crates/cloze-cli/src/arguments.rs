//! The flags that several sub-commands share.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser};
use cloze::checkpoint::{self, Report};
use cloze::folder;
use cloze::infer::{OpenOptions, THREADS_MAX};
use cloze::precision::{self, check_training};
use cloze::{Model, Precision};
use cloze_tokenizer::{Casing, Tokenizer, TokenizerFile};

use crate::commands::Command;
use crate::models;

/// Make and use BERT models, from raw text to predictions. Models are Hugging Face directories.
#[derive(Debug, Parser)]
#[command(
    name = "cloze",
    version,
    max_term_width = HELP_WIDTH,
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
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// Seed of all random draws
    #[arg(long, global = true, value_name = "N", default_value_t = 1, value_parser = at_least(0_u64))]
    pub seed: u64,
    /// Compute with N threads; the results are the same for any N [default: all that this process may use]
    #[arg(long, global = true, value_name = "N", value_parser = between(1, THREADS_MAX))]
    threads: Option<NonZeroUsize>,
    /// Compute in this number format: bf16 is faster and has fewer digits; int8 is faster still and cannot train
    /// [default: f32]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = precision_parser())]
    precision: Option<Precision>,
    /// Let this file decide where the files of a tokenizer contradict each other: tokenizer.json,
    /// tokenizer_config.json (as transformers does), or vocab.txt alone [default: contradictions are errors]
    #[arg(long, global = true, value_name = "NAME", value_parser = tokenizer_file_parser())]
    pub tokenizer_file: Option<TokenizerFile>,
    /// Answer in JSON lines
    #[arg(long, global = true)]
    pub json: bool,
}

impl Cli {
    /// Refuses flags that are right one by one, but not together.
    pub fn check(&self) -> Result<(), clap::Error> {
        if self.command.trains() {
            check_training(self.common.training_precision()).map_err(|error| {
                wrong_usage(self.command.path(), ErrorKind::ArgumentConflict, &format!("--precision: {error}"))
            })?;
        }
        match &self.command {
            Command::Pretrain(arguments) => arguments.check(),
            _ => Ok(()),
        }
    }
}

/// Widest help, in columns.
const HELP_WIDTH: usize = 100;

/// The program's flags, their usage laid out for the terminal, which `clap` does for all the rest of a help.
pub fn command() -> clap::Command {
    let mut cli = Cli::command();
    cli.build();
    lay_out_usage(cli, help_width())
}

/// Columns of a help: those of the terminal, or of `COLUMNS`, as `clap` has it.
fn help_width() -> usize {
    let columns = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = terminal_size::terminal_size().map(|(columns, _)| usize::from(columns.0));
    terminal.or_else(columns).unwrap_or(HELP_WIDTH).min(HELP_WIDTH)
}

fn lay_out_usage(mut command: clap::Command, width: usize) -> clap::Command {
    let usage = command.render_usage().to_string();
    let usage = wrapped_usage(usage.trim_start_matches("Usage: "), width);
    command.override_usage(usage).mut_subcommands(|command| lay_out_usage(command, width))
}

/// A usage in lines of at most `width` columns, as far as that goes: a flag and its value stay together.
fn wrapped_usage(usage: &str, width: usize) -> String {
    const FIRST: usize = "Usage: ".len();
    const INDENT: usize = FIRST;
    let mut text = String::new();
    let mut column = FIRST;
    for line in usage.lines() {
        // The value of a flag begins with an angle bracket; a choice of flags does, too, and then a dash follows.
        let mut parts: Vec<String> = Vec::new();
        for word in line.split_whitespace() {
            let is_value = word.starts_with('<') && !word.starts_with("<-");
            match parts.last_mut() {
                Some(last) if is_value && last.trim_start_matches('<').starts_with("--") => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => parts.push(word.to_string()),
            }
        }
        for part in parts {
            let length = part.chars().count();
            if column > FIRST && column + 1 + length > width {
                text.push('\n');
                text.push_str(&" ".repeat(INDENT));
                column = INDENT;
            } else if column > FIRST {
                text.push(' ');
                column += 1;
            }
            text.push_str(&part);
            column += length;
        }
    }
    text
}

/// Wrong usage of the sub-command that the names lead to, with its usage.
pub fn wrong_usage(path: &[&str], kind: ErrorKind, message: &str) -> clap::Error {
    let mut cli = command();
    let mut command = &mut cli;
    for name in path {
        command = command.find_subcommand_mut(name).expect("the name of a command");
    }
    command.error(kind, message)
}

/// The names of the precisions.
fn precision_parser() -> impl TypedValueParser<Value = Precision> {
    let names = precision::NAMES.map(|(name, _)| name);
    PossibleValuesParser::new(names).map(|name| precision::named(&name).expect("one of the names"))
}

/// The names of the files of a tokenizer that can decide.
fn tokenizer_file_parser() -> impl TypedValueParser<Value = TokenizerFile> {
    let file = |name: String| TokenizerFile::NAMES.into_iter().find(|(other, _)| *other == name);
    PossibleValuesParser::new(TokenizerFile::NAMES.map(|(name, _)| name))
        .map(move |name| file(name).expect("one of the names").1)
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
        OpenOptions { threads: self.threads(), precision: self.precision, tokenizer_file: self.tokenizer_file }
    }
}

/// Which tokenizer.
#[derive(Debug, Args)]
pub struct TokenizerArgs {
    /// Read the tokenizer from this model directory or vocab.txt
    #[arg(long, visible_alias = "vocab", value_name = "PATH")]
    pub tokenizer: PathBuf,
    /// Read a bare vocab.txt as that of a cased model: keep upper case and accents
    #[arg(long)]
    pub cased: bool,
}

impl TokenizerArgs {
    /// Reads it.
    pub fn open(&self, common: &Common) -> anyhow::Result<Tokenizer> {
        open_tokenizer(&self.tokenizer, self.cased, common)
    }
}

/// Reads a tokenizer, and says what was assumed.
pub fn open_tokenizer(path: &Path, cased: bool, common: &Common) -> anyhow::Result<Tokenizer> {
    let _reading = folder::read(path)?;
    let tokenizer = checkpoint::open_tokenizer(path, casing(cased), common.tokenizer_file)?;
    note_tokenizer(&tokenizer);
    Ok(tokenizer)
}

/// Casing that `--cased` gives; without it the vocabulary decides.
pub fn casing(cased: bool) -> Option<Casing> {
    cased.then_some(Casing::Cased)
}

/// Says what was assumed when a tokenizer was read.
pub fn note_tokenizer(tokenizer: &Tokenizer) {
    tokenizer.notes().iter().for_each(|note| say!("note: {note}"));
}

/// Opens a model directory, and says what its files lack or have too much of.
pub fn open_model(dir: &Path, common: &Common) -> anyhow::Result<Model> {
    models::need(dir)?;
    let model = Model::open_with(dir, common.open_options())?;
    note_substitute(model.substitute());
    note_report(dir, model.load_report());
    note_tokenizer(model.tokenizer());
    model.notes().iter().for_each(|note| say!("note: {}: {note}", dir.display()));
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

/// Says what a model directory lacks or has too much, and what has changed in it.
pub fn note_report(dir: &Path, report: &Report) {
    if !report.changed.is_empty() {
        say!("note: {}: changed since it was written: {}", dir.display(), report.changed.join(", "));
    }
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

/// Parses a whole number of at least `least`, for flags.
pub fn at_least<T>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| {
        let value = text.parse().ok().filter(|value| *value >= least);
        value.ok_or_else(|| format!("expected a whole number, {least} or more"))
    }
}

/// Parses a whole number from `least` to `most`, for flags whose number takes memory or threads.
pub fn between(least: usize, most: usize) -> impl Fn(&str) -> Result<NonZeroUsize, String> + Clone + Send + Sync {
    move |text| {
        let value = text.parse().ok().filter(|value: &NonZeroUsize| (least..=most).contains(&value.get()));
        value.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    }
}

/// Parses any number, for flags.
pub fn finite(text: &str) -> Result<f64, String> {
    number(text, |_| true, "a number")
}

/// Parses a stretch of time, for flags.
pub fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a time such as 30m, 8h or 1h30m".to_string())
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

    /// Every command, with the names that lead to it.
    fn each_command(work: &mut impl FnMut(&[String], &clap::Command)) {
        fn walk(path: &mut Vec<String>, command: &clap::Command, work: &mut impl FnMut(&[String], &clap::Command)) {
            work(path, command);
            for inner in command.get_subcommands().filter(|command| command.get_name() != "help") {
                path.push(inner.get_name().to_string());
                walk(path, inner, work);
                path.pop();
            }
        }
        walk(&mut Vec::new(), &command(), work);
    }

    #[test]
    fn wrong_values_are_told_in_words_of_ours() {
        let foreign = [
            "digit",
            "zero",
            "float",
            "non-zero",
            "integer",
            "parse",
            "too large",
            "too small",
            "is not in",
            "time unit",
        ];
        let mut seen = 0;
        each_command(&mut |path, command| {
            for argument in
                command.get_arguments().filter(|argument| argument.get_num_args().is_none_or(|n| n.takes_values()))
            {
                let Some(name) = argument.get_long() else { continue };
                for bad in ["x", "-1", "0", "1.5", "nan", "99999999999999999999999999", "1e400"] {
                    let flag = format!("--{name}={bad}");
                    let words = ["cloze"].into_iter().chain(path.iter().map(String::as_str)).chain([flag.as_str()]);
                    let Err(error) = Cli::try_parse_from(words) else { continue };
                    if error.kind() == ErrorKind::ValueValidation {
                        let message = error.to_string();
                        let message = message.lines().next().unwrap();
                        let said = message.rsplit_once("': ").map_or(message, |(_, said)| said);
                        assert!(!foreign.iter().any(|word| said.contains(word)), "{path:?}: {message}");
                        seen += 1;
                    }
                }
            }
        });
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn every_flag_says_what_it_does_in_a_sentence_that_begins_with_a_verb_or_noun() {
        let elliptic = ["Whether ", "Which ", "How ", "What ", "That ", "Not ", "Everything ", "Rarer ", "As "];
        each_command(&mut |path, command| {
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let name = argument.get_id();
                assert!(help.len() >= 10, "{path:?} {name}: {help}");
                assert!(!elliptic.iter().any(|word| help.starts_with(word)), "{path:?} {name}: {help}");
            }
        });
    }

    #[test]
    fn a_usage_keeps_flags_and_their_values_together() {
        let usage = "cloze a [OPTIONS] --output <DIR> <--preset <NAME>|--model <DIR>> <INPUT>...";
        let lines = "cloze a [OPTIONS] --output <DIR>\n       <--preset <NAME>|--model <DIR>> <INPUT>...";
        assert_eq!(wrapped_usage(usage, 60), lines);
        assert_eq!(wrapped_usage(usage, 100), usage);
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
