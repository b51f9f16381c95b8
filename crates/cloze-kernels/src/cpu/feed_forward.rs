//! Two linear layers with an activation between them: `y = W₂ · activation(W₁ · x + b₁) + b₂`.
//!
//! What lies between them is the largest buffer of a forward pass, several times as wide as its ends.
//! Where there are many rows, a thread takes some rows through both layers, so that it stays in the
//! second cache. All weights are read once for each such block of rows, which the third cache delivers
//! with ease. Where there are few rows, threads share the columns of each layer instead.

use std::ops::Range;

use super::activation;
use super::gemm::{Block, Left, Start, groups, multiply};
use super::linear;
use super::matrix::Matrix;
use super::operand::{Arithmetic, Kind, with_rows};
use super::pool;
use super::scratch;
use super::shared::SharedMut;
use super::simd::Level;
use crate::{Activation, Size};

/// Rows of a block, at most; a multiple of the rows of a tile. 48 rows of 3,072 numbers are 576 KiB.
const ROWS_MAX: usize = 48;

/// Blocks for each thread, at least, so that threads do not wait long for the last ones.
const BLOCKS_MIN: usize = 4;

/// y `[rows, second outputs]` from x `[rows, first inputs]`; a layer is its weight and its bias.
#[allow(clippy::too_many_arguments)]
pub(crate) fn forward(
    level: Level,
    y: &mut [f32],
    hidden: &mut [f32],
    x: &[f32],
    first: (&Matrix, &[f32]),
    second: (&Matrix, &[f32]),
    activation: Activation,
    rows: usize,
) {
    let turns = rows.div_ceil(ROWS_MAX * pool::threads());
    if turns < BLOCKS_MIN {
        linear::activation_forward(level, hidden, None, x, first.0, first.1, activation, rows);
        return linear::forward(level, y, hidden, second.0, Some(second.1), rows, 0..second.0.shape.outputs);
    }
    let block_rows = rows.div_ceil(turns * pool::threads()).next_multiple_of(8);
    let outputs = second.0.shape.outputs;
    let y = SharedMut::new(&mut y[..rows * outputs]);
    pool::for_each(rows.div_ceil(block_rows), |at| {
        let rows = at * block_rows..rows.min((at + 1) * block_rows);
        let block = Block { data: y, first: rows.start * outputs, stride: outputs };
        forward_rows(level, block, x, first, second, activation, rows);
    });
}

/// A block of rows, on this thread.
fn forward_rows(
    level: Level,
    y: Block<'_>,
    x: &[f32],
    first: (&Matrix, &[f32]),
    second: (&Matrix, &[f32]),
    activation: Activation,
    rows: Range<usize>,
) {
    let (inputs, width, outputs) = (first.0.shape.inputs, first.0.shape.outputs, second.0.shape.outputs);
    assert_eq!(second.0.shape.inputs, width, "the second layer reads what the first one gives");
    let count = rows.len();
    let short = second.0.kind != Kind::F32;
    scratch::with(count * width, |hidden| {
        let arithmetic = Arithmetic { level, kind: first.0.kind };
        let x = &x[rows.start * inputs..rows.end * inputs];
        with_rows(arithmetic, x, inputs, Size { rows: count, columns: inputs }, |x| {
            let data = SharedMut::new(hidden);
            for columns in groups(0..width) {
                let block = Block { data, first: columns.start, stride: width };
                let (panels, scales, start) = (first.0.forward_panels(), first.0.scales(), Start::Bias(first.1));
                // SAFETY: `hidden` is borrowed exclusively, and no other block is in use.
                unsafe {
                    multiply(arithmetic, block, start, Left::Rows(x), panels, scales, 0..count, columns.clone());
                    activation::apply_to_block(level, block, None, count, columns.len(), activation, short);
                }
            }
        });
        let arithmetic = Arithmetic { level, kind: second.0.kind };
        with_rows(arithmetic, hidden, width, Size { rows: count, columns: width }, |hidden| {
            let (panels, scales, start) = (second.0.forward_panels(), second.0.scales(), Start::Bias(second.1));
            // SAFETY: these rows of y belong to this block alone.
            unsafe { multiply(arithmetic, y, start, Left::Rows(hidden), panels, scales, 0..count, 0..outputs) };
        });
    });
}
