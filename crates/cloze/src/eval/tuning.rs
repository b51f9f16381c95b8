//! Choice of the thresholds of a model, and the examples that made it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::hex;

use super::evaluate::Source;
use super::thresholds::{Aim, Sharing};

/// How the thresholds of several labels were chosen, and on which examples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    /// The metric that they maximise: `f1`, `macro_f1` or `exact_match`.
    pub metric: String,
    /// Number of thresholds that were tuned.
    pub thresholds: Sharing,
    /// Parts of the examples for cross-fitted metrics: each part is labelled at thresholds that were tuned on the others.
    /// Copies of a text are in one part. Fewer than two, and there are no such metrics.
    pub folds: usize,
    /// SHA-256 of the texts and labels of the examples.
    pub examples: String,
}

impl Tuning {
    pub(crate) fn new(aim: Aim, thresholds: Sharing, folds: usize, source: &Source) -> Tuning {
        Tuning { metric: aim.metric().to_string(), thresholds, folds, examples: digest(source) }
    }

    /// True if these are the examples that chose the thresholds.
    pub(crate) fn is_of(&self, source: &Source) -> bool {
        self.examples == digest(source)
    }
}

/// SHA-256 of texts and labels in their order; the length of each part comes before it.
fn digest(source: &Source) -> String {
    let mut hasher = Sha256::new();
    if let Source::Examples(examples) = source {
        for example in examples {
            let parts = [Some(&example.text), example.text_b.as_ref()];
            let parts: Vec<&String> = parts.into_iter().flatten().chain(example.labels.iter()).collect();
            hasher.update((parts.len() as u64).to_le_bytes());
            for part in parts {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
    }
    hex(hasher)
}
