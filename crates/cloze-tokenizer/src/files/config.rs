//! `tokenizer_config.json`.

use std::path::Path;

use serde_json::Value;

use super::json::{self, Field};
use super::special_tokens::declared_in;
use super::tokenizer_json::added_token;
use crate::added_tokens::AddedToken;
use crate::encoding::{TruncationSide, TruncationStrategy};
use crate::error::Error;
use crate::normalize::{Casing, Normalizer};

/// What `tokenizer_config.json` says; `None` where it is silent.
#[derive(Default)]
pub(super) struct Config {
    class: Class,
    pub do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    pub model_max_length: Option<usize>,
    pub truncation_side: Option<TruncationSide>,
    pub truncation_strategy: Option<TruncationStrategy>,
    /// Tokens with ids. If there is such a list, older files with tokens do not count.
    pub added: Option<Vec<AddedToken>>,
    /// Special tokens without ids.
    pub declared: Vec<AddedToken>,
}

/// By whose rules a `tokenizer.json` beside the file is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Class {
    /// BERT's, or that of `config.json`, which is BERT's here: the settings of this file count.
    #[default]
    Bert,
    /// Any tokenizer's: those of `tokenizer.json` count.
    Any,
    /// Another class, whose settings are its own.
    Other,
}

/// Classes whose `vocab.txt` is read as BERT's is. Some others have a file of this name, but split
/// text into words in another way.
const BERT_CLASSES: [&str; 5] = ["Bert", "DistilBert", "Electra", "MobileBert", "LayoutLM"];

/// Classes that take everything from `tokenizer.json`.
const ANY_CLASSES: [&str; 2] = ["PreTrainedTokenizerFast", "TokenizersBackend"];

/// Hugging Face writes 1e30 where there is no limit; no model comes near this one.
const MODEL_MAX_LENGTH_MAX: f64 = i32::MAX as f64;

/// The names of sides, and of strategies; the last one leaves it to whoever calls.
const SIDES: [(&str, TruncationSide); 2] = [("right", TruncationSide::Right), ("left", TruncationSide::Left)];
const STRATEGIES: [(&str, TruncationStrategy); 4] = [
    ("longest_first", TruncationStrategy::LongestFirst),
    ("only_first", TruncationStrategy::OnlyFirst),
    ("only_second", TruncationStrategy::OnlySecond),
    ("do_not_truncate", TruncationStrategy::LongestFirst),
];

/// How `tokenizer_config.json` spells a side.
pub(super) fn side_name(side: TruncationSide) -> &'static str {
    SIDES.iter().find(|(_, other)| *other == side).map_or("right", |(name, _)| name)
}

/// How `tokenizer_config.json` spells a strategy.
pub(super) fn strategy_name(strategy: TruncationStrategy) -> &'static str {
    STRATEGIES.iter().find(|(_, other)| *other == strategy).map_or("longest_first", |(name, _)| name)
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Config, Error> {
    let value = json::parse(path, bytes)?;
    let root = Field::root(path, &value);
    root.object()?;

    let mut added = None;
    let decoder = root.get("added_tokens_decoder");
    if !decoder.is_absent() {
        let list = added.insert(Vec::new());
        for key in decoder.object()?.keys() {
            let field = decoder.get(key);
            let id = key.parse();
            let id = id.map_err(|_| decoder.error_found("ids as names", json::shown(key)))?;
            list.push(added_token(id, &field)?);
        }
    }
    let class = root.get("tokenizer_class");
    Ok(Config {
        class: if class.is_absent() { Class::Bert } else { class_named(class.string()?) },
        do_lower_case: root.get("do_lower_case").optional_boolean()?,
        strip_accents: root.get("strip_accents").optional_boolean()?,
        tokenize_chinese_chars: root.get("tokenize_chinese_chars").optional_boolean()?,
        model_max_length: model_max_length(&root.get("model_max_length"))?,
        truncation_side: root.get("truncation_side").optional_choice(&SIDES)?,
        truncation_strategy: root.get("truncation_strategy").optional_choice(&STRATEGIES)?,
        added,
        declared: declared_in(&root)?,
    })
}

fn class_named(name: &str) -> Class {
    if ANY_CLASSES.contains(&name) {
        return Class::Any;
    }
    let stem = name.strip_suffix("Fast").unwrap_or(name).strip_suffix("Tokenizer");
    if stem.is_some_and(|stem| BERT_CLASSES.contains(&stem)) { Class::Bert } else { Class::Other }
}

/// An error unless the class named in the file reads `vocab.txt` as BERT does.
pub(super) fn expect_bert_class(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let value = json::parse(path, bytes)?;
    let class = Field::root(path, &value).get("tokenizer_class");
    match class.is_absent() || class_named(class.string()?) == Class::Bert {
        true => Ok(()),
        false => Err(class.error("BertTokenizer, or a tokenizer.json beside the vocab.txt")),
    }
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
    /// The settings of this file. Where it is silent, those of Google's models hold, with `casing`.
    pub fn normalizer(&self, casing: Casing) -> Normalizer {
        let silent = Normalizer::new(casing);
        Normalizer {
            lowercase: self.do_lower_case.unwrap_or(silent.lowercase),
            strip_accents: self.strip_accents,
            handle_chinese_chars: self.tokenize_chinese_chars.unwrap_or(silent.handle_chinese_chars),
            ..silent
        }
    }

    /// An error if this file contradicts the normalizer of `tokenizer.json`.
    ///
    /// Defaults of a BERT class for fields that this file lacks, whatever `tokenizer.json` says: it lower-cases,
    /// and strips accents where it lower-cases.
    pub fn expect_agreement(&self, path: &Path, normalizer: Normalizer) -> Result<(), Error> {
        let strips = |normalizer: Normalizer| normalizer.strip_accents.unwrap_or(normalizer.lowercase);
        let ours = match self.class {
            Class::Bert => self.normalizer(Casing::Uncased),
            Class::Any => return Ok(()),
            Class::Other => Normalizer {
                lowercase: self.do_lower_case.unwrap_or(normalizer.lowercase),
                strip_accents: self.strip_accents.or(normalizer.strip_accents),
                handle_chinese_chars: self.tokenize_chinese_chars.unwrap_or(normalizer.handle_chinese_chars),
                ..normalizer
            },
        };
        for (field, said, ours, theirs) in [
            ("do_lower_case", self.do_lower_case, ours.lowercase, normalizer.lowercase),
            ("strip_accents", self.strip_accents, strips(ours), strips(normalizer)),
            (
                "tokenize_chinese_chars",
                self.tokenize_chinese_chars,
                ours.handle_chinese_chars,
                normalizer.handle_chinese_chars,
            ),
        ] {
            if ours != theirs {
                let found = match said {
                    Some(said) => said.to_string(),
                    None => format!("not set, which means {}", Value::from(ours)),
                };
                let path = path.to_path_buf();
                return Err(Error::Contradiction { path, field, expected: theirs.to_string(), found });
            }
        }
        Ok(())
    }
}
