//! Refusal of answers that are not numbers, with the layer in which they arose.

use cloze_kernels::Kernels;

use crate::Error;
use crate::model::{Batch, Keep, Network, PackedBatch, Tape, encoder_forward};

/// The batch's `values`, if all are finite. They come from `place`, which reads the last layer.
///
/// # Errors
/// If some are not: weights that are finite themselves may overflow on the way. The error names the first layer whose
/// output is not finite, or else `place`. Finding it computes the batch once more.
pub(crate) fn all_finite<K: Kernels<Real = f32>>(
    network: &Network<K>,
    batch: &Batch,
    place: &str,
    values: &[f32],
) -> Result<(), Error> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(Error::Overflow { place: first_place(network, batch)?.unwrap_or_else(|| place.to_string()) })
}

/// The first layer whose output is not finite for a batch.
pub(crate) fn first_place<K: Kernels<Real = f32>>(
    network: &Network<K>,
    batch: &Batch,
) -> Result<Option<String>, Error> {
    let Network { kernels, config, .. } = network;
    batch.check(config)?;
    let mut tape = Tape::new(kernels, config, Keep::HiddenStates)?;
    let mut packed = PackedBatch::new(kernels);
    packed.write(kernels, batch, 0)?;
    kernels.scope(|| encoder_forward(network, &mut tape, &packed, None, None))?;
    let mut values = vec![0.0; batch.tokens() * config.hidden_size];
    for (layer, hidden) in tape.hidden.iter().enumerate() {
        kernels.read_activations(&mut values, hidden)?;
        if values.iter().any(|value| !value.is_finite()) {
            return Ok(Some(name(layer, config.num_hidden_layers)));
        }
    }
    Ok(None)
}

/// The name of a hidden state: 0 are the embeddings.
pub(crate) fn name(layer: usize, layers: usize) -> String {
    if layer == 0 { "the embeddings".to_string() } else { format!("layer {layer} of {layers}") }
}
