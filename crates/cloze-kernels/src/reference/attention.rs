//! Scaled dot-product attention with several heads (Vaswani et al. 2017, section 3.2), for each sequence
//! of a packed batch.

use std::ops::Range;

use super::dropout::factor;
use super::memory::{add_scaled, dot};
use crate::{AttentionStarts, Dropout, Heads};

pub(super) fn attention_forward(
    y: &mut [f64],
    log_sum_exp: &mut [f64],
    q: &[f64],
    kv: &[f64],
    dropout: Option<Dropout<'_, Vec<u32>>>,
    starts: AttentionStarts<'_, Vec<u32>>,
    heads: Heads,
) {
    for (queries, keys) in sequences(starts) {
        for query in queries {
            for head in 0..heads.count {
                let scores = scores(q, kv, query, keys.clone(), heads, head);
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
                let log_sum_exp = &mut log_sum_exp[query * heads.count + head];
                *log_sum_exp = largest + sum.ln();

                let y = &mut y[columns(query, heads, head)];
                y.fill(0.0);
                for (column, (score, key)) in scores.iter().zip(keys.clone()).enumerate() {
                    let probability = (score - *log_sum_exp).exp();
                    let kept = factor(dropout, query, head, column) * probability;
                    add_scaled(y, kept, &kv[value_columns(key, heads, head)]);
                }
            }
        }
    }
}

pub(super) fn attention_backward(
    dq: &mut [f64],
    dkv: &mut [f64],
    dy: &[f64],
    y: &[f64],
    q: &[f64],
    kv: &[f64],
    log_sum_exp: &[f64],
    dropout: Option<Dropout<'_, Vec<u32>>>,
    starts: AttentionStarts<'_, Vec<u32>>,
    heads: Heads,
) {
    let scale = 1.0 / (heads.size as f64).sqrt();
    for (queries, keys) in sequences(starts) {
        dkv[keys.start * 2 * heads.columns()..keys.end * 2 * heads.columns()].fill(0.0);
        for query in queries {
            for head in 0..heads.count {
                let here = columns(query, heads, head);
                let scores = scores(q, kv, query, keys.clone(), heads, head);
                let row_sum = dot(&dy[here.clone()], &y[here.clone()]);
                dq[here.clone()].fill(0.0);
                for (column, (score, key)) in scores.iter().zip(keys.clone()).enumerate() {
                    let key_at = key_columns(key, heads, head);
                    let value_at = value_columns(key, heads, head);
                    let factor = factor(dropout, query, head, column);

                    let p = (score - log_sum_exp[query * heads.count + head]).exp();
                    let dp = factor * dot(&dy[here.clone()], &kv[value_at.clone()]);
                    let ds = p * (dp - row_sum);
                    add_scaled(&mut dkv[value_at], factor * p, &dy[here.clone()]);
                    add_scaled(&mut dq[here.clone()], scale * ds, &kv[key_at.clone()]);
                    add_scaled(&mut dkv[key_at], scale * ds, &q[here.clone()]);
                }
            }
        }
    }
}

pub(super) fn attention_probabilities(
    probabilities: &mut [f64],
    q: &[f64],
    kv: &[f64],
    log_sum_exp: &[f64],
    starts: AttentionStarts<'_, Vec<u32>>,
    heads: Heads,
) {
    let mut next = probabilities.iter_mut();
    for (queries, keys) in sequences(starts) {
        for head in 0..heads.count {
            for query in queries.clone() {
                for score in scores(q, kv, query, keys.clone(), heads, head) {
                    let probability = next.next().expect("a place for every probability");
                    *probability = (score - log_sum_exp[query * heads.count + head]).exp();
                }
            }
        }
    }
}

/// One row of `S = Q Kᵀ / √size`: `[keys]`.
fn scores(q: &[f64], kv: &[f64], query: usize, keys: Range<usize>, heads: Heads, head: usize) -> Vec<f64> {
    let q = &q[columns(query, heads, head)];
    let score = |key| dot(q, &kv[key_columns(key, heads, head)]) / (heads.size as f64).sqrt();
    keys.map(score).collect()
}

/// The query rows and the key rows of each sequence.
fn sequences(starts: AttentionStarts<'_, Vec<u32>>) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let AttentionStarts { queries, keys } = starts;
    assert_eq!(queries.len(), keys.len(), "starts of queries and of keys");
    let range = |pair: &[u32]| pair[0] as usize..pair[1] as usize;
    queries.windows(2).map(range).zip(keys.windows(2).map(range))
}

/// Where one head of a row of q, y, dq or dy lies.
fn columns(row: usize, heads: Heads, head: usize) -> Range<usize> {
    let start = row * heads.columns() + head * heads.size;
    start..start + heads.size
}

/// Where the key of one head lies in kv: in the first half of a row.
fn key_columns(key: usize, heads: Heads, head: usize) -> Range<usize> {
    columns(2 * key, heads, head)
}

/// Where the value of one head lies in kv: in the second half of a row.
fn value_columns(key: usize, heads: Heads, head: usize) -> Range<usize> {
    columns(2 * key + 1, heads, head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some roundings of numbers near one.
    const ERROR_MAX: f64 = 1e-15;

    /// Two sequences, of one query and three keys, and of one query and one key; two heads of size one.
    /// Of kv the columns are the two keys, then the two values.
    #[test]
    fn a_small_batch_by_hand() {
        let heads = Heads { count: 2, size: 1 };
        let starts = AttentionStarts { queries: &vec![0, 1, 2], keys: &vec![0, 3, 4] };
        let q = [0.0, 1.0, 5.0, 5.0];
        let ln2 = std::f64::consts::LN_2;
        let kv = [
            [9.0, 0.0, 1.0, 4.0], // Head 0 weighs its values 1, 2, 6 equally.
            [8.0, ln2, 2.0, 8.0], // Head 1 weighs 4, 8, 16 as 1 : 2 : 1.
            [7.0, 0.0, 6.0, 16.0],
            [1.0, 2.0, 10.0, 20.0],
        ];
        let (mut y, mut log_sum_exp) = ([f64::NAN; 4], [f64::NAN; 4]);
        attention_forward(&mut y, &mut log_sum_exp, &q, kv.as_flattened(), None, starts, heads);
        assert_close(&y, &[3.0, 9.0, 10.0, 20.0]);
        assert_close(&log_sum_exp, &[3f64.ln(), 4f64.ln(), 5.0, 10.0]);

        let mut probabilities = [f64::NAN; 8];
        attention_probabilities(&mut probabilities, &q, kv.as_flattened(), &log_sum_exp, starts, heads);
        let third = 1.0 / 3.0;
        assert_close(&probabilities, &[third, third, third, 0.25, 0.5, 0.25, 1.0, 1.0]);
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= ERROR_MAX * b.abs().max(1.0));
        assert!(close && found.len() == expected.len(), "{found:?}, expected {expected:?}");
    }
}
