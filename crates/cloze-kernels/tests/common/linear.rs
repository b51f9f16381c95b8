//! Linear layers and activations.

use std::ops::Range;

use cloze_kernels::{Activation, Kernels, LayerNorm, MatrixShape, Size, Span, Store};

use super::assert_same_bits;
use super::buffers::{
    activations, indices, inference_matrix, matrix, read_activations, read_vector, unset_activations, vector,
};

pub const ACTIVATIONS: [Activation; 6] = [
    Activation::GeluErf,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Silu,
    Activation::Relu,
    Activation::Tanh,
];

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

/// What comes of whole blocks with their LayerNorm, each beside what its parts give one after the other: a linear
/// layer that is added to `residual`, then two layers with an activation between them.
pub fn normalized_blocks<K: Kernels>(
    k: &K,
    x: &[f64],
    residual: &[f64],
    [single, first, second]: [&Layer; 3],
    activation: Activation,
    rows: usize,
) -> [(Vec<f64>, Vec<f64>); 2] {
    let columns = second.shape.outputs;
    let (gamma, beta) = (vector(k, &super::random(91, columns)), vector(k, &super::random(92, columns)));
    let norm = LayerNorm { gamma: &gamma, beta: &beta, epsilon: 1e-5 };
    let (x, residual) = (activations(k, x), activations(k, residual));
    let [mut y, mut sum, mut expected] = [(); 3].map(|()| unset_activations(k, rows * columns));
    let mut hidden = unset_activations(k, rows * first.shape.outputs);
    let [single, first, second] =
        [single, first, second].map(|layer| (inference_matrix(k, layer.shape, &layer.weight), vector(k, &layer.bias)));
    let mut normalize = |sum: &mut K::Activations, residual: &K::Activations| {
        let (mut rstd, size) = (vector(k, &vec![0.0; rows]), Size { rows, columns });
        k.layer_norm_forward(&mut expected, sum, &mut rstd, Some(residual), None, &gamma, &beta, 1e-5, size);
        read_activations(k, &expected, rows * columns)
    };

    k.linear_layer_norm(&mut y, &x, (&single.0, &single.1), &residual, norm, rows);
    let single_at_once = read_activations(k, &y, rows * columns);
    k.linear_forward(&mut sum, &x, &single.0, Some(&single.1), rows, 0..columns);
    let single_apart = normalize(&mut sum, &residual);

    let (layer1, layer2) = ((&first.0, &first.1), (&second.0, &second.1));
    k.feed_forward_layer_norm(&mut y, &mut hidden, &residual, layer1, layer2, activation, norm, rows);
    let double_at_once = read_activations(k, &y, rows * columns);
    k.linear_activation_forward(&mut hidden, None, &residual, &first.0, &first.1, activation, rows);
    k.linear_forward(&mut sum, &hidden, &second.0, Some(&second.1), rows, 0..columns);
    let double_apart = normalize(&mut sum, &residual);
    [(single_at_once, single_apart), (double_at_once, double_apart)]
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

/// The arena `gradients` after the call with all rows in one sequence; see [`Layer::spans`].
pub fn linear_backward_weight<K: Kernels>(
    k: &K,
    gradients: &[f64],
    dy: &[f64],
    x: &[f64],
    layer: &Layer,
    with_bias: bool,
    rows: usize,
) -> Vec<f64> {
    linear_backward_weight_of(k, gradients, dy, x, layer, with_bias, &[0, rows as u32])
}

/// [`linear_backward_weight`] of the sequences that begin at `starts`.
pub fn linear_backward_weight_of<K: Kernels>(
    k: &K,
    gradients: &[f64],
    dy: &[f64],
    x: &[f64],
    layer: &Layer,
    with_bias: bool,
    starts: &[u32],
) -> Vec<f64> {
    let mut arena = vector(k, gradients);
    let (weight, bias) = layer.spans();
    let (dy, x) = (activations(k, dy), activations(k, x));
    let starts = indices(k, starts);
    k.linear_backward_weight(&mut arena, weight, with_bias.then_some(bias), &dy, &x, layer.shape, &starts);
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
