//! The encoder: embeddings, then layer after layer.

use cloze_kernels::Kernels;

use crate::Error;
use crate::params::Declaration;

use super::attention::{attention_block_backward, attention_block_forward};
use super::embeddings::{embeddings_backward, embeddings_forward};
use super::feed_forward::{feed_forward_block_backward, feed_forward_block_forward};
use super::network::LayerCall;
use super::tape::grow;
use super::{ActivationGradients, Draws, Keep, LayerTape, Network, PackedBatch, ReadRows, Tape};

/// The last hidden state, `[rows, hidden]`, is at `tape.hidden[tape.hidden_index(layers)]`: of the rows
/// in `read` only, or of all tokens. With `Keep::Everything` or `Keep::HiddenStates` the input of layer
/// `i`, `[tokens, hidden]`, is at `tape.hidden[i]`.
pub fn encoder_forward<K: Kernels>(
    network: &Network<K>,
    tape: &mut Tape<K>,
    batch: &PackedBatch<K>,
    read: Option<&ReadRows<K>>,
    draws: Option<Draws>,
) -> Result<(), Error> {
    reserve(network, tape, batch, read)?;
    embeddings_forward(network, tape, batch, draws);
    for index in 0..network.config.num_hidden_layers {
        let call = layer_call(network, index, batch, read, draws);
        let (input, output) = (tape.hidden_index(index), tape.hidden_index(index + 1));
        let [x, y] = tape.hidden.get_disjoint_mut([input, output]).expect("a layer has two hidden states");
        let at = index % tape.layers.len();
        layer_forward(&call, y, &mut tape.layers[at], &mut tape.intermediate, x, tape.keep);
    }
    Ok(())
}

/// From the gradient of the last hidden state in `buffers.dhidden` (of the rows in `read` only, or of
/// all tokens) to all gradients of embeddings and encoder, which are added to `gradients`. The word
/// embeddings' gathers in `buffers.table`. With `frozen_layers`, the embeddings and so many layers are left out.
#[allow(clippy::too_many_arguments)]
pub fn encoder_backward<K: Kernels>(
    network: &Network<K>,
    buffers: &mut ActivationGradients<K>,
    gradients: &mut K::Vector,
    declaration: &Declaration,
    tape: &mut Tape<K>,
    batch: &PackedBatch<K>,
    read: Option<&ReadRows<K>>,
    draws: Option<Draws>,
    frozen_layers: Option<usize>,
) {
    assert!(tape.keep != Keep::LastHiddenState, "backward needs what forward kept");
    let layers = network.config.num_hidden_layers;
    for index in (frozen_layers.unwrap_or(0)..layers).rev() {
        let call = layer_call(network, index, batch, read, draws);
        let at = tape.layer_index(index);
        if tape.keep == Keep::HiddenStates && index + 1 < layers {
            let [x, y] = tape.hidden.get_disjoint_mut([index, index + 1]).expect("a layer has two hidden states");
            layer_forward(&call, y, &mut tape.layers[at], &mut tape.intermediate, x, tape.keep);
        }
        let (layout, x) = (&declaration.layout.layers[index], &tape.hidden[index]);
        feed_forward_block_backward(&call, buffers, gradients, layout, &mut tape.layers[at]);
        attention_block_backward(&call, buffers, gradients, layout, &tape.layers[at], x);
        std::mem::swap(&mut buffers.dhidden, &mut buffers.dinput);
    }
    if frozen_layers.is_none() {
        embeddings_backward(network, buffers, gradients, declaration, tape, batch, draws);
    }
}

fn layer_forward<K: Kernels>(
    call: &LayerCall<K>,
    y: &mut K::Activations,
    tape: &mut LayerTape<K>,
    intermediate: &mut K::Activations,
    x: &K::Activations,
    keep: Keep,
) {
    attention_block_forward(call, tape, x, keep);
    feed_forward_block_forward(call, y, tape, intermediate, keep);
}

/// A layer's call; only the last layer leaves out rows.
fn layer_call<'a, K: Kernels>(
    network: &'a Network<K>,
    index: usize,
    batch: &'a PackedBatch<K>,
    read: Option<&'a ReadRows<K>>,
    draws: Option<Draws>,
) -> LayerCall<'a, K> {
    let read = read.filter(|_| index + 1 == network.config.num_hidden_layers);
    LayerCall { network, index, batch, read, draws }
}

fn reserve<K: Kernels>(
    network: &Network<K>,
    tape: &mut Tape<K>,
    batch: &PackedBatch<K>,
    read: Option<&ReadRows<K>>,
) -> Result<(), Error> {
    let (kernels, config) = (&network.kernels, &network.config);
    let (hidden, tokens) = (config.hidden_size, batch.tokens);
    grow(kernels, &mut tape.embedding_normalized, tokens * hidden)?;
    super::tape::grow_vector(kernels, &mut tape.embedding_rstd, tokens)?;
    grow(kernels, &mut tape.embedding_output, tokens * hidden)?;
    for buffer in &mut tape.hidden {
        grow(kernels, buffer, tokens * hidden)?;
    }
    grow(kernels, &mut tape.intermediate, tokens * network.config.intermediate_size)?;
    let own_last = tape.layers.len() > 1;
    for index in 0..tape.layers.len() {
        let last = index + 1 == config.num_hidden_layers;
        let rows = read.filter(|_| last && own_last).map(|read| read.count);
        let layer = &mut tape.layers[index];
        layer.reserve(kernels, config, tokens, rows, tape.keep)?;
        if let Some(read) = read {
            grow(kernels, &mut layer.input_rows, read.count * hidden)?;
        }
    }
    Ok(())
}
