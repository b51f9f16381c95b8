//! The optimizers, clipping and learning-rate schedules.

mod adam;
mod schedule;

pub use adam::{OptimizerKind, OptimizerSettings, clip_scale, gradient_norm, step};
pub use schedule::Schedule;
