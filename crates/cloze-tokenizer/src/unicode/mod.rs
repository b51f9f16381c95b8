//! What the tokenizer asks about a single character.
//!
//! Categories, decompositions and combining classes are those of the old Unicode versions that
//! Hugging Face's normalizer is built with (see [`tables`]); a newer table would give other ids.
//! Whitespace and lower case are the standard library's, as there.

pub(crate) mod python;
mod python_tables;
mod tables;

use std::cmp::Ordering;

/// A character that cleaning drops: categories Cc, Cf and Co, though tab, newline and return count
/// as whitespace.
pub(crate) fn is_control(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r') && in_ranges(tables::CONTROL, c)
}

/// A character that stands alone as a token: every ASCII sign that is not a letter, digit, space
/// or control character, even one like `$` or `~` that Unicode calls a symbol, and categories P*.
pub(crate) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() } else { in_ranges(tables::PUNCTUATION, c) }
}

/// An accent that is dropped: category Mn.
pub(crate) fn is_nonspacing_mark(c: char) -> bool {
    c >= FIRST_COMBINING && in_ranges(tables::NONSPACING_MARK, c)
}

/// A Chinese character, which becomes a word of its own. Hangul, Hiragana and Katakana are not
/// among them. The gap from U+2B820 to U+2B91F is Hugging Face's.
pub fn is_chinese(c: char) -> bool {
    matches!(
        c,
        '\u{4E00}'..='\u{9FFF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{20000}'..='\u{2A6DF}'
            | '\u{2A700}'..='\u{2B73F}'
            | '\u{2B740}'..='\u{2B81F}'
            | '\u{2B920}'..='\u{2CEAF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{2F800}'..='\u{2FA1F}'
    )
}

/// The order of a combining mark behind its base character; 0 for every other character.
pub(crate) fn combining_class(c: char) -> u8 {
    if c < FIRST_COMBINING {
        return 0;
    }
    let found = tables::COMBINING_CLASS.binary_search_by(|&(a, b, _)| compare(a, b, c));
    found.map_or(0, |i| tables::COMBINING_CLASS[i].2)
}

/// Calls `emit` with each character of the full canonical decomposition of `c`, in order; with `c`
/// itself where it has none.
pub(crate) fn decompose(c: char, mut emit: impl FnMut(char)) {
    if c < FIRST_DECOMPOSABLE {
        emit(c);
    } else if let '\u{AC00}'..='\u{D7A3}' = c {
        decompose_hangul(c, emit);
    } else {
        match tables::DECOMPOSITION.binary_search_by_key(&c, |entry| entry.0) {
            Ok(i) => tables::DECOMPOSITION[i].1.chars().for_each(emit),
            Err(_) => emit(c),
        }
    }
}

/// Below these characters there is nothing to look up.
const FIRST_COMBINING: char = '\u{300}';
const FIRST_DECOMPOSABLE: char = '\u{C0}';

/// A Hangul syllable is numbered by its consonant, vowel and optional final consonant, as in the
/// Unicode standard, section 3.12.
fn decompose_hangul(syllable: char, mut emit: impl FnMut(char)) {
    const VOWELS: u32 = 21;
    const FINALS: u32 = 28; // The first of them is none.
    let index = syllable as u32 - 0xAC00;
    let parts = [0x1100 + index / (VOWELS * FINALS), 0x1161 + index / FINALS % VOWELS, 0x11A7 + index % FINALS];
    let count = if index.is_multiple_of(FINALS) { 2 } else { 3 };
    parts[..count].iter().filter_map(|&part| char::from_u32(part)).for_each(&mut emit);
}

fn in_ranges(ranges: &[(char, char)], c: char) -> bool {
    ranges.binary_search_by(|&(first, last)| compare(first, last, c)).is_ok()
}

/// Where the range from `first` to `last` lies, seen from `c`.
fn compare(first: char, last: char, c: char) -> Ordering {
    if last < c {
        Ordering::Less
    } else if first > c {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decomposed(c: char) -> String {
        let mut whole = String::new();
        decompose(c, |d| whole.push(d));
        whole
    }

    #[test]
    fn control_characters_are_dropped_but_not_line_ends() {
        for c in ['\u{5}', '\u{7F}', '\u{85}', '\u{AD}', '\u{200B}', '\u{FEFF}', '\u{E000}'] {
            assert!(is_control(c), "{c:?}");
        }
        for c in ['\t', '\n', '\r', ' ', 'A', '\u{A0}', '\u{378}', '\u{1F1E6}'] {
            assert!(!is_control(c), "{c:?}");
        }
    }

    #[test]
    fn every_ascii_sign_is_punctuation() {
        for c in "-$`.!\"#%&'()*+,/:;<=>?@[\\]^_{|}~".chars() {
            assert!(is_punctuation(c), "{c:?}");
        }
        for c in ['A', '0', ' ', '\n', '€', '°'] {
            assert!(!is_punctuation(c), "{c:?}");
        }
        for c in ['¿', '«', '。', '—', '・', '\u{10100}'] {
            assert!(is_punctuation(c), "{c:?}");
        }
    }

    #[test]
    fn chinese_is_neither_kana_nor_hangul() {
        assert!("你好豈㐀𠀀".chars().all(is_chinese));
        assert!(!"かナ한a。".chars().any(is_chinese));
        assert!(!is_chinese('\u{2B820}') && is_chinese('\u{2B920}'));
    }

    #[test]
    fn decompositions_are_full() {
        assert_eq!(decomposed('e'), "e");
        assert_eq!(decomposed('é'), "e\u{301}");
        assert_eq!(decomposed('ǖ'), "u\u{308}\u{304}");
        assert_eq!(decomposed('가'), "\u{1100}\u{1161}");
        assert_eq!(decomposed('각'), "\u{1100}\u{1161}\u{11A8}");
        assert_eq!(decomposed('힣'), "\u{1112}\u{1175}\u{11C2}");
        assert_eq!(decomposed('豈'), "\u{8C48}");
    }

    #[test]
    fn tables_are_sorted_and_start_where_the_shortcuts_say() {
        for ranges in [tables::CONTROL, tables::PUNCTUATION, tables::NONSPACING_MARK] {
            assert!(ranges.iter().all(|&(first, last)| first <= last));
            assert!(ranges.windows(2).all(|w| w[0].1 < w[1].0));
        }
        assert!(tables::COMBINING_CLASS.windows(2).all(|w| w[0].1 < w[1].0));
        assert!(tables::DECOMPOSITION.windows(2).all(|w| w[0].0 < w[1].0));
        assert_eq!(tables::COMBINING_CLASS[0].0, FIRST_COMBINING);
        assert_eq!(tables::NONSPACING_MARK[0].0, FIRST_COMBINING);
        assert_eq!(tables::DECOMPOSITION[0].0, FIRST_DECOMPOSABLE);
    }

    #[test]
    fn marks_have_classes() {
        assert_eq!(combining_class('a'), 0);
        assert_eq!(combining_class('\u{301}'), 230);
        assert_eq!(combining_class('\u{316}'), 220);
        assert!(is_nonspacing_mark('\u{301}') && !is_nonspacing_mark('\u{903}'));
    }
}
