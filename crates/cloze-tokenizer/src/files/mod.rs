//! The files of a tokenizer.

mod config;
mod json;
pub(crate) mod read;
mod special_tokens;
mod tokenizer_json;
pub(crate) mod write;

pub(crate) const VOCAB_TXT: &str = "vocab.txt";
pub(crate) const TOKENIZER_JSON: &str = "tokenizer.json";
pub(crate) const TOKENIZER_CONFIG_JSON: &str = "tokenizer_config.json";
pub(crate) const SPECIAL_TOKENS_MAP_JSON: &str = "special_tokens_map.json";
pub(crate) const ADDED_TOKENS_JSON: &str = "added_tokens.json";
