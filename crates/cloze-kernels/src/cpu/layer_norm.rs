//! LayerNorm, with the dropout and the residual connection that precede it in BERT.

use rayon::prelude::*;

use super::disjoint::{rows_per_task, stripe_width};
use super::dropout::drop_rows;
use super::math::{LANES, sum_of_lanes};
use super::simd::{Level, multiply_add, multiversion};
use crate::{Dropout, Size, Span};

/// `s = residual + dropout(x)`, `normalized = (s − mean(s)) · rstd`, `y = normalized · gamma + beta`.
/// x comes in `normalized`; y, normalized, residual `[rows, columns]`, rstd `[rows]`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn forward(
    level: Level,
    y: &mut [f32],
    normalized: &mut [f32],
    rstd: &mut [f32],
    residual: Option<&[f32]>,
    dropout: Option<Dropout<Vec<u32>>>,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f64,
    size: Size,
) {
    let Size { rows, columns } = size;
    let len = rows * columns;
    if len == 0 {
        return;
    }
    let (y, normalized, rstd) = (&mut y[..len], &mut normalized[..len], &mut rstd[..rows]);
    let residual = residual.map(|residual| &residual[..len]);
    let (gamma, beta) = (&gamma[..columns], &beta[..columns]);
    let task_rows = rows_per_task(columns);
    let task_len = task_rows * columns;
    let tasks = y.par_chunks_mut(task_len).zip(normalized.par_chunks_mut(task_len)).zip(rstd.par_chunks_mut(task_rows));
    tasks.enumerate().for_each(|(task, ((y, normalized), rstd))| {
        if let Some(dropout) = dropout {
            drop_rows(level, normalized, dropout, task * task_rows, columns);
        }
        let residual = residual.map(|residual| &residual[task * task_len..][..normalized.len()]);
        forward_rows(level, y, normalized, rstd, residual, gamma, beta, epsilon as f32);
    });
}

multiversion! {
    fn forward_rows(
        y: &mut [f32],
        normalized: &mut [f32],
        rstd: &mut [f32],
        residual: Option<&[f32]>,
        gamma: &[f32],
        beta: &[f32],
        epsilon: f32,
    ) = forward_rows_body
}

#[inline(always)]
fn forward_rows_body<const FMA: bool>(
    y: &mut [f32],
    normalized: &mut [f32],
    rstd: &mut [f32],
    residual: Option<&[f32]>,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
) {
    let columns = gamma.len();
    let rows = y.chunks_exact_mut(columns).zip(normalized.chunks_exact_mut(columns)).zip(rstd);
    for (row, ((y, normalized), rstd)) in rows.enumerate() {
        if let Some(residual) = residual {
            let residual = &residual[row * columns..][..columns];
            for (s, residual) in normalized.iter_mut().zip(residual) {
                *s += residual;
            }
        }
        let mean = sum(normalized) / columns as f32;
        // The variance is taken about the mean, in a second pass: E[s²] − E[s]² would cancel.
        let variance = sum_of_squares_about::<FMA>(normalized, mean) / columns as f32;
        *rstd = 1.0 / (variance + epsilon).sqrt();
        let parameters = gamma.iter().zip(beta);
        for ((y, normalized), (gamma, beta)) in y.iter_mut().zip(normalized).zip(parameters) {
            *normalized = (*normalized - mean) * *rstd;
            *y = multiply_add::<FMA>(*normalized, *gamma, *beta);
        }
    }
}

/// `Σ x`.
#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    sum_of_lanes(lanes)
}

/// `Σ (x − center)²`.
#[inline(always)]
fn sum_of_squares_about<const FMA: bool>(x: &[f32], center: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            let difference = chunk[lane] - center;
            lanes[lane] = multiply_add::<FMA>(difference, difference, lanes[lane]);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = multiply_add::<FMA>(x - center, x - center, *lane);
    }
    sum_of_lanes(lanes)
}

/// The backward of [`forward`]. With `g = dy · gamma`:
/// `ds = rstd · (g − mean(g) − normalized · mean(g · normalized))`, `dresidual = ds`,
/// `dx = dropout(ds)`. dy comes in `dx`. Adds `Σ_r dy · normalized` to `gradients[gamma_at]` and
/// `Σ_r dy` to `gradients[beta_at]`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    level: Level,
    dx: &mut [f32],
    dresidual: Option<&mut [f32]>,
    gradients: &mut [f32],
    gamma_at: Span,
    beta_at: Span,
    normalized: &[f32],
    rstd: &[f32],
    dropout: Option<Dropout<Vec<u32>>>,
    gamma: &[f32],
    size: Size,
) {
    let Size { rows, columns } = size;
    let len = rows * columns;
    if len == 0 {
        return;
    }
    let (dx, normalized) = (&mut dx[..len], &normalized[..len]);
    let (rstd, gamma) = (&rstd[..rows], &gamma[..columns]);
    let dresidual = dresidual.map(|dresidual| &mut dresidual[..len]);

    assert!(gamma_at.len == columns && beta_at.len == columns, "{gamma_at:?}, {beta_at:?} for {columns} columns");
    let (dgamma, dbeta) = two_spans_mut(gradients, gamma_at, beta_at);
    let width = stripe_width(columns, len);
    let stripes = dgamma.par_chunks_mut(width).zip(dbeta.par_chunks_mut(width)).enumerate();
    let dy = &*dx;
    stripes.for_each(|(stripe, (dgamma, dbeta))| {
        add_parameter_gradients(level, dgamma, dbeta, dy, normalized, stripe * width, columns);
    });

    let task_rows = rows_per_task(columns);
    let task_len = task_rows * columns;
    let tasks = dx.par_chunks_mut(task_len).zip(normalized.par_chunks(task_len)).zip(rstd.par_chunks(task_rows));
    let finish = |task: usize, dx: &mut [f32]| {
        if let Some(dropout) = dropout {
            drop_rows(level, dx, dropout, task * task_rows, columns);
        }
    };
    match dresidual {
        None => tasks.enumerate().for_each(|(task, ((dx, normalized), rstd))| {
            backward_rows(level, dx, normalized, rstd, gamma);
            finish(task, dx);
        }),
        Some(dresidual) => {
            let tasks = tasks.zip(dresidual.par_chunks_mut(task_len)).enumerate();
            tasks.for_each(|(task, (((dx, normalized), rstd), dresidual))| {
                backward_rows(level, dx, normalized, rstd, gamma);
                dresidual.copy_from_slice(dx);
                finish(task, dx);
            });
        }
    }
}

/// Two spans of one vector, which must not overlap.
fn two_spans_mut(x: &mut [f32], first: Span, second: Span) -> (&mut [f32], &mut [f32]) {
    if first.start > second.start {
        let (second, first) = two_spans_mut(x, second, first);
        return (first, second);
    }
    assert!(first.start + first.len <= second.start, "{first:?} overlaps {second:?}");
    let (front, back) = x.split_at_mut(second.start);
    (&mut front[first.range()], &mut back[..second.len])
}

multiversion! {
    /// Adds to a stripe of the gradients of gamma and beta, which begins at column `first`.
    fn add_parameter_gradients(
        dgamma: &mut [f32],
        dbeta: &mut [f32],
        dy: &[f32],
        normalized: &[f32],
        first: usize,
        columns: usize,
    ) = add_parameter_gradients_body
}

#[inline(always)]
fn add_parameter_gradients_body<const FMA: bool>(
    dgamma: &mut [f32],
    dbeta: &mut [f32],
    dy: &[f32],
    normalized: &[f32],
    first: usize,
    columns: usize,
) {
    let width = dgamma.len();
    for (dy, normalized) in dy.chunks_exact(columns).zip(normalized.chunks_exact(columns)) {
        let inputs = dy[first..][..width].iter().zip(&normalized[first..][..width]);
        for ((dgamma, dbeta), (dy, normalized)) in dgamma.iter_mut().zip(dbeta.iter_mut()).zip(inputs) {
            *dgamma = multiply_add::<FMA>(*dy, *normalized, *dgamma);
            *dbeta += dy;
        }
    }
}

multiversion! {
    /// Turns dy, in `dx`, into ds.
    fn backward_rows(dx: &mut [f32], normalized: &[f32], rstd: &[f32], gamma: &[f32]) = backward_rows_body
}

#[inline(always)]
fn backward_rows_body<const FMA: bool>(dx: &mut [f32], normalized: &[f32], rstd: &[f32], gamma: &[f32]) {
    let columns = gamma.len();
    let rows = dx.chunks_exact_mut(columns).zip(normalized.chunks_exact(columns)).zip(rstd);
    for ((dx, normalized), rstd) in rows {
        for (dx, gamma) in dx.iter_mut().zip(gamma) {
            *dx *= gamma;
        }
        let mean = sum(dx) / columns as f32;
        let projection = sum_of_products::<FMA>(dx, normalized) / columns as f32;
        for (dx, normalized) in dx.iter_mut().zip(normalized) {
            *dx = multiply_add::<FMA>(-*normalized, projection, *dx - mean) * *rstd;
        }
    }
}

/// `Σ a · b`.
#[inline(always)]
fn sum_of_products<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] = multiply_add::<FMA>(a[lane], b[lane], lanes[lane]);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = multiply_add::<FMA>(*a, *b, *lane);
    }
    sum_of_lanes(lanes)
}
