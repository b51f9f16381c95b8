//! From files to batches' contents: corpora of documents and sentences, pre-training instances and
//! their masks, tables of labelled examples, questions on texts, files of records.

mod columns;
mod conll;
pub mod corpus;
pub mod documents;
mod encoding;
pub mod entity_spans;
pub mod google;
pub mod instances;
pub mod labelling;
pub mod masking;
pub(crate) mod notation;
mod sample;
pub mod sentences;
pub mod squad;
pub mod table;
pub mod tfrecord;

pub use columns::ColumnSpec;
pub use conll::{Sentence, SentenceFormat, read_sentences, read_sentences_from};
pub use corpus::{Corpus, CorpusOptions, ReadCorpus, SentenceUnit, Store, StoreOptions};
pub use documents::{DocumentBreak, DocumentOptions, find_files};
pub use instances::{
    Instance, Objective, Plan, PlanOptions, PlannedInstance, build_instance, plan_document, plan_epoch,
};
pub use labelling::Scheme;
pub use masking::{Masked, Masking};
pub use notation::Notation;
pub use sample::{CorpusSample, SampledInstance};
pub use squad::{Answer, Question, Squad, SquadVersion, read_question_lines_from, read_questions, read_questions_from};
pub use table::{Example, Format, Labelling, label_order, label_set, read_examples, read_examples_from};
