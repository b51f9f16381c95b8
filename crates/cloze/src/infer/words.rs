//! Long sentences in windows of whole words, and words' logits from those of their tokens.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Which of a word's tokens speak for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subtokens {
    /// The first.
    #[default]
    First,
    /// All: the mean of their logits.
    Mean,
}

/// A part of a sentence that a model reads at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordWindow {
    /// The words in it.
    pub words: Range<usize>,
    /// Those of them whose labels are taken from it. Every word of a sentence is decided by one window.
    pub decides: Range<usize>,
}

/// Cuts a sentence into windows of whole words. `tokens_of_words` says how many tokens each word has, 0 included;
/// `max_tokens` how many fit in a window beside `[CLS]` and `[SEP]`.
///
/// A window takes as many words as fit; the next begins so that they share at most half of `max_tokens`, and it reads
/// at least one word more. A word is decided by the window in which it has the most context, that is the smaller number
/// of tokens to its left and to its right; by the earlier one if that is equal. A word that has more than `max_tokens`
/// by itself is alone in its window, words without tokens aside, and its first tokens are kept. No words make no
/// windows; a window that would decide no word is left out.
pub fn windows_of_words(tokens_of_words: &[usize], max_tokens: usize) -> Vec<WordWindow> {
    assert!(max_tokens > 0, "no tokens fit in a window");
    let words = tokens_of_words.len();
    // Tokens before each word, and at last of all.
    let mut before = vec![0; words + 1];
    for (word, &tokens) in tokens_of_words.iter().enumerate() {
        before[word + 1] = before[word] + tokens.min(max_tokens);
    }
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while windows.last().map_or(0, |window| window.end) < words {
        let end = (start..words).find(|&word| before[word + 1] - before[start] > max_tokens).unwrap_or(words);
        windows.push(start..end);
        if end < words {
            let too_early = |first: usize| {
                before[end] - before[first] > max_tokens / 2 || before[end + 1] - before[first] > max_tokens
            };
            start += (start..end).take_while(|&first| too_early(first)).count();
        }
    }

    // The context in the best window yet, and which that is.
    let mut best: Vec<Option<(usize, usize)>> = vec![None; words];
    for (index, window) in windows.iter().enumerate() {
        for word in window.clone() {
            let context = (before[word] - before[window.start]).min(before[window.end] - before[word + 1]);
            if best[word].is_none_or(|(most, _)| context > most) {
                best[word] = Some((context, index));
            }
        }
    }
    // Further to the right, a later window has more context beside an earlier one; so each decides a range.
    let mut decided: Vec<WordWindow> = Vec::new();
    let mut first = 0;
    for group in best.chunk_by(|a, b| a.map(|(_, window)| window) == b.map(|(_, window)| window)) {
        let (_, index) = group[0].expect("every word is in a window");
        decided.push(WordWindow { words: windows[index].clone(), decides: first..first + group.len() });
        first += group.len();
    }
    decided
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(tokens_of_words: &[usize], max_tokens: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let windows = windows_of_words(tokens_of_words, max_tokens);
        windows.into_iter().map(|window| (window.words, window.decides)).collect()
    }

    #[test]
    fn what_fits_is_one_window() {
        assert_eq!(windows(&[], 4), []);
        assert_eq!(windows(&[0, 0], 1), [(0..2, 0..2)]);
        assert_eq!(windows(&[1, 2, 1], 4), [(0..3, 0..3)]);
    }

    /// Made by hand: words 0 to 3 have contexts of 0, 1, 1, 0 in the first window; words 2 to 5 in the second.
    #[test]
    fn windows_share_half_of_their_tokens() {
        let expected = [(0..4, 0..3), (2..6, 3..5), (4..8, 5..7), (6..10, 7..10)];
        assert_eq!(windows(&[1; 10], 4), expected);
        // Beside word 3 there is room for one token before it; behind it, its three tokens are more than half.
        // Word 2 has no context on one side of either window, so the earlier one decides.
        assert_eq!(windows(&[1, 1, 1, 3, 1], 4), [(0..3, 0..3), (2..4, 3..4), (4..5, 4..5)]);
    }

    #[test]
    fn a_word_longer_than_a_window_is_alone() {
        assert_eq!(windows(&[1, 9, 1], 4), [(0..1, 0..1), (1..2, 1..2), (2..3, 2..3)]);
        assert_eq!(windows(&[9, 0, 9], 4), [(0..2, 0..2), (1..3, 2..3)]);
    }

    proptest! {
        /// Against the definition, word by word.
        #[test]
        fn words_are_decided_where_they_have_most_context(
            tokens_of_words in prop::collection::vec(0usize..6, 0..40),
            max_tokens in 1usize..12,
        ) {
            let found = windows_of_words(&tokens_of_words, max_tokens);
            let tokens = |words: Range<usize>| -> usize {
                words.map(|word| tokens_of_words[word].min(max_tokens)).sum()
            };
            let context = |word: usize, window: &WordWindow| {
                tokens(window.words.start..word).min(tokens(word + 1..window.words.end))
            };
            let mut next = 0;
            for (index, window) in found.iter().enumerate() {
                prop_assert!(tokens(window.words.clone()) <= max_tokens);
                prop_assert_eq!(window.decides.start, next);
                prop_assert!(!window.decides.is_empty());
                next = window.decides.end;
                for word in window.decides.clone() {
                    prop_assert!(window.words.contains(&word));
                    for (other_index, other) in found.iter().enumerate() {
                        if other.words.contains(&word) && other_index != index {
                            let (here, there) = (context(word, window), context(word, other));
                            prop_assert!(here > there || here == there && index < other_index);
                        }
                    }
                }
                // A window that is not the last is full: the next word does not fit.
                if window.words.end < tokens_of_words.len() {
                    prop_assert!(tokens(window.words.start..window.words.end + 1) > max_tokens);
                }
            }
            prop_assert_eq!(next, tokens_of_words.len());
        }

        /// With short words, context is a quarter of the window, except towards the ends of the sentence.
        #[test]
        fn words_have_context(words in 1usize..100, max_tokens in 4usize..20) {
            for window in windows_of_words(&vec![1; words], max_tokens) {
                for word in window.decides.clone() {
                    let left = if window.words.start == 0 { usize::MAX } else { word - window.words.start };
                    let right = if window.words.end == words { usize::MAX } else { window.words.end - 1 - word };
                    prop_assert!(left.min(right) >= max_tokens / 4 - usize::from(max_tokens % 4 != 3), "{window:?}");
                }
            }
        }
    }
}
