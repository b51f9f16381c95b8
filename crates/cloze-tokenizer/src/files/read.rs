//! Finding and reading the files of a tokenizer.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::config::{self, Config};
use super::json::{self, Field};
use super::special_tokens::parse_map;
use super::tokenizer_json::{self, append_added_tokens};
use super::{ADDED_TOKENS_JSON, SPECIAL_TOKENS_MAP_JSON, TOKENIZER_CONFIG_JSON, TOKENIZER_JSON, VOCAB_TXT};
use crate::added_tokens::AddedToken;
use crate::error::Error;
use crate::normalize::Casing;
use crate::small_file;
use crate::tokenizer::{Note, Settings, TokenizerFile};
use crate::vocab::{UpperCase, parse_vocab_txt};

/// The largest vocabularies, of half a million tokens, take some 15 MB. This bounds what a hostile
/// file can make the JSON parser allocate.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Reads the settings of the tokenizer at `path`, and the name of the file with its vocabulary.
pub(crate) fn open(
    path: &Path,
    casing: Option<Casing>,
    file: Option<TokenizerFile>,
) -> Result<(Settings, String), Error> {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    if path.is_dir() {
        open_dir(path, casing, file)
    } else if path.file_name().is_some_and(|name| name == TOKENIZER_CONFIG_JSON) {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        open_dir(dir, casing, Some(TokenizerFile::TokenizerConfigJson))
    } else if is_json {
        let settings = tokenizer_json::parse(path, &read(path)?, || Ok(None))?;
        Ok((settings, path.display().to_string()))
    } else {
        open_vocab(path, casing)
    }
}

fn open_dir(dir: &Path, casing: Option<Casing>, file: Option<TokenizerFile>) -> Result<(Settings, String), Error> {
    let vocab_path = dir.join(VOCAB_TXT);
    if file == Some(TokenizerFile::VocabTxt) {
        return open_vocab(&vocab_path, casing);
    }
    let config_path = dir.join(TOKENIZER_CONFIG_JSON);
    let config_bytes = match file {
        Some(TokenizerFile::TokenizerConfigJson) => Some(read(&config_path)?),
        _ => read_if_there(&config_path)?,
    };
    let config = match &config_bytes {
        Some(bytes) => Some(config::parse(&config_path, bytes)?),
        None => None,
    };
    let vocab_txt = || match read_if_there(&vocab_path)? {
        Some(bytes) => parse_vocab_txt(&vocab_path, &bytes).map(Some),
        None => Ok(None),
    };

    let json_path = dir.join(TOKENIZER_JSON);
    let json_bytes = match file {
        Some(TokenizerFile::TokenizerJson) => Some(read(&json_path)?),
        _ => read_if_there(&json_path)?,
    };
    if let Some(bytes) = json_bytes {
        let mut settings = tokenizer_json::parse(&json_path, &bytes, vocab_txt)?;
        if let Some(config) = config {
            match file {
                None => config.expect_agreement(&config_path, settings.normalizer)?,
                Some(TokenizerFile::TokenizerConfigJson) => {
                    settings.normalizer = config.normalizer(casing.unwrap_or(Casing::Uncased));
                }
                Some(_) => {}
            }
            apply_beside_json(config, &config_path, file, &mut settings);
        }
        return Ok((settings, json_path.display().to_string()));
    }

    let tokens = vocab_txt()?.ok_or_else(|| Error::NoTokenizer { path: dir.to_path_buf() })?;
    let mut settings = settings_of(&vocab_path, tokens, casing, config.as_ref());
    if let Some(bytes) = &config_bytes {
        config::expect_bert_class(&config_path, bytes)?;
    }
    add_tokens(dir, config.unwrap_or_default(), &mut settings)?;
    Ok((settings, vocab_path.display().to_string()))
}

/// A `vocab.txt` alone.
fn open_vocab(path: &Path, casing: Option<Casing>) -> Result<(Settings, String), Error> {
    let tokens = parse_vocab_txt(path, &read(path)?)?;
    Ok((settings_of(path, tokens, casing, None), path.display().to_string()))
}

/// The settings of a vocabulary. Where neither file nor caller says whether it is cased, its words do.
fn settings_of(path: &Path, tokens: Vec<String>, casing: Option<Casing>, config: Option<&Config>) -> Settings {
    let mut note = None;
    let casing = match config.and_then(|config| config.do_lower_case) {
        Some(lowercase) => {
            if lowercase {
                Casing::Uncased
            } else {
                Casing::Cased
            }
        }
        None => casing.unwrap_or_else(|| {
            let upper = UpperCase::of(&tokens);
            if !upper.is_cased() {
                return Casing::Uncased;
            }
            note = Some(Note::TakenAsCased { path: path.to_path_buf(), example: upper.example });
            Casing::Cased
        }),
    };
    let mut settings = Settings::new(tokens, casing);
    settings.notes.extend(note);
    if let Some(config) = config {
        settings.normalizer = config.normalizer(casing);
        settings.model_max_length = config.model_max_length;
        settings.truncation_side = config.truncation_side.unwrap_or_default();
        settings.truncation_strategy = config.truncation_strategy.unwrap_or_default();
    }
    settings
}

/// Puts into the settings of a `tokenizer.json` what `tokenizer_config.json` says besides.
///
/// `transformers` asks this file first which side is cut, and recognises the special tokens that it declares.
fn apply_beside_json(config: Config, path: &Path, file: Option<TokenizerFile>, settings: &mut Settings) {
    settings.model_max_length = config.model_max_length;
    if file == Some(TokenizerFile::TokenizerJson) {
        return;
    }
    settings.truncation_side = config.truncation_side.unwrap_or(settings.truncation_side);
    settings.truncation_strategy = config.truncation_strategy.unwrap_or(settings.truncation_strategy);
    let known: HashSet<&str> = settings.added.iter().map(|token| token.content.as_str()).collect();
    let missing: Vec<AddedToken> =
        config.declared.into_iter().filter(|token| !known.contains(token.content.as_str())).collect();
    if missing.is_empty() {
        return;
    }
    let ids: HashMap<&str, u32> = settings.tokens.iter().map(String::as_str).zip(0..).collect();
    let mut found = Vec::new();
    for token in missing {
        match ids.get(token.content.as_str()) {
            Some(&id) => found.push(AddedToken { id, ..token }),
            None => settings.notes.push(Note::NotInVocabulary { path: path.to_path_buf(), token: token.content }),
        }
    }
    settings.added.extend(found);
}

/// Adds the tokens that the files beside a `vocab.txt` name: those with ids in `tokenizer_config.json`, or in
/// `added_tokens.json`, which came before; then special tokens without ids, in the vocabulary or behind it.
fn add_tokens(dir: &Path, config: Config, settings: &mut Settings) -> Result<(), Error> {
    let mut declared = config.declared;
    let (path, mut added) = match config.added {
        Some(added) => (dir.join(TOKENIZER_CONFIG_JSON), added),
        None => {
            let path = dir.join(SPECIAL_TOKENS_MAP_JSON);
            if let Some(bytes) = read_if_there(&path)? {
                let mut tokens = parse_map(&path, &bytes)?;
                declared.retain(|token| tokens.iter().all(|other| other.content != token.content));
                tokens.append(&mut declared);
                declared = tokens;
            }
            let path = dir.join(ADDED_TOKENS_JSON);
            let added = read_added_tokens(&path, &declared)?;
            (path, added)
        }
    };
    // A token that comes twice has its last id.
    let mut ids: HashMap<String, u64> = settings.tokens.iter().cloned().zip(0..).collect();
    let id_of = |token: &str| ids.get(token).copied();
    let mut appended = Vec::new();
    append_added_tokens(&mut added, id_of, settings.tokens.len(), &mut appended).map_err(|(expected, found)| {
        Error::Field { path, field: "the ids of added tokens".to_string(), expected, found }
    })?;
    for token in declared {
        if added.iter().any(|other| other.content == token.content) {
            continue;
        }
        let next_id = (settings.tokens.len() + appended.len()) as u64;
        let id = *ids.entry(token.content.clone()).or_insert_with(|| {
            appended.push(token.content.clone());
            next_id
        });
        // A vocabulary has far fewer tokens than 32 bits count.
        added.push(AddedToken { id: id as u32, ..token });
    }
    settings.tokens.append(&mut appended);
    settings.added = added;
    Ok(())
}

/// The tokens of `added_tokens.json`, in which older versions of `transformers` put tokens beyond `vocab.txt`. Those
/// that are declared special are found verbatim, others in the normalized text.
fn read_added_tokens(path: &Path, declared: &[AddedToken]) -> Result<Vec<AddedToken>, Error> {
    let Some(bytes) = read_if_there(path)? else { return Ok(Vec::new()) };
    let value = json::parse(path, &bytes)?;
    let root = Field::root(path, &value);
    let mut added = Vec::new();
    for content in root.object()?.keys() {
        let field = root.get(content);
        let id = u32::try_from(field.integer()?).map_err(|_| field.error("an id of the vocabulary"))?;
        if content.is_empty() {
            return Err(root.error_found("tokens of at least one character", "an empty one".to_string()));
        }
        let plain = || AddedToken { normalized: true, special: false, ..AddedToken::special(0, content) };
        let token = declared.iter().find(|token| token.content == *content).cloned().unwrap_or_else(plain);
        added.push(AddedToken { id, ..token });
    }
    Ok(added)
}

/// The bytes of a regular file, if it is not too large.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    small_file::read_regular(path, FILE_BYTES_MAX).map_err(|source| Error::Read { path: path.to_path_buf(), source })
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    small_file::read_if_there(path, FILE_BYTES_MAX).map_err(|source| Error::Read { path: path.to_path_buf(), source })
}
