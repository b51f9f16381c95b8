//! A few held-out sentences with a masked word each, predicted at every evaluation: how a model learns, to be read.

use cloze_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::heads::{Targets, TrainingBatch};
use crate::infer::{InferenceWorkspace, best_tokens, masked_logits};
use crate::model::Batch;
use crate::train::Trainer;

use super::source::HeldOut;

/// A text around a masked word, and the word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SampleText {
    /// With `[MASK]` once; other words that the model does not see, or sees replaced, as `…`.
    text: String,
    answer: String,
}

/// How many there are.
const SAMPLES: usize = 6;
/// Tokens that are shown before and after the masked one.
const AROUND: usize = 12;
/// Predictions that are kept.
const BEST: usize = 3;

/// Instances, with one masked row of each.
pub(super) struct Samples {
    batch: Batch,
    rows: Vec<u32>,
    pub texts: Vec<SampleText>,
}

impl Samples {
    /// Of the first held-out instances that have a whole word behind a `[MASK]`.
    pub fn of(held_out: &HeldOut, tokenizer: &Tokenizer) -> Samples {
        let mut samples = Samples { batch: Batch::default(), rows: Vec::new(), texts: Vec::new() };
        for batch in held_out.batches() {
            for sequence in 0..batch.batch.sequences() {
                if samples.texts.len() == SAMPLES {
                    return samples;
                }
                samples.add(batch, sequence, tokenizer);
            }
        }
        samples
    }

    fn add(&mut self, from: &TrainingBatch, sequence: usize, tokenizer: &Tokenizer) {
        let Targets::Pretraining { masked_rows, masked_labels, .. } = &from.targets else { return };
        let rows = from.batch.rows(sequence);
        let name = |id: u32| tokenizer.token(id).unwrap_or_default();
        let masked: Vec<(usize, u32)> = masked_rows
            .iter()
            .zip(masked_labels)
            .map(|(&row, &label)| (row as usize, label))
            .filter(|(row, _)| rows.contains(row))
            .collect();
        let token_at = |row: usize| match masked.iter().find(|(masked, _)| *masked == row) {
            Some((_, label)) => name(*label),
            None => name(from.batch.ids[row]),
        };
        let is_word = |row: usize, label: u32| {
            let continues = row + 1 < rows.end && token_at(row + 1).starts_with("##");
            from.batch.ids[row] == tokenizer.special().mask
                && name(label).chars().all(char::is_alphabetic)
                && !continues
        };
        let Some(&(row, label)) = masked.iter().find(|(row, label)| is_word(*row, *label)) else { return };
        let shown = row.saturating_sub(AROUND).max(rows.start + 1)..(row + AROUND + 1).min(rows.end - 1);
        let mut text = String::new();
        for at in shown {
            let token = match masked.iter().any(|(masked, _)| *masked == at) {
                true if at == row => "[MASK]",
                true => "…",
                false => name(from.batch.ids[at]),
            };
            match token.strip_prefix("##") {
                Some(rest) => text.push_str(rest),
                None if text.is_empty() => text.push_str(token),
                None => {
                    text.push(' ');
                    text.push_str(token);
                }
            }
        }
        self.rows.push((self.batch.tokens() + row - rows.start) as u32);
        self.batch.push(&from.batch.ids[rows.clone()], &from.batch.token_type_ids[rows]);
        self.texts.push(SampleText { text, answer: name(label).to_string() });
    }

    /// The best tokens for each, with their probabilities.
    pub fn predict(&self, trainer: &Trainer, tokenizer: &Tokenizer) -> Result<Vec<Vec<(String, f64)>>, Error> {
        let network = trainer.network();
        let mut workspace = InferenceWorkspace::new(&network.kernels, &network.config)?;
        let logits = masked_logits(network, &mut workspace, &self.batch, &self.rows)?;
        let best = |logits: &Vec<f32>| {
            best_tokens(tokenizer, logits, BEST).into_iter().map(|best| (best.token, best.score)).collect()
        };
        Ok(logits.iter().map(best).collect())
    }
}
