//! How good predictions are.

pub mod entities;
pub mod bootstrap;
pub mod calibration;
pub mod confusion;
mod evaluate;
pub mod metrics;
pub mod multi_label;
#[cfg(test)]
mod oracle;
pub mod slices;
mod task;
mod words;

pub use evaluate::{Evaluation, PretrainingData, evaluate, evaluate_pretraining};
pub(crate) use task::{Gold, classes, read, several_labels, task_metrics, values};
pub(crate) use words::{WordResults, read_labelled_words};
