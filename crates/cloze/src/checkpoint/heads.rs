//! The heads of a model directory: which there are, and what a `classifier` reads.
//!
//! A known class of Hugging Face in `architectures` decides. Without one the tensors do, and where these allow two
//! readings, the labels. Every choice without a known class is noted, with the line of `config.json` that states it.

use std::path::Path;

use super::index::Index;
use super::tensors::{self, TensorFile};
use crate::config::Config;
use crate::data::Scheme;
use crate::error::Error;
use crate::params::{HeadSet, TaskHead};

/// The heads of a directory, and sentences on how they were chosen.
pub(super) struct Found {
    pub heads: HeadSet,
    pub notes: Vec<String>,
}

/// The head of the task that a class has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Encoder or pre-training: no head of a task.
    NoTask,
    Texts,
    Tokens,
    Answers,
    /// A use that Cloze does not support.
    Other,
}

/// Hugging Face's classes for BERT.
const CLASSES: [(&str, Use); 10] = [
    ("BertModel", Use::NoTask),
    ("BertForPreTraining", Use::NoTask),
    ("BertForMaskedLM", Use::NoTask),
    ("BertForNextSentencePrediction", Use::NoTask),
    (TEXTS, Use::Texts),
    (TOKENS, Use::Tokens),
    (ANSWERS, Use::Answers),
    ("BertForMultipleChoice", Use::Other),
    ("BertLMHeadModel", Use::Other),
    ("BertForCausalLM", Use::Other),
];
const TEXTS: &str = "BertForSequenceClassification";
const TOKENS: &str = "BertForTokenClassification";
const ANSWERS: &str = "BertForQuestionAnswering";

const CLASSIFIER: &str = "classifier.weight";
const SPAN: &str = "qa_outputs.weight";
const POOLER: &str = "bert.pooler.dense.weight";
const NEXT_SENTENCE: &str = "cls.seq_relationship.weight";

/// Finds the heads of a directory whose configuration was read from `path`.
///
/// # Errors
/// If `architectures` names a use that is not supported, a head lacks the pooler that it reads, or a head does not
/// have the shape that labels and hidden size ask for.
pub(super) fn find(path: &Path, config: &Config, index: &Index) -> Result<Found, Error> {
    let class = known_class(path, config)?;
    let has = |name: &str| index.find(name).is_some();
    let pooler = has(POOLER);
    let mut notes = Vec::new();
    let task = task_head(class, config, index, &mut notes)?;
    let reads_pooler = match (task, class) {
        (Some(TaskHead::Pooled(_)), _) => Some(CLASSIFIER),
        (_, Some(("BertForPreTraining" | "BertForNextSentencePrediction", _))) if has(NEXT_SENTENCE) => {
            Some(NEXT_SENTENCE)
        }
        _ => None,
    };
    if let (Some(head), Some((class, _)), false) = (reads_pooler, class, pooler) {
        let message = format!("missing; `{head}` of a {class} reads the pooler's output: fetch the complete model");
        return Err(tensors::error(index.files[0].path(), Some(POOLER), message));
    }
    let heads =
        HeadSet { pooler, mlm: has("cls.predictions.transform.dense.weight"), nsp: pooler && has(NEXT_SENTENCE), task };
    Ok(Found { heads, notes })
}

/// The first known class in `architectures`.
fn known_class(path: &Path, config: &Config) -> Result<Option<(&'static str, Use)>, Error> {
    let class = config.architectures.iter().find_map(|name| CLASSES.iter().find(|(class, _)| class == name));
    match class {
        Some((class, Use::Other)) => Err(Error::Config {
            path: path.into(),
            field: "architectures".into(),
            message: format!(
                "{class} cannot be used: Cloze has encoders, pre-training heads, and heads for texts ({TEXTS}), \
                 words ({TOKENS}) and answers ({ANSWERS})"
            ),
        }),
        class => Ok(class.copied()),
    }
}

/// Finds the head of the task.
fn task_head(
    class: Option<(&str, Use)>,
    config: &Config,
    index: &Index,
    notes: &mut Vec<String>,
) -> Result<Option<TaskHead>, Error> {
    let (classifier, span) = (index.find(CLASSIFIER), index.find(SPAN));
    let (kind, named) = match (class, classifier, span) {
        (Some((class, kind)), ..) => (kind, Some(class)),
        (None, Some(_), _) => (kind_of_classifier(config, index), None),
        (None, None, Some(_)) => (Use::Answers, None),
        (None, None, None) => return Ok(None),
    };
    let stored = match kind {
        Use::Answers => span,
        Use::NoTask => classifier.or(span),
        _ => classifier,
    };
    match (named, stored) {
        (Some(class), None) if kind != Use::NoTask => {
            let tensor = if kind == Use::Answers { SPAN } else { CLASSIFIER };
            notes.push(format!(
                "architectures names {class}, but there is no tensor {tensor}: the model has no such head"
            ));
            return Ok(None);
        }
        (Some(class), Some((_, tensor))) if kind == Use::NoTask => {
            notes.push(format!(
                "architectures names {class}, so the head {tensor} is not used; to use it, name {TEXTS}, {TOKENS} or \
                 {ANSWERS} there"
            ));
            return Ok(None);
        }
        (None, Some(_)) => notes.push(choice(kind, config)),
        _ => {}
    }
    let Some((file, stored)) = stored else { return Ok(None) };
    let rows = rows_of(config, file, stored)?;
    if kind == Use::Answers {
        return match rows {
            2 => Ok(Some(TaskHead::Span)),
            rows => Err(file.error(stored, format!("expected two rows, of start and end, found {rows}"))),
        };
    }
    if !config.labels.is_empty() && config.labels.len() != rows {
        let expected = config.labels.len();
        let message = format!("expected a row for each of the {expected} labels of config.json, found {rows}");
        return Err(file.error(stored, message));
    }
    Ok(Some(if kind == Use::Tokens { TaskHead::Tokens(rows) } else { TaskHead::Pooled(rows) }))
}

/// Input of a classifier of no known class: words if there is no pooler, or the labels mark entities, else texts.
fn kind_of_classifier(config: &Config, index: &Index) -> Use {
    let of_texts = index.find(POOLER).is_some() && Scheme::of_labels(&config.labels) == Scheme::None;
    if of_texts { Use::Texts } else { Use::Tokens }
}

/// The note on a head that was chosen without a known class.
fn choice(kind: Use, config: &Config) -> String {
    let (what, class) = match kind {
        Use::Answers => ("gives answers to questions", ANSWERS),
        Use::Tokens => ("labels words", TOKENS),
        _ => ("labels texts", TEXTS),
    };
    let why = match &config.architectures[..] {
        [] => "architectures is not set in config.json".to_string(),
        names => format!("architectures names {}, which is not known", names.join(", ")),
    };
    format!("{why}: by tensors and labels, this model {what}; if so, name {class} there, else the right class")
}

/// Rows of a head `[labels, hidden]`.
fn rows_of(config: &Config, file: &TensorFile, stored: &str) -> Result<usize, Error> {
    let shape = file.shape(stored).unwrap_or_default();
    match shape {
        // Rows of no columns would take no bytes, however many there are.
        &[rows, hidden] if rows > 0 && hidden == config.hidden_size => Ok(rows),
        _ => Err(file.error(stored, format!("expected shape [labels, {}], found {shape:?}", config.hidden_size))),
    }
}
