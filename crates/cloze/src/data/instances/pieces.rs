//! Sentences that no sequence can hold, read in pieces.
//!
//! An instance has room for `max` tokens. A sentence with more is divided into consecutive pieces, each of which is a
//! sentence to the plan. Piece `i` begins at token `floor(i · max / k)` of its sentence, `k` being 8, or `max` if that
//! is less: `k` pieces in a row, wherever they begin, have `max` tokens together, so that instances of such pieces are
//! full and nothing of them is cut off. As pieces are about as long as ordinary sentences, halves of instances are of
//! all lengths, and what stands around long sentences loses no more than among ordinary ones.
//!
//! A sentence that fits stays whole, and a corpus of such sentences is planned as if this file were not there.

use std::collections::HashMap;
use std::ops::Range;

use crate::data::corpus::{Corpus, Document, Sentences};
use crate::error::Error;
use crate::random::Random;

/// Pieces that fill an instance.
const PIECES: u64 = 8;
/// Sentences of a document whose pieces are counted together.
const COUNTED_AT_ONCE: usize = 1024;

/// Where pieces of sentences stand in a corpus.
pub(super) struct Pieces<'a> {
    corpus: &'a Corpus,
    /// Tokens that an instance has room for.
    max: u64,
    /// Documents with more than [`COUNTED_AT_ONCE`] sentences: how many pieces stand before each of their groups of
    /// so many sentences, then their number.
    long_documents: HashMap<usize, Vec<u64>>,
}

impl<'a> Pieces<'a> {
    /// Counts the pieces of long documents, so that a random one is found without reading all of them.
    ///
    /// # Errors
    /// If the corpus cannot be read.
    pub fn new(corpus: &'a Corpus, max: usize) -> Result<Pieces<'a>, Error> {
        let mut pieces = Pieces { corpus, max: max as u64, long_documents: HashMap::new() };
        for d in corpus.documents_above(COUNTED_AT_ONCE as u64)? {
            let document = corpus.document(d)?;
            let mut counts = vec![0];
            let mut count = 0;
            for first in (0..document.sentences()).step_by(COUNTED_AT_ONCE) {
                let lengths = pieces.lengths(&document, first)?;
                count += lengths.iter().map(|&length| pieces.count(length)).sum::<u64>();
                counts.push(count);
            }
            pieces.long_documents.insert(d, counts);
        }
        Ok(pieces)
    }

    /// All sentences of a document, those that are too long in pieces; and how many were.
    pub fn of(&self, document: &Document) -> Result<(Sentences, u64), Error> {
        let sentences = self.corpus.sentences_of(document, 0..document.sentences())?;
        let is_long = |bounds: &[u64]| bounds[1] - bounds[0] > self.max;
        let split = sentences.bounds().windows(2).filter(|bounds| is_long(bounds)).count() as u64;
        if split == 0 {
            return Ok((sentences, 0));
        }
        let mut bounds = Vec::new();
        for sentence in sentences.bounds().windows(2) {
            let (start, length) = (sentence[0], sentence[1] - sentence[0]);
            bounds.extend((0..self.count(length)).map(|piece| start + self.start(piece)));
        }
        bounds.push(document.tokens().end);
        Ok((Sentences::new(bounds), split))
    }

    /// Pieces from a random one of a document on, until they have `target` tokens or none is left.
    pub fn draw(&self, d: usize, target: usize, random: &mut Random) -> Result<Range<u64>, Error> {
        let document = self.corpus.document(d)?;
        let (first, wanted, lengths) = match self.long_documents.get(&d) {
            None => {
                let lengths = self.lengths(&document, 0)?;
                let count = lengths.iter().map(|&length| self.count(length)).sum();
                (0, random.below(count), lengths)
            }
            Some(counts) => {
                let wanted = random.below(*counts.last().expect("a long document has groups"));
                let group = counts.partition_point(|&before| before <= wanted) - 1;
                let first = group * COUNTED_AT_ONCE;
                (first, wanted - counts[group], self.lengths(&document, first)?)
            }
        };
        let (mut sentence, mut piece) = (first, wanted);
        for length in lengths {
            if piece < self.count(length) {
                break;
            }
            piece -= self.count(length);
            sentence += 1;
        }
        self.until_tokens(&document, sentence, piece, target as u64)
    }

    /// Pieces from one of a sentence on, at least that one, until they have `target` tokens or the document ends.
    fn until_tokens(&self, document: &Document, first: usize, piece: u64, target: u64) -> Result<Range<u64>, Error> {
        // As many sentences at once as mostly do.
        const FEW: usize = 16;
        let mut read = FEW;
        loop {
            let last = (first + read).min(document.sentences());
            let sentences = self.corpus.sentences_of(document, first..last)?;
            let bounds = sentences.bounds();
            let start = bounds[0] + if piece > 0 { self.start(piece) } else { 0 };
            let wanted = start + target.max(1);
            for sentence in bounds.windows(2) {
                if sentence[1] - sentence[0] > self.max && wanted < sentence[1] {
                    // The first piece that ends there or later.
                    let end = sentence[0]
                        + self.start((wanted - sentence[0]).saturating_mul(self.pieces()).div_ceil(self.max));
                    return Ok(start..end.min(sentence[1]));
                }
                if sentence[1] >= wanted {
                    return Ok(start..sentence[1]);
                }
            }
            if last == document.sentences() {
                return Ok(start..document.tokens().end);
            }
            read *= 2;
        }
    }

    /// Tokens of up to [`COUNTED_AT_ONCE`] sentences from `first` on.
    fn lengths(&self, document: &Document, first: usize) -> Result<Vec<u64>, Error> {
        let range = first..(first + COUNTED_AT_ONCE).min(document.sentences());
        let sentences = self.corpus.sentences_of(document, range)?;
        Ok(sentences.bounds().windows(2).map(|bounds| bounds[1] - bounds[0]).collect())
    }

    /// Pieces that fill an instance.
    fn pieces(&self) -> u64 {
        PIECES.min(self.max)
    }

    /// The first token of a piece, counted in its sentence.
    fn start(&self, piece: u64) -> u64 {
        (u128::from(piece) * u128::from(self.max) / u128::from(self.pieces())) as u64
    }

    /// How many pieces a sentence has.
    fn count(&self, length: u64) -> u64 {
        if length > self.max { (length * self.pieces()).div_ceil(self.max) } else { 1 }
    }
}
