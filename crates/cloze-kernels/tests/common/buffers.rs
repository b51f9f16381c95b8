//! From slices to buffers and back.
//!
//! Every buffer is some elements longer than the call needs, and these are NaN: a call that reads them
//! spoils its result, and reading back asserts that none was written.

use cloze_kernels::{Dropout, Kernels, MatrixShape, Purpose, Real, Role, RowCoordinates, Span};

/// How much longer a buffer is than a call needs.
const TAIL: usize = 5;

/// Activations that hold `values`.
pub fn activations<K: Kernels>(k: &K, values: &[f64]) -> K::Activations {
    let mut x = k.activations(values.len() + TAIL).unwrap();
    k.write_activations(&mut x, &with_tail(values)).unwrap();
    x
}

/// Activations to be overwritten: NaN throughout.
pub fn unset_activations<K: Kernels>(k: &K, len: usize) -> K::Activations {
    activations(k, &vec![f64::NAN; len])
}

/// The first `len` elements.
pub fn read_activations<K: Kernels>(k: &K, x: &K::Activations, len: usize) -> Vec<f64> {
    let mut values = vec![K::Real::from_f64(0.0); k.activations_len(x)];
    k.read_activations(&mut values, x).unwrap();
    without_tail(&values, len)
}

/// A vector that holds `values`.
pub fn vector<K: Kernels>(k: &K, values: &[f64]) -> K::Vector {
    let mut x = k.vector(values.len() + TAIL).unwrap();
    k.write_vector(&mut x, 0, &with_tail(values)).unwrap();
    x
}

/// A vector to be overwritten: NaN throughout.
pub fn unset_vector<K: Kernels>(k: &K, len: usize) -> K::Vector {
    vector(k, &vec![f64::NAN; len])
}

/// The first `len` elements.
pub fn read_vector<K: Kernels>(k: &K, x: &K::Vector, len: usize) -> Vec<f64> {
    let mut values = vec![K::Real::from_f64(0.0); k.vector_len(x)];
    k.read_vector(&mut values, x, 0).unwrap();
    without_tail(&values, len)
}

/// Integers.
pub fn indices<K: Kernels>(k: &K, values: &[u32]) -> K::Indices {
    let mut x = k.indices();
    k.write_indices(&mut x, values).unwrap();
    x
}

/// A matrix for training, packed from the middle of a vector.
pub fn matrix<K: Kernels>(k: &K, shape: MatrixShape, values: &[f64]) -> K::Matrix {
    packed(k, shape, Purpose::Training, values)
}

/// The same for inference.
pub fn inference_matrix<K: Kernels>(k: &K, shape: MatrixShape, values: &[f64]) -> K::Matrix {
    packed(k, shape, Purpose::Inference, values)
}

fn packed<K: Kernels>(k: &K, shape: MatrixShape, purpose: Purpose, values: &[f64]) -> K::Matrix {
    let source = vector(k, &[&[f64::NAN; 3], values].concat());
    let mut matrix = k.matrix(shape, purpose, Role::Encoder).unwrap();
    k.pack(&mut matrix, &source, Span { start: 3, len: values.len() });
    matrix
}

/// Dropout with its rows, before they are in an implementation's buffers.
#[derive(Clone, Debug)]
pub struct Mask {
    pub probability: f32,
    pub seed: u64,
    pub step: u32,
    pub site: u32,
    pub sequences: Vec<u32>,
    pub positions: Vec<u32>,
}

impl Mask {
    /// A mask for packed sequences of these numbers of rows.
    pub fn new(probability: f32, sequences: &[usize]) -> Mask {
        let mut mask =
            Mask { probability, seed: 0x1234_5678_9abc, step: 3, site: 7, sequences: vec![], positions: vec![] };
        for (sequence, rows) in sequences.iter().enumerate() {
            mask.sequences.extend(vec![sequence as u32 + 11; *rows]);
            mask.positions.extend(0..*rows as u32);
        }
        mask
    }

    /// The same mask for these rows only.
    pub fn part(&self, rows: std::ops::Range<usize>) -> Mask {
        let (sequences, positions) = (self.sequences[rows.clone()].to_vec(), self.positions[rows].to_vec());
        Mask { sequences, positions, ..*self }
    }

    /// Where the rows stand.
    pub fn coordinates<K: Kernels>(&self, k: &K) -> RowCoordinates<K::Indices> {
        RowCoordinates { sequences: indices(k, &self.sequences), positions: indices(k, &self.positions) }
    }

    /// The argument of a call.
    pub fn dropout<'a, I>(&self, rows: &'a RowCoordinates<I>) -> Dropout<'a, I> {
        let Mask { probability, seed, step, site, .. } = *self;
        Dropout { probability, seed, step, site, rows }
    }
}

fn with_tail<R: Real>(values: &[f64]) -> Vec<R> {
    values.iter().chain(&[f64::NAN; TAIL]).map(|x| R::from_f64(*x)).collect()
}

fn without_tail<R: Real>(values: &[R], len: usize) -> Vec<f64> {
    assert_eq!(values.len(), len + TAIL);
    assert!(values[len..].iter().all(|x| x.to_f64().is_nan()), "elements were written behind the {len} of the call");
    values[..len].iter().map(|x| x.to_f64()).collect()
}
