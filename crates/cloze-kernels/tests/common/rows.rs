//! Embeddings, gathering, scattering, dropout.

use cloze_kernels::{Kernels, Size, Span};

use super::buffers::{Mask, activations, indices, read_activations, read_vector, unset_activations, vector};

pub fn embedding_forward<K: Kernels>(k: &K, tables: &[(&[f64], &[u32])], size: Size) -> Vec<f64> {
    let mut y = unset_activations(k, size.rows * size.columns);
    let tables: Vec<_> = tables.iter().map(|(table, index)| (vector(k, table), indices(k, index))).collect();
    let tables: Vec<_> = tables.iter().map(|(table, index)| (table, index)).collect();
    k.embedding_forward(&mut y, &tables, size);
    read_activations(k, &y, size.rows * size.columns)
}

/// The arena `gradients` after the call.
pub fn embedding_backward<K: Kernels>(
    k: &K,
    gradients: &[f64],
    table: Span,
    dy: &[f64],
    index: &[u32],
    size: Size,
) -> Vec<f64> {
    let mut arena = vector(k, gradients);
    k.embedding_backward(&mut arena, table, &activations(k, dy), &indices(k, index), size);
    read_vector(k, &arena, gradients.len())
}

pub fn gather_rows<K: Kernels>(k: &K, x: &[f64], rows: &[u32], size: Size) -> Vec<f64> {
    let mut y = unset_activations(k, size.rows * size.columns);
    k.gather_rows(&mut y, &activations(k, x), &indices(k, rows), size);
    read_activations(k, &y, size.rows * size.columns)
}

/// `dx` after the call.
pub fn scatter_add_rows<K: Kernels>(k: &K, dx: &[f64], dy: &[f64], rows: &[u32], size: Size) -> Vec<f64> {
    let mut sum = activations(k, dx);
    k.scatter_add_rows(&mut sum, &activations(k, dy), &indices(k, rows), size);
    read_activations(k, &sum, dx.len())
}

pub fn dropout<K: Kernels>(k: &K, x: &[f64], mask: &Mask, size: Size) -> Vec<f64> {
    let mut y = unset_activations(k, x.len());
    let coordinates = mask.coordinates(k);
    k.dropout(&mut y, &activations(k, x), mask.dropout(&coordinates), size);
    read_activations(k, &y, x.len())
}
