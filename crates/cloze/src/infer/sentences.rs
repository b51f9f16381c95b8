//! Sentences of words as a model reads them, and what it says of each word.

use std::ops::Range;

use cloze_kernels::Kernels;
use cloze_tokenizer::{Encoding, SpecialIds, Tokenizer, TruncationSide};
use rayon::prelude::*;

use crate::Error;
use crate::model::{Batch, Network};
use crate::params::Linear;

use super::label_words::without_special;
use super::words::{Subtokens, windows_of_words};
use super::workspace::{InferenceWorkspace, token_rows};
use super::{Extent, Long, Reading, TOKENS_PER_BATCH};

/// A part of a sentence that a model reads at once, `[CLS] … [SEP]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentenceWindow {
    pub ids: Vec<u32>,
    /// The words of the sentence whose labels are taken from this window.
    pub decides: Range<usize>,
    /// The tokens of the window that decide, ascending.
    pub tokens: Vec<u32>,
    /// How many of these tokens each of the words has; 0 for a word that has no token at all.
    pub counts: Vec<u32>,
}

/// A sentence as a model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadSentence {
    pub windows: Vec<SentenceWindow>,
    /// Number of words; windows decide the first of them, and all unless the sentence was cut.
    pub words: usize,
    /// Words that have no token, ascending.
    pub without_tokens: Vec<usize>,
    pub extent: Extent,
}

/// Reads a sentence of `words` words from its tokens without `[CLS]` and `[SEP]`, each of which knows its word.
pub(crate) fn read_sentence(
    tokens: &Encoding,
    words: usize,
    special: SpecialIds,
    reading: Reading,
    subtokens: Subtokens,
) -> ReadSentence {
    let room = reading.max_length - 2;
    let mut counts = vec![0; words];
    tokens.words.iter().flatten().for_each(|&word| counts[word] += 1);
    // The first token of each word, and at last the number of all.
    let mut starts = vec![0; words + 1];
    (0..words).for_each(|word| starts[word + 1] = starts[word] + counts[word]);
    let mut windows = windows_of_words(&counts, room);
    if reading.long == Long::Truncate {
        windows.truncate(1);
        if let Some(window) = windows.first_mut() {
            window.decides = window.words.clone();
        }
    }
    // A word that has more tokens than a window keeps its first ones.
    let kept = |word: usize| counts[word].min(room);
    let window = |words: Range<usize>, decides: Range<usize>| {
        let mut window =
            SentenceWindow { ids: vec![special.cls], decides: decides.clone(), tokens: Vec::new(), counts: Vec::new() };
        for word in words {
            if decides.contains(&word) {
                let deciding = if subtokens == Subtokens::First { kept(word).min(1) } else { kept(word) };
                let first = window.ids.len();
                window.tokens.extend((first..first + deciding).map(|token| token as u32));
                window.counts.push(deciding as u32);
            }
            window.ids.extend_from_slice(&tokens.ids[starts[word]..starts[word] + kept(word)]);
        }
        window.ids.push(special.sep);
        window
    };
    let windows: Vec<SentenceWindow> = match windows.is_empty() {
        true => vec![window(0..0, 0..0)],
        false => windows.into_iter().map(|own| window(own.words, own.decides)).collect(),
    };
    let without_tokens = (0..words).filter(|&word| counts[word] == 0).collect();
    let decided = windows.last().map_or(0, |window| window.decides.end);
    let read: usize = (0..decided).map(kept).sum();
    let extent = Extent { tokens: read + 2, windows: windows.len(), truncated: tokens.len() - read };
    ReadSentence { windows, words, without_tokens, extent }
}

/// Note that words are labelled from the beginning although the tokenizer's files name the other side, if any of `lost`
/// tokens were cut off.
pub fn note_on_truncation_side(tokenizer: &Tokenizer, lost: usize) -> Option<&'static str> {
    (lost > 0 && tokenizer.truncation_side() == TruncationSide::Left).then_some(
        "the tokenizer's files say truncation side left, but words are labelled from the beginning and the ends are cut \
         off; --long window reads all",
    )
}

/// Sentences that come split into words, on rayon's threads.
pub(crate) fn read_sentences_of_words(
    tokenizer: &Tokenizer,
    sentences: &[Vec<&str>],
    reading: Reading,
    subtokens: Subtokens,
) -> Vec<ReadSentence> {
    let read = |words: &Vec<&str>| {
        let tokens = without_special(tokenizer.encode_words(words, None));
        read_sentence(&tokens, words.len(), tokenizer.special(), reading, subtokens)
    };
    sentences.par_iter().with_min_len(64).map(read).collect()
}

/// The logits of the deciding tokens of each window: `[tokens, outputs]`.
pub(crate) fn window_logits<K: Kernels<Real = f32>>(
    network: &Network<K>,
    workspace: &mut InferenceWorkspace<K>,
    head: &Linear<K::Matrix, K::Vector>,
    outputs: usize,
    windows: &[&SentenceWindow],
) -> Result<Vec<Vec<f64>>, Error> {
    let mut logits = Vec::with_capacity(windows.len());
    let mut first = 0;
    while first < windows.len() {
        let (mut batch, mut rows, mut end) = (Batch::default(), Vec::new(), first);
        while end < windows.len() && (end == first || batch.tokens() + windows[end].ids.len() <= TOKENS_PER_BATCH) {
            let start = batch.tokens() as u32;
            batch.push(&windows[end].ids, &vec![0; windows[end].ids.len()]);
            rows.extend(windows[end].tokens.iter().map(|token| start + token));
            end += 1;
        }
        let mut values = match rows.is_empty() {
            true => Vec::new(),
            false => token_rows(network, workspace, head, outputs, &batch, &rows)?,
        }
        .into_iter();
        for window in &windows[first..end] {
            logits.push(values.by_ref().take(window.tokens.len() * outputs).collect());
        }
        first = end;
    }
    Ok(logits)
}

/// The logits of each word that a window decides, the mean of those of its tokens: `[outputs]`, nothing for a word
/// without a token. `logits` are those of [`window_logits`].
pub(crate) fn logits_of_words(window: &SentenceWindow, logits: &[f64], outputs: usize) -> Vec<Option<Vec<f64>>> {
    let mut first = 0;
    let mut of_word = |&count: &u32| {
        let rows = &logits[first * outputs..(first + count as usize) * outputs];
        first += count as usize;
        let mean = |at: usize| rows.iter().skip(at).step_by(outputs).sum::<f64>() / f64::from(count);
        (count > 0).then(|| (0..outputs).map(mean).collect())
    };
    window.counts.iter().map(&mut of_word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };

    /// Tokens 10, 11, … of words with so many tokens each.
    fn tokens(counts: &[usize]) -> Encoding {
        let words: Vec<Option<usize>> =
            counts.iter().enumerate().flat_map(|(word, &count)| vec![Some(word); count]).collect();
        let len = words.len();
        let ids = (10..10 + len as u32).collect();
        Encoding { ids, token_type_ids: vec![0; len], offsets: vec![(0, 1); len], words, truncated: 0 }
    }

    fn read(counts: &[usize], max_length: usize, long: Long, subtokens: Subtokens) -> ReadSentence {
        read_sentence(&tokens(counts), counts.len(), SPECIAL, Reading { max_length, long }, subtokens)
    }

    #[test]
    fn a_short_sentence_is_one_window() {
        let sentence = read(&[1, 0, 2], 6, Long::Window, Subtokens::First);
        let window = &sentence.windows[0];
        assert_eq!(window.ids, [2, 10, 11, 12, 3]);
        assert_eq!((window.tokens.as_slice(), window.counts.as_slice()), (&[1, 2][..], &[1, 0, 1][..]));
        let all = read(&[1, 0, 2], 6, Long::Window, Subtokens::Mean);
        assert_eq!(
            (all.windows[0].tokens.as_slice(), all.windows[0].counts.as_slice()),
            (&[1, 2, 3][..], &[1, 0, 2][..])
        );
        assert_eq!(sentence.extent, Extent { tokens: 5, windows: 1, truncated: 0 });
        assert_eq!(read(&[], 6, Long::Window, Subtokens::First).windows[0].ids, [2, 3]);
    }

    #[test]
    fn every_word_is_decided_once_and_what_is_cut_is_counted() {
        let counts = [1, 2, 1, 3, 1, 1, 2, 1, 9, 1];
        for subtokens in [Subtokens::First, Subtokens::Mean] {
            let sentence = read(&counts, 7, Long::Window, subtokens);
            let decided: Vec<usize> = sentence.windows.iter().flat_map(|window| window.decides.clone()).collect();
            assert_eq!(decided, (0..10).collect::<Vec<_>>());
            assert!(sentence.windows.iter().all(|window| window.ids.len() <= 7));
            // The word with nine tokens keeps five.
            assert_eq!(sentence.extent, Extent { tokens: 20, windows: sentence.windows.len(), truncated: 4 });
            for window in &sentence.windows {
                let mut at = 0;
                for (word, &count) in window.decides.clone().zip(&window.counts) {
                    let first: usize = counts[..word].iter().sum();
                    let own = &window.tokens[at..at + count as usize];
                    let ids: Vec<u32> = own.iter().map(|&token| window.ids[token as usize]).collect();
                    assert_eq!(ids, (0..count).map(|token| 10 + first as u32 + token).collect::<Vec<_>>());
                    at += count as usize;
                }
            }
        }
        let cut = read(&counts, 7, Long::Truncate, Subtokens::First);
        assert_eq!(cut.windows.len(), 1);
        assert_eq!(cut.windows[0].decides, 0..3);
        assert_eq!(cut.extent, Extent { tokens: 6, windows: 1, truncated: 18 });
    }

    #[test]
    fn the_logits_of_a_word_are_the_mean_of_its_tokens() {
        let sentence = read(&[1, 0, 2], 6, Long::Window, Subtokens::Mean);
        let words = logits_of_words(&sentence.windows[0], &[1.0, 2.0, 3.0, 4.0, 5.0, 8.0], 2);
        assert_eq!(words, [Some(vec![1.0, 2.0]), None, Some(vec![4.0, 6.0])]);
    }
}
