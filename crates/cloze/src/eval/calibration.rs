//! Whether a model is right as often as it says: calibration, and the temperature that mends it.

use serde::{Deserialize, Serialize};

use crate::infer::softmax;

use super::metrics::ratio;

/// Bins of [`reliability`], equally wide.
pub const BINS: usize = 15;

/// The range of fitted temperatures. Where every prediction is right there is no best temperature: smaller ones are
/// better until the loss is 0 to the last bit. Where predictions are worse than chance, greater ones are.
pub const TEMPERATURES: (f64, f64) = (0.01, 100.0);

/// The examples whose confidence lies in one range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// The confidence above which the bin begins; the first bin also holds 0.
    pub above: f64,
    /// The highest confidence in the bin.
    pub up_to: f64,
    /// Examples in it.
    pub count: usize,
    /// Their mean confidence; 0 if there are none.
    pub confidence: f64,
    /// The share of them that is right; 0 if there are none.
    pub accuracy: f64,
}

/// Confidence and accuracy in [`BINS`] ranges of confidence, `(i / BINS, (i + 1) / BINS]`. A confidence is the
/// probability of what was predicted, in 0 ..= 1; `is_right` tells whether it was right.
pub fn reliability(confidences: &[f64], is_right: &[bool]) -> Vec<Bin> {
    assert_eq!(confidences.len(), is_right.len(), "confidences and whether they are right");
    let edge = |index: usize| index as f64 / BINS as f64;
    let mut counts = [(0usize, 0.0, 0usize); BINS];
    for (&confidence, &is_right) in confidences.iter().zip(is_right) {
        assert!((0.0..=1.0).contains(&confidence), "a confidence of {confidence}");
        let bin = (0..BINS).find(|&bin| confidence <= edge(bin + 1)).expect("the last bin ends at 1");
        let (count, sum, right) = &mut counts[bin];
        *count += 1;
        *sum += confidence;
        *right += usize::from(is_right);
    }
    let bin = |(index, &(count, sum, right)): (usize, &(usize, f64, usize))| Bin {
        above: edge(index),
        up_to: edge(index + 1),
        count,
        confidence: ratio(sum, count as f64),
        accuracy: ratio(right as f64, count as f64),
    };
    counts.iter().enumerate().map(bin).collect()
}

/// The expected calibration error (Naeini et al. 2015): how far confidence and accuracy are apart in the bins of
/// [`reliability`], a mean over the examples; 0 if there are none.
pub fn expected_calibration_error(bins: &[Bin]) -> f64 {
    let sum: f64 = bins.iter().map(|bin| bin.count as f64 * (bin.confidence - bin.accuracy).abs()).sum();
    ratio(sum, bins.iter().map(|bin| bin.count).sum::<usize>() as f64)
}

/// The temperature T that makes the gold classes most probable under `softmax(logits / T)` (Guo et al. 2017), within
/// [`TEMPERATURES`]; 1 if all temperatures are equally good. Logits are `[examples][classes]`.
pub fn fit_temperature(logits: &[Vec<f64>], gold: &[usize]) -> f64 {
    assert_eq!(logits.len(), gold.len(), "rows of logits and gold labels");
    // Of −ln softmax(βz)[gold], the derivative by β is Σ p z − z[gold], summed here without cancellation.
    best_temperature(|beta| {
        let slope = |(row, &gold): (&Vec<f64>, &usize)| -> f64 {
            let scaled: Vec<f64> = row.iter().map(|&logit| beta * logit).collect();
            let above_gold = |&logit: &f64| logit - row[gold];
            softmax(&scaled).iter().zip(row.iter().map(above_gold)).map(|(p, above)| p * above).sum()
        };
        logits.iter().zip(gold).map(slope).sum()
    })
}

/// The temperature T that makes the gold labels most probable under `sigmoid(logits / T)`, each label by itself;
/// otherwise like [`fit_temperature`]. Logits and gold are `[examples][labels]`.
pub fn fit_multi_label_temperature(logits: &[Vec<f64>], gold: &[Vec<bool>]) -> f64 {
    assert_eq!(logits.len(), gold.len(), "rows of logits and of gold labels");
    // With m = z for a gold label and −z for another, the derivative of −ln sigmoid(βm) by β is −m sigmoid(−βm).
    best_temperature(|beta| {
        let slope = |(row, gold): (&Vec<f64>, &Vec<bool>)| -> f64 {
            assert_eq!(row.len(), gold.len(), "logits and gold labels of an example");
            let margins = row.iter().zip(gold).map(|(&z, &gold)| if gold { z } else { -z });
            margins.map(|margin| -margin / (1.0 + (beta * margin).exp())).sum()
        };
        logits.iter().zip(gold).map(slope).sum()
    })
}

/// The temperature at which the slope of a loss by β = 1/T is 0.
///
/// The loss is convex in β, so its slope grows with β, and halving the range of ln T finds the zero to all digits that
/// rounding leaves: a search for the least loss itself would end at half as many.
fn best_temperature(slope: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (TEMPERATURES.0.ln(), TEMPERATURES.1.ln());
    // 60 halvings leave less than one bit of a range of 10.
    for _ in 0..60 {
        // The first one is T = 1, up to rounding.
        let middle = (low + high) / 2.0;
        let slope = slope((-middle).exp());
        if slope == 0.0 {
            return middle.exp();
        }
        // A loss that grows with β wants a greater T.
        if slope > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    // Rounding must not lead out of the range: what is stored is checked when it is read.
    ((low + high) / 2.0).exp().clamp(TEMPERATURES.0, TEMPERATURES.1)
}

#[cfg(test)]
mod tests {
    use crate::eval::oracle::{Temperature, oracle};

    use super::*;

    /// Both sides sum the same numbers in another order.
    const SUMS: f64 = 1e-14;

    /// Confidences on the edges are in it, too.
    #[test]
    fn reliability_equals_scikit_learns_calibration_curve() {
        let expected = oracle().reliability;
        let bins = reliability(&expected.confidences, &expected.is_right);
        assert_eq!(bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), expected.counts);
        let full: Vec<&Bin> = bins.iter().filter(|bin| bin.count > 0).collect();
        assert!(full.len() > 10 && full.len() < BINS, "the fixture has full and empty bins");
        assert_eq!(full.len(), expected.accuracy.len());
        for (index, bin) in full.into_iter().enumerate() {
            assert!((bin.confidence - expected.confidence[index]).abs() < SUMS, "{bin:?}");
            assert!((bin.accuracy - expected.accuracy[index]).abs() < SUMS, "{bin:?}");
        }
        let error = expected_calibration_error(&bins);
        assert!((error - expected.error).abs() < SUMS, "{error}, expected {}", expected.error);
    }

    #[test]
    fn bins_are_closed_above() {
        let bins = reliability(&[0.0, 1.0 / 15.0, 2.0 / 15.0, 1.0], &[false, true, true, true]);
        assert_eq!((bins[0].count, bins[1].count, bins[14].count), (2, 1, 1));
        assert_eq!((bins[14].above, bins[14].up_to, bins[14].confidence), (14.0 / 15.0, 1.0, 1.0));
        assert_eq!(expected_calibration_error(&reliability(&[], &[])), 0.0);
        assert_eq!(expected_calibration_error(&reliability(&[1.0], &[false])), 1.0);
    }

    /// SciPy finds the least loss, and half of the digits of where it is.
    const SCIPY: f64 = 1e-6;

    #[test]
    fn temperatures_equal_scipys() {
        let Temperature { logits, gold, multi_gold, temperature, multi_temperature } = oracle().temperature;
        for scale in [1.0, 4.0, 0.125] {
            let scaled: Vec<Vec<f64>> = logits.iter().map(|row| row.iter().map(|z| z * scale).collect()).collect();
            let found = fit_temperature(&scaled, &gold) / scale;
            assert!((found - temperature).abs() < SCIPY * temperature, "{found}, expected {temperature}");
            let found = fit_multi_label_temperature(&scaled, &multi_gold) / scale;
            assert!((found - multi_temperature).abs() < SCIPY * multi_temperature, "{found}, not {multi_temperature}");
        }
    }

    #[test]
    fn temperatures_are_bounded() {
        let near = |found: f64, expected: f64| {
            assert!((found / expected - 1.0).abs() < 1e-12, "{found}, not {expected}");
            assert!((TEMPERATURES.0..=TEMPERATURES.1).contains(&found), "{found} is refused where it is read");
        };
        // All right, all wrong, nothing to tell, nothing at all.
        near(fit_temperature(&[vec![1.0, 0.0]], &[0]), TEMPERATURES.0);
        near(fit_temperature(&[vec![1.0, 0.0]], &[1]), TEMPERATURES.1);
        near(fit_temperature(&[vec![1.0, 1.0]], &[1]), 1.0);
        near(fit_temperature(&[], &[]), 1.0);
        near(fit_multi_label_temperature(&[vec![3.0, -1e9]], &[vec![true, false]]), TEMPERATURES.0);
        near(fit_multi_label_temperature(&[vec![3.0, -1e9]], &[vec![false, true]]), TEMPERATURES.1);
        near(fit_multi_label_temperature(&[vec![0.0]], &[vec![true]]), 1.0);
    }
}
