//! Where texts come from: flags, files by their ending, or standard input.

use std::io::{self, BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use cloze::Text;
use cloze::data::{
    CorpusOptions, DataOptions, DocumentBreak, Example, Format, Labelling, Question, Read, Sentence, SentenceUnit,
    holds_questions, holds_words, read_examples, read_examples_from, read_questions, read_sentences,
};
use cloze::infer::Long;
use cloze::settings::StoredSettings;

use crate::data_args::DataArgs;
use crate::output::Output;
use crate::progress::Progress;

/// How standard input is called in messages.
const STANDARD_INPUT: &str = "standard input";

/// Texts or pairs to work on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct InputArgs {
    /// Read texts from this file: .txt with a text a line, .tsv or .csv with a header, .jsonl, .json or .parquet, also packed as .gz or .zst; or from
    /// standard input with -, a text a line, pairs separated by a tab
    #[arg(long, value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    input: Option<PathBuf>,
    /// Take this text; it may begin with a dash
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Take this as the second text of a pair
    #[arg(long, value_name = "TEXT", requires = "text", conflicts_with = "input", allow_hyphen_values = true)]
    text_b: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

/// What becomes of a text that is longer than the model reads.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct LongArgs {
    /// Choose how to read a text that is too long: cut its end and count what is lost, or read all of it in windows
    /// [default: as the model was trained; else truncate, for tokens and qa window]
    #[arg(long, value_name = "HOW")]
    long: Option<LongName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LongName {
    Truncate,
    Window,
}

impl LongArgs {
    /// What was chosen.
    pub fn choice(&self) -> Option<Long> {
        self.long.map(|name| match name {
            LongName::Truncate => Long::Truncate,
            LongName::Window => Long::Window,
        })
    }
}

/// How text files are cut into documents and sentences.
#[derive(Debug, Args)]
#[command(next_help_heading = "Text")]
pub struct TextArgs {
    /// Choose what ends a document: a blank line, a record or a file; a file only; or each record, in a text each line
    #[arg(long, value_name = "WHERE", default_value = "blank-line")]
    document: DocumentName,
    /// Split prose into sentences, or take each line as one
    #[arg(long, value_name = "HOW", default_value = "split")]
    sentences: SentenceName,
    #[command(flatten)]
    field: FieldArgs,
}

/// How a corpus to train on is cut into documents and sentences.
#[derive(Debug, Args)]
pub struct CorpusArgs {
    #[command(flatten)]
    text: TextArgs,
    /// Leave out documents that repeat an earlier one line by line, and count them
    #[arg(long, help_heading = "Text")]
    drop_duplicates: bool,
}

impl CorpusArgs {
    /// How files become a corpus.
    pub fn corpus_options(&self) -> CorpusOptions {
        CorpusOptions { drop_duplicates: self.drop_duplicates, ..self.text.corpus_options() }
    }
}

/// Where files of records have their text.
#[derive(Debug, Args)]
pub struct FieldArgs {
    /// Read the text from this field of .jsonl files or column of .parquet files; outer.inner is one within another
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub text_field: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DocumentName {
    BlankLine,
    File,
    Record,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SentenceName {
    Split,
    Line,
}

impl TextArgs {
    /// How files become a corpus.
    pub fn corpus_options(&self) -> CorpusOptions {
        CorpusOptions {
            document: match self.document {
                DocumentName::BlankLine => DocumentBreak::BlankLine,
                DocumentName::File => DocumentBreak::File,
                DocumentName::Record => DocumentBreak::Record,
            },
            sentences: match self.sentences {
                SentenceName::Split => SentenceUnit::Split,
                SentenceName::Line => SentenceUnit::Line,
            },
            text_field: self.field.text_field.clone(),
            ..CorpusOptions::default()
        }
    }
}

/// A text or a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputText {
    /// The text, or the first of the pair.
    pub a: String,
    /// The second of the pair.
    pub b: Option<String>,
    /// The line of the input, from 1, at which it begins.
    pub line: usize,
}

impl InputText {
    /// As the library takes it.
    pub fn borrow(&self) -> Text<'_> {
        Text { a: &self.a, b: self.b.as_deref() }
    }
}

/// As the library takes them.
pub fn borrow(texts: &[InputText]) -> Vec<Text<'_>> {
    texts.iter().map(InputText::borrow).collect()
}

/// Texts, one after another.
pub struct Texts {
    source: Source,
    /// How many there are; nobody knows it of standard input.
    total: Option<u64>,
}

enum Source {
    /// All are there.
    Read(Box<dyn Iterator<Item = anyhow::Result<InputText>>>),
    /// A thread reads them while others are answered.
    Coming(Receiver<anyhow::Result<InputText>>),
}

impl Texts {
    /// The next text if there is one without waiting for more input.
    fn next_ready(&mut self) -> Option<anyhow::Result<InputText>> {
        match &mut self.source {
            Source::Read(texts) => texts.next(),
            Source::Coming(texts) => texts.try_recv().ok(),
        }
    }
}

impl Iterator for Texts {
    type Item = anyhow::Result<InputText>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Read(texts) => texts.next(),
            Source::Coming(texts) => texts.recv().ok(),
        }
    }
}

impl InputArgs {
    /// True if the text is an argument, and so the only one.
    pub fn is_single(&self) -> bool {
        self.text.is_some()
    }

    /// Where a text came from, for messages.
    pub fn place(&self, text: &InputText) -> String {
        match &self.input {
            None => "--text".to_string(),
            Some(path) if path == Path::new("-") => format!("{STANDARD_INPUT}:{}", text.line),
            Some(path) => format!("{}:{}", path.display(), text.line),
        }
    }

    /// The questions of a file; nothing if the input is text.
    pub fn questions(&self, stored: &StoredSettings) -> anyhow::Result<Option<Vec<Question>>> {
        let Some(path) = self.input.as_deref().filter(|path| *path != Path::new("-")) else { return Ok(None) };
        let options = self.options(stored)?;
        if !holds_questions(path, &options) {
            return Ok(None);
        }
        let squad = read_questions(path, &options, false)?;
        for note in &squad.notes {
            say!("note: {note}");
        }
        Ok(Some(squad.questions))
    }

    /// The sentences of a file that has them split into words; nothing if the input is of another kind.
    pub fn sentences(&self, stored: &StoredSettings) -> anyhow::Result<Option<Vec<Sentence>>> {
        let Some(path) = self.input.as_deref().filter(|path| *path != Path::new("-")) else { return Ok(None) };
        let options = self.options(stored)?;
        if !holds_words(path, &options)? {
            return Ok(None);
        }
        Ok(Some(told(read_sentences(path, &options, false)?)))
    }

    /// How to read: as chosen, else as the model was trained.
    fn options(&self, stored: &StoredSettings) -> Result<DataOptions, cloze::Error> {
        self.data.options()?.with_stored(stored.columns.as_deref(), &stored.reading)
    }

    /// The texts, one after another; standard input is read line by line.
    pub fn texts(&self, stored: &StoredSettings) -> anyhow::Result<Texts> {
        if let Some(text) = &self.text {
            let text = InputText { a: text.clone(), b: self.text_b.clone(), line: 1 };
            return Ok(Texts { source: Source::Read(Box::new(std::iter::once(Ok(text)))), total: Some(1) });
        }
        let Some(path) = &self.input else {
            bail!("neither --input nor --text is given");
        };
        let options = self.options(stored)?;
        let examples = if path != Path::new("-") {
            told(read_examples(path, &options, Labelling::Optional)?)
        } else if self.data.makes_a_table() {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).with_context(|| format!("cannot read {STANDARD_INPUT}"))?;
            let format = options.format.unwrap_or(Format::Tsv);
            if format == Format::Parquet {
                bail!("{STANDARD_INPUT}: Parquet is read from files only, whose end says where everything is");
            }
            told(read_examples_from(&bytes, format, Path::new(STANDARD_INPUT), &options, Labelling::Optional)?)
        } else {
            return Ok(standard_input());
        };
        let text = |example: Example| Ok(InputText { a: example.text, b: example.text_b, line: example.line });
        let total = Some(examples.len() as u64);
        Ok(Texts { source: Source::Read(Box::new(examples.into_iter().map(text))), total })
    }
}

/// The items, once the notes are printed.
fn told<T>(read: Read<T>) -> Vec<T> {
    for note in read.notes {
        say!("note: {note}");
    }
    read.items
}

/// Lines of standard input; a tab separates a pair.
fn standard_input() -> Texts {
    let (sender, receiver) = mpsc::sync_channel(GROUP);
    std::thread::spawn(move || {
        let lines = io::stdin().lock().split(b'\n').zip(1..);
        for text in lines.map(|(bytes, line)| text_of_line(bytes, line)) {
            let is_last = text.is_err();
            // Nobody listens where the answers cannot be written.
            if sender.send(text).is_err() || is_last {
                break;
            }
        }
    });
    Texts { source: Source::Coming(receiver), total: None }
}

fn text_of_line(bytes: io::Result<Vec<u8>>, line: usize) -> anyhow::Result<InputText> {
    let bytes = bytes.with_context(|| format!("cannot read {STANDARD_INPUT}"))?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        bail!("{STANDARD_INPUT}:{line}: not UTF-8; convert it, for example with iconv");
    };
    let text = if line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    Ok(split_pair(text.strip_suffix('\r').unwrap_or(text), line))
}

fn split_pair(text: &str, line: usize) -> InputText {
    match text.split_once('\t') {
        Some((a, b)) => InputText { a: a.to_string(), b: Some(b.to_string()), line },
        None => InputText { a: text.to_string(), b: None, line },
    }
}

/// Texts of a group: enough to keep all threads at work.
pub const GROUP: usize = 64;

/// Hands texts over in groups, for answers to go to `output`. A group ends early where the input pauses, and its answers
/// go out at once; those of other groups go out if the last ones did so a while ago. What texts are answered together
/// changes no answer. Standard error shows how much of the work that is called `what` is done.
pub fn for_each_group(
    mut texts: Texts,
    what: &str,
    output: &mut Output,
    mut work: impl FnMut(&[InputText], &mut Output) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut meter = Meter::new(what, texts.total);
    let mut group = Vec::with_capacity(GROUP);
    while let Some(first) = texts.next() {
        let mut next = Some(first);
        let mut failure = Ok(());
        while let Some(text) = next {
            match text {
                Ok(text) => group.push(text),
                Err(error) => {
                    failure = Err(error);
                    break;
                }
            }
            next = if group.len() < GROUP { texts.next_ready() } else { None };
        }
        // What came before a text that cannot be read has its answers.
        if !group.is_empty() {
            work(&group, output)?;
            meter.add(group.len(), output)?;
        }
        failure?;
        if group.len() < GROUP {
            output.flush()?;
        }
        group.clear();
    }
    Ok(())
}

/// How many texts are answered.
pub struct Meter<'a> {
    progress: Option<Progress>,
    what: &'a str,
    done: u64,
    total: Option<u64>,
}

impl<'a> Meter<'a> {
    /// Nothing is done yet of the work called `what`.
    pub fn new(what: &'a str, total: Option<u64>) -> Meter<'a> {
        Meter { progress: Progress::of_answers(), what, done: 0, total }
    }

    /// Adds answers that were just written.
    pub fn add(&mut self, texts: usize, output: &mut Output) -> io::Result<()> {
        self.done += texts as u64;
        if let Some(progress) = &self.progress {
            match self.total {
                Some(total) => progress.at(self.what, self.done, total),
                None => progress.counted(self.what, self.done),
            }
        }
        output.flush_if_due()
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_separates_a_pair() {
        let pair = |a: &str, b: Option<&str>| InputText { a: a.into(), b: b.map(str::to_string), line: 7 };
        assert_eq!(split_pair("one", 7), pair("one", None));
        assert_eq!(split_pair("one\ttwo", 7), pair("one", Some("two")));
        assert_eq!(split_pair("one\t", 7), pair("one", Some("")));
    }

    #[test]
    fn groups_keep_order_and_lose_nothing() {
        let texts = (0..130).map(|n| Ok(InputText { a: n.to_string(), b: None, line: n + 1 }));
        let texts = Texts { source: Source::Read(Box::new(texts)), total: Some(130) };
        let mut sizes = Vec::new();
        let mut seen = Vec::new();
        for_each_group(texts, "counting", &mut Output::new(true), |group, _| {
            sizes.push(group.len());
            seen.extend(group.iter().map(|text| text.a.clone()));
            Ok(())
        })
        .unwrap();
        assert_eq!(sizes, [64, 64, 2]);
        assert!(seen.iter().enumerate().all(|(n, text)| *text == n.to_string()));
    }

    #[test]
    fn a_group_ends_where_the_input_pauses() {
        let text = |n: usize| InputText { a: n.to_string(), b: None, line: n };
        let (sender, receiver) = mpsc::sync_channel(200);
        (1..=3).for_each(|n| sender.send(Ok(text(n))).unwrap());
        let mut sender = Some(sender);
        let mut sizes = Vec::new();
        let texts = Texts { source: Source::Coming(receiver), total: None };
        for_each_group(texts, "counting", &mut Output::new(true), |group, _| {
            sizes.push(group.len());
            // The rest comes only when the first three are answered.
            if let Some(sender) = sender.take() {
                (4..=70).for_each(|n| sender.send(Ok(text(n))).unwrap());
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(sizes, [3, 64, 3]);
    }
}
