//! How often each word comes in a body of text.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rayon::prelude::*;

use crate::normalize::{Casing, Normalizer};
use crate::wordpiece::MAX_INPUT_CHARS_PER_WORD;
use crate::words::for_each_word;

/// Counts of the words of normalized text, all in memory.
///
/// Words of more than 100 characters are left out: no vocabulary makes them anything but `[UNK]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordCounts {
    pub(super) normalizer: Normalizer,
    pub(super) counts: HashMap<Box<str>, u64>,
    /// How many words were left out.
    pub(super) too_long: u64,
    /// The [`cost`] of all words together.
    pub(super) cost: u64,
}

/// Bytes that a word is reckoned to take from counting to the end of training, at most: random letters, with more
/// different pairs than any language, take about as much (docs/log.md), books a third less. Counting needs a fourth.
pub(super) fn cost(word: &str) -> u64 {
    const BYTES_PER_WORD: usize = 240;
    const BYTES_PER_CHARACTER: usize = 54;
    (BYTES_PER_WORD + word.len() + BYTES_PER_CHARACTER * word.chars().count()) as u64
}

/// How much text one thread takes at a time.
const CHUNK_BYTES: usize = 1 << 20;

impl WordCounts {
    /// No words yet. Text is going to be normalized for this casing.
    pub fn new(casing: Casing) -> WordCounts {
        WordCounts::with_normalizer(Normalizer::new(casing))
    }

    pub(super) fn with_normalizer(normalizer: Normalizer) -> WordCounts {
        WordCounts { normalizer, counts: HashMap::new(), too_long: 0, cost: 0 }
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
                let empty = || WordCounts::with_normalizer(self.normalizer);
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

    /// Adds `count` to a word, which is taken as it is: normalized, and one word. Sums end at `u64::MAX`.
    pub fn add(&mut self, word: &str, count: u64) {
        // Not by `entry`, which would copy every word and not only the new ones.
        match self.counts.get_mut(word) {
            Some(sum) => *sum = sum.saturating_add(count),
            None if count == 0 => {}
            None => {
                self.cost += cost(word);
                self.counts.insert(word.into(), count);
            }
        }
    }

    /// Adds the counts of `other`.
    ///
    /// # Panics
    ///
    /// If `other` is of another casing.
    pub fn merge(&mut self, mut other: WordCounts) {
        assert_eq!(self.normalizer, other.normalizer, "counts of different casings do not add up");
        if other.len() > self.len() {
            std::mem::swap(self, &mut other);
        }
        self.too_long += other.too_long;
        for (word, count) in other.counts {
            match self.counts.entry(word) {
                Entry::Occupied(mut sum) => *sum.get_mut() = sum.get().saturating_add(count),
                Entry::Vacant(place) => {
                    self.cost += cost(place.key());
                    place.insert(count);
                }
            }
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
        let normalizer = self.normalizer;
        for_each_word(text, 0, &normalizer, |word| match word.chars {
            ..=MAX_INPUT_CHARS_PER_WORD => self.add(word.text, 1),
            _ => self.too_long += 1,
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
