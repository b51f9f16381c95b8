//! LayerNorm.

use cloze_kernels::{Kernels, Size, Span};

use super::buffers::{Mask, activations, read_activations, read_vector, unset_activations, unset_vector, vector};

/// The parameters.
#[derive(Clone, Debug)]
pub struct Norm {
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
    pub epsilon: f64,
}

impl Norm {
    pub fn random(seed: u64, columns: usize) -> Norm {
        Norm { gamma: super::random(seed, columns), beta: super::random(seed + 1, columns), epsilon: 1e-12 }
    }

    /// Where gamma and beta lie in the arena of [`layer_norm_backward`].
    pub fn spans(&self) -> (Span, Span) {
        let gamma = Span { start: 2, len: self.gamma.len() };
        (gamma, Span { start: gamma.range().end + 3, len: self.beta.len() })
    }

    /// Elements of the arena of [`layer_norm_backward`].
    pub fn arena_len(&self) -> usize {
        self.spans().1.range().end + 1
    }
}

/// What forward leaves.
pub struct Normalized {
    pub y: Vec<f64>,
    pub normalized: Vec<f64>,
    pub rstd: Vec<f64>,
}

/// What backward leaves; `gradients` is the whole arena.
pub struct Gradients {
    pub dx: Vec<f64>,
    pub dresidual: Option<Vec<f64>>,
    pub gradients: Vec<f64>,
}

pub fn layer_norm_forward<K: Kernels>(
    k: &K,
    x: &[f64],
    residual: Option<&[f64]>,
    mask: Option<&Mask>,
    norm: &Norm,
    size: Size,
) -> Normalized {
    let (mut y, mut normalized) = (unset_activations(k, x.len()), activations(k, x));
    let mut rstd = unset_vector(k, size.rows);
    let residual = residual.map(|residual| activations(k, residual));
    let (gamma, beta) = (vector(k, &norm.gamma), vector(k, &norm.beta));
    let rows = mask.map(|mask| mask.coordinates(k));
    let dropout = mask.zip(rows.as_ref()).map(|(mask, rows)| mask.dropout(rows));
    k.layer_norm_forward(
        &mut y,
        &mut normalized,
        &mut rstd,
        residual.as_ref(),
        dropout,
        &gamma,
        &beta,
        norm.epsilon,
        size,
    );
    Normalized {
        y: read_activations(k, &y, x.len()),
        normalized: read_activations(k, &normalized, x.len()),
        rstd: read_vector(k, &rstd, size.rows),
    }
}

#[allow(clippy::too_many_arguments)]
pub fn layer_norm_backward<K: Kernels>(
    k: &K,
    with_residual: bool,
    gradients: &[f64],
    dy: &[f64],
    forward: &Normalized,
    mask: Option<&Mask>,
    norm: &Norm,
    size: Size,
) -> Gradients {
    let mut dx = activations(k, dy);
    let mut dresidual = with_residual.then(|| unset_activations(k, dy.len()));
    let mut arena = vector(k, gradients);
    let (gamma_at, beta_at) = norm.spans();
    let (normalized, rstd) = (activations(k, &forward.normalized), vector(k, &forward.rstd));
    let rows = mask.map(|mask| mask.coordinates(k));
    let dropout = mask.zip(rows.as_ref()).map(|(mask, rows)| mask.dropout(rows));
    k.layer_norm_backward(
        &mut dx,
        dresidual.as_mut(),
        &mut arena,
        gamma_at,
        beta_at,
        &normalized,
        &rstd,
        dropout,
        &vector(k, &norm.gamma),
        size,
    );
    Gradients {
        dx: read_activations(k, &dx, dy.len()),
        dresidual: dresidual.map(|dresidual| read_activations(k, &dresidual, dy.len())),
        gradients: read_vector(k, &arena, gradients.len()),
    }
}
