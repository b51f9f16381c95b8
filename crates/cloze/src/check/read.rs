//! The files of a check: what can be read of them, and what is wrong with the rest.

use std::path::Path;

use crate::Error;
use crate::data::{
    ColumnSpec, Example, Format, Labelling, Question, Sentence, SentenceFormat, Squad, read_examples_from,
    read_questions_from, read_sentences_from,
};
use crate::error::at;
use crate::settings::FinetuneTask;

use super::CheckSettings;
use super::finding::{Finding, Places, Severity, shown};

/// Lines that are left out because they cannot be read, at most; after that the file is given up.
const BROKEN_LINES_MAX: usize = 20;

/// What a file holds.
pub(super) enum Data {
    Texts(Vec<Example>),
    Sentences(Vec<Sentence>, SentenceFormat),
    Questions(Squad),
}

/// An example of any task, as far as it can be compared with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item<'a> {
    /// The text, or both of a pair; the words of a sentence; a question and its context.
    pub parts: Vec<&'a str>,
    /// What it should give: its labels, in their order; the label of each word; whether there is an answer.
    pub answer: Vec<String>,
    /// How its words are written, if it is a sentence of such.
    pub words: Option<SentenceFormat>,
    /// Where it begins.
    pub line: Option<usize>,
    /// The name of a question.
    pub id: Option<&'a str>,
}

impl Item<'_> {
    /// The line of one of its words.
    pub fn word_line(&self, word: usize) -> Option<usize> {
        self.line.map(|line| if self.words == Some(SentenceFormat::Columns) { line + word } else { line })
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
            Data::Sentences(sentences, _) => sentences.len(),
            Data::Questions(squad) => squad.questions.len(),
        }
    }

    /// What there is, in the order of the file.
    pub fn items(&self, task: FinetuneTask) -> Vec<Item<'_>> {
        match self {
            Data::Texts(examples) => examples.iter().map(|example| of_example(example, task)).collect(),
            Data::Sentences(sentences, format) => {
                sentences.iter().map(|sentence| of_sentence(sentence, *format)).collect()
            }
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
            Data::Sentences(sentences, format) => {
                for sentence in sentences {
                    let line = |word| Some(word_line(sentence.line, word, *format));
                    let numbered = sentence.labels.iter().enumerate();
                    labels.extend(numbered.map(|(word, label)| (label.as_str(), line(word))));
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

/// The line of a word of a sentence.
pub(super) fn word_line(sentence: usize, word: usize, format: SentenceFormat) -> usize {
    if format == SentenceFormat::Columns { sentence + word } else { sentence }
}

fn of_example(example: &Example, task: FinetuneTask) -> Item<'_> {
    let mut answer = example.labels.clone();
    answer.sort();
    if let (FinetuneTask::Regression, Some(value)) = (task, value_of(example.label())) {
        // 5, 5.0 and 5.00 are the same value.
        answer = vec![value.to_string()];
    }
    Item {
        parts: std::iter::once(&example.text).chain(&example.text_b).map(|text| text.trim()).collect(),
        answer,
        words: None,
        line: Some(example.line),
        id: None,
    }
}

fn of_sentence(sentence: &Sentence, format: SentenceFormat) -> Item<'_> {
    Item {
        parts: sentence.words.iter().map(String::as_str).collect(),
        answer: sentence.labels.clone(),
        words: Some(format),
        line: Some(sentence.line),
        id: None,
    }
}

/// Annotators choose different words of a text as the answer; that there is none contradicts all of them.
fn of_question(question: &Question) -> Item<'_> {
    Item {
        parts: vec![question.question.trim(), question.context.trim()],
        answer: vec![if question.is_impossible { "impossible" } else { "answered" }.to_string()],
        words: None,
        line: None,
        id: Some(&question.id),
    }
}

/// Reads a file. What cannot be read is a finding, and so is a line that is broken: the others are read without it.
pub(super) fn read(
    settings: &CheckSettings,
    columns: Option<&ColumnSpec>,
    path: &Path,
    findings: &mut Vec<Finding>,
) -> Option<Data> {
    match try_read(settings.task, columns, path, findings) {
        Ok(data) => Some(data),
        Err(error) => {
            findings.push(Finding::of_error("data", path, &error));
            None
        }
    }
}

fn try_read(
    task: FinetuneTask,
    columns: Option<&ColumnSpec>,
    path: &Path,
    findings: &mut Vec<Finding>,
) -> Result<Data, Error> {
    let bytes = std::fs::read(path).map_err(at("read", path))?;
    let labelling = match task {
        FinetuneTask::Questions => return Ok(Data::Questions(read_questions_from(bytes.as_slice(), path)?)),
        FinetuneTask::Tokens => {
            let format = SentenceFormat::of(path)?;
            let read = |bytes: &[u8]| read_sentences_from(bytes, format, path, columns, true);
            let lines = match format {
                SentenceFormat::Columns => Lines::Words,
                SentenceFormat::Jsonl => Lines::Objects,
            };
            if lines == Lines::Words {
                blank_separators(&bytes, path, findings);
            }
            return Ok(Data::Sentences(around_broken_lines(bytes, path, lines, read, findings)?, format));
        }
        FinetuneTask::MultiLabel => Labelling::Several,
        FinetuneTask::Classification | FinetuneTask::Regression => Labelling::One,
    };
    let format = Format::of(path)?;
    let read = |bytes: &[u8]| read_examples_from(bytes, format, path, columns, labelling);
    let examples = match format {
        Format::Tsv => around_broken_lines(bytes, path, Lines::Rows, read, findings)?,
        Format::Jsonl => around_broken_lines(bytes, path, Lines::Objects, read, findings)?,
        // A row of a .csv may have several lines, of which one cannot be left out.
        Format::Csv | Format::Text => read(&bytes)?,
    };
    Ok(Data::Texts(examples))
}

/// What the lines of a file are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// Rows, of which the first tells how the others are read.
    Rows,
    /// Words, with empty lines between sentences; the first row tells how the others are read.
    Words,
    /// JSON objects, each by itself.
    Objects,
}

/// What `read` gives of a file without its broken lines, which are told. Where the first row is broken, nothing is
/// read. Of words the whole sentence is left out: half of it would have faults that the file has not.
fn around_broken_lines<T>(
    mut bytes: Vec<u8>,
    path: &Path,
    lines: Lines,
    read: impl Fn(&[u8]) -> Result<T, Error>,
    findings: &mut Vec<Finding>,
) -> Result<T, Error> {
    let mut broken = Places::default();
    let first = 1 + bytes.split(|&byte| byte == b'\n').take_while(|line| line.trim_ascii().is_empty()).count();
    let result = loop {
        match read(&bytes) {
            Err(Error::Data { line: Some(line), message, .. })
                if broken.count < BROKEN_LINES_MAX && (lines == Lines::Objects || line != first) =>
            {
                broken.add(Some(line), || message);
                leave_out(&mut bytes, line, lines == Lines::Words);
            }
            result => break result,
        }
    };
    let rest = if result.is_ok() { "the others were read without them" } else { "the file was given up" };
    broken.tell(findings, Severity::Error, "data", path, |count| {
        format!("lines that cannot be read: {count}; correct them ({rest})")
    });
    result
}

/// Empties a line, so that the numbers of the others stay.
fn leave_out(bytes: &mut Vec<u8>, line: usize, whole_sentences: bool) {
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let is_empty = |line: &&[u8]| line.trim_ascii().is_empty();
    let at = line - 1;
    let range = if whole_sentences {
        let start = lines[..at].iter().rposition(is_empty).map_or(0, |before| before + 1);
        start..lines[at..].iter().position(is_empty).map_or(lines.len(), |after| at + after)
    } else {
        at..at + 1
    };
    lines[range].fill(&[]);
    *bytes = lines.join(&b'\n');
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

/// A value of regression.
pub(super) fn value_of(label: &str) -> Option<f64> {
    label.parse::<f64>().ok().filter(|value| value.is_finite() && (*value as f32).is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_or_its_sentence_is_emptied() {
        let emptied = |line, whole_sentences| {
            let mut bytes = b"a\nb\n \nc\nd\n\ne".to_vec();
            leave_out(&mut bytes, line, whole_sentences);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(emptied(2, false), "a\n\n \nc\nd\n\ne");
        assert_eq!(emptied(2, true), "\n\n \nc\nd\n\ne");
        assert_eq!(emptied(4, true), "a\nb\n \n\n\n\ne");
        assert_eq!(emptied(7, true), "a\nb\n \nc\nd\n\n");
    }

    #[test]
    fn after_many_broken_lines_the_file_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.jsonl");
        let settings = CheckSettings::new(FinetuneTask::Classification, &path);
        let good = "{\"text\": \"a\", \"label\": 1}\n";
        for (broken, is_read) in [(BROKEN_LINES_MAX, true), (BROKEN_LINES_MAX + 1, false)] {
            std::fs::write(&path, "{}\n".repeat(broken) + good).unwrap();
            let mut findings = Vec::new();
            let data = read(&settings, None, &path, &mut findings);
            assert_eq!(data.map(|data| data.len()), is_read.then_some(1));
            assert_eq!((findings[0].line, findings[0].count), (Some(1), BROKEN_LINES_MAX));
            assert_eq!(findings[0].message.contains("given up"), !is_read);
            assert_eq!(findings.len(), if is_read { 1 } else { 2 });
        }
    }
}
