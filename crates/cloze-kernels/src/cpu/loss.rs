//! Losses of rows of logits or predictions.

use super::chunks::{chunks, chunks_mut, for_each_part};
use super::disjoint::rows_per_task;
use super::math::{LANES, at_least, exp, exp_lanes, ln_f64};
use super::simd::{Level, multiversion};
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
    let (losses, log_sum_exp) = (chunks_mut(&mut losses[..rows], task), chunks_mut(&mut log_sum_exp[..rows], task));
    let (logits, labels) = (chunks(&logits[..rows * columns], task * columns), chunks(&labels[..rows], task));
    let tasks = (losses, log_sum_exp, chunks_mut(predictions, task), logits, labels);
    for_each_part(tasks, |_, (losses, log_sum_exp, predictions, logits, labels)| {
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
    let dlogits = chunks_mut(&mut dlogits[..rows * columns], task * columns);
    let (log_sum_exp, labels) = (chunks(&log_sum_exp[..rows], task), chunks(&labels[..rows], task));
    for_each_part((dlogits, log_sum_exp, labels), |_, (dlogits, log_sum_exp, labels)| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::{levels, numbers, on_threads};

    /// Of losses, and of gradients divided by the scale.
    const TOLERANCE: f64 = 1e-6;

    struct Forward {
        losses: Vec<f32>,
        log_sum_exp: Vec<f32>,
        predictions: Vec<u32>,
    }

    fn forward_of(level: Level, logits: &[f32], labels: &[u32], size: Size) -> Forward {
        let nan = vec![f32::NAN; size.rows];
        let mut f = Forward { losses: nan.clone(), log_sum_exp: nan, predictions: vec![9; 3] };
        let outputs = (&mut f.losses, &mut f.log_sum_exp, &mut f.predictions);
        cross_entropy_forward(level, outputs.0, outputs.1, outputs.2, logits, labels, size);
        f
    }

    #[test]
    fn cross_entropy_is_the_definition() {
        for (rows, columns) in [(0, 3), (1, 1), (13, 2), (7, 37), (5, 1000), (2, 120_001)] {
            let size = Size { rows, columns };
            let logits: Vec<f32> = numbers(rows * columns, 1).iter().map(|x| 7.0 * x + 3.0).collect();
            let labels: Vec<u32> = (0..rows).map(|row| (row * 5 % columns) as u32).collect();
            for level in levels() {
                let f = forward_of(level, &logits, &labels, size);
                assert_eq!(f.predictions.len(), rows);
                let mut dlogits = logits.clone();
                cross_entropy_backward(level, &mut dlogits, &f.log_sum_exp, &labels, 0.25, size);
                for (row, logits) in logits.chunks(columns).enumerate() {
                    let label = labels[row] as usize;
                    let max = logits.iter().copied().fold(f32::MIN, f32::max);
                    let first_max = logits.iter().position(|x| *x == max);
                    assert_eq!(Some(f.predictions[row] as usize), first_max);
                    let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
                    let loss = sum.ln() - f64::from(logits[label]);
                    let found = f64::from(f.losses[row]);
                    assert!((found - loss).abs() <= TOLERANCE * loss, "{found} instead of {loss}");
                    assert!((f64::from(f.log_sum_exp[row]) - sum.ln()).abs() <= TOLERANCE * sum.ln().abs());
                    for (column, x) in logits.iter().enumerate() {
                        let hit = if column == label { 1.0 } else { 0.0 };
                        let expected = f64::from(*x).exp() / sum - hit;
                        let found = f64::from(dlogits[row * columns + column]) / 0.25;
                        assert!((found - expected).abs() <= TOLERANCE, "{found} instead of {expected}");
                    }
                }
            }
        }
    }

    /// Where the model is sure and right the loss is far smaller than the rounding of the logits.
    #[test]
    fn small_losses_are_exact() {
        for level in levels() {
            for gap in [5.0_f32, 10.0, 20.0] {
                let mut logits = [30.0; 50];
                logits[20] += gap;
                let f = forward_of(level, &logits, &[20], Size { rows: 1, columns: 50 });
                let expected = (49.0 * f64::from(-gap).exp()).ln_1p();
                let found = f64::from(f.losses[0]);
                assert!((found / expected - 1.0).abs() < TOLERANCE, "{found} instead of {expected}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_shows() {
        for level in levels() {
            for (bad, at) in [(f32::NAN, 2), (f32::NAN, 39), (f32::INFINITY, 5)] {
                let mut logits = [1.0; 40];
                logits[at] = bad;
                let f = forward_of(level, &logits, &[0], Size { rows: 1, columns: 40 });
                assert!(!f.losses[0].is_finite(), "{bad} at {at} gives {}", f.losses[0]);
            }
            let f = forward_of(level, &[f32::NAN; 20], &[0], Size { rows: 1, columns: 20 });
            assert!(f.losses[0].is_nan() && f.predictions == [0]);
            let mut masked = [0.0, f32::NEG_INFINITY];
            let f = forward_of(level, &masked, &[0], Size { rows: 1, columns: 2 });
            assert_eq!(f.losses, [0.0]);
            cross_entropy_backward(level, &mut masked, &f.log_sum_exp, &[0], 1.0, Size { rows: 1, columns: 2 });
            assert_eq!(masked, [0.0, 0.0]);
        }
    }

    #[test]
    fn threads_give_the_same_bits() {
        let size = Size { rows: 30, columns: 3001 };
        let logits = numbers(30 * 3001, 1);
        for level in levels() {
            let run = |threads| on_threads(threads, || forward_of(level, &logits, &[17; 30], size));
            let (one, three) = (run(1), run(3));
            assert!(one.losses == three.losses && one.log_sum_exp == three.log_sum_exp);
            assert_eq!(one.predictions, three.predictions);
            let alone = forward_of(level, &logits[29 * 3001..], &[17], Size { rows: 1, columns: 3001 });
            assert_eq!(alone.losses, one.losses[29..]);
        }
    }
}
