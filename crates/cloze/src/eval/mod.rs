//! How good predictions are.

pub mod bootstrap;
pub mod calibration;
pub mod confusion;
pub mod entities;
mod evaluate;
pub mod metrics;
pub mod multi_label;
#[cfg(test)]
mod oracle;
pub mod slices;
pub mod squad;
mod task;
mod words;

pub use evaluate::{Evaluation, PretrainingData, evaluate, evaluate_pretraining};
pub(crate) use task::{Gold, classes, read, several_labels, task_metrics, values};
pub(crate) use words::{WordResults, read_labelled_words};
