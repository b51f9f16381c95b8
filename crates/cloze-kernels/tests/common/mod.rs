//! What the tests of this crate share: inputs, buffers, and every operation of the contract as a
//! function from slices to vectors, generic over the implementation.

// Each file of tests is a program of its own and uses its own part of this.
#![allow(dead_code)]

pub mod arena_suite;
pub mod attention;
pub mod buffers;
pub mod layer_norm;
pub mod linear;
pub mod loss;
pub mod optimizer;
pub mod rows;
pub mod suite;

use cloze_kernels::philox::{key, philox4x32};

/// Numbers of mean 0 and variance 1, close to normal, that f32 holds exactly, so that every
/// implementation starts from the same ones. Another `seed` gives others.
pub fn random(seed: u64, len: usize) -> Vec<f64> {
    let number = |i| {
        let uniform = philox4x32([i as u32, 0, 0, 0], key(seed)).map(|x| f64::from(x) / f64::from(u32::MAX));
        // The sum of four uniform numbers has mean 2 and variance 1/3.
        f64::from(((uniform.iter().sum::<f64>() - 2.0) * 3f64.sqrt()) as f32)
    };
    (0..len).map(number).collect()
}

/// `random`, multiplied by a power of two so that it stays exact.
pub fn random_scaled(seed: u64, len: usize, scale: f64) -> Vec<f64> {
    assert_eq!(scale.log2().fract(), 0.0, "a power of two");
    random(seed, len).iter().map(|x| scale * x).collect()
}

/// Integers below `bound`.
pub fn random_indices(seed: u64, len: usize, bound: usize) -> Vec<u32> {
    (0..len).map(|i| philox4x32([i as u32, 1, 0, 0], key(seed))[0] % bound as u32).collect()
}

/// `‖found − expected‖ / ‖expected‖`, which no element that is not finite passes; 0 for two empty or two
/// zero tensors.
pub fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    match (norm(&difference), norm(expected)) {
        (0.0, _) => 0.0,
        (difference, expected) => difference / expected,
    }
}

/// `√Σ x²`.
pub fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// `Σ a · b`.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Asserts the same bits, and names the first element that differs.
pub fn assert_same_bits(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(a.to_bits() == b.to_bits(), "{what}: element {i} of {} is {a:e}, expected {b:e}", found.len());
    }
}
