//! The suite that every implementation passes: each operation on many sizes against [`Reference`].
//!
//! A case is one call or a chain of calls with fixed sizes; run on any implementation it gives a list of
//! named outputs with the tolerance of each. So the same cases also serve to compare an implementation
//! with itself.

use std::fmt::Debug;

use cloze_kernels::{Heads, Kernels, Reference, Size};

use super::attention::{self, Batch};
use super::buffers::Mask;
use super::layer_norm::{self, Norm};
use super::linear::{self, ACTIVATIONS, Layer};
use super::{loss, random, random_indices, random_scaled, relative_error, rows};

/// Operations that round nothing, or whose result must be the same number: a copy, a prediction.
pub const EXACT: f64 = 0.0;

/// f32 rounds by 6e-8. An element that is some roundings away from its inputs.
pub const ELEMENTWISE: f64 = 5e-7;

/// A chain of n multiply-adds of random numbers is off by about √n/2 roundings of the sum, which for the
/// lengths here, up to 3,072, is under thirty.
pub const CHAIN: f64 = 2e-6;

/// Softmax, then a product: the exponential of a score of size s multiplies the score's rounding by s, and
/// scores here reach 20.
pub const SOFTMAX: f64 = 2e-6;

/// The gradients of scores are differences of nearly equal numbers.
pub const DIFFERENCE: f64 = 1e-5;

/// One tensor that a case leaves.
pub struct Output {
    pub name: &'static str,
    pub values: Vec<f64>,
    /// The largest relative error, in the tensor's norm.
    pub tolerance: f64,
}

/// Runs on any implementation.
pub trait Case: Debug + Sync {
    fn run<K: Kernels>(&self, k: &K) -> Vec<Output>;
}

/// Asserts that `k` gives what `Reference` gives.
pub fn assert_matches_reference<K: Kernels>(k: &K, cases: &[impl Case]) {
    for case in cases {
        let (found, expected) = (case.run(k), case.run(&Reference));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let error = relative_error(&found.values, &expected.values);
            let Output { name, tolerance, .. } = expected;
            assert!(error <= *tolerance, "{case:?}: {name}: relative error {error:e}, at most {tolerance:e}");
        }
    }
}

fn output(name: &'static str, values: Vec<f64>, tolerance: f64) -> Output {
    Output { name, values, tolerance }
}

// ---- linear layers ------------------------------------------------------------------------------

/// Forward and backward of a linear layer, whole and of some outputs.
#[derive(Debug)]
pub struct Linear {
    pub rows: usize,
    pub outputs: usize,
    pub inputs: usize,
}

pub fn linear_cases() -> Vec<Linear> {
    let mut cases = vec![];
    for rows in [0, 1, 7, 13, 37] {
        for [outputs, inputs] in [[1, 1], [7, 13], [13, 0], [0, 7], [37, 7], [64, 37], [2, 64], [37, 128]] {
            cases.push(Linear { rows, outputs, inputs });
        }
    }
    for [rows, outputs, inputs] in [[128, 64, 64], [61, 128, 768], [64, 768, 128], [5, 3072, 33], [257, 31, 16]] {
        cases.push(Linear { rows, outputs, inputs });
    }
    cases
}

impl Case for Linear {
    fn run<K: Kernels>(&self, k: &K) -> Vec<Output> {
        let Linear { rows, outputs, inputs } = *self;
        let layer = Layer::random(1, outputs, inputs);
        let (x, dy) = (random(3, rows * inputs), random(4, rows * outputs));
        let dx = random(5, rows * inputs);
        let gradients = random(6, layer.arena_len());
        let some = outputs / 3..outputs - outputs / 4;
        let some_dy = random(7, rows * some.len());
        vec![
            output("y", linear::linear_forward(k, &x, &layer, true, rows, 0..outputs), CHAIN),
            output("y without bias", linear::linear_forward(k, &x, &layer, false, rows, 0..outputs), CHAIN),
            output("y of some", linear::linear_forward(k, &x, &layer, true, rows, some.clone()), CHAIN),
            output("dx", linear::linear_backward_input(k, None, &dy, &layer, rows, 0..outputs), CHAIN),
            output("dx added", linear::linear_backward_input(k, Some(&dx), &dy, &layer, rows, 0..outputs), CHAIN),
            output("dx of some", linear::linear_backward_input(k, None, &some_dy, &layer, rows, some), CHAIN),
            output("dweight", linear::linear_backward_weight(k, &gradients, &dy, &x, &layer, true, rows), CHAIN),
            output(
                "dweight without dbias",
                linear::linear_backward_weight(k, &gradients, &dy, &x, &layer, false, rows),
                CHAIN,
            ),
        ]
    }
}

/// A linear layer with each activation, and each activation alone.
#[derive(Debug)]
pub struct Activated {
    pub rows: usize,
    pub outputs: usize,
    pub inputs: usize,
}

pub fn activated_cases() -> Vec<Activated> {
    [[0, 7, 3], [1, 1, 1], [7, 13, 37], [13, 37, 7], [37, 64, 13], [131, 768, 16]]
        .map(|[rows, outputs, inputs]| Activated { rows, outputs, inputs })
        .into()
}

impl Case for Activated {
    fn run<K: Kernels>(&self, k: &K) -> Vec<Output> {
        let Activated { rows, outputs, inputs } = *self;
        let layer = Layer::random(1, outputs, inputs);
        let (x, dy) = (random(3, rows * inputs), random(4, rows * outputs));
        let wide = random_scaled(5, rows * outputs, 4.0);
        let each = ACTIVATIONS.into_iter().flat_map(|activation| {
            let (y, pre) = linear::linear_activation_forward(k, &x, &layer, activation, rows);
            [
                output("y", y, CHAIN),
                output("pre", pre, CHAIN),
                output("activation", linear::activation_forward(k, &wide, activation), ELEMENTWISE),
                output("derivative", linear::activation_backward(k, &dy, &wide, activation), ELEMENTWISE),
            ]
        });
        each.collect()
    }
}

// ---- rows ---------------------------------------------------------------------------------------

/// Everything that takes rows from somewhere or puts them there, and dropout.
#[derive(Debug)]
pub struct Rows {
    pub size: Size,
    pub entries: usize,
}

pub fn rows_cases() -> Vec<Rows> {
    let mut cases = vec![];
    for rows in [0, 1, 7, 37, 128] {
        for (columns, entries) in [(0, 1), (1, 7), (7, 1), (13, 37), (37, 2), (64, 13), (768, 50)] {
            cases.push(Rows { size: Size { rows, columns }, entries });
        }
    }
    cases
}

impl Case for Rows {
    fn run<K: Kernels>(&self, k: &K) -> Vec<Output> {
        let Rows { size, entries } = *self;
        let (len, table_len) = (size.rows * size.columns, entries * size.columns);
        let [words, positions, segments] = [1, 2, 3].map(|seed| random(seed, table_len));
        let [word, position, segment] = [4, 5, 6].map(|seed| random_indices(seed, size.rows, entries));
        let (dy, gradients) = (random(7, len), random(8, table_len + 5));
        let table = cloze_kernels::Span { start: 3, len: table_len };
        let three: [(&[f64], &[u32]); 3] = [(&words, &word), (&positions, &position), (&segments, &segment)];
        let mask = Mask::new(0.1, &[size.rows / 3, size.rows - size.rows / 3]);
        vec![
            output("embedding", rows::embedding_forward(k, &three, size), ELEMENTWISE),
            output("no embedding", rows::embedding_forward(k, &[], size), EXACT),
            output("one embedding", rows::embedding_forward(k, &three[..1], size), EXACT),
            output("dtable", rows::embedding_backward(k, &gradients, table, &dy, &word, size), CHAIN),
            output("gathered", rows::gather_rows(k, &words, &word, size), EXACT),
            output("scattered", rows::scatter_add_rows(k, &words, &dy, &word, size), CHAIN),
            output("dropout", rows::dropout(k, &dy, &mask, size), ELEMENTWISE),
        ]
    }
}

// ---- LayerNorm ----------------------------------------------------------------------------------

/// Forward and backward, with or without residual and dropout.
#[derive(Debug)]
pub struct LayerNorm {
    pub size: Size,
    pub with_residual: bool,
    pub with_dropout: bool,
}

pub fn layer_norm_cases() -> Vec<LayerNorm> {
    let mut cases = vec![];
    for (rows, columns) in [(0, 7), (1, 1), (7, 13), (13, 37), (37, 7), (128, 64), (37, 128), (13, 768), (131, 312)] {
        for (with_residual, with_dropout) in [(false, false), (true, false), (false, true), (true, true)] {
            cases.push(LayerNorm { size: Size { rows, columns }, with_residual, with_dropout });
        }
    }
    cases
}

impl Case for LayerNorm {
    fn run<K: Kernels>(&self, k: &K) -> Vec<Output> {
        let LayerNorm { size, with_residual, with_dropout } = *self;
        let len = size.rows * size.columns;
        let (x, residual, dy) = (random(1, len), random(2, len), random(3, len));
        let norm = Norm::random(4, size.columns);
        let gradients = random(6, norm.arena_len());
        let mask = with_dropout.then(|| Mask::new(0.1, &[size.rows / 3, size.rows - size.rows / 3]));
        let residual = with_residual.then_some(&residual[..]);
        let forward = layer_norm::layer_norm_forward(k, &x, residual, mask.as_ref(), &norm, size);
        let backward =
            layer_norm::layer_norm_backward(k, with_residual, &gradients, &dy, &forward, mask.as_ref(), &norm, size);
        let mut outputs = vec![
            output("y", forward.y, CHAIN),
            output("normalized", forward.normalized, CHAIN),
            output("rstd", forward.rstd, CHAIN),
            output("dx", backward.dx, DIFFERENCE),
            output("dgamma and dbeta", backward.gradients, CHAIN),
        ];
        outputs.extend(backward.dresidual.map(|dresidual| output("dresidual", dresidual, DIFFERENCE)));
        outputs
    }
}

// ---- attention ----------------------------------------------------------------------------------

/// Forward, backward and probabilities of a packed batch.
#[derive(Debug)]
pub struct Attention {
    pub queries: Vec<usize>,
    pub keys: Vec<usize>,
    pub heads: Heads,
    pub dropout: Option<f32>,
}

pub fn attention_cases() -> Vec<Attention> {
    let mut cases = vec![];
    let shapes: [(&[usize], &[usize], [usize; 2]); 11] = [
        (&[], &[], [1, 1]),
        (&[0], &[0], [2, 3]),
        (&[7], &[7], [1, 1]),
        (&[1, 7, 13, 37], &[1, 7, 13, 37], [2, 7]),
        (&[1, 1, 1], &[7, 13, 37], [3, 13]),
        (&[0, 5, 1, 0], &[7, 13, 37, 1], [2, 8]),
        (&[13, 2], &[13, 2], [1, 37]),
        (&[64, 3, 128], &[64, 3, 128], [2, 32]),
        (&[128, 17], &[128, 17], [12, 64]),
        (&[5, 300], &[5, 300], [1, 16]),
        (&[3, 9], &[130, 9], [1, 128]),
    ];
    for (queries, keys, [count, size]) in shapes {
        for dropout in [None, Some(0.1)] {
            let (queries, keys) = (queries.to_vec(), keys.to_vec());
            cases.push(Attention { queries, keys, heads: Heads { count, size }, dropout });
        }
    }
    cases
}

impl Case for Attention {
    fn run<K: Kernels>(&self, k: &K) -> Vec<Output> {
        let mut batch = Batch::random(1, &self.queries, &self.keys, self.heads, 1.0);
        if let Some(probability) = self.dropout {
            batch = batch.with_dropout(probability);
        }
        let dy = random(3, batch.q.len());
        let forward = attention::attention_forward(k, &batch);
        let (dq, dkv) = attention::attention_backward(k, &dy, &forward, &batch);
        let probabilities = attention::attention_probabilities(k, &forward.log_sum_exp, &batch);
        vec![
            output("y", forward.y, SOFTMAX),
            output("log_sum_exp", forward.log_sum_exp, SOFTMAX),
            output("dq", dq, DIFFERENCE),
            output("dkv", dkv, DIFFERENCE),
            output("probabilities", probabilities, SOFTMAX),
        ]
    }
}

// ---- losses -------------------------------------------------------------------------------------

/// Both losses, forward and backward.
#[derive(Debug)]
pub struct Loss {
    pub size: Size,
}

pub fn loss_cases() -> Vec<Loss> {
    [(0, 7), (1, 1), (1, 7), (7, 2), (13, 37), (37, 13), (64, 128), (20, 8_003)]
        .map(|(rows, columns)| Loss { size: Size { rows, columns } })
        .into()
}

impl Case for Loss {
    fn run<K: Kernels>(&self, k: &K) -> Vec<Output> {
        let size = self.size;
        let logits = random_scaled(1, size.rows * size.columns, 4.0);
        let labels = random_indices(2, size.rows, size.columns);
        let forward = loss::cross_entropy_forward(k, &logits, &labels, size);
        let predictions = forward.predictions.iter().map(|prediction| f64::from(*prediction)).collect();
        let dlogits = loss::cross_entropy_backward(k, &logits, &forward.log_sum_exp, &labels, 0.25, size);
        vec![
            output("losses", forward.losses, SOFTMAX),
            output("log_sum_exp", forward.log_sum_exp, SOFTMAX),
            output("predictions", predictions, EXACT),
            output("dlogits", dlogits, SOFTMAX),
        ]
    }
}
