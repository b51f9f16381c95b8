//! Conversions to words of 16 and 8 bits, sixteen numbers at a time.

use std::arch::x86_64::*;

use super::RowScale;

/// Lanes of a register.
const LANES: usize = 16;

/// The lanes of the numbers from `at` on, and which of them there are.
#[target_feature(enable = "avx512f")]
unsafe fn load(numbers: &[f32], at: usize) -> (__m512, __mmask16) {
    let left = numbers.len().saturating_sub(at).min(LANES);
    let mask = ((1_u32 << left) - 1) as __mmask16;
    // SAFETY: the mask covers numbers that exist; the others are not read.
    (unsafe { _mm512_maskz_loadu_ps(mask, numbers.as_ptr().wrapping_add(at)) }, mask)
}

/// `words[i]` holds the numbers `2 i` and `2 i + 1`.
///
/// # Safety
///
/// The processor has AVX-512 F, BW, VL and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn bf16_words(words: &mut [f32], numbers: &[f32]) {
    let whole = numbers.len() / (2 * LANES);
    let (whole_words, rest_of_words) = words.split_at_mut(whole * LANES);
    for (words, numbers) in whole_words.chunks_exact_mut(LANES).zip(numbers.chunks_exact(2 * LANES)) {
        // SAFETY: the processor has the instructions; these are whole registers.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(numbers.as_ptr()), _mm512_loadu_ps(numbers.as_ptr().add(LANES)));
            let packed = std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_ps(words.as_mut_ptr(), packed);
        }
    }
    let numbers = &numbers[whole * 2 * LANES..];
    for (at, words) in rest_of_words.chunks_mut(LANES).enumerate() {
        // SAFETY: the processor has the instructions, and only words that exist are stored.
        unsafe {
            let (low, _) = load(numbers, 2 * LANES * at);
            let (high, _) = load(numbers, 2 * LANES * at + LANES);
            let packed = std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low));
            let mask = ((1_u32 << words.len()) - 1) as __mmask16;
            _mm512_mask_storeu_ps(words.as_mut_ptr(), mask, packed);
        }
    }
}

/// [`super::pack_words_across`] in bf16: fills the steps from `first_step` on.
///
/// # Safety
///
/// The processor has AVX-512 F, BW, VL and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn pack_bf16_columns(
    panels: &mut [f32],
    depth: usize,
    first_step: usize,
    rows: &[f32],
    stride: usize,
    columns: usize,
    inner: usize,
    mut sums: Option<&mut [f32]>,
) {
    // Number `i` of the first and number `i` of the second row, in turn.
    const IN_TURN: [i16; 2 * LANES] = {
        let mut places = [0; 2 * LANES];
        let mut lane = 0;
        while lane < LANES {
            places[2 * lane] = lane as i16;
            places[2 * lane + 1] = (LANES + lane) as i16;
            lane += 1;
        }
        places
    };
    let steps = inner.div_ceil(2);
    for step in 0..steps {
        let first = &rows[2 * step * stride..][..columns];
        let second = if 2 * step + 1 < inner { &rows[(2 * step + 1) * stride..][..columns] } else { &[] };
        for (panel, at) in (0..columns).step_by(LANES).enumerate() {
            let line = &mut panels[(panel * depth + first_step + step) * LANES..][..LANES];
            // SAFETY: the processor has the instructions; a line is a register, and `load` and the mask leave
            // out what does not exist.
            unsafe {
                let ((low, mask), (high, _)) = (load(first, at), load(second, at));
                let packed = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                let words = _mm512_permutexvar_epi16(_mm512_loadu_si512(IN_TURN.as_ptr().cast()), packed);
                _mm512_storeu_si512(line.as_mut_ptr().cast(), words);
                if let Some(sums) = &mut sums {
                    let to = sums.as_mut_ptr().wrapping_add(at);
                    let sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), low);
                    let sum = if second.is_empty() { sum } else { _mm512_add_ps(sum, high) };
                    _mm512_mask_storeu_ps(to, mask, sum);
                }
            }
        }
    }
}

/// `words[i]` holds the numbers from `4 i` on as integers without sign: `round(number / scale) + zero`.
/// The scale of a row with a number that is not finite is NaN.
///
/// # Safety
///
/// The processor has AVX-512 F, BW and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn int8_words(words: &mut [f32], numbers: &[f32]) -> RowScale {
    // SAFETY: the processor has the instructions; `load` reads only what exists.
    unsafe {
        let (mut lowest, mut highest, mut strange) = (_mm512_setzero_ps(), _mm512_setzero_ps(), 0);
        let whole = numbers.len() / LANES * LANES;
        for at in (0..numbers.len()).step_by(LANES) {
            let x = if at < whole { _mm512_loadu_ps(numbers.as_ptr().add(at)) } else { load(numbers, at).0 };
            lowest = _mm512_min_ps(lowest, x);
            highest = _mm512_max_ps(highest, x);
            strange |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        }
        let (lowest, highest) = (_mm512_reduce_min_ps(lowest), _mm512_reduce_max_ps(highest));
        let range = highest - lowest;
        if strange != 0 || !range.is_finite() {
            words.fill(0.0);
            return RowScale { scale: f32::NAN, offset: f32::NAN };
        }
        let scale = range / 255.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        if !inverse.is_finite() || inverse == 0.0 {
            // All zeros, or so small that they might as well be.
            words.fill(0.0);
            return RowScale::default();
        }
        let zero = (-lowest * inverse).round_ties_even();
        let (inverses, zeros) = (_mm512_set1_ps(inverse), _mm512_set1_epi32(zero as i32));
        let (whole_words, rest_of_words) = words.split_at_mut(whole / 4);
        for (words, numbers) in whole_words.chunks_exact_mut(LANES / 4).zip(numbers.chunks_exact(LANES)) {
            let x = _mm512_loadu_ps(numbers.as_ptr());
            let integers = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverses)), zeros);
            let bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(integers, _mm512_setzero_si512()));
            _mm_storeu_si128(words.as_mut_ptr().cast(), bytes);
        }
        if !rest_of_words.is_empty() {
            let (x, mask) = load(numbers, whole);
            let integers = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverses)), zeros);
            let integers = _mm512_maskz_max_epi32(mask, integers, _mm512_setzero_si512());
            let bytes = _mm512_cvtusepi32_epi8(integers);
            let mask = ((1_u32 << rest_of_words.len()) - 1) as __mmask8;
            _mm_mask_storeu_epi32(rest_of_words.as_mut_ptr().cast(), mask, bytes);
        }
        RowScale { scale, offset: -scale * zero }
    }
}
