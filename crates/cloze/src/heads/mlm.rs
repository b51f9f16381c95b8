//! The masked language model head: `LayerNorm(act(W · h + b))` times the word embeddings, and
//! cross-entropy over the vocabulary. Only masked tokens get this far.

use std::ops::Range;

use cloze_kernels::{Kernels, MatrixShape, Size, Span, Store};

use crate::Error;
use crate::model::{ActivationGradients, Network, grow, grow_vector};
use crate::params::{MatrixSpan, MlmHead};

use super::Tally;

/// Rows that go through the head at a time, at most, so that never all logits exist at once. The sums do not
/// depend on it: each is a chain over the rows in order.
pub const ROWS_AT_A_TIME: usize = 256;

/// Rows that go through the head together, of all that are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Which of the masked rows.
    pub(super) rows: Range<usize>,
    /// Where among them each sequence begins, then their number.
    pub(super) starts: Vec<u32>,
}

/// Divides masked rows into turns of at most `rows_max`, an even number. `starts` holds the first masked row of each
/// sequence, then the number of all.
///
/// A turn ends at the end of a sequence or after an even number of its rows: there the kernels begin a step, whichever
/// sequences a part of a batch has.
pub(super) fn turns(starts: &[u32], rows_max: usize) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for sequence in starts.windows(2) {
        let (mut from, to) = (sequence[0] as usize, sequence[1] as usize);
        while from < to {
            let left = turns.last().map_or(0, |turn| rows_max - turn.rows.len());
            let fits = if to - from <= left { to - from } else { left / 2 * 2 };
            if fits == 0 {
                turns.push(Turn { rows: from..from, starts: vec![0] });
                continue;
            }
            let turn = turns.last_mut().expect("a turn with room");
            from += fits;
            turn.rows.end = from;
            turn.starts.push(turn.rows.len() as u32);
        }
    }
    turns
}

/// The buffers of the head, for `rows` masked tokens.
pub struct MlmTape<K: Kernels> {
    /// Which rows of the last hidden state.
    rows: K::Indices,
    /// The tokens that stood there: `[rows]`
    labels: K::Indices,
    /// Where each sequence begins, then the number of rows.
    starts: K::Indices,
    count: usize,
    /// `[rows, hidden]`
    hidden: K::Activations,
    /// Before the transform's activation: `[rows, hidden]`
    pre: K::Activations,
    /// `[rows, hidden]`
    normalized: K::Activations,
    /// `[rows]`
    rstd: K::Vector,
    /// `[rows, hidden]`
    transformed: K::Activations,
    /// `[rows, vocab]`; the gradient of the logits in backward.
    logits: K::Activations,
    losses: K::Vector,
    log_sum_exp: K::Vector,
    predictions: K::Indices,
    /// The gradient of `transformed`, then of what comes before it: `[rows, hidden]`
    dtransformed: K::Activations,
    /// `[rows, hidden]`
    dhidden: K::Activations,
}

impl<K: Kernels> MlmTape<K> {
    /// Empty buffers.
    pub fn new(kernels: &K) -> Result<Self, Error> {
        let (buffer, vector) = (|| kernels.activations(0), || kernels.vector(0));
        Ok(MlmTape {
            rows: kernels.indices(),
            labels: kernels.indices(),
            starts: kernels.indices(),
            count: 0,
            hidden: buffer()?,
            pre: buffer()?,
            normalized: buffer()?,
            rstd: vector()?,
            transformed: buffer()?,
            logits: buffer()?,
            losses: vector()?,
            log_sum_exp: vector()?,
            predictions: kernels.indices(),
            dtransformed: buffer()?,
            dhidden: buffer()?,
        })
    }

    /// The logits of the last forward: `[rows, vocab]`
    pub fn logits(&self) -> &K::Activations {
        &self.logits
    }
}

/// `tape.logits [rows, vocab]` of the rows `rows` of the last hidden state `hidden`.
pub fn mlm_logits<K: Kernels>(
    network: &Network<K>,
    tape: &mut MlmTape<K>,
    hidden: &K::Activations,
    rows: &[u32],
) -> Result<(), Error> {
    let (kernels, config) = (&network.kernels, &network.config);
    let head = network.parameters.mlm.as_ref().expect("the network has an MLM head");
    let count = rows.len();
    let (columns, vocab) = (config.hidden_size, config.vocab_size);
    let size = Size { rows: count, columns };
    for buffer in [
        &mut tape.hidden,
        &mut tape.pre,
        &mut tape.normalized,
        &mut tape.transformed,
        &mut tape.dtransformed,
        &mut tape.dhidden,
    ] {
        grow(kernels, buffer, count * columns)?;
    }
    grow(kernels, &mut tape.logits, count * vocab)?;
    for vector in [&mut tape.rstd, &mut tape.losses, &mut tape.log_sum_exp] {
        grow_vector(kernels, vector, count)?;
    }
    kernels.write_indices(&mut tape.rows, rows)?;
    tape.count = count;

    kernels.gather_rows(&mut tape.hidden, hidden, &tape.rows, size);
    let (weight, bias) = (&head.transform.weight, &head.transform.bias);
    let pre = Some(&mut tape.pre);
    kernels.linear_activation_forward(
        &mut tape.normalized,
        pre,
        &tape.hidden,
        weight,
        bias,
        config.activation(),
        count,
    );
    kernels.layer_norm_forward(
        &mut tape.transformed,
        &mut tape.normalized,
        &mut tape.rstd,
        None,
        None,
        &head.layer_norm.weight,
        &head.layer_norm.bias,
        config.layer_norm_eps,
        size,
    );
    let bias = Some(&head.decoder_bias);
    kernels.linear_forward(&mut tape.logits, &tape.transformed, network.decoder()?, bias, count, 0..vocab);
    Ok(())
}

/// Cross-entropy of the last [`mlm_logits`]: losses and right predictions are added to `tally`.
pub fn mlm_losses<K: Kernels>(
    network: &Network<K>,
    tape: &mut MlmTape<K>,
    tally: &mut Tally,
    labels: &[u32],
) -> Result<(), Error> {
    assert_eq!(labels.len(), tape.count);
    let (kernels, count) = (&network.kernels, tape.count);
    kernels.write_indices(&mut tape.labels, labels)?;
    kernels.cross_entropy_forward(
        &mut tape.losses,
        &mut tape.log_sum_exp,
        &mut tape.predictions,
        &tape.logits,
        &tape.labels,
        Size { rows: count, columns: network.config.vocab_size },
    );
    tally.add_rows(kernels, &tape.losses, &tape.predictions, labels)
}

/// Backward of the last [`mlm_losses`] for a loss of `scale · Σ losses`: adds to `buffers.dhidden` at
/// the rows, and to `gradients`. The decoder's goes to the word embeddings' own place. `starts` says where each
/// sequence begins among the rows, then their number.
pub fn mlm_backward<K: Kernels>(
    network: &Network<K>,
    buffers: &mut ActivationGradients<K>,
    gradients: &mut K::Vector,
    layout: &MlmHead<MatrixSpan, Span>,
    tape: &mut MlmTape<K>,
    starts: &[u32],
    scale: f64,
) -> Result<(), Error> {
    let (kernels, config) = (&network.kernels, &network.config);
    kernels.write_indices(&mut tape.starts, starts)?;
    let head = network.parameters.mlm.as_ref().expect("the network has an MLM head");
    let (count, columns, vocab) = (tape.count, config.hidden_size, config.vocab_size);
    let size = Size { rows: count, columns };
    let dlogits = &mut tape.logits;
    kernels.cross_entropy_backward(
        dlogits,
        &tape.log_sum_exp,
        &tape.labels,
        scale,
        Size { rows: count, columns: vocab },
    );
    let decoder = head.decoder.get().expect("forward has used it");
    let decoder_at = layout.decoder.get().expect("the declaration has a decoder");
    kernels.linear_backward_weight(
        gradients,
        decoder_at.span,
        Some(layout.decoder_bias),
        dlogits,
        &tape.transformed,
        decoder_at.shape,
        &tape.starts,
    );
    let dtransformed = &mut tape.dtransformed;
    kernels.linear_backward_input(dtransformed, dlogits, decoder, Store::Overwrite, count, 0..vocab);
    kernels.layer_norm_backward(
        dtransformed,
        None,
        gradients,
        layout.layer_norm.weight,
        layout.layer_norm.bias,
        &tape.normalized,
        &tape.rstd,
        None,
        &head.layer_norm.weight,
        size,
    );
    kernels.activation_backward(dtransformed, &mut tape.pre, config.activation(), count * columns);
    let shape = MatrixShape { outputs: columns, inputs: columns };
    let (weight, bias) = (layout.transform.weight.span, Some(layout.transform.bias));
    kernels.linear_backward_weight(gradients, weight, bias, dtransformed, &tape.hidden, shape, &tape.starts);
    let (dhidden, weight) = (&mut tape.dhidden, &head.transform.weight);
    kernels.linear_backward_input(dhidden, dtransformed, weight, Store::Overwrite, count, 0..columns);
    kernels.scatter_add_rows(&mut buffers.dhidden, dhidden, &tape.rows, size);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_full_and_cut_no_pair_of_a_sequence() {
        let turn = |rows: Range<usize>, starts: &[u32]| Turn { rows, starts: starts.to_vec() };
        assert_eq!(turns(&[0, 3, 3, 5], 8), [turn(0..5, &[0, 3, 5])]);
        assert_eq!(turns(&[0, 3, 8, 9], 6), [turn(0..5, &[0, 3, 5]), turn(5..9, &[0, 3, 4])]);
        assert_eq!(turns(&[0, 9], 4), [turn(0..4, &[0, 4]), turn(4..8, &[0, 4]), turn(8..9, &[0, 1])]);
        assert_eq!(turns(&[0, 3, 6], 4), [turn(0..3, &[0, 3]), turn(3..6, &[0, 3])]);
        assert!(turns(&[0], 4).is_empty() && turns(&[0, 0], 4).is_empty());
    }
}
