//! `cloze vocab`: a WordPiece vocabulary from text, or more words for one.

mod extend;
mod report;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use cloze::data::corpus::is_store;
use cloze::data::documents::for_each_block;
use cloze::data::{DocumentBreak, DocumentOptions, find_files};
use cloze::folder::Folder;
use cloze_tokenizer::train::{CorpusCounts, CountedWords, Coverage, Score, TrainOptions, train_on};
use cloze_tokenizer::{Casing, Tokenizer};

use crate::arguments::{Common, at_least, create_folder, memory};
use crate::input::FieldArgs;
use crate::output::Output;
use crate::progress::Progress;
use report::{Answer, CoverageAnswer, DeadTokens, TextAnswer};

/// Flags of `cloze vocab`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example:\n  cloze vocab --input book1.txt book2.txt --output vocab --size 8000\n\n\
    The vocabulary begins with [PAD], [unused0], [unused1], ... as --unused says, [UNK] [CLS] [SEP] [MASK]: with \
    --unused 99 they have the ids of Google's vocabularies. The tokens of --token follow, then single characters, then \
    pieces in the order in which they were found. The same text and flags give the same vocabulary, with any number of \
    threads."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<VocabCommand>,
    #[command(flatten)]
    train: TrainArguments,
}

#[derive(Debug, Subcommand)]
enum VocabCommand {
    /// Add words of a text to the vocabulary of a model, or of a tokenizer alone
    Extend(extend::Arguments),
}

#[derive(Debug, Args)]
struct TrainArguments {
    #[command(flatten)]
    text: TextArgs,
    /// Write vocab.txt, tokenizer.json and their companions to this folder
    #[arg(long, required = true, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Replace the vocabulary that the folder holds
    #[arg(long)]
    overwrite: bool,
    /// Make a vocabulary of N tokens
    #[arg(long, value_name = "N", default_value_t = 30_522, value_parser = at_least(0_usize))]
    size: usize,
    /// Keep upper case and accents
    #[arg(long)]
    cased: bool,
    /// Make characters that come N times or more tokens, and join pieces that come together so often
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least(0_u64))]
    min_frequency: u64,
    /// Make at most N single characters tokens, the most frequent first [default: as many as fit in --size]
    #[arg(long, value_name = "N", value_parser = at_least(0_usize))]
    limit_alphabet: Option<usize>,
    /// Join next the pair of pieces that comes most often, or the one that raises the likelihood of the text most,
    /// count(ab) / (count(a) count(b)); likelihood favours rare pairs and wants a higher --min-frequency, such as 10
    #[arg(long, value_name = "SCORE", default_value = "count")]
    score: ScoreName,
    /// Make these words tokens however often they come; each is a single word
    #[arg(long, num_args = 1.., value_name = "WORD")]
    token: Vec<String>,
    /// Reserve N tokens [unused0], [unused1], ... after [PAD]
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = at_least(0_usize))]
    unused: usize,
    #[command(flatten)]
    memory: MemoryArgs,
    /// Measure the vocabulary on this text [default: the text that it was made from]
    #[arg(long, num_args = 1.., value_name = "PATH")]
    dev: Vec<PathBuf>,
}

/// Which text is counted.
#[derive(Debug, Args)]
struct TextArgs {
    /// Read this text in UTF-8: .txt, .jsonl, .parquet, each also with .gz or .zst; folders of such files; or patterns
    /// such as 'books/**/*.txt'
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    input: Vec<PathBuf>,
    #[command(flatten)]
    field: FieldArgs,
}

/// How much memory counting may take.
#[derive(Debug, Args)]
struct MemoryArgs {
    /// Stay within this much memory, as 512M or 4G; words that do not fit are counted in files in the output folder, and
    /// the rarest of them are left out of the training, which is said
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = memory)]
    max_memory: u64,
}

/// What `--max-memory` is unless it is given.
const MAX_MEMORY: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScoreName {
    Count,
    Likelihood,
}

/// Runs `cloze vocab`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    if let Some(VocabCommand::Extend(arguments)) = &arguments.command {
        return extend::run(arguments, common);
    }
    let arguments = &arguments.train;
    let folder = arguments.output.as_ref().expect("clap asks for it unless there is a sub-command");
    let max_memory = arguments.memory.max_memory;
    let TextArgs { input, field } = &arguments.text;
    let field = &field.text_field;
    let dev = if arguments.dev.is_empty() { Vec::new() } else { files_of(&arguments.dev)? };
    let make = Make { input, text_field: field, folder, overwrite: arguments.overwrite };
    let (tokenizer, words) = make.run(&options(arguments), max_memory)?;
    let on_input = Coverage::of(&tokenizer, &words)?;
    let text = TextAnswer::new(&words, &tokenizer);
    drop(words);
    let dead_tokens = DeadTokens::new(&on_input, &tokenizer);
    let coverage = if arguments.dev.is_empty() {
        CoverageAnswer::new("input", &on_input, &tokenizer)
    } else {
        let counts = CorpusCounts::for_tokenizer(&tokenizer, max_memory, folder);
        let words = count(&dev, field, counts)?;
        CoverageAnswer::new("dev", &Coverage::of(&tokenizer, &words)?, &tokenizer)
    };
    let answer = Answer { tokens: tokenizer.vocab_size(), output: folder, text, coverage, dead_tokens };
    let mut output = Output::new(common.json);
    output.answer(&answer, || answer.readable())?;
    Ok(output.finish()?)
}

fn options(arguments: &TrainArguments) -> TrainOptions {
    TrainOptions {
        size: arguments.size,
        min_frequency: arguments.min_frequency,
        limit_alphabet: arguments.limit_alphabet,
        casing: if arguments.cased { Casing::Cased } else { Casing::Uncased },
        score: match arguments.score {
            ScoreName::Count => Score::Count,
            ScoreName::Likelihood => Score::Likelihood,
        },
        forced: arguments.token.clone(),
        unused: arguments.unused,
    }
}

/// Trains on the files, writes the folder in the place of what is there, and says how many tokens there are.
pub fn make(input: &[PathBuf], text_field: &str, folder: &Path, options: &TrainOptions) -> anyhow::Result<usize> {
    let make = Make { input, text_field, folder, overwrite: true };
    let (tokenizer, _) = make.run(options, MAX_MEMORY)?;
    Ok(tokenizer.vocab_size())
}

/// Input and output of the making of a vocabulary.
struct Make<'a> {
    input: &'a [PathBuf],
    text_field: &'a str,
    folder: &'a Path,
    overwrite: bool,
}

impl Make<'_> {
    /// Trains within bounds of memory; also hands over the words of the files.
    fn run(&self, options: &TrainOptions, max_memory: u64) -> anyhow::Result<(Tokenizer, CountedWords)> {
        let files = files_of(self.input)?;
        options.check()?;
        let mut folder = take_folder(self.folder, self.overwrite, "vocab")?;
        let words = count(&files, self.text_field, CorpusCounts::new(options.casing, max_memory, self.folder))?;
        let progress = Progress::new();
        let tokens = train_on(&words, options, &mut |done, total| {
            progress.at("training the vocabulary", done as u64, total as u64);
        })?;
        progress.clear();
        let tokenizer = Tokenizer::from_tokens(tokens, options.casing)?;
        folder.replace_tokenizer(&tokenizer)?;
        Ok((tokenizer, words))
    }
}

/// Takes the folder before the long work, so that a wrong path is found out at once.
fn take_folder(path: &Path, overwrite: bool, command: &str) -> anyhow::Result<Folder> {
    create_folder(path)?;
    let folder = Folder::take(path, command)?;
    if let Some(note) = folder.note() {
        say!("note: {note}");
    }
    if path.join("config.json").exists() {
        bail!("{} holds a model, which needs its own vocabulary; choose another --output", path.display());
    }
    if is_store(path) {
        bail!("{} holds a store, which needs its own vocabulary; choose another --output", path.display());
    }
    if overwrite {
        return Ok(folder);
    }
    folder.expect_own()?;
    let is_there = Tokenizer::FILES.iter().any(|name| path.join(name).exists());
    if is_there && !folder.was_unfinished() {
        bail!(
            "{} already holds a vocabulary; choose another --output, or give --overwrite to replace it",
            path.display()
        );
    }
    Ok(folder)
}

/// The files that folders and patterns stand for; what is left out is said.
fn files_of(input: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let found = find_files(input)?;
    if let Some(note) = found.note() {
        say!("note: {note}");
    }
    Ok(found.files)
}

/// Counts the words of the files, of which there must be some.
fn count(files: &[PathBuf], text_field: &str, mut counts: CorpusCounts) -> anyhow::Result<CountedWords> {
    // Words do not know documents; large pieces keep all threads at work.
    let document = DocumentBreak::File;
    let text_field = text_field.to_string();
    let reading = DocumentOptions { document, text_field, blank_files: true, ..DocumentOptions::default() };
    let progress = Progress::new();
    for_each_block(files, &reading, &mut |done, total| progress.at("counting words", done, total), &mut |pieces| {
        Ok(pieces.iter().try_for_each(|piece| counts.add_text(piece.text))?)
    })?;
    progress.clear();
    let words = counts.finish()?;
    if words.is_empty() {
        let others = if files.len() > 1 { format!(" and {} other files", files.len() - 1) } else { String::new() };
        bail!("{}{others}: {}", files[0].display(), cloze_tokenizer::Error::NoWords);
    }
    Ok(words)
}
