//! Losses and metrics of labels of words.

use std::path::Path;

use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::data::labelling::Scheme;
use crate::data::{Sentence, SentenceFormat};
use crate::infer::{
    ReadSentence, Reading, SentenceWindow, Subtokens, argmax, cross_entropy, logits_of_words, read_sentences_of_words,
    softmax,
};
use crate::settings::StoredSettings;
use crate::train::{Metrics, Observer};

use super::calibration::fit_temperature;
use super::confusion::{ClassFigures, class_figures, confusion_matrix};
use super::entities::{EntityMode, Scores, entity_scores, entity_spans};
use super::results::{Confusion, Figures, for_each_chunk, named};
use super::task::label_id;

/// Sentences as a model reads them, the label ids of their words, and a sentence about what is long, if anything is.
#[allow(clippy::type_complexity)]
pub(crate) fn read_labelled_words(
    tokenizer: &Tokenizer,
    sentences: &[Sentence],
    labels: &[String],
    reading: Reading,
    subtokens: Subtokens,
    path: &Path,
) -> Result<(Vec<ReadSentence>, Vec<Vec<usize>>, Option<String>), Error> {
    let a_word_a_line = SentenceFormat::of(path)? == SentenceFormat::Columns;
    let ids_of = |sentence: &Sentence| {
        let of_word = |(word, label): (usize, &String)| {
            let line = if a_word_a_line { sentence.line + word } else { sentence.line };
            label_id(label, labels, path, line)
        };
        sentence.labels.iter().enumerate().map(of_word).collect::<Result<Vec<usize>, Error>>()
    };
    let gold = sentences.iter().map(ids_of).collect::<Result<Vec<_>, Error>>()?;
    let words: Vec<Vec<&str>> =
        sentences.iter().map(|sentence| sentence.words.iter().map(String::as_str).collect()).collect();
    let read = read_sentences_of_words(tokenizer, &words, reading, subtokens);
    let long = read.iter().filter(|sentence| sentence.extent.truncated > 0 || sentence.windows.len() > 1).count();
    let lost: usize = read.iter().map(|sentence| sentence.extent.truncated).sum();
    let windows: usize = read.iter().map(|sentence| sentence.windows.len()).sum();
    let note = (long > 0).then(|| {
        format!(
            "{}: {long} of {} sentences are longer than {} tokens; {windows} windows in all, {lost} tokens were cut off",
            path.display(),
            read.len(),
            reading.max_length
        )
    });
    Ok((read, gold, note))
}

/// What a model says of the words of sentences, and what it should say.
#[derive(Clone, Debug)]
pub(crate) struct WordResults {
    /// Tokens of each sentence.
    pub lengths: Vec<usize>,
    gold: Vec<Vec<usize>>,
    /// The logits of each word; nothing for a word that was not read.
    logits: Vec<Vec<Option<Vec<f64>>>>,
    labels: Vec<String>,
    temperature: f64,
}

/// Counts of a sentence, from which the metrics of many follow.
#[derive(Clone, Copy, Default)]
struct Counts {
    words: usize,
    right_words: usize,
    /// Entities as conlleval and as strict mode count them.
    gold: [usize; 2],
    found: [usize; 2],
    right: [usize; 2],
}

impl WordResults {
    /// Of sentences; `logits_of` computes the logits of the deciding tokens of each window.
    pub fn of(
        sentences: &[ReadSentence],
        gold: &[Vec<usize>],
        labels: &[String],
        mut logits_of: impl FnMut(&[&SentenceWindow]) -> Result<Vec<Vec<f64>>, Error>,
        observer: &mut Observer,
    ) -> Result<WordResults, Error> {
        let mut logits = Vec::with_capacity(sentences.len());
        for_each_chunk(sentences.len(), observer, |chunk| {
            let windows: Vec<&SentenceWindow> =
                sentences[chunk.clone()].iter().flat_map(|sentence| &sentence.windows).collect();
            let mut of_windows = logits_of(&windows)?.into_iter();
            for sentence in &sentences[chunk] {
                let mut of_sentence = vec![None; sentence.words];
                for (window, own) in sentence.windows.iter().zip(of_windows.by_ref()) {
                    let rows = logits_of_words(window, &own, labels.len());
                    window.decides.clone().zip(rows).for_each(|(word, row)| of_sentence[word] = row);
                }
                logits.push(of_sentence);
            }
            Ok(())
        })?;
        let lengths = sentences.iter().map(|sentence| sentence.extent.tokens).collect();
        Ok(WordResults { lengths, gold: gold.to_vec(), logits, labels: labels.to_vec(), temperature: 1.0 })
    }

    /// Applies what is stored with the model.
    pub fn apply(&mut self, settings: &StoredSettings) {
        self.temperature = settings.temperature.unwrap_or(1.0);
    }

    /// The temperature that makes the probabilities of words honest.
    pub fn fitted_temperature(&self) -> f64 {
        let (rows, gold): (Vec<Vec<f64>>, Vec<usize>) =
            self.read_words().map(|(row, gold)| (row.clone(), gold)).unzip();
        fit_temperature(&rows, &gold)
    }

    /// Whether all logits are finite.
    pub fn are_numbers(&self) -> bool {
        self.read_words().all(|(row, _)| row.iter().all(|logit| logit.is_finite()))
    }

    /// The loss first. Words that were not read count as wrong. Where labels have no scheme, as parts of speech, there
    /// are no entities to count.
    pub fn metrics(&self) -> Metrics {
        let losses = self.read_words().map(|(row, gold)| cross_entropy(row, gold));
        let loss = losses.sum::<f64>() / self.read_words().count().max(1) as f64;
        let mut metrics = vec![named("loss", loss)];
        let all: Vec<usize> = (0..self.gold.len()).collect();
        metrics.extend(self.figures().of(&all));
        if self.scheme() == Scheme::None {
            return metrics;
        }
        let (predicted, gold) = self.names();
        let strict = entity_scores(&predicted, &gold, EntityMode::Strict(self.scheme())).micro;
        metrics.extend([named("strict_precision", strict.precision), named("strict_recall", strict.recall)]);
        let scores = entity_scores(&predicted, &gold, EntityMode::Conlleval);
        metrics.push(named("macro_f1", scores.macro_mean.f1));
        for (kind, Scores { precision, recall, f1, support }) in scores.kinds {
            metrics.push((format!("{kind}_precision"), precision));
            metrics.push((format!("{kind}_recall"), recall));
            metrics.push((format!("{kind}_f1"), f1));
            metrics.push((format!("{kind}_support"), support as f64));
        }
        metrics
    }

    /// The metrics of some of the sentences.
    pub fn figures(&self) -> Figures<'_> {
        let counts = self.counts();
        let has_entities = self.scheme() != Scheme::None;
        let names = ["accuracy", "precision", "recall", "f1", "strict_f1"];
        let names = if has_entities { names.to_vec() } else { names[..1].to_vec() };
        Figures::new(names, move |chosen| {
            let sum = |of: fn(&Counts) -> usize| chosen.iter().map(|&at| of(&counts[at])).sum::<usize>() as f64;
            let ratio = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
            let accuracy = ratio(sum(|own| own.right_words), sum(|own| own.words));
            if !has_entities {
                return vec![accuracy];
            }
            let scores = |right: f64, found: f64, gold: f64| {
                let (precision, recall) = (ratio(right, found), ratio(right, gold));
                [precision, recall, ratio(2.0 * precision * recall, precision + recall)]
            };
            let [precision, recall, f1] =
                scores(sum(|own| own.right[0]), sum(|own| own.found[0]), sum(|own| own.gold[0]));
            let [_, _, strict_f1] = scores(sum(|own| own.right[1]), sum(|own| own.found[1]), sum(|own| own.gold[1]));
            vec![accuracy, precision, recall, f1, strict_f1]
        })
    }

    /// Names of the labels.
    pub fn names_of_classes(&self) -> Vec<String> {
        self.labels.clone()
    }

    /// Whether all labels of a sentence are right.
    pub fn is_right(&self) -> Vec<bool> {
        let is_right = |at| self.predicted_names(at) == self.gold_names(at);
        (0..self.gold.len()).map(is_right).collect()
    }

    /// How often each label of a word is taken for each, words that were not read aside; and the figures of each type
    /// of entity, or of each label where there are no entities.
    pub fn confusion(&self) -> Confusion {
        let (gold, predicted): (Vec<usize>, Vec<usize>) =
            self.read_words().map(|(row, gold)| (gold, argmax(row))).unzip();
        let matrix = confusion_matrix(&predicted, &gold, self.labels.len());
        if self.scheme() == Scheme::None {
            return Confusion { classes: self.labels.iter().cloned().zip(class_figures(&matrix)).collect(), matrix };
        }
        let (predicted, gold) = self.names();
        let kinds = entity_scores(&predicted, &gold, EntityMode::Conlleval).kinds.into_iter();
        let figures = |Scores { precision, recall, f1, support }| ClassFigures { precision, recall, f1, support };
        Confusion { classes: kinds.map(|(kind, scores)| (kind, figures(scores))).collect(), matrix }
    }

    /// The probability of each word's label, and whether it is right.
    pub fn confidences(&self) -> (Vec<f64>, Vec<bool>) {
        let of = |(row, gold): (&Vec<f64>, usize)| {
            let best = argmax(row);
            let scaled: Vec<f64> = row.iter().map(|logit| logit / self.temperature).collect();
            (softmax(&scaled)[best], best == gold)
        };
        self.read_words().map(of).unzip()
    }

    /// What a sentence of these words should give, and what the model says: entities, or labels where there are none.
    pub fn answer(&self, at: usize, words: &[String]) -> (String, String) {
        let told = |labels: &[&str]| -> String {
            let parts: Vec<String> = match self.scheme() {
                Scheme::None => words.iter().zip(labels).map(|(word, label)| format!("{word}/{label}")).collect(),
                _ => entity_spans(labels, EntityMode::Conlleval)
                    .iter()
                    .map(|span| format!("{} ({})", words[span.start..span.end].join(" "), span.kind))
                    .collect(),
            };
            parts.join(", ")
        };
        (told(&self.gold_names(at)), told(&self.predicted_names(at)))
    }

    fn scheme(&self) -> Scheme {
        Scheme::of_labels(&self.labels)
    }

    /// The logits and the label of each word that was read.
    fn read_words(&self) -> impl Iterator<Item = (&Vec<f64>, usize)> {
        let pairs = self.logits.iter().zip(&self.gold).flat_map(|(rows, gold)| rows.iter().zip(gold));
        pairs.filter_map(|(row, &gold)| Some((row.as_ref()?, gold)))
    }

    /// The names of the predicted and the gold labels of all sentences.
    fn names(&self) -> (Vec<Vec<&str>>, Vec<Vec<&str>>) {
        (0..self.gold.len()).map(|at| (self.predicted_names(at), self.gold_names(at))).unzip()
    }

    /// No name for a word that was not read.
    fn predicted_names(&self, at: usize) -> Vec<&str> {
        let name = |row: &Option<Vec<f64>>| row.as_ref().map_or("", |row| self.labels[argmax(row)].as_str());
        self.logits[at].iter().map(name).collect()
    }

    fn gold_names(&self, at: usize) -> Vec<&str> {
        self.gold[at].iter().map(|&label| self.labels[label].as_str()).collect()
    }

    fn counts(&self) -> Vec<Counts> {
        let (predicted, gold) = self.names();
        let scheme = self.scheme();
        let of_sentence = |(predicted, gold): (&Vec<&str>, &Vec<&str>)| {
            let right_words = predicted.iter().zip(gold).filter(|(a, b)| a == b).count();
            let mut counts = Counts { words: gold.len(), right_words, ..Counts::default() };
            if scheme == Scheme::None {
                return counts;
            }
            for (at, mode) in [EntityMode::Conlleval, EntityMode::Strict(scheme)].into_iter().enumerate() {
                let (found, wanted) = (entity_spans(predicted, mode), entity_spans(gold, mode));
                counts.gold[at] = wanted.len();
                counts.found[at] = found.len();
                counts.right[at] = found.iter().filter(|span| wanted.contains(span)).count();
            }
            counts
        };
        predicted.iter().zip(&gold).map(of_sentence).collect()
    }
}
