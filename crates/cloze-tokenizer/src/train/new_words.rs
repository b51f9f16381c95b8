//! Which words a vocabulary lacks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::corpus::CountedWords;
use crate::error::Error;
use crate::normalize::Normalizer;
use crate::tokenizer::Tokenizer;
use crate::words::for_each_word;

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

/// Which words may become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewWordOptions {
    /// How many at most.
    pub limit: usize,
    /// Rarer words are left out.
    pub min_frequency: u64,
    /// Words with other characters than letters and marks are left out, and so are single letters: ids, hashes and
    /// numbers come often in some texts and mean nothing.
    pub letters_only: bool,
}

/// The words that save most tokens if they are tokens themselves, the best first; of equal ones the first in string
/// order. A word that becomes `[UNK]` is left out: it has no pieces that could tell what it means.
///
/// # Errors
///
/// If the words are in a file that cannot be read.
///
/// # Panics
///
/// If the words were counted for a tokenizer that normalizes text in another way.
pub fn new_words(tokenizer: &Tokenizer, words: &CountedWords, options: &NewWordOptions) -> Result<Vec<NewWord>, Error> {
    assert_eq!(tokenizer.normalizer, words.normalizer, "the words were counted for another tokenizer");
    // The worst of the chosen words is on top, to make room for a better one.
    let mut chosen = BinaryHeap::new();
    let mut pieces = Vec::new();
    words.for_each(|word, count| {
        pieces.clear();
        tokenizer.wordpiece.split(word, word.chars().count(), &mut pieces);
        if count < options.min_frequency || pieces.len() < 2 || options.letters_only && !is_of_letters(word) {
            return;
        }
        let pieces = pieces.iter().map(|&(id, _, _)| id).collect();
        let new = NewWord { word: word.to_string(), count, pieces };
        chosen.push((Reverse(new.saves()), new.word, new.count, new.pieces));
        if chosen.len() > options.limit {
            chosen.pop();
        }
    })?;
    let best_first = chosen.into_sorted_vec().into_iter();
    Ok(best_first.map(|(_, word, count, pieces)| NewWord { word, count, pieces }).collect())
}

fn is_of_letters(word: &str) -> bool {
    let is_letter = |c: char| regex_syntax::is_word_character(c) && !c.is_numeric() && c != '_';
    word.chars().nth(1).is_some() && word.chars().all(is_letter)
}

/// Counts in how many documents words come.
#[derive(Debug)]
pub struct DocumentCounts {
    normalizer: Normalizer,
    /// Documents with the word, and the number of the last one, from 1.
    counts: HashMap<String, (u64, u64)>,
    documents: u64,
    /// True if the document goes on with the next text.
    is_open: bool,
}

impl DocumentCounts {
    /// For these words, in text that is normalized as this tokenizer does.
    pub fn new<'w>(tokenizer: &Tokenizer, words: impl IntoIterator<Item = &'w NewWord>) -> DocumentCounts {
        let counts = words.into_iter().map(|new| (new.word.clone(), (0, 0))).collect();
        DocumentCounts { normalizer: tokenizer.normalizer, counts, documents: 0, is_open: false }
    }

    /// Counts the words of a text, which is a document, or a part of one that goes on with the next text.
    pub fn add_text(&mut self, text: &str, ends_document: bool) {
        let DocumentCounts { normalizer, counts, documents, is_open } = self;
        let mut is_new = !*is_open;
        for_each_word(text, 0, &*normalizer, |word| {
            // A document without words is none.
            *documents += u64::from(std::mem::take(&mut is_new));
            if let Some((documents_with, last)) = counts.get_mut(word.text)
                && *last != *documents
            {
                *documents_with += 1;
                *last = *documents;
            }
        });
        *is_open = !ends_document && !is_new;
    }

    /// How many documents there are.
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// In how many of them the word comes.
    pub fn of(&self, word: &str) -> u64 {
        self.counts.get(word).map_or(0, |(documents_with, _)| *documents_with)
    }
}
