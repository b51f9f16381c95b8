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

/// `words[i]` holds the numbers `first[i]` and `second[i]`; a number that is not there counts as 0.
///
/// # Safety
///
/// The processor has AVX-512 F, BW, VL and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn bf16_words_across(words: &mut [f32], first: &[f32], second: &[f32]) {
    for (at, words) in words.chunks_mut(LANES).enumerate() {
        // SAFETY: the processor has the instructions, and only words that exist are stored.
        unsafe {
            let widened = |numbers: &[f32]| {
                let numbers = match numbers.get(LANES * at..LANES * at + LANES) {
                    Some(whole) => _mm512_loadu_ps(whole.as_ptr()),
                    None => load(numbers, LANES * at).0,
                };
                let short = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(numbers));
                _mm512_cvtepu16_epi32(short)
            };
            let packed = _mm512_or_si512(widened(first), _mm512_slli_epi32::<16>(widened(second)));
            let mask = ((1_u32 << words.len()) - 1) as __mmask16;
            _mm512_mask_storeu_ps(words.as_mut_ptr(), mask, _mm512_castsi512_ps(packed));
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
