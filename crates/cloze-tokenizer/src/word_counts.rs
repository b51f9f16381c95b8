//! How often each word comes in a body of text.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::normalize::{Casing, Normalizer};
use crate::wordpiece::MAX_INPUT_CHARS_PER_WORD;
use crate::words::for_each_word;

/// Counts of the words of normalized text.
///
/// Words of more than 100 characters are left out: no vocabulary makes them anything but `[UNK]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordCounts {
    normalizer: Normalizer,
    pub(crate) counts: HashMap<String, u64>,
}

/// How much text one thread takes at a time.
const CHUNK_BYTES: usize = 1 << 20;

impl WordCounts {
    /// No words yet. Text is going to be normalized for this casing.
    pub fn new(casing: Casing) -> WordCounts {
        WordCounts { normalizer: Normalizer::new(casing), counts: HashMap::new() }
    }

    /// The casing that text is normalized for.
    pub fn casing(&self) -> Casing {
        self.normalizer.casing()
    }

    /// Counts the words of `text`, with all threads of the current rayon pool if it is long. The
    /// counts are the same for any number of them.
    pub fn add_text(&mut self, text: &str) {
        let mut chunks = chunks(text);
        match (chunks.next(), chunks.next()) {
            (Some(only), None) => self.add_chunk(only),
            _ => {
                let empty = || WordCounts::new(self.casing());
                let counted = self::chunks(text)
                    .par_bridge()
                    .fold(empty, |mut counts, chunk| {
                        counts.add_chunk(chunk);
                        counts
                    })
                    .reduce(empty, |mut counts, other| {
                        counts.merge(other);
                        counts
                    });
                self.merge(counted);
            }
        }
    }

    /// Adds the counts of `other`.
    ///
    /// # Panics
    ///
    /// If `other` is of another casing.
    pub fn merge(&mut self, other: WordCounts) {
        assert_eq!(self.casing(), other.casing(), "counts of different casings do not add up");
        let mut other = other.counts;
        if other.len() > self.counts.len() {
            std::mem::swap(&mut self.counts, &mut other);
        }
        for (word, count) in other {
            *self.counts.entry(word).or_default() += count;
        }
    }

    /// The number of different words.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How often `word` came.
    pub fn get(&self, word: &str) -> u64 {
        self.counts.get(word).copied().unwrap_or(0)
    }

    fn add_chunk(&mut self, text: &str) {
        let counts = &mut self.counts;
        for_each_word(text, 0, &self.normalizer, |word| {
            if word.chars > MAX_INPUT_CHARS_PER_WORD {
                return;
            }
            // Not by `entry`, which would copy every word and not only the new ones.
            match counts.get_mut(word.text) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.text.to_string(), 1);
                }
            }
        });
    }
}

/// Cuts a text into pieces of about [`CHUNK_BYTES`], at line ends only, which always end a word.
fn chunks(text: &str) -> impl Iterator<Item = &str> + Send {
    let mut rest = text;
    std::iter::from_fn(move || {
        let search = rest.as_bytes().get(CHUNK_BYTES..).unwrap_or_default();
        let end = match search.iter().position(|&byte| byte == b'\n') {
            Some(line_end) => CHUNK_BYTES + line_end + 1,
            None => rest.len(),
        };
        let (chunk, after) = rest.split_at(end);
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}
