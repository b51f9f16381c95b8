//! Splits prose into sentences, by rules: those of English in `english`, of Chinese and Japanese in `east_asian`, of
//! scripts without case in `stops`.
//!
//! ```text
//! for each run of stops and of what closes after them:
//!     before = the text from the beginning of the sentence to the run
//!     if the rules say so of (before, run, what follows): the sentence ends behind the run
//! ```
//!
//! A sentence may be as long as the text, and the rules look at all of `before`: read anew at every run, a line would
//! take time quadratic in its length. So what the rules want to know of `before` is kept in `Begun` and grows with
//! the text; everything else that they look at lies next to the run.

mod east_asian;
mod english;
mod stops;

use east_asian::{is_east_asian, is_full_width_stop, stop_ends_sentence};
use english::{
    first_word, is_lower_case, is_roman, last_word, names_lower_case_speaker, names_speaker,
    period_ends_lower_case_sentence, period_ends_sentence,
};
use stops::{is_plain_stop, plain_stop_ends_sentence};

/// The sentences of a paragraph of ordinary prose, in order, without the space around them. Nothing but
/// space is lost. The time is linear in the length of the text.
///
/// A sentence ends at `.`, `!`, `?` or an ellipsis, with the quotes and brackets that close right after it, if space
/// follows and then no small letter. Periods of abbreviations, initials and of numbers that head a paragraph
/// do not end one; where an abbreviation may as well stand at the end (`etc.`, `U.S.`, `p.m.`), the next word decides.
/// Nor does a quotation end one if it is followed by who said it. Chinese and Japanese stops (`。！？；……`) and those of
/// scripts without case (`।`, `۔`, `؟`, `։`, `።`, `။`) need no space after them. In a paragraph that writes the
/// beginnings of its sentences small, a small letter may begin one.
pub fn split(text: &str) -> Vec<&str> {
    let is_lower_case = is_lower_case(text);
    let mut sentences = Vec::new();
    let mut sentence = Begun::at(text, 0);
    let mut position = 0;
    while let Some(offset) = text[position..].find(is_terminator) {
        let mark = position + offset;
        sentence.read_to(mark);
        let end = end_of_marks(&sentence, mark);
        if ends_sentence(&sentence, mark..end, is_lower_case) {
            sentences.push(text[sentence.start..end].trim_end());
            sentence = Begun::at(text, end);
        }
        position = end;
    }
    sentences.push(text[sentence.start..].trim_end());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// A sentence whose end is not found yet.
struct Begun<'a> {
    text: &'a str,
    /// The first byte that is no space.
    start: usize,
    /// The first byte behind opening quotes and brackets.
    head: usize,
    /// The bytes before this one are counted below.
    seen: usize,
    /// True if there is a letter or a digit.
    has_word: bool,
    /// Straight double quotes.
    quotes: usize,
}

impl Begun<'_> {
    fn at(text: &str, end_before: usize) -> Begun<'_> {
        let rest = text[end_before..].trim_start();
        let start = text.len() - rest.len();
        let head = text.len() - rest.trim_start_matches(is_opener).len();
        Begun { text, start, head, seen: start, has_word: false, quotes: 0 }
    }

    /// Counts what stands before `end`.
    fn read_to(&mut self, end: usize) {
        let more = &self.text[self.seen..end];
        self.has_word = self.has_word || more.contains(char::is_alphanumeric);
        self.quotes += more.bytes().filter(|&byte| byte == b'"').count();
        self.seen = end;
    }

    /// True if all that stands before the stop at `mark` is a number or letter that heads a paragraph: `12`, `XIV`,
    /// `iv`, `a`.
    fn is_enumerator(&self, mark: usize) -> bool {
        // Longer ones number nothing, and are not read at every stop.
        const BYTES_MAX: usize = 64;
        let sentence = match self.text[self.head..mark].trim_end() {
            sentence if sentence.len() <= BYTES_MAX => sentence,
            _ => return false,
        };
        let is_letter = sentence.starts_with(char::is_alphabetic) && sentence.chars().nth(1).is_none();
        let is_number = !sentence.is_empty() && sentence.chars().all(|c| c.is_ascii_digit());
        is_letter || is_number || is_roman(sentence, "IVXLC") || is_roman(sentence, "ivxlc")
    }
}

fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…') || (!c.is_ascii() && (is_full_width_stop(c) || is_plain_stop(c)))
}

fn is_closer(c: char) -> bool {
    // Underscores and asterisks are how plain text marks emphasis.
    matches!(c, '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '}' | '_' | '*' | '」' | '』' | '）')
}

fn is_opener(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '‘' | '«' | '(' | '[' | '{' | '_' | '*' | '—' | '–' | '-' | '¿' | '¡')
}

/// Where the terminator at `mark`, further ones, what closes after them, and note numbers such as `[12]` end.
fn end_of_marks(sentence: &Begun, mark: usize) -> usize {
    let text = sentence.text;
    // Where no space follows a stop, a straight quote after it may as well open the next sentence.
    let is_tight = text[sentence.start..mark].ends_with(east_asian::is_character);
    let mut quotes = sentence.quotes;
    let after = text[mark..].trim_start_matches(|c| {
        quotes += usize::from(c == '"');
        is_terminator(c) || (is_closer(c) && !(is_tight && c == '"' && quotes % 2 == 1))
    });
    let note = after.strip_prefix('[').map(|note| note.trim_start_matches(|c: char| c.is_ascii_digit()));
    let after = note.and_then(|note| note.strip_prefix(']')).unwrap_or(after);
    text.len() - after.len()
}

/// True if a sentence is over behind the stops and what closes after them that stand at `marks`.
fn ends_sentence(sentence: &Begun, marks: std::ops::Range<usize>, is_lower_case: bool) -> bool {
    if !sentence.has_word {
        return false;
    }
    let text = sentence.text;
    let mark = marks.start;
    let (before, after) = (&text[sentence.start..mark], &text[marks.end..]);
    let marks = &text[marks];
    if is_east_asian(before, marks, after) {
        return stop_ends_sentence(before, marks, after);
    }
    if marks.contains(is_plain_stop) {
        return plain_stop_ends_sentence(marks, after);
    }
    if !after.starts_with(char::is_whitespace) {
        return false;
    }
    let after = after.trim_start();
    let next = after.trim_start_matches(is_opener);
    let Some(first) = next.chars().next() else { return false };
    let is_small = first.is_lowercase();
    if (is_small && !is_lower_case) || is_terminator(first) {
        return false;
    }
    let is_quotation = marks.ends_with(['”', '’', '"', '\'']);
    if is_quotation && is_small && names_lower_case_speaker(after) {
        return false;
    }
    if marks.contains(['!', '?']) {
        return !(is_quotation && names_speaker(after));
    }
    let next_word = first_word(next);
    if marks.contains('…') || marks.matches('.').count() > 1 || before.trim_end().ends_with(['.', '…']) {
        // Someone who hesitates goes on in capitals only with "I", and without them with "i" or the same word again.
        return match first.is_uppercase() {
            true => next_word != "I",
            false => first.is_alphabetic() && next_word != "i" && next_word != last_word(before),
        };
    }
    if sentence.is_enumerator(mark) {
        return false;
    }
    match is_small {
        true => period_ends_lower_case_sentence(last_word(before), next, next_word),
        false => period_ends_sentence(last_word(before), next, next_word),
    }
}

#[cfg(test)]
mod tests;
