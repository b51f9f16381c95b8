//! BERT: the model, its heads and losses, its data, its training.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod config;
pub mod data;
mod error;
pub mod eval;
pub mod heads;
pub mod infer;
pub mod model;
pub mod optim;
pub mod params;
pub mod random;
pub mod settings;
pub mod train;

pub use config::Config;
pub use error::Error;
pub use infer::{Model, Text};
