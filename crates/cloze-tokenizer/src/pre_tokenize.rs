//! Splitting normalized text into words: at whitespace, and around every punctuation character.

use crate::unicode;

/// One word of the normalized text; never empty.
pub(crate) struct Word<'a> {
    pub text: &'a str,
    /// Characters in `text`.
    pub chars: usize,
    pub sources: Sources<'a>,
}

/// Where the bytes of a word came from, as indices of original characters.
pub(crate) enum Sources<'a> {
    /// One after the other from this one on.
    From(usize),
    /// For each byte its own.
    Each(&'a [usize]),
}

impl Word<'_> {
    /// The range of original characters behind the bytes from `start` to `end` (exclusive).
    pub fn offsets(&self, start: usize, end: usize) -> (usize, usize) {
        match self.sources {
            Sources::From(first) => (first + start, first + end),
            Sources::Each(sources) => (sources[start], sources[end - 1] + 1),
        }
    }
}

/// Collects characters until a word is complete, then hands it to `use_word`.
pub(crate) struct WordSplitter<F: FnMut(&Word)> {
    text: String,
    /// For each byte of `text`, the index of the original character.
    sources: Vec<usize>,
    chars: usize,
    use_word: F,
}

impl<F: FnMut(&Word)> WordSplitter<F> {
    pub fn new(use_word: F) -> Self {
        WordSplitter { text: String::new(), sources: Vec::new(), chars: 0, use_word }
    }

    /// Takes the next normalized character, which came from the original character `source`.
    pub fn push(&mut self, c: char, source: usize) {
        if c.is_ascii_alphanumeric() {
            self.extend(c, source);
        } else if c.is_whitespace() {
            self.end_word();
        } else if unicode::is_punctuation(c) {
            self.push_alone(c, source);
        } else {
            self.extend(c, source);
        }
    }

    /// Takes a character that is a word of its own.
    pub fn push_alone(&mut self, c: char, source: usize) {
        self.end_word();
        self.extend(c, source);
        self.end_word();
    }

    /// Takes a character that belongs to the word under way.
    pub fn extend(&mut self, c: char, source: usize) {
        self.text.push(c);
        self.sources.resize(self.text.len(), source);
        self.chars += 1;
    }

    /// Hands on the word that is under way; to be called at the end of a text.
    pub fn end_word(&mut self) {
        if !self.text.is_empty() {
            (self.use_word)(&Word { text: &self.text, chars: self.chars, sources: Sources::Each(&self.sources) });
            self.text.clear();
            self.sources.clear();
            self.chars = 0;
        }
    }

    /// Hands on a word that is complete already. None may be under way.
    pub fn push_word(&mut self, word: &Word) {
        debug_assert!(self.text.is_empty(), "{:?} is under way", self.text);
        (self.use_word)(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, (usize, usize))> {
        let mut words = Vec::new();
        let mut splitter = WordSplitter::new(|word: &Word| {
            assert_eq!(word.chars, word.text.chars().count());
            words.push((word.text.to_string(), word.offsets(0, word.text.len())));
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
