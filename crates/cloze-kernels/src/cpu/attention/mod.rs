//! Scaled dot-product attention, for each head of each sequence: `P = softmax(Q Kᵀ / √size)`, `y = P V`.
//!
//! ```text
//! for each sequence: for each head:
//!     S = Q Kᵀ / √size; E = exp(S − max S); log_sum_exp = max S + ln Σ E; y = dropout(E) V / Σ E
//! ```
//!
//! A head of a sequence is the work of one thread. Its K and V are packed once; then the query rows come
//! in blocks, whose scores fit into the second cache, so that working memory grows with the number of
//! keys and not with its square. The products are those of [`super::gemm`]: a query row has the bits that
//! it has alone, and dK and dV, which are sums over the query rows, remain chains in the order of those:
//! each block continues where the one before it stopped.
//!
//! Forward divides by the sum of the exponentials at the end, where there are fewer numbers; backward makes P
//! again from the stored logarithm, which differs by roundings.

mod head;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::head::{Head, QUERIES_MAX, for_each_head, sequences};
use self::rows::{dot, draw_factors, exp_of_difference, exponentials, score_gradients};
use super::gemm::{Block, Left, Start, multiply};
use super::math::LANES;
use super::operand::{Arithmetic, with_rows};
use super::panels::{COLUMNS, Panels, pack_columns, pack_rows, packed_len};
use super::scratch;
use super::shared::SharedMut;
use crate::{AttentionStarts, Dropout, Heads, Size};

/// The scores, their softmax and the values it weighs.
#[allow(clippy::too_many_arguments)]
pub(crate) fn forward(
    arithmetic: Arithmetic,
    y: &mut [f32],
    log_sum_exp: &mut [f32],
    q: &[f32],
    kv: &[f32],
    dropout: Option<Dropout<Vec<u32>>>,
    starts: AttentionStarts<Vec<u32>>,
    heads: Heads,
) {
    let level = arithmetic.level;
    let (y, log_sum_exp) = (SharedMut::new(y), SharedMut::new(log_sum_exp));
    for_each_head(starts, heads, |head| {
        let (keys, size) = (head.keys.len(), heads.size);
        let stride = keys.next_multiple_of(LANES);
        let packed = Packed::new(arithmetic, keys, size);
        let queries_max = head.queries.len().min(QUERIES_MAX);
        scratch::with(packed.by_keys + packed.by_size + stride + queries_max * (stride + 1), |mut rest| {
            let keys_by_keys = packed.by_keys(take(&mut rest, packed.by_keys), head.keys(kv), head.kv_stride());
            let values_by_size = packed.by_size(take(&mut rest, packed.by_size), head.values(kv), head.kv_stride());
            let factors = &mut take(&mut rest, stride)[..keys];
            let (scores_of_block, sums) = rest.split_at_mut(queries_max * stride);
            for queries in head.query_blocks() {
                let p = &mut scores_of_block[..queries.len() * stride];
                scores(arithmetic, p, stride, &head, q, keys_by_keys, &queries);
                for ((query, sum), p) in queries.clone().zip(&mut *sums).zip(p.chunks_exact_mut(stride.max(1))) {
                    let at = query * heads.count + head.index;
                    // SAFETY: a query row's number of this head belongs to this task alone.
                    let log_sum_exp = unsafe { log_sum_exp.slice(at..at + 1) };
                    (*sum, log_sum_exp[0]) = exponentials(level, p, keys, head.scale());
                    if let Some(dropout) = dropout {
                        draw_factors(level, factors, dropout, head.index, query);
                        p.iter_mut().zip(&*factors).for_each(|(p, factor)| *p *= factor);
                    }
                }
                let (block, rows) = (head.query_block(y, &queries), 0..queries.len());
                with_rows(arithmetic, p, stride, Size { rows: queries.len(), columns: keys }, |p| {
                    // SAFETY: this head's columns of these query rows belong to this task alone.
                    unsafe {
                        multiply(arithmetic, block, Start::Zero, Left::Rows(p), values_by_size, &[], rows, 0..size)
                    };
                });
                for (row, sum) in sums[..queries.len()].iter().enumerate() {
                    let factor = 1.0 / sum;
                    // SAFETY: as above.
                    unsafe { block.row(row, size) }.iter_mut().for_each(|y| *y *= factor);
                }
            }
        });
    });
}

/// Keys or values of one head, packed as B of a product.
#[derive(Clone, Copy)]
struct Packed {
    arithmetic: Arithmetic,
    keys: usize,
    size: usize,
    /// Words of panels whose columns are the keys: `[keys / 16][steps of size][16]`.
    by_keys: usize,
    /// Words of panels whose columns are those of the head: `[size / 16][steps of keys][16]`.
    by_size: usize,
}

impl Packed {
    fn new(arithmetic: Arithmetic, keys: usize, size: usize) -> Packed {
        let kind = arithmetic.kind;
        let (by_keys, by_size) = (packed_len(keys, kind.steps(size)), packed_len(size, kind.steps(keys)));
        Packed { arithmetic, keys, size, by_keys, by_size }
    }

    /// Panels whose columns are the keys, from `x [keys][size]`, `stride` apart.
    fn by_keys<'a>(self, words: &'a mut [f32], x: &[f32], stride: usize) -> Panels<'a> {
        let Arithmetic { level, kind } = self.arithmetic;
        let depth = kind.steps(self.size);
        for (panel, first) in words.chunks_exact_mut((depth * COLUMNS).max(1)).zip((0..).step_by(COLUMNS)) {
            let last = self.keys.min(first + COLUMNS) - 1;
            let x = &x[first * stride..last * stride + self.size];
            pack_rows(level, kind, panel, x, stride, self.size);
        }
        Panels { words, depth }
    }

    /// Panels whose columns are those of the head, from `x [keys][size]`, `stride` apart.
    fn by_size<'a>(self, words: &'a mut [f32], x: &[f32], stride: usize) -> Panels<'a> {
        let Arithmetic { level, kind } = self.arithmetic;
        pack_columns(level, kind, words, x, stride, self.size, self.keys, &mut []);
        Panels { words, depth: kind.steps(self.keys) }
    }
}

/// The gradients, block of query rows after block:
///
/// ```text
/// P = exp(Q Kᵀ / √size − log_sum_exp); dP = dropout(dy Vᵀ); dS = P ∘ (dP − rowsum(dy ∘ y)) / √size
/// dV += dropout(P)ᵀ dy; dK += dSᵀ Q; dQ = dS K
/// ```
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    arithmetic: Arithmetic,
    dq: &mut [f32],
    dkv: &mut [f32],
    dy: &[f32],
    y: &[f32],
    q: &[f32],
    kv: &[f32],
    log_sum_exp: &[f32],
    dropout: Option<Dropout<Vec<u32>>>,
    starts: AttentionStarts<Vec<u32>>,
    heads: Heads,
) {
    let Arithmetic { level, kind } = arithmetic;
    let (dq, dkv) = (SharedMut::new(dq), SharedMut::new(dkv));
    for_each_head(starts, heads, |head| {
        let (keys, size) = (head.keys.len(), heads.size);
        let stride = keys.next_multiple_of(LANES);
        let queries_max = head.queries.len().min(QUERIES_MAX);
        let packed = Packed::new(arithmetic, keys, size);
        let packed_queries = Packed::new(arithmetic, queries_max, size);
        let columns_len = packed_len(keys, kind.steps(queries_max));
        let packed_len_of_all = 2 * packed.by_keys + packed.by_size + packed_queries.by_size + columns_len;
        scratch::with(packed_len_of_all + (2 * queries_max + 1) * stride, |mut rest| {
            let kv_stride = head.kv_stride();
            let keys_by_keys = packed.by_keys(take(&mut rest, packed.by_keys), head.keys(kv), kv_stride);
            let values_by_keys = packed.by_keys(take(&mut rest, packed.by_keys), head.values(kv), kv_stride);
            let keys_by_size = packed.by_size(take(&mut rest, packed.by_size), head.keys(kv), kv_stride);
            let rows_by_size = take(&mut rest, packed_queries.by_size);
            let columns = take(&mut rest, columns_len);
            let factors = &mut take(&mut rest, stride)[..keys];
            factors.fill(1.0);

            let mut start = Start::Zero;
            for queries in head.query_blocks() {
                let (p, ds) = rest.split_at_mut(queries_max * stride);
                let (p, ds) = (&mut p[..queries.len() * stride], &mut ds[..queries.len() * stride]);
                scores(arithmetic, p, stride, &head, q, keys_by_keys, &queries);
                scores(arithmetic, ds, stride, &head, dy, values_by_keys, &queries);
                let rows = p.chunks_exact_mut(stride.max(1)).zip(ds.chunks_exact_mut(stride.max(1)));
                for (query, (p, ds)) in queries.clone().zip(rows) {
                    let columns = head.columns(query);
                    let row_sum = dot(level, &dy[columns.clone()], &y[columns]);
                    let log_sum_exp = log_sum_exp[query * heads.count + head.index];
                    if let Some(dropout) = dropout {
                        draw_factors(level, factors, dropout, head.index, query);
                    }
                    let (p, ds) = (&mut p[..keys], &mut ds[..keys]);
                    score_gradients(level, p, ds, factors, log_sum_exp, row_sum, head.scale());
                }

                // dV += dropout(P)ᵀ dy, then dK += dSᵀ Q.
                let packed = Packed::new(arithmetic, queries.len(), size);
                for (first, scores, x) in [(head.first_value(), &*p, dy), (head.first_key(), &*ds, q)] {
                    let rows_by_size = &mut rows_by_size[..packed.by_size];
                    let b = packed.by_size(rows_by_size, head.rows(x, &queries), heads.columns());
                    let depth = kind.steps(queries.len());
                    let columns = &mut columns[..packed_len(keys, depth)];
                    pack_columns(level, kind, columns, scores, stride, keys, queries.len(), &mut []);
                    let a = Left::Panels(Panels { words: columns, depth });
                    let block = Block { data: dkv, first, stride: kv_stride };
                    // SAFETY: this head's columns of this sequence's keys and values belong to this task alone.
                    unsafe { multiply(arithmetic, block, start, a, b, &[], 0..keys, 0..size) };
                }
                // dQ = dS K
                let (block, rows) = (head.query_block(dq, &queries), 0..queries.len());
                with_rows(arithmetic, ds, stride, Size { rows: queries.len(), columns: keys }, |ds| {
                    // SAFETY: this head's columns of these query rows belong to this task alone.
                    unsafe {
                        multiply(arithmetic, block, Start::Zero, Left::Rows(ds), keys_by_size, &[], rows, 0..size)
                    };
                });
                start = Start::Stored;
            }
        });
    });
}

/// P from its logarithm, sequence after sequence, each `[head count, queries, keys]`.
pub(crate) fn probabilities(
    arithmetic: Arithmetic,
    probabilities: &mut [f32],
    q: &[f32],
    kv: &[f32],
    log_sum_exp: &[f32],
    starts: AttentionStarts<Vec<u32>>,
    heads: Heads,
) {
    let probabilities = SharedMut::new(probabilities);
    for_each_head(starts, heads, |head| {
        let (queries, keys) = (head.queries.len(), head.keys.len());
        let earlier = sequences(starts).take(head.sequence);
        let before: usize = earlier.map(|(queries, keys)| queries.len() * keys.len()).sum();
        let first = before * heads.count + head.index * queries * keys;
        // SAFETY: every head of every sequence has a place of its own.
        let p = unsafe { probabilities.slice(first..first + queries * keys) };
        let packed = Packed::new(arithmetic, keys, heads.size);
        scratch::with(packed.by_keys, |words| {
            let panels = packed.by_keys(words, head.keys(kv), head.kv_stride());
            scores(arithmetic, p, keys, &head, q, panels, &head.queries);
        });
        for (query, p) in head.queries.clone().zip(p.chunks_exact_mut(keys.max(1))) {
            exp_of_difference(arithmetic.level, p, log_sum_exp[query * heads.count + head.index], head.scale());
        }
    });
}

/// Products of rows of q (or dy) with all keys (or values), not yet scaled: `[queries, stride]`.
fn scores(
    arithmetic: Arithmetic,
    scores: &mut [f32],
    stride: usize,
    head: &Head,
    q: &[f32],
    keys: Panels<'_>,
    queries: &Range<usize>,
) {
    let block = Block { data: SharedMut::new(scores), first: 0, stride };
    let size = Size { rows: queries.len(), columns: head.heads.size };
    with_rows(arithmetic, head.rows(q, queries), head.heads.columns(), size, |q| {
        // SAFETY: `scores` is borrowed exclusively.
        unsafe {
            multiply(arithmetic, block, Start::Zero, Left::Rows(q), keys, &[], 0..queries.len(), 0..head.keys.len())
        };
    });
}

/// Takes the first `len` numbers off `rest`.
fn take<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    rest.split_off_mut(..len).expect("enough working memory")
}
