//! Products of matrices: `C[m, n] = start + Σ_k A[m, k] · B[k, n]`.
//!
//! ```text
//! for m: for n: { let mut sum = start[m, n]; for k { sum = a[m, k] · b[k, n] + sum }; c[m, n] = sum }
//! ```
//!
//! B is packed ([`super::panels`]); the rows of A are read where they lie, or are packed likewise where they lie
//! as columns. One tile of C is in registers from the first step of the inner dimension to the last
//! ([`super::tile`]): for each three panels of B, which then stay in the second cache, tile after tile of rows.
//!
//! A weight's inner dimension is never cut. Products usually are, so that a panel fits into the first cache
//! ("Anatomy of High-Performance Matrix Multiplication", Goto and van de Geijn, 2008), at the price of
//! storing and loading C for each part. Here eleven words are read for twenty-four multiply-adds, which
//! the second cache delivers in time, and whole chains measured 2 to 5 % faster than parts of any length. Only
//! where panels are made on the fly is a long dimension taken in parts ([`inner_parts`]), so that they are used
//! while they are in a cache.
//!
//! None of it changes a bit: every element is the one chain above, and every element goes the same way,
//! so that it makes no difference how many rows there are, or which thread computes them.

use std::ops::Range;

use super::operand::{Arithmetic, ColumnScales, Kind, Rows};
use super::panels::{COLUMNS, Panels};
use super::pool;
use super::shared::SharedMut;
use super::tile::{self, STRIPS_MAX, TileCall, TileStart, tile_rows};

/// Columns that one step of the inner loop works on, at most.
pub(crate) const GROUP: usize = STRIPS_MAX * COLUMNS;

/// Below this number of multiply-adds a product is computed by its caller alone; waking other threads
/// takes as long.
pub(crate) const FORK_MIN: usize = 1 << 19;

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

impl<'a> Block<'a> {
    /// The first `columns` elements of a row.
    ///
    /// # Safety
    ///
    /// While the result lives, nothing else reads or writes these elements.
    #[inline(always)]
    pub(crate) unsafe fn row(self, row: usize, columns: usize) -> &'a mut [f32] {
        let first = self.first + row * self.stride;
        // SAFETY: passed on.
        unsafe { self.data.slice(first..first + columns) }
    }
}

/// A of a product.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a> {
    /// Row by row.
    Rows(Rows<'a>),
    /// In panels of sixteen rows, as if they were columns of B.
    Panels(Panels<'a>),
}

impl Left<'_> {
    fn words(&self) -> &[f32] {
        match self {
            Left::Rows(rows) => rows.words,
            Left::Panels(panels) => panels.words,
        }
    }

    /// Where a row begins, and the words from a row to the next and from a step to the next.
    fn place(&self, row: usize) -> (usize, usize, usize) {
        match self {
            Left::Rows(rows) => (row * rows.stride, rows.stride, 1),
            Left::Panels(panels) => (row / COLUMNS * COLUMNS * panels.depth + row % COLUMNS, 1, COLUMNS),
        }
    }

    /// How many of the rows from `row` on lie evenly apart.
    fn even_rows(&self, row: usize) -> usize {
        match self {
            Left::Rows(_) => usize::MAX,
            Left::Panels(_) => COLUMNS - row % COLUMNS,
        }
    }
}

/// Computes one block on this thread: A's rows `rows`, B's columns `columns`, all steps of B's panels.
/// The block's element `(0, 0)` is that of the first row and first column. `scales` are those of B's
/// panels, in int8 only.
///
/// # Safety
///
/// During the call nothing else reads or writes the elements of the block.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn multiply(
    Arithmetic { level, kind }: Arithmetic,
    c: Block<'_>,
    start: Start<'_>,
    a: Left<'_>,
    b: Panels<'_>,
    scales: &[ColumnScales],
    rows: Range<usize>,
    columns: Range<usize>,
) {
    if rows.is_empty() || columns.is_empty() {
        return;
    }
    let steps = b.depth;
    // What the tiles read and write lies within the buffers.
    let panels = columns.end.div_ceil(COLUMNS);
    let (last_row, _, a_step) = a.place(rows.end - 1);
    let last_word = match kind {
        Kind::Int8 => last_row + steps + 2,
        _ if steps == 0 => 0,
        _ => last_row + (steps - 1) * a_step + 1,
    };
    assert!(a.words().len() >= last_word, "{rows:?} rows of A, {steps} steps");
    assert!(kind != Kind::Int8 || a_step == 1, "the scales of a row follow its words");
    assert!(b.words.len() >= panels * steps * COLUMNS, "{columns:?} columns of B, {steps} steps");
    assert!(kind != Kind::Int8 || scales.len() >= panels, "{columns:?} columns with {} scales", scales.len());
    let last = c.first + (rows.len() - 1) * c.stride + columns.len() - 1;
    assert!(rows.len() == 1 || c.stride >= columns.len(), "rows of C overlap");
    let bias = match start {
        Start::Bias(bias) => {
            assert!(bias.len() >= columns.end, "{} numbers of a bias for {columns:?}", bias.len());
            bias.as_ptr()
        }
        _ => std::ptr::null(),
    };
    // SAFETY: the block belongs to this call, and `last` is the last element of it.
    let c_pointer = unsafe { c.data.pointer(c.first..last + 1) };

    let tile_rows = tile_rows(level);
    let mut panel = columns.start / COLUMNS;
    while panel < panels {
        let strips = STRIPS_MAX.min(panels - panel);
        let mut masks = [0; STRIPS_MAX];
        for (strip, mask) in masks.iter_mut().enumerate().take(strips) {
            *mask = lanes((panel + strip) * COLUMNS, &columns);
        }
        let first_column = panel * COLUMNS;
        // Lane 0 of the first strip; before the block where its columns begin within a strip.
        let c_column = c_pointer.wrapping_add(first_column).wrapping_sub(columns.start);
        let b_pointer = b.words.as_ptr().wrapping_add(panel * steps * COLUMNS);
        let mut row = 0;
        while row < rows.len() {
            let count = tile_rows.min(rows.len() - row).min(a.even_rows(rows.start + row));
            let (a_first, a_stride, a_step) = a.place(rows.start + row);
            let call = TileCall {
                c: c_column.wrapping_add(row * c.stride),
                c_stride: c.stride,
                rows: count,
                strips,
                masks,
                start: match start {
                    Start::Zero => TileStart::Zero,
                    Start::Stored => TileStart::Stored,
                    Start::Bias(_) => TileStart::Bias(bias.wrapping_add(first_column)),
                },
                a: a.words().as_ptr().wrapping_add(a_first),
                a_stride,
                a_step,
                b: b_pointer,
                b_stride: steps * COLUMNS,
                // The first tiles of these panels fetch the next ones; later tiles, what is there already.
                soon: match row / tile_rows {
                    strip if strip < strips => b_pointer.wrapping_add((strips + strip) * steps * COLUMNS),
                    _ => b_pointer,
                },
                steps,
                scales: scales.as_ptr().wrapping_add(panel),
            };
            // SAFETY: everything was found to lie within its buffer above, and the masks leave out what
            // does not belong to the block.
            unsafe { tile::compute(level, kind, &call) };
            row += count;
        }
        panel += strips;
    }
}

/// The lanes of the strip from column `first` on that are among `columns`.
fn lanes(first: usize, columns: &Range<usize>) -> u16 {
    let from = columns.start.saturating_sub(first).min(COLUMNS);
    let to = columns.end.saturating_sub(first).min(COLUMNS);
    (((1_u32 << to) - 1) & !((1_u32 << from) - 1)) as u16
}

/// Columns in stretches that the inner loop computes together.
pub(crate) fn groups(columns: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let first = columns.start / COLUMNS * COLUMNS;
    (first..columns.end).step_by(GROUP).map(move |at| at.max(columns.start)..columns.end.min(at + GROUP))
}

/// Steps of one part of an inner dimension: of B three panels, and of A the rows of a block, share the second cache.
pub(crate) const INNER_STEPS_MAX: usize = 1024;

/// An inner dimension in parts, for products that make their panels on the fly. Such panels stay in the caches
/// while they are used, and where one part ends the chains wait in the result for the next: no bit changes.
/// An empty dimension is one empty part.
pub(crate) fn inner_parts(kind: Kind, inner: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let part = INNER_STEPS_MAX * kind.numbers();
    let parts = inner.len().div_ceil(part).max(1);
    (0..parts).map(move |at| inner.start + at * part..inner.end.min(inner.start + (at + 1) * part))
}

/// How a product is divided among threads: blocks of rows and columns that together cover `0..rows` and
/// `columns`. Columns meet at multiples of [`COLUMNS`].
///
/// There are so many blocks that the last ones to finish do not leave the other threads waiting for long.
/// Of the rows a block has as many as the second cache holds beside the panels of B, and columns in whole
/// groups.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    rows: usize,
    columns: Range<usize>,
    block_rows: usize,
    block_columns: usize,
    column_blocks: usize,
    count: usize,
}

impl Blocks {
    /// Divides a product with `inner` numbers in its inner dimension.
    pub(crate) fn new(rows: usize, columns: Range<usize>, inner: usize) -> Blocks {
        // A multiple of the rows of a tile on every level.
        const BLOCK_ROWS: usize = 96;
        const BLOCKS_PER_THREAD: usize = 8;
        let threads = pool::threads();
        let first_column = columns.start / COLUMNS * COLUMNS;
        let groups = (columns.end - first_column).div_ceil(GROUP).max(1);
        let row_blocks = rows.div_ceil(BLOCK_ROWS).max(1);
        let block_rows = rows.div_ceil(row_blocks).next_multiple_of(8).max(8);
        let row_blocks = rows.div_ceil(block_rows);
        let alone = threads == 1 || rows * columns.len() * inner.max(1) < FORK_MIN;
        let wanted = if alone { 1 } else { (BLOCKS_PER_THREAD * threads).div_ceil(row_blocks).clamp(1, groups) };
        let block_columns = groups.div_ceil(wanted) * GROUP;
        let column_blocks = (columns.end - first_column).div_ceil(block_columns);
        let count = if columns.is_empty() { 0 } else { row_blocks * column_blocks };
        Blocks { rows, columns, block_rows, block_columns, column_blocks, count }
    }

    /// Number of blocks.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The rows and columns of one block.
    pub(crate) fn at(&self, at: usize) -> (Range<usize>, Range<usize>) {
        let first_row = at / self.column_blocks * self.block_rows;
        let rows = first_row..self.rows.min(first_row + self.block_rows);
        let first = self.columns.start / COLUMNS * COLUMNS + at % self.column_blocks * self.block_columns;
        (rows, first.max(self.columns.start)..self.columns.end.min(first + self.block_columns))
    }
}

/// Calls `work(rows, columns)` for all [`Blocks`], on all threads unless the product is small.
pub(crate) fn for_each_block(
    rows: usize,
    columns: Range<usize>,
    inner: usize,
    work: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    let work_at = |blocks: &Blocks, at: usize| {
        let (rows, columns) = blocks.at(at);
        work(rows, columns);
    };
    let small = rows * columns.len() * inner.max(1) < FORK_MIN;
    let blocks = Blocks::new(rows, columns, inner);
    match small {
        true => (0..blocks.count()).for_each(|at| work_at(&blocks, at)),
        false => pool::for_each(blocks.count(), |at| work_at(&blocks, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::lines::{Line, floats, floats_mut, try_zeros};
    use crate::cpu::math::tests::{levels, numbers, on_threads};
    use crate::cpu::panels::{pack_columns, pack_rows, packed_len};
    use crate::cpu::simd::Level;
    use crate::cpu::simd::multiply_add;

    const SIZES: [usize; 10] = [0, 1, 5, 6, 7, 13, 16, 17, 37, 130];

    /// B `[inner][columns]` in panels.
    fn packed_b(level: Level, b: &[f32], columns: usize, inner: usize) -> Vec<Line> {
        let mut packed = try_zeros(packed_len(columns, inner) / COLUMNS).expect("memory");
        pack_columns(level, Kind::F32, floats_mut(&mut packed), b, columns, columns, inner, &mut []);
        packed
    }

    /// A `[rows][inner]` in panels.
    fn packed_a(level: Level, a: &[f32], rows: usize, inner: usize) -> Vec<Line> {
        let mut packed = try_zeros(packed_len(rows, inner) / COLUMNS).expect("memory");
        let panels = floats_mut(&mut packed).chunks_mut((inner * COLUMNS).max(1));
        for (panel, a) in panels.zip(a.chunks((inner * COLUMNS).max(1))) {
            pack_rows(level, Kind::F32, panel, a, inner, inner);
        }
        packed
    }

    /// The definition: one chain for each element. Gives the same bits, not only about the same numbers.
    fn naive(level: Level, start: f32, a: &[f32], b: impl Iterator<Item = f32>) -> f32 {
        let multiply_add = if level.has_fma() { multiply_add::<true> } else { multiply_add::<false> };
        a.iter().zip(b).fold(start, |sum, (&a, b)| multiply_add(a, b, sum))
    }

    #[test]
    fn every_size_gives_the_bits_of_the_definition() {
        for level in levels() {
            for rows in SIZES {
                for columns in SIZES {
                    for inner in SIZES {
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
        (a, b): (Left<'_>, Panels<'_>),
        (rows, columns): (Range<usize>, Range<usize>),
    ) {
        let block = Block { data: SharedMut::new(c), first, stride };
        // SAFETY: `c` is borrowed exclusively.
        unsafe { multiply(Arithmetic { level, kind: Kind::F32 }, block, start, a, b, &[], rows, columns) };
    }

    fn check(level: Level, rows: usize, columns: usize, inner: usize) {
        let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
        let bias = numbers(columns, 3);
        let stored = numbers(rows * columns, 4);
        let packed = packed_b(level, &b, columns, inner);
        let rows_as_columns = packed_a(level, &a, rows, inner);
        let a_in_panels = Left::Panels(Panels { words: floats(&rows_as_columns), depth: inner });
        let a_in_rows = Left::Rows(Rows { words: &a, stride: inner });
        let b_panels = Panels { words: floats(&packed), depth: inner };
        for start in [Start::Zero, Start::Stored, Start::Bias(&bias)] {
            let mut c = stored.clone();
            product(level, &mut c, 0, columns, start, (a_in_rows, b_panels), (0..rows, 0..columns));
            let mut same = stored.clone();
            product(level, &mut same, 0, columns, start, (a_in_panels, b_panels), (0..rows, 0..columns));
            assert!(c.iter().zip(&same).all(|(a, b)| a.to_bits() == b.to_bits()), "{level:?} {rows}×{columns}×{inner}");
            for (at, got) in c.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let start = match start {
                    Start::Zero => 0.0,
                    Start::Stored => stored[at],
                    Start::Bias(bias) => bias[column],
                };
                let b = (0..inner).map(|step| b[step * columns + column]);
                let expected = naive(level, start, &a[row * inner..][..inner], b);
                assert_eq!(got.to_bits(), expected.to_bits(), "{level:?} {rows}×{columns}×{inner} at {row}, {column}");
            }
        }
    }

    #[test]
    fn a_block_has_the_bits_of_the_whole_and_leaves_the_rest_alone() {
        let (rows, columns, inner) = (37, 50, 300);
        let (a, b) = (numbers(rows * inner, 1), numbers(columns * inner, 2));
        for level in levels() {
            let packed = packed_b(level, &b, columns, inner);
            let operands =
                (Left::Rows(Rows { words: &a, stride: inner }), Panels { words: floats(&packed), depth: inner });
            let mut whole = vec![0.0; rows * columns];
            product(level, &mut whole, 0, columns, Start::Zero, operands, (0..rows, 0..columns));
            for block in [(5..6, 7..9), (0..37, 15..33), (8..20, 16..50), (3..3, 0..5)] {
                let mut part = vec![9.0; rows * columns];
                let first = block.0.start * columns + block.1.start;
                product(level, &mut part, first, columns, Start::Zero, operands, block.clone());
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
        for level in levels() {
            let packed = packed_b(level, &vec![1.0; inner * columns], columns, inner);
            let operands =
                (Left::Rows(Rows { words: &a, stride: inner }), Panels { words: floats(&packed), depth: inner });
            let mut c = vec![0.0; rows * columns];
            product(level, &mut c, 0, columns, Start::Zero, operands, (0..rows, 0..columns));
            for (row, c) in c.chunks(columns).enumerate() {
                assert_eq!(c.iter().all(|c| *c == inner as f32), row != 5 && row != 6, "row {row}");
            }
        }
    }

    #[test]
    fn blocks_cover_everything_once() {
        let counts = |rows: usize, columns: Range<usize>, inner: usize| {
            let counts = std::sync::Mutex::new(vec![0; rows * columns.end]);
            for_each_block(rows, columns.clone(), inner, |block_rows, block_columns| {
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
                let all = on_threads(3, || counts(rows, columns.clone(), inner));
                for (at, count) in all.iter().enumerate() {
                    assert_eq!(*count, usize::from(columns.contains(&(at % columns.end))));
                }
            }
        }
    }
}
