//! Special tokens that `tokenizer_config.json` and `special_tokens_map.json` declare by name, without ids.

use std::path::Path;

use serde_json::Value;

use super::json::{self, Field};
use super::tokenizer_json::added_token;
use crate::added_tokens::AddedToken;
use crate::error::Error;
use crate::vocab::{CLS, MASK, PAD, SEP, UNK};

/// The tokens that each have a field, in the order in which `transformers` gives ids to them, and what BERT's are.
const NAMED: [(&str, Option<&str>); 7] = [
    ("bos_token", None),
    ("eos_token", None),
    ("unk_token", Some(UNK)),
    ("sep_token", Some(SEP)),
    ("pad_token", Some(PAD)),
    ("cls_token", Some(CLS)),
    ("mask_token", Some(MASK)),
];

/// Lists of further tokens, or objects of them by names of their own.
const FURTHER: [&str; 3] = ["additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"];

/// The special tokens of `special_tokens_map.json`.
pub(super) fn parse_map(path: &Path, bytes: &[u8]) -> Result<Vec<AddedToken>, Error> {
    let value = json::parse(path, bytes)?;
    let root = Field::root(path, &value);
    root.object()?;
    declared_in(&root)
}

/// The special tokens that an object declares, each once. Their ids are still to be found.
pub(super) fn declared_in(root: &Field) -> Result<Vec<AddedToken>, Error> {
    let mut declared: Vec<AddedToken> = Vec::new();
    let mut declare = |field: &Field| -> Result<(), Error> {
        let token = declared_token(field)?;
        if declared.iter().all(|other| other.content != token.content) {
            declared.push(token);
        }
        Ok(())
    };
    for (name, expected) in NAMED {
        let field = root.get(name);
        if field.is_absent() {
            continue;
        }
        if let Some(expected) = expected {
            let content = field.get("content");
            // Written as a string, or as an object with flags.
            if content.is_absent() { &field } else { &content }.expect_string(expected)?;
        }
        declare(&field)?;
    }
    for name in FURTHER {
        let field = root.get(name);
        match field.value() {
            None | Some(Value::Null) => {}
            Some(Value::Object(object)) => object.keys().try_for_each(|key| declare(&field.get(key)))?,
            _ => field.elements()?.try_for_each(|element| declare(&element))?,
        }
    }
    Ok(declared)
}

/// A token as a string, or as an object with flags.
fn declared_token(field: &Field) -> Result<AddedToken, Error> {
    match field.value() {
        Some(Value::String(content)) if !content.is_empty() => Ok(AddedToken::special(0, content)),
        Some(Value::String(_)) => Err(field.error("at least one character")),
        _ => {
            let token = added_token(0, field)?;
            let normalized = field.get("normalized").optional_boolean()?.unwrap_or(false);
            Ok(AddedToken { normalized, special: true, ..token })
        }
    }
}
