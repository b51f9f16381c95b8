//! The heads and their losses, forward and backward side by side.

mod mlm;
mod objective;
mod pooled;

pub use mlm::{MlmTape, ROWS_AT_A_TIME, mlm_backward, mlm_logits, mlm_losses};
pub use objective::{Losses, Targets, Totals, TrainingBatch, Workspace, first_rows, losses};
pub use pooled::{PooledTape, classes_backward, classes_forward, pooled_logits, values_backward, values_forward};

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

    fn add(&mut self, losses: impl IntoIterator<Item = f64>) {
        for loss in losses {
            self.loss += loss;
            self.count += 1;
        }
    }
}
