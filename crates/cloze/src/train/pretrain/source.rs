//! From a corpus to batches of masked instances: an endless stream for training, a fixed list for
//! evaluation.

use std::ops::ControlFlow;

use cloze_tokenizer::Tokenizer;
use rayon::prelude::*;

use crate::Error;
use crate::data::{Corpus, Instance, Objective, PlanOptions, PlannedInstance, build_instance, mask, plan_epoch};
use crate::heads::{Losses, Targets, TrainingBatch};
use crate::model::Batch;
use crate::random::{Purpose, Random};
use crate::settings::PretrainSettings;

use super::events::{Event, Metrics, Observer};

/// Sequences of one batch in evaluation.
const EVALUATION_SEQUENCES: usize = 64;

/// The stream of training instances: epoch after epoch, from any position.
pub(super) struct Source<'a> {
    corpus: &'a Corpus,
    settings: &'a PretrainSettings,
    tokenizer: &'a Tokenizer,
    options: PlanOptions,
    plan: Vec<PlannedInstance>,
    epoch: u64,
    /// Instances of the epoch that are used.
    used: usize,
}

impl<'a> Source<'a> {
    pub fn new(corpus: &'a Corpus, settings: &'a PretrainSettings, tokenizer: &'a Tokenizer) -> Source<'a> {
        let options = plan_options(settings);
        Source { corpus, settings, tokenizer, options, plan: Vec::new(), epoch: 0, used: 0 }
    }

    pub fn seek(&mut self, epoch: u64, instance: u64) {
        self.plan = plan_epoch(self.corpus, &self.options, self.settings.update.seed, epoch);
        self.epoch = epoch;
        self.used = instance as usize;
    }

    /// Whether the epoch has no instances.
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty()
    }

    /// Where the next batch begins.
    pub fn position(&self) -> (u64, u64) {
        (self.epoch, self.used as u64)
    }

    pub fn epochs_done(&self) -> f64 {
        self.epoch as f64 + self.used as f64 / self.plan.len().max(1) as f64
    }

    /// The next `size` instances; a batch may reach into the next epoch.
    pub fn next_batch(&mut self, size: usize) -> TrainingBatch {
        let seed = self.settings.update.seed;
        let mut batch = BatchBuilder::default();
        while batch.batch.sequences() < size {
            if self.used == self.plan.len() {
                self.seek(self.epoch + 1, 0);
            }
            let wanted = size - batch.batch.sequences();
            let range = self.used..(self.used + wanted).min(self.plan.len());
            let (first, epoch) = (range.start, self.epoch);
            let draws = |index: usize| Random::new(seed, Purpose::Mask, epoch, (first + index) as u64);
            batch.extend(self.settings, self.corpus, self.tokenizer, &self.plan[range.clone()], draws);
            self.used = range.end;
        }
        batch.finish(self.settings.objective)
    }
}

fn plan_options(settings: &PretrainSettings) -> PlanOptions {
    PlanOptions {
        max_seq_length: settings.max_seq_length,
        short_seq_prob: settings.short_seq_prob,
        objective: settings.objective,
        shuffle: settings.update.shuffle,
    }
}

/// The held-out instances, with masks that are the same at every evaluation.
pub(crate) struct HeldOut {
    batches: Vec<TrainingBatch>,
    unigram_entropy: f64,
    /// Share of the larger class of next sentence prediction.
    nsp_majority: Option<f64>,
}

impl HeldOut {
    pub fn new(corpus: &Corpus, settings: &PretrainSettings, tokenizer: &Tokenizer) -> HeldOut {
        let seed = settings.update.seed;
        let plan = plan_epoch(corpus, &plan_options(settings), seed, 0);
        let mut batches = Vec::new();
        for (number, chunk) in plan.chunks(EVALUATION_SEQUENCES).enumerate() {
            let first = number * EVALUATION_SEQUENCES;
            let mut batch = BatchBuilder::default();
            let draws = |index: usize| Random::new(seed, Purpose::HeldOutMask, 0, (first + index) as u64);
            batch.extend(settings, corpus, tokenizer, chunk, draws);
            batches.push(batch.finish(settings.objective));
        }
        let random = plan.iter().filter(|instance| instance.is_random_next()).count() as f64 / plan.len().max(1) as f64;
        HeldOut {
            batches,
            unigram_entropy: corpus.unigram_entropy(tokenizer.vocab_size()),
            nsp_majority: (settings.objective == Objective::MlmNsp).then_some(random.max(1.0 - random)),
        }
    }

    /// Number of instances.
    pub fn instances(&self) -> usize {
        self.batches.iter().map(|batch| batch.batch.sequences()).sum()
    }

    /// The metrics of all held-out instances; `forward` adds the losses of a batch.
    pub fn evaluate(
        &self,
        mut forward: impl FnMut(&mut Losses, &TrainingBatch) -> Result<(), Error>,
        observer: &mut Observer,
    ) -> Result<Metrics, Error> {
        let mut losses = Losses::default();
        for (done, batch) in self.batches.iter().enumerate() {
            forward(&mut losses, batch)?;
            let (done, total) = (done as u64 + 1, self.batches.len() as u64);
            let _: ControlFlow<()> = observer(&Event::Progress { what: "evaluating", done, total });
        }
        let mut metrics = pretraining_metrics(&losses);
        metrics.push(("unigram_entropy".to_string(), self.unigram_entropy));
        metrics.extend(self.nsp_majority.map(|share| ("nsp_majority".to_string(), share)));
        Ok(metrics)
    }
}

fn pretraining_metrics(losses: &Losses) -> Metrics {
    let mut metrics = vec![
        ("loss".to_string(), losses.total()),
        ("mlm_loss".to_string(), losses.mlm.mean_loss()),
        ("mlm_perplexity".to_string(), losses.mlm.mean_loss().exp()),
        ("mlm_accuracy".to_string(), losses.mlm.accuracy()),
    ];
    if losses.nsp.count > 0 {
        metrics.push(("nsp_loss".to_string(), losses.nsp.mean_loss()));
        metrics.push(("nsp_accuracy".to_string(), losses.nsp.accuracy()));
    }
    metrics
}

/// Collects masked instances to a batch.
#[derive(Default)]
struct BatchBuilder {
    batch: Batch,
    masked_rows: Vec<u32>,
    masked_labels: Vec<u32>,
    next_sentence: Vec<u32>,
}

impl BatchBuilder {
    fn extend(
        &mut self,
        settings: &PretrainSettings,
        corpus: &Corpus,
        tokenizer: &Tokenizer,
        planned: &[PlannedInstance],
        draws: impl Fn(usize) -> Random + Sync,
    ) {
        let (special, vocab_size) = (tokenizer.special(), tokenizer.vocab_size() as u32);
        let build = |(index, planned): (usize, &PlannedInstance)| {
            let instance = build_instance(corpus, planned, special);
            let masked = mask(&instance, special, vocab_size, settings.masked_lm_prob, draws(index));
            (instance, masked)
        };
        let instances: Vec<_> = planned.par_iter().enumerate().map(build).collect();
        for (Instance { token_type_ids, is_random_next, .. }, masked) in instances {
            let first = self.batch.tokens() as u32;
            self.batch.push(&masked.ids, &token_type_ids);
            self.masked_rows.extend(masked.positions.iter().map(|position| first + position));
            self.masked_labels.extend(masked.labels);
            self.next_sentence.push(u32::from(is_random_next));
        }
    }

    fn finish(self, objective: Objective) -> TrainingBatch {
        let targets = Targets::Pretraining {
            masked_rows: self.masked_rows,
            masked_labels: self.masked_labels,
            next_sentence: (objective == Objective::MlmNsp).then_some(self.next_sentence),
        };
        TrainingBatch::new(self.batch, targets)
    }
}
