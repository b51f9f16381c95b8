//! What the optimizer does with the arenas of parameters, gradients and moments.

use rayon::prelude::*;

use super::disjoint::GRAIN;
use super::simd::{Level, multiply_add, multiversion};
use crate::{AdamStep, Span};

/// `x[to] += x[from]`; the spans are of one length and do not overlap.
pub(crate) fn add_within(x: &mut [f32], to: Span, from: Span) {
    assert!(to.len == from.len, "{to:?} += {from:?}");
    let (to, from): (&mut [f32], &[f32]) = if to.start < from.start {
        assert!(to.start + to.len <= from.start, "{to:?} overlaps {from:?}");
        let (front, back) = x.split_at_mut(from.start);
        (&mut front[to.range()], &back[..from.len])
    } else {
        assert!(from.start + from.len <= to.start, "{to:?} overlaps {from:?}");
        let (front, back) = x.split_at_mut(to.start);
        (&mut back[..to.len], &front[from.range()])
    };
    to.par_chunks_mut(GRAIN).zip(from.par_chunks(GRAIN)).for_each(|(to, from)| {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    });
}

/// `Σ x²` in f64. Halves are summed for themselves down to pieces of a fixed size, so that the order
/// depends on the length alone.
pub(crate) fn sum_of_squares(level: Level, x: &[f32]) -> f64 {
    if x.len() <= GRAIN {
        return sum_of_squares_in_order(level, x);
    }
    let (first, second) = x.split_at((x.len() / 2).next_multiple_of(GRAIN));
    let (first, second) = rayon::join(|| sum_of_squares(level, first), || sum_of_squares(level, second));
    first + second
}

multiversion! {
    fn sum_of_squares_in_order(x: &[f32]) -> f64 = sum_of_squares_body
}

#[inline(always)]
fn sum_of_squares_body<const FMA: bool>(x: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            // A product of two f32 is exact in f64, so that nothing is fused is no loss.
            let x = f64::from(chunk[lane]);
            lanes[lane] += x * x;
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*x) * f64::from(*x);
    }
    lanes.into_iter().sum()
}

/// One step of Adam with decoupled weight decay on `[at]` of the four arenas. With
/// `g = gradient · gradient_scale`: `m = beta1 m + (1 − beta1) g`, `v = beta2 v + (1 − beta2) g²`,
/// `w −= learning_rate · (m / bias_correction1 / (√(v / bias_correction2) + epsilon) + weight_decay · w)`.
pub(crate) fn adam_step(
    level: Level,
    weights: &mut [f32],
    first_moments: &mut [f32],
    second_moments: &mut [f32],
    gradients: &[f32],
    at: Span,
    step: AdamStep,
) {
    let weights = weights[at.range()].par_chunks_mut(GRAIN);
    let first_moments = first_moments[at.range()].par_chunks_mut(GRAIN);
    let second_moments = second_moments[at.range()].par_chunks_mut(GRAIN);
    let gradients = gradients[at.range()].par_chunks(GRAIN);
    let factors = Factors::new(step);
    weights.zip(first_moments).zip(second_moments).zip(gradients).for_each(|(((w, m), v), gradients)| {
        adam_chunk(level, w, m, v, gradients, factors);
    });
}

/// The numbers of a step as the elements need them. They are worked out in f64: `1 − beta2`, for
/// one, would lose four digits in f32.
#[derive(Clone, Copy)]
struct Factors {
    gradient_scale: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    /// `1 / √bias_correction2`.
    root_correction: f32,
    epsilon: f32,
    /// `learning_rate / bias_correction1`.
    step_size: f32,
    /// `learning_rate · weight_decay`.
    decay: f32,
}

impl Factors {
    fn new(step: AdamStep) -> Factors {
        Factors {
            gradient_scale: step.gradient_scale as f32,
            beta1: step.beta1 as f32,
            one_minus_beta1: (1.0 - step.beta1) as f32,
            beta2: step.beta2 as f32,
            one_minus_beta2: (1.0 - step.beta2) as f32,
            root_correction: (1.0 / step.bias_correction2.sqrt()) as f32,
            epsilon: step.epsilon as f32,
            step_size: (step.learning_rate / step.bias_correction1) as f32,
            decay: (step.learning_rate * step.weight_decay) as f32,
        }
    }
}

multiversion! {
    fn adam_chunk(w: &mut [f32], m: &mut [f32], v: &mut [f32], gradients: &[f32], factors: Factors) = adam_body
}

#[inline(always)]
fn adam_body<const FMA: bool>(w: &mut [f32], m: &mut [f32], v: &mut [f32], gradients: &[f32], factors: Factors) {
    let f = factors;
    for (((w, m), v), gradient) in w.iter_mut().zip(m).zip(v).zip(gradients) {
        let g = gradient * f.gradient_scale;
        *m = multiply_add::<FMA>(f.beta1, *m, f.one_minus_beta1 * g);
        *v = multiply_add::<FMA>(f.beta2, *v, f.one_minus_beta2 * (g * g));
        let denominator = multiply_add::<FMA>(v.sqrt(), f.root_correction, f.epsilon);
        let update = multiply_add::<FMA>(f.decay, *w, f.step_size * (*m / denominator));
        *w -= update;
    }
}
