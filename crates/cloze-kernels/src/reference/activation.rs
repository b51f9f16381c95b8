//! Activations and their derivatives.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, PI};

use super::error_function::erfc;
use crate::Activation;

/// The cubic coefficient of the tanh form of GELU (Hendrycks and Gimpel, arXiv:1606.08415).
const GELU_CUBIC: f64 = 0.044715;

/// The factor in the approximation of Φ by a sigmoid (Hendrycks and Gimpel, arXiv:1606.08415).
const QUICK_GELU: f64 = 1.702;

pub(super) fn activation_forward(y: &mut [f64], x: &[f64], activation: Activation, len: usize) {
    for (y, x) in y[..len].iter_mut().zip(&x[..len]) {
        *y = value(activation, *x);
    }
}

pub(super) fn activation_backward(dx: &mut [f64], pre: &[f64], activation: Activation, len: usize) {
    for (dx, x) in dx[..len].iter_mut().zip(&pre[..len]) {
        *dx *= derivative(activation, *x);
    }
}

/// `activation(x)`.
pub(super) fn value(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::GeluErf => x * normal_cdf(x),
        Activation::GeluTanh => 0.5 * x * (1.0 + gelu_argument(x).tanh()),
        Activation::QuickGelu => x * sigmoid(QUICK_GELU * x),
        Activation::Silu => x * sigmoid(x),
        // A comparison that NaN fails, so that it stays NaN; `f64::max` would hide it.
        Activation::Relu if x <= 0.0 => 0.0,
        Activation::Relu => x,
        Activation::Tanh => x.tanh(),
    }
}

/// `activation'(x)`.
fn derivative(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::GeluErf => normal_cdf(x) + x * normal_density(x),
        Activation::GeluTanh => {
            let tanh = gelu_argument(x).tanh();
            let argument_derivative = FRAC_2_PI.sqrt() * (1.0 + 3.0 * GELU_CUBIC * x * x);
            0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * argument_derivative
        }
        Activation::QuickGelu => sigmoid(QUICK_GELU * x) + x * QUICK_GELU * sigmoid_derivative(QUICK_GELU * x),
        Activation::Silu => sigmoid(x) + x * sigmoid_derivative(x),
        Activation::Relu => f64::from(x > 0.0),
        Activation::Tanh => 1.0 - x.tanh() * x.tanh(),
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn sigmoid_derivative(x: f64) -> f64 {
    sigmoid(x) * sigmoid(-x)
}

/// `Φ(x) = ½ (1 + erf(x/√2)) = ½ erfc(−x/√2)`; the second form keeps its digits where Φ is small.
fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// `φ(x) = Φ'(x)`.
fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// What the tanh form of GELU takes the hyperbolic tangent of.
fn gelu_argument(x: f64) -> f64 {
    FRAC_2_PI.sqrt() * (x + GELU_CUBIC * x * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some roundings of numbers near one.
    const ERROR_MAX: f64 = 1e-15;

    #[test]
    fn values_at_one() {
        for (activation, expected) in [
            (Activation::GeluErf, 0.8413447460685429),
            (Activation::GeluTanh, 0.8411919906082767),
            (Activation::QuickGelu, 0.8457957659328212),
            (Activation::Silu, 0.7310585786300049),
            (Activation::Relu, 1.0),
            (Activation::Tanh, 0.7615941559557649),
        ] {
            let found = value(activation, 1.0);
            assert!((found - expected).abs() <= ERROR_MAX, "{activation:?}(1) = {found}, expected {expected}");
        }
    }

    #[test]
    fn the_tail_of_gelu_keeps_its_digits() {
        let expected = -5.9195258702261885e-09;
        let error = (value(Activation::GeluErf, -6.0) / expected - 1.0).abs();
        // The exponential's argument is 18, and so is what it multiplies the argument's rounding by.
        assert!(error <= 18.0 * ERROR_MAX, "relative error {error:e}");
    }

    #[test]
    fn relu_ends_at_zero() {
        assert_eq!(value(Activation::Relu, -2.0), 0.0);
        assert_eq!([-1.0, 0.0, 1.0].map(|x| derivative(Activation::Relu, x)), [0.0, 0.0, 1.0]);
    }
}
