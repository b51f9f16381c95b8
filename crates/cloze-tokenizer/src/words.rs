//! From a text to its normalized words: byte by byte where that is enough, otherwise character by
//! character.
//!
//! What has to come out is simple: [`Normalizer::normalize`] over the whole text, and its
//! characters into a [`WordSplitter`]. That asks a lot about every character, and most text is
//! plain: ASCII letters, digits, punctuation and spaces. Of these normalization changes nothing but
//! case, and each is one byte and one character. So a plain word is a slice of the lower-cased
//! text, and its characters came from as many original ones in a row.
//!
//! All that is not plain goes the long way, in stretches. A stretch begins where a word does, at
//! the character behind a plain space or punctuation, and ends before the next of these. Nothing
//! reaches beyond it: such characters end words, and no mark behind them changes places with one
//! before them.

use std::borrow::Cow;

use crate::normalize::Normalizer;
use crate::pre_tokenize::{Sources, Word, WordSplitter};

/// Calls `use_word` with every word of the normalized `text`, `first` being the index of the first
/// character. Returns the index after the last one.
pub(crate) fn for_each_word(text: &str, first: usize, normalizer: &Normalizer, use_word: impl FnMut(&Word)) -> usize {
    // Normalization looks at each character by itself, so it comes to the same if those of ASCII
    // are in lower case before.
    let text = if normalizer.lowercase { Cow::from(text.to_ascii_lowercase()) } else { Cow::from(text) };
    let bytes = text.as_bytes();
    let mut splitter = WordSplitter::new(use_word);
    let mut source = first;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (end, is_plain) = match class(byte) {
            Class::Space => {
                at += 1;
                source += 1;
                continue;
            }
            Class::Punctuation => (at + 1, true),
            Class::Letter | Class::Other => stretch(bytes, at),
        };
        let part = &text[at..end];
        if is_plain {
            splitter.push_word(&Word { text: part, chars: part.len(), sources: Sources::From(source) });
            source += part.len();
        } else {
            source = normalizer.normalize(part, source, |c, source| splitter.push(c, source));
            splitter.end_word();
        }
        at = end;
    }
    source
}

/// Where the plain word that begins at `start` ends, and `true`; or, if it turns out that it is not
/// plain, where its stretch ends, and `false`.
fn stretch(bytes: &[u8], start: usize) -> (usize, bool) {
    let end_where = |from: usize, ends: fn(Class) -> bool| {
        let found = bytes[from..].iter().position(|&byte| ends(class(byte)));
        found.map_or(bytes.len(), |found| from + found)
    };
    let end = end_where(start, |class| class != Class::Letter);
    match bytes.get(end).map(|&byte| class(byte)) {
        Some(Class::Other) => (end_where(end, |class| matches!(class, Class::Space | Class::Punctuation)), false),
        _ => (end, true),
    }
}

/// What a byte is to the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// ASCII letters and digits, which make up plain words.
    Letter,
    /// Whitespace, whether text is cleaned or not.
    Space,
    /// ASCII punctuation, of which each is a word.
    Punctuation,
    /// ASCII control characters, and all bytes of other characters.
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => Class::Space,
            _ if byte.is_ascii_alphanumeric() => Class::Letter,
            _ if byte.is_ascii_punctuation() => Class::Punctuation,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    CLASSES[byte as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::added_tokens::AddedToken;
    use crate::normalize::Casing;
    use crate::tokenizer::{Settings, Tokenizer};

    /// Every setting of the four switches.
    fn normalizers() -> impl Iterator<Item = Normalizer> {
        let strip_accents = [None, Some(false), Some(true)];
        (0..8).flat_map(move |bits| {
            strip_accents.map(|strip_accents| Normalizer {
                clean_text: bits & 1 == 0,
                handle_chinese_chars: bits & 2 == 0,
                lowercase: bits & 4 == 0,
                strip_accents,
            })
        })
    }

    /// A word, its number of characters, and the offsets of each byte.
    type Facts = (String, usize, Vec<(usize, usize)>);

    fn facts(word: &Word) -> Facts {
        let offsets = (0..word.text.len()).map(|byte| word.offsets(byte, byte + 1));
        (word.text.to_string(), word.chars, offsets.collect())
    }

    /// What the comment at the top of this file says has to come out.
    fn by_definition(text: &str, first: usize, normalizer: &Normalizer) -> (Vec<Facts>, usize) {
        let mut words = Vec::new();
        let mut splitter = WordSplitter::new(|word: &Word| words.push(facts(word)));
        let end = normalizer.normalize(text, first, |c, source| splitter.push(c, source));
        splitter.end_word();
        (words, end)
    }

    fn assert_equals_definition(text: &str) {
        for normalizer in normalizers() {
            let mut words = Vec::new();
            let end = for_each_word(text, 7, &normalizer, |word| words.push(facts(word)));
            assert_eq!((words, end), by_definition(text, 7, &normalizer), "{text:?} by {normalizer:?}");
        }
    }

    /// Plain text, what looks plain and is not, and what is not, alone and side by side.
    const PARTS: [&str; 40] = [
        "a",
        "Word",
        "IT'S",
        "x9",
        "0",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        ",",
        "[",
        "]",
        "-",
        "~",
        "\0",
        "\u{7}",
        "\u{B}",
        "\u{C}",
        "\u{1F}",
        "\u{7F}",
        "\u{85}",
        "\u{A0}",
        "\u{AD}",
        "É",
        "é",
        "ß",
        "İ",
        "\u{212A}",
        "\u{301}",
        "\u{323}",
        "\u{302F}",
        "\u{1D165}",
        "\u{37E}",
        "’",
        "—",
        "\u{2028}",
        "中",
        "각",
        "\u{FFFD}",
    ];

    fn text() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            6 => prop::sample::select(&PARTS[..]).prop_map(String::from),
            2 => "[ -~]{1,6}",
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    #[test]
    fn every_two_parts_side_by_side() {
        for a in PARTS {
            for b in PARTS {
                assert_equals_definition(&format!("{a}{b}"));
                assert_equals_definition(&format!("o{a}{b}o"));
            }
        }
    }

    #[test]
    fn words_of_plain_text_are_slices_of_it() {
        let mut words = Vec::new();
        let end = for_each_word("It's\t5 £", 0, &Normalizer::new(Casing::Uncased), |word| {
            words.push((
                word.text.to_string(),
                matches!(word.sources, Sources::From(_)),
                word.offsets(0, word.text.len()),
            ));
        });
        let word = |text: &str, plain, offsets| (text.to_string(), plain, offsets);
        let expected = [
            word("it", true, (0, 2)),
            word("'", true, (2, 3)),
            word("s", true, (3, 4)),
            word("5", true, (5, 6)),
            word("£", false, (7, 8)),
        ];
        assert_eq!((&words[..], end), (&expected[..], 8));
    }

    /// Two tokenizers that differ in one added token, which is in no text. Because of it the second
    /// one normalizes the whole text before it looks for words, all of it the long way.
    fn tokenizers(casing: Casing) -> [Tokenizer; 2] {
        let vocabulary =
            "[PAD] [UNK] [CLS] [SEP] [MASK] a ##a b ##b o ##o é ##é it ##it A ##A , . ' [ ] mask 中 5 <t> \u{10FFFD}";
        let tokens: Vec<String> = vocabulary.split(' ').map(String::from).collect();
        let added = |content: &str| {
            let id = tokens.iter().position(|token| token == content).unwrap();
            AddedToken { special: false, ..AddedToken::special(id as u32, content) }
        };
        let verbatim = AddedToken { lstrip: true, rstrip: true, ..added("<t>") };
        let absent = AddedToken { normalized: true, ..added("\u{10FFFD}") };
        [vec![verbatim.clone()], vec![verbatim, absent]].map(|added| {
            // Private characters would be cleaned away, and a token without text is found nowhere.
            let normalizer = Normalizer { clean_text: false, ..Normalizer::new(casing) };
            Tokenizer::new(Settings { added, normalizer, ..Settings::new(tokens.clone(), casing) }, "test").unwrap()
        })
    }

    fn assert_tokenizers_agree(text: &str) {
        for casing in [Casing::Cased, Casing::Uncased] {
            let [short, long] = tokenizers(casing);
            assert!(!short.added.any_normalized() && long.added.any_normalized());
            assert_eq!(short.encode(text, None), long.encode(text, None), "{text:?}");
            assert_eq!(short.encode(text, Some(5)), long.encode(text, Some(5)), "{text:?}");
            assert_eq!(short.windows(text, 5, 1), long.windows(text, 5, 1), "{text:?}");
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(short.encode_words(&words, Some(9)), long.encode_words(&words, Some(9)), "{text:?}");
        }
    }

    #[test]
    fn encodings_are_the_same_the_short_and_the_long_way() {
        let long_words = |letter: &str| [99, 100, 101].map(|chars| format!("a {} b", letter.repeat(chars)));
        for text in ["a", "É", "aé", "b中a"].iter().flat_map(|letter| long_words(letter)) {
            assert_tokenizers_agree(&text);
        }
        for text in ["", "It's [MASK]a,é[SEP].", "a \t<t> \n b<t>é", "[[mask]] 中[CLS]AÀ\u{301} 5", "aa\u{B}b oéo’o—o"]
        {
            assert_tokenizers_agree(text);
        }
    }

    proptest! {
        #[test]
        fn words_equal_their_definition(text in text()) {
            assert_equals_definition(&text);
        }

        #[test]
        fn encodings_of_any_text_are_the_same(parts in prop::collection::vec(
            prop_oneof![
                3 => prop::sample::select(&PARTS[..]),
                2 => prop::sample::select(vec!["[MASK]", "[SEP]", "<t>", "aa", "ab", "it's", "Éa", "oo ", "5"]),
            ],
            0..24,
        )) {
            assert_tokenizers_agree(&parts.concat());
        }
    }
}
