//! What inference does between one attention and the next, a block of rows at a time: a linear layer, or two
//! with an activation between them, then the residual connection and LayerNorm.
//!
//! Where there are many rows, a thread takes some rows through all of it, so that they stay in its second cache:
//! what lies between the two layers is the largest buffer of a forward pass, and a LayerNorm by itself would
//! wait for rows that another core has just written. All weights are read once for each such block, which the
//! third cache delivers with ease. Where there are few rows, threads share the columns of each layer instead.

use std::ops::Range;

use super::activation;
use super::chunks::{chunks_mut, for_each_part};
use super::gemm::{Block, Left, Start, groups, multiply};
use super::layer_norm;
use super::linear;
use super::matrix::Matrix;
use super::operand::{Arithmetic, Kind, with_rows};
use super::pool;
use super::scratch;
use super::shared::SharedMut;
use super::simd::Level;
use crate::{Activation, LayerNorm, Size};

/// Rows of a block, at most; a multiple of the rows of a tile. 48 rows of 3,072 numbers are 576 KiB.
const ROWS_MAX: usize = 48;

/// Blocks for each thread, at least, so that threads do not wait long for the last ones.
const BLOCKS_MIN: usize = 4;

/// A weight and its bias.
type Layer<'a> = (&'a Matrix, &'a [f32]);

/// `y = LayerNorm(residual + W · x + b)`: y, residual `[rows, outputs]`, x `[rows, inputs]`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn linear_forward(
    level: Level,
    y: &mut [f32],
    x: &[f32],
    (weight, bias): Layer,
    residual: &[f32],
    norm: LayerNorm<Vec<f32>>,
    rows: usize,
) {
    let outputs = weight.shape.outputs;
    let Some(block_rows) = block_rows(rows) else {
        linear::forward(level, y, x, weight, Some(bias), rows, 0..outputs);
        return layer_norm::normalize(level, y, residual, norm, Size { rows, columns: outputs });
    };
    for_each_part(chunks_mut(&mut y[..rows * outputs], block_rows * outputs), |at, y| {
        let rows = at * block_rows..rows.min((at + 1) * block_rows);
        multiply_rows(level, y, x, (weight, bias), rows.clone());
        layer_norm::normalize_rows(level, y, &residual[rows.start * outputs..rows.end * outputs], norm, outputs);
    });
}

/// `y = LayerNorm(x + W₂ · activation(W₁ · x + b₁) + b₂)`: x, y `[rows, columns]`. What lies between the layers
/// may be in `hidden`, or nowhere.
#[allow(clippy::too_many_arguments)]
pub(crate) fn feed_forward(
    level: Level,
    y: &mut [f32],
    hidden: &mut [f32],
    x: &[f32],
    first: Layer,
    second: Layer,
    activation: Activation,
    norm: LayerNorm<Vec<f32>>,
    rows: usize,
) {
    let (columns, width) = (second.0.shape.outputs, first.0.shape.outputs);
    assert!(second.0.shape.inputs == width && first.0.shape.inputs == columns, "two layers there and back");
    let Some(block_rows) = block_rows(rows) else {
        linear::activation_forward(level, hidden, None, x, first.0, first.1, activation, rows);
        linear::forward(level, y, hidden, second.0, Some(second.1), rows, 0..columns);
        return layer_norm::normalize(level, y, x, norm, Size { rows, columns });
    };
    let short = second.0.kind != Kind::F32;
    for_each_part(chunks_mut(&mut y[..rows * columns], block_rows * columns), |at, y| {
        let rows = at * block_rows..rows.min((at + 1) * block_rows);
        scratch::with(rows.len() * width, |hidden| {
            let arithmetic = Arithmetic { level, kind: first.0.kind };
            let x_rows = &x[rows.start * columns..rows.end * columns];
            with_rows(arithmetic, x_rows, columns, Size { rows: rows.len(), columns }, |x| {
                let data = SharedMut::new(hidden);
                for columns in groups(0..width) {
                    let block = Block { data, first: columns.start, stride: width };
                    let (panels, scales, start) = (first.0.forward_panels(), first.0.scales(), Start::Bias(first.1));
                    let count = rows.len();
                    // SAFETY: `hidden` is borrowed exclusively, and no other block is in use.
                    unsafe {
                        multiply(arithmetic, block, start, Left::Rows(x), panels, scales, 0..count, columns.clone());
                        activation::apply_to_block(level, block, None, count, columns.len(), activation, short);
                    }
                }
            });
            multiply_rows(level, y, hidden, second, 0..rows.len());
            layer_norm::normalize_rows(level, y, x_rows, norm, columns);
        });
    });
}

/// Rows of a block, if there are enough for all threads.
fn block_rows(rows: usize) -> Option<usize> {
    let turns = rows.div_ceil(ROWS_MAX * pool::threads());
    (turns >= BLOCKS_MIN).then(|| rows.div_ceil(turns * pool::threads()).next_multiple_of(8))
}

/// `y = W · x + b` for some rows of x, on this thread.
fn multiply_rows(level: Level, y: &mut [f32], x: &[f32], (weight, bias): Layer, rows: Range<usize>) {
    let (inputs, outputs) = (weight.shape.inputs, weight.shape.outputs);
    let arithmetic = Arithmetic { level, kind: weight.kind };
    let (x, size) = (&x[rows.start * inputs..rows.end * inputs], Size { rows: rows.len(), columns: inputs });
    let block = Block { data: SharedMut::new(y), first: 0, stride: outputs };
    with_rows(arithmetic, x, inputs, size, |x| {
        let (panels, scales, start) = (weight.forward_panels(), weight.scales(), Start::Bias(bias));
        // SAFETY: `y` is borrowed exclusively.
        unsafe { multiply(arithmetic, block, start, Left::Rows(x), panels, scales, 0..rows.len(), 0..outputs) };
    });
}
