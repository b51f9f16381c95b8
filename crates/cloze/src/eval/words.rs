//! Losses and metrics of labels of words.

use std::path::Path;

use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::data::labelling::Scheme;
use crate::data::{Sentence, SentenceFormat};
use crate::infer::{ReadSentence, Reading, Subtokens, argmax, logits_of_words, read_sentences_of_words, softmax};
use crate::train::Metrics;

use super::entities::{EntityMode, Scores, entity_scores};

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
    let id_of = |line: usize, wanted: &String| {
        let known = |label: &String| label == wanted || label.strip_prefix("LABEL_") == Some(wanted.as_str());
        labels.iter().position(known).ok_or_else(|| Error::Data {
            path: path.to_path_buf(),
            line: Some(line),
            message: format!("unknown label `{wanted}`; the labels are {}", labels.join(", ")),
        })
    };
    let ids_of = |sentence: &Sentence| {
        let of_word = |(word, label): (usize, &String)| {
            id_of(if a_word_a_line { sentence.line + word } else { sentence.line }, label)
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

/// The label ids of sentences' words, given and predicted; nothing is predicted for a word that was not read.
#[derive(Clone, Debug, Default)]
pub(crate) struct WordResults {
    pub gold: Vec<Vec<usize>>,
    pub predicted: Vec<Vec<Option<usize>>>,
    loss: f64,
    read: usize,
}

impl WordResults {
    /// Adds a sentence, with the logits of the deciding tokens of each of its windows.
    pub fn add(&mut self, sentence: &ReadSentence, gold: &[usize], logits: &[Vec<f64>], labels: usize) {
        let mut predicted = vec![None; sentence.words];
        for (window, logits) in sentence.windows.iter().zip(logits) {
            let of_words = logits_of_words(window, logits, labels);
            for (word, row) in window.decides.clone().zip(of_words).filter_map(|(word, row)| Some((word, row?))) {
                predicted[word] = Some(argmax(&row));
                self.loss -= softmax(&row)[gold[word]].max(f64::MIN_POSITIVE).ln();
                self.read += 1;
            }
        }
        self.gold.push(gold.to_vec());
        self.predicted.push(predicted);
    }

    /// The metrics, with the names of the labels. Words that were not read count as wrong. Where labels have no
    /// scheme, as parts of speech, there are no entities to count.
    pub fn metrics(&self, names: &[String]) -> Metrics {
        let name = |label: Option<usize>| label.map_or("", |label| names[label].as_str());
        let gold: Vec<Vec<&str>> =
            self.gold.iter().map(|labels| labels.iter().map(|&label| name(Some(label))).collect()).collect();
        let predicted: Vec<Vec<&str>> =
            self.predicted.iter().map(|labels| labels.iter().map(|&label| name(label)).collect()).collect();
        let scheme = Scheme::of_labels(names);
        let scores = entity_scores(&predicted, &gold, EntityMode::Conlleval);
        let mut metrics = vec![("loss".to_string(), self.loss / self.read.max(1) as f64)];
        metrics.push(("accuracy".to_string(), scores.token_accuracy));
        if scheme == Scheme::None {
            return metrics;
        }
        let mut add = |prefix: &str, Scores { precision, recall, f1, .. }: Scores| {
            metrics.push((format!("{prefix}precision"), precision));
            metrics.push((format!("{prefix}recall"), recall));
            metrics.push((format!("{prefix}f1"), f1));
        };
        add("", scores.micro);
        add("strict_", entity_scores(&predicted, &gold, EntityMode::Strict(scheme)).micro);
        metrics.push(("macro_f1".to_string(), scores.macro_mean.f1));
        for (kind, Scores { precision, recall, f1, support }) in scores.kinds {
            metrics.push((format!("{kind}_precision"), precision));
            metrics.push((format!("{kind}_recall"), recall));
            metrics.push((format!("{kind}_f1"), f1));
            metrics.push((format!("{kind}_support"), support as f64));
        }
        metrics
    }
}
