//! Splits prose into sentences, by rules: English here, Chinese and Japanese in `east_asian`.

mod east_asian;

use east_asian::{is_east_asian, is_full_width_stop, stop_ends_sentence};

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

/// The sentences of a paragraph of ordinary prose, in order, without the space around them. Nothing but
/// space is lost.
///
/// A sentence ends at `.`, `!`, `?` or an ellipsis, with the quotes and brackets that close right after it, if space
/// follows and then no small letter. Periods of abbreviations, initials and of numbers that head a paragraph
/// do not end one; where an abbreviation may as well stand at the end (`etc.`, `U.S.`, `p.m.`), the next word decides.
/// Nor does a quotation end one if it is followed by who said it. Chinese and Japanese stops (`。！？；……`) need no
/// space after them.
pub fn split(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut position = 0;
    while let Some(offset) = text[position..].find(is_terminator) {
        let mark = position + offset;
        let end = end_of_marks(text, start, mark);
        if ends_sentence(&text[start..mark], &text[mark..end], &text[end..]) {
            sentences.push(text[start..end].trim());
            start = end;
        }
        position = end;
    }
    sentences.push(text[start..].trim());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…') || is_full_width_stop(c)
}

fn is_closer(c: char) -> bool {
    // Underscores and asterisks are how plain text marks emphasis.
    matches!(c, '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '}' | '_' | '*' | '」' | '』' | '）')
}

fn is_opener(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '‘' | '«' | '(' | '[' | '{' | '_' | '*' | '—' | '–' | '-' | '¿' | '¡')
}

/// Where the terminator at `mark`, further ones, what closes after them, and note numbers such as `[12]` end.
/// The sentence begins at `start`.
fn end_of_marks(text: &str, start: usize, mark: usize) -> usize {
    // Where no space follows a stop, a straight quote after it may as well open the next sentence.
    let is_tight = text[start..mark].ends_with(east_asian::is_character);
    let mut quotes = text[start..mark].matches('"').count();
    let after = text[mark..].trim_start_matches(|c| {
        quotes += usize::from(c == '"');
        is_terminator(c) || (is_closer(c) && !(is_tight && c == '"' && quotes % 2 == 1))
    });
    let note = after.strip_prefix('[').map(|note| note.trim_start_matches(|c: char| c.is_ascii_digit()));
    let after = note.and_then(|note| note.strip_prefix(']')).unwrap_or(after);
    text.len() - after.len()
}

/// Whether a sentence that reads `before` and then `marks` is over, given what comes `after`.
fn ends_sentence(before: &str, marks: &str, after: &str) -> bool {
    if !before.contains(char::is_alphanumeric) {
        return false;
    }
    if is_east_asian(before, marks, after) {
        return stop_ends_sentence(before, marks, after);
    }
    if !after.starts_with(char::is_whitespace) {
        return false;
    }
    let next = after.trim_start().trim_start_matches(is_opener);
    let Some(first) = next.chars().next() else { return false };
    if first.is_lowercase() || is_terminator(first) {
        return false;
    }
    if marks.contains(['!', '?']) {
        return !(marks.ends_with(['”', '’', '"', '\'']) && names_speaker(after.trim_start()));
    }
    let next_word = first_word(next);
    if marks.contains('…') || marks.matches('.').count() > 1 || before.trim_end().ends_with(['.', '…']) {
        // Someone who hesitates goes on in capitals only with "I".
        return first.is_uppercase() && next_word != "I";
    }
    if is_enumerator(before.trim().trim_start_matches(is_opener)) {
        return false;
    }
    period_ends_sentence(last_word(before), next, next_word)
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len())]
}

/// Whether a text begins with who said what stands before: `Emma asked`, `Mr. Knightley said`, `I cried`. A capital
/// `She` begins a sentence of its own.
fn names_speaker(text: &str) -> bool {
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

/// Whether the single period after `word` ends a sentence before `next`, which begins with `next_word`.
fn period_ends_sentence(word: &str, next: &str, next_word: &str) -> bool {
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

fn is_starter(next: &str, next_word: &str) -> bool {
    // The "A" of "A. Smith" is none.
    let goes_on = next[next_word.len()..].starts_with(|c: char| c.is_whitespace() || matches!(c, ',' | '\'' | '’'));
    goes_on && STARTERS.contains(&next_word)
}

/// What stands right before a period: letters, digits, and periods and apostrophes within.
fn last_word(before: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '&' | '\'' | '’');
    let start = before.char_indices().rev().take_while(|&(_, c)| is_part(c)).last();
    start.map_or("", |(start, _)| before[start..].trim_start_matches(['.', '\'', '’']))
}

/// `U.S`, `p.m`, `Ph.D`, but not `end.Next` or `3.14`.
fn has_inner_period(word: &str) -> bool {
    let mut parts = word.split('.');
    word.contains('.') && parts.all(|part| part.chars().count() <= 2 && part.chars().all(char::is_alphabetic))
}

/// A number or letter that heads a paragraph: `12`, `XIV`, `iv`, `a`.
fn is_enumerator(sentence: &str) -> bool {
    let is_letter = sentence.starts_with(char::is_alphabetic) && sentence.chars().nth(1).is_none();
    let is_number = !sentence.is_empty() && sentence.chars().all(|c| c.is_ascii_digit());
    is_letter || is_number || is_roman(sentence, "IVXLC") || is_roman(sentence, "ivxlc")
}

fn is_roman(word: &str, digits: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| digits.contains(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each case is a paragraph with `|` where it is to be split.
    fn check(cases: &[&str]) {
        for case in cases {
            let expected: Vec<&str> = case.split('|').collect();
            let text = expected.join(" ");
            assert_eq!(split(&text), expected, "for {text:?}");
        }
    }

    #[test]
    fn plain_sentences() {
        check(&[
            "It rained.|We stayed at home.|Nobody came.",
            "Did it rain?|It did!|So we stayed.",
            "One sentence without an end",
            "The first.|And the second without an end",
            "He was born in 1815.|In 1830 he went to sea.",
            "There were 12.|12 were lost.",
            "It cost 3.50 and weighed 1.5 pounds.|Cheap!",
            "See example.com for more.|Or write.",
            "Élan was lacking.|Émile knew.",
        ]);
        assert_eq!(split(""), Vec::<&str>::new());
        assert_eq!(split("  \t "), Vec::<&str>::new());
        assert_eq!(split("  Go.   Stay. \r\n"), ["Go.", "Stay."]);
    }

    #[test]
    fn abbreviations() {
        check(&[
            "Mr. Knightley met Mrs. Weston and Dr. Perry.|They spoke.",
            "MR. DARCY bowed.|He left.",
            "Messrs. Cox were there, e.g. William, i.e. The younger.|Yes.",
            "They sold apples, pears, etc. to us.|We paid.",
            "They sold apples, pears, etc.|The rest was left.",
            "He lived in St. Ives.|It was cold.",
            "Smith & Co. Limited of London.|It failed.",
            "He worked for Smith & Co.|Then he retired.",
            "She came at 5 p.m.|It was late.",
            "She came at 5 p.m. on Monday.|Late again.",
            "The U.S. Army left the U.S.|The others stayed.",
            "In the year 44 B.C. Caesar died.|So they say.",
            "Jones v. Smith was decided.|Nobody cared.",
            "He took a Ph.D. in Leipzig.|She did not.",
            "It is in vol. 3, p. 12, and in Vol. II of the work.|See Fig. 4.|Also No. 7.",
            "He left on Sept. 12 and came back in Dec.|Nobody knew.",
            "Will you go?|No. 7 is my house.",
            "Will you go?|No.|I will not.",
            "Shakspere, &c. Others too.|End.",
        ]);
    }

    #[test]
    fn initials() {
        check(&[
            "J. R. Smith and H. G. Wells met.|They argued.",
            "It was written by T. S. Eliot.|He was thirty.",
            "She is taller than I.|Emma is not.",
            "They chose plan B.|It failed.",
            "He met Harry S. Truman.|They talked.",
            "‘J. Smith’ was his name.|He hadn’t.|Wasn't it?|I'd see 'm.|Sure.",
        ]);
    }

    #[test]
    fn numbers_that_head_a_paragraph() {
        check(&[
            "1. The first rule.|It is short.",
            "XIV. Of the river.|It flows.",
            "a. Bread.|And wine.",
            "(iv) Nothing.|Else.",
        ]);
    }

    #[test]
    fn quotes_and_brackets() {
        check(&[
            "“Come here!” said he.|“Why?”|“Because.”",
            "\"Come here!\" said he.|\"Why?\"|\"Because.\"",
            "‘Go.’|‘No.’",
            "He said, “Go.”|Then he left.",
            "(It was late.)|He left.",
            "It was late (very late).|He left.",
            "He called it “art”.|They laughed.",
            "_Never._|That was all.",
            "He said so.[12]|Nobody believed it.",
            "She left.|—He stayed.",
            "Ah!—no, said he.|Never.",
        ]);
    }

    #[test]
    fn ellipses() {
        check(&[
            "I... I do not know.|Ask her.",
            "Well … perhaps.|Or not.",
            "He waited...|Nothing happened.",
            "He waited . . . and waited.|Then he left.",
            "He waited . . .|Nothing happened.",
            "What!!!|No?!|Yes.",
            "What ! !|No.",
            "“... Then he left.|He came back.",
        ]);
    }

    #[test]
    fn who_said_it_belongs_to_what_was_said() {
        check(&[
            "“What?” Emma asked.|She waited.",
            "“What?” asked Emma.|She waited.",
            "\"Stop!\" Mr. Knightley cried.|They stopped.",
            "“Stop!” Miss Bates said, and sat down.|Nobody spoke.",
            "“Is it?” I asked.|“It is.”",
            "“Is it so?” John Knightley Smith replied.|“It is.”",
            "‘Who?’ Harriet whispered.|‘Me.’",
            "“What?”|She looked up.|“Nothing.”",
            "“What?”|Emma looked up.|“Nothing.”",
            "“Why?”|Then Emma asked again.",
            "“Why?”|He asked because he had to.",
            "“Oh!”|“Emma said so.”",
        ]);
    }

    #[test]
    fn more_english() {
        check(&[
            "Prof. Moore and Capt. Weston came on Jan. 5.|It snowed.",
            "He was born on Feb. 29 and died on Aug. 3.|Both were Mondays.",
            "See No. 5, Nos. 6 and Nos. 7 there.|See Eq. 3.|See Ref. 12 and Art. 4.",
            "Gen. Lee met Lt. Col. Grant.|Sgt. Pepper sang.",
            "The ratio is 3.14.|The other is 2.71828.",
            "Version 1.2.3 is out.|Version 1.3 is not.",
            "It rose 0.5 % to $1.25.|It fell 3.5 %.",
            "Go to www.example.org/a.html.|Then come back.",
            "The file is named data.txt.|Open it.",
            "He has a B.A. and an M.D. degree.|He is proud.",
            "He went to Washington, D.C.|He met nobody.",
            "The U.K. and the U.S. signed.|The E.U. did not.",
            "Use fruit, i.e. Apples, or nuts, e.g. Almonds.|Eat.",
            "Apples vs. Oranges is old.|Cf. Smith for more.",
            "Johnson et al. Found nothing.|Others did.",
            "W. E. B. Du Bois wrote it.|J.R.R. Tolkien did not.",
            "John F. Kennedy spoke.|He was young.",
            "Sammy Davis Jr. Sang.|He danced.",
            "Martin Luther King Jr.|He had a dream.",
            "Well... I think so.|Perhaps…|Perhaps not.",
            "“Well… I think so.”|“Do you?”",
            "“Yes.”|(She smiled.)|“No.”",
            "[It was late.]|He left.",
            "{So it is.}|Or not.",
            "He said “I will.”|Then he did.",
            "She said ‘no.’|He wept.",
            "He asked (why?) and left.|Nobody knew.",
            "Is it 5 p.m.?|It is 6 a.m. in Rome.",
            "Wait!|5 men came.|6 left.",
            "What?!|Never!!|OK.",
            "*Yes.*|_No._|Maybe.",
            "«Oui.»|«Non.»|Rien.",
            "No.|No. 3 is mine.|No, sir.",
            "Rev. Elton read Ps. 23 and Ch. XI.|Amen.",
            "Ask Brig. Gen. Howe or Cmdr. Bond.|They know.",
        ]);
    }

    proptest! {
        #[test]
        fn nothing_but_space_is_lost(text in "[a-cA-CI0-3.!?… \"'”“()\\[\\]—。！；你说と「」》）\u{3000}é&-]{0,60}") {
            let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let sentences = split(&text);
            prop_assert_eq!(squeeze(&sentences.concat()), squeeze(&text));
            for sentence in sentences {
                prop_assert!(!sentence.is_empty());
                prop_assert_eq!(sentence, sentence.trim());
            }
        }

        #[test]
        fn any_text_is_split_without_panic(text in "\\PC{0,80}") {
            split(&text);
        }
    }
}
