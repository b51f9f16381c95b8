//! Adam with decoupled weight decay, as Google's BERT and as PyTorch run it, and LAMB.

use cloze_kernels::{AdamStep, Kernels};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::params::{Declaration, Parameter};

/// Which optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Google's AdamWeightDecay: epsilon 1e-6, no bias correction.
    BertAdam,
    /// PyTorch's AdamW: epsilon 1e-8, bias-corrected.
    #[serde(rename = "adamw")]
    AdamW,
    /// LAMB (You et al. 2020), for large batches: epsilon 1e-6, bias-corrected, and the update of each tensor with decay
    /// in proportion to the tensor's norm.
    Lamb,
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
            OptimizerKind::BertAdam | OptimizerKind::Lamb => 1e-6,
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
/// optimizer and LAMB, PyTorch's `min(1, clip / (norm + 1e-6))` for its own.
pub fn clip_scale(settings: &OptimizerSettings, norm: f64) -> f64 {
    match settings.kind {
        OptimizerKind::BertAdam | OptimizerKind::Lamb => settings.clip / norm.max(settings.clip),
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
    let corrected = settings.bias_correction.unwrap_or(settings.kind != OptimizerKind::BertAdam);
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

/// The first half of a step of LAMB: changes the moments of all parameters whose rate is not 0, and gives what the
/// rate of each is multiplied by. That is `‖w‖ / ‖u‖`, `w` being the tensor and `u` its update at rate 1; and 1 where
/// one of them is 0 or the tensor has no decay.
///
/// The second half is a step that leaves the moments as they are: [`AdamStep`] with `beta1` and `beta2` 1.
#[allow(clippy::too_many_arguments)]
pub fn trust_ratios<K: Kernels>(
    kernels: &K,
    first_moments: &mut K::Vector,
    second_moments: &mut K::Vector,
    weights: &K::Vector,
    gradients: &K::Vector,
    parameters: &[Parameter],
    rate_factors: &[f64],
    step: impl Fn(bool) -> AdamStep,
) -> Result<Vec<f64>, Error> {
    let mut ratios = vec![1.0; parameters.len()];
    let changed = parameters.iter().zip(&mut ratios).zip(rate_factors).filter(|(_, factor)| **factor != 0.0);
    for ((parameter, ratio), _) in changed {
        let (at, step) = (parameter.span, step(parameter.decay));
        let update = kernels.adam_moments(first_moments, second_moments, weights, gradients, at, step)?.sqrt();
        let norm = kernels.sum_of_squares(weights, at)?.sqrt();
        if parameter.decay && norm > 0.0 && update > 0.0 {
            *ratio = norm / update;
        }
    }
    Ok(ratios)
}

#[cfg(test)]
mod tests {
    use cloze_kernels::{Cpu, Real as _, Reference, Span};

    use super::*;
    use crate::params::Initialization;

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

    /// Four steps on a matrix, a vector without decay, and zeros; every fourth number afterwards, as
    /// `checks/python/lamb_reference.py` prints it.
    #[test]
    fn lamb_is_that_of_timm() {
        let expected = [
            0.7665483922545477,
            -0.9614846300230828,
            0.4218303720837241,
            0.4263344050176439,
            -0.9792609776061321,
            0.8884884373242589,
            -0.07819228086121341,
            -0.6808491889407678,
            -0.3739566906168001,
            -0.4577525342294004,
            -0.009363760889341058,
            -0.010090831632238156,
        ];
        lamb(&Reference, &expected, 1e-12);
        lamb(&Cpu::new(1).unwrap(), &expected, 1e-6);
    }

    fn lamb<K: Kernels>(kernels: &K, expected: &[f64], tolerance: f64) {
        let sizes = [(30, true), (7, false), (5, true)];
        let mut parameters = Vec::new();
        let mut len = 0;
        for (size, decay) in sizes {
            let span = Span { start: len, len: size };
            let (name, initialization) = (format!("{len}"), Initialization::Zeros);
            parameters.push(Parameter { name, shape: vec![size], span, decay, initialization, role: None });
            len += size;
        }
        let vector = |number: &dyn Fn(usize) -> f64| {
            let numbers: Vec<K::Real> = (0..len).map(|at| K::Real::from_f64(number(at))).collect();
            let mut vector = kernels.vector(len).unwrap();
            kernels.write_vector(&mut vector, 0, &numbers).unwrap();
            (vector, numbers)
        };
        let settings = OptimizerSettings::new(OptimizerKind::Lamb);
        let mut weights = vector(&|at| if at < 37 { (1.0 + at as f64).sin() } else { 0.0 }).0;
        let (mut first, mut second) = (vector(&|_| 0.0).0, vector(&|_| 0.0).0);
        for (number, rate) in [0.01, 0.02, 0.02, 0.015].into_iter().enumerate() {
            let (gradients, numbers) = vector(&|at| (at as f64 * (number as f64 + 2.0)).cos());
            let norm = numbers.iter().map(|number| number.to_f64().powi(2)).sum::<f64>().sqrt();
            let clip = clip_scale(&settings, norm);
            let step = |rate, decay| adam_step(&settings, rate, clip, number as u64, decay);
            let moments = (&mut first, &mut second);
            let ratios =
                trust_ratios(kernels, moments.0, moments.1, &weights, &gradients, &parameters, &[1.0; 3], |decay| {
                    step(1.0, decay)
                });
            for (parameter, ratio) in parameters.iter().zip(ratios.unwrap()) {
                let step = AdamStep { beta1: 1.0, beta2: 1.0, ..step(rate * ratio, parameter.decay) };
                kernels.adam_step(&mut weights, &mut first, &mut second, &gradients, parameter.span, step, None);
            }
        }
        let mut after = vec![K::Real::from_f64(0.0); len];
        kernels.read_vector(&mut after, &weights, 0).unwrap();
        let found: Vec<f64> = parameters
            .iter()
            .flat_map(|parameter| after[parameter.span.range()].iter().step_by(4).map(|number| number.to_f64()))
            .collect();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < tolerance, "{found} instead of {expected}");
        }
    }
}
