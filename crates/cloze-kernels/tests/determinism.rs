//! The same bits: for any number of threads, for a row alone or among others, for a batch in one call or
//! in two.

mod common;

use cloze_kernels::{Activation, Cpu, Heads, Kernels, Precision, Size, Span};
use common::attention::{self, Batch};
use common::buffers::Mask;
use common::layer_norm::{self, Norm};
use common::linear::{self, ACTIVATIONS, Layer};
use common::suite::{self, Case, Output};
use common::{arena_suite, assert_same_bits, loss, random, random_indices, rows};

const THREADS: [usize; 3] = [2, 3, 4];

/// Of numbers of rows: those around the sizes of blocks, and one that is shared out unevenly.
const ROWS: [usize; 6] = [1, 2, 7, 13, 37, 130];

fn cpu() -> Cpu {
    Cpu::new(3).unwrap()
}

/// Asserts that one thread and several give the same bits, whether in their scope or called from outside,
/// and also when several callers share one `Cpu` and its working memory.
fn assert_threads_do_not_matter(cases: &[impl Case]) {
    let one = Cpu::new(1).unwrap();
    let expected: Vec<_> = cases.iter().map(|case| case.run(&one)).collect();
    let assert_same = |how: &str, case: usize, found: Vec<Output>| {
        for (found, expected) in found.iter().zip(&expected[case]) {
            let what = format!("{:?}: {} {how}", cases[case], expected.name);
            assert_same_bits(&what, &found.values, &expected.values);
        }
    };
    for threads in THREADS {
        let k = Cpu::new(threads).unwrap();
        for (i, case) in cases.iter().enumerate() {
            assert_same(&format!("with {threads} threads"), i, case.run(&k));
            assert_same(&format!("in a scope of {threads} threads"), i, k.scope(|| case.run(&k)));
        }
    }
    let shared = cpu();
    std::thread::scope(|scope| {
        for caller in 0..3 {
            let (shared, assert_same) = (&shared, &assert_same);
            // Each caller is at another case at a time.
            let order = (0..cases.len()).map(move |i| (i + caller * cases.len() / 3) % cases.len());
            scope.spawn(move || order.for_each(|i| assert_same("beside other callers", i, cases[i].run(shared))));
        }
    });
}

#[test]
fn threads_do_not_matter_in_linear_layers() {
    assert_threads_do_not_matter(&suite::linear_cases());
    assert_threads_do_not_matter(&suite::activated_cases());
}

#[test]
fn blocks_of_layers_give_the_bits_of_one_after_the_other() {
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        // Few rows, which share the columns, and so many that each thread takes several blocks of them.
        for (threads, rows) in [(1, 1), (1, 37), (3, 37), (1, 250), (2, 500)] {
            let k = Cpu::with_precision(threads, precision).unwrap();
            let layers = [&Layer::random(7, 37, 51), &Layer::random(1, 77, 37), &Layer::random(3, 37, 77)];
            let (x, residual) = (random(5, rows * 51), random(6, rows * 37));
            let blocks = linear::normalized_blocks(&k, &x, &residual, layers, Activation::GeluErf, rows);
            for (at_once, apart) in blocks {
                assert_same_bits(&format!("{precision:?}, {rows} rows on {threads} threads"), &at_once, &apart);
                assert!(at_once.iter().all(|y| y.is_finite() && *y != 0.0));
            }
        }
    }
}

#[test]
fn parts_of_the_outputs_have_the_bits_of_calls_of_their_own() {
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        for (threads, rows) in [(1, 1), (3, 37), (2, 130)] {
            let k = Cpu::with_precision(threads, precision).unwrap();
            let layer = Layer::random(1, 111, 77);
            linear::assert_parts_are_ranges(&k, &random(5, rows * 77), &layer, [0..37, 37..111], rows);
            linear::assert_parts_are_ranges(&k, &random(6, rows * 77), &layer, [5..5, 0..111], rows);
        }
    }
}

#[test]
fn threads_do_not_matter_in_rows() {
    assert_threads_do_not_matter(&suite::rows_cases());
}

#[test]
fn threads_do_not_matter_in_layer_norms() {
    assert_threads_do_not_matter(&suite::layer_norm_cases());
}

#[test]
fn threads_do_not_matter_in_attentions() {
    assert_threads_do_not_matter(&suite::attention_cases());
}

#[test]
fn threads_do_not_matter_in_losses() {
    assert_threads_do_not_matter(&suite::loss_cases());
}

#[test]
fn threads_do_not_matter_in_arenas() {
    assert_threads_do_not_matter(&arena_suite::arena_cases());
}

// ---- a row alone --------------------------------------------------------------------------------

/// Asserts that `of_rows`, which maps some of the rows of an input to their rows of the output, gives
/// each row the same bits alone, in pieces of other sizes, and among all.
fn assert_rows_stand_alone(what: &str, count: usize, of_rows: impl Fn(std::ops::Range<usize>) -> Vec<f64>) {
    let all = of_rows(0..count);
    let columns = all.len() / count;
    for piece in ROWS.into_iter().filter(|piece| *piece < count) {
        // Not from the front, so that a row stands elsewhere in its block.
        let start = (count - piece) / 2;
        let found = of_rows(start..start + piece);
        let expected = &all[start * columns..(start + piece) * columns];
        assert_same_bits(&format!("{what}: {piece} of {count} rows"), &found, expected);
    }
}

/// The rows `range` of `x [.., columns]`.
fn part(x: &[f64], columns: usize, range: std::ops::Range<usize>) -> &[f64] {
    &x[range.start * columns..range.end * columns]
}

#[test]
fn rows_of_linear_layers_stand_alone() {
    let k = cpu();
    for [outputs, inputs] in [[1, 1], [7, 13], [37, 64], [64, 37], [128, 768], [2, 768]] {
        let layer = Layer::random(1, outputs, inputs);
        let shape = format!("[{outputs}, {inputs}]");
        for rows in ROWS {
            let (x, dy) = (random(3, rows * inputs), random(4, rows * outputs));
            assert_rows_stand_alone(&format!("linear_forward {shape}"), rows, |range| {
                linear::linear_forward(&k, part(&x, inputs, range.clone()), &layer, true, range.len(), 0..outputs)
            });
            assert_rows_stand_alone(&format!("linear_activation_forward {shape}"), rows, |range| {
                let x = part(&x, inputs, range.clone());
                linear::linear_activation_forward(&k, x, &layer, ACTIVATIONS[0], range.len()).0
            });
            assert_rows_stand_alone(&format!("linear_backward_input {shape}"), rows, |range| {
                let dy = part(&dy, outputs, range.clone());
                linear::linear_backward_input(&k, None, dy, &layer, range.len(), 0..outputs)
            });
        }
    }
}

#[test]
fn linear_with_activation_is_linear_then_activation() {
    let (k, rows) = (cpu(), 37);
    let layer = Layer::random(1, 61, 37);
    let x = random(2, rows * 37);
    let expected_pre = linear::linear_forward(&k, &x, &layer, true, rows, 0..61);
    for activation in ACTIVATIONS {
        let (y, pre) = linear::linear_activation_forward(&k, &x, &layer, activation, rows);
        assert_same_bits("pre", &pre, &expected_pre);
        assert_same_bits("y", &y, &linear::activation_forward(&k, &pre, activation));
    }
}

#[test]
fn elements_of_activations_stand_alone() {
    let (k, dy) = (cpu(), random(2, 130));
    let x = random(1, 130);
    for activation in ACTIVATIONS {
        assert_rows_stand_alone(&format!("{activation:?}"), x.len(), |range| {
            linear::activation_forward(&k, &x[range], activation)
        });
        assert_rows_stand_alone(&format!("{activation:?} backward"), x.len(), |range| {
            linear::activation_backward(&k, &dy[range.clone()], &x[range], activation)
        });
    }
}

#[test]
fn rows_of_layer_norm_and_dropout_stand_alone() {
    let (k, rows) = (cpu(), 130);
    for columns in [1, 7, 37, 64, 768] {
        let (x, residual, dy) = (random(1, rows * columns), random(2, rows * columns), random(3, rows * columns));
        let (norm, mask) = (Norm::random(4, columns), Mask::new(0.1, &[100, 30]));
        let gradients = vec![0.0; norm.arena_len()];
        let forward = |range: std::ops::Range<usize>| {
            let size = Size { rows: range.len(), columns };
            let (x, residual) = (part(&x, columns, range.clone()), part(&residual, columns, range.clone()));
            layer_norm::layer_norm_forward(&k, x, Some(residual), Some(&mask.part(range)), &norm, size)
        };
        assert_rows_stand_alone(&format!("layer_norm_forward of {columns}"), rows, |range| forward(range).y);
        assert_rows_stand_alone(&format!("layer_norm_backward of {columns}"), rows, |range| {
            let (size, dy) = (Size { rows: range.len(), columns }, part(&dy, columns, range.clone()));
            let (forward, mask) = (forward(range.clone()), mask.part(range));
            layer_norm::layer_norm_backward(&k, true, &gradients, dy, &forward, Some(&mask), &norm, size).dx
        });
        assert_rows_stand_alone(&format!("dropout of {columns}"), rows, |range| {
            let size = Size { rows: range.len(), columns };
            rows::dropout(&k, part(&x, columns, range.clone()), &mask.part(range), size)
        });
    }
}

#[test]
fn rows_of_losses_stand_alone() {
    let (k, rows) = (cpu(), 130);
    for columns in [1, 2, 37, 1_000] {
        let x = random(1, rows * columns);
        let labels = random_indices(3, rows, columns);
        assert_rows_stand_alone(&format!("cross_entropy_forward of {columns}"), rows, |range| {
            let (size, labels) = (Size { rows: range.len(), columns }, &labels[range.clone()]);
            loss::cross_entropy_forward(&k, part(&x, columns, range), labels, size).losses
        });
        assert_rows_stand_alone(&format!("cross_entropy_backward of {columns}"), rows, |range| {
            let (size, labels) = (Size { rows: range.len(), columns }, &labels[range.clone()]);
            let x = part(&x, columns, range);
            let log_sum_exp = loss::cross_entropy_forward(&k, x, labels, size).log_sum_exp;
            loss::cross_entropy_backward(&k, x, &log_sum_exp, labels, 0.1, size)
        });
    }
}

#[test]
fn sequences_and_queries_of_attention_stand_alone() {
    let k = cpu();
    for (lengths, [count, size]) in
        [([1, 37, 7, 130], [2, 7]), ([13, 64, 65, 1], [3, 32]), ([20, 5, 128, 31], [12, 64])]
    {
        for probability in [None, Some(0.1)] {
            let mut batch = Batch::random(1, &lengths, &lengths, Heads { count, size }, 1.0);
            if let Some(probability) = probability {
                batch = batch.with_dropout(probability);
            }
            let columns = batch.heads.columns();
            let dy = random(3, batch.q.len());
            let all = attention::attention_forward(&k, &batch);
            let (dq, dkv) = attention::attention_backward(&k, &dy, &all, &batch);
            for (sequence, len) in lengths.into_iter().enumerate() {
                let first: usize = lengths[..sequence].iter().sum();
                let what =
                    |what: &str| format!("{what} of {len} rows with dropout {probability:?}, heads {:?}", batch.heads);

                let alone = batch.sequence(sequence, 0..len);
                let rows = first..first + len;
                let forward = attention::attention_forward(&k, &alone);
                assert_same_bits(&what("y"), &forward.y, part(&all.y, columns, rows.clone()));
                assert_same_bits(
                    &what("log_sum_exp"),
                    &forward.log_sum_exp,
                    part(&all.log_sum_exp, count, rows.clone()),
                );
                let alone_dy = part(&dy, columns, rows.clone());
                let backward = attention::attention_backward(&k, alone_dy, &forward, &alone);
                assert_same_bits(&what("dq"), &backward.0, part(&dq, columns, rows.clone()));
                assert_same_bits(&what("dkv"), &backward.1, part(&dkv, 2 * columns, rows));

                for queries in [0..1, len - 1..len, len / 3..len - len / 4] {
                    let some = batch.sequence(sequence, queries.clone());
                    let rows = first + queries.start..first + queries.end;
                    let forward = attention::attention_forward(&k, &some);
                    assert_same_bits(&what("y of some queries"), &forward.y, part(&all.y, columns, rows.clone()));
                    let some_dy = part(&dy, columns, rows.clone());
                    let backward = attention::attention_backward(&k, some_dy, &forward, &some);
                    assert_same_bits(&what("dq of some queries"), &backward.0, part(&dq, columns, rows));
                }
            }
        }
    }
}

// ---- a part of the columns ----------------------------------------------------------------------

#[test]
fn some_outputs_are_columns_of_all_outputs() {
    let k = cpu();
    for (rows, outputs, inputs) in [(1, 37, 7), (13, 64, 37), (37, 192, 64), (7, 100, 768)] {
        let layer = Layer::random(1, outputs, inputs);
        let x = random(3, rows * inputs);
        let all = linear::linear_forward(&k, &x, &layer, true, rows, 0..outputs);
        for some in [0..1, 0..outputs / 3, outputs / 3..outputs, 5..23, outputs - 1..outputs, 7..7] {
            let found = linear::linear_forward(&k, &x, &layer, true, rows, some.clone());
            let expected: Vec<f64> = all.chunks(outputs).flat_map(|row| row[some.clone()].to_vec()).collect();
            assert_same_bits(&format!("outputs {some:?} of {outputs}"), &found, &expected);
        }
    }
}

#[test]
fn gradients_of_outputs_in_two_calls_are_those_of_one() {
    let k = cpu();
    for (rows, outputs, inputs) in [(1, 37, 7), (13, 64, 37), (37, 192, 64), (7, 100, 768)] {
        let layer = Layer::random(1, outputs, inputs);
        let dy = random(3, rows * outputs);
        let all = linear::linear_backward_input(&k, None, &dy, &layer, rows, 0..outputs);
        for cut in [1, 5, outputs / 2, outputs - 1] {
            let columns = |range: std::ops::Range<usize>| -> Vec<f64> {
                dy.chunks(outputs).flat_map(|row| row[range.clone()].to_vec()).collect()
            };
            let first = linear::linear_backward_input(&k, None, &columns(0..cut), &layer, rows, 0..cut);
            let both =
                linear::linear_backward_input(&k, Some(&first), &columns(cut..outputs), &layer, rows, cut..outputs);
            assert_same_bits(&format!("dx of {outputs} outputs cut at {cut}"), &both, &all);
        }
    }
}

// ---- a batch in two calls -----------------------------------------------------------------------

/// Asserts that adding the gradients of the rows before `cut` and then of the others gives the bits of
/// adding those of all, for cuts in the middle and near the ends.
fn assert_calls_do_not_matter(
    what: &str,
    rows: usize,
    gradients: &[f64],
    add: impl Fn(&[f64], std::ops::Range<usize>) -> Vec<f64>,
) {
    let once = add(gradients, 0..rows);
    assert_ne!(once, gradients, "{what}: nothing was added");
    for cut in [1, rows / 2, rows - 1] {
        let twice = add(&add(gradients, 0..cut), cut..rows);
        assert_same_bits(&format!("{what}: {rows} rows cut at {cut}"), &twice, &once);
    }
}

#[test]
fn gradients_of_linear_layers_in_two_calls() {
    let k = cpu();
    for rows in &ROWS[1..] {
        for [outputs, inputs] in [[1, 1], [7, 13], [37, 64], [64, 37], [128, 768], [3, 768]] {
            let layer = Layer::random(1, outputs, inputs);
            let (x, dy) = (random(3, rows * inputs), random(4, rows * outputs));
            let gradients = random(5, layer.arena_len());
            assert_calls_do_not_matter(&format!("[{outputs}, {inputs}]"), *rows, &gradients, |gradients, range| {
                let (dy, x) = (part(&dy, outputs, range.clone()), part(&x, inputs, range.clone()));
                linear::linear_backward_weight(&k, gradients, dy, x, &layer, true, range.len())
            });
        }
    }
}

/// Where sequences of these lengths begin, then the number of all rows.
fn starts_of(lengths: &[usize]) -> Vec<u32> {
    let ends = lengths.iter().scan(0, |end, len| {
        *end += *len as u32;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

/// Also of pairs of bf16, which must not depend on how many rows come before a sequence; of single rows, as heads read
/// them; and of more rows than are packed at a time.
#[test]
fn gradients_of_sequences_in_two_calls() {
    for precision in [Precision::F32, Precision::Bf16] {
        let k = Cpu::with_precision(3, precision).unwrap();
        for (lengths, outputs, inputs) in [
            (&[1, 7, 2, 0, 13, 37, 130, 5][..], 37, 64),
            (&[1; 9], 2, 77),
            (&[19, 19, 20, 19], 300, 33),
            (&[701, 1, 998, 1201, 3], 17, 49),
        ] {
            let starts = starts_of(lengths);
            let rows = starts[lengths.len()] as usize;
            let layer = Layer::random(1, outputs, inputs);
            let (x, dy, gradients) =
                (random(3, rows * inputs), random(4, rows * outputs), random(5, layer.arena_len()));
            let add = |gradients: &[f64], sequences: std::ops::Range<usize>| {
                let rows = starts[sequences.start] as usize..starts[sequences.end] as usize;
                let (dy, x) = (part(&dy, outputs, rows.clone()), part(&x, inputs, rows));
                let starts = starts_of(&lengths[sequences]);
                linear::linear_backward_weight_of(&k, gradients, dy, x, &layer, true, &starts)
            };
            let once = add(&gradients, 0..lengths.len());
            assert_ne!(once, gradients);
            for cut in 1..lengths.len() {
                let twice = add(&add(&gradients, 0..cut), cut..lengths.len());
                assert_same_bits(&format!("{precision:?}, {lengths:?} cut before sequence {cut}"), &twice, &once);
            }
        }
    }
}

#[test]
fn gradients_of_a_sequence_of_bf16_in_calls_of_even_rows() {
    let k = Cpu::with_precision(2, Precision::Bf16).unwrap();
    let (rows, layer) = (37, Layer::random(1, 37, 64));
    let (x, dy, gradients) = (random(3, rows * 64), random(4, rows * 37), random(5, layer.arena_len()));
    let add = |gradients: &[f64], range: std::ops::Range<usize>| {
        let (dy, x) = (part(&dy, 37, range.clone()), part(&x, 64, range.clone()));
        linear::linear_backward_weight(&k, gradients, dy, x, &layer, true, range.len())
    };
    let once = add(&gradients, 0..rows);
    for cut in [2, 18, 36] {
        assert_same_bits(&format!("cut at {cut}"), &add(&add(&gradients, 0..cut), cut..rows), &once);
    }
}

#[test]
fn gradients_of_layer_norm_in_two_calls() {
    let k = cpu();
    for rows in &ROWS[1..] {
        for columns in [1, 7, 37, 64, 768] {
            let (x, dy) = (random(1, rows * columns), random(2, rows * columns));
            let norm = Norm::random(3, columns);
            let gradients = random(5, norm.arena_len());
            assert_calls_do_not_matter(&format!("{columns} columns"), *rows, &gradients, |gradients, range| {
                let size = Size { rows: range.len(), columns };
                let (x, dy) = (part(&x, columns, range.clone()), part(&dy, columns, range));
                let forward = layer_norm::layer_norm_forward(&k, x, None, None, &norm, size);
                layer_norm::layer_norm_backward(&k, false, gradients, dy, &forward, None, &norm, size).gradients
            });
        }
    }
}

#[test]
fn gradients_of_rows_in_two_calls() {
    let k = cpu();
    for rows in &ROWS[1..] {
        for (columns, entries) in [(1, 7), (13, 37), (64, 5), (768, 50)] {
            let (dy, index) = (random(1, rows * columns), random_indices(2, *rows, entries));
            let table = Span { start: 3, len: entries * columns };
            let gradients = random(3, table.len + 5);
            let what = format!("table [{entries}, {columns}]");
            assert_calls_do_not_matter(&what, *rows, &gradients, |gradients, range| {
                let (size, index) = (Size { rows: range.len(), columns }, &index[range.clone()]);
                rows::embedding_backward(&k, gradients, table, part(&dy, columns, range), index, size)
            });
            let what = format!("rows [{entries}, {columns}]");
            assert_calls_do_not_matter(&what, *rows, &gradients[..table.len], |dx, range| {
                let (size, index) = (Size { rows: range.len(), columns }, &index[range.clone()]);
                rows::scatter_add_rows(&k, dx, part(&dy, columns, range), index, size)
            });
        }
    }
}
