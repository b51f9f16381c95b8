//! `cloze vocab extend`: more words for the vocabulary of a model, or of a tokenizer alone.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use cloze::data::DocumentOptions;
use cloze::data::documents::for_each_block;
use cloze::extend::{COMMAND, extend, take};
use cloze_tokenizer::Tokenizer;
use cloze_tokenizer::train::{
    CorpusCounts, CountedWords, Coverage, DocumentCounts, NewWord, NewWordOptions, new_words,
};
use serde::Serialize;

use super::{MemoryArgs, TextArgs, count, files_of, take_folder};
use crate::arguments::{Common, at_least, note_report, open_tokenizer};
use crate::models;
use crate::output::{Output, grouped, percent};
use crate::progress::Progress;

/// Flags of `cloze vocab extend`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloze vocab extend --model bert-base-uncased --input papers.txt --add 1000 \\\n    \
    --output bert-of-papers\n\n\
    The command adds the words of the text that save most tokens: how often a word comes, times the pieces that it \
    takes now less one. They are made of letters and come in several documents, so ids and hashes are not added. \
    Existing ids stay, new ones follow the last. The embedding of a new word is the mean of those of its pieces, and \
    so is its bias for filling masks; all other numbers stay. Pre-train the model further on the text (cloze pretrain \
    --model), so that it learns what the words mean. A longer word that begins with a new one may be cut into other \
    pieces than before."
)]
pub struct Arguments {
    /// Extend the vocabulary of this model directory
    #[arg(long, value_name = "DIR", required_unless_present = "tokenizer", conflicts_with = "tokenizer")]
    model: Option<PathBuf>,
    /// Extend this tokenizer without a model: a directory or a vocab.txt
    #[arg(long, visible_alias = "vocab", value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Read a bare vocab.txt as that of a cased model: keep upper case and accents
    #[arg(long, requires = "tokenizer")]
    cased: bool,
    #[command(flatten)]
    text: TextArgs,
    /// Add N words, or fewer if the text has fewer that take several tokens
    #[arg(long, value_name = "N", value_parser = at_least(NonZeroUsize::MIN))]
    add: NonZeroUsize,
    /// Add words that come N times or more
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least(0_u64))]
    min_frequency: u64,
    /// Add words that come in N documents or more; a text of fewer than 10 documents is not asked. A blank line, or the
    /// end of a file or record, ends a document
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least(0_u64))]
    min_documents: u64,
    /// Add words with digits and other characters than letters, too
    #[arg(long)]
    any_characters: bool,
    #[command(flatten)]
    memory: MemoryArgs,
    /// Write the model, or the tokenizer alone, to this folder
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Replace the model or tokenizer that the folder holds
    #[arg(long)]
    overwrite: bool,
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(serialize_with = "crate::output::lossy")]
    output: &'a Path,
    /// In the new vocabulary.
    tokens: usize,
    added: Vec<Added>,
    before: Figures,
    after: Figures,
}

#[derive(Serialize)]
struct Added {
    word: String,
    id: usize,
    /// How often it comes in the text.
    count: u64,
    /// What it was cut into before.
    pieces: Vec<String>,
}

/// Of the text.
#[derive(Serialize)]
struct Figures {
    tokens: u64,
    tokens_per_word: f64,
    unknown_rate: f64,
}

/// Runs `cloze vocab extend`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    arguments.model.as_deref().map_or(Ok(()), models::need)?;
    let files = files_of(&arguments.text.input)?;
    let source = arguments.model.as_ref().or(arguments.tokenizer.as_ref()).expect("clap asks for one of them");
    let tokenizer = open_tokenizer(source, arguments.cased, common)?;
    let output = &arguments.output;
    // Before the long work, so that what cannot be is found out at once.
    let mut folder = match &arguments.model {
        Some(model) => take(model, common.tokenizer_file, output, arguments.overwrite)?,
        None => take_folder(output, arguments.overwrite, COMMAND)?,
    };
    let counts = CorpusCounts::for_tokenizer(&tokenizer, arguments.memory.max_memory, output);
    let words = count(&files, &arguments.text.field.text_field, counts)?;
    let added = choose(arguments, &tokenizer, &words, &files)?;
    if added.is_empty() {
        anyhow::bail!(
            "no word to add: every word that comes {} times or more in {} documents or more is one token already, \
             unknown, or not of letters; give other text, a lower --min-frequency or --min-documents, or \
             --any-characters",
            arguments.min_frequency,
            arguments.min_documents
        );
    }
    let spelled: Vec<String> = added.iter().map(|new| new.word.clone()).collect();
    let extended = tokenizer.with_words(&spelled)?;
    match &arguments.model {
        Some(model) => note_report(model, &extend(model, &added, common.tokenizer_file, &mut folder)?),
        None => folder.replace_tokenizer(&extended)?,
    }
    let (before, after) = (figures(&tokenizer, &words)?, figures(&extended, &words)?);
    let answer = Answer { output, tokens: extended.vocab_size(), added: named(added, &tokenizer), before, after };
    let mut lines = Output::new(common.json);
    lines.answer(&answer, || readable(&answer))?;
    Ok(lines.finish()?)
}

/// The words to add.
fn choose(
    arguments: &Arguments,
    tokenizer: &Tokenizer,
    words: &CountedWords,
    files: &[PathBuf],
) -> anyhow::Result<Vec<NewWord>> {
    /// Text with fewer documents says nothing about how widely a word is used.
    const DOCUMENTS_MIN: u64 = 10;
    let add = arguments.add.get();
    let options = NewWordOptions {
        // Some are left out again below.
        limit: add.saturating_mul(8).saturating_add(1000),
        min_frequency: arguments.min_frequency,
        letters_only: !arguments.any_characters,
    };
    let mut chosen = new_words(tokenizer, words, &options)?;
    if arguments.min_documents > 1 && !chosen.is_empty() {
        let mut counts = DocumentCounts::new(tokenizer, &chosen);
        let text_field = arguments.text.field.text_field.clone();
        let reading = DocumentOptions { text_field, blank_files: true, ..DocumentOptions::default() };
        let progress = Progress::new();
        let mut told = |done, total| progress.at("counting documents", done, total);
        for_each_block(files, &reading, &mut told, &mut |pieces| {
            pieces.iter().for_each(|piece| counts.add_text(piece.text, piece.ends_document));
            Ok(())
        })?;
        progress.clear();
        if counts.documents() >= DOCUMENTS_MIN {
            chosen.retain(|new| counts.of(&new.word) >= arguments.min_documents);
        }
    }
    chosen.truncate(add);
    Ok(chosen)
}

fn figures(tokenizer: &Tokenizer, words: &CountedWords) -> anyhow::Result<Figures> {
    let coverage = Coverage::of(tokenizer, words)?;
    Ok(Figures {
        tokens: coverage.tokens,
        tokens_per_word: coverage.tokens_per_word(),
        unknown_rate: coverage.unknown_rate(),
    })
}

fn named(added: Vec<NewWord>, tokenizer: &Tokenizer) -> Vec<Added> {
    let piece = |id: &u32| tokenizer.token(*id).unwrap_or_default().to_string();
    let ids = tokenizer.vocab_size()..;
    let named = |(new, id): (NewWord, usize)| Added {
        pieces: new.pieces.iter().map(piece).collect(),
        word: new.word,
        id,
        count: new.count,
    };
    added.into_iter().zip(ids).map(named).collect()
}

fn readable(answer: &Answer) -> String {
    /// Words that are shown.
    const EXAMPLES: usize = 10;
    let Answer { output, tokens, added, before, after } = answer;
    let mut lines = vec![format!(
        "{}: {} words added, {} tokens",
        output.display(),
        grouped(added.len() as u64),
        grouped(*tokens as u64)
    )];
    for Added { word, count, pieces, .. } in added.iter().take(EXAMPLES) {
        lines.push(format!("  {word}, {} times, before {}", grouped(*count), pieces.join(" ")));
    }
    if added.len() > EXAMPLES {
        lines.push(format!("  and {} more (all with --json)", grouped((added.len() - EXAMPLES) as u64)));
    }
    for (when, figures) in [("before", before), ("after", after)] {
        lines.push(format!(
            "{when}: {:.3} tokens a word, unknown words {}",
            figures.tokens_per_word,
            percent(figures.unknown_rate)
        ));
    }
    lines.join("\n")
}
