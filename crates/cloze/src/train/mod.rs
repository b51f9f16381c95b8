//! Training.

mod trainer;

pub use trainer::{StepReport, Trainer, TrainerState};
