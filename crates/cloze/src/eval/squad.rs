//! Exact match and F1 of answers to questions, to the last digit those of SQuAD's official `evaluate-v1.1.py` and
//! `evaluate-v2.0.py` under Python 3.

use std::collections::HashMap;

use crate::Error;
use crate::data::{Question, SquadVersion};
use crate::train::Metrics;

/// How sure a model is that questions have no answer, and how sure it has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoAnswer<'a> {
    /// Ids, and a value that is the greater the less there is an answer. Equal values count in this order when the
    /// best threshold is looked for.
    pub odds: &'a [(&'a str, f64)],
    /// Whatever was predicted, a question of greater odds counts as answered with "".
    pub threshold: f64,
}

/// The threshold that `evaluate-v2.0.py` uses if none is asked for.
pub const NO_ANSWER_THRESHOLD: f64 = 1.0;

/// `exact_match` and `f1` of SQuAD 1.1 in per cent, the best over all answers of a question; `predictions` are
/// answers by id. A question without a prediction, or without an answer to compare with, counts 0.
///
/// # Panics
///
/// If there are no questions.
pub fn squad_v1(questions: &[Question], predictions: &HashMap<&str, &str>) -> Metrics {
    assert!(!questions.is_empty(), "no questions to evaluate answers to");
    let (mut exact_sum, mut f1_sum) = (0.0, 0.0);
    for question in questions {
        let Some(prediction) = predictions.get(question.id.as_str()) else { continue };
        let score = score_v1(question, prediction);
        exact_sum += score.exact;
        f1_sum += score.f1;
    }
    let total = questions.len() as f64;
    vec![named("exact_match", 100.0 * exact_sum / total), named("f1", 100.0 * f1_sum / total)]
}

/// The metrics of SQuAD 2.0 under the names of `evaluate-v2.0.py`, in its order; `predictions` are answers by id, ""
/// meaning that there is none.
///
/// `exact`, `f1`, `total`; the same of the questions with (`HasAns_`) and without answers (`NoAns_`), if there are any;
/// and where `no_answer` is known, the best of each that a threshold on the odds could give, and that threshold:
/// `best_exact`, `best_exact_thresh`, `best_f1`, `best_f1_thresh`. Scores are in per cent.
///
/// Questions without a prediction are left out everywhere; the official script skips them, but then stops at them.
///
/// # Errors
///
/// If a question that has a prediction has no odds, or nothing has a prediction.
pub fn squad_v2(
    questions: &[Question],
    predictions: &HashMap<&str, &str>,
    no_answer: Option<NoAnswer>,
) -> Result<Metrics, Error> {
    let mut scored = Vec::with_capacity(questions.len());
    for question in questions {
        let Some(&prediction) = predictions.get(question.id.as_str()) else { continue };
        scored.push((question.id.as_str(), scored_v2(question, prediction)));
    }
    if scored.is_empty() {
        return Err(Error::Settings("no question has a prediction; do the ids belong to these questions?".to_string()));
    }

    let mut decided: Vec<Scored> = scored.iter().map(|&(_, scored)| scored).collect();
    if let Some(NoAnswer { odds, threshold }) = no_answer {
        let odds: HashMap<&str, f64> = odds.iter().copied().collect();
        for ((id, _), decided) in scored.iter().zip(&mut decided) {
            let odds = odds.get(id).ok_or_else(|| Error::Settings(format!("question `{id}` has no null odds")))?;
            if *odds > threshold {
                let right = if decided.has_answer { 0.0 } else { 1.0 };
                decided.score = Score { exact: right, f1: right };
            }
        }
    }

    let mut metrics = Metrics::new();
    push_means(&mut metrics, "", decided.iter());
    push_means(&mut metrics, "HasAns_", decided.iter().filter(|scored| scored.has_answer));
    push_means(&mut metrics, "NoAns_", decided.iter().filter(|scored| !scored.has_answer));
    if let Some(NoAnswer { odds, .. }) = no_answer {
        let scored: HashMap<&str, Scored> = scored.into_iter().collect();
        let mut odds = odds.to_vec();
        odds.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let (exact, threshold) = best_threshold(&scored, &odds, |score| score.exact);
        metrics.extend([named("best_exact", exact), named("best_exact_thresh", threshold)]);
        let (f1, threshold) = best_threshold(&scored, &odds, |score| score.f1);
        metrics.extend([named("best_f1", f1), named("best_f1_thresh", threshold)]);
    }
    Ok(metrics)
}

/// Exact match and F1, 0 to 1, of one answer to a question, as [`squad_v1`] and [`squad_v2`] count them.
pub(crate) fn question_score(question: &Question, prediction: &str, version: SquadVersion) -> (f64, f64) {
    let Score { exact, f1 } = match version {
        SquadVersion::V1 => score_v1(question, prediction),
        SquadVersion::V2 => scored_v2(question, prediction).score,
    };
    (exact, f1)
}

#[derive(Clone, Copy)]
struct Score {
    /// 0 or 1.
    exact: f64,
    /// 0 to 1.
    f1: f64,
}

/// What is known of a question with a prediction.
#[derive(Clone, Copy)]
struct Scored {
    score: Score,
    has_answer: bool,
    /// Whether the prediction is "".
    is_empty: bool,
}

fn score_v1(question: &Question, prediction: &str) -> Score {
    let gold: Vec<String> = question.answers.iter().map(|answer| normalize(&answer.text)).collect();
    best(&gold, &normalize(prediction), 0.0)
}

fn scored_v2(question: &Question, prediction: &str) -> Scored {
    let predicted = normalize(prediction);
    let mut gold: Vec<String> = question.answers.iter().map(|answer| normalize(&answer.text)).collect();
    gold.retain(|answer| !answer.is_empty());
    if gold.is_empty() {
        gold.push(String::new());
    }
    Scored {
        score: best(&gold, &predicted, 1.0),
        has_answer: !question.answers.is_empty(),
        is_empty: prediction.is_empty(),
    }
}

/// The greatest scores of a prediction over normalised gold answers; 0 if there are none. `f1_of_nothing` is F1 where
/// prediction and answer are both empty.
fn best(gold: &[String], predicted: &str, f1_of_nothing: f64) -> Score {
    let mut best = Score { exact: 0.0, f1: 0.0 };
    for answer in gold {
        let is_exact = answer == predicted;
        best.exact = best.exact.max(f64::from(u8::from(is_exact)));
        let f1 = if is_exact && answer.is_empty() { f1_of_nothing } else { f1(answer, predicted) };
        best.f1 = best.f1.max(f1);
    }
    best
}

/// F1 over the words of two normalised texts, each word as often as it occurs.
fn f1(gold: &str, predicted: &str) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    gold.split_terminator(' ').for_each(|word| *counts.entry(word).or_default() += 1);
    let mut common = 0;
    for word in predicted.split_terminator(' ') {
        if let Some(count) = counts.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    if common == 0 {
        return 0.0;
    }
    // In the scripts' order of operations: another one rounds differently.
    let precision = f64::from(common) / predicted.split_terminator(' ').count() as f64;
    let recall = f64::from(common) / gold.split_terminator(' ').count() as f64;
    (2.0 * precision * recall) / (precision + recall)
}

/// Lower case; without ASCII punctuation; without the words a, an, the; with single spaces.
fn normalize(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let mut without_articles = String::with_capacity(kept.len());
    let mut rest = kept.as_str();
    while let Some(first) = rest.chars().next() {
        // Either a whole word of letters and digits, or one character between such words.
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (part, behind) = rest.split_at(end);
        without_articles.push_str(if matches!(part, "a" | "an" | "the") { " " } else { part });
        rest = behind;
    }
    without_articles.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Python's `\w` once the underscore is gone with the punctuation. Rust also counts some vowel signs of Indic
/// scripts and circled letters, for which no one will miss a table: it only matters to an article right beside one.
fn is_word(c: char) -> bool {
    c.is_alphanumeric()
}

/// What Python's `split()` splits at: Unicode's whitespace and four ASCII control characters.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}')
}

fn push_means<'a>(metrics: &mut Metrics, prefix: &str, scored: impl Iterator<Item = &'a Scored>) {
    let scored: Vec<&Scored> = scored.collect();
    if scored.is_empty() {
        return;
    }
    let total = scored.len() as f64;
    // One after the other, as Python added before 3.12; an f64 from `sum()` starts at -0.0, which shows when all are 0.
    let mean = |of: fn(&Scored) -> f64| 100.0 * scored.iter().fold(0.0, |sum, scored| sum + of(scored)) / total;
    metrics.push(named(&format!("{prefix}exact"), mean(|scored| scored.score.exact)));
    metrics.push(named(&format!("{prefix}f1"), mean(|scored| scored.score.f1)));
    metrics.push(named(&format!("{prefix}total"), total));
}

/// The best mean score, in per cent, if questions of odds up to a threshold are answered as predicted and all others
/// with ""; and the threshold. `odds` are ascending.
///
/// As in the official script, questions of equal odds are taken one by one, as if a threshold could divide them, and
/// the threshold is 0 if it is best to answer nothing.
fn best_threshold(scored: &HashMap<&str, Scored>, odds: &[(&str, f64)], of: fn(Score) -> f64) -> (f64, f64) {
    let mut sum = scored.values().filter(|scored| !scored.has_answer).count() as f64;
    let (mut best, mut threshold) = (sum, 0.0);
    for (id, odds) in odds {
        let Some(scored) = scored.get(id) else { continue };
        sum += match (scored.has_answer, scored.is_empty) {
            (true, _) => of(scored.score),
            (false, false) => -1.0,
            (false, true) => 0.0,
        };
        if sum > best {
            (best, threshold) = (sum, *odds);
        }
    }
    (100.0 * best / scored.len() as f64, threshold)
}

/// A question, and what F1 it has with and without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NullChoice {
    /// The greater, the less there is an answer.
    pub odds: f64,
    /// F1 of the best part of the text.
    pub span: f64,
    /// F1 of "".
    pub nothing: f64,
}

/// The threshold with the best mean F1, if questions of greater odds are answered with "".
///
/// All thresholds between the odds of two neighbouring questions are equally good on these questions; the middle is
/// the one that other questions miss least. Beyond the least and the greatest odds the interval has no end: there it is
/// one off. The official script says the odds of a question, or 0 if it is best to answer nothing, which would answer
/// something where odds are differences of logits. Questions of equal odds are taken together. Of several intervals that
/// are equally good, neighbours count as one, and the first is taken.
pub(crate) fn best_null_threshold(mut choices: Vec<NullChoice>) -> f64 {
    choices.sort_by(|a, b| a.odds.total_cmp(&b.odds));
    let groups: Vec<&[NullChoice]> = choices.chunk_by(|a, b| a.odds == b.odds).collect();
    let Some((first, last)) = groups.first().zip(groups.last()) else { return 0.0 };
    let odds = |group: usize| groups.get(group).map(|equal| equal[0].odds);
    // The gain of answering the first groups, none of them to all.
    let mut gains = vec![0.0];
    for equal in &groups {
        let gain: f64 = equal.iter().map(|choice| choice.span - choice.nothing).sum();
        gains.push(gains[gains.len() - 1] + gain);
    }
    let best = gains.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let from = gains.iter().position(|gain| *gain == best).unwrap_or(0);
    let to = from + gains[from..].iter().take_while(|gain| **gain == best).count() - 1;
    match (from.checked_sub(1).and_then(odds), odds(to)) {
        (Some(low), Some(high)) => low + (high - low) / 2.0,
        (None, Some(_)) => first[0].odds - 1.0,
        (Some(_), None) => last[0].odds + 1.0,
        // No threshold is better than another.
        (None, None) => (first[0].odds + last[0].odds) / 2.0,
    }
}

fn named(name: &str, value: f64) -> (String, f64) {
    (name.to_string(), value)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::data::Answer;

    /// What the official scripts say; see `checks/python/make_squad_fixtures.py`.
    fn fixture() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/squad_metrics.json")).unwrap()
    }

    fn question(id: &str, answers: &[&str]) -> Question {
        let answers = answers.iter().map(|text| Answer { text: text.to_string(), start: 0 }).collect();
        Question { id: id.to_string(), question: String::new(), context: "".into(), answers, is_impossible: false }
    }

    /// An entry of the fixture: a question, its prediction, its odds.
    fn parse(entry: &Value) -> (Question, &str, f64) {
        let answers: Vec<&str> = entry["answers"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        let question = question(entry["id"].as_str().unwrap(), &answers);
        (question, entry["prediction"].as_str().unwrap(), number(&entry["odds"]))
    }

    /// The fixture has numbers as text, because serde_json may read them with another last digit.
    fn number(value: &Value) -> f64 {
        value.as_str().unwrap().parse().unwrap()
    }

    fn expected(metrics: &Value) -> Metrics {
        metrics.as_object().unwrap().iter().map(|(name, value)| named(name, number(value))).collect()
    }

    #[test]
    fn texts_are_normalised_as_the_scripts_do() {
        let fixture = fixture();
        let cases = fixture["normalized"].as_array().unwrap();
        assert!(cases.len() > 50, "{} cases", cases.len());
        for case in cases {
            assert_eq!(normalize(case[0].as_str().unwrap()), case[1].as_str().unwrap(), "{case}");
        }
    }

    #[test]
    fn every_score_equals_the_scripts() {
        let fixture = fixture();
        let entries = fixture["questions"].as_array().unwrap();
        assert!(entries.len() > 200, "{} questions", entries.len());
        for entry in entries {
            let (question, prediction, _) = parse(entry);
            let predictions = HashMap::from([(question.id.as_str(), prediction)]);
            let found = squad_v2(std::slice::from_ref(&question), &predictions, None).unwrap();
            let mut found: Vec<f64> = found[..2].iter().map(|(_, value)| *value).collect();
            if !question.answers.is_empty() {
                let v1 = squad_v1(std::slice::from_ref(&question), &predictions);
                found.extend(v1.iter().map(|(_, value)| *value));
            }
            let expected: Vec<f64> = entry["scores"].as_array().unwrap().iter().map(number).collect();
            assert_eq!(found, expected, "{entry}");
        }
    }

    #[test]
    fn whole_files_equal_the_scripts() {
        let fixture = fixture();
        let entries: Vec<_> = fixture["questions"].as_array().unwrap().iter().map(parse).collect();
        let questions: Vec<Question> = entries.iter().map(|(question, _, _)| question.clone()).collect();
        let predictions = entries.iter().map(|(question, prediction, _)| (question.id.as_str(), *prediction)).collect();
        let odds: Vec<(&str, f64)> = entries.iter().map(|(question, _, odds)| (question.id.as_str(), *odds)).collect();
        let v2 = |questions: &[Question], no_answer| squad_v2(questions, &predictions, no_answer).unwrap();
        let at = |threshold| Some(NoAnswer { odds: &odds, threshold });
        let results = &fixture["results"];
        assert_eq!(v2(&questions, None), expected(&results["v2"]));
        assert_eq!(v2(&questions, at(NO_ANSWER_THRESHOLD)), expected(&results["v2_odds"]));
        assert_eq!(v2(&questions, at(-2.5)), expected(&results["v2_odds_at_-2.5"]));

        let (answerable, impossible): (Vec<Question>, Vec<Question>) =
            questions.into_iter().partition(|question| !question.answers.is_empty());
        assert_eq!(v2(&answerable, at(NO_ANSWER_THRESHOLD)), expected(&results["v2_odds_answerable"]));
        assert_eq!(v2(&impossible, at(NO_ANSWER_THRESHOLD)), expected(&results["v2_odds_impossible"]));
        assert_eq!(squad_v1(&answerable, &predictions), expected(&results["v1"]));
        let half = |id: &&str| id[1..].parse::<usize>().unwrap() % 2 == 0;
        let half = predictions.iter().map(|(&id, &text)| (id, text)).filter(|(id, _)| half(id)).collect();
        assert_eq!(squad_v1(&answerable, &half), expected(&results["v1_half_predicted"]));
    }

    #[test]
    fn the_null_threshold_divides_best() {
        let choice = |odds: f64, span: f64, nothing: f64| NullChoice { odds, span, nothing };
        let answered = [choice(-3.0, 1.0, 0.0), choice(-1.0, 0.5, 0.0), choice(2.0, 0.0, 1.0), choice(4.0, 1.0, 0.0)];
        assert_eq!(best_null_threshold(answered.to_vec()), 0.5);
        // Questions of equal odds cannot be divided.
        let equal = [choice(-3.0, 1.0, 0.0), choice(-1.0, 0.9, 0.0), choice(-1.0, 0.0, 1.0)];
        assert_eq!(best_null_threshold(equal.to_vec()), -2.0);
        // One that is wrong either way lies within the interval; the best end of all has no neighbour.
        let within = [choice(-3.0, 1.0, 0.0), choice(-1.0, 0.0, 0.0), choice(5.0, 0.0, 1.0)];
        assert_eq!(best_null_threshold(within.to_vec()), 1.0);
        let all = [choice(-3.0, 1.0, 0.0), choice(-1.0, 0.5, 0.0)];
        assert_eq!(best_null_threshold(all.to_vec()), 0.0);
        let nothing = [choice(-3.0, 0.0, 1.0), choice(-1.0, 0.5, 0.0)];
        assert_eq!(best_null_threshold(nothing.to_vec()), -4.0);
        assert_eq!(best_null_threshold(Vec::new()), 0.0);
    }

    #[test]
    fn questions_without_a_prediction_are_left_out_of_2_0() {
        let questions = [question("a", &["x"]), question("b", &["y"]), question("c", &[])];
        let odds = [("a", 0.5), ("b", 0.0), ("c", 0.0)];
        let predictions = HashMap::from([("a", "x")]);
        let no_answer = NoAnswer { odds: &odds, threshold: NO_ANSWER_THRESHOLD };
        let found = squad_v2(&questions, &predictions, Some(no_answer)).unwrap();
        let expected = [
            ("exact", 100.0),
            ("f1", 100.0),
            ("total", 1.0),
            ("HasAns_exact", 100.0),
            ("HasAns_f1", 100.0),
            ("HasAns_total", 1.0),
            ("best_exact", 100.0),
            ("best_exact_thresh", 0.5),
            ("best_f1", 100.0),
            ("best_f1_thresh", 0.5),
        ];
        assert_eq!(found, expected.map(|(name, value)| named(name, value)));
    }

    #[test]
    fn what_cannot_be_evaluated_is_said() {
        let questions = [question("a", &["x"])];
        let error = squad_v2(&questions, &HashMap::from([("b", "x")]), None).unwrap_err().to_string();
        assert!(error.starts_with("no question has a prediction"), "{error}");
        let no_answer = NoAnswer { odds: &[("b", 0.0)], threshold: 1.0 };
        let error = squad_v2(&questions, &HashMap::from([("a", "x")]), Some(no_answer)).unwrap_err().to_string();
        assert_eq!(error, "question `a` has no null odds");
    }
}
