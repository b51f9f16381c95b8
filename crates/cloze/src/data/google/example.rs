//! An instance as a message `tf.train.Example`, the way BERT's training scripts read it.
//!
//! An example holds in its field 1 the features; these hold in their field 1, each as a message, the name (1) and the
//! feature (2) of every one. A feature holds a list of floats (2) or integers (3), whose field 1 are the numbers. The
//! features stand in the order of their names, so that an instance is always the same bytes.

use std::collections::HashMap;

use crate::protobuf::{Value, bytes, next_field, next_varint, varint};

use super::{Instance, InstanceOptions};

const FLOAT_LIST: u8 = 2;
const INT64_LIST: u8 = 3;

/// The message of an instance, padded to the maximum length and number of predictions.
///
/// # Panics
///
/// If the instance is longer than `options` say.
pub(super) fn to_example(instance: &Instance, options: &InstanceOptions) -> Vec<u8> {
    let length = instance.tokens.len();
    let predictions = instance.masked_lm_labels.len();
    assert!(length <= options.max_seq_length, "{length} tokens");
    assert!(predictions <= options.max_predictions_per_seq, "{predictions} predictions");
    let of_tokens = |values: &mut dyn Iterator<Item = u64>| int64_list(values, options.max_seq_length);
    let of_predictions =
        |values: &[u32]| int64_list(&mut values.iter().map(|&value| u64::from(value)), options.max_predictions_per_seq);
    let mut weights = vec![1.0f32; predictions];
    weights.resize(options.max_predictions_per_seq, 0.0);
    let weights: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();

    let mut features = Vec::new();
    let mut put = |name: &str, kind: u8, numbers: &[u8]| {
        let (mut list, mut feature, mut entry) = (Vec::new(), Vec::new(), Vec::new());
        // A list without numbers has no field for them.
        if !numbers.is_empty() {
            bytes(&mut list, 1, numbers);
        }
        bytes(&mut feature, kind, &list);
        bytes(&mut entry, 1, name.as_bytes());
        bytes(&mut entry, 2, &feature);
        bytes(&mut features, 1, &entry);
    };
    put("input_ids", INT64_LIST, &of_tokens(&mut instance.tokens.iter().map(|&id| u64::from(id))));
    put("input_mask", INT64_LIST, &of_tokens(&mut instance.tokens.iter().map(|_| 1)));
    put("masked_lm_ids", INT64_LIST, &of_predictions(&instance.masked_lm_labels));
    put("masked_lm_positions", INT64_LIST, &of_predictions(&instance.masked_lm_positions));
    put("masked_lm_weights", FLOAT_LIST, &weights);
    put("next_sentence_labels", INT64_LIST, &[u8::from(instance.is_random_next)]);
    put("segment_ids", INT64_LIST, &of_tokens(&mut instance.segment_ids.iter().map(|&id| u64::from(id))));
    let mut example = Vec::new();
    bytes(&mut example, 1, &features);
    example
}

/// The instance of a message, without its padding; otherwise what is wrong with the message.
pub(super) fn from_example(example: &[u8]) -> Result<Instance, String> {
    let features = features_of(example)?;
    let integers = |name: &str| match features.get(name) {
        Some(Numbers::Integers(values)) => Ok(&values[..]),
        Some(Numbers::Floats(_)) => Err(format!("feature `{name}` holds floats; expected integers")),
        None => Err(format!("there is no feature `{name}`")),
    };
    let mask = integers("input_mask")?;
    let length = mask.iter().take_while(|&&is_token| is_token == 1).count();
    if mask[length..].iter().any(|&is_token| is_token != 0) {
        return Err("`input_mask` is not ones and then zeros".to_string());
    }
    let weights = match features.get("masked_lm_weights") {
        Some(Numbers::Floats(weights)) => weights,
        _ => return Err("there is no feature `masked_lm_weights` of floats".to_string()),
    };
    let predictions = weights.iter().take_while(|&&weight| weight == 1.0).count();
    if weights[predictions..].iter().any(|&weight| weight != 0.0) {
        return Err("`masked_lm_weights` are not ones and then zeros".to_string());
    }
    let unpadded = |name: &str, padded: usize, count: usize| {
        let values = integers(name)?;
        if values.len() != padded {
            return Err(format!("feature `{name}` has {} numbers; expected {padded}", values.len()));
        }
        let narrow = |&value: &i64| {
            u32::try_from(value)
                .map_err(|_| format!("`{name}` holds {value}; expected a number from 0 to {}", u32::MAX))
        };
        values[..count].iter().map(narrow).collect::<Result<Vec<u32>, String>>()
    };
    let segment_ids = unpadded("segment_ids", mask.len(), length)?;
    let is_random_next = match integers("next_sentence_labels")? {
        [0] => false,
        [1] => true,
        values => return Err(format!("`next_sentence_labels` are {values:?}; expected 0 or 1")),
    };
    Ok(Instance {
        tokens: unpadded("input_ids", mask.len(), length)?,
        segment_ids: segment_ids.iter().map(|&id| u8::try_from(id).unwrap_or(u8::MAX)).collect(),
        is_random_next,
        masked_lm_positions: unpadded("masked_lm_positions", weights.len(), predictions)?,
        masked_lm_labels: unpadded("masked_lm_ids", weights.len(), predictions)?,
    })
}

fn int64_list(values: &mut dyn Iterator<Item = u64>, length: usize) -> Vec<u8> {
    let mut list = Vec::with_capacity(2 * length);
    values.chain(std::iter::repeat(0)).take(length).for_each(|value| varint(&mut list, value));
    list
}

/// What a feature holds.
enum Numbers {
    Integers(Vec<i64>),
    Floats(Vec<f32>),
}

/// The features by name. A feature of strings is left out, and so are fields that are not known.
fn features_of(example: &[u8]) -> Result<HashMap<String, Numbers>, String> {
    let mut features = HashMap::new();
    let mut fields = |message: &[u8]| {
        for entry in messages(message, 1)? {
            let name = messages(entry, 1)?.last().map_or("", |name| std::str::from_utf8(name).unwrap_or_default());
            for feature in messages(entry, 2)? {
                if let Some(numbers) = numbers_of(feature)? {
                    features.insert(name.to_string(), numbers);
                }
            }
        }
        Ok::<(), String>(())
    };
    for message in messages(example, 1)? {
        fields(message)?;
    }
    Ok(features)
}

fn numbers_of(feature: &[u8]) -> Result<Option<Numbers>, String> {
    let mut rest = feature;
    let mut numbers = None;
    while let Some((field, value)) = next_field(&mut rest)? {
        let Value::Bytes(list) = value else { continue };
        match field as u8 {
            FLOAT_LIST => numbers = Some(Numbers::Floats(floats(list)?)),
            INT64_LIST => numbers = Some(Numbers::Integers(integers(list)?)),
            _ => {}
        }
    }
    Ok(numbers)
}

/// Numbers stand in one field together, or each in its own.
fn integers(mut list: &[u8]) -> Result<Vec<i64>, String> {
    let mut values = Vec::new();
    while let Some((field, value)) = next_field(&mut list)? {
        match (field, value) {
            (1, Value::Integer(value)) => values.push(value as i64),
            (1, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    values.push(next_varint(&mut packed)? as i64);
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

fn floats(mut list: &[u8]) -> Result<Vec<f32>, String> {
    let mut values = Vec::new();
    while let Some((field, value)) = next_field(&mut list)? {
        match (field, value) {
            (1, Value::Four(value)) => values.push(f32::from_le_bytes(value)),
            (1, Value::Bytes(packed)) => {
                let (chunks, rest) = packed.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err("a list of floats breaks off".to_string());
                }
                values.extend(chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)));
            }
            _ => {}
        }
    }
    Ok(values)
}

/// The messages or strings of one field.
fn messages(mut message: &[u8], number: u64) -> Result<Vec<&[u8]>, String> {
    let mut found = Vec::new();
    while let Some((field, value)) = next_field(&mut message)? {
        if let Value::Bytes(value) = value
            && field == number
        {
            found.push(value);
        }
    }
    Ok(found)
}
