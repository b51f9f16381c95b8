//! The loss: cross-entropy of a softmax.

use super::memory::row;
use crate::Size;

pub(super) fn cross_entropy_forward(
    losses: &mut [f64],
    log_sum_exp: &mut [f64],
    predictions: &mut [u32],
    logits: &[f64],
    labels: &[u32],
    size: Size,
) {
    for r in 0..size.rows {
        let logits = row(logits, r, size.columns);
        let mut largest = 0;
        for column in 1..size.columns {
            if logits[column] > logits[largest] {
                largest = column;
            }
        }
        let sum: f64 = logits.iter().map(|logit| (logit - logits[largest]).exp()).sum();
        log_sum_exp[r] = logits[largest] + sum.ln();
        losses[r] = log_sum_exp[r] - logits[labels[r] as usize];
        predictions[r] = largest as u32;
    }
}

pub(super) fn cross_entropy_backward(dlogits: &mut [f64], log_sum_exp: &[f64], labels: &[u32], scale: f64, size: Size) {
    for r in 0..size.rows {
        for column in 0..size.columns {
            let logit = &mut dlogits[r * size.columns + column];
            let probability = (*logit - log_sum_exp[r]).exp();
            *logit = scale * (probability - f64::from(column == labels[r] as usize));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { rows: 2, columns: 2 };

    #[test]
    fn cross_entropy_of_huge_logits() {
        let logits = [1e300, 1e300, -5.0, -5.0 + 3f64.ln()];
        let (mut losses, mut log_sum_exp, mut predictions) = ([f64::NAN; 2], [f64::NAN; 2], [9; 2]);
        cross_entropy_forward(&mut losses, &mut log_sum_exp, &mut predictions, &logits, &[1, 0], SIZE);
        // 1e300 swallows ln 2; the second row has probabilities ¼ and ¾.
        assert_eq!(losses[0], 0.0);
        assert!((losses[1] - 4f64.ln()).abs() < 1e-15, "{losses:?}");
        assert_eq!(predictions, [0, 1]);
    }
}
