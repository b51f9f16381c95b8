//! How good predictions are.

pub mod entities;
mod evaluate;
pub mod metrics;
mod task;
mod words;

pub use evaluate::{Evaluation, PretrainingData, evaluate, evaluate_pretraining};
pub(crate) use task::{Gold, classes, read, several_labels, task_metrics, values};
pub(crate) use words::{WordResults, read_labelled_words};
