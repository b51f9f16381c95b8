//! The heads and their losses, forward and backward side by side.

mod linear;
mod mlm;
mod objective;
mod tally;
mod targets;
mod task;

pub use linear::{LinearTape, linear_logits, linear_logits_backward};
pub use mlm::{MlmTape, ROWS_AT_A_TIME, mlm_backward, mlm_logits, mlm_losses};
pub use objective::{Losses, Workspace, first_rows, losses};
pub use tally::Tally;
pub use targets::{Targets, Totals, TrainingBatch};
pub use task::WindowPooling;
