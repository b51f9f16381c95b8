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

use std::ops::Range;

use rayon::prelude::*;

use super::dropout;
use super::gemm::{Block, FORK_MIN, Start, multiply};
use super::math::{LANES, exp, exp_lanes, ln, sum_of_lanes};
use super::panels::{COLUMNS, Panels, View, pack, packed_len};
use super::scratch;
use super::shared::SharedMut;
use super::simd::{Level, multiply_add, multiversion};
use crate::{AttentionStarts, Dropout, Heads, philox};

/// Query rows in a block, at most. A multiple of the rows of a tile.
const QUERIES_MAX: usize = 96;

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
        let packed_len = 2 * head.by_keys_len() + head.by_size_len(keys) + 2 * head.by_size_len(queries_max);
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
                    score_gradients(
                        level,
                        &mut p[..keys],
                        &mut ds[..keys],
                        factors,
                        log_sum_exp,
                        row_sum,
                        head.scale(),
                    );
                }

                let packed_rows = &mut packed_rows[..head.by_size_len(queries.len())];
                let by_query = |x| View::columns(head.rows(x, &queries), heads.columns());
                let key_rows = |first| Block { data: dkv, first, stride: head.kv_stride() };
                // dV += dropout(P)ᵀ dy
                pack::<COLUMNS>(packed_rows, by_query(dy), 0..size, 0..queries.len());
                let (block, a) = (key_rows(head.first_value()), View::columns(p, stride));
                let b = Panels::new(packed_rows, queries.len());
                // SAFETY: this head's columns of this sequence's values belong to this task alone.
                unsafe { multiply(level, block, start, a, b, 0..keys, 0..size, queries.len()) };
                // dK += dSᵀ Q
                pack::<COLUMNS>(packed_rows, by_query(q), 0..size, 0..queries.len());
                let (block, a) = (key_rows(head.first_key()), View::columns(ds, stride));
                let b = Panels::new(packed_rows, queries.len());
                // SAFETY: this head's columns of this sequence's keys belong to this task alone.
                unsafe { multiply(level, block, start, a, b, 0..keys, 0..size, queries.len()) };
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
        let before: usize =
            sequences(starts).take(head.sequence).map(|(queries, keys)| queries.len() * keys.len()).sum();
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

/// One head of one sequence: the unit of work.
struct Head {
    sequence: usize,
    index: usize,
    heads: Heads,
    /// Query rows of the sequence.
    queries: Range<usize>,
    /// Key rows of the sequence.
    keys: Range<usize>,
}

impl Head {
    fn scale(&self) -> f32 {
        (1.0 / (self.heads.size as f64).sqrt()) as f32
    }

    /// This head's columns of a row of q or y.
    fn columns(&self, query: usize) -> Range<usize> {
        let first = query * self.heads.columns() + self.index * self.heads.size;
        first..first + self.heads.size
    }

    /// This head's columns of rows of q or y.
    fn rows<'a>(&self, x: &'a [f32], queries: &Range<usize>) -> &'a [f32] {
        from(x, self.columns(queries.start).start)
    }

    /// This head's columns of rows of y or dq, to be written.
    fn query_block<'a>(&self, y: SharedMut<'a>, queries: &Range<usize>) -> Block<'a> {
        Block { data: y, first: self.columns(queries.start).start, stride: self.heads.columns() }
    }

    /// Numbers in a row of kv.
    fn kv_stride(&self) -> usize {
        2 * self.heads.columns()
    }

    /// Index in kv of this head's first key.
    fn first_key(&self) -> usize {
        self.keys.start * self.kv_stride() + self.index * self.heads.size
    }

    /// Index in kv of this head's first value.
    fn first_value(&self) -> usize {
        self.first_key() + self.heads.columns()
    }

    fn keys<'a>(&self, kv: &'a [f32]) -> &'a [f32] {
        from(kv, self.first_key())
    }

    fn values<'a>(&self, kv: &'a [f32]) -> &'a [f32] {
        from(kv, self.first_value())
    }

    /// Numbers of panels whose columns are the keys: `[keys / 16][size][16]`.
    fn by_keys_len(&self) -> usize {
        packed_len::<COLUMNS>(self.keys.len(), self.heads.size)
    }

    /// Numbers of panels whose columns are those of the head: `[size / 16][rows][16]`.
    fn by_size_len(&self, rows: usize) -> usize {
        packed_len::<COLUMNS>(self.heads.size, rows)
    }

    /// The query rows in blocks; one empty block if there are none, so that dK and dV become zero.
    fn query_blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Range { start, end } = self.queries;
        let count = (end - start).div_ceil(QUERIES_MAX).max(1);
        (0..count).map(move |block| start + block * QUERIES_MAX..end.min(start + (block + 1) * QUERIES_MAX))
    }
}

/// `x` from an index on; nothing if it lies behind the end, as the place of an empty sequence can.
fn from(x: &[f32], first: usize) -> &[f32] {
    x.get(first..).unwrap_or_default()
}

/// Takes the first `len` numbers off `rest`.
fn take<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    rest.split_off_mut(..len).expect("enough working memory")
}

/// The query rows and the key rows of each sequence.
fn sequences(starts: AttentionStarts<Vec<u32>>) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let AttentionStarts { queries, keys } = starts;
    let range = |pair: &[u32]| pair[0] as usize..pair[1] as usize;
    queries.windows(2).map(range).zip(keys.windows(2).map(range))
}

/// Calls `work` for each head of each sequence, on all threads unless there is little to do.
fn for_each_head(starts: AttentionStarts<Vec<u32>>, heads: Heads, work: impl Fn(Head) + Sync) {
    assert_eq!(starts.queries.len(), starts.keys.len(), "starts of queries and of keys");
    let range = |starts: &[u32], at: usize| starts[at] as usize..starts[at + 1] as usize;
    let head = |at: usize| {
        let (sequence, index) = (at / heads.count, at % heads.count);
        let (queries, keys) = (range(starts.queries, sequence), range(starts.keys, sequence));
        work(Head { sequence, index, heads, queries, keys });
    };
    let count = starts.queries.len().saturating_sub(1) * heads.count;
    let scores: usize = sequences(starts).map(|(queries, keys)| queries.len() * keys.len()).sum();
    if 2 * scores * heads.columns() >= FORK_MIN {
        (0..count).into_par_iter().with_max_len(1).for_each(head);
    } else {
        (0..count).for_each(head);
    }
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

multiversion! {
    /// `row[.. keys] = softmax(scale · row)`; returns `ln Σ exp(scale · row)`. The row is as long as
    /// whole lanes; what follows the keys becomes 0.
    fn softmax(row: &mut [f32], keys: usize, scale: f32) -> f32 = softmax_body
}

#[inline(always)]
fn softmax_body<const FMA: bool>(row: &mut [f32], keys: usize, scale: f32) -> f32 {
    // exp(−∞) = 0: lanes without a key add exactly nothing.
    row[keys..].fill(f32::NEG_INFINITY);
    let (chunks, _) = row.as_chunks_mut::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in &mut *chunks {
        for lane in 0..LANES {
            chunk[lane] *= scale;
            largest[lane] = if chunk[lane] > largest[lane] { chunk[lane] } else { largest[lane] };
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0; LANES];
    for chunk in &mut *chunks {
        *chunk = exp_lanes::<FMA>(chunk.map(|score| score - largest));
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
        }
    }
    let sum = sum_of_lanes(sums);
    let factor = 1.0 / sum;
    for chunk in chunks {
        *chunk = chunk.map(|exp| exp * factor);
    }
    largest + ln(sum)
}

multiversion! {
    /// From a row of scores before scaling in `p` and of `dy Vᵀ` in `ds`: `P = exp(scale · S − log_sum_exp)`,
    /// `ds = scale · P ∘ (factors ∘ ds − row_sum)`, `p = factors ∘ P`.
    fn score_gradients(
        p: &mut [f32],
        ds: &mut [f32],
        factors: &[f32],
        log_sum_exp: f32,
        row_sum: f32,
        scale: f32,
    ) = score_gradients_body
}

#[inline(always)]
fn score_gradients_body<const FMA: bool>(
    p: &mut [f32],
    ds: &mut [f32],
    factors: &[f32],
    log_sum_exp: f32,
    row_sum: f32,
    scale: f32,
) {
    for ((p, ds), factor) in p.iter_mut().zip(ds).zip(factors) {
        let probability = exp::<FMA>(*p * scale - log_sum_exp);
        *ds = scale * probability * (*ds * factor - row_sum);
        *p = probability * factor;
    }
}

multiversion! {
    /// `row = exp(scale · row − log_sum_exp)`.
    fn exp_of_difference(row: &mut [f32], log_sum_exp: f32, scale: f32) = exp_of_difference_body
}

#[inline(always)]
fn exp_of_difference_body<const FMA: bool>(row: &mut [f32], log_sum_exp: f32, scale: f32) {
    row.iter_mut().for_each(|x| *x = exp::<FMA>(*x * scale - log_sum_exp));
}

multiversion! {
    /// `Σ a ∘ b`, in an order that depends on the length alone.
    fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let ((a, rest_of_a), (b, rest_of_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = multiply_add::<FMA>(a[lane], b[lane], sums[lane]);
        }
    }
    for (lane, (&a, &b)) in rest_of_a.iter().zip(rest_of_b).enumerate() {
        sums[lane] = multiply_add::<FMA>(a, b, sums[lane]);
    }
    sum_of_lanes(sums)
}

multiversion! {
    /// Draws dropout's factors of one row of scores.
    fn draw_factors(factors: &mut [f32], dropout: Dropout<Vec<u32>>, head: usize, query: usize) = draw_factors_body
}

#[inline(always)]
fn draw_factors_body<const FMA: bool>(factors: &mut [f32], dropout: Dropout<Vec<u32>>, head: usize, query: usize) {
    dropout::row_factors::<FMA>(
        factors,
        dropout.seed,
        dropout.step,
        dropout.site,
        head as u32,
        dropout.rows.sequences[query],
        dropout.rows.positions[query],
        philox::dropout_threshold(dropout.probability),
        dropout::scale(dropout.probability),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::{levels, numbers, on_threads};
    use crate::{Kernels, Reference, RowCoordinates};

    const HEADS: Heads = Heads { count: 3, size: 20 };

    /// Rounding in f32 in sums of a few hundred numbers, as a share of the largest result.
    const ERROR_MAX: f64 = 2e-6;

    /// Sequences of one row, of more than one block of query rows, and of less than one.
    struct Batch {
        queries: Vec<u32>,
        keys: Vec<u32>,
        q: Vec<f32>,
        kv: Vec<f32>,
        dy: Vec<f32>,
        rows: RowCoordinates<Vec<u32>>,
    }

    impl Batch {
        fn new() -> Batch {
            let starts = vec![0, 1, 241, 278];
            let rows = 278;
            let sequences = (0..rows as u32).map(|row| u32::from(row >= 1) + u32::from(row >= 241)).collect();
            Batch {
                q: numbers(rows * HEADS.columns(), 1),
                kv: numbers(rows * 2 * HEADS.columns(), 2),
                dy: numbers(rows * HEADS.columns(), 3),
                rows: RowCoordinates { sequences, positions: (0..rows as u32).collect() },
                queries: starts.clone(),
                keys: starts,
            }
        }

        fn starts(&self) -> AttentionStarts<'_, Vec<u32>> {
            AttentionStarts { queries: &self.queries, keys: &self.keys }
        }

        fn dropout(&self) -> Option<Dropout<'_, Vec<u32>>> {
            Some(Dropout { probability: 0.2, seed: 5, step: 6, site: 7, rows: &self.rows })
        }
    }

    /// y, log_sum_exp, dq, dkv.
    fn run(level: Level, threads: usize, batch: &Batch) -> [Vec<f32>; 4] {
        let Batch { q, kv, dy, .. } = batch;
        let mut y = vec![f32::NAN; q.len()];
        let mut log_sum_exp = vec![f32::NAN; q.len() / HEADS.size];
        let (mut dq, mut dkv) = (vec![f32::NAN; q.len()], vec![f32::NAN; kv.len()]);
        let (dropout, starts) = (batch.dropout(), batch.starts());
        on_threads(threads, || {
            forward(level, &mut y, &mut log_sum_exp, q, kv, dropout, starts, HEADS);
            backward(level, &mut dq, &mut dkv, dy, &y, q, kv, &log_sum_exp, dropout, starts, HEADS);
        });
        [y, log_sum_exp, dq, dkv]
    }

    #[test]
    fn long_sequences_match_the_reference() {
        let batch = Batch::new();
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (q, kv, dy) = (wide(&batch.q), wide(&batch.kv), wide(&batch.dy));
        let (mut y, mut log_sum_exp) = (q.clone(), vec![0.0; q.len() / HEADS.size]);
        let (mut dq, mut dkv) = (q.clone(), kv.clone());
        let (dropout, starts) = (batch.dropout(), batch.starts());
        Reference.attention_forward(&mut y, &mut log_sum_exp, &q, &kv, dropout, starts, HEADS);
        Reference.attention_backward(&mut dq, &mut dkv, &dy, &y, &q, &kv, &log_sum_exp, dropout, starts, HEADS);
        for level in levels() {
            let found = run(level, 1, &batch);
            for (found, expected) in found.iter().zip([&y, &log_sum_exp, &dq, &dkv]) {
                assert_close(level, found, expected);
            }
            let sizes = batch.queries.windows(2).map(|pair| ((pair[1] - pair[0]) as usize).pow(2));
            let len = HEADS.count * sizes.sum::<usize>();
            let (mut found, mut expected) = (vec![f32::NAN; len], vec![0.0; len]);
            let [_, log_sum_exp_f32, ..] = run(level, 1, &batch);
            probabilities(level, &mut found, &batch.q, &batch.kv, &log_sum_exp_f32, starts, HEADS);
            Reference.attention_probabilities(&mut expected, &q, &kv, &log_sum_exp, starts, HEADS);
            assert_close(level, &found, &expected);
        }
    }

    fn assert_close(level: Level, found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(found) - expected).abs() / largest;
            assert!(error <= ERROR_MAX, "{level:?}: {found} at {at}, expected {expected}, error {error:.1e}");
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let batch = Batch::new();
        for level in levels() {
            let alone = run(level, 1, &batch);
            for threads in 2..=4 {
                assert_eq!(run(level, threads, &batch), alone, "{level:?}, {threads} threads");
            }
        }
    }

    #[test]
    fn a_query_alone_has_the_bits_that_it_has_among_others() {
        let batch = Batch::new();
        for level in levels() {
            let [y, log_sum_exp, dq, _] = run(level, 1, &batch);
            // Of each sequence one row asks, which stands in another block than it did before.
            let rows = [0, 1 + 200, 241 + 36];
            let pick = |x: &[f32], width: usize| rows.map(|row| x[row * width..][..width].to_vec()).concat();
            let pick_rows = |x: &[u32]| rows.map(|row| x[row]).to_vec();
            let few = Batch {
                queries: vec![0, 1, 2, 3],
                q: pick(&batch.q, HEADS.columns()),
                dy: pick(&batch.dy, HEADS.columns()),
                rows: RowCoordinates {
                    sequences: pick_rows(&batch.rows.sequences),
                    positions: pick_rows(&batch.rows.positions),
                },
                ..Batch::new()
            };
            let [y_few, log_sum_exp_few, dq_few, _] = run(level, 1, &few);
            assert_eq!(y_few, pick(&y, HEADS.columns()), "{level:?}");
            assert_eq!(log_sum_exp_few, pick(&log_sum_exp, HEADS.count), "{level:?}");
            assert_eq!(dq_few, pick(&dq, HEADS.columns()), "{level:?}");
        }
    }

    #[test]
    fn keys_that_nobody_asks_for_get_zero_gradients() {
        let batch = Batch {
            queries: vec![0, 0, 0, 0],
            q: Vec::new(),
            dy: Vec::new(),
            rows: RowCoordinates::default(),
            ..Batch::new()
        };
        let [.., dkv] = run(Level::detect(), 1, &batch);
        assert!(dkv.iter().all(|dkv| *dkv == 0.0));
    }
}
