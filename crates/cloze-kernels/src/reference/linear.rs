//! Linear layers: `y = x Wᵀ + b`, the weight stored as in checkpoints.

use std::ops::Range;

use super::memory::{add_scaled, row, row_mut, zeros};
use crate::{Error, MatrixShape, Span, Store};

/// The weight of a linear layer, `[outputs, inputs]` row-major.
#[derive(Clone, Debug)]
pub struct Matrix {
    shape: MatrixShape,
    values: Vec<f64>,
}

impl Matrix {
    pub(super) fn zeros(shape: MatrixShape) -> Result<Matrix, Error> {
        // A product beyond usize is more than any memory, which saturation also is.
        Ok(Matrix { shape, values: zeros(shape.outputs.saturating_mul(shape.inputs))? })
    }

    pub(super) fn shape(&self) -> MatrixShape {
        self.shape
    }

    pub(super) fn pack(&mut self, source: &[f64]) {
        self.values.copy_from_slice(source);
    }

    pub(super) fn pack_rows(&mut self, first: usize, rows: &[f64]) {
        self.values[first * self.shape.inputs..][..rows.len()].copy_from_slice(rows);
    }

    /// The weights of output `o`: `[inputs]`.
    fn row(&self, o: usize) -> &[f64] {
        row(&self.values, o, self.shape.inputs)
    }
}

pub(super) fn linear_forward(
    y: &mut [f64],
    x: &[f64],
    weight: &Matrix,
    bias: Option<&[f64]>,
    rows: usize,
    outputs: Range<usize>,
) {
    assert!(outputs.end <= weight.shape.outputs, "outputs {outputs:?} of {:?}", weight.shape);
    for r in 0..rows {
        let x = row(x, r, weight.shape.inputs);
        let y = row_mut(y, r, outputs.len());
        for (y, o) in y.iter_mut().zip(outputs.clone()) {
            *y = bias.map_or(0.0, |bias| bias[o]);
            for (x, w) in x.iter().zip(weight.row(o)) {
                *y += x * w;
            }
        }
    }
}

pub(super) fn linear_backward_input(
    dx: &mut [f64],
    dy: &[f64],
    weight: &Matrix,
    store: Store,
    rows: usize,
    outputs: Range<usize>,
) {
    assert!(outputs.end <= weight.shape.outputs, "outputs {outputs:?} of {:?}", weight.shape);
    for r in 0..rows {
        let dy = row(dy, r, outputs.len());
        let dx = row_mut(dx, r, weight.shape.inputs);
        if store == Store::Overwrite {
            dx.fill(0.0);
        }
        for (dy, o) in dy.iter().zip(outputs.clone()) {
            add_scaled(dx, *dy, weight.row(o));
        }
    }
}

pub(super) fn linear_backward_weight(
    gradients: &mut [f64],
    weight: Span,
    bias: Option<Span>,
    dy: &[f64],
    x: &[f64],
    shape: MatrixShape,
    rows: usize,
) {
    let MatrixShape { outputs, inputs } = shape;
    assert_eq!(weight.len, outputs * inputs, "the span of a weight of {shape:?}");
    for r in 0..rows {
        let dy = row(dy, r, outputs);
        let x = row(x, r, inputs);
        let dweight = &mut gradients[weight.range()];
        for (o, dy) in dy.iter().enumerate() {
            add_scaled(row_mut(dweight, o, inputs), *dy, x);
        }
        if let Some(bias) = bias {
            add_scaled(&mut gradients[bias.range()], 1.0, dy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: MatrixShape = MatrixShape { outputs: 2, inputs: 3 };

    fn weight() -> Matrix {
        let mut weight = Matrix::zeros(SHAPE).unwrap();
        weight.pack(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
        weight
    }

    #[test]
    fn forward_of_one_row() {
        let mut y = [f64::NAN; 2];
        linear_forward(&mut y, &[1.0, 0.0, 2.0], &weight(), Some(&[0.5, 0.25]), 1, 0..2);
        assert_eq!(y, [7.5, 70.25]);
        let mut y = [f64::NAN];
        linear_forward(&mut y, &[1.0, 0.0, 2.0], &weight(), Some(&[0.5, 0.25]), 1, 1..2);
        assert_eq!(y, [70.25]);
    }

    #[test]
    fn backward_of_one_row() {
        let mut dx = [1.0; 3];
        linear_backward_input(&mut dx, &[1.0, 2.0], &weight(), Store::Add, 1, 0..2);
        assert_eq!(dx, [22.0, 43.0, 64.0]);
        linear_backward_input(&mut dx, &[2.0], &weight(), Store::Overwrite, 1, 1..2);
        assert_eq!(dx, [20.0, 40.0, 60.0]);

        let mut gradients = [1.0; 8];
        let weight = Span { start: 0, len: 6 };
        let bias = Some(Span { start: 6, len: 2 });
        linear_backward_weight(&mut gradients, weight, bias, &[1.0, 2.0], &[3.0, 4.0, 5.0], SHAPE, 1);
        assert_eq!(gradients, [4.0, 5.0, 6.0, 7.0, 9.0, 11.0, 2.0, 3.0]);
    }
}
