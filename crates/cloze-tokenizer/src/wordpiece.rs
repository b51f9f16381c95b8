//! WordPiece: a word becomes the longest known pieces, from left to right.

use crate::trie::{Node, Trie};

/// The pieces of a vocabulary, and how they are put to a word.
#[derive(Clone, Debug)]
pub(crate) struct WordPiece {
    pieces: Trie,
    /// Where pieces inside a word begin: behind their prefix. `None` if the vocabulary has no such
    /// pieces.
    continuing: Option<Node>,
    unk: u32,
    /// What marks a piece that does not begin a word; `##`.
    pub continuing_subword_prefix: String,
    /// A longer word is unknown as a whole.
    pub max_input_chars_per_word: usize,
}

pub(crate) const CONTINUING_SUBWORD_PREFIX: &str = "##";
pub(crate) const MAX_INPUT_CHARS_PER_WORD: usize = 100;

/// A piece of a word: id, and first and last (exclusive) byte in the word.
pub(crate) type Piece = (u32, usize, usize);

impl WordPiece {
    /// `pieces` maps each token to its id; `unk` is the id of a word that cannot be put together.
    pub fn new(pieces: Trie, unk: u32) -> WordPiece {
        WordPiece {
            continuing: pieces.walk(Trie::ROOT, CONTINUING_SUBWORD_PREFIX),
            pieces,
            unk,
            continuing_subword_prefix: CONTINUING_SUBWORD_PREFIX.to_string(),
            max_input_chars_per_word: MAX_INPUT_CHARS_PER_WORD,
        }
    }

    /// The same pieces with another prefix or limit.
    pub fn with(self, prefix: String, max_input_chars_per_word: usize) -> WordPiece {
        WordPiece {
            continuing: self.pieces.walk(Trie::ROOT, &prefix),
            continuing_subword_prefix: prefix,
            max_input_chars_per_word,
            ..self
        }
    }

    /// The id of a token spelled exactly like this.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.pieces.get(token)
    }

    /// Appends the pieces of `word`, which has `chars` characters, to `out`.
    ///
    /// A word that is too long, or of which any part is unknown, becomes one `[UNK]`.
    pub fn split(&self, word: &str, chars: usize, out: &mut Vec<Piece>) {
        let before = out.len();
        if chars > self.max_input_chars_per_word || self.split_known(word, out).is_none() {
            out.truncate(before);
            out.push((self.unk, 0, word.len()));
        }
    }

    fn split_known(&self, word: &str, out: &mut Vec<Piece>) -> Option<()> {
        let bytes = word.as_bytes();
        let (id, mut start) = self.pieces.longest_prefix(Trie::ROOT, bytes)?;
        out.push((id, 0, start));
        while start < bytes.len() {
            // Both pieces and word are UTF-8, so a piece ends where a character does.
            let (id, len) = self.pieces.longest_prefix(self.continuing?, &bytes[start..])?;
            out.push((id, start, start + len));
            start += len;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCAB: &[&str] = &["[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", "é"];

    fn split(word: &str) -> Vec<(&'static str, usize, usize)> {
        let wordpiece = WordPiece::new(Trie::new(VOCAB.iter().copied().zip(0..)), 0);
        let mut pieces = Vec::new();
        wordpiece.split(word, word.chars().count(), &mut pieces);
        pieces.into_iter().map(|(id, start, end)| (VOCAB[id as usize], start, end)).collect()
    }

    #[test]
    fn longest_match_first() {
        assert_eq!(split("unwanted"), [("un", 0, 2), ("##want", 2, 6), ("##ed", 6, 8)]);
        assert_eq!(split("want"), [("want", 0, 4)]);
        assert_eq!(split("running"), [("runn", 0, 4), ("##ing", 4, 7)]);
        assert_eq!(split("éing"), [("é", 0, 2), ("##ing", 2, 5)]);
    }

    #[test]
    fn greedy_does_not_look_back() {
        // `wa` + `##nted` cannot be, though `want` + `##ed` can; `wanx` finds no end.
        assert_eq!(split("wanted"), [("want", 0, 4), ("##ed", 4, 6)]);
        assert_eq!(split("wanx"), [("[UNK]", 0, 4)]);
    }

    #[test]
    fn one_unknown_piece_makes_the_whole_word_unknown() {
        assert_eq!(split("unwantedX"), [("[UNK]", 0, 9)]);
        assert_eq!(split("Xwanted"), [("[UNK]", 0, 7)]);
    }

    #[test]
    fn words_are_limited_to_100_characters() {
        let limit = "un".to_string() + &"ing".repeat(32) + "ed";
        assert_eq!(limit.len(), 100);
        assert_eq!(split(&limit).len(), 34);
        assert_eq!(split(&(limit + "ed")), [("[UNK]", 0, 102)]);
    }

    #[test]
    fn another_prefix_or_none() {
        let pieces = Trie::new([("ab", 0), ("_c", 1), ("c", 2)]);
        let mut out = Vec::new();
        let wordpiece = WordPiece::new(pieces, 9);
        wordpiece.split("abc", 3, &mut out);
        wordpiece.clone().with("_".into(), 100).split("abc", 3, &mut out);
        wordpiece.with(String::new(), 100).split("abc", 3, &mut out);
        assert_eq!(out, [(9, 0, 3), (0, 0, 2), (1, 2, 3), (0, 0, 2), (2, 2, 3)]);
    }
}
