//! The models and reference values that the tests of parity share.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::collections::HashMap;
use std::path::PathBuf;

use cloze::Config;
use cloze::checkpoint::Checkpoint;
use cloze::heads::{Targets, TrainingBatch};
use cloze::model::Batch;
use cloze::optim::{OptimizerKind, OptimizerSettings};
use cloze::params::{Declaration, HeadSet, TaskHead};
use cloze::train::Trainer;
use cloze_kernels::Cpu;

/// Relative error, in the tensor's norm, of hidden states, logits and losses in f32: a few roundings a
/// layer. PyTorch's own f32 differs from its f64 by a few 1e-6 here.
pub const OUTPUTS: f64 = 1e-5;
/// The same of gradients, and of weights after ten steps: rounding is amplified backwards.
pub const GRADIENTS: f64 = 1e-4;

pub struct Fixture {
    pub config: Config,
    pub weights: HashMap<String, Vec<f32>>,
    pub expected: HashMap<String, Vec<f32>>,
    pub integers: HashMap<String, Vec<u32>>,
}

fn read(path: PathBuf, floats: &mut HashMap<String, Vec<f32>>, integers: &mut HashMap<String, Vec<u32>>) {
    let bytes = std::fs::read(&path).unwrap();
    for (name, view) in safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors() {
        let words = view.data().as_chunks::<4>().0;
        match view.dtype() {
            safetensors::Dtype::F32 => {
                floats.insert(name, words.iter().map(|word| f32::from_le_bytes(*word)).collect());
            }
            safetensors::Dtype::U32 => {
                integers.insert(name, words.iter().map(|word| u32::from_le_bytes(*word)).collect());
            }
            other => panic!("{name} is {other:?}"),
        }
    }
}

pub fn fixture_folder(activation: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(activation)
}

impl Fixture {
    pub fn open(activation: &str) -> Fixture {
        let dir = fixture_folder(activation);
        let (mut weights, mut expected, mut integers) = (HashMap::new(), HashMap::new(), HashMap::new());
        read(dir.join("expected.safetensors"), &mut expected, &mut integers);
        read(dir.join("model.safetensors"), &mut weights, &mut integers);
        let mut regression = HashMap::new();
        read(dir.join("regression_head.safetensors"), &mut regression, &mut integers);
        weights.extend(regression.into_iter().map(|(name, values)| (format!("regression.{name}"), values)));
        let config = Checkpoint::open(&dir).unwrap().config().clone();
        Fixture { config, weights, expected, integers }
    }

    /// The model with gelu, and what is expected of the tasks.
    pub fn open_tasks() -> Fixture {
        let mut fixture = Fixture::open("gelu");
        let path = fixture_folder("gelu").join("tasks.safetensors");
        read(path, &mut fixture.expected, &mut fixture.integers);
        let head = fixture.expected.clone().into_iter().filter(|(name, _)| name.starts_with("qa_outputs."));
        fixture.weights.extend(head);
        fixture
    }

    pub fn batch(&self) -> Batch {
        Batch {
            ids: self.integers["batch.input_ids"].clone(),
            token_type_ids: self.integers["batch.token_type_ids"].clone(),
            starts: self.integers["batch.cu_seqlens"].clone(),
        }
    }

    pub fn pretraining(&self) -> TrainingBatch {
        let targets = Targets::Pretraining {
            masked_rows: self.integers["batch.masked_lm_positions"].clone(),
            masked_labels: self.integers["batch.masked_lm_ids"].clone(),
            next_sentence: Some(self.integers["batch.next_sentence_labels"].clone()),
        };
        TrainingBatch::new(self.batch(), targets)
    }

    pub fn trainer(&self, heads: HeadSet, optimizer: OptimizerSettings) -> Trainer<Cpu> {
        let mut config = self.config.clone();
        if heads.task == Some(TaskHead::Pooled(1)) {
            config.labels = vec!["LABEL_0".to_string()];
        }
        let declaration = Declaration::new(&config, heads);
        let mut weights = vec![0.0; declaration.len];
        for parameter in &declaration.parameters {
            let name = match heads.task {
                Some(TaskHead::Pooled(1)) if parameter.name.starts_with("classifier") => {
                    format!("regression.{}", parameter.name)
                }
                _ => parameter.name.clone(),
            };
            weights[parameter.span.range()].copy_from_slice(&self.weights[&name]);
        }
        Trainer::new(Cpu::new(2).unwrap(), &config, &declaration, &weights, optimizer, 1).unwrap()
    }

    /// `found` within `tolerance` of the expected tensor `name`, in the norm of the tensor.
    pub fn assert_near(&self, name: &str, found: &[f64], tolerance: f64) {
        let expected = &self.expected[name];
        assert_eq!(expected.len(), found.len(), "{name}");
        let error = expected.iter().zip(found).map(|(e, f)| (f64::from(*e) - f).powi(2)).sum::<f64>().sqrt();
        let norm = expected.iter().map(|e| f64::from(*e).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 0.0, "{name} is all zero");
        assert!(error <= tolerance * norm, "{name}: relative error {:e}, allowed {tolerance:e}", error / norm);
    }

    pub fn assert_gradients(&self, task: &str, trainer: &Trainer<Cpu>) {
        for parameter in &trainer.declaration().parameters {
            let found = trainer.gradient(&parameter.name).unwrap().unwrap();
            let norm = found.iter().map(|value| value * value).sum::<f64>().sqrt();
            if is_constant(task, &parameter.name) {
                assert!(norm < 1e-5, "{task}: the gradient of `{}` has norm {norm}", parameter.name);
                continue;
            }
            assert!(norm > 1e-6, "{task}: the gradient of `{}` is zero", parameter.name);
            self.assert_near(&format!("{task}.grad.{}", parameter.name), &found, GRADIENTS);
        }
    }
}

/// Whether a gradient is zero in exact arithmetic: what is added to all scores that a softmax compares leaves it as it
/// is. For answers that is what is added to all tokens, too.
fn is_constant(task: &str, name: &str) -> bool {
    let added_to_all = ["encoder.layer.1.output.LayerNorm.bias", "qa_outputs.bias"];
    name.ends_with("attention.self.key.bias") || task == "answers" && added_to_all.iter().any(|end| name.ends_with(end))
}

pub const PRETRAINING: HeadSet = HeadSet { pooler: true, mlm: true, nsp: true, task: None };

pub fn classifier(labels: usize) -> HeadSet {
    HeadSet { pooler: true, task: Some(TaskHead::Pooled(labels)), ..HeadSet::default() }
}

pub fn no_optimizer() -> OptimizerSettings {
    OptimizerSettings::new(OptimizerKind::AdamW)
}
