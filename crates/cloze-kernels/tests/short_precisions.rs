//! Products of bf16 and int8: what they compute, and that it has the same bits for any number of threads
//! and for a row alone. On processors without their instructions there is nothing to test.

mod common;

use cloze_kernels::{Activation, Cpu, Heads, Kernels, Precision, Purpose, Reference, Role, quantize_rows};
use common::attention::{self, Batch};
use common::buffers::{activations, read_activations, unset_activations, vector};
use common::linear::{self, Layer};
use common::{assert_same_bits, random, relative_error};

/// Operands that bf16 holds exactly leave only the rounding of sums in f32. Pairs of products are added
/// without a rounding between them, numbers below 1e-38 count as 0.
const EXACT_OPERANDS: f64 = 2e-6;

/// A number of 16 bits is off by up to 2⁻⁹ of itself, independently of its neighbours: this is their norm
/// in a product of two, with room for one more rounding in attention.
const ROUNDED_OPERANDS: f64 = 4e-3;

/// Rows, outputs, inputs: odd ones, whole tiles, and so much that threads share it.
const SIZES: [[usize; 3]; 7] =
    [[1, 1, 1], [7, 13, 5], [13, 37, 64], [8, 48, 32], [37, 50, 77], [130, 277, 301], [1, 300, 129]];

fn cpu(precision: Precision, threads: usize) -> Option<Cpu> {
    Some(Cpu::with_precision(threads, precision).unwrap()).filter(|cpu| cpu.substitute().is_none())
}

/// The numbers that bf16 holds next to them, towards zero.
fn shortened(numbers: Vec<f64>) -> Vec<f64> {
    numbers.into_iter().map(|x| f64::from(f32::from_bits((x as f32).to_bits() & 0xffff_0000))).collect()
}

fn short_layer(outputs: usize, inputs: usize) -> Layer {
    let layer = Layer::random(1, outputs, inputs);
    Layer { weight: shortened(layer.weight), ..layer }
}

fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    let error = relative_error(found, expected);
    assert!(error <= tolerance, "{what}: relative error {error:e}, at most {tolerance:e}");
    assert!(expected.iter().any(|x| *x != 0.0), "{what} shows nothing");
}

#[test]
fn bf16_multiplies_the_numbers_it_holds() {
    let Some(cpu) = cpu(Precision::Bf16, 3) else { return };
    for [rows, outputs, inputs] in SIZES {
        let layer = short_layer(outputs, inputs);
        let (x, dy) = (shortened(random(3, rows * inputs)), shortened(random(4, rows * outputs)));
        let gradients = random(5, layer.arena_len());
        let what = format!("{rows}×{inputs}→{outputs}");
        let ranges = [0..outputs, outputs / 3..outputs - outputs / 4];
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            let y = |k: &_| linear::linear_forward(k, &x, &layer, true, rows, range.clone());
            let expected = linear::linear_forward(&Reference, &x, &layer, true, rows, range.clone());
            assert_close(&format!("y of {what}"), &y(&cpu), &expected, EXACT_OPERANDS);
            let dy = &dy[..rows * range.len()];
            for stored in [None, Some(&x[..])] {
                let found = linear::linear_backward_input(&cpu, stored, dy, &layer, rows, range.clone());
                let expected = linear::linear_backward_input(&Reference, stored, dy, &layer, rows, range.clone());
                assert_close(&format!("dx of {what} {range:?}"), &found, &expected, EXACT_OPERANDS);
            }
        }
        let found = linear::linear_backward_weight(&cpu, &gradients, &dy, &x, &layer, true, rows);
        let expected = linear::linear_backward_weight(&Reference, &gradients, &dy, &x, &layer, true, rows);
        assert_close(&format!("dW of {what}"), &found, &expected, EXACT_OPERANDS);
    }
}

#[test]
fn bf16_rounds_other_numbers() {
    let Some(cpu) = cpu(Precision::Bf16, 2) else { return };
    let layer = Layer::random(1, 64, 300);
    let x = random(2, 37 * 300);
    let (found, expected) = (
        linear::linear_activation_forward(&cpu, &x, &layer, Activation::GeluErf, 37),
        linear::linear_activation_forward(&Reference, &x, &layer, Activation::GeluErf, 37),
    );
    for (what, found, expected) in [("y", &found.0, &expected.0), ("pre", &found.1, &expected.1)] {
        assert_close(what, found, expected, ROUNDED_OPERANDS);
        assert!(relative_error(found, expected) > EXACT_OPERANDS, "{what} was not computed in bf16");
    }
}

fn batch() -> Batch {
    Batch::random(1, &[1, 7, 100, 37], &[1, 13, 100, 37], Heads { count: 3, size: 20 }, 1.0)
}

#[test]
fn attention_in_bf16() {
    let Some(cpu) = cpu(Precision::Bf16, 3) else { return };
    for batch in [batch(), batch().with_dropout(0.2)] {
        let (found, expected) =
            (attention::attention_forward(&cpu, &batch), attention::attention_forward(&Reference, &batch));
        assert_close("y", &found.y, &expected.y, ROUNDED_OPERANDS);
        assert_close("log_sum_exp", &found.log_sum_exp, &expected.log_sum_exp, ROUNDED_OPERANDS);
        let dy = random(3, batch.q.len());
        let found = attention::attention_backward(&cpu, &dy, &found, &batch);
        let expected = attention::attention_backward(&Reference, &dy, &expected, &batch);
        // A difference of nearly equal numbers: of what two roundings left, two bits more are lost.
        assert_close("dq", &found.0, &expected.0, 4.0 * ROUNDED_OPERANDS);
        assert_close("dkv", &found.1, &expected.1, 4.0 * ROUNDED_OPERANDS);
    }
}

/// Forward of a matrix for inference; also in int8.
fn inference<K: Kernels<Real = f32>>(k: &K, x: &[f64], layer: &Layer, rows: usize) -> Vec<f64> {
    let mut matrix = k.matrix(layer.shape, Purpose::Inference, Role::Encoder).unwrap();
    let weight: Vec<f32> = layer.weight.iter().map(|x| *x as f32).collect();
    // In pieces that begin and end within panels.
    let inputs = layer.shape.inputs;
    let mut first = 0;
    for rows in [5, 16, 30, usize::MAX] {
        let last = layer.shape.outputs.min(first + rows.min(layer.shape.outputs));
        k.pack_rows(&mut matrix, first, &weight[first * inputs..last * inputs]);
        first = last;
    }
    let mut y = unset_activations(k, rows * layer.shape.outputs);
    let bias = vector(k, &layer.bias);
    k.linear_forward(&mut y, &activations(k, x), &matrix, Some(&bias), rows, 0..layer.shape.outputs);
    read_activations(k, &y, rows * layer.shape.outputs)
}

/// The integers that a row of activations becomes, as numbers again, by the definition: the smallest
/// number or 0 becomes 0, the largest or 0 becomes 255.
fn quantized_row(row: &[f64]) -> Vec<f64> {
    let (lowest, highest) = row.iter().fold((0.0_f64, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    let scale = (highest - lowest) / 255.0;
    let zero = (-lowest / scale).round_ties_even();
    row.iter().map(|x| scale * ((x / scale).round_ties_even() + zero).clamp(0.0, 255.0) - scale * zero).collect()
}

#[test]
fn int8_multiplies_integers() {
    let Some(cpu) = cpu(Precision::Int8, 3) else { return };
    for [rows, outputs, inputs] in SIZES {
        let layer = Layer::random(1, outputs, inputs);
        let x: Vec<f64> = random(3, rows * inputs).iter().map(|x| x + 0.5).collect();
        let weight: Vec<f32> = layer.weight.iter().map(|x| *x as f32).collect();
        let (mut values, mut scales) = (vec![0; weight.len()], vec![0.0; outputs]);
        quantize_rows(&mut values, &mut scales, &weight);
        let rounded_weight = values.iter().enumerate().map(|(at, x)| f64::from(*x) * f64::from(scales[at / inputs]));
        let rounded = Layer { weight: rounded_weight.collect(), ..layer.clone() };
        let rounded_x: Vec<f64> = x.chunks(inputs).flat_map(quantized_row).collect();
        let expected = linear::linear_forward(&Reference, &rounded_x, &rounded, true, rows, 0..outputs);
        let exact = linear::linear_forward(&Reference, &x, &layer, true, rows, 0..outputs);
        let found = inference(&cpu, &x, &layer, rows);
        let what = format!("{rows}×{inputs}→{outputs}");
        // A number half-way between two integers may go either way: some in ten thousand do, by one of 255.
        assert_close(&what, &found, &expected, 2e-4);
        assert_close(&what, &found, &exact, 2e-2);

        // Packed from integers it is the same matrix.
        let mut matrix = cpu.matrix(layer.shape, Purpose::Inference, Role::Encoder).unwrap();
        for first in (0..outputs).step_by(21) {
            let last = outputs.min(first + 21);
            cpu.pack_quantized_rows(&mut matrix, first, &values[first * inputs..last * inputs], &scales[first..last]);
        }
        let mut y = unset_activations(&cpu, rows * outputs);
        let bias = vector(&cpu, &layer.bias);
        cpu.linear_forward(&mut y, &activations(&cpu, &x), &matrix, Some(&bias), rows, 0..outputs);
        assert_same_bits(&what, &read_activations(&cpu, &y, rows * outputs), &found);
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    for precision in [Precision::Bf16, Precision::Int8] {
        let Some(cpu) = cpu(precision, 2) else { continue };
        let layer = Layer::random(1, 37, 50);
        let mut x = random(2, 9 * 50);
        (x[3 * 50 + 7], x[5 * 50], x[6 * 50 + 49]) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
        for (row, y) in inference(&cpu, &x, &layer, 9).chunks(37).enumerate() {
            let finite = ![3, 5, 6].contains(&row);
            assert!(y.iter().all(|y| y.is_finite() == finite), "{precision:?}, row {row}");
        }
    }
}

#[test]
fn neither_threads_nor_neighbours_matter() {
    for precision in [Precision::Bf16, Precision::Int8] {
        let Some(one) = cpu(precision, 1) else { continue };
        for [rows, outputs, inputs] in SIZES {
            let layer = Layer::random(1, outputs, inputs);
            let x = random(2, rows * inputs);
            let whole = inference(&one, &x, &layer, rows);
            let what = format!("{precision:?} {rows}×{inputs}→{outputs}");
            for threads in 2..=4 {
                let several = cpu(precision, threads).expect("the same processor");
                assert_same_bits(&what, &inference(&several, &x, &layer, rows), &whole);
            }
            for row in [0, rows / 2, rows - 1] {
                let alone = inference(&one, &x[row * inputs..(row + 1) * inputs], &layer, 1);
                assert_same_bits(&what, &alone, &whole[row * outputs..(row + 1) * outputs]);
            }
        }
        // Attention, and what only training has.
        let batch = batch().with_dropout(0.1);
        let dy = random(3, batch.q.len());
        let attend = |k: &Cpu| {
            let forward = attention::attention_forward(k, &batch);
            let (dq, dkv) = attention::attention_backward(k, &dy, &forward, &batch);
            [forward.y, forward.log_sum_exp, dq, dkv]
        };
        let several = cpu(precision, 3).expect("the same processor");
        for (found, expected) in attend(&several).iter().zip(&attend(&one)) {
            assert_same_bits("attention", found, expected);
        }
        let whole = attention::attention_forward(&one, &batch);
        for (sequence, first) in [(1, 1), (2, 8), (3, 108)] {
            let rows = batch.queries[sequence];
            let alone = attention::attention_forward(&one, &batch.sequence(sequence, 0..rows));
            let columns = batch.heads.columns();
            assert_same_bits("a sequence alone", &alone.y, &whole.y[first * columns..(first + rows) * columns]);
        }
        if precision == Precision::Bf16 {
            let (rows, layer) = (130, Layer::random(1, 277, 301));
            let (x, dy) = (random(2, rows * 301), random(3, rows * 277));
            let gradients = random(4, layer.arena_len());
            let backward = |k: &Cpu| {
                let dx = linear::linear_backward_input(k, None, &dy, &layer, rows, 0..277);
                [dx, linear::linear_backward_weight(k, &gradients, &dy, &x, &layer, true, rows)]
            };
            for (found, expected) in backward(&several).iter().zip(&backward(&one)) {
                assert_same_bits("backward", found, expected);
            }
        }
    }
}
