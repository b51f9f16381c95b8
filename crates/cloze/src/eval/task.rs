//! Losses and metrics of classification and regression.

use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::data::Example;
use crate::infer::{Text, argmax, softmax};
use crate::train::Metrics;

use super::metrics;

/// What each example should give.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Gold {
    /// Label ids.
    Classes(Vec<usize>),
    /// Values.
    Values(Vec<f32>),
}

/// The label ids of examples; the model's labels may also be the bare numbers of Hugging Face's
/// `LABEL_0`, `LABEL_1`, ….
pub(crate) fn classes(examples: &[Example], labels: &[String], path: &std::path::Path) -> Result<Gold, Error> {
    let id_of = |example: &Example| {
        let wanted = example.label.as_deref().unwrap_or_default();
        let known = |label: &String| label == wanted || label.strip_prefix("LABEL_") == Some(wanted);
        labels.iter().position(known).ok_or_else(|| Error::Data {
            path: path.to_path_buf(),
            line: Some(example.line),
            message: format!("unknown label `{wanted}`; the labels are {}", labels.join(", ")),
        })
    };
    examples.iter().map(id_of).collect::<Result<_, _>>().map(Gold::Classes)
}

/// The values of examples.
pub(crate) fn values(examples: &[Example], path: &std::path::Path) -> Result<Gold, Error> {
    let value_of = |example: &Example| {
        let text = example.label.as_deref().unwrap_or_default();
        text.parse::<f32>().ok().filter(|value| value.is_finite()).ok_or_else(|| Error::Data {
            path: path.to_path_buf(),
            line: Some(example.line),
            message: format!("`{text}` is no number; regression needs one as label"),
        })
    };
    examples.iter().map(value_of).collect::<Result<_, _>>().map(Gold::Values)
}

/// Loss and metrics of logits, one row an example.
pub(crate) fn task_metrics(logits: &[Vec<f32>], gold: &Gold, labels: usize) -> Metrics {
    let named = |name: &str, value: f64| (name.to_string(), value);
    match gold {
        Gold::Classes(gold) => {
            let predictions: Vec<usize> = logits.iter().map(|row| argmax(row)).collect();
            let losses = logits.iter().zip(gold).map(|(row, &label)| -softmax(row)[label].max(f64::MIN_POSITIVE).ln());
            let loss = losses.sum::<f64>() / gold.len() as f64;
            let mut found = vec![named("loss", loss), named("accuracy", metrics::accuracy(&predictions, gold))];
            if labels == 2 {
                found.push(named("f1", metrics::f1_binary(&predictions, gold, 1)));
            }
            found.push(named("macro_f1", metrics::macro_f1(&predictions, gold)));
            found.push(named("matthews_correlation", metrics::matthews_correlation(&predictions, gold)));
            found
        }
        Gold::Values(gold) => {
            let predictions: Vec<f64> = logits.iter().map(|row| f64::from(row[0])).collect();
            let gold: Vec<f64> = gold.iter().map(|&value| f64::from(value)).collect();
            let squares = predictions.iter().zip(&gold).map(|(p, g)| (p - g).powi(2));
            let mut found = vec![named("loss", squares.sum::<f64>() / gold.len() as f64)];
            // Undefined where one side is constant.
            found.extend(metrics::pearson(&predictions, &gold).map(|value| named("pearson", value)));
            found.extend(metrics::spearman(&predictions, &gold).map(|value| named("spearman", value)));
            found
        }
    }
}

/// The texts of examples.
pub(crate) fn texts(examples: &[Example]) -> Vec<Text<'_>> {
    examples.iter().map(|example| Text { a: &example.text, b: example.text_b.as_deref() }).collect()
}

/// Token ids of examples, and a sentence about what was cut off, if anything was.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    examples: &[Example],
    max_length: usize,
    path: &std::path::Path,
) -> (Vec<cloze_tokenizer::Encoding>, Option<String>) {
    let encodings = crate::infer::encode_texts(tokenizer, &texts(examples), max_length);
    let cut = encodings.iter().filter(|encoding| encoding.truncated > 0).count();
    let lost: usize = encodings.iter().map(|encoding| encoding.truncated).sum();
    let note = (cut > 0).then(|| {
        format!(
            "{}: {cut} of {} examples are longer than {max_length} tokens; {lost} tokens were cut off",
            path.display(),
            examples.len()
        )
    });
    (encodings, note)
}
