//! Metrics, as scikit-learn and SciPy define them. Classes are ids, predictions and gold values stand in the
//! same order.

/// The share of predictions that are right; 0 if there are none.
pub fn accuracy(predictions: &[usize], gold: &[usize]) -> f64 {
    assert_eq!(predictions.len(), gold.len(), "predictions and gold labels");
    let right = predictions.iter().zip(gold).filter(|(prediction, gold)| prediction == gold).count();
    ratio(right as f64, gold.len() as f64)
}

/// F1 of one class: `2 tp / (2 tp + fp + fn)`; 0 if it occurs neither among predictions nor gold labels.
pub fn f1_binary(predictions: &[usize], gold: &[usize], positive: usize) -> f64 {
    assert_eq!(predictions.len(), gold.len(), "predictions and gold labels");
    let count = |labels: &[usize]| labels.iter().filter(|&&label| label == positive).count() as f64;
    let both = predictions.iter().zip(gold).filter(|&(&p, &g)| p == positive && g == positive).count() as f64;
    // predicted + gold = 2 tp + fp + fn.
    ratio(2.0 * both, count(predictions) + count(gold))
}

/// The mean of F1 over all classes that occur among predictions or gold labels; 0 if there are none.
pub fn macro_f1(predictions: &[usize], gold: &[usize]) -> f64 {
    let classes = classes(predictions, gold);
    let sum: f64 = classes.iter().map(|&class| f1_binary(predictions, gold, class)).sum();
    ratio(sum, classes.len() as f64)
}

/// Matthews' correlation coefficient, for two classes or more (Gorodkin 2004); 0 if predictions or gold labels are all
/// of one class.
///
/// With n examples of which c are predicted right, and class k predicted pₖ times and gold gₖ times:
/// `(c n − Σ pₖ gₖ) / √((n² − Σ pₖ²)(n² − Σ gₖ²))`.
pub fn matthews_correlation(predictions: &[usize], gold: &[usize]) -> f64 {
    assert_eq!(predictions.len(), gold.len(), "predictions and gold labels");
    let n = gold.len() as f64;
    let right = predictions.iter().zip(gold).filter(|(prediction, gold)| prediction == gold).count() as f64;
    let (mut products, mut predicted_squares, mut gold_squares) = (0.0, 0.0, 0.0);
    for class in classes(predictions, gold) {
        let count = |labels: &[usize]| labels.iter().filter(|&&label| label == class).count() as f64;
        let (p, g) = (count(predictions), count(gold));
        products += p * g;
        predicted_squares += p * p;
        gold_squares += g * g;
    }
    // Each factor is a whole number; the product of the roots cannot overflow as that of the factors might.
    ratio(right * n - products, (n * n - predicted_squares).sqrt() * (n * n - gold_squares).sqrt())
}

/// Pearson's correlation coefficient; `None` where it is not defined: fewer than two values, or all of one side
/// equal.
pub fn pearson(predictions: &[f64], gold: &[f64]) -> Option<f64> {
    assert_eq!(predictions.len(), gold.len(), "predictions and gold values");
    let is_constant = |values: &[f64]| values.iter().all(|&value| value == values[0]);
    if is_constant(predictions) || is_constant(gold) {
        return None;
    }
    let (mut product, mut predictions_square, mut gold_square) = (0.0, 0.0, 0.0);
    for (x, y) in deviations(predictions).into_iter().zip(deviations(gold)) {
        product += x * y;
        predictions_square += x * x;
        gold_square += y * y;
    }
    // Rounding may lead a little beyond ±1.
    Some((product / (predictions_square.sqrt() * gold_square.sqrt())).clamp(-1.0, 1.0))
}

/// The distance of each value from the mean, in units of the greatest distance from the first value.
///
/// Values that differ in their last digits alone keep these: differences from the first value are exact where values
/// are close, the units keep squares within range, and the mean of the rounded distances is taken off once more.
fn deviations(values: &[f64]) -> Vec<f64> {
    // Of large values halves, as their difference may be infinite.
    let factor = if values.iter().any(|value| value.abs() > 1e300) { 0.5 } else { 1.0 };
    let mut deviations: Vec<f64> = values.iter().map(|value| factor * value - factor * values[0]).collect();
    let unit = deviations.iter().fold(0.0f64, |unit, deviation| unit.max(deviation.abs()));
    deviations.iter_mut().for_each(|deviation| *deviation /= unit);
    for _ in 0..2 {
        let mean = deviations.iter().sum::<f64>() / deviations.len() as f64;
        deviations.iter_mut().for_each(|deviation| *deviation -= mean);
    }
    deviations
}

/// Spearman's rank correlation: [`pearson`] of the ranks, equal values sharing the mean of their ranks.
pub fn spearman(predictions: &[f64], gold: &[f64]) -> Option<f64> {
    pearson(&ranks(predictions), &ranks(gold))
}

/// The rank of each value from 1, equal values sharing their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&i, &j| values[i] == values[j]) {
        // The mean of start + 1 ..= start + group.len().
        let rank = start as f64 + (group.len() + 1) as f64 / 2.0;
        group.iter().for_each(|&i| ranks[i] = rank);
        start += group.len();
    }
    ranks
}

/// The classes that occur, ascending.
fn classes(predictions: &[usize], gold: &[usize]) -> Vec<usize> {
    let mut classes = [predictions, gold].concat();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// A quotient; 0 if it would be divided by 0.
pub(super) fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both sides sum the same few numbers in another order.
    const TOLERANCE: f64 = 1e-14;

    fn assert_close(found: f64, expected: f64, what: &str) {
        assert!((found - expected).abs() <= TOLERANCE, "{what}: {found}, expected {expected}");
    }

    /// Predictions `p`, gold labels `g`, and what scikit-learn 1.9.1 says: `accuracy_score(g, p)`,
    /// `f1_score(g, p, labels=[1], average="macro", zero_division=0)`,
    /// `f1_score(g, p, average="macro", zero_division=0)`, `matthews_corrcoef(g, p)`.
    #[test]
    fn classification_equals_scikit_learn() {
        type Case = (&'static [usize], &'static [usize], f64, f64, f64, f64);
        let cases: [Case; 8] = [
            (
                &[0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0],
                &[0, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1],
                0.6923076923076923,
                0.7142857142857143,
                0.6904761904761905,
                0.38095238095238093,
            ),
            (
                &[0, 2, 1, 2, 2, 0, 1, 1, 0, 2, 1],
                &[0, 2, 2, 2, 1, 0, 1, 0, 0, 1, 1],
                0.6363636363636364,
                0.5,
                0.6428571428571429,
                0.4625,
            ),
            (&[0, 0, 0, 0], &[0, 1, 1, 0], 0.5, 0.0, 0.3333333333333333, 0.0),
            (&[0, 1, 1, 0], &[0, 0, 0, 0], 0.5, 0.0, 0.3333333333333333, 0.0),
            (&[0, 0, 0], &[0, 0, 0], 1.0, 0.0, 1.0, 0.0),
            (&[1, 1, 1], &[1, 1, 1], 1.0, 1.0, 1.0, 0.0),
            (&[3, 3, 0], &[0, 0, 3], 0.0, 0.0, 0.0, -1.0),
            (&[1, 0], &[0, 1], 0.0, 0.0, 0.0, -1.0),
        ];
        for (p, g, expected_accuracy, expected_f1, expected_macro_f1, expected_matthews) in cases {
            assert_close(accuracy(p, g), expected_accuracy, &format!("accuracy of {p:?}, {g:?}"));
            assert_close(f1_binary(p, g, 1), expected_f1, &format!("F1 of {p:?}, {g:?}"));
            assert_close(macro_f1(p, g), expected_macro_f1, &format!("macro F1 of {p:?}, {g:?}"));
            assert_close(matthews_correlation(p, g), expected_matthews, &format!("Matthews of {p:?}, {g:?}"));
        }
    }

    /// Predictions, gold values, and what SciPy 1.17.1 says: `pearsonr(p, g)[0]`, `spearmanr(p, g)[0]`.
    #[test]
    fn correlations_equal_scipy() {
        type Case = (&'static [f64], &'static [f64], f64, f64);
        let cases: [Case; 5] = [
            (
                &[0.1, 2.5, 4.75, 3.0, 1.25, 5.0, 0.0],
                &[0.0, 2.0, 5.0, 3.6, 2.0, 4.2, 0.8],
                0.953044857640281,
                0.9189562119494703,
            ),
            (&[1.0, 2.0, 2.0, 3.0, 2.0, 1.0], &[4.0, 4.0, 5.0, 4.0, 6.0, 0.5], 0.48931031400602937, 0.4262867932595695),
            (&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 4.0], &[-1.0, -2.0, -3.0], -0.9819805060619652, -1.0),
            (&[0.0, -0.0, 1.0, 2.0], &[1.0, 2.0, 0.0, 5.0], 0.6446583712203043, 0.316227766016838),
            (&[1.0, 2.0], &[3.0, 4.0], 1.0, 1.0),
        ];
        for (p, g, expected_pearson, expected_spearman) in cases {
            assert_close(pearson(p, g).unwrap(), expected_pearson, &format!("Pearson of {p:?}, {g:?}"));
            assert_close(spearman(p, g).unwrap(), expected_spearman, &format!("Spearman of {p:?}, {g:?}"));
        }
    }

    /// Values that differ in their last digits, or are very large or small; exact figures by Python's `fractions`.
    #[test]
    fn correlations_are_right_to_the_last_digits() {
        for (base, step, n, expected) in [
            (0.1234567890, 1e-10, 1000, 0.7169405527259439),
            (0.7, 1e-13, 1501, 0.7165569584824789),
            (123456.0, 1e-9, 997, 0.7158570639529621),
            (1.0, 3e-16, 500, 0.7169662235452714),
        ] {
            let level = |i: usize| (i * 37 % 101) as f64;
            let predictions: Vec<f64> = (0..n).map(|i| base + level(i) * step).collect();
            let gold: Vec<f64> = (0..n).map(|i| (i % 5) as f64 + level(i) * 0.05).collect();
            assert_close(pearson(&predictions, &gold).unwrap(), expected, &format!("{base} and {step}"));
            assert_close(pearson(&gold, &predictions).unwrap(), expected, &format!("{base} and {step}"));
        }
        let gold = [1.0, 2.0, 3.0, 5.0];
        let found = pearson(&[1e308, -1.7e308, 1.2e308, 0.0], &gold).unwrap();
        assert_close(found, -0.025776963111323367, "large values");
        assert_close(pearson(&[1e-200, 3e-200, 2e-200, 7e-200], &gold).unwrap(), 0.909123767204656, "small values");
        assert_close(pearson(&[5e-324, 0.0], &[1.0, 0.0]).unwrap(), 1.0, "the smallest value");
    }

    #[test]
    fn a_constant_has_no_correlation() {
        for (p, g) in [(&[1.0, 1.0][..], &[1.0, 2.0][..]), (&[1.0, 2.0], &[3.0, 3.0]), (&[1.0], &[1.0]), (&[], &[])] {
            assert_eq!(pearson(p, g), None);
            assert_eq!(spearman(p, g), None);
        }
    }

    #[test]
    fn nothing_scores_zero() {
        assert_eq!(accuracy(&[], &[]), 0.0);
        assert_eq!(f1_binary(&[], &[], 1), 0.0);
        assert_eq!(macro_f1(&[], &[]), 0.0);
        assert_eq!(matthews_correlation(&[], &[]), 0.0);
    }
}
