//! How texts become what a model reads: cut to its length, or in windows.

use cloze_tokenizer::{Encoding, Tokenizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Extent, Text};

/// The shortest windows: a pair leaves two tokens for text, of which none is shared.
pub(super) const SHORTEST_WINDOW: usize = 5;

/// What becomes of a text that is longer than the model reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Long {
    /// Its end is cut off; how many tokens that were is told.
    #[default]
    Truncate,
    /// It is read in windows that overlap; nothing is cut off.
    Window,
}

/// How long texts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Tokens of a sequence at most, special ones included.
    pub max_length: usize,
    pub long: Long,
}

/// A text or a pair as the model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadText {
    /// One, or its windows.
    pub windows: Vec<Encoding>,
    /// Tokens that are read, each counted once.
    pub tokens: usize,
    /// Tokens that were cut off.
    pub truncated: usize,
}

impl Reading {
    /// Tokens that a window shares with the one before: a quarter of it.
    pub fn overlap(self) -> usize {
        self.max_length / 4
    }

    /// Reads one text or pair.
    fn read(self, tokenizer: &Tokenizer, text: &Text) -> ReadText {
        let max = Some(self.max_length);
        let one = match text.b {
            None => tokenizer.encode(text.a, max),
            Some(b) => tokenizer.encode_pair(text.a, b, max),
        };
        let tokens = one.len();
        if one.truncated == 0 || self.long == Long::Truncate {
            return ReadText { tokens, truncated: one.truncated, windows: vec![one] };
        }
        let windows = match text.b {
            None => tokenizer.windows(text.a, self.max_length, self.overlap()),
            Some(b) => tokenizer.windows_of_longer(text.a, b, self.max_length, self.overlap()),
        };
        ReadText { windows, tokens: tokens + one.truncated, truncated: 0 }
    }
}

impl ReadText {
    pub fn extent(&self) -> Extent {
        Extent { tokens: self.tokens, windows: self.windows.len(), truncated: self.truncated }
    }
}

/// Texts as the model reads them, on rayon's threads.
pub(crate) fn read_texts(tokenizer: &Tokenizer, texts: &[Text], reading: Reading) -> Vec<ReadText> {
    texts.par_iter().with_min_len(64).map(|text| reading.read(tokenizer, text)).collect()
}

#[cfg(test)]
mod tests {
    use cloze_tokenizer::Casing;

    use super::*;

    #[test]
    fn windows_leave_nothing_out_and_truncation_counts() {
        let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"].map(str::to_string);
        let tokenizer = Tokenizer::from_tokens(tokens.to_vec(), Casing::Uncased).unwrap();
        for (length, pair) in [(1, false), (14, false), (15, false), (500, false), (6, true), (7, true), (200, true)] {
            let a = "a ".repeat(length);
            let text = Text { a: &a, b: pair.then_some(a.as_str()) };
            let (texts, special) = if pair { (2, 3) } else { (1, 2) };
            let read = |long| Reading { max_length: 16, long }.read(&tokenizer, &text);

            let cut = read(Long::Truncate);
            assert_eq!(cut.windows.len(), 1);
            assert_eq!(cut.tokens + cut.truncated, texts * length + special);
            assert_eq!(cut.tokens, cut.windows[0].len());

            let whole = read(Long::Window);
            assert_eq!((whole.tokens, whole.truncated), (texts * length + special, 0));
            assert!(whole.windows.iter().all(|window| window.len() <= 16));
            assert_eq!(whole.windows.len() == 1, texts * length + special <= 16);
            for segment in 0..texts as u32 {
                let mut seen: Vec<(usize, usize)> = Vec::new();
                for window in &whole.windows {
                    let own = (0..window.len()).filter(|&at| window.token_type_ids[at] == segment);
                    seen.extend(own.map(|at| window.offsets[at]).filter(|offsets| *offsets != (0, 0)));
                }
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), length, "text {segment} of {length} tokens");
            }
        }
    }
}
