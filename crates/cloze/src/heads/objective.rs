//! What a batch is trained for: its targets, their losses, and the gradient of the whole batch.

use cloze_kernels::{Kernels, RowCoordinates, Size};

use crate::model::{
    ActivationGradients, Batch, Draws, Keep, Network, PackedBatch, PoolerTape, ReadRows, Tape, encoder_backward,
    encoder_forward, pooler_backward, pooler_forward,
};
use crate::params::{Declaration, Parameters};
use crate::{Config, Error};

use super::mlm::ROWS_AT_A_TIME;
use super::pooled::{
    PooledTape, classes_backward, classes_forward, pooled_logits, pooled_logits_backward, values_backward,
    values_forward,
};
use super::{MlmTape, Tally, mlm_backward, mlm_logits, mlm_losses};
use crate::model::{Site, dropout};

/// What the sequences of a batch should give.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Masked language model, and next sentence prediction where there are pairs.
    Pretraining {
        /// The masked tokens, as ascending rows of the batch.
        masked_rows: Vec<u32>,
        /// The tokens that stood there.
        masked_labels: Vec<u32>,
        /// For each sequence 0 (is next) or 1 (random); `None` without this objective.
        next_sentence: Option<Vec<u32>>,
    },
    /// The class of each sequence.
    Classes(Vec<u32>),
    /// The value of each sequence.
    Values(Vec<f32>),
}

/// A batch and its targets.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingBatch {
    /// The sequences.
    pub batch: Batch,
    /// What they should give.
    pub targets: Targets,
}

/// What the losses of a whole batch are divided by. Known before its first part is computed, so that
/// the parts' gradients add up to the whole batch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sequences.
    pub sequences: usize,
    /// Masked tokens.
    pub masked: usize,
}

/// The losses of a batch, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Masked language model, over masked tokens.
    pub mlm: Tally,
    /// Next sentence prediction, over sequences.
    pub nsp: Tally,
    /// Classification or regression, over sequences.
    pub task: Tally,
}

impl Losses {
    /// The loss that is trained on: the sum of the means.
    pub fn total(&self) -> f64 {
        self.mlm.mean_loss() + self.nsp.mean_loss() + self.task.mean_loss()
    }
}

impl TrainingBatch {
    /// Its counts.
    pub fn totals(&self) -> Totals {
        let masked = match &self.targets {
            Targets::Pretraining { masked_rows, .. } => masked_rows.len(),
            Targets::Classes(_) | Targets::Values(_) => 0,
        };
        Totals { sequences: self.batch.sequences(), masked }
    }

    /// Whether a model of this configuration with these heads can be trained on the batch: its sequences
    /// (see [`Batch::check`]), a head for its targets, one target for each sequence, and labels, masked
    /// rows and masked tokens that exist.
    pub fn check<M, V>(&self, config: &Config, parameters: &Parameters<M, V>) -> Result<(), Error> {
        self.batch.check(config)?;
        let sequences = self.batch.sequences();
        let wrong = |message: String| Err(Error::Settings(message));
        let one_each = |targets: usize| match targets == sequences {
            true => Ok(()),
            false => wrong(format!("{targets} targets for {sequences} sequences")),
        };
        let below = |what: &str, values: &[u32], bound: usize| match values.iter().find(|&&v| v as usize >= bound) {
            None => Ok(()),
            Some(value) => wrong(format!("{what} {value} is not below {bound}")),
        };
        let has = |head: bool, what: &str| if head { Ok(()) } else { wrong(format!("the model has no {what}")) };
        let pooled = parameters.pooler.is_some();
        match &self.targets {
            Targets::Pretraining { masked_rows, masked_labels, next_sentence } => {
                has(parameters.mlm.is_some(), "masked language model head")?;
                below("masked row", masked_rows, self.batch.tokens())?;
                below("masked token", masked_labels, config.vocab_size)?;
                if !masked_rows.is_sorted_by(|a, b| a < b) || masked_rows.len() != masked_labels.len() {
                    return wrong("masked rows must ascend, with a label for each".to_string());
                }
                let Some(next_sentence) = next_sentence else { return Ok(()) };
                has(parameters.nsp.is_some() && pooled, "next sentence head")?;
                one_each(next_sentence.len())?;
                below("next sentence label", next_sentence, 2)
            }
            Targets::Classes(classes) => {
                has(parameters.classifier.is_some() && pooled, "classifier")?;
                one_each(classes.len())?;
                below("class", classes, config.labels.len())
            }
            Targets::Values(values) => {
                has(parameters.classifier.is_some() && pooled && config.labels.len() == 1, "regression head")?;
                one_each(values.len())
            }
        }
    }

    /// The sequences in `range` with their targets.
    pub fn part(&self, range: std::ops::Range<usize>) -> TrainingBatch {
        let targets = match &self.targets {
            Targets::Classes(classes) => Targets::Classes(classes[range.clone()].to_vec()),
            Targets::Values(values) => Targets::Values(values[range.clone()].to_vec()),
            Targets::Pretraining { masked_rows, masked_labels, next_sentence } => {
                let (from, to) = (self.batch.starts[range.start], self.batch.starts[range.end]);
                let first = masked_rows.partition_point(|&row| row < from);
                let last = masked_rows.partition_point(|&row| row < to);
                Targets::Pretraining {
                    masked_rows: masked_rows[first..last].iter().map(|row| row - from).collect(),
                    masked_labels: masked_labels[first..last].to_vec(),
                    next_sentence: next_sentence.as_ref().map(|next| next[range.clone()].to_vec()),
                }
            }
        };
        TrainingBatch { batch: self.batch.part(range), targets }
    }
}

/// All buffers of a training or evaluation step.
pub struct Workspace<K: Kernels> {
    batch: PackedBatch<K>,
    read: ReadRows<K>,
    first_rows: K::Indices,
    first_coordinates: RowCoordinates<K::Indices>,
    /// Embeddings and encoder.
    pub tape: Tape<K>,
    pooler: PoolerTape<K>,
    mlm: MlmTape<K>,
    pooled: PooledTape<K>,
    buffers: ActivationGradients<K>,
}

impl<K: Kernels> Workspace<K> {
    /// Empty buffers, which grow to the largest batch they meet.
    pub fn new(kernels: &K, config: &Config, keep: Keep) -> Result<Self, Error> {
        Ok(Workspace {
            batch: PackedBatch::new(kernels),
            read: ReadRows::new(kernels),
            first_rows: kernels.indices(),
            first_coordinates: RowCoordinates { sequences: kernels.indices(), positions: kernels.indices() },
            tape: Tape::new(kernels, config, keep)?,
            pooler: PoolerTape::new(kernels)?,
            mlm: MlmTape::new(kernels)?,
            pooled: PooledTape::new(kernels)?,
            buffers: ActivationGradients::new(kernels)?,
        })
    }
}

impl<K: Kernels> Workspace<K> {
    /// To be called before the first part of a whole batch whose gradient is asked for.
    pub fn start_gradients(&mut self, network: &Network<K>, batch: &Batch) -> Result<(), Error> {
        self.buffers.table.start(&network.kernels, &network.config, &batch.ids)
    }

    /// To be called after the last part: adds what has gathered outside of the arena.
    pub fn finish_gradients(
        &mut self,
        network: &Network<K>,
        gradients: &mut K::Vector,
        declaration: &Declaration,
    ) -> Result<(), Error> {
        let words = declaration.layout.embeddings.word;
        self.buffers.table.finish(&network.kernels, &network.config, gradients, words)
    }
}

/// The first row of each sequence.
pub fn first_rows(batch: &Batch) -> &[u32] {
    &batch.starts[..batch.sequences()]
}

/// Computes the losses of `part` and adds them to `losses`; with `gradients`, also adds the gradient of
/// the whole batch's mean losses that is due to this part.
///
/// `part` is a stretch of a whole batch that begins at sequence `first_sequence` and has the counts
/// `totals`. Without `draws` nothing is dropped. Gradients are whole between
/// [`Workspace::start_gradients`] and [`Workspace::finish_gradients`].
#[allow(clippy::too_many_arguments)]
pub fn losses<K: Kernels>(
    network: &Network<K>,
    workspace: &mut Workspace<K>,
    losses: &mut Losses,
    gradients: Option<(&mut K::Vector, &Declaration)>,
    part: &TrainingBatch,
    first_sequence: usize,
    totals: Totals,
    draws: Option<Draws>,
) -> Result<(), Error> {
    let Workspace { batch, read, first_rows: first, first_coordinates, tape, pooler, mlm, pooled, buffers } = workspace;
    let (kernels, config) = (&network.kernels, &network.config);
    let sequences = part.batch.sequences();
    let mut gradients = gradients;

    // Only the rows that some head reads are computed in the last layer.
    let (masked_rows, masked_labels): (&[u32], &[u32]) = match &part.targets {
        Targets::Pretraining { masked_rows, masked_labels, .. } => (masked_rows, masked_labels),
        _ => (&[], &[]),
    };
    let reads_pooled = !matches!(&part.targets, Targets::Pretraining { next_sentence: None, .. });
    let mut rows = masked_rows.to_vec();
    if reads_pooled {
        rows.extend_from_slice(first_rows(&part.batch));
        rows.sort_unstable();
        rows.dedup();
    }
    let place_of = |wanted: &[u32]| -> Vec<u32> {
        wanted.iter().map(|row| rows.binary_search(row).expect("a wanted row is read") as u32).collect()
    };
    batch.write(kernels, &part.batch, first_sequence)?;
    read.write(kernels, &part.batch, &rows, first_sequence)?;

    encoder_forward(network, tape, batch, Some(read), draws)?;
    let hidden = &tape.hidden[tape.hidden_index(config.num_hidden_layers)];
    if gradients.is_some() {
        buffers.reserve(kernels, config, batch.tokens)?;
        buffers.table.enter(kernels, &part.batch.ids)?;
        kernels.zero_activations(&mut buffers.dhidden, rows.len() * config.hidden_size);
    }

    let masked_places = place_of(masked_rows);
    for (places, labels) in masked_places.chunks(ROWS_AT_A_TIME).zip(masked_labels.chunks(ROWS_AT_A_TIME)) {
        mlm_logits(network, mlm, hidden, places)?;
        mlm_losses(network, mlm, &mut losses.mlm, labels)?;
        if let Some((gradients, declaration)) = &mut gradients {
            let layout = declaration.layout.mlm.as_ref().expect("the declaration has an MLM head");
            mlm_backward(network, buffers, gradients, layout, mlm, 1.0 / totals.masked as f64);
        }
    }

    if reads_pooled {
        kernels.write_indices(first, &place_of(first_rows(&part.batch)))?;
        pooler_forward(network, pooler, hidden, first, sequences)?;
        let scale = 1.0 / totals.sequences as f64;
        let parameters = &network.parameters;
        // Next sentence prediction reads the pooled output as it is, a classifier after dropout.
        let is_nsp = matches!(part.targets, Targets::Pretraining { .. });
        let (head, labels) = if is_nsp { (&parameters.nsp, 2) } else { (&parameters.classifier, config.labels.len()) };
        let head = head.as_ref().expect("the network has the head of these targets");
        let numbers: Vec<u32> = (0..sequences as u32).map(|index| first_sequence as u32 + index).collect();
        kernels.write_indices(&mut first_coordinates.sequences, &numbers)?;
        kernels.write_indices(&mut first_coordinates.positions, &vec![0; sequences])?;
        let probability = config.classifier_dropout.unwrap_or(config.hidden_dropout_prob);
        let dropout = dropout(draws.filter(|_| !is_nsp), probability, Site::Classifier, first_coordinates);
        pooled_logits(network, pooled, pooler, head, labels, dropout, sequences)?;
        match &part.targets {
            Targets::Pretraining { next_sentence, .. } => {
                let classes = next_sentence.as_ref().expect("the pooled output is read for it");
                classes_forward(network, pooled, &mut losses.nsp, classes, labels)?;
            }
            Targets::Classes(classes) => classes_forward(network, pooled, &mut losses.task, classes, labels)?,
            Targets::Values(values) => values_forward(network, pooled, &mut losses.task, values)?,
        }
        if let Some((gradients, declaration)) = &mut gradients {
            let size = Size { rows: sequences, columns: labels };
            match &part.targets {
                Targets::Values(_) => values_backward(network, pooled, scale, size),
                _ => classes_backward(network, pooled, scale, size),
            }
            let layout = &declaration.layout;
            let head_at = if is_nsp { &layout.nsp } else { &layout.classifier };
            let head_at = head_at.as_ref().expect("the declaration has the head of these targets");
            pooled_logits_backward(network, pooler, gradients, head_at, pooled, head, dropout, sequences);
            let pooler_at = layout.pooler.as_ref().expect("the declaration has a pooler");
            pooler_backward(network, buffers, gradients, pooler_at, pooler, first, sequences);
        }
    }
    if let Some((gradients, declaration)) = gradients {
        encoder_backward(network, buffers, gradients, declaration, tape, batch, Some(read), draws);
    }
    Ok(())
}
