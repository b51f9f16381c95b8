//! Labelled parts of texts, and the words and labels that they make.
//!
//! A text is split at white space, around punctuation and Chinese characters, and where a span begins or ends. The words
//! of a span are labelled by IOB2: `B-X`, then `I-X`; all others are `O`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::data::words::Sentence;

/// A part of a text with a label, in Unicode characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) label: String,
}

/// Reads a span as tools for annotation write it: `[start, end, label]`, or an object with these, by any of their usual
/// names. Where the object has the text of the span, its place is checked, and may count UTF-16 as JavaScript does.
pub(crate) fn of_value(value: &Value, text: &[char]) -> Result<Span, String> {
    let number = |value: Option<&Value>, what: &str| {
        let number = value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
        number.map(|number| number as usize).ok_or_else(|| format!("a span without `{what}`, a number of characters"))
    };
    let (start, end, label, own_text) = match value {
        Value::Array(parts) if parts.len() == 3 => {
            (number(parts.first(), "start")?, number(parts.get(1), "end")?, parts.get(2), None)
        }
        Value::Object(fields) => {
            let any = |names: &[&str]| names.iter().find_map(|name| fields.get(*name));
            let start = number(any(&["start", "start_offset", "begin"]), "start")?;
            let end = number(any(&["end", "end_offset"]), "end")?;
            let label = any(&["label", "labels", "type", "tag", "entity", "entity_group"]);
            (start, end, label, fields.get("text").and_then(Value::as_str))
        }
        _ => return Err("expected spans as [start, end, label], or objects with start, end and label".to_string()),
    };
    let label = match label {
        Some(Value::Array(labels)) if labels.len() == 1 => labels.first(),
        Some(Value::Array(labels)) => {
            return Err(format!("the span from {start} to {end} has {} labels; expected one", labels.len()));
        }
        label => label,
    };
    let label = match label {
        Some(Value::String(label)) if !label.trim().is_empty() => label.trim().to_string(),
        Some(Value::Number(label)) => label.to_string(),
        _ => return Err(format!("the span from {start} to {end} has no label")),
    };
    let (start, end) = place(start, end, own_text, text)?;
    Ok(Span { start, end, label })
}

/// The place in Unicode characters, checked.
fn place(start: usize, end: usize, own: Option<&str>, text: &[char]) -> Result<(usize, usize), String> {
    let is_there = |start: usize, end: usize| {
        let place = text.get(start..end)?;
        Some(own.is_none_or(|own| place.iter().copied().eq(own.chars())))
    };
    if start < end && is_there(start, end) == Some(true) {
        return Ok((start, end));
    }
    // Without the span's text nothing would tell one way of counting from the other.
    if own.is_some()
        && let (Some(start), Some(end)) = (of_utf16(start, text), of_utf16(end, text))
        && start < end
        && is_there(start, end) == Some(true)
    {
        return Ok((start, end));
    }
    match (own, text.get(start..end)) {
        (Some(own), Some(found)) if start < end => {
            let found: String = found.iter().take(60).collect();
            Err(format!("the span from {start} to {end} is `{found}`, but its text is `{own}`"))
        }
        _ => Err(format!("the span from {start} to {end} is not within the {} characters of the text", text.len())),
    }
}

/// The character at an offset that counts units of UTF-16; nothing if it is within a character or beyond the text.
fn of_utf16(offset: usize, text: &[char]) -> Option<usize> {
    let mut units = 0;
    for (at, c) in text.iter().enumerate() {
        if units >= offset {
            return (units == offset).then_some(at);
        }
        units += c.len_utf16();
    }
    (units == offset).then_some(text.len())
}

/// The words of a text and their labels, and how many spans begin or end within a word.
///
/// # Errors
/// If spans overlap, or hold nothing but space.
pub(crate) fn to_sentence(text: &[char], mut spans: Vec<Span>, line: usize) -> Result<(Sentence, usize), String> {
    spans.sort_by_key(|span| (span.start, span.end));
    for span in &mut spans {
        while span.start < span.end && text[span.start].is_whitespace() {
            span.start += 1;
        }
        while span.start < span.end && text[span.end - 1].is_whitespace() {
            span.end -= 1;
        }
        if span.start == span.end {
            return Err(format!("the span of `{}` at {} holds only space", span.label, span.start));
        }
    }
    if let Some(pair) = spans.windows(2).find(|pair| pair[1].start < pair[0].end) {
        return Err(format!(
            "the spans of `{}` at {} and of `{}` at {} overlap; a word has one label, so keep one of them",
            pair[0].label, pair[0].start, pair[1].label, pair[1].start
        ));
    }
    let cuts: BTreeSet<usize> = spans.iter().flat_map(|span| [span.start, span.end]).collect();
    let within = cuts.iter().filter(|&&cut| cut > 0 && cut < text.len() && are_one_word(text[cut - 1], text[cut]));
    let within = within.count();
    let mut sentence = Sentence { line, ..Sentence::default() };
    let mut spans = spans.iter().peekable();
    let mut start = 0;
    while start < text.len() {
        if text[start].is_whitespace() {
            start += 1;
            continue;
        }
        let mut end = start + 1;
        while end < text.len() && !cuts.contains(&end) && are_one_word(text[end - 1], text[end]) {
            end += 1;
        }
        while spans.peek().is_some_and(|span| span.end <= start) {
            spans.next();
        }
        sentence.words.push(text[start..end].iter().collect());
        sentence.labels.push(match spans.peek() {
            Some(span) if span.start == start => format!("B-{}", span.label),
            Some(span) if span.start < start => format!("I-{}", span.label),
            _ => "O".to_string(),
        });
        start = end;
    }
    Ok((sentence, within))
}

fn are_one_word(before: char, after: char) -> bool {
    let is_apart = |c: char| c.is_whitespace() || is_punctuation(c) || is_chinese(c);
    !is_apart(before) && !is_apart(after)
}

/// Punctuation, as far as it stands in many texts; the tokenizer splits whatever else it knows.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c,
            '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205E}'
            | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301F}' | '\u{FF01}'..='\u{FF0F}'
            | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF3F}' | '\u{FF5B}'..='\u{FF65}' | '\u{0964}' | '\u{0965}'
            | '\u{060C}' | '\u{061B}' | '\u{061F}' | '\u{066A}'..='\u{066D}' | '\u{06D4}' | '\u{0589}'
            | '\u{05BE}' | '\u{1362}'..='\u{1368}')
}

/// The ideographs that BERT's tokenizer sets apart.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{2A6DF}'
        | '\u{2A700}'..='\u{2CEAF}' | '\u{2F800}'..='\u{2FA1F}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    /// Words with their labels, and how many spans split one.
    fn labelled(text: &str, spans: &[(usize, usize, &str)]) -> Result<(String, usize), String> {
        let spans = spans.iter().map(|&(start, end, label)| Span { start, end, label: label.to_string() });
        let (sentence, within) = to_sentence(&chars(text), spans.collect(), 1)?;
        let words = sentence.words.iter().zip(&sentence.labels).map(|(word, label)| format!("{word}/{label}"));
        Ok((words.collect::<Vec<_>>().join(" "), within))
    }

    #[test]
    fn spans_become_labels_of_words() {
        let (words, within) = labelled("Ann Lee, of New York.", &[(12, 20, "LOC"), (0, 7, "PER")]).unwrap();
        assert_eq!(words, "Ann/B-PER Lee/I-PER ,/O of/O New/B-LOC York/I-LOC ./O");
        assert_eq!(within, 0);
        assert_eq!(labelled("我在北京", &[(2, 4, "LOC")]).unwrap().0, "我/O 在/O 北/B-LOC 京/I-LOC");
        assert_eq!(labelled("a b", &[(0, 1, "X"), (2, 3, "X")]).unwrap().0, "a/B-X b/B-X");
        assert_eq!(labelled("EU-wide", &[(0, 2, "ORG")]).unwrap(), ("EU/B-ORG -/O wide/O".to_string(), 0));
        assert_eq!(labelled("12kg", &[(0, 2, "N"), (2, 4, "U")]).unwrap(), ("12/B-N kg/B-U".to_string(), 1));
        assert_eq!(labelled(" a  b ", &[(0, 3, "X")]).unwrap().0, "a/B-X b/O", "space around a span");
        assert_eq!(labelled("", &[]).unwrap().0, "");
    }

    #[test]
    fn spans_that_no_word_labels_can_tell_are_faults() {
        let message = labelled("Bank of China", &[(0, 13, "ORG"), (8, 13, "LOC")]).unwrap_err();
        assert!(message.starts_with("the spans of `ORG` at 0 and of `LOC` at 8 overlap"), "{message}");
        assert!(labelled("a b", &[(1, 2, "X")]).unwrap_err().contains("holds only space"));
    }

    #[test]
    fn spans_are_read_in_the_ways_of_many_tools() {
        let text = chars("Hi 😀 Ann");
        let expected = Ok(Span { start: 5, end: 8, label: "PER".to_string() });
        for value in [
            json!([5, 8, "PER"]),
            json!({"start": 5, "end": 8, "label": "PER"}),
            json!({"id": 1, "start_offset": 5, "end_offset": 8, "label": "PER"}),
            json!({"start": 5, "end": 8, "text": "Ann", "labels": ["PER"]}),
            json!({"start": 6, "end": 9, "text": "Ann", "labels": ["PER"]}),
        ] {
            assert_eq!(of_value(&value, &text), expected, "{value}");
        }
        for (value, message) in [
            (json!([5, 9, "X"]), "the span from 5 to 9 is not within the 8 characters of the text"),
            (json!([5, 5, "X"]), "the span from 5 to 5 is not within"),
            (json!([5, 8, ""]), "has no label"),
            (json!([5, 8]), "expected spans as [start, end, label]"),
            (json!({"end": 8, "label": "X"}), "a span without `start`"),
            (json!({"start": 5, "end": 8, "labels": ["X", "Y"]}), "has 2 labels; expected one"),
            (json!({"start": 0, "end": 2, "text": "Ho", "label": "X"}), "is `Hi`, but its text is `Ho`"),
        ] {
            let found = of_value(&value, &text).unwrap_err();
            assert!(found.contains(message), "{found}");
        }
    }
}
