//! Losses.

use cloze_kernels::{Kernels, Size};

use super::buffers::{activations, indices, read_activations, read_vector, unset_vector, vector};

/// What the forward of cross-entropy leaves.
pub struct CrossEntropy {
    pub losses: Vec<f64>,
    pub log_sum_exp: Vec<f64>,
    pub predictions: Vec<u32>,
}

pub fn cross_entropy_forward<K: Kernels>(k: &K, logits: &[f64], labels: &[u32], size: Size) -> CrossEntropy {
    let (mut losses, mut log_sum_exp) = (unset_vector(k, size.rows), unset_vector(k, size.rows));
    let mut predictions = indices(k, &[u32::MAX; 2]);
    let (logits, labels) = (activations(k, logits), indices(k, labels));
    k.cross_entropy_forward(&mut losses, &mut log_sum_exp, &mut predictions, &logits, &labels, size);
    let mut read_predictions = vec![0; size.rows];
    k.read_indices(&mut read_predictions, &predictions).unwrap();
    CrossEntropy {
        losses: read_vector(k, &losses, size.rows),
        log_sum_exp: read_vector(k, &log_sum_exp, size.rows),
        predictions: read_predictions,
    }
}

pub fn cross_entropy_backward<K: Kernels>(
    k: &K,
    logits: &[f64],
    log_sum_exp: &[f64],
    labels: &[u32],
    scale: f64,
    size: Size,
) -> Vec<f64> {
    let mut dlogits = activations(k, logits);
    k.cross_entropy_backward(&mut dlogits, &vector(k, log_sum_exp), &indices(k, labels), scale, size);
    read_activations(k, &dlogits, logits.len())
}
