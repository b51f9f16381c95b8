//! `tokenizer_config.json`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::json::{self, Field};
use super::tokenizer_json::{added_token, append_added_tokens};
use crate::added_tokens::AddedToken;
use crate::error::Error;
use crate::normalize::Normalizer;
use crate::tokenizer::Settings;
use crate::vocab::{CLS, MASK, PAD, SEP, UNK};

/// What `tokenizer_config.json` says; `None` where it is silent.
#[derive(Default)]
pub(super) struct Config {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    pub model_max_length: Option<usize>,
    added: Vec<AddedToken>,
}

/// Classes whose `vocab.txt` is read as BERT's is. Some others have a file of this name, but split
/// text into words in another way.
const TOKENIZER_CLASSES: [&str; 5] = ["Bert", "DistilBert", "Electra", "MobileBert", "LayoutLM"];

/// Hugging Face writes 1e30 where there is no limit; no model comes near this one.
const MODEL_MAX_LENGTH_MAX: f64 = i32::MAX as f64;

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Config, Error> {
    let value = json::parse(path, bytes)?;
    let root = Field::root(path, &value);
    root.object()?;

    for (key, token) in
        [("pad_token", PAD), ("unk_token", UNK), ("cls_token", CLS), ("sep_token", SEP), ("mask_token", MASK)]
    {
        let field = root.get(key);
        let content = field.get("content");
        // Written as a string, or as an object with flags.
        let field = if content.is_absent() { field } else { content };
        if !field.is_absent() {
            field.expect_string(token)?;
        }
    }

    let mut added = Vec::new();
    let decoder = root.get("added_tokens_decoder");
    if !decoder.is_absent() {
        for key in decoder.object()?.keys() {
            let field = decoder.get(key);
            let id = key.parse();
            let id = id.map_err(|_| decoder.error_found("ids as names", json::shown(key)))?;
            added.push(added_token(id, &field)?);
        }
    }

    Ok(Config {
        do_lower_case: root.get("do_lower_case").optional_boolean()?,
        strip_accents: root.get("strip_accents").optional_boolean()?,
        tokenize_chinese_chars: root.get("tokenize_chinese_chars").optional_boolean()?,
        model_max_length: model_max_length(&root.get("model_max_length"))?,
        added,
    })
}

/// An error unless the class named in the file reads `vocab.txt` as BERT does.
pub(super) fn expect_bert_class(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let value = json::parse(path, bytes)?;
    let class = Field::root(path, &value).get("tokenizer_class");
    if class.is_absent() {
        return Ok(());
    }
    let name = class.string()?;
    let stem = name.strip_suffix("Fast").unwrap_or(name).strip_suffix("Tokenizer");
    if stem.is_some_and(|stem| TOKENIZER_CLASSES.contains(&stem)) {
        return Ok(());
    }
    Err(class.error("BertTokenizer, or a tokenizer.json beside the vocab.txt"))
}

fn model_max_length(field: &Field) -> Result<Option<usize>, Error> {
    if field.is_absent() {
        return Ok(None);
    }
    let length = field.number()?;
    if length < 1.0 || length.fract() != 0.0 {
        return Err(field.error("a whole number of tokens from 1"));
    }
    Ok((length <= MODEL_MAX_LENGTH_MAX).then_some(length as usize))
}

impl Config {
    /// Puts what this file says into the settings of a plain `vocab.txt`.
    pub fn apply_to_vocab(self, path: &Path, settings: &mut Settings) -> Result<(), Error> {
        settings.normalizer = self.apply(settings.normalizer);
        settings.model_max_length = self.model_max_length;
        settings.added = self.added;
        // A token that comes twice has its last id.
        let ids: HashMap<String, u64> = settings.tokens.iter().cloned().zip(0..).collect();
        let id_of = |token: &str| ids.get(token).copied();
        append_added_tokens(&mut settings.added, id_of, &mut settings.tokens).map_err(|(expected, found)| {
            Error::Field { path: path.to_path_buf(), field: "added_tokens_decoder".to_string(), expected, found }
        })
    }

    /// `normalizer` with the settings of this file put in.
    fn apply(&self, normalizer: Normalizer) -> Normalizer {
        Normalizer {
            lowercase: self.do_lower_case.unwrap_or(normalizer.lowercase),
            strip_accents: self.strip_accents.or(normalizer.strip_accents),
            handle_chinese_chars: self.tokenize_chinese_chars.unwrap_or(normalizer.handle_chinese_chars),
            ..normalizer
        }
    }

    /// An error if this file contradicts the normalizer of `tokenizer.json`.
    ///
    /// Hugging Face's two libraries then read the same directory differently: `tokenizers` goes by
    /// one file, `transformers` by the other. Which one the model was trained with, nobody can say.
    pub fn expect_agreement(&self, path: &Path, normalizer: Normalizer) -> Result<(), Error> {
        let strips = |normalizer: Normalizer| Value::from(normalizer.strip_accents.unwrap_or(normalizer.lowercase));
        let ours = self.apply(normalizer);
        for (field, ours, theirs) in [
            ("do_lower_case", ours.lowercase.into(), normalizer.lowercase.into()),
            ("strip_accents", strips(ours), strips(normalizer)),
            ("tokenize_chinese_chars", ours.handle_chinese_chars.into(), normalizer.handle_chinese_chars.into()),
        ] {
            if ours != theirs {
                return Err(Error::Field {
                    path: path.to_path_buf(),
                    field: field.to_string(),
                    expected: format!("{theirs}, as normalizer in tokenizer.json beside it"),
                    found: ours.to_string(),
                });
            }
        }
        Ok(())
    }
}
