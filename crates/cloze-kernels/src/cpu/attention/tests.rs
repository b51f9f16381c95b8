use super::*;
use crate::cpu::math::tests::{levels, numbers, on_threads};
use crate::cpu::operand::Kind;
use crate::cpu::simd::Level;
use crate::{Kernels, Reference, RowCoordinates};

const HEADS: Heads = Heads { count: 3, size: 20 };

/// Rounding in f32 in sums of a few hundred numbers, as a share of the largest result.
const ERROR_MAX: f64 = 2e-6;

/// Sequences of one row, of more than one block of query rows, and of less than one.
struct Batch {
    queries: Vec<u32>,
    keys: Vec<u32>,
    q: Vec<f32>,
    kv: Vec<f32>,
    dy: Vec<f32>,
    rows: RowCoordinates<Vec<u32>>,
}

impl Batch {
    fn new() -> Batch {
        let starts = vec![0, 1, 241, 278];
        let rows = 278;
        let sequences = (0..rows as u32).map(|row| u32::from(row >= 1) + u32::from(row >= 241)).collect();
        Batch {
            q: numbers(rows * HEADS.columns(), 1),
            kv: numbers(rows * 2 * HEADS.columns(), 2),
            dy: numbers(rows * HEADS.columns(), 3),
            rows: RowCoordinates { sequences, positions: (0..rows as u32).collect() },
            queries: starts.clone(),
            keys: starts,
        }
    }

    fn starts(&self) -> AttentionStarts<'_, Vec<u32>> {
        AttentionStarts { queries: &self.queries, keys: &self.keys }
    }

    fn dropout(&self) -> Option<Dropout<'_, Vec<u32>>> {
        Some(Dropout { probability: 0.2, seed: 5, step: 6, site: 7, rows: &self.rows })
    }
}

/// y, log_sum_exp, dq, dkv.
fn run(level: Level, threads: usize, batch: &Batch) -> [Vec<f32>; 4] {
    let Batch { q, kv, dy, .. } = batch;
    let mut y = vec![f32::NAN; q.len()];
    let mut log_sum_exp = vec![f32::NAN; q.len() / HEADS.size];
    let (mut dq, mut dkv) = (vec![f32::NAN; q.len()], vec![f32::NAN; kv.len()]);
    let (dropout, starts) = (batch.dropout(), batch.starts());
    on_threads(threads, || {
        let f32 = Arithmetic { level, kind: Kind::F32 };
        forward(f32, &mut y, &mut log_sum_exp, q, kv, dropout, starts, HEADS);
        backward(f32, &mut dq, &mut dkv, dy, &y, q, kv, &log_sum_exp, dropout, starts, HEADS);
    });
    [y, log_sum_exp, dq, dkv]
}

#[test]
fn long_sequences_match_the_reference() {
    let batch = Batch::new();
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (q, kv, dy) = (wide(&batch.q), wide(&batch.kv), wide(&batch.dy));
    let (mut y, mut log_sum_exp) = (q.clone(), vec![0.0; q.len() / HEADS.size]);
    let (mut dq, mut dkv) = (q.clone(), kv.clone());
    let (dropout, starts) = (batch.dropout(), batch.starts());
    Reference.attention_forward(&mut y, &mut log_sum_exp, &q, &kv, dropout, starts, HEADS);
    Reference.attention_backward(&mut dq, &mut dkv, &dy, &y, &q, &kv, &log_sum_exp, dropout, starts, HEADS);
    for level in levels() {
        let found = run(level, 1, &batch);
        for (found, expected) in found.iter().zip([&y, &log_sum_exp, &dq, &dkv]) {
            assert_close(level, found, expected);
        }
        let sizes = batch.queries.windows(2).map(|pair| ((pair[1] - pair[0]) as usize).pow(2));
        let len = HEADS.count * sizes.sum::<usize>();
        let (mut found, mut expected) = (vec![f32::NAN; len], vec![0.0; len]);
        let [_, log_sum_exp_f32, ..] = run(level, 1, &batch);
        probabilities(
            Arithmetic { level, kind: Kind::F32 },
            &mut found,
            &batch.q,
            &batch.kv,
            &log_sum_exp_f32,
            starts,
            HEADS,
        );
        Reference.attention_probabilities(&mut expected, &q, &kv, &log_sum_exp, starts, HEADS);
        assert_close(level, &found, &expected);
    }
}

fn assert_close(level: Level, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs() / largest;
        assert!(error <= ERROR_MAX, "{level:?}: {found} at {at}, expected {expected}, error {error:.1e}");
    }
}

#[test]
fn threads_change_no_bit() {
    let batch = Batch::new();
    for level in levels() {
        let alone = run(level, 1, &batch);
        for threads in 2..=4 {
            assert_eq!(run(level, threads, &batch), alone, "{level:?}, {threads} threads");
        }
    }
}

#[test]
fn a_query_alone_has_the_bits_that_it_has_among_others() {
    let batch = Batch::new();
    for level in levels() {
        let [y, log_sum_exp, dq, _] = run(level, 1, &batch);
        // Of each sequence one row asks, which stands in another block than it did before.
        let rows = [0, 1 + 200, 241 + 36];
        let pick = |x: &[f32], width: usize| rows.map(|row| x[row * width..][..width].to_vec()).concat();
        let pick_rows = |x: &[u32]| rows.map(|row| x[row]).to_vec();
        let few = Batch {
            queries: vec![0, 1, 2, 3],
            q: pick(&batch.q, HEADS.columns()),
            dy: pick(&batch.dy, HEADS.columns()),
            rows: RowCoordinates {
                sequences: pick_rows(&batch.rows.sequences),
                positions: pick_rows(&batch.rows.positions),
            },
            ..Batch::new()
        };
        let [y_few, log_sum_exp_few, dq_few, _] = run(level, 1, &few);
        assert_eq!(y_few, pick(&y, HEADS.columns()), "{level:?}");
        assert_eq!(log_sum_exp_few, pick(&log_sum_exp, HEADS.count), "{level:?}");
        assert_eq!(dq_few, pick(&dq, HEADS.columns()), "{level:?}");
    }
}

#[test]
fn keys_that_nobody_asks_for_get_zero_gradients() {
    let batch = Batch {
        queries: vec![0, 0, 0, 0],
        q: Vec::new(),
        dy: Vec::new(),
        rows: RowCoordinates::default(),
        ..Batch::new()
    };
    let [.., dkv] = run(Level::detect(), 1, &batch);
    assert!(dkv.iter().all(|dkv| *dkv == 0.0));
}
