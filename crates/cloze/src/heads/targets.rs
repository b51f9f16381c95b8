//! What a batch is trained for.

use crate::model::Batch;
use crate::params::Parameters;
use crate::{Config, Error};

use super::task::WindowPooling;

/// What the sequences of a batch should give.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Masked language model, and next sentence prediction where there are pairs.
    Pretraining {
        /// The masked tokens, as ascending rows of the batch.
        masked_rows: Vec<u32>,
        /// The tokens that stood there.
        masked_labels: Vec<u32>,
        /// For each sequence 0 (is next) or 1 (random); `None` without this objective.
        next_sentence: Option<Vec<u32>>,
    },
    /// The class of each example.
    Classes(Vec<u32>),
    /// The value of each example.
    Values(Vec<f32>),
    /// For each example which labels it has: `[labels]`
    Labels(Vec<Vec<bool>>),
    /// The class of each word.
    Words {
        /// The tokens of the words that decide, as ascending rows of the batch.
        rows: Vec<u32>,
        /// How many of these rows each word has; the mean of their logits is the word's.
        counts: Vec<u32>,
        /// The class of each word.
        labels: Vec<u32>,
    },
    /// The first and the last token of the answer in each sequence.
    Spans(Vec<(u32, u32)>),
}

/// A batch and its targets.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingBatch {
    /// The sequences.
    pub batch: Batch,
    /// What they should give.
    pub targets: Targets,
    /// How many sequences, its windows, each example has; empty where each example has one.
    pub windows: Vec<u32>,
    /// How the windows' logits become those of the example.
    pub pooling: WindowPooling,
    /// How much each target (example, word, sequence) counts; empty where all count 1.
    pub weights: Vec<f64>,
}

/// What the losses of a whole batch are divided by. Known before its first part is computed, so that
/// the parts' gradients add up to the whole batch's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Sequences.
    pub sequences: usize,
    /// Masked tokens.
    pub masked: usize,
    /// The weight of all targets of a task.
    pub weight: f64,
}

impl Targets {
    /// How many there are, of a task.
    fn count(&self) -> usize {
        match self {
            Targets::Pretraining { .. } => 0,
            Targets::Classes(classes) => classes.len(),
            Targets::Values(values) => values.len(),
            Targets::Labels(labels) => labels.len(),
            Targets::Words { labels, .. } => labels.len(),
            Targets::Spans(spans) => spans.len(),
        }
    }
}

impl TrainingBatch {
    /// A batch whose examples are a sequence each and count the same.
    pub fn new(batch: Batch, targets: Targets) -> TrainingBatch {
        TrainingBatch { batch, targets, windows: Vec::new(), pooling: WindowPooling::default(), weights: Vec::new() }
    }

    /// Its counts.
    pub fn totals(&self) -> Totals {
        let masked = match &self.targets {
            Targets::Pretraining { masked_rows, .. } => masked_rows.len(),
            _ => 0,
        };
        let weight = (0..self.targets.count()).map(|target| self.weight(target)).sum();
        Totals { sequences: self.batch.sequences(), masked, weight }
    }

    /// Number of examples: what a batch can be divided into.
    pub fn examples(&self) -> usize {
        if self.windows.is_empty() { self.batch.sequences() } else { self.windows.len() }
    }

    /// The sequences of each example, if they are not one each.
    pub(super) fn windows(&self) -> Option<&[u32]> {
        (!self.windows.is_empty()).then_some(&self.windows)
    }

    /// How much a target counts.
    pub(super) fn weight(&self, target: usize) -> f64 {
        self.weights.get(target).copied().unwrap_or(1.0)
    }

    /// The first sequence of an example.
    pub fn first_sequence(&self, example: usize) -> usize {
        match self.windows() {
            None => example,
            Some(windows) => windows[..example].iter().map(|&count| count as usize).sum(),
        }
    }

    /// Whether a model of this configuration with these heads can be trained on the batch: its sequences
    /// (see [`Batch::check`]), a head for its targets, one target for each example, and labels, rows and
    /// tokens that exist.
    pub fn check<M, V>(&self, config: &Config, parameters: &Parameters<M, V>) -> Result<(), Error> {
        self.batch.check(config)?;
        let (sequences, examples) = (self.batch.sequences(), self.examples());
        let wrong = |message: String| Err(Error::Settings(message));
        let windows: usize = self.windows.iter().map(|&count| count as usize).sum();
        if !self.windows.is_empty() && (windows != sequences || self.windows.contains(&0)) {
            return wrong(format!("{windows} windows for {sequences} sequences"));
        }
        if !self.weights.is_empty() && self.weights.len() != self.targets.count() {
            return wrong(format!("{} weights for {} targets", self.weights.len(), self.targets.count()));
        }
        let one_each = |targets: usize| match targets == examples {
            true => Ok(()),
            false => wrong(format!("{targets} targets for {examples} examples")),
        };
        let below = |what: &str, values: &[u32], bound: usize| match values.iter().find(|&&v| v as usize >= bound) {
            None => Ok(()),
            Some(value) => wrong(format!("{what} {value} is not below {bound}")),
        };
        let ascend = |what: &str, rows: &[u32], labels: usize| match rows.is_sorted_by(|a, b| a < b) {
            true if rows.len() == labels => Ok(()),
            _ => wrong(format!("{what} must ascend, with a label for each")),
        };
        let has = |head: bool, what: &str| if head { Ok(()) } else { wrong(format!("the model has no {what}")) };
        let (pooled, labels) = (parameters.pooler.is_some(), config.labels.len());
        let has_classifier = || has(parameters.task.is_some() && pooled, "classifier");
        match &self.targets {
            Targets::Pretraining { masked_rows, masked_labels, next_sentence } => {
                has(parameters.mlm.is_some(), "masked language model head")?;
                below("masked row", masked_rows, self.batch.tokens())?;
                below("masked token", masked_labels, config.vocab_size)?;
                ascend("masked rows", masked_rows, masked_labels.len())?;
                let Some(next_sentence) = next_sentence else { return Ok(()) };
                has(parameters.nsp.is_some() && pooled, "next sentence head")?;
                one_each(next_sentence.len())?;
                below("next sentence label", next_sentence, 2)
            }
            Targets::Classes(classes) => {
                has_classifier()?;
                one_each(classes.len())?;
                below("class", classes, labels)
            }
            Targets::Values(values) => {
                has(parameters.task.is_some() && pooled && labels == 1, "regression head")?;
                one_each(values.len())
            }
            Targets::Labels(of_examples) => {
                has_classifier()?;
                one_each(of_examples.len())?;
                match of_examples.iter().find(|own| own.len() != labels) {
                    None => Ok(()),
                    Some(own) => wrong(format!("{} of {labels} labels", own.len())),
                }
            }
            Targets::Words { rows, counts, labels: classes } => {
                has(parameters.task.is_some(), "head for tokens")?;
                below("row", rows, self.batch.tokens())?;
                ascend("rows of words", rows, counts.iter().map(|&count| count as usize).sum())?;
                below("class", classes, labels)?;
                match counts.len() == classes.len() && !counts.contains(&0) {
                    true => Ok(()),
                    false => wrong(format!("{} labels for {} words", classes.len(), counts.len())),
                }
            }
            Targets::Spans(spans) => {
                has(parameters.task.is_some(), "head for answers")?;
                one_each(spans.len())?;
                (0..spans.len()).try_for_each(|sequence| {
                    below("token", &[spans[sequence].0, spans[sequence].1], self.batch.rows(sequence).len())
                })
            }
        }
    }

    /// The examples in `range` with their targets.
    pub fn part(&self, range: std::ops::Range<usize>) -> TrainingBatch {
        let sequences = self.first_sequence(range.start)..self.first_sequence(range.end);
        let (from, to) = (self.batch.starts[sequences.start], self.batch.starts[sequences.end]);
        let within = |rows: &[u32]| rows.partition_point(|&row| row < from)..rows.partition_point(|&row| row < to);
        let shifted = |rows: &[u32]| rows.iter().map(|row| row - from).collect();
        let mut of_weights = range.clone();
        let targets = match &self.targets {
            Targets::Classes(classes) => Targets::Classes(classes[range.clone()].to_vec()),
            Targets::Values(values) => Targets::Values(values[range.clone()].to_vec()),
            Targets::Labels(labels) => Targets::Labels(labels[range.clone()].to_vec()),
            Targets::Spans(spans) => Targets::Spans(spans[range.clone()].to_vec()),
            Targets::Words { rows, counts, labels } => {
                let own = within(rows);
                let ends: Vec<usize> = counts
                    .iter()
                    .scan(0, |end, &count| {
                        *end += count as usize;
                        Some(*end)
                    })
                    .collect();
                let word_at = |row: usize| ends.partition_point(|&end| end <= row);
                let words = word_at(own.start)..word_at(own.end);
                of_weights = words.clone();
                Targets::Words {
                    rows: shifted(&rows[own]),
                    counts: counts[words.clone()].to_vec(),
                    labels: labels[words].to_vec(),
                }
            }
            Targets::Pretraining { masked_rows, masked_labels, next_sentence } => {
                let own = within(masked_rows);
                Targets::Pretraining {
                    masked_rows: shifted(&masked_rows[own.clone()]),
                    masked_labels: masked_labels[own].to_vec(),
                    next_sentence: next_sentence.as_ref().map(|next| next[range.clone()].to_vec()),
                }
            }
        };
        TrainingBatch {
            batch: self.batch.part(sequences),
            targets,
            windows: self.windows.get(range).unwrap_or_default().to_vec(),
            pooling: self.pooling,
            weights: self.weights.get(of_weights).unwrap_or_default().to_vec(),
        }
    }
}
