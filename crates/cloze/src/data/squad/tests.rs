use serde_json::Value;

use super::*;

fn question(context: &str, text: &str, start: usize) -> Question {
    Question {
        id: "q".to_string(),
        question: "?".to_string(),
        context: context.into(),
        answers: vec![Answer { text: text.to_string(), start }],
        is_impossible: false,
    }
}

/// The same place may have the answer in other characters, and where the offset is right it is believed, though the
/// words around it have the answer before.
#[test]
fn answers_are_found_around_their_offset() {
    let span = |context: &str, text: &str, start| aligned_span(&question(context, text, start));
    assert_eq!(span("a-a-a b", "a", 2), Some(2..3));
    assert_eq!(span("the (1895-1943).", "1895", 4), Some(5..9));
    assert_eq!(span("x two \n words, y", "two words", 2), Some(2..13));
    assert_eq!(span("x two words y", " two\u{A0}words ", 1), Some(2..11));
    assert_eq!(span("one two three", "two", 9), None);
    assert_eq!(span("one two", "two", 5), None);
    assert_eq!(span("one two", "", 0), None);
    assert_eq!(span(" \n two", " ", 1), None);
    let listed =
        misaligned(&[question("one two", "two", 0), question("one two", "wo", 6), question("one two", "two", 4)]);
    let listed: Vec<(&str, &str)> = listed.iter().map(|fault| (&*fault.expected, &*fault.found)).collect();
    assert_eq!(listed, [("two", "one"), ("wo", "o")]);
}

/// `squad_alignment.json` has what `run_squad.py` keeps for training and what it leaves out.
#[test]
fn answers_are_kept_as_run_squad_keeps_them() {
    let fixture: Value = serde_json::from_str(include_str!("../../../tests/fixtures/squad_alignment.json")).unwrap();
    let cases = fixture.as_array().unwrap();
    let mut kept = 0;
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let question = question(text("context"), text("answer"), case["start"].as_u64().unwrap() as usize);
        let is_kept = case["kept"].as_bool().unwrap();
        assert_eq!(aligned_span(&question).is_some(), is_kept, "{case}");
        assert_eq!(misaligned(&[question]).is_empty(), is_kept, "{case}");
        kept += usize::from(is_kept);
    }
    assert!(kept > 50 && cases.len() - kept > 50, "{kept} of {} are kept", cases.len());
}
