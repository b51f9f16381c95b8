//! `tokenizer.json`, which describes any tokenizer; here only BERT's is understood.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::json::{self, Field, shown};
use crate::added_tokens::AddedToken;
use crate::error::Error;
use crate::normalize::Normalizer;
use crate::tokenizer::Settings;
use crate::vocab::{CLS, SEP, SPECIAL_TOKENS, UNK};

/// Reads the settings of a BERT tokenizer. `vocab_txt` reads the `vocab.txt` beside the file, if
/// there is one; it is asked only if this file alone does not tell all ids.
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    vocab_txt: impl FnOnce() -> Result<Option<Vec<String>>, Error>,
) -> Result<Settings, Error> {
    let value = json::parse(path, bytes)?;
    let root = Field::root(path, &value);
    root.object()?;
    if !root.get("version").is_absent() {
        root.get("version").expect_string("1.0")?;
    }

    let model = root.get("model");
    if !model.get("type").is_absent() {
        model.get("type").expect_string("WordPiece")?;
    }
    model.get("unk_token").expect_string(UNK)?;
    let continuing_subword_prefix = model.get("continuing_subword_prefix").string()?.to_string();
    let max_input_chars_per_word = model.get("max_input_chars_per_word").integer()?;

    let vocab = model.get("vocab");
    let ids = vocab.object()?;
    for token in SPECIAL_TOKENS {
        if !ids.contains_key(token) {
            return Err(Error::MissingSpecialToken { origin: path.display().to_string(), token });
        }
    }
    let mut tokens = tokens_by_id(&vocab, ids, vocab_txt)?;
    let model_tokens = tokens.len();
    let added = added_tokens(&root.get("added_tokens"), ids, &mut tokens)?;

    root.get("pre_tokenizer").get("type").expect_string("BertPreTokenizer")?;
    expect_bert_post_processor(&root.get("post_processor"), ids)?;

    Ok(Settings {
        tokens,
        model_tokens,
        added,
        normalizer: normalizer(&root.get("normalizer"))?,
        decoder_cleanup: decoder_cleanup(&root.get("decoder"), &continuing_subword_prefix)?,
        continuing_subword_prefix,
        max_input_chars_per_word: usize::try_from(max_input_chars_per_word).unwrap_or(usize::MAX),
        model_max_length: None,
        truncation_max_length: truncation_max_length(&root.get("truncation"))?,
        google_rules: false,
    })
}

/// Turns token → id into a list. Every id must be there once, so that the list is no longer than
/// the file has tokens.
fn tokens_by_id(
    vocab: &Field,
    ids: &Map<String, Value>,
    vocab_txt: impl FnOnce() -> Result<Option<Vec<String>>, Error>,
) -> Result<Vec<String>, Error> {
    let is_beyond = |id: &Value| id.as_u64().is_some_and(|id| id >= ids.len() as u64);
    if ids.values().any(is_beyond)
        && let Some(lines) = vocab_txt()?.filter(|lines| has_repeated_tokens_only(lines, ids))
    {
        return Ok(lines);
    }
    let expected = format!("ids from 0 to {}, each once", ids.len().saturating_sub(1));
    let mut tokens = vec![None; ids.len()];
    for (token, id) in ids {
        let slot = id.as_u64().and_then(|id| tokens.get_mut(usize::try_from(id).ok()?));
        let Some(slot) = slot else {
            return Err(vocab.error_found(&expected, format!("{id} for {}", shown(token))));
        };
        if let Some(other) = slot.replace(token) {
            let found = format!("{id} for both {} and {}", shown(other), shown(token));
            return Err(vocab.error_found(&expected, found));
        }
    }
    // No id twice and none too large: there is a token for each.
    Ok(tokens.into_iter().flatten().cloned().collect())
}

/// A `vocab.txt` may have a token on several lines, of which only the last counts. The object in
/// `tokenizer.json` cannot, and then lacks the ids of the other lines. They are filled from
/// `vocab.txt`, if apart from them it says the same.
fn has_repeated_tokens_only(lines: &[String], ids: &Map<String, Value>) -> bool {
    let id_of = |token: &String| ids.get(token).and_then(Value::as_u64);
    lines.len() > ids.len()
        && (0..).zip(lines).all(|(line, token)| id_of(token).is_some_and(|id| id >= line))
        && ids.iter().all(|(token, id)| {
            let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
            id.and_then(|id| lines.get(id)) == Some(token)
        })
}

/// Reads the added tokens. Those with ids beyond the vocabulary are appended to `tokens`.
fn added_tokens(field: &Field, ids: &Map<String, Value>, tokens: &mut Vec<String>) -> Result<Vec<AddedToken>, Error> {
    if field.is_absent() {
        return Ok(Vec::new());
    }
    let mut added = Vec::new();
    for element in field.elements()? {
        let id = element.get("id").integer()?;
        let id = u32::try_from(id).map_err(|_| element.get("id").error("an id of the vocabulary"))?;
        added.push(added_token(id, &element)?);
    }
    let id_of = |token: &str| ids.get(token).and_then(Value::as_u64);
    append_added_tokens(&mut added, id_of, tokens).map_err(|(expected, found)| field.error_found(&expected, found))?;
    Ok(added)
}

/// Checks the ids of `added`, sorts by them, and appends those beyond the vocabulary to `tokens`.
/// An error is what was expected and what was found.
pub(super) fn append_added_tokens(
    added: &mut [AddedToken],
    id_of: impl Fn(&str) -> Option<u64>,
    tokens: &mut Vec<String>,
) -> Result<(), (String, String)> {
    added.sort_by_key(|token| token.id);
    let mut contents = HashSet::new();
    for token in added {
        let next_id = tokens.len() as u64;
        let id = id_of(&token.content).unwrap_or(next_id);
        if id != u64::from(token.id) || !contents.insert(token.content.as_str()) {
            let expected = match id {
                id if id == next_id => format!("id {id} for the next token beyond the vocabulary"),
                id => format!("id {id}, once"),
            };
            return Err((expected, format!("{} for {}", token.id, shown(&token.content))));
        }
        if id == next_id {
            tokens.push(token.content.clone());
        }
    }
    Ok(())
}

/// Reads one added token.
pub(super) fn added_token(id: u32, field: &Field) -> Result<AddedToken, Error> {
    let flag = |name| Ok(field.get(name).optional_boolean()?.unwrap_or(false));
    if flag("single_word")? {
        return Err(field.get("single_word").error("false; such tokens are not supported"));
    }
    let content = field.get("content").string()?;
    if content.is_empty() {
        return Err(field.get("content").error("at least one character"));
    }
    let special = flag("special")?;
    Ok(AddedToken {
        id,
        content: content.to_string(),
        lstrip: flag("lstrip")?,
        rstrip: flag("rstrip")?,
        normalized: field.get("normalized").optional_boolean()?.unwrap_or(!special),
        special,
    })
}

fn normalizer(field: &Field) -> Result<Normalizer, Error> {
    field.get("type").expect_string("BertNormalizer")?;
    Ok(Normalizer {
        clean_text: field.get("clean_text").boolean()?,
        handle_chinese_chars: field.get("handle_chinese_chars").boolean()?,
        strip_accents: field.get("strip_accents").optional_boolean()?,
        lowercase: field.get("lowercase").boolean()?,
    })
}

/// An error unless the post-processor makes `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]` with the
/// right token types.
fn expect_bert_post_processor(field: &Field, ids: &Map<String, Value>) -> Result<(), Error> {
    let id_of = |token: &str| ids[token].clone();
    let kind = field.get("type");
    match kind.string()? {
        "BertProcessing" => {
            field.get("cls").expect(&json!([CLS, id_of(CLS)]))?;
            field.get("sep").expect(&json!([SEP, id_of(SEP)]))
        }
        "TemplateProcessing" => {
            field.get("single").expect(&template_single())?;
            field.get("pair").expect(&template_pair())?;
            for token in [CLS, SEP] {
                let special = field.get("special_tokens").get(token);
                special.get("ids").expect(&json!([id_of(token)]))?;
            }
            Ok(())
        }
        _ => Err(kind.error("\"TemplateProcessing\" or \"BertProcessing\"")),
    }
}

fn template_special(token: &str, type_id: u32) -> Value {
    json!({ "SpecialToken": { "id": token, "type_id": type_id } })
}

fn template_sequence(name: &str, type_id: u32) -> Value {
    json!({ "Sequence": { "id": name, "type_id": type_id } })
}

/// `[CLS] A [SEP]`
pub(super) fn template_single() -> Value {
    json!([template_special(CLS, 0), template_sequence("A", 0), template_special(SEP, 0)])
}

/// `[CLS] A [SEP] B [SEP]`
pub(super) fn template_pair() -> Value {
    json!([
        template_special(CLS, 0),
        template_sequence("A", 0),
        template_special(SEP, 0),
        template_sequence("B", 1),
        template_special(SEP, 1),
    ])
}

fn decoder_cleanup(field: &Field, continuing_subword_prefix: &str) -> Result<bool, Error> {
    if field.is_absent() {
        return Ok(true);
    }
    field.get("type").expect_string("WordPiece")?;
    field.get("prefix").expect_string(continuing_subword_prefix)?;
    field.get("cleanup").boolean()
}

fn truncation_max_length(field: &Field) -> Result<Option<usize>, Error> {
    if field.is_absent() {
        return Ok(None);
    }
    let length = field.get("max_length");
    let length = usize::try_from(length.integer()?).map_err(|_| length.error("a length"))?;
    Ok(Some(length))
}
