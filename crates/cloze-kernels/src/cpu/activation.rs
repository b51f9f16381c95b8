//! The activations and their derivatives, element by element.

use super::chunks::{chunks, chunks_mut, for_each_part};
use super::disjoint::GRAIN;
use super::gemm::Block;
use super::math::{at_most, exp, gelu_short, normal, tanh};
use super::simd::{Level, multiply_add, multiversion};
use crate::Activation;

/// `y = activation(x)`.
pub(crate) fn forward(level: Level, y: &mut [f32], x: &[f32], activation: Activation) {
    assert_eq!(y.len(), x.len());
    // The copy of a block this small stays in the nearest cache, and costs next to nothing.
    const BLOCK: usize = 1024;
    for_each_part((chunks_mut(y, GRAIN), chunks(x, GRAIN)), |_, (y, x)| {
        for (y, x) in y.chunks_mut(BLOCK).zip(x.chunks(BLOCK)) {
            apply(level, y, x, activation);
        }
    });
}

/// `dx *= activation'(pre)`, then `pre = activation(pre)`, as forward computed it: `short` as in
/// [`apply_to_block`].
pub(crate) fn backward(level: Level, dx: &mut [f32], pre: &mut [f32], activation: Activation, short: bool) {
    assert_eq!(dx.len(), pre.len());
    // Both passes over a block this small find it in the nearest cache.
    const BLOCK: usize = 1024;
    for_each_part((chunks_mut(dx, GRAIN), chunks_mut(pre, GRAIN)), |_, (dx, pre)| {
        for (dx, pre) in dx.chunks_mut(BLOCK).zip(pre.chunks_mut(BLOCK)) {
            backward_chunk(level, dx, pre, activation);
            apply_as_operand(level, pre, activation, short);
        }
    });
}

/// `y = activation(x)`, on this thread.
pub(crate) fn apply(level: Level, y: &mut [f32], x: &[f32], activation: Activation) {
    y.copy_from_slice(x);
    apply_in_place(level, y, activation);
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
        Activation::QuickGelu => {
            for x in block {
                *x = sigmoid_linear::<FMA>(*x, QUICK_GELU);
            }
        }
        Activation::Silu => {
            for x in block {
                *x = sigmoid_linear::<FMA>(*x, 1.0);
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
    /// `y = activation(x)` for blocks of `rows` rows of `columns` numbers, on this thread; x may be y. With
    /// `short` y will be an operand of a product in numbers shorter than f32, and GELU is computed to 8e-6,
    /// far below their rounding.
    ///
    /// # Safety
    ///
    /// During the call nothing else reads or writes the elements of the blocks.
    pub(crate) unsafe fn apply_to_block(
        y: Block<'_>,
        x: Option<Block<'_>>,
        rows: usize,
        columns: usize,
        activation: Activation,
        short: bool,
    ) = apply_to_block_body
}

#[inline(always)]
unsafe fn apply_to_block_body<const FMA: bool>(
    y: Block<'_>,
    x: Option<Block<'_>>,
    rows: usize,
    columns: usize,
    activation: Activation,
    short: bool,
) {
    for row in 0..rows {
        // SAFETY: passed on; the rows of a block do not overlap.
        let y = unsafe { y.row(row, columns) };
        if let Some(x) = x {
            // SAFETY: as above; x and y are different buffers.
            y.copy_from_slice(unsafe { x.row(row, columns) });
        }
        apply_as_operand_body::<FMA>(y, activation, short);
    }
}

multiversion! {
    /// [`apply_to_block`] on a slice.
    fn apply_as_operand(y: &mut [f32], activation: Activation, short: bool) = apply_as_operand_body
}

#[inline(always)]
fn apply_as_operand_body<const FMA: bool>(y: &mut [f32], activation: Activation, short: bool) {
    match activation {
        Activation::GeluErf if short => y.iter_mut().for_each(|x| *x = gelu_short::<FMA>(*x)),
        _ => apply_in_place_body::<FMA>(y, activation),
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
        Activation::QuickGelu => {
            for (dx, pre) in pairs {
                *dx *= sigmoid_linear_derivative::<FMA>(*pre, QUICK_GELU);
            }
        }
        Activation::Silu => {
            for (dx, pre) in pairs {
                *dx *= sigmoid_linear_derivative::<FMA>(*pre, 1.0);
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

/// The factor in the approximation of Φ by a sigmoid.
const QUICK_GELU: f32 = 1.702;

/// `σ(y)` and `σ'(y)`. With `e = exp(−|y|) ≤ 1` nothing cancels in either tail.
#[inline(always)]
fn sigmoid<const FMA: bool>(y: f32) -> (f32, f32) {
    let e = exp::<FMA>(-y.abs());
    let reciprocal = 1.0 / (1.0 + e);
    let value = if y < 0.0 { e * reciprocal } else { reciprocal };
    (value, e * reciprocal * reciprocal)
}

/// `x σ(factor · x)`.
#[inline(always)]
fn sigmoid_linear<const FMA: bool>(x: f32, factor: f32) -> f32 {
    x * sigmoid::<FMA>(factor * x).0
}

/// The derivative of [`sigmoid_linear`].
#[inline(always)]
fn sigmoid_linear_derivative<const FMA: bool>(x: f32, factor: f32) -> f32 {
    // Beyond 110 the slope of σ is 0, and ∞ times it would be no number.
    let y = at_most(110.0, (factor * x).abs()).copysign(x);
    let (value, slope) = sigmoid::<FMA>(y);
    multiply_add::<FMA>(y, slope, value)
}

/// `1 − tanh² x = 4 e / (1 + e)²` with `e = exp(−2|x|)`, which does not cancel.
#[inline(always)]
fn tanh_derivative<const FMA: bool>(x: f32) -> f32 {
    let e = exp::<FMA>(-2.0 * x.abs());
    4.0 * e / ((1.0 + e) * (1.0 + e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::{levels, normal_cdf, numbers, on_threads, sweep, worst, worst_relative};

    const ALL: [Activation; 6] = [
        Activation::GeluErf,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Silu,
        Activation::Relu,
        Activation::Tanh,
    ];

    /// The definition, as in [`Activation`].
    fn exact(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::GeluErf => x * normal_cdf(x),
            Activation::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                // x/2 (1 + tanh u), which cancels in the tail even in f64.
                x / (1.0 + (-2.0 * u).exp())
            }
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Relu => x.max(0.0),
            Activation::Tanh => x.tanh(),
        }
    }

    fn forward_of(level: Level, x: &[f32], activation: Activation) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        forward(level, &mut y, x, activation);
        y
    }

    fn derivatives_of(level: Level, x: &[f32], activation: Activation) -> Vec<f32> {
        let mut dx = vec![1.0; x.len()];
        let mut y = x.to_vec();
        backward(level, &mut dx, &mut y, activation, false);
        let same = y.iter().zip(forward_of(level, x, activation)).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{level:?} {activation:?}: backward makes what forward gave again");
        dx
    }

    /// The relative error counts, because the tail of GELU must not vanish: at −5 it is −1.4e-6.
    #[test]
    fn forward_is_within_its_relative_error() {
        let x: Vec<f32> = sweep(1e-9, 5.0, 1024);
        let tail = sweep(5.0, 7.0, 64);
        for level in levels() {
            for activation in ALL.into_iter().filter(|&activation| activation != Activation::Relu) {
                println!("{level:?} {activation:?}");
                let y = forward_of(level, &x, activation);
                assert!(worst_relative(&y, &x, |x| exact(activation, x)) < 2e-6, "{level:?} {activation:?}");
                let y = forward_of(level, &tail, activation);
                assert!(worst_relative(&y, &tail, |x| exact(activation, x)) < 6e-6, "{level:?} {activation:?}");
            }
        }
    }

    #[test]
    fn backward_is_the_slope_of_forward() {
        let x = sweep(1e-3, 20.0, 1024);
        const H: f64 = 1e-5;
        for level in levels() {
            for activation in ALL {
                println!("{level:?} {activation:?}");
                let slope = |x: f64| (exact(activation, x + H) - exact(activation, x - H)) / (2.0 * H);
                let dx = derivatives_of(level, &x, activation);
                assert!(worst(&dx, &x, |dx, x| (dx - slope(x)).abs()) < 4e-7, "{level:?} {activation:?}");
            }
        }
    }

    #[test]
    fn backward_multiplies() {
        for activation in ALL {
            let mut dx = [3.0, -5.0, 0.0];
            backward(Level::Portable, &mut dx, &mut [0.5; 3], activation, false);
            let slope = derivatives_of(Level::Portable, &[0.5], activation)[0];
            assert_eq!(dx, [3.0 * slope, -5.0 * slope, 0.0]);
        }
    }

    #[test]
    fn extremes() {
        let x = [f32::NAN, f32::INFINITY, 0.0, 1e30, -1e30, -1e-40];
        for level in levels() {
            for activation in ALL {
                let y = forward_of(level, &x, activation);
                let one = activation == Activation::Tanh;
                assert!(y[0].is_nan(), "{level:?} {activation:?} of NaN");
                assert_eq!(y[1], if one { 1.0 } else { f32::INFINITY }, "{level:?} {activation:?} of ∞");
                assert_eq!(y[2], 0.0, "{level:?} {activation:?} of 0");
                assert_eq!(y[3], if one { 1.0 } else { 1e30 }, "{level:?} {activation:?} of 1e30");
                assert_eq!(y[4], if one { -1.0 } else { 0.0 }, "{level:?} {activation:?} of −1e30");
                assert!(y[5].abs() <= 1e-40, "{level:?} {activation:?} of −1e-40");
                let dx = derivatives_of(level, &x[1..], activation);
                assert_eq!(dx[0], if one { 0.0 } else { 1.0 }, "{level:?} {activation:?} at ∞");
                assert_eq!(dx[3], 0.0, "{level:?} {activation:?} at −1e30");
            }
            assert_eq!(derivatives_of(level, &[0.0], Activation::Relu), [0.0], "by convention");
        }
    }

    #[test]
    fn every_length_and_any_number_of_threads_give_the_same_bits() {
        let x = numbers(5 * GRAIN / 2 + 3, 1);
        for level in levels() {
            for activation in ALL {
                let y = on_threads(3, || forward_of(level, &x, activation));
                let dx = on_threads(3, || derivatives_of(level, &x, activation));
                for len in [0, 1, 7, 13, 37] {
                    let start = 3 * len;
                    let mut part = x[start..start + len].to_vec();
                    apply_in_place(level, &mut part, activation);
                    assert_eq!(part, y[start..start + len], "{level:?} {activation:?}, {len} elements");
                    let part = derivatives_of(level, &x[start..start + len], activation);
                    assert_eq!(part, dx[start..start + len], "{level:?} {activation:?}, {len} elements");
                }
            }
        }
    }
}
