//! Self-attention with its output layer: `LayerNorm(x + dropout(O · attention(x)))`.

use cloze_kernels::{AttentionStarts, Kernels, MatrixShape, Size, Span, Store};

use crate::params::{EncoderLayer, MatrixSpan};

use super::network::{LayerCall, Site, layer_norm};
use super::{ActivationGradients, Keep, LayerTape};

fn starts<'a, K: Kernels>(call: &'a LayerCall<'_, K>) -> AttentionStarts<'a, K::Indices> {
    AttentionStarts { queries: call.row_starts(), keys: &call.batch.starts }
}

/// `tape.attention_output [rows, hidden]` from the layer's input `x [tokens, hidden]`.
pub(super) fn attention_block_forward<K: Kernels>(
    call: &LayerCall<K>,
    tape: &mut LayerTape<K>,
    x: &K::Activations,
    keep: Keep,
) {
    let (kernels, config, layer) = (&call.network.kernels, &call.network.config, call.parameters());
    let (hidden, rows) = (config.hidden_size, call.rows());
    let size = Size { rows, columns: hidden };
    if let Some(read) = call.read {
        kernels.gather_rows(&mut tape.input_rows, x, &read.rows, size);
    }
    let x_rows = if call.read.is_some() { &tape.input_rows } else { x };

    let bias = Some(&layer.qkv.bias);
    let (weight, kv_columns) = (&layer.qkv.weight, hidden..3 * hidden);
    if call.read.is_some() {
        kernels.linear_forward(&mut tape.q, x_rows, weight, bias, rows, 0..hidden);
        kernels.linear_forward(&mut tape.kv, x, weight, bias, call.batch.tokens, kv_columns);
    } else {
        let parts = [(&mut tape.q, 0..hidden), (&mut tape.kv, kv_columns)];
        kernels.linear_forward_parts(parts, x, weight, bias, rows);
    }
    kernels.attention_forward(
        &mut tape.context,
        &mut tape.log_sum_exp,
        &tape.q,
        &tape.kv,
        call.dropout(config.attention_probs_dropout_prob, Site::AttentionProbabilities(call.index)),
        starts(call),
        config.heads(),
    );
    let (output, norm) = (&layer.attention_output, &layer.attention_layer_norm);
    if keep == Keep::LastHiddenState {
        let (y, parameters) = (&mut tape.attention_output, (&output.weight, &output.bias));
        kernels.linear_layer_norm(y, &tape.context, parameters, x_rows, layer_norm(config, norm), rows);
        return;
    }
    let sum = &mut tape.attention_normalized;
    kernels.linear_forward(sum, &tape.context, &output.weight, Some(&output.bias), rows, 0..hidden);
    kernels.layer_norm_forward(
        &mut tape.attention_output,
        &mut tape.attention_normalized,
        &mut tape.attention_rstd,
        Some(x_rows),
        call.dropout(config.hidden_dropout_prob, Site::AttentionOutput(call.index)),
        &norm.weight,
        &norm.bias,
        config.layer_norm_eps,
        size,
    );
}

/// From `buffers.dattention_output` to `buffers.dinput [tokens, hidden]`.
pub(super) fn attention_block_backward<K: Kernels>(
    call: &LayerCall<K>,
    buffers: &mut ActivationGradients<K>,
    gradients: &mut K::Vector,
    layout: &EncoderLayer<MatrixSpan, Span>,
    tape: &LayerTape<K>,
    x: &K::Activations,
) {
    let (kernels, config, layer) = (&call.network.kernels, &call.network.config, call.parameters());
    let (hidden, rows, tokens) = (config.hidden_size, call.rows(), call.batch.tokens);
    let size = Size { rows, columns: hidden };
    let square = MatrixShape { outputs: hidden, inputs: hidden };
    let x_rows = if call.read.is_some() { &tape.input_rows } else { x };

    // Where all rows are read, the gradient of x at the read rows is that of x.
    let dx_rows = if call.read.is_some() { &mut buffers.dinput_rows } else { &mut buffers.dinput };
    kernels.layer_norm_backward(
        &mut buffers.dattention_output,
        Some(dx_rows),
        gradients,
        layout.attention_layer_norm.weight,
        layout.attention_layer_norm.bias,
        &tape.attention_normalized,
        &tape.attention_rstd,
        call.dropout(config.hidden_dropout_prob, Site::AttentionOutput(call.index)),
        &layer.attention_layer_norm.weight,
        size,
    );
    let doutput = &buffers.dattention_output;
    let output = &layout.attention_output;
    kernels.linear_backward_weight(
        gradients,
        output.weight.span,
        Some(output.bias),
        doutput,
        &tape.context,
        square,
        call.row_starts(),
    );
    let weight = &layer.attention_output.weight;
    kernels.linear_backward_input(&mut buffers.dcontext, doutput, weight, Store::Overwrite, rows, 0..hidden);
    kernels.attention_backward(
        &mut buffers.dq,
        &mut buffers.dkv,
        &buffers.dcontext,
        &tape.context,
        &tape.q,
        &tape.kv,
        &tape.log_sum_exp,
        call.dropout(config.attention_probs_dropout_prob, Site::AttentionProbabilities(call.index)),
        starts(call),
        config.heads(),
    );

    let (weight_at, bias_at) = (layout.qkv.weight.span, layout.qkv.bias);
    kernels.linear_backward_weight(
        gradients,
        weight_at.part(0, hidden * hidden),
        Some(bias_at.part(0, hidden)),
        &buffers.dq,
        x_rows,
        square,
        call.row_starts(),
    );
    kernels.linear_backward_weight(
        gradients,
        weight_at.part(hidden * hidden, 2 * hidden * hidden),
        Some(bias_at.part(hidden, 2 * hidden)),
        &buffers.dkv,
        x,
        MatrixShape { outputs: 2 * hidden, inputs: hidden },
        &call.batch.starts,
    );
    let weight = &layer.qkv.weight;
    match call.read {
        None => {
            let dx = &mut buffers.dinput;
            kernels.linear_backward_input(dx, &buffers.dq, weight, Store::Add, rows, 0..hidden);
            kernels.linear_backward_input(dx, &buffers.dkv, weight, Store::Add, tokens, hidden..3 * hidden);
        }
        Some(read) => {
            let (dx, dx_rows) = (&mut buffers.dinput, &mut buffers.dinput_rows);
            kernels.linear_backward_input(dx_rows, &buffers.dq, weight, Store::Add, rows, 0..hidden);
            kernels.linear_backward_input(dx, &buffers.dkv, weight, Store::Overwrite, tokens, hidden..3 * hidden);
            kernels.scatter_add_rows(dx, dx_rows, &read.rows, size);
        }
    }
}
