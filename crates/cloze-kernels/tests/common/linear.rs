//! Linear layers and activations.

use std::ops::Range;

use cloze_kernels::{Activation, Kernels, MatrixShape, Span, Store};

use super::assert_same_bits;
use super::buffers::{activations, inference_matrix, matrix, read_activations, read_vector, unset_activations, vector};

pub const ACTIVATIONS: [Activation; 4] =
    [Activation::GeluErf, Activation::GeluTanh, Activation::Relu, Activation::Tanh];

/// The parameters of a linear layer.
#[derive(Clone, Debug)]
pub struct Layer {
    pub shape: MatrixShape,
    pub weight: Vec<f64>,
    pub bias: Vec<f64>,
}

impl Layer {
    /// A layer whose outputs are about as large as its inputs.
    pub fn random(seed: u64, outputs: usize, inputs: usize) -> Layer {
        let scale = (-((inputs.max(1) as f64).log2() / 2.0).ceil()).exp2();
        Layer {
            shape: MatrixShape { outputs, inputs },
            weight: super::random_scaled(seed, outputs * inputs, scale),
            bias: super::random(seed + 1, outputs),
        }
    }

    /// Where weight and bias lie in the arena of [`linear_backward_weight`].
    pub fn spans(&self) -> (Span, Span) {
        let weight = Span { start: 3, len: self.weight.len() };
        (weight, Span { start: weight.range().end + 2, len: self.bias.len() })
    }

    /// Elements of the arena of [`linear_backward_weight`].
    pub fn arena_len(&self) -> usize {
        self.spans().1.range().end + 1
    }
}

pub fn linear_forward<K: Kernels>(
    k: &K,
    x: &[f64],
    layer: &Layer,
    with_bias: bool,
    rows: usize,
    outputs: Range<usize>,
) -> Vec<f64> {
    let len = rows * outputs.len();
    let mut y = unset_activations(k, len);
    let bias = with_bias.then(|| vector(k, &layer.bias));
    let weight = matrix(k, layer.shape, &layer.weight);
    k.linear_forward(&mut y, &activations(k, x), &weight, bias.as_ref(), rows, outputs);
    read_activations(k, &y, len)
}

/// `(y, pre)`; asserts that y is the same when pre is not kept.
pub fn linear_activation_forward<K: Kernels>(
    k: &K,
    x: &[f64],
    layer: &Layer,
    activation: Activation,
    rows: usize,
) -> (Vec<f64>, Vec<f64>) {
    let len = rows * layer.shape.outputs;
    let [mut y, mut pre, mut y_alone] = [(); 3].map(|()| unset_activations(k, len));
    let (x, bias) = (activations(k, x), vector(k, &layer.bias));
    let weight = matrix(k, layer.shape, &layer.weight);
    k.linear_activation_forward(&mut y, Some(&mut pre), &x, &weight, &bias, activation, rows);
    k.linear_activation_forward(&mut y_alone, None, &x, &weight, &bias, activation, rows);
    let y = read_activations(k, &y, len);
    assert_same_bits("y without pre", &read_activations(k, &y_alone, len), &y);
    (y, read_activations(k, &pre, len))
}

/// Asserts that `linear_forward_parts` gives what `linear_forward` gives for each range.
pub fn assert_parts_are_ranges<K: Kernels>(k: &K, x: &[f64], layer: &Layer, ranges: [Range<usize>; 2], rows: usize) {
    let (weight, bias) = (inference_matrix(k, layer.shape, &layer.weight), vector(k, &layer.bias));
    let x = activations(k, x);
    let [mut first, mut second, mut alone] = [(); 3].map(|()| unset_activations(k, rows * layer.shape.outputs));
    let parts = [(&mut first, ranges[0].clone()), (&mut second, ranges[1].clone())];
    k.linear_forward_parts(parts, &x, &weight, Some(&bias), rows);
    for (part, range) in [first, second].iter().zip(ranges) {
        let len = rows * range.len();
        k.linear_forward(&mut alone, &x, &weight, Some(&bias), rows, range);
        let part = read_activations(k, part, rows * layer.shape.outputs);
        assert_same_bits("a part", &part[..len], &read_activations(k, &alone, rows * layer.shape.outputs)[..len]);
    }
}

/// Both layers at once, and one after the other.
pub fn feed_forward<K: Kernels>(
    k: &K,
    x: &[f64],
    first: &Layer,
    second: &Layer,
    activation: Activation,
    rows: usize,
) -> (Vec<f64>, Vec<f64>) {
    let (hidden_len, len) = (rows * first.shape.outputs, rows * second.shape.outputs);
    let [mut y, mut y_one_by_one] = [(); 2].map(|()| unset_activations(k, len));
    let mut hidden = unset_activations(k, hidden_len);
    let x = activations(k, x);
    let [first, second] = [first, second]
        .map(|layer| (inference_matrix(k, layer.shape, &layer.weight), vector(k, &layer.bias), layer.shape.outputs));
    let (layer1, layer2) = ((&first.0, &first.1), (&second.0, &second.1));
    k.feed_forward(&mut y, &mut hidden, &x, layer1, layer2, activation, rows);
    k.linear_activation_forward(&mut hidden, None, &x, &first.0, &first.1, activation, rows);
    k.linear_forward(&mut y_one_by_one, &hidden, &second.0, Some(&second.1), rows, 0..second.2);
    (read_activations(k, &y, len), read_activations(k, &y_one_by_one, len))
}

/// Adds to `dx` if there is one.
pub fn linear_backward_input<K: Kernels>(
    k: &K,
    dx: Option<&[f64]>,
    dy: &[f64],
    layer: &Layer,
    rows: usize,
    outputs: Range<usize>,
) -> Vec<f64> {
    let len = rows * layer.shape.inputs;
    let (mut dx, store) = match dx {
        Some(dx) => (activations(k, dx), Store::Add),
        None => (unset_activations(k, len), Store::Overwrite),
    };
    let weight = matrix(k, layer.shape, &layer.weight);
    k.linear_backward_input(&mut dx, &activations(k, dy), &weight, store, rows, outputs);
    read_activations(k, &dx, len)
}

/// The arena `gradients` after the call; see [`Layer::spans`].
pub fn linear_backward_weight<K: Kernels>(
    k: &K,
    gradients: &[f64],
    dy: &[f64],
    x: &[f64],
    layer: &Layer,
    with_bias: bool,
    rows: usize,
) -> Vec<f64> {
    let mut arena = vector(k, gradients);
    let (weight, bias) = layer.spans();
    let (dy, x) = (activations(k, dy), activations(k, x));
    k.linear_backward_weight(&mut arena, weight, with_bias.then_some(bias), &dy, &x, layer.shape, rows);
    read_vector(k, &arena, gradients.len())
}

pub fn activation_forward<K: Kernels>(k: &K, x: &[f64], activation: Activation) -> Vec<f64> {
    let mut y = unset_activations(k, x.len());
    k.activation_forward(&mut y, &activations(k, x), activation, x.len());
    read_activations(k, &y, x.len())
}

pub fn activation_backward<K: Kernels>(k: &K, dy: &[f64], pre: &[f64], activation: Activation) -> Vec<f64> {
    let mut dx = activations(k, dy);
    let mut y = activations(k, pre);
    k.activation_backward(&mut dx, &mut y, activation, pre.len());
    let expected = activation_forward(k, pre, activation);
    assert_same_bits("the output made again", &read_activations(k, &y, pre.len()), &expected);
    read_activations(k, &dx, pre.len())
}
