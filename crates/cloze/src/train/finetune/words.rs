//! Labels of words.

use std::path::Path;

use cloze_kernels::Kernels;
use cloze_tokenizer::Tokenizer;
use sha2::{Digest, Sha256};

use crate::checkpoint::Checkpoint;
use crate::data::{DataOptions, Sentence, label_order, read_label_names, read_sentences};
use crate::eval::{Source, WordResults, note_on_plain_labels, read_labelled_words};
use crate::heads::{Targets, TrainingBatch};
use crate::infer::{InferenceWorkspace, ReadSentence, Reading, SentenceWindow, window_logits};
use crate::model::Batch;
use crate::numbers::Count;
use crate::params::{HeadSet, TaskHead};
use crate::settings::FinetuneSettings;
use crate::train::{Event, Observer, Trainer};
use crate::{Config, Error};

use super::data::{Sets, TaskData, dev_name, hash_ids};
use super::held_out;
use super::labels;

/// Sentences as the model reads them.
pub(super) struct WordData {
    sentences: Vec<ReadSentence>,
    /// The label of each word of each sentence.
    gold: Vec<Vec<usize>>,
    /// Of all windows: the sentence, and which of its windows.
    windows: Vec<(usize, usize)>,
    /// How much each class counts; empty where all count the same.
    weights: Vec<f64>,
}

/// Reads the files, and chooses the labels.
pub(super) fn read(
    settings: &FinetuneSettings,
    config: &mut Config,
    checkpoint: Option<&mut Checkpoint>,
    tokenizer: &Tokenizer,
    options: &DataOptions,
    observer: &mut Observer,
) -> Result<Sets, Error> {
    let train = read_sentences(&settings.train, options, true)?.told(observer);
    let (train, dev_sentences) = match &settings.dev {
        Some(path) => (train, Some(read_sentences(path, options, true)?.told(observer))),
        None => {
            let division = held_out::divide_sentences(&train);
            division.part(train, &settings.train, observer)
        }
    };
    let given = settings.reading.labels.as_deref().map(read_label_names).transpose()?;
    let found = given.unwrap_or_else(|| label_order(train.iter().flat_map(|sentence| &sentence.labels)));
    if found.len() < 2 {
        let message = format!("all words have the label `{}`; a classifier needs two or more", found.join(""));
        return Err(Error::Data { path: settings.train.clone(), line: None, message });
    }
    let head = checkpoint.as_ref().and_then(|checkpoint| checkpoint.heads().task);
    let same_kind = matches!(head, Some(TaskHead::Tokens(_)));
    labels::choose(settings, config, checkpoint, found, same_kind, observer)?;
    config.problem_type = None;
    let _ = observer(&Event::Note(format!(
        "{} sentences to train on, labels {}",
        Count(train.len()),
        config.labels.join(", ")
    )));
    if let Some(note) = note_on_plain_labels(&config.labels) {
        let _ = observer(&Event::Note(note));
    }
    let mut train = WordData::new(settings, config, tokenizer, &settings.train, &train, observer)?;
    train.weights = labels::weights(&settings.class_weights, train.gold.iter().flatten().copied(), &config.labels)?;
    let path = dev_name(settings);
    let dev = dev_sentences.as_ref();
    let dev =
        dev.map(|sentences| WordData::new(settings, config, tokenizer, &path, sentences, observer)).transpose()?;
    let heads = HeadSet { task: Some(TaskHead::Tokens(config.labels.len())), ..HeadSet::default() };
    let held_out = dev_sentences.filter(|_| settings.dev.is_none()).map(Source::Sentences);
    Ok(Sets { train: TaskData::Words(train), dev: dev.map(TaskData::Words), held_out, heads })
}

impl WordData {
    fn new(
        settings: &FinetuneSettings,
        config: &Config,
        tokenizer: &Tokenizer,
        path: &Path,
        sentences: &[Sentence],
        observer: &mut Observer,
    ) -> Result<WordData, Error> {
        let reading = Reading { max_length: settings.max_seq_length, long: settings.long };
        let (labels, subtokens) = (&config.labels, settings.subtokens);
        let (sentences, gold, notes) = read_labelled_words(tokenizer, sentences, labels, reading, subtokens, path)?;
        for note in notes {
            let _ = observer(&Event::Note(note));
        }
        let windows_of =
            |(at, sentence): (usize, &ReadSentence)| (0..sentence.windows.len()).map(move |window| (at, window));
        let windows = sentences.iter().enumerate().flat_map(windows_of).collect();
        Ok(WordData { sentences, gold, windows, weights: Vec::new() })
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// The `chosen` windows as a batch.
    pub fn batch(&self, chosen: &[usize]) -> TrainingBatch {
        let mut batch = Batch::default();
        let (mut rows, mut counts, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for &(sentence, window) in chosen.iter().map(|&at| &self.windows[at]) {
            let first = batch.tokens() as u32;
            let SentenceWindow { ids, decides, tokens, counts: of_words } = &self.sentences[sentence].windows[window];
            batch.push(ids, &vec![0; ids.len()]);
            rows.extend(tokens.iter().map(|token| first + token));
            // A word without a token cannot be learnt from.
            for (word, &count) in decides.clone().zip(of_words).filter(|(_, count)| **count > 0) {
                counts.push(count);
                labels.push(self.gold[sentence][word] as u32);
            }
        }
        let weight = |label: &u32| self.weights[*label as usize];
        let weights = if self.weights.is_empty() { Vec::new() } else { labels.iter().map(weight).collect() };
        TrainingBatch { weights, ..TrainingBatch::new(batch, Targets::Words { rows, counts, labels }) }
    }

    /// What the model says of all sentences.
    pub fn results(
        &self,
        trainer: &Trainer,
        workspace: &mut InferenceWorkspace,
        labels: &[String],
        observer: &mut Observer,
    ) -> Result<WordResults, Error> {
        let network = trainer.network();
        let head = network.parameters.task.as_ref().expect("fine-tuning has a head");
        let logits_of = |windows: &[&SentenceWindow]| {
            network.kernels.scope(|| window_logits(network, workspace, head, labels.len(), windows))
        };
        WordResults::of(&self.sentences, &self.gold, labels, logits_of, observer)
    }

    /// Adds token ids and what they should give.
    pub fn hash(&self, hasher: &mut Sha256) {
        for (sentence, gold) in self.sentences.iter().zip(&self.gold) {
            for window in &sentence.windows {
                hash_ids(hasher, &window.ids);
                hash_ids(hasher, &window.tokens);
                hash_ids(hasher, &window.counts);
            }
            gold.iter().for_each(|&label| hasher.update((label as u64).to_le_bytes()));
        }
    }
}
