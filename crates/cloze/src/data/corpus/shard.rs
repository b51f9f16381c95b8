//! A stretch of a corpus: whole documents, as three lists of little-endian numbers, in memory or in files.
//!
//! ```text
//! tokens     [tokens]       ids of 2 bytes, or of 4 where the vocabulary needs them
//! sentences  [sentences]    4 bytes: the first token of a sentence, counted from the first of its document
//! documents  [documents]    32 bytes: the first token (8) and the first sentence (8) of a document, counted in the
//!                           shard, and a hash of its sentences (16)
//! ```

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, at};
use crate::folder::create;

/// Bytes of a sentence, and of a document, in their lists.
pub(super) const SENTENCE_BYTES: usize = 4;
pub(super) const DOCUMENT_BYTES: usize = 32;

/// How a list is written while it grows.
#[derive(Debug)]
pub(crate) enum Sink {
    Memory(Vec<u8>),
    /// A file with another name, until it is whole.
    File {
        path: PathBuf,
        temporary: PathBuf,
        writer: BufWriter<File>,
    },
}

impl Sink {
    pub fn create(path: &Path) -> Result<Sink, Error> {
        let (temporary, file) = create(path).map_err(at("create", path))?;
        Ok(Sink::File { path: path.to_path_buf(), temporary, writer: BufWriter::with_capacity(1 << 20, file) })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Sink::Memory(list) => list.extend_from_slice(bytes),
            Sink::File { path, writer, .. } => writer.write_all(bytes).map_err(at("write to", path))?,
        }
        Ok(())
    }

    /// Takes back what was written behind `length` bytes.
    pub fn truncate(&mut self, length: u64) -> Result<(), Error> {
        match self {
            Sink::Memory(list) => list.truncate(length as usize),
            Sink::File { path, writer, .. } => {
                let cut = |writer: &mut BufWriter<File>| {
                    writer.flush()?;
                    writer.get_ref().set_len(length)?;
                    writer.seek(SeekFrom::Start(length))
                };
                cut(writer).map_err(at("write to", path))?;
            }
        }
        Ok(())
    }

    /// Removes what was written.
    pub fn discard(self) {
        if let Sink::File { temporary, writer, .. } = self {
            // What is still held back is not to be written.
            let _ = writer.into_parts();
            let _ = fs::remove_file(temporary);
        }
    }

    /// What was written, to be read; a file has its name then.
    pub fn finish(self, durable: Durable) -> Result<Bytes, Error> {
        match self {
            Sink::Memory(list) => Ok(Bytes::Memory(list)),
            Sink::File { path, temporary, mut writer } => {
                let sync = |file: &File| if durable == Durable::Yes { file.sync_all() } else { Ok(()) };
                writer.flush().and_then(|()| sync(writer.get_ref())).map_err(at("write to", &path))?;
                fs::rename(temporary, &path).map_err(at("write to", &path))?;
                Bytes::open(&path)
            }
        }
    }
}

/// Whether a file is to outlive a failure of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    No,
}

/// A list that is read.
#[derive(Debug)]
pub(crate) enum Bytes {
    Memory(Vec<u8>),
    File { path: PathBuf, file: File },
}

impl Bytes {
    pub fn open(path: &Path) -> Result<Bytes, Error> {
        let file = File::open(path).map_err(at("read", path))?;
        Ok(Bytes::File { path: path.to_path_buf(), file })
    }

    /// The bytes of a range.
    pub fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, Error> {
        match self {
            Bytes::Memory(list) => Ok(Cow::Borrowed(&list[range.start as usize..range.end as usize])),
            Bytes::File { path, file } => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                read_exact_at(file, &mut bytes, range.start).map_err(at("read", path))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

/// A document in its shard: which of the shard's tokens and sentences it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub tokens: Range<u64>,
    pub sentences: Range<u64>,
    pub hash: u128,
}

impl Record {
    /// What stands in the list; the ends follow from the next document.
    pub fn bytes(&self) -> [u8; DOCUMENT_BYTES] {
        let mut bytes = [0; DOCUMENT_BYTES];
        bytes[..8].copy_from_slice(&self.tokens.start.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sentences.start.to_le_bytes());
        bytes[16..].copy_from_slice(&self.hash.to_le_bytes());
        bytes
    }
}

/// The list whose numbers cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Tokens,
    Sentences,
    Documents,
}

/// Whole documents.
#[derive(Debug)]
pub(super) struct Shard {
    /// 2 or 4.
    pub id_bytes: usize,
    pub tokens: u64,
    pub sentences: u64,
    pub documents: u64,
    pub token_list: Bytes,
    pub sentence_list: Bytes,
    pub document_list: Bytes,
}

impl Shard {
    /// Some documents in a row.
    pub fn records(&self, range: Range<u64>) -> Result<Vec<Record>, Error> {
        let size = DOCUMENT_BYTES as u64;
        // One more, for the end of the last.
        let end = (range.end + 1).min(self.documents);
        let bytes = self.document_list.read(range.start * size..end * size)?;
        let mut records: Vec<Record> = bytes
            .chunks_exact(DOCUMENT_BYTES)
            .map(|bytes| {
                let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
                let hash = u128::from_le_bytes(bytes[16..].try_into().expect("16 bytes"));
                Record { tokens: number(0)..self.tokens, sentences: number(8)..self.sentences, hash }
            })
            .collect();
        for at in 1..records.len() {
            records[at - 1].tokens.end = records[at].tokens.start;
            records[at - 1].sentences.end = records[at].sentences.start;
        }
        records.truncate((range.end - range.start) as usize);
        Ok(records)
    }

    /// What is wrong with the numbers of a shard, if anything is: that of the file whose numbers do not fit the others'.
    /// Ids must be below `vocab_size`, the first tokens and sentences of documents and sentences ascend from 0.
    pub fn fault(&self, vocab_size: u32) -> Result<Option<Fault>, Error> {
        const AT_ONCE: usize = 1 << 16;
        let (mut tokens, mut sentences) = (0, 0);
        for first in (0..self.documents).step_by(AT_ONCE) {
            for record in self.records(first..(first + AT_ONCE as u64).min(self.documents))? {
                let (own_tokens, own_sentences) = (&record.tokens, &record.sentences);
                if own_tokens.start != tokens || own_sentences.start != sentences {
                    return Ok(Some(Fault::Documents));
                }
                if own_tokens.is_empty() || own_sentences.is_empty() || own_tokens.end > self.tokens {
                    return Ok(Some(Fault::Documents));
                }
                (tokens, sentences) = (own_tokens.end, own_sentences.end);
                if sentences > self.sentences {
                    return Ok(Some(Fault::Documents));
                }
                let mut least = 0;
                for first in own_sentences.clone().step_by(AT_ONCE) {
                    for start in self.starts(first..(first + AT_ONCE as u64).min(own_sentences.end))? {
                        let is_first = least == 0;
                        if u64::from(start) < least
                            || (is_first && start != 0)
                            || u64::from(start) >= own_tokens.end - own_tokens.start
                        {
                            return Ok(Some(Fault::Sentences));
                        }
                        least = u64::from(start) + 1;
                    }
                }
            }
        }
        if (tokens, sentences) != (self.tokens, self.sentences) {
            return Ok(Some(Fault::Documents));
        }
        for first in (0..self.tokens).step_by(AT_ONCE) {
            if self.ids(first..(first + AT_ONCE as u64).min(self.tokens))?.iter().any(|&id| id >= vocab_size) {
                return Ok(Some(Fault::Tokens));
            }
        }
        Ok(None)
    }

    /// The first tokens of some sentences in a row, counted in their document.
    pub fn starts(&self, range: Range<u64>) -> Result<Vec<u32>, Error> {
        let size = SENTENCE_BYTES as u64;
        let bytes = self.sentence_list.read(range.start * size..range.end * size)?;
        Ok(numbers(&bytes))
    }

    /// Some tokens in a row.
    pub fn ids(&self, range: Range<u64>) -> Result<Vec<u32>, Error> {
        let size = self.id_bytes as u64;
        let bytes = self.token_list.read(range.start * size..range.end * size)?;
        Ok(match self.id_bytes {
            2 => bytes.chunks_exact(2).map(|id| u32::from(u16::from_le_bytes([id[0], id[1]]))).collect(),
            _ => numbers(&bytes),
        })
    }
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|number| u32::from_le_bytes(number.try_into().expect("4 bytes"))).collect()
}
