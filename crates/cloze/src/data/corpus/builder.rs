//! How documents become shards.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::documents::hash_of;
use crate::error::Error;

use super::Corpus;
use super::shard::{Durable, Record, SENTENCE_BYTES, Shard, Sink};

/// A shard ends with the document that fills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShardLimits {
    pub tokens: u64,
    pub documents: u64,
}

impl Default for ShardLimits {
    fn default() -> ShardLimits {
        ShardLimits { tokens: 1 << 26, documents: 1 << 20 }
    }
}

/// The tokens of a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// Of all sentences.
    pub ids: Vec<u32>,
    /// The end of each sentence among them.
    pub ends: Vec<u32>,
    /// How many of them are `[UNK]`.
    pub unknown: u64,
    /// How many of them begin a word.
    pub words: u64,
}

/// What is counted while a corpus is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusFigures {
    /// Documents with at least a token.
    pub documents: u64,
    /// Sentences with at least a token.
    pub sentences: u64,
    /// Tokens of all sentences.
    pub tokens: u64,
    /// Words: tokens that do not continue another.
    pub words: u64,
    /// Words that the vocabulary cannot spell.
    pub unknown: u64,
    /// How many sentences have at least 1, 2, 4, … tokens, and fewer than twice that.
    pub sentence_lengths: Vec<u64>,
    /// The same of documents.
    pub document_lengths: Vec<u64>,
}

impl CorpusFigures {
    fn add(&mut self, other: &CorpusFigures) {
        self.documents += other.documents;
        self.sentences += other.sentences;
        self.tokens += other.tokens;
        self.words += other.words;
        self.unknown += other.unknown;
        add_counts(&mut self.sentence_lengths, &other.sentence_lengths);
        add_counts(&mut self.document_lengths, &other.document_lengths);
    }
}

fn add_counts(counts: &mut Vec<u64>, others: &[u64]) {
    counts.resize(counts.len().max(others.len()), 0);
    counts.iter_mut().zip(others).for_each(|(count, other)| *count += other);
}

/// Counts a length of at least 1.
fn count_length(counts: &mut Vec<u64>, length: u64) {
    let place = length.ilog2() as usize;
    counts.resize(counts.len().max(place + 1), 0);
    counts[place] += 1;
}

/// Collects documents, one line after another.
#[derive(Debug)]
pub(super) struct Builder {
    /// The folder for the files of shards; none for memory.
    folder: Option<PathBuf>,
    limits: ShardLimits,
    id_bytes: usize,
    /// The shards that are whole.
    pub shards: Vec<Shard>,
    open: Option<OpenShard>,
    /// Of the documents that are whole.
    pub figures: CorpusFigures,
    document: OpenDocument,
}

/// A shard that still grows.
#[derive(Debug)]
struct OpenShard {
    token_list: Sink,
    sentence_list: Sink,
    document_list: Sink,
    /// Of whole documents.
    tokens: u64,
    sentences: u64,
    documents: u64,
}

/// A document that still grows.
#[derive(Debug, Default)]
struct OpenDocument {
    figures: CorpusFigures,
    hasher: Sha256,
}

impl Builder {
    /// Documents of this many different tokens, in memory.
    pub fn in_memory(vocab_size: usize) -> Builder {
        Builder {
            folder: None,
            limits: ShardLimits::default(),
            id_bytes: id_bytes(vocab_size),
            shards: Vec::new(),
            open: None,
            figures: CorpusFigures::default(),
            document: OpenDocument::default(),
        }
    }

    /// The same in files of `folder`, where `shards` are there already.
    pub fn in_folder(
        vocab_size: usize,
        folder: PathBuf,
        limits: ShardLimits,
        shards: Vec<Shard>,
        figures: CorpusFigures,
    ) -> Builder {
        Builder { folder: Some(folder), limits, shards, figures, ..Builder::in_memory(vocab_size) }
    }

    /// Adds a line to the document that still grows.
    ///
    /// # Errors
    /// If it cannot be written, and if a document is too long for its sentences to be told apart.
    pub fn add(&mut self, line: &Line) -> Result<(), Error> {
        if line.ids.is_empty() {
            return Ok(());
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(OpenShard::create(self.folder.as_deref(), self.shards.len())?),
        };
        let before = self.document.figures.tokens;
        if before + line.ids.len() as u64 > u64::from(u32::MAX) {
            return Err(Error::Settings(
                "a document has more than 4,294,967,295 tokens; divide it by blank lines or into files".to_string(),
            ));
        }
        let figures = &mut self.document.figures;
        let mut starts = Vec::with_capacity(line.ends.len() * SENTENCE_BYTES);
        let mut start = 0;
        for &end in line.ends.iter() {
            if end > start {
                starts.extend((before as u32 + start).to_le_bytes());
                figures.sentences += 1;
                count_length(&mut figures.sentence_lengths, u64::from(end - start));
            }
            start = end;
        }
        figures.tokens += line.ids.len() as u64;
        figures.words += line.words;
        figures.unknown += line.unknown;
        let ids: Vec<u8> = match self.id_bytes {
            2 => line.ids.iter().flat_map(|&id| (id as u16).to_le_bytes()).collect(),
            _ => line.ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
        };
        self.document.hasher.update((starts.len() as u64).to_le_bytes());
        self.document.hasher.update(&starts);
        self.document.hasher.update((ids.len() as u64).to_le_bytes());
        self.document.hasher.update(&ids);
        open.sentence_list.write(&starts)?;
        open.token_list.write(&ids)
    }

    /// Whether the document that still grows has a token.
    pub fn is_begun(&self) -> bool {
        self.document.figures.tokens > 0
    }

    /// Ends the document, if it has a token, and the shard, if it is full; tells whether a shard became whole.
    pub fn end_document(&mut self) -> Result<bool, Error> {
        let Some(open) = self.open.as_mut().filter(|_| self.document.figures.tokens > 0) else { return Ok(false) };
        let OpenDocument { mut figures, hasher } = std::mem::take(&mut self.document);
        let hash = hash_of(hasher);
        let (tokens, sentences) = (open.tokens + figures.tokens, open.sentences + figures.sentences);
        let record = Record { tokens: open.tokens..tokens, sentences: open.sentences..sentences, hash };
        open.document_list.write(&record.bytes())?;
        (open.tokens, open.sentences) = (tokens, sentences);
        open.documents += 1;
        figures.documents = 1;
        count_length(&mut figures.document_lengths, figures.tokens);
        self.figures.add(&figures);
        if open.tokens < self.limits.tokens && open.documents < self.limits.documents {
            return Ok(false);
        }
        self.end_shard()
    }

    /// Leaves out the document that still grows.
    pub fn drop_document(&mut self) -> Result<(), Error> {
        self.document = OpenDocument::default();
        let Some(open) = &mut self.open else { return Ok(()) };
        open.token_list.truncate(open.tokens * self.id_bytes as u64)?;
        open.sentence_list.truncate(open.sentences * SENTENCE_BYTES as u64)
    }

    /// Ends the shard, if there is one that grows, with the last whole document; tells whether there was one.
    pub fn end_shard(&mut self) -> Result<bool, Error> {
        let Some(open) = self.open.take() else { return Ok(false) };
        if open.documents == 0 {
            [open.token_list, open.sentence_list, open.document_list].into_iter().for_each(Sink::discard);
            return Ok(false);
        }
        self.shards.push(Shard {
            id_bytes: self.id_bytes,
            tokens: open.tokens,
            sentences: open.sentences,
            documents: open.documents,
            token_list: open.token_list.finish(Durable::Yes)?,
            sentence_list: open.sentence_list.finish(Durable::Yes)?,
            document_list: open.document_list.finish(Durable::Yes)?,
        });
        Ok(true)
    }

    /// All documents.
    pub fn finish(mut self) -> Result<Corpus, Error> {
        self.end_document()?;
        self.end_shard()?;
        Ok(Corpus::new(self.shards))
    }
}

impl OpenShard {
    fn create(folder: Option<&std::path::Path>, number: usize) -> Result<OpenShard, Error> {
        let sink = |list: &str| match folder {
            None => Ok(Sink::Memory(Vec::new())),
            Some(folder) => Sink::create(&folder.join(file_name(number, list))),
        };
        Ok(OpenShard {
            token_list: sink(TOKENS)?,
            sentence_list: sink(SENTENCES)?,
            document_list: sink(DOCUMENTS)?,
            tokens: 0,
            sentences: 0,
            documents: 0,
        })
    }
}

/// Bytes of an id of a vocabulary.
pub(super) fn id_bytes(vocab_size: usize) -> usize {
    if vocab_size <= 1 << 16 { 2 } else { 4 }
}

/// The endings of a shard's files.
pub(super) const TOKENS: &str = "tokens";
pub(super) const SENTENCES: &str = "sentences";
pub(super) const DOCUMENTS: &str = "documents";

/// The name of a file of shard `number`, from 0.
pub(super) fn file_name(number: usize, list: &str) -> String {
    format!("shard-{number:05}.{list}")
}
