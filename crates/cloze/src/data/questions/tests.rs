use serde_json::json;

use super::*;
use crate::data::squad::aligned_span;

/// `Err` is the message.
fn read_as(content: &str, format: Format, columns: &str, needs_answers: bool) -> Result<Squad, String> {
    let options = DataOptions::of_columns((!columns.is_empty()).then(|| columns.parse().unwrap()));
    read_questions_from(content.as_bytes(), format, Path::new("data"), &options, needs_answers)
        .map_err(|error| error.to_string())
}

fn read(content: &str) -> Result<Squad, String> {
    read_as(content, Format::Json, "", true)
}

fn read_lines(content: &str) -> Result<Vec<Question>, String> {
    read_as(content, Format::Jsonl, "", false).map(|squad| squad.questions)
}

/// A file with one context and these questions.
fn file(version: &str, context: &str, qas: Value) -> String {
    json!({"version": version, "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}]}).to_string()
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
    // Haystack writes `false` everywhere, also where every question has an answer.
    for (is_impossible, seen) in [(false, SquadVersion::V1), (true, SquadVersion::V2)] {
        let told = json!({"id": "a", "question": "?", "answers": [], "is_impossible": is_impossible});
        assert_eq!(version("1.1", told), (seen, is_impossible));
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
        (read("{\"data\":\n [1,, 2]}").unwrap_err(), "data:2: not JSON: expected value in column 5"),
        (read("").unwrap_err(), "data:1: not JSON: EOF while parsing a value in column 0"),
        (read("[]").unwrap_err(), "data: there are no questions in it"),
        (read("{\"data\": []}").unwrap_err(), "data: there are no questions in it"),
        (read("{\"version\": \"1.1\"}").unwrap_err(), "data:1: data: missing; expected a list"),
        (read("{\"data\": {}}").unwrap_err(), "data:1: data: an object; expected a list"),
        (read("{\"data\": [3]}").unwrap_err(), "data:1: data[0]: a number; expected an object"),
        (
            read("{\"data\": [{\"paragraphs\": [{\"qas\": []}]}]}").unwrap_err(),
            "data[0].paragraphs[0].context: missing",
        ),
        (qa(json!({"question": "?"})), "data:1: data[0].paragraphs[0].qas[1].id: missing; expected a string"),
        (qa(json!({"id": 7.5, "question": "?"})), "qas[1].id: a number; expected a string or a whole number"),
        (qa(json!({"id": "a", "question": "?"})), "qas[1].id: `a` is another question's id, too"),
        (qa(json!({"id": "b"})), "qas[1].question: missing; expected a string"),
        (
            qa(json!({"id": "b", "question": "?", "is_impossible": 1})),
            "is_impossible: a number; expected true or false",
        ),
        (qa(json!({"id": "b", "question": "?", "answers": 7})), "qas[1].answers: a number; expected a list"),
        (answer(json!({"text": "c"})), "qas[1].answers[0].text: `c` is not in the context, and its place is not given"),
        (answer(json!({"text": "a", "answer_start": -2})), "answers[0].answer_start: -2; expected a number of"),
        (answer(json!({"text": "a", "answer_start": 3})), "answer_start: 3, but the context ends after 3 characters"),
        (answer(json!({"answer_start": 0})), "answers[0].text: missing; expected a string"),
        (read_lines("\n{\"question\": \"?\"}").unwrap_err(), "data:2: no column or field for the context (known"),
        (read_lines("{\"question\": 1, \"context\": \"\"}").unwrap_err(), "data:1: field `question` is no string"),
        (read_lines("[1]").unwrap_err(), "data:1: not a JSON object: "),
        (read_lines("\n").unwrap_err(), "data: there are no questions in it"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
    let twice = "{\"id\": \"2\", \"question\": \"?\", \"context\": \"\"}\n{\"question\": \"?\", \"context\": \"\"}";
    assert_eq!(read_lines(twice).unwrap_err(), "data:2: id: `2` is another question's id, too");
    let options = DataOptions::default();
    let bytes =
        read_questions_from(b"{\n\xff", Format::Json, Path::new("data"), &options, true).unwrap_err().to_string();
    assert!(bytes.starts_with("data:2: byte 1 of the line, 0xFF,"), "{bytes}");
    let absent = read_questions(Path::new("no/such.json"), &options, true).unwrap_err().to_string();
    assert!(absent.starts_with("cannot read no/such.json: "), "{absent}");
}

/// Id, answers with their places, and whether there is none.
fn told(squad: &Squad) -> Vec<String> {
    let answers = |question: &Question| {
        let each = question.answers.iter().map(|answer| format!("{}@{}", answer.text, answer.start));
        each.collect::<Vec<_>>().join("|")
    };
    let of = |question: &Question| format!("{} {} {}", question.id, answers(question), question.is_impossible);
    squad.questions.iter().map(of).collect()
}

#[test]
fn variants_of_squad_are_read() {
    let qas = json!([
        {"id": 17, "question": "?", "answers": [{"text": "b", "answer_start": 2}], "is_impossible": false},
        {"id": "x", "question": "?", "answers": [{"text": "", "answer_start": -1}], "is_impossible": true},
        {"id": "y", "question": "?", "answers": [{"text": "", "answer_start": -1}]},
        {"id": "z", "question": "?", "answers": {"text": ["b", "a b"], "answer_start": [2, 0]}},
        {"id": "v", "question": "?", "answers": {"text": [], "answer_start": []}},
        {"id": "w", "question": "?", "answers": [{"text": "a"}]},
    ]);
    let expected = ["17 b@2 false", "x  true", "y  true", "z b@2|a b@0 false", "v  true", "w a@0 false"];
    let squad = read(&file("1.1", "a b a", qas.clone())).unwrap();
    assert_eq!((told(&squad), squad.version), (expected.map(str::to_string).to_vec(), SquadVersion::V2));
    assert_eq!(squad.notes.len(), 1);
    assert!(squad.notes[0].contains("searched in their texts: 1; 1 of them occur more than once"), "{:?}", squad.notes);
    let paragraphs = json!([{"context": "a b a", "qas": qas}]);
    for list in
        [json!([{"title": "t", "paragraphs": paragraphs}]), paragraphs.clone(), json!({"paragraphs": paragraphs})]
    {
        assert_eq!(told(&read(&list.to_string()).unwrap()), expected);
    }
}

#[test]
fn questions_come_in_records() {
    let records = [
        json!({"id": "p", "title": "t", "question": "?", "context": "a b", "answers": {"text": ["b"], "answer_start": [2]}}),
        json!({"id": "q", "title": "t", "question": "?", "context": "a b", "answers": {"text": [], "answer_start": []}}),
        json!({"id": 3, "question": "?", "context": "a b", "answers": ["a", "b"]}),
        json!({"question": "?", "context": "a b", "answer": "b", "answer_start": 2.0}),
        json!({"question": "?", "context": "a b", "answer": null}),
    ];
    let expected = ["p b@2 false", "q  true", "3 a@0|b@2 false", "4 b@2 false", "5  true"];
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    let squad = read_as(&lines.join("\n"), Format::Jsonl, "", true).unwrap();
    assert_eq!((told(&squad), squad.version), (expected.map(str::to_string).to_vec(), SquadVersion::V2));
    assert_eq!(squad.notes[0], "data: fields that are not read: `title`");
    let list = format!("[{}]", lines.join(",\n"));
    assert_eq!(told(&read(&list).unwrap()), expected);
    let message = read_as("{\"question\": \"?\", \"context\": \"a\"}", Format::Jsonl, "", true).unwrap_err();
    assert!(
        message.starts_with("data:1: no column or field for the answer (known names: answers, answer"),
        "{message}"
    );
}

#[test]
fn questions_come_in_tables() {
    let csv = "question,context,answer\nWho?,\"Ann, here\",Ann\nWhen?,\"Ann, here\",\n";
    assert_eq!(told(&read_as(csv, Format::Csv, "", true).unwrap()), ["2 Ann@0 false", "3  true"]);
    let semicolons = csv.replace("Ann, here", "Ann").replace(',', ";");
    assert_eq!(told(&read_as(&semicolons, Format::Csv, "", true).unwrap()), ["2 Ann@0 false", "3  true"]);
    let chosen = "q\tbody\ta\nWho?\tAnn\tnn\n";
    let squad = read_as(chosen, Format::Tsv, "text=q,text_b=body,label=a", true).unwrap();
    assert_eq!(told(&squad), ["2 nn@1 false"]);
    // Pairs of texts are questions that nobody has answered.
    let squad = read_as("text\ttext_b\nWho?\tAnn\n", Format::Tsv, "", false).unwrap();
    assert_eq!((&*squad.questions[0].question, &*squad.questions[0].context), ("Who?", "Ann"));
    let message = read_as("question,context,answer\nWho?,Ann,Bob\n", Format::Csv, "", true).unwrap_err();
    assert_eq!(message, "data:2: answer: `Bob` is not in the context, and its place is not given");
    assert!(read_as("question,context\nWho?\n", Format::Csv, "", false).unwrap_err().starts_with("data:2: 1 column,"));
}

#[test]
fn faulty_questions_are_left_out_where_they_are_collected() {
    let mut faults = Faults::leave_out(9);
    let qas = json!([
        {"id": "a", "question": "?", "answers": []}, {"question": "?"}, 7, {"id": "a", "question": "?"},
        {"id": "b", "question": "?", "answers": [{"text": "a", "answer_start": 0}]},
    ]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    std::fs::write(&path, file("1.1", "a b", qas)).unwrap();
    let squad = read_file(&path, &DataOptions::default(), true, &mut faults).unwrap();
    assert_eq!((squad.questions.len(), faults.found.len()), (2, 3));
}

#[test]
fn memory_is_limited_by_the_size_of_the_file() {
    let zeros = format!("{{\"data\": [{}0]}}", "0,".repeat(1 << 20));
    assert!(read(&zeros).unwrap_err().starts_with("data:1: data[0]: a number; expected an object"));
    let zeros = file("1.1", "a", json!([{"id": "a", "question": "?", "answers": vec![0; 4 << 20]}]));
    assert!(read(&zeros).unwrap_err().contains("too long to be a label"));
}
