//! Exports of Label Studio, as the flat records that all readers know.
//!
//! An item of the JSON export has the task's `data`, and `annotations` (`completions` in old versions) with a list
//! `result`: choices for a text, or labelled spans. Of several annotations the one that is marked as ground truth
//! counts; else all that were not cancelled must say the same.

use serde_json::{Map, Value, json};

/// The flat record of an exported item: the fields of its data, with `label` for choices and `entities` for spans.
/// Nothing if the object is no such item. The error is a message without the line.
pub(crate) fn flatten(item: &Map<String, Value>) -> Result<Option<Value>, String> {
    let annotations = item.get("annotations").or_else(|| item.get("completions"));
    let (Some(Value::Object(data)), Some(Value::Array(annotations))) = (item.get("data"), annotations) else {
        return Ok(None);
    };
    let mut flat = data.clone();
    let is_set = |annotation: &Value, flag: &str| annotation.get(flag).and_then(Value::as_bool) == Some(true);
    let mut valid = annotations.iter().filter(|annotation| !is_set(annotation, "was_cancelled"));
    let truth = annotations.iter().find(|annotation| is_set(annotation, "ground_truth"));
    let chosen = truth.map_or_else(|| valid.clone().next().map(answers), |truth| Some(answers(truth)));
    let Some(chosen) = chosen else { return Ok(Some(Value::Object(flat))) };
    if truth.is_none() && !valid.all(|annotation| answers(annotation) == chosen) {
        return Err("its annotations differ; mark one as ground truth, or keep one".to_string());
    }
    let (choices, spans) = chosen;
    let mut add = |name: &str, value: Value| {
        // What the data calls so was not annotated.
        if let Some(own) = flat.insert(name.to_string(), value) {
            flat.insert(format!("data.{name}"), own);
        }
    };
    if !choices.is_empty() {
        add("label", choices.into());
    }
    if !spans.is_empty() || !annotations.iter().any(has_choices) {
        add("entities", spans.into());
    }
    Ok(Some(Value::Object(flat)))
}

fn has_choices(annotation: &Value) -> bool {
    !answers(annotation).0.is_empty()
}

/// The choices and the spans of an annotation.
fn answers(annotation: &Value) -> (Vec<Value>, Vec<Value>) {
    let (mut choices, mut spans) = (Vec::new(), Vec::new());
    for result in annotation.get("result").and_then(Value::as_array).into_iter().flatten() {
        let Some(value) = result.get("value") else { continue };
        if let Some(own) = value.get("choices").and_then(Value::as_array) {
            choices.extend(own.iter().cloned());
        }
        if let (Some(start), Some(end), Some(labels)) = (value.get("start"), value.get("end"), value.get("labels")) {
            spans.push(match value.get("text") {
                Some(text) => json!({"start": start, "end": end, "labels": labels, "text": text}),
                None => json!({"start": start, "end": end, "labels": labels}),
            });
        }
    }
    (choices, spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(item: Value) -> Result<Option<Value>, String> {
        flatten(item.as_object().unwrap())
    }

    fn result(value: Value) -> Value {
        json!({"from_name": "x", "to_name": "text", "type": "labels", "value": value})
    }

    #[test]
    fn choices_and_spans_become_fields() {
        let span = json!({"start": 0, "end": 3, "text": "Ann", "labels": ["PER"]});
        let item = json!({"id": 1, "data": {"text": "Ann came", "label": 9}, "annotations": [
            {"was_cancelled": true, "result": []},
            {"was_cancelled": false, "result": [result(json!({"choices": ["pos"]})), result(span.clone())]},
        ]});
        let expected = json!({"text": "Ann came", "label": ["pos"], "data.label": 9, "entities": [span]});
        assert_eq!(flat(item).unwrap(), Some(expected));
        let nothing = json!({"data": {"text": "a"}, "completions": [{"result": []}]});
        assert_eq!(flat(nothing).unwrap(), Some(json!({"text": "a", "entities": []})));
        let unlabelled = json!({"data": {"text": "a"}, "annotations": []});
        assert_eq!(flat(unlabelled).unwrap(), Some(json!({"text": "a"})));
        assert_eq!(flat(json!({"text": "a", "annotations": []})).unwrap(), None);
    }

    #[test]
    fn annotations_that_differ_need_a_ground_truth() {
        let annotation =
            |choice: &str, truth| json!({"ground_truth": truth, "result": [result(json!({"choices": [choice]}))]});
        let item = |annotations: Value| json!({"data": {"text": "a"}, "annotations": annotations});
        let label = |annotations: Value| flat(item(annotations)).map(|flat| flat.unwrap()["label"].clone());
        assert_eq!(label(json!([annotation("a", false), annotation("a", false)])), Ok(json!(["a"])));
        assert_eq!(label(json!([annotation("a", false), annotation("b", true)])), Ok(json!(["b"])));
        assert!(label(json!([annotation("a", false), annotation("b", false)])).unwrap_err().contains("differ"));
    }
}
