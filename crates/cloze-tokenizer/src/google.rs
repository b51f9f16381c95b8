//! From a text to its words by the rules of Google BERT's `tokenization.py`, which differ from Hugging Face's in some
//! points: special tokens are split like any text, a sigma at the end of a word is ς, lower-casing comes before accents,
//! and the tables of characters are Python's.

use crate::pre_tokenize::{Word, WordSplitter};
use crate::unicode::python;

/// A longer word is unknown as a whole.
pub(crate) const MAX_INPUT_CHARS_PER_WORD: usize = 200;

/// Calls `use_word` with every word of `text`, `first` being the index of the first character. Returns the index after
/// the last one.
pub(crate) fn for_each_word(text: &str, first: usize, lowercase: bool, use_word: impl FnMut(&Word)) -> usize {
    let mut splitter = WordSplitter::new(use_word);
    // A token between whitespace, of which each character has its own source.
    let mut token: Vec<(char, usize)> = Vec::new();
    let mut source = first;
    for c in text.chars() {
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            split_token(&mut token, lowercase, &mut splitter);
        } else if matches!(c, '!'..='~') {
            token.push((c, source));
        } else if matches!(c, '\0' | '\u{FFFD}') || python::is_control(c) {
            // Dropped: what stands on both sides of it stands together.
        } else if c.is_whitespace() {
            split_token(&mut token, lowercase, &mut splitter);
        } else if python::is_chinese(c) {
            split_token(&mut token, lowercase, &mut splitter);
            token.push((c, source));
            split_token(&mut token, lowercase, &mut splitter);
        } else {
            token.push((c, source));
        }
        source += 1;
    }
    split_token(&mut token, lowercase, &mut splitter);
    source
}

/// Lower-cases a token and drops its accents, splits it around punctuation, and clears it.
fn split_token(token: &mut Vec<(char, usize)>, lowercase: bool, splitter: &mut WordSplitter<impl FnMut(&Word)>) {
    if lowercase && !token.iter().all(|(c, _)| c.is_ascii()) {
        *token = without_accents(token);
    } else if lowercase {
        token.iter_mut().for_each(|(c, _)| c.make_ascii_lowercase());
    }
    for (c, source) in token.drain(..) {
        if python::is_punctuation(c) {
            splitter.push_alone(c, source);
        } else {
            splitter.extend(c, source);
        }
    }
    splitter.end_word();
}

/// Lower case, then the canonical decomposition (NFD) without nonspacing marks.
fn without_accents(token: &[(char, usize)]) -> Vec<(char, usize)> {
    let mut decomposed = Vec::new();
    python::lower(token.iter().map(|&(c, _)| c), |lower, at| {
        python::decompose(lower, |c| decomposed.push((c, token[at].1)));
    });
    // Marks in a row are put in order; those of one class stay as they are.
    for marks in
        decomposed.chunk_by_mut(|&(a, _), &(b, _)| python::combining_class(a) != 0 && python::combining_class(b) != 0)
    {
        marks.sort_by_key(|&(c, _)| python::combining_class(c));
    }
    decomposed.retain(|&(c, _)| !python::is_nonspacing_mark(c));
    decomposed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words with the places of their first and last characters.
    fn words(text: &str, lowercase: bool) -> Vec<(String, (usize, usize))> {
        let mut words = Vec::new();
        let end = for_each_word(text, 0, lowercase, |word| {
            assert_eq!(word.chars, word.text.chars().count());
            words.push((word.text.to_string(), word.offsets(0, word.text.len())));
        });
        assert_eq!(end, text.chars().count());
        words
    }

    #[test]
    fn words_have_the_places_of_the_text() {
        let word = |text: &str, first, last| (text.to_string(), (first, last));
        assert_eq!(
            words("É\u{301}é\0A, 博x", true),
            [word("eea", 0, 5), word(",", 5, 6), word("博", 7, 8), word("x", 8, 9)]
        );
        assert_eq!(words("[MASK]", true), [word("[", 0, 1), word("mask", 1, 5), word("]", 5, 6)]);
        assert_eq!(words("É\u{301}", false), [word("É\u{301}", 0, 2)]);
        assert_eq!(words("\u{301} \u{2028}\u{3000}", true), []);
        // Sources of characters that change places are those of the text.
        assert_eq!(words("a\u{302F}\u{1D165}b", true), [word("a\u{1D165}\u{302F}b", 0, 4)]);
    }
}
