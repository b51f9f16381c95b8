//! From files to batches' contents: corpora of documents and sentences, pre-training instances and
//! their masks, tables of labelled examples.

mod blocks;
mod columns;
pub mod corpus;
pub mod instances;
pub mod masking;
pub mod sentences;
pub mod table;

pub use columns::ColumnSpec;
pub use corpus::{Corpus, DocumentBreak, SentenceUnit};
pub use instances::{Instance, Objective, PlanOptions, PlannedInstance, build_instance, plan_epoch};
pub use masking::{Masked, mask};
pub use table::{Example, Format, label_set, read_examples, read_examples_from};
