//! Answers to questions.

use std::path::Path;

use cloze_kernels::Kernels;
use cloze_tokenizer::Tokenizer;
use sha2::{Digest, Sha256};

use crate::checkpoint::Checkpoint;
use crate::data::squad::{aligned_span, misaligned};
use crate::data::{DataOptions, Question, Squad, SquadVersion, read_questions};
use crate::eval::{AnswerResults, Source, note_on_questions, texts_of_questions};
use crate::heads::{Targets, TrainingBatch};
use crate::infer::spans::{AnswerSettings, Window};
use crate::infer::{self, InferenceWorkspace, ReadQuestion, span_logits};
use crate::model::Batch;
use crate::numbers::Count;
use crate::params::{HeadSet, TaskHead};
use crate::settings::{ClassWeights, FinetuneSettings};
use crate::train::{Event, Observer, Trainer};
use crate::{Config, Error};

use super::data::{Sets, TaskData, dev_name, hash_ids};
use super::held_out;
use super::labels;

/// Answers that are not found of which each is told with its text; of more the ids.
const NOT_FOUND_TOLD: usize = 20;

/// Questions as the model reads them.
pub(super) struct QuestionData {
    version: SquadVersion,
    questions: Vec<Question>,
    read: Vec<ReadQuestion>,
    /// Of all windows to learn from: the question, which of its windows, and the first and last token of the answer.
    windows: Vec<(usize, usize, (u32, u32))>,
    settings: AnswerSettings,
}

/// Reads the files, and looks for the answers in their texts.
pub(super) fn read(
    settings: &FinetuneSettings,
    config: &mut Config,
    checkpoint: Option<&mut Checkpoint>,
    tokenizer: &Tokenizer,
    options: &DataOptions,
    observer: &mut Observer,
) -> Result<Sets, Error> {
    if settings.class_weights != ClassWeights::None {
        return Err(Error::Settings("class weights need labels; answers to questions have none".to_string()));
    }
    let train = read_questions(&settings.train, options, true)?;
    let dev = settings.dev.as_ref().map(|path| read_questions(path, options, true)).transpose()?;
    for note in train.notes.iter().chain(dev.iter().flat_map(|dev| &dev.notes)) {
        let _ = observer(&Event::Note(note.clone()));
    }
    let (train, dev) = match dev {
        Some(dev) => (train, Some(dev)),
        None => {
            let division = held_out::divide_questions(&train.questions);
            let version = train.version;
            let squad = |questions| Squad { version, questions, notes: Vec::new() };
            let (train, dev) = division.part(train.questions, &settings.train, observer);
            (squad(train), dev.map(squad))
        }
    };
    let path = dev_name(settings);
    let head = checkpoint.as_ref().and_then(|checkpoint| checkpoint.heads().task);
    labels::choose(settings, config, checkpoint, Vec::new(), head == Some(TaskHead::Span), observer)?;
    config.problem_type = None;
    let count = train.questions.len();
    let impossible = train.questions.iter().filter(|question| question.is_impossible).count();
    let _ = observer(&Event::Note(format!(
        "{} questions to train on, {} of them without an answer",
        Count(count),
        Count(impossible)
    )));
    note_misaligned(&train.questions, &settings.train, observer);
    if let Some(dev) = &dev {
        note_misaligned(&dev.questions, &path, observer);
    }
    let train = QuestionData::new(settings, tokenizer, &settings.train, train, observer)?;
    if train.windows.is_empty() {
        let message = "no question has an answer that is in its text; there is nothing to learn".to_string();
        return Err(Error::Data { path: settings.train.clone(), line: None, message });
    }
    let held_out = dev.clone().filter(|_| settings.dev.is_none()).map(Source::Questions);
    let dev = dev.map(|squad| QuestionData::new(settings, tokenizer, &path, squad, observer)).transpose()?;
    let heads = HeadSet { task: Some(TaskHead::Span), ..HeadSet::default() };
    Ok(Sets { train: TaskData::Questions(train), dev: dev.map(TaskData::Questions), held_out, heads })
}

/// Tells which answers are not in their texts, so that nobody learns from them.
fn note_misaligned(questions: &[Question], path: &Path, observer: &mut Observer) {
    let missing = misaligned(questions);
    for answer in missing.iter().take(NOT_FOUND_TOLD) {
        let _ = observer(&Event::Note(format!(
            "{}: question `{}`: the answer `{}` is not at its place in the text, where there is `{}`",
            path.display(),
            answer.id,
            answer.expected,
            answer.found
        )));
    }
    if missing.len() > NOT_FOUND_TOLD {
        let more: Vec<&str> = missing[NOT_FOUND_TOLD..].iter().map(|answer| answer.id.as_str()).collect();
        let note = format!("{}: {} more answers like these: {}", path.display(), Count(more.len()), more.join(", "));
        let _ = observer(&Event::Note(note));
    }
}

impl QuestionData {
    fn new(
        settings: &FinetuneSettings,
        tokenizer: &Tokenizer,
        path: &Path,
        squad: Squad,
        observer: &mut Observer,
    ) -> Result<QuestionData, Error> {
        let Squad { version, questions, .. } = squad;
        let windowing = settings.questions.windows(settings.max_seq_length);
        let read = infer::read_questions(tokenizer, &texts_of_questions(&questions), windowing, settings.long)?;
        if let Some(note) = note_on_questions(&read, path) {
            let _ = observer(&Event::Note(note));
        }
        let mut windows = Vec::new();
        let mut left_out = 0;
        for (at, (question, read)) in questions.iter().zip(&read).enumerate() {
            let span = aligned_span(question);
            if span.is_none() && !question.is_impossible {
                left_out += 1;
                continue;
            }
            let targets = read.windows.targets(span).into_iter().enumerate();
            windows.extend(targets.map(|(window, (first, last))| (at, window, (first as u32, last as u32))));
        }
        if left_out > 0 {
            let path = path.display();
            let _ =
                observer(&Event::Note(format!("{path}: {} questions have no answer to learn from", Count(left_out))));
        }
        let mut answers = settings.questions.answers;
        if questions.iter().any(|question| question.is_impossible) {
            answers.null_threshold.get_or_insert(0.0);
        }
        Ok(QuestionData { version, questions, read, windows, settings: answers })
    }

    /// True if a question has no answer.
    pub fn may_have_no_answer(&self) -> bool {
        self.questions.iter().any(|question| question.is_impossible)
    }

    /// Number of windows to learn from.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// The `chosen` windows as a batch.
    pub fn batch(&self, chosen: &[usize]) -> TrainingBatch {
        let mut batch = Batch::default();
        let mut spans = Vec::with_capacity(chosen.len());
        for &(question, window, span) in chosen.iter().map(|&at| &self.windows[at]) {
            let Window { ids, token_type_ids, .. } = &self.read[question].windows.windows[window];
            batch.push(ids, token_type_ids);
            spans.push(span);
        }
        TrainingBatch::new(batch, Targets::Spans(spans))
    }

    /// What the model answers to all questions.
    pub fn results(
        &self,
        trainer: &Trainer,
        workspace: &mut InferenceWorkspace,
        observer: &mut Observer,
    ) -> Result<AnswerResults, Error> {
        let network = trainer.network();
        let head = network.parameters.task.as_ref().expect("fine-tuning has a head");
        let logits_of = |read: &[ReadQuestion]| {
            let windows: Vec<&Window> = read.iter().flat_map(|question| &question.windows.windows).collect();
            network.kernels.scope(|| span_logits(network, workspace, head, &windows))
        };
        AnswerResults::of(&self.questions, &self.read, self.version, self.settings, logits_of, observer)
    }

    /// Adds token ids and what they should give.
    pub fn hash(&self, hasher: &mut Sha256) {
        for &(question, window, (first, last)) in &self.windows {
            hash_ids(hasher, &self.read[question].windows.windows[window].ids);
            hash_ids(hasher, &[first, last]);
        }
        for question in &self.questions {
            hasher.update(question.id.as_bytes());
            question.answers.iter().for_each(|answer| hasher.update(answer.text.as_bytes()));
        }
    }
}
