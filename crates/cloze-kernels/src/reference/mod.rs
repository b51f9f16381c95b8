//! The definition of every operation: plain loops in f64, to be read next to the paper, never
//! optimised.
//!
//! Each file holds some operations as free functions on slices, forward and backward together; this one
//! ties them to the contract. What an operation computes is documented there, at [`Kernels`].

// The argument lists are the contract's, and are easier to compare with it when they are the same.
#![allow(clippy::too_many_arguments)]
// `for r in 0..rows` reads like the formulas; most loops index several buffers, each in its own way.
#![allow(clippy::needless_range_loop)]

mod activation;
mod attention;
mod dropout;
mod error_function;
mod layer_norm;
mod linear;
mod loss;
mod memory;
mod optimizer;
mod rows;

use std::ops::Range;

use crate::{
    Activation, AdamStep, AttentionStarts, Dropout, Error, Heads, Kernels, LayerNorm, MatrixShape, Purpose, Role, Size,
    Span, Store,
};

pub use linear::Matrix;

/// The oracle of every test: all operations as plain loops in f64, on one thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Kernels for Reference {
    type Real = f64;
    type Activations = Vec<f64>;
    type Vector = Vec<f64>;
    type Matrix = Matrix;
    type Indices = Vec<u32>;

    fn scope<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }

    // ---- memory ---------------------------------------------------------------------------------

    fn activations(&self, len: usize) -> Result<Vec<f64>, Error> {
        memory::zeros(len)
    }

    fn activations_len(&self, x: &Vec<f64>) -> usize {
        x.len()
    }

    fn vector(&self, len: usize) -> Result<Vec<f64>, Error> {
        memory::zeros(len)
    }

    fn vector_len(&self, x: &Vec<f64>) -> usize {
        x.len()
    }

    fn indices(&self) -> Vec<u32> {
        Vec::new()
    }

    fn write_indices(&self, x: &mut Vec<u32>, values: &[u32]) -> Result<(), Error> {
        memory::write_indices(x, values)
    }

    fn read_indices(&self, values: &mut [u32], x: &Vec<u32>) -> Result<(), Error> {
        values.copy_from_slice(&x[..values.len()]);
        Ok(())
    }

    fn write_vector(&self, x: &mut Vec<f64>, start: usize, values: &[f64]) -> Result<(), Error> {
        x[start..start + values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read_vector(&self, values: &mut [f64], x: &Vec<f64>, start: usize) -> Result<(), Error> {
        values.copy_from_slice(&x[start..start + values.len()]);
        Ok(())
    }

    fn write_activations(&self, x: &mut Vec<f64>, values: &[f64]) -> Result<(), Error> {
        x[..values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read_activations(&self, values: &mut [f64], x: &Vec<f64>) -> Result<(), Error> {
        values.copy_from_slice(&x[..values.len()]);
        Ok(())
    }

    fn matrix(&self, shape: MatrixShape, _purpose: Purpose, _role: Role) -> Result<Matrix, Error> {
        Matrix::zeros(shape)
    }

    fn pack_rows(&self, matrix: &mut Matrix, first: usize, rows: &[f64]) {
        matrix.pack_rows(first, rows);
    }

    fn pack(&self, matrix: &mut Matrix, source: &Vec<f64>, at: Span) {
        matrix.pack(&source[at.range()]);
    }

    fn copy_vector(&self, y: &mut Vec<f64>, x: &Vec<f64>, at: Span) {
        y[..at.len].copy_from_slice(&x[at.range()]);
    }

    fn zero_vector(&self, x: &mut Vec<f64>, at: Span) {
        x[at.range()].fill(0.0);
    }

    fn zero_activations(&self, x: &mut Vec<f64>, len: usize) {
        x[..len].fill(0.0);
    }

    // ---- linear layers --------------------------------------------------------------------------

    fn linear_forward(
        &self,
        y: &mut Vec<f64>,
        x: &Vec<f64>,
        weight: &Matrix,
        bias: Option<&Vec<f64>>,
        rows: usize,
        outputs: Range<usize>,
    ) {
        linear::linear_forward(y, x, weight, bias.map(Vec::as_slice), rows, outputs);
    }

    fn linear_forward_parts<const PARTS: usize>(
        &self,
        parts: [(&mut Vec<f64>, Range<usize>); PARTS],
        x: &Vec<f64>,
        weight: &Matrix,
        bias: Option<&Vec<f64>>,
        rows: usize,
    ) {
        for (y, outputs) in parts {
            self.linear_forward(y, x, weight, bias, rows, outputs);
        }
    }

    fn linear_activation_forward(
        &self,
        y: &mut Vec<f64>,
        pre: Option<&mut Vec<f64>>,
        x: &Vec<f64>,
        weight: &Matrix,
        bias: &Vec<f64>,
        activation: Activation,
        rows: usize,
    ) {
        let outputs = weight.shape().outputs;
        linear::linear_forward(y, x, weight, Some(bias), rows, 0..outputs);
        if let Some(pre) = pre {
            pre[..rows * outputs].copy_from_slice(&y[..rows * outputs]);
        }
        for y in &mut y[..rows * outputs] {
            *y = activation::value(activation, *y);
        }
    }

    fn linear_layer_norm(
        &self,
        y: &mut Vec<f64>,
        x: &Vec<f64>,
        (weight, bias): (&Matrix, &Vec<f64>),
        residual: &Vec<f64>,
        norm: LayerNorm<Vec<f64>>,
        rows: usize,
    ) {
        let LayerNorm { gamma, beta, epsilon } = norm;
        let size = Size { rows, columns: weight.shape().outputs };
        let (mut sum, mut rstd) = (vec![0.0; rows * size.columns], vec![0.0; rows]);
        self.linear_forward(&mut sum, x, weight, Some(bias), rows, 0..size.columns);
        self.layer_norm_forward(y, &mut sum, &mut rstd, Some(residual), None, gamma, beta, epsilon, size);
    }

    fn feed_forward_layer_norm(
        &self,
        y: &mut Vec<f64>,
        hidden: &mut Vec<f64>,
        x: &Vec<f64>,
        first: (&Matrix, &Vec<f64>),
        second: (&Matrix, &Vec<f64>),
        activation: Activation,
        norm: LayerNorm<Vec<f64>>,
        rows: usize,
    ) {
        self.linear_activation_forward(hidden, None, x, first.0, first.1, activation, rows);
        self.linear_layer_norm(y, hidden, second, x, norm, rows);
    }

    fn linear_backward_input(
        &self,
        dx: &mut Vec<f64>,
        dy: &Vec<f64>,
        weight: &Matrix,
        store: Store,
        rows: usize,
        outputs: Range<usize>,
    ) {
        linear::linear_backward_input(dx, dy, weight, store, rows, outputs);
    }

    fn linear_backward_weight(
        &self,
        gradients: &mut Vec<f64>,
        weight: Span,
        bias: Option<Span>,
        dy: &Vec<f64>,
        x: &Vec<f64>,
        shape: MatrixShape,
        starts: &Vec<u32>,
    ) {
        let rows = *starts.last().expect("the number of rows") as usize;
        linear::linear_backward_weight(gradients, weight, bias, dy, x, shape, rows);
    }

    fn activation_forward(&self, y: &mut Vec<f64>, x: &Vec<f64>, activation: Activation, len: usize) {
        activation::activation_forward(y, x, activation, len);
    }

    fn activation_backward(&self, dx: &mut Vec<f64>, pre: &mut Vec<f64>, activation: Activation, len: usize) {
        activation::activation_backward(dx, pre, activation, len);
        let x = pre.clone();
        activation::activation_forward(pre, &x, activation, len);
    }

    // ---- rows -----------------------------------------------------------------------------------

    fn embedding_forward(&self, y: &mut Vec<f64>, tables: &[(&Vec<f64>, &Vec<u32>)], size: Size) {
        rows::embedding_forward(y, tables, size);
    }

    fn embedding_backward(&self, gradients: &mut Vec<f64>, table: Span, dy: &Vec<f64>, index: &Vec<u32>, size: Size) {
        rows::embedding_backward(gradients, table, dy, index, size);
    }

    fn gather_rows(&self, y: &mut Vec<f64>, x: &Vec<f64>, rows: &Vec<u32>, size: Size) {
        rows::gather_rows(y, x, rows, size);
    }

    fn scatter_add_rows(&self, dx: &mut Vec<f64>, dy: &Vec<f64>, rows: &Vec<u32>, size: Size) {
        rows::scatter_add_rows(dx, dy, rows, size);
    }

    fn dropout(&self, y: &mut Vec<f64>, x: &Vec<f64>, dropout: Dropout<Vec<u32>>, size: Size) {
        dropout::dropout(y, x, dropout, size);
    }

    // ---- LayerNorm ------------------------------------------------------------------------------

    fn layer_norm_forward(
        &self,
        y: &mut Vec<f64>,
        normalized: &mut Vec<f64>,
        rstd: &mut Vec<f64>,
        residual: Option<&Vec<f64>>,
        dropout: Option<Dropout<Vec<u32>>>,
        gamma: &Vec<f64>,
        beta: &Vec<f64>,
        epsilon: f64,
        size: Size,
    ) {
        let residual = residual.map(Vec::as_slice);
        layer_norm::layer_norm_forward(y, normalized, rstd, residual, dropout, gamma, beta, epsilon, size);
    }

    fn layer_norm_backward(
        &self,
        dx: &mut Vec<f64>,
        dresidual: Option<&mut Vec<f64>>,
        gradients: &mut Vec<f64>,
        gamma_at: Span,
        beta_at: Span,
        normalized: &Vec<f64>,
        rstd: &Vec<f64>,
        dropout: Option<Dropout<Vec<u32>>>,
        gamma: &Vec<f64>,
        size: Size,
    ) {
        let dresidual = dresidual.map(Vec::as_mut_slice);
        layer_norm::layer_norm_backward(
            dx, dresidual, gradients, gamma_at, beta_at, normalized, rstd, dropout, gamma, size,
        );
    }

    // ---- attention ------------------------------------------------------------------------------

    fn attention_forward(
        &self,
        y: &mut Vec<f64>,
        log_sum_exp: &mut Vec<f64>,
        q: &Vec<f64>,
        kv: &Vec<f64>,
        dropout: Option<Dropout<Vec<u32>>>,
        starts: AttentionStarts<Vec<u32>>,
        heads: Heads,
    ) {
        attention::attention_forward(y, log_sum_exp, q, kv, dropout, starts, heads);
    }

    fn attention_backward(
        &self,
        dq: &mut Vec<f64>,
        dkv: &mut Vec<f64>,
        dy: &Vec<f64>,
        y: &Vec<f64>,
        q: &Vec<f64>,
        kv: &Vec<f64>,
        log_sum_exp: &Vec<f64>,
        dropout: Option<Dropout<Vec<u32>>>,
        starts: AttentionStarts<Vec<u32>>,
        heads: Heads,
    ) {
        attention::attention_backward(dq, dkv, dy, y, q, kv, log_sum_exp, dropout, starts, heads);
    }

    fn attention_probabilities(
        &self,
        probabilities: &mut Vec<f64>,
        q: &Vec<f64>,
        kv: &Vec<f64>,
        log_sum_exp: &Vec<f64>,
        starts: AttentionStarts<Vec<u32>>,
        heads: Heads,
    ) {
        attention::attention_probabilities(probabilities, q, kv, log_sum_exp, starts, heads);
    }

    // ---- losses ---------------------------------------------------------------------------------

    fn cross_entropy_forward(
        &self,
        losses: &mut Vec<f64>,
        log_sum_exp: &mut Vec<f64>,
        predictions: &mut Vec<u32>,
        logits: &Vec<f64>,
        labels: &Vec<u32>,
        size: Size,
    ) {
        predictions.resize(size.rows, 0);
        loss::cross_entropy_forward(losses, log_sum_exp, predictions, logits, labels, size);
    }

    fn cross_entropy_backward(
        &self,
        dlogits: &mut Vec<f64>,
        log_sum_exp: &Vec<f64>,
        labels: &Vec<u32>,
        scale: f64,
        size: Size,
    ) {
        loss::cross_entropy_backward(dlogits, log_sum_exp, labels, scale, size);
    }

    // ---- optimizer ------------------------------------------------------------------------------

    fn sum_of_squares(&self, x: &Vec<f64>, at: Span) -> Result<f64, Error> {
        Ok(optimizer::sum_of_squares(&x[at.range()]))
    }

    fn adam_step(
        &self,
        weights: &mut Vec<f64>,
        first_moments: &mut Vec<f64>,
        second_moments: &mut Vec<f64>,
        gradients: &Vec<f64>,
        at: Span,
        step: AdamStep,
        packed: Option<(&mut Matrix, usize)>,
    ) {
        optimizer::adam_step(
            &mut weights[at.range()],
            &mut first_moments[at.range()],
            &mut second_moments[at.range()],
            &gradients[at.range()],
            step,
        );
        if let Some((matrix, first)) = packed {
            self.pack_rows(matrix, first, &weights[at.range()]);
        }
    }

    fn adam_moments(
        &self,
        first_moments: &mut Vec<f64>,
        second_moments: &mut Vec<f64>,
        weights: &Vec<f64>,
        gradients: &Vec<f64>,
        at: Span,
        step: AdamStep,
    ) -> Result<f64, Error> {
        // The update is what a step at rate 1 takes off.
        let mut after = weights[at.range()].to_vec();
        let (first, second) = (&mut first_moments[at.range()], &mut second_moments[at.range()]);
        optimizer::adam_step(
            &mut after,
            first,
            second,
            &gradients[at.range()],
            AdamStep { learning_rate: 1.0, ..step },
        );
        Ok(weights[at.range()].iter().zip(&after).map(|(before, after)| (before - after).powi(2)).sum())
    }
}
