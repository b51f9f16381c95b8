use cloze_tokenizer::Encoding;

use crate::Error;
use crate::heads::WindowPooling;
use crate::params::TaskHead;

use super::reading::{ReadText, read_texts};
use super::workspace::pooled_rows;
use super::{Extent, Model, ReadOptions, Task, Text, TextHead};

/// The answer to a text or pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// The most probable label.
    pub label: String,
    /// Its probability.
    pub score: f64,
    /// The probability of every label, in the order of their ids.
    pub scores: Vec<(String, f64)>,
    /// How much of the text was read.
    pub extent: Extent,
}

/// A number for a text or pair, or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// The number, or the first of them.
    pub score: f64,
    /// Each number under the name of its label.
    pub scores: Vec<(String, f64)>,
    /// How much of the text was read.
    pub extent: Extent,
}

/// The labels of a text or pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Those whose probability reaches their threshold, in the order of their ids.
    pub labels: Vec<String>,
    /// The probability of every label, in the order of their ids.
    pub scores: Vec<(String, f64)>,
    /// How much of the text was read.
    pub extent: Extent,
}

/// Whether the second text of a pair follows the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NextSentence {
    /// The probability that it does.
    pub is_next: f64,
    /// How much of the pair was read.
    pub extent: Extent,
}

/// A label is given from this probability on, unless another threshold is stored for it.
pub(crate) const DEFAULT_THRESHOLD: f64 = 0.5;

impl Model {
    /// The label of each text or pair.
    pub fn classify(&self, texts: &[Text], options: ReadOptions) -> Result<Vec<Classification>, Error> {
        self.needs(matches!(self.declaration.heads.task, Some(TaskHead::Pooled(_))), "classifier; fine-tune it first")?;
        let is_one = |task| self.task() != Some(task);
        self.needs(is_one(Task::Regression), "labels: it is a regression; ask for numbers")?;
        self.needs(is_one(Task::MultiLabel), "single label: a text may have several; ask for them")?;
        let temperature = self.settings.temperature.unwrap_or(1.0);
        let answer = |(extent, logits): (Extent, Vec<f64>)| {
            let best = argmax(&logits);
            let probabilities = softmax(&logits.iter().map(|logit| logit / temperature).collect::<Vec<_>>());
            Classification {
                label: self.config.labels[best].clone(),
                score: probabilities[best],
                scores: self.config.labels.iter().cloned().zip(probabilities).collect(),
                extent,
            }
        };
        Ok(self.logits_of_texts(texts, options)?.into_iter().map(answer).collect())
    }

    /// A number for each text or pair, or several.
    pub fn regress(&self, texts: &[Text], options: ReadOptions) -> Result<Vec<Regression>, Error> {
        let Some(TextHead::Values(function)) = self.text_head else {
            return Err(Error::Settings("the model has no regression head; fine-tune it first".to_string()));
        };
        let answer = |(extent, logits): (Extent, Vec<f64>)| {
            let values: Vec<f64> = logits.into_iter().map(|logit| function.apply(logit)).collect();
            Regression { score: values[0], scores: self.config.labels.iter().cloned().zip(values).collect(), extent }
        };
        Ok(self.logits_of_texts(texts, options)?.into_iter().map(answer).collect())
    }

    /// The labels of each text or pair, any number of them.
    pub fn label(&self, texts: &[Text], options: ReadOptions) -> Result<Vec<Labels>, Error> {
        self.needs(self.task() == Some(Task::MultiLabel), "head for several labels; fine-tune it first")?;
        let thresholds = self.settings.thresholds.as_deref().unwrap_or_default();
        let temperature = self.settings.temperature.unwrap_or(1.0);
        let names = &self.config.labels;
        let answer = |(extent, logits): (Extent, Vec<f64>)| {
            let probabilities: Vec<f64> = logits.iter().map(|logit| logistic(logit / temperature)).collect();
            let threshold = |label: usize| thresholds.get(label).copied().unwrap_or(DEFAULT_THRESHOLD);
            let given = (0..names.len()).filter(|&label| probabilities[label] >= threshold(label));
            let labels = given.map(|label| names[label].clone()).collect();
            Labels { labels, scores: names.iter().cloned().zip(probabilities).collect(), extent }
        };
        Ok(self.logits_of_texts(texts, options)?.into_iter().map(answer).collect())
    }

    /// Whether the second text of each pair follows the first. Longer pairs are cut.
    pub fn is_next(&self, pairs: &[Text], max_length: Option<usize>) -> Result<Vec<NextSentence>, Error> {
        self.needs(self.declaration.heads.nsp && self.declaration.heads.pooler, "next sentence head")?;
        if let Some(at) = pairs.iter().position(|pair| pair.b.is_none()) {
            return Err(Error::Settings(format!("next sentence prediction reads pairs; input {at} is a single text")));
        }
        let encodings = self.encode(pairs, self.checked_length(max_length, self.max_length())?);
        let rows = self.with_workspace(|network, workspace| {
            let head = network.parameters.nsp.as_ref().expect("checked above");
            pooled_rows(network, workspace, head, 2, &encodings)
        })?;
        let answer = |(encoding, row): (&Encoding, Vec<f64>)| NextSentence {
            is_next: softmax(&row)[0],
            extent: Extent { tokens: encoding.len(), windows: 1, truncated: encoding.truncated },
        };
        Ok(encodings.iter().zip(rows).map(answer).collect())
    }

    /// How much of each text was read, and its logits.
    fn logits_of_texts(&self, texts: &[Text], options: ReadOptions) -> Result<Vec<(Extent, Vec<f64>)>, Error> {
        let texts = read_texts(&self.tokenizer, texts, self.reading(options)?);
        let logits = self.classifier_logits(&texts)?;
        Ok(texts.iter().map(ReadText::extent).zip(logits).collect())
    }

    /// The classifier's logits of each text, pooled over its windows.
    pub(crate) fn classifier_logits(&self, texts: &[ReadText]) -> Result<Vec<Vec<f64>>, Error> {
        let pooling = self.settings.window_pooling.unwrap_or_default();
        self.with_workspace(|network, workspace| {
            let head = network.parameters.task.as_ref().expect("the model has a classifier");
            logits_of_read_texts(texts, pooling, |windows| {
                pooled_rows(network, workspace, head, self.config.labels.len(), windows)
            })
        })
    }
}

/// The logits of each text: those of its windows, which `logits_of` computes, pooled.
pub(crate) fn logits_of_read_texts(
    texts: &[ReadText],
    pooling: WindowPooling,
    logits_of: impl FnOnce(&[Encoding]) -> Result<Vec<Vec<f64>>, Error>,
) -> Result<Vec<Vec<f64>>, Error> {
    let windows: Vec<Encoding> = texts.iter().flat_map(|text| text.windows.iter().cloned()).collect();
    let mut rows = logits_of(&windows)?.into_iter();
    let pooled = |text: &ReadText| {
        let own: Vec<Vec<f64>> = rows.by_ref().take(text.windows.len()).collect();
        pooling.pool(&own.concat(), own[0].len())
    };
    Ok(texts.iter().map(pooled).collect())
}

/// The first index of the largest value.
pub(crate) fn argmax(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

/// Probabilities of logits.
pub(crate) fn softmax<T: Copy + Into<f64>>(row: &[T]) -> Vec<f64> {
    let max = row.iter().fold(f64::NEG_INFINITY, |max, &value| max.max(value.into()));
    let exp: Vec<f64> = row.iter().map(|&value| (value.into() - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|value| value / sum).collect()
}

/// Minus the logarithm of a label's probability; not a number where a logit is none.
pub(crate) fn cross_entropy<T: Copy + Into<f64>>(row: &[T], label: usize) -> f64 {
    let max = row.iter().fold(f64::NEG_INFINITY, |max, &logit| max.max(logit.into()));
    max + row.iter().map(|&logit| (logit.into() - max).exp()).sum::<f64>().ln() - row[label].into()
}

/// The probability of a logit by itself.
pub(crate) fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}
