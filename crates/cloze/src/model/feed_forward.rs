//! The feed-forward half of a layer: `LayerNorm(x + dropout(W2 · act(W1 · x)))`.

use cloze_kernels::{Kernels, MatrixShape, Size, Span, Store};

use crate::params::{EncoderLayer, MatrixSpan};

use super::network::{LayerCall, Site, layer_norm};
use super::{ActivationGradients, Keep, LayerTape};

/// `y [rows, hidden]` from `tape.attention_output`.
pub(super) fn feed_forward_block_forward<K: Kernels>(
    call: &LayerCall<K>,
    y: &mut K::Activations,
    tape: &mut LayerTape<K>,
    intermediate: &mut K::Activations,
    keep: Keep,
) {
    let (kernels, config, layer) = (&call.network.kernels, &call.network.config, call.parameters());
    let (hidden, rows) = (config.hidden_size, call.rows());
    let (first, second) = (&layer.intermediate, &layer.output);
    let norm = &layer.output_layer_norm;
    if keep == Keep::LastHiddenState {
        kernels.feed_forward_layer_norm(
            y,
            intermediate,
            &tape.attention_output,
            (&first.weight, &first.bias),
            (&second.weight, &second.bias),
            config.activation(),
            layer_norm(config, norm),
            rows,
        );
        return;
    }
    kernels.linear_activation_forward(
        intermediate,
        Some(&mut tape.intermediate_pre),
        &tape.attention_output,
        &first.weight,
        &first.bias,
        config.activation(),
        rows,
    );
    let sum = &mut tape.output_normalized;
    kernels.linear_forward(sum, intermediate, &second.weight, Some(&second.bias), rows, 0..hidden);
    kernels.layer_norm_forward(
        y,
        sum,
        &mut tape.output_rstd,
        Some(&tape.attention_output),
        call.dropout(config.hidden_dropout_prob, Site::Output(call.index)),
        &norm.weight,
        &norm.bias,
        config.layer_norm_eps,
        Size { rows, columns: hidden },
    );
}

/// From `buffers.dhidden`, the gradient of y, which is overwritten, to `buffers.dattention_output`.
pub(super) fn feed_forward_block_backward<K: Kernels>(
    call: &LayerCall<K>,
    buffers: &mut ActivationGradients<K>,
    gradients: &mut K::Vector,
    layout: &EncoderLayer<MatrixSpan, Span>,
    tape: &mut LayerTape<K>,
) {
    let (kernels, config, layer) = (&call.network.kernels, &call.network.config, call.parameters());
    let (hidden, intermediate, rows) = (config.hidden_size, config.intermediate_size, call.rows());
    kernels.layer_norm_backward(
        &mut buffers.dhidden,
        Some(&mut buffers.dattention_output),
        gradients,
        layout.output_layer_norm.weight,
        layout.output_layer_norm.bias,
        &tape.output_normalized,
        &tape.output_rstd,
        call.dropout(config.hidden_dropout_prob, Site::Output(call.index)),
        &layer.output_layer_norm.weight,
        Size { rows, columns: hidden },
    );
    kernels.linear_backward_input(
        &mut buffers.dintermediate,
        &buffers.dhidden,
        &layer.output.weight,
        Store::Overwrite,
        rows,
        0..hidden,
    );
    let dintermediate = &mut buffers.dintermediate;
    let pre = &mut tape.intermediate_pre;
    kernels.activation_backward(dintermediate, pre, config.activation(), rows * intermediate);
    // Now `pre` is what the second layer read.
    kernels.linear_backward_weight(
        gradients,
        layout.output.weight.span,
        Some(layout.output.bias),
        &buffers.dhidden,
        pre,
        MatrixShape { outputs: hidden, inputs: intermediate },
        call.row_starts(),
    );
    kernels.linear_backward_weight(
        gradients,
        layout.intermediate.weight.span,
        Some(layout.intermediate.bias),
        dintermediate,
        &tape.attention_output,
        MatrixShape { outputs: intermediate, inputs: hidden },
        call.row_starts(),
    );
    kernels.linear_backward_input(
        &mut buffers.dattention_output,
        dintermediate,
        &layer.intermediate.weight,
        Store::Add,
        rows,
        0..intermediate,
    );
}
