//! Dropout: the numbers of Philox as factors of the elements of a row.
//!
//! One counter gives the numbers of four neighbouring columns. Eight counters are drawn at a time, in
//! 64-bit lanes, so that the products of a round are two vector instructions for every four counters.

use super::chunks::{chunks, chunks_mut, for_each_part};
use super::disjoint::rows_per_task;
use super::simd::{Level, multiversion};
use crate::{Dropout, Size, philox};

/// Counters that are drawn together.
const COUNTERS: usize = 8;

/// Columns whose factors are drawn together.
const BLOCK: usize = 4 * COUNTERS;

/// `y = dropout(x)`, x and y `[rows, columns]`.
pub(crate) fn forward(level: Level, y: &mut [f32], x: &[f32], dropout: Dropout<Vec<u32>>, size: Size) {
    let Size { rows, columns } = size;
    let (y, x) = (&mut y[..rows * columns], &x[..rows * columns]);
    if y.is_empty() {
        return;
    }
    let task_rows = rows_per_task(columns);
    let task_len = task_rows * columns;
    for_each_part((chunks_mut(y, task_len), chunks(x, task_len)), |task, (y, x)| {
        y.copy_from_slice(x);
        drop_rows(level, y, dropout, task * task_rows, columns);
    });
}

multiversion! {
    /// Applies dropout to the rows `[rows, columns]` of `x`, the rows from `first_row` on of the whole
    /// buffer, on this thread.
    pub(crate) fn drop_rows(x: &mut [f32], dropout: Dropout<Vec<u32>>, first_row: usize, columns: usize) = drop_rows_body
}

#[inline(always)]
fn drop_rows_body<const FMA: bool>(x: &mut [f32], dropout: Dropout<Vec<u32>>, first_row: usize, columns: usize) {
    let scale = scale(dropout.probability);
    for (row, x) in (first_row..).zip(x.chunks_exact_mut(columns)) {
        let draws = RowDraws::new(
            dropout.seed,
            philox::dropout_counter(
                dropout.step,
                dropout.site,
                0,
                dropout.rows.sequences[row],
                dropout.rows.positions[row],
                0,
            ),
            philox::dropout_threshold(dropout.probability),
            scale,
        );
        // Whole blocks apart, because a loop of known length is vectorised.
        let (blocks, rest) = x.as_chunks_mut::<BLOCK>();
        for (block, x) in blocks.iter_mut().enumerate() {
            let factors = draws.block_factors(block);
            for i in 0..BLOCK {
                x[i] *= factors[i];
            }
        }
        if !rest.is_empty() {
            let factors = draws.block_factors(columns / BLOCK);
            for (x, factor) in rest.iter_mut().zip(factors) {
                *x *= factor;
            }
        }
    }
}

/// The factor of what is not dropped.
pub(crate) fn scale(probability: f32) -> f32 {
    (1.0 / (1.0 - f64::from(probability))) as f32
}

/// The factors, 0 or `scale`, of the first `factors.len()` columns of one row; the arguments are those
/// of [`philox::dropout_counter`]. `FMA` only says for which level the caller is compiled.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn row_factors<const FMA: bool>(
    factors: &mut [f32],
    seed: u64,
    step: u32,
    site: u32,
    head: u32,
    sequence: u32,
    position: u32,
    threshold: u32,
    scale: f32,
) {
    let counter = philox::dropout_counter(step, site, head, sequence, position, 0);
    let draws = RowDraws::new(seed, counter, threshold, scale);
    let (blocks, rest) = factors.as_chunks_mut::<BLOCK>();
    let whole = blocks.len();
    for (block, factors) in blocks.iter_mut().enumerate() {
        *factors = draws.block_factors(block);
    }
    if !rest.is_empty() {
        rest.copy_from_slice(&draws.block_factors(whole)[..rest.len()]);
    }
}

/// What dropout draws for one row.
#[derive(Clone, Copy)]
struct RowDraws {
    key: [u32; 2],
    /// The counter of the row's first columns.
    counter: [u32; 4],
    threshold: u32,
    scale: f32,
}

impl RowDraws {
    #[inline(always)]
    fn new(seed: u64, counter: [u32; 4], threshold: u32, scale: f32) -> RowDraws {
        RowDraws { key: philox::key(seed), counter, threshold, scale }
    }

    /// The factors of the columns from `block · BLOCK` on.
    #[inline(always)]
    fn block_factors(self, block: usize) -> [f32; BLOCK] {
        let mut factors = [0.0; BLOCK];
        for (factor, number) in factors.iter_mut().zip(self.block_numbers(block)) {
            *factor = if number < self.threshold { 0.0 } else { self.scale };
        }
        factors
    }

    /// The random numbers of the columns from `block · BLOCK` on.
    #[inline(always)]
    fn block_numbers(self, block: usize) -> [u32; BLOCK] {
        let [c0, c1, c2, c3] = self.counter;
        let first = (block * COUNTERS) as u32;
        let mut numbers = [0; BLOCK];
        for (i, numbers) in numbers.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *numbers = philox::philox4x32([c0, c1, c2, c3 | (first + i as u32)], self.key);
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RowCoordinates;
    use crate::cpu::math::tests::levels;

    /// The definition, one element at a time.
    fn factor(dropout: Dropout<Vec<u32>>, head: u32, row: usize, column: u32) -> f32 {
        let rows = dropout.rows;
        let counter = philox::dropout_counter(
            dropout.step,
            dropout.site,
            head,
            rows.sequences[row],
            rows.positions[row],
            column / 4,
        );
        let number = philox::philox4x32(counter, philox::key(dropout.seed))[column as usize % 4];
        if number < philox::dropout_threshold(dropout.probability) { 0.0 } else { scale(dropout.probability) }
    }

    #[test]
    fn draws_the_numbers_of_philox() {
        for columns in [1, 3, 31, 32, 37, 100, 1030] {
            let rows = RowCoordinates { sequences: vec![0, 70_000, u32::MAX], positions: vec![511, 0, 65_535] };
            let dropout =
                Dropout { probability: 0.3, seed: 0x1234_5678_9abc_def0, step: 1_000_000, site: 65_535, rows: &rows };
            let x: Vec<f32> = (0..3 * columns).map(|i| i as f32 - 40.0).collect();
            for level in levels() {
                let mut y = vec![f32::NAN; 3 * columns + 1];
                forward(level, &mut y, &x, dropout, Size { rows: 3, columns });
                for (i, x) in x.iter().enumerate() {
                    let expected = x * factor(dropout, 0, i / columns, (i % columns) as u32);
                    assert_eq!(y[i], expected, "{level:?}, element {i} of rows of {columns}");
                }
                assert!(y[3 * columns].is_nan(), "wrote behind the rows");
            }
            let mut factors = vec![f32::NAN; columns];
            let threshold = philox::dropout_threshold(0.3);
            row_factors::<false>(&mut factors, dropout.seed, 1_000_000, 65_535, 11, 70_000, 0, threshold, scale(0.3));
            for (column, found) in factors.iter().enumerate() {
                assert_eq!(*found, factor(dropout, 11, 1, column as u32), "column {column} of {columns}");
            }
        }
    }

    #[test]
    fn drops_the_share_it_should() {
        let rows = RowCoordinates { sequences: vec![7; 100], positions: (0..100).collect() };
        let dropout = Dropout { probability: 0.1, seed: 42, step: 3, site: 5, rows: &rows };
        let mut y = vec![0.0; 100 * 1000];
        forward(Level::detect(), &mut y, &[1.0; 100 * 1000], dropout, Size { rows: 100, columns: 1000 });
        let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
        // Five standard deviations.
        assert!((dropped - 0.1).abs() < 0.005, "dropped {dropped}");
        assert!(y.iter().all(|y| *y == 0.0 || *y == scale(0.1)), "a factor that is neither 0 nor the scale");
    }
}
