//! Which words a vocabulary lacks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::corpus::CountedWords;
use crate::error::Error;
use crate::tokenizer::Tokenizer;

/// A word of a text that takes several tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWord {
    /// The word, as it is in normalized text.
    pub word: String,
    /// How often it comes.
    pub count: u64,
    /// The tokens that it takes now, at least two.
    pub pieces: Vec<u32>,
}

impl NewWord {
    /// How many tokens the text is shorter if the word is one token.
    fn saves(&self) -> u64 {
        self.count.saturating_mul(self.pieces.len() as u64 - 1)
    }
}

/// The words that save most tokens if they are tokens themselves, at most `limit`, the best first; of equal ones the
/// first in string order. A word that comes less often than `min_frequency` is left out, and so is one that becomes
/// `[UNK]`: it has no pieces that could tell what it means.
///
/// # Errors
///
/// If the words are in a file that cannot be read.
///
/// # Panics
///
/// If the words were counted for a tokenizer that normalizes text in another way.
pub fn new_words(
    tokenizer: &Tokenizer,
    words: &CountedWords,
    limit: usize,
    min_frequency: u64,
) -> Result<Vec<NewWord>, Error> {
    assert_eq!(tokenizer.normalizer, words.normalizer, "the words were counted for another tokenizer");
    // The worst of the chosen words is on top, to make room for a better one.
    let mut chosen = BinaryHeap::new();
    let mut pieces = Vec::new();
    words.for_each(|word, count| {
        pieces.clear();
        tokenizer.wordpiece.split(word, word.chars().count(), &mut pieces);
        if count < min_frequency || pieces.len() < 2 {
            return;
        }
        let pieces = pieces.iter().map(|&(id, _, _)| id).collect();
        let new = NewWord { word: word.to_string(), count, pieces };
        chosen.push((Reverse(new.saves()), new.word, new.count, new.pieces));
        if chosen.len() > limit {
            chosen.pop();
        }
    })?;
    let best_first = chosen.into_sorted_vec().into_iter();
    Ok(best_first.map(|(_, word, count, pieces)| NewWord { word, count, pieces }).collect())
}
