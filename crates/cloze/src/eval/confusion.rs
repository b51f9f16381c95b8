//! Which classes are taken for which.

use serde::Serialize;

use super::metrics::ratio;

/// How well one class or label is found. A figure that would be divided by 0 is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    /// The share of the examples predicted to have it that do: `tp / (tp + fp)`.
    pub precision: f64,
    /// The share of the examples that have it and are predicted so: `tp / (tp + fn)`.
    pub recall: f64,
    /// `2 tp / (2 tp + fp + fn)`.
    pub f1: f64,
    /// Examples that have it.
    pub support: usize,
}

impl ClassFigures {
    /// The figures of what is predicted `predicted` times, has `support` examples, and is right `right` times.
    pub(super) fn of(right: usize, predicted: usize, support: usize) -> ClassFigures {
        let tp = right as f64;
        ClassFigures {
            precision: ratio(tp, predicted as f64),
            recall: ratio(tp, support as f64),
            // predicted + support = 2 tp + fp + fn.
            f1: ratio(2.0 * tp, (predicted + support) as f64),
            support,
        }
    }
}

/// How often each gold class is predicted as each class: counts `[gold][predicted]`. All classes are below `classes`.
pub fn confusion_matrix(predictions: &[usize], gold: &[usize], classes: usize) -> Vec<Vec<usize>> {
    assert_eq!(predictions.len(), gold.len(), "predictions and gold labels");
    let mut matrix = vec![vec![0; classes]; classes];
    for (&prediction, &gold) in predictions.iter().zip(gold) {
        assert!(prediction < classes && gold < classes, "class {prediction} or {gold} of {classes}");
        matrix[gold][prediction] += 1;
    }
    matrix
}

/// The figures of every class of a [`confusion_matrix`].
pub fn class_figures(matrix: &[Vec<usize>]) -> Vec<ClassFigures> {
    let predicted = |class: usize| matrix.iter().map(|row| row[class]).sum();
    let figures = |(class, row): (usize, &Vec<usize>)| ClassFigures::of(row[class], predicted(class), row.iter().sum());
    matrix.iter().enumerate().map(figures).collect()
}

#[cfg(test)]
mod tests {
    use crate::eval::oracle::{Confusion, oracle};

    use super::*;

    /// Both sides divide the same whole numbers once.
    const DIVISION: f64 = 1e-15;

    /// Four classes, of which one is never predicted and one never gold, and a fifth that is neither.
    #[test]
    fn random_predictions_score_as_in_scikit_learn() {
        let Confusion { predictions, gold, matrix, precision, recall, f1, support } = oracle().confusion;
        let found = confusion_matrix(&predictions, &gold, 5);
        assert_eq!(found, matrix);
        for (class, found) in class_figures(&found).iter().enumerate() {
            assert!((found.precision - precision[class]).abs() <= DIVISION, "{class}: {found:?}");
            assert!((found.recall - recall[class]).abs() <= DIVISION, "{class}: {found:?}");
            assert!((found.f1 - f1[class]).abs() <= DIVISION, "{class}: {found:?}");
            assert_eq!(found.support, support[class]);
        }
        assert!(f1[0] > 0.1 && f1[4] == 0.0, "the fixture shows something: {f1:?}");
    }

    #[test]
    fn rows_are_gold() {
        assert_eq!(confusion_matrix(&[1, 1, 0], &[0, 0, 0], 2), [[1, 2], [0, 0]]);
        assert_eq!(confusion_matrix(&[], &[], 1), [[0]]);
        assert_eq!(class_figures(&[]), []);
    }

    #[test]
    #[should_panic(expected = "class 2 or 0 of 2")]
    fn a_class_that_does_not_exist_is_a_fault() {
        confusion_matrix(&[2], &[0], 2);
    }
}
