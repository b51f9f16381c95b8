//! Losses and metrics of labels of words.

use std::path::Path;

use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::data::{Notation, Scheme, Sentence};
use crate::infer::{
    ReadSentence, Reading, SentenceWindow, Subtokens, argmax, cross_entropy, logits_of_words, note_on_truncation_side,
    read_sentences_of_words, softmax,
};
use crate::numbers::Count;
use crate::settings::StoredSettings;
use crate::train::{Metrics, Observer};

use super::calibration::fit_temperature;
use super::confusion::{ClassFigures, class_figures, confusion_matrix};
use super::entities::{EntityMode, Scores, entity_scores, entity_spans};
use super::results::{Confusion, Figures, for_each_chunk, named};
use super::task::label_id;

/// Sentences as a model reads them, the label ids of their words, and notes about long sentences and lost words.
#[allow(clippy::type_complexity)]
pub(crate) fn read_labelled_words(
    tokenizer: &Tokenizer,
    sentences: &[Sentence],
    labels: &[String],
    reading: Reading,
    subtokens: Subtokens,
    path: &Path,
) -> Result<(Vec<ReadSentence>, Vec<Vec<usize>>, Vec<String>), Error> {
    let ids_of = |sentence: &Sentence| {
        let of_word = |(word, label): (usize, &String)| label_id(label, labels, path, sentence.line_of(word));
        sentence.labels.iter().enumerate().map(of_word).collect::<Result<Vec<usize>, Error>>()
    };
    let gold = sentences.iter().map(ids_of).collect::<Result<Vec<_>, Error>>()?;
    let words: Vec<Vec<&str>> =
        sentences.iter().map(|sentence| sentence.words.iter().map(String::as_str).collect()).collect();
    let read = read_sentences_of_words(tokenizer, &words, reading, subtokens);
    let long = read.iter().filter(|sentence| sentence.extent.truncated > 0 || sentence.windows.len() > 1).count();
    let lost: usize = read.iter().map(|sentence| sentence.extent.truncated).sum();
    let windows: usize = read.iter().map(|sentence| sentence.windows.len()).sum();
    let mut notes = Vec::new();
    if long > 0 {
        notes.push(format!(
            "{}: {} of {} sentences are longer than {} tokens; {} windows in all, {} tokens were cut off",
            path.display(),
            Count(long),
            Count(read.len()),
            Count(reading.max_length),
            Count(windows),
            Count(lost)
        ));
        notes.extend(note_on_truncation_side(tokenizer, lost).map(|note| format!("{}: {note}", path.display())));
    }
    let without_tokens: usize = read.iter().map(|sentence| sentence.without_tokens.len()).sum();
    if without_tokens > 0 {
        notes.push(format!(
            "{}: the tokenizer leaves nothing of {} words (invisible characters); they count in no metric",
            path.display(),
            Count(without_tokens)
        ));
    }
    Ok((read, gold, notes))
}

/// A note that no entities are measured, if these labels mark none.
pub(crate) fn note_on_plain_labels(labels: &[String]) -> Option<String> {
    let is_plain = Notation::of(labels) == Notation::Plain;
    is_plain.then(|| {
        "the labels mark no entities (as B-X, I-X, O do), so accuracy is measured and F1 of entities is not".to_string()
    })
}

/// What a model says of the words of sentences, and what it should say.
#[derive(Clone, Debug)]
pub(crate) struct WordResults {
    /// Tokens of each sentence.
    pub lengths: Vec<usize>,
    /// The words of each sentence that have tokens; the others take part in nothing, as in transformers' `run_ner`.
    words: Vec<Vec<usize>>,
    /// The label of each of these words.
    gold: Vec<Vec<usize>>,
    /// The logits of each of these words; nothing for a word that was cut off.
    logits: Vec<Vec<Option<Vec<f64>>>>,
    labels: Vec<String>,
    notation: Notation,
    /// The scheme of the gold labels, for strict mode.
    scheme: Scheme,
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
                logits.push(without(of_sentence, &sentence.without_tokens));
            }
            Ok(())
        })?;
        let lengths = sentences.iter().map(|sentence| sentence.extent.tokens).collect();
        let with_tokens = |sentence: &ReadSentence| without((0..sentence.words).collect(), &sentence.without_tokens);
        let words: Vec<Vec<usize>> = sentences.iter().map(with_tokens).collect();
        let of_words = |(words, gold): (&Vec<usize>, &Vec<usize>)| words.iter().map(|&word| gold[word]).collect();
        let notation = Notation::of(labels);
        let names = |gold: &Vec<usize>| gold.iter().map(|&label| labels[label].as_str()).collect();
        let names: Vec<Vec<&str>> = gold.iter().map(names).collect();
        Ok(WordResults {
            lengths,
            gold: words.iter().zip(gold).map(of_words).collect(),
            words,
            logits,
            labels: labels.to_vec(),
            notation,
            scheme: Scheme::of_labels(labels).told_by_order(notation, || names.iter().map(Vec::as_slice)),
            temperature: 1.0,
        })
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

    /// The loss first. Words that were cut off count as wrong. Where labels have no scheme, as parts of speech, there
    /// are no entities to count.
    pub fn metrics(&self) -> Metrics {
        let losses = self.read_words().map(|(row, gold)| cross_entropy(row, gold));
        let loss = losses.sum::<f64>() / self.read_words().count().max(1) as f64;
        let mut metrics = vec![named("loss", loss)];
        let all: Vec<usize> = (0..self.gold.len()).collect();
        metrics.extend(self.figures().of(&all));
        if self.scheme == Scheme::None {
            return metrics;
        }
        let (predicted, gold) = self.names();
        let strict = entity_scores(&predicted, &gold, self.notation, EntityMode::Strict(self.scheme)).micro;
        metrics.extend([named("strict_precision", strict.precision), named("strict_recall", strict.recall)]);
        let scores = entity_scores(&predicted, &gold, self.notation, EntityMode::Conlleval);
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
        let has_entities = self.scheme != Scheme::None;
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
        if self.scheme == Scheme::None {
            return Confusion { classes: self.labels.iter().cloned().zip(class_figures(&matrix)).collect(), matrix };
        }
        let (predicted, gold) = self.names();
        let kinds = entity_scores(&predicted, &gold, self.notation, EntityMode::Conlleval).kinds.into_iter();
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
        let own = &self.words[at];
        let told = |labels: &[&str]| -> String {
            let parts: Vec<String> = match self.scheme {
                Scheme::None => {
                    own.iter().zip(labels).map(|(&word, label)| format!("{}/{label}", words[word])).collect()
                }
                _ => entity_spans(labels, self.notation, EntityMode::Conlleval)
                    .iter()
                    .map(|span| format!("{} ({})", words[own[span.start]..=own[span.end - 1]].join(" "), span.kind))
                    .collect(),
            };
            parts.join(", ")
        };
        (told(&self.gold_names(at)), told(&self.predicted_names(at)))
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
        let (notation, scheme) = (self.notation, self.scheme);
        let of_sentence = |(predicted, gold): (&Vec<&str>, &Vec<&str>)| {
            let right_words = predicted.iter().zip(gold).filter(|(a, b)| a == b).count();
            let mut counts = Counts { words: gold.len(), right_words, ..Counts::default() };
            if scheme == Scheme::None {
                return counts;
            }
            for (at, mode) in [EntityMode::Conlleval, EntityMode::Strict(scheme)].into_iter().enumerate() {
                let (found, wanted) = (entity_spans(predicted, notation, mode), entity_spans(gold, notation, mode));
                counts.gold[at] = wanted.len();
                counts.found[at] = found.len();
                counts.right[at] = found.iter().filter(|span| wanted.contains(span)).count();
            }
            counts
        };
        predicted.iter().zip(&gold).map(of_sentence).collect()
    }
}

/// The items of a list but for those at some places, which ascend.
fn without<T>(items: Vec<T>, places: &[usize]) -> Vec<T> {
    let kept = items.into_iter().enumerate().filter(|(at, _)| places.binary_search(at).is_err());
    kept.map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use crate::infer::Extent;

    use super::*;

    /// A model that predicts what is told, of sentences of words with so many tokens each. Gold and predicted labels
    /// are divided by spaces; a word without tokens has a prediction, too, of which nothing is read.
    fn results(labels: &str, sentences: &[(&[u32], &str, &str)]) -> WordResults {
        let labels: Vec<String> = labels.split(' ').map(str::to_string).collect();
        let ids = |names: &str| -> Vec<usize> {
            names.split(' ').map(|name| labels.iter().position(|own| own == name).unwrap()).collect()
        };
        let read = |counts: &[u32]| {
            let counts: Vec<u32> = counts.iter().map(|&count| count.min(1)).collect();
            let tokens = (1..=counts.iter().sum()).collect();
            ReadSentence {
                words: counts.len(),
                without_tokens: (0..counts.len()).filter(|&word| counts[word] == 0).collect(),
                windows: vec![SentenceWindow { ids: Vec::new(), decides: 0..counts.len(), tokens, counts }],
                extent: Extent { tokens: 2, windows: 1, truncated: 0 },
            }
        };
        let read: Vec<ReadSentence> = sentences.iter().map(|(counts, ..)| read(counts)).collect();
        let gold: Vec<Vec<usize>> = sentences.iter().map(|(_, gold, _)| ids(gold)).collect();
        let logits = |(counts, _, predicted): &(&[u32], &str, &str)| -> Vec<f64> {
            let with_tokens = ids(predicted).into_iter().zip(*counts).filter(|(_, count)| **count > 0);
            with_tokens.flat_map(|(id, _)| (0..labels.len()).map(move |at| f64::from(u8::from(at == id)))).collect()
        };
        let logits: Vec<Vec<f64>> = sentences.iter().map(logits).collect();
        let logits_of = |windows: &[&SentenceWindow]| {
            assert_eq!(windows.len(), logits.len());
            Ok(logits.clone())
        };
        WordResults::of(&read, &gold, &labels, logits_of, &mut |_| std::ops::ControlFlow::Continue(())).unwrap()
    }

    fn metric(results: &WordResults, name: &str) -> Option<f64> {
        results.metrics().into_iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The middle word is U+200B, of which the tokenizer leaves nothing.
    #[test]
    fn a_word_without_tokens_is_in_no_metric_and_within_its_entity() {
        let found = results("B-PER I-PER O", &[(&[1, 0, 1, 1], "B-PER I-PER I-PER O", "B-PER O I-PER O")]);
        for name in ["accuracy", "precision", "recall", "f1", "strict_f1", "macro_f1", "PER_f1", "PER_support"] {
            assert_eq!(metric(&found, name), Some(1.0), "{name}");
        }
        assert_eq!(found.is_right(), [true]);
        assert_eq!(found.confidences().1, [true; 3]);
        let words = ["Ann", "\u{200b}", "Lee", "came"].map(str::to_string);
        assert_eq!(found.answer(0, &words).1, "Ann \u{200b} Lee (PER)");
    }

    #[test]
    fn one_letter_parts_of_speech_are_no_entities() {
        let found = results("E N S V", &[(&[1; 4], "N V E S", "V N E S"), (&[1; 4], "S V E N", "S N E V")]);
        assert_eq!(metric(&found, "accuracy"), Some(0.5));
        for name in ["f1", "strict_f1", "precision", "macro_f1"] {
            assert_eq!(metric(&found, name), None, "{name}");
        }
    }

    #[test]
    fn every_spelling_and_scheme_has_entities() {
        for (labels, gold, predicted, f1) in [
            ("B_PER I_PER O", "B_PER I_PER O", "B_PER I_PER O", 1.0),
            ("PER-B PER-I O", "PER-B PER-I PER-B", "PER-B PER-I O", 2.0 / 3.0),
            ("B-PER E-PER M-PER O S-LOC", "B-PER M-PER E-PER O O S-LOC", "B-PER M-PER E-PER O O S-LOC", 1.0),
            ("B-PER E-PER M-PER O S-LOC", "B-PER M-PER E-PER O O S-LOC", "B-PER M-PER M-PER E-PER O O", 0.0),
            ("B E M S", "B M E S S", "B M E B E", 0.4),
        ] {
            let found = results(labels, &[(&vec![1; gold.split(' ').count()], gold, predicted)]);
            assert!((metric(&found, "f1").unwrap() - f1).abs() < 1e-15, "{gold}: {:?}", found.metrics());
            assert!((metric(&found, "strict_f1").unwrap() - f1).abs() < 1e-15, "{gold}: {:?}", found.metrics());
        }
    }

    /// seqeval 1.2.2 with mode="strict", scheme=IOB1.
    #[test]
    fn strict_figures_of_iob1_are_those_of_iob1() {
        let gold = "I-PER I-PER O I-LOC B-LOC O I-PER";
        let found = results("B-LOC I-LOC I-PER O", &[(&[1; 7], gold, "I-PER O O I-LOC B-LOC O O")]);
        assert_eq!((metric(&found, "strict_precision"), metric(&found, "strict_recall")), (Some(2.0 / 3.0), Some(0.5)));
        let found = results("B-LOC I-LOC I-PER O", &[(&[1; 7], gold, "I-PER O O I-LOC I-LOC O I-PER")]);
        assert_eq!(
            (metric(&found, "strict_precision"), metric(&found, "strict_recall")),
            (Some(1.0 / 3.0), Some(0.25))
        );
    }
}
