//! The gradient of the whole model against finite differences, in f64 through the reference kernels,
//! with dropout, unequal lengths and rows that are left out in the last layer.

use cloze::Config;
use cloze::config::HiddenAct;
use cloze::heads::{Targets, TrainingBatch, WindowPooling};
use cloze::model::Batch;
use cloze::optim::{OptimizerKind, OptimizerSettings};
use cloze::params::{Declaration, HeadSet, TaskHead};
use cloze::random::{Purpose, Random};
use cloze::train::Trainer;
use cloze_kernels::Reference;

/// Central differences with this step have a truncation error of about 1e-8 relative, and rounding of
/// 1e-16 / 1e-5 on losses near 1.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;

fn config(act: HiddenAct) -> Config {
    Config {
        vocab_size: 19,
        hidden_size: 6,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 7,
        hidden_act: act,
        max_position_embeddings: 9,
        hidden_dropout_prob: 0.2,
        attention_probs_dropout_prob: 0.3,
        labels: vec!["a".into(), "b".into(), "c".into()],
        ..Config::tiny()
    }
}

fn batch() -> Batch {
    let mut batch = Batch::default();
    batch.push(&[2, 7, 8, 3, 9, 10, 3], &[0, 0, 0, 0, 1, 1, 1]);
    batch.push(&[2, 11, 3], &[0, 0, 0]);
    batch.push(&[2, 12, 7, 3, 18], &[0, 0, 0, 0, 1]);
    batch
}

fn check(config: &Config, heads: HeadSet, targets: Targets) {
    check_batch(config, heads, TrainingBatch::new(batch(), targets));
}

fn check_batch(config: &Config, heads: HeadSet, batch: TrainingBatch) {
    let declaration = Declaration::new(config, heads);
    let mut random = Random::new(3, Purpose::Sample, 0, 0);
    let weights: Vec<f32> = declaration
        .parameters
        .iter()
        .flat_map(|parameter| {
            let centre = if parameter.name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            (0..parameter.span.len).map(|_| (centre + 0.3 * random.normal()) as f32).collect::<Vec<f32>>()
        })
        .collect();
    let optimizer = OptimizerSettings::new(OptimizerKind::AdamW);
    let mut trainer = Trainer::new(Reference, config, &declaration, &weights, optimizer, 5).unwrap();
    let mut weights = trainer.weights().unwrap();
    trainer.compute_gradients(&batch, 2).unwrap();
    let gradients: Vec<Vec<f64>> =
        declaration.parameters.iter().map(|parameter| trainer.gradient(&parameter.name).unwrap().unwrap()).collect();
    for (parameter, gradient) in declaration.parameters.iter().zip(gradients) {
        // Large tensors are sampled; of the others every element is checked.
        let stride = (gradient.len() / 40).max(1);
        let (mut error, mut norm) = (0.0f64, 0.0f64);
        for (index, found) in gradient.iter().enumerate().step_by(stride) {
            let at = parameter.span.start + index;
            let centre = weights[at];
            let mut loss_at = |value: f64| {
                weights[at] = value;
                trainer.set_weights(&weights).unwrap();
                trainer.compute_gradients(&batch, 1).unwrap().total()
            };
            let difference = (loss_at(centre + STEP) - loss_at(centre - STEP)) / (2.0 * STEP);
            weights[at] = centre;
            error += (found - difference).powi(2);
            norm += difference.powi(2);
        }
        let (error, norm) = (error.sqrt(), norm.sqrt());
        // What is added to all scores that a softmax compares leaves it as it is.
        let added_to_all = ["encoder.layer.1.output.LayerNorm.bias", "qa_outputs.bias"];
        let is_added =
            heads.task == Some(TaskHead::Span) && added_to_all.iter().any(|end| parameter.name.ends_with(end));
        if is_added || parameter.name.ends_with("attention.self.key.bias") {
            assert!(norm < 1e-8, "the gradient of `{}` is zero in exact arithmetic, found {norm:e}", parameter.name);
        } else {
            assert!(norm > 1e-4, "the gradient of `{}` is zero", parameter.name);
            assert!(error <= TOLERANCE * norm, "`{}`: relative error {:e}", parameter.name, error / norm);
        }
    }
}

fn pretraining_targets() -> Targets {
    Targets::Pretraining {
        masked_rows: vec![1, 4, 5, 11, 12],
        masked_labels: vec![7, 9, 13, 12, 7],
        next_sentence: Some(vec![1, 1, 1]),
    }
}

#[test]
fn pretraining() {
    let heads = HeadSet { pooler: true, mlm: true, nsp: true, task: None };
    for act in [HiddenAct::Gelu, HiddenAct::GeluNew] {
        check(&config(act), heads, pretraining_targets());
    }
}

#[test]
fn masked_language_model_alone() {
    let targets = Targets::Pretraining {
        masked_rows: vec![0, 1, 4, 8, 9, 13],
        masked_labels: vec![2, 7, 9, 13, 12, 7],
        next_sentence: None,
    };
    check(&config(HiddenAct::Gelu), HeadSet { mlm: true, ..HeadSet::default() }, targets);
}

#[test]
fn classification() {
    let heads = HeadSet { pooler: true, task: Some(TaskHead::Pooled(3)), ..HeadSet::default() };
    check(&config(HiddenAct::Gelu), heads, Targets::Classes(vec![2, 0, 1]));
}

#[test]
fn regression() {
    let config = Config { labels: vec!["value".into()], ..config(HiddenAct::GeluNew) };
    let heads = HeadSet { pooler: true, task: Some(TaskHead::Pooled(1)), ..HeadSet::default() };
    check(&config, heads, Targets::Values(vec![0.5, -1.0, 2.0]));
}

#[test]
fn several_labels_in_windows() {
    let heads = HeadSet { pooler: true, task: Some(TaskHead::Pooled(3)), ..HeadSet::default() };
    let targets = Targets::Labels(vec![vec![true, false, true], vec![false; 3]]);
    for pooling in [WindowPooling::Mean, WindowPooling::Max] {
        let batch = TrainingBatch {
            windows: vec![2, 1],
            weights: vec![0.5, 2.0],
            pooling,
            ..TrainingBatch::new(batch(), targets.clone())
        };
        check_batch(&config(HiddenAct::Gelu), heads, batch);
    }
}

#[test]
fn labels_of_words() {
    let heads = HeadSet { task: Some(TaskHead::Tokens(3)), ..HeadSet::default() };
    let targets =
        Targets::Words { rows: vec![1, 2, 4, 5, 8, 11, 12], counts: vec![1, 3, 1, 2], labels: vec![2, 0, 1, 1] };
    let batch = TrainingBatch { weights: vec![1.0, 0.3, 1.0, 4.0], ..TrainingBatch::new(batch(), targets) };
    check_batch(&config(HiddenAct::Gelu), heads, batch);
}

#[test]
fn answers() {
    let heads = HeadSet { task: Some(TaskHead::Span), ..HeadSet::default() };
    check(&config(HiddenAct::Gelu), heads, Targets::Spans(vec![(4, 5), (0, 0), (1, 3)]));
}
