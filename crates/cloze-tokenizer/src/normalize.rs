//! Cleaning, Chinese characters, accents and case: what a text goes through before it is split.

use crate::unicode;

/// Whether case and accents carry meaning for a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Casing {
    /// Text is lower-cased and accents are dropped (`bert-base-uncased`).
    #[default]
    Uncased,
    /// Text keeps its case and accents (`bert-base-cased`).
    Cased,
}

/// The four switches of Hugging Face's `BertNormalizer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Normalizer {
    /// Drop control characters and make every whitespace a space.
    pub clean_text: bool,
    /// Put a space on both sides of every Chinese character.
    pub handle_chinese_chars: bool,
    /// Drop accents; `None` means: where the text is lower-cased.
    pub strip_accents: Option<bool>,
    /// Lower-case, each character by itself.
    pub lowercase: bool,
}

impl Normalizer {
    pub fn new(casing: Casing) -> Normalizer {
        Normalizer {
            clean_text: true,
            handle_chinese_chars: true,
            strip_accents: None,
            lowercase: casing == Casing::Uncased,
        }
    }

    pub fn casing(&self) -> Casing {
        if self.lowercase { Casing::Uncased } else { Casing::Cased }
    }

    /// The normalized form of `text` by itself.
    pub fn normalize_string(&self, text: &str) -> String {
        let mut normalized = String::new();
        self.normalize(text, 0, |c, _| normalized.push(c));
        normalized
    }

    /// Calls `emit` with every character of the normalized text and the index of the character of
    /// `text` that it came from, `first` being the index of the first one. Returns the index after
    /// the last one.
    ///
    /// The steps (clean, Chinese, accents, case) are told one after the other over the whole text,
    /// but each looks at one character only, save that decomposed marks are put in order behind
    /// their base character. So the text is walked once, and only marks wait.
    pub fn normalize(&self, text: &str, first: usize, mut emit: impl FnMut(char, usize)) -> usize {
        let lowercase = self.lowercase;
        let mut emit_cased = |c: char, source: usize| {
            if !lowercase {
                emit(c, source);
            } else if c.is_ascii() {
                emit(c.to_ascii_lowercase(), source);
            } else {
                c.to_lowercase().for_each(|lower| emit(lower, source));
            }
        };
        let mut accents = self.strip_accents.unwrap_or(self.lowercase).then(AccentStripper::default);
        let mut emit_stripped = |c: char, source: usize| match &mut accents {
            Some(accents) => accents.push(c, source, &mut emit_cased),
            None => emit_cased(c, source),
        };

        let mut source = first;
        for c in text.chars() {
            if let Some(c) = self.clean(c) {
                if self.handle_chinese_chars && unicode::is_chinese(c) {
                    emit_stripped(' ', source);
                    emit_stripped(c, source);
                    emit_stripped(' ', source);
                } else {
                    emit_stripped(c, source);
                }
            }
            source += 1;
        }
        if let Some(accents) = &mut accents {
            accents.flush(&mut emit_cased);
        }
        source
    }

    fn clean(&self, c: char) -> Option<char> {
        if !self.clean_text || matches!(c, '!'..='~') {
            Some(c)
        } else if matches!(c, '\0' | '\u{FFFD}') || unicode::is_control(c) {
            None
        } else if c.is_whitespace() {
            Some(' ')
        } else {
            Some(c)
        }
    }
}

/// Canonical decomposition (NFD) that then leaves out nonspacing marks.
///
/// Almost all marks are dropped, but not all: a few of those with a combining class are spacing
/// marks, or newer than the table of categories. So they are kept waiting until the next character
/// of class 0 and put in canonical order first.
///
/// Which character a reordered mark is said to come from follows Hugging Face: the first character
/// of each decomposition takes the next source in turn, the others the last one taken.
#[derive(Default)]
struct AccentStripper {
    waiting: Vec<Mark>,
    /// Sources not yet taken, for the first characters among `waiting`.
    sources: Vec<usize>,
    last_source: usize,
}

struct Mark {
    class: u8,
    c: char,
    is_first: bool,
}

impl AccentStripper {
    fn push(&mut self, c: char, source: usize, emit: &mut impl FnMut(char, usize)) {
        let mut is_first = true;
        unicode::decompose(c, |c| {
            let class = unicode::combining_class(c);
            if class == 0 {
                self.flush(emit);
                self.last_source = source;
                if !unicode::is_nonspacing_mark(c) {
                    emit(c, source);
                }
            } else {
                if is_first {
                    self.sources.push(source);
                }
                self.waiting.push(Mark { class, c, is_first });
            }
            is_first = false;
        });
    }

    fn flush(&mut self, emit: &mut impl FnMut(char, usize)) {
        if self.waiting.is_empty() {
            return;
        }
        // The order must be kept within a class, which a stable sort does.
        self.waiting.sort_by_key(|mark| mark.class);
        let mut sources = self.sources.drain(..);
        for mark in self.waiting.drain(..) {
            if mark.is_first {
                self.last_source = sources.next().unwrap_or(self.last_source);
            }
            if !unicode::is_nonspacing_mark(mark.c) {
                emit(mark.c, self.last_source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNCASED: Normalizer =
        Normalizer { clean_text: true, handle_chinese_chars: true, strip_accents: None, lowercase: true };

    fn normalized(normalizer: Normalizer, text: &str) -> (String, Vec<usize>) {
        let mut out = (String::new(), Vec::new());
        let end = normalizer.normalize(text, 0, |c, source| {
            out.0.push(c);
            out.1.push(source);
        });
        assert_eq!(end, text.chars().count());
        out
    }

    fn text_of(normalizer: Normalizer, text: &str) -> String {
        normalized(normalizer, text).0
    }

    #[test]
    fn case_and_accents() {
        let cased = Normalizer { lowercase: false, ..UNCASED };
        let accented = Normalizer { strip_accents: Some(false), ..UNCASED };
        let stripped = Normalizer { strip_accents: Some(true), ..cased };
        for (normalizer, expected) in [
            (UNCASED, "hall\u{f8} uber straße"),
            (cased, "HallØ Über Straße"),
            (accented, "hallø über straße"),
            (stripped, "HallØ Uber Straße"),
        ] {
            assert_eq!(text_of(normalizer, "HallØ Über Straße"), expected);
        }
    }

    #[test]
    fn a_mark_alone_or_a_composed_letter_is_the_same_without_accents() {
        assert_eq!(normalized(UNCASED, "e\u{301}a"), ("ea".into(), vec![0, 2]));
        assert_eq!(normalized(UNCASED, "éa"), ("ea".into(), vec![0, 1]));
        assert_eq!(text_of(UNCASED, "\u{301}"), "");
    }

    #[test]
    fn dropped_characters_leave_no_trace_but_count() {
        assert_eq!(normalized(UNCASED, "\0a\u{FFFD}b\u{200B}"), ("ab".into(), vec![1, 3]));
        assert_eq!(text_of(UNCASED, "a\tb\u{3000}c\u{85}d\u{2028}e"), "a b cd e");
        let raw = Normalizer { clean_text: false, ..UNCASED };
        assert_eq!(text_of(raw, "A\tB\0"), "a\tb\0");
    }

    #[test]
    fn chinese_characters_are_spaced_out() {
        let (text, sources) = normalized(UNCASED, "ah博推zz");
        assert_eq!(text, "ah 博  推 zz");
        assert_eq!(sources, [0, 1, 2, 2, 2, 3, 3, 3, 4, 5]);
        let plain = Normalizer { handle_chinese_chars: false, ..UNCASED };
        assert_eq!(text_of(plain, "ah博推zz"), "ah博推zz");
    }

    #[test]
    fn a_character_may_become_several() {
        let accented = Normalizer { strip_accents: Some(false), ..UNCASED };
        assert_eq!(normalized(accented, "İx"), ("i\u{307}x".into(), vec![0, 0, 1]));
        assert_eq!(normalized(UNCASED, "각x").1, [0, 0, 0, 1]);
    }

    #[test]
    fn each_character_is_lower_cased_by_itself() {
        assert_eq!(text_of(UNCASED, "ΟΔΟΣ"), "οδοσ");
    }

    #[test]
    fn marks_that_stay_are_put_in_canonical_order() {
        // U+1D165 (class 216) is a spacing mark and stays; U+302F (224) likewise, and goes behind.
        let (text, sources) = normalized(UNCASED, "a\u{302F}\u{1D165}\u{301}b");
        assert_eq!(text, "a\u{1D165}\u{302F}b");
        assert_eq!(sources, [0, 1, 2, 4]);
    }
}
