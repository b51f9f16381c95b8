//! Questions on texts, and where their answers are, by the rules of SQuAD's scripts.

use std::ops::Range;
use std::sync::Arc;

/// A question on a text, and its answers where they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Names the question; no other one of the file has it.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// The text that is asked about. Questions on the same text share it.
    pub context: Arc<str>,
    /// What annotators answered; none if the text has no answer, or nobody knows it.
    pub answers: Vec<Answer>,
    /// Whether the file says that the text does not answer the question (SQuAD 2.0).
    pub is_impossible: bool,
}

/// An answer as it was annotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// A part of the context, or so the file says.
    pub text: String,
    /// Where the text begins in the context, in Unicode scalar values.
    pub start: usize,
}

/// Which SQuAD a file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SquadVersion {
    /// Every question has an answer in its text.
    V1,
    /// Some questions have none.
    V2,
}

/// The questions of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squad {
    /// 2.0 if the file calls itself so, or any of its questions says whether it is impossible.
    pub version: SquadVersion,
    /// In the order of the file.
    pub questions: Vec<Question>,
    /// Notes on guesses and on parts that were not read.
    pub notes: Vec<String>,
}

/// An answer that its context does not have where the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misaligned {
    /// The question's id.
    pub id: String,
    /// The answer's text.
    pub expected: String,
    /// As many characters of the context, from the answer's offset.
    pub found: String,
}

/// The characters of the context that are the first answer, the one to train on; `None` if there is none, if the
/// question is impossible, or if the context does not have it there, which [`misaligned`] tells.
///
/// An answer that is not exactly at its offset is still found as Google's `run_squad.py` finds it: within the words
/// of the context, divided by whitespace, that the offset and the answer's length reach into, and whatever the
/// whitespace is.
pub fn aligned_span(question: &Question) -> Option<Range<usize>> {
    let answer = question.answers.first().filter(|_| !question.is_impossible)?;
    find_answer(&question.context, answer)
}

/// The answers that are not in their context where the file says, with the tolerance of [`aligned_span`].
pub fn misaligned(questions: &[Question]) -> Vec<Misaligned> {
    let of_question = |question: &Question| -> Vec<Misaligned> {
        let answers = question.answers.iter().filter(|answer| find_answer(&question.context, answer).is_none());
        let listed = answers.map(|answer| Misaligned {
            id: question.id.clone(),
            expected: answer.text.clone(),
            found: question.context.chars().skip(answer.start).take(answer.text.chars().count()).collect(),
        });
        listed.collect()
    };
    questions.iter().flat_map(of_question).collect()
}

fn find_answer(context: &str, answer: &Answer) -> Option<Range<usize>> {
    let length = answer.text.chars().count();
    if length == 0 {
        return None;
    }
    let context: Vec<char> = context.chars().collect();
    let end = answer.start + length;
    if context.len() >= end && context[answer.start..end].iter().copied().eq(answer.text.chars()) {
        return Some(answer.start..end);
    }
    find_nearby(&context, answer.start..end, &answer.text)
}

/// Where `answer` is within the words that `range` reaches into.
fn find_nearby(context: &[char], range: Range<usize>, answer: &str) -> Option<Range<usize>> {
    if range.end > context.len() {
        return None;
    }
    // A position in whitespace belongs to the word before it.
    let first_word = (0..=range.start).rev().find(|&at| !is_space(context[at])).unwrap_or(range.start);
    let start = (0..first_word).rev().find(|&at| is_space(context[at])).map_or(0, |space| space + 1);
    let end = (range.end - 1..context.len()).find(|&at| is_space(context[at])).unwrap_or(context.len());
    // The words with one space between them, and which character of the context each of theirs is.
    let mut words: Vec<(char, usize)> = Vec::new();
    for (&c, at) in context[start..end].iter().zip(start..) {
        if !is_space(c) {
            words.push((c, at));
        } else if words.last().is_some_and(|&(last, _)| last != ' ') {
            words.push((' ', at));
        }
    }
    let answer: Vec<char> = answer.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    if answer.is_empty() {
        return None;
    }
    let is_answer = |words: &[(char, usize)]| words.iter().map(|&(c, _)| c).eq(answer.iter().copied());
    let found = words.windows(answer.len()).find(|words| is_answer(words))?;
    Some(found[0].1..found[found.len() - 1].1 + 1)
}

/// What divides words in `run_squad.py`: less than all that Unicode calls whitespace.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{202F}')
}

#[cfg(test)]
mod tests;
