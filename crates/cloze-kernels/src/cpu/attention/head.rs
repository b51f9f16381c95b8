//! How attention is divided: one head of one sequence at a time, and of its query rows one block.

use std::ops::Range;

use crate::cpu::gemm::{Block, FORK_MIN};
use crate::cpu::pool;
use crate::cpu::shared::SharedMut;
use crate::{AttentionStarts, Heads};

/// Query rows in a block, at most. A multiple of the rows of a tile.
pub(super) const QUERIES_MAX: usize = 96;

/// One head of one sequence: the unit of work.
pub(super) struct Head {
    /// Index of the sequence.
    pub(super) sequence: usize,
    /// Index of the head.
    pub(super) index: usize,
    /// All heads.
    pub(super) heads: Heads,
    /// Query rows of the sequence.
    pub(super) queries: Range<usize>,
    /// Key rows of the sequence.
    pub(super) keys: Range<usize>,
}

impl Head {
    /// What scores are multiplied by: `1 / √size`.
    pub(super) fn scale(&self) -> f32 {
        (1.0 / (self.heads.size as f64).sqrt()) as f32
    }

    /// This head's columns of a row of q or y.
    pub(super) fn columns(&self, query: usize) -> Range<usize> {
        let first = query * self.heads.columns() + self.index * self.heads.size;
        first..first + self.heads.size
    }

    /// This head's columns of rows of q or y.
    pub(super) fn rows<'a>(&self, x: &'a [f32], queries: &Range<usize>) -> &'a [f32] {
        rest_from(x, self.columns(queries.start).start)
    }

    /// This head's columns of rows of y or dq, to be written.
    pub(super) fn query_block<'a>(&self, y: SharedMut<'a>, queries: &Range<usize>) -> Block<'a> {
        Block { data: y, first: self.columns(queries.start).start, stride: self.heads.columns() }
    }

    /// Numbers in a row of kv.
    pub(super) fn kv_stride(&self) -> usize {
        2 * self.heads.columns()
    }

    /// Index in kv of this head's first key.
    pub(super) fn first_key(&self) -> usize {
        self.keys.start * self.kv_stride() + self.index * self.heads.size
    }

    /// Index in kv of this head's first value.
    pub(super) fn first_value(&self) -> usize {
        self.first_key() + self.heads.columns()
    }

    /// This head's columns of the keys, from the sequence's first row on.
    pub(super) fn keys<'a>(&self, kv: &'a [f32]) -> &'a [f32] {
        rest_from(kv, self.first_key())
    }

    /// This head's columns of the values, from the sequence's first row on.
    pub(super) fn values<'a>(&self, kv: &'a [f32]) -> &'a [f32] {
        rest_from(kv, self.first_value())
    }

    /// The query rows in blocks; one empty block if there are none, so that dK and dV become zero.
    pub(super) fn query_blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Range { start, end } = self.queries;
        let count = (end - start).div_ceil(QUERIES_MAX).max(1);
        (0..count).map(move |block| start + block * QUERIES_MAX..end.min(start + (block + 1) * QUERIES_MAX))
    }
}

/// `x` from an index on; nothing if it lies behind the end, as the place of an empty sequence can.
fn rest_from(x: &[f32], first: usize) -> &[f32] {
    x.get(first..).unwrap_or_default()
}

/// The query rows and the key rows of each sequence.
pub(super) fn sequences(starts: AttentionStarts<Vec<u32>>) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let AttentionStarts { queries, keys } = starts;
    let range = |pair: &[u32]| pair[0] as usize..pair[1] as usize;
    queries.windows(2).map(range).zip(keys.windows(2).map(range))
}

/// Calls `work` for each head of each sequence, on all threads unless there is little to do.
pub(super) fn for_each_head(starts: AttentionStarts<Vec<u32>>, heads: Heads, work: impl Fn(Head) + Sync) {
    assert_eq!(starts.queries.len(), starts.keys.len(), "starts of queries and of keys");
    // That no row belongs to two sequences is what lets the threads write without looking.
    assert!(starts.queries.is_sorted() && starts.keys.is_sorted(), "a sequence starts before the one before it ends");
    let range = |starts: &[u32], at: usize| starts[at] as usize..starts[at + 1] as usize;
    let head = |at: usize| {
        let (sequence, index) = (at / heads.count, at % heads.count);
        let (queries, keys) = (range(starts.queries, sequence), range(starts.keys, sequence));
        work(Head { sequence, index, heads, queries, keys });
    };
    let count = starts.queries.len().saturating_sub(1) * heads.count;
    let scores: usize = sequences(starts).map(|(queries, keys)| queries.len() * keys.len()).sum();
    if 2 * scores * heads.columns() >= FORK_MIN {
        pool::for_each(count, head);
    } else {
        (0..count).for_each(head);
    }
}
