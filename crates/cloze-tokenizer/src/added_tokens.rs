//! Tokens that are recognised verbatim in a text: the special tokens, and what users added.

use std::ops::Range;

use crate::normalize::Normalizer;
use crate::trie::Trie;

/// A token that is found in the text before it is split into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedToken {
    /// Its id.
    pub id: u32,
    /// How it is written.
    pub content: String,
    /// It is found only where no letter, digit or underscore stands right before or behind it.
    pub single_word: bool,
    /// It swallows the whitespace before it.
    pub lstrip: bool,
    /// It swallows the whitespace behind it.
    pub rstrip: bool,
    /// It is looked for in the normalized text, itself normalized, and not in the text as given.
    pub normalized: bool,
    /// It is not text: decoding can leave it out.
    pub special: bool,
}

impl AddedToken {
    /// A special token as BERT has them.
    pub(crate) fn special(id: u32, content: &str) -> AddedToken {
        AddedToken {
            id,
            content: content.to_string(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        }
    }
}

/// The added tokens of a tokenizer, ready to be looked for.
#[derive(Clone, Debug)]
pub(crate) struct AddedTokens {
    tokens: Vec<AddedToken>,
    /// Those that are looked for in the text as given.
    verbatim: Matcher,
    /// Those that are looked for in the normalized text.
    normalized: Matcher,
}

impl AddedTokens {
    pub fn new(tokens: Vec<AddedToken>, normalizer: Normalizer) -> AddedTokens {
        let matcher = |normalized| {
            let chosen = tokens.iter().zip(0..).filter(|(token, _)| token.normalized == normalized);
            let written = chosen.map(|(token, index)| match normalized {
                true => (normalizer.normalize_string(&token.content), index),
                false => (token.content.clone(), index),
            });
            Matcher::new(&written.collect::<Vec<_>>())
        };
        AddedTokens { verbatim: matcher(false), normalized: matcher(true), tokens }
    }

    pub fn as_slice(&self) -> &[AddedToken] {
        &self.tokens
    }

    /// Cuts `text` into parts: added tokens, and what lies between them.
    pub fn split_verbatim<'t>(&self, text: &'t str) -> Parts<'_, 't> {
        self.split(&self.verbatim, text)
    }

    /// The same for text that is normalized.
    pub fn split_normalized<'t>(&self, text: &'t str) -> Parts<'_, 't> {
        self.split(&self.normalized, text)
    }

    /// Whether normalized text has to be looked through at all.
    pub fn any_normalized(&self) -> bool {
        !self.normalized.is_empty()
    }

    fn split<'a, 't>(&'a self, matcher: &'a Matcher, text: &'t str) -> Parts<'a, 't> {
        Parts { tokens: &self.tokens, matcher, text, searched: 0, given: 0, ready: None }
    }
}

/// A part of a text, as a range of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Range<usize>),
    Token(u32, Range<usize>),
}

/// Iterator over the parts of a text; none of them is empty.
///
/// A token that swallows whitespace may reach into the next one, if that begins with whitespace itself. Both are
/// parts then, and the second begins before the first ends. The text goes on behind the second.
pub(crate) struct Parts<'a, 't> {
    tokens: &'a [AddedToken],
    matcher: &'a Matcher,
    text: &'t str,
    /// Where the next search begins: behind the last match itself.
    searched: usize,
    /// The end of the last part given: behind the whitespace that the last match swallowed.
    given: usize,
    ready: Option<Part>,
}

impl Iterator for Parts<'_, '_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if let Some(part) = self.ready.take() {
            return Some(part);
        }
        while let Some((index, found)) = self.matcher.find(self.text, self.searched) {
            self.searched = found.end;
            let token = &self.tokens[index as usize];
            if token.single_word && !stands_alone(self.text, &found) {
                continue;
            }
            let mut start = found.start;
            let mut end = found.end;
            if token.lstrip {
                // Whitespace that the token before has swallowed is not swallowed again.
                start = self.text[..start].trim_end().len().max(self.given);
            }
            if token.rstrip {
                let rest = &self.text[end..];
                end += rest.len() - rest.trim_start().len();
            }
            if start >= end {
                // The token before has swallowed all of this one. Hugging Face's tokenizers leaves it out, or panics.
                continue;
            }
            let before = self.given..start;
            self.given = end;
            let part = Part::Token(token.id, start..end);
            if before.is_empty() {
                return Some(part);
            }
            self.ready = Some(part);
            return Some(Part::Text(before));
        }
        let rest = self.given..self.text.len();
        self.given = rest.end;
        self.searched = rest.end;
        (!rest.is_empty()).then_some(Part::Text(rest))
    }
}

/// True if no character of a word stands right before or behind `found`.
fn stands_alone(text: &str, found: &Range<usize>) -> bool {
    let before = text[..found.start].chars().next_back();
    let behind = text[found.end..].chars().next();
    !before.into_iter().chain(behind).any(regex_syntax::is_word_character)
}

/// Finds any of some strings: the leftmost, and of those the longest.
#[derive(Clone, Debug)]
struct Matcher {
    trie: Trie,
    begins: Box<[bool; 256]>,
}

impl Matcher {
    fn new(strings: &[(String, u32)]) -> Matcher {
        let trie = Trie::new(strings.iter().map(|(string, index)| (string.as_str(), *index)));
        let mut begins = Box::new([false; 256]);
        trie.first_bytes().for_each(|byte| begins[byte as usize] = true);
        Matcher { trie, begins }
    }

    fn is_empty(&self) -> bool {
        self.trie.first_bytes().next().is_none()
    }

    fn find(&self, text: &str, from: usize) -> Option<(u32, Range<usize>)> {
        let bytes = text.as_bytes();
        let mut at = from;
        while let Some(skip) = bytes[at..].iter().position(|&byte| self.begins[byte as usize]) {
            at += skip;
            if let Some((index, len)) = self.trie.longest_prefix(Trie::ROOT, &bytes[at..]) {
                return Some((index, at..at + len));
            }
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::Casing;

    fn added(tokens: &[AddedToken]) -> AddedTokens {
        AddedTokens::new(tokens.to_vec(), Normalizer::new(Casing::Uncased))
    }

    fn parts(added: &AddedTokens, text: &str) -> Vec<(Option<u32>, String)> {
        let part = |part| match part {
            Part::Text(range) => (None, text[range].to_string()),
            Part::Token(id, range) => (Some(id), text[range].to_string()),
        };
        added.split_verbatim(text).map(part).collect()
    }

    #[test]
    fn special_tokens_are_found_wherever_they_stand() {
        let added = added(&[AddedToken::special(2, "[CLS]"), AddedToken::special(4, "[MASK]")]);
        let found = parts(&added, "a[MASK]b [mask] [MASK[CLS]");
        let expected = [(None, "a"), (Some(4), "[MASK]"), (None, "b [mask] [MASK"), (Some(2), "[CLS]")];
        assert_eq!(found, expected.map(|(id, text)| (id, text.to_string())));
        assert!(parts(&added, "").is_empty());
    }

    #[test]
    fn the_longest_token_wins() {
        let added = added(&[AddedToken::special(0, "<e"), AddedToken::special(1, "<e>")]);
        assert_eq!(parts(&added, "<e>")[0].0, Some(1));
        assert_eq!(parts(&added, "<e<e>").len(), 2);
    }

    #[test]
    fn whitespace_is_swallowed_where_the_token_says_so() {
        let left = AddedToken { lstrip: true, ..AddedToken::special(0, "<l>") };
        let right = AddedToken { rstrip: true, ..AddedToken::special(1, "<r>") };
        let found = parts(&added(&[left, right]), "a \t<l> b <r> \n <l> c");
        let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a", " \t<l>", " b ", "<r> \n ", "<l>", " c"]);
    }

    #[test]
    fn whitespace_of_two_tokens_belongs_to_both() {
        let first = AddedToken { rstrip: true, ..AddedToken::special(0, "xa") };
        let second = AddedToken::special(1, " xb");
        let ranges = |added: &AddedTokens, text| added.split_verbatim(text).collect::<Vec<_>>();
        assert_eq!(ranges(&added(&[first.clone(), second]), "xa xb"), [Part::Token(0, 0..3), Part::Token(1, 2..5)]);
        // What the second swallows begins where the first ended.
        let strips = AddedToken { lstrip: true, ..AddedToken::special(1, "  b") };
        assert_eq!(ranges(&added(&[first.clone(), strips]), "xa  b"), [Part::Token(0, 0..4), Part::Token(1, 4..5)]);
        // Nothing is left of the second, with one space or with two.
        let space = AddedToken { lstrip: true, ..AddedToken::special(1, " ") };
        let both = added(&[first.clone(), space.clone()]);
        assert_eq!(ranges(&both, "xa b"), [Part::Token(0, 0..3), Part::Text(3..4)]);
        assert_eq!(ranges(&both, "xa  b"), [Part::Token(0, 0..4), Part::Text(4..5)]);
        let plain = added(&[first, AddedToken { lstrip: false, ..space }]);
        let expected = [Part::Token(0, 0..4), Part::Token(1, 2..3), Part::Token(1, 3..4), Part::Text(4..5)];
        assert_eq!(ranges(&plain, "xa  b"), expected);
    }

    #[test]
    fn single_words_are_found_between_other_characters_only() {
        let token = AddedToken { single_word: true, ..AddedToken::special(3, "ab") };
        let found =
            |text| parts(&added(std::slice::from_ref(&token)), text).iter().filter(|(id, _)| id.is_some()).count();
        for (text, count) in [("ab", 1), (" ab,ab", 2), ("(ab)", 1), ("²ab", 1), ("ab cab abc ab", 2)] {
            assert_eq!(found(text), count, "{text:?}");
        }
        for text in ["ab1", "_ab", "éab", "ab\u{301}", "ab\u{200D}", "中ab", "ab\u{663}"] {
            assert_eq!(found(text), 0, "{text:?}");
        }
    }

    #[test]
    fn normalized_tokens_are_looked_for_normalized() {
        let token = AddedToken { normalized: true, ..AddedToken::special(7, "Émile") };
        let added = added(&[token]);
        assert!(added.any_normalized());
        assert_eq!(added.split_verbatim("Émile").next(), Some(Part::Text(0..6)));
        assert_eq!(added.split_normalized("an emile").nth(1), Some(Part::Token(7, 3..8)));
    }
}
