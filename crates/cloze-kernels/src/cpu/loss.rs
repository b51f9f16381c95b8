//! Losses of rows of logits or predictions.

use rayon::prelude::*;

use super::disjoint::rows_per_task;
use super::math::{LANES, at_least, exp, exp_lanes, ln_f64, sum_of_lanes};
use super::simd::{Level, multiply_add, multiversion};
use crate::Size;

/// `losses[r] = log_sum_exp[r] − logits[r, labels[r]]`, `log_sum_exp[r] = ln Σ_c exp logits[r, c]`,
/// `predictions[r]` = the first column with the largest logit.
pub(crate) fn cross_entropy_forward(
    level: Level,
    losses: &mut [f32],
    log_sum_exp: &mut [f32],
    predictions: &mut Vec<u32>,
    logits: &[f32],
    labels: &[u32],
    size: Size,
) {
    let Size { rows, columns } = size;
    predictions.resize(rows, 0);
    if rows == 0 {
        return;
    }
    assert!(columns > 0, "rows without columns have no largest logit");
    let task = rows_per_task(columns);
    let outputs = losses[..rows].par_chunks_mut(task).zip(log_sum_exp[..rows].par_chunks_mut(task));
    let inputs = logits[..rows * columns].par_chunks(task * columns).zip(labels[..rows].par_chunks(task));
    let tasks = outputs.zip(predictions.par_chunks_mut(task)).zip(inputs);
    tasks.for_each(|(((losses, log_sum_exp), predictions), (logits, labels))| {
        let outputs = losses.iter_mut().zip(log_sum_exp).zip(predictions);
        let inputs = logits.chunks_exact(columns).zip(labels);
        for (((loss, log_sum_exp), prediction), (logits, label)) in outputs.zip(inputs) {
            let row = soft_max_parts(level, logits);
            let ln_sum = ln_f64(row.sum);
            let max = f64::from(row.max);
            // Not by way of log_sum_exp, which is rounded at the size of the logits: a small loss
            // would be lost in that.
            *loss = (ln_sum + (max - f64::from(logits[*label as usize]))) as f32;
            *log_sum_exp = (max + ln_sum) as f32;
            *prediction = row.first_max as u32;
        }
    });
}

/// What cross entropy needs of a row of logits.
struct SoftMaxParts {
    max: f32,
    /// The first column that has the maximum.
    first_max: usize,
    /// `Σ exp(logit − max)`, in f64: it is hardly more than 1 where the loss is small.
    sum: f64,
}

multiversion! {
    fn soft_max_parts(logits: &[f32]) -> SoftMaxParts = soft_max_parts_body
}

#[inline(always)]
fn soft_max_parts_body<const FMA: bool>(logits: &[f32]) -> SoftMaxParts {
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut maxima = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            maxima[lane] = at_least(chunk[lane], maxima[lane]);
        }
    }
    for (lane, x) in maxima.iter_mut().zip(rest) {
        *lane = at_least(*x, *lane);
    }
    let max = maxima.into_iter().fold(f32::NEG_INFINITY, f32::max);

    let mut sums = [0.0_f64; LANES];
    for chunk in chunks {
        let mut x = *chunk;
        for x in &mut x {
            *x -= max;
        }
        let x = exp_lanes::<FMA>(x);
        for lane in 0..LANES {
            sums[lane] += f64::from(x[lane]);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += f64::from(exp::<FMA>(x - max));
    }
    // A row of NaN has no largest column.
    let first_max = logits.iter().position(|x| *x == max).unwrap_or(0);
    SoftMaxParts { max, first_max, sum: sums.into_iter().sum() }
}

/// `dlogits[r, c] = scale · (exp(logits[r, c] − log_sum_exp[r]) − [c = labels[r]])`. The logits come in
/// `dlogits`.
pub(crate) fn cross_entropy_backward(
    level: Level,
    dlogits: &mut [f32],
    log_sum_exp: &[f32],
    labels: &[u32],
    scale: f64,
    size: Size,
) {
    let Size { rows, columns } = size;
    if rows * columns == 0 {
        return;
    }
    let task = rows_per_task(columns);
    let inputs = log_sum_exp[..rows].par_chunks(task).zip(labels[..rows].par_chunks(task));
    let tasks = dlogits[..rows * columns].par_chunks_mut(task * columns).zip(inputs);
    tasks.for_each(|(dlogits, (log_sum_exp, labels))| {
        for (dlogits, (log_sum_exp, label)) in dlogits.chunks_exact_mut(columns).zip(log_sum_exp.iter().zip(labels)) {
            let label = *label as usize;
            let scale = scale as f32;
            scaled_probabilities(level, dlogits, *log_sum_exp, scale);
            dlogits[label] -= scale;
        }
    });
}

multiversion! {
    /// `x = scale · exp(x − log_sum_exp)`.
    fn scaled_probabilities(x: &mut [f32], log_sum_exp: f32, scale: f32) = scaled_probabilities_body
}

#[inline(always)]
fn scaled_probabilities_body<const FMA: bool>(x: &mut [f32], log_sum_exp: f32, scale: f32) {
    for x in x {
        *x = scale * exp::<FMA>(*x - log_sum_exp);
    }
}

/// `losses[r] = Σ_c (x[r, c] − targets[r, c])²`.
pub(crate) fn squared_error_forward(level: Level, losses: &mut [f32], x: &[f32], targets: &[f32], size: Size) {
    let Size { rows, columns } = size;
    if rows * columns == 0 {
        losses[..rows].fill(0.0);
        return;
    }
    let task = rows_per_task(columns);
    let inputs = x[..rows * columns].par_chunks(task * columns).zip(targets[..rows * columns].par_chunks(task * columns));
    let tasks = losses[..rows].par_chunks_mut(task).zip(inputs);
    tasks.for_each(|(losses, (x, targets))| squared_errors(level, losses, x, targets, columns));
}

multiversion! {
    fn squared_errors(losses: &mut [f32], x: &[f32], targets: &[f32], columns: usize) = squared_errors_body
}

#[inline(always)]
fn squared_errors_body<const FMA: bool>(losses: &mut [f32], x: &[f32], targets: &[f32], columns: usize) {
    for (loss, (x, targets)) in losses.iter_mut().zip(x.chunks_exact(columns).zip(targets.chunks_exact(columns))) {
        let mut lanes = [0.0; LANES];
        for (x, targets) in x.chunks(LANES).zip(targets.chunks(LANES)) {
            for ((lane, x), target) in lanes.iter_mut().zip(x).zip(targets) {
                *lane = multiply_add::<FMA>(x - target, x - target, *lane);
            }
        }
        *loss = sum_of_lanes(lanes);
    }
}

/// `dx = scale · 2 (x − targets)`. x comes in `dx`.
pub(crate) fn squared_error_backward(dx: &mut [f32], targets: &[f32], scale: f64, size: Size) {
    let len = size.rows * size.columns;
    let scale = (2.0 * scale) as f32;
    // A regression has one column: there is nothing here for threads.
    for (dx, target) in dx[..len].iter_mut().zip(&targets[..len]) {
        *dx = scale * (*dx - target);
    }
}
