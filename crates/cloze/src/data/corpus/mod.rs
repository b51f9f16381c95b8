//! A corpus: documents of sentences of token ids, in memory or in a store on disk.

mod builder;
mod contents;
mod hold_out;
mod read;
mod shard;
mod store;

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::checkpoint::hex;
use crate::error::Error;

pub use builder::CorpusFigures;
pub use contents::{STORE, is_store};
pub(crate) use contents::{has_shards, store_options};
pub use read::{CorpusOptions, ReadCorpus, SentenceUnit};
pub(crate) use shard::{Bytes, Durable, Sink};
pub use store::{Existing, Store, StoreOptions, prepare};
pub(crate) use store::{remove_store, store_among};

use builder::{Builder, Line};
use shard::{Record, Shard};

/// Documents of sentences of token ids, without special tokens of our own. Every document has at least
/// one sentence and every sentence at least one token. They are read from where they are when they are needed.
#[derive(Clone, Debug)]
pub struct Corpus {
    shards: Arc<[Shard]>,
    /// `[shards + 1]`: the first document of each shard among all of them, then their number; likewise the tokens.
    first_documents: Arc<[u64]>,
    first_tokens: Arc<[u64]>,
    selection: Selection,
    /// Of the documents selected.
    sentences: u64,
    tokens: u64,
}

/// Which documents of the shards a corpus has.
#[derive(Clone, Debug)]
enum Selection {
    All,
    /// These, in ascending order.
    Only(Vec<u64>),
    /// All but some; of each of those, how many documents of the selection stand before it.
    Without(Vec<u64>),
    /// The first sentences of all of them: a cut for each.
    Heads(Arc<[Cut]>),
    /// The last sentences of those that are cut.
    Tails(Arc<[Cut]>),
}

/// Where a document is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// Number of the document among all.
    document: u64,
    /// Sentences before the cut, and their tokens.
    sentences: u64,
    tokens: u64,
}

impl Cut {
    /// The first part of a document.
    fn head(&self, record: &mut Record) {
        record.sentences.end = record.sentences.start + self.sentences;
        record.tokens.end = record.tokens.start + self.tokens;
    }

    /// The last part of a document.
    fn tail(&self, record: &mut Record) {
        record.sentences.start += self.sentences;
        record.tokens.start += self.tokens;
    }
}

/// A document: where its tokens stand among all tokens, and where its sentences are.
#[derive(Clone, Debug)]
pub struct Document {
    shard: usize,
    /// Where the first token of the whole document stands, from which its sentences are counted.
    origin: u64,
    tokens: Range<u64>,
    /// Among the sentences of its shard.
    sentences: Range<u64>,
}

impl Document {
    /// Number of sentences.
    pub fn sentences(&self) -> usize {
        (self.sentences.end - self.sentences.start) as usize
    }

    /// The places of its tokens among all tokens.
    pub(crate) fn tokens(&self) -> Range<u64> {
        self.tokens.clone()
    }
}

/// Where some sentences in a row stand among all tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentences {
    /// `[sentences + 1]`: the first token of each, then the end of the last.
    bounds: Vec<u64>,
}

impl Sentences {
    /// Sentences between these bounds.
    pub fn new(bounds: Vec<u64>) -> Sentences {
        Sentences { bounds }
    }

    /// The first token of each, then the end of the last.
    pub fn bounds(&self) -> &[u64] {
        &self.bounds
    }

    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Where the tokens of some of them stand among all tokens.
    pub fn token_range(&self, sentences: Range<usize>) -> Range<u64> {
        self.bounds[sentences.start]..self.bounds[sentences.end]
    }

    /// The first of `range`, at least one, until they have `target` tokens or none is left.
    pub fn until_tokens(&self, range: Range<usize>, target: usize) -> Range<usize> {
        let wanted = self.bounds[range.start] + target as u64;
        let mut end = range.start + 1;
        while end < range.end && self.bounds[end] < wanted {
            end += 1;
        }
        range.start..end
    }
}

/// How many documents are looked at together.
const RECORDS: u64 = 1 << 14;

impl Corpus {
    fn new(shards: Vec<Shard>) -> Corpus {
        let sums = |count: &dyn Fn(&Shard) -> u64| {
            let mut sum = 0;
            let ends = shards.iter().map(|shard| {
                sum += count(shard);
                sum
            });
            std::iter::once(0).chain(ends).collect::<Arc<[u64]>>()
        };
        let (first_documents, first_tokens) = (sums(&|shard| shard.documents), sums(&|shard| shard.tokens));
        Corpus {
            sentences: shards.iter().map(|shard| shard.sentences).sum(),
            tokens: shards.iter().map(|shard| shard.tokens).sum(),
            shards: shards.into(),
            first_documents,
            first_tokens,
            selection: Selection::All,
        }
    }

    /// A corpus of token ids that are already at hand: documents of sentences of tokens. Empty sentences and documents
    /// are dropped.
    ///
    /// # Panics
    /// If a document has more than 4,294,967,295 tokens.
    pub fn from_documents<S: AsRef<[u32]>>(documents: &[Vec<S>]) -> Corpus {
        let mut builder = Builder::in_memory(usize::MAX);
        let mut build = || {
            for document in documents {
                for sentence in document {
                    let ids = sentence.as_ref().to_vec();
                    builder.add(&Line { ends: vec![ids.len() as u32], ids, ..Line::default() })?;
                }
                builder.end_document()?;
            }
            Ok::<(), Error>(())
        };
        let built = build();
        built.and_then(|()| builder.finish()).expect("memory is not a file, and no document is too long")
    }

    /// Number of documents.
    pub fn documents(&self) -> usize {
        let all = self.first_documents[self.shards.len()] as usize;
        match &self.selection {
            Selection::All => all,
            Selection::Only(documents) => documents.len(),
            Selection::Without(documents) => all - documents.len(),
            Selection::Heads(cuts) | Selection::Tails(cuts) => cuts.len(),
        }
    }

    /// Number of sentences in all documents.
    pub fn sentences(&self) -> usize {
        self.sentences as usize
    }

    /// Number of tokens in all sentences.
    pub fn tokens(&self) -> usize {
        self.tokens as usize
    }

    /// Whether there is but one document, so that the "random next" sentences of next sentence prediction come from
    /// the same document, which deserves a warning.
    pub fn is_single_document(&self) -> bool {
        self.documents() == 1
    }

    /// Document `d`.
    ///
    /// # Errors
    /// This and whatever else reads a corpus: a file of its store cannot be read.
    pub fn document(&self, d: usize) -> Result<Document, Error> {
        let number = match &self.selection {
            Selection::All | Selection::Heads(_) => d as u64,
            Selection::Only(documents) => documents[d],
            Selection::Without(before) => d as u64 + before.partition_point(|&before| before <= d as u64) as u64,
            Selection::Tails(cuts) => cuts[d].document,
        };
        let (shard, mut record) = self.record(number)?;
        let first = self.first_tokens[shard];
        let origin = first + record.tokens.start;
        self.cut(d, &mut record);
        let tokens = first + record.tokens.start..first + record.tokens.end;
        Ok(Document { shard, origin, tokens, sentences: record.sentences })
    }

    /// A document by its number among all, and its shard.
    fn record(&self, number: u64) -> Result<(usize, Record), Error> {
        let shard = self.first_documents.partition_point(|&first| first <= number) - 1;
        let number = number - self.first_documents[shard];
        Ok((shard, self.shards[shard].records(number..number + 1)?.remove(0)))
    }

    /// Leaves of document `d` what is selected.
    fn cut(&self, d: usize, record: &mut Record) {
        match &self.selection {
            Selection::Heads(cuts) => cuts[d].head(record),
            Selection::Tails(cuts) => cuts[d].tail(record),
            _ => {}
        }
    }

    /// The documents with more than `sentences` sentences.
    pub(crate) fn documents_above(&self, sentences: u64) -> Result<Vec<usize>, Error> {
        let (mut above, mut d) = (Vec::new(), 0);
        self.for_each_record(&mut |_, _, record| {
            above.extend((record.sentences.end - record.sentences.start > sentences).then_some(d));
            d += 1;
            Ok(())
        })?;
        Ok(above)
    }

    /// How many sentences have more than `tokens` tokens.
    ///
    /// # Errors
    /// If a file of the corpus cannot be read.
    pub fn sentences_longer_than(&self, tokens: usize) -> Result<u64, Error> {
        const AT_ONCE: u64 = 1 << 16;
        let mut count = 0;
        self.for_each_record(&mut |_, shard, record| {
            let Range { start: first, end } = record.sentences;
            let mut last_start = None;
            for group in (first..end).step_by(AT_ONCE as usize) {
                for start in self.shards[shard].starts(group..(group + AT_ONCE).min(end))? {
                    count += u64::from(last_start.is_some_and(|last| (start - last) as usize > tokens));
                    last_start = Some(start);
                }
            }
            let first_start = self.shards[shard].starts(first..first + 1)?[0];
            let length_of_last =
                record.tokens.end - record.tokens.start - u64::from(last_start.unwrap_or(first_start) - first_start);
            count += u64::from(length_of_last > tokens as u64);
            Ok(())
        })?;
        Ok(count)
    }

    /// Where some of a document's sentences stand.
    pub(crate) fn sentences_of(&self, document: &Document, range: Range<usize>) -> Result<Sentences, Error> {
        let first = document.sentences.start;
        let end = (first + range.end as u64 + 1).min(document.sentences.end);
        let starts = self.shards[document.shard].starts(first + range.start as u64..end)?;
        let mut bounds: Vec<u64> = starts.into_iter().map(|start| document.origin + u64::from(start)).collect();
        if range.end == document.sentences() {
            bounds.push(document.tokens.end);
        }
        Ok(Sentences { bounds })
    }

    /// Tokens by their place among all tokens; all of one document.
    pub(crate) fn tokens_at(&self, range: Range<u64>) -> Result<Vec<u32>, Error> {
        let shard = self.first_tokens.partition_point(|&first| first <= range.start) - 1;
        let first = self.first_tokens[shard];
        self.shards[shard].ids(range.start - first..range.end - first)
    }

    /// The tokens of document `d`, sentence by sentence.
    pub fn read_document(&self, d: usize) -> Result<Vec<Vec<u32>>, Error> {
        let document = self.document(d)?;
        let sentences = self.sentences_of(&document, 0..document.sentences())?;
        (0..sentences.len()).map(|i| self.tokens_at(sentences.token_range(i..i + 1))).collect()
    }

    /// Hands over the selected documents in order, with their numbers among all documents.
    fn for_each_record(&self, each: &mut dyn FnMut(u64, usize, &Record) -> Result<(), Error>) -> Result<(), Error> {
        // Of a few documents those between them are not read.
        let few: Option<Vec<u64>> = match &self.selection {
            Selection::Only(documents) => Some(documents.clone()),
            Selection::Tails(cuts) => Some(cuts.iter().map(|cut| cut.document).collect()),
            _ => None,
        };
        for (d, number) in few.iter().flatten().enumerate() {
            let (shard, mut record) = self.record(*number)?;
            self.cut(d, &mut record);
            each(*number, shard, &record)?;
        }
        if few.is_some() {
            return Ok(());
        }
        let mut left_out = match &self.selection {
            Selection::Without(before) => before.iter().zip(0..).map(|(before, rank)| before + rank).collect(),
            _ => Vec::new(),
        }
        .into_iter()
        .peekable();
        for (shard_number, shard) in self.shards.iter().enumerate() {
            for first in (0..shard.documents).step_by(RECORDS as usize) {
                let records = shard.records(first..(first + RECORDS).min(shard.documents))?;
                for (number, mut record) in (self.first_documents[shard_number] + first..).zip(records) {
                    if left_out.next_if_eq(&number).is_none() {
                        if let Selection::Heads(cuts) = &self.selection {
                            cuts[number as usize].head(&mut record);
                        }
                        each(number, shard_number, &record)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// How often each token occurs, `[vocab_size]`. Token ids are below `vocab_size`.
    pub fn token_counts(&self, vocab_size: usize) -> Result<Vec<u64>, Error> {
        const AT_ONCE: u64 = 1 << 20;
        let mut counts = vec![0; vocab_size];
        self.for_each_record(&mut |_, shard, record| {
            let Range { start, end } = record.tokens;
            for first in (start..end).step_by(AT_ONCE as usize) {
                for token in self.shards[shard].ids(first..(first + AT_ONCE).min(end))? {
                    counts[token as usize] += 1;
                }
            }
            Ok(())
        })?;
        Ok(counts)
    }

    /// Entropy of the corpus' own distribution of tokens, in nats a token: the loss of a model that knows how frequent
    /// each token is and nothing else. Token ids are below `vocab_size`.
    pub fn unigram_entropy(&self, vocab_size: usize) -> Result<f64, Error> {
        let total = self.tokens as f64;
        let surprise = |count: u64| {
            let share = count as f64 / total;
            -share * share.ln()
        };
        let counts = self.token_counts(vocab_size)?;
        Ok(counts.into_iter().filter(|&count| count > 0).map(surprise).sum())
    }

    /// SHA-256 over the hashes of all documents, in hexadecimal: equal for equal documents in the same order, whatever
    /// files they came from.
    pub fn hash(&self) -> Result<String, Error> {
        let mut hasher = Sha256::new();
        self.for_each_record(&mut |_, _, record| {
            hasher.update(record.hash.to_le_bytes());
            Ok(())
        })?;
        if let Selection::Heads(cuts) | Selection::Tails(cuts) = &self.selection {
            hasher.update([u8::from(matches!(self.selection, Selection::Tails(_)))]);
            cuts.iter().for_each(|cut| hasher.update(cut.sentences.to_le_bytes()));
        }
        Ok(hex(hasher))
    }
}

#[cfg(test)]
mod tests;
