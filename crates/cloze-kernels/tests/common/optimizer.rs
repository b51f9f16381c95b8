//! The optimizer, and what works on arenas.

use cloze_kernels::{AdamStep, Kernels, Span};

use super::buffers::{read_vector, vector};

/// The arenas of Adam.
#[derive(Clone, Debug, PartialEq)]
pub struct Arenas {
    pub weights: Vec<f64>,
    pub first_moments: Vec<f64>,
    pub second_moments: Vec<f64>,
    pub gradients: Vec<f64>,
}

impl Arenas {
    pub fn random(seed: u64, len: usize) -> Arenas {
        Arenas {
            weights: super::random(seed, len),
            first_moments: super::random(seed + 1, len),
            second_moments: super::random(seed + 2, len).iter().map(|x| x.abs()).collect(),
            gradients: super::random(seed + 3, len),
        }
    }
}

/// The arenas after a step on `at`.
pub fn adam_step<K: Kernels>(k: &K, arenas: &Arenas, at: Span, step: AdamStep) -> Arenas {
    let len = arenas.weights.len();
    let mut weights = vector(k, &arenas.weights);
    let mut first = vector(k, &arenas.first_moments);
    let mut second = vector(k, &arenas.second_moments);
    let gradients = vector(k, &arenas.gradients);
    k.adam_step(&mut weights, &mut first, &mut second, &gradients, at, step, None);
    Arenas {
        weights: read_vector(k, &weights, len),
        first_moments: read_vector(k, &first, len),
        second_moments: read_vector(k, &second, len),
        gradients: read_vector(k, &gradients, len),
    }
}

/// The arenas after a step on `at` in two halves, and the sum of the squares of the update at rate 1.
pub fn adam_in_halves<K: Kernels>(k: &K, arenas: &Arenas, at: Span, step: AdamStep) -> (Arenas, f64) {
    let len = arenas.weights.len();
    let mut weights = vector(k, &arenas.weights);
    let mut first = vector(k, &arenas.first_moments);
    let mut second = vector(k, &arenas.second_moments);
    let gradients = vector(k, &arenas.gradients);
    let squares = k.adam_moments(&mut first, &mut second, &weights, &gradients, at, step).unwrap();
    let step = AdamStep { beta1: 1.0, beta2: 1.0, ..step };
    k.adam_step(&mut weights, &mut first, &mut second, &gradients, at, step, None);
    let arenas = Arenas {
        weights: read_vector(k, &weights, len),
        first_moments: read_vector(k, &first, len),
        second_moments: read_vector(k, &second, len),
        gradients: read_vector(k, &gradients, len),
    };
    (arenas, squares)
}

pub fn sum_of_squares<K: Kernels>(k: &K, x: &[f64], at: Span) -> f64 {
    k.sum_of_squares(&vector(k, x), at).unwrap()
}
