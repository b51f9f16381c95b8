//! Every backward of the definition against finite differences of its forward, in f64.
//!
//! The loss is the sum of an operation's output elements times random numbers `dy`; its derivative by one
//! element of an input is `(loss(x + step) − loss(x − step)) / 2 step`.

mod common;

use cloze_kernels::{Activation, Heads, Reference, Size, Span};
use common::attention::{self, Batch};
use common::buffers::Mask;
use common::layer_norm::{self, Norm};
use common::linear::{self, ACTIVATIONS, Layer};
use common::{dot, loss, norm, random, random_indices, relative_error, rows};

/// The truncation error grows with its square, 1e-10 here; the rounding of the loss falls with it,
/// 1e-16 / 1e-5 = 1e-11.
const STEP: f64 = 1e-5;

/// Of a tensor's norm: both errors above, times what the third derivative and the size of the loss are
/// more than the gradient, which is a factor of some tens.
const RELATIVE_ERROR_MAX: f64 = 3e-9;

/// Root mean square of a gradient's elements below which it counts as zero. Inputs and `dy` are of
/// size one, so a gradient is too, give or take two orders.
const NOT_ZERO_MIN: f64 = 1e-2;

const PROBABILITY: f32 = 0.4;

/// Asserts that `gradient` is that of `loss` at `x`, and is not zero.
fn assert_gradient(what: &str, x: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    let loss_at = |i: usize, step: f64| {
        let mut x = x.to_vec();
        x[i] += step;
        loss(&x)
    };
    let numeric: Vec<f64> = (0..x.len()).map(|i| (loss_at(i, STEP) - loss_at(i, -STEP)) / (2.0 * STEP)).collect();
    let root_mean_square = norm(&numeric) / (x.len() as f64).sqrt();
    assert!(root_mean_square >= NOT_ZERO_MIN, "{what}: the gradient is {root_mean_square:e}");
    let error = relative_error(gradient, &numeric);
    assert!(error <= RELATIVE_ERROR_MAX, "{what}: relative error {error:e}");
}

/// What a call has added to an arena.
fn added(after: &[f64], before: &[f64]) -> Vec<f64> {
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

#[test]
fn linear_input_weight_and_bias() {
    let (rows, inputs, outputs) = (5, 7, 13);
    let layer = Layer::random(1, outputs, inputs);
    let (x, dy) = (random(3, rows * inputs), random(4, rows * outputs));
    let loss =
        |x: &[f64], layer: &Layer| dot(&dy, &linear::linear_forward(&Reference, x, layer, true, rows, 0..outputs));

    let dx = linear::linear_backward_input(&Reference, None, &dy, &layer, rows, 0..outputs);
    assert_gradient("dx", &x, &dx, |x| loss(x, &layer));

    let before = random(5, layer.arena_len());
    let after = linear::linear_backward_weight(&Reference, &before, &dy, &x, &layer, true, rows);
    let added = added(&after, &before);
    let (weight, bias) = layer.spans();
    assert_gradient("dweight", &layer.weight, &added[weight.range()], |weight| {
        loss(&x, &Layer { weight: weight.to_vec(), ..layer.clone() })
    });
    assert_gradient("dbias", &layer.bias, &added[bias.range()], |bias| {
        loss(&x, &Layer { bias: bias.to_vec(), ..layer.clone() })
    });
}

#[test]
fn linear_input_from_some_outputs() {
    let (rows, inputs, outputs) = (3, 7, 4..9);
    let layer = Layer::random(1, 13, inputs);
    let (x, dy) = (random(3, rows * inputs), random(4, rows * outputs.len()));
    let before = random(5, x.len());
    let after = linear::linear_backward_input(&Reference, Some(&before), &dy, &layer, rows, outputs.clone());
    assert_gradient("dx", &x, &added(&after, &before), |x| {
        dot(&dy, &linear::linear_forward(&Reference, x, &layer, true, rows, outputs.clone()))
    });
}

#[test]
fn linear_with_each_activation() {
    let (rows, inputs, outputs) = (3, 7, 5);
    let layer = Layer::random(1, outputs, inputs);
    let (x, dy) = (random(3, rows * inputs), random(4, rows * outputs));
    for activation in ACTIVATIONS {
        let forward = |x: &[f64]| linear::linear_activation_forward(&Reference, x, &layer, activation, rows);
        let (_, pre) = forward(&x);
        let dpre = linear::activation_backward(&Reference, &dy, &pre, activation);
        let dx = linear::linear_backward_input(&Reference, None, &dpre, &layer, rows, 0..outputs);
        assert_gradient(&format!("dx through {activation:?}"), &x, &dx, |x| dot(&dy, &forward(x).0));
    }
}

#[test]
fn activations_from_tail_to_tail() {
    // No element is nearer to ReLU's kink than the step.
    let x: Vec<f64> = (-40..40).map(|i| f64::from(i) / 8.0 + 1.0 / 16.0).collect();
    let dy = random(1, x.len());
    for activation in ACTIVATIONS {
        let dx = linear::activation_backward(&Reference, &dy, &x, activation);
        assert_gradient(&format!("{activation:?}"), &x, &dx, |x| {
            dot(&dy, &linear::activation_forward(&Reference, x, activation))
        });
    }
    assert_eq!(linear::activation_backward(&Reference, &[1.0], &[0.0], Activation::Relu), [0.0]);
}

#[test]
fn embedding_tables() {
    let (entries, size) = (5, Size { rows: 13, columns: 3 });
    let tables = [random(1, entries * size.columns), random(2, entries * size.columns)];
    let indices = [random_indices(3, size.rows, entries), random_indices(4, size.rows, entries)];
    let dy = random(5, size.rows * size.columns);
    let loss = |first: &[f64], second: &[f64]| {
        dot(&dy, &rows::embedding_forward(&Reference, &[(first, &indices[0]), (second, &indices[1])], size))
    };
    let before = random(6, 4 + tables[0].len());
    let span = Span { start: 3, len: tables[0].len() };
    let gradient = |index| {
        let after = rows::embedding_backward(&Reference, &before, span, &dy, index, size);
        added(&after, &before)[span.range()].to_vec()
    };
    assert_gradient("first table", &tables[0], &gradient(&indices[0]), |table| loss(table, &tables[1]));
    assert_gradient("second table", &tables[1], &gradient(&indices[1]), |table| loss(&tables[0], table));
}

#[test]
fn gathering_is_undone_by_scattering() {
    let (entries, size) = (7, Size { rows: 13, columns: 3 });
    let (x, index) = (random(1, entries * size.columns), random_indices(2, size.rows, entries));
    let dy = random(3, size.rows * size.columns);
    let before = random(4, x.len());
    let after = rows::scatter_add_rows(&Reference, &before, &dy, &index, size);
    assert_gradient("dx", &x, &added(&after, &before), |x| dot(&dy, &rows::gather_rows(&Reference, x, &index, size)));
}

#[test]
fn dropout() {
    let size = Size { rows: 5, columns: 13 };
    let mask = Mask::new(PROBABILITY, &[3, 2]);
    let (x, dy) = (random(1, size.rows * size.columns), random(2, size.rows * size.columns));
    let dx = rows::dropout(&Reference, &dy, &mask, size);
    assert_gradient("dx", &x, &dx, |x| dot(&dy, &rows::dropout(&Reference, x, &mask, size)));
}

#[test]
fn layer_norm_alone() {
    assert_layer_norm(false, None);
}

#[test]
fn layer_norm_of_a_residual() {
    assert_layer_norm(true, None);
}

#[test]
fn layer_norm_of_dropout() {
    assert_layer_norm(false, Some(Mask::new(PROBABILITY, &[1, 4])));
}

#[test]
fn layer_norm_of_a_residual_and_dropout() {
    assert_layer_norm(true, Some(Mask::new(PROBABILITY, &[1, 4])));
}

fn assert_layer_norm(with_residual: bool, mask: Option<Mask>) {
    let size = Size { rows: 5, columns: 13 };
    let len = size.rows * size.columns;
    let (x, residual, dy) = (random(1, len), random(2, len), random(3, len));
    // A large epsilon, so that its place in the formula shows.
    let norm = Norm { epsilon: 0.25, ..Norm::random(4, size.columns) };
    let forward = |x: &[f64], residual: &[f64], norm: &Norm| {
        let residual = with_residual.then_some(residual);
        layer_norm::layer_norm_forward(&Reference, x, residual, mask.as_ref(), norm, size)
    };
    let loss = |x: &[f64], residual: &[f64], norm: &Norm| dot(&dy, &forward(x, residual, norm).y);

    let before = random(6, norm.arena_len());
    let kept = forward(&x, &residual, &norm);
    let backward =
        layer_norm::layer_norm_backward(&Reference, with_residual, &before, &dy, &kept, mask.as_ref(), &norm, size);
    assert_gradient("dx", &x, &backward.dx, |x| loss(x, &residual, &norm));
    if let Some(dresidual) = backward.dresidual {
        assert_gradient("dresidual", &residual, &dresidual, |residual| loss(&x, residual, &norm));
    }
    let added = added(&backward.gradients, &before);
    let (gamma_at, beta_at) = norm.spans();
    assert_gradient("dgamma", &norm.gamma, &added[gamma_at.range()], |gamma| {
        loss(&x, &residual, &Norm { gamma: gamma.to_vec(), ..norm.clone() })
    });
    assert_gradient("dbeta", &norm.beta, &added[beta_at.range()], |beta| {
        loss(&x, &residual, &Norm { beta: beta.to_vec(), ..norm.clone() })
    });
}

#[test]
fn attention_of_whole_sequences() {
    assert_attention(&[3, 1, 6], &[3, 1, 6], None);
}

#[test]
fn attention_of_fewer_queries_than_keys() {
    assert_attention(&[1, 0, 2], &[4, 2, 7], None);
}

#[test]
fn attention_with_dropout() {
    assert_attention(&[3, 1, 6], &[3, 1, 6], Some(PROBABILITY));
    assert_attention(&[1, 1, 2], &[4, 2, 7], Some(PROBABILITY));
}

fn assert_attention(queries: &[usize], keys: &[usize], dropout: Option<f32>) {
    let mut batch = Batch::random(1, queries, keys, Heads { count: 2, size: 3 }, 1.0);
    if let Some(probability) = dropout {
        batch = batch.with_dropout(probability);
    }
    let dy = random(3, batch.q.len());
    let loss = |batch: &Batch| dot(&dy, &attention::attention_forward(&Reference, batch).y);

    let forward = attention::attention_forward(&Reference, &batch);
    let (dq, dkv) = attention::attention_backward(&Reference, &dy, &forward, &batch);
    assert_gradient("dq", &batch.q, &dq, |q| loss(&Batch { q: q.to_vec(), ..batch.clone() }));
    assert_gradient("dkv", &batch.kv, &dkv, |kv| loss(&Batch { kv: kv.to_vec(), ..batch.clone() }));

    // The gradients of keys and of values are of different sizes, so each is looked at alone.
    let columns = batch.heads.columns();
    for (what, half) in [("dk", 0..columns), ("dv", columns..2 * columns)] {
        let part: Vec<f64> = dkv.chunks(2 * columns).flat_map(|row| row[half.clone()].to_vec()).collect();
        assert!(norm(&part) / (part.len() as f64).sqrt() >= NOT_ZERO_MIN, "{what} is zero");
    }
}

#[test]
fn cross_entropy() {
    let (size, scale) = (Size { rows: 5, columns: 7 }, 0.5);
    let logits = random(1, size.rows * size.columns);
    let labels = random_indices(2, size.rows, size.columns);
    let forward = |logits: &[f64]| loss::cross_entropy_forward(&Reference, logits, &labels, size);
    let log_sum_exp = forward(&logits).log_sum_exp;
    let dlogits = loss::cross_entropy_backward(&Reference, &logits, &log_sum_exp, &labels, scale, size);
    assert_gradient("dlogits", &logits, &dlogits, |logits| scale * forward(logits).losses.iter().sum::<f64>());
}
