//! BERT, whole: from raw text to answers, on ordinary CPUs.
//!
//! This library is what the program `cloze` is made of. It opens Hugging Face model directories and
//! writes them; it embeds, classifies and fills masks; it pre-trains and fine-tunes.
//!
//! # Using a model
//!
//! A [`Model`] is opened from a directory, and used through `&self` from any number of threads. The
//! answer to a text has the same bits by itself and among thousands.
//!
//! ```
//! use cloze::infer::{EmbedOptions, ReadOptions};
//! use cloze::Model;
//!
//! # fn main() -> Result<(), cloze::Error> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! # cloze::example_model(dir)?;
//! let model = Model::open(dir)?;
//!
//! let vectors = model.embed(&["the cat sat".into(), "a dog".into()], EmbedOptions::default())?;
//! assert_eq!(vectors[0].vectors[0].len(), model.config().hidden_size);
//!
//! let answers = model.classify(&["the cat sat".into(), ("the cat", "a dog").into()], ReadOptions::default())?;
//! println!("{}: {:.3}", answers[0].label, answers[0].score);
//!
//! let masks = model.fill("the [MASK] sat".into(), 3)?;
//! println!("{}", masks[0].candidates[0].token);
//! # Ok(())
//! # }
//! ```
//!
//! [`Model::forward`] gives everything that is computed on the way: the hidden states of every layer,
//! the pooled output, attention probabilities.
//!
//! # Training
//!
//! [`train::pretrain`] and [`train::finetune`] run a training to its end, with checkpoints, and go on
//! with one that was interrupted. A [`train::Trainer`] takes single steps, for a loop of one's own:
//!
//! ```
//! use cloze::heads::{Targets, TrainingBatch};
//! use cloze::model::Batch;
//! use cloze::optim::{Decay, OptimizerKind, OptimizerSettings, Schedule};
//! use cloze::params::{Declaration, HeadSet, TaskHead};
//! use cloze::train::Trainer;
//! use cloze::{Config, Cpu};
//!
//! # fn main() -> Result<(), cloze::Error> {
//! let mut config = Config { vocab_size: 100, ..Config::tiny() };
//! config.labels = vec!["no".to_string(), "yes".to_string()];
//! let heads = HeadSet { pooler: true, task: Some(TaskHead::Pooled(2)), ..HeadSet::default() };
//! let declaration = Declaration::new(&config, heads);
//! let weights = declaration.initial_weights(config.initializer_range, 1);
//!
//! let optimizer = OptimizerSettings::new(OptimizerKind::AdamW);
//! let mut trainer = Trainer::new(Cpu::new(2)?, &config, &declaration, &weights, optimizer, 1)?;
//! let (kind, decay) = (OptimizerKind::AdamW, Decay::Linear);
//! let schedule = Schedule { peak: 1e-3, warmup_steps: 1, total_steps: 8, kind, decay };
//!
//! let mut batch = Batch::default();
//! batch.push(&[2, 7, 8, 3], &[0, 0, 0, 0]);
//! batch.push(&[2, 9, 3], &[0, 0, 0]);
//! let batch = TrainingBatch::new(batch, Targets::Classes(vec![0, 1]));
//! for step in 0..8 {
//!     let report = trainer.step(&batch, 1, schedule.rate(step))?;
//!     println!("step {}: loss {:.4}", report.step, report.losses.total());
//! }
//! # let dir = tempfile::tempdir().unwrap();
//! cloze::checkpoint::save(dir.path(), &config, &declaration, &trainer.state()?.weights)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to read on
//!
//! [`config`] has the sizes, [`params`] the one declaration of all parameters, [`model`] the network,
//! [`heads`] what is learnt; [`cloze_kernels`] the arithmetic below.

#![forbid(unsafe_code)]

pub mod bench;
mod characters;
pub mod check;
pub mod checkpoint;
pub mod config;
pub mod data;
mod error;
pub mod eval;
pub mod extend;
pub mod first_weights;
pub mod folder;
pub mod heads;
pub mod infer;
pub mod memory;
pub mod model;
mod numbers;
pub mod optim;
pub mod params;
pub mod precision;
mod protobuf;
pub mod quantize;
pub mod random;
pub mod settings;
pub mod train;

pub use cloze_kernels::Cpu;
pub use config::Config;
pub use error::Error;
pub use infer::{Model, Text};
pub use numbers::grouped;
pub use precision::Precision;

/// Writes a small model with random weights and all heads into a directory, for the examples of this
/// documentation.
#[doc(hidden)]
pub fn example_model(dir: &std::path::Path) -> Result<(), Error> {
    let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "cat", "dog", "sat"];
    let tokens = tokens.map(str::to_string).to_vec();
    let config = Config {
        vocab_size: tokens.len(),
        hidden_size: 16,
        num_attention_heads: 2,
        intermediate_size: 32,
        labels: vec!["no".to_string(), "yes".to_string()],
        ..Config::tiny()
    };
    let heads = params::HeadSet { pooler: true, mlm: true, nsp: true, task: Some(params::TaskHead::Pooled(2)) };
    let declaration = params::Declaration::new(&config, heads);
    checkpoint::save(dir, &config, &declaration, &declaration.initial_weights(config.initializer_range, 1))?;
    cloze_tokenizer::Tokenizer::from_tokens(tokens, cloze_tokenizer::Casing::Uncased)?.save(dir)?;
    Ok(())
}

/// Own name, for the files that unit tests and integration tests share.
#[cfg(test)]
extern crate self as cloze;

/// Examples of the README, which compile as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
