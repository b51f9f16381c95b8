//! Files of text to a corpus.

use std::path::{Path, PathBuf};

use cloze_tokenizer::Tokenizer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::documents::{DocumentBreak, DocumentOptions, Duplicates, Piece, TextHash, find_files, for_each_block};
use crate::data::masking::continues_words;
use crate::data::sentences;
use crate::error::Error;

use super::Corpus;
use super::builder::{Builder, Line};

/// What a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentenceUnit {
    /// Each line.
    Line,
    /// What [`sentences::split`] finds in each line; no sentence goes on in the next line.
    Split,
}

/// How files become a corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusOptions {
    /// What ends a document.
    pub document: DocumentBreak,
    /// What a sentence is.
    pub sentences: SentenceUnit,
    /// The field of JSON lines, or the column of Parquet files, that holds the text.
    pub text_field: String,
    /// Whether only the first of documents with the same lines is kept; space around lines and blank lines do not
    /// count.
    pub drop_duplicates: bool,
}

impl Default for CorpusOptions {
    fn default() -> CorpusOptions {
        CorpusOptions {
            document: DocumentBreak::BlankLine,
            sentences: SentenceUnit::Split,
            text_field: "text".to_string(),
            drop_duplicates: false,
        }
    }
}

/// A corpus, and what was left out of it.
#[derive(Clone, Debug)]
pub struct ReadCorpus {
    /// The documents.
    pub corpus: Corpus,
    /// How many files were read.
    pub files: usize,
    /// Note on other files in folders, see [`Found::note`](crate::data::documents::Found::note).
    pub skipped: Option<String>,
    /// Files without text.
    pub blank: Vec<PathBuf>,
    /// Copies of documents that were left out.
    pub duplicates: usize,
}

impl ReadCorpus {
    /// What a user should know of what was not read.
    pub fn notes(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let mut notes: Vec<String> = self.skipped.clone().into_iter().collect();
        if !self.blank.is_empty() {
            let names: Vec<String> = self.blank.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
            let more = if self.blank.len() > SHOWN { ", …" } else { "" };
            notes.push(format!("{} files hold no text: {}{more}", self.blank.len(), names.join(", ")));
        }
        if self.duplicates > 0 {
            notes
                .push(format!("{} documents left out, being copies of others", crate::grouped(self.duplicates as u64)));
        }
        notes
    }
}

impl Corpus {
    /// Reads files, folders and patterns into memory, in the order given, and tokenises them on all threads. Lines
    /// without tokens are skipped, documents without sentences dropped. `progress` is told the bytes done and the bytes
    /// in total.
    ///
    /// # Errors
    ///
    /// Those of [`find_files`] and [`for_each_block`]: a file cannot be read or is not UTF-8 (the line is named); there
    /// is no text at all; no files are given.
    pub fn read(
        inputs: &[PathBuf],
        tokenizer: &Tokenizer,
        options: &CorpusOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<ReadCorpus, Error> {
        let found = find_files(inputs)?;
        let builder = Builder::in_memory(tokenizer.vocab_size());
        let mut reader = Reader::new(tokenizer, options, builder);
        let blank = reader.read(&found.files, DocumentOptions::default().line_limit, progress, &mut |_| Ok(()))?;
        let duplicates = reader.duplicates_dropped();
        Ok(ReadCorpus {
            corpus: reader.builder.finish()?,
            files: found.files.len(),
            skipped: found.note(),
            blank,
            duplicates,
        })
    }
}

/// Lines that are tokenized together at most, so that short ones take no more memory than long ones.
const LINES_AT_ONCE: usize = 1 << 13;

/// Adds the documents of files to a builder. The order of the lines decides alone; threads only share out the work.
pub(super) struct Reader<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a CorpusOptions,
    /// `[ids]`: whether a token continues a word.
    continues: Vec<bool>,
    pub builder: Builder,
    /// How many documents have come, with those that were dropped or without a token.
    pub documents_read: u64,
    /// How many of them are to be passed over, having been added before.
    skip: u64,
    /// The documents that have come, if copies are dropped.
    duplicates: Option<Duplicates>,
    /// Copies dropped before.
    duplicates_before: usize,
    /// The most bytes that the table of documents may take.
    duplicates_limit: u64,
    /// Of the lines of the document so far, as far as they are not blank.
    hash: TextHash,
}

impl<'a> Reader<'a> {
    pub fn new(tokenizer: &'a Tokenizer, options: &'a CorpusOptions, builder: Builder) -> Reader<'a> {
        Reader {
            tokenizer,
            options,
            continues: continues_words(tokenizer),
            builder,
            documents_read: 0,
            skip: 0,
            duplicates: options.drop_duplicates.then(Duplicates::default),
            duplicates_before: 0,
            duplicates_limit: u64::MAX,
            hash: TextHash::default(),
        }
    }

    /// Passes over the first documents, of which so many were copies.
    pub fn skip(self, documents: u64, duplicates: usize) -> Reader<'a> {
        Reader { skip: documents, duplicates_before: duplicates, ..self }
    }

    /// Bounds the table of documents that have come.
    pub fn limit_duplicates(self, bytes: u64) -> Reader<'a> {
        Reader { duplicates_limit: bytes, ..self }
    }

    /// Copies of documents that were left out.
    pub fn duplicates_dropped(&self) -> usize {
        self.duplicates_before + self.duplicates.as_ref().map_or(0, Duplicates::count)
    }

    /// Reads files to their end; `shard_done` is called whenever a shard has become whole. Returns the files without text.
    pub fn read(
        &mut self,
        files: &[PathBuf],
        line_limit: usize,
        progress: &mut dyn FnMut(u64, u64),
        shard_done: &mut dyn FnMut(&mut Reader) -> Result<(), Error>,
    ) -> Result<Vec<PathBuf>, Error> {
        let document = DocumentOptions {
            document: self.options.document,
            text_field: self.options.text_field.clone(),
            line_limit,
            ..DocumentOptions::default()
        };
        for_each_block(files, &document, progress, &mut |pieces| self.add(pieces, shard_done))
    }

    fn add(
        &mut self,
        pieces: &[Piece],
        shard_done: &mut dyn FnMut(&mut Reader) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let done = self.pass_over(pieces);
        // Lines, and behind how many of them a document ends.
        let (mut lines, mut ends) = (Vec::new(), Vec::new());
        for piece in &pieces[done..] {
            for line in piece.text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                lines.push(line);
                if lines.len() == LINES_AT_ONCE {
                    self.add_lines(&lines, &ends, shard_done)?;
                    (lines, ends) = (Vec::new(), Vec::new());
                }
            }
            if piece.ends_document {
                ends.push((lines.len(), piece.place.path));
            }
        }
        self.add_lines(&lines, &ends, shard_done)
    }

    fn add_lines(
        &mut self,
        lines: &[&str],
        ends: &[(usize, &Path)],
        shard_done: &mut dyn FnMut(&mut Reader) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let tokenized: Vec<Line> = lines.par_iter().map(|line| self.tokenize(line)).collect();
        let mut done = 0;
        for (end, path) in ends.iter().map(|(end, path)| (*end, Some(*path))).chain([(lines.len(), None)]) {
            for (text, line) in lines[done..end].iter().zip(&tokenized[done..end]) {
                self.builder.add(line)?;
                self.hash_line(text);
            }
            done = end;
            let Some(path) = path else { break };
            self.documents_read += 1;
            if self.is_copy(path)? {
                self.builder.drop_document()?;
            }
            if self.builder.end_document()? {
                shard_done(self)?;
            }
        }
        Ok(())
    }

    /// Counts the pieces of documents that are to be passed over.
    fn pass_over(&mut self, pieces: &[Piece]) -> usize {
        let mut done = 0;
        while self.documents_read < self.skip
            && let Some(piece) = pieces.get(done)
        {
            piece.text.lines().for_each(|line| self.hash_line(line.trim()));
            if piece.ends_document {
                self.documents_read += 1;
                if let Some(duplicates) = &mut self.duplicates {
                    duplicates.note(self.hash.finish());
                }
            }
            done += 1;
        }
        done
    }

    fn hash_line(&mut self, line: &str) {
        if self.duplicates.is_some() && !line.is_empty() {
            self.hash.add(line);
            self.hash.add("\n");
        }
    }

    /// Whether the document that ends here has come before; one without a token is none.
    fn is_copy(&mut self, path: &Path) -> Result<bool, Error> {
        let Some(duplicates) = &mut self.duplicates else { return Ok(false) };
        let hash = self.hash.finish();
        let is_copy = self.builder.is_begun() && duplicates.is_duplicate(hash);
        if duplicates.bytes() > self.duplicates_limit {
            let message = "there are too many documents to find copies among within this memory; allow more \
                           (--max-memory), or leave the copies in"
                .to_string();
            return Err(Error::Data { path: path.to_path_buf(), line: None, message });
        }
        Ok(is_copy)
    }

    fn tokenize(&self, line: &str) -> Line {
        let mut tokens = Line::default();
        let mut add = |sentence: &str| {
            let ids = self.tokenizer.tokenize(sentence).ids;
            tokens.ids.extend(ids);
            tokens.ends.push(tokens.ids.len() as u32);
        };
        match self.options.sentences {
            SentenceUnit::Line => add(line),
            SentenceUnit::Split => sentences::split(line).into_iter().for_each(add),
        }
        let unknown = self.tokenizer.special().unk;
        for &id in &tokens.ids {
            tokens.words += u64::from(!self.continues[id as usize]);
            tokens.unknown += u64::from(id == unknown);
        }
        tokens
    }
}
