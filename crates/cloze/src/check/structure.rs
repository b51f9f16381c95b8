//! What is wrong with the way in which sentences of words and questions on texts are annotated.

use std::collections::HashMap;
use std::path::Path;

use crate::data::Sentence;
use crate::data::labelling::{self, Scheme};
use crate::data::squad::{self, Question};
use crate::numbers::Count;

use super::finding::{Finding, Places, Severity, shown};

/// A sentence of more words than this has swallowed the ends of others.
const LONGEST_SENTENCE: usize = 1_000;

/// Labels that break the scheme of their file, and sentences that cannot be one.
pub(super) fn sentences(sentences: &[Sentence], path: &Path, findings: &mut Vec<Finding>) -> Scheme {
    let scheme = labelling::detect(sentences);
    let mut broken = Places::default();
    let by_line: HashMap<usize, &Sentence> = sentences.iter().map(|sentence| (sentence.line, sentence)).collect();
    for violation in labelling::check(sentences, scheme) {
        let line = by_line[&violation.line].line_of(violation.position);
        broken.add(Some(line), || {
            let (word, label) = (shown(&violation.word), shown(&violation.label));
            format!("word {} {word}: {label} {}", violation.position + 1, violation.problem)
        });
    }
    broken.tell(findings, Severity::Warning, "label-scheme", path, |count| {
        format!("labels that break the scheme of the file, {}: {count}; correct them", name(scheme))
    });
    let mut long = Places::default();
    for sentence in sentences.iter().filter(|sentence| sentence.words.len() > LONGEST_SENTENCE) {
        long.add(Some(sentence.line), || format!("{} words", Count(sentence.words.len())));
    }
    long.tell(findings, Severity::Warning, "long-sentence", path, |count| {
        format!(
            "sentences of more than {} words: {count}; if they are several, put empty lines between them",
            Count(LONGEST_SENTENCE)
        )
    });
    scheme
}

/// Two files whose labels mark entities in different ways.
pub(super) fn schemes(train: &[Sentence], dev: &[Sentence], dev_path: &Path, findings: &mut Vec<Finding>) {
    let (train, dev) = (labelling::detect(train), labelling::detect(dev));
    if train != dev {
        let message = format!(
            "the labels are in {}, those of the training file in {}; write both in one scheme",
            name(dev),
            name(train)
        );
        findings.push(Finding::new(Severity::Warning, "scheme-differs", dev_path, None, message));
    }
}

/// The name of a scheme.
pub(super) fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Iob1 => "IOB1",
        Scheme::Iob2 => "IOB2",
        Scheme::Bioes => "BIOES",
        Scheme::Ioe2 => "IOE2",
        Scheme::Io => "IO",
        Scheme::None => "plain labels",
    }
}

/// Answers that are not where they should be, and contexts that training and development share.
pub(super) fn questions(questions: &[Question], path: &Path, findings: &mut Vec<Finding>) {
    let mut places = Places::default();
    for misaligned in squad::misaligned(questions) {
        places.add(None, || {
            let (expected, found) = (shown(&misaligned.expected), shown(&misaligned.found));
            format!("question {}: the answer is {expected}, the context has {found} there", misaligned.id)
        });
    }
    places.tell(findings, Severity::Warning, "misaligned-answer", path, |count| {
        format!(
            "answers that their context does not have where the file says: {count}; correct answer_start, which counts \
             Unicode characters, or the answer"
        )
    });
    let mut unanswered = Places::default();
    for question in questions.iter().filter(|question| question.answers.is_empty() && !question.is_impossible) {
        unanswered.add(None, || format!("question {}: {}", question.id, shown(&question.question)));
    }
    unanswered.tell(findings, Severity::Warning, "no-answer", path, |count| {
        format!(
            "questions without answer that are not marked as impossible: {count}; nothing is learnt from them: add the \
             answer or is_impossible"
        )
    });
    let mut answered = Places::default();
    for question in questions.iter().filter(|question| question.is_impossible && !question.answers.is_empty()) {
        answered.add(None, || format!("question {}: {}", question.id, shown(&question.answers[0].text)));
    }
    answered.tell(findings, Severity::Warning, "impossible-with-answer", path, |count| {
        format!("questions that are marked as impossible and have answers: {count}; take away one or the other")
    });
}

/// Contexts of the development set on which there are questions in the training set, too.
pub(super) fn shared_contexts(train: &[Question], dev: &[Question], dev_path: &Path, findings: &mut Vec<Finding>) {
    let known: HashMap<&str, &str> =
        train.iter().rev().map(|question| (&*question.context, question.id.as_str())).collect();
    let mut places = Places::default();
    let mut last = None;
    for question in dev {
        if last == Some(&question.context) {
            continue;
        }
        last = Some(&question.context);
        if let Some(of_train) = known.get(&*question.context) {
            places.add(None, || {
                format!("the context of question {} and of {of_train}: {}", question.id, shown(&question.context))
            });
        }
    }
    places.tell(findings, Severity::Warning, "shared-context", dev_path, |count| {
        format!("contexts that the training file asks about, too: {count}; divide the files by articles")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(line: usize, labels: &str) -> Sentence {
        let labels: Vec<String> = labels.split(' ').map(str::to_string).collect();
        let words = labels.iter().map(|label| format!("w{label}")).collect();
        Sentence { words, labels, line, ..Sentence::default() }
    }

    #[test]
    fn broken_schemes_are_told_with_the_line_of_the_word() {
        let objects = [sentence(1, "B-X I-X O"), sentence(5, "O O I-X"), sentence(9, "B-X I-Y I-Y B-Y I-Y")];
        let rows = objects.clone().map(|sentence| Sentence {
            word_lines: (0..sentence.words.len()).map(|word| (sentence.line + word) as u32).collect(),
            ..sentence
        });
        for (data, lines) in [(rows, [7, 10]), (objects, [5, 9])] {
            let mut findings = Vec::new();
            assert_eq!(sentences(&data, Path::new("f"), &mut findings), Scheme::Iob2);
            let [finding] = findings.as_slice() else { panic!("{findings:?}") };
            assert_eq!((finding.kind, finding.count), ("label-scheme", 2));
            assert!(finding.message.contains("IOB2: 2"), "{}", finding.message);
            assert_eq!(finding.places.iter().map(|place| place.line.unwrap()).collect::<Vec<_>>(), lines);
            let expected = "word 3 `wI-X`: `I-X` follows no B-X or I-X; expected B-X to open an entity";
            assert_eq!(finding.places[0].what, expected);
        }
    }

    #[test]
    fn sentences_that_swallowed_others_are_told() {
        let words = |count: usize, line| sentence(line, &vec!["O"; count].join(" "));
        let mut findings = Vec::new();
        let data = [words(1_000, 1), words(1_001, 1_002)];
        sentences(&data, Path::new("f"), &mut findings);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(
            (finding.kind, finding.line, finding.places[0].what.as_str()),
            ("long-sentence", Some(1_002), "1,001 words")
        );
    }

    #[test]
    fn two_schemes_are_told() {
        let (iob2, iob1) = ([sentence(1, "B-X I-X O B-X")], [sentence(1, "I-X I-X O I-X B-X")]);
        let mut findings = Vec::new();
        schemes(&iob2, &iob1, Path::new("dev"), &mut findings);
        schemes(&iob2, &iob2, Path::new("dev"), &mut findings);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert!(finding.message.contains("in IOB1, those of the training file in IOB2"), "{}", finding.message);
    }

    fn question(id: &str, context: &str, answers: &[(&str, usize)], is_impossible: bool) -> Question {
        let answers = answers.iter().map(|&(text, start)| squad::Answer { text: text.to_string(), start });
        Question {
            id: id.to_string(),
            question: "who?".to_string(),
            context: context.into(),
            answers: answers.collect(),
            is_impossible,
        }
    }

    #[test]
    fn answers_that_are_elsewhere_or_not_there_are_told_with_the_question() {
        let data = [
            question("good", "the cat sat", &[("cat", 4)], false),
            question("moved", "the cat sat", &[("cat", 8)], false),
            question("none", "the cat sat", &[], false),
            question("both", "the cat sat", &[("sat", 8)], true),
            question("impossible", "the cat sat", &[], true),
        ];
        let mut findings = Vec::new();
        questions(&data, Path::new("f"), &mut findings);
        let told: Vec<_> =
            findings.iter().map(|found| (found.kind, found.count, found.places[0].what.as_str())).collect();
        let expected = [
            ("misaligned-answer", 1, "question moved: the answer is `cat`, the context has `sat` there"),
            ("no-answer", 1, "question none: `who?`"),
            ("impossible-with-answer", 1, "question both: `sat`"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn contexts_of_both_files_are_told_once() {
        let train = [question("a", "x y", &[], true), question("b", "z", &[], true)];
        let dev = [question("c", "z", &[], true), question("d", "z", &[], true), question("e", "w", &[], true)];
        let mut findings = Vec::new();
        shared_contexts(&train, &dev, Path::new("dev"), &mut findings);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!((finding.count, finding.places[0].what.as_str()), (1, "the context of question c and of b: `z`"));
    }
}
