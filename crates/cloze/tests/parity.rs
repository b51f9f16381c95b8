//! Parity with PyTorch and transformers on tiny random models: every parameter, biases and LayerNorm
//! too, is random at a scale of 0.3, so that attention is far from uniform and activations reach their
//! tails. The fixtures come from `checks/python/make_parity_fixture.py`.

mod common;

use cloze::heads::{LinearTape, MlmTape, Targets, TrainingBatch, first_rows, linear_logits, mlm_logits};
use cloze::model::{Keep, Network, PackedBatch, PoolerTape, Tape, encoder_forward, pooler_forward};
use cloze::optim::{Decay, OptimizerKind, OptimizerSettings, Schedule};
use cloze::params::Declaration;
use cloze::train::Trainer;
use cloze_kernels::{Cpu, Kernels, Purpose};

use common::{Fixture, GRADIENTS, OUTPUTS, PRETRAINING, classifier, no_optimizer};

fn for_each_activation(check: impl Fn(&Fixture)) {
    for activation in ["gelu", "gelu_new", "relu"] {
        println!("{activation}");
        check(&Fixture::open(activation));
    }
}

#[test]
fn hidden_states_of_every_layer_match() {
    for_each_activation(|fixture| {
        let trainer = fixture.trainer(PRETRAINING, no_optimizer());
        let network = trainer.network();
        let kernels = &network.kernels;
        let mut tape = Tape::new(kernels, &fixture.config, Keep::HiddenStates).unwrap();
        let batch = fixture.batch();
        let mut packed = PackedBatch::new(kernels);
        packed.write(kernels, &batch, 0).unwrap();
        encoder_forward(network, &mut tape, &packed, None, None).unwrap();
        for layer in 0..=fixture.config.num_hidden_layers {
            let mut found = vec![0.0; batch.tokens() * fixture.config.hidden_size];
            kernels.read_activations(&mut found, &tape.hidden[layer]).unwrap();
            let found: Vec<f64> = found.into_iter().map(f64::from).collect();
            fixture.assert_near(&format!("hidden_states.{layer}"), &found, OUTPUTS);
        }
    });
}

#[test]
fn logits_of_every_head_pooled_output_and_attention_match() {
    for_each_activation(|fixture| {
        let batch = fixture.batch();
        let (sequences, hidden) = (batch.sequences(), fixture.config.hidden_size);
        for (task, heads) in
            [("pretraining", PRETRAINING), ("classification", classifier(3)), ("regression", classifier(1))]
        {
            let trainer = fixture.trainer(heads, no_optimizer());
            let network = trainer.network();
            let kernels = &network.kernels;
            let read = |buffer: &Vec<f32>, len: usize| -> Vec<f64> {
                let mut values = vec![0.0; len];
                kernels.read_activations(&mut values, buffer).unwrap();
                values.into_iter().map(f64::from).collect()
            };
            let mut tape = Tape::new(kernels, &fixture.config, Keep::Everything).unwrap();
            let mut packed = PackedBatch::new(kernels);
            packed.write(kernels, &batch, 0).unwrap();
            encoder_forward(network, &mut tape, &packed, None, None).unwrap();
            let last = &tape.hidden[fixture.config.num_hidden_layers];
            let (mut pooler, mut first) = (PoolerTape::new(kernels).unwrap(), kernels.indices());
            kernels.write_indices(&mut first, first_rows(&batch)).unwrap();
            pooler_forward(network, &mut pooler, last, &first, sequences).unwrap();
            fixture.assert_near("pooled_output", &read(&pooler.pooled, sequences * hidden), OUTPUTS);

            let (head, labels) = match heads.task {
                Some(head) => (network.parameters.task.as_ref().unwrap(), head.outputs()),
                None => (network.parameters.nsp.as_ref().unwrap(), 2),
            };
            let mut tape_of_head = LinearTape::new(kernels).unwrap();
            linear_logits(network, &mut tape_of_head, &pooler.pooled, head, labels, None, sequences).unwrap();
            let name = if task == "pretraining" { "nsp" } else { task };
            fixture.assert_near(&format!("{name}_logits"), &read(tape_of_head.logits(), sequences * labels), OUTPUTS);
            if heads.mlm {
                let rows = &fixture.integers["batch.masked_lm_positions"];
                let mut mlm = MlmTape::new(kernels).unwrap();
                mlm_logits(network, &mut mlm, last, rows).unwrap();
                let logits = read(mlm.logits(), rows.len() * fixture.config.vocab_size);
                fixture.assert_near("mlm_logits", &logits, OUTPUTS);
            }
            for (index, layer) in tape.layers.iter().enumerate() {
                let name = format!("attention_probs.{index}");
                let mut probabilities = kernels.vector(fixture.expected[&name].len()).unwrap();
                let (starts, heads) = (packed.all_starts(), fixture.config.heads());
                let (q, kv, log_sum_exp) = (&layer.q, &layer.kv, &layer.log_sum_exp);
                kernels.attention_probabilities(&mut probabilities, q, kv, log_sum_exp, starts, heads);
                let found: Vec<f64> = probabilities.into_iter().map(f64::from).collect();
                fixture.assert_near(&name, &found, OUTPUTS);
            }
        }
    });
}

#[test]
fn losses_and_gradients_of_pretraining_match() {
    for_each_activation(|fixture| {
        let mut trainer = fixture.trainer(PRETRAINING, no_optimizer());
        let losses = trainer.compute_gradients(&fixture.pretraining(), 1).unwrap();
        fixture.assert_near("masked_lm_loss", &[losses.mlm.mean_loss()], OUTPUTS);
        fixture.assert_near("next_sentence_loss", &[losses.nsp.mean_loss()], OUTPUTS);
        fixture.assert_near("pretraining_loss", &[losses.total()], OUTPUTS);
        fixture.assert_gradients("pretraining", &trainer);
    });
}

#[test]
fn losses_and_gradients_of_classification_and_regression_match() {
    for_each_activation(|fixture| {
        let labels = fixture.integers["batch.class_labels"].clone();
        let values = fixture.expected["batch.regression_targets"].clone();
        for (task, heads, targets) in [
            ("classification", classifier(3), Targets::Classes(labels)),
            ("regression", classifier(1), Targets::Values(values)),
        ] {
            let mut trainer = fixture.trainer(heads, no_optimizer());
            let batch = TrainingBatch::new(fixture.batch(), targets);
            let losses = trainer.compute_gradients(&batch, 1).unwrap();
            fixture.assert_near(&format!("{task}_loss"), &[losses.total()], OUTPUTS);
            fixture.assert_gradients(task, &trainer);
        }
    });
}

#[test]
fn weights_after_ten_steps_match() {
    for_each_activation(|fixture| {
        // The numbers of `settings.json`.
        for (name, kind, peak) in [("bert_adam", OptimizerKind::BertAdam, 2e-3), ("adamw", OptimizerKind::AdamW, 3e-3)]
        {
            let schedule = Schedule { peak, warmup_steps: 3, total_steps: 16, kind, decay: Decay::Linear };
            let optimizer = OptimizerSettings { weight_decay: 0.1, ..OptimizerSettings::new(kind) };
            let mut trainer = fixture.trainer(PRETRAINING, optimizer);
            let batch = fixture.pretraining();
            for step in 0..10 {
                let report = trainer.step(&batch, 1, schedule.rate(step)).unwrap();
                let expected = f64::from(fixture.expected[&format!("{name}.losses")][step as usize]);
                assert!((report.losses.total() / expected - 1.0).abs() < 1e-4, "{name}: loss of step {step}");
            }
            let weights = trainer.weights().unwrap();
            for parameter in &trainer.declaration().parameters {
                // The key biases' gradient is rounding noise, which Adam scales up to full steps.
                if !parameter.name.ends_with("attention.self.key.bias") {
                    let tensor = format!("{name}.weights.{}", parameter.name);
                    fixture.assert_near(&tensor, &weights[parameter.span.range()], GRADIENTS);
                }
            }
        }
    });
}

#[test]
fn accumulation_recomputation_and_threads_leave_every_bit() {
    let fixture = Fixture::open("gelu");
    let mut config = fixture.config.clone();
    config.hidden_dropout_prob = 0.1;
    config.attention_probs_dropout_prob = 0.1;
    let declaration = Declaration::new(&config, PRETRAINING);
    let mut weights = vec![0.0; declaration.len];
    for parameter in &declaration.parameters {
        weights[parameter.span.range()].copy_from_slice(&fixture.weights[&parameter.name]);
    }
    let run = |threads, parts, recompute| {
        let kernels = Cpu::new(threads).unwrap();
        let optimizer = OptimizerSettings::new(OptimizerKind::BertAdam);
        let mut trainer = Trainer::new(kernels, &config, &declaration, &weights, optimizer, 7).unwrap();
        if recompute {
            trainer.recompute().unwrap();
        }
        for _ in 0..5 {
            trainer.step(&fixture.pretraining(), parts, 1e-3).unwrap();
        }
        trainer.state().unwrap().weights.iter().map(|value| value.to_bits()).collect::<Vec<u32>>()
    };
    let expected = run(1, 1, false);
    assert_eq!(expected, run(2, 1, false), "two threads");
    assert_eq!(expected, run(3, 4, false), "three threads, four parts");
    assert_eq!(expected, run(2, 3, false), "three unequal parts");
    assert_eq!(expected, run(2, 1, true), "recomputed");
    let initial: Vec<u32> = weights.iter().map(|value| value.to_bits()).collect();
    assert_ne!(expected, initial);
}

#[test]
fn the_network_is_built_for_inference_too() {
    let fixture = Fixture::open("relu");
    let declaration = Declaration::new(&fixture.config, PRETRAINING);
    let kernels = Cpu::new(1).unwrap();
    let weights = kernels.vector(declaration.len).unwrap();
    assert!(Network::new(kernels, &fixture.config, &declaration, &weights, Purpose::Inference).is_ok());
}
