//! How good predictions are.

mod evaluate;
pub mod metrics;
mod task;

pub use evaluate::{Evaluation, PretrainingData, evaluate, evaluate_pretraining};
pub(crate) use task::{Gold, classes, encode, task_metrics, values};
