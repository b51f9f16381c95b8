//! The labels of a classifier: `id2label` and `label2id`, which must agree.

use serde_json::Value;

use super::fields::{Fields, short};
use crate::error::Error;

/// Labels that a `config.json` may announce by their number alone.
pub(super) const LABELS_MAX: usize = 1 << 17;

/// The labels in the order of their ids; none if the file names none.
///
/// Many files in the wild set one of the two maps and leave the other at Hugging Face's default
/// (`LABEL_0`, `LABEL_1` …): then the one that was set counts.
pub(super) fn take(fields: &mut Fields, num_labels: Option<usize>) -> Result<Vec<String>, Error> {
    let by_id = id2label(fields)?;
    let by_label = label2id(fields)?;
    let labels = match (by_id, by_label) {
        (Some(labels), None) | (None, Some(labels)) => labels,
        (Some(by_id), Some(by_label)) if by_id == by_label || is_default(&by_label) => by_id,
        (Some(by_id), Some(by_label)) if is_default(&by_id) && by_id.len() == by_label.len() => by_label,
        (Some(_), Some(_)) => return Err(fields.error("label2id", "does not agree with id2label".into())),
        (None, None) => default_labels(num_labels.unwrap_or(0)),
    };
    match num_labels {
        Some(count) if count != labels.len() => {
            Err(fields.error("num_labels", format!("{count}, but id2label names {} labels", labels.len())))
        }
        _ => Ok(labels),
    }
}

/// Whether a label of a model is what a file calls `label`: files may also have the bare numbers of `LABEL_0`, `LABEL_1`, ….
pub(crate) fn is_label(own: &str, label: &str) -> bool {
    own == label || own.strip_prefix("LABEL_") == Some(label)
}

fn default_labels(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("LABEL_{id}")).collect()
}

fn is_default(labels: &[String]) -> bool {
    labels.iter().enumerate().all(|(id, label)| *label == format!("LABEL_{id}"))
}

fn id2label(fields: &mut Fields) -> Result<Option<Vec<String>>, Error> {
    let Some(map) = fields.object("id2label")? else { return Ok(None) };
    let mut pairs = Vec::with_capacity(map.len());
    for (id, label) in map {
        let Ok(number) = id.parse() else {
            return Err(fields.error("id2label", format!("expected whole numbers as keys, found \"{id}\"")));
        };
        match label {
            Value::String(label) => pairs.push((number, label)),
            found => {
                return Err(fields.error("id2label", format!("expected a string for {id}, found {}", short(&found))));
            }
        }
    }
    in_order(fields, "id2label", pairs).map(Some)
}

fn label2id(fields: &mut Fields) -> Result<Option<Vec<String>>, Error> {
    let Some(map) = fields.object("label2id")? else { return Ok(None) };
    let mut pairs = Vec::with_capacity(map.len());
    for (label, id) in map {
        let number = match &id {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        };
        match number {
            Some(number) => pairs.push((number, label)),
            None => {
                let message = format!("expected a whole number for \"{label}\", found {}", short(&id));
                return Err(fields.error("label2id", message));
            }
        }
    }
    in_order(fields, "label2id", pairs).map(Some)
}

/// The labels by id. The ids must be 0, 1, 2 … without gaps, and no label may come twice.
fn in_order(fields: &Fields, field: &str, mut pairs: Vec<(u64, String)>) -> Result<Vec<String>, Error> {
    pairs.sort();
    if let Some((expected, (found, _))) = (0..).zip(&pairs).find(|(expected, (found, _))| expected != found) {
        let message =
            format!("expected the ids 0 to {}, each once, found {found} in place of {expected}", pairs.len() - 1);
        return Err(fields.error(field, message));
    }
    let labels: Vec<String> = pairs.into_iter().map(|(_, label)| label).collect();
    let mut sorted: Vec<&String> = labels.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(fields.error(field, format!("the label \"{}\" comes twice", pair[0]))),
        None => Ok(labels),
    }
}
