//! The gradient of a batch has the same bits in any number of parts, in every precision that trains: for each kind of
//! targets, on sequences and rows of odd lengths, with dropout, with and without a second forward.

use cloze::Config;
use cloze::heads::{Losses, Targets, TrainingBatch};
use cloze::model::Batch;
use cloze::optim::{OptimizerKind, OptimizerSettings};
use cloze::params::{Declaration, HeadSet, TaskHead};
use cloze::random::{Purpose, Random};
use cloze::train::Trainer;
use cloze_kernels::{Cpu, Precision};

/// Odd and even lengths, in an order in which nearly every cut leaves an odd number of tokens on one side.
const LENGTHS: [usize; 11] = [7, 1, 13, 5, 2, 9, 3, 16, 8, 11, 31];

fn config(labels: usize) -> Config {
    Config {
        vocab_size: 61,
        hidden_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 80,
        max_position_embeddings: 128,
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        labels: (0..labels).map(|label| format!("LABEL_{label}")).collect(),
        ..Config::tiny()
    }
}

fn batch(lengths: &[usize]) -> Batch {
    let mut batch = Batch::default();
    for (sequence, &len) in lengths.iter().enumerate() {
        let mut random = Random::new(1, Purpose::Sample, sequence as u64, 0);
        let ids: Vec<u32> = (0..len).map(|_| random.below(61) as u32).collect();
        let types: Vec<u32> = (0..len).map(|at| u32::from(at > len / 2)).collect();
        batch.push(&ids, &types);
    }
    batch
}

/// About a share of the rows of a batch, ascending.
fn some_rows(batch: &Batch, share: f64) -> Vec<u32> {
    let mut random = Random::new(2, Purpose::Sample, 0, 0);
    (0..batch.tokens() as u32).filter(|_| random.uniform() < share).collect()
}

fn pretraining(batch: Batch, share: f64, next_sentence: bool) -> TrainingBatch {
    let masked_rows = some_rows(&batch, share);
    let masked_labels = masked_rows.iter().map(|row| row * 7 % 61).collect();
    let next_sentence = next_sentence.then(|| (0..batch.sequences() as u32).map(|at| at % 2).collect());
    TrainingBatch::new(batch, Targets::Pretraining { masked_rows, masked_labels, next_sentence })
}

/// The bits of all gradients, parameter by parameter, and the losses.
fn gradients(
    config: &Config,
    heads: HeadSet,
    batch: &TrainingBatch,
    precision: Precision,
    parts: usize,
    recompute: bool,
) -> (Vec<(String, Vec<u64>)>, Losses) {
    let declaration = Declaration::new(config, heads);
    let mut random = Random::new(3, Purpose::Sample, 0, 0);
    let weights: Vec<f32> = (0..declaration.len).map(|_| 0.2 * random.normal() as f32).collect();
    let optimizer = OptimizerSettings::new(OptimizerKind::AdamW);
    let cpu = Cpu::with_precision(2, precision).unwrap();
    let mut trainer = Trainer::new(cpu, config, &declaration, &weights, optimizer, 5).unwrap();
    if recompute {
        trainer.recompute().unwrap();
    }
    let losses = trainer.compute_gradients(batch, parts).unwrap();
    let of = |name: &str| trainer.gradient(name).unwrap().unwrap().into_iter().map(f64::to_bits).collect();
    (declaration.parameters.iter().map(|parameter| (parameter.name.clone(), of(&parameter.name))).collect(), losses)
}

fn check(what: &str, labels: usize, heads: HeadSet, batch: &TrainingBatch) {
    let config = config(labels);
    for precision in [Precision::F32, Precision::Bf16] {
        let (whole, losses) = gradients(&config, heads, batch, precision, 1, false);
        for (name, gradient) in &whole {
            assert!(gradient.iter().any(|&bits| f64::from_bits(bits) != 0.0), "{what}: the gradient of {name} is zero");
        }
        for parts in 1..=batch.examples() {
            for recompute in [false, true] {
                let (found, found_losses) = gradients(&config, heads, batch, precision, parts, recompute);
                assert_eq!(found_losses, losses, "{what} in {precision:?}, {parts} parts");
                for ((name, found), (_, expected)) in found.iter().zip(&whole) {
                    assert!(
                        found == expected,
                        "{what} in {precision:?}: {name} in {parts} parts, recompute {recompute}"
                    );
                }
            }
        }
    }
}

#[test]
fn pretraining_with_both_heads() {
    let heads = HeadSet { pooler: true, mlm: true, nsp: true, task: None };
    check("mlm+nsp", 0, heads, &pretraining(batch(&LENGTHS), 0.3, true));
}

#[test]
fn masked_tokens_that_take_several_turns() {
    let heads = HeadSet { mlm: true, ..HeadSet::default() };
    let batch = batch(&[61, 13, 100, 27, 99, 75]);
    let batch = pretraining(batch, 0.95, false);
    assert!(batch.totals().masked > cloze::heads::ROWS_AT_A_TIME);
    check("mlm", 0, heads, &batch);
}

fn pooled(labels: usize) -> HeadSet {
    HeadSet { pooler: true, task: Some(TaskHead::Pooled(labels)), ..HeadSet::default() }
}

#[test]
fn classification_and_regression() {
    let count = LENGTHS.len();
    let classes = Targets::Classes((0..count as u32).map(|at| at * 5 % 3).collect());
    check("classification", 3, pooled(3), &TrainingBatch::new(batch(&LENGTHS), classes));
    let values = Targets::Values((0..count).map(|at| at as f32 * 0.3 - 1.0).collect());
    check("regression", 1, pooled(1), &TrainingBatch::new(batch(&LENGTHS), values));
}

#[test]
fn several_labels_in_windows() {
    let windows = vec![1, 3, 2, 1, 1, 3];
    let labels = (0..windows.len()).map(|at| (0..3).map(|label| (at + label) % 2 == 0).collect()).collect();
    let batch = TrainingBatch { windows, ..TrainingBatch::new(batch(&LENGTHS), Targets::Labels(labels)) };
    check("multi-label", 3, pooled(3), &batch);
}

#[test]
fn labels_of_words() {
    let batch = batch(&LENGTHS);
    let rows = some_rows(&batch, 0.6);
    let counts = vec![1; rows.len()];
    let labels = rows.iter().map(|row| row % 4).collect();
    let heads = HeadSet { task: Some(TaskHead::Tokens(4)), ..HeadSet::default() };
    check("tokens", 4, heads, &TrainingBatch::new(batch, Targets::Words { rows, counts, labels }));
}

#[test]
fn answers() {
    let spans = LENGTHS.iter().map(|&len| (len as u32 / 3, len as u32 / 2)).collect();
    let heads = HeadSet { task: Some(TaskHead::Span), ..HeadSet::default() };
    check("answers", 2, heads, &TrainingBatch::new(batch(&LENGTHS), Targets::Spans(spans)));
}
