//! Splitting normalized text into words: at whitespace, and around every punctuation character.

use crate::unicode;

/// One word of the normalized text, and where each of its bytes came from.
#[derive(Default)]
pub(crate) struct Word {
    /// The normalized word; never handed on empty.
    pub text: String,
    /// For each byte of `text`, the index of the original character.
    pub sources: Vec<usize>,
    /// Characters in `text`.
    pub chars: usize,
}

impl Word {
    /// The range of original characters behind the bytes from `start` to `end` (exclusive).
    pub fn offsets(&self, start: usize, end: usize) -> (usize, usize) {
        (self.sources[start], self.sources[end - 1] + 1)
    }

    fn push(&mut self, c: char, source: usize) {
        self.text.push(c);
        self.sources.resize(self.text.len(), source);
        self.chars += 1;
    }

    fn clear(&mut self) {
        self.text.clear();
        self.sources.clear();
        self.chars = 0;
    }
}

/// Collects characters until a word is complete, then hands it to `use_word`.
pub(crate) struct WordSplitter<F: FnMut(&Word)> {
    word: Word,
    use_word: F,
}

impl<F: FnMut(&Word)> WordSplitter<F> {
    pub fn new(use_word: F) -> Self {
        WordSplitter { word: Word::default(), use_word }
    }

    /// Takes the next normalized character, which came from the original character `source`.
    pub fn push(&mut self, c: char, source: usize) {
        if c.is_ascii_alphanumeric() {
            self.word.push(c, source);
        } else if c.is_whitespace() {
            self.end_word();
        } else if unicode::is_punctuation(c) {
            self.end_word();
            self.word.push(c, source);
            self.end_word();
        } else {
            self.word.push(c, source);
        }
    }

    /// Hands on the word that is under way; to be called at the end of a text.
    pub fn end_word(&mut self) {
        if !self.word.text.is_empty() {
            (self.use_word)(&self.word);
            self.word.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, (usize, usize))> {
        let mut words = Vec::new();
        let mut splitter = WordSplitter::new(|word: &Word| {
            assert_eq!(word.chars, word.text.chars().count());
            words.push((word.text.clone(), word.offsets(0, word.text.len())));
        });
        text.chars().enumerate().for_each(|(source, c)| splitter.push(c, source));
        splitter.end_word();
        words
    }

    #[test]
    fn splits_at_whitespace_and_around_punctuation() {
        let expected = [("it", (1, 3)), ("'", (3, 4)), ("s", (4, 5)), ("$", (6, 7)), ("5", (7, 8))];
        let expected = expected.map(|(word, offsets)| (word.to_string(), offsets));
        assert_eq!(words(" it's\n$5 "), expected);
        assert_eq!(words("¿qué?").len(), 3);
    }

    #[test]
    fn text_without_words() {
        assert!(words("").is_empty());
        assert!(words(" \t\u{2003}").is_empty());
    }

    #[test]
    fn symbols_and_digits_stay_in_words() {
        assert_eq!(words("5€ a°b")[0].0, "5€");
        assert_eq!(words("5€ a°b").len(), 2);
    }
}
