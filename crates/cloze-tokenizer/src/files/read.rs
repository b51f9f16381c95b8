//! Finding and reading the files of a tokenizer.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::config::{self, Config};
use super::json::{self, Field};
use super::{ADDED_TOKENS_JSON, TOKENIZER_CONFIG_JSON, TOKENIZER_JSON, VOCAB_TXT, tokenizer_json};
use crate::error::Error;
use crate::normalize::Casing;
use crate::tokenizer::Settings;
use crate::vocab::parse_vocab_txt;

/// The largest vocabularies, of half a million tokens, take some 15 MB. This bounds what a hostile
/// file can make the JSON parser allocate, which is tens of bytes for each of the file's.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Reads the settings of the tokenizer at `path`, and the name of the file with its vocabulary.
pub(crate) fn open(path: &Path, casing: Casing) -> Result<(Settings, String), Error> {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    if path.is_dir() {
        open_dir(path, casing)
    } else if is_json {
        let settings = tokenizer_json::parse(path, &read(path)?, || Ok(None))?;
        Ok((settings, path.display().to_string()))
    } else {
        let tokens = parse_vocab_txt(path, &read(path)?)?;
        Ok((Settings::new(tokens, casing), path.display().to_string()))
    }
}

fn open_dir(dir: &Path, casing: Casing) -> Result<(Settings, String), Error> {
    let config_path = dir.join(TOKENIZER_CONFIG_JSON);
    let config_bytes = read_if_there(&config_path)?;
    let config = match &config_bytes {
        Some(bytes) => config::parse(&config_path, bytes)?,
        None => Config::default(),
    };
    let vocab_path = dir.join(VOCAB_TXT);
    let vocab_txt = || match read_if_there(&vocab_path)? {
        Some(bytes) => parse_vocab_txt(&vocab_path, &bytes).map(Some),
        None => Ok(None),
    };

    let json_path = dir.join(TOKENIZER_JSON);
    if let Some(bytes) = read_if_there(&json_path)? {
        let mut settings = tokenizer_json::parse(&json_path, &bytes, vocab_txt)?;
        config.expect_agreement(&config_path, settings.normalizer)?;
        settings.model_max_length = config.model_max_length;
        return Ok((settings, json_path.display().to_string()));
    }

    let tokens = vocab_txt()?.ok_or_else(|| Error::NoTokenizer { path: dir.to_path_buf() })?;
    let mut settings = Settings::new(tokens, casing);
    if let Some(bytes) = &config_bytes {
        config::expect_bert_class(&config_path, bytes)?;
        config.apply_to_vocab(&config_path, &mut settings)?;
    }
    expect_no_other_tokens(&dir.join(ADDED_TOKENS_JSON), &settings.tokens)?;
    Ok((settings, vocab_path.display().to_string()))
}

/// An error if `added_tokens.json`, in which older versions of `transformers` put tokens beyond
/// `vocab.txt`, holds any. How these are to be recognised was never written down.
fn expect_no_other_tokens(path: &Path, tokens: &[String]) -> Result<(), Error> {
    let Some(bytes) = read_if_there(path)? else { return Ok(()) };
    let value = json::parse(path, &bytes)?;
    let root = Field::root(path, &value);
    let tokens: HashSet<&String> = tokens.iter().collect();
    match root.object()?.keys().find(|token| !tokens.contains(token)) {
        Some(token) => Err(root.get(token).error("no tokens beyond vocab.txt, or a tokenizer.json")),
        None => Ok(()),
    }
}

/// The bytes of a file, if it is not too large.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    // Not by its length in the directory: devices and pipes have none.
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::TooLarge { path: path.to_path_buf(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(bytes)
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match read(path) {
        Err(Error::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
