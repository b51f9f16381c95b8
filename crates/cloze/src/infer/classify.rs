use cloze_tokenizer::Encoding;

use crate::Error;

use super::workspace::pooled_rows;
use super::{Model, Text};

/// The answer to a text or pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// The most probable label.
    pub label: String,
    /// Its probability.
    pub score: f64,
    /// The probability of every label, in the order of their ids.
    pub scores: Vec<(String, f64)>,
    /// Tokens that the model read.
    pub tokens: usize,
    /// Tokens that were cut off.
    pub truncated: usize,
}

/// A number for a text or pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regression {
    /// The number.
    pub score: f64,
    /// Tokens that the model read.
    pub tokens: usize,
    /// Tokens that were cut off.
    pub truncated: usize,
}

/// Whether the second text of a pair follows the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NextSentence {
    /// The probability that it does.
    pub is_next: f64,
    /// Tokens that the model read.
    pub tokens: usize,
    /// Tokens that were cut off.
    pub truncated: usize,
}

impl Model {
    /// The label of each text or pair. Longer input than `max_length` tokens (by default
    /// [`Model::max_length`]) is cut; the answer counts the lost tokens.
    pub fn classify(&self, texts: &[Text], max_length: Option<usize>) -> Result<Vec<Classification>, Error> {
        self.needs(self.heads.classifier.is_some(), "classifier; fine-tune it first")?;
        self.needs(!self.is_regression(), "labels: it is a regression; ask for numbers")?;
        self.needs(!self.is_multi_label(), "single label: several labels for one text are not supported yet")?;
        let encodings = self.encode(texts, self.checked_length(max_length, self.max_length())?);
        let rows = self.classifier_logits(&encodings)?;
        let labels = &self.config.labels;
        Ok(encodings
            .iter()
            .zip(rows)
            .map(|(encoding, row)| {
                let probabilities = softmax(&row);
                let best = argmax(&row);
                Classification {
                    label: labels[best].clone(),
                    score: probabilities[best],
                    scores: labels.iter().cloned().zip(probabilities).collect(),
                    tokens: encoding.len(),
                    truncated: encoding.truncated,
                }
            })
            .collect())
    }

    /// A number for each text or pair.
    pub fn regress(&self, texts: &[Text], max_length: Option<usize>) -> Result<Vec<Regression>, Error> {
        self.needs(self.heads.classifier == Some(1) && self.is_regression(), "regression head; fine-tune it first")?;
        let encodings = self.encode(texts, self.checked_length(max_length, self.max_length())?);
        let rows = self.classifier_logits(&encodings)?;
        let answer = |(encoding, row): (&Encoding, Vec<f32>)| Regression {
            score: f64::from(row[0]),
            tokens: encoding.len(),
            truncated: encoding.truncated,
        };
        Ok(encodings.iter().zip(rows).map(answer).collect())
    }

    /// Whether the second text of each pair follows the first.
    pub fn is_next(&self, pairs: &[Text], max_length: Option<usize>) -> Result<Vec<NextSentence>, Error> {
        self.needs(self.heads.nsp && self.heads.pooler, "next sentence head")?;
        if let Some(at) = pairs.iter().position(|pair| pair.b.is_none()) {
            return Err(Error::Settings(format!("next sentence prediction reads pairs; input {at} is a single text")));
        }
        let encodings = self.encode(pairs, self.checked_length(max_length, self.max_length())?);
        let rows = self.with_workspace(|network, workspace| {
            let head = network.parameters.nsp.as_ref().expect("checked above");
            pooled_rows(network, workspace, head, 2, &encodings)
        })?;
        let answer = |(encoding, row): (&Encoding, Vec<f32>)| NextSentence {
            is_next: softmax(&row)[0],
            tokens: encoding.len(),
            truncated: encoding.truncated,
        };
        Ok(encodings.iter().zip(rows).map(answer).collect())
    }

    /// The classifier's logits of each encoding.
    pub(crate) fn classifier_logits(&self, encodings: &[Encoding]) -> Result<Vec<Vec<f32>>, Error> {
        self.with_workspace(|network, workspace| {
            let head = network.parameters.classifier.as_ref().expect("the model has a classifier");
            pooled_rows(network, workspace, head, self.config.labels.len(), encodings)
        })
    }
}

/// The first index of the largest value.
pub(crate) fn argmax(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

/// Probabilities of logits.
pub(crate) fn softmax(row: &[f32]) -> Vec<f64> {
    let max = row.iter().fold(f64::NEG_INFINITY, |max, &value| max.max(f64::from(value)));
    let exp: Vec<f64> = row.iter().map(|&value| (f64::from(value) - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|value| value / sum).collect()
}
