//! How well a vocabulary fits a text.

use super::corpus::CountedWords;
use super::scripts::Script;
use crate::error::Error;
use crate::tokenizer::Tokenizer;

/// What becomes of the words of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Words of the text, each as often as it comes.
    pub words: u64,
    /// Tokens that they are cut into, without `[CLS]` and `[SEP]`.
    pub tokens: u64,
    /// Words that become `[UNK]`: they have an unknown character, or too many.
    pub unknown: u64,
    /// Words that are one token of the vocabulary.
    pub whole: u64,
    /// `[vocab_size]`: how often each token comes.
    counts: Vec<u64>,
}

impl Coverage {
    /// Cuts the words of a text. Sums end at `u64::MAX`.
    ///
    /// # Errors
    ///
    /// If the words are in a file that cannot be read.
    ///
    /// # Panics
    ///
    /// If the words were counted for a tokenizer that normalizes text in another way.
    pub fn of(tokenizer: &Tokenizer, words: &CountedWords) -> Result<Coverage, Error> {
        assert_eq!(tokenizer.normalizer, words.normalizer, "the words were counted for another tokenizer");
        let mut coverage =
            Coverage { words: 0, tokens: 0, unknown: 0, whole: 0, counts: vec![0; tokenizer.vocab_size()] };
        let mut pieces = Vec::new();
        words.for_each(|word, count| {
            pieces.clear();
            tokenizer.wordpiece.split(word, word.chars().count(), &mut pieces);
            let ids = pieces.iter().map(|&(id, _, _)| id);
            coverage.add(ids, count, tokenizer.special.unk);
        })?;
        if words.too_long() > 0 {
            coverage.add([tokenizer.special.unk].into_iter(), words.too_long(), tokenizer.special.unk);
        }
        Ok(coverage)
    }

    fn add(&mut self, ids: impl ExactSizeIterator<Item = u32>, count: u64, unk: u32) {
        let add = |sum: &mut u64, number: u64| *sum = sum.saturating_add(number);
        add(&mut self.words, count);
        add(&mut self.tokens, count.saturating_mul(ids.len() as u64));
        let is_one = ids.len() == 1;
        for id in ids {
            add(&mut self.counts[id as usize], count);
            if is_one {
                add(if id == unk { &mut self.unknown } else { &mut self.whole }, count);
            }
        }
    }

    /// How many tokens a word is cut into; 0 if there are no words.
    pub fn tokens_per_word(&self) -> f64 {
        self.tokens as f64 / self.words.max(1) as f64
    }

    /// The share of the words that become `[UNK]`.
    pub fn unknown_rate(&self) -> f64 {
        self.unknown as f64 / self.words.max(1) as f64
    }

    /// The share of the words that are one token of the vocabulary.
    pub fn whole_rate(&self) -> f64 {
        self.whole as f64 / self.words.max(1) as f64
    }

    /// The tokens of the vocabulary that no word of the text has, in order of their ids. Special tokens and unused
    /// slots do not count.
    pub fn dead_tokens<'t>(&self, tokenizer: &'t Tokenizer) -> Vec<&'t str> {
        let tokens = tokenizer.tokens.iter().zip(&self.counts).zip(0..);
        tokens
            .filter(|&((_, &count), id)| count == 0 && script_of_token(tokenizer, id) != Script::Special)
            .map(|((token, _), _)| token.as_str())
            .collect()
    }

    /// For each script how many tokens the vocabulary has of it, and how many the text. `[UNK]` in the text is of
    /// no script, [`Script::Special`].
    pub fn scripts(&self, tokenizer: &Tokenizer) -> Vec<(Script, u64, u64)> {
        let mut scripts = Script::ALL.map(|script| (script, 0, 0));
        for (id, &count) in (0..).zip(&self.counts) {
            let (_, vocabulary, text) = &mut scripts[script_of_token(tokenizer, id) as usize];
            *vocabulary += 1;
            *text = count.saturating_add(*text);
        }
        scripts.to_vec()
    }
}

/// The script of a token's first character.
fn script_of_token(tokenizer: &Tokenizer, id: u32) -> Script {
    let token = tokenizer.tokens[id as usize].as_str();
    let is_slot = token.starts_with("[unused") && token.ends_with(']');
    if is_slot || tokenizer.added.as_slice().iter().any(|added| added.id == id) {
        return Script::Special;
    }
    let prefix = tokenizer.wordpiece.continuing_subword_prefix.as_str();
    let piece = token.strip_prefix(prefix).filter(|piece| !piece.is_empty()).unwrap_or(token);
    piece.chars().next().map_or(Script::Other, Script::of)
}
