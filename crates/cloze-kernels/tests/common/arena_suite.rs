//! The part of the suite that works on arenas: the optimizer, and copies.

use cloze_kernels::{AdamStep, Kernels, Span};

use super::buffers::{activations, indices, read_activations, read_vector, unset_vector, vector};
use super::optimizer::{self, Arenas};
use super::random;
use super::suite::{Case, ELEMENTWISE, EXACT, Output};

/// A span in an arena of `len` elements.
#[derive(Debug)]
pub struct Arena {
    pub len: usize,
    pub at: Span,
}

pub fn arena_cases() -> Vec<Arena> {
    [(0, 0, 0), (1, 0, 1), (13, 3, 7), (37, 0, 37), (1_000, 13, 128), (70_000, 37, 68_000)]
        .map(|(len, start, span_len)| Arena { len, at: Span { start, len: span_len } })
        .into()
}

impl Case for Arena {
    fn run<K: Kernels>(&self, k: &K) -> Vec<Output> {
        let Arena { len, at } = *self;
        let x = random(1, len);
        let mut outputs = vec![Output {
            name: "sum of squares",
            values: vec![optimizer::sum_of_squares(k, &x, at)],
            tolerance: ELEMENTWISE,
        }];
        outputs.extend(adam(k, &Arenas::random(2, len), at));
        outputs.extend(copies(k, &x, at));
        outputs
    }
}

fn adam<K: Kernels>(k: &K, arenas: &Arenas, at: Span) -> Vec<Output> {
    let step = AdamStep {
        learning_rate: 1.0,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-6,
        weight_decay: 0.01,
        gradient_scale: 0.7,
        bias_correction1: 1.0 - 0.9f64.powi(3),
        bias_correction2: 1.0 - 0.999f64.powi(3),
    };
    let after = optimizer::adam_step(k, arenas, at, step);
    let (in_halves, squares) = optimizer::adam_in_halves(k, arenas, at, step);
    assert_eq!(in_halves, after, "two halves are the whole step, to the bit");
    // A step is small beside the weights, so it is looked at by itself too.
    let moved = after.weights.iter().zip(&arenas.weights).map(|(after, before)| after - before).collect();
    vec![
        Output { name: "weights", values: after.weights, tolerance: ELEMENTWISE },
        Output { name: "step", values: moved, tolerance: STEP },
        Output { name: "first moments", values: after.first_moments, tolerance: ELEMENTWISE },
        Output { name: "second moments", values: after.second_moments, tolerance: ELEMENTWISE },
        Output { name: "gradients", values: after.gradients, tolerance: EXACT },
        Output { name: "squares of the update", values: vec![squares], tolerance: ELEMENTWISE },
    ]
}

/// A step is some tenths of the weight, and is rounded to the weight's precision: some ten times f32's.
const STEP: f64 = 2e-6;

fn copies<K: Kernels>(k: &K, x: &[f64], at: Span) -> Vec<Output> {
    let source = vector(k, x);
    let mut copy = unset_vector(k, at.len);
    k.copy_vector(&mut copy, &source, at);
    let mut zeroed = vector(k, x);
    k.zero_vector(&mut zeroed, at);
    let mut zeroed_activations = activations(k, x);
    k.zero_activations(&mut zeroed_activations, at.len);

    let numbers: Vec<u32> = (0..x.len() as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
    // What an earlier, longer list leaves behind must not show.
    let mut list = indices(k, &vec![7; 2 * x.len()]);
    k.write_indices(&mut list, &numbers).unwrap();
    let mut read = vec![0; x.len()];
    k.read_indices(&mut read, &list).unwrap();
    vec![
        Output { name: "copy", values: read_vector(k, &copy, at.len), tolerance: EXACT },
        Output { name: "zeroed", values: read_vector(k, &zeroed, x.len()), tolerance: EXACT },
        Output {
            name: "zeroed activations",
            values: read_activations(k, &zeroed_activations, x.len()),
            tolerance: EXACT,
        },
        Output { name: "indices", values: read.into_iter().map(f64::from).collect(), tolerance: EXACT },
    ]
}
