//! The input: `dropout(LayerNorm(word + position + token type))`.

use cloze_kernels::{Kernels, Size};

use crate::params::Declaration;

use super::network::{Site, dropout};
use super::{ActivationGradients, Draws, Network, PackedBatch, Tape};

/// `tape.hidden[0] [tokens, hidden]` from the ids of the batch.
pub(super) fn embeddings_forward<K: Kernels>(
    network: &Network<K>,
    tape: &mut Tape<K>,
    batch: &PackedBatch<K>,
    draws: Option<Draws>,
) {
    let (kernels, config, tables) = (&network.kernels, &network.config, &network.parameters.embeddings);
    let size = Size { rows: batch.tokens, columns: config.hidden_size };
    kernels.embedding_forward(
        &mut tape.embedding_normalized,
        &[
            (&tables.word, &batch.ids),
            (&tables.position, &batch.coordinates.positions),
            (&tables.token_type, &batch.token_type_ids),
        ],
        size,
    );
    let dropout = dropout(draws, config.hidden_dropout_prob, Site::Embeddings, &batch.coordinates);
    let output = if dropout.is_some() { &mut tape.embedding_output } else { &mut tape.hidden[0] };
    kernels.layer_norm_forward(
        output,
        &mut tape.embedding_normalized,
        &mut tape.embedding_rstd,
        None,
        None,
        &tables.layer_norm.weight,
        &tables.layer_norm.bias,
        config.layer_norm_eps,
        size,
    );
    if let Some(dropout) = dropout {
        kernels.dropout(&mut tape.hidden[0], &tape.embedding_output, dropout, size);
    }
}

/// From `buffers.dhidden`, which is overwritten.
pub(super) fn embeddings_backward<K: Kernels>(
    network: &Network<K>,
    buffers: &mut ActivationGradients<K>,
    gradients: &mut K::Vector,
    declaration: &Declaration,
    tape: &Tape<K>,
    batch: &PackedBatch<K>,
    draws: Option<Draws>,
) {
    let (kernels, config) = (&network.kernels, &network.config);
    let layout = &declaration.layout.embeddings;
    let size = Size { rows: batch.tokens, columns: config.hidden_size };
    if let Some(dropout) = dropout(draws, config.hidden_dropout_prob, Site::Embeddings, &batch.coordinates) {
        kernels.dropout(&mut buffers.dinput, &buffers.dhidden, dropout, size);
        std::mem::swap(&mut buffers.dinput, &mut buffers.dhidden);
    }
    kernels.layer_norm_backward(
        &mut buffers.dhidden,
        None,
        gradients,
        layout.layer_norm.weight,
        layout.layer_norm.bias,
        &tape.embedding_normalized,
        &tape.embedding_rstd,
        None,
        &network.parameters.embeddings.layer_norm.weight,
        size,
    );
    let dsum = &buffers.dhidden;
    buffers.table.add(kernels, dsum, size);
    kernels.embedding_backward(gradients, layout.position, dsum, &batch.coordinates.positions, size);
    kernels.embedding_backward(gradients, layout.token_type, dsum, &batch.token_type_ids, size);
}
