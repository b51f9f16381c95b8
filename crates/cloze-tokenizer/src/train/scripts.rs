//! Which script a token is written in.

use unicode_script::UnicodeScript as _;

use crate::unicode;

/// What a token's first character belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Script {
    /// Latin letters.
    Latin,
    /// Cyrillic letters.
    Cyrillic,
    /// Greek letters.
    Greek,
    /// Arabic letters.
    Arabic,
    /// Chinese characters.
    Han,
    /// Hiragana and Katakana.
    Kana,
    /// Hangul, whole syllables or their parts.
    Hangul,
    /// Numbers of any script.
    Digits,
    /// What is a word by itself.
    Punctuation,
    /// Other scripts, symbols and marks.
    Other,
    /// Special tokens and unused slots, which are no text.
    Special,
}

impl Script {
    /// All of them, in order.
    pub const ALL: [Script; 11] = [
        Script::Latin,
        Script::Cyrillic,
        Script::Greek,
        Script::Arabic,
        Script::Han,
        Script::Kana,
        Script::Hangul,
        Script::Digits,
        Script::Punctuation,
        Script::Other,
        Script::Special,
    ];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Script::Latin => "latin",
            Script::Cyrillic => "cyrillic",
            Script::Greek => "greek",
            Script::Arabic => "arabic",
            Script::Han => "han",
            Script::Kana => "kana",
            Script::Hangul => "hangul",
            Script::Digits => "digits",
            Script::Punctuation => "punctuation",
            Script::Other => "other",
            Script::Special => "special",
        }
    }

    /// The script of a character of text.
    pub fn of(c: char) -> Script {
        use unicode_script::Script as Unicode;
        if c.is_numeric() && c.script() != Unicode::Han {
            return Script::Digits;
        }
        if unicode::is_punctuation(c) {
            return Script::Punctuation;
        }
        match c.script() {
            Unicode::Latin => Script::Latin,
            Unicode::Cyrillic => Script::Cyrillic,
            Unicode::Greek => Script::Greek,
            Unicode::Arabic => Script::Arabic,
            Unicode::Han => Script::Han,
            Unicode::Hiragana | Unicode::Katakana => Script::Kana,
            Unicode::Hangul => Script::Hangul,
            _ => Script::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_characters() {
        for (characters, script) in [
            ("azÉßøﬁ", Script::Latin),
            ("яЁ", Script::Cyrillic),
            ("λΩ", Script::Greek),
            ("عربى", Script::Arabic),
            ("中〇三", Script::Han),
            ("あカ", Script::Kana),
            ("각\u{1100}", Script::Hangul),
            ("07٣½Ⅳ", Script::Digits),
            (".-[„。", Script::Punctuation),
            ("€ไअ\u{301}", Script::Other),
        ] {
            for c in characters.chars() {
                assert_eq!(Script::of(c), script, "{c:?}");
            }
        }
        assert!(Script::ALL.is_sorted());
    }
}
