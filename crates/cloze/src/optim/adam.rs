//! Adam with decoupled weight decay, as Google's BERT and as PyTorch run it.

use cloze_kernels::{AdamStep, Kernels};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::params::Declaration;

/// Which optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Google's AdamWeightDecay: epsilon 1e-6, no bias correction.
    BertAdam,
    /// PyTorch's AdamW: epsilon 1e-8, bias-corrected.
    #[serde(rename = "adamw")]
    AdamW,
}

/// The numbers of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
    /// Which rule.
    pub kind: OptimizerKind,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay, times the learning rate; none on biases and LayerNorm.
    pub weight_decay: f64,
    /// Largest norm of all gradients together.
    pub clip: f64,
    /// Whether moments are corrected for their start from zero, instead of the rule's own way.
    #[serde(default)]
    pub bias_correction: Option<bool>,
}

impl OptimizerSettings {
    /// The usual numbers of an optimizer.
    pub fn new(kind: OptimizerKind) -> OptimizerSettings {
        let epsilon = match kind {
            OptimizerKind::BertAdam => 1e-6,
            OptimizerKind::AdamW => 1e-8,
        };
        OptimizerSettings {
            kind,
            beta1: 0.9,
            beta2: 0.999,
            epsilon,
            weight_decay: 0.01,
            clip: 1.0,
            bias_correction: None,
        }
    }
}

/// The norm of all gradients together. One that is not finite is an error that names the tensor.
pub fn gradient_norm<K: Kernels>(
    kernels: &K,
    gradients: &K::Vector,
    declaration: &Declaration,
    step: u64,
) -> Result<f64, Error> {
    let mut sum = 0.0;
    for parameter in &declaration.parameters {
        let squares = kernels.sum_of_squares(gradients, parameter.span)?;
        if !squares.is_finite() {
            let what = format!("the gradient of `{}`", parameter.name);
            return Err(Error::NotFinite { step, what, value: squares });
        }
        sum += squares;
    }
    Ok(sum.sqrt())
}

/// What gradients of norm `norm` are multiplied by: TensorFlow's `clip / max(norm, clip)` for Google's
/// optimizer, PyTorch's `min(1, clip / (norm + 1e-6))` for its own.
pub fn clip_scale(settings: &OptimizerSettings, norm: f64) -> f64 {
    match settings.kind {
        OptimizerKind::BertAdam => settings.clip / norm.max(settings.clip),
        OptimizerKind::AdamW => (settings.clip / (norm + 1e-6)).min(1.0),
    }
}

/// The numbers of step number `step`, from 0, for parameters with or without decay.
pub fn adam_step(
    settings: &OptimizerSettings,
    learning_rate: f64,
    gradient_scale: f64,
    step: u64,
    decay: bool,
) -> AdamStep {
    let corrected = settings.bias_correction.unwrap_or(settings.kind == OptimizerKind::AdamW);
    let correction = |beta: f64| if corrected { 1.0 - beta.powf((step + 1) as f64) } else { 1.0 };
    AdamStep {
        learning_rate,
        beta1: settings.beta1,
        beta2: settings.beta2,
        epsilon: settings.epsilon,
        weight_decay: if decay { settings.weight_decay } else { 0.0 },
        gradient_scale,
        bias_correction1: correction(settings.beta1),
        bias_correction2: correction(settings.beta2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_corrected_as_the_rule_or_the_settings_say() {
        for (kind, bias_correction, expected) in [
            (OptimizerKind::BertAdam, None, 1.0),
            (OptimizerKind::AdamW, None, 1.0 - 0.9 * 0.9),
            (OptimizerKind::BertAdam, Some(true), 1.0 - 0.9 * 0.9),
            (OptimizerKind::AdamW, Some(false), 1.0),
        ] {
            let settings = OptimizerSettings { bias_correction, ..OptimizerSettings::new(kind) };
            let found = adam_step(&settings, 1e-3, 1.0, 1, true).bias_correction1;
            assert!((found - expected).abs() < 1e-12, "{kind:?}, {bias_correction:?}: {found}");
        }
    }

    #[test]
    fn small_gradients_are_left_alone() {
        assert_eq!(clip_scale(&OptimizerSettings::new(OptimizerKind::BertAdam), 0.5), 1.0);
        assert_eq!(clip_scale(&OptimizerSettings::new(OptimizerKind::AdamW), 0.5), 1.0);
        assert_eq!(clip_scale(&OptimizerSettings::new(OptimizerKind::BertAdam), 4.0), 0.25);
        assert!((clip_scale(&OptimizerSettings::new(OptimizerKind::AdamW), 4.0) - 0.25).abs() < 1e-7);
    }
}
