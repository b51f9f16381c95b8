//! Writing the files of a tokenizer as Hugging Face's libraries read them.

use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use super::config::{side_name, strategy_name};
use super::tokenizer_json::{SIDES, STRATEGIES, template_pair, template_single};
use super::{SPECIAL_TOKENS_MAP_JSON, TOKENIZER_CONFIG_JSON, TOKENIZER_JSON, VOCAB_TXT};
use crate::added_tokens::AddedToken;
use crate::encoding::{TruncationSide, TruncationStrategy};
use crate::error::Error;
use crate::tokenizer::Tokenizer;
use crate::vocab::{CLS, MASK, PAD, SEP, UNK, format_vocab_txt};

pub(crate) fn save(tokenizer: &Tokenizer, dir: &Path) -> Result<(), Error> {
    let vocab_path = dir.join(VOCAB_TXT);
    let tokens = &tokenizer.tokens[..tokenizer.model_tokens];
    let cannot_be_a_line = |token: &String| token.trim_end() != token || token.contains('\n');
    if let Some(id) = tokens.iter().position(cannot_be_a_line) {
        return Err(Error::UnwritableToken { path: vocab_path, id, token: tokens[id].clone() });
    }

    fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_path_buf(), source })?;
    write_file(&vocab_path, format_vocab_txt(tokens).as_bytes())?;
    write_json(&dir.join(TOKENIZER_JSON), &tokenizer_json(tokenizer))?;
    write_json(&dir.join(TOKENIZER_CONFIG_JSON), &tokenizer_config(tokenizer))?;
    write_json(&dir.join(SPECIAL_TOKENS_MAP_JSON), &special_tokens_map())
}

pub(crate) fn tokenizer_json(tokenizer: &Tokenizer) -> Value {
    let special = tokenizer.special;
    let truncation = tokenizer.truncation_max_length.map(|max_length| {
        json!({
            "direction": name_of(&SIDES, tokenizer.truncation_side),
            "max_length": max_length,
            "strategy": name_of(&STRATEGIES, tokenizer.truncation_strategy),
            "stride": 0,
        })
    });
    let added = tokenizer.added.as_slice().iter().map(|token| {
        let mut object = Map::new();
        object.insert("id".into(), token.id.into());
        object.extend(added_token(token));
        Value::Object(object)
    });
    // A token that comes twice keeps its last id, here as when it is read.
    let tokens = tokenizer.tokens[..tokenizer.model_tokens].iter();
    let vocab: Map<String, Value> = tokens.zip(0u32..).map(|(token, id)| (token.clone(), id.into())).collect();
    json!({
        "version": "1.0",
        "truncation": truncation,
        "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": tokenizer.normalizer.clean_text,
            "handle_chinese_chars": tokenizer.normalizer.handle_chinese_chars,
            "strip_accents": tokenizer.normalizer.strip_accents,
            "lowercase": tokenizer.normalizer.lowercase,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template_single(),
            "pair": template_pair(),
            "special_tokens": {
                CLS: { "id": CLS, "ids": [special.cls], "tokens": [CLS] },
                SEP: { "id": SEP, "ids": [special.sep], "tokens": [SEP] },
            },
        },
        "decoder": {
            "type": "WordPiece",
            "prefix": tokenizer.wordpiece.continuing_subword_prefix,
            "cleanup": tokenizer.decoder_cleanup,
        },
        "model": {
            "type": "WordPiece",
            "unk_token": UNK,
            "continuing_subword_prefix": tokenizer.wordpiece.continuing_subword_prefix,
            "max_input_chars_per_word": tokenizer.wordpiece.max_input_chars_per_word,
            "vocab": vocab,
        },
    })
}

fn tokenizer_config(tokenizer: &Tokenizer) -> Value {
    let added = tokenizer.added.as_slice().iter();
    let decoder: Map<String, Value> =
        added.map(|token| (token.id.to_string(), Value::Object(added_token(token)))).collect();
    let mut config = json!({
        "added_tokens_decoder": decoder,
        "clean_up_tokenization_spaces": tokenizer.decoder_cleanup,
        "cls_token": CLS,
        "do_lower_case": tokenizer.normalizer.lowercase,
        "mask_token": MASK,
        "pad_token": PAD,
        "sep_token": SEP,
        "strip_accents": tokenizer.normalizer.strip_accents,
        "tokenize_chinese_chars": tokenizer.normalizer.handle_chinese_chars,
        "tokenizer_class": "BertTokenizer",
        "unk_token": UNK,
    });
    // Without a model nobody knows how much it reads, so nothing is said.
    if let Some(length) = tokenizer.model_max_length {
        config["model_max_length"] = length.into();
    }
    if tokenizer.truncation_side != TruncationSide::default() {
        config["truncation_side"] = side_name(tokenizer.truncation_side).into();
    }
    if tokenizer.truncation_strategy != TruncationStrategy::default() {
        config["truncation_strategy"] = strategy_name(tokenizer.truncation_strategy).into();
    }
    config
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: T) -> Option<&'static str> {
    names.iter().find(|(_, other)| *other == value).map(|(name, _)| *name)
}

fn special_tokens_map() -> Value {
    json!({
        "cls_token": CLS,
        "mask_token": MASK,
        "pad_token": PAD,
        "sep_token": SEP,
        "unk_token": UNK,
    })
}

/// The fields of an added token but its id.
fn added_token(token: &AddedToken) -> Map<String, Value> {
    let AddedToken { id: _, content, single_word, lstrip, rstrip, normalized, special } = token;
    [
        ("content", content.as_str().into()),
        ("single_word", (*single_word).into()),
        ("lstrip", (*lstrip).into()),
        ("rstrip", (*rstrip).into()),
        ("normalized", (*normalized).into()),
        ("special", (*special).into()),
    ]
    .into_iter()
    .map(|(key, value): (&str, Value)| (key.to_string(), value))
    .collect()
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    // The alternate form of a JSON value is the indented one.
    write_file(path, format!("{value:#}\n").as_bytes())
}

/// Writes under another name first, so that `path` always holds a whole file.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = temporary(path);
    let write = || -> io::Result<()> {
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // Nothing more can be done if this fails too.
        let _ = fs::remove_file(&temporary);
        Error::Write { path: path.to_path_buf(), source }
    })
}

/// A name that nobody else uses. The library `cloze` knows such names, and removes what a killed process has left.
fn temporary(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // The keys of a RandomState are the system's random numbers. Nothing that is computed depends on them.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".cloze-{:016x}.tmp", hasher.finish()));
    path.with_file_name(name)
}
