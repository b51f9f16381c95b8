//! The work that `cloze bench` times: random ids, and random weights or a model's, so that nothing has to be
//! at hand.

mod operations;

use std::path::Path;
use std::time::{Duration, Instant};

use cloze_kernels::{Cpu, Kernels};
use safetensors::Dtype;

use crate::checkpoint::{Rows, TakeRows, TensorHead, write_tensor_file};
use crate::heads::{Targets, TrainingBatch};
use crate::infer::{InferenceWorkspace, OpenOptions, load};
use crate::model::{Batch, Network};
use crate::optim::{OptimizerKind, OptimizerSettings};
use crate::params::{Declaration, HeadSet, Parameter};
use crate::random::{Purpose as Draws, Random};
use crate::train::Trainer;
use crate::{Config, Error, precision};

pub(crate) use operations::{forward_operations, train_operations};

/// Share of the tokens to predict in a training step.
const MASKED: f64 = 0.15;
/// How long the machine's ceiling is measured before and after each repetition.
const BURST_MILLISECONDS: u64 = 20;

/// What is timed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Tokens of each sequence.
    pub lengths: Vec<usize>,
    /// Measured repetitions; one before them, which allocates, is left out.
    pub repetitions: usize,
    /// Decides ids, weights that are drawn, and masks.
    pub seed: u64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The time of each repetition.
    pub times: Vec<Duration>,
    /// Billions of operations a second that the machine does at most, measured before the first repetition
    /// and after each.
    pub ceilings: Vec<f64>,
    /// Operations of one repetition: multiplications and additions of products of matrices.
    pub operations: f64,
}

impl Measurement {
    /// The median time.
    pub fn seconds(&self) -> f64 {
        median(self.times.iter().map(Duration::as_secs_f64).collect())
    }

    /// Billions of operations a second, in the median time.
    pub fn gflops(&self) -> f64 {
        self.operations / self.seconds() / 1e9
    }

    /// Share of the machine's ceiling, the median of the bursts, that was reached. Where the bursts were disturbed and
    /// found less than was reached, it is 1.
    pub fn fraction_of_ceiling(&self) -> f64 {
        (self.gflops() / median(self.ceilings.clone())).min(1.0)
    }
}

/// The middle value, or the mean of the two middle ones; not a number of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// A forward pass: how long it took, what went in and what came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// How long it took.
    pub measurement: Measurement,
    /// The sequences.
    pub batch: Batch,
    /// Of the last layer: `[tokens, hidden]`
    pub last_hidden_state: Vec<f32>,
    /// `[sequences, hidden]`; none of a model without a pooler.
    pub pooler_output: Option<Vec<f32>>,
}

impl Forward {
    /// The sum of all elements that came out, in f64.
    pub fn checksum(&self) -> f64 {
        let pooled = self.pooler_output.iter().flatten();
        self.last_hidden_state.iter().chain(pooled).map(|&value| f64::from(value)).sum()
    }

    /// Writes what went in and what came out as safetensors, for other programs to compare with:
    /// `input_ids` and `token_type_ids` `[tokens]` and `lengths` `[sequences]` in I64,
    /// `last_hidden_state` `[tokens, hidden]` and `pooler_output` `[sequences, hidden]` in F32.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let (tokens, sequences) = (self.batch.tokens(), self.batch.sequences());
        let hidden = self.last_hidden_state.len() / tokens.max(1);
        let mut heads = vec![
            TensorHead::new("input_ids", Dtype::I64, &[tokens]),
            TensorHead::new("token_type_ids", Dtype::I64, &[tokens]),
            TensorHead::new("lengths", Dtype::I64, &[sequences]),
            TensorHead::new("last_hidden_state", Dtype::F32, &[tokens, hidden]),
        ];
        if self.pooler_output.is_some() {
            heads.push(TensorHead::new("pooler_output", Dtype::F32, &[sequences, hidden]));
        }
        let wide = |values: &[u32]| -> Vec<i64> { values.iter().map(|&value| i64::from(value)).collect() };
        let lengths: Vec<i64> = (0..sequences).map(|sequence| self.batch.rows(sequence).len() as i64).collect();
        write_tensor_file(path, &heads, &[], |file| {
            file.i64(&wide(&self.batch.ids))?;
            file.i64(&wide(&self.batch.token_type_ids))?;
            file.i64(&lengths)?;
            file.f32(&self.last_hidden_state)?;
            self.pooler_output.iter().try_for_each(|pooled| file.f32(pooled))
        })
    }
}

/// A network with random weights and a pooler.
pub fn random_network(config: &Config, options: OpenOptions, seed: u64) -> Result<Network<Cpu>, Error> {
    let heads = HeadSet { pooler: true, ..HeadSet::default() };
    let declaration = Declaration::new(config, heads);
    let kernels = options.kernels()?;
    let draw = |parameter: &Parameter, take: &mut TakeRows| {
        let mut values = vec![0.0; parameter.span.len];
        Declaration::initialize(parameter, config.initializer_range, seed, &mut values);
        take(0, Rows::Numbers(&values))
    };
    load(kernels, config, &declaration, draw)
}

/// All hidden states of the last layer, and the pooler, in the buffers that every use of a model has.
pub fn forward(network: &Network<Cpu>, work: &Work) -> Result<Forward, Error> {
    let (kernels, config) = (&network.kernels, &network.config);
    let batch = random_batch(config, work)?;
    let mut workspace = InferenceWorkspace::new(kernels, config)?;
    let (times, ceilings) = measure(
        &mut workspace,
        work.repetitions,
        |_| kernels.ceiling_gflops(BURST_MILLISECONDS),
        |workspace| kernels.scope(|| workspace.encode_and_pool_all(network, &batch)),
    )?;
    let read = |buffer, rows: usize| -> Result<Vec<f32>, Error> {
        let mut values = vec![0.0; rows * config.hidden_size];
        kernels.read_activations(&mut values, buffer)?;
        Ok(values)
    };
    let last_hidden_state = read(workspace.hidden(config), batch.tokens())?;
    let pooler_output = match network.parameters.pooler {
        Some(_) => Some(read(&workspace.pooler.pooled, batch.sequences())?),
        None => None,
    };
    let operations = forward_operations(config, &work.lengths);
    Ok(Forward { measurement: Measurement { times, ceilings, operations }, batch, last_hidden_state, pooler_output })
}

/// Steps of pre-training: how long one took, and what the first lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// How long a step took.
    pub measurement: Measurement,
    /// The loss before the first update: masked language model and next sentence prediction together.
    pub first_loss: f64,
    /// What is computed instead where the processor lacks the instructions for the precision.
    pub substitute: Option<&'static str>,
}

/// One whole step of MLM + NSP from random weights: dropout, backward, clipping, AdamW. With `recompute`
/// backward runs each layer's forward again instead of keeping what it computed.
pub fn train(config: &Config, options: OpenOptions, recompute: bool, work: &Work) -> Result<Train, Error> {
    precision::check_training(options.precision())?;
    let heads = HeadSet { pooler: true, mlm: true, nsp: true, task: None };
    let declaration = Declaration::new(config, heads);
    let kernels = options.kernels()?;
    let optimizer = OptimizerSettings::new(OptimizerKind::AdamW);
    let weights = declaration.initial_weights(config.initializer_range, work.seed);
    let mut trainer = Trainer::new(kernels, config, &declaration, &weights, optimizer, work.seed)?;
    drop(weights);
    if recompute {
        trainer.recompute()?;
    }
    let batch = with_targets(config, random_batch(config, work)?, work.seed);
    let mut first_loss = None;
    let (times, ceilings) = measure(
        &mut trainer,
        work.repetitions,
        |trainer| trainer.network().kernels.ceiling_gflops(BURST_MILLISECONDS),
        |trainer| {
            let report = trainer.step(&batch, 1, 1e-4)?;
            first_loss.get_or_insert(report.losses.total());
            Ok(())
        },
    )?;
    let measurement = Measurement { times, ceilings, operations: train_operations(config, &batch) };
    let substitute = trainer.network().kernels.substitute();
    Ok(Train { measurement, first_loss: first_loss.unwrap_or(f64::NAN), substitute })
}

/// The time of each repetition, and the ceiling before the first and after each.
fn measure<S>(
    state: &mut S,
    repetitions: usize,
    ceiling: impl Fn(&S) -> f64,
    mut work: impl FnMut(&mut S) -> Result<(), Error>,
) -> Result<(Vec<Duration>, Vec<f64>), Error> {
    work(state)?;
    let mut times = Vec::with_capacity(repetitions);
    let mut ceilings = vec![ceiling(state)];
    for _ in 0..repetitions {
        let start = Instant::now();
        work(state)?;
        times.push(start.elapsed());
        ceilings.push(ceiling(state));
    }
    Ok((times, ceilings))
}

fn random_batch(config: &Config, work: &Work) -> Result<Batch, Error> {
    let mut random = Random::new(work.seed, Draws::Sample, 0, 0);
    let mut batch = Batch::default();
    for &length in &work.lengths {
        let ids: Vec<u32> = (0..length).map(|_| random.below(config.vocab_size as u64) as u32).collect();
        let types: Vec<u32> = (0..length).map(|at| u32::from(at >= length / 2)).collect();
        batch.push(&ids, &types);
    }
    batch.check(config)?;
    Ok(batch)
}

/// The batch with masked tokens in each sequence, and whether its second half is the next.
fn with_targets(config: &Config, batch: Batch, seed: u64) -> TrainingBatch {
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
    TrainingBatch::new(batch, targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::TensorFile;

    fn config() -> Config {
        Config { vocab_size: 50, hidden_size: 16, num_attention_heads: 2, intermediate_size: 24, ..Config::tiny() }
    }

    fn work() -> Work {
        Work { lengths: vec![3, 9, 5], repetitions: 2, seed: 7 }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_fraction_is_the_median_rate_over_the_median_ceiling() {
        let times = [1, 9, 2].map(Duration::from_secs).to_vec();
        let measurement = Measurement { times, ceilings: vec![5.0, 80.0, 10.0, 20.0], operations: 12e9 };
        assert_eq!((measurement.seconds(), measurement.gflops()), (2.0, 6.0));
        assert_eq!(measurement.fraction_of_ceiling(), 0.4);
        let disturbed = Measurement { ceilings: vec![1.0, 8.0, 4.0, 2.0], ..measurement };
        assert_eq!(disturbed.fraction_of_ceiling(), 1.0, "a machine can do what it did");
    }

    #[test]
    fn a_forward_pass_is_that_of_inference_whatever_the_threads() {
        let run = |threads| {
            let options = OpenOptions { threads: Some(threads), ..OpenOptions::default() };
            let network = random_network(&config(), options, 7).unwrap();
            forward(&network, &work()).unwrap()
        };
        let (one, three) = (run(1), run(3));
        assert_eq!((one.measurement.times.len(), one.measurement.ceilings.len()), (2, 3));
        assert_eq!((one.batch.tokens(), one.last_hidden_state.len()), (17, 17 * 16));
        assert_eq!(one.pooler_output.as_ref().unwrap().len(), 3 * 16);
        assert_eq!((&one.last_hidden_state, &one.pooler_output), (&three.last_hidden_state, &three.pooler_output));
        assert!(one.checksum() != 0.0 && one.checksum() == three.checksum());
    }

    #[test]
    fn what_is_written_reads_back() {
        let network = random_network(&config(), OpenOptions::default(), 7).unwrap();
        let ran = forward(&network, &work()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outputs.safetensors");
        ran.write(&path).unwrap();
        let file = TensorFile::open(&path).unwrap();
        let mut hidden = vec![0.0; 17 * 16];
        file.read("last_hidden_state", &[17, 16], &mut hidden).unwrap();
        assert_eq!(hidden, ran.last_hidden_state);
        let mut pooled = vec![0.0; 3 * 16];
        file.read("pooler_output", &[3, 16], &mut pooled).unwrap();
        assert_eq!(Some(pooled), ran.pooler_output);
        let bytes = std::fs::read(&path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let integers = |name: &str| -> Vec<u32> {
            let tensor = tensors.tensor(name).unwrap();
            assert_eq!(tensor.dtype(), Dtype::I64);
            tensor.data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as u32).collect()
        };
        assert_eq!((integers("input_ids"), integers("token_type_ids")), (ran.batch.ids, ran.batch.token_type_ids));
        assert_eq!(integers("lengths"), [3, 9, 5]);
    }

    #[test]
    fn recomputation_changes_no_bit_of_the_first_loss() {
        let run = |recompute| train(&config(), OpenOptions::default(), recompute, &work()).unwrap();
        let (kept, recomputed) = (run(false), run(true));
        assert!(kept.first_loss > 1.0, "{}", kept.first_loss);
        assert_eq!(kept.first_loss, recomputed.first_loss);
        let int8 = OpenOptions { precision: Some(precision::Precision::Int8), ..OpenOptions::default() };
        assert!(train(&config(), int8, false, &work()).unwrap_err().to_string().contains("f32 or bf16"));
    }
}
