//! Attention.

use std::ops::Range;

use cloze_kernels::{AttentionStarts, Heads, Kernels};

use super::buffers::{
    Mask, activations, indices, read_activations, read_vector, unset_activations, unset_vector, vector,
};

/// A packed batch: how many query rows and key rows each sequence has, and their columns.
#[derive(Clone, Debug)]
pub struct Batch {
    pub queries: Vec<usize>,
    pub keys: Vec<usize>,
    pub heads: Heads,
    pub q: Vec<f64>,
    pub kv: Vec<f64>,
    pub mask: Option<Mask>,
}

/// What forward leaves.
pub struct Attended {
    pub y: Vec<f64>,
    pub log_sum_exp: Vec<f64>,
}

impl Batch {
    /// Scores have a deviation of about `scale²`.
    pub fn random(seed: u64, queries: &[usize], keys: &[usize], heads: Heads, scale: f64) -> Batch {
        let (query_rows, key_rows): (usize, usize) = (queries.iter().sum(), keys.iter().sum());
        Batch {
            queries: queries.to_vec(),
            keys: keys.to_vec(),
            heads,
            q: super::random_scaled(seed, query_rows * heads.columns(), scale),
            kv: super::random_scaled(seed + 1, key_rows * 2 * heads.columns(), scale),
            mask: None,
        }
    }

    /// With dropout of the probabilities.
    pub fn with_dropout(self, probability: f32) -> Batch {
        Batch { mask: Some(Mask::new(probability, &self.queries)), ..self }
    }

    pub fn query_rows(&self) -> usize {
        self.queries.iter().sum()
    }

    /// The number of probabilities.
    pub fn probabilities_len(&self) -> usize {
        self.heads.count * self.queries.iter().zip(&self.keys).map(|(queries, keys)| queries * keys).sum::<usize>()
    }

    /// The batch of one of its sequences, with `queries` of its query rows only.
    pub fn sequence(&self, sequence: usize, queries: Range<usize>) -> Batch {
        let columns = self.heads.columns();
        let first_query: usize = self.queries[..sequence].iter().sum();
        let first_key: usize = self.keys[..sequence].iter().sum();
        let rows = first_query + queries.start..first_query + queries.end;
        let keys = self.keys[sequence];
        Batch {
            queries: vec![queries.len()],
            keys: vec![keys],
            heads: self.heads,
            q: self.q[rows.start * columns..rows.end * columns].to_vec(),
            kv: self.kv[first_key * 2 * columns..(first_key + keys) * 2 * columns].to_vec(),
            mask: self.mask.as_ref().map(|mask| mask.part(rows)),
        }
    }
}

pub fn attention_forward<K: Kernels>(k: &K, batch: &Batch) -> Attended {
    let mut y = unset_activations(k, batch.q.len());
    let log_sum_exp_len = batch.query_rows() * batch.heads.count;
    let mut log_sum_exp = unset_vector(k, log_sum_exp_len);
    let (q, kv) = (activations(k, &batch.q), activations(k, &batch.kv));
    let (queries, keys) = (starts(k, &batch.queries), starts(k, &batch.keys));
    let starts = AttentionStarts { queries: &queries, keys: &keys };
    let rows = batch.mask.as_ref().map(|mask| mask.coordinates(k));
    let dropout = batch.mask.as_ref().zip(rows.as_ref()).map(|(mask, rows)| mask.dropout(rows));
    k.attention_forward(&mut y, &mut log_sum_exp, &q, &kv, dropout, starts, batch.heads);
    Attended { y: read_activations(k, &y, batch.q.len()), log_sum_exp: read_vector(k, &log_sum_exp, log_sum_exp_len) }
}

/// `(dq, dkv)`.
pub fn attention_backward<K: Kernels>(k: &K, dy: &[f64], forward: &Attended, batch: &Batch) -> (Vec<f64>, Vec<f64>) {
    let (mut dq, mut dkv) = (unset_activations(k, batch.q.len()), unset_activations(k, batch.kv.len()));
    let (dy, y) = (activations(k, dy), activations(k, &forward.y));
    let (q, kv) = (activations(k, &batch.q), activations(k, &batch.kv));
    let log_sum_exp = vector(k, &forward.log_sum_exp);
    let (queries, keys) = (starts(k, &batch.queries), starts(k, &batch.keys));
    let starts = AttentionStarts { queries: &queries, keys: &keys };
    let rows = batch.mask.as_ref().map(|mask| mask.coordinates(k));
    let dropout = batch.mask.as_ref().zip(rows.as_ref()).map(|(mask, rows)| mask.dropout(rows));
    k.attention_backward(&mut dq, &mut dkv, &dy, &y, &q, &kv, &log_sum_exp, dropout, starts, batch.heads);
    (read_activations(k, &dq, batch.q.len()), read_activations(k, &dkv, batch.kv.len()))
}

pub fn attention_probabilities<K: Kernels>(k: &K, log_sum_exp: &[f64], batch: &Batch) -> Vec<f64> {
    let mut probabilities = unset_vector(k, batch.probabilities_len());
    let (q, kv) = (activations(k, &batch.q), activations(k, &batch.kv));
    let (queries, keys) = (starts(k, &batch.queries), starts(k, &batch.keys));
    let starts = AttentionStarts { queries: &queries, keys: &keys };
    k.attention_probabilities(&mut probabilities, &q, &kv, &vector(k, log_sum_exp), starts, batch.heads);
    read_vector(k, &probabilities, batch.probabilities_len())
}

/// `[sequences + 1]`: where each of some stretches of rows begins, then their sum.
fn starts<K: Kernels>(k: &K, lengths: &[usize]) -> K::Indices {
    let mut starts = vec![0];
    for len in lengths {
        starts.push(starts[starts.len() - 1] + *len as u32);
    }
    indices(k, &starts)
}
