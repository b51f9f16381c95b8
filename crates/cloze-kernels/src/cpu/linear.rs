//! Linear layers: `y = x · Wᵀ + bias`, and the gradients of x, W and the bias.

use std::ops::Range;

use super::activation;
use super::disjoint::{for_each_stripe, stripe_width};
use super::gemm::{Block, BlockMax, INNER_MAX, ROWS_MAX, Start, for_each_block, multiply, stretches};
use super::matrix::Matrix;
use super::panels::{COLUMNS, Panels, View, pack, packed_len};
use super::scratch;
use super::shared::SharedMut;
use super::simd::Level;
use crate::{Activation, MatrixShape, Span, Store};

/// Blocks of products with a packed weight: the rows whose packed numbers stay in the second cache.
const PACKED_BLOCK: BlockMax = BlockMax { rows: ROWS_MAX, columns: 1024 };

/// Blocks of the gradient of a weight. Both operands are packed for each block, so that a block is
/// large in both directions: 512 KiB of packed x, in the second cache.
const GRADIENT_BLOCK: BlockMax = BlockMax { rows: 768, columns: 512 };

/// `y[r, o] = bias[o] + Σ_i x[r, i] · W[o, i]` for `o` in `outputs`.
pub(crate) fn forward(
    level: Level,
    y: &mut [f32],
    x: &[f32],
    weight: &Matrix,
    bias: Option<&[f32]>,
    rows: usize,
    outputs: Range<usize>,
) {
    forward_then(level, y, x, weight, bias, rows, outputs, |_, _| {});
}

/// `pre = forward(x)`, `y = activation(pre)`, for all outputs. A block gets its activation from the
/// thread that computed it, while it is in the cache.
#[allow(clippy::too_many_arguments)]
pub(crate) fn activation_forward(
    level: Level,
    y: &mut [f32],
    pre: Option<&mut [f32]>,
    x: &[f32],
    weight: &Matrix,
    bias: &[f32],
    activation: Activation,
    rows: usize,
) {
    let outputs = 0..weight.shape.outputs;
    let Some(pre) = pre else {
        let activate = |_, y: &mut [f32]| activation::apply_in_place(level, y, activation);
        return forward_then(level, y, x, weight, Some(bias), rows, outputs, activate);
    };
    let y = SharedMut::new(y);
    forward_then(level, pre, x, weight, Some(bias), rows, outputs, |at, pre| {
        // SAFETY: `forward_then` calls this once for each place in `pre`, and y has the same places.
        let y = unsafe { y.slice(at) };
        y.copy_from_slice(pre);
        activation::apply_in_place(level, y, activation);
    });
}

/// [`forward`], then `finish(at, y[at])` for stretches of rows that together cover y once.
#[allow(clippy::too_many_arguments)]
fn forward_then(
    level: Level,
    y: &mut [f32],
    x: &[f32],
    weight: &Matrix,
    bias: Option<&[f32]>,
    rows: usize,
    outputs: Range<usize>,
    finish: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let MatrixShape { outputs: all_outputs, inputs } = weight.shape;
    assert!(outputs.start <= outputs.end && outputs.end <= all_outputs, "{outputs:?} of {all_outputs} outputs");
    let stride = outputs.len();
    let x = View::rows(&x[..rows * inputs], inputs);
    let y = SharedMut::new(&mut y[..rows * stride]);
    let start = bias.map_or(Start::Zero, |bias| Start::Bias(&bias[..all_outputs]));
    for_each_block(rows, outputs.clone(), inputs, PACKED_BLOCK, |rows, columns| {
        let first = rows.start * stride + columns.start - outputs.start;
        let block = Block { data: y, first, stride };
        let panels = weight.forward_panels();
        // SAFETY: the blocks do not overlap, and nothing else uses y.
        unsafe { multiply(level, block, start, x, panels, rows.clone(), columns.clone(), inputs) };
        for row in 0..rows.len() {
            let at = first + row * stride..first + row * stride + columns.len();
            // SAFETY: this is a row of the block, which the product is done with.
            finish(at.clone(), unsafe { y.slice(at) });
        }
    });
}

/// `dx[r, i] (+)= Σ_o dy[r, o] · W[o, i]` over `o` in `outputs`.
pub(crate) fn backward_input(
    level: Level,
    dx: &mut [f32],
    dy: &[f32],
    weight: &Matrix,
    store: Store,
    rows: usize,
    outputs: Range<usize>,
) {
    let MatrixShape { outputs: all_outputs, inputs } = weight.shape;
    assert!(outputs.start <= outputs.end && outputs.end <= all_outputs, "{outputs:?} of {all_outputs} outputs");
    let dy = View::rows(&dy[..rows * outputs.len()], outputs.len());
    let dx = SharedMut::new(&mut dx[..rows * inputs]);
    let start = match store {
        Store::Overwrite => Start::Zero,
        Store::Add => Start::Stored,
    };
    for_each_block(rows, 0..inputs, outputs.len(), PACKED_BLOCK, |rows, columns| {
        let block = Block { data: dx, first: rows.start * inputs + columns.start, stride: inputs };
        let panels = weight.backward_panels(outputs.start);
        // SAFETY: the blocks do not overlap, and nothing else uses dx.
        unsafe { multiply(level, block, start, dy, panels, rows, columns, outputs.len()) };
    });
}

/// `dW[o, i] += Σ_r dy[r, o] · x[r, i]` and `dbias[o] += Σ_r dy[r, o]`, in one arena.
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward_weight(
    level: Level,
    gradients: &mut [f32],
    weight: Span,
    bias: Option<Span>,
    dy: &[f32],
    x: &[f32],
    shape: MatrixShape,
    rows: usize,
) {
    let MatrixShape { outputs, inputs } = shape;
    let (dy, x) = (&dy[..rows * outputs], &x[..rows * inputs]);
    if let Some(bias) = bias {
        assert_eq!(bias.len, outputs, "numbers of a bias");
        add_rows(&mut gradients[bias.range()], dy);
    }
    assert_eq!(weight.len, outputs * inputs, "numbers of a weight");
    let dw = SharedMut::new(&mut gradients[weight.range()]);
    for_each_block(outputs, 0..inputs, rows, GRADIENT_BLOCK, |outputs_here, inputs_here| {
        let block = Block { data: dw, first: outputs_here.start * inputs + inputs_here.start, stride: inputs };
        let columns = inputs_here.len();
        scratch::with(packed_len::<COLUMNS>(columns, rows.min(INNER_MAX)), |packed| {
            for stretch in stretches(rows) {
                let packed = &mut packed[..packed_len::<COLUMNS>(columns, stretch.len())];
                pack::<COLUMNS>(packed, View::columns(x, inputs), inputs_here.clone(), stretch.clone());
                let dy = View::columns(&dy[stretch.start * outputs..], outputs);
                let panels = Panels::new(packed, stretch.len());
                let rows = outputs_here.clone();
                // SAFETY: the blocks do not overlap, and nothing else uses dw.
                unsafe { multiply(level, block, Start::Stored, dy, panels, rows, 0..columns, stretch.len()) };
            }
        });
    });
}

/// `sums[c] += Σ_r x[r, c]`, rows in order.
fn add_rows(sums: &mut [f32], x: &[f32]) {
    let columns = sums.len();
    for_each_stripe(sums, columns, stripe_width(columns, x.len()), |mut stripe| {
        let here = stripe.columns();
        let sums = stripe.row(0);
        for row in x.chunks_exact(columns) {
            for (sum, x) in sums.iter_mut().zip(&row[here.clone()]) {
                *sum += x;
            }
        }
    });
}
