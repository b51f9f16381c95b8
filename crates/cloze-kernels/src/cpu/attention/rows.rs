//! What attention does with one row of scores.

use crate::cpu::dropout;
use std::f32::consts::LOG2_E;

use crate::cpu::math::{LANES, exp2, ln, sum_of_lanes, sum_of_products};
use crate::cpu::simd::{multiply_add, multiversion};
use crate::{Dropout, philox};

multiversion! {
    /// `row[.. keys] = exp(scale · row − its largest)`; returns their sum and `ln Σ exp(scale · row)`. The row
    /// is as long as whole lanes; what follows the keys is overwritten.
    pub(super) fn exponentials(row: &mut [f32], keys: usize, scale: f32) -> (f32, f32) = exponentials_body
}

#[inline(always)]
fn exponentials_body<const FMA: bool>(row: &mut [f32], keys: usize, scale: f32) -> (f32, f32) {
    // Lanes without a key add exactly nothing: next to the largest, which adds 1, they vanish.
    row[keys..].fill(f32::NEG_INFINITY);
    let (chunks, _) = row.as_chunks_mut::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in &*chunks {
        for lane in 0..LANES {
            largest[lane] = if chunk[lane] > largest[lane] { chunk[lane] } else { largest[lane] };
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let scale2 = scale * LOG2_E;
    let mut sums = [0.0; LANES];
    for chunk in &mut *chunks {
        for lane in 0..LANES {
            // The difference first: of the largest scores, which count, it is exact.
            chunk[lane] = exp2::<FMA>((chunk[lane] - largest) * scale2);
            sums[lane] += chunk[lane];
        }
    }
    let sum = sum_of_lanes(sums);
    (sum, largest * scale + ln(sum))
}

multiversion! {
    /// From a row of scores before scaling in `p` and of `dy Vᵀ` in `ds`: `P = exp(scale · S − log_sum_exp)`,
    /// `ds = scale · P ∘ (factors ∘ ds − row_sum)`, `p = factors ∘ P`.
    pub(super) fn score_gradients(
        p: &mut [f32],
        ds: &mut [f32],
        factors: &[f32],
        log_sum_exp: f32,
        row_sum: f32,
        scale: f32,
    ) = score_gradients_body
}

#[inline(always)]
fn score_gradients_body<const FMA: bool>(
    p: &mut [f32],
    ds: &mut [f32],
    factors: &[f32],
    log_sum_exp: f32,
    row_sum: f32,
    scale: f32,
) {
    let (scale2, start) = (scale * LOG2_E, -log_sum_exp * LOG2_E);
    for ((p, ds), factor) in p.iter_mut().zip(ds).zip(factors) {
        let probability = exp2::<FMA>(multiply_add::<FMA>(*p, scale2, start));
        *ds = scale * probability * (*ds * factor - row_sum);
        *p = probability * factor;
    }
}

multiversion! {
    /// `row = exp(scale · row − log_sum_exp)`.
    pub(super) fn exp_of_difference(row: &mut [f32], log_sum_exp: f32, scale: f32) = exp_of_difference_body
}

#[inline(always)]
fn exp_of_difference_body<const FMA: bool>(row: &mut [f32], log_sum_exp: f32, scale: f32) {
    let (scale2, start) = (scale * LOG2_E, -log_sum_exp * LOG2_E);
    row.iter_mut().for_each(|x| *x = exp2::<FMA>(multiply_add::<FMA>(*x, scale2, start)));
}

multiversion! {
    /// `Σ a ∘ b`, in an order that depends on the length alone.
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    sum_of_products::<FMA>(a, b)
}

multiversion! {
    /// Draws dropout's factors of one row of scores.
    pub(super) fn draw_factors(factors: &mut [f32], dropout: Dropout<Vec<u32>>, head: usize, query: usize) = draw_factors_body
}

#[inline(always)]
fn draw_factors_body<const FMA: bool>(factors: &mut [f32], dropout: Dropout<Vec<u32>>, head: usize, query: usize) {
    dropout::row_factors::<FMA>(
        factors,
        dropout.seed,
        dropout.step,
        dropout.site,
        head as u32,
        dropout.rows.sequences[query],
        dropout.rows.positions[query],
        philox::dropout_threshold(dropout.probability),
        dropout::scale(dropout.probability),
    );
}
