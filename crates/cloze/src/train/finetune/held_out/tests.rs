use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::random::{Purpose, Random};

fn example(text: String, text_b: Option<String>, labels: &[&str]) -> Example {
    Example { text, text_b, labels: labels.iter().map(|label| label.to_string()).collect(), line: 1 }
}

/// Rows with the labels a, b and c, of which c is rare.
fn classes(count: usize) -> Vec<Example> {
    let label = |row: usize| if row.is_multiple_of(50) { "c" } else { ["a", "a", "b"][row % 3] };
    (0..count).map(|row| example(format!("text {row}"), None, &[label(row)])).collect()
}

fn texts_held_out(examples: &[Example], task: FinetuneTask) -> Vec<Example> {
    let is_held_out = divide_texts(examples, task).is_held_out.expect("there are enough groups");
    examples.iter().zip(is_held_out).filter(|(_, own)| *own).map(|(example, _)| example.clone()).collect()
}

fn shuffled<T: Clone>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    Random::new(7, Purpose::Shuffle, 0, 0).shuffle(&mut items);
    items
}

fn with_label<'a>(examples: &'a [Example], label: &str) -> Vec<&'a Example> {
    examples.iter().filter(|example| example.labels.iter().any(|own| own == label)).collect()
}

#[test]
fn a_tenth_of_each_label_is_held_out_in_any_order_of_the_rows() {
    let examples = classes(1_000);
    let held_out = texts_held_out(&examples, FinetuneTask::Classification);
    assert_eq!(held_out.len(), 100);
    for label in ["a", "b", "c"] {
        let (part, all) = (with_label(&held_out, label).len(), with_label(&examples, label).len());
        assert!(part.abs_diff(all.div_ceil(10)) <= 1, "{part} of {all} with {label}");
    }
    let names = |examples: &[Example]| examples.iter().map(|own| own.text.clone()).collect::<HashSet<_>>();
    let other = texts_held_out(&shuffled(&examples), FinetuneTask::Classification);
    assert_eq!(names(&other), names(&held_out));
    // More rows of the same kind leave nearly all held-out ones held out.
    let more = names(&texts_held_out(&classes(1_010), FinetuneTask::Classification));
    assert!(names(&held_out).iter().filter(|name| more.contains(*name)).count() > 95);
}

#[test]
fn many_labels_with_few_rows_have_a_tenth_together_and_none_is_lost() {
    for rows_of_label in [2, 4, 13] {
        let labels: Vec<String> = (0..77).map(|label| format!("l{label}")).collect();
        let examples: Vec<Example> =
            (0..77 * rows_of_label).map(|row| example(format!("text {row}"), None, &[&labels[row % 77]])).collect();
        let held_out = texts_held_out(&examples, FinetuneTask::Classification);
        let wanted = (examples.len() as f64 / 10.0).round() as usize;
        assert!(held_out.len().abs_diff(wanted) <= 1, "{} of {}", held_out.len(), examples.len());
        for label in &labels {
            let part = with_label(&held_out, label).len();
            assert!(part < rows_of_label && part <= rows_of_label.div_ceil(10) + 1, "{part} of {label}");
        }
    }
}

#[test]
fn copies_of_a_text_stay_together() {
    let mut examples = classes(200);
    let copies: Vec<Example> = (0..200).map(|row| example(format!("text {}", row % 60), None, &["b"])).collect();
    examples.extend(copies);
    let held_out = texts_held_out(&examples, FinetuneTask::Classification);
    let names: HashSet<&str> = held_out.iter().map(|own| own.text.as_str()).collect();
    let all = examples.iter().filter(|own| names.contains(own.text.as_str())).count();
    assert!(all == held_out.len() && (36..=44).contains(&all), "{all} of {}", examples.len());
}

#[test]
fn pairs_with_a_common_text_stay_together() {
    let pair = |a: usize, b: usize| example(format!("a{a}"), Some(format!("b{b}")), &[["x", "y"][a % 2]]);
    let sides = |examples: &[Example], second: bool| -> HashSet<String> {
        let side = |own: &Example| if second { own.text_b.clone().unwrap() } else { own.text.clone() };
        examples.iter().map(side).collect()
    };
    // Of some pairs the first text is shared, of others the second.
    let examples: Vec<Example> =
        (0..600).map(|row| if row < 300 { pair(row / 3, row) } else { pair(row, row / 3 + 1_000) }).collect();
    let division = divide_texts(&examples, FinetuneTask::Classification);
    assert_eq!((division.groups, division.shared), (200, Shared::TextOfPair));
    let (train, dev) = division.part(examples, Path::new("p"), &mut |_| ControlFlow::Continue(()));
    let dev = dev.unwrap();
    assert!((55..=65).contains(&dev.len()), "{}", dev.len());
    for second in [false, true] {
        assert!(sides(&train, second).is_disjoint(&sides(&dev, second)));
    }
    // A second text that all have connects nothing; nor does such a first text.
    let common: Vec<Example> = (0..100).map(|row| pair(row / 2, 0)).collect();
    let division = divide_texts(&common, FinetuneTask::Classification);
    assert_eq!((division.groups, division.shared), (50, Shared::FirstText));
    let common: Vec<Example> = (0..100).map(|row| pair(0, row)).collect();
    assert_eq!(divide_texts(&common, FinetuneTask::Classification).shared, Shared::SecondText);
}

#[test]
fn a_group_is_never_larger_than_its_share() {
    // Half of all rows are one text, which would be more than a tenth.
    let mut examples = classes(300);
    examples.extend((0..300).map(|_| example("common".to_string(), None, &["a"])));
    let held_out = texts_held_out(&examples, FinetuneTask::Classification);
    assert!(with_label(&held_out, "a").iter().all(|own| own.text != "common"));
    // Nor are so many other texts held out that little is left of them.
    assert!((40..=60).contains(&held_out.len()), "{}", held_out.len());
}

#[test]
fn below_fifty_groups_nothing_is_held_out() {
    let mut examples = classes(49);
    examples.extend(classes(49));
    let division = divide_texts(&examples, FinetuneTask::Classification);
    assert!(division.is_held_out.is_none() && division.groups == 49);
    let mut notes = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Note(note) = event {
            notes.push(note.clone());
        }
        ControlFlow::Continue(())
    };
    let (train, dev) = division.part(examples, Path::new("train.tsv"), &mut observer);
    assert!(train.len() == 98 && dev.is_none());
    assert!(notes[0].contains("train.tsv has 49 different texts") && notes[0].contains("--dev"), "{notes:?}");
    assert_eq!(texts_held_out(&classes(50), FinetuneTask::Classification).len(), 5);
    // Each text has a label of its own, and all of them are to be learnt.
    let labels: Vec<String> = (0..60).map(|label| format!("l{label}")).collect();
    let single: Vec<Example> = labels.iter().map(|label| example(format!("t {label}"), None, &[label])).collect();
    assert!(divide_texts(&single, FinetuneTask::Classification).is_held_out.is_none());
}

#[test]
fn several_labels_are_held_out_in_their_shares() {
    let labels = |row: usize| -> Vec<&str> {
        [("rare", row.is_multiple_of(40)), ("some", row.is_multiple_of(4)), ("often", !row.is_multiple_of(3))]
            .into_iter()
            .filter_map(|(label, has)| has.then_some(label))
            .collect()
    };
    let examples: Vec<Example> = (0..800).map(|row| example(format!("t {row}"), None, &labels(row))).collect();
    let held_out = texts_held_out(&examples, FinetuneTask::MultiLabel);
    assert_eq!(held_out.len(), 80);
    assert_eq!(with_label(&held_out, "rare").len(), 2);
    assert_eq!(with_label(&held_out, "some").len(), 20);
    let often = with_label(&held_out, "often").len();
    assert!((45..=62).contains(&often), "{often} of 533 / 10");
    assert!(held_out.iter().any(|own| own.labels.is_empty()), "texts without a label, too");
}

#[test]
fn values_are_held_out_by_quantiles() {
    // Most values are small; the rest lie far apart.
    let value = |row: usize| if row % 10 < 8 { row as f64 / 1e4 } else { row as f64 };
    let examples: Vec<Example> =
        (0..1_000).map(|row| example(format!("t {row}"), None, &[&value(row).to_string()])).collect();
    let held_out = texts_held_out(&examples, FinetuneTask::Regression);
    assert_eq!(held_out.len(), 100);
    let large = |own: &&Example| own.label().parse::<f64>().unwrap() > 1.0;
    assert_eq!(held_out.iter().filter(large).count(), 20);
    let texts = |examples: &[Example]| examples.iter().map(|own| own.text.clone()).collect::<HashSet<_>>();
    assert_eq!(texts(&texts_held_out(&shuffled(&examples), FinetuneTask::Regression)), texts(&held_out));
}

fn sentence(word: usize, label: &str, document: u32) -> Sentence {
    let words = vec!["the".to_string(), format!("w{word}")];
    Sentence { words, labels: vec!["O".to_string(), label.to_string()], document, ..Sentence::default() }
}

#[test]
fn sentences_are_held_out_by_documents_else_by_themselves() {
    let label = |at: usize| if at.is_multiple_of(60) { "B-rare" } else { "O" };
    let many: Vec<Sentence> = (0..900).map(|at| sentence(at % 607, label(at), (at / 10) as u32)).collect();
    let division = divide_sentences(&many);
    assert_eq!((division.groups, division.shared), (90, Shared::Document));
    let is_held_out = division.is_held_out.unwrap();
    assert!(is_held_out.chunks(10).all(|document| document.iter().all(|&own| own == document[0])));
    assert_eq!(is_held_out.iter().filter(|own| **own).count(), 90);
    let rare = many.iter().zip(&is_held_out).filter(|(own, is_held_out)| own.labels[1] != "O" && **is_held_out);
    assert!((1..=3).contains(&rare.count()));
    // One document is none: equal sentences stay together.
    let one: Vec<Sentence> = many.iter().map(|own| Sentence { document: 1, ..own.clone() }).collect();
    let division = divide_sentences(&one);
    assert_eq!((division.groups, division.shared), (607, Shared::Sentence));
    let (train, dev) = division.part(one, Path::new("p"), &mut |_| ControlFlow::Continue(()));
    let words = |part: &[Sentence]| part.iter().map(|own| own.words[1].clone()).collect::<HashSet<_>>();
    let dev = dev.unwrap();
    assert!((85..=95).contains(&dev.len()) && words(&train).is_disjoint(&words(&dev)), "{}", dev.len());
    let few: Vec<Sentence> = many.iter().map(|own| Sentence { document: own.document / 2, ..own.clone() }).collect();
    assert_eq!(divide_sentences(&few).is_held_out, None, "45 documents");
}

#[test]
fn questions_on_a_context_stay_together() {
    let contexts: Vec<Arc<str>> = (0..120).map(|context| format!("context {context}").into()).collect();
    let question = |at: usize| Question {
        id: at.to_string(),
        question: format!("question {at}"),
        // The same context may stand in several places of a file.
        context: if at.is_multiple_of(2) { contexts[at % 120].clone() } else { contexts[at % 120].to_string().into() },
        answers: Vec::new(),
        is_impossible: at % 120 < 24 && at >= 300,
    };
    let questions: Vec<Question> = (0..600).map(question).collect();
    let division = divide_questions(&questions);
    assert_eq!((division.groups, division.shared), (120, Shared::Context));
    let (train, dev) = division.part(questions, Path::new("p"), &mut |_| ControlFlow::Continue(()));
    let dev = dev.unwrap();
    let contexts = |part: &[Question]| part.iter().map(|own| own.context.to_string()).collect::<HashSet<_>>();
    assert!(dev.len() == 60 && contexts(&train).is_disjoint(&contexts(&dev)));
    assert!(dev.iter().any(|own| own.is_impossible) && train.iter().any(|own| own.is_impossible));
}
