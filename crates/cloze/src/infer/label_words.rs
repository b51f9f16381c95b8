use cloze_tokenizer::Encoding;

use crate::Error;
use crate::characters::Characters;
use crate::params::TaskHead;

use super::classify::{argmax, softmax};
use super::entities::{Aggregation, Entity, Piece, Token, entities, grouped};
use super::sentences::{ReadSentence, SentenceWindow, logits_of_words, read_sentence, window_logits};
use super::words::Subtokens;
use super::{Extent, Long, Model, ReadOptions, Reading};

/// A text whose words are to be labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words<'a> {
    /// As it is written; words end at white space, and punctuation stands by itself.
    Text(&'a str),
    /// Split into words. Offsets are then those in the words with a space between.
    Split(&'a [String]),
}

/// The labels of a text's words.
#[derive(Clone, Debug, PartialEq)]
pub struct WordLabels {
    /// The words.
    pub words: Vec<String>,
    /// Their labels; none for a word that was cut off or has no token.
    pub labels: Vec<Option<String>>,
    /// What the labels make up.
    pub entities: Vec<Entity>,
    /// How much of the text was read.
    pub extent: Extent,
}

/// A text with its words and tokens.
struct Tokenized {
    text: String,
    words: Vec<String>,
    tokens: Encoding,
    sentence: ReadSentence,
}

impl Model {
    /// The labels of the words of texts, and the entities that they make up. Longer texts are read in windows of
    /// whole words, unless `options` or the model say otherwise.
    ///
    /// By default the entities are those of the words' labels, which evaluation measures: a word's label comes from
    /// the logits of its first token, or of all its tokens' mean if the model was trained so. An `aggregation` makes
    /// the entities from the tokens' probabilities instead.
    ///
    /// # Errors
    /// If the model has no head for tokens.
    pub fn label_words(
        &self,
        texts: &[Words],
        options: ReadOptions,
        aggregation: Option<Aggregation>,
    ) -> Result<Vec<WordLabels>, Error> {
        self.needs(
            matches!(self.declaration.heads.task, Some(TaskHead::Tokens(_))),
            "head for tokens; fine-tune it first",
        )?;
        let subtokens = self.settings.subtokens.unwrap_or_default();
        let long = options.long.or(self.settings.long).or(Some(Long::Window));
        let reading = self.reading(ReadOptions { long, ..options })?;
        let read: Vec<Tokenized> = texts.iter().map(|text| self.read_words(text, reading)).collect();
        let windows: Vec<&SentenceWindow> = read.iter().flat_map(|text| &text.sentence.windows).collect();
        let mut logits = self.token_logits(&windows)?.into_iter();
        let answer = |text: &Tokenized| {
            let own: Vec<Vec<f64>> = logits.by_ref().take(text.sentence.windows.len()).collect();
            self.labels_of(text, &own, subtokens, aggregation)
        };
        Ok(read.iter().map(answer).collect())
    }

    /// The logits of the deciding tokens of each window: `[tokens, labels]`
    pub(crate) fn token_logits(&self, windows: &[&SentenceWindow]) -> Result<Vec<Vec<f64>>, Error> {
        self.with_workspace(|network, workspace| {
            let head = network.parameters.task.as_ref().expect("the model has a head for tokens");
            window_logits(network, workspace, head, self.config.labels.len(), windows)
        })
    }

    /// Words and tokens of a text, and the windows that it is read in, with all tokens of each word.
    fn read_words(&self, text: &Words, reading: Reading) -> Tokenized {
        let (text, words, tokens) = match text {
            Words::Text(text) => {
                let mut tokens = self.tokenizer.tokenize(text);
                let words = words_of(text, &mut tokens);
                (text.to_string(), words, tokens)
            }
            Words::Split(words) => {
                let slices: Vec<&str> = words.iter().map(String::as_str).collect();
                let mut tokens = self.tokenizer.encode_words(&slices, None);
                tokens = without_special(tokens);
                // Offsets in a word become those in the text.
                let mut starts = Vec::with_capacity(words.len());
                words.iter().fold(0, |start, word| {
                    starts.push(start);
                    start + word.chars().count() + 1
                });
                for (offsets, word) in tokens.offsets.iter_mut().zip(&tokens.words) {
                    let start = starts[word.expect("a token of a word")];
                    *offsets = (start + offsets.0, start + offsets.1);
                }
                (words.join(" "), words.to_vec(), tokens)
            }
        };
        let sentence = read_sentence(&tokens, words.len(), self.tokenizer.special(), reading, Subtokens::Mean);
        Tokenized { text, words, tokens, sentence }
    }

    fn labels_of(
        &self,
        text: &Tokenized,
        logits: &[Vec<f64>],
        subtokens: Subtokens,
        aggregation: Option<Aggregation>,
    ) -> WordLabels {
        let names = &self.config.labels;
        let temperature = self.settings.temperature.unwrap_or(1.0);
        let scaled = |row: &[f64]| softmax(&row.iter().map(|logit| logit / temperature).collect::<Vec<_>>());
        let (mut labels, mut pieces) = (vec![None; text.words.len()], Vec::new());
        let (mut tokens, mut probabilities) = (Vec::new(), Vec::new());
        let mut first_tokens = vec![0; text.words.len()];
        for (token, word) in text.tokens.words.iter().enumerate().rev() {
            first_tokens[word.expect("a token of a word")] = token;
        }
        for (window, logits) in text.sentence.windows.iter().zip(logits) {
            let of_words = match subtokens {
                Subtokens::Mean => logits_of_words(window, logits, names.len()),
                Subtokens::First => first_logits(window, logits, names.len()),
            };
            let mut rows = logits.chunks(names.len());
            for ((word, &count), row) in window.decides.clone().zip(&window.counts).zip(of_words) {
                let own = first_tokens[word]..first_tokens[word] + count as usize;
                if let Some(row) = row {
                    let label = argmax(&row);
                    labels[word] = Some(names[label].clone());
                    let (start, end) = (text.tokens.offsets[own.start].0, text.tokens.offsets[own.end - 1].1);
                    pieces.push(Piece { label, score: scaled(&row)[label], count: 1, start, end });
                }
                for token in own {
                    let (start, end) = text.tokens.offsets[token];
                    tokens.push(Token { characters: start..end, word });
                    probabilities.extend(scaled(rows.next().expect("a row for each token")));
                }
            }
        }
        let entities = match aggregation {
            None => grouped(&Characters::of(&text.text), &pieces, names),
            Some(aggregation) => entities(&text.text, &tokens, &probabilities, names, aggregation),
        };
        WordLabels { words: text.words.clone(), labels, entities, extent: text.sentence.extent }
    }
}

/// The logits of the first token of each word.
fn first_logits(window: &SentenceWindow, logits: &[f64], outputs: usize) -> Vec<Option<Vec<f64>>> {
    let mut first = 0;
    let mut of_word = |&count: &u32| {
        let row = (count > 0).then(|| logits[first * outputs..(first + 1) * outputs].to_vec());
        first += count as usize;
        row
    };
    window.counts.iter().map(&mut of_word).collect()
}

/// The words of a text from its tokens, which then count them without gaps: words of which no token is left are not
/// among them.
fn words_of(text: &str, tokens: &mut Encoding) -> Vec<String> {
    let characters = Characters::of(text);
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut last = None;
    for (word, &(start, end)) in tokens.words.iter_mut().zip(&tokens.offsets) {
        if *word == last && !ranges.is_empty() {
            ranges.last_mut().expect("not empty").1 = end;
        } else {
            ranges.push((start, end));
        }
        last = *word;
        *word = Some(ranges.len() - 1);
    }
    ranges.into_iter().map(|(start, end)| characters.slice(start..end).to_string()).collect()
}

/// Without the `[CLS]` and `[SEP]` around.
pub(super) fn without_special(mut tokens: Encoding) -> Encoding {
    tokens.ids.remove(0);
    tokens.token_type_ids.remove(0);
    tokens.offsets.remove(0);
    tokens.words.remove(0);
    let last = tokens.ids.len() - 1;
    tokens.ids.truncate(last);
    tokens.token_type_ids.truncate(last);
    tokens.offsets.truncate(last);
    tokens.words.truncate(last);
    tokens
}
