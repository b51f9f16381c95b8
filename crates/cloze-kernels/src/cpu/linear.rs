//! Linear layers: `y = x · Wᵀ + bias`, and the gradients of x, W and the bias.

use std::ops::Range;

use super::activation;
use super::chunks::{chunks_mut, for_each_part};
use super::disjoint::two_spans_mut;
use super::gemm::{Block, Blocks, GROUP, INNER_STEPS_MAX, Left, Start, for_each_block, groups, multiply};
use super::matrix::Matrix;
use super::operand::{Arithmetic, Kind, Rows, with_rows};
use super::panels::{COLUMNS, Panels, pack_sequences, packed_len};
use super::pool;
use super::row_steps::{RowSteps, parts};
use super::scratch;
use super::shared::SharedMut;
use super::simd::Level;
use crate::{Activation, MatrixShape, Size, Span, Store};

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
    forward_parts(level, [(y, outputs)], x, weight, bias, rows);
}

/// [`forward`] for several ranges of outputs, each with a buffer of its own.
pub(crate) fn forward_parts<const PARTS: usize>(
    level: Level,
    parts: [(&mut [f32], Range<usize>); PARTS],
    x: &[f32],
    weight: &Matrix,
    bias: Option<&[f32]>,
    rows: usize,
) {
    forward_then(level, parts, x, weight, bias, rows, |_, _, _| {});
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
    let (outputs, short) = (0..weight.shape.outputs, weight.kind != Kind::F32);
    let Some(pre) = pre else {
        return forward_then(level, [(y, outputs)], x, weight, Some(bias), rows, |y, rows, columns| {
            // SAFETY: the block is this call's alone.
            unsafe { activation::apply_to_block(level, y, None, rows, columns, activation, short) };
        });
    };
    let y = SharedMut::new(y);
    forward_then(level, [(pre, outputs)], x, weight, Some(bias), rows, |pre, rows, columns| {
        let y = Block { data: y, ..pre };
        // SAFETY: the block is this call's alone, and y has the same places.
        unsafe { activation::apply_to_block(level, y, Some(pre), rows, columns, activation, short) };
    });
}

/// [`forward_parts`], then `finish(block, rows, columns)` for blocks that together cover the buffers once,
/// each right after it was computed.
fn forward_then<const PARTS: usize>(
    level: Level,
    parts: [(&mut [f32], Range<usize>); PARTS],
    x: &[f32],
    weight: &Matrix,
    bias: Option<&[f32]>,
    rows: usize,
    finish: impl Fn(Block, usize, usize) + Sync,
) {
    let MatrixShape { outputs: all_outputs, inputs } = weight.shape;
    let start = bias.map_or(Start::Zero, |bias| Start::Bias(&bias[..all_outputs]));
    let arithmetic = Arithmetic { level, kind: weight.kind };
    let parts = parts.map(|(y, outputs)| {
        assert!(outputs.start <= outputs.end && outputs.end <= all_outputs, "{outputs:?} of {all_outputs} outputs");
        let y = SharedMut::new(&mut y[..rows * outputs.len()]);
        (y, Blocks::new(rows, outputs.clone(), inputs), outputs)
    });
    let work = |x: Rows, mut at: usize| {
        let mut parts = parts.iter();
        let (y, blocks, outputs) = loop {
            let part = parts.next().expect("there are as many turns as blocks");
            match at.checked_sub(part.1.count()) {
                Some(rest) => at = rest,
                None => break part,
            }
        };
        let (rows, columns) = blocks.at(at);
        let stride = outputs.len();
        for columns in groups(columns) {
            let block = Block { data: *y, first: rows.start * stride + columns.start - outputs.start, stride };
            let (panels, scales) = (weight.forward_panels(), weight.scales());
            // SAFETY: the blocks do not overlap, and nothing else uses the buffers.
            unsafe { multiply(arithmetic, block, start, Left::Rows(x), panels, scales, rows.clone(), columns.clone()) };
            finish(block, rows.len(), columns.len());
        }
    };
    with_rows(arithmetic, &x[..rows * inputs], inputs, Size { rows, columns: inputs }, |x| {
        pool::for_each(parts.iter().map(|(_, blocks, _)| blocks.count()).sum(), |at| work(x, at));
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
    let dx = SharedMut::new(&mut dx[..rows * inputs]);
    let arithmetic = Arithmetic { level, kind: weight.kind };
    let (first, count) = (outputs.start, outputs.len());
    with_rows(arithmetic, &dy[..rows * count], count, Size { rows, columns: count }, |dy| {
        weight.for_each_backward_part(outputs, |outputs, panels| {
            let start = if store == Store::Overwrite && outputs.start == first { Start::Zero } else { Start::Stored };
            let dy = dy.from(weight.kind.steps(outputs.start - first));
            for_each_block(rows, 0..inputs, outputs.len(), |rows, columns| {
                let block = Block { data: dx, first: rows.start * inputs + columns.start, stride: inputs };
                // SAFETY: the blocks do not overlap, and nothing else uses dx.
                unsafe { multiply(arithmetic, block, start, Left::Rows(dy), panels, &[], rows, columns) };
            });
        });
    });
}

/// `dW[o, i] += Σ_r dy[r, o] · x[r, i]` and `dbias[o] += Σ_r dy[r, o]`, in one arena, over the rows of the sequences
/// that begin at `starts`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward_weight(
    arithmetic: Arithmetic,
    gradients: &mut [f32],
    weight: Span,
    bias: Option<Span>,
    dy: &[f32],
    x: &[f32],
    shape: MatrixShape,
    starts: &[u32],
) {
    let MatrixShape { outputs, inputs } = shape;
    assert_eq!(weight.len, outputs * inputs, "numbers of a weight");
    assert!(bias.is_none_or(|bias| bias.len == outputs), "numbers of a bias");
    let (dbias, dw) = two_spans_mut(gradients, bias.unwrap_or(Span { start: 0, len: 0 }), weight);
    let dw = SharedMut::new(dw);
    for steps in parts(arithmetic.kind, starts, INNER_STEPS_MAX) {
        let dy = Columns { x: dy, steps: &steps, columns: outputs };
        let x = Columns { x, steps: &steps, columns: inputs };
        let add_product = |dy: Panels, x: Panels, outputs: Range<usize>, inputs_here: Range<usize>| {
            let block = Block { data: dw, first: outputs.start * inputs + inputs_here.start, stride: inputs };
            let (outputs, inputs_here) = (0..outputs.len(), 0..inputs_here.len());
            // SAFETY: the blocks do not overlap, and nothing else uses dw.
            unsafe { multiply(arithmetic, block, Start::Stored, Left::Panels(dy), x, &[], outputs, inputs_here) };
        };
        if outputs >= inputs {
            x.with_panels(arithmetic, &mut [], |x| {
                dy.for_each_part(arithmetic, dbias, |dy, outputs| add_product(dy, x, outputs, 0..inputs));
            });
        } else {
            dy.with_panels(arithmetic, dbias, |dy| {
                x.for_each_part(arithmetic, &mut [], |x, inputs| add_product(dy, x, 0..outputs, inputs));
            });
        }
    }
}

/// Columns of `x [rows, columns]`, over some of whose rows a product sums.
#[derive(Clone, Copy)]
struct Columns<'a> {
    x: &'a [f32],
    steps: &'a RowSteps<'a>,
    columns: usize,
}

impl Columns<'_> {
    /// Calls `work` with all columns in panels, packed on all threads. The numbers of each column are added to
    /// its number of `sums`, row after row, unless that is empty.
    fn with_panels(&self, arithmetic: Arithmetic, sums: &mut [f32], work: impl FnOnce(Panels)) {
        // Columns that one thread packs together: 256 bytes of every row.
        const WIDTH: usize = 4 * COLUMNS;
        let depth = self.steps.count();
        scratch::with(packed_len(self.columns, depth), |words| {
            let sums = (!sums.is_empty()).then(|| chunks_mut(sums, WIDTH));
            for_each_part((chunks_mut(words, (WIDTH * depth).max(1)), sums), |at, (words, sums)| {
                self.pack(arithmetic, words, at * WIDTH, WIDTH, sums.unwrap_or_default());
            });
            work(Panels { words, depth });
        });
    }

    /// Calls `work` with panels of some columns at a time, and which they are, on all threads. The thread that
    /// packs them finds them in its second cache; otherwise as [`Columns::with_panels`].
    fn for_each_part(&self, arithmetic: Arithmetic, sums: &mut [f32], work: impl Fn(Panels, Range<usize>) + Sync) {
        let depth = self.steps.count();
        let width = if self.columns >= 16 * GROUP { 2 * GROUP } else { GROUP };
        let parts = self.columns.div_ceil(width);
        let sums_given = !sums.is_empty();
        let sums = SharedMut::new(sums);
        pool::for_each(parts, |at| {
            let columns = at * width..self.columns.min((at + 1) * width);
            scratch::with(packed_len(columns.len(), depth), |words| {
                let sums_of_part = if sums_given { columns.clone() } else { 0..0 };
                // SAFETY: the parts do not overlap, and nothing else uses the sums.
                let sums = unsafe { sums.slice(sums_of_part) };
                self.pack(arithmetic, words, columns.start, width, sums);
                work(Panels { words, depth }, columns);
            });
        });
    }

    /// Packs up to `width` columns from `first` on.
    fn pack(&self, arithmetic: Arithmetic, words: &mut [f32], first: usize, width: usize, sums: &mut [f32]) {
        let Arithmetic { level, kind } = arithmetic;
        let (x, columns) = (self.x.get(first..).unwrap_or_default(), width.min(self.columns - first));
        pack_sequences(level, kind, words, x, self.columns, columns, self.steps, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::{levels, numbers, on_threads};

    /// Large enough for several threads, and for edges and a second stretch in every product.
    const SHAPE: MatrixShape = MatrixShape { outputs: 277, inputs: 301 };
    const ROWS: usize = 263;

    fn matrix(level: Level, source: &[f32], shape: MatrixShape) -> Matrix {
        let mut matrix = Matrix::zeros(level, Kind::F32, shape).expect("memory");
        matrix.pack(0, source);
        matrix
    }

    fn bits(numbers: &[f32]) -> Vec<u32> {
        numbers.iter().map(|number| number.to_bits()).collect()
    }

    /// The bits of every product on a number of threads.
    fn all_products(level: Level, threads: usize) -> [Vec<u32>; 5] {
        let MatrixShape { outputs, inputs } = SHAPE;
        let source = numbers(outputs * inputs, 1);
        let (x, dy, bias) = (numbers(ROWS * inputs, 2), numbers(ROWS * outputs, 3), numbers(outputs, 4));
        let mut y = vec![f32::NAN; ROWS * outputs];
        let mut pre = y.clone();
        let mut dx = numbers(ROWS * inputs, 5);
        let mut gradients = numbers(outputs * inputs + outputs, 6);
        let mut relu = y.clone();
        on_threads(threads, || {
            let weight = matrix(level, &source, SHAPE);
            forward(level, &mut y, &x, &weight, None, ROWS, 0..outputs);
            let (pre, gelu) = (&mut pre, Activation::GeluErf);
            activation_forward(level, &mut relu, Some(pre), &x, &weight, &bias, gelu, ROWS);
            backward_input(level, &mut dx, &dy, &weight, Store::Add, ROWS, 0..outputs);
            let f32 = Arithmetic { level, kind: Kind::F32 };
            let (weight, bias) = (Span { start: 0, len: outputs * inputs }, outputs * inputs);
            let bias = Some(Span { start: bias, len: outputs });
            backward_weight(f32, &mut gradients, weight, bias, &dy, &x, SHAPE, &[0, ROWS as u32]);
        });
        [y, pre, relu, dx, gradients].map(|numbers| bits(&numbers))
    }

    #[test]
    fn threads_change_no_bit() {
        for level in levels() {
            let alone = all_products(level, 1);
            for threads in 2..=4 {
                assert!(all_products(level, threads) == alone, "{level:?}, {threads} threads");
            }
        }
    }

    #[test]
    fn a_row_alone_has_the_bits_that_it_has_in_a_batch() {
        let MatrixShape { outputs, inputs } = SHAPE;
        let (x, dy, bias) = (numbers(ROWS * inputs, 2), numbers(ROWS * outputs, 3), numbers(outputs, 4));
        for level in levels() {
            let weight = matrix(level, &numbers(outputs * inputs, 1), SHAPE);
            let (mut y, mut dx) = (vec![f32::NAN; ROWS * outputs], vec![f32::NAN; ROWS * inputs]);
            activation_forward(level, &mut y, None, &x, &weight, &bias, Activation::GeluTanh, ROWS);
            backward_input(level, &mut dx, &dy, &weight, Store::Overwrite, ROWS, 0..outputs);
            for row in [0, 1, 5, 6, 119, 120, ROWS - 1] {
                let (x, dy) = (&x[row * inputs..], &dy[row * outputs..]);
                let (mut y_alone, mut dx_alone) = (vec![f32::NAN; outputs], vec![f32::NAN; inputs]);
                activation_forward(level, &mut y_alone, None, x, &weight, &bias, Activation::GeluTanh, 1);
                backward_input(level, &mut dx_alone, dy, &weight, Store::Overwrite, 1, 0..outputs);
                assert_eq!(bits(&y_alone), bits(&y[row * outputs..][..outputs]), "{level:?}, y of row {row}");
                assert_eq!(bits(&dx_alone), bits(&dx[row * inputs..][..inputs]), "{level:?}, dx of row {row}");
            }
        }
    }

    #[test]
    fn a_range_of_outputs_is_part_of_the_whole() {
        let shape = MatrixShape { outputs: 108, inputs: 37 };
        let MatrixShape { outputs, inputs } = shape;
        let rows = 13;
        let source = numbers(outputs * inputs, 1);
        let level = Level::detect();
        let weight = matrix(level, &source, shape);
        let (x, bias) = (numbers(rows * inputs, 2), numbers(outputs, 3));
        let mut whole = vec![f32::NAN; rows * outputs];
        forward(level, &mut whole, &x, &weight, Some(&bias), rows, 0..outputs);
        for range in [0..36, 36..72, 36..108, 5..5, 107..108, 15..17] {
            let width = range.len();
            let mut part = vec![f32::NAN; rows * width + 1];
            forward(level, &mut part, &x, &weight, Some(&bias), rows, range.clone());
            assert!(part[rows * width].is_nan(), "wrote behind the rows");
            for row in 0..rows {
                let expected = &whole[row * outputs..][range.clone()];
                assert_eq!(bits(&part[row * width..][..width]), bits(expected), "{range:?} of row {row}");
            }

            // The rows of the weight in the range, as a weight of their own, give the same dx.
            let own_shape = MatrixShape { outputs: width, inputs };
            let own = matrix(level, &source[range.start * inputs..range.end * inputs], own_shape);
            let dy = numbers(rows * width, 4);
            let mut dx = [vec![f32::NAN; rows * inputs], vec![f32::NAN; rows * inputs]];
            backward_input(level, &mut dx[0], &dy, &weight, Store::Overwrite, rows, range.clone());
            backward_input(level, &mut dx[1], &dy, &own, Store::Overwrite, rows, 0..width);
            assert_eq!(bits(&dx[0]), bits(&dx[1]), "dx of {range:?}");
            assert!(dx[0].iter().all(|dx| !dx.is_nan()), "{range:?} left dx unset");
        }
    }

    #[test]
    fn two_halves_of_a_batch_add_up_to_the_bits_of_the_whole() {
        let MatrixShape { outputs, inputs } = SHAPE;
        let (x, dy) = (numbers(ROWS * inputs, 2), numbers(ROWS * outputs, 3));
        let weight = Span { start: outputs, len: outputs * inputs };
        let bias = Some(Span { start: 0, len: outputs });
        for level in levels() {
            let mut whole = numbers(outputs + outputs * inputs, 6);
            let mut halves = whole.clone();
            let f32 = Arithmetic { level, kind: Kind::F32 };
            backward_weight(f32, &mut whole, weight, bias, &dy, &x, SHAPE, &[0, ROWS as u32]);
            backward_weight(f32, &mut halves, weight, bias, &dy, &x, SHAPE, &[0, 100]);
            let (dy, x) = (&dy[100 * outputs..], &x[100 * inputs..]);
            backward_weight(f32, &mut halves, weight, bias, dy, x, SHAPE, &[0, ROWS as u32 - 100]);
            assert!(bits(&whole) == bits(&halves), "{level:?}");
        }
    }
}
