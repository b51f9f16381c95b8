//! Labels as they are written: one or several in a cell or a field, as flags in columns, as numbers.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::config::labels::is_label;
use crate::data::options::{Faults, LabelSets, problem};
use crate::data::table::{Example, Labelling};
use crate::error::Error;

/// Characters that separate several labels in a cell, where none is chosen.
pub(crate) const SEPARATORS: [char; 3] = [',', '|', ';'];

/// Labels in a value of JSON.
pub(crate) enum Labels {
    /// There is none.
    Missing,
    /// Labels of the text.
    These(Vec<String>),
    /// Numbers in a list: ids, or a flag for each label.
    Numbers(Vec<String>),
}

/// The labels in a field. The error is a message without the line.
pub(crate) fn of_value(
    field: &str,
    value: &Value,
    labelling: Labelling,
    separator: Option<char>,
) -> Result<Labels, String> {
    match (value, labelling) {
        (Value::Null, _) => Ok(Labels::Missing),
        (Value::Array(values), Labelling::Several) => {
            let labels = values.iter().map(|value| label_of(field, value)).collect::<Result<_, _>>()?;
            let are_numbers = !values.is_empty() && values.iter().all(Value::is_number);
            Ok(if are_numbers { Labels::Numbers(labels) } else { Labels::These(labels) })
        }
        // A list of one is how tools for annotation write a single label.
        (Value::Array(values), _) if values.len() == 1 => Ok(Labels::These(vec![label_of(field, &values[0])?])),
        (Value::Array(values), _) if values.is_empty() => Ok(Labels::Missing),
        (Value::String(text), Labelling::Several) if separator.is_some_and(|separator| text.contains(separator)) => {
            Ok(Labels::These(separated(text, separator.expect("it was found"))))
        }
        (Value::String(text), _) if text.trim().is_empty() => Ok(Labels::Missing),
        _ => Ok(Labels::These(vec![label_of(field, value)?])),
    }
}

/// The labels of a cell with `separator` between.
pub(crate) fn separated(cell: &str, separator: char) -> Vec<String> {
    cell.split(separator).map(str::trim).filter(|label| !label.is_empty()).map(str::to_string).collect()
}

/// A single label: a string that is not blank, a number, true or false.
pub(crate) fn label_of(field: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(label) if !label.trim().is_empty() => Ok(label.trim().to_string()),
        Value::String(_) => Err(format!("field `{field}` is empty")),
        Value::Number(label) => Ok(label.to_string()),
        Value::Bool(label) => Ok(label.to_string()),
        _ => {
            let shown = value.to_string();
            let shown = shown.char_indices().nth(60).map_or(shown.clone(), |(end, _)| format!("{}…", &shown[..end]));
            Err(format!("field `{field}` holds {shown}; expected one label, a string or a number"))
        }
    }
}

/// True if a cell says that its text has the label of its column; nothing where it says neither.
pub(crate) fn flag(cell: &str) -> Option<bool> {
    match cell.trim() {
        "0" | "0.0" | "false" | "False" | "FALSE" => Some(false),
        "1" | "1.0" | "true" | "True" | "TRUE" => Some(true),
        _ => None,
    }
}

/// Gives labels the names that are meant, once a file has been read: lists of 0 and 1 become the labels they stand for,
/// 1.0 becomes 1, ids become names. `numbers` says for each example whether its labels were a list of numbers.
/// Examples whose list has a label twice are faults. What was changed is noted.
pub(crate) fn resolve(
    examples: &mut Vec<Example>,
    numbers: &[bool],
    names: &[String],
    labelling: Labelling,
    path: &Path,
    notes: &mut Vec<String>,
    faults: &mut Faults,
) -> Result<(), Error> {
    if matches!(labelling, Labelling::Optional | Labelling::Value) {
        return Ok(());
    }
    if labelling == Labelling::Several {
        multi_hot(examples, numbers, names, path, notes)?;
        refuse_repeated(examples, path, faults)?;
    }
    let labels = examples.iter().flat_map(|example| example.labels.iter());
    let Some(renaming) = Renaming::of(labels, names) else { return Ok(()) };
    notes.extend(renaming.note(path));
    let mut sets = LabelSets::default();
    for example in examples.iter_mut() {
        let renamed: Vec<String> = example.labels.iter().map(|label| renaming.name(label)).collect();
        if *renamed != *example.labels {
            example.labels = sets.shared(renamed);
        }
    }
    if labelling == Labelling::Several { refuse_repeated(examples, path, faults) } else { Ok(()) }
}

/// Reads lists that are as long as there are labels, of 0 and 1, as flags for each label.
fn multi_hot(
    examples: &mut [Example],
    numbers: &[bool],
    given: &[String],
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let lists = || examples.iter().zip(numbers).filter(|(_, is_list)| **is_list).map(|(example, _)| example);
    let Some(first) = lists().next() else { return Ok(()) };
    let width = first.labels.len();
    let is_flag = |label: &String| flag(label).is_some();
    let are_flags = width > 1
        && numbers.iter().all(|&is_list| is_list)
        && lists().all(|example| example.labels.len() == width && example.labels.iter().all(is_flag));
    if !are_flags {
        // Ids are whole numbers. Nothing else is meant by a point than flags.
        let is_whole = |label: &String| !label.contains(['.', 'e', 'E']);
        return match lists().find(|example| !example.labels.iter().all(is_whole)) {
            None => Ok(()),
            Some(example) => {
                let message = format!(
                    "the labels are the numbers {}; expected a list of 0 and 1 in each example, with a place for each \
                     label, or a list of labels",
                    example.labels.join(", ")
                );
                Err(problem(path, Some(example.line), &message))
            }
        };
    }
    let names: Vec<String> = match given.len() {
        0 => (0..width).map(|id| format!("label_{id}")).collect(),
        count if count == width => given.to_vec(),
        count => {
            let message = format!("a list of 0 and 1 for {width} labels, but there are names for {count}");
            return Err(problem(path, Some(first.line), &message));
        }
    };
    let named = if given.is_empty() { " (name them with --labels FILE)" } else { "" };
    notes.push(format!(
        "{}: lists of 0 and 1 are read as a flag for each of the labels {}{named}",
        path.display(),
        names.join(", ")
    ));
    let mut sets = LabelSets::default();
    for example in examples {
        let has = example.labels.iter().zip(&names).filter(|(cell, _)| flag(cell) == Some(true));
        example.labels = sets.shared(has.map(|(_, name)| name.clone()).collect());
    }
    Ok(())
}

/// A list in which a label occurs twice was meant otherwise, or is a mistake.
fn refuse_repeated(examples: &mut Vec<Example>, path: &Path, faults: &mut Faults) -> Result<(), Error> {
    let repeated = |labels: &[String]| {
        (1..labels.len()).find(|&at| labels[..at].contains(&labels[at])).map(|at| labels[at].clone())
    };
    let mut result = Ok(());
    examples.retain(|example| match repeated(&example.labels) {
        Some(label) if result.is_ok() => {
            let message = format!("the label `{label}` occurs twice in one list; keep one of them");
            result = faults.add(problem(path, Some(example.line), &message));
            false
        }
        _ => true,
    });
    result
}

/// How the labels of a file are spelt otherwise than there.
pub(crate) struct Renaming {
    /// 1.0 is 1.
    whole: bool,
    /// Numbers are ids of these.
    names: Vec<String>,
}

impl Renaming {
    /// The renaming for a file with these labels, if any is needed. `names` are the labels of a model or of a file, if
    /// there are such.
    pub(crate) fn of<'a>(labels: impl Iterator<Item = &'a String>, names: &[String]) -> Option<Renaming> {
        let is_known = |label: &String| names.iter().any(|own| is_label(own, label));
        let distinct: HashSet<&String> = labels.collect();
        if distinct.is_empty() || !distinct.iter().all(|label| label.parse().is_ok_and(f64::is_finite)) {
            return None;
        }
        let whole = distinct.iter().any(|label| spelt_whole(label).is_some());
        let whole_of = |label: &String| spelt_whole(label).unwrap_or_else(|| label.clone());
        let are_known = !names.is_empty() && distinct.iter().all(|label| is_known(&whole_of(label)));
        let are_ids = || distinct.iter().all(|label| whole_of(label).parse().is_ok_and(|id: usize| id < names.len()));
        let names = if !are_known && are_ids() { names.to_vec() } else { Vec::new() };
        (whole || !names.is_empty()).then_some(Renaming { whole, names })
    }

    /// The name that is meant by a label.
    pub(crate) fn name(&self, label: &str) -> String {
        let label = spelt_whole(label).unwrap_or_else(|| label.to_string());
        match label.parse::<usize>() {
            Ok(id) if id < self.names.len() => self.names[id].clone(),
            _ => label,
        }
    }

    /// Notes for the user.
    pub(crate) fn note(&self, path: &Path) -> Vec<String> {
        let path = path.display();
        let mut notes = Vec::new();
        if self.whole {
            notes.push(format!("{path}: labels such as 1.0 are read as 1"));
        }
        if !self.names.is_empty() {
            const SHOWN: usize = 10;
            let mut listed: Vec<String> =
                self.names.iter().take(SHOWN).enumerate().map(|(id, name)| format!("{id} = {name}")).collect();
            listed.extend((self.names.len() > SHOWN).then(|| "…".to_string()));
            notes.push(format!("{path}: the labels are numbers, read as ids: {}", listed.join(", ")));
        }
        notes
    }
}

/// A whole number without its point; nothing for what has none, or is not whole.
fn spelt_whole(label: &str) -> Option<String> {
    if !label.contains(['.', 'e', 'E']) {
        return None;
    }
    let value: f64 = label.parse().ok()?;
    (value.fract() == 0.0 && value.abs() < 9e15).then(|| format!("{}", value as i64))
}

/// A list of labels without any.
pub(crate) fn none() -> Arc<[String]> {
    Arc::new([])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example(labels: &[&str], line: usize) -> Example {
        let labels: Vec<String> = labels.iter().map(|label| label.to_string()).collect();
        Example { text: String::new(), text_b: None, labels: labels.into(), line }
    }

    /// The labels with names, and the notes; lists are of numbers.
    fn resolved(lists: &[&[&str]], names: &[&str], labelling: Labelling) -> Result<(Vec<String>, Vec<String>), String> {
        let mut examples: Vec<Example> = lists.iter().zip(1..).map(|(labels, line)| example(labels, line)).collect();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let (mut notes, mut faults) = (Vec::new(), Faults::end_reading());
        let numbers: Vec<bool> =
            lists.iter().map(|list| list.iter().all(|label| label.parse::<f64>().is_ok())).collect();
        resolve(&mut examples, &numbers, &names, labelling, Path::new("f"), &mut notes, &mut faults)
            .map_err(|error| error.to_string())?;
        Ok((examples.iter().map(|example| example.labels.join("+")).collect(), notes))
    }

    #[test]
    fn lists_of_flags_are_labels() {
        let several = Labelling::Several;
        let (labels, notes) = resolved(&[&["1.0", "0.0"], &["0.0", "0.0"], &["1.0", "1.0"]], &[], several).unwrap();
        assert_eq!(labels, ["label_0", "", "label_0+label_1"]);
        assert!(
            notes[0].contains("a flag for each of the labels label_0, label_1 (name them with --labels"),
            "{notes:?}"
        );
        let (labels, _) = resolved(&[&["1", "0", "1"], &["0", "0", "0"]], &["a", "b", "c"], several).unwrap();
        assert_eq!(labels, ["a+c", ""]);
        let message = resolved(&[&["1", "0", "1"]], &["a", "b"], several).unwrap_err();
        assert!(message.starts_with("f:1: a list of 0 and 1 for 3 labels, but there are names for 2"), "{message}");
        let message = resolved(&[&["0", "1"], &["0.2", "0.8"]], &[], several).unwrap_err();
        assert!(
            message.starts_with("f:2: the labels are the numbers 0.2, 0.8; expected a list of 0 and 1"),
            "{message}"
        );
        let message = resolved(&[&["1.0", "0.0"], &["1.0"]], &[], several).unwrap_err();
        assert!(message.contains("expected a list of 0 and 1 in each example"), "{message}");
    }

    #[test]
    fn lists_of_ids_are_labels_and_none_comes_twice() {
        let several = Labelling::Several;
        let (labels, notes) = resolved(&[&["0"], &["2", "1"]], &["joy", "anger", "fear"], several).unwrap();
        assert_eq!(labels, ["joy", "fear+anger"]);
        assert_eq!(notes, ["f: the labels are numbers, read as ids: 0 = joy, 1 = anger, 2 = fear"]);
        assert_eq!(resolved(&[&["0"], &["27", "1"]], &[], several).unwrap().0, ["0", "27+1"]);
        let message = resolved(&[&["a"], &["b", "a", "b"]], &[], several).unwrap_err();
        assert_eq!(message, "f:2: the label `b` occurs twice in one list; keep one of them");
        let message = resolved(&[&["7"], &["1", "1"]], &[], several).unwrap_err();
        assert!(message.starts_with("f:2: the label `1` occurs twice"), "{message}");
    }

    #[test]
    fn numbers_are_one_class_however_they_are_written() {
        let (labels, notes) = resolved(&[&["1.0"], &["1"], &["0"], &["-2e0"]], &[], Labelling::One).unwrap();
        assert_eq!(labels, ["1", "1", "0", "-2"]);
        assert_eq!(notes, ["f: labels such as 1.0 are read as 1"]);
        assert_eq!(resolved(&[&["1.0"], &["v2"]], &[], Labelling::One).unwrap().0, ["1.0", "v2"], "names");
        assert_eq!(resolved(&[&["1.5"], &["2"]], &[], Labelling::One).unwrap().0, ["1.5", "2"]);
        assert_eq!(resolved(&[&["1.0"]], &[], Labelling::Value).unwrap().0, ["1.0"], "a value");
    }

    #[test]
    fn ids_become_the_names_of_a_model() {
        let names = ["NEGATIVE", "POSITIVE"];
        let (labels, notes) = resolved(&[&["1"], &["0"]], &names, Labelling::One).unwrap();
        assert_eq!(labels, ["POSITIVE", "NEGATIVE"]);
        assert_eq!(notes, ["f: the labels are numbers, read as ids: 0 = NEGATIVE, 1 = POSITIVE"]);
        assert_eq!(resolved(&[&["1"], &["2"]], &names, Labelling::One).unwrap().0, ["1", "2"], "2 is no id");
        assert_eq!(resolved(&[&["1"], &["0"]], &["1", "0"], Labelling::One).unwrap().0, ["1", "0"], "names already");
        assert_eq!(resolved(&[&["1"]], &["LABEL_0", "LABEL_1"], Labelling::One).unwrap().0, ["1"]);
    }

    #[test]
    fn fields_hold_one_label_or_several() {
        let read = |value: Value, labelling, separator| match of_value("l", &value, labelling, separator) {
            Ok(Labels::Missing) => "missing".to_string(),
            Ok(Labels::These(labels)) => labels.join("+"),
            Ok(Labels::Numbers(labels)) => format!("numbers {}", labels.join("+")),
            Err(message) => message,
        };
        let (one, several) = (Labelling::One, Labelling::Several);
        assert_eq!(read(json!(["x"]), one, None), "x");
        assert_eq!(read(json!([]), one, None), "missing");
        assert_eq!(read(json!([]), several, None), "");
        assert_eq!(read(json!(null), several, None), "missing");
        assert_eq!(read(json!(true), one, None), "true");
        assert_eq!(read(json!([1, 0.5]), several, None), "numbers 1+0.5");
        assert_eq!(read(json!("a|b"), several, None), "a|b");
        assert_eq!(read(json!("a| b"), several, Some('|')), "a+b");
        assert_eq!(
            read(json!({"a": 1}), one, None),
            "field `l` holds {\"a\":1}; expected one label, a string or a number"
        );
        assert!(read(json!(["x", "y"]), one, None).starts_with("field `l` holds [\"x\",\"y\"]"));
    }
}
