//! LayerNorm (Ba, Kiros and Hinton 2016) of a residual connection: `LayerNorm(residual + dropout(x))`.

use super::dropout::factor;
use super::memory::{dot, row, row_mut};
use crate::{Dropout, Size, Span};

pub(super) fn layer_norm_forward(
    y: &mut [f64],
    normalized: &mut [f64],
    rstd: &mut [f64],
    residual: Option<&[f64]>,
    dropout: Option<Dropout<'_, Vec<u32>>>,
    gamma: &[f64],
    beta: &[f64],
    epsilon: f64,
    size: Size,
) {
    let n = size.columns as f64;
    for r in 0..size.rows {
        let s = row_mut(normalized, r, size.columns);
        for (column, s) in s.iter_mut().enumerate() {
            *s *= factor(dropout, r, 0, column);
            *s += residual.map_or(0.0, |residual| row(residual, r, size.columns)[column]);
        }

        let mean = s.iter().sum::<f64>() / n;
        let variance = s.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
        rstd[r] = 1.0 / (variance + epsilon).sqrt();

        let y = row_mut(y, r, size.columns);
        for (column, s) in s.iter_mut().enumerate() {
            *s = (*s - mean) * rstd[r];
            y[column] = *s * gamma[column] + beta[column];
        }
    }
}

pub(super) fn layer_norm_backward(
    dx: &mut [f64],
    mut dresidual: Option<&mut [f64]>,
    gradients: &mut [f64],
    gamma_at: Span,
    beta_at: Span,
    normalized: &[f64],
    rstd: &[f64],
    dropout: Option<Dropout<'_, Vec<u32>>>,
    gamma: &[f64],
    size: Size,
) {
    assert_eq!([gamma_at.len, beta_at.len], [size.columns; 2], "the spans of gamma and beta");
    let n = size.columns as f64;
    for r in 0..size.rows {
        let dy = row_mut(dx, r, size.columns);
        let normalized = row(normalized, r, size.columns);
        for column in 0..size.columns {
            gradients[gamma_at.start + column] += dy[column] * normalized[column];
            gradients[beta_at.start + column] += dy[column];
        }

        let g: Vec<f64> = dy.iter().zip(gamma).map(|(dy, gamma)| dy * gamma).collect();
        let mean_g = g.iter().sum::<f64>() / n;
        let mean_g_normalized = dot(&g, normalized) / n;

        let dx = dy;
        for column in 0..size.columns {
            let ds = rstd[r] * (g[column] - mean_g - normalized[column] * mean_g_normalized);
            if let Some(dresidual) = &mut dresidual {
                row_mut(dresidual, r, size.columns)[column] = ds;
            }
            dx[column] = factor(dropout, r, 0, column) * ds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_known_mean_and_variance() {
        // With the residual the row is [1, 3, 5, 7]: mean 4, variance 5; epsilon makes it 9.
        let mut normalized = [0.0, 1.0, 2.0, 3.0];
        let residual = [1.0, 2.0, 3.0, 4.0];
        let (mut y, mut rstd) = ([f64::NAN; 4], [f64::NAN]);
        let (gamma, beta) = ([3.0, 3.0, 3.0, 6.0], [0.0, 0.0, 0.5, 0.0]);
        let size = Size { rows: 1, columns: 4 };
        layer_norm_forward(&mut y, &mut normalized, &mut rstd, Some(&residual), None, &gamma, &beta, 4.0, size);
        assert_eq!(rstd, [1.0 / 3.0]);
        assert_eq!(normalized, [-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0]);
        assert_eq!(y, [-3.0, -1.0, 1.5, 6.0]);
    }
}
