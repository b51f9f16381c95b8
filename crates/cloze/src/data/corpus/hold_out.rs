//! Documents, or ends of documents, that are held out of a corpus to measure with.

use sha2::{Digest, Sha256};

use crate::data::documents::hash_of;
use crate::error::Error;

use super::shard::Record;
use super::{Corpus, Cut, Selection};

/// Below this number of different documents no whole ones are held out, but the end of each.
const DOCUMENTS_TO_HOLD_OUT_MIN: usize = 20;
/// Sentences that the ends of few documents have together at least: fewer measure nothing.
const SENTENCES_HELD_OUT_MIN: u64 = 200;
/// The largest share of few documents that is held out to reach that number.
const SHARE_HELD_OUT_MAX: f64 = 0.2;

impl Corpus {
    /// Divides the documents into those to train on and those held out, both parts in the old order. Held out is about
    /// `fraction` (below 1) of the different documents with all their copies. They are those with the smallest hash of
    /// their tokens and `seed`: the same ones in whatever order the files come, and no document is in both parts. At
    /// least two are held out, so that next sentence prediction has another document to take its random sentences from.
    /// Nothing is held out with `fraction` 0.
    ///
    /// Fewer than 20 different documents give the end of each instead: `fraction` of its sentences, and at
    /// least 200 sentences in all; nothing of fewer than 1,000 sentences. Such parts are documents of both corpora.
    ///
    /// # Panics
    /// If the corpus is a part of another.
    pub fn hold_out(self, fraction: f64, seed: u64) -> Result<(Corpus, Option<Corpus>), Error> {
        assert!((0.0..1.0).contains(&fraction), "cannot hold out a share of {fraction}");
        assert!(matches!(self.selection, Selection::All), "a corpus is divided once");
        if fraction == 0.0 {
            return Ok((self, None));
        }
        if self.documents() < DOCUMENTS_TO_HOLD_OUT_MIN {
            return self.hold_out_ends(fraction);
        }
        let rank = |record: &Record| {
            let mut hasher = Sha256::new();
            hasher.update(seed.to_le_bytes());
            hasher.update(record.hash.to_le_bytes());
            hash_of(hasher)
        };
        let mut ranks = Vec::with_capacity(self.documents());
        self.for_each_record(&mut |_, _, record| {
            ranks.push(rank(record));
            Ok(())
        })?;
        let mut different = ranks.clone();
        different.sort_unstable();
        different.dedup();
        if different.len() < DOCUMENTS_TO_HOLD_OUT_MIN {
            return self.hold_out_ends(fraction);
        }
        let wanted = (fraction * different.len() as f64).round() as usize;
        let last_held_out = different[wanted.clamp(2, different.len() - 2) - 1];
        drop(different);
        let (mut held_out, mut before) = (Vec::new(), Vec::new());
        let (mut sentences, mut tokens) = (0, 0);
        let mut ranks = ranks.into_iter();
        let mut kept = 0;
        self.for_each_record(&mut |number, _, record| {
            if ranks.next().is_some_and(|rank| rank <= last_held_out) {
                held_out.push(number);
                before.push(kept);
                sentences += record.sentences.end - record.sentences.start;
                tokens += record.tokens.end - record.tokens.start;
            } else {
                kept += 1;
            }
            Ok(())
        })?;
        let selected = |selection, sentences, tokens| Corpus { selection, sentences, tokens, ..self.clone() };
        Ok((
            selected(Selection::Without(before), self.sentences - sentences, self.tokens - tokens),
            Some(selected(Selection::Only(held_out), sentences, tokens)),
        ))
    }

    /// True if the documents are the ends of others, see [`Corpus::hold_out`].
    pub fn is_ends_of_documents(&self) -> bool {
        matches!(self.selection, Selection::Tails(_))
    }

    /// Divides each document at a sentence; the first of a document is never held out.
    fn hold_out_ends(self, fraction: f64) -> Result<(Corpus, Option<Corpus>), Error> {
        let share = fraction.max(SENTENCES_HELD_OUT_MIN as f64 / self.sentences as f64);
        if share > SHARE_HELD_OUT_MAX.max(fraction) {
            return Ok((self, None));
        }
        let (mut heads, mut tails) = (Vec::new(), Vec::new());
        let (mut sentences, mut tokens) = (0, 0);
        self.for_each_record(&mut |document, shard, record| {
            let own = record.sentences.end - record.sentences.start;
            let tail = ((share * own as f64).ceil() as u64).min(own - 1);
            let mut cut = Cut { document, sentences: own, tokens: record.tokens.end - record.tokens.start };
            if tail > 0 {
                cut.sentences = own - tail;
                let first_of_tail = record.sentences.start + cut.sentences;
                let start = u64::from(self.shards[shard].starts(first_of_tail..first_of_tail + 1)?[0]);
                sentences += tail;
                tokens += cut.tokens - start;
                cut.tokens = start;
                tails.push(cut);
            }
            heads.push(cut);
            Ok(())
        })?;
        if tails.is_empty() {
            return Ok((self, None));
        }
        let selected = |selection, sentences, tokens| Corpus { selection, sentences, tokens, ..self.clone() };
        Ok((
            selected(Selection::Heads(heads.into()), self.sentences - sentences, self.tokens - tokens),
            Some(selected(Selection::Tails(tails.into()), sentences, tokens)),
        ))
    }
}
