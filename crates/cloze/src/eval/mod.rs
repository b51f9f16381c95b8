//! How good predictions are.

mod answers;
pub mod bootstrap;
pub mod calibration;
pub mod confusion;
pub mod entities;
mod evaluate;
pub mod metrics;
pub mod multi_label;
#[cfg(test)]
mod oracle;
mod results;
pub mod slices;
pub mod squad;
mod task;
mod texts;
pub mod thresholds;
mod tuning;
mod words;

pub(crate) use answers::{AnswerResults, note_on_questions, texts_of_questions};
pub use evaluate::{
    Answers, Evaluation, EvaluationOptions, ModelComparison, PretrainingData, compare, evaluate, evaluate_pretraining,
};
pub(crate) use evaluate::{Source, check_positive_label, results};
pub use results::{Calibration, Details, Mistake};
pub(crate) use task::{Gold, classes, read, several_labels, values};
pub use texts::CROSS_FITTED;
pub(crate) use texts::TextResults;
pub use tuning::Tuning;
pub(crate) use words::{WordResults, note_on_plain_labels, read_labelled_words};
