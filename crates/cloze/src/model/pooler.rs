//! The pooler: `tanh(W · first token + b)`.

use cloze_kernels::{Activation, Kernels, MatrixShape, Size, Span, Store};

use crate::Error;
use crate::params::{Linear, MatrixSpan};

use super::tape::grow;
use super::{ActivationGradients, Network};

/// The buffers of the pooler, `[sequences, hidden]` each.
pub struct PoolerTape<K: Kernels> {
    /// The first token's hidden state of each sequence.
    pub first: K::Activations,
    /// Before tanh.
    pub pre: K::Activations,
    /// The pooled output.
    pub pooled: K::Activations,
    /// The gradient of the pooled output. Overwritten in backward.
    pub dpooled: K::Activations,
    /// The gradient of `first`.
    pub dfirst: K::Activations,
}

impl<K: Kernels> PoolerTape<K> {
    /// Empty buffers.
    pub fn new(kernels: &K) -> Result<Self, Error> {
        let buffer = || kernels.activations(0);
        Ok(PoolerTape { first: buffer()?, pre: buffer()?, pooled: buffer()?, dpooled: buffer()?, dfirst: buffer()? })
    }
}

/// `tape.pooled [sequences, hidden]` from the rows `first_rows` of the last hidden state.
pub fn pooler_forward<K: Kernels>(
    network: &Network<K>,
    tape: &mut PoolerTape<K>,
    hidden: &K::Activations,
    first_rows: &K::Indices,
    sequences: usize,
) -> Result<(), Error> {
    let kernels = &network.kernels;
    let columns = network.config.hidden_size;
    let pooler = network.parameters.pooler.as_ref().expect("the network has a pooler");
    for buffer in [&mut tape.first, &mut tape.pre, &mut tape.pooled, &mut tape.dpooled, &mut tape.dfirst] {
        grow(kernels, buffer, sequences * columns)?;
    }
    kernels.gather_rows(&mut tape.first, hidden, first_rows, Size { rows: sequences, columns });
    kernels.linear_activation_forward(
        &mut tape.pooled,
        Some(&mut tape.pre),
        &tape.first,
        &pooler.weight,
        &pooler.bias,
        Activation::Tanh,
        sequences,
    );
    Ok(())
}

/// From `tape.dpooled`, which is overwritten, to `buffers.dhidden`, which is added to. `starts` are those of sequences
/// of one row each.
#[allow(clippy::too_many_arguments)]
pub fn pooler_backward<K: Kernels>(
    network: &Network<K>,
    buffers: &mut ActivationGradients<K>,
    gradients: &mut K::Vector,
    layout: &Linear<MatrixSpan, Span>,
    tape: &mut PoolerTape<K>,
    first_rows: &K::Indices,
    starts: &K::Indices,
    sequences: usize,
) {
    let kernels = &network.kernels;
    let columns = network.config.hidden_size;
    let pooler = network.parameters.pooler.as_ref().expect("the network has a pooler");
    let shape = MatrixShape { outputs: columns, inputs: columns };
    kernels.activation_backward(&mut tape.dpooled, &mut tape.pre, Activation::Tanh, sequences * columns);
    let (weight, bias) = (layout.weight.span, Some(layout.bias));
    kernels.linear_backward_weight(gradients, weight, bias, &tape.dpooled, &tape.first, shape, starts);
    let outputs = 0..columns;
    kernels.linear_backward_input(
        &mut tape.dfirst,
        &tape.dpooled,
        &pooler.weight,
        Store::Overwrite,
        sequences,
        outputs,
    );
    kernels.scatter_add_rows(&mut buffers.dhidden, &tape.dfirst, first_rows, Size { rows: sequences, columns });
}
