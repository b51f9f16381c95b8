//! The weight of a linear layer, packed for products in both directions.

use rayon::prelude::*;

use super::lines::{LINE, Line, floats, floats_mut, try_filled};
use super::panels::{COLUMNS, Panels, View, pack};
use crate::{Error, MatrixShape, Purpose};

const _: () = assert!(LINE == COLUMNS, "a step of a panel is one line");

/// A weight `[outputs, inputs]`, in panels of 16 columns of the product's result.
#[derive(Debug)]
pub struct Matrix {
    pub(super) shape: MatrixShape,
    /// For `x · Wᵀ`: panels over the outputs, `[outputs / 16][inputs][16]`.
    forward: Vec<Line>,
    /// For `dy · W`: panels over the inputs, `[inputs / 16][outputs][16]`. Only for training.
    backward: Option<Vec<Line>>,
}

impl Matrix {
    /// A matrix of zeros.
    pub(super) fn zeros(shape: MatrixShape, purpose: Purpose) -> Result<Matrix, Error> {
        let MatrixShape { outputs, inputs } = shape;
        let lines = |columns: usize, inner: usize| {
            // A product that no machine can hold becomes the largest size, which fails likewise.
            try_filled(Line::ZERO, columns.div_ceil(COLUMNS).saturating_mul(inner))
        };
        let forward = lines(outputs, inputs)?;
        let backward = match purpose {
            Purpose::Inference => None,
            Purpose::Training => Some(lines(inputs, outputs)?),
        };
        Ok(Matrix { shape, forward, backward })
    }

    /// Takes over `source`, `[outputs, inputs]` row-major.
    pub(super) fn pack(&mut self, source: &[f32]) {
        let MatrixShape { outputs, inputs } = self.shape;
        assert_eq!(source.len(), outputs * inputs, "numbers for a weight of {outputs}×{inputs}");
        pack_panels(&mut self.forward, View::rows(source, inputs), outputs, inputs);
        if let Some(backward) = &mut self.backward {
            pack_panels(backward, View::columns(source, inputs), inputs, outputs);
        }
    }

    /// Takes over some rows.
    pub(super) fn pack_rows(&mut self, first: usize, rows: &[f32]) {
        let MatrixShape { outputs, inputs } = self.shape;
        for (at, &number) in rows.iter().enumerate() {
            let (output, input) = (first + at / inputs, at % inputs);
            floats_mut(&mut self.forward)[(output / COLUMNS * inputs + input) * COLUMNS + output % COLUMNS] = number;
            if let Some(backward) = &mut self.backward {
                floats_mut(backward)[(input / COLUMNS * outputs + output) * COLUMNS + input % COLUMNS] = number;
            }
        }
    }

    /// B of `y = x · Wᵀ`: its columns are the outputs.
    pub(super) fn forward_panels(&self) -> Panels<'_> {
        Panels::new(floats(&self.forward), self.shape.inputs)
    }

    /// B of `dx = dy · W`: its columns are the inputs, and the product walks the outputs from `first`.
    pub(super) fn backward_panels(&self, first: usize) -> Panels<'_> {
        let backward = self.backward.as_ref().expect("a matrix packed for training");
        Panels { data: floats(backward), depth: self.shape.outputs, first }
    }
}

/// Packs all panels of a view with `columns` columns of `inner` steps.
fn pack_panels(lines: &mut [Line], view: View<'_>, columns: usize, inner: usize) {
    if inner == 0 {
        return;
    }
    lines.par_chunks_mut(inner).enumerate().for_each(|(panel, lines)| {
        let first = panel * COLUMNS;
        pack::<COLUMNS>(floats_mut(lines), view, first..columns.min(first + COLUMNS), 0..inner);
    });
}
