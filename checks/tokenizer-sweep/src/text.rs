//! Texts to compare on.

/// Words of the random strings; their beginnings and ends are pieces of the made-up vocabularies.
pub const WORDS: [&str; 16] = [
    "the",
    "of",
    "unaffable",
    "embeddings",
    "tokenizer",
    "running",
    "naive",
    "café",
    "Straße",
    "Διονυσος",
    "привет",
    "мир",
    "abc",
    "won't",
    "don't",
    "U.N.",
];

/// Whole fragments: special tokens and what looks like them, sequences of emoji, odd cases.
const FRAGMENTS: [&str; 28] = [
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[UNK]",
    "[PAD]",
    "[mask]",
    "[MASK",
    "MASK]",
    "[[MASK]]",
    "##",
    "##ing",
    "İ",
    "ǅ",
    "ẞ",
    "ΣΑΣ",
    "ﬁ",
    "Å",
    "Éa",
    "ÉA",
    "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
    "\u{1F1E9}\u{1F1EA}",
    "❤\u{FE0F}",
    "1\u{FE0F}\u{20E3}",
    "\u{1F44D}\u{1F3FD}",
    " . ",
    " ' ",
    "\r\n",
    "各位",
];

/// Ranges of characters: scripts, marks, spaces and controls.
const RANGES: [(char, char); 40] = [
    ('a', 'z'),
    ('A', 'Z'),
    ('0', '9'),
    ('!', '/'),
    ('[', '`'),
    ('\0', '\u{20}'),
    ('\u{7F}', '\u{A0}'),
    ('\u{C0}', '\u{24F}'),
    ('\u{1E00}', '\u{1EFF}'),
    // Greek with all its accents, Cyrillic, Armenian.
    ('\u{370}', '\u{3FF}'),
    ('\u{1F00}', '\u{1FFF}'),
    ('\u{400}', '\u{52F}'),
    ('\u{531}', '\u{58A}'),
    // Hebrew and Arabic with their points, Syriac.
    ('\u{591}', '\u{5F4}'),
    ('\u{600}', '\u{6FF}'),
    ('\u{700}', '\u{74F}'),
    // Indic scripts, Thai, Lao, Tibetan, Myanmar.
    ('\u{900}', '\u{DFF}'),
    ('\u{E01}', '\u{E5B}'),
    ('\u{F00}', '\u{FDA}'),
    ('\u{1000}', '\u{109F}'),
    // Combining marks.
    ('\u{300}', '\u{36F}'),
    ('\u{1AB0}', '\u{1AFF}'),
    ('\u{1DC0}', '\u{1DFF}'),
    ('\u{20D0}', '\u{20F0}'),
    ('\u{302A}', '\u{302F}'),
    ('\u{1D158}', '\u{1D1C0}'),
    // Spaces, punctuation, letter-like symbols.
    ('\u{2000}', '\u{206F}'),
    ('\u{2100}', '\u{214F}'),
    ('\u{3000}', '\u{3030}'),
    // Kana, Hangul (letters and syllables), Chinese (old, compatible and rare ones too).
    ('\u{3041}', '\u{30FF}'),
    ('\u{1100}', '\u{11FF}'),
    ('\u{AC00}', '\u{D7A3}'),
    ('\u{3400}', '\u{4DBF}'),
    ('\u{4E00}', '\u{9FFF}'),
    ('\u{F900}', '\u{FAFF}'),
    ('\u{20000}', '\u{2FA1F}'),
    // Emoji, private use, specials, anything.
    ('\u{1F300}', '\u{1FAFF}'),
    ('\u{E000}', '\u{F8FF}'),
    ('\u{FE00}', '\u{FFFF}'),
    ('\u{0}', '\u{10FFFF}'),
];

/// A generator of numbers that depends on its seed and index alone (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64, index: u64) -> Random {
        let mut random = Random(seed);
        Random(random.next() ^ index.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, evenly enough for tests.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Calls `use_text` with `c` in contexts: alone, in words, beside spaces, accents, Chinese
/// characters and special tokens.
pub fn contexts(c: char, mut use_text: impl FnMut(&str)) {
    use_text(&format!("{c}"));
    use_text(&format!("a{c}b"));
    // Beyond these planes there are no characters but private ones, which are all alike.
    if c > '\u{3FFFF}' && !('\u{E0000}'..='\u{EFFFF}').contains(&c) {
        return;
    }
    use_text(&format!(" {c}a"));
    use_text(&format!("a{c} "));
    use_text(&format!("É{c}é"));
    use_text(&format!("o{c}\u{316}\u{302F}\u{301}{c}"));
    use_text(&format!("\u{301}{c}\u{323}"));
    use_text(&format!("中{c}文 [SEP]{c}[MASK]."));
}

/// A string of mixed fragments.
pub fn random(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..random.below(12) {
        match random.below(16) {
            0..=4 => text.push_str(random.choose::<&str>(&WORDS)),
            5..=6 => text.push_str(random.choose::<&str>(&FRAGMENTS)),
            7 => text.push_str(&random.choose::<&str>(&WORDS).to_uppercase()),
            8 => push_long_word(&mut text, random),
            _ => push_characters(&mut text, random),
        }
        if random.below(3) > 0 {
            text.push(' ');
        }
    }
    text
}

/// Words around the limit of 100 characters, in few strings.
fn push_long_word(text: &mut String, random: &mut Random) {
    if random.below(8) == 0 {
        let len = 98 + random.below(5);
        let c = *random.choose(&['a', 'É', 'の', 'x']);
        text.extend(std::iter::repeat_n(c, len));
    }
}

fn push_characters(text: &mut String, random: &mut Random) {
    let &(first, last) = random.choose(&RANGES);
    for _ in 0..1 + random.below(4) {
        let offset = random.below((last as usize - first as usize) + 1) as u32;
        // Nothing where the range passes over the surrogates.
        text.extend(char::from_u32(first as u32 + offset));
    }
}
