//! Examples that occur more than once, in one file or in both.

use std::collections::HashMap;
use std::path::Path;

use crate::numbers::Count;

use super::finding::{Finding, Places, Severity, percent, shown};
use super::read::Item;

/// Examples of a file that occur before in it, apart by whether their labels agree.
pub(super) fn within(items: &[Item], path: &Path, findings: &mut Vec<Finding>) {
    let mut first: HashMap<&[&str], &Item> = HashMap::with_capacity(items.len());
    let (mut same, mut contradicting) = (Places::default(), Places::default());
    for item in items.iter().filter(|item| !is_blank(item)) {
        let Some(earlier) = first.get(item.parts.as_slice()) else {
            first.insert(&item.parts, item);
            continue;
        };
        if earlier.answer == item.answer {
            same.add(item.line, || format!("{} as in {}", text(item), earlier.name()));
        } else {
            let (own, other) = differing(item, earlier);
            contradicting
                .add(own.line, || format!("{} is {}, in {} {}", own.text, own.answer, other.name, other.answer));
        }
    }
    contradicting.tell(findings, Severity::Warning, "contradiction", path, |count| {
        format!(
            "examples that occur before with another label: {count} of {}; correct one of the two, or take both out",
            Count(items.len())
        )
    });
    same.tell(findings, Severity::Warning, "duplicate", path, |count| {
        format!(
            "examples that occur before with the same label: {count} of {} ({}); they count as often as they stand \
             there: take them out, unless that is meant",
            Count(items.len()),
            percent(count.0, items.len())
        )
    });
}

/// Examples of the development set that are in the training set.
pub(super) fn between(train: &[Item], train_path: &Path, dev: &[Item], dev_path: &Path, findings: &mut Vec<Finding>) {
    let mut first: HashMap<&[&str], &Item> = HashMap::with_capacity(train.len());
    for item in train {
        first.entry(item.parts.as_slice()).or_insert(item);
    }
    let mut leaks = Places::default();
    let mut contradicting = 0;
    for item in dev.iter().filter(|item| !is_blank(item)) {
        let Some(known) = first.get(item.parts.as_slice()) else { continue };
        let place = |name: String| format!("{} is in {name} of {}", text(item), train_path.display());
        if known.answer == item.answer {
            leaks.add(item.line, || place(known.name()));
        } else {
            contradicting += 1;
            let (own, other) = differing(item, known);
            leaks.add(own.line, || {
                format!("{}, with {} as label, here {}", place(other.name), other.answer, own.answer)
            });
        }
    }
    leaks.tell(findings, Severity::Warning, "leak", dev_path, |count| {
        let others = match contradicting {
            0 => String::new(),
            count => format!(", {} with another label", Count(count)),
        };
        format!(
            "examples that are in the training file, too: {count} of {} ({}){others}; what is measured on them is not \
             how the model does on new ones: take them out of one of the files",
            Count(dev.len()),
            percent(count.0, dev.len())
        )
    });
}

/// Texts of which nothing, or only whitespace, is there. A pair needs both.
pub(super) fn empty(items: &[Item], path: &Path, findings: &mut Vec<Finding>) {
    let mut places = Places::default();
    for item in items {
        if item.parts.is_empty() {
            places.add(item.line, || "no words".to_string());
        } else if let Some(part) = item.parts.iter().position(|part| part.trim().is_empty()) {
            places.add(item.line, || match (part, item.id) {
                (0, Some(id)) => format!("the question of {id} is empty"),
                (_, Some(id)) => format!("the context of question {id} is empty"),
                (0, None) => "the text is empty".to_string(),
                (_, None) => "the second text is empty".to_string(),
            });
        }
    }
    places.tell(findings, Severity::Warning, "empty-text", path, |count| {
        format!("examples without text: {count}; there is nothing to learn from them: take them out")
    });
}

/// What two examples with the same text do not agree on.
struct Side {
    line: Option<usize>,
    /// How the place is called.
    name: String,
    /// The text, or the word that is labelled in another way.
    text: String,
    answer: String,
}

/// What differs between two examples with the same text: of sentences the first word with another label.
fn differing(item: &Item, other: &Item) -> (Side, Side) {
    let word = (0..item.answer.len()).find(|&word| item.answer.get(word) != other.answer.get(word));
    let side = |item: &Item| match (item.words, word) {
        (Some(_), Some(word)) => {
            let line = item.word_line(word);
            let name = line.map_or_else(|| item.name(), |line| format!("line {line}"));
            let text = format!("{} in {}", shown(item.parts[word]), text(item));
            Side { line, name, text, answer: shown(&item.answer[word]) }
        }
        _ => Side { line: item.line, name: item.name(), text: text(item), answer: shown(&item.answer.join(", ")) },
    };
    (side(item), side(other))
}

fn is_blank(item: &Item) -> bool {
    item.parts.iter().all(|part| part.trim().is_empty())
}

/// The example as it is shown: words of a sentence with spaces between, texts of a pair with a bar.
fn text(item: &Item) -> String {
    match (item.id, item.parts.as_slice()) {
        (Some(id), [question, ..]) => format!("question {id} {}", shown(question)),
        (_, [a, b]) if item.words.is_none() => format!("{} | {}", shown(a), shown(b)),
        (_, parts) => shown(&parts.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Sentence;

    fn item<'a>(line: usize, parts: &[&'a str], answer: &str) -> Item<'a> {
        Item { parts: parts.to_vec(), answer: vec![answer.to_string()].into(), words: None, line: Some(line), id: None }
    }

    /// Kind, first line, number, and what the first place says.
    fn told(findings: &[Finding]) -> Vec<(&str, Option<usize>, usize, &str)> {
        findings.iter().map(|found| (found.kind, found.line, found.count, found.places[0].what.as_str())).collect()
    }

    #[test]
    fn copies_are_told_from_contradictions() {
        let items = [
            item(2, &["a b"], "x"),
            item(3, &["a", "b"], "x"),
            item(4, &["a b"], "y"),
            item(5, &["a", "b"], "x"),
            item(6, &["a b"], "x"),
            item(7, &[" "], "x"),
            item(8, &[" "], "x"),
        ];
        let mut findings = Vec::new();
        within(&items, Path::new("f"), &mut findings);
        let expected = [
            ("contradiction", Some(4), 1, "`a b` is `y`, in line 2 `x`"),
            ("duplicate", Some(5), 2, "`a` | `b` as in line 3"),
        ];
        assert_eq!(told(&findings), expected);
        assert!(findings[1].message.contains("2 of 7 (28.6 %)"), "{}", findings[1].message);
    }

    #[test]
    fn leaks_name_both_lines() {
        let train = [item(2, &["a"], "x"), item(3, &["b"], "x")];
        let dev = [item(9, &["c"], "x"), item(10, &["b"], "x"), item(11, &["a"], "y")];
        let mut findings = Vec::new();
        between(&train, Path::new("train"), &dev, Path::new("dev"), &mut findings);
        assert_eq!(told(&findings), [("leak", Some(10), 2, "`b` is in line 3 of train")]);
        assert_eq!(findings[0].places[1].what, "`a` is in line 2 of train, with `x` as label, here `y`");
        assert!(findings[0].message.contains("2 of 3 (66.7 %), 1 with another label"), "{}", findings[0].message);
        assert_eq!(findings[0].path, Path::new("dev"));
    }

    #[test]
    fn of_a_sentence_the_word_is_told_that_is_labelled_in_another_way() {
        let [first, second] = [4, 9].map(|line| Sentence {
            words: ["in", "New", "York"].map(str::to_string).to_vec(),
            line,
            word_lines: vec![line as u32, line as u32 + 1, line as u32 + 2],
            ..Sentence::default()
        });
        let sentence = |of, labels: [&str; 3]| Item {
            answer: labels.map(str::to_string).to_vec().into(),
            words: Some(of),
            ..item(of.line, &["in", "New", "York"], "")
        };
        let items = [sentence(&first, ["O", "B-X", "I-X"]), sentence(&second, ["O", "B-X", "B-X"])];
        let mut findings = Vec::new();
        within(&items, Path::new("f"), &mut findings);
        let expected = "`York` in `in New York` is `B-X`, in line 6 `I-X`";
        assert_eq!(told(&findings), [("contradiction", Some(11), 1, expected)]);
    }

    #[test]
    fn empty_texts_are_named() {
        let items =
            [item(2, &["a", "b"], "x"), item(3, &["a", "\u{3000}"], "x"), item(4, &[""], "x"), item(5, &[], "")];
        let mut findings = Vec::new();
        empty(&items, Path::new("f"), &mut findings);
        assert_eq!(told(&findings), [("empty-text", Some(3), 3, "the second text is empty")]);
    }
}
