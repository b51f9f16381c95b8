//! The error function `erf(x) = 2/√π ∫₀ˣ exp(−t²) dt` and its complement `erfc(x) = 1 − erf(x)`, to the
//! last digits of f64.
//!
//! Near zero a series whose terms are all positive, so that nothing cancels
//! (Abramowitz and Stegun 7.1.6):
//!
//! `erf(x) = 2/√π · exp(−x²) · Σₙ 2ⁿ x²ⁿ⁺¹ / (1 · 3 · … · (2n + 1))`
//!
//! In the tail a continued fraction (7.1.14), which keeps the relative accuracy of small numbers:
//!
//! `√π · exp(x²) · erfc(x) = 1/(x + ½/(x + 1/(x + 3/2/(x + 2/(x + …)))))`

use std::f64::consts::FRAC_2_SQRT_PI;

/// From here on the continued fraction takes over.
const TAIL: f64 = 2.0;

/// `1 − erf(x)`.
pub(super) fn erfc(x: f64) -> f64 {
    if x >= TAIL { tail(x) } else { 1.0 - erf(x) }
}

/// The error function.
pub(super) fn erf(x: f64) -> f64 {
    if x.abs() >= TAIL { (1.0 - tail(x.abs())).copysign(x) } else { series(x) }
}

fn series(x: f64) -> f64 {
    // The terms fall faster than those of exp(2x²), so 60 of them reach 1e-20 for |x| < 2.
    let mut term = x;
    let mut sum = x;
    for n in 1..60 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

fn tail(x: f64) -> f64 {
    // From the inside out. At x = 2, where it converges slowest, 60 levels suffice.
    let mut fraction = x;
    for level in (1..=100).rev() {
        fraction = x + f64::from(level) / 2.0 / fraction;
    }
    0.5 * FRAC_2_SQRT_PI * (-x * x).exp() / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Several roundings; in the tail exp multiplies that of its argument by x².
    const RELATIVE_ERROR_MAX: f64 = 2e-14;

    fn assert_close(name: &str, x: f64, found: f64, expected: f64) {
        let error = (found - expected).abs() / expected.abs();
        assert!(error <= RELATIVE_ERROR_MAX, "{name}({x}) = {found:e}, expected {expected:e}");
    }

    #[test]
    fn erf_has_the_tabulated_values() {
        for (x, expected) in [
            (1e-10, 1.1283791670955126e-10),
            (0.1, 0.1124629160182849),
            (0.5, 0.5204998778130465),
            (-0.5, -0.5204998778130465),
            (1.0, 0.8427007929497149),
            (1.5, 0.9661051464753108),
            (1.99, 0.995111413199617),
            (2.0, 0.9953222650189527),
            (-3.0, -0.9999779095030014),
            (5.0, 0.9999999999984626),
        ] {
            assert_close("erf", x, erf(x), expected);
        }
    }

    #[test]
    fn erfc_has_the_tabulated_values() {
        for (x, expected) in [
            (-3.0, 1.9999779095030015),
            (-0.5, 1.5204998778130465),
            (0.0, 1.0),
            (0.5, 0.4795001221869535),
            (1.0, 0.15729920705028513),
            (2.0, 0.004677734981047266),
            (2.5, 0.0004069520174449589),
            (3.0, 2.209049699858544e-05),
            (5.0, 1.537459794428035e-12),
            (10.0, 2.088487583762545e-45),
            (20.0, 5.395865611607901e-176),
            (26.0, 5.663192408856143e-296),
        ] {
            assert_close("erfc", x, erfc(x), expected);
        }
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!(erf(0.0), 0.0);
        assert_eq!(erf(6.0), 1.0);
        assert_eq!(erf(-40.0), -1.0);
        assert_eq!(erfc(40.0), 0.0);
        assert_eq!(erfc(f64::NEG_INFINITY), 2.0);
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn the_two_formulas_meet() {
        assert_close("erf", TAIL, series(TAIL), 1.0 - tail(TAIL));
    }
}
