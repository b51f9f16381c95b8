//! How sure a metric is: confidence intervals and comparisons of two models on the same examples.
//!
//! The bootstrap (Efron 1979) draws as many examples as there are, with repetition, and computes the metric of what it
//! drew, many times. How much these values differ is how much the metric would differ on other data of the kind.

use serde::Serialize;

use crate::random::{Purpose, Random};

/// How often examples are drawn anew.
pub const RESAMPLES: usize = 1_000;

/// How much of the resampled values lies within an [`Interval`].
pub const CONFIDENCE: f64 = 0.95;

/// The middle [`CONFIDENCE`] of the values of a metric on resampled examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Resamples, of [`RESAMPLES`], on which the metric is not defined. They are left out.
    pub undefined: usize,
}

/// Two models compared on the same resampled examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first model's metric less the second's, on all examples.
    pub difference: f64,
    /// The interval of the difference.
    pub interval: Interval,
    /// Twice the share of resampled differences that are not on the difference's side of 0, at most 1: small if one
    /// model is better whatever is drawn. The resamples are counted with one more on the other side, so it is never 0.
    pub p_value: f64,
}

/// The interval of a metric of `n` examples. `metric` gives it for the examples at the indices that it gets, each of
/// them perhaps several times, or `None` (or NaN) where it is not defined.
///
/// `None` if it is defined on no resample. The result is a function of the arguments.
pub fn interval(n: usize, seed: u64, metric: impl Fn(&[usize]) -> Option<f64>) -> Option<Interval> {
    intervals(n, seed, |indices| vec![metric(indices).unwrap_or(f64::NAN)]).remove(0)
}

/// The intervals of several metrics of `n` examples on the same resamples, each as in [`interval`]; NaN stands for not
/// defined.
pub fn intervals(n: usize, seed: u64, metrics: impl Fn(&[usize]) -> Vec<f64>) -> Vec<Option<Interval>> {
    resampled(n, seed, metrics).iter_mut().map(|values| interval_of(values)).collect()
}

/// Compares two metrics, or two models by one metric, of the same `n` examples. `a` and `b` get the same indices, as
/// in [`interval`]; NaN stands for not defined.
///
/// `None` if the difference is not defined on the examples as they are, or on no resample.
pub fn paired(n: usize, seed: u64, a: impl Fn(&[usize]) -> f64, b: impl Fn(&[usize]) -> f64) -> Option<Comparison> {
    comparisons(n, seed, |indices| vec![a(indices) - b(indices)]).remove(0)
}

/// Compares by several metrics on the same resamples, each as in [`paired`]; `differences` gives the first metric of
/// each pair less the second.
pub fn comparisons(n: usize, seed: u64, differences: impl Fn(&[usize]) -> Vec<f64>) -> Vec<Option<Comparison>> {
    let all: Vec<usize> = (0..n).collect();
    let of_all = differences(&all);
    let comparison = |(difference, mut values): (f64, Vec<f64>)| {
        let interval = interval_of(&mut values).filter(|_| !difference.is_nan())?;
        let not_above = values.iter().filter(|&&value| value <= 0.0).count();
        let not_below = values.iter().filter(|&&value| value >= 0.0).count();
        let p_value = 2.0 * (not_above.min(not_below) + 1) as f64 / (values.len() + 1) as f64;
        Some(Comparison { difference, interval, p_value: p_value.min(1.0) })
    };
    of_all.into_iter().zip(resampled(n, seed, differences)).map(comparison).collect()
}

/// McNemar's exact test: the probability that two classifiers, equally good, are right on different examples as
/// unevenly as here or more so. Each side tells for every example whether its classifier is right.
///
/// Only examples on which one is right and the other wrong tell anything. Of `n` such examples the smaller side has
/// `k`; the probability is `2 Σ_{i ≤ k} C(n, i) / 2ⁿ`, at most 1.
pub fn mcnemar(a_is_right: &[bool], b_is_right: &[bool]) -> f64 {
    assert_eq!(a_is_right.len(), b_is_right.len(), "examples of the two classifiers");
    let pairs = || a_is_right.iter().zip(b_is_right);
    let only_a = pairs().filter(|&(&a, &b)| a && !b).count();
    let only_b = pairs().filter(|&(&a, &b)| b && !a).count();
    (2.0 * lower_tail(only_a.min(only_b) as u64, (only_a + only_b) as u64)).min(1.0)
}

/// The values of each metric on resampled examples, without NaN.
fn resampled(n: usize, seed: u64, metrics: impl Fn(&[usize]) -> Vec<f64>) -> Vec<Vec<f64>> {
    let mut indices = vec![0; n];
    let mut of_metrics: Vec<Vec<f64>> = Vec::new();
    for resample in 0..RESAMPLES {
        let mut random = Random::new(seed, Purpose::Bootstrap, 0, resample as u64);
        indices.fill_with(|| random.below(n as u64) as usize);
        let values = metrics(&indices);
        of_metrics.resize_with(values.len(), Vec::new);
        of_metrics.iter_mut().zip(values).filter(|(_, value)| !value.is_nan()).for_each(|(own, value)| own.push(value));
    }
    of_metrics
}

/// The interval of resampled values, which are sorted.
fn interval_of(values: &mut [f64]) -> Option<Interval> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| Interval {
        low: quantile(values, (1.0 - CONFIDENCE) / 2.0),
        high: quantile(values, (1.0 + CONFIDENCE) / 2.0),
        undefined: RESAMPLES - values.len(),
    })
}

/// The quantile `q` of sorted values: between two of them, as far as `q` lies between their places.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    // Equal values stay what they are, infinite ones too.
    if below == above { below } else { below + (above - below) * place.fract() }
}

/// The probability of at most `k` heads of `n` coins, for `k ≤ n / 2`.
fn lower_tail(k: u64, n: u64) -> f64 {
    let mut term = coins(k, n);
    let mut sum = 0.0;
    // From the largest term down: C(n, i − 1) = C(n, i) · i / (n − i + 1).
    for i in (0..=k).rev() {
        sum += term;
        term *= i as f64 / (n - i + 1) as f64;
        if term < sum * f64::EPSILON / 4.0 {
            break;
        }
    }
    sum
}

/// The probability of `k` heads of `n` coins: `C(n, k) / 2ⁿ`.
///
/// With Stirling's `n! = √(2πn) (n/e)ⁿ exp(δ(n))`, and d = n/2 − k, it is
/// `√(n / 2πk(n−k)) · exp(δ(n) − δ(k) − δ(n−k) − k ln(1 − 2d/n) − (n−k) ln(1 + 2d/n))` (Loader 2000). Logarithms of
/// factorials by themselves are large, and their difference would lose what they are large by.
fn coins(k: u64, n: u64) -> f64 {
    let (heads, tails, all) = (k as f64, (n - k) as f64, n as f64);
    if k == 0 || k == n {
        return (-all * std::f64::consts::LN_2).exp();
    }
    let lean = (tails - heads) / all;
    let deviance = heads * (-lean).ln_1p() + tails * lean.ln_1p();
    let corrections = stirling_error(n) - stirling_error(k) - stirling_error(n - k);
    (all / (std::f64::consts::TAU * heads * tails)).sqrt() * (corrections - deviance).exp()
}

/// `δ(n) = ln n! − ln(√(2πn) (n/e)ⁿ)`, for n ≥ 1, to 1e-13.
fn stirling_error(n: u64) -> f64 {
    let x = n as f64;
    if n < 16 {
        // Factorials up to here are exact.
        let factorial: f64 = (2..=n).map(|i| i as f64).product();
        return factorial.ln() - (x + 0.5) * x.ln() + x - 0.5 * std::f64::consts::TAU.ln();
    }
    let square = x * x;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / x
}

#[cfg(test)]
mod tests {
    use crate::eval::oracle::oracle;

    use super::*;

    fn mean(values: &[f64], indices: &[usize]) -> f64 {
        indices.iter().map(|&index| values[index]).sum::<f64>() / indices.len() as f64
    }

    /// The fixture's ends are those of 100,000 resamples; the ends of 1,000 are off by a standard error of
    /// √(0.025 · 0.975 / 1000) / density(quantile), a twelfth of the standard deviation. This is four of them.
    const OF_1000: f64 = 0.34;

    #[test]
    fn intervals_are_near_those_of_scipy() {
        let expected = oracle().bootstrap;
        let found = interval(expected.a.len(), 1, |indices| Some(mean(&expected.a, indices))).unwrap();
        let tolerance = OF_1000 * expected.a_deviation;
        assert!((found.low - expected.a_interval[0]).abs() < tolerance, "{found:?}, {:?}", expected.a_interval);
        assert!((found.high - expected.a_interval[1]).abs() < tolerance, "{found:?}, {:?}", expected.a_interval);
        assert_eq!(found.undefined, 0);

        let n = expected.a.len();
        let found = paired(n, 1, |indices| mean(&expected.a, indices), |indices| mean(&expected.b, indices)).unwrap();
        assert!((found.difference - expected.difference).abs() < 1e-12, "{found:?}");
        let tolerance = OF_1000 * expected.difference_deviation;
        let ends = expected.difference_interval;
        assert!((found.interval.low - ends[0]).abs() < tolerance, "{found:?}, {ends:?}");
        assert!((found.interval.high - ends[1]).abs() < tolerance, "{found:?}, {ends:?}");
        // Four standard errors of a share of 1,000, doubled.
        let share = expected.p_value / 2.0;
        let tolerance = 2.0 * 4.0 * (share * (1.0 - share) / 1000.0).sqrt() + 0.002;
        assert!((found.p_value - expected.p_value).abs() < tolerance, "{found:?}, {}", expected.p_value);
        // Turned round, everything is turned round.
        let turned = paired(n, 1, |indices| mean(&expected.b, indices), |indices| mean(&expected.a, indices)).unwrap();
        assert_eq!((turned.difference, turned.p_value), (-found.difference, found.p_value));
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        for (values, q, expected) in oracle().quantiles {
            let found = quantile(&values, q);
            assert!((found - expected).abs() < 1e-14, "quantile {q} of {values:?}: {found}, expected {expected}");
        }
        assert_eq!(quantile(&[f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0], 0.1), f64::NEG_INFINITY);
    }

    #[test]
    fn an_interval_leaves_a_fortieth_out_on_either_side() {
        // The values of the resamples are 0, 1, …, 999; np.quantile(np.arange(1000), [0.025, 0.975])
        let calls = std::cell::Cell::new(0);
        let found = interval(3, 1, |_| Some(f64::from(calls.replace(calls.get() + 1)))).unwrap();
        assert!((found.low - 24.975).abs() < 1e-9 && (found.high - 974.025).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn resamples_are_a_function_of_the_seed_and_reach_every_example() {
        let seen = std::cell::RefCell::new(vec![0u32; 7]);
        let of_seed = |seed| {
            interval(7, seed, |indices| {
                assert_eq!(indices.len(), 7);
                indices.iter().for_each(|&index| seen.borrow_mut()[index] += 1);
                Some(indices.iter().enumerate().map(|(place, &index)| (place * index) as f64).sum())
            })
        };
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
        // Four times 1,000 resamples; five standard deviations of a binomial count with mean 4,000.
        assert!(seen.borrow().iter().all(|count| (3_700..=4_300).contains(count)), "{:?}", seen.borrow());
    }

    #[test]
    fn undefined_resamples_are_left_out_and_counted() {
        // Both of two examples are drawn in half of the resamples.
        let both = |indices: &[usize]| (indices[0] != indices[1]).then_some(3.0);
        let found = interval(2, 1, both).unwrap();
        assert_eq!((found.low, found.high), (3.0, 3.0));
        assert!((420..=580).contains(&found.undefined), "{found:?}");
        let not_a_number = |indices: &[usize]| both(indices).unwrap_or(f64::NAN);
        let comparison = paired(2, 1, not_a_number, |_| 1.0).unwrap();
        assert_eq!(comparison.interval.undefined, found.undefined);
        assert_eq!((comparison.difference, comparison.interval.low), (2.0, 2.0));
        assert_eq!(interval(3, 1, |_| None), None);
        assert_eq!(interval(0, 1, |indices| (!indices.is_empty()).then_some(1.0)), None);
        assert_eq!(paired(3, 1, |_| f64::NAN, |_| 1.0), None);
    }

    #[test]
    fn equal_models_do_not_differ_and_better_ones_do() {
        let none = paired(5, 1, |indices| indices[0] as f64, |indices| indices[0] as f64).unwrap();
        assert_eq!((none.difference, none.p_value), (0.0, 1.0));
        let better = paired(5, 1, |_| 0.75, |_| 0.5).unwrap();
        assert_eq!((better.difference, better.interval.low, better.p_value), (0.25, 0.25, 2.0 / 1001.0));
    }

    /// Whole numbers, by Pascal's triangle, are the exact answer up to 60 coins.
    #[test]
    fn coins_fall_as_pascals_triangle_says() {
        let mut row = vec![1u64];
        for n in 1..=60 {
            row = (0..=n).map(|k| if k == 0 || k == n { 1 } else { row[k - 1] + row[k] }).collect();
            for (k, &ways) in row.iter().enumerate() {
                let expected = ways as f64 / (1u64 << n) as f64;
                let found = coins(k as u64, n as u64);
                assert!((found / expected - 1.0).abs() < 1e-13, "{k} of {n}: {found}, expected {expected}");
            }
        }
    }

    /// (k, n, p) with p of `scipy.stats.binomtest(k, n).pvalue`, up to millions.
    #[test]
    fn mcnemar_equals_scipys_binomial_test() {
        let cases = oracle().binomial;
        assert!(cases.len() > 20);
        for (k, n, expected) in cases {
            let found = (2.0 * lower_tail(k, n)).min(1.0);
            assert!((found - expected).abs() <= 1e-9 * expected, "{k} of {n}: {found}, expected {expected}");
        }
        // 12 examples that both get right or wrong change nothing; 9 that one gets right, 2 the other.
        let side =
            |only: usize, other: usize| [vec![true; 6], vec![false; 6], vec![true; only], vec![false; other]].concat();
        let (a, mut b) = (side(9, 2), side(9, 2));
        b[12..].iter_mut().for_each(|right| *right = !*right);
        // scipy.stats.binomtest(2, 11).pvalue
        assert!((mcnemar(&a, &b) - 0.0654296875).abs() < 1e-15);
        assert_eq!(mcnemar(&b, &a), mcnemar(&a, &b));
        assert_eq!(mcnemar(&a, &a), 1.0);
        assert_eq!(mcnemar(&[], &[]), 1.0);
    }
}
