//! What scikit-learn and SciPy say, for tests: `evaluation.json`, made by `checks/python/evaluation_reference.py`.

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Oracle {
    pub confusion: Confusion,
    pub bootstrap: Bootstrap,
    /// Values, q, their quantile.
    pub quantiles: Vec<(Vec<f64>, f64, f64)>,
    /// k, n, p.
    pub binomial: Vec<(u64, u64, f64)>,
    pub reliability: Reliability,
    pub temperature: Temperature,
    pub multi_label: MultiLabel,
}

#[derive(Deserialize)]
pub(super) struct Confusion {
    pub predictions: Vec<usize>,
    pub gold: Vec<usize>,
    pub matrix: Vec<Vec<usize>>,
    pub precision: Vec<f64>,
    pub recall: Vec<f64>,
    pub f1: Vec<f64>,
    pub support: Vec<usize>,
}

/// Two metrics of the same examples, each the mean of a number an example.
#[derive(Deserialize)]
pub(super) struct Bootstrap {
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub a_interval: [f64; 2],
    pub a_deviation: f64,
    pub difference: f64,
    pub difference_interval: [f64; 2],
    pub difference_deviation: f64,
    pub p_value: f64,
}

#[derive(Deserialize)]
pub(super) struct Reliability {
    pub confidences: Vec<f64>,
    pub is_right: Vec<bool>,
    pub counts: Vec<usize>,
    /// Of the bins that are not empty.
    pub confidence: Vec<f64>,
    pub accuracy: Vec<f64>,
    pub error: f64,
}

#[derive(Deserialize)]
pub(super) struct Temperature {
    pub logits: Vec<Vec<f64>>,
    pub gold: Vec<usize>,
    pub multi_gold: Vec<Vec<bool>>,
    pub temperature: f64,
    pub multi_temperature: f64,
}

#[derive(Deserialize)]
pub(super) struct MultiLabel {
    pub logits: Vec<Vec<f64>>,
    pub probabilities: Vec<Vec<f64>>,
    pub gold: Vec<Vec<bool>>,
    pub predictions: Vec<Vec<bool>>,
    pub micro_precision: f64,
    pub micro_recall: f64,
    pub micro_f1: f64,
    pub macro_f1: f64,
    pub samples_f1: f64,
    pub subset_accuracy: f64,
    pub hamming_loss: f64,
    pub binary_cross_entropy: f64,
    pub precision: Vec<f64>,
    pub recall: Vec<f64>,
    pub f1: Vec<f64>,
    pub support: Vec<usize>,
    pub shared_threshold: f64,
    pub macro_thresholds: Vec<f64>,
    pub exact_threshold: f64,
    pub micro_f1_by_label: f64,
}

pub(super) fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../../tests/fixtures/evaluation.json")).unwrap()
}
