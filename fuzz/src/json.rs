//! Changes to JSON: still JSON, with other values, keys and shapes.

use serde_json::{Value, json};

use crate::random::Random;

/// Numbers at the edges of what programs count with.
pub const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "0.1",
    "2",
    "255",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e-320",
    "1e300",
    "1e400",
    "-1e300",
    "0.15384615384615385",
    "100.00000000000004",
];

/// `text` with one to four changes, or nothing if it is not JSON.
pub fn mutate(text: &str, random: &mut Random) -> Option<String> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    for _ in 0..=random.below(4) {
        let mut place = random.below(count(&value));
        change(&mut value, &mut place, random);
    }
    let mut text = value.to_string();
    // Keys that stand twice and numbers that no Value holds exist in text alone.
    if random.one_in(4) {
        text = repeat_key(&text, random);
    }
    if random.one_in(4) {
        text = text.replacen("\"@number@\"", random.pick(NUMBERS), 1);
    }
    Some(text)
}

/// How many values there are, with those inside of others.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value number `place`, counted from the outside in.
fn change(value: &mut Value, place: &mut usize, random: &mut Random) {
    if *place == 0 {
        *place = usize::MAX;
        return change_here(value, random);
    }
    *place = place.wrapping_sub(1);
    let inner: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(values) => Box::new(values.iter_mut()),
        Value::Object(fields) => Box::new(fields.values_mut()),
        _ => return,
    };
    for value in inner {
        if *place == usize::MAX {
            return;
        }
        change(value, place, random);
    }
}

fn change_here(value: &mut Value, random: &mut Random) {
    match (random.below(5), &mut *value) {
        (0 | 1, Value::Object(fields)) if !fields.is_empty() => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = &keys[random.below(keys.len())];
            let taken = fields.shift_remove(key).expect("a key that there is");
            match random.below(3) {
                0 => {}
                1 => {
                    fields.insert(format!("{key}_"), taken);
                }
                _ => {
                    fields.insert(keys[random.below(keys.len())].clone(), taken);
                }
            }
        }
        (0 | 1, Value::Array(values)) if !values.is_empty() => {
            let at = random.below(values.len());
            match random.below(3) {
                0 => drop(values.remove(at)),
                1 => values.insert(at, values[at].clone()),
                _ => values.swap(0, at),
            }
        }
        (0 | 1, Value::String(text)) => {
            let at = (0..=text.len()).filter(|&at| text.is_char_boundary(at)).nth(random.below(text.len() + 1));
            text.insert_str(at.unwrap_or(0), random.pick(crate::mutate::STRINGS));
        }
        (2, Value::Number(number)) => {
            let changed = number.as_f64().unwrap_or(0.0) + if random.one_in(2) { 1.0 } else { -1.0 };
            *value = if changed.fract() == 0.0 { json!(changed as i64) } else { json!(changed) };
        }
        _ => *value = any(random, 0),
    }
}

/// Some value.
fn any(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth > 2 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(random.one_in(2)),
        2 => json!("@number@"),
        3 => serde_json::from_str(random.pick(NUMBERS)).unwrap_or(Value::Null),
        4 => json!(random.pick(crate::mutate::STRINGS)),
        5 => json!("x".repeat(1 << random.below(12))),
        6 => (0..random.below(4)).map(|_| any(random, depth + 1)).collect(),
        _ => (0..random.below(4)).map(|at| (at.to_string(), any(random, depth + 1))).collect(),
    }
}

/// Writes a field of an object a second time.
fn repeat_key(text: &str, random: &mut Random) -> String {
    let colons: Vec<usize> = text.match_indices("\":").map(|(at, _)| at).collect();
    if colons.is_empty() {
        return text.to_string();
    }
    let colon = colons[random.below(colons.len())];
    let key = text[..colon].rfind('"').map_or("\"", |quote| &text[quote..=colon]);
    format!("{{{key}:{},{}", random.pick(NUMBERS), text.strip_prefix('{').unwrap_or(text))
}
