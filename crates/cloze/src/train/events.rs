//! What a training tells its caller while it runs.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;

use cloze_tokenizer::TokenizerFile;
use serde::Serialize;

use super::verdict::Verdict;

/// Named numbers in a fixed order.
pub type Metrics = Vec<(String, f64)>;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something that the user should know: a head that was initialised, texts that were cut.
    Note(String),
    /// Work that has no steps: reading, tokenising, evaluating.
    Progress {
        /// What is being done.
        what: &'static str,
        /// How much is done.
        done: u64,
        /// How much there is.
        total: u64,
    },
    /// Training begins.
    Started {
        /// Steps of the whole run.
        steps: u64,
        /// Steps that were done before.
        steps_done: u64,
        /// Numbers in the model.
        parameters: usize,
    },
    /// An optimizer step.
    Step(StepLog),
    /// Held-out data was evaluated.
    Evaluated {
        /// Steps done.
        step: u64,
        /// Passes over the training data done.
        epoch: f64,
        /// What was found.
        metrics: Metrics,
    },
    /// The run has ended: whether the model has learnt.
    Verdict(Verdict),
    /// A checkpoint was written.
    Saved {
        /// Steps done.
        step: u64,
        /// The checkpoint.
        path: PathBuf,
    },
}

/// The numbers of an optimizer step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StepLog {
    /// Its number, from 1.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Passes over the training data done.
    pub epoch: f64,
    /// What is trained on.
    pub loss: f64,
    /// Of this step.
    pub learning_rate: f64,
    /// Before clipping.
    pub grad_norm: f64,
    /// Masked language model, mean over the masked tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlm_loss: Option<f64>,
    /// `exp(mlm_loss)`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlm_perplexity: Option<f64>,
    /// Share of the masked tokens that are predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlm_accuracy: Option<f64>,
    /// Next sentence prediction, mean over the sequences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nsp_loss: Option<f64>,
    /// Share of the sequences that are told right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nsp_accuracy: Option<f64>,
    /// Real tokens, of the last steps.
    pub tokens_per_second: f64,
    /// Until the last step.
    pub seconds_left: f64,
    /// The operations of the last steps by what the machine does at most, in registers alone; of pre-training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction_of_ceiling: Option<f64>,
    /// The most memory that the program has taken; none where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
}

/// Is told every event. `Break` ends the run after the step at hand, with a checkpoint.
pub type Observer<'a> = dyn FnMut(&Event) -> ControlFlow<()> + 'a;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All steps are done and the model is written. The last (pre-training) or best (fine-tuning) metrics.
    Finished(Metrics),
    /// The run had been finished before; nothing was changed.
    AlreadyFinished,
    /// The observer asked to stop; the same call goes on from here.
    Stopped {
        /// Steps done.
        step: u64,
    },
}

/// What does not belong to the run's settings: it may differ when the run goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// The folder that the run owns.
    pub output: PathBuf,
    /// Whether to begin anew over whatever is there.
    pub overwrite: bool,
    /// Number of threads; by default as many as the process may use.
    pub threads: Option<usize>,
    /// Steps between checkpoints; by default one every ten minutes.
    pub save_steps: Option<u64>,
    /// How many checkpoints are kept, besides the best one; by default two.
    pub keep_checkpoints: Option<NonZeroUsize>,
    /// Bytes of memory that a pre-training may take; batches are computed in as many parts as that needs.
    pub max_memory: Option<u64>,
    /// Which file decides where those of the tokenizer contradict each other; by default they must agree.
    pub tokenizer_file: Option<TokenizerFile>,
}
