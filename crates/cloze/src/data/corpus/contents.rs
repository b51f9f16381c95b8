//! `store.json`: what a store was made of and from, what it holds, checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use cloze_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::{hex, write_file};
use crate::error::{Error, at};

use super::builder::id_bytes;
use super::read::Reader;
use super::{CorpusFigures, CorpusOptions};

/// The name of the file that makes a folder a store.
pub const STORE: &str = "store.json";
/// The version of the format.
/// 2: sentences are split by the rules of more scripts, and blank lines in a row end one document.
const FORMAT: u32 = 2;

/// The contents of `store.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Contents {
    pub format: u32,
    pub version: String,
    pub vocabulary: Vocabulary,
    pub options: CorpusOptions,
    pub sources: Vec<SourceFile>,
    /// Bytes of an id.
    pub id_bytes: usize,
    pub shards: Vec<ShardEntry>,
    /// Once the store is finished.
    pub total: Option<Progress>,
    /// Of this file as it is with nothing here.
    pub sha256: String,
}

/// Which vocabulary the ids are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vocabulary {
    pub tokens: usize,
    /// Of the contents of `tokenizer.json`, but for truncation.
    pub sha256: String,
}

/// A file that was read, and how it looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceFile {
    /// What is not UTF-8 in it is replaced: JSON has no place for it.
    pub path: String,
    pub bytes: u64,
    /// Nanoseconds since 1970.
    pub modified: u64,
}

/// How far the files were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Documents that came, with copies and with those without a token.
    pub documents_read: u64,
    pub duplicates: usize,
    pub figures: CorpusFigures,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardEntry {
    pub tokens: u64,
    pub sentences: u64,
    pub documents: u64,
    /// Of the files with tokens, sentences, documents.
    pub sha256: [String; 3],
    /// After it.
    pub progress: Progress,
}

/// Whether a folder holds a store, finished or not.
pub fn is_store(dir: &Path) -> bool {
    dir.join(STORE).is_file()
}

/// Whether a folder holds a store with a whole shard.
pub(crate) fn has_shards(dir: &Path) -> bool {
    Contents::read(dir).is_ok_and(|contents| !contents.shards.is_empty())
}

/// How the documents of a store were made, if it can be read.
pub(crate) fn store_options(dir: &Path) -> Option<CorpusOptions> {
    Contents::read(dir).ok().map(|contents| contents.options)
}

pub(super) fn data_error(path: &Path, message: String) -> Error {
    Error::Data { path: path.to_path_buf(), line: None, message }
}

impl Contents {
    /// Of a store of these files that is yet to be made.
    pub fn of(files: &[PathBuf], tokenizer: &Tokenizer, options: &CorpusOptions) -> Result<Contents, Error> {
        Ok(Contents {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_string(),
            vocabulary: Vocabulary::of(tokenizer),
            options: options.clone(),
            sources: files.iter().map(|path| SourceFile::of(path)).collect::<Result<_, _>>()?,
            id_bytes: id_bytes(tokenizer.vocab_size()),
            shards: Vec::new(),
            total: None,
            sha256: String::new(),
        })
    }

    pub fn read(dir: &Path) -> Result<Contents, Error> {
        let path = dir.join(STORE);
        let text = fs::read_to_string(&path).map_err(at("read", &path))?;
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let damaged = |error| data_error(&path, format!("{error}; the file is damaged, prepare anew with --overwrite"));
        let Head { format } = serde_json::from_str(&text).map_err(damaged)?;
        if format != FORMAT {
            let message = format!(
                "the store has format {format}, this version of Cloze makes and reads {FORMAT}; prepare anew from the text \
                 with --overwrite"
            );
            return Err(data_error(&path, message));
        }
        let contents: Contents = serde_json::from_str(&text).map_err(damaged)?;
        if format!("{}\n", contents.text()) != text
            || contents.sum() != contents.sha256
            || contents.id_bytes != id_bytes(contents.vocabulary.tokens)
        {
            let message = "does not fit its checksum; the file is damaged, prepare anew with --overwrite".to_string();
            return Err(data_error(&path, message));
        }
        Ok(contents)
    }

    pub fn write(&mut self, dir: &Path) -> Result<(), Error> {
        self.sha256 = self.sum();
        write_file(&dir.join(STORE), format!("{}\n", self.text()).as_bytes())
    }

    fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a store has no keys that are not strings")
    }

    fn sum(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(Contents { sha256: String::new(), ..self.clone() }.text());
        hex(hasher)
    }

    /// Whether this store, found in `dir`, is what would be made now.
    pub fn fits(&self, now: &Contents, dir: &Path) -> Result<(), Error> {
        let differs = |what: String| {
            let remedy = "choose another folder, or give --overwrite to prepare anew";
            Err(data_error(&dir.join(STORE), format!("{what}; {remedy}")))
        };
        if self.vocabulary != now.vocabulary {
            return differs("the store was begun with another vocabulary".to_string());
        }
        if self.total.is_none() && self.version != now.version {
            return differs(format!("the store was begun by version {} of Cloze", self.version));
        }
        if self.options != now.options {
            return differs("the store was begun with other options for documents and sentences".to_string());
        }
        let mut pairs = self.sources.iter().zip(&now.sources);
        if let Some((then, now)) = pairs.find(|(then, now)| then != now) {
            return differs(match then.path == now.path {
                true => format!("{} has changed since the store was begun", then.path),
                false => format!("the store was begun with {}, not {}", then.path, now.path),
            });
        }
        if self.sources.len() != now.sources.len() {
            return differs(format!("the store was begun with {} files", self.sources.len()));
        }
        Ok(())
    }
}

impl Progress {
    pub fn of(reader: &Reader) -> Progress {
        Progress {
            documents_read: reader.documents_read,
            duplicates: reader.duplicates_dropped(),
            figures: reader.builder.figures.clone(),
        }
    }
}

impl Vocabulary {
    pub fn of(tokenizer: &Tokenizer) -> Vocabulary {
        let mut contents = tokenizer.to_json();
        if let Some(contents) = contents.as_object_mut() {
            // A corpus is not cut.
            contents.remove("truncation");
        }
        let mut hasher = Sha256::new();
        hasher.update(contents.to_string());
        Vocabulary { tokens: tokenizer.vocab_size(), sha256: hex(hasher) }
    }
}

impl SourceFile {
    fn of(path: &Path) -> Result<SourceFile, Error> {
        let file = fs::metadata(path).map_err(at("read", path))?;
        let modified = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(SourceFile {
            path: path.to_string_lossy().into_owned(),
            bytes: file.len(),
            modified: modified.map_or(0, |time| time.as_nanos() as u64),
        })
    }
}
