//! The list of tokens in id order, and its plain-text form.

use std::path::Path;

use crate::error::Error;
use crate::trie::Trie;

pub(crate) const PAD: &str = "[PAD]";
pub(crate) const UNK: &str = "[UNK]";
pub(crate) const CLS: &str = "[CLS]";
pub(crate) const SEP: &str = "[SEP]";
pub(crate) const MASK: &str = "[MASK]";

/// The special tokens in the order in which a new vocabulary begins with them.
pub(crate) const SPECIAL_TOKENS: [&str; 5] = [PAD, UNK, CLS, SEP, MASK];

/// The ids of the tokens that BERT gives a meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpecialIds {
    /// `[PAD]`, which fills up short rows where somebody wants equal lengths.
    pub pad: u32,
    /// `[UNK]`, a word that no pieces make up.
    pub unk: u32,
    /// `[CLS]`, the first token of every input.
    pub cls: u32,
    /// `[SEP]`, the end of each text.
    pub sep: u32,
    /// `[MASK]`, a token to be guessed.
    pub mask: u32,
}

impl SpecialIds {
    /// Looks the special tokens up. `origin` says in the error whose tokens these are.
    pub(crate) fn find(tokens: &Trie, origin: &str) -> Result<SpecialIds, Error> {
        let find =
            |token| tokens.get(token).ok_or_else(|| Error::MissingSpecialToken { origin: origin.to_string(), token });
        Ok(SpecialIds { pad: find(PAD)?, unk: find(UNK)?, cls: find(CLS)?, sep: find(SEP)?, mask: find(MASK)? })
    }
}

/// More lines than any vocabulary has; the largest have half as many. Empty lines would take far more memory than file.
pub(crate) const TOKENS_MAX: usize = 1 << 20;

/// Longer than all tokens of any vocabulary together: a trie takes some twenty times as much memory.
const VOCABULARY_BYTES_MAX: usize = 8 << 20;

/// Longer than any token: a word has at most 100 characters. Each search in a text may go astray for as long as a token.
const TOKEN_BYTES_MAX: usize = 512;

/// Refuses tokens that would take more time or memory than any vocabulary needs.
pub(crate) fn check_sizes<'t>(tokens: impl Iterator<Item = &'t str>, origin: &str) -> Result<(), Error> {
    let mut in_all = 0;
    for (id, token) in tokens.enumerate() {
        in_all += token.len();
        if token.len() > TOKEN_BYTES_MAX {
            let start = token.chars().take(20).collect();
            let origin = origin.to_string();
            return Err(Error::TokenTooLong { origin, id, start, bytes: token.len(), bytes_max: TOKEN_BYTES_MAX });
        }
    }
    if in_all > VOCABULARY_BYTES_MAX {
        let origin = origin.to_string();
        return Err(Error::VocabularyTooLong { origin, bytes: in_all, bytes_max: VOCABULARY_BYTES_MAX });
    }
    Ok(())
}

/// Reads a vocabulary of one token a line, the line number being the id. Lines are stripped at
/// their end only: a token may begin with a space. A byte-order mark is skipped.
pub(crate) fn parse_vocab_txt(path: &Path, bytes: &[u8]) -> Result<Vec<String>, Error> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Error::NotUtf8 { path: path.to_path_buf(), line }
    })?;
    if text.lines().nth(TOKENS_MAX).is_some() {
        return Err(Error::TooManyTokens { path: path.to_path_buf(), tokens_max: TOKENS_MAX });
    }
    Ok(text.lines().map(|line| line.trim_end().to_string()).collect())
}

/// One in so many words of a cased vocabulary has a letter in upper case, at least. In Google's it is one in three, and
/// one in four where there are many languages.
const UPPER_SHARE: usize = 20;

/// Words with upper-case letters in a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpperCase {
    /// Words with a letter that has two cases.
    words: usize,
    /// How many of them have one in upper case.
    upper: usize,
    /// One of these.
    pub example: String,
}

impl UpperCase {
    /// Counts the words of a vocabulary, without tokens in brackets, which are no words.
    pub fn of(tokens: &[String]) -> UpperCase {
        let mut found = UpperCase { words: 0, upper: 0, example: String::new() };
        for token in tokens {
            let is_bracketed =
                [('[', ']'), ('<', '>')].iter().any(|&(a, b)| token.starts_with(a) && token.ends_with(b));
            let is_upper = |c: char| !c.to_lowercase().eq([c]);
            let is_lower = |c: char| !c.to_uppercase().eq([c]);
            if is_bracketed || !token.chars().any(|c| is_upper(c) || is_lower(c)) {
                continue;
            }
            found.words += 1;
            if token.chars().any(is_upper) {
                found.upper += 1;
                // A longer word shows better what is meant.
                if found.example.len() < 3 {
                    found.example = token.clone();
                }
            }
        }
        found
    }

    /// True if the model must be cased: lower-casing would make these tokens useless. An uncased vocabulary has none,
    /// or very few that somebody added.
    pub fn is_cased(&self) -> bool {
        self.upper * UPPER_SHARE >= self.words.max(1)
    }
}

pub(crate) fn format_vocab_txt(tokens: &[String]) -> String {
    let mut text = String::with_capacity(tokens.iter().map(|token| token.len() + 1).sum());
    for token in tokens {
        text.push_str(token);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<String> {
        parse_vocab_txt(Path::new("vocab.txt"), text.as_bytes()).unwrap()
    }

    #[test]
    fn lines_are_stripped_at_their_end_only() {
        assert_eq!(parse("a \r\n b\n\nc\u{3000}\nd"), ["a", " b", "", "c", "d"]);
        assert_eq!(parse("a\n"), ["a"]);
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(parse("\u{FEFF}[PAD]\nx\n"), ["[PAD]", "x"]);
    }

    #[test]
    fn a_cased_vocabulary_is_known_by_its_words() {
        let is_cased = |text: &str| UpperCase::of(&parse(text)).is_cased();
        assert!(is_cased("[PAD]\nThe\nthe\n##ing"));
        assert!(is_cased("[PAD]\nÉcole"));
        for text in ["[PAD]\n[UNK]\nthe\n##ing\nß\n", "<S>\n[Q]\nthe\n中\n1", "", "[UNK]\n,\n中"] {
            assert!(!is_cased(text), "{text:?}");
        }
        assert!(!is_cased(&format!("NASA\n{}", "a\n".repeat(20))) && is_cased(&format!("NASA\n{}", "a\n".repeat(19))));
        assert_eq!(UpperCase::of(&parse("A\nB\nThe\nOther")).example, "The");
    }

    #[test]
    fn tokens_without_end_are_refused() {
        let long = "é".repeat(257);
        let error = check_sizes(["a", &long].into_iter(), "v.txt").unwrap_err().to_string();
        assert!(error.starts_with("v.txt: token 1 (\"éé") && error.contains("514 bytes"), "{error}");
        assert!(check_sizes([&long[..512]].into_iter(), "v.txt").is_ok());
        let many = std::iter::repeat_n(&long[..512], (16 << 10) + 1);
        assert!(matches!(check_sizes(many, "v.txt"), Err(Error::VocabularyTooLong { .. })));
    }

    #[test]
    fn round_trip() {
        let tokens = parse("[PAD]\n##é\n\nx\n");
        assert_eq!(parse(&format_vocab_txt(&tokens)), tokens);
    }

    #[test]
    fn lines_without_end_are_refused() {
        let error = parse_vocab_txt(Path::new("v.txt"), &vec![b'\n'; TOKENS_MAX + 1]).unwrap_err();
        assert!(matches!(error, Error::TooManyTokens { .. }));
    }

    #[test]
    fn bad_bytes_are_found_by_line() {
        let error = parse_vocab_txt(Path::new("v.txt"), b"a\nb\n\xFFc\n").unwrap_err();
        assert_eq!(error.to_string(), "v.txt: line 3 is not UTF-8; convert the file to UTF-8");
    }
}
