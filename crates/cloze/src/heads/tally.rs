//! Sums of losses.

use cloze_kernels::{Kernels, Real};

use crate::Error;

/// Sums over the examples, words or masked tokens of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Sum of the losses times their weights, added one after the other in the order of the batch.
    pub loss: f64,
    /// Sum of the weights.
    pub weight: f64,
    /// How many predictions are right.
    pub correct: u64,
    /// How many there are.
    pub count: u64,
}

/// What a loss says of one target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judged {
    pub loss: f64,
    /// Whether the prediction is right.
    pub correct: bool,
}

impl Tally {
    /// Weighted mean of the losses; 0 of nothing.
    pub fn mean_loss(&self) -> f64 {
        if self.weight == 0.0 { 0.0 } else { self.loss / self.weight }
    }

    /// Share of right predictions; 0 of nothing.
    pub fn accuracy(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.correct as f64 / self.count as f64 }
    }

    /// Adds one target.
    pub(super) fn add(&mut self, judged: Judged, weight: f64) {
        self.loss += weight * judged.loss;
        self.weight += weight;
        self.correct += u64::from(judged.correct);
        self.count += 1;
    }

    /// Adds the losses of `labels.len()` rows, one after the other, and counts the predictions that are right.
    pub(super) fn add_rows<K: Kernels>(
        &mut self,
        kernels: &K,
        losses: &K::Vector,
        predictions: &K::Indices,
        labels: &[u32],
    ) -> Result<(), Error> {
        let mut values = vec![K::Real::from_f64(0.0); labels.len()];
        kernels.read_vector(&mut values, losses, 0)?;
        let mut predicted = vec![0; labels.len()];
        kernels.read_indices(&mut predicted, predictions)?;
        for ((loss, prediction), label) in values.into_iter().zip(predicted).zip(labels) {
            self.add(Judged { loss: loss.to_f64(), correct: prediction == *label }, 1.0);
        }
        Ok(())
    }
}
