//! `Cpu` against `Reference`: the suite, and what the norm of a tensor would not show.

mod common;

use cloze_kernels::{Activation, Cpu, Heads, Kernels, Reference, Size};
use common::attention::{self, Batch};
use common::buffers::Mask;
use common::layer_norm::{self, Norm};
use common::linear::{self, ACTIVATIONS, Layer};
use common::suite::assert_matches_reference;
use common::{arena_suite, loss, random, random_scaled, relative_error, rows, suite};

/// Even a machine with one core runs more than one thread, so that parts meet.
const THREADS: usize = 3;

fn cpu() -> Cpu {
    Cpu::new(THREADS).unwrap()
}

#[test]
fn linear_layers() {
    assert_matches_reference(&cpu(), &suite::linear_cases());
}

#[test]
fn activations() {
    assert_matches_reference(&cpu(), &suite::activated_cases());
}

#[test]
fn embeddings_gathering_and_dropout() {
    assert_matches_reference(&cpu(), &suite::rows_cases());
}

#[test]
fn layer_norms() {
    assert_matches_reference(&cpu(), &suite::layer_norm_cases());
}

#[test]
fn attentions() {
    assert_matches_reference(&cpu(), &suite::attention_cases());
}

#[test]
fn losses() {
    assert_matches_reference(&cpu(), &suite::loss_cases());
}

#[test]
fn arenas() {
    assert_matches_reference(&cpu(), &arena_suite::arena_cases());
}

// ---- dropout's masks ----------------------------------------------------------------------------

/// Asserts that the same elements are zero.
fn assert_same_zeros(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let zeros = expected.iter().filter(|x| **x == 0.0).count();
    assert!(zeros > 0 && zeros < expected.len(), "{what}: {zeros} of {} zeros show nothing", expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(*found == 0.0, *expected == 0.0, "{what}: element {i} is {found}, expected {expected}");
    }
}

#[test]
fn dropout_drops_the_same_elements() {
    for columns in [1, 7, 13, 37, 64] {
        for probability in [0.1, 0.5, 0.9] {
            let size = Size { rows: 37, columns };
            let mask = Mask::new(probability, &[1, 7, 29]);
            let ones = vec![1.0; size.rows * size.columns];
            let [found, expected] =
                [rows::dropout(&cpu(), &ones, &mask, size), rows::dropout(&Reference, &ones, &mask, size)];
            assert_same_zeros(&format!("{probability} of {columns} columns"), &found, &expected);
        }
    }
}

#[test]
fn layer_norm_drops_the_same_elements() {
    fn zeros<K: Kernels>(k: &K) -> [Vec<f64>; 2] {
        let size = Size { rows: 37, columns: 37 };
        let mask = Mask::new(0.3, &[30, 7]);
        let norm = Norm::random(1, size.columns);
        let (x, dy) = (vec![1.0; size.rows * size.columns], random(3, size.rows * size.columns));
        let forward = layer_norm::layer_norm_forward(k, &x, None, Some(&mask), &norm, size);
        let gradients = vec![0.0; norm.arena_len()];
        let backward = layer_norm::layer_norm_backward(k, false, &gradients, &dy, &forward, Some(&mask), &norm, size);
        // Of equal elements those that were dropped are the ones below the mean.
        [forward.normalized.iter().map(|x| x.max(0.0)).collect(), backward.dx]
    }
    for (what, (found, expected)) in ["forward", "backward"].iter().zip(zeros(&cpu()).iter().zip(&zeros(&Reference))) {
        assert_same_zeros(what, found, expected);
    }
}

#[test]
fn attention_drops_the_same_elements() {
    fn zeros<K: Kernels>(k: &K) -> [Vec<f64>; 2] {
        // Each value is a unit vector of its own, so that y is the row of probabilities. One query for
        // each sequence, so that in backward the gradient of a value is zero if its probability was dropped.
        let (keys, heads) = ([37, 7, 1, 20, 36], Heads { count: 3, size: 37 });
        let mut batch = Batch::random(1, &[1; 5], &keys, heads, 0.25).with_dropout(0.4);
        let rows = batch.kv.chunks_mut(2 * heads.columns()).zip(keys.into_iter().flat_map(|keys| 0..keys));
        for (row, key) in rows {
            let values = &mut row[heads.columns()..];
            values.fill(0.0);
            values.chunks_mut(heads.size).for_each(|value| value[key] = 1.0);
        }
        let forward = attention::attention_forward(k, &batch);
        let (_, dkv) = attention::attention_backward(k, &random(3, batch.q.len()), &forward, &batch);
        let dv = dkv.chunks(2 * heads.columns()).flat_map(|row| row[heads.columns()..].to_vec());
        [forward.y, dv.collect()]
    }
    for (what, (found, expected)) in ["forward", "backward"].iter().zip(zeros(&cpu()).iter().zip(&zeros(&Reference))) {
        assert_same_zeros(what, found, expected);
    }
}

// ---- extreme inputs -----------------------------------------------------------------------------

/// Absolute, beside numbers of size one: four roundings of f32.
const ACTIVATION_ERROR_MAX: f64 = 2.5e-7;

#[test]
fn activations_from_tail_to_tail() {
    let mut x: Vec<f64> = (-3_000..=3_000).map(|i| f64::from(i) / 128.0).collect();
    x.extend([-1e30, -1e4, -1e-30, 0.0, 1e-30, 1e4, 1e30].map(|x| f64::from(x as f32)));
    let ones = vec![1.0; x.len()];
    for activation in ACTIVATIONS {
        let [found, expected] = [
            linear::activation_forward(&cpu(), &x, activation),
            linear::activation_forward(&Reference, &x, activation),
        ];
        let [found_slope, expected_slope] = [
            linear::activation_backward(&cpu(), &ones, &x, activation),
            linear::activation_backward(&Reference, &ones, &x, activation),
        ];
        for (i, x) in x.iter().enumerate() {
            let error = (found[i] - expected[i]).abs() / x.abs().max(1.0);
            assert!(error <= ACTIVATION_ERROR_MAX, "{activation:?}({x}) is {}, expected {}", found[i], expected[i]);
            let error = (found_slope[i] - expected_slope[i]).abs();
            assert!(
                error <= ACTIVATION_ERROR_MAX,
                "{activation:?}'({x}) is {}, expected {}",
                found_slope[i],
                expected_slope[i]
            );
        }
    }
}

/// Scores of some hundreds are rounded by up to 3e-5, and so are the probabilities made from them.
const LARGE_SCORES: f64 = 1e-4;

#[test]
fn attention_with_large_scores() {
    let heads = Heads { count: 2, size: 37 };
    let batch = Batch::random(1, &[13, 37], &[13, 37], heads, 8.0);
    let dy = random(3, batch.q.len());
    let [found, expected] =
        [attention::attention_forward(&cpu(), &batch), attention::attention_forward(&Reference, &batch)];
    let [found_gradients, expected_gradients] = [
        attention::attention_backward(&cpu(), &dy, &found, &batch),
        attention::attention_backward(&Reference, &dy, &expected, &batch),
    ];
    for (what, found, expected) in [
        ("y", found.y, expected.y),
        ("log_sum_exp", found.log_sum_exp, expected.log_sum_exp),
        ("dq", found_gradients.0, expected_gradients.0),
        ("dkv", found_gradients.1, expected_gradients.1),
    ] {
        let error = relative_error(&found, &expected);
        assert!(error <= LARGE_SCORES, "{what}: relative error {error:e}");
    }
}

#[test]
fn cross_entropy_with_huge_logits() {
    let size = Size { rows: 37, columns: 13 };
    let logits = random_scaled(1, size.rows * size.columns, 2f64.powi(60));
    let labels = vec![3; size.rows];
    let [found, expected] = [
        loss::cross_entropy_forward(&cpu(), &logits, &labels, size),
        loss::cross_entropy_forward(&Reference, &logits, &labels, size),
    ];
    assert!(relative_error(&found.losses, &expected.losses) <= suite::SOFTMAX);
    assert_eq!(found.predictions, expected.predictions);
}

#[test]
fn the_first_of_equal_logits_is_predicted() {
    for columns in [1, 2, 7, 8, 9, 37, 64, 1_000] {
        for first in [0, columns / 2, columns - 1] {
            let logits: Vec<f64> = (0..columns).map(|column| f64::from(column >= first)).collect();
            let size = Size { rows: 1, columns };
            let found = loss::cross_entropy_forward(&cpu(), &logits, &[0], size);
            assert_eq!(found.predictions, [first as u32], "of {columns} columns");
        }
    }
}

/// Training stops at a loss that is not a number, so no operation may turn one into a number.
#[test]
fn not_a_number_stays_not_a_number() {
    let (k, rows, columns) = (cpu(), 13, 37);
    let size = Size { rows, columns };
    for bad_column in [0, 13, columns - 1] {
        let mut x = random(1, rows * columns);
        x[5 * columns + bad_column] = f64::NAN;
        let assert_spread = |what: &str, found: &[f64]| {
            let columns = found.len() / rows;
            let bad = |row: &[f64]| row.iter().any(|x| x.is_nan());
            let rows: Vec<bool> = found.chunks(columns).map(bad).collect();
            assert!(rows.iter().enumerate().all(|(r, bad)| *bad == (r == 5)), "{what}: rows with NaN: {rows:?}");
        };
        let layer = Layer::random(2, 64, columns);
        assert_spread("linear_forward", &linear::linear_forward(&k, &x, &layer, true, rows, 0..64));
        for activation in ACTIVATIONS {
            assert_spread(&format!("{activation:?}"), &linear::activation_forward(&k, &x, activation));
            let y = linear::linear_activation_forward(&k, &x, &layer, activation, rows).0;
            assert_spread(&format!("linear with {activation:?}"), &y);
            if activation != Activation::Relu {
                let ones = vec![1.0; x.len()];
                let dx = linear::activation_backward(&k, &ones, &x, activation);
                assert_spread(&format!("{activation:?} backward"), &dx);
            }
        }
        let norm = Norm::random(3, columns);
        assert_spread("layer_norm_forward", &layer_norm::layer_norm_forward(&k, &x, None, None, &norm, size).y);
        let losses = loss::cross_entropy_forward(&k, &x, &vec![20; rows], size).losses;
        assert_spread("cross_entropy_forward", &losses);

        let heads = Heads { count: 1, size: columns };
        let mut batch = Batch { q: x, ..Batch::random(4, &[rows], &[rows], heads, 1.0) };
        assert_spread("attention_forward by a query", &attention::attention_forward(&k, &batch).y);
        batch.q = random(5, rows * columns);
        batch.kv[7 * 2 * columns + bad_column] = f64::NAN;
        let y = attention::attention_forward(&k, &batch).y;
        assert!(y.iter().all(|y| y.is_nan()), "attention_forward by a key");
    }
}
