//! Pre-training instances: what stands in a sequence, and whether its second half follows its first.
//!
//! The rules are those of BERT's own `create_pretraining_data.py`, with two changes. Instead of walking the corpus ten
//! times beforehand, every epoch is drawn anew. And a sentence that no sequence can hold is read in pieces, see `pieces`,
//! where BERT's script would drop what exceeds the sequence. An epoch's *plan* is where the tokens of each instance stand in the
//! corpus. What it holds of a document depends on (seed, epoch, document) alone, its order on (seed, epoch), so any
//! place of any epoch can be reached at once.

mod pieces;

use std::ops::{Range, RangeInclusive};
use std::path::Path;

use cloze_tokenizer::SpecialIds;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::corpus::{Bytes, Corpus, Durable, Sink};
use crate::error::Error;
use crate::random::{Permutation, Purpose, Random};

use pieces::Pieces;

/// What a model is pre-trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    #[serde(rename = "mlm+nsp")]
    /// Masked language model and next sentence prediction: pairs, `[CLS] A [SEP] B [SEP]`.
    MlmNsp,
    /// Masked language model alone, on full windows: the tokens of a document are cut into sequences `[CLS] … [SEP]` of
    /// the maximum length, regardless of sentences; the rest of a document is a shorter one.
    Mlm,
}

impl Objective {
    /// The maximum lengths that instances can be made for: room for a token of each segment, and counts
    /// of 16 bits.
    pub fn sequence_lengths(self) -> RangeInclusive<usize> {
        let shortest = match self {
            Objective::MlmNsp => 5,
            Objective::Mlm => 3,
        };
        shortest..=usize::from(u16::MAX)
    }
}

/// How instances are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanOptions {
    /// Tokens of an instance at most, special tokens included; 5 (for [`Objective::Mlm`] 3) to 65,535.
    pub max_seq_length: usize,
    /// How often a document is walked in shorter instances; BERT has 0.1. Only for [`Objective::MlmNsp`].
    pub short_seq_prob: f64,
    /// What the instances are for.
    pub objective: Objective,
    /// Whether the instances of an epoch come in random order, or in that of the corpus.
    pub shuffle: bool,
}

/// An instance as a plan holds it: which tokens of the corpus it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedInstance {
    /// First token of A among all tokens of the corpus.
    a_start: u64,
    /// First token of B.
    b_start: u64,
    /// Number of tokens of A, at least 1.
    a_length: u16,
    /// Number of tokens of B; 0 if the instance is no pair.
    b_length: u16,
    is_random_next: bool,
}

impl PlannedInstance {
    /// In a file: the starts (8 each), the lengths (2 each), whether B is from elsewhere (1), little-endian.
    const BYTES: usize = 21;

    fn to_bytes(self) -> [u8; PlannedInstance::BYTES] {
        let mut bytes = [0; PlannedInstance::BYTES];
        bytes[..8].copy_from_slice(&self.a_start.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.b_start.to_le_bytes());
        bytes[16..18].copy_from_slice(&self.a_length.to_le_bytes());
        bytes[18..20].copy_from_slice(&self.b_length.to_le_bytes());
        bytes[20] = u8::from(self.is_random_next);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> PlannedInstance {
        let start = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let length = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        PlannedInstance {
            a_start: start(0),
            b_start: start(8),
            a_length: length(16),
            b_length: length(18),
            is_random_next: bytes[20] != 0,
        }
    }

    /// Number of tokens of the instance, special tokens included.
    pub fn tokens(&self) -> usize {
        let special = if self.is_pair() { 3 } else { 2 };
        usize::from(self.a_length) + usize::from(self.b_length) + special
    }

    /// Whether B is from elsewhere instead of following A: the label of next sentence prediction.
    pub fn is_random_next(&self) -> bool {
        self.is_random_next
    }

    /// Whether there is a B.
    pub fn is_pair(&self) -> bool {
        self.b_length > 0
    }

    /// The places of A and of B among the tokens of the corpus.
    pub(crate) fn token_ranges(&self) -> (Range<u64>, Range<u64>) {
        let (a, b) = (self.a_start, self.b_start);
        (a..a + u64::from(self.a_length), b..b + u64::from(self.b_length))
    }
}

/// How much of some documents their instances read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Tokens of the documents.
    pub tokens: u64,
    /// Those of them that are in an instance; second halves from elsewhere do not count.
    pub read: u64,
    /// Sentences that are longer than an instance and were read in pieces.
    pub split: u64,
}

impl Coverage {
    /// The share of the tokens that are read, 0 to 1.
    pub fn share(&self) -> f64 {
        self.read as f64 / self.tokens.max(1) as f64
    }

    /// Adds other documents.
    pub fn add(&mut self, other: Coverage) {
        self.tokens += other.tokens;
        self.read += other.read;
        self.split += other.split;
    }
}

/// The instances of one document, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DocumentPlan {
    /// The instances.
    pub instances: Vec<PlannedInstance>,
    /// How much of the document they read.
    pub coverage: Coverage,
}

/// All instances of an epoch, in the order in which they are trained on. They are kept in the order of the corpus, in
/// memory or in a file; the order of training is computed.
#[derive(Debug)]
pub struct Plan {
    records: Bytes,
    count: usize,
    tokens: u64,
    coverage: Coverage,
    /// `None`: the order of the corpus.
    order: Option<Permutation>,
}

impl Plan {
    /// Number of instances.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Tokens of all instances, special tokens included.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// How much of the corpus the instances read.
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// The instances at some places.
    ///
    /// # Errors
    /// If the file of the plan cannot be read.
    pub fn instances(&self, places: impl Iterator<Item = usize>) -> Result<Vec<PlannedInstance>, Error> {
        let read = |place: usize| {
            let place = place as u64;
            let number = self.order.as_ref().map_or(place, |order| order.at(place));
            let size = PlannedInstance::BYTES as u64;
            let bytes = self.records.read(number * size..(number + 1) * size)?;
            Ok(PlannedInstance::from_bytes(&bytes))
        };
        places.map(read).collect()
    }
}

/// The plan of an epoch, in memory or in `file`, which is replaced.
///
/// Every document is visited once, and each of its sentences goes into an instance, though truncation may cut
/// it there; one that is longer than an instance goes into several. With a single document
/// ([`Corpus::is_single_document`]) "random next" sentences come from that same document.
///
/// # Errors
/// If the corpus cannot be read, or the file not be written.
pub fn plan_epoch(
    corpus: &Corpus,
    options: &PlanOptions,
    seed: u64,
    epoch: u64,
    file: Option<&Path>,
) -> Result<Plan, Error> {
    let mut records = match file {
        Some(path) => Sink::create(path)?,
        None => Sink::Memory(Vec::new()),
    };
    let (mut count, mut tokens, mut coverage) = (0, 0, Coverage::default());
    let planner = Planner::new(corpus, options, seed, epoch)?;
    // A part at a time, so that nothing but the plan grows with the corpus.
    let at_once = (TOKENS_AT_ONCE * corpus.documents() / corpus.tokens().max(1)).clamp(1, DOCUMENTS_AT_ONCE);
    let mut write = || {
        for first in (0..corpus.documents()).step_by(at_once) {
            let documents = first..(first + at_once).min(corpus.documents());
            let planned = documents.into_par_iter().map(|document| planner.plan(document));
            for planned in planned.collect::<Result<Vec<DocumentPlan>, Error>>()? {
                coverage.add(planned.coverage);
                for planned in planned.instances {
                    records.write(&planned.to_bytes())?;
                    count += 1;
                    tokens += planned.tokens() as u64;
                }
            }
        }
        Ok(())
    };
    if let Err(error) = write() {
        records.discard();
        return Err(error);
    }
    let mut random = Random::new(seed, Purpose::Shuffle, epoch, 0);
    let order = options.shuffle.then(|| Permutation::new(count as u64, &mut random));
    Ok(Plan { records: records.finish(Durable::No)?, count, tokens, coverage, order })
}

/// How many tokens, about, are planned together.
const TOKENS_AT_ONCE: usize = 1 << 25;
/// How many documents are planned together.
const DOCUMENTS_AT_ONCE: usize = 1 << 14;

/// Plans documents of a corpus, one at a time.
pub struct Planner<'a> {
    corpus: &'a Corpus,
    options: &'a PlanOptions,
    seed: u64,
    epoch: u64,
    pieces: Pieces<'a>,
}

impl<'a> Planner<'a> {
    /// Prepares to plan documents for an epoch.
    ///
    /// # Errors
    /// If the corpus cannot be read.
    ///
    /// # Panics
    /// If the objective has no instances of this length.
    pub fn new(corpus: &'a Corpus, options: &'a PlanOptions, seed: u64, epoch: u64) -> Result<Planner<'a>, Error> {
        let lengths = options.objective.sequence_lengths();
        let length = options.max_seq_length;
        let (shortest, longest) = (lengths.start(), lengths.end());
        assert!(lengths.contains(&length), "max_seq_length is {length}, not between {shortest} and {longest}");
        let pieces = Pieces::new(corpus, max_num_tokens(options))?;
        Ok(Planner { corpus, options, seed, epoch, pieces })
    }

    /// The instances of a document.
    ///
    /// # Errors
    /// If the corpus cannot be read.
    pub fn plan(&self, document: usize) -> Result<DocumentPlan, Error> {
        match self.options.objective {
            Objective::MlmNsp => {
                let random = Random::new(self.seed, Purpose::Plan, self.epoch, document as u64);
                plan_pairs(self.corpus, &self.pieces, document, self.options, random)
            }
            Objective::Mlm => plan_windows(self.corpus, document, max_num_tokens(self.options)),
        }
    }
}

/// Tokens of an instance that are not special: without `[CLS]` and one `[SEP]`, or two.
fn max_num_tokens(options: &PlanOptions) -> usize {
    match options.objective {
        Objective::MlmNsp => options.max_seq_length - 3,
        Objective::Mlm => options.max_seq_length - 2,
    }
}

/// One visit of a document:
///
/// ```text
/// target = max_num_tokens, or rarely an integer in 2 ..= max_num_tokens
/// while sentences (or pieces of long ones) are left:
///     chunk = the next sentences, until they have target tokens or the document ends
///     A     = a random number of sentences of the chunk, leaving at least one if it can
///     with probability ½, and always if nothing is left of the chunk:
///         B = sentences from a random place in another document, until A and B have target tokens
///         what is left of the chunk goes back into the document
///     else:
///         B = what is left of the chunk
///     truncate A and B to max_num_tokens together
/// ```
fn plan_pairs(
    corpus: &Corpus,
    pieces: &Pieces,
    number: usize,
    options: &PlanOptions,
    mut random: Random,
) -> Result<DocumentPlan, Error> {
    let max_num_tokens = max_num_tokens(options);
    let target = if random.uniform() < options.short_seq_prob {
        2 + random.below(max_num_tokens as u64 - 1) as usize
    } else {
        max_num_tokens
    };
    let document = corpus.document(number)?;
    let (sentences, split) = pieces.of(&document)?;
    let coverage = Coverage { tokens: length(&document.tokens()) as u64, read: 0, split };
    let mut plan = DocumentPlan { instances: Vec::new(), coverage };
    let mut next = 0;
    while next < sentences.len() {
        let chunk = sentences.until_tokens(next..sentences.len(), target);
        let mut a_sentences = 1;
        if chunk.len() >= 2 {
            a_sentences += random.below(chunk.len() as u64 - 1) as usize;
        }
        let a_end = chunk.start + a_sentences;
        let mut a = sentences.token_range(chunk.start..a_end);
        let is_random_next = chunk.len() == 1 || random.uniform() < 0.5;
        let mut b = if is_random_next {
            next = a_end;
            let other = draw_other_document(corpus, number, &mut random);
            pieces.draw(other, target.saturating_sub(length(&a)), &mut random)?
        } else {
            next = chunk.end;
            sentences.token_range(a_end..chunk.end)
        };
        truncate_pair(&mut a, &mut b, max_num_tokens, &mut random);
        let own_b = if is_random_next { 0 } else { length(&b) };
        plan.coverage.read += (length(&a) + own_b) as u64;
        plan.instances.push(PlannedInstance {
            a_start: a.start,
            b_start: b.start,
            a_length: length(&a) as u16,
            b_length: length(&b) as u16,
            is_random_next,
        });
    }
    Ok(plan)
}

fn length(range: &Range<u64>) -> usize {
    (range.end - range.start) as usize
}

/// Up to ten draws for a document other than `document`; the last one stands, whichever it is.
fn draw_other_document(corpus: &Corpus, document: usize, random: &mut Random) -> usize {
    let mut other = document;
    for _ in 0..10 {
        other = random.below(corpus.documents() as u64) as usize;
        if other != document {
            break;
        }
    }
    other
}

/// Takes tokens off the longer of the two (B on a tie), one by one, at its front or its back as a coin falls, until both
/// together have `max_num_tokens`.
fn truncate_pair(a: &mut Range<u64>, b: &mut Range<u64>, max_num_tokens: usize, random: &mut Random) {
    while length(a) + length(b) > max_num_tokens {
        let longer = if length(a) > length(b) { &mut *a } else { &mut *b };
        if random.uniform() < 0.5 {
            longer.start += 1;
        } else {
            longer.end -= 1;
        }
    }
}

/// The document's tokens in windows of `window` tokens; the last one is what remains.
fn plan_windows(corpus: &Corpus, document: usize, window: usize) -> Result<DocumentPlan, Error> {
    let tokens = corpus.document(document)?.tokens();
    let plan_at = |start: u64| PlannedInstance {
        a_start: start,
        b_start: start,
        a_length: (window as u64).min(tokens.end - start) as u16,
        b_length: 0,
        is_random_next: false,
    };
    let all = length(&tokens) as u64;
    let coverage = Coverage { tokens: all, read: all, split: 0 };
    Ok(DocumentPlan { instances: tokens.clone().step_by(window).map(plan_at).collect(), coverage })
}

/// A sequence to be masked and trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Token ids `[tokens]`, with `[CLS]` and `[SEP]`.
    pub ids: Vec<u32>,
    /// Segments `[tokens]`: 0 up to and including the first `[SEP]`, then 1.
    pub token_type_ids: Vec<u32>,
    /// Whether B is from elsewhere instead of following A. Means nothing if there is no B.
    pub is_random_next: bool,
}

/// The tokens of an instance planned on this corpus.
///
/// # Errors
/// If the corpus cannot be read.
pub fn build_instance(corpus: &Corpus, planned: &PlannedInstance, special: SpecialIds) -> Result<Instance, Error> {
    let (a, b) = planned.token_ranges();
    let mut ids = Vec::with_capacity(planned.tokens());
    ids.push(special.cls);
    ids.extend(corpus.tokens_at(a)?);
    ids.push(special.sep);
    let mut token_type_ids = vec![0; ids.len()];
    if planned.is_pair() {
        ids.extend(corpus.tokens_at(b)?);
        ids.push(special.sep);
        token_type_ids.resize(ids.len(), 1);
    }
    Ok(Instance { ids, token_type_ids, is_random_next: planned.is_random_next })
}

#[cfg(test)]
mod tests;
