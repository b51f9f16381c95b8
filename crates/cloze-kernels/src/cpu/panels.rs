//! B of a product, rearranged into the order in which the inner loop reads it.
//!
//! A *panel* holds sixteen neighbouring columns of B: for each step of the inner dimension one cache
//! line, the words of the sixteen columns, so that the inner loop reads memory front to back. The last
//! panel is filled up with zeros; what is computed from those is never stored.

use super::lines::LINE;
use super::operand::{Kind, pack_words_across, to_words};
use super::row_steps::RowSteps;
use super::scratch;
use super::simd::{Level, multiversion};
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
/// copy. The numbers of each column are added to `sums`, unless it is empty, row after row.
#[allow(clippy::too_many_arguments)]
pub(crate) fn pack_columns(
    level: Level,
    kind: Kind,
    panels: &mut [f32],
    rows: &[f32],
    stride: usize,
    columns: usize,
    inner: usize,
    sums: &mut [f32],
) {
    assert_eq!(panels.len(), packed_len(columns, kind.steps(inner)));
    assert!(sums.is_empty() || sums.len() == columns, "{} sums of {columns} columns", sums.len());
    assert!(inner == 0 || rows.len() >= (inner - 1) * stride + columns, "{inner} rows of {columns}");
    match kind {
        Kind::F32 => pack_f32_columns(level, panels, rows, stride, columns, inner, sums),
        _ => {
            let depth = kind.steps(inner);
            pack_words_across(level, kind, panels, depth, 0..depth, rows, stride, columns, inner, sums);
        }
    }
}

/// [`pack_columns`] of the rows of `steps`, where `rows` begins at the batch's first row.
#[allow(clippy::too_many_arguments)]
pub(crate) fn pack_sequences(
    level: Level,
    kind: Kind,
    panels: &mut [f32],
    rows: &[f32],
    stride: usize,
    columns: usize,
    steps: &RowSteps,
    sums: &mut [f32],
) {
    if kind == Kind::F32 {
        let inner = steps.rows.len();
        return pack_columns(level, kind, panels, &rows[steps.rows.start * stride..], stride, columns, inner, sums);
    }
    let depth = steps.count();
    assert_eq!(panels.len(), packed_len(columns, depth));
    assert!(sums.is_empty() || sums.len() == columns, "{} sums of {columns} columns", sums.len());
    let mut first_step = 0;
    for run in steps.runs().filter(|run| !run.is_empty()) {
        let (inner, at) = (run.len(), first_step..first_step + kind.steps(run.len()));
        first_step = at.end;
        let rows = &rows[run.start * stride..];
        pack_words_across(level, kind, panels, depth, at, rows, stride, columns, inner, sums);
    }
}

multiversion! {
    fn pack_f32_columns(
        panels: &mut [f32],
        rows: &[f32],
        stride: usize,
        columns: usize,
        inner: usize,
        sums: &mut [f32],
    ) = pack_f32_columns_body
}

#[inline(always)]
fn pack_f32_columns_body<const FMA: bool>(
    panels: &mut [f32],
    rows: &[f32],
    stride: usize,
    columns: usize,
    inner: usize,
    sums: &mut [f32],
) {
    for step in 0..inner {
        let row = &rows[step * stride..][..columns];
        for (panel, numbers) in row.chunks(COLUMNS).enumerate() {
            let line = &mut panels[(panel * inner + step) * COLUMNS..][..COLUMNS];
            match numbers.first_chunk::<COLUMNS>() {
                Some(full) => *line.first_chunk_mut().expect("a whole line") = *full,
                None => {
                    line[..numbers.len()].copy_from_slice(numbers);
                    line[numbers.len()..].fill(0.0);
                }
            }
        }
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// Sixteen columns of B in words along the other dimension: a panel's `from [steps][16]` becomes
/// `to [steps of 16 columns][16]`. Up to sixteen numbers of the inner dimension, as many as `from` has; for
/// others zeros. Not for int8.
pub(crate) fn transpose_words(level: Level, kind: Kind, to: &mut [f32], from: &[f32]) {
    match (kind, level) {
        (Kind::F32, _) => transpose(level, to, COLUMNS, from, COLUMNS, from.len() / COLUMNS, COLUMNS),
        #[cfg(target_arch = "x86_64")]
        (Kind::Bf16, Level::Avx512) => {
            assert!(to.len() == 8 * COLUMNS && from.len() <= to.len() && from.len().is_multiple_of(COLUMNS));
            // SAFETY: `Level::Avx512` is made only where the processor has AVX-512 F and BW; the lengths were
            // checked.
            unsafe { transpose_bf16_avx512(to.as_mut_ptr(), from.as_ptr(), from.len() / COLUMNS) }
        }
        _ => unreachable!("{kind:?} on {level:?}"),
    }
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

/// [`transpose_words`] in bf16. Two neighbouring columns of a step are four numbers, `a₀ a₁ b₀ b₁`; in words
/// along the columns they are `a₀ b₀ a₁ b₁`, so that what remains is to exchange steps and pairs of columns.
///
/// # Safety
///
/// The processor has AVX-512 F and BW; there are eight lines at `to` and `steps` at `from`, at most eight.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn transpose_bf16_avx512(to: *mut f32, from: *const f32, steps: usize) {
    use std::arch::x86_64::*;
    // SAFETY: only lines that exist are read and written.
    unsafe {
        let in_turn = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
        let mut lines = [_mm512_setzero_si512(); 8];
        for (step, line) in lines.iter_mut().enumerate().take(steps) {
            *line = _mm512_shuffle_epi8(_mm512_loadu_si512(from.add(step * COLUMNS).cast()), in_turn);
        }
        exchange_pairs::<1>(&mut lines);
        exchange_pairs::<2>(&mut lines);
        exchange_pairs::<4>(&mut lines);
        for (pair, line) in lines.iter().enumerate() {
            _mm512_storeu_si512(to.add(pair * COLUMNS).cast(), *line);
        }
    }
}

/// [`exchange`] for eight rows of eight pairs of words.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn exchange_pairs<const DISTANCE: usize>(rows: &mut [std::arch::x86_64::__m512i; 8]) {
    use std::arch::x86_64::*;
    let (upper, lower) = const { (lanes::<8>(DISTANCE, false), lanes::<8>(DISTANCE, true)) };
    // SAFETY: eight integers each.
    let (upper, lower) =
        unsafe { (_mm256_loadu_si256(upper.as_ptr().cast()), _mm256_loadu_si256(lower.as_ptr().cast())) };
    let (upper, lower) = (_mm512_cvtepi32_epi64(upper), _mm512_cvtepi32_epi64(lower));
    for row in 0..8 {
        if row & DISTANCE == 0 {
            let (a, b) = (rows[row], rows[row + DISTANCE]);
            rows[row] = _mm512_permutex2var_epi64(a, upper, b);
            rows[row + DISTANCE] = _mm512_permutex2var_epi64(a, lower, b);
        }
    }
}

/// Lane `i` of the two results of an exchange, from the lanes of the upper (0 to `SIDE` − 1) and the lower row
/// (`SIDE` and more).
#[cfg(target_arch = "x86_64")]
const fn lanes<const SIDE: usize>(distance: usize, lower: bool) -> [i32; SIDE] {
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

/// One round of [`transpose_square_avx512`].
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn exchange<const DISTANCE: usize>(rows: &mut [std::arch::x86_64::__m512; SIDE]) {
    use std::arch::x86_64::*;
    let (upper, lower) = const { (lanes::<SIDE>(DISTANCE, false), lanes::<SIDE>(DISTANCE, true)) };
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
                let (mut sums, row_sums) =
                    (vec![1.0; columns], |c: usize| (0..inner).fold(1.0, |s, r| s + by_columns[r * stride + c]));
                pack_columns(level, Kind::F32, &mut same, &by_columns, stride, columns, inner, &mut sums);
                assert!(sums.iter().enumerate().all(|(column, sum)| *sum == row_sums(column)));
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
