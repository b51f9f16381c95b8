//! The work that `cloze bench` times: random weights and ids, so that nothing has to be at hand.

use std::time::{Duration, Instant};

use cloze_kernels::{Cpu, Kernels, Purpose};

use crate::heads::{Targets, TrainingBatch, first_rows};
use crate::infer::threads;
use crate::model::{Batch, Keep, Network, PackedBatch, PoolerTape, Tape, encoder_forward, pooler_forward};
use crate::optim::{OptimizerKind, OptimizerSettings};
use crate::params::{Declaration, HeadSet};
use crate::random::{Purpose as Draws, Random};
use crate::train::{Trainer, vector_of};
use crate::{Config, Error};

/// Share of the tokens to predict in a training step.
const MASKED: f64 = 0.15;

/// Times of one piece of work, one a repetition; the first repetition, which allocates, is left out.
pub type Times = Vec<Duration>;

/// Forward of sequences of these lengths: all hidden states of the last layer, and the pooler.
pub fn forward(
    config: &Config,
    lengths: &[usize],
    repetitions: usize,
    wanted_threads: Option<usize>,
    seed: u64,
) -> Result<Times, Error> {
    let heads = HeadSet { pooler: true, ..HeadSet::default() };
    let declaration = Declaration::new(config, heads);
    let kernels = Cpu::new(threads(wanted_threads)?)?;
    let weights = vector_of(&kernels, &declaration.initial_weights(config.initializer_range, seed))?;
    let network = Network::new(kernels, config, &declaration, &weights, Purpose::Inference)?;
    drop(weights);
    let kernels = &network.kernels;
    let batch = random_batch(config, lengths, seed)?;
    let mut packed = PackedBatch::new(kernels);
    packed.write(kernels, &batch, 0)?;
    let mut first = kernels.indices();
    kernels.write_indices(&mut first, first_rows(&batch))?;
    let mut tape = Tape::new(kernels, config, Keep::LastHiddenState)?;
    let mut pooler = PoolerTape::new(kernels)?;
    times(repetitions, || {
        kernels.scope(|| {
            encoder_forward(&network, &mut tape, &packed, None, None)?;
            let hidden = &tape.hidden[tape.hidden_index(config.num_hidden_layers)];
            pooler_forward(&network, &mut pooler, hidden, &first, batch.sequences())
        })
    })
}

/// One whole step of MLM + NSP on sequences of these lengths: dropout, backward, clipping, AdamW.
pub fn train(
    config: &Config,
    lengths: &[usize],
    repetitions: usize,
    wanted_threads: Option<usize>,
    seed: u64,
) -> Result<Times, Error> {
    let heads = HeadSet { pooler: true, mlm: true, nsp: true, classifier: None };
    let declaration = Declaration::new(config, heads);
    let kernels = Cpu::new(threads(wanted_threads)?)?;
    let optimizer = OptimizerSettings::new(OptimizerKind::AdamW);
    let weights = declaration.initial_weights(config.initializer_range, seed);
    let mut trainer = Trainer::new(kernels, config, &declaration, &weights, optimizer, seed)?;
    drop(weights);
    let batch = random_batch(config, lengths, seed)?;
    let mut random = Random::new(seed, Draws::Sample, 1, 0);
    let (mut masked_rows, mut next_sentence) = (Vec::new(), Vec::new());
    for sequence in 0..batch.sequences() {
        let mut rows: Vec<u32> = batch.rows(sequence).map(|row| row as u32).collect();
        random.shuffle(&mut rows);
        rows.truncate((MASKED * rows.len() as f64).round().max(1.0) as usize);
        rows.sort_unstable();
        masked_rows.extend(rows);
        next_sentence.push(random.below(2) as u32);
    }
    let masked_labels = masked_rows.iter().map(|_| random.below(config.vocab_size as u64) as u32).collect();
    let targets = Targets::Pretraining { masked_rows, masked_labels, next_sentence: Some(next_sentence) };
    let batch = TrainingBatch { batch, targets };
    times(repetitions, || trainer.step(&batch, 1, 1e-4).map(|_| ()))
}

fn times(repetitions: usize, mut work: impl FnMut() -> Result<(), Error> + Send) -> Result<Times, Error> {
    work()?;
    (0..repetitions)
        .map(|_| {
            let start = Instant::now();
            work()?;
            Ok(start.elapsed())
        })
        .collect()
}

fn random_batch(config: &Config, lengths: &[usize], seed: u64) -> Result<Batch, Error> {
    let mut random = Random::new(seed, Draws::Sample, 0, 0);
    let mut batch = Batch::default();
    for &length in lengths {
        let ids: Vec<u32> = (0..length).map(|_| random.below(config.vocab_size as u64) as u32).collect();
        let types: Vec<u32> = (0..length).map(|at| u32::from(at >= length / 2)).collect();
        batch.push(&ids, &types);
    }
    batch.check(config)?;
    Ok(batch)
}
