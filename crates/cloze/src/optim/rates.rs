//! Learning rates that differ between the parts of a model.

use serde::{Deserialize, Serialize};

use crate::params::{Declaration, Parameter};

/// How the learning rate of a parameter follows from the run's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateSettings {
    /// What the rate is multiplied by for each step down from the head: heads and pooler have distance 0, the last
    /// layer 1, and so on down to the embeddings.
    pub layer_decay: f64,
    /// The peak of the rate of heads and pooler, instead of the run's.
    pub head_learning_rate: Option<f64>,
    /// The embeddings and so many layers stay as they are.
    pub frozen_layers: Option<usize>,
}

impl Default for RateSettings {
    fn default() -> RateSettings {
        RateSettings { layer_decay: 1.0, head_learning_rate: None, frozen_layers: None }
    }
}

impl RateSettings {
    /// What the rate of each declared parameter is of the run's, whose peak is `peak`; 0 where it is frozen.
    pub fn factors(&self, declaration: &Declaration, peak: f64) -> Vec<f64> {
        let layers = declaration.layout.layers.len();
        let factor = |parameter: &Parameter| match place(&parameter.name) {
            Place::Head => self.head_learning_rate.map_or(1.0, |rate| rate / peak),
            Place::Layer(index) if self.frozen_layers.is_some_and(|frozen| index < frozen) => 0.0,
            Place::Layer(index) => self.layer_decay.powi((layers - index) as i32),
            Place::Embeddings if self.frozen_layers.is_some() => 0.0,
            Place::Embeddings => self.layer_decay.powi(layers as i32 + 1),
        };
        declaration.parameters.iter().map(factor).collect()
    }
}

enum Place {
    Embeddings,
    Layer(usize),
    Head,
}

fn place(name: &str) -> Place {
    if name.starts_with("bert.embeddings.") {
        return Place::Embeddings;
    }
    let layer = name.strip_prefix("bert.encoder.layer.").and_then(|rest| rest.split('.').next()?.parse().ok());
    layer.map_or(Place::Head, Place::Layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::params::{HeadSet, TaskHead};

    fn factor_of(settings: RateSettings, name: &str) -> f64 {
        let heads = HeadSet { pooler: true, task: Some(TaskHead::Pooled(2)), ..HeadSet::default() };
        let declaration = Declaration::new(&Config::tiny(), heads);
        let at = declaration.parameters.iter().position(|parameter| parameter.name == name).unwrap();
        settings.factors(&declaration, 2e-5)[at]
    }

    #[test]
    fn rates_fall_from_the_head_to_the_embeddings() {
        let settings = RateSettings { layer_decay: 0.5, head_learning_rate: Some(1e-4), frozen_layers: None };
        for (name, factor) in [
            ("bert.embeddings.word_embeddings.weight", 0.125),
            ("bert.embeddings.LayerNorm.bias", 0.125),
            ("bert.encoder.layer.0.output.dense.weight", 0.25),
            ("bert.encoder.layer.1.attention.self.query.bias", 0.5),
            ("bert.pooler.dense.weight", 5.0),
            ("classifier.bias", 5.0),
        ] {
            assert!((factor_of(settings, name) - factor).abs() < 1e-12, "{name}");
        }
    }

    #[test]
    fn what_is_frozen_has_no_rate() {
        let settings = RateSettings { frozen_layers: Some(1), ..RateSettings::default() };
        assert_eq!(factor_of(settings, "bert.embeddings.LayerNorm.bias"), 0.0);
        assert_eq!(factor_of(settings, "bert.encoder.layer.0.output.dense.weight"), 0.0);
        assert_eq!(factor_of(settings, "bert.encoder.layer.1.output.dense.weight"), 1.0);
        assert_eq!(factor_of(settings, "classifier.weight"), 1.0);
    }
}
