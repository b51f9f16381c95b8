//! The same questions, answered as Python 3.11 does, with Unicode 14; another version of Python has other tables.

use super::python_tables as tables;
use super::{compare, in_ranges};

/// Characters that Google's cleaning drops: categories Cc and Cf, though tab, newline and return count as whitespace.
pub(crate) fn is_control(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r') && super::is_control(c) != in_ranges(tables::CHANGED_CONTROL, c)
}

/// A character that stands alone as a token: every ASCII sign that is not a letter, digit, space or control character,
/// and categories P*.
pub(crate) fn is_punctuation(c: char) -> bool {
    super::is_punctuation(c) != in_ranges(tables::CHANGED_PUNCTUATION, c)
}

/// An accent that is dropped: category Mn.
pub(crate) fn is_nonspacing_mark(c: char) -> bool {
    super::is_nonspacing_mark(c) != in_ranges(tables::CHANGED_NONSPACING_MARK, c)
}

/// A Chinese character, which becomes a word of its own.
pub(crate) fn is_chinese(c: char) -> bool {
    // Hugging Face's table has a gap.
    super::is_chinese(c) || matches!(c, '\u{2B820}'..='\u{2B91F}')
}

/// The order of a combining mark behind its base character; 0 for every other character.
pub(crate) fn combining_class(c: char) -> u8 {
    match tables::LATER_COMBINING_CLASS.binary_search_by(|&(first, last, _)| compare(first, last, c)) {
        Ok(found) if !c.is_ascii() => tables::LATER_COMBINING_CLASS[found].2,
        _ => super::combining_class(c),
    }
}

/// Calls `emit` with each character of the full canonical decomposition of `c`, in order; with `c` itself where it has
/// none.
pub(crate) fn decompose(c: char, emit: impl FnMut(char)) {
    match tables::LATER_DECOMPOSITION.iter().find(|entry| entry.0 == c) {
        Some(entry) => entry.1.chars().for_each(emit),
        None => super::decompose(c, emit),
    }
}

/// Calls `emit` with each character of `word` in lower case and the number of the one it came from, from 0. A sigma at
/// the end of a word is ς.
pub(crate) fn lower(word: impl Iterator<Item = char> + Clone, mut emit: impl FnMut(char, usize)) {
    // Whether a sigma ends a word is asked of the whole word; no other character becomes one.
    let lowered = match word.clone().any(|c| c == 'Σ') {
        true => word.clone().map(with_known_case).collect::<String>().to_lowercase(),
        false => String::new(),
    };
    let mut sigmas = lowered.chars().filter(|&c| is_sigma(c));
    for (at, c) in word.enumerate() {
        if c.is_ascii() {
            emit(c.to_ascii_lowercase(), at);
        } else if is_sigma(c) {
            emit(sigmas.next().unwrap_or(c), at);
        } else if in_ranges(tables::UNASSIGNED, c) {
            emit(c, at);
        } else {
            c.to_lowercase().for_each(|lower| emit(lower, at));
        }
    }
}

fn is_sigma(c: char) -> bool {
    matches!(c, 'Σ' | 'σ' | 'ς')
}

/// A character for `c` that Rust sees as Python 3.11 sees `c` where it asks whether a sigma ends a word: whether it has
/// case, and whether it is passed over.
fn with_known_case(c: char) -> char {
    match c {
        // A small letter until Unicode 16.
        '\u{295}' => 'a',
        // A nonspacing mark until Unicode 16.
        '\u{1171E}' => '\u{301}',
        _ if in_ranges(tables::UNASSIGNED, c) => '0',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(word: &str) -> String {
        let mut lowered = String::new();
        lower(word.chars(), |c, _| lowered.push(c));
        lowered
    }

    /// What `word.lower()` is in Python 3.11.2.
    #[test]
    fn lower_case_is_pythons() {
        for (word, expected) in [
            ("ΟΔΟΣ", "οδος"),
            ("ΣΑΣ.ΣΣ", "σασ.σς"),
            ("Σ", "σ"),
            ("σΣςΣ", "σσςς"),
            ("ΑΣ\u{301}", "ας\u{301}"),
            ("ΑΣ'Α", "ασ'α"),
            ("İΣ", "i\u{307}ς"),
            ("\u{295}Σ", "\u{295}ς"),
            ("A\u{1171E}Σ", "a\u{1171E}ς"),
            ("Α\u{1C89}Σ", "α\u{1C89}σ"),
            ("\u{A7CB}\u{10D50}", "\u{A7CB}\u{10D50}"),
        ] {
            assert_eq!(lowered(word), expected, "{word:?}");
        }
    }

    #[test]
    fn tables_are_sorted() {
        for ranges in
            [tables::CHANGED_CONTROL, tables::CHANGED_PUNCTUATION, tables::CHANGED_NONSPACING_MARK, tables::UNASSIGNED]
        {
            assert!(ranges.iter().all(|&(first, last)| first <= last));
            assert!(ranges.windows(2).all(|w| w[0].1 < w[1].0));
        }
        assert!(tables::LATER_COMBINING_CLASS.windows(2).all(|w| w[0].1 < w[1].0));
    }

    #[test]
    fn later_characters_are_known() {
        assert!(is_punctuation('\u{2E52}') && !super::super::is_punctuation('\u{2E52}'));
        assert!(!is_control('\u{E000}') && is_control('\u{110CD}'));
        assert!(is_chinese('\u{2B820}') && !is_chinese('\u{2CEB0}'));
        assert!(is_nonspacing_mark('\u{1DF6}') && combining_class('\u{16FF0}') == 6);
        let mut parts = String::new();
        decompose('\u{11938}', |c| parts.push(c));
        assert_eq!(parts, "\u{11935}\u{11930}");
    }
}
