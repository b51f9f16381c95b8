//! Answers that are parts of a text: a question with the text in windows, and the best spans of their logits. The
//! network lies between the two and is not needed here.

mod nbest;

use std::ops::Range;

use cloze_tokenizer::{Encoding, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::Error;

pub use nbest::{AnswerSettings, Nbest, SpanAnswer, answers, nbest_json, null_odds_json, predictions_json};

/// How a question and its context become windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSettings {
    /// Tokens of a window, the question and special tokens included.
    pub max_seq_length: usize,
    /// Tokens of the question; what is beyond is cut off.
    pub max_query_length: usize,
    /// How windows follow each other.
    pub step: WindowStep,
}

/// How windows follow each other. What other programs call a stride is the one in some and the other in others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowStep {
    /// Each begins so many tokens behind the one before: `doc_stride` of Google's `run_squad.py`.
    Advance(usize),
    /// Each shares so many tokens with the one before: `doc_stride` of Hugging Face's scripts.
    Overlap(usize),
}

impl Default for WindowSettings {
    /// Those of BERT's results on SQuAD.
    fn default() -> WindowSettings {
        WindowSettings { max_seq_length: 384, max_query_length: 64, step: WindowStep::Advance(128) }
    }
}

/// A question, and its context in windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionWindows {
    /// `[context tokens]`: first and last (exclusive) character of each in the context.
    pub offsets: Vec<(usize, usize)>,
    /// From the beginning of the context to its end; a context without tokens has one window.
    pub windows: Vec<Window>,
    /// Tokens of the question that were cut off.
    pub question_truncated: usize,
}

/// `[CLS] question [SEP] part of the context [SEP]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Token ids.
    pub ids: Vec<u32>,
    /// 1 for the context and its `[SEP]`, 0 before.
    pub token_type_ids: Vec<u32>,
    /// Where the context's tokens stand in the window.
    pub positions: Range<usize>,
    /// Which of the context's tokens they are.
    pub tokens: Range<usize>,
    /// `[positions]`: whether no other window has more context around the token, that is tokens on the side where
    /// there are fewer. The length of the window counts a little, and the first of equal windows is taken.
    pub has_most_context: Vec<bool>,
}

impl std::fmt::Display for WindowStep {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            WindowStep::Advance(tokens) => write!(f, "an advance of {tokens} tokens"),
            WindowStep::Overlap(tokens) => write!(f, "an overlap of {tokens} tokens"),
        }
    }
}

impl QuestionWindows {
    /// The characters of the context that the token at `position` of a window stands for; `None` for the question's
    /// and special tokens.
    pub fn chars(&self, window: &Window, position: usize) -> Option<Range<usize>> {
        let (start, end) = self.offsets[window.token_at(position)?];
        Some(start..end)
    }

    /// For each window, the positions of the first and the last token of the answer with these characters of the
    /// context: `(0, 0)` if the window does not have the whole answer, or there is none.
    ///
    /// A token that the answer takes a part of belongs to it, and no other: Google's `run_squad.py` takes all tokens
    /// between two spaces where the answer is not made of whole ones.
    pub fn targets(&self, answer: Option<Range<usize>>) -> Vec<(usize, usize)> {
        let tokens = answer.and_then(|chars| self.tokens_of(chars));
        let target = |window: &Window| match tokens {
            Some((first, last)) if window.tokens.start <= first && last < window.tokens.end => {
                let position = |token: usize| window.positions.start + token - window.tokens.start;
                (position(first), position(last))
            }
            _ => (0, 0),
        };
        self.windows.iter().map(target).collect()
    }

    /// The first and the last token with some of these characters.
    fn tokens_of(&self, chars: Range<usize>) -> Option<(usize, usize)> {
        let has_some = |&(start, end): &(usize, usize)| start < chars.end && chars.start < end;
        Some((self.offsets.iter().position(has_some)?, self.offsets.iter().rposition(has_some)?))
    }
}

impl Window {
    /// Which token of the context stands at a position.
    fn token_at(&self, position: usize) -> Option<usize> {
        self.positions.contains(&position).then(|| self.tokens.start + position - self.positions.start)
    }
}

/// The windows of a question and its context.
///
/// # Errors
///
/// If the settings leave no room for the context in a window, or windows would never advance.
pub fn question_windows(
    tokenizer: &Tokenizer,
    question: &str,
    context: &str,
    settings: WindowSettings,
) -> Result<QuestionWindows, Error> {
    let WindowSettings { max_seq_length, max_query_length, step } = settings;
    if max_query_length.saturating_add(SPECIAL_TOKENS) >= max_seq_length {
        return Err(Error::Settings(format!(
            "windows of {max_seq_length} tokens have no room for a context beside {max_query_length} tokens of a \
             question and {SPECIAL_TOKENS} special tokens; choose longer windows or shorter questions"
        )));
    }
    let mut question = tokenizer.tokenize(question).ids;
    let question_truncated = question.len().saturating_sub(max_query_length);
    question.truncate(max_query_length);
    let context = tokenizer.tokenize(context);
    let size = max_seq_length - SPECIAL_TOKENS - question.len();
    let advance = match step {
        WindowStep::Advance(advance) => advance,
        WindowStep::Overlap(overlap) => size.saturating_sub(overlap),
    };
    if advance == 0 {
        return Err(Error::Settings(format!(
            "windows with {size} tokens of the context that follow each other by {step} never end; choose longer \
             windows, a greater advance or a smaller overlap"
        )));
    }
    let ranges = ranges(context.len(), size, advance);
    let mut windows: Vec<Window> =
        ranges.into_iter().map(|tokens| assemble(tokenizer, &question, &context, tokens)).collect();
    mark_most_context(&mut windows, context.len());
    Ok(QuestionWindows { offsets: context.offsets, windows, question_truncated })
}

const SPECIAL_TOKENS: usize = 3;

/// The tokens of each window over `len` tokens. They advance by no more than their size, so that none is lost.
fn ranges(len: usize, size: usize, advance: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    loop {
        let end = len.min(start + size);
        ranges.push(start..end);
        if end == len {
            return ranges;
        }
        start += advance.min(size);
    }
}

fn assemble(tokenizer: &Tokenizer, question: &[u32], context: &Encoding, tokens: Range<usize>) -> Window {
    let special = tokenizer.special();
    let ids = [&[special.cls][..], question, &[special.sep], &context.ids[tokens.clone()], &[special.sep]].concat();
    let first = question.len() + 2;
    let token_type_ids = (0..ids.len()).map(|position| u32::from(position >= first)).collect();
    let positions = first..first + tokens.len();
    Window { ids, token_type_ids, positions, has_most_context: vec![false; tokens.len()], tokens }
}

/// Finds for each of `tokens` the window with the most context: min(tokens to its left, to its right) + 0.01 · the
/// window's tokens.
fn mark_most_context(windows: &mut [Window], tokens: usize) {
    let mut best = vec![(f64::NEG_INFINITY, 0); tokens];
    for (index, window) in windows.iter().enumerate() {
        for token in window.tokens.clone() {
            let around = (token - window.tokens.start).min(window.tokens.end - 1 - token);
            let score = around as f64 + 0.01 * window.tokens.len() as f64;
            if score > best[token].0 {
                best[token] = (score, index);
            }
        }
    }
    for (token, (_, index)) in best.into_iter().enumerate() {
        let window = &mut windows[index];
        window.has_most_context[token - window.tokens.start] = true;
    }
}

#[cfg(test)]
mod tests;
