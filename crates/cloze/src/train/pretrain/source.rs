//! From a corpus to batches of masked instances: an endless stream for training, a fixed list for
//! evaluation.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use cloze_tokenizer::{SpecialIds, Tokenizer};
use rayon::prelude::*;

use crate::Error;
use crate::data::{
    Corpus, Coverage, Instance, Masking, Objective, Plan, PlanOptions, PlannedInstance, build_instance, google,
    plan_epoch,
};
use crate::heads::{Losses, Targets, TrainingBatch};
use crate::model::Batch;
use crate::random::{Permutation, Purpose, Random};
use crate::settings::PretrainSettings;
use crate::train::events::{Event, Metrics, Observer};

use super::data::Data;

/// Held-out instances that are evaluated, unless another number is wanted.
const EVALUATED: usize = 10_000;
/// Sequences of one batch in evaluation.
const EVALUATION_SEQUENCES: usize = 64;

/// The stream of training instances: epoch after epoch, from any position.
pub(super) struct Source<'a> {
    data: &'a Data,
    settings: &'a PretrainSettings,
    special: SpecialIds,
    masking: Masking,
    max_seq_length: usize,
    /// The epoch's instances, if they are drawn from a corpus, and the file that they are in.
    plan: Option<Plan>,
    plan_file: PathBuf,
    /// The length and the epoch that it is of.
    planned: Option<(usize, u64)>,
    epoch: u64,
    /// Instances of the epoch that are used.
    used: usize,
}

impl<'a> Source<'a> {
    /// A source that is yet to be started.
    pub fn new(
        data: &'a Data,
        settings: &'a PretrainSettings,
        tokenizer: &Tokenizer,
        plan_file: PathBuf,
    ) -> Source<'a> {
        Source {
            data,
            settings,
            special: tokenizer.special(),
            masking: masking(settings, tokenizer),
            max_seq_length: settings.max_seq_length,
            plan: None,
            plan_file,
            planned: None,
            epoch: 0,
            used: 0,
        }
    }

    /// Goes to an instance of an epoch, with sequences of this length.
    ///
    /// # Errors
    /// If an epoch has no instances.
    pub fn start(&mut self, max_seq_length: usize, epoch: u64, instance: u64) -> Result<(), Error> {
        self.max_seq_length = max_seq_length;
        let wanted = Some((max_seq_length, epoch));
        if let Data::Corpus(corpus) = self.data
            && self.planned != wanted
        {
            // Before the next one takes its place on the disk.
            (self.plan, self.planned) = (None, None);
            let _ = std::fs::remove_file(&self.plan_file);
            self.plan = Some(plan(corpus, self.settings, max_seq_length, epoch, Some(&self.plan_file))?);
            self.planned = wanted;
        }
        self.epoch = epoch;
        self.used = instance as usize;
        if self.instances() == 0 {
            return Err(Error::Settings("the corpus is too small to make a single instance of it".to_string()));
        }
        Ok(())
    }

    /// Instances of the epoch.
    pub fn instances(&self) -> usize {
        match self.data {
            Data::Corpus(_) => self.plan.as_ref().map_or(0, Plan::len),
            Data::Instances(instances) => instances.len(),
        }
    }

    /// Tokens of the epoch's instances.
    pub fn tokens(&self) -> u64 {
        match self.data {
            Data::Corpus(_) => self.plan.as_ref().map_or(0, Plan::tokens),
            Data::Instances(instances) => instances.tokens(),
        }
    }

    /// How much of the text the epoch reads, if its instances are drawn from a corpus.
    pub fn coverage(&self) -> Option<Coverage> {
        self.plan.as_ref().map(Plan::coverage)
    }

    /// Where the next batch begins.
    pub fn position(&self) -> (u64, u64) {
        (self.epoch, self.used as u64)
    }

    pub fn epochs_done(&self) -> f64 {
        self.epoch as f64 + self.used as f64 / self.instances().max(1) as f64
    }

    /// The next `size` instances; a batch may reach into the next epoch.
    pub fn next_batch(&mut self, size: usize) -> Result<TrainingBatch, Error> {
        let seed = self.settings.update.seed;
        let mut batch = BatchBuilder::default();
        while batch.batch.sequences() < size {
            if self.used >= self.instances() {
                self.start(self.max_seq_length, self.epoch + 1, 0)?;
            }
            let wanted = size - batch.batch.sequences();
            let range = self.used..(self.used + wanted).min(self.instances());
            match (self.data, &self.plan) {
                (Data::Corpus(corpus), Some(plan)) => {
                    let (first, epoch) = (range.start, self.epoch);
                    let draws = |index: usize| Random::new(seed, Purpose::Mask, epoch, (first + index) as u64);
                    let planned = plan.instances(range.clone())?;
                    batch.extend(corpus, &planned, self.special, &self.masking, draws)?;
                }
                (Data::Instances(instances), _) => batch.extend_given(instances, range.clone())?,
                (Data::Corpus(_), None) => unreachable!("a source without a plan has no instances"),
            }
            self.used = range.end;
        }
        Ok(batch.finish(self.settings.objective))
    }
}

fn masking(settings: &PretrainSettings, tokenizer: &Tokenizer) -> Masking {
    Masking::new(tokenizer, settings.masked_lm_prob, settings.whole_word)
}

fn plan(
    corpus: &Corpus,
    settings: &PretrainSettings,
    max_seq_length: usize,
    epoch: u64,
    file: Option<&Path>,
) -> Result<Plan, Error> {
    let options = PlanOptions {
        max_seq_length,
        short_seq_prob: settings.short_seq_prob,
        objective: settings.objective,
        shuffle: settings.update.shuffle,
    };
    plan_epoch(corpus, &options, settings.update.seed, epoch, file)
}

/// The places of the held-out instances that are evaluated: all, or as many as are wanted, the same ones each time.
fn drawn(count: usize, settings: &PretrainSettings) -> Vec<usize> {
    let wanted = settings.eval_instances.unwrap_or(EVALUATED);
    if count <= wanted {
        return (0..count).collect();
    }
    let order = Permutation::new(count as u64, &mut Random::new(settings.update.seed, Purpose::HeldOut, 0, 0));
    let mut places: Vec<usize> = (0..wanted as u64).map(|place| order.at(place) as usize).collect();
    places.sort_unstable();
    places
}

/// The held-out instances, with masks that are the same at every evaluation.
pub(crate) struct HeldOut {
    max_seq_length: usize,
    batches: Vec<TrainingBatch>,
    /// Of the text, where instances are drawn from it.
    unigram_entropy: Option<f64>,
    /// Share of the larger class of next sentence prediction.
    nsp_majority: Option<f64>,
}

impl HeldOut {
    /// Instances of this length, or those that are given.
    ///
    /// # Errors
    /// If given ones cannot be read.
    pub fn new(
        data: &Data,
        settings: &PretrainSettings,
        max_seq_length: usize,
        tokenizer: &Tokenizer,
    ) -> Result<HeldOut, Error> {
        let mut batches = Vec::new();
        match data {
            Data::Corpus(corpus) => {
                let (special, masking) = (tokenizer.special(), masking(settings, tokenizer));
                let plan = plan(corpus, settings, max_seq_length, 0, None)?;
                let places = drawn(plan.len(), settings);
                for (number, places) in places.chunks(EVALUATION_SEQUENCES).enumerate() {
                    let first = number * EVALUATION_SEQUENCES;
                    let draws = |index: usize| {
                        Random::new(settings.update.seed, Purpose::HeldOutMask, 0, (first + index) as u64)
                    };
                    let mut batch = BatchBuilder::default();
                    let planned = plan.instances(places.iter().copied())?;
                    batch.extend(corpus, &planned, special, &masking, draws)?;
                    batches.push(batch.finish(settings.objective));
                }
            }
            Data::Instances(instances) => {
                for places in drawn(instances.len(), settings).chunks(EVALUATION_SEQUENCES) {
                    let mut batch = BatchBuilder::default();
                    for &place in places {
                        batch.extend_given(instances, place..place + 1)?;
                    }
                    batches.push(batch.finish(settings.objective));
                }
            }
        }
        let unigram_entropy = match data {
            Data::Corpus(corpus) => Some(corpus.unigram_entropy(tokenizer.vocab_size())?),
            Data::Instances(_) => None,
        };
        let mut held_out = HeldOut { max_seq_length, batches, unigram_entropy, nsp_majority: None };
        if settings.objective == Objective::MlmNsp {
            let random = held_out.random_next() as f64 / held_out.instances().max(1) as f64;
            held_out.nsp_majority = Some(random.max(1.0 - random));
        }
        Ok(held_out)
    }

    /// True if there may be more instances than are evaluated.
    pub fn is_selection(&self, settings: &PretrainSettings) -> bool {
        self.instances() >= settings.eval_instances.unwrap_or(EVALUATED)
    }

    /// Number of instances whose second half is from elsewhere.
    fn random_next(&self) -> usize {
        let of_batch = |batch: &TrainingBatch| match &batch.targets {
            Targets::Pretraining { next_sentence: Some(labels), .. } => {
                labels.iter().filter(|&&label| label == 1).count()
            }
            _ => 0,
        };
        self.batches.iter().map(of_batch).sum()
    }

    /// The length that they were made for.
    pub fn max_seq_length(&self) -> usize {
        self.max_seq_length
    }

    /// All instances.
    pub fn batches(&self) -> &[TrainingBatch] {
        &self.batches
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.batches.iter().map(|batch| batch.batch.tokens()).sum()
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
        metrics.extend(self.unigram_entropy.map(|entropy| ("unigram_entropy".to_string(), entropy)));
        metrics.extend(self.nsp_majority.map(|share| ("nsp_majority".to_string(), share)));
        Ok(metrics)
    }
}

fn pretraining_metrics(losses: &Losses) -> Metrics {
    let mut metrics = vec![
        ("loss".to_string(), losses.total()),
        ("mlm_loss".to_string(), losses.mlm.mean_loss()),
        ("mlm_accuracy".to_string(), losses.mlm.accuracy()),
    ];
    // The largest loss whose perplexity is a number is 709.
    let perplexity = losses.mlm.mean_loss().exp();
    if perplexity.is_finite() {
        metrics.insert(2, ("mlm_perplexity".to_string(), perplexity));
    }
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
    /// Adds planned instances of a corpus, each masked by its own draws.
    fn extend(
        &mut self,
        corpus: &Corpus,
        planned: &[PlannedInstance],
        special: SpecialIds,
        masking: &Masking,
        draws: impl Fn(usize) -> Random + Sync,
    ) -> Result<(), Error> {
        let build = |(index, planned): (usize, &PlannedInstance)| {
            let instance = build_instance(corpus, planned, special)?;
            let masked = masking.mask(&instance, draws(index));
            Ok((instance, masked))
        };
        let instances: Vec<_> = planned.par_iter().enumerate().map(build).collect::<Result<_, Error>>()?;
        for (Instance { token_type_ids, is_random_next, .. }, masked) in instances {
            self.push(&masked.ids, &token_type_ids, &masked.positions, &masked.labels, is_random_next);
        }
        Ok(())
    }

    /// Adds instances as they are given.
    fn extend_given(&mut self, instances: &google::InstanceFiles, range: Range<usize>) -> Result<(), Error> {
        for instance in instances.read(range)? {
            let segments: Vec<u32> = instance.segment_ids.iter().map(|&segment| u32::from(segment)).collect();
            let (positions, labels) = (&instance.masked_lm_positions, &instance.masked_lm_labels);
            self.push(&instance.tokens, &segments, positions, labels, instance.is_random_next);
        }
        Ok(())
    }

    fn push(&mut self, ids: &[u32], token_type_ids: &[u32], positions: &[u32], labels: &[u32], is_random_next: bool) {
        let first = self.batch.tokens() as u32;
        self.batch.push(ids, token_type_ids);
        self.masked_rows.extend(positions.iter().map(|position| first + position));
        self.masked_labels.extend(labels);
        self.next_sentence.push(u32::from(is_random_next));
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
