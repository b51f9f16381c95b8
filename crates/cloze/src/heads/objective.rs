//! From a batch to its losses and the gradient of the whole batch.

use cloze_kernels::{Kernels, RowCoordinates};

use crate::model::{
    ActivationGradients, Batch, Draws, Keep, Network, PackedBatch, PoolerTape, ReadRows, Site, Tape, dropout,
    encoder_backward, encoder_forward, pooler_backward, pooler_forward, starts_within,
};
use crate::params::Declaration;
use crate::{Config, Error};

use super::linear::{linear_logits, linear_logits_backward};
use super::mlm::{ROWS_AT_A_TIME, turns};
use super::targets::{Targets, Totals, TrainingBatch};
use super::task::{cross_entropy, task_losses};
use super::{LinearTape, MlmTape, Tally, mlm_backward, mlm_logits, mlm_losses};

/// The losses of a batch, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Masked language model, over masked tokens.
    pub mlm: Tally,
    /// Next sentence prediction, over sequences.
    pub nsp: Tally,
    /// The task that is fine-tuned for, over its targets.
    pub task: Tally,
}

impl Losses {
    /// The loss that is trained on: the sum of the means.
    pub fn total(&self) -> f64 {
        self.mlm.mean_loss() + self.nsp.mean_loss() + self.task.mean_loss()
    }
}

/// All buffers of a training or evaluation step.
pub struct Workspace<K: Kernels> {
    batch: PackedBatch<K>,
    read: ReadRows<K>,
    first_rows: K::Indices,
    /// Starts of sequences of one row each.
    first_starts: K::Indices,
    first_coordinates: RowCoordinates<K::Indices>,
    /// Embeddings and encoder.
    pub tape: Tape<K>,
    pooler: PoolerTape<K>,
    mlm: MlmTape<K>,
    head: LinearTape<K>,
    buffers: ActivationGradients<K>,
    /// The embeddings and so many layers have no gradients; `None`: everything has.
    pub frozen_layers: Option<usize>,
}

impl<K: Kernels> Workspace<K> {
    /// Empty buffers, which grow to the largest batch they meet.
    pub fn new(kernels: &K, config: &Config, keep: Keep) -> Result<Self, Error> {
        Ok(Workspace {
            batch: PackedBatch::new(kernels),
            read: ReadRows::new(kernels),
            first_rows: kernels.indices(),
            first_starts: kernels.indices(),
            first_coordinates: RowCoordinates { sequences: kernels.indices(), positions: kernels.indices() },
            tape: Tape::new(kernels, config, keep)?,
            pooler: PoolerTape::new(kernels)?,
            mlm: MlmTape::new(kernels)?,
            head: LinearTape::new(kernels)?,
            buffers: ActivationGradients::new(kernels)?,
            frozen_layers: None,
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
    let Workspace {
        batch,
        read,
        first_rows: first,
        first_starts,
        first_coordinates,
        tape,
        pooler,
        mlm,
        head: logits,
        buffers,
        frozen_layers,
    } = workspace;
    let (kernels, config) = (&network.kernels, &network.config);
    let mut gradients = gradients;

    // Only the rows that some head reads are computed in the last layer.
    let rows = part.targets.read_rows(&part.batch);
    let place_of = |wanted: &[u32]| -> Vec<u32> {
        wanted.iter().map(|row| rows.binary_search(row).expect("a wanted row is read") as u32).collect()
    };
    batch.write(kernels, &part.batch, first_sequence)?;
    read.write(kernels, &part.batch, &rows, first_sequence)?;

    encoder_forward(network, tape, batch, Some(read), draws)?;
    let hidden = &tape.hidden[tape.hidden_index(config.num_hidden_layers)];
    if gradients.is_some() {
        buffers.reserve(kernels, config, batch.tokens)?;
        if frozen_layers.is_none() {
            buffers.table.enter(kernels, &part.batch.ids)?;
        }
        kernels.zero_activations(&mut buffers.dhidden, rows.len() * config.hidden_size);
    }

    if let Targets::Pretraining { masked_rows, masked_labels, .. } = &part.targets {
        let masked_places = place_of(masked_rows);
        for turn in turns(&starts_within(masked_rows, &part.batch.starts), ROWS_AT_A_TIME) {
            mlm_logits(network, mlm, hidden, &masked_places[turn.rows.clone()])?;
            mlm_losses(network, mlm, &mut losses.mlm, &masked_labels[turn.rows])?;
            if let Some((gradients, declaration)) = &mut gradients {
                let layout = declaration.layout.mlm.as_ref().expect("the declaration has an MLM head");
                let scale = 1.0 / totals.masked as f64;
                mlm_backward(network, buffers, gradients, layout, mlm, &turn.starts, scale)?;
            }
        }
    }

    if let Some(reader) = part.targets.reader() {
        let is_nsp = reader == Reader::NextSentence;
        let head = if is_nsp { &network.parameters.nsp } else { &network.parameters.task };
        let head = head.as_ref().expect("the network has the head of these targets");
        let (count, starts, coordinates) = match reader {
            Reader::Tokens | Reader::Span => (rows.len(), &read.starts, &read.coordinates),
            Reader::NextSentence | Reader::Pooled => {
                let sequences = part.batch.sequences();
                kernels.write_indices(first, &place_of(first_rows(&part.batch)))?;
                pooler_forward(network, pooler, hidden, first, sequences)?;
                let numbers: Vec<u32> = (0..sequences as u32).map(|index| first_sequence as u32 + index).collect();
                kernels.write_indices(&mut first_coordinates.sequences, &numbers)?;
                kernels.write_indices(&mut first_coordinates.positions, &vec![0; sequences])?;
                kernels.write_indices(first_starts, &(0..=sequences as u32).collect::<Vec<u32>>())?;
                (sequences, &*first_starts, &*first_coordinates)
            }
        };
        // Next sentence prediction and answers read their input as it is, the others after dropout.
        let draws = draws.filter(|_| matches!(reader, Reader::Pooled | Reader::Tokens));
        let probability = config.classifier_dropout.unwrap_or(config.hidden_dropout_prob);
        let dropout = dropout(draws, probability, Site::Classifier, coordinates);
        let outputs = match reader {
            Reader::NextSentence | Reader::Span => 2,
            Reader::Pooled | Reader::Tokens => config.labels.len(),
        };
        let reads_tokens = matches!(reader, Reader::Tokens | Reader::Span);
        let input = if reads_tokens { hidden } else { &pooler.pooled };
        linear_logits(network, logits, input, head, outputs, dropout, count)?;
        let mut values = logits.read_logits(kernels, count * outputs)?;
        match &part.targets {
            Targets::Pretraining { next_sentence, .. } => {
                let labels = next_sentence.as_ref().expect("the pooled output is read for it");
                for (row, &label) in values.chunks_mut(outputs).zip(labels) {
                    losses.nsp.add(cross_entropy(row, label as usize, 1.0 / totals.sequences as f64), 1.0);
                }
            }
            _ => task_losses(part, &mut values, outputs, totals.weight, &mut losses.task),
        }
        if let Some((gradients, declaration)) = &mut gradients {
            logits.write_gradient(kernels, &values)?;
            let layout = &declaration.layout;
            let head_at = if is_nsp { &layout.nsp } else { &layout.task };
            let head_at = head_at.as_ref().expect("the declaration has the head of these targets");
            if reads_tokens {
                let dhidden = &mut buffers.dhidden;
                linear_logits_backward(
                    network, dhidden, gradients, head_at, logits, hidden, head, dropout, count, starts,
                );
            } else {
                let PoolerTape { pooled, dpooled, .. } = &mut *pooler;
                linear_logits_backward(
                    network, dpooled, gradients, head_at, logits, pooled, head, dropout, count, starts,
                );
                let pooler_at = layout.pooler.as_ref().expect("the declaration has a pooler");
                pooler_backward(network, buffers, gradients, pooler_at, pooler, first, starts, count);
            }
        }
    }
    if let Some((gradients, declaration)) = gradients {
        encoder_backward(network, buffers, gradients, declaration, tape, batch, Some(read), draws, *frozen_layers);
    }
    Ok(())
}

/// The linear head that some targets need, besides the masked language model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    NextSentence,
    Pooled,
    Tokens,
    Span,
}

impl Targets {
    fn reader(&self) -> Option<Reader> {
        match self {
            Targets::Pretraining { next_sentence, .. } => next_sentence.as_ref().map(|_| Reader::NextSentence),
            Targets::Classes(_) | Targets::Values(_) | Targets::Labels(_) => Some(Reader::Pooled),
            Targets::Words { .. } => Some(Reader::Tokens),
            Targets::Spans(_) => Some(Reader::Span),
        }
    }

    /// The rows of the batch that a head reads, ascending.
    fn read_rows(&self, batch: &Batch) -> Vec<u32> {
        match self {
            Targets::Words { rows, .. } => rows.clone(),
            Targets::Spans(_) => (0..batch.tokens() as u32).collect(),
            Targets::Classes(_) | Targets::Values(_) | Targets::Labels(_) => first_rows(batch).to_vec(),
            Targets::Pretraining { masked_rows, next_sentence, .. } => {
                let mut rows = masked_rows.clone();
                if next_sentence.is_some() {
                    rows.extend_from_slice(first_rows(batch));
                    rows.sort_unstable();
                    rows.dedup();
                }
                rows
            }
        }
    }
}
