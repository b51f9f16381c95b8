//! Parity of the tasks with PyTorch and transformers: tokens, answers, several labels, class weights, windows, rates
//! that differ between parts of the model, and the directories in which such models are kept. The fixture comes from
//! `checks/python/make_task_fixture.py`.

mod common;

use std::collections::BTreeMap;
use std::fs;

use cloze::Config;
use cloze::checkpoint::{self, Checkpoint};
use cloze::heads::{LinearTape, Targets, TrainingBatch, WindowPooling, linear_logits};
use cloze::model::{Keep, PackedBatch, Tape, encoder_forward};
use cloze::optim::{Decay, OptimizerKind, OptimizerSettings, RateSettings, Schedule};
use cloze::params::{Declaration, HeadSet, TaskHead};
use cloze_kernels::Kernels;
use serde_json::Value;

use common::{Fixture, GRADIENTS, OUTPUTS, classifier, fixture_folder, no_optimizer};

const TOKENS: HeadSet = HeadSet { pooler: false, mlm: false, nsp: false, task: Some(TaskHead::Tokens(3)) };
const ANSWERS: HeadSet = HeadSet { pooler: false, mlm: false, nsp: false, task: Some(TaskHead::Span) };

/// Where a target counts as much as its class.
fn weighted(fixture: &Fixture, batch: TrainingBatch, classes: &[u32]) -> TrainingBatch {
    let of_classes = &fixture.expected["batch.class_weights"];
    TrainingBatch { weights: classes.iter().map(|&class| f64::from(of_classes[class as usize])).collect(), ..batch }
}

/// The tasks by their names in the fixture, with the heads that they need.
fn tasks(fixture: &Fixture) -> Vec<(&'static str, HeadSet, TrainingBatch)> {
    let batch_of = |targets| TrainingBatch::new(fixture.batch(), targets);
    let integers = |name: &str| fixture.integers[&format!("batch.{name}")].clone();
    let (rows, row_labels) = (integers("labelled_rows"), integers("row_labels"));
    let tokens = batch_of(Targets::Words { counts: vec![1; rows.len()], rows, labels: row_labels.clone() });
    let answers = integers("answers").as_chunks::<2>().0.iter().map(|&[start, end]| (start, end)).collect();
    let labels = integers("label_sets").as_chunks::<3>().0.iter().map(|own| own.map(|has| has == 1).to_vec()).collect();
    let classes = integers("class_labels");
    let windows = |pooling| TrainingBatch {
        windows: integers("windows"),
        pooling,
        ..batch_of(Targets::Classes(integers("window_labels")))
    };
    vec![
        ("tokens", TOKENS, tokens.clone()),
        ("weighted_tokens", TOKENS, weighted(fixture, tokens, &row_labels)),
        ("answers", ANSWERS, batch_of(Targets::Spans(answers))),
        ("labels", classifier(3), batch_of(Targets::Labels(labels))),
        ("weighted_classes", classifier(3), weighted(fixture, batch_of(Targets::Classes(classes.clone())), &classes)),
        ("windows_mean", classifier(3), windows(WindowPooling::Mean)),
        ("windows_max", classifier(3), windows(WindowPooling::Max)),
    ]
}

#[test]
fn losses_and_gradients_of_every_task_match() {
    let fixture = Fixture::open_tasks();
    for (task, heads, batch) in tasks(&fixture) {
        let mut trainer = fixture.trainer(heads, no_optimizer());
        let losses = trainer.compute_gradients(&batch, 1).unwrap();
        fixture.assert_near(&format!("{task}_loss"), &[losses.total()], OUTPUTS);
        fixture.assert_gradients(task, &trainer);
    }
}

#[test]
fn parts_leave_every_bit_of_every_task() {
    let fixture = Fixture::open_tasks();
    for (task, heads, batch) in tasks(&fixture) {
        let bits = |parts| {
            let mut trainer = fixture.trainer(heads, no_optimizer());
            let loss = trainer.compute_gradients(&batch, parts).unwrap().total();
            let names = trainer.declaration().parameters.iter().map(|parameter| &parameter.name);
            let gradients = names.flat_map(|name| trainer.gradient(name).unwrap().unwrap());
            gradients.chain([loss]).map(f64::to_bits).collect::<Vec<u64>>()
        };
        assert!(bits(1) == bits(2), "{task}: two parts");
        assert!(bits(1) == bits(4), "{task}: four parts");
    }
}

#[test]
fn logits_of_tokens_and_answers_match() {
    let fixture = Fixture::open_tasks();
    for (task, heads, outputs) in [("tokens", TOKENS, 3), ("answers", ANSWERS, 2)] {
        let trainer = fixture.trainer(heads, no_optimizer());
        let network = trainer.network();
        let kernels = &network.kernels;
        let batch = fixture.batch();
        let mut tape = Tape::new(kernels, &fixture.config, Keep::HiddenStates).unwrap();
        let mut packed = PackedBatch::new(kernels);
        packed.write(kernels, &batch, 0).unwrap();
        encoder_forward(network, &mut tape, &packed, None, None).unwrap();
        let (last, head) = (&tape.hidden[fixture.config.num_hidden_layers], network.parameters.task.as_ref().unwrap());
        let mut logits = LinearTape::new(kernels).unwrap();
        linear_logits(network, &mut logits, last, head, outputs, None, batch.tokens()).unwrap();
        let mut found = vec![0.0; batch.tokens() * outputs];
        kernels.read_activations(&mut found, logits.logits()).unwrap();
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        fixture.assert_near(&format!("{task}_logits"), &found, OUTPUTS);
    }
}

#[test]
fn pooled_logits_of_windows_match() {
    let fixture = Fixture::open_tasks();
    let logits: Vec<f64> = fixture.expected["classification_logits"].iter().map(|&logit| f64::from(logit)).collect();
    for (name, pooling) in [("windows_mean", WindowPooling::Mean), ("windows_max", WindowPooling::Max)] {
        let mut rest = &logits[..];
        let mut found = Vec::new();
        for &windows in &fixture.integers["batch.windows"] {
            let (own, after) = rest.split_at(3 * windows as usize);
            found.extend(pooling.pool(own, 3));
            rest = after;
        }
        fixture.assert_near(&format!("{name}_logits"), &found, OUTPUTS);
    }
}

#[test]
fn weights_after_ten_steps_with_rates_of_their_own_match() {
    let fixture = Fixture::open_tasks();
    // The numbers of the script, and of `settings.json`.
    let (kind, peak) = (OptimizerKind::AdamW, 3e-3);
    let rates = RateSettings { layer_decay: 0.6, head_learning_rate: Some(5e-3), frozen_layers: None };
    let frozen = RateSettings { layer_decay: 0.5, head_learning_rate: None, frozen_layers: Some(1) };
    for (name, rates) in [("rates", rates), ("frozen", frozen)] {
        let schedule = Schedule { peak, warmup_steps: 3, total_steps: 16, kind, decay: Decay::Linear };
        let optimizer = OptimizerSettings { weight_decay: 0.1, ..OptimizerSettings::new(kind) };
        let mut trainer = fixture.trainer(classifier(3), optimizer);
        trainer.set_rates(&rates, peak);
        let classes = fixture.integers["batch.class_labels"].clone();
        let batch = TrainingBatch::new(fixture.batch(), Targets::Classes(classes));
        for step in 0..10 {
            let report = trainer.step(&batch, 1, schedule.rate(step)).unwrap();
            let expected = f64::from(fixture.expected[&format!("{name}.losses")][step as usize]);
            assert!((report.losses.total() / expected - 1.0).abs() < 1e-4, "{name}: loss of step {step}");
        }
        let weights = trainer.weights().unwrap();
        for parameter in &trainer.declaration().parameters {
            let (parameter_name, found) = (&parameter.name, &weights[parameter.span.range()]);
            let is_low =
                ["bert.embeddings.", "bert.encoder.layer.0."].iter().any(|low| parameter_name.starts_with(low));
            if is_low && rates.frozen_layers.is_some() {
                let before = fixture.weights[parameter_name].iter().map(|&weight| f64::from(weight));
                assert!(found.iter().copied().eq(before), "{name}: `{parameter_name}` has changed");
            } else if !parameter_name.ends_with("attention.self.key.bias") {
                // The key biases' gradient is rounding noise, which Adam scales up to full steps.
                fixture.assert_near(&format!("{name}.weights.{parameter_name}"), found, GRADIENTS);
            }
        }
    }
}

/// The shapes of the tensors in a file by their names.
fn shapes(path: &std::path::Path) -> BTreeMap<String, Vec<usize>> {
    let bytes = fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    tensors.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec())).collect()
}

/// The heads by their keys in `heads.json`, which holds what transformers' save_pretrained writes of each.
const KEPT: [(&str, HeadSet); 4] = [
    ("BertForTokenClassification", TOKENS),
    ("BertForQuestionAnswering", ANSWERS),
    ("multi_label_classification", HeadSet { pooler: true, mlm: false, nsp: false, task: Some(TaskHead::Pooled(3)) }),
    ("single_label_classification", HeadSet { pooler: true, mlm: false, nsp: false, task: Some(TaskHead::Pooled(3)) }),
];

#[test]
fn directories_are_those_of_transformers() {
    let fixture = Fixture::open_tasks();
    let expected: Value =
        serde_json::from_slice(&fs::read(fixture_folder("gelu").join("heads.json")).unwrap()).unwrap();
    for (kind, heads) in KEPT {
        let expected = &expected[kind];
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));

        // Theirs is read with the same heads, and nothing is missing or left over.
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("config.json"), expected["config"].to_string()).unwrap();
        let of_tensor = |(name, shape): (&String, &Value)| {
            let shape = shape.as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect();
            (name.clone(), shape)
        };
        let names: BTreeMap<String, Vec<usize>> =
            expected["tensors"].as_object().unwrap().iter().map(of_tensor).collect();
        let tensors: Vec<(String, Vec<usize>, &[f32])> =
            names.iter().map(|(name, shape)| (name.clone(), shape.clone(), &fixture.weights[name][..])).collect();
        checkpoint::write_tensors(&theirs.join("model.safetensors"), &tensors, &[]).unwrap();
        let read = Checkpoint::open(&theirs).unwrap();
        assert_eq!(read.heads(), heads, "{kind}");
        let declaration = Declaration::new(read.config(), heads);
        let mut weights = vec![0.0; declaration.len];
        let report = read.read(&declaration, &mut weights).unwrap();
        assert!(report.missing.is_empty() && report.unused.is_empty(), "{kind}: {report:?}");

        // Ours has the same tensors, and every key that decides how theirs is made. A head for answers has two
        // outputs, whatever labels the model had before.
        let labels = ["O", "B-PER", "I-PER"].map(String::from).to_vec();
        let config = Config { labels, problem_type: read.config().problem_type, ..fixture.config.clone() };
        checkpoint::save(&ours, &config, &declaration, &weights).unwrap();
        assert_eq!(shapes(&ours.join("model.safetensors")), names, "{kind}");
        let config: Value = serde_json::from_slice(&fs::read(ours.join("config.json")).unwrap()).unwrap();
        for key in ["architectures", "id2label", "label2id", "problem_type", "model_type", "hidden_act", "vocab_size"] {
            assert_eq!(config.get(key), expected["config"].get(key), "{kind}: {key}");
        }
    }
}
