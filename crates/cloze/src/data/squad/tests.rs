use serde_json::json;

use super::*;

fn read(content: &str) -> Result<Squad, String> {
    read_questions_from(content.as_bytes(), Path::new("data")).map_err(|error| error.to_string())
}

fn read_lines(content: &str) -> Result<Vec<Question>, String> {
    read_question_lines_from(content.as_bytes(), Path::new("data")).map_err(|error| error.to_string())
}

/// A file with one context and these questions.
fn file(version: &str, context: &str, qas: Value) -> String {
    json!({"version": version, "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}]}).to_string()
}

fn question(context: &str, text: &str, start: usize) -> Question {
    Question {
        id: "q".to_string(),
        question: "?".to_string(),
        context: context.into(),
        answers: vec![Answer { text: text.to_string(), start }],
        is_impossible: false,
    }
}

#[test]
fn squad_files_are_read() {
    let qas = json!([
        {"id": "a", "question": "Who?", "answers": [{"text": "Zoë", "answer_start": 2}, {"text": "ë", "answer_start": 4}]},
        {"id": "b", "question": "When?", "answers": [], "plausible_answers": 7},
        {"id": "c", "question": "Where?"},
    ]);
    let squad = read(&format!("\u{feff}{}", file("1.1", "— Zoë", qas))).unwrap();
    assert_eq!(squad.version, SquadVersion::V1);
    let [a, b, c] = &squad.questions[..] else { panic!("{squad:?}") };
    assert_eq!((a.id.as_str(), a.question.as_str(), &*a.context), ("a", "Who?", "— Zoë"));
    let answer = |text: &str, start| Answer { text: text.to_string(), start };
    assert_eq!(a.answers, [answer("Zoë", 2), answer("ë", 4)]);
    assert_eq!((aligned_span(a), aligned_span(b)), (Some(2..5), None));
    assert_eq!((b.answers.len(), c.answers.len(), b.is_impossible), (0, 0, false));
    assert!(Arc::ptr_eq(&a.context, &c.context), "a context is kept once");
}

#[test]
fn the_version_is_told_or_seen() {
    let version = |name: &str, qa: Value| {
        let squad = read(&file(name, "a b", json!([qa]))).unwrap();
        (squad.version, squad.questions[0].is_impossible)
    };
    let plain = json!({"id": "a", "question": "?", "answers": [{"text": "a", "answer_start": 0}]});
    assert_eq!(version("1.1", plain.clone()), (SquadVersion::V1, false));
    assert_eq!(version("v2.0", plain.clone()), (SquadVersion::V2, false));
    assert_eq!(version("2.0", plain), (SquadVersion::V2, false));
    for is_impossible in [false, true] {
        let told = json!({"id": "a", "question": "?", "answers": [], "is_impossible": is_impossible});
        assert_eq!(version("1.1", told), (SquadVersion::V2, is_impossible));
    }
}

#[test]
fn lines_of_questions_are_read() {
    let lines = "\u{feff}{\"question\": \"Who?\", \"context\": \"Zoë\"}\r\n\n\
        {\"id\": \"x\", \"context\": \"Zoë\", \"question\": \"When?\", \"more\": 1}\n\
        {\"id\": null, \"context\": \"b\", \"question\": \"\"}";
    let questions = read_lines(lines).unwrap();
    let found: Vec<(&str, &str, &str)> = questions.iter().map(|q| (&*q.id, &*q.question, &*q.context)).collect();
    assert_eq!(found, [("1", "Who?", "Zoë"), ("x", "When?", "Zoë"), ("4", "", "b")]);
    assert!(Arc::ptr_eq(&questions[0].context, &questions[1].context), "a context is kept once");
}

#[test]
fn faults_are_named_with_their_place() {
    let qa =
        |qa: Value| read(&file("1.1", "a b", json!([{"id": "a", "question": "?", "answers": []}, qa]))).unwrap_err();
    let answer = |answer: Value| qa(json!({"id": "b", "question": "?", "answers": [answer]}));
    let cases = [
        (read("{\"data\":\n [1,, 2]}").unwrap_err(), "data:2: not JSON: expected value at line 2 column 5"),
        (read("").unwrap_err(), "data:1: not JSON: EOF while parsing a value at line 1 column 0"),
        (read("[]").unwrap_err(), "data: a list; expected an object with `data`"),
        (read("{\"data\": []}").unwrap_err(), "data: there are no questions in it"),
        (read("{\"version\": \"1.1\"}").unwrap_err(), "data: data: missing; expected a list"),
        (read("{\"data\": {}}").unwrap_err(), "data: data: an object; expected a list"),
        (read("{\"data\": [3]}").unwrap_err(), "data: data[0]: a number; expected an object"),
        (
            read("{\"data\": [{\"paragraphs\": [{\"qas\": []}]}]}").unwrap_err(),
            "data[0].paragraphs[0].context: missing",
        ),
        (qa(json!({"question": "?"})), "data: data[0].paragraphs[0].qas[1].id: missing; expected a string"),
        (qa(json!({"id": 7, "question": "?"})), "qas[1].id: a number; expected a string"),
        (qa(json!({"id": "a", "question": "?"})), "qas[1].id: `a` is another question's id, too"),
        (qa(json!({"id": "b"})), "qas[1].question: missing; expected a string"),
        (
            qa(json!({"id": "b", "question": "?", "is_impossible": 1})),
            "is_impossible: a number; expected true or false",
        ),
        (qa(json!({"id": "b", "question": "?", "answers": null})), "qas[1].answers: null; expected a list"),
        (answer(json!({"text": "a"})), "qas[1].answers[0].answer_start: missing; expected a number of characters"),
        (answer(json!({"text": "a", "answer_start": -1})), "answers[0].answer_start: -1; expected a number of"),
        (answer(json!({"text": "a", "answer_start": 3})), "answer_start: 3, but the context ends after 3 characters"),
        (answer(json!({"answer_start": 0})), "answers[0].text: missing; expected a string"),
        (read_lines("\n{\"question\": \"?\"}").unwrap_err(), "data:2: context: missing; expected a string"),
        (read_lines("{\"question\": 1, \"context\": \"\"}").unwrap_err(), "data:1: question: a number; expected a"),
        (read_lines("[1]").unwrap_err(), "data:1: not a JSON object: "),
        (read_lines("\n").unwrap_err(), "data: there are no questions in it"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
    let twice = "{\"id\": \"2\", \"question\": \"?\", \"context\": \"\"}\n{\"question\": \"?\", \"context\": \"\"}";
    assert_eq!(read_lines(twice).unwrap_err(), "data:2: id: `2` is another question's id, too");
    let bytes = read_questions_from(&b"{\n\xff"[..], Path::new("data")).unwrap_err().to_string();
    assert!(bytes.starts_with("data:2: byte 1 of the line, 0xFF,"), "{bytes}");
    let absent = read_questions(Path::new("no/such.json")).unwrap_err().to_string();
    assert!(absent.starts_with("cannot read no/such.json: "), "{absent}");
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
