use std::ops::Range;

use cloze_tokenizer::Casing;
use serde_json::Value;

use super::*;
use crate::data::Question;

/// What Google's `run_squad.py` does; see `checks/python/make_squad_fixtures.py`.
fn fixture() -> (Tokenizer, Vec<Value>) {
    let fixture: Value = serde_json::from_str(include_str!("../../../tests/fixtures/squad_spans.json")).unwrap();
    let tokens = fixture["vocabulary"].as_array().unwrap().iter().map(|token| token.as_str().unwrap().to_string());
    let tokenizer = Tokenizer::from_tokens(tokens.collect(), Casing::Uncased).unwrap();
    (tokenizer, fixture["cases"].as_array().unwrap().clone())
}

fn count(case: &Value, name: &str) -> usize {
    case[name].as_u64().unwrap() as usize
}

fn windows_of(tokenizer: &Tokenizer, case: &Value) -> QuestionWindows {
    let settings = WindowSettings {
        max_seq_length: count(case, "max_seq_length"),
        max_query_length: count(case, "max_query_length"),
        step: WindowStep::Advance(count(case, "advance")),
    };
    question_windows(tokenizer, case["question"].as_str().unwrap(), case["context"].as_str().unwrap(), settings)
        .unwrap()
}

/// The script's numbers.
fn logits(seed: usize, window: usize, tokens: usize, which: usize) -> Vec<f32> {
    let hash = |position: usize| {
        ((seed * 7919 + window * 104729 + position * 31 + which * 17) as u32).wrapping_mul(2654435761)
    };
    (0..tokens).map(|position| (hash(position) >> 25) as f32 / 8.0 - 8.0).collect()
}

/// The characters of an answer of the fixture.
fn answer_chars(case: &Value) -> Range<usize> {
    let start = count(case, "start");
    start..start + case["answer"].as_str().unwrap().chars().count()
}

fn plain_tokenizer() -> Tokenizer {
    let tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e".split(' ').map(str::to_string).collect();
    Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap()
}

fn plain_windows(context: &str, max_seq_length: usize, advance: usize) -> QuestionWindows {
    let settings = WindowSettings { max_seq_length, max_query_length: 1, step: WindowStep::Advance(advance) };
    question_windows(&plain_tokenizer(), "e", context, settings).unwrap()
}

#[test]
fn windows_and_targets_equal_run_squad() {
    let (tokenizer, cases) = fixture();
    let (mut in_windows, mut several) = (0, 0);
    for case in &cases {
        let windows = windows_of(&tokenizer, case);
        let expected = case["windows"].as_array().unwrap();
        assert_eq!(windows.windows.len(), expected.len(), "{case}");
        let targets = windows.targets(Some(answer_chars(case)));
        several += usize::from(expected.len() > 1);
        for ((window, target), expected) in windows.windows.iter().zip(&targets).zip(expected) {
            let list = |name: &str| -> Vec<u64> {
                expected[name].as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect()
            };
            assert_eq!(window.ids.iter().map(|&id| u64::from(id)).collect::<Vec<_>>(), list("ids"), "{case}");
            assert_eq!(
                window.token_type_ids.iter().map(|&id| u64::from(id)).collect::<Vec<_>>(),
                list("token_type_ids")
            );
            assert_eq!(vec![target.0 as u64, target.1 as u64], list("target"), "{case}");
            in_windows += usize::from(target.0 > 0);
            let most_context = expected["most_context"].as_array().unwrap().iter().enumerate();
            for (position, has_most) in most_context {
                let in_context = window.positions.contains(&position);
                let found = in_context.then(|| window.has_most_context[position - window.positions.start]);
                assert_eq!(found, has_most.as_bool(), "position {position} of {window:?}");
                assert_eq!(windows.chars(window, position).is_some(), in_context, "position {position} of {window:?}");
            }
        }
    }
    assert!(in_windows >= cases.len() - 1 && several >= 6, "{in_windows} targets, {several} cases of several windows");
}

/// A bit less than the product of two roundings of numbers up to 1.
const SOFTMAX: f64 = 1e-15;

#[test]
fn answers_equal_run_squad() {
    let (tokenizer, cases) = fixture();
    for (case, seed) in cases.iter().zip(1..) {
        let windows = windows_of(&tokenizer, case);
        let logits: Vec<_> = (0..windows.windows.len())
            .map(|index| {
                let tokens = windows.windows[index].ids.len();
                (logits(seed, index, tokens, 0), logits(seed, index, tokens, 1))
            })
            .collect();
        let settings = AnswerSettings {
            n_best: count(case, "n_best"),
            max_answer_length: count(case, "max_answer_length"),
            null_threshold: case["null_threshold"].as_f64(),
        };
        let context = case["context"].as_str().unwrap();
        let nbest = answers(&windows, context, &logits, settings);
        let expected = case["nbest"].as_array().unwrap();
        let text = |value: &Value| value["text"].as_str().unwrap().to_string();
        let texts: Vec<&str> = nbest.answers.iter().map(|answer| &*answer.text).collect();
        assert_eq!(texts, expected.iter().map(text).collect::<Vec<_>>(), "{case}");
        for (found, expected) in nbest.answers.iter().zip(expected) {
            assert_eq!(f64::from(found.start_logit), expected["start_logit"].as_f64().unwrap(), "{case}");
            assert_eq!(f64::from(found.end_logit), expected["end_logit"].as_f64().unwrap(), "{case}");
            let difference = found.probability - expected["probability"].as_f64().unwrap();
            assert!(difference.abs() <= SOFTMAX, "{difference} in {case}");
            let cut = found.chars.clone().map(|chars| context.chars().skip(chars.start).take(chars.len()).collect());
            assert_eq!(cut.unwrap_or(String::new()), found.text);
        }
        assert_eq!(nbest.answer().text, case["prediction"].as_str().unwrap(), "{case}");
        if let Some(expected) = case["null_odds"].as_f64() {
            assert_eq!(nbest.null_odds, expected, "{case}");
        }
    }
}

#[test]
fn a_token_that_the_answer_takes_a_part_of_belongs_to_it() {
    let windows = plain_windows("aa  bb\tc d", 20, 5);
    let targets = |chars: Range<usize>| windows.targets(Some(chars));
    assert_eq!(windows.offsets, [(0, 2), (4, 6), (7, 8), (9, 10)]);
    assert_eq!(targets(1..5), [(3, 4)]);
    assert_eq!(targets(2..7), [(4, 4)]);
    assert_eq!(targets(2..4), [(0, 0)]);
    assert_eq!(windows.targets(None), [(0, 0)]);
}

#[test]
fn a_window_without_the_whole_answer_points_to_its_first_token() {
    let windows = plain_windows("a b c d", 6, 1);
    assert_eq!(windows.targets(Some(2..5)), [(0, 0), (3, 4), (0, 0)]);
    assert_eq!(windows.windows.iter().map(|window| window.tokens.clone()).collect::<Vec<_>>(), [0..2, 1..3, 2..4]);
}

#[test]
fn a_context_without_tokens_has_one_window_and_no_answer() {
    let windows = plain_windows(" ", 6, 1);
    assert_eq!(windows.windows.len(), 1);
    assert_eq!(windows.windows[0].ids, [2, 9, 3, 3]);
    let logits = [(vec![1.0, 2.0, 3.0, 4.0], vec![0.5; 4])];
    for null_threshold in [None, Some(0.0), Some(f64::MAX)] {
        let nbest = answers(&windows, " ", &logits, AnswerSettings { null_threshold, ..AnswerSettings::default() });
        let empty = SpanAnswer { text: String::new(), chars: None, probability: 1.0, start_logit: 1.0, end_logit: 0.5 };
        assert_eq!(nbest, Nbest { answers: vec![empty], chosen: 0, null_odds: 1.5 });
    }
}

/// `[CLS] e [SEP] a b [SEP]`, with "" far better than any span.
#[test]
fn the_threshold_decides_between_no_answer_and_the_best_span() {
    let windows = plain_windows("a b", 9, 1);
    let logits = [(vec![9.0, 0.0, 0.0, 2.0, 1.0, 0.0], vec![9.0, 0.0, 0.0, 1.0, 2.0, 0.0])];
    let answer = |null_threshold| {
        let settings = AnswerSettings { n_best: 2, max_answer_length: 30, null_threshold };
        let nbest = answers(&windows, "a b", &logits, settings);
        let texts: Vec<String> = nbest.answers.iter().map(|answer| answer.text.clone()).collect();
        (nbest.answer().text.clone(), nbest.null_odds, texts)
    };
    // One start and one end of two are [CLS].
    assert_eq!(answer(None), ("a b".to_string(), 14.0, vec!["a b".to_string()]));
    let texts = || vec![String::new(), "a b".to_string()];
    assert_eq!(answer(Some(13.9)), (String::new(), 14.0, texts()));
    assert_eq!(answer(Some(14.0)), ("a b".to_string(), 14.0, texts()));
}

/// Scores are min(left, right) + 0.01 · length: of token 195, 4 + 2 in the first window and 5 + 0.6 in the second.
#[test]
fn a_much_longer_window_outweighs_a_token_of_context() {
    let windows = plain_windows(&"a ".repeat(250), 204, 190).windows;
    assert_eq!([windows[0].tokens.clone(), windows[1].tokens.clone()], [0..200, 190..250]);
    assert_eq!(windows[0].has_most_context, (0..200).map(|token| token <= 195).collect::<Vec<_>>());
    assert_eq!(windows[1].has_most_context, (190..250).map(|token| token > 195).collect::<Vec<_>>());
}

#[test]
fn of_equal_spans_the_earlier_comes_first() {
    let windows = plain_windows("a b c", 9, 1);
    let logits = [(vec![0.0; 7], vec![0.0; 7])];
    let nbest = answers(&windows, "a b c", &logits, AnswerSettings::default());
    let texts: Vec<&str> = nbest.answers.iter().map(|answer| &*answer.text).collect();
    assert_eq!(texts, ["a", "a b", "a b c", "b", "b c", "c"]);
}

#[test]
fn no_answer_comes_on_top_of_the_best_spans() {
    let windows = plain_windows("a b c", 6, 1);
    assert_eq!(windows.windows.len(), 2);
    let of_window = |span: f32| (vec![1.0, 0.0, 0.0, span, 0.0, 0.0], vec![1.0, 0.0, 0.0, span, 0.0, 0.0]);
    let settings = AnswerSettings { n_best: 1, max_answer_length: 30, null_threshold: Some(0.0) };
    let nbest = answers(&windows, "a b c", &[of_window(3.0), of_window(4.0)], settings);
    // "b", where the second window begins, has its most context in the first one.
    let texts: Vec<&str> = nbest.answers.iter().map(|answer| &*answer.text).collect();
    assert_eq!((texts, nbest.null_odds), (vec!["a", ""], -4.0));
}

#[test]
fn files_keep_the_order_of_the_questions() {
    let question = |id: &str| Question {
        id: id.to_string(),
        question: String::new(),
        context: "a b".into(),
        answers: Vec::new(),
        is_impossible: false,
    };
    let questions = ["z", "a", "m"].map(question);
    let span =
        SpanAnswer { text: "b".to_string(), chars: Some(2..3), probability: 0.75, start_logit: 0.1, end_logit: 2.0 };
    let empty = SpanAnswer { text: String::new(), chars: None, probability: 0.25, start_logit: 0.0, end_logit: 1.0 };
    let nbest = |chosen, null_odds| Nbest { answers: vec![span.clone(), empty.clone()], chosen, null_odds };
    let found = [nbest(0, -1.5), nbest(1, 0.5), nbest(0, f64::MAX)];
    assert_eq!(predictions_json(&questions, &found).to_string(), r#"{"z":"b","a":"","m":"b"}"#);
    let odds = null_odds_json(&questions, &found).to_string();
    assert_eq!(odds, r#"{"z":-1.5,"a":0.5,"m":1.7976931348623157e+308}"#);
    let one = nbest_json(&questions[..1], &found[..1]).to_string();
    // 0.1 is written as Google does, with all the digits of the f32.
    let expected = concat!(
        r#"{"z":[{"text":"b","probability":0.75,"start_logit":0.10000000149011612,"end_logit":2.0},"#,
        r#"{"text":"","probability":0.25,"start_logit":0.0,"end_logit":1.0}]}"#
    );
    assert_eq!(one, expected);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |settings| question_windows(&plain_tokenizer(), "e", "a", settings).unwrap_err().to_string();
    let none = refused(WindowSettings { max_seq_length: 67, ..WindowSettings::default() });
    assert!(none.starts_with("windows of 67 tokens have no room for a context beside 64 tokens"), "{none}");
    let still = refused(WindowSettings { step: WindowStep::Advance(0), ..WindowSettings::default() });
    assert!(still.contains("follow each other by an advance of 0 tokens never end"), "{still}");
    let least = WindowSettings { max_seq_length: 68, ..WindowSettings::default() };
    assert_eq!(question_windows(&plain_tokenizer(), "e", "a", least).unwrap().windows.len(), 1);
}
