//! The files of a check: what can be read of them, and what is wrong with the rest.

use std::borrow::Cow;
use std::path::Path;

use crate::Error;
use crate::data::options::{Faults, Format, Read, bytes_of};
use crate::data::{DataOptions, Example, Labelling, Question, Sentence, Squad, questions, table, words};
use crate::settings::FinetuneTask;

use super::CheckSettings;
use super::finding::{Finding, Places, Severity, shown};

/// Rows that are left out because they cannot be read, at most; after that the file is given up.
const BROKEN_ROWS_MAX: usize = 20;

/// What a file holds.
pub(super) enum Data {
    Texts(Vec<Example>),
    Sentences(Vec<Sentence>),
    Questions(Squad),
}

/// An example of any task, as far as it can be compared with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item<'a> {
    /// The text, or both of a pair; the words of a sentence; a question and its context.
    pub parts: Vec<&'a str>,
    /// What it should give: its labels, in their order; the label of each word; whether there is an answer.
    pub answer: Cow<'a, [String]>,
    /// The sentence, if it is one of words.
    pub words: Option<&'a Sentence>,
    /// Where it begins.
    pub line: Option<usize>,
    /// The name of a question.
    pub id: Option<&'a str>,
}

impl Item<'_> {
    /// The line of one of its words.
    pub fn word_line(&self, word: usize) -> Option<usize> {
        self.words.map_or(self.line, |sentence| Some(sentence.line_of(word)))
    }

    /// How it is called where it is not shown itself.
    pub fn name(&self) -> String {
        match (self.line, self.id) {
            (Some(line), _) => format!("line {line}"),
            (None, Some(id)) => format!("question {id}"),
            (None, None) => "another".to_string(),
        }
    }
}

impl Data {
    /// Number of examples, sentences or questions.
    pub fn len(&self) -> usize {
        match self {
            Data::Texts(examples) => examples.len(),
            Data::Sentences(sentences) => sentences.len(),
            Data::Questions(squad) => squad.questions.len(),
        }
    }

    /// What there is, in the order of the file.
    pub fn items(&self, task: FinetuneTask) -> Vec<Item<'_>> {
        match self {
            Data::Texts(examples) => examples.iter().map(|example| of_example(example, task)).collect(),
            Data::Sentences(sentences) => sentences.iter().map(of_sentence).collect(),
            Data::Questions(squad) => squad.questions.iter().map(of_question).collect(),
        }
    }

    /// All labels, each with its line.
    pub fn labels(&self) -> Vec<(&str, Option<usize>)> {
        let mut labels = Vec::new();
        match self {
            Data::Texts(examples) => {
                for example in examples {
                    labels.extend(example.labels.iter().map(|label| (label.as_str(), Some(example.line))));
                }
            }
            Data::Sentences(sentences) => {
                for sentence in sentences {
                    let numbered = sentence.labels.iter().enumerate();
                    labels.extend(numbered.map(|(word, label)| (label.as_str(), Some(sentence.line_of(word)))));
                }
            }
            Data::Questions(squad) => {
                let label = |impossible| if impossible { "impossible" } else { "answered" };
                labels.extend(squad.questions.iter().map(|question| (label(question.is_impossible), None)));
            }
        }
        labels
    }
}

fn of_example(example: &Example, task: FinetuneTask) -> Item<'_> {
    let mut answer = Cow::Borrowed(&*example.labels);
    if !answer.is_sorted() {
        answer.to_mut().sort();
    }
    if let (FinetuneTask::Regression, Ok(value)) = (task, value_of(example.label())) {
        // 5, 5.0 and 5.00 are the same value.
        answer = Cow::Owned(vec![value.to_string()]);
    }
    Item {
        parts: std::iter::once(&example.text).chain(&example.text_b).map(|text| text.trim()).collect(),
        answer,
        words: None,
        line: Some(example.line),
        id: None,
    }
}

fn of_sentence(sentence: &Sentence) -> Item<'_> {
    Item {
        parts: sentence.words.iter().map(String::as_str).collect(),
        answer: Cow::Borrowed(&sentence.labels),
        words: Some(sentence),
        line: Some(sentence.line),
        id: None,
    }
}

/// Annotators choose different words of a text as the answer; that there is none contradicts all of them.
fn of_question(question: &Question) -> Item<'_> {
    Item {
        parts: vec![question.question.trim(), question.context.trim()],
        answer: Cow::Owned(vec![if question.is_impossible { "impossible" } else { "answered" }.to_string()]),
        words: None,
        line: None,
        id: Some(&question.id),
    }
}

/// Reads a file. What cannot be read is a finding, and so is a row that is broken: the others are read without it. What
/// was guessed and what is not read are findings, too.
pub(super) fn read(
    settings: &CheckSettings,
    options: &DataOptions,
    path: &Path,
    findings: &mut Vec<Finding>,
) -> Option<Data> {
    let mut faults = Faults::leave_out(BROKEN_ROWS_MAX);
    let result = try_read(settings.task, options, path, &mut faults, findings);
    let rest = if result.is_ok() { "the others were read without them" } else { "the file was given up" };
    let mut broken = Places::default();
    for fault in faults.found {
        match fault {
            Error::Data { line, message, .. } => broken.add(line, || message),
            other => broken.add(None, || other.to_string()),
        }
    }
    broken.tell(findings, Severity::Error, "data", path, |count| {
        format!("rows that cannot be read: {count}; correct them ({rest})")
    });
    match result {
        // Nothing is left of a file whose rows are all broken.
        Ok((data, _)) if data.len() == 0 => None,
        Ok((data, notes)) => {
            for note in notes {
                // A finding names the file itself.
                let message = note.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&note).to_string();
                findings.push(Finding::new(Severity::Note, "reading", path, None, message));
            }
            Some(data)
        }
        Err(error) => {
            findings.push(Finding::of_error("data", path, &error));
            None
        }
    }
}

fn try_read(
    task: FinetuneTask,
    options: &DataOptions,
    path: &Path,
    faults: &mut Faults,
    findings: &mut Vec<Finding>,
) -> Result<(Data, Vec<String>), Error> {
    let labelling = match task {
        FinetuneTask::Questions => {
            let mut squad = questions::read_file(path, options, true, faults)?;
            let notes = std::mem::take(&mut squad.notes);
            return Ok((Data::Questions(squad), notes));
        }
        FinetuneTask::Tokens => {
            if words::format_of(path, options)? == Format::Conll {
                blank_separators(&bytes_of(path)?, path, findings);
            }
            let Read { items, notes } = words::read_file(path, options, true, faults)?;
            return Ok((Data::Sentences(items), notes));
        }
        FinetuneTask::MultiLabel => Labelling::Several,
        FinetuneTask::Regression => Labelling::Value,
        FinetuneTask::Classification => Labelling::One,
    };
    let Read { items, notes } = table::read_file(path, options, labelling, faults)?;
    Ok((Data::Texts(items), notes))
}

/// Lines between sentences that are not empty, but hold space or tabs.
fn blank_separators(bytes: &[u8], path: &Path, findings: &mut Vec<Finding>) {
    let mut places = Places::default();
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() && line.trim_ascii().is_empty() {
            places.add(Some(number), || shown(&String::from_utf8_lossy(line)));
        }
    }
    places.tell(findings, Severity::Note, "blank-separator", path, |count| {
        format!(
            "lines of nothing but space or tabs: {count}; they end sentences here, but other programs may read \
             them as words: empty them"
        )
    });
}

/// Why a label is no value of regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoValue {
    /// Not a number, or infinite.
    NoNumber,
    /// A number that an f32 cannot hold.
    TooLarge,
}

/// A value of regression.
pub(super) fn value_of(label: &str) -> Result<f64, NoValue> {
    let value = label.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or(NoValue::NoNumber)?;
    if (value as f32).is_finite() { Ok(value) } else { Err(NoValue::TooLarge) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_many_broken_rows_the_file_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.jsonl");
        let settings = CheckSettings::new(FinetuneTask::Classification, &path);
        let good = "{\"text\": \"a\", \"label\": 1}\n";
        for (broken, is_read) in [(BROKEN_ROWS_MAX, true), (BROKEN_ROWS_MAX + 1, false)] {
            std::fs::write(&path, "{}\n".repeat(broken) + good).unwrap();
            let mut findings = Vec::new();
            let data = read(&settings, &DataOptions::default(), &path, &mut findings);
            assert_eq!(data.map(|data| data.len()), is_read.then_some(1));
            assert_eq!((findings[0].line, findings[0].count), (Some(1), BROKEN_ROWS_MAX));
            assert_eq!(findings[0].message.contains("given up"), !is_read);
            assert_eq!(findings.len(), if is_read { 1 } else { 2 });
        }
    }
}
