//! English prose: which periods end a sentence, and who said what was said.

use super::{is_opener, is_terminator};

/// Abbreviations that never end a sentence.
const NEVER_LAST: &[&str] = &[
    "mr", "mrs", "ms", "messrs", "dr", "prof", "rev", "hon", "gen", "col", "capt", "lieut", "lt", "maj", "sergt",
    "sgt", "corp", "cpl", "adm", "gov", "sen", "rep", "pres", "supt", "insp", "mme", "mlle", "mons", "fr", "mt", "ft",
    "brig", "cmdr", "amb", "msgr", "ald", "atty", "asst", "i.e", "e.g", "viz", "cf", "vs",
];

/// Abbreviations that may end a sentence: they do if the next word is one of [`STARTERS`].
const SOMETIMES_LAST: &[&str] = &[
    "st", "jr", "sr", "esq", "bart", "etc", "&c", "co", "inc", "ltd", "bros", "dept", "ave", "rd", "approx", "ed",
    "eds", "trans", "al", "ult", "inst", "prox", "ph.d", "v", "c", "op", "loc", "ibid",
];

/// Abbreviations that do not end a sentence before a number.
const NUMBERED: &[&str] = &[
    "no", "nos", "vol", "vols", "p", "pp", "ch", "chap", "fig", "figs", "sec", "sect", "bk", "ps", "eq", "eqs", "ref",
    "refs", "art", "ver", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
];

/// Words that, capitalised, nearly always begin a sentence.
const STARTERS: &[&str] = &[
    "A", "After", "All", "Although", "An", "And", "As", "At", "Before", "But", "By", "For", "From", "He", "Her", "His",
    "How", "However", "I", "If", "In", "It", "Its", "Let", "My", "Nor", "Not", "Now", "On", "Once", "One", "Or", "Our",
    "Perhaps", "She", "Since", "So", "Some", "Such", "That", "The", "Their", "Then", "There", "These", "They", "This",
    "Those", "Though", "Thus", "To", "We", "Were", "What", "When", "Where", "Which", "While", "Who", "Why", "With",
    "Yet", "You", "Your",
];

/// Verbs of those who speak, after what they say.
const SPEECH: &[&str] = &[
    "said",
    "says",
    "asked",
    "asks",
    "cried",
    "replied",
    "answered",
    "exclaimed",
    "shouted",
    "whispered",
    "murmured",
    "muttered",
    "called",
    "demanded",
    "inquired",
    "enquired",
    "remarked",
    "returned",
    "continued",
    "added",
    "repeated",
    "screamed",
    "yelled",
    "laughed",
    "sighed",
    "gasped",
    "growled",
    "ejaculated",
    "observed",
    "responded",
    "interrupted",
    "interposed",
    "thought",
    "began",
    "went",
    "put",
];

/// The letters and digits that a text begins with.
pub(super) fn first_word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len())]
}

/// True if a text begins with who said what stands before: `Emma asked`, `Mr. Knightley said`, `I cried`. A capital
/// `She` begins a sentence of its own.
pub(super) fn names_speaker(text: &str) -> bool {
    const NAMES_MAX: usize = 4;
    for (number, word) in text.split_whitespace().take(NAMES_MAX + 1).enumerate() {
        let bare = word.trim_end_matches(['.', ',', ';', ':', '!', '?', '”', '’', '—']);
        if number > 0 && SPEECH.contains(&bare) {
            return true;
        }
        let is_title = word.ends_with('.') && NEVER_LAST.contains(&bare.to_lowercase().as_str());
        let is_name = bare.starts_with(char::is_uppercase) && (bare == "I" || !STARTERS.contains(&bare));
        if !is_name || (bare.len() < word.len() && !is_title) {
            return false;
        }
    }
    false
}

/// True if the single period after `word` ends a sentence before `next`, which begins with `next_word`.
pub(super) fn period_ends_sentence(word: &str, next: &str, next_word: &str) -> bool {
    let lower = word.to_lowercase();
    let lower = lower.as_str();
    if NEVER_LAST.contains(&lower) {
        return false;
    }
    let is_initial = word != "I" && word.starts_with(char::is_uppercase) && word.chars().nth(1).is_none();
    if NUMBERED.contains(&lower) {
        let is_number = next_word.starts_with(|c: char| c.is_ascii_digit()) || is_roman(next_word, "IVXLC");
        // "No. I will not."
        let is_pronoun = lower == "no" && next_word == "I";
        return !is_number || is_pronoun;
    }
    let is_abbreviation = is_initial || SOMETIMES_LAST.contains(&lower) || has_inner_period(word);
    !is_abbreviation || is_starter(next, next_word)
}

/// True if the next word, capitalised, begins a sentence.
fn is_starter(next: &str, next_word: &str) -> bool {
    // The "A" of "A. Smith" is none.
    let goes_on = next[next_word.len()..].starts_with(|c: char| c.is_whitespace() || matches!(c, ',' | '\'' | '’'));
    goes_on && STARTERS.contains(&next_word)
}

/// Word right before a period: letters, digits, and periods and apostrophes within.
pub(super) fn last_word(before: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '&' | '\'' | '’');
    let start = before.char_indices().rev().take_while(|&(_, c)| is_part(c)).last();
    start.map_or("", |(start, _)| before[start..].trim_start_matches(['.', '\'', '’']))
}

/// `U.S`, `p.m`, `Ph.D`, but not `end.Next` or `3.14`.
fn has_inner_period(word: &str) -> bool {
    let mut parts = word.split('.');
    word.contains('.') && parts.all(|part| part.chars().count() <= 2 && part.chars().all(char::is_alphabetic))
}

/// True if a word is a number of these Roman digits.
pub(super) fn is_roman(word: &str, digits: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| digits.contains(c))
}

/// Words that, in text without capitals, begin a sentence even after an abbreviation.
const PRONOUNS: &[&str] = &["he", "i", "it", "she", "there", "these", "they", "this", "those", "we", "you"];

/// True if a paragraph writes the beginnings of sentences small: it begins so itself, and after more of its periods
/// stands a small letter than a capital.
pub(super) fn is_lower_case(text: &str) -> bool {
    if !text.chars().find(|c| c.is_lowercase() || c.is_uppercase()).is_some_and(char::is_lowercase) {
        return false;
    }
    // The beginning counts as one.
    let (mut small, mut capital) = (1usize, 0usize);
    for (mark, _) in text.match_indices('.') {
        let after = &text[mark + 1..];
        if !after.starts_with(char::is_whitespace) {
            continue;
        }
        let next = after.trim_start().trim_start_matches(is_opener);
        let Some(first) = next.chars().next() else { continue };
        let word = last_word(&text[..mark]);
        if word.is_empty() || is_terminator(first) || may_be_abbreviation(word) {
            continue;
        }
        small += usize::from(first.is_lowercase());
        capital += usize::from(first.is_uppercase());
    }
    small > capital
}

fn may_be_abbreviation(word: &str) -> bool {
    let lower = word.to_lowercase();
    let lower = lower.as_str();
    (word.starts_with(char::is_alphabetic) && word.chars().nth(1).is_none())
        || [NEVER_LAST, SOMETIMES_LAST, NUMBERED].iter().any(|list| list.contains(&lower))
        || has_inner_period(word)
}

/// True if the single period after `word` ends a sentence before `next`, which begins with `next_word`, in text that
/// writes the beginnings of sentences small. Of abbreviations only the next word tells, so few do.
pub(super) fn period_ends_lower_case_sentence(word: &str, next: &str, next_word: &str) -> bool {
    if NUMBERED.contains(&word) {
        return next_word == "i" || !is_roman(next_word, "ivxlc");
    }
    if word == "i" || !may_be_abbreviation(word) {
        return true;
    }
    let goes_on = next[next_word.len()..].starts_with(|c: char| c.is_whitespace() || matches!(c, ',' | '\'' | '’'));
    goes_on && !NEVER_LAST.contains(&word) && PRONOUNS.contains(&next_word)
}

/// True if a text without capitals begins with who said what stands before: `said he`, `he asked`, `mr. knightley
/// cried`, but not `she looked up` or `then he asked`.
pub(super) fn names_lower_case_speaker(text: &str) -> bool {
    const NAMES_MAX: usize = 3;
    for (number, word) in text.split_whitespace().take(NAMES_MAX + 1).enumerate() {
        let bare = word.trim_end_matches(['.', ',', ';', ':', '!', '?', '”', '’', '—']);
        if SPEECH.contains(&bare) {
            return true;
        }
        let is_title = word.ends_with('.') && NEVER_LAST.contains(&bare);
        let is_subject = number == 0 && PRONOUNS.contains(&bare);
        let is_starter = STARTERS.iter().any(|starter| starter.eq_ignore_ascii_case(bare));
        if (is_starter && !is_subject)
            || !bare.starts_with(char::is_alphabetic)
            || (bare.len() < word.len() && !is_title)
        {
            return false;
        }
    }
    false
}
