//! How many multiplications and additions the products of a model's matrices are.
//!
//! For a token of a sequence of `s` tokens, in each of `L` layers of `d` columns and `f` in between, with a
//! vocabulary of `V`: the linear layers are `2 · (4d² + 2df)`, attention is `4ds`. Backward is twice as much
//! again. What is not a product (LayerNorm, softmax, activations, the optimizer), and the heads on one row of
//! a sequence, are not counted.

use crate::Config;
use crate::heads::{Targets, TrainingBatch};

/// Of a forward pass that computes every row of every layer, on sequences of these lengths.
pub(crate) fn forward_operations(config: &Config, lengths: &[usize]) -> f64 {
    let Sizes { layers, hidden, linear, .. } = Sizes::of(config);
    lengths.iter().map(|&length| length as f64 * (2.0 * layers * linear + 4.0 * layers * hidden * length as f64)).sum()
}

/// Of a training step with masked language model. In the last layer the rows that no head reads go through
/// the products for keys and values alone.
pub(crate) fn train_operations(config: &Config, batch: &TrainingBatch) -> f64 {
    let Sizes { hidden, intermediate, vocabulary, .. } = Sizes::of(config);
    let Targets::Pretraining { masked_rows, .. } = &batch.targets else {
        unreachable!("a step of pre-training is timed");
    };
    let batch = &batch.batch;
    let lengths: Vec<usize> = (0..batch.sequences()).map(|sequence| batch.rows(sequence).len()).collect();
    let all_rows = 3.0 * forward_operations(config, &lengths);
    let decoder = 6.0 * masked_rows.len() as f64 * (hidden * hidden + hidden * vocabulary);
    let skipped: f64 = (0..batch.sequences())
        .map(|sequence| {
            let rows = batch.rows(sequence);
            let is_read = |row: usize| row == rows.start || masked_rows.binary_search(&(row as u32)).is_ok();
            let skipped = rows.clone().filter(|&row| !is_read(row)).count() as f64;
            // Queries and the attention output, and both products of the feed-forward layer.
            let linear = 6.0 * (2.0 * hidden * hidden + 2.0 * hidden * intermediate);
            skipped * (linear + 12.0 * hidden * rows.len() as f64)
        })
        .sum();
    all_rows + decoder - skipped
}

/// Sizes as numbers to calculate with.
struct Sizes {
    layers: f64,
    hidden: f64,
    intermediate: f64,
    vocabulary: f64,
    /// Weights of a layer's matrices.
    linear: f64,
}

impl Sizes {
    fn of(config: &Config) -> Sizes {
        let (hidden, intermediate) = (config.hidden_size as f64, config.intermediate_size as f64);
        Sizes {
            layers: config.num_hidden_layers as f64,
            hidden,
            intermediate,
            vocabulary: config.vocab_size as f64,
            linear: 4.0 * hidden * hidden + 2.0 * hidden * intermediate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Batch;

    #[test]
    fn the_published_size_on_one_full_sequence() {
        // 2 · 84,934,656 weights of matrices and 4 · 12 · 768 · 128 a token.
        let operations = forward_operations(&Config::base(), &[128]);
        assert_eq!(operations, 128.0 * (2.0 * 84_934_656.0 + 4_718_592.0));
        assert_eq!(forward_operations(&Config::base(), &[128, 128]), 2.0 * operations);
    }

    #[test]
    fn a_step_is_three_forward_passes_the_decoder_and_less_the_rows_that_nobody_reads() {
        let config =
            Config { hidden_size: 2, intermediate_size: 3, vocab_size: 5, num_hidden_layers: 1, ..Config::tiny() };
        let step = |masked_rows: Vec<u32>| {
            let mut batch = Batch::default();
            batch.push(&[0; 4], &[0; 4]);
            batch.push(&[0; 2], &[0; 2]);
            let masked_labels = vec![0; masked_rows.len()];
            let targets = Targets::Pretraining { masked_rows, masked_labels, next_sentence: None };
            train_operations(&config, &TrainingBatch::new(batch, targets))
        };
        // Of a token: linear layers 6 · (4 · 4 + 2 · 6), attention 12 · 2 · length; of a masked one the decoder
        // 6 · (4 + 10).
        let all = 6.0 * 168.0 + 24.0 * (4.0 * 4.0 + 2.0 * 2.0);
        assert_eq!(step((0..6).collect()), all + 6.0 * 84.0);
        // Rows 0 and 4 come first in their sequences and are read in any case.
        let skipped = |length: f64| 6.0 * (8.0 + 12.0) + 24.0 * length;
        assert_eq!(step(vec![1, 2]), all + 2.0 * 84.0 - skipped(4.0) - skipped(2.0));
    }
}
