//! The optimizers, clipping and learning-rate schedules.

mod adam;
mod rates;
mod schedule;

pub use adam::{OptimizerKind, OptimizerSettings, adam_step, clip_scale, gradient_norm, trust_ratios};
pub use rates::RateSettings;
pub use schedule::{Decay, Schedule};
