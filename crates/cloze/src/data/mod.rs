//! From files to batches' contents: corpora of documents and sentences, pre-training instances and
//! their masks, tables of labelled examples, questions on texts, files of records.

mod brat;
mod columns;
mod conll;
pub mod corpus;
mod delimited;
pub mod documents;
mod encoding;
pub mod entity_spans;
pub mod google;
pub mod instances;
mod label_studio;
pub mod labelling;
mod labels;
pub mod masking;
pub(crate) mod notation;
pub(crate) mod options;
mod parquet;
pub(crate) mod questions;
mod records;
mod sample;
pub mod sentences;
mod spans;
pub mod squad;
pub mod table;
pub mod tfrecord;
mod word_table;
pub(crate) mod words;

pub use columns::ColumnSpec;
pub use corpus::{Corpus, CorpusOptions, ReadCorpus, SentenceUnit, Store, StoreOptions};
pub use documents::{DocumentBreak, DocumentOptions, find_files};
pub use instances::{
    Coverage, DocumentPlan, Instance, Objective, Plan, PlanOptions, PlannedInstance, Planner, build_instance,
    plan_epoch,
};
pub use labelling::Scheme;
pub use masking::{Masked, Masking};
pub use notation::Notation;
pub use options::{DataOptions, DataSettings, Format, Read, read_label_names};
pub use questions::{holds_questions, read_questions, read_questions_from};
pub use sample::{CorpusSample, SampledInstance};
pub use squad::{Answer, Question, Squad, SquadVersion};
pub use table::{Example, Labelling, label_order, label_set, read_examples, read_examples_from};
pub use words::{Sentence, holds_words, read_sentences, read_sentences_from};
