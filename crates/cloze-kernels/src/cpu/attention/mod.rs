//! Scaled dot-product attention, for each head of each sequence: `P = softmax(Q Kᵀ / √size)`, `y = P V`.
//!
//! ```text
//! for each sequence: for each head:
//!     S = Q Kᵀ / √size; log_sum_exp = ln Σ exp S; P = exp(S − log_sum_exp); y = dropout(P) V
//! ```
//!
//! A head of a sequence is the work of one thread. Its K and V are packed once; then the query rows come
//! in blocks, whose scores fit into the second cache, so that working memory grows with the number of
//! keys and not with its square. The products are those of [`super::gemm`]: a query row has the bits that
//! it has alone, and dK and dV, which are sums over the query rows, remain chains in the order of those:
//! each block continues where the one before it stopped.
//!
//! Forward divides by the sum of the exponentials; backward makes P again from the stored logarithm,
//! which differs by roundings.

mod head;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::head::{Head, QUERIES_MAX, for_each_head, sequences};
use self::rows::{dot, draw_factors, exp_of_difference, score_gradients, softmax};
use super::gemm::{Block, Start, multiply};
use super::math::LANES;
use super::panels::{COLUMNS, Panels, View, pack};
use super::scratch;
use super::shared::SharedMut;
use super::simd::Level;
use crate::{AttentionStarts, Dropout, Heads};

/// The scores, their softmax and the values it weighs.
#[allow(clippy::too_many_arguments)]
pub(crate) fn forward(
    level: Level,
    y: &mut [f32],
    log_sum_exp: &mut [f32],
    q: &[f32],
    kv: &[f32],
    dropout: Option<Dropout<Vec<u32>>>,
    starts: AttentionStarts<Vec<u32>>,
    heads: Heads,
) {
    let (y, log_sum_exp) = (SharedMut::new(y), SharedMut::new(log_sum_exp));
    for_each_head(starts, heads, |head| {
        let keys = head.keys.len();
        let stride = keys.next_multiple_of(LANES);
        let packed_len = head.by_keys_len() + head.by_size_len(keys);
        let queries_max = head.queries.len().min(QUERIES_MAX);
        scratch::with(packed_len + (queries_max + 1) * stride, |mut rest| {
            let packed_keys = take(&mut rest, head.by_keys_len());
            let packed_values = take(&mut rest, head.by_size_len(keys));
            let factors = &mut take(&mut rest, stride)[..keys];
            pack::<COLUMNS>(packed_keys, View::rows(head.keys(kv), head.kv_stride()), 0..keys, 0..heads.size);
            pack::<COLUMNS>(packed_values, View::columns(head.values(kv), head.kv_stride()), 0..heads.size, 0..keys);
            for queries in head.query_blocks() {
                let p = &mut rest[..queries.len() * stride];
                scores(level, p, stride, &head, q, Panels::new(packed_keys, heads.size), &queries);
                for (query, p) in queries.clone().zip(p.chunks_exact_mut(stride.max(1))) {
                    let at = query * heads.count + head.index;
                    // SAFETY: a query row's number of this head belongs to this task alone.
                    let log_sum_exp = unsafe { log_sum_exp.slice(at..at + 1) };
                    log_sum_exp[0] = softmax(level, p, keys, head.scale());
                    if let Some(dropout) = dropout {
                        draw_factors(level, factors, dropout, head.index, query);
                        p.iter_mut().zip(&*factors).for_each(|(p, factor)| *p *= factor);
                    }
                }
                let block = head.query_block(y, &queries);
                let (p, values) = (View::rows(p, stride), Panels::new(packed_values, keys));
                // SAFETY: this head's columns of these query rows belong to this task alone.
                unsafe { multiply(level, block, Start::Zero, p, values, 0..queries.len(), 0..heads.size, keys) };
            }
        });
    });
}

/// The gradients, block of query rows after block:
///
/// ```text
/// P = exp(Q Kᵀ / √size − log_sum_exp); dP = dropout(dy Vᵀ); dS = P ∘ (dP − rowsum(dy ∘ y)) / √size
/// dV += dropout(P)ᵀ dy; dK += dSᵀ Q; dQ = dS K
/// ```
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    level: Level,
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
    let (dq, dkv) = (SharedMut::new(dq), SharedMut::new(dkv));
    for_each_head(starts, heads, |head| {
        let (keys, size) = (head.keys.len(), heads.size);
        let stride = keys.next_multiple_of(LANES);
        let queries_max = head.queries.len().min(QUERIES_MAX);
        let packed_len = 2 * head.by_keys_len() + head.by_size_len(keys) + head.by_size_len(queries_max);
        scratch::with(packed_len + (2 * queries_max + 1) * stride, |mut rest| {
            let packed_keys = take(&mut rest, head.by_keys_len());
            let packed_values = take(&mut rest, head.by_keys_len());
            let packed_keys_by_size = take(&mut rest, head.by_size_len(keys));
            let packed_rows = take(&mut rest, head.by_size_len(queries_max));
            let factors = &mut take(&mut rest, stride)[..keys];
            factors.fill(1.0);
            pack::<COLUMNS>(packed_keys, View::rows(head.keys(kv), head.kv_stride()), 0..keys, 0..size);
            pack::<COLUMNS>(packed_values, View::rows(head.values(kv), head.kv_stride()), 0..keys, 0..size);
            pack::<COLUMNS>(packed_keys_by_size, View::columns(head.keys(kv), head.kv_stride()), 0..size, 0..keys);

            let mut start = Start::Zero;
            for queries in head.query_blocks() {
                let (p, ds) = rest.split_at_mut(queries_max * stride);
                let (p, ds) = (&mut p[..queries.len() * stride], &mut ds[..queries.len() * stride]);
                scores(level, p, stride, &head, q, Panels::new(packed_keys, size), &queries);
                scores(level, ds, stride, &head, dy, Panels::new(packed_values, size), &queries);
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
                for (first, scores, x) in [(head.first_value(), &*p, dy), (head.first_key(), &*ds, q)] {
                    let packed_rows = &mut packed_rows[..head.by_size_len(queries.len())];
                    let x = View::columns(head.rows(x, &queries), heads.columns());
                    pack::<COLUMNS>(packed_rows, x, 0..size, 0..queries.len());
                    let block = Block { data: dkv, first, stride: head.kv_stride() };
                    let (a, b) = (View::columns(scores, stride), Panels::new(packed_rows, queries.len()));
                    // SAFETY: this head's columns of this sequence's keys and values belong to this task alone.
                    unsafe { multiply(level, block, start, a, b, 0..keys, 0..size, queries.len()) };
                }
                // dQ = dS K
                let (block, a) = (head.query_block(dq, &queries), View::rows(ds, stride));
                let b = Panels::new(packed_keys_by_size, keys);
                // SAFETY: this head's columns of these query rows belong to this task alone.
                unsafe { multiply(level, block, Start::Zero, a, b, 0..queries.len(), 0..size, keys) };
                start = Start::Stored;
            }
        });
    });
}

/// P from its logarithm, sequence after sequence, each `[head count, queries, keys]`.
pub(crate) fn probabilities(
    level: Level,
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
        scratch::with(head.by_keys_len(), |packed_keys| {
            pack::<COLUMNS>(packed_keys, View::rows(head.keys(kv), head.kv_stride()), 0..keys, 0..heads.size);
            scores(level, p, keys, &head, q, Panels::new(packed_keys, heads.size), &head.queries);
        });
        for (query, p) in head.queries.clone().zip(p.chunks_exact_mut(keys.max(1))) {
            exp_of_difference(level, p, log_sum_exp[query * heads.count + head.index], head.scale());
        }
    });
}

/// Products of rows of q (or dy) with all keys (or values), not yet scaled: `[queries, stride]`.
fn scores(
    level: Level,
    scores: &mut [f32],
    stride: usize,
    head: &Head,
    q: &[f32],
    keys: Panels<'_>,
    queries: &Range<usize>,
) {
    let block = Block { data: SharedMut::new(scores), first: 0, stride };
    let q = View::rows(head.rows(q, queries), head.heads.columns());
    // SAFETY: `scores` is borrowed exclusively.
    unsafe { multiply(level, block, Start::Zero, q, keys, 0..queries.len(), 0..head.keys.len(), head.heads.size) };
}

/// Takes the first `len` numbers off `rest`.
fn take<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    rest.split_off_mut(..len).expect("enough working memory")
}
