//! What a batch is trained for: its targets, their losses, and the gradient of the whole batch.

use cloze_kernels::{Kernels, RowCoordinates};

use crate::model::{
    ActivationGradients, Batch, Draws, Keep, Network, PackedBatch, PoolerTape, ReadRows, Site, Tape, dropout,
    encoder_backward, encoder_forward, pooler_backward, pooler_forward,
};
use crate::params::{Declaration, Parameters};
use crate::{Config, Error};

use super::linear::{linear_logits, linear_logits_backward};
use super::mlm::ROWS_AT_A_TIME;
use super::task::{WindowPooling, cross_entropy, task_losses};
use super::{LinearTape, MlmTape, Tally, mlm_backward, mlm_logits, mlm_losses};

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
    /// The class of each example.
    Classes(Vec<u32>),
    /// The value of each example.
    Values(Vec<f32>),
    /// For each example which labels it has: `[labels]`
    Labels(Vec<Vec<bool>>),
    /// The class of each word.
    Words {
        /// The tokens of the words that decide, as ascending rows of the batch.
        rows: Vec<u32>,
        /// How many of these rows each word has; the mean of their logits is the word's.
        counts: Vec<u32>,
        /// The class of each word.
        labels: Vec<u32>,
    },
    /// The first and the last token of the answer in each sequence.
    Spans(Vec<(u32, u32)>),
}

/// A batch and its targets.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingBatch {
    /// The sequences.
    pub batch: Batch,
    /// What they should give.
    pub targets: Targets,
    /// How many sequences, its windows, each example has; empty where each example has one.
    pub windows: Vec<u32>,
    /// How the windows' logits become those of the example.
    pub pooling: WindowPooling,
    /// How much each target (example, word, sequence) counts; empty where all count 1.
    pub weights: Vec<f64>,
}

/// What the losses of a whole batch are divided by. Known before its first part is computed, so that
/// the parts' gradients add up to the whole batch's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Sequences.
    pub sequences: usize,
    /// Masked tokens.
    pub masked: usize,
    /// The weight of all targets of a task.
    pub weight: f64,
}

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

impl Targets {
    /// How many there are, of a task.
    fn count(&self) -> usize {
        match self {
            Targets::Pretraining { .. } => 0,
            Targets::Classes(classes) => classes.len(),
            Targets::Values(values) => values.len(),
            Targets::Labels(labels) => labels.len(),
            Targets::Words { labels, .. } => labels.len(),
            Targets::Spans(spans) => spans.len(),
        }
    }
}

impl TrainingBatch {
    /// A batch whose examples are a sequence each and count the same.
    pub fn new(batch: Batch, targets: Targets) -> TrainingBatch {
        TrainingBatch { batch, targets, windows: Vec::new(), pooling: WindowPooling::default(), weights: Vec::new() }
    }

    /// Its counts.
    pub fn totals(&self) -> Totals {
        let masked = match &self.targets {
            Targets::Pretraining { masked_rows, .. } => masked_rows.len(),
            _ => 0,
        };
        let weight = (0..self.targets.count()).map(|target| self.weight(target)).sum();
        Totals { sequences: self.batch.sequences(), masked, weight }
    }

    /// Number of examples: what a batch can be divided into.
    pub fn examples(&self) -> usize {
        if self.windows.is_empty() { self.batch.sequences() } else { self.windows.len() }
    }

    /// The sequences of each example, if they are not one each.
    pub(super) fn windows(&self) -> Option<&[u32]> {
        (!self.windows.is_empty()).then_some(&self.windows)
    }

    /// How much a target counts.
    pub(super) fn weight(&self, target: usize) -> f64 {
        self.weights.get(target).copied().unwrap_or(1.0)
    }

    /// The first sequence of an example.
    pub fn first_sequence(&self, example: usize) -> usize {
        match self.windows() {
            None => example,
            Some(windows) => windows[..example].iter().map(|&count| count as usize).sum(),
        }
    }

    /// Whether a model of this configuration with these heads can be trained on the batch: its sequences
    /// (see [`Batch::check`]), a head for its targets, one target for each example, and labels, rows and
    /// tokens that exist.
    pub fn check<M, V>(&self, config: &Config, parameters: &Parameters<M, V>) -> Result<(), Error> {
        self.batch.check(config)?;
        let (sequences, examples) = (self.batch.sequences(), self.examples());
        let wrong = |message: String| Err(Error::Settings(message));
        let windows: usize = self.windows.iter().map(|&count| count as usize).sum();
        if !self.windows.is_empty() && (windows != sequences || self.windows.contains(&0)) {
            return wrong(format!("{windows} windows for {sequences} sequences"));
        }
        if !self.weights.is_empty() && self.weights.len() != self.targets.count() {
            return wrong(format!("{} weights for {} targets", self.weights.len(), self.targets.count()));
        }
        let one_each = |targets: usize| match targets == examples {
            true => Ok(()),
            false => wrong(format!("{targets} targets for {examples} examples")),
        };
        let below = |what: &str, values: &[u32], bound: usize| match values.iter().find(|&&v| v as usize >= bound) {
            None => Ok(()),
            Some(value) => wrong(format!("{what} {value} is not below {bound}")),
        };
        let ascend = |what: &str, rows: &[u32], labels: usize| match rows.is_sorted_by(|a, b| a < b) {
            true if rows.len() == labels => Ok(()),
            _ => wrong(format!("{what} must ascend, with a label for each")),
        };
        let has = |head: bool, what: &str| if head { Ok(()) } else { wrong(format!("the model has no {what}")) };
        let (pooled, labels) = (parameters.pooler.is_some(), config.labels.len());
        let has_classifier = || has(parameters.task.is_some() && pooled, "classifier");
        match &self.targets {
            Targets::Pretraining { masked_rows, masked_labels, next_sentence } => {
                has(parameters.mlm.is_some(), "masked language model head")?;
                below("masked row", masked_rows, self.batch.tokens())?;
                below("masked token", masked_labels, config.vocab_size)?;
                ascend("masked rows", masked_rows, masked_labels.len())?;
                let Some(next_sentence) = next_sentence else { return Ok(()) };
                has(parameters.nsp.is_some() && pooled, "next sentence head")?;
                one_each(next_sentence.len())?;
                below("next sentence label", next_sentence, 2)
            }
            Targets::Classes(classes) => {
                has_classifier()?;
                one_each(classes.len())?;
                below("class", classes, labels)
            }
            Targets::Values(values) => {
                has(parameters.task.is_some() && pooled && labels == 1, "regression head")?;
                one_each(values.len())
            }
            Targets::Labels(of_examples) => {
                has_classifier()?;
                one_each(of_examples.len())?;
                match of_examples.iter().find(|own| own.len() != labels) {
                    None => Ok(()),
                    Some(own) => wrong(format!("{} of {labels} labels", own.len())),
                }
            }
            Targets::Words { rows, counts, labels: classes } => {
                has(parameters.task.is_some(), "head for tokens")?;
                below("row", rows, self.batch.tokens())?;
                ascend("rows of words", rows, counts.iter().map(|&count| count as usize).sum())?;
                below("class", classes, labels)?;
                match counts.len() == classes.len() && !counts.contains(&0) {
                    true => Ok(()),
                    false => wrong(format!("{} labels for {} words", classes.len(), counts.len())),
                }
            }
            Targets::Spans(spans) => {
                has(parameters.task.is_some(), "head for answers")?;
                one_each(spans.len())?;
                (0..spans.len()).try_for_each(|sequence| {
                    below("token", &[spans[sequence].0, spans[sequence].1], self.batch.rows(sequence).len())
                })
            }
        }
    }

    /// The examples in `range` with their targets.
    pub fn part(&self, range: std::ops::Range<usize>) -> TrainingBatch {
        let sequences = self.first_sequence(range.start)..self.first_sequence(range.end);
        let (from, to) = (self.batch.starts[sequences.start], self.batch.starts[sequences.end]);
        let within = |rows: &[u32]| rows.partition_point(|&row| row < from)..rows.partition_point(|&row| row < to);
        let shifted = |rows: &[u32]| rows.iter().map(|row| row - from).collect();
        let mut of_weights = range.clone();
        let targets = match &self.targets {
            Targets::Classes(classes) => Targets::Classes(classes[range.clone()].to_vec()),
            Targets::Values(values) => Targets::Values(values[range.clone()].to_vec()),
            Targets::Labels(labels) => Targets::Labels(labels[range.clone()].to_vec()),
            Targets::Spans(spans) => Targets::Spans(spans[range.clone()].to_vec()),
            Targets::Words { rows, counts, labels } => {
                let own = within(rows);
                let ends: Vec<usize> = counts
                    .iter()
                    .scan(0, |end, &count| {
                        *end += count as usize;
                        Some(*end)
                    })
                    .collect();
                let word_at = |row: usize| ends.partition_point(|&end| end <= row);
                let words = word_at(own.start)..word_at(own.end);
                of_weights = words.clone();
                Targets::Words {
                    rows: shifted(&rows[own]),
                    counts: counts[words.clone()].to_vec(),
                    labels: labels[words].to_vec(),
                }
            }
            Targets::Pretraining { masked_rows, masked_labels, next_sentence } => {
                let own = within(masked_rows);
                Targets::Pretraining {
                    masked_rows: shifted(&masked_rows[own.clone()]),
                    masked_labels: masked_labels[own].to_vec(),
                    next_sentence: next_sentence.as_ref().map(|next| next[range.clone()].to_vec()),
                }
            }
        };
        TrainingBatch {
            batch: self.batch.part(sequences),
            targets,
            windows: self.windows.get(range).unwrap_or_default().to_vec(),
            pooling: self.pooling,
            weights: self.weights.get(of_weights).unwrap_or_default().to_vec(),
        }
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
        for (places, labels) in masked_places.chunks(ROWS_AT_A_TIME).zip(masked_labels.chunks(ROWS_AT_A_TIME)) {
            mlm_logits(network, mlm, hidden, places)?;
            mlm_losses(network, mlm, &mut losses.mlm, labels)?;
            if let Some((gradients, declaration)) = &mut gradients {
                let layout = declaration.layout.mlm.as_ref().expect("the declaration has an MLM head");
                mlm_backward(network, buffers, gradients, layout, mlm, 1.0 / totals.masked as f64);
            }
        }
    }

    if let Some(reader) = part.targets.reader() {
        let is_nsp = reader == Reader::NextSentence;
        let head = if is_nsp { &network.parameters.nsp } else { &network.parameters.task };
        let head = head.as_ref().expect("the network has the head of these targets");
        let (count, coordinates) = match reader {
            Reader::Tokens | Reader::Span => (rows.len(), &read.coordinates),
            Reader::NextSentence | Reader::Pooled => {
                let sequences = part.batch.sequences();
                kernels.write_indices(first, &place_of(first_rows(&part.batch)))?;
                pooler_forward(network, pooler, hidden, first, sequences)?;
                let numbers: Vec<u32> = (0..sequences as u32).map(|index| first_sequence as u32 + index).collect();
                kernels.write_indices(&mut first_coordinates.sequences, &numbers)?;
                kernels.write_indices(&mut first_coordinates.positions, &vec![0; sequences])?;
                (sequences, &*first_coordinates)
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
                linear_logits_backward(network, dhidden, gradients, head_at, logits, hidden, head, dropout, count);
            } else {
                let PoolerTape { pooled, dpooled, .. } = &mut *pooler;
                linear_logits_backward(network, dpooled, gradients, head_at, logits, pooled, head, dropout, count);
                let pooler_at = layout.pooler.as_ref().expect("the declaration has a pooler");
                pooler_backward(network, buffers, gradients, pooler_at, pooler, first, count);
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
