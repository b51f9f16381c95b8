//! About how much memory a training takes, and how long.

use serde::Serialize;

use crate::bench::{Work, forward, forward_operations, random_network};
use crate::infer::spans::WindowStep;
use crate::infer::{Long, OpenOptions};
use crate::params::{Declaration, HeadSet, TaskHead};
use crate::settings::FinetuneTask;
use crate::train::memory::{bytes_of_a_token, bytes_of_parameters};
use crate::{Config, Error};

use super::CheckSettings;
use super::tokens::Lengths;

/// Tokens of the forward pass that is timed.
const TOKENS_TIMED: usize = 1_024;
/// How often it is timed.
const REPETITIONS: usize = 5;

/// An estimate of a training. All of it is "about".
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Optimizer steps of the whole run.
    pub steps: u64,
    /// Numbers in the model.
    pub parameters: usize,
    /// Bytes of weights, gradients and moments, and of the copy that becomes a checkpoint.
    pub bytes_of_parameters: f64,
    /// Bytes of what a step keeps for backward, in a batch of long examples.
    pub bytes_of_activations: f64,
    /// Billions of operations a second, measured on this machine.
    pub gflops: f64,
    /// Seconds of all steps and of the evaluations after each epoch.
    pub seconds: f64,
}

/// Estimates the training of `settings` on files of these lengths.
///
/// # Errors
/// If there is no memory or are no threads for the measurement.
pub(super) fn estimate(
    settings: &CheckSettings,
    config: &Config,
    labels: usize,
    train: &Lengths,
    dev: Option<&Lengths>,
    threads: Option<usize>,
) -> Result<Estimate, Error> {
    let head = match settings.task {
        FinetuneTask::Questions => TaskHead::Span,
        FinetuneTask::Tokens => TaskHead::Tokens(labels.max(2)),
        FinetuneTask::Regression => TaskHead::Pooled(1),
        _ => TaskHead::Pooled(labels.max(2)),
    };
    let pooler = matches!(head, TaskHead::Pooled(_));
    let declaration = Declaration::new(config, HeadSet { pooler, task: Some(head), ..HeadSet::default() });
    let train = inputs(settings, train);
    let dev = dev.map(|dev| inputs(settings, dev)).unwrap_or_default();
    let gflops = speed(config, &train, settings, threads)?;
    let operations = |lengths: &[usize]| operations(config, head, lengths);
    let epoch = 3.0 * operations(&train) + operations(&dev);
    let steps = (train.len() as u64).div_ceil(settings.batch_size as u64).saturating_mul(settings.epochs);
    Ok(Estimate {
        steps,
        parameters: declaration.len,
        bytes_of_parameters: bytes_of_parameters(config, &declaration),
        bytes_of_activations: bytes_of_a_token(config, false) * tokens_of_a_part(settings, &train),
        gflops,
        seconds: settings.epochs as f64 * epoch / (gflops * 1e9),
    })
}

/// Of a forward pass. For a head on `[CLS]` the last layer computes keys and values alone on all rows.
fn operations(config: &Config, head: TaskHead, lengths: &[usize]) -> f64 {
    let layers = config.num_hidden_layers;
    let all = forward_operations(config, lengths);
    let TaskHead::Pooled(_) = head else { return all };
    let tokens = lengths.iter().sum::<usize>() as f64;
    all * (layers - 1) as f64 / layers as f64 + tokens * 4.0 * (config.hidden_size as f64).powi(2)
}

/// Tokens that are computed at once, in a batch that is longer than nearly all others.
fn tokens_of_a_part(settings: &CheckSettings, lengths: &[usize]) -> f64 {
    let examples = lengths.len() as f64;
    let mean = lengths.iter().sum::<usize>() as f64 / examples.max(1.0);
    let variance = lengths.iter().map(|&length| (length as f64 - mean).powi(2)).sum::<f64>() / examples.max(1.0);
    let part = settings.batch_size.min(lengths.len()).div_ceil(settings.accumulate.max(1)) as f64;
    (part * mean + 3.0 * (part * variance).sqrt()).min(part * settings.max_seq_length as f64)
}

/// The lengths of what a model reads: examples that are cut, or windows.
fn inputs(settings: &CheckSettings, lengths: &Lengths) -> Vec<usize> {
    let max = settings.max_seq_length;
    let advance = match (settings.long, settings.task, settings.questions.step) {
        (Long::Truncate, ..) => return lengths.each.iter().map(|&length| length.min(max)).collect(),
        (Long::Window, FinetuneTask::Questions, WindowStep::Advance(advance)) => advance,
        (Long::Window, FinetuneTask::Questions, WindowStep::Overlap(overlap)) => max.saturating_sub(overlap),
        (Long::Window, ..) => max - max / 4,
    };
    let windows = |length: usize| {
        let more = length.saturating_sub(max).div_ceil(advance.max(1));
        (0..=more).map(move |window| (length - window * advance.min(length)).min(max).max(1))
    };
    lengths.each.iter().flat_map(|&length| windows(length)).collect()
}

/// Billions of operations a second in one layer of the model, on sequences of the mean length.
fn speed(config: &Config, lengths: &[usize], settings: &CheckSettings, threads: Option<usize>) -> Result<f64, Error> {
    let mean = (lengths.iter().sum::<usize>() / lengths.len().max(1)).clamp(1, config.max_position_embeddings);
    let one_layer = Config { num_hidden_layers: 1, vocab_size: 1_000, ..config.clone() };
    let options = OpenOptions { threads, precision: Some(settings.precision), ..OpenOptions::default() };
    let network = random_network(&one_layer, options, 1)?;
    let lengths = vec![mean; TOKENS_TIMED.div_ceil(mean)];
    Ok(forward(&network, &Work { lengths, repetitions: REPETITIONS, seed: 1 })?.measurement.gflops())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(task: FinetuneTask) -> CheckSettings {
        CheckSettings { max_seq_length: 10, batch_size: 4, ..CheckSettings::new(task, "train") }
    }

    fn lengths(each: &[usize]) -> Lengths {
        Lengths { each: each.to_vec(), ..Lengths::default() }
    }

    #[test]
    fn inputs_are_cut_or_windows() {
        let cut = settings(FinetuneTask::Classification);
        assert_eq!(inputs(&cut, &lengths(&[3, 10, 30])), [3, 10, 10]);
        // Windows of ten begin eight after each other.
        let windows = CheckSettings { long: Long::Window, ..cut };
        assert_eq!(inputs(&windows, &lengths(&[3, 10, 11, 18, 19])), [3, 10, 10, 3, 10, 10, 10, 10, 3]);
    }

    #[test]
    fn a_batch_is_no_longer_than_its_longest_examples() {
        let settings = settings(FinetuneTask::Classification);
        assert_eq!(tokens_of_a_part(&settings, &[5; 8]), 20.0);
        assert_eq!(tokens_of_a_part(&settings, &[5; 2]), 10.0);
        let parts = CheckSettings { accumulate: 2, ..settings };
        assert_eq!(tokens_of_a_part(&parts, &[5; 8]), 10.0);
        assert_eq!(tokens_of_a_part(&parts, &[2, 10, 2, 10]), 20.0);
    }

    #[test]
    fn a_pooled_head_saves_most_of_the_last_layer() {
        let config = Config { hidden_size: 2, intermediate_size: 3, num_hidden_layers: 2, ..Config::tiny() };
        // A layer is 2 · (4 · 4 + 2 · 6) for a token and 4 · 2 for each pair of tokens; keys and values are 2 · 2 · 4.
        let layer = 5.0 * (56.0 + 8.0 * 5.0);
        assert_eq!(operations(&config, TaskHead::Tokens(3), &[5]), 2.0 * layer);
        assert_eq!(operations(&config, TaskHead::Pooled(3), &[5]), layer + 5.0 * 16.0);
    }
}
