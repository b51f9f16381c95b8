//! Elementary functions and sums in f32 that compile to vector instructions.
//!
//! Each function is straight-line code on one number, without branches, tables or library calls: the
//! choice between two formulas is a choice between two results. A loop that calls it is therefore
//! vectorised, and gives the same bits whether it is or not.
//!
//! The polynomials are minimax fits. Every stated error is the largest that the tests find, in both
//! levels.

use super::simd::multiply_add;

/// Numbers that are worked on together.
pub(crate) const LANES: usize = 16;

/// Chains of partial sums of a row, of [`LANES`] lanes each. The number is fixed and the sums are combined
/// in a fixed order, so that a row's sum does not depend on the width of the instructions. Four registers
/// of AVX-512 are enough to hide the latency of an addition.
const CHAINS: usize = 4;

/// The sum of a row in [`CHAINS`] chains, in a fixed order. `$add` is what happens to `$sum` at index `$at`.
/// Each chain is an array with a loop of its own, which is what the compiler turns into one register; a
/// macro, because a closure would be compiled without the instructions of the function around it.
macro_rules! sum_in_chains {
    ($len:expr, |$sum:ident, $at:ident| $add:expr) => {{
        let len = $len;
        let mut chains = [[0.0_f32; LANES]; CHAINS];
        let whole = len / (LANES * CHAINS) * (LANES * CHAINS);
        let [a, b, c, d] = &mut chains;
        for first in (0..whole).step_by(LANES * CHAINS) {
            sum_in_chains!(@chain a, first, |$sum, $at| $add);
            sum_in_chains!(@chain b, first + LANES, |$sum, $at| $add);
            sum_in_chains!(@chain c, first + 2 * LANES, |$sum, $at| $add);
            sum_in_chains!(@chain d, first + 3 * LANES, |$sum, $at| $add);
        }
        let mut lanes = [0.0; LANES];
        for lane in 0..LANES {
            lanes[lane] = (a[lane] + b[lane]) + (c[lane] + d[lane]);
        }
        for $at in whole..len {
            let $sum = lanes[$at % LANES];
            lanes[$at % LANES] = $add;
        }
        sum_of_lanes(lanes)
    }};
    (@chain $chain:ident, $first:expr, |$sum:ident, $at:ident| $add:expr) => {
        for lane in 0..LANES {
            let ($at, $sum) = ($first + lane, $chain[lane]);
            $chain[lane] = $add;
        }
    };
}

/// The sum of the lanes, in a fixed order: neighbours at distance 8, then 4, 2, 1.
#[inline(always)]
pub(crate) fn sum_of_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `Σ x`.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    sum_in_chains!(x.len(), |sum, at| sum + x[at])
}

/// `y += x`, and `Σ y`.
#[inline(always)]
pub(crate) fn add_and_sum(y: &mut [f32], x: &[f32]) -> f32 {
    let x = &x[..y.len()];
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
    sum(y)
}

/// `Σ (x − center)²`.
#[inline(always)]
pub(crate) fn sum_of_squares_about<const FMA: bool>(x: &[f32], center: f32) -> f32 {
    sum_in_chains!(x.len(), |sum, at| multiply_add::<FMA>(x[at] - center, x[at] - center, sum))
}

/// `Σ a · b`.
#[inline(always)]
pub(crate) fn sum_of_products<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    sum_in_chains!(a.len(), |sum, at| multiply_add::<FMA>(a[at], b[at], sum))
}

/// The smaller of `x` and `bound`; NaN if `x` is.
#[inline(always)]
pub(crate) fn at_most(bound: f32, x: f32) -> f32 {
    if bound < x { bound } else { x }
}

/// The larger of `x` and `bound`; NaN if `x` is.
#[inline(always)]
pub(crate) fn at_least(bound: f32, x: f32) -> f32 {
    if bound > x { bound } else { x }
}

/// `x = n · ln 2 + r` with an integer `n` and `|r| ≤ ln 2 / 2`; gives `n` and `exp(r) − 1`, the latter
/// with a small relative error. For |x| below a thousand.
#[inline(always)]
fn exp_parts<const FMA: bool>(x: f32) -> (i32, f32) {
    // Adding 1.5 · 2²³ leaves no place for a fraction: the sum is rounded to an integer, which then
    // stands in its low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts. The first has only nine bits, so that its product with n is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let shifted = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = multiply_add::<FMA>(-n, LN_2_HIGH, x);
    let r = multiply_add::<FMA>(-n, LN_2_LOW, r);
    // exp(r) = 1 + r + r² q(r); the fit's error is 3.1e-9 of exp(r).
    let mut q = 0.001_381_454_3;
    q = multiply_add::<FMA>(q, r, 0.008_368_745);
    q = multiply_add::<FMA>(q, r, 0.041_668_39);
    q = multiply_add::<FMA>(q, r, 0.166_665_2);
    q = multiply_add::<FMA>(q, r, 0.499_999_93);
    let exp_minus_one = multiply_add::<FMA>(r * r, q, r);
    (shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32, exp_minus_one)
}

/// `2^n` for `−126 ≤ n ≤ 127`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `exp(x)`, for every x: 0 at −∞, ∞ above 88.7, NaN at NaN, and denormal numbers in between. Error at
/// most 1.1 units in the last place.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Outside of these bounds the result is 0 or ∞ anyway.
    let x = at_least(-104.0, at_most(89.0, x));
    let (n, exp_minus_one) = exp_parts::<FMA>(x);
    // n reaches from −150 to 128, more than one factor can express.
    let half = n >> 1;
    (1.0 + exp_minus_one) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `2^x` for `x` up to 126, as softmax needs it: below −126 the result is some number from 0 to 1.2e-38;
/// NaN at NaN. Relative error at most 2.5e-7.
#[inline(always)]
#[expect(clippy::approx_constant, reason = "the fit's first coefficient is not quite ln 2")]
pub(crate) fn exp2<const FMA: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = at_least(-126.0, x);
    let shifted = x + ROUND;
    let r = x - (shifted - ROUND);
    // 2^r = 1 + r q(r) for |r| ≤ ½; the fit's error is 9.2e-8 of 2^r.
    let mut q = 0.001_326_472_7;
    q = multiply_add::<FMA>(q, r, 0.009_671_513);
    q = multiply_add::<FMA>(q, r, 0.055_507_336);
    q = multiply_add::<FMA>(q, r, 0.240_222_42);
    q = multiply_add::<FMA>(q, r, 0.693_147);
    multiply_add::<FMA>(q, r, 1.0) * power_of_two(shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

/// [`exp`] of each lane.
#[inline(always)]
pub(crate) fn exp_lanes<const FMA: bool>(x: [f32; LANES]) -> [f32; LANES] {
    let mut y = [0.0; LANES];
    for lane in 0..LANES {
        y[lane] = exp::<FMA>(x[lane]);
    }
    y
}

/// `tanh(x)`, for every x. Error at most 3 units in the last place.
#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f32) -> f32 {
    // With e = exp(2|x|) − 1 = 2^n (exp(r) − 1) + (2^n − 1), tanh |x| = e / (e + 2). Nothing cancels,
    // however small x is. At 10 the result has long been 1.
    let (n, exp_minus_one) = exp_parts::<FMA>(2.0 * at_most(10.0, x.abs()));
    let power = power_of_two(n);
    let e = multiply_add::<FMA>(power, exp_minus_one, power - 1.0);
    (e / (e + 2.0)).copysign(x)
}

/// The normal distribution at `x`: `(Φ(x), exp(−x²/2))`, where `Φ(x) = (1 + erf(x/√2)) / 2`. Φ's
/// absolute error is at most 1e-7, its relative error at most 1e-6 for `x ≥ −5`, and 5e-6 down to −13,
/// where it is 6e-39.
#[inline(always)]
pub(crate) fn normal<const FMA: bool>(x: f32) -> (f32, f32) {
    // The tail beyond a = |x| is Φ(−a) = exp(−a²/2) · R(a), where R falls slowly, like 1/a, and is
    // (1 − w) p(w) with w = a/(a + c), which takes [0, ∞) to [0, 1). The fit's error is 1.7e-8 of Φ(−a);
    // near 0, where most arguments are, w and with it the rounding errors vanish. Unlike 1 + erf, which
    // cancels, this holds in the far tail of negative x. At 15 the tail is 0.
    const C: f32 = 2.5;
    let a = at_most(15.0, x.abs());
    let exponential = exp::<FMA>(-0.5 * a * a);
    let w = a / (a + C);
    let mut p = -0.031_937_1;
    p = multiply_add::<FMA>(p, w, 0.111_940_525);
    p = multiply_add::<FMA>(p, w, -0.125_403_16);
    p = multiply_add::<FMA>(p, w, 0.055_244_52);
    p = multiply_add::<FMA>(p, w, -0.059_923_125);
    p = multiply_add::<FMA>(p, w, 0.022_423_422);
    p = multiply_add::<FMA>(p, w, 0.116_744_81);
    p = multiply_add::<FMA>(p, w, 0.067_843_08);
    p = multiply_add::<FMA>(p, w, -0.497_356_9);
    p = multiply_add::<FMA>(p, w, 0.5);
    let tail = exponential * (p * (1.0 - w));
    (if x < 0.0 { tail } else { 1.0 - tail }, exponential)
}

/// `x Φ(x)` for the operands of short products: error at most 8e-6, or 2e-6 of x where it is
/// above 4.
#[inline(always)]
pub(crate) fn gelu_short<const FMA: bool>(x: f32) -> f32 {
    // Φ(x) = ½ + x p(x²), p in terms of u = 2 x²/25 − 1 from −1 to 1, where nothing cancels.
    let x = at_least(-5.0, x);
    let t = at_most(5.0, x);
    let u = multiply_add::<FMA>(t * t, 0.08, -1.0);
    let mut p = 0.002_277_311_9;
    p = multiply_add::<FMA>(p, u, -0.006_278_017_5);
    p = multiply_add::<FMA>(p, u, 0.007_021_217);
    p = multiply_add::<FMA>(p, u, -0.008_329_822);
    p = multiply_add::<FMA>(p, u, 0.015_547_928);
    p = multiply_add::<FMA>(p, u, -0.024_215_164);
    p = multiply_add::<FMA>(p, u, 0.031_744_145);
    p = multiply_add::<FMA>(p, u, -0.040_319_17);
    p = multiply_add::<FMA>(p, u, 0.051_488_01);
    p = multiply_add::<FMA>(p, u, -0.070_300_52);
    p = multiply_add::<FMA>(p, u, 0.141_364_3);
    x * multiply_add::<FMA>(p, t, 0.5)
}

/// `ln(x)`, correctly rounded but for a few ties.
pub(crate) fn ln(x: f32) -> f32 {
    ln_f64(f64::from(x)) as f32
}

/// `ln(x)` to 2e-15 of the result, for every x that is not denormal. Slow, meant for one number a row,
/// and our own only because that of the system may give other bits on another system.
pub(crate) fn ln_f64(x: f64) -> f64 {
    if !(x > 0.0 && x < f64::INFINITY) {
        return match x {
            0.0 => f64::NEG_INFINITY,
            f64::INFINITY => f64::INFINITY,
            _ => f64::NAN,
        };
    }
    // x = m · 2^exponent with √½ ≤ m < √2, where ln m = 2 artanh(s) with s = (m − 1)/(m + 1) ≤ 0.172.
    const MANTISSA: u64 = (1 << 52) - 1;
    let mut exponent = (x.to_bits() >> 52) as i64 - 1023;
    let mut m = f64::from_bits(x.to_bits() & MANTISSA | 1.0_f64.to_bits());
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let mut series = 0.0;
    for k in (0..11).rev() {
        series = series * (s * s) + 1.0 / f64::from(2 * k + 1);
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::pool::Pool;
    use super::super::simd::{Level, multiversion};
    use super::*;

    /// The levels that this machine can run.
    pub(crate) fn levels() -> Vec<Level> {
        match Level::detect() {
            Level::Portable => vec![Level::Portable],
            Level::Avx2 => vec![Level::Portable, Level::Avx2],
            Level::Avx512 => vec![Level::Portable, Level::Avx2, Level::Avx512],
        }
    }

    /// Some numbers between −2 and 2, different for each `seed`.
    pub(crate) fn numbers(len: usize, seed: u32) -> Vec<f32> {
        let number = |i: usize| crate::philox::philox4x32([i as u32, seed, 0, 0], [0; 2])[0] as i32;
        (0..len).map(|i| number(i) as f32 / (1 << 30) as f32).collect()
    }

    /// `work` on a pool of so many threads.
    pub(crate) fn on_threads<R>(threads: usize, work: impl FnOnce() -> R) -> R {
        Pool::new(threads).expect("threads").scope(work)
    }

    /// Every `stride`-th f32 of a magnitude in `low ..= high`, of both signs.
    pub(crate) fn sweep(low: f32, high: f32, stride: usize) -> Vec<f32> {
        let magnitudes = (low.to_bits()..=high.to_bits()).step_by(stride).map(f32::from_bits);
        magnitudes.flat_map(|x| [x, -x]).collect()
    }

    /// The largest error of `y` at `x`, in units in the last place of the exact result.
    fn worst_in_ulps(y: &[f32], x: &[f32], exact: impl Fn(f64) -> f64) -> f64 {
        worst(y, x, |y, x| {
            let exact = exact(x);
            let ulp = (exact.abs().log2().floor() - 23.0).max(-149.0).exp2();
            (y - exact).abs() / ulp
        })
    }

    /// The largest error of `y` at `x` relative to the exact result.
    pub(crate) fn worst_relative(y: &[f32], x: &[f32], exact: impl Fn(f64) -> f64) -> f64 {
        worst(y, x, |y, x| (y - exact(x)).abs() / exact(x).abs())
    }

    /// The largest `error(y, x)`.
    pub(crate) fn worst(y: &[f32], x: &[f32], error: impl Fn(f64, f64) -> f64) -> f64 {
        let mut worst = (0.0, 0.0);
        for (y, x) in y.iter().zip(x) {
            let error = error(f64::from(*y), f64::from(*x));
            assert!(!error.is_nan(), "{y} at {x}");
            if error > worst.0 {
                worst = (error, *x);
            }
        }
        println!("largest error {:e} at {:e}", worst.0, worst.1);
        worst.0
    }

    /// Φ in f64, of small relative error everywhere: a series, and a continued fraction in the tails.
    pub(crate) fn normal_cdf(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        if x.abs() < 3.0 {
            let (mut term, mut sum, mut k) = (x, x, 1.0);
            while term.abs() > 1e-18 * sum.abs() {
                k += 2.0;
                term *= x * x / k;
                sum += term;
            }
            return 0.5 + density * sum;
        }
        let fraction = (1..100).rev().fold(x.abs(), |fraction, k| x.abs() + f64::from(k) / fraction);
        if x < 0.0 { density / fraction } else { 1.0 - density / fraction }
    }

    multiversion! { fn exp_all(y: &mut [f32], x: &[f32]) = exp_all_body }
    #[inline(always)]
    fn exp_all_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = exp::<FMA>(*x);
        }
    }

    multiversion! { fn tanh_all(y: &mut [f32], x: &[f32]) = tanh_all_body }
    #[inline(always)]
    fn tanh_all_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = tanh::<FMA>(*x);
        }
    }

    multiversion! { fn normal_all(y: &mut [f32], x: &[f32]) = normal_all_body }
    #[inline(always)]
    fn normal_all_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = normal::<FMA>(*x).0;
        }
    }

    type OfAll = fn(Level, &mut [f32], &[f32]);

    fn apply(function: OfAll, level: Level, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        function(level, &mut y, x);
        y
    }

    #[test]
    fn exp_is_within_its_error() {
        let x = sweep(1e-9, 104.0, 64);
        for level in levels() {
            let y = apply(exp_all, level, &x);
            let (x, y): (Vec<f32>, Vec<f32>) = x.iter().zip(&y).filter(|(x, _)| **x < 88.7).unzip();
            assert!(worst_in_ulps(&y, &x, f64::exp) <= 1.1, "{level:?}");
        }
    }

    multiversion! { fn exp2_all(y: &mut [f32], x: &[f32]) = exp2_all_body }
    #[inline(always)]
    fn exp2_all_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = exp2::<FMA>(*x);
        }
    }

    multiversion! { fn gelu_short_all(y: &mut [f32], x: &[f32]) = gelu_short_all_body }
    #[inline(always)]
    fn gelu_short_all_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = gelu_short::<FMA>(*x);
        }
    }

    #[test]
    fn exp2_is_within_its_error() {
        let x = sweep(1e-9, 126.0, 16);
        for level in levels() {
            assert!(worst_relative(&apply(exp2_all, level, &x), &x, f64::exp2) <= 2.5e-7, "{level:?}");
            let extremes = apply(exp2_all, level, &[-126.4, -200.0, f32::NEG_INFINITY, f32::NAN, 0.0]);
            assert!(extremes[..3].iter().all(|y| (0.0..=1.2e-38).contains(y)), "{level:?}: {extremes:?}");
            assert!(extremes[3].is_nan() && extremes[4] == 1.0, "{level:?}: {extremes:?}");
        }
    }

    #[test]
    fn gelu_short_is_within_its_error() {
        let (near, far) = (sweep(1e-9, 5.0, 256), sweep(5.0, 1e30, 1024));
        for level in levels() {
            let error = |y: f64, x: f64| (y - x * normal_cdf(x)).abs();
            assert!(worst(&apply(gelu_short_all, level, &near), &near, error) <= 8e-6, "{level:?}");
            let relative = |y: f64, x: f64| error(y, x) / x.max(4.0);
            assert!(worst(&apply(gelu_short_all, level, &far), &far, relative) <= 2e-6, "{level:?}");
            assert!(apply(gelu_short_all, level, &[f32::NAN])[0].is_nan());
        }
    }

    #[test]
    fn tanh_is_within_its_error() {
        let x = sweep(1e-30, 20.0, 64);
        for level in levels() {
            assert!(worst_in_ulps(&apply(tanh_all, level, &x), &x, f64::tanh) <= 3.0, "{level:?}");
        }
    }

    #[test]
    fn normal_is_within_its_errors() {
        let x = sweep(1e-9, 13.0, 1024);
        let near: Vec<f32> = x.iter().copied().filter(|x| *x >= -5.0).collect();
        for level in levels() {
            let y = apply(normal_all, level, &x);
            assert!(worst(&y, &x, |y, x| (y - normal_cdf(x)).abs()) <= 1e-7, "{level:?}");
            assert!(worst_relative(&y, &x, normal_cdf) <= 5e-6, "{level:?}");
            assert!(worst_relative(&apply(normal_all, level, &near), &near, normal_cdf) <= 1e-6, "{level:?}");
        }
    }

    /// What the fits do not cover: zeros, infinities, NaN, and results too large or too small.
    #[test]
    fn extremes() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let x = [0.0, -0.0, inf, -inf, nan, 88.73, -104.0, 1e-40, f32::MAX, f32::MIN];
        for level in levels() {
            let same = |function: OfAll, expected: [f32; 10]| {
                for ((x, found), expected) in x.iter().zip(apply(function, level, &x)).zip(expected) {
                    let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                    assert!(same, "{found} instead of {expected} at {x}, {level:?}");
                }
            };
            same(exp_all, [1.0, 1.0, inf, 0.0, nan, inf, 0.0, 1.0, inf, 0.0]);
            same(tanh_all, [0.0, -0.0, 1.0, -1.0, nan, 1.0, -1.0, 1e-40, 1.0, -1.0]);
            same(normal_all, [0.5, 0.5, 1.0, 0.0, nan, 1.0, 0.0, 0.5, 1.0, 0.0]);
        }
    }

    #[test]
    fn exp_lanes_is_exp() {
        let x: [f32; LANES] = std::array::from_fn(|lane| lane as f32 * 3.7 - 40.0);
        assert_eq!(exp_lanes::<false>(x), x.map(exp::<false>));
    }

    #[test]
    fn ln_is_within_its_error() {
        let x: Vec<f32> = sweep(1e-45, f32::MAX, 256).into_iter().filter(|x| *x > 0.0).collect();
        let y: Vec<f32> = x.iter().map(|x| ln(*x)).collect();
        assert!(worst_in_ulps(&y, &x, f64::ln) <= 0.500_001);
        assert!((ln_f64(1.0 + 1e-10) / 1e-10_f64.ln_1p() - 1.0).abs() < 1e-6);
        assert!((ln_f64(1e5) / 1e5_f64.ln() - 1.0).abs() < 2e-15);
        assert_eq!(ln(0.0), f32::NEG_INFINITY);
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert_eq!(ln(1.0), 0.0);
        assert!(ln(-1.0).is_nan() && ln(f32::NAN).is_nan());
    }

    #[test]
    fn lanes_are_summed_once_each() {
        assert_eq!(sum_of_lanes(std::array::from_fn(|lane| (1 << lane) as f32)), 65_535.0);
    }
}
