//! Losses and metrics of classification and regression.

use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::data::Example;
use crate::infer::{DEFAULT_THRESHOLD, Long, ReadText, Reading, Text, argmax, logistic, read_texts, softmax};
use crate::train::Metrics;

use super::metrics;

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

/// The label ids of examples; the model's labels may also be the bare numbers of Hugging Face's
/// `LABEL_0`, `LABEL_1`, ….
pub(crate) fn classes(examples: &[Example], labels: &[String], path: &std::path::Path) -> Result<Gold, Error> {
    examples
        .iter()
        .map(|example| id_of(example.label(), example, labels, path))
        .collect::<Result<_, _>>()
        .map(Gold::Classes)
}

/// Which labels examples have; names as in [`classes`].
pub(crate) fn several_labels(examples: &[Example], labels: &[String], path: &std::path::Path) -> Result<Gold, Error> {
    let of_example = |example: &Example| {
        let mut own = vec![false; labels.len()];
        for label in &example.labels {
            own[id_of(label, example, labels, path)?] = true;
        }
        Ok(own)
    };
    examples.iter().map(of_example).collect::<Result<_, _>>().map(Gold::Labels)
}

fn id_of(wanted: &str, example: &Example, labels: &[String], path: &std::path::Path) -> Result<usize, Error> {
    let known = |label: &String| label == wanted || label.strip_prefix("LABEL_") == Some(wanted);
    labels.iter().position(known).ok_or_else(|| Error::Data {
        path: path.to_path_buf(),
        line: Some(example.line),
        message: format!("unknown label `{wanted}`; the labels are {}", labels.join(", ")),
    })
}

/// The values of examples.
pub(crate) fn values(examples: &[Example], path: &std::path::Path) -> Result<Gold, Error> {
    let value_of = |example: &Example| {
        let text = example.label();
        text.parse::<f32>().ok().filter(|value| value.is_finite()).ok_or_else(|| Error::Data {
            path: path.to_path_buf(),
            line: Some(example.line),
            message: format!("`{text}` is no number; regression needs one as label"),
        })
    };
    examples.iter().map(value_of).collect::<Result<_, _>>().map(Gold::Values)
}

/// Loss and metrics of logits, one row an example.
pub(crate) fn task_metrics(logits: &[Vec<f64>], gold: &Gold, labels: usize) -> Metrics {
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
        Gold::Labels(gold) => {
            let losses = logits.iter().zip(gold).flat_map(|(row, own)| {
                // softplus(±x), which does not overflow.
                row.iter()
                    .zip(own)
                    .map(|(&x, &has)| if has { -x } else { x })
                    .map(|x| x.max(0.0) + (-x.abs()).exp().ln_1p())
            });
            let loss = losses.sum::<f64>() / (gold.len() * labels) as f64;
            let given = |row: &Vec<f64>| row.iter().map(|&logit| logistic(logit) >= DEFAULT_THRESHOLD).collect();
            let predictions: Vec<Vec<bool>> = logits.iter().map(given).collect();
            let exact = predictions.iter().zip(gold).filter(|(predicted, gold)| predicted == gold).count();
            let counts: Vec<[usize; 3]> = (0..labels).map(|label| label_counts(&predictions, gold, label)).collect();
            let all = counts.iter().fold([0; 3], |sum, own| [sum[0] + own[0], sum[1] + own[1], sum[2] + own[2]]);
            let macro_f1 = counts.iter().map(|&own| f1(own)).sum::<f64>() / labels as f64;
            let exact_match = exact as f64 / gold.len() as f64;
            vec![
                named("loss", loss),
                named("f1", f1(all)),
                named("macro_f1", macro_f1),
                named("exact_match", exact_match),
            ]
        }
        Gold::Values(gold) => {
            let predictions: Vec<f64> = logits.iter().map(|row| row[0]).collect();
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

/// How often a label was given rightly, given, and there.
fn label_counts(predictions: &[Vec<bool>], gold: &[Vec<bool>], label: usize) -> [usize; 3] {
    predictions.iter().zip(gold).fold([0; 3], |[right, given, there], (predicted, gold)| {
        let (predicted, gold) = (predicted[label], gold[label]);
        [right + usize::from(predicted && gold), given + usize::from(predicted), there + usize::from(gold)]
    })
}

/// `2 · right / (given + there)`; 0 of nothing.
fn f1([right, given, there]: [usize; 3]) -> f64 {
    if given + there == 0 { 0.0 } else { 2.0 * right as f64 / (given + there) as f64 }
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
