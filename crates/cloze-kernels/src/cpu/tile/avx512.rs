//! Tiles in the thirty-two registers of AVX-512, in f32, bf16 and int8.
//!
//! Twenty-four registers hold a tile of eight rows by three strips, three a step of B, and one a word of
//! A in all its lanes. For every step that is eleven loads beside twenty-four multiply-adds, so that the
//! loads never hold up the arithmetic, and twenty-four chains hide its latency. The three kinds of
//! numbers differ in one instruction alone.
//!
//! Sums start in registers and end in the result, without a detour through memory: an int8 tile takes
//! so few cycles that storing it and loading it again would cost eight of a hundred.

use std::arch::x86_64::*;

use super::{TileCall, TileStart};
use crate::cpu::operand::{ColumnScales, Kind};
use crate::cpu::panels::COLUMNS;

const F32: u8 = 0;
const BF16: u8 = 1;
const INT8: u8 = 2;

/// Computes one tile.
///
/// # Safety
///
/// The processor has AVX-512 (F, BW, DQ, VL), and the instructions of `kind`; otherwise as for
/// [`super::compute`].
#[inline]
pub(super) unsafe fn compute(kind: Kind, call: &TileCall) {
    macro_rules! by_shape {
        ($function:ident, $kind:expr) => {
            by_shape!($function, $kind, 1 2 3 4 5 6 7 8)
        };
        ($function:ident, $kind:expr, $($rows:literal)*) => {
            match (call.rows, call.strips) {
                $(
                    ($rows, 1) => $function::<$kind, $rows, 1>,
                    ($rows, 2) => $function::<$kind, $rows, 2>,
                    ($rows, 3) => $function::<$kind, $rows, 3>,
                )*
                (rows, strips) => unreachable!("a tile of {rows} rows and {strips} strips"),
            }
        };
    }
    let tile: unsafe fn(&TileCall) = match kind {
        Kind::F32 => by_shape!(f32_tile, F32),
        Kind::Bf16 => by_shape!(bf16_tile, BF16),
        Kind::Int8 => by_shape!(int8_tile, INT8),
    };
    // SAFETY: passed on, each function to processors that have its instructions.
    unsafe { tile(call) }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn f32_tile<const KIND: u8, const ROWS: usize, const STRIPS: usize>(call: &TileCall) {
    // SAFETY: passed on.
    unsafe { tile::<KIND, ROWS, STRIPS>(call) }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn bf16_tile<const KIND: u8, const ROWS: usize, const STRIPS: usize>(call: &TileCall) {
    // SAFETY: passed on.
    unsafe { tile::<KIND, ROWS, STRIPS>(call) }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn int8_tile<const KIND: u8, const ROWS: usize, const STRIPS: usize>(call: &TileCall) {
    // SAFETY: passed on.
    unsafe { tile::<KIND, ROWS, STRIPS>(call) }
}

/// `sum + a · b`, lane by lane; a word of 32 bits is one, two or four numbers.
#[inline(always)]
unsafe fn multiply_add<const KIND: u8>(sum: __m512, a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller's processor has the instruction of this kind; the casts keep the bits.
    unsafe {
        match KIND {
            F32 => _mm512_fmadd_ps(a, b, sum),
            BF16 => {
                let (a, b) = (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b));
                _mm512_dpbf16_ps(sum, a, b)
            }
            _ => {
                let (a, b) = (_mm512_castps_si512(a), _mm512_castps_si512(b));
                _mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(sum), a, b))
            }
        }
    }
}

#[inline(always)]
unsafe fn tile<const KIND: u8, const ROWS: usize, const STRIPS: usize>(call: &TileCall) {
    // SAFETY: the caller's pointers are valid for the tile and the lanes in its masks; the caller's
    // processor has the instructions.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); STRIPS]; ROWS];
        if KIND != INT8 {
            start(&mut sums, call);
        }
        let (a, b) = (call.a, call.b);
        for step in 0..call.steps {
            _mm_prefetch::<_MM_HINT_T1>(call.soon.wrapping_add(step * COLUMNS).cast());
            let mut strips = [_mm512_setzero_ps(); STRIPS];
            for (strip, words) in strips.iter_mut().enumerate() {
                *words = _mm512_load_ps(b.add(strip * call.b_stride + step * COLUMNS));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let word = _mm512_set1_ps(*a.add(row * call.a_stride + step * call.a_step));
                for (sum, strip) in sums.iter_mut().zip(strips) {
                    *sum = multiply_add::<KIND>(*sum, word, strip);
                }
            }
        }
        if KIND == INT8 {
            rescale(&mut sums, call);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (strip, sum) in sums.iter().enumerate() {
                let c = call.c.wrapping_add(row * call.c_stride + strip * COLUMNS);
                match call.masks[strip] {
                    u16::MAX => _mm512_storeu_ps(c, *sum),
                    mask => _mm512_mask_storeu_ps(c, mask, *sum),
                }
            }
        }
    }
}

/// The numbers that the chains start from.
#[inline(always)]
unsafe fn start<const ROWS: usize, const STRIPS: usize>(sums: &mut [[__m512; STRIPS]; ROWS], call: &TileCall) {
    for (row, sums) in sums.iter_mut().enumerate() {
        for (strip, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the lanes in the mask exist.
            *sum = unsafe { first_number(call, row, strip) };
        }
    }
}

/// Where the chains of a row's strip start.
#[inline(always)]
unsafe fn first_number(call: &TileCall, row: usize, strip: usize) -> __m512 {
    let mask = call.masks[strip];
    // SAFETY: the lanes in the mask exist.
    unsafe {
        match call.start {
            TileStart::Zero => _mm512_setzero_ps(),
            TileStart::Stored => {
                _mm512_maskz_loadu_ps(mask, call.c.wrapping_add(row * call.c_stride + strip * COLUMNS))
            }
            TileStart::Bias(bias) => _mm512_maskz_loadu_ps(mask, bias.wrapping_add(strip * COLUMNS)),
        }
    }
}

/// From sums of products of integers to numbers. With `a = scale_r · (u − zero_r)` and
/// `b = scale_c · w`, `Σ a b = scale_r scale_c Σ u w − (scale_r zero_r)(scale_c Σ w)`, and the second
/// term is known for each column when the weight is packed.
#[inline(always)]
unsafe fn rescale<const ROWS: usize, const STRIPS: usize>(sums: &mut [[__m512; STRIPS]; ROWS], call: &TileCall) {
    for strip in 0..STRIPS {
        // SAFETY: every strip of a packed weight has its scales, in whole lines.
        let (scale, sum_of_weights) = unsafe {
            let columns = call.scales.add(strip).cast::<f32>();
            (_mm512_loadu_ps(columns), _mm512_loadu_ps(columns.add(COLUMNS)))
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: every row's words are followed by its scale and offset; the lanes in the mask exist.
            unsafe {
                let row_scale = call.a.add(row * call.a_stride + call.steps);
                let first = first_number(call, row, strip);
                let first = _mm512_fmadd_ps(_mm512_set1_ps(*row_scale.add(1)), sum_of_weights, first);
                let factor = _mm512_mul_ps(_mm512_set1_ps(*row_scale), scale);
                let sum = _mm512_cvtepi32_ps(_mm512_castps_si512(sums[strip]));
                sums[strip] = _mm512_fmadd_ps(sum, factor, first);
            }
        }
    }
}

const _: () = assert!(size_of::<ColumnScales>() == 2 * COLUMNS * size_of::<f32>());
