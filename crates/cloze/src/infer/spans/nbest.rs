//! The best spans of a question's logits, and the files that tell of them.

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::characters::Characters;
use crate::data::Question;
use crate::infer::softmax;

use super::QuestionWindows;

/// How answers are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerSettings {
    /// How many starts and ends of a window are combined, and how many answers are kept at most.
    pub n_best: usize,
    /// The most tokens of an answer.
    pub max_answer_length: usize,
    /// For models that were trained on questions without answers (SQuAD 2.0): the answer is "" where the null odds
    /// are greater than this. `None`: every question has an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_threshold: Option<f64>,
}

impl Default for AnswerSettings {
    /// Those of BERT's results on SQuAD 1.1.
    fn default() -> AnswerSettings {
        AnswerSettings { n_best: 20, max_answer_length: 30, null_threshold: None }
    }
}

/// A possible answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanAnswer {
    /// As it stands in the context; "" means that there is no answer.
    pub text: String,
    /// Its characters in the context; `None` for "".
    pub chars: Option<Range<usize>>,
    /// The softmax of `start_logit + end_logit` over all the possible answers.
    pub probability: f64,
    /// The logit of its first token as a start.
    pub start_logit: f32,
    /// The logit of its last token as an end.
    pub end_logit: f32,
}

/// The best answers to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Nbest {
    /// From the most to the least probable, at least one.
    pub answers: Vec<SpanAnswer>,
    /// Which of them is the answer. It is the first, unless the null threshold decides otherwise.
    pub chosen: usize,
    /// How much more the logits of `[CLS]`, summed as start and end in the window where they are least, say that there
    /// is no answer than the logits of the best span say that it is one. The logits of a span count as 0 if none is
    /// possible, as in Google's `run_squad.py`; the answer is then "" whatever the threshold.
    pub null_odds: f64,
}

impl Nbest {
    /// The answer.
    pub fn answer(&self) -> &SpanAnswer {
        &self.answers[self.chosen]
    }

    /// Chooses anew: "" where the null odds are greater than `threshold`, else the most probable part of the text.
    pub fn decide(&mut self, threshold: f64) {
        let is_null = self.null_odds > threshold;
        self.chosen = self.answers.iter().position(|answer| answer.text.is_empty() == is_null).unwrap_or(0);
    }

    /// The most probable part of the text, whatever the null odds say; "" if no span is possible.
    pub fn best_span(&self) -> &str {
        self.answers.iter().find(|answer| !answer.text.is_empty()).map_or("", |answer| &answer.text)
    }
}

/// The best answers to the question with these windows over `context`; `logits` are those of starts and ends of each
/// window, `[tokens]` each.
///
/// In each window, the `n_best` best starts are combined with the `n_best` best ends. What remains are spans that lie
/// in the context, do not end before they start, are not too long, and start at a token that has the most context in
/// this window. The best of the spans with the same text is kept. Where `null_threshold` is set, "" is among the
/// answers, even as one more than `n_best`; it is the only one if no span remains.
///
/// Among equal sums of logits, the span of the earlier window comes first, then that of the greater start logit, then
/// that of the earlier start, then the same for ends; "" comes last.
///
/// # Panics
///
/// If there are not as many logits as tokens, or `n_best` is 0.
pub fn answers(
    question: &QuestionWindows,
    context: &str,
    logits: &[(Vec<f32>, Vec<f32>)],
    settings: AnswerSettings,
) -> Nbest {
    assert!(settings.n_best > 0, "n_best is 0");
    assert_eq!(question.windows.len(), logits.len(), "windows and logits");
    let characters = Characters::of(context);
    let mut candidates = candidates(question, &characters, logits, settings);
    let null = null_candidate(logits);
    candidates.sort_by(Candidate::best_first);
    // Google's script takes logits of 0 for a span where none is possible.
    let null_odds = null.score() - candidates.first().map_or(0.0, Candidate::score);
    let has_null = settings.null_threshold.is_some() || candidates.is_empty();
    if has_null {
        candidates.push(null.clone());
        candidates.sort_by(Candidate::best_first);
    }

    let text_of = |chars: &Option<Range<usize>>| chars.clone().map_or("", |at| characters.slice(at));
    let mut seen = HashSet::new();
    let mut kept: Vec<(&Candidate, &str)> = Vec::new();
    for candidate in &candidates {
        if kept.len() == settings.n_best {
            break;
        }
        let text = text_of(&candidate.chars);
        if seen.insert(text) {
            kept.push((candidate, text));
        }
    }
    if has_null && !seen.contains("") {
        kept.push((&null, ""));
    }

    let scores: Vec<f64> = kept.iter().map(|(candidate, _)| candidate.score()).collect();
    let answers: Vec<SpanAnswer> = kept
        .into_iter()
        .zip(softmax(&scores))
        .map(|((candidate, text), probability)| SpanAnswer {
            text: text.to_string(),
            chars: candidate.chars.clone(),
            probability,
            start_logit: candidate.start_logit,
            end_logit: candidate.end_logit,
        })
        .collect();
    let mut nbest = Nbest { answers, chosen: 0, null_odds };
    nbest.decide(settings.null_threshold.unwrap_or(f64::INFINITY));
    nbest
}

/// What `predictions.json` of Google's `run_squad.py` holds: answers by id, in the order of the questions.
pub fn predictions_json(questions: &[Question], answers: &[Nbest]) -> Value {
    by_id(questions, answers, |nbest| json!(nbest.answer().text))
}

/// What `nbest_predictions.json` holds: the possible answers of each question.
pub fn nbest_json(questions: &[Question], answers: &[Nbest]) -> Value {
    by_id(questions, answers, |nbest| {
        let entry = |answer: &SpanAnswer| {
            json!({
                "text": answer.text,
                "probability": answer.probability,
                "start_logit": f64::from(answer.start_logit),
                "end_logit": f64::from(answer.end_logit),
            })
        };
        nbest.answers.iter().map(entry).collect()
    })
}

/// What `null_odds.json` holds: the null odds of each question.
pub fn null_odds_json(questions: &[Question], answers: &[Nbest]) -> Value {
    by_id(questions, answers, |nbest| json!(nbest.null_odds))
}

fn by_id(questions: &[Question], answers: &[Nbest], value: impl Fn(&Nbest) -> Value) -> Value {
    assert_eq!(questions.len(), answers.len(), "questions and answers");
    let entries = questions.iter().zip(answers).map(|(question, nbest)| (question.id.clone(), value(nbest)));
    Value::Object(entries.collect::<Map<String, Value>>())
}

/// A span, or none.
#[derive(Clone, Debug)]
struct Candidate {
    chars: Option<Range<usize>>,
    start_logit: f32,
    end_logit: f32,
}

impl Candidate {
    fn score(&self) -> f64 {
        f64::from(self.start_logit) + f64::from(self.end_logit)
    }

    /// Sorting with it keeps the order of equal ones.
    fn best_first(&self, other: &Candidate) -> std::cmp::Ordering {
        other.score().total_cmp(&self.score())
    }
}

fn candidates(
    question: &QuestionWindows,
    characters: &Characters,
    logits: &[(Vec<f32>, Vec<f32>)],
    settings: AnswerSettings,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (window, (starts, ends)) in question.windows.iter().zip(logits) {
        assert_eq!(window.ids.len(), starts.len(), "tokens and start logits");
        assert_eq!(window.ids.len(), ends.len(), "tokens and end logits");
        let best_ends = best_positions(ends, settings.n_best);
        for start in best_positions(starts, settings.n_best) {
            if !window.positions.contains(&start) || !window.has_most_context[start - window.positions.start] {
                continue;
            }
            for &end in &best_ends {
                if end < start || end - start >= settings.max_answer_length {
                    continue;
                }
                let (Some(first), Some(last)) = (question.chars(window, start), question.chars(window, end)) else {
                    continue;
                };
                let chars = Some(characters.clamp(first.start..last.end));
                candidates.push(Candidate { chars, start_logit: starts[start], end_logit: ends[end] });
            }
        }
    }
    candidates
}

/// That there is no answer, with the logits of the window that says so least: a window need not have the answer that
/// another one has.
fn null_candidate(logits: &[(Vec<f32>, Vec<f32>)]) -> Candidate {
    let of_window =
        |(starts, ends): &(Vec<f32>, Vec<f32>)| Candidate { chars: None, start_logit: starts[0], end_logit: ends[0] };
    // Of equal ones the first.
    let least = logits.iter().map(of_window).min_by(|a, b| a.score().total_cmp(&b.score()));
    least.expect("every question has a window")
}

/// The positions of the `n` greatest logits, the greatest first, of equal ones the first.
fn best_positions(logits: &[f32], n: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..logits.len()).collect();
    positions.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    positions.truncate(n);
    positions
}
