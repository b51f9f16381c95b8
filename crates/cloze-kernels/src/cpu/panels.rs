//! B of a product, rearranged into the order in which the inner loop reads it.
//!
//! A *panel* holds sixteen neighbouring columns of B: for each step of the inner dimension one cache
//! line, the words of the sixteen columns, so that the inner loop reads memory front to back. The last
//! panel is filled up with zeros; what is computed from those is never stored.

use super::lines::LINE;
use super::operand::{Kind, to_words, to_words_across};
use super::scratch;
use super::simd::Level;
use crate::Size;

/// Columns of a panel of B, and of a strip of a tile.
pub(crate) const COLUMNS: usize = 16;

const _: () = assert!(LINE == COLUMNS, "a step of a panel is one line");

/// B in panels, `[panels][depth][COLUMNS]` words.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// The packed words, aligned to a cache line.
    pub(crate) words: &'a [f32],
    /// Steps in each panel.
    pub(crate) depth: usize,
}

/// Words of panels for `columns` columns of `steps` steps.
pub(crate) fn packed_len(columns: usize, steps: usize) -> usize {
    columns.next_multiple_of(COLUMNS) * steps
}

/// Packs one panel, `[steps][COLUMNS]`, from columns that lie as rows: `columns [count][inner]`, `stride`
/// apart. A transpose.
pub(crate) fn pack_rows(level: Level, kind: Kind, panel: &mut [f32], columns: &[f32], stride: usize, inner: usize) {
    let steps = kind.steps(inner);
    assert_eq!(panel.len(), steps * COLUMNS);
    let count = if stride == 0 { 0 } else { columns.len().div_ceil(stride).min(COLUMNS) };
    if kind == Kind::F32 {
        return transpose(level, panel, COLUMNS, columns, stride, count, steps);
    }
    scratch::with(COLUMNS * steps, |words| {
        for (words, numbers) in words.chunks_exact_mut(steps.max(1)).zip(columns.chunks(stride)) {
            to_words(level, kind, words, &numbers[..inner]);
        }
        transpose(level, panel, COLUMNS, words, steps, count, steps);
    });
}

/// Packs panels from columns that lie as columns: `rows [inner][columns]`, `stride` apart. Each step is a
/// copy.
pub(crate) fn pack_columns(
    level: Level,
    kind: Kind,
    panels: &mut [f32],
    rows: &[f32],
    stride: usize,
    columns: usize,
    inner: usize,
) {
    let steps = kind.steps(inner);
    assert_eq!(panels.len(), packed_len(columns, steps));
    let mut lines = |row_words: &[f32], step: usize| {
        for (panel, words) in row_words.chunks(COLUMNS).enumerate() {
            let line = &mut panels[(panel * steps + step) * COLUMNS..][..COLUMNS];
            match words.first_chunk::<COLUMNS>() {
                Some(full) => *line.first_chunk_mut().expect("a whole line") = *full,
                None => {
                    line[..words.len()].copy_from_slice(words);
                    line[words.len()..].fill(0.0);
                }
            }
        }
    };
    if kind == Kind::F32 {
        for step in 0..steps {
            lines(&rows[step * stride..][..columns], step);
        }
        return;
    }
    scratch::with(columns, |words| {
        for step in 0..steps {
            let row = step * kind.numbers();
            let count = kind.numbers().min(inner - row);
            to_words_across(level, kind, words, &rows[row * stride..], stride, count);
            lines(words, step);
        }
    });
}

/// The columns of `x [rows][columns]`, `x_stride` apart, as rows of words over its rows: `[columns][steps]`,
/// `stride` apart, as A of a product. `stride` is a multiple of sixteen.
#[allow(clippy::too_many_arguments)]
pub(crate) fn columns_to_words(
    level: Level,
    kind: Kind,
    words: &mut [f32],
    stride: usize,
    x: &[f32],
    x_stride: usize,
    rows: usize,
    columns: usize,
) {
    if kind == Kind::F32 {
        return transpose(level, words, stride, x, x_stride, rows, columns);
    }
    let steps = kind.steps(rows);
    scratch::with(steps * columns, |lines| {
        for (step, line) in lines.chunks_exact_mut(columns.max(1)).enumerate() {
            let row = step * kind.numbers();
            to_words_across(level, kind, line, &x[row * x_stride..], x_stride, kind.numbers().min(rows - row));
        }
        transpose(level, words, stride, lines, columns, steps, columns);
    });
}

/// `to[column · to_stride + row] = from[row · from_stride + column]` for `rows` rows and `columns`
/// columns; `to` has zeros for rows from `rows` up to a multiple of sixteen, as far as its stride goes.
///
/// It goes square by square. Reading column after column would touch as many cache lines as there are
/// rows for each of them, and where the stride is a multiple of the page size they evict each other.
pub(crate) fn transpose(
    level: Level,
    to: &mut [f32],
    to_stride: usize,
    from: &[f32],
    from_stride: usize,
    rows: usize,
    columns: usize,
) {
    for first_row in (0..rows.max(1)).step_by(SIDE) {
        let height = SIDE.min(rows - first_row);
        let filled = SIDE.min(to_stride - first_row);
        for first_column in (0..columns).step_by(SIDE) {
            let width = SIDE.min(columns - first_column);
            let from = from.get(first_row * from_stride + first_column..).unwrap_or_default();
            let to = &mut to[first_column * to_stride + first_row..];
            transpose_square(level, to, to_stride, filled, from, from_stride, Size { rows: height, columns: width });
        }
    }
}

/// Side of the squares that [`transpose`] works on.
const SIDE: usize = 16;

/// One square, or a corner of it: `rows` rows and `columns` columns of `from` become as many columns and
/// rows of `to`; `filled` numbers of each row of `to` are written, zeros behind the last row of `from`.
pub(crate) fn transpose_square(
    level: Level,
    to: &mut [f32],
    to_stride: usize,
    filled: usize,
    from: &[f32],
    from_stride: usize,
    Size { rows, columns }: Size,
) {
    assert!(rows <= SIDE && columns <= SIDE && filled <= SIDE);
    assert!(rows == 0 || from.len() >= (rows - 1) * from_stride + columns, "{rows} rows of {columns}");
    assert!(columns == 0 || to.len() >= (columns - 1) * to_stride + filled, "{columns} columns of {filled}");
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512 {
        // SAFETY: `Level::Avx512` is made only where the processor has AVX-512 F; the lengths were checked.
        unsafe {
            return transpose_square_avx512(
                to.as_mut_ptr(),
                to_stride,
                filled,
                from.as_ptr(),
                from_stride,
                Size { rows, columns },
            );
        }
    }
    let _ = level;
    for column in 0..columns {
        for row in 0..filled {
            to[column * to_stride + row] = if row < rows { from[row * from_stride + column] } else { 0.0 };
        }
    }
}

/// In four rounds: round `d` = 1, 2, 4, 8 exchanges the off-diagonal blocks of `d × d` numbers in each
/// square of `2d × 2d`.
///
/// # Safety
///
/// The processor has AVX-512 F; the buffers hold what [`transpose_square`] asserts.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_square_avx512(
    to: *mut f32,
    to_stride: usize,
    filled: usize,
    from: *const f32,
    from_stride: usize,
    Size { rows: height, columns: width }: Size,
) {
    use std::arch::x86_64::*;
    // SAFETY: only rows below `height` and `width`, and lanes in the masks, are read and written.
    unsafe {
        let (read, write) = (((1_u32 << width) - 1) as __mmask16, ((1_u32 << filled) - 1) as __mmask16);
        let mut rows = [_mm512_setzero_ps(); SIDE];
        for (row, numbers) in rows.iter_mut().enumerate().take(height) {
            *numbers = _mm512_maskz_loadu_ps(read, from.add(row * from_stride));
        }
        exchange::<1>(&mut rows);
        exchange::<2>(&mut rows);
        exchange::<4>(&mut rows);
        exchange::<8>(&mut rows);
        for (column, numbers) in rows.iter().enumerate().take(width) {
            match write {
                u16::MAX => _mm512_storeu_ps(to.add(column * to_stride), *numbers),
                mask => _mm512_mask_storeu_ps(to.add(column * to_stride), mask, *numbers),
            }
        }
    }
}

/// One round of [`transpose_square_avx512`].
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn exchange<const DISTANCE: usize>(rows: &mut [std::arch::x86_64::__m512; SIDE]) {
    use std::arch::x86_64::*;
    // Lane `i` of the two results, from the lanes of the upper (0 to 15) and the lower row (16 to 31).
    const fn lanes(distance: usize, lower: bool) -> [i32; SIDE] {
        let mut lanes = [0; SIDE];
        let mut lane = 0;
        while lane < SIDE {
            let from_upper = lane & distance == 0;
            lanes[lane] = match (from_upper, lower) {
                (true, false) => lane,
                (false, false) => SIDE + lane - distance,
                (true, true) => lane + distance,
                (false, true) => SIDE + lane,
            } as i32;
            lane += 1;
        }
        lanes
    }
    let (upper, lower) = const { (lanes(DISTANCE, false), lanes(DISTANCE, true)) };
    // SAFETY: sixteen integers each.
    let (upper, lower) =
        unsafe { (_mm512_loadu_si512(upper.as_ptr().cast()), _mm512_loadu_si512(lower.as_ptr().cast())) };
    for row in 0..SIDE {
        if row & DISTANCE == 0 {
            let (a, b) = (rows[row], rows[row + DISTANCE]);
            rows[row] = _mm512_permutex2var_ps(a, upper, b);
            rows[row + DISTANCE] = _mm512_permutex2var_ps(a, lower, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::{levels, numbers};

    #[test]
    fn a_transpose_exchanges_rows_and_columns_and_fills_up_with_zeros() {
        for level in levels() {
            for (rows, columns) in [(0_usize, 3), (1, 1), (5, 37), (16, 16), (17, 40), (48, 15)] {
                let (from_stride, to_stride) = (columns + 3, rows.next_multiple_of(16).max(16));
                let from = numbers(rows * from_stride, 1);
                let mut to = vec![f32::NAN; columns * to_stride];
                transpose(level, &mut to, to_stride, &from, from_stride, rows, columns);
                for (at, found) in to.iter().enumerate() {
                    let (column, row) = (at / to_stride, at % to_stride);
                    let expected = if row < rows { from[row * from_stride + column] } else { 0.0 };
                    assert_eq!(*found, expected, "{level:?}: row {row}, column {column} of {rows}×{columns}");
                }
            }
        }
    }

    #[test]
    fn panels_hold_what_their_definition_says() {
        let (columns, stride) = (37, 40);
        for level in levels() {
            for inner in [0, 1, 5, 16, 17, 33] {
                let by_rows = numbers(columns * stride, 1);
                let mut panels = vec![f32::NAN; packed_len(columns, inner)];
                for (panel, first) in panels.chunks_exact_mut((inner * COLUMNS).max(1)).zip((0..).step_by(COLUMNS)) {
                    let part = &by_rows[first * stride..columns.min(first + COLUMNS) * stride];
                    pack_rows(level, Kind::F32, panel, part, stride, inner);
                }
                let mut by_columns = vec![0.0; inner * stride];
                if inner > 0 {
                    transpose(level, &mut by_columns, stride, &by_rows, stride, columns, inner);
                }
                let mut same = vec![f32::NAN; panels.len()];
                pack_columns(level, Kind::F32, &mut same, &by_columns, stride, columns, inner);
                assert_eq!(panels, same, "{level:?}, {inner} steps");
                for (at, found) in panels.iter().enumerate() {
                    let (panel, step, lane) = (at / COLUMNS / inner, at / COLUMNS % inner, at % COLUMNS);
                    let column = panel * COLUMNS + lane;
                    let expected = if column < columns { by_rows[column * stride + step] } else { 0.0 };
                    assert_eq!(*found, expected, "{level:?}: panel {panel}, step {step}, lane {lane}");
                }
            }
        }
    }
}
