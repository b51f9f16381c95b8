//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

use super::OptimizerKind;

/// How the rate goes on after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// In a straight line to 0.
    #[default]
    Linear,
    /// Along half a cosine to 0.
    Cosine,
    /// Not at all.
    Constant,
}

/// Linear warm-up from 0, then decay, by default linear to 0 at the last step. Steps count from 0, so the first
/// update of a warm-up has rate 0.
///
/// Google's decay, and that of LAMB, is counted from step 0, which makes a small jump at the end of the warm-up;
/// Hugging Face's from the end of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The rate that warm-up leads to.
    pub peak: f64,
    /// Steps of warm-up.
    pub warmup_steps: u64,
    /// Steps in all.
    pub total_steps: u64,
    /// Whose rule.
    pub kind: OptimizerKind,
    /// How the rate falls.
    pub decay: Decay,
}

impl Schedule {
    /// The rate of step `step`, from 0.
    pub fn rate(&self, step: u64) -> f64 {
        self.rate_at(step as f64)
    }

    /// The rate at a place between two steps.
    pub(crate) fn rate_at(&self, step: f64) -> f64 {
        let (warmup, total) = (self.warmup_steps as f64, self.total_steps as f64);
        if step < warmup {
            return self.peak * step / warmup;
        }
        let left = match self.kind {
            OptimizerKind::BertAdam | OptimizerKind::Lamb => 1.0 - step / total,
            OptimizerKind::AdamW => (total - step) / (total - warmup).max(1.0),
        };
        self.peak
            * match self.decay {
                Decay::Linear => left.max(0.0),
                Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * (1.0 - left.max(0.0))).cos()),
                Decay::Constant => 1.0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(kind: OptimizerKind) -> Vec<f64> {
        let schedule = Schedule { peak: 1.0, warmup_steps: 2, total_steps: 10, kind, decay: Decay::Linear };
        (0..=10).map(|step| schedule.rate(step)).collect()
    }

    #[test]
    fn decay_is_counted_from_step_zero_or_from_the_end_of_warm_up() {
        let google = rates(OptimizerKind::BertAdam);
        assert_eq!(google[..3], [0.0, 0.5, 0.8]);
        assert!((google[9] - 0.1).abs() < 1e-12 && google[10] == 0.0);
        let hugging_face = rates(OptimizerKind::AdamW);
        assert_eq!(hugging_face[..4], [0.0, 0.5, 1.0, 0.875]);
        assert_eq!(hugging_face[10], 0.0);
    }

    #[test]
    fn no_warm_up_starts_at_the_peak() {
        let kind = OptimizerKind::AdamW;
        let schedule = Schedule { peak: 2.0, warmup_steps: 0, total_steps: 4, kind, decay: Decay::Linear };
        assert_eq!(schedule.rate(0), 2.0);
    }

    #[test]
    fn other_ways_to_fall() {
        let kind = OptimizerKind::AdamW;
        let rates = |decay| {
            let schedule = Schedule { peak: 2.0, warmup_steps: 1, total_steps: 5, kind, decay };
            (0..=5).map(|step| schedule.rate(step)).collect::<Vec<_>>()
        };
        assert_eq!(rates(Decay::Constant), [0.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
        let cosine = rates(Decay::Cosine);
        assert_eq!(cosine[..2], [0.0, 2.0]);
        assert!((cosine[3] - 1.0).abs() < 1e-12 && cosine[5].abs() < 1e-12);
        assert!((cosine[2] - (1.0 + 0.5_f64.sqrt())).abs() < 1e-12);
    }
}
