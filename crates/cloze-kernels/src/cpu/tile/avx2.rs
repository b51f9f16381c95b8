//! Tiles in the sixteen registers of AVX2.

use std::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::{ROWS_MAX, Strip, TileCall};
use crate::cpu::panels::COLUMNS;

/// Adds A times the strip `b` to the call's rows of `sums`, at most six.
///
/// # Safety
///
/// The processor has AVX2 and FMA; A is valid for the call's rows and `b.len()` steps.
pub(super) unsafe fn add_product(sums: &mut Strip, call: &TileCall, b: &[[f32; COLUMNS]]) {
    // SAFETY: passed on.
    unsafe {
        match call.rows {
            1 => rows_of::<1>(sums, call, b),
            2 => rows_of::<2>(sums, call, b),
            3 => rows_of::<3>(sums, call, b),
            4 => rows_of::<4>(sums, call, b),
            5 => rows_of::<5>(sums, call, b),
            6 => rows_of::<6>(sums, call, b),
            rows => unreachable!("{rows} rows of a tile of at most {ROWS_MAX}"),
        }
    }
}

/// With six rows, twelve registers hold the strip, two a step of B, and one a number of A in all its
/// lanes: twelve independent chains, enough to hide the latency of two multiply-adds in each cycle.
///
/// # Safety
///
/// As for [`add_product`].
#[target_feature(enable = "avx2,fma")]
unsafe fn rows_of<const ROWS: usize>(sums: &mut Strip, call: &TileCall, b: &[[f32; COLUMNS]]) {
    let load = |numbers: &[f32; COLUMNS]| -> [__m256; 2] {
        // SAFETY: sixteen numbers: eight from the first, and eight from the ninth on.
        unsafe { [_mm256_loadu_ps(numbers.as_ptr()), _mm256_loadu_ps(numbers.as_ptr().add(8))] }
    };
    let mut registers = [[_mm256_setzero_ps(); 2]; ROWS];
    for (registers, row) in registers.iter_mut().zip(sums.iter()) {
        *registers = load(row);
    }
    for (step, b) in b.iter().enumerate() {
        let b = load(b);
        for (row, registers) in registers.iter_mut().enumerate() {
            // SAFETY: there are so many rows and steps.
            let a = _mm256_set1_ps(unsafe { *call.a.add(row * call.a_stride + step * call.a_step) });
            registers[0] = _mm256_fmadd_ps(a, b[0], registers[0]);
            registers[1] = _mm256_fmadd_ps(a, b[1], registers[1]);
        }
    }
    for (registers, row) in registers.iter().zip(sums.iter_mut()) {
        // SAFETY: sixteen numbers: eight from the first, and eight from the ninth on.
        unsafe {
            _mm256_storeu_ps(row.as_mut_ptr(), registers[0]);
            _mm256_storeu_ps(row.as_mut_ptr().add(8), registers[1]);
        }
    }
}
