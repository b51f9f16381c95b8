//! WordPiece vocabularies from word counts.
//!
//! Every word starts as its characters, all but the first marked with `##`. Again and again the
//! pair of neighbouring pieces that comes most often in the text becomes one piece, until the
//! vocabulary has the asked size. This is what Hugging Face's trainer does (it is not the
//! likelihood score of Schuster and Nakajima 2012), but the result depends on nothing except the
//! counts: of equally frequent pairs the first in string order is taken.
//!
//! ```
//! use cloze_tokenizer::Casing;
//! use cloze_tokenizer::train::{TrainOptions, WordCounts, train};
//!
//! let mut counts = WordCounts::new(Casing::Uncased);
//! counts.add_text("Talk, talks, talked, talking; walk, walks, walked, walking.");
//! let options = TrainOptions { size: 60, ..TrainOptions::default() };
//! let tokens = train(&counts, &options, &mut |_done, _total| {})?;
//! assert_eq!(tokens[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
//! assert!(["talk", "walk", "##ed", "##ing"].iter().all(|piece| tokens.iter().any(|t| t == piece)));
//! # Ok::<(), cloze_tokenizer::Error>(())
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::rc::Rc;

use crate::error::Error;
use crate::normalize::Casing;
use crate::vocab::SPECIAL_TOKENS;
pub use crate::word_counts::WordCounts;
use crate::wordpiece::CONTINUING_SUBWORD_PREFIX;

/// What vocabulary to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainOptions {
    /// The largest number of tokens, special tokens included. Text with few words gives fewer.
    pub size: usize,
    /// A pair of pieces that comes less often is not joined.
    pub min_frequency: u64,
    /// The largest number of different characters; the rarest others are left out.
    pub limit_alphabet: usize,
    /// What the words were normalized for.
    pub casing: Casing,
}

impl Default for TrainOptions {
    fn default() -> TrainOptions {
        TrainOptions { size: 30522, min_frequency: 2, limit_alphabet: 1000, casing: Casing::Uncased }
    }
}

/// Makes a vocabulary: its tokens in id order, beginning with `[PAD] [UNK] [CLS] [SEP] [MASK]`,
/// then single characters, then joined pieces as they were found.
///
/// `progress` is called after each new token with the number of tokens and the asked size.
///
/// # Errors
///
/// If there are no words, or special tokens and characters alone exceed the asked size.
///
/// # Panics
///
/// If `counts` and `options` are of different casings.
pub fn train(
    counts: &WordCounts,
    options: &TrainOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<String>, Error> {
    assert_eq!(counts.casing(), options.casing, "the words were counted for another casing");
    if counts.is_empty() {
        return Err(Error::NoWords);
    }
    // Everything below goes through words in this order; a hash table's own order never counts.
    let mut words: Vec<(&str, u64)> = counts.counts.iter().map(|(word, &count)| (word.as_str(), count)).collect();
    words.sort_unstable();

    let mut pieces = Pieces::new(&alphabet(&words, options.limit_alphabet), &words);
    if pieces.tokens.len() > options.size {
        let needed = pieces.tokens.len();
        return Err(Error::VocabularyTooSmall { size: options.size, needed });
    }
    let mut pairs = Pairs::new(&words, &pieces);
    while pieces.tokens.len() < options.size {
        let Some((pair, count)) = pairs.pop_most_frequent(&pieces) else { break };
        if count < options.min_frequency {
            break;
        }
        let tokens_before = pieces.tokens.len();
        let joined = pieces.join(pair);
        pairs.join(pair, joined, &pieces);
        if pieces.tokens.len() > tokens_before {
            progress(pieces.tokens.len(), options.size);
        }
    }
    Ok(pieces.tokens.iter().map(|token| token.to_string()).collect())
}

/// The most frequent characters, at most `limit` of them, in order.
fn alphabet(words: &[(&str, u64)], limit: usize) -> BTreeSet<char> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    for &(word, count) in words {
        for c in word.chars() {
            *counts.entry(c).or_default() += count;
        }
    }
    let mut by_frequency: Vec<_> = counts.into_iter().map(|(c, count)| (Reverse(count), c)).collect();
    by_frequency.sort_unstable();
    by_frequency.into_iter().take(limit).map(|(_, c)| c).collect()
}

/// Two neighbouring pieces.
type Pair = (u32, u32);

/// The vocabulary as it grows.
struct Pieces {
    tokens: Vec<Rc<str>>,
    ids: HashMap<Rc<str>, u32>,
}

impl Pieces {
    /// Special tokens, then the characters, then those with `##` that some word has behind its
    /// first place.
    fn new(alphabet: &BTreeSet<char>, words: &[(&str, u64)]) -> Pieces {
        let mut pieces = Pieces { tokens: Vec::new(), ids: HashMap::new() };
        for token in SPECIAL_TOKENS {
            pieces.id_or_new(token);
        }
        for c in alphabet {
            pieces.id_or_new(&c.to_string());
        }
        let inside: BTreeSet<char> = words.iter().flat_map(|(word, _)| word.chars().skip(1)).collect();
        for c in inside.intersection(alphabet) {
            pieces.id_or_new(&format!("{CONTINUING_SUBWORD_PREFIX}{c}"));
        }
        pieces
    }

    fn id_or_new(&mut self, token: &str) -> u32 {
        if let Some(&id) = self.ids.get(token) {
            return id;
        }
        let id = u32::try_from(self.tokens.len()).expect("the size of a vocabulary fits 32 bits");
        let token: Rc<str> = token.into();
        self.tokens.push(Rc::clone(&token));
        self.ids.insert(token, id);
        id
    }

    /// The characters of a word as pieces, without those that are not in the alphabet.
    fn of_word(&self, word: &str) -> Vec<u32> {
        let mut buffer = String::new();
        let pieces = word.chars().enumerate().filter_map(|(position, c)| {
            buffer.clear();
            if position > 0 {
                buffer.push_str(CONTINUING_SUBWORD_PREFIX);
            }
            buffer.push(c);
            self.ids.get(buffer.as_str()).copied()
        });
        pieces.collect()
    }

    /// The piece that two pieces make together. It may exist: `ab` + `##c` is `a` + `##bc`.
    fn join(&mut self, (left, right): Pair) -> u32 {
        let right = &self.tokens[right as usize];
        let right = right.strip_prefix(CONTINUING_SUBWORD_PREFIX).unwrap_or(right);
        let joined = format!("{}{right}", self.tokens[left as usize]);
        self.id_or_new(&joined)
    }
}

/// All pairs of neighbouring pieces in the text, kept up to date while pieces are joined.
struct Pairs {
    words: Vec<Vec<u32>>,
    word_counts: Vec<u64>,
    stats: HashMap<Pair, PairStats>,
    /// At least one candidate for each pair, at its present count or a higher one from before:
    /// counts that have fallen since are noticed when a candidate comes to the top.
    candidates: BinaryHeap<Candidate>,
}

#[derive(Default)]
struct PairStats {
    count: u64,
    /// The words with this pair, and maybe some that had it.
    words: Vec<u32>,
}

/// Ordered by count, then by the pieces as strings, the first string being the greatest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    count: u64,
    pieces: Reverse<(Rc<str>, Rc<str>)>,
    pair: Pair,
}

impl Candidate {
    fn new(pair: Pair, count: u64, pieces: &Pieces) -> Candidate {
        let token = |id: u32| Rc::clone(&pieces.tokens[id as usize]);
        Candidate { count, pieces: Reverse((token(pair.0), token(pair.1))), pair }
    }
}

impl Pairs {
    fn new(words: &[(&str, u64)], pieces: &Pieces) -> Pairs {
        let mut pairs = Pairs {
            words: words.iter().map(|(word, _)| pieces.of_word(word)).collect(),
            word_counts: words.iter().map(|&(_, count)| count).collect(),
            stats: HashMap::new(),
            candidates: BinaryHeap::new(),
        };
        for (index, (word, count)) in (0..).zip(pairs.words.iter().zip(&pairs.word_counts)) {
            for pair in neighbours(word) {
                let stats = pairs.stats.entry(pair).or_default();
                stats.count += count;
                stats.words.push(index);
            }
        }
        let candidate = |(&pair, stats): (_, &PairStats)| Candidate::new(pair, stats.count, pieces);
        pairs.candidates = pairs.stats.iter().map(candidate).collect();
        pairs
    }

    /// The most frequent pair and its count. `None` when every word is one piece.
    fn pop_most_frequent(&mut self, pieces: &Pieces) -> Option<(Pair, u64)> {
        loop {
            let candidate = self.candidates.pop()?;
            let count = self.stats.get(&candidate.pair).map_or(0, |stats| stats.count);
            if count == candidate.count {
                return Some((candidate.pair, count));
            }
            if count > 0 {
                self.candidates.push(Candidate::new(candidate.pair, count, pieces));
            }
        }
    }

    /// Replaces `pair` by the piece `joined` everywhere, from left to right in each word.
    fn join(&mut self, pair: Pair, joined: u32, pieces: &Pieces) {
        let Some(PairStats { words, .. }) = self.stats.remove(&pair) else { return };
        let mut grown = BTreeSet::new();
        for index in words {
            let word = &mut self.words[index as usize];
            // The pair may be gone by another join, or the word may be listed twice.
            if !neighbours(word).any(|neighbours| neighbours == pair) {
                continue;
            }
            let count = self.word_counts[index as usize];
            for old in neighbours(word).filter(|&old| old != pair) {
                let stats = self.stats.get_mut(&old).expect("every pair of a word is counted");
                stats.count -= count;
            }
            join_in_word(word, pair, joined);
            for new in neighbours(word) {
                let stats = self.stats.entry(new).or_default();
                stats.count += count;
                if new.0 == joined || new.1 == joined {
                    stats.words.push(index);
                    grown.insert(new);
                }
            }
        }
        for pair in grown {
            self.candidates.push(Candidate::new(pair, self.stats[&pair].count, pieces));
        }
    }
}

fn neighbours(word: &[u32]) -> impl Iterator<Item = Pair> {
    word.windows(2).map(|pair| (pair[0], pair[1]))
}

fn join_in_word(word: &mut Vec<u32>, (left, right): Pair, joined: u32) {
    let mut kept = 0;
    let mut read = 0;
    while read < word.len() {
        if word[read..].starts_with(&[left, right]) {
            word[kept] = joined;
            read += 2;
        } else {
            word[kept] = word[read];
            read += 1;
        }
        kept += 1;
    }
    word.truncate(kept);
}
