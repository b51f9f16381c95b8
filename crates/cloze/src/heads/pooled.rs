//! Linear heads on the pooled output: next sentence prediction, classification, regression.

use cloze_kernels::{Dropout, Kernels, Real, Size, Span, Store};

use crate::Error;
use crate::model::{Network, PoolerTape, grow, grow_vector};
use crate::params::{Linear, MatrixSpan};

use super::Tally;

/// The buffers of one head, for `sequences` sequences.
pub struct PooledTape<K: Kernels> {
    /// The pooled output after dropout: `[sequences, hidden]`
    dropped: K::Activations,
    /// `[sequences, labels]`; the gradient of the logits in backward.
    logits: K::Activations,
    losses: K::Vector,
    log_sum_exp: K::Vector,
    predictions: K::Indices,
    labels: K::Indices,
    targets: K::Vector,
    /// `[sequences, hidden]`
    ddropped: K::Activations,
}

impl<K: Kernels> PooledTape<K> {
    /// Empty buffers.
    pub fn new(kernels: &K) -> Result<Self, Error> {
        Ok(PooledTape {
            dropped: kernels.activations(0)?,
            logits: kernels.activations(0)?,
            losses: kernels.vector(0)?,
            log_sum_exp: kernels.vector(0)?,
            predictions: kernels.indices(),
            labels: kernels.indices(),
            targets: kernels.vector(0)?,
            ddropped: kernels.activations(0)?,
        })
    }

    /// The logits of the last forward: `[sequences, labels]`
    pub fn logits(&self) -> &K::Activations {
        &self.logits
    }
}

/// `tape.logits [sequences, labels] = head · dropout(pooled)`; `shape` is that of the head.
pub fn pooled_logits<K: Kernels>(
    network: &Network<K>,
    tape: &mut PooledTape<K>,
    pooler: &PoolerTape<K>,
    head: &Linear<K::Matrix, K::Vector>,
    labels: usize,
    dropout: Option<Dropout<K::Indices>>,
    sequences: usize,
) -> Result<(), Error> {
    let (kernels, columns) = (&network.kernels, network.config.hidden_size);
    grow(kernels, &mut tape.dropped, sequences * columns)?;
    grow(kernels, &mut tape.ddropped, sequences * columns)?;
    grow(kernels, &mut tape.logits, sequences * labels)?;
    for vector in [&mut tape.losses, &mut tape.log_sum_exp, &mut tape.targets] {
        grow_vector(kernels, vector, sequences * labels)?;
    }
    let mut input = &pooler.pooled;
    if let Some(dropout) = dropout {
        kernels.dropout(&mut tape.dropped, input, dropout, Size { rows: sequences, columns });
        input = &tape.dropped;
    }
    kernels.linear_forward(&mut tape.logits, input, &head.weight, Some(&head.bias), sequences, 0..labels);
    Ok(())
}

/// Cross-entropy of the logits: losses and right predictions are added to `tally`. `classes` is the
/// number of labels of the head.
pub fn classes_forward<K: Kernels>(
    network: &Network<K>,
    tape: &mut PooledTape<K>,
    tally: &mut Tally,
    labels: &[u32],
    classes: usize,
) -> Result<(), Error> {
    let kernels = &network.kernels;
    let size = Size { rows: labels.len(), columns: classes };
    kernels.write_indices(&mut tape.labels, labels)?;
    kernels.cross_entropy_forward(
        &mut tape.losses,
        &mut tape.log_sum_exp,
        &mut tape.predictions,
        &tape.logits,
        &tape.labels,
        size,
    );
    tally.add_losses(kernels, &tape.losses, labels.len())?;
    tally.add_correct(kernels, &tape.predictions, labels)
}

/// Backward of [`classes_forward`] for a loss of `scale · Σ losses`: the logits become their gradient.
pub fn classes_backward<K: Kernels>(network: &Network<K>, tape: &mut PooledTape<K>, scale: f64, size: Size) {
    network.kernels.cross_entropy_backward(&mut tape.logits, &tape.log_sum_exp, &tape.labels, scale, size);
}

/// Squared error of the logits of a head with one label, added to `tally`.
pub fn values_forward<K: Kernels>(
    network: &Network<K>,
    tape: &mut PooledTape<K>,
    tally: &mut Tally,
    values: &[f32],
) -> Result<(), Error> {
    let kernels = &network.kernels;
    let targets: Vec<K::Real> = values.iter().map(|&value| K::Real::from_f64(f64::from(value))).collect();
    kernels.write_vector(&mut tape.targets, 0, &targets)?;
    let size = Size { rows: values.len(), columns: 1 };
    kernels.squared_error_forward(&mut tape.losses, &tape.logits, &tape.targets, size);
    tally.add_losses(kernels, &tape.losses, values.len())
}

/// Backward of [`values_forward`] for a loss of `scale · Σ losses`: the logits become their gradient.
pub fn values_backward<K: Kernels>(network: &Network<K>, tape: &mut PooledTape<K>, scale: f64, size: Size) {
    network.kernels.squared_error_backward(&mut tape.logits, &tape.targets, scale, size);
}

/// Backward of [`pooled_logits`], from the gradient of the logits in `tape`: overwrites
/// `pooler.dpooled` and adds to `gradients`.
#[allow(clippy::too_many_arguments)]
pub fn pooled_logits_backward<K: Kernels>(
    network: &Network<K>,
    pooler: &mut PoolerTape<K>,
    gradients: &mut K::Vector,
    layout: &Linear<MatrixSpan, Span>,
    tape: &mut PooledTape<K>,
    head: &Linear<K::Matrix, K::Vector>,
    dropout: Option<Dropout<K::Indices>>,
    sequences: usize,
) {
    let (kernels, columns) = (&network.kernels, network.config.hidden_size);
    let shape = layout.weight.shape;
    let outputs = 0..shape.outputs;
    let dlogits = &tape.logits;
    let input = if dropout.is_some() { &tape.dropped } else { &pooler.pooled };
    let (weight_at, bias_at) = (layout.weight.span, Some(layout.bias));
    kernels.linear_backward_weight(gradients, weight_at, bias_at, dlogits, input, shape, sequences);
    let dpooled = &mut pooler.dpooled;
    match dropout {
        Some(dropout) => {
            let ddropped = &mut tape.ddropped;
            kernels.linear_backward_input(ddropped, dlogits, &head.weight, Store::Overwrite, sequences, outputs);
            kernels.dropout(dpooled, ddropped, dropout, Size { rows: sequences, columns });
        }
        None => kernels.linear_backward_input(dpooled, dlogits, &head.weight, Store::Overwrite, sequences, outputs),
    }
}
