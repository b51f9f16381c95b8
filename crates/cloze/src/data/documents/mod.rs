//! Documents of large corpora: text, JSON lines and Parquet, also compressed, read in blocks, so that memory does not
//! grow with the files.

mod duplicates;
mod inputs;
mod lines;
mod parquet;
mod pieces;
mod records;
pub(crate) mod unpack;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use duplicates::hash_of;
pub use duplicates::{Duplicates, TextHash};
pub use inputs::{Found, find_files};
#[cfg(test)]
pub(crate) use lines::BLOCK_BYTES;

use crate::error::{Error, at};
pub(crate) use inputs::{Compression, compression, is_text};
use inputs::{Kind, kind};
use lines::LineBlocks;
use parquet::ParquetRows;
use pieces::pieces;
use records::JsonRecords;

/// What ends a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentBreak {
    /// A blank line of a text file, or the end of a file; in files of records the end of the record, whatever blank
    /// lines it has.
    BlankLine,
    /// Only the end of a file.
    File,
    /// The end of a record; in a text file each line is one.
    Record,
}

/// How files become documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentOptions {
    /// What ends a document.
    pub document: DocumentBreak,
    /// The field of JSON lines, or the column of Parquet files, that holds the text.
    pub text_field: String,
    /// Bytes of a line or a record at most; a longer one is an error.
    pub line_limit: usize,
    /// True if all files may hold no text.
    pub blank_files: bool,
}

impl Default for DocumentOptions {
    fn default() -> DocumentOptions {
        DocumentOptions {
            document: DocumentBreak::BlankLine,
            text_field: "text".to_string(),
            line_limit: 64 << 20,
            blank_files: false,
        }
    }
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file.
    pub path: &'a Path,
    /// The line at which it begins, or its row in a Parquet file; from 1.
    pub line: usize,
}

/// A document, or a part of one: whole lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Lines of text; may be blank.
    pub text: &'a str,
    /// Where it begins.
    pub place: Place<'a>,
    /// Whether the document is over after it.
    pub ends_document: bool,
}

/// Pieces that are handed over at once at most, so that a block of short lines takes no more memory than others.
const PIECES_AT_ONCE: usize = 1 << 14;
/// Files that cannot be read are told at most so many at once.
const ERRORS_TOLD_MAX: usize = 100;

/// Reads `files`, one after another, and hands over their text in blocks of some MiB: in order, nothing left out.
/// After the last block of a file there is a piece without text that ends its last document. `progress` is told the
/// bytes done and the bytes in total, as they are on disk. Returns the files that hold no text.
///
/// # Errors
/// With file and line: a file cannot be read, is damaged, not UTF-8, has too long a line, or a record without text
/// field; the files after it are read as well, and all such errors are told together. No files are given; none of them
/// holds text (see [`DocumentOptions::blank_files`]). The first error that `each` returns, at once.
pub fn for_each_block(
    files: &[PathBuf],
    options: &DocumentOptions,
    progress: &mut dyn FnMut(u64, u64),
    each: &mut dyn FnMut(&[Piece]) -> Result<(), Error>,
) -> Result<Vec<PathBuf>, Error> {
    if files.is_empty() {
        return Err(Error::Settings("a corpus needs at least one text file".to_string()));
    }
    let mut bytes_total = 0;
    for path in files {
        bytes_total += std::fs::metadata(path).map_err(at("read", path))?.len();
    }
    let mut bytes_before = 0;
    let (mut blank, mut errors) = (Vec::new(), Vec::new());
    for path in files {
        let mut has_text = false;
        let mut last_line = 1;
        let mut stopped = None;
        let is_sound = errors.is_empty();
        let bytes = read_file(path, options, &mut |pieces, bytes_done| {
            progress(bytes_before + bytes_done, bytes_total);
            has_text = has_text || pieces.iter().any(|piece| !is_blank(piece.text));
            last_line = pieces.last().map_or(last_line, |piece| piece.place.line);
            // Behind an error the rest is only looked at.
            let done = if is_sound { each(pieces) } else { Ok(()) };
            done.map_err(|error| {
                stopped = Some(error);
                Error::Settings(String::new())
            })
        });
        if let Some(error) = stopped {
            return Err(error);
        }
        match bytes {
            Ok(bytes) => bytes_before += bytes,
            Err(error) => {
                errors.push(error);
                if errors.len() == ERRORS_TOLD_MAX {
                    break;
                }
                continue;
            }
        }
        if !has_text {
            blank.push(path.clone());
        }
        if errors.is_empty() {
            each(&[Piece { text: "", place: Place { path, line: last_line }, ends_document: true }])?;
        }
        progress(bytes_before, bytes_total);
    }
    if !errors.is_empty() {
        return Err(Error::together(errors));
    }
    if blank.len() == files.len() && !options.blank_files {
        let message = match files.len() {
            1 => "the file holds no text; check that it is the right one".to_string(),
            count => format!("the file holds no text, nor do the other {} files; give files with text", count - 1),
        };
        return Err(Error::Data { path: blank.swap_remove(0), line: None, message });
    }
    Ok(blank)
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// Hands over the blocks of one file and how many of its bytes are done; gives back how many it has.
#[allow(clippy::type_complexity)]
fn read_file(
    path: &Path,
    options: &DocumentOptions,
    each: &mut dyn FnMut(&[Piece], u64) -> Result<(), Error>,
) -> Result<u64, Error> {
    match kind(path) {
        (Kind::Text, compression) => {
            let mut lines = LineBlocks::open(path, compression, options.line_limit)?;
            while let Some((text, first_line, bytes_done)) = lines.next_block()? {
                let mut some = Vec::new();
                for piece in pieces(text, path, first_line, options.document) {
                    some.push(piece);
                    if some.len() == PIECES_AT_ONCE {
                        each(&some, bytes_done)?;
                        some.clear();
                    }
                }
                each(&some, bytes_done)?;
            }
        }
        (Kind::JsonLines, compression) => {
            let mut records = JsonRecords::open(path, compression, options)?;
            while let Some((texts, bytes_done)) = records.next_block()? {
                each_text(path, &texts, options.document, &mut |pieces| each(pieces, bytes_done))?;
            }
        }
        (Kind::Parquet, compression) => {
            let mut rows = ParquetRows::open(path, compression, options)?;
            while let Some((texts, bytes_done)) = rows.next_block()? {
                each_text(path, &texts, options.document, &mut |pieces| each(pieces, bytes_done))?;
            }
        }
    }
    Ok(std::fs::metadata(path).map_err(at("read", path))?.len())
}

/// Hands over the texts of records with their lines or rows.
fn each_text(
    path: &Path,
    texts: &[(usize, String)],
    document: DocumentBreak,
    each: &mut dyn FnMut(&[Piece]) -> Result<(), Error>,
) -> Result<(), Error> {
    let ends_document = document != DocumentBreak::File;
    for some in texts.chunks(PIECES_AT_ONCE) {
        let pieces: Vec<Piece> =
            some.iter().map(|(line, text)| Piece { text, place: Place { path, line: *line }, ends_document }).collect();
        each(&pieces)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
