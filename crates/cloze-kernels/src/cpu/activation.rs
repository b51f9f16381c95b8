//! The activations and their derivatives, element by element.

use rayon::prelude::*;

use super::disjoint::GRAIN;
use super::math::{at_most, exp, normal, tanh};
use super::simd::{Level, multiply_add, multiversion};
use crate::Activation;

/// `y = activation(x)`.
pub(crate) fn forward(level: Level, y: &mut [f32], x: &[f32], activation: Activation) {
    assert_eq!(y.len(), x.len());
    // The copy of a block this small stays in the nearest cache, and costs next to nothing.
    const BLOCK: usize = 1024;
    y.par_chunks_mut(GRAIN).zip(x.par_chunks(GRAIN)).for_each(|(y, x)| {
        for (y, x) in y.chunks_mut(BLOCK).zip(x.chunks(BLOCK)) {
            y.copy_from_slice(x);
            apply_in_place(level, y, activation);
        }
    });
}

/// `dx *= activation'(pre)`.
pub(crate) fn backward(level: Level, dx: &mut [f32], pre: &[f32], activation: Activation) {
    assert_eq!(dx.len(), pre.len());
    let chunks = dx.par_chunks_mut(GRAIN).zip(pre.par_chunks(GRAIN));
    chunks.for_each(|(dx, pre)| backward_chunk(level, dx, pre, activation));
}

multiversion! {
    /// `block = activation(block)`, on this thread.
    pub(crate) fn apply_in_place(block: &mut [f32], activation: Activation) = apply_in_place_body
}

#[inline(always)]
fn apply_in_place_body<const FMA: bool>(block: &mut [f32], activation: Activation) {
    match activation {
        Activation::GeluErf => {
            for x in block {
                *x = gelu_erf::<FMA>(*x);
            }
        }
        Activation::GeluTanh => {
            for x in block {
                *x = gelu_tanh::<FMA>(*x);
            }
        }
        Activation::Relu => {
            for x in block {
                *x = relu(*x);
            }
        }
        Activation::Tanh => {
            for x in block {
                *x = tanh::<FMA>(*x);
            }
        }
    }
}

multiversion! {
    fn backward_chunk(dx: &mut [f32], pre: &[f32], activation: Activation) = backward_body
}

#[inline(always)]
fn backward_body<const FMA: bool>(dx: &mut [f32], pre: &[f32], activation: Activation) {
    let pairs = dx.iter_mut().zip(pre);
    match activation {
        Activation::GeluErf => {
            for (dx, pre) in pairs {
                *dx *= gelu_erf_derivative::<FMA>(*pre);
            }
        }
        Activation::GeluTanh => {
            for (dx, pre) in pairs {
                *dx *= gelu_tanh_derivative::<FMA>(*pre);
            }
        }
        Activation::Relu => {
            for (dx, pre) in pairs {
                *dx = if *pre <= 0.0 { 0.0 } else { *dx };
            }
        }
        Activation::Tanh => {
            for (dx, pre) in pairs {
                *dx *= tanh_derivative::<FMA>(*pre);
            }
        }
    }
}

/// NaN if `x` is.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `x Φ(x)`; relative error as that of Φ.
#[inline(always)]
fn gelu_erf<const FMA: bool>(x: f32) -> f32 {
    x * normal::<FMA>(x).0
}

/// `x`, but at most 15 in magnitude: beyond, the functions below are constant to the bit, and their
/// parts would overflow.
#[inline(always)]
fn bounded(x: f32) -> f32 {
    at_most(15.0, x.abs()).copysign(x)
}

/// `Φ(x) + x φ(x)`, where `φ(x) = exp(−x²/2) / √(2π)`.
#[inline(always)]
fn gelu_erf_derivative<const FMA: bool>(x: f32) -> f32 {
    const INV_SQRT_2_PI: f32 = 0.398_942_3;
    let (cdf, exponential) = normal::<FMA>(x);
    multiply_add::<FMA>(bounded(x) * INV_SQRT_2_PI, exponential, cdf)
}

/// The approximation of Φ by tanh, and its derivative. With `u = √(2/π) (x + 0.044715 x³)` it is
/// `(1 + tanh u) / 2 = σ(2u)`, and the right side does not cancel in the tail.
#[inline(always)]
fn sigmoid_parts<const FMA: bool>(x: f32) -> (f32, f32) {
    // 2 √(2/π), and that times 0.044715.
    const LINEAR: f32 = 1.595_769_2;
    const CUBIC: f32 = 0.071_354_814;
    let x = bounded(x);
    let square = x * x;
    let two_u = x * multiply_add::<FMA>(square, CUBIC, LINEAR);
    // With e = exp(−|2u|) ≤ 1: σ(|2u|) = 1 / (1 + e), σ(−|2u|) = e / (1 + e), σ' = e / (1 + e)².
    let e = exp::<FMA>(-two_u.abs());
    let reciprocal = 1.0 / (1.0 + e);
    let sigmoid = if x < 0.0 { e * reciprocal } else { reciprocal };
    let slope = multiply_add::<FMA>(square, 3.0 * CUBIC, LINEAR);
    (sigmoid, e * reciprocal * reciprocal * slope)
}

/// `x/2 · (1 + tanh u)`.
#[inline(always)]
fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    x * sigmoid_parts::<FMA>(x).0
}

/// The derivative of [`gelu_tanh`].
#[inline(always)]
fn gelu_tanh_derivative<const FMA: bool>(x: f32) -> f32 {
    let (sigmoid, derivative) = sigmoid_parts::<FMA>(x);
    multiply_add::<FMA>(bounded(x), derivative, sigmoid)
}

/// `1 − tanh² x = 4 e / (1 + e)²` with `e = exp(−2|x|)`, which does not cancel.
#[inline(always)]
fn tanh_derivative<const FMA: bool>(x: f32) -> f32 {
    let e = exp::<FMA>(-2.0 * x.abs());
    4.0 * e / ((1.0 + e) * (1.0 + e))
}
