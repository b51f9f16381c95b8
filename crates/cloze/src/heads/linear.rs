//! A linear layer at the end: on the pooled output for next sentence prediction and for what texts are, on
//! tokens for what words are and for where answers lie.

use cloze_kernels::{Dropout, Kernels, Real, Size, Span, Store};

use crate::Error;
use crate::model::{Network, grow};
use crate::params::{Linear, MatrixSpan};

/// The buffers of one head, for a number of rows: sequences, or tokens.
pub struct LinearTape<K: Kernels> {
    /// The input after dropout: `[rows, hidden]`
    dropped: K::Activations,
    /// `[rows, outputs]`; the gradient of the logits in backward.
    logits: K::Activations,
    /// The gradient of `dropped`: `[rows, hidden]`
    ddropped: K::Activations,
}

impl<K: Kernels> LinearTape<K> {
    /// Empty buffers.
    pub fn new(kernels: &K) -> Result<Self, Error> {
        Ok(LinearTape {
            dropped: kernels.activations(0)?,
            logits: kernels.activations(0)?,
            ddropped: kernels.activations(0)?,
        })
    }

    /// The logits of the last forward: `[rows, outputs]`
    pub fn logits(&self) -> &K::Activations {
        &self.logits
    }

    /// The first `len` logits of the last forward.
    pub(super) fn read_logits(&self, kernels: &K, len: usize) -> Result<Vec<f64>, Error> {
        let mut values = vec![K::Real::from_f64(0.0); len];
        kernels.read_activations(&mut values, &self.logits)?;
        Ok(values.into_iter().map(Real::to_f64).collect())
    }

    /// Puts the gradient of the logits in their place.
    pub(super) fn write_gradient(&mut self, kernels: &K, gradient: &[f64]) -> Result<(), Error> {
        let values: Vec<K::Real> = gradient.iter().map(|&value| K::Real::from_f64(value)).collect();
        Ok(kernels.write_activations(&mut self.logits, &values)?)
    }
}

/// `tape.logits [rows, outputs] = head · dropout(input [rows, hidden])`
pub fn linear_logits<K: Kernels>(
    network: &Network<K>,
    tape: &mut LinearTape<K>,
    input: &K::Activations,
    head: &Linear<K::Matrix, K::Vector>,
    outputs: usize,
    dropout: Option<Dropout<K::Indices>>,
    rows: usize,
) -> Result<(), Error> {
    let (kernels, columns) = (&network.kernels, network.config.hidden_size);
    grow(kernels, &mut tape.logits, rows * outputs)?;
    let mut input = input;
    if let Some(dropout) = dropout {
        grow(kernels, &mut tape.dropped, rows * columns)?;
        grow(kernels, &mut tape.ddropped, rows * columns)?;
        kernels.dropout(&mut tape.dropped, input, dropout, Size { rows, columns });
        input = &tape.dropped;
    }
    kernels.linear_forward(&mut tape.logits, input, &head.weight, Some(&head.bias), rows, 0..outputs);
    Ok(())
}

/// Backward of [`linear_logits`], from the gradient of the logits in `tape`: overwrites `dinput` and adds to
/// `gradients`. `starts` holds the first row of each sequence, then the number of rows.
#[allow(clippy::too_many_arguments)]
pub fn linear_logits_backward<K: Kernels>(
    network: &Network<K>,
    dinput: &mut K::Activations,
    gradients: &mut K::Vector,
    layout: &Linear<MatrixSpan, Span>,
    tape: &mut LinearTape<K>,
    input: &K::Activations,
    head: &Linear<K::Matrix, K::Vector>,
    dropout: Option<Dropout<K::Indices>>,
    rows: usize,
    starts: &K::Indices,
) {
    let (kernels, columns) = (&network.kernels, network.config.hidden_size);
    let shape = layout.weight.shape;
    let outputs = 0..shape.outputs;
    let dlogits = &tape.logits;
    let input = if dropout.is_some() { &tape.dropped } else { input };
    let (weight_at, bias_at) = (layout.weight.span, Some(layout.bias));
    kernels.linear_backward_weight(gradients, weight_at, bias_at, dlogits, input, shape, starts);
    match dropout {
        Some(dropout) => {
            let ddropped = &mut tape.ddropped;
            kernels.linear_backward_input(ddropped, dlogits, &head.weight, Store::Overwrite, rows, outputs);
            kernels.dropout(dinput, ddropped, dropout, Size { rows, columns });
        }
        None => kernels.linear_backward_input(dinput, dlogits, &head.weight, Store::Overwrite, rows, outputs),
    }
}
