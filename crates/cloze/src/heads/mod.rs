//! The heads and their losses, forward and backward side by side.

use cloze_kernels::{Kernels, Real};

use crate::Error;

mod mlm;
mod objective;
mod pooled;

pub use mlm::{MlmTape, ROWS_AT_A_TIME, mlm_backward, mlm_logits, mlm_losses};
pub use objective::{Losses, Targets, Totals, TrainingBatch, Workspace, first_rows, losses};
pub use pooled::{
    PooledTape, classes_backward, classes_forward, pooled_logits, pooled_logits_backward, values_backward,
    values_forward,
};

/// Sums over the examples, or masked tokens, of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Sum of the losses, added one after the other in the order of the batch.
    pub loss: f64,
    /// How many predictions are right.
    pub correct: u64,
    /// How many there are.
    pub count: u64,
}

impl Tally {
    /// Mean loss; 0 of nothing.
    pub fn mean_loss(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.loss / self.count as f64 }
    }

    /// Share of right predictions; 0 of nothing.
    pub fn accuracy(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.correct as f64 / self.count as f64 }
    }

    /// Adds the losses of `rows` rows, one after the other.
    fn add_losses<K: Kernels>(&mut self, kernels: &K, losses: &K::Vector, rows: usize) -> Result<(), Error> {
        let mut values = vec![K::Real::from_f64(0.0); rows];
        kernels.read_vector(&mut values, losses, 0)?;
        for loss in values {
            self.loss += loss.to_f64();
            self.count += 1;
        }
        Ok(())
    }

    /// Counts the predictions that are right.
    fn add_correct<K: Kernels>(&mut self, kernels: &K, predictions: &K::Indices, labels: &[u32]) -> Result<(), Error> {
        let mut values = vec![0; labels.len()];
        kernels.read_indices(&mut values, predictions)?;
        self.correct += values.iter().zip(labels).filter(|(prediction, label)| prediction == label).count() as u64;
        Ok(())
    }
}
