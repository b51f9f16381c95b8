//! What labelled texts should give, and the texts as a model reads them.

use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::config::labels::is_label;
use crate::data::Example;
use crate::infer::{Long, ReadText, Reading, Text, read_texts};

/// What each example should give.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Gold {
    /// Label ids.
    Classes(Vec<usize>),
    /// Values.
    Values(Vec<f32>),
    /// For each example which labels it has: `[labels]`
    Labels(Vec<Vec<bool>>),
}

/// The label ids of examples.
pub(crate) fn classes(examples: &[Example], labels: &[String], path: &std::path::Path) -> Result<Gold, Error> {
    examples
        .iter()
        .map(|example| label_id(example.label(), labels, path, example.line))
        .collect::<Result<_, _>>()
        .map(Gold::Classes)
}

/// Which labels examples have.
pub(crate) fn several_labels(examples: &[Example], labels: &[String], path: &std::path::Path) -> Result<Gold, Error> {
    let of_example = |example: &Example| {
        let mut own = vec![false; labels.len()];
        for label in example.labels.iter() {
            own[label_id(label, labels, path, example.line)?] = true;
        }
        Ok(own)
    };
    examples.iter().map(of_example).collect::<Result<_, _>>().map(Gold::Labels)
}

/// The id of a label that stands in a line of a file.
pub(crate) fn label_id(wanted: &str, labels: &[String], path: &std::path::Path, line: usize) -> Result<usize, Error> {
    labels.iter().position(|own| is_label(own, wanted)).ok_or_else(|| Error::Data {
        path: path.to_path_buf(),
        line: Some(line),
        message: format!("unknown label `{wanted}`; the labels are {}", labels.join(", ")),
    })
}

/// The values of examples.
pub(crate) fn values(examples: &[Example], path: &std::path::Path) -> Result<Gold, Error> {
    let value_of = |example: &Example| {
        let text = example.label();
        let value = text.parse::<f32>().ok().filter(|value| value.is_finite());
        value.ok_or_else(|| {
            let message = match text.parse::<f64>() {
                Ok(value) if value.is_finite() => {
                    format!("`{text}` is beyond 3.4e38, the largest number that can be learnt; scale the values down")
                }
                _ => format!("`{text}` is no number; regression needs one as label"),
            };
            Error::Data { path: path.to_path_buf(), line: Some(example.line), message }
        })
    };
    examples.iter().map(value_of).collect::<Result<_, _>>().map(Gold::Values)
}

/// The texts of examples.
pub(crate) fn texts(examples: &[Example]) -> Vec<Text<'_>> {
    examples.iter().map(|example| Text { a: &example.text, b: example.text_b.as_deref() }).collect()
}

/// Examples as the model reads them, and a sentence about what was cut off, if anything was.
pub(crate) fn read(
    tokenizer: &Tokenizer,
    examples: &[Example],
    reading: Reading,
    path: &std::path::Path,
) -> (Vec<ReadText>, Option<String>) {
    let read = read_texts(tokenizer, &texts(examples), reading);
    let long = read.iter().filter(|text| text.truncated > 0 || text.windows.len() > 1).count();
    let lost: usize = read.iter().map(|text| text.truncated).sum();
    let note = (long > 0).then(|| {
        let start = format!(
            "{}: {long} of {} examples are longer than {} tokens",
            path.display(),
            examples.len(),
            reading.max_length
        );
        match reading.long {
            Long::Truncate => format!("{start}; {lost} tokens were cut off"),
            Long::Window => {
                let windows: usize = read.iter().map(|text| text.windows.len()).sum();
                format!("{start}; {windows} windows in all")
            }
        }
    });
    (read, note)
}
