//! What products multiply: rows of words.
//!
//! A *word* is 32 bits that one lane of a multiply-add takes at a step: one number in f32, two
//! neighbours of the inner dimension in bf16, four in int8. Words are kept in buffers of f32, whatever
//! their bits mean; nothing but the conversions here and the tiles looks into them. An inner dimension
//! that is no multiple of a word is filled up with zeros, which add nothing.

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::ops::Range;

use super::chunks::{chunks_mut, for_each_part};
use super::disjoint::rows_per_task;
use super::panels::COLUMNS;
use super::scratch;
use super::simd::{Level, multiversion};
use crate::Size;

/// The numbers of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One number a word.
    F32,
    /// Two numbers a word. A value of this variant proves that the processor has AVX-512-BF16.
    Bf16,
    /// Four numbers a word, A's without and B's with a sign. A value of this variant proves that the
    /// processor has AVX-512-VNNI.
    Int8,
}

impl Kind {
    /// Numbers in a word.
    pub(crate) fn numbers(self) -> usize {
        match self {
            Kind::F32 => 1,
            Kind::Bf16 => 2,
            Kind::Int8 => 4,
        }
    }

    /// Words of an inner dimension of `inner` numbers: the steps of a product.
    pub(crate) fn steps(self, inner: usize) -> usize {
        inner.div_ceil(self.numbers())
    }
}

/// The numbers and instructions of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arithmetic {
    pub(crate) level: Level,
    pub(crate) kind: Kind,
}

/// How the integers of a row of A stand for numbers: `number = scale · integer + offset`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RowScale {
    pub(crate) scale: f32,
    pub(crate) offset: f32,
}

/// What turns sums of integers into numbers, for the columns of one strip.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct ColumnScales {
    /// `number = scale · integer` for the weights of a column.
    pub(crate) scale: [f32; COLUMNS],
    /// The sum of those numbers.
    pub(crate) sum: [f32; COLUMNS],
}

impl ColumnScales {
    pub(crate) const ZERO: ColumnScales = ColumnScales { scale: [0.0; COLUMNS], sum: [0.0; COLUMNS] };
}

/// A of a product, in words: row `r` is `words[r · stride ..][.. steps]`. In int8 the row's scale and
/// offset follow as two more words.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) words: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows from step `step` on. Not for int8.
    pub(crate) fn from(self, step: usize) -> Rows<'a> {
        Rows { words: self.words.get(step..).unwrap_or_default(), ..self }
    }
}

/// Calls `work` with rows of numbers, `[rows][inner]`, `stride` apart, as A of a product in `kind`. They
/// are converted on all threads if there are many.
pub(crate) fn with_rows<R>(
    Arithmetic { level, kind }: Arithmetic,
    numbers: &[f32],
    stride: usize,
    Size { rows, columns: inner }: Size,
    work: impl FnOnce(Rows) -> R,
) -> R {
    if kind == Kind::F32 {
        return work(Rows { words: numbers, stride });
    }
    let steps = kind.steps(inner);
    let words_stride = steps + if kind == Kind::Int8 { 2 } else { 0 };
    scratch::with(rows * words_stride, |words| {
        let convert = |at: usize, words: &mut [f32]| {
            for (row, words) in words.chunks_exact_mut(words_stride.max(1)).enumerate() {
                let numbers = &numbers[(at + row) * stride..][..inner];
                let (words, scales) = words.split_at_mut(steps);
                let RowScale { scale, offset } = to_words(level, kind, words, numbers);
                if let [to_scale, to_offset] = scales {
                    (*to_scale, *to_offset) = (scale, offset);
                }
            }
        };
        let task_rows = rows_per_task(inner);
        if rows <= task_rows {
            convert(0, words);
        } else {
            let tasks = chunks_mut(words, task_rows * words_stride);
            for_each_part(tasks, |task, words| convert(task * task_rows, words));
        }
        work(Rows { words, stride: words_stride })
    })
}

/// Turns a row of numbers into words: `[numbers]` to `[steps]`. In int8 they are A's: the smallest
/// number of the row (or 0) becomes 0, the largest (or 0) 255, and 0 is exact.
///
/// Every row is converted by itself, so that its words do not depend on its neighbours.
pub(crate) fn to_words(level: Level, kind: Kind, words: &mut [f32], numbers: &[f32]) -> RowScale {
    assert_eq!(words.len(), kind.steps(numbers.len()));
    match (kind, level) {
        #[cfg(target_arch = "x86_64")]
        (Kind::Bf16, Level::Avx512) => {
            // SAFETY: `Kind::Bf16` and `Level::Avx512` are made only where the processor has them.
            unsafe { avx512::bf16_words(words, numbers) };
            RowScale::default()
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Kind::Int8, Level::Avx512) => unsafe { avx512::int8_words(words, numbers) },
        (Kind::F32, _) => {
            words.copy_from_slice(numbers);
            RowScale::default()
        }
        _ => unreachable!("{kind:?} on {level:?}"),
    }
}

/// [`super::panels::pack_columns`] for words of several numbers: those of a column, one from each row. Fills the steps
/// `steps` of panels that have `depth`. Not for int8.
#[allow(clippy::too_many_arguments)]
pub(crate) fn pack_words_across(
    level: Level,
    kind: Kind,
    panels: &mut [f32],
    depth: usize,
    steps: Range<usize>,
    rows: &[f32],
    stride: usize,
    columns: usize,
    inner: usize,
    sums: &mut [f32],
) {
    assert!(steps.end <= depth && steps.len() == kind.steps(inner), "{inner} rows in steps {steps:?} of {depth}");
    match (kind, level) {
        #[cfg(target_arch = "x86_64")]
        (Kind::Bf16, Level::Avx512) => {
            let sums = (!sums.is_empty()).then_some(sums);
            // SAFETY: `Kind::Bf16` and `Level::Avx512` are made only where the processor has them.
            unsafe { avx512::pack_bf16_columns(panels, depth, steps.start, rows, stride, columns, inner, sums) };
        }
        _ => unreachable!("{kind:?} on {level:?}"),
    }
}

/// Rounds weights to 8 bits, each row `[inputs]` with a scale of its own: `values · scale ≈ weights`, and
/// values lie between −127 and 127. `values` is as long as `weights`, `scales` holds a number for each
/// row.
///
/// # Panics
/// If the lengths do not fit together.
pub fn quantize_rows(values: &mut [i8], scales: &mut [f32], weights: &[f32]) {
    assert_eq!(values.len(), weights.len());
    if weights.is_empty() {
        return scales.fill(0.0);
    }
    assert!(weights.len().is_multiple_of(scales.len()), "{} weights in {} rows", weights.len(), scales.len());
    let inputs = weights.len() / scales.len();
    let level = Level::detect();
    let rows = values.chunks_exact_mut(inputs).zip(weights.chunks_exact(inputs));
    for ((values, weights), scale) in rows.zip(scales) {
        *scale = quantize_row(level, values, weights);
    }
}

multiversion! {
    /// One row; gives its scale.
    fn quantize_row(values: &mut [i8], weights: &[f32]) -> f32 = quantize_row_body
}

#[inline(always)]
fn quantize_row_body<const FMA: bool>(values: &mut [i8], weights: &[f32]) -> f32 {
    let mut largest = [0.0_f32; COLUMNS];
    for weights in weights.chunks(COLUMNS) {
        for (largest, weight) in largest.iter_mut().zip(weights) {
            *largest = if weight.abs() > *largest { weight.abs() } else { *largest };
        }
    }
    let scale = largest.into_iter().fold(0.0, f32::max) / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (value, weight) in values.iter_mut().zip(weights) {
        // Adding 1.5 · 2²³ rounds to an integer, ties to even, which then stands in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let bits = (weight * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32;
        *value = bits.clamp(-127, 127) as i8;
    }
    scale
}

/// The words of a row of B in int8, `[inputs]` to `[steps]`.
pub(crate) fn int8_weight_words(words: &mut [f32], values: &[i8]) {
    for (word, values) in words.iter_mut().zip(values.chunks(4)) {
        let mut bytes = [0; 4];
        for (byte, value) in bytes.iter_mut().zip(values) {
            *byte = *value as u8;
        }
        *word = f32::from_bits(u32::from_le_bytes(bytes));
    }
}

/// bf16, if this processor has dot products of it.
pub(crate) fn detect_bf16() -> Option<Kind> {
    #[cfg(target_arch = "x86_64")]
    if Level::detect() == Level::Avx512 && std::is_x86_feature_detected!("avx512bf16") {
        return Some(Kind::Bf16);
    }
    None
}

/// int8, if this processor has dot products of it.
pub(crate) fn detect_int8() -> Option<Kind> {
    #[cfg(target_arch = "x86_64")]
    if Level::detect() == Level::Avx512 && std::is_x86_feature_detected!("avx512vnni") {
        return Some(Kind::Int8);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::numbers;

    /// The number that two bytes stand for.
    fn bf16(bits: u32) -> f32 {
        f32::from_bits(bits << 16)
    }

    /// The nearest number of 16 bits, ties to even.
    fn nearest_bf16(x: f32) -> f32 {
        let bits = x.to_bits();
        bf16((bits + 0x7fff + (bits >> 16 & 1)) >> 16)
    }

    #[test]
    fn bf16_words_hold_the_nearest_numbers_in_order() {
        let Some(kind) = detect_bf16() else { return };
        for len in [0, 1, 2, 7, 31, 32, 33, 64, 77] {
            let mut numbers = numbers(len, 1);
            if len > 5 {
                numbers[..5].copy_from_slice(&[1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::INFINITY, -0.0, 3e38]);
            }
            let mut words = vec![f32::NAN; kind.steps(len)];
            to_words(Level::detect(), kind, &mut words, &numbers);
            for (at, number) in numbers.iter().enumerate() {
                let found = bf16(words[at / 2].to_bits() >> (16 * (at % 2)) & 0xffff);
                assert_eq!(found.to_bits(), nearest_bf16(*number).to_bits(), "{number} of {len}");
            }
            assert!(len % 2 == 0 || words[len / 2].to_bits() >> 16 == 0, "filled up with zeros");
        }
    }

    #[test]
    fn bf16_panels_hold_the_nearest_numbers_of_two_rows_a_word() {
        let Some(kind) = detect_bf16() else { return };
        for (columns, inner) in [(1, 1), (16, 2), (37, 5), (48, 8), (20, 0)] {
            let stride = columns + 3;
            let numbers = numbers(inner * stride + columns, 1);
            let steps = kind.steps(inner);
            let mut panels = vec![f32::NAN; steps * columns.next_multiple_of(COLUMNS)];
            let mut sums = vec![1.0; columns];
            let level = Level::detect();
            let all = 0..steps;
            pack_words_across(
                level,
                kind,
                &mut panels,
                steps,
                all.clone(),
                &numbers,
                stride,
                columns,
                inner,
                &mut sums,
            );
            let mut silent = vec![f32::NAN; panels.len()];
            pack_words_across(level, kind, &mut silent, steps, all, &numbers, stride, columns, inner, &mut []);
            assert!(panels.iter().zip(&silent).all(|(a, b)| a.to_bits() == b.to_bits()));
            for (at, word) in panels.iter().enumerate() {
                let (panel, step, lane) = (at / COLUMNS / steps, at / COLUMNS % steps, at % COLUMNS);
                for half in 0..2 {
                    let (row, column) = (2 * step + half, panel * COLUMNS + lane);
                    let exists = row < inner && column < columns;
                    let expected = if exists { nearest_bf16(numbers[row * stride + column]) } else { 0.0 };
                    let found = bf16(word.to_bits() >> (16 * half) & 0xffff);
                    assert_eq!(found.to_bits(), expected.to_bits(), "row {row}, column {column}");
                }
            }
            for (column, sum) in sums.iter().enumerate() {
                assert_eq!(*sum, (0..inner).fold(1.0, |sum, row| sum + numbers[row * stride + column]));
            }
        }
    }

    #[test]
    fn int8_rows_come_within_half_a_step() {
        let Some(kind) = detect_int8() else { return };
        for len in [1, 3, 4, 5, 16, 63, 64, 65, 200] {
            for shift in [0.0, 1.5, -3.0, 100.0] {
                let numbers: Vec<f32> = numbers(len, 2).iter().map(|x| x + shift).collect();
                let mut words = vec![f32::NAN; kind.steps(len)];
                let RowScale { scale, offset } = to_words(Level::detect(), kind, &mut words, &numbers);
                for (at, number) in numbers.iter().enumerate() {
                    let integer = words[at / 4].to_bits() >> (8 * (at % 4)) & 0xff;
                    let found = scale * integer as f32 + offset;
                    assert!((found - number).abs() <= 0.501 * scale, "{number} became {found}, steps of {scale}");
                }
                for at in len..4 * words.len() {
                    assert_eq!(words[at / 4].to_bits() >> (8 * (at % 4)) & 0xff, 0, "filled up with zeros");
                }
            }
        }
    }

    #[test]
    fn a_row_of_zeros_and_one_that_is_not_finite() {
        let Some(kind) = detect_int8() else { return };
        let words_of = |numbers: &[f32]| {
            let mut words = vec![f32::NAN; kind.steps(numbers.len())];
            (to_words(Level::detect(), kind, &mut words, numbers), words)
        };
        let (scale, words) = words_of(&[0.0; 9]);
        assert_eq!(scale, RowScale::default());
        assert!(words.iter().all(|word| word.to_bits() == 0));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 5, 20, 40] {
                let mut numbers = numbers(41, 3);
                numbers[at] = bad;
                assert!(words_of(&numbers).0.scale.is_nan(), "{bad} at {at} is not lost");
            }
        }
    }

    #[test]
    fn weights_come_within_half_a_step() {
        let weights = numbers(5 * 37, 4);
        let (mut values, mut scales) = (vec![0; weights.len()], vec![f32::NAN; 5]);
        quantize_rows(&mut values, &mut scales, &weights);
        for (at, (value, weight)) in values.iter().zip(&weights).enumerate() {
            let scale = scales[at / 37];
            assert!((f32::from(*value) * scale - weight).abs() <= 0.501 * scale);
        }
        for row in values.chunks(37) {
            assert_eq!(row.iter().map(|value| value.unsigned_abs()).max(), Some(127));
        }
        quantize_rows(&mut values[..37], &mut scales[..1], &[0.0; 37]);
        assert!(scales[0] == 0.0 && values[..37].iter().all(|value| *value == 0));
    }
}
