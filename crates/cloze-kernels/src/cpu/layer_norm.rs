//! LayerNorm, with the dropout and the residual connection that precede it in BERT.

use super::chunks::{chunks, chunks_mut, for_each_part};
use super::disjoint::{rows_per_task, stripe_width, two_spans_mut};
use super::dropout::drop_rows;
use super::math::{add_and_sum, sum, sum_of_products, sum_of_squares_about};
use super::simd::{Level, multiply_add, multiversion};
use crate::{Dropout, LayerNorm, Size, Span};

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
    let tasks = (chunks_mut(y, task_len), chunks_mut(normalized, task_len), chunks_mut(rstd, task_rows));
    for_each_part(tasks, |task, (y, normalized, rstd)| {
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
        let sum = match residual {
            Some(residual) => add_and_sum(normalized, &residual[row * columns..][..columns]),
            None => sum(normalized),
        };
        let mean = sum / columns as f32;
        *rstd = reciprocal_deviation::<FMA>(normalized, mean, epsilon);
        let parameters = gamma.iter().zip(beta);
        for ((y, normalized), (gamma, beta)) in y.iter_mut().zip(normalized).zip(parameters) {
            *normalized = (*normalized - mean) * *rstd;
            *y = multiply_add::<FMA>(*normalized, *gamma, *beta);
        }
    }
}

/// `1 / √(var(s) + epsilon)`. The variance is taken about the mean, in a pass of its own: E[s²] − E[s]² would
/// cancel.
#[inline(always)]
fn reciprocal_deviation<const FMA: bool>(s: &[f32], mean: f32, epsilon: f32) -> f32 {
    let variance = sum_of_squares_about::<FMA>(s, mean) / s.len() as f32;
    1.0 / (variance + epsilon).sqrt()
}

/// `y = LayerNorm(residual + y)`, with the bits of [`forward`], for those that need no backward.
pub(crate) fn normalize(level: Level, y: &mut [f32], residual: &[f32], norm: LayerNorm<Vec<f32>>, size: Size) {
    let Size { rows, columns } = size;
    let task_len = (rows_per_task(columns) * columns).max(1);
    let tasks = (chunks_mut(&mut y[..rows * columns], task_len), chunks(&residual[..rows * columns], task_len));
    for_each_part(tasks, |_, (y, residual)| normalize_rows(level, y, residual, norm, columns));
}

multiversion! {
    /// [`normalize`] on this thread, for all rows of `y`.
    pub(crate) fn normalize_rows(
        y: &mut [f32],
        residual: &[f32],
        norm: LayerNorm<'_, Vec<f32>>,
        columns: usize,
    ) = normalize_rows_body
}

#[inline(always)]
fn normalize_rows_body<const FMA: bool>(
    y: &mut [f32],
    residual: &[f32],
    LayerNorm { gamma, beta, epsilon }: LayerNorm<Vec<f32>>,
    columns: usize,
) {
    let (gamma, beta, columns) = (&gamma[..columns], &beta[..columns], columns.max(1));
    for (y, residual) in y.chunks_exact_mut(columns).zip(residual.chunks_exact(columns)) {
        let mean = add_and_sum(y, residual) / columns as f32;
        let rstd = reciprocal_deviation::<FMA>(y, mean, epsilon as f32);
        for (y, (gamma, beta)) in y.iter_mut().zip(gamma.iter().zip(beta)) {
            *y = multiply_add::<FMA>((*y - mean) * rstd, *gamma, *beta);
        }
    }
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
    let dy = &*dx;
    for_each_part((chunks_mut(dgamma, width), chunks_mut(dbeta, width)), |stripe, (dgamma, dbeta)| {
        add_parameter_gradients(level, dgamma, dbeta, dy, normalized, stripe * width, columns);
    });

    let task_rows = rows_per_task(columns);
    let task_len = task_rows * columns;
    let outputs = (chunks_mut(dx, task_len), dresidual.map(|dresidual| chunks_mut(dresidual, task_len)));
    let tasks = (outputs, chunks(normalized, task_len), chunks(rstd, task_rows));
    for_each_part(tasks, |task, ((dx, dresidual), normalized, rstd)| {
        backward_rows(level, dx, normalized, rstd, gamma);
        if let Some(dresidual) = dresidual {
            dresidual.copy_from_slice(dx);
        }
        if let Some(dropout) = dropout {
            drop_rows(level, dx, dropout, task * task_rows, columns);
        }
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RowCoordinates;
    use crate::cpu::dropout;
    use crate::cpu::math::tests::{levels, numbers, on_threads};

    const SIZES: [(usize, usize); 6] = [(1, 1), (3, 7), (2, 16), (5, 37), (4, 128), (60, 768)];
    const EPSILON: f64 = 1e-12;

    fn coordinates(rows: usize) -> RowCoordinates<Vec<u32>> {
        RowCoordinates { sequences: vec![3; rows], positions: (0..rows as u32).collect() }
    }

    fn dropout_of(rows: &RowCoordinates<Vec<u32>>) -> Dropout<'_, Vec<u32>> {
        Dropout { probability: 0.25, seed: 1, step: 2, site: 3, rows }
    }

    fn to_f64(x: &[f32]) -> Vec<f64> {
        x.iter().map(|x| f64::from(*x)).collect()
    }

    fn mean(x: impl ExactSizeIterator<Item = f64>) -> f64 {
        let len = x.len() as f64;
        x.sum::<f64>() / len
    }

    /// `|found − expected| ≤ tolerance`, element by element.
    fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= tolerance, "{what}[{i}]: {found} instead of {expected}");
        }
    }

    struct Forward {
        y: Vec<f32>,
        normalized: Vec<f32>,
        rstd: Vec<f32>,
    }

    fn forward_of(
        level: Level,
        x: &[f32],
        residual: Option<&[f32]>,
        dropout: Option<Dropout<Vec<u32>>>,
        gamma: &[f32],
        beta: &[f32],
        size: Size,
    ) -> Forward {
        let mut f = Forward { y: vec![0.0; x.len()], normalized: x.to_vec(), rstd: vec![0.0; size.rows] };
        let outputs = (&mut f.y, &mut f.normalized, &mut f.rstd);
        forward(level, outputs.0, outputs.1, outputs.2, residual, dropout, gamma, beta, EPSILON, size);
        f
    }

    #[test]
    fn forward_is_the_definition() {
        for (rows, columns) in SIZES {
            let size = Size { rows, columns };
            // A mean much larger than the deviation, as deep layers have.
            let x: Vec<f32> = numbers(rows * columns, 1).iter().map(|x| x + 10.0).collect();
            let residual = numbers(rows * columns, 2);
            let (gamma, beta) = (numbers(columns, 3), numbers(columns, 4));
            let coordinates = coordinates(rows);
            for level in levels() {
                for (residual, dropout) in [(None, None), (Some(&residual), Some(dropout_of(&coordinates)))] {
                    let mut s = x.clone();
                    if let Some(d) = dropout {
                        dropout::forward(level, &mut s, &x, d, size);
                    }
                    let mut s = to_f64(&s);
                    if let Some(residual) = residual {
                        s.iter_mut().zip(residual).for_each(|(s, residual)| *s += f64::from(*residual));
                    }
                    let f = forward_of(level, &x, residual.map(|x| &x[..]), dropout, &gamma, &beta, size);
                    for (row, s) in s.chunks(columns).enumerate() {
                        let center = mean(s.iter().copied());
                        let variance = mean(s.iter().map(|s| (s - center).powi(2)));
                        let rstd = 1.0 / (variance + EPSILON).sqrt();
                        // One column: nothing is left but the rounding of s.
                        if columns == 1 {
                            assert_eq!(f.y[row], beta[0]);
                            continue;
                        }
                        let normalized: Vec<f64> = s.iter().map(|s| (s - center) * rstd).collect();
                        let y = normalized.iter().zip(to_f64(&gamma)).zip(to_f64(&beta));
                        let y: Vec<f64> = y.map(|((normalized, gamma), beta)| normalized * gamma + beta).collect();
                        let of_row = row * columns..(row + 1) * columns;
                        assert!((f64::from(f.rstd[row]) / rstd - 1.0).abs() < 1e-6, "{} {rstd}", f.rstd[row]);
                        // Half a unit in the last place of a number of about 10, twice.
                        let tolerance = 2e-6 * rstd.max(1.0);
                        assert_close(&f.normalized[of_row.clone()], &normalized, tolerance, "normalized");
                        assert_close(&f.y[of_row], &y, 2.0 * tolerance, "y");
                    }
                }
            }
        }
    }

    struct Backward {
        dx: Vec<f32>,
        dresidual: Vec<f32>,
        gradients: Vec<f32>,
    }

    /// Gradients of beta, then a gap of one, then of gamma; they start at 0.5.
    fn backward_of(
        level: Level,
        dy: &[f32],
        f: &Forward,
        dropout: Option<Dropout<Vec<u32>>>,
        gamma: &[f32],
        size: Size,
    ) -> Backward {
        let columns = size.columns;
        let (beta_at, gamma_at) = (Span { start: 0, len: columns }, Span { start: columns + 1, len: columns });
        let mut dx = dy.to_vec();
        let mut dresidual = vec![f32::NAN; dy.len()];
        let mut gradients = vec![0.5; 2 * columns + 1];
        backward(
            level,
            &mut dx,
            Some(&mut dresidual),
            &mut gradients,
            gamma_at,
            beta_at,
            &f.normalized,
            &f.rstd,
            dropout,
            gamma,
            size,
        );
        Backward { dx, dresidual, gradients }
    }

    #[test]
    fn backward_is_the_definition() {
        for (rows, columns) in SIZES.into_iter().filter(|(_, columns)| *columns > 1) {
            let size = Size { rows, columns };
            let (x, dy) = (numbers(rows * columns, 1), numbers(rows * columns, 2));
            let (gamma, beta) = (numbers(columns, 3), numbers(columns, 4));
            let coordinates = coordinates(rows);
            let dropout = dropout_of(&coordinates);
            for level in levels() {
                let f = forward_of(level, &x, None, None, &gamma, &beta, size);
                let b = backward_of(level, &dy, &f, Some(dropout), &gamma, size);
                let (mut dgamma, mut dbeta) = (vec![0.5; columns], vec![0.5; columns]);
                for row in 0..rows {
                    let of_row = row * columns..(row + 1) * columns;
                    let (dy, normalized) = (to_f64(&dy[of_row.clone()]), to_f64(&f.normalized[of_row.clone()]));
                    let g: Vec<f64> = dy.iter().zip(&gamma).map(|(dy, gamma)| dy * f64::from(*gamma)).collect();
                    let mean_g = mean(g.iter().copied());
                    let projection = mean(g.iter().zip(&normalized).map(|(g, normalized)| g * normalized));
                    let rstd = f64::from(f.rstd[row]);
                    let ds = g.iter().zip(&normalized).map(|(g, n)| rstd * (g - mean_g - n * projection));
                    let ds: Vec<f64> = ds.collect();
                    assert_close(&b.dresidual[of_row], &ds, 2e-6 * rstd.max(1.0), "dresidual");
                    for column in 0..columns {
                        dgamma[column] += dy[column] * normalized[column];
                        dbeta[column] += dy[column];
                    }
                }
                assert_close(&b.gradients[..columns], &dbeta, 1e-5, "dbeta");
                assert_eq!(b.gradients[columns], 0.5, "the gap");
                assert_close(&b.gradients[columns + 1..], &dgamma, 1e-5, "dgamma");
                let mut dx = vec![0.0; rows * columns];
                dropout::forward(level, &mut dx, &b.dresidual, dropout, size);
                assert_eq!(b.dx, dx);
                // Without dropout dx is ds.
                let without = backward_of(level, &dy, &f, None, &gamma, size);
                assert_eq!(without.dx, b.dresidual);
                assert_eq!(without.dresidual, b.dresidual);
            }
        }
    }

    #[test]
    fn threads_halves_and_single_rows_give_the_same_bits() {
        let (rows, columns) = (61, 770);
        let size = Size { rows, columns };
        let (x, dy) = (numbers(rows * columns, 1), numbers(rows * columns, 2));
        let (gamma, beta) = (numbers(columns, 3), numbers(columns, 4));
        let whole = |level| {
            let f = forward_of(level, &x, Some(&dy), None, &gamma, &beta, size);
            let b = backward_of(level, &dy, &f, None, &gamma, size);
            (f, b)
        };
        for level in levels() {
            let (f, b) = on_threads(1, || whole(level));
            let (f3, b3) = on_threads(3, || whole(level));
            assert!(f.y == f3.y && f.normalized == f3.normalized && f.rstd == f3.rstd);
            assert!(b.dx == b3.dx && b.dresidual == b3.dresidual && b.gradients == b3.gradients);

            let last = (rows - 1) * columns..rows * columns;
            let row = Size { rows: 1, columns };
            let alone = forward_of(level, &x[last.clone()], Some(&dy[last.clone()]), None, &gamma, &beta, row);
            assert_eq!(alone.y, f.y[last]);

            let (gamma_at, beta_at) = (Span { start: columns + 1, len: columns }, Span { start: 0, len: columns });
            let mut gradients = vec![0.5; 2 * columns + 1];
            for rows in [0..20, 20..61] {
                let elements = rows.start * columns..rows.end * columns;
                let mut dx = dy[elements.clone()].to_vec();
                let (normalized, rstd) = (&f.normalized[elements], &f.rstd[rows.clone()]);
                let size = Size { rows: rows.len(), columns };
                let gradients = &mut gradients;
                backward(level, &mut dx, None, gradients, gamma_at, beta_at, normalized, rstd, None, &gamma, size);
                assert_eq!(dx, b.dx[rows.start * columns..rows.end * columns]);
            }
            assert_eq!(gradients, b.gradients);
        }
    }

    #[test]
    #[should_panic(expected = "overlaps")]
    fn the_gradients_must_not_overlap() {
        two_spans_mut(&mut [0.0; 9], Span { start: 4, len: 5 }, Span { start: 0, len: 5 });
    }
}
