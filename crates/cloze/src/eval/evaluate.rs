//! A model's metrics on a file.

use std::path::{Path, PathBuf};

use cloze_kernels::Kernels;
use serde::Serialize;

use crate::Error;
use crate::config::labels::is_label;
use crate::data::corpus::store_among;
use crate::data::{
    Corpus, CorpusOptions, DataOptions, Example, Labelling, Objective, Question, Sentence, Squad, Store, read_examples,
    read_questions, read_sentences,
};
use crate::heads::{Workspace, losses};
use crate::infer::spans::Nbest;
use crate::infer::{Long, Model, ReadOptions, ReadQuestion, ReadText, ScoreFunction, Task, TextHead, first_place};
use crate::model::Keep;
use crate::settings::{PretrainSettings, QuestionSettings, Start};
use crate::train::{Data, Event, HeldOut, Metrics, Observer};

use super::answers::{AnswerResults, note_on_questions, texts_of_questions};
use super::bootstrap::Comparison;
use super::results::{Details, Results, as_map};
use super::task::{classes, read, several_labels, values};
use super::texts::{CROSS_FITTED, TextResults};
use super::tuning::Tuning;
use super::words::{WordResults, note_on_plain_labels, read_labelled_words};

/// How good a model is on some data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// `classification`, `regression`, `multi-label`, `tokens`, `qa` or `pretraining`.
    pub task: &'static str,
    /// Examples, or instances of pre-training.
    pub examples: usize,
    /// The loss first.
    #[serde(serialize_with = "as_map")]
    pub metrics: Metrics,
    /// All else; nothing of pre-training.
    #[serde(flatten)]
    pub details: Details,
    /// The answers to questions, where the model answers such.
    #[serde(skip)]
    pub answers: Option<Answers>,
}

/// Questions and what a model answers, as SQuAD's files tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// In the order of the file.
    pub questions: Vec<Question>,
    /// The best answers to each.
    pub nbest: Vec<Nbest>,
}

/// How labelled examples are read.
#[derive(Clone, Debug, Default)]
pub struct EvaluationOptions {
    /// How the file is read; what is not chosen is as the model was trained with.
    pub data: DataOptions,
    /// Length and windows.
    pub reading: ReadOptions,
    /// How questions are read and answered; by default as stored with the model.
    pub questions: Option<QuestionSettings>,
    /// The label whose F1 is measured, of two; by default as stored with the model, or else the second.
    pub positive_label: Option<String>,
    /// Decides which examples are drawn for the intervals.
    pub seed: u64,
}

/// Two models on the same examples.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelComparison {
    /// What both do.
    pub task: &'static str,
    /// Examples.
    pub examples: usize,
    /// The metrics of the first model and of the second.
    pub metrics: [Metrics; 2],
    /// Each metric of the first less that of the second.
    pub differences: Vec<(String, Comparison)>,
    /// McNemar's exact test, where an answer is right or wrong.
    pub mcnemar: Option<f64>,
}

/// Evaluates a fine-tuned model on labelled examples.
///
/// # Errors
/// If the model has no head for such, the file cannot be read, or an example's label is unknown.
pub fn evaluate(
    model: &Model,
    path: &Path,
    options: &EvaluationOptions,
    observer: &mut Observer,
) -> Result<Evaluation, Error> {
    let source = Source::read(model, path, options, observer)?;
    let results = results(model, &source, path, options, observer)?;
    let tuning = model.settings().tuning.as_ref().filter(|tuning| tuning.is_of(&source));
    let evaluation = Evaluation::of(model, results, &source, tuning, options.seed)?;
    if let Some(note) = evaluation.note_on_tuning() {
        let _ = observer(&Event::Note(format!("{}: {note}", path.display())));
    }
    Ok(evaluation)
}

impl Evaluation {
    /// All that follows from results. `tuning` is there if these examples chose the thresholds.
    pub(crate) fn of(
        model: &Model,
        results: Results,
        source: &Source,
        tuning: Option<&Tuning>,
        seed: u64,
    ) -> Result<Evaluation, Error> {
        let mut metrics = results.metrics()?;
        metrics.extend(tuning.map(|tuning| results.cross_fitted(tuning)).unwrap_or_default());
        let details = results.details(seed, |at| source.example(at));
        Ok(Evaluation {
            task: task_name(model)?,
            examples: results.len(),
            metrics,
            details: Details { tuning: tuning.cloned(), ..details },
            answers: match results {
                Results::Answers(results) => Some(Answers { questions: results.questions, nbest: results.nbest }),
                _ => None,
            },
        })
    }

    /// The value of a metric.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    /// The honest value of a metric at thresholds that these examples chose: that at thresholds which were tuned on other
    /// examples. None if no threshold was chosen on these examples, or none counts for the metric.
    pub fn cross_fitted(&self, metric: &str) -> Option<f64> {
        self.metric(&format!("{CROSS_FITTED}{metric}"))
    }

    /// A sentence that tells tuned from honest figures, if these examples chose the thresholds.
    pub(crate) fn note_on_tuning(&self) -> Option<String> {
        let Tuning { metric, folds, .. } = self.details.tuning.as_ref()?;
        let (tuned, honest) = (self.metric(metric)?, self.cross_fitted(metric)?);
        Some(format!(
            "these examples chose the thresholds: {metric} {tuned:.4} is tuned; with thresholds from the other examples it \
             is {honest:.4} (cross-fitted, {folds} folds)"
        ))
    }
}

/// Refuses a label whose F1 cannot be measured.
pub(crate) fn check_positive_label(label: &str, is_classification: bool, labels: &[String]) -> Result<(), Error> {
    if is_classification && labels.len() == 2 && labels.iter().any(|own| is_label(own, label)) {
        return Ok(());
    }
    Err(Error::Settings(match is_classification && labels.len() == 2 {
        true => format!("no label `{label}` to measure F1 of; the labels are {}", labels.join(", ")),
        false => format!("F1 of the label `{label}` alone is measured where texts have one of two labels"),
    }))
}

/// Compares two models of the same task on the same examples.
///
/// # Errors
/// As [`evaluate`]; and if their tasks differ.
pub fn compare(
    models: [&Model; 2],
    path: &Path,
    options: &EvaluationOptions,
    observer: &mut Observer,
) -> Result<ModelComparison, Error> {
    let [first, second] = models;
    let (task, other) = (task_name(first)?, task_name(second)?);
    if task != other {
        return Err(Error::Settings(format!("the first model is one for {task}, the second for {other}")));
    }
    let source = Source::read(first, path, options, observer)?;
    let a = results(first, &source, path, options, observer)?;
    // Columns and names of labels are those of each model.
    let other_source = Source::read(second, path, options, observer)?;
    let b = results(second, &other_source, path, options, observer)?;
    for (model, source, which) in [(first, &source, "first"), (second, &other_source, "second")] {
        if model.settings().tuning.as_ref().is_some_and(|tuning| tuning.is_of(source)) {
            let path = path.display();
            let note = format!("{path} chose the thresholds of the {which} model, whose figures on it are too good");
            let _ = observer(&Event::Note(note));
        }
    }
    let (differences, mcnemar) = a.compare(&b, options.seed);
    Ok(ModelComparison { task, examples: a.len(), metrics: [a.metrics()?, b.metrics()?], differences, mcnemar })
}

fn task_name(model: &Model) -> Result<&'static str, Error> {
    match model.task() {
        Some(Task::Classification) => Ok("classification"),
        Some(Task::Regression) => Ok("regression"),
        Some(Task::MultiLabel) => Ok("multi-label"),
        Some(Task::Tokens) => Ok("tokens"),
        Some(Task::Questions) => Ok("qa"),
        Some(Task::NextSentence) | None => {
            Err(Error::Settings("the model has no head to evaluate on labelled examples".to_string()))
        }
    }
}

/// Labelled examples of a file, or of a part of one.
pub(crate) enum Source {
    Examples(Vec<Example>),
    Sentences(Vec<Sentence>),
    Questions(Squad),
}

impl Source {
    /// Reads the examples that a model is evaluated on.
    pub fn read(
        model: &Model,
        path: &Path,
        options: &EvaluationOptions,
        observer: &mut Observer,
    ) -> Result<Source, Error> {
        task_name(model)?;
        let stored = model.settings();
        let data = options.data.with_stored(stored.columns.as_deref(), &stored.reading)?;
        let data = data.naming(&model.config().labels);
        let labelling = match model.task() {
            Some(Task::Questions) => {
                let squad = read_questions(path, &data, true)?;
                squad.notes.iter().for_each(|note| tell(Some(note.clone()), observer));
                return Ok(Source::Questions(squad));
            }
            Some(Task::Tokens) => return Ok(Source::Sentences(read_sentences(path, &data, true)?.told(observer))),
            Some(Task::MultiLabel) => Labelling::Several,
            Some(Task::Regression) => Labelling::Value,
            _ => Labelling::One,
        };
        check_values(model)?;
        Ok(Source::Examples(read_examples(path, &data, labelling)?.told(observer)))
    }

    /// The place of an example, what it is, and its words.
    pub fn example(&self, at: usize) -> (String, String, Vec<String>) {
        match self {
            Source::Examples(examples) => {
                let Example { line, text, text_b, .. } = &examples[at];
                let text = text_b.as_ref().map_or_else(|| text.clone(), |b| format!("{text} | {b}"));
                (format!("line {line}"), text, Vec::new())
            }
            Source::Sentences(sentences) => {
                let Sentence { line, words, .. } = &sentences[at];
                (format!("line {line}"), words.join(" "), words.clone())
            }
            Source::Questions(Squad { questions, .. }) => {
                (questions[at].id.clone(), questions[at].question.clone(), Vec::new())
            }
        }
    }
}

fn tell(note: Option<String>, observer: &mut Observer) {
    if let Some(note) = note {
        let _ = observer(&Event::Note(note));
    }
}

/// Refuses a model that gives several numbers.
fn check_values(model: &Model) -> Result<(), Error> {
    let labels = &model.config().labels;
    match model.text_head() {
        Some(TextHead::Values(_)) if labels.len() != 1 => Err(Error::Settings(format!(
            "the model gives {} numbers ({}), and one number is what can be evaluated; predict gives them all",
            labels.len(),
            labels.join(", ")
        ))),
        _ => Ok(()),
    }
}

/// Answers of a model to examples, with all that is stored with it. `path` names them in notes.
pub(crate) fn results(
    model: &Model,
    source: &Source,
    path: &Path,
    options: &EvaluationOptions,
    observer: &mut Observer,
) -> Result<Results, Error> {
    let labels = &model.config().labels;
    let mut results = match source {
        Source::Questions(Squad { version, questions, .. }) => {
            let settings = options.questions.unwrap_or(model.question_settings());
            let texts = texts_of_questions(questions);
            let read = model.read_questions(&texts, options.reading, settings)?;
            tell(note_on_questions(&read, path), observer);
            let logits_of = |read: &[ReadQuestion]| model.question_logits(read);
            Results::Answers(AnswerResults::of(questions, &read, *version, settings.answers, logits_of, observer)?)
        }
        Source::Sentences(sentences) => {
            let long = options.reading.long.or(model.settings().long).or(Some(Long::Window));
            let reading = model.reading(ReadOptions { long, ..options.reading })?;
            let subtokens = model.settings().subtokens.unwrap_or_default();
            let (read, gold, notes) =
                read_labelled_words(model.tokenizer(), sentences, labels, reading, subtokens, path)?;
            notes.into_iter().chain(note_on_plain_labels(labels)).for_each(|note| tell(Some(note), observer));
            Results::Words(WordResults::of(&read, &gold, labels, |windows| model.token_logits(windows), observer)?)
        }
        Source::Examples(examples) => {
            check_values(model)?;
            let function = match model.text_head() {
                Some(TextHead::Values(function)) => function,
                _ => ScoreFunction::Identity,
            };
            let gold = match model.task() {
                Some(Task::Regression) => values(examples, path)?,
                Some(Task::MultiLabel) => several_labels(examples, labels, path)?,
                _ => classes(examples, labels, path)?,
            };
            let (texts, note) = read(model.tokenizer(), examples, model.reading(options.reading)?, path);
            tell(note, observer);
            let logits_of = |texts: &[ReadText]| {
                let mut rows = model.classifier_logits(texts)?;
                rows.iter_mut().flatten().for_each(|value| *value = function.apply(*value));
                Ok(rows)
            };
            Results::Texts(TextResults::of(&texts, gold, labels, logits_of, observer)?)
        }
    };
    let mut settings = model.settings().clone();
    settings.questions = options.questions.or(settings.questions);
    if let Some(label) = &options.positive_label {
        check_positive_label(label, model.task() == Some(Task::Classification), labels)?;
        settings.positive_label = Some(label.clone());
    }
    results.apply(&settings);
    Ok(results)
}

/// How text is read for [`evaluate_pretraining`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PretrainingData {
    /// Documents and sentences.
    pub corpus: CorpusOptions,
    /// Tokens of an instance at most; by default as the model was trained.
    pub max_seq_length: Option<usize>,
    /// Decides instances and masks.
    pub seed: u64,
}

/// Evaluates masked language model and, if the model has the head, next sentence prediction on text, or on a store of
/// it, with masks fixed by the seed.
///
/// # Errors
/// If the model has no masked language model head, or a file cannot be read.
pub fn evaluate_pretraining(
    model: &Model,
    inputs: &[PathBuf],
    data: PretrainingData,
    observer: &mut Observer,
) -> Result<Evaluation, Error> {
    let heads = model.heads();
    if !heads.mlm {
        return Err(Error::Settings("the model has no masked language model head to evaluate on text".to_string()));
    }
    let default_length = model.settings().max_seq_length.unwrap_or(128).min(model.config().max_position_embeddings);
    let mut settings = PretrainSettings::new(inputs.to_vec(), "", Start::Model("".into()), 1);
    settings.max_seq_length = model.checked_length(data.max_seq_length, default_length)?;
    settings.objective = if heads.nsp && heads.pooler { Objective::MlmNsp } else { Objective::Mlm };
    let lengths = settings.objective.sequence_lengths();
    if !lengths.contains(&settings.max_seq_length) {
        return Err(Error::Settings(format!(
            "a maximum length of {} tokens: instances of this model need {} to {}",
            settings.max_seq_length,
            lengths.start(),
            lengths.end()
        )));
    }
    settings.update.seed = data.seed;
    settings.eval_instances = Some(usize::MAX);
    let mut progress = |done, total| {
        let _ = observer(&Event::Progress { what: "reading", done, total });
    };
    let read = match store_among(inputs)? {
        Some(dir) => Store::open(dir, model.tokenizer(), &data.corpus, &mut progress)?.read,
        None => Corpus::read(inputs, model.tokenizer(), &data.corpus, &mut progress)?,
    };
    for note in read.notes() {
        let _ = observer(&Event::Note(note));
    }
    let held_out = HeldOut::new(&Data::Corpus(read.corpus), &settings, settings.max_seq_length, model.tokenizer())?;
    let network = model.network();
    let mut workspace = Workspace::new(&network.kernels, model.config(), Keep::LastHiddenState)?;
    let metrics = held_out.evaluate(
        |sums, batch| {
            let totals = batch.totals();
            network.kernels.scope(|| losses(network, &mut workspace, sums, None, batch, 0, totals, None))?;
            if sums.total().is_finite() {
                return Ok(());
            }
            let place = first_place(network, &batch.batch)?;
            Err(Error::Overflow { place: place.unwrap_or_else(|| "the pre-training heads".to_string()) })
        },
        observer,
    )?;
    Ok(Evaluation {
        task: "pretraining",
        examples: held_out.instances(),
        metrics,
        details: Details::default(),
        answers: None,
    })
}
