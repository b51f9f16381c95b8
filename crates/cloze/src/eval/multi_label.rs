//! Metrics of examples that have any number of labels, as scikit-learn defines them. Probabilities, predictions and
//! gold labels are `[examples][labels]`.

use serde::Serialize;

use super::confusion::ClassFigures;
use super::metrics::ratio;

/// The metrics of predicted labels. A figure that would be divided by 0 is 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MultiLabelFigures {
    /// The share of the predicted labels, of all examples together, that are right.
    pub micro_precision: f64,
    /// The share of the gold labels, of all examples together, that are predicted.
    pub micro_recall: f64,
    /// F1 of all labels of all examples together.
    pub micro_f1: f64,
    /// The mean of the labels' F1.
    pub macro_f1: f64,
    /// The mean of the examples' F1; an example that neither has nor gets a label counts 0.
    pub samples_f1: f64,
    /// The share of the examples all of whose labels are right.
    pub subset_accuracy: f64,
    /// The share of the decisions, one for every example and label, that are wrong.
    pub hamming_loss: f64,
    /// The figures of each label.
    pub labels: Vec<ClassFigures>,
}

/// The metrics of predicted labels.
pub fn multi_label_figures<P: AsRef<[bool]>, G: AsRef<[bool]>>(predictions: &[P], gold: &[G]) -> MultiLabelFigures {
    assert_eq!(predictions.len(), gold.len(), "predictions and gold labels");
    let labels = gold.first().map_or(0, |gold| gold.as_ref().len());
    let (mut right, mut predicted, mut support) = (vec![0; labels], vec![0; labels], vec![0; labels]);
    let (mut samples_f1, mut whole, mut wrong) = (0.0, 0usize, 0usize);
    for (predictions, gold) in predictions.iter().map(AsRef::as_ref).zip(gold.iter().map(AsRef::as_ref)) {
        assert_eq!((predictions.len(), gold.len()), (labels, labels), "labels of an example");
        for (label, (&prediction, &gold)) in predictions.iter().zip(gold).enumerate() {
            right[label] += usize::from(prediction && gold);
            predicted[label] += usize::from(prediction);
            support[label] += usize::from(gold);
        }
        let right_here = predictions.iter().zip(gold).filter(|&(&prediction, &gold)| prediction && gold).count();
        samples_f1 += ClassFigures::of(right_here, count(predictions), count(gold)).f1;
        let wrong_here = predictions.iter().zip(gold).filter(|(prediction, gold)| prediction != gold).count();
        whole += usize::from(wrong_here == 0);
        wrong += wrong_here;
    }
    let examples = gold.len() as f64;
    let micro = ClassFigures::of(right.iter().sum(), predicted.iter().sum(), support.iter().sum());
    let figures = |label: usize| ClassFigures::of(right[label], predicted[label], support[label]);
    let figures: Vec<ClassFigures> = (0..labels).map(figures).collect();
    MultiLabelFigures {
        micro_precision: micro.precision,
        micro_recall: micro.recall,
        micro_f1: micro.f1,
        macro_f1: ratio(figures.iter().map(|label| label.f1).sum(), labels as f64),
        samples_f1: ratio(samples_f1, examples),
        subset_accuracy: ratio(whole as f64, examples),
        hamming_loss: ratio(wrong as f64, examples * labels as f64),
        labels: figures,
    }
}

/// The mean over examples and labels of `−ln sigmoid(logit)` for gold labels and `−ln (1 − sigmoid(logit))` for the
/// others; 0 if there are none.
pub fn binary_cross_entropy(logits: &[Vec<f64>], gold: &[Vec<bool>]) -> f64 {
    assert_eq!(logits.len(), gold.len(), "rows of logits and of gold labels");
    let (mut sum, mut decisions) = (0.0, 0usize);
    for (row, gold) in logits.iter().zip(gold) {
        assert_eq!(row.len(), gold.len(), "logits and gold labels of an example");
        for (&logit, &gold) in row.iter().zip(gold) {
            // ln(1 + exp(x)) as max(x, 0) + ln(1 + exp(−|x|)), whose exponential cannot overflow.
            let x = if gold { -logit } else { logit };
            sum += x.max(0.0) + (-x.abs()).exp().ln_1p();
        }
        decisions += row.len();
    }
    ratio(sum, decisions as f64)
}

/// The labels of an example: those whose probability reaches their threshold.
pub fn predict(probabilities: &[f64], thresholds: &[f64]) -> Vec<bool> {
    assert_eq!(probabilities.len(), thresholds.len(), "probabilities and thresholds of an example");
    probabilities.iter().zip(thresholds).map(|(probability, threshold)| probability >= threshold).collect()
}

fn count(labels: &[bool]) -> usize {
    labels.iter().filter(|&&label| label).count()
}

#[cfg(test)]
mod tests {
    use crate::eval::oracle::oracle;

    use super::*;

    /// Both sides sum the same numbers in another order.
    const SUMS: f64 = 1e-14;

    /// Five labels, of which one is never gold, one never predicted, and examples with none at all.
    #[test]
    fn random_labels_score_as_in_scikit_learn() {
        let expected = oracle().multi_label;
        let found = multi_label_figures(&expected.predictions, &expected.gold);
        let figures = [
            (found.micro_precision, expected.micro_precision),
            (found.micro_recall, expected.micro_recall),
            (found.micro_f1, expected.micro_f1),
            (found.macro_f1, expected.macro_f1),
            (found.samples_f1, expected.samples_f1),
            (found.subset_accuracy, expected.subset_accuracy),
            (found.hamming_loss, expected.hamming_loss),
            (binary_cross_entropy(&expected.logits, &expected.gold), expected.binary_cross_entropy),
        ];
        for (place, (found, expected)) in figures.into_iter().enumerate() {
            assert!(expected > 0.05, "figure {place} shows something");
            assert!((found - expected).abs() < SUMS, "figure {place}: {found}, expected {expected}");
        }
        assert_eq!(found.labels.len(), 5);
        for (label, found) in found.labels.iter().enumerate() {
            assert!((found.precision - expected.precision[label]).abs() < SUMS, "{label}: {found:?}");
            assert!((found.recall - expected.recall[label]).abs() < SUMS, "{label}: {found:?}");
            assert!((found.f1 - expected.f1[label]).abs() < SUMS, "{label}: {found:?}");
            assert_eq!(found.support, expected.support[label]);
        }
    }

    #[test]
    fn nothing_scores_zero() {
        let found = multi_label_figures::<Vec<bool>, Vec<bool>>(&[], &[]);
        assert_eq!((found.micro_f1, found.macro_f1, found.samples_f1), (0.0, 0.0, 0.0));
        assert_eq!((found.subset_accuracy, found.hamming_loss, found.labels.len()), (0.0, 0.0, 0));
        assert_eq!(binary_cross_entropy(&[], &[]), 0.0);
    }

    #[test]
    fn large_logits_have_a_finite_loss() {
        assert_eq!(binary_cross_entropy(&[vec![1e30, -1e30]], &[vec![true, false]]), 0.0);
        assert_eq!(binary_cross_entropy(&[vec![1e10, -1e10]], &[vec![false, true]]), 1e10);
    }
}
