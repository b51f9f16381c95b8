//! All pairs of neighbouring pieces in the text, kept up to date while pieces are joined.
//!
//! The next pair is taken from a heap, which is put right late. What must hold: for each pair that may be joined, the
//! heap has a candidate with its present score or a higher one. A score that falls is noticed when its candidate comes
//! to the top. A score that rises needs a new candidate at once: that of a pair that has become more frequent, which
//! only new pairs do; and, under the likelihood score, that of every pair with a piece that has become rarer, which
//! only the two joined ones have.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::rc::Rc;

use super::pieces::Pieces;
use super::{Score, TrainOptions};

/// Two neighbouring pieces.
pub(super) type Pair = (u32, u32);

/// The words as pieces, and what is known of their pairs.
pub(super) struct Pairs {
    score: Score,
    min_frequency: u64,
    /// The pieces of all words, each word in the place of its characters.
    pieces: Vec<u32>,
    words: Vec<Word>,
    stats: HashMap<Pair, PairStats>,
    candidates: BinaryHeap<Candidate>,
    /// Kept for the likelihood score alone.
    usage: Vec<Usage>,
}

#[derive(Clone, Copy)]
struct Word {
    start: usize,
    len: u32,
    count: u64,
}

#[derive(Default)]
struct PairStats {
    count: u64,
    /// The words with this pair, and maybe some that had it.
    words: Vec<u32>,
}

/// Where a piece is used.
#[derive(Clone, Default)]
struct Usage {
    /// How often it comes in the text.
    count: u64,
    /// The pairs with it, and maybe some that are gone.
    pairs: Vec<Pair>,
}

impl Pairs {
    pub fn new<'w>(words: impl Iterator<Item = (&'w str, u64)>, pieces: &Pieces, options: &TrainOptions) -> Pairs {
        let mut pairs = Pairs {
            score: options.score,
            min_frequency: options.min_frequency,
            pieces: Vec::new(),
            words: Vec::new(),
            stats: HashMap::new(),
            candidates: BinaryHeap::new(),
            usage: Vec::new(),
        };
        for (word, count) in words {
            let start = pairs.pieces.len();
            pieces.of_word(word, &mut pairs.pieces);
            let len = u32::try_from(pairs.pieces.len() - start).expect("words are short");
            pairs.words.push(Word { start, len, count });
        }
        for (index, word) in (0u32..).zip(&pairs.words) {
            let word_pieces = &pairs.pieces[word.start..][..word.len as usize];
            for pair in neighbours(word_pieces) {
                let stats = pairs.stats.entry(pair).or_default();
                stats.count += word.count;
                if stats.words.last() != Some(&index) {
                    stats.words.push(index);
                }
            }
            if pairs.score == Score::Likelihood {
                for &piece in word_pieces {
                    usage_of(&mut pairs.usage, piece).count += word.count;
                }
            }
        }
        if pairs.score == Score::Likelihood {
            for &pair in pairs.stats.keys() {
                note_usage(&mut pairs.usage, pair);
            }
        }
        pairs.candidates = pairs.all_candidates(pieces);
        pairs
    }

    /// The pair with the highest score of those that come often enough. `None` when there is none.
    pub fn pop_best(&mut self, pieces: &Pieces) -> Option<Pair> {
        loop {
            let candidate = self.candidates.pop()?;
            let Some(current) = self.candidate(candidate.pair, pieces) else { continue };
            match current.compare_score(&candidate) {
                Ordering::Equal => return Some(current.pair),
                Ordering::Less => self.candidates.push(current),
                // There is another candidate for it, with the higher score.
                Ordering::Greater => {}
            }
        }
    }

    /// Replaces `pair` by the piece `joined` everywhere, from left to right in each word.
    pub fn join(&mut self, pair: Pair, joined: u32, pieces: &Pieces) {
        let Some(PairStats { words, .. }) = self.stats.remove(&pair) else { return };
        let mut new_pairs = BTreeSet::new();
        let mut gone = Vec::new();
        for index in words {
            let Word { start, len, count } = self.words[index as usize];
            let word = &mut self.pieces[start..][..len as usize];
            // The pair may be gone by another join, or the word may be listed twice.
            if !neighbours(word).any(|neighbours| neighbours == pair) {
                continue;
            }
            for old in neighbours(word).filter(|&old| old != pair) {
                let stats = self.stats.get_mut(&old).expect("every pair of a word is counted");
                stats.count -= count;
                if stats.count == 0 {
                    gone.push(old);
                }
            }
            let kept = join_in_word(word, pair, joined);
            let word = &word[..kept];
            self.words[index as usize].len = kept as u32;
            for new in neighbours(word) {
                let stats = self.stats.entry(new).or_default();
                stats.count += count;
                if new.0 == joined || new.1 == joined {
                    stats.words.push(index);
                    new_pairs.insert(new);
                }
            }
            if self.score == Score::Likelihood {
                let joins = u64::from(len) - kept as u64;
                usage_of(&mut self.usage, pair.0).count -= joins * count;
                usage_of(&mut self.usage, pair.1).count -= joins * count;
                usage_of(&mut self.usage, joined).count += joins * count;
            }
        }
        for pair in gone {
            if self.stats.get(&pair).is_some_and(|stats| stats.count == 0) {
                self.stats.remove(&pair);
            }
        }
        if self.score == Score::Likelihood {
            new_pairs.iter().for_each(|&new| note_usage(&mut self.usage, new));
            new_pairs.extend(self.pairs_with(pair.0));
            new_pairs.extend(self.pairs_with(pair.1));
        }
        for pair in new_pairs {
            self.candidates.extend(self.candidate(pair, pieces));
        }
        // Candidates that were overtaken must not become more than the pairs themselves.
        if self.candidates.len() > 4 * self.stats.len() + 1024 {
            self.candidates = self.all_candidates(pieces);
        }
    }

    /// The pairs with a piece. Those that are gone are forgotten.
    fn pairs_with(&mut self, piece: u32) -> Vec<Pair> {
        let pairs = &mut usage_of(&mut self.usage, piece).pairs;
        // A pair that came, went and came again stands here twice.
        pairs.sort_unstable();
        pairs.dedup();
        pairs.retain(|pair| self.stats.contains_key(pair));
        pairs.clone()
    }

    fn all_candidates(&self, pieces: &Pieces) -> BinaryHeap<Candidate> {
        self.stats.keys().filter_map(|&pair| self.candidate(pair, pieces)).collect()
    }

    /// The candidate of a pair with its present score; none if it does not come often enough.
    fn candidate(&self, pair: Pair, pieces: &Pieces) -> Option<Candidate> {
        let count = self.stats.get(&pair)?.count;
        let divisor = match self.score {
            Score::Count => 1,
            Score::Likelihood => {
                let count_of = |piece: u32| u128::from(self.usage[piece as usize].count);
                count_of(pair.0) * count_of(pair.1)
            }
        };
        let tokens = Reverse((pieces.token(pair.0), pieces.token(pair.1)));
        (count >= self.min_frequency).then_some(Candidate { count, divisor, tokens, pair })
    }
}

fn usage_of(usage: &mut Vec<Usage>, piece: u32) -> &mut Usage {
    if usage.len() <= piece as usize {
        usage.resize(piece as usize + 1, Usage::default());
    }
    &mut usage[piece as usize]
}

/// Notes that a pair is there. It may be noted already.
fn note_usage(usage: &mut Vec<Usage>, pair: Pair) {
    usage_of(usage, pair.0).pairs.push(pair);
    if pair.1 != pair.0 {
        usage_of(usage, pair.1).pairs.push(pair);
    }
}

/// A pair with the score `count / divisor`. Ordered by it, then by the pieces as strings, the first string being the
/// greatest.
struct Candidate {
    count: u64,
    divisor: u128,
    tokens: Reverse<(Rc<str>, Rc<str>)>,
    pair: Pair,
}

impl Candidate {
    /// `count / divisor` against `other.count / other.divisor`, without rounding.
    fn compare_score(&self, other: &Candidate) -> Ordering {
        if self.divisor == other.divisor {
            return self.count.cmp(&other.count);
        }
        product(self.count, other.divisor).cmp(&product(other.count, self.divisor))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> Ordering {
        self.compare_score(other).then_with(|| self.tokens.cmp(&other.tokens))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Candidate) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// `a · b` in 192 bits: the upper 128 and the lower 64.
fn product(a: u64, b: u128) -> (u128, u64) {
    let low = u128::from(a) * u128::from(b as u64);
    (u128::from(a) * (b >> 64) + (low >> 64), low as u64)
}

fn neighbours(word: &[u32]) -> impl Iterator<Item = Pair> {
    word.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Returns how many pieces are left; they stand at the beginning of `word`.
fn join_in_word(word: &mut [u32], (left, right): Pair, joined: u32) -> usize {
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
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_have_192_bits() {
        assert_eq!(product(3, 5), (0, 15));
        assert_eq!(product(u64::MAX, u128::MAX), (u128::MAX - (1 << 64), 1));
        assert_eq!(product(1 << 63, 1 << 127), (1 << 126, 0));
    }

    #[test]
    fn scores_are_compared_without_rounding() {
        let candidate =
            |count, divisor| Candidate { count, divisor, tokens: Reverse(("a".into(), "b".into())), pair: (0, 1) };
        let huge = u128::from(u64::MAX) * u128::from(u64::MAX);
        assert_eq!(candidate(u64::MAX, huge).compare_score(&candidate(u64::MAX, huge - 1)), Ordering::Less);
        assert_eq!(candidate(u64::MAX - 1, huge).compare_score(&candidate(u64::MAX, huge)), Ordering::Less);
        assert_eq!(candidate(1 << 62, 1 << 100).compare_score(&candidate(1 << 61, 1 << 99)), Ordering::Equal);
        assert_eq!(candidate(1, 3).compare_score(&candidate(2, 7)), Ordering::Greater);
    }
}
