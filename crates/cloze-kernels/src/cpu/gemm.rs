//! Products of matrices: `C[m, n] = start + Σ_k A[m, k] · B[k, n]`.
//!
//! ```text
//! for m: for n: { let mut sum = start[m, n]; for k { sum = a[m, k] · b[k, n] + sum }; c[m, n] = sum }
//! ```
//!
//! This is computed as usual for caches ("Anatomy of High-Performance Matrix Multiplication", Goto and
//! van de Geijn, 2008): the inner dimension in stretches, of which a panel of B stays in the first
//! cache while the panels of A come from the second; both packed ([`super::panels`]), one tile of C in
//! registers at a time ([`super::tile`]). None of it changes a bit: between stretches C is stored and
//! loaded again, so that every element remains the one chain above. Every element goes the same way,
//! those at the edges in tiles that are stored in part, so that it makes no difference how many rows
//! there are, or which thread computes them.

use std::ops::Range;

use rayon::prelude::*;

use super::panels::{COLUMNS, Panels, View, pack, packed_len};
use super::scratch;
use super::shared::SharedMut;
use super::simd::Level;
use super::tile::{ROWS, Tile, add_product};

/// Steps of the inner dimension in a stretch, at most: a panel of B of 16 KiB, in the first cache.
pub(crate) const INNER_MAX: usize = 256;

/// Rows of A that are packed at a time, at most: 120 KiB, in the second cache.
pub(crate) const ROWS_MAX: usize = 120;

/// Below this number of multiply-adds a product is computed by its caller alone; waking other threads
/// takes as long.
pub(crate) const FORK_MIN: usize = 1 << 20;

/// Where the chain of an element starts.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// From zero.
    Zero,
    /// From what the result holds.
    Stored,
    /// From a number for each column of B.
    Bias(&'a [f32]),
}

/// A block of the result: its element `(m, n)` is `data[first + m · stride + n]`.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    /// The buffer that the block is in.
    pub(crate) data: SharedMut<'a>,
    /// Index of the block's first element.
    pub(crate) first: usize,
    /// Distance between rows.
    pub(crate) stride: usize,
}

/// Computes one block on this thread: A's rows `rows`, B's columns `columns`, `inner` steps.
/// The block's element `(0, 0)` is that of the first row and first column.
///
/// # Safety
///
/// During the call nothing else reads or writes the elements of the block.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn multiply(
    level: Level,
    c: Block<'_>,
    start: Start<'_>,
    a: View<'_>,
    b: Panels<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    inner: usize,
) {
    if rows.is_empty() || columns.is_empty() {
        return;
    }
    scratch::with(packed_len::<ROWS>(rows.len().min(ROWS_MAX), inner.min(INNER_MAX)), |packed| {
        for (stretch, inner) in stretches(inner).enumerate() {
            let start = if stretch == 0 { start } else { Start::Stored };
            for first_row in rows.clone().step_by(ROWS_MAX) {
                let rows_here = first_row..rows.end.min(first_row + ROWS_MAX);
                let packed = &mut packed[..packed_len::<ROWS>(rows_here.len(), inner.len())];
                pack::<ROWS>(packed, a, rows_here.clone(), inner.clone());
                let c = Block { first: c.first + (first_row - rows.start) * c.stride, ..c };
                // SAFETY: passed on; these rows are among the block's.
                unsafe { multiply_packed(level, c, start, packed, b, rows_here.len(), &columns, &inner) };
            }
        }
    });
}

/// The inner dimension in as many equal stretches as needed; one empty stretch if there is nothing to
/// sum, so that the result is written all the same.
pub(crate) fn stretches(inner: usize) -> impl Iterator<Item = Range<usize>> {
    let count = inner.div_ceil(INNER_MAX).max(1);
    (0..count).map(move |at| at * inner / count..(at + 1) * inner / count)
}

/// One stretch of the inner dimension for a few rows, which lie packed in `a`.
///
/// # Safety
///
/// As for [`multiply`].
#[allow(clippy::too_many_arguments)]
unsafe fn multiply_packed(
    level: Level,
    c: Block<'_>,
    start: Start<'_>,
    a: &[f32],
    b: Panels<'_>,
    rows: usize,
    columns: &Range<usize>,
    inner: &Range<usize>,
) {
    for panel in columns.start / COLUMNS..columns.end.div_ceil(COLUMNS) {
        let b = b.part(panel, inner);
        // The columns of this panel that were asked for, and the lanes of the tile that they are in.
        let asked = columns.start.max(panel * COLUMNS)..columns.end.min((panel + 1) * COLUMNS);
        let lanes = asked.start - panel * COLUMNS..asked.end - panel * COLUMNS;
        for first_row in (0..rows).step_by(ROWS) {
            let a = &a[first_row * inner.len()..][..ROWS * inner.len()];
            let first = c.first + first_row * c.stride + asked.start - columns.start;
            let rows = ROWS.min(rows - first_row);
            let row = |row: usize| {
                let first = first + row * c.stride;
                // SAFETY: passed on; the result is used before the next one is made.
                unsafe { c.data.slice(first..first + lanes.len()) }
            };
            let mut tile: Tile = [[0.0; COLUMNS]; ROWS];
            match start {
                Start::Zero => {}
                Start::Stored => (0..rows).for_each(|at| copy(&mut tile[at][lanes.clone()], row(at))),
                Start::Bias(bias) => {
                    (0..rows).for_each(|at| copy(&mut tile[at][lanes.clone()], &bias[asked.clone()]));
                }
            }
            add_product(level, &mut tile, a, b);
            (0..rows).for_each(|at| copy(row(at), &tile[at][lanes.clone()]));
        }
    }
}

/// Copies up to a tile's row; a whole one, the usual case, without a call.
#[inline(always)]
fn copy(to: &mut [f32], from: &[f32]) {
    match (to.first_chunk_mut::<COLUMNS>(), from.first_chunk::<COLUMNS>()) {
        (Some(to), Some(from)) => *to = *from,
        _ => to.copy_from_slice(from),
    }
}

/// How a product is divided among threads: blocks of at most this size.
#[derive(Clone, Copy)]
pub(crate) struct BlockMax {
    /// Rows of a block.
    pub(crate) rows: usize,
    /// Columns of a block.
    pub(crate) columns: usize,
}

/// Calls `work(rows, columns)` for blocks that together cover `0..rows` and `columns`, on all threads
/// unless the product, with `inner` steps, is small. Blocks of columns meet at multiples of [`COLUMNS`].
pub(crate) fn for_each_block(
    rows: usize,
    columns: Range<usize>,
    inner: usize,
    max: BlockMax,
    work: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    if rows == 0 || columns.is_empty() {
        return;
    }
    let threads = rayon::current_num_threads();
    let fork = threads > 1 && rows * columns.len() * inner.max(1) >= FORK_MIN;
    // Enough blocks for each thread that the last ones to finish do not leave the others waiting for
    // long, as long as the blocks are not so narrow that packing A for each of them would show.
    const COLUMNS_MIN: usize = 128;
    let row_blocks = rows.div_ceil(max.rows);
    let wanted = if fork { (8 * threads).div_ceil(row_blocks) } else { 1 };
    let column_blocks = columns.len().div_ceil(max.columns).max(wanted.min(columns.len() / COLUMNS_MIN));
    let block_rows = rows.div_ceil(row_blocks).next_multiple_of(ROWS);
    let block_columns = columns.len().div_ceil(column_blocks).next_multiple_of(COLUMNS);
    let (first_column, last_column) = (columns.start / COLUMNS * COLUMNS, columns.end);
    let column_blocks = (last_column - first_column).div_ceil(block_columns);
    let row_blocks = rows.div_ceil(block_rows);

    let block = |at: usize| {
        let first = at / column_blocks * block_rows;
        let rows = first..rows.min(first + block_rows);
        let first = first_column + at % column_blocks * block_columns;
        work(rows, first.max(columns.start)..last_column.min(first + block_columns));
    };
    let blocks = row_blocks * column_blocks;
    if fork {
        (0..blocks).into_par_iter().with_max_len(1).for_each(block);
    } else {
        (0..blocks).for_each(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::{levels, numbers};
    use crate::cpu::simd::multiply_add;

    const SIZES: [usize; 10] = [0, 1, 5, 6, 7, 13, 16, 17, 37, 130];

    fn packed_b(view: View<'_>, columns: usize, inner: usize) -> Vec<f32> {
        let mut packed = vec![f32::NAN; packed_len::<COLUMNS>(columns, inner)];
        pack::<COLUMNS>(&mut packed, view, 0..columns, 0..inner);
        packed
    }

    /// The definition: one chain for each element. Gives the same bits, not only about the same numbers.
    fn naive(level: Level, start: f32, a: &[f32], b: &[f32]) -> f32 {
        let multiply_add = if level == Level::Portable { multiply_add::<false> } else { multiply_add::<true> };
        a.iter().zip(b).fold(start, |sum, (&a, &b)| multiply_add(a, b, sum))
    }

    #[test]
    fn every_size_gives_the_bits_of_the_definition() {
        for level in levels() {
            for rows in SIZES {
                for columns in SIZES {
                    for inner in SIZES.into_iter().chain([INNER_MAX + 1, 3 * INNER_MAX - 1]) {
                        check(level, rows, columns, inner);
                    }
                }
            }
        }
    }

    /// [`multiply`] on one thread.
    #[allow(clippy::too_many_arguments)]
    fn product(
        level: Level,
        c: &mut [f32],
        first: usize,
        stride: usize,
        start: Start<'_>,
        (a, b): (View<'_>, Panels<'_>),
        (rows, columns): (Range<usize>, Range<usize>),
        inner: usize,
    ) {
        let block = Block { data: SharedMut::new(c), first, stride };
        // SAFETY: `c` is borrowed exclusively.
        unsafe { multiply(level, block, start, a, b, rows, columns, inner) };
    }

    fn check(level: Level, rows: usize, columns: usize, inner: usize) {
        let (a, b) = (numbers(rows * inner, 1), numbers(columns * inner, 2));
        let bias = numbers(columns, 3);
        let stored = numbers(rows * columns, 4);
        let packed = packed_b(View::rows(&b, inner), columns, inner);
        let operands = (View::rows(&a, inner), Panels::new(&packed, inner));
        for start in [Start::Zero, Start::Stored, Start::Bias(&bias)] {
            let mut c = stored.clone();
            product(level, &mut c, 0, columns, start, operands, (0..rows, 0..columns), inner);
            for (at, got) in c.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let start = match start {
                    Start::Zero => 0.0,
                    Start::Stored => stored[at],
                    Start::Bias(bias) => bias[column],
                };
                let expected = naive(level, start, &a[row * inner..][..inner], &b[column * inner..][..inner]);
                assert_eq!(got.to_bits(), expected.to_bits(), "{level:?} {rows}×{columns}×{inner} at {row}, {column}");
            }
        }
    }

    #[test]
    fn a_block_has_the_bits_of_the_whole_and_leaves_the_rest_alone() {
        let (rows, columns, inner) = (37, 50, 300);
        let (a, b) = (numbers(rows * inner, 1), numbers(columns * inner, 2));
        // A by columns, B by rows: the views that the gradient of a weight uses.
        let packed = packed_b(View::columns(&b, columns), columns, inner);
        let operands = (View::columns(&a, rows), Panels::new(&packed, inner));
        for level in levels() {
            let mut whole = vec![0.0; rows * columns];
            product(level, &mut whole, 0, columns, Start::Zero, operands, (0..rows, 0..columns), inner);
            for block in [(5..6, 7..9), (0..37, 15..33), (8..20, 16..50), (3..3, 0..5)] {
                let mut part = vec![9.0; rows * columns];
                let first = block.0.start * columns + block.1.start;
                product(level, &mut part, first, columns, Start::Zero, operands, block.clone(), inner);
                for (at, got) in part.iter().enumerate() {
                    let inside = block.0.contains(&(at / columns)) && block.1.contains(&(at % columns));
                    let expected = if inside { whole[at] } else { 9.0 };
                    assert_eq!(got.to_bits(), expected.to_bits(), "{block:?} at {at}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_in_its_row() {
        let (rows, columns, inner) = (13, 17, 7);
        let mut a = vec![1.0; rows * inner];
        a[5 * inner] = f32::NAN;
        a[6 * inner] = f32::INFINITY;
        let packed = packed_b(View::rows(&vec![1.0; columns * inner], inner), columns, inner);
        let operands = (View::rows(&a, inner), Panels::new(&packed, inner));
        for level in levels() {
            let mut c = vec![0.0; rows * columns];
            product(level, &mut c, 0, columns, Start::Zero, operands, (0..rows, 0..columns), inner);
            for (row, c) in c.chunks(columns).enumerate() {
                assert_eq!(c.iter().all(|c| *c == inner as f32), row != 5 && row != 6, "row {row}");
            }
        }
    }

    #[test]
    fn blocks_cover_everything_once() {
        let counts = |rows: usize, columns: Range<usize>, inner: usize, max: BlockMax| {
            let counts = std::sync::Mutex::new(vec![0; rows * columns.end]);
            for_each_block(rows, columns.clone(), inner, max, |block_rows, block_columns| {
                assert!(block_columns.start == columns.start || block_columns.start % COLUMNS == 0);
                let mut counts = counts.lock().expect("no test panics while it counts");
                for row in block_rows {
                    block_columns.clone().for_each(|column| counts[row * columns.end + column] += 1);
                }
            });
            counts.into_inner().expect("no test panics while it counts")
        };
        for (rows, columns) in [(0, 0..5), (1, 0..1), (7, 3..40), (300, 36..72), (1000, 12..1500)] {
            for inner in [0, 1, 1000] {
                let all = counts(rows, columns.clone(), inner, BlockMax { rows: 120, columns: 512 });
                for (at, count) in all.iter().enumerate() {
                    assert_eq!(*count, usize::from(columns.contains(&(at % columns.end))));
                }
            }
        }
    }
}
