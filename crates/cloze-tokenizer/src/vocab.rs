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

/// More lines than any vocabulary has. Empty lines would take far more memory than file.
const TOKENS_MAX: usize = 1 << 22;

/// Reads a vocabulary of one token a line, the line number being the id. Lines are stripped at
/// their end only: a token may begin with a space.
pub(crate) fn parse_vocab_txt(path: &Path, bytes: &[u8]) -> Result<Vec<String>, Error> {
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
