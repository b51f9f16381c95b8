//! The innermost loop of every product: one tile of the result.
//!
//! ```text
//! for row: for column: { let mut sum = start[row, column];
//!                        for step { sum = a[row, step] · b[step, column] + sum }; c[row, column] = sum }
//! ```
//!
//! Each element of the tile is one chain in the order of the steps. Elements never mix, so what an
//! element becomes depends neither on its place in the tile nor on its neighbours.
//!
//! A step is a *word* of 32 bits of each operand: one number in f32, two in bf16, four in int8, whose
//! products one instruction adds to a sum of 32 bits ([`super::operand`]).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::operand::{ColumnScales, Kind};
use super::panels::COLUMNS;
use super::simd::Level;

/// Rows of a tile, at most, on any level.
pub(crate) const ROWS_MAX: usize = 8;

/// Strips of a tile, at most: neighbouring panels of B.
pub(crate) const STRIPS_MAX: usize = 3;

/// Where the chain of an element starts. Pointers are to the tile's first column (lane 0 of strip 0).
#[derive(Clone, Copy)]
pub(crate) enum TileStart {
    /// From zero.
    Zero,
    /// From what the result holds.
    Stored,
    /// From a number for each column.
    Bias(*const f32),
}

/// One tile: what is read, and where the result goes.
///
/// Columns come in strips of [`COLUMNS`]; of each strip those in its mask exist. Nothing is read or
/// written where a mask has no bit, so that the pointers to columns may point before what exists.
#[derive(Clone, Copy)]
pub(crate) struct TileCall {
    /// Row 0, lane 0 of strip 0 of the result.
    pub(crate) c: *mut f32,
    /// Numbers from a row of the result to the next.
    pub(crate) c_stride: usize,
    /// At most [`ROWS_MAX`].
    pub(crate) rows: usize,
    /// At most [`STRIPS_MAX`].
    pub(crate) strips: usize,
    /// The lanes of each strip that exist.
    pub(crate) masks: [u16; STRIPS_MAX],
    pub(crate) start: TileStart,
    /// Row 0 of A, step 0.
    pub(crate) a: *const f32,
    /// Words from a row of A to the next.
    pub(crate) a_stride: usize,
    /// Words from a step of A to the next.
    pub(crate) a_step: usize,
    /// Strip 0 of B, `[strips][steps][COLUMNS]`, aligned to a cache line.
    pub(crate) b: *const f32,
    /// Words from a strip of B to the next.
    pub(crate) b_stride: usize,
    /// A strip that will be read soon, brought to the second cache meanwhile. Any address will do.
    pub(crate) soon: *const f32,
    pub(crate) steps: usize,
    /// In int8, what turns sums of integers into numbers: `[strips]`. The scales of a row of A follow its
    /// words.
    pub(crate) scales: *const ColumnScales,
}

/// Rows of the tiles that a level likes best.
pub(crate) fn tile_rows(level: Level) -> usize {
    match level {
        Level::Avx512 => ROWS_MAX,
        Level::Avx2 => 6,
        Level::Portable => 4,
    }
}

/// Computes one tile.
///
/// # Safety
///
/// The pointers are valid for what the fields say, and nothing else reads or writes the tile of C
/// during the call. `kind` is one that the processor has instructions for.
#[inline]
pub(crate) unsafe fn compute(level: Level, kind: Kind, call: &TileCall) {
    debug_assert!(call.rows >= 1 && call.rows <= tile_rows(level) && call.strips >= 1 && call.strips <= STRIPS_MAX);
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: passed on; `Level::Avx512` is made only where the processor has these instructions.
        Level::Avx512 => unsafe { avx512::compute(kind, call) },
        _ => {
            assert!(kind == Kind::F32, "{kind:?} on {level:?}");
            for strip in 0..call.strips {
                // SAFETY: passed on.
                unsafe { compute_strip(level, call, strip) };
            }
        }
    }
}

/// A strip of a tile, while it is computed.
type Strip = [[f32; COLUMNS]; ROWS_MAX];

/// One strip of f32, by way of memory.
///
/// # Safety
///
/// As for [`compute`].
unsafe fn compute_strip(level: Level, call: &TileCall, strip: usize) {
    let mut sums: Strip = [[0.0; COLUMNS]; ROWS_MAX];
    let mask = call.masks[strip];
    let lanes = mask.trailing_zeros() as usize..COLUMNS - mask.leading_zeros() as usize;
    let row_of = |pointer: *const f32, row: usize| pointer.wrapping_add(row * call.c_stride + strip * COLUMNS);
    for (row, sums) in sums.iter_mut().enumerate().take(call.rows) {
        let from = match call.start {
            TileStart::Zero => continue,
            TileStart::Stored => row_of(call.c, row),
            TileStart::Bias(bias) => bias.wrapping_add(strip * COLUMNS),
        };
        for lane in lanes.clone() {
            // SAFETY: the mask says that this element exists.
            sums[lane] = unsafe { *from.wrapping_add(lane) };
        }
    }
    let b = call.b.wrapping_add(strip * call.b_stride).cast::<[f32; COLUMNS]>();
    // SAFETY: a strip of B has `steps` lines.
    let b = unsafe { std::slice::from_raw_parts(b, call.steps) };
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` is made only where the processor has AVX2 and FMA; A is valid as the call says.
        Level::Avx2 => unsafe { avx2::add_product(&mut sums, call, b) },
        // SAFETY: A is valid as the call says.
        _ => unsafe { portable::add_product(&mut sums, call, b) },
    }
    for (row, sums) in sums.iter().enumerate().take(call.rows) {
        let to = row_of(call.c, row).cast_mut();
        for lane in lanes.clone() {
            // SAFETY: the mask says that this element exists.
            unsafe { *to.wrapping_add(lane) = sums[lane] };
        }
    }
}
