//! Pre-training instances exactly as Google BERT's `create_pretraining_data.py` makes them under Python 3, from the
//! same text, vocabulary and seed; and files of them.
//!
//! Elsewhere in this crate every epoch is drawn anew, and no files are prepared. These are for those who want to train
//! on the very instances of another system, or to give theirs to one.

mod example;
mod files;
mod instances;
mod python_random;

pub use files::{FileFormat, InstanceFiles, write_instances};
pub use instances::{Document, Instance, InstanceOptions, create_instances, read_documents};
pub use python_random::PythonRandom;

#[cfg(test)]
mod tests;
