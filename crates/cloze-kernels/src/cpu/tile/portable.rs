//! Tiles in plain arrays, for processors of every kind.

use super::{Strip, TileCall};
use crate::cpu::panels::COLUMNS;
use crate::cpu::simd::multiply_add;

/// Rows that are computed together.
const ROWS: usize = 4;

/// Adds A times the strip `b` to the call's rows of `sums`, half a strip at a time: as many numbers as fit into
/// the registers that every vector instruction set has (16 of four numbers).
///
/// # Safety
///
/// A is valid for the call's rows and `b.len()` steps.
pub(super) unsafe fn add_product(sums: &mut Strip, call: &TileCall, b: &[[f32; COLUMNS]]) {
    const HALF: usize = COLUMNS / 2;
    assert!(call.rows <= ROWS);
    for column in (0..COLUMNS).step_by(HALF) {
        let mut half = [[0.0f32; HALF]; ROWS];
        for (half, row) in half.iter_mut().zip(sums.iter()) {
            half.copy_from_slice(&row[column..column + HALF]);
        }
        for (step, b) in b.iter().enumerate() {
            for (row, half) in half.iter_mut().enumerate() {
                // SAFETY: there are so many rows and steps. A row that there is not is the last one again.
                let a = unsafe { *call.a.add(row.min(call.rows - 1) * call.a_stride + step * call.a_step) };
                for (sum, b) in half.iter_mut().zip(&b[column..column + HALF]) {
                    *sum = multiply_add::<false>(a, *b, *sum);
                }
            }
        }
        for (half, row) in half.iter().zip(sums.iter_mut()) {
            row[column..column + HALF].copy_from_slice(half);
        }
    }
}
