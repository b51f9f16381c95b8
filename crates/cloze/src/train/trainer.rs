//! One optimizer step: the gradient of a whole batch, clipping, Adam or LAMB.

use cloze_kernels::{AdamStep, Cpu, Kernels, Purpose, Real, Span};

use crate::heads::{Losses, TrainingBatch, Workspace, losses};
use crate::memory::zeros;
use crate::model::{Draws, Keep, Network};
use crate::optim::{self, OptimizerKind, OptimizerSettings, RateSettings};
use crate::params::Declaration;
use crate::{Config, Error};

/// A network in training: weights, gradients and moments, and the buffers of a step.
pub struct Trainer<K: Kernels = Cpu> {
    network: Network<K>,
    declaration: Declaration,
    weights: K::Vector,
    gradients: K::Vector,
    first_moments: K::Vector,
    second_moments: K::Vector,
    workspace: Workspace<K>,
    optimizer: OptimizerSettings,
    /// Of each parameter's rate to that of the step.
    rate_factors: Vec<f64>,
    seed: u64,
    step: u64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The number of the step, from 1.
    pub step: u64,
    /// The losses before the update.
    pub losses: Losses,
    /// The norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// Weights and moments as host memory, each in arena order.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerState {
    /// Steps done.
    pub step: u64,
    /// `[declaration.len]`
    pub weights: Vec<f32>,
    /// `[declaration.len]`
    pub first_moments: Vec<f32>,
    /// `[declaration.len]`
    pub second_moments: Vec<f32>,
}

impl TrainerState {
    /// An error that names the first tensor in which something is not finite.
    pub fn check(&self, declaration: &Declaration) -> Result<(), Error> {
        for (what, values) in [
            ("the weight", &self.weights),
            ("the first moment of", &self.first_moments),
            ("the second moment of", &self.second_moments),
        ] {
            for parameter in &declaration.parameters {
                if let Some(value) = values[parameter.span.range()].iter().find(|value| !value.is_finite()) {
                    let what = format!("{what} `{}`", parameter.name);
                    return Err(Error::NotFinite { step: self.step, what, value: f64::from(*value) });
                }
            }
        }
        Ok(())
    }
}

impl<K: Kernels> Trainer<K> {
    /// A trainer at step 0 with these weights, in arena order. Dropout is as in `config`; its draws come
    /// from `seed`.
    pub fn new(
        kernels: K,
        config: &Config,
        declaration: &Declaration,
        weights: &[f32],
        optimizer: OptimizerSettings,
        seed: u64,
    ) -> Result<Self, Error> {
        let arena = |values: &[f32]| vector_of(&kernels, values);
        let weights = arena(weights)?;
        let network = Network::new(kernels, config, declaration, &weights, Purpose::Training)?;
        let zeros = |len| network.kernels.vector(len);
        Ok(Trainer {
            declaration: declaration.clone(),
            gradients: zeros(declaration.len)?,
            first_moments: zeros(declaration.len)?,
            second_moments: zeros(declaration.len)?,
            workspace: Workspace::new(&network.kernels, config, Keep::Everything)?,
            weights,
            network,
            optimizer,
            rate_factors: vec![1.0; declaration.parameters.len()],
            seed,
            step: 0,
        })
    }

    /// Runs each layer's forward a second time in backward instead of keeping what it computed: the same
    /// bits with less memory and more time.
    pub fn recompute(&mut self) -> Result<(), Error> {
        let frozen_layers = self.workspace.frozen_layers;
        self.workspace = Workspace::new(&self.network.kernels, &self.network.config, Keep::HiddenStates)?;
        self.workspace.frozen_layers = frozen_layers;
        Ok(())
    }

    /// Lets rates differ between parameters; what is frozen is not changed and costs no backward. `peak` is the
    /// highest rate of the run.
    pub fn set_rates(&mut self, rates: &RateSettings, peak: f64) {
        self.rate_factors = rates.factors(&self.declaration, peak);
        self.workspace.frozen_layers = rates.frozen_layers;
    }

    /// Steps done.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// The network with the current weights.
    pub fn network(&self) -> &Network<K> {
        &self.network
    }

    /// The parameters' declaration.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// One step at `learning_rate` on the whole `batch`, computed in `parts` consecutive parts; the
    /// result has the same bits for any number of parts.
    ///
    /// # Errors
    /// If the batch does not fit the model ([`TrainingBatch::check`]), or a loss or a gradient is not
    /// finite; the weights are then as before.
    pub fn step(&mut self, batch: &TrainingBatch, parts: usize, learning_rate: f64) -> Result<StepReport, Error> {
        let losses = self.compute_gradients(batch, parts)?;
        let total = losses.total();
        if !total.is_finite() {
            return Err(Error::NotFinite { step: self.step + 1, what: "the loss".to_string(), value: total });
        }
        let Trainer { network, declaration, weights, gradients, first_moments, second_moments, optimizer, .. } = self;
        let factors = &self.rate_factors;
        let norm = optim::gradient_norm(&network.kernels, gradients, declaration, self.step + 1)?;
        let clip = optim::clip_scale(optimizer, norm);
        let step_at = |rate, decay| optim::adam_step(optimizer, rate, clip, self.step, decay);
        // LAMB has to know all of a tensor's update before it changes the tensor.
        let ratios = match optimizer.kind {
            OptimizerKind::Lamb => Some(optim::trust_ratios(
                &network.kernels,
                first_moments,
                second_moments,
                weights,
                gradients,
                &declaration.parameters,
                factors,
                |decay| step_at(1.0, decay),
            )?),
            OptimizerKind::BertAdam | OptimizerKind::AdamW => None,
        };
        network.update(declaration, weights, |kernels, weights, index, parameter, packed| {
            if factors[index] == 0.0 {
                return;
            }
            let mut step = step_at(factors[index] * learning_rate, parameter.decay);
            if let Some(ratios) = &ratios {
                let learning_rate = ratios[index] * step.learning_rate;
                step = AdamStep { learning_rate, beta1: 1.0, beta2: 1.0, ..step };
            }
            let at = parameter.span;
            kernels.adam_step(weights, first_moments, second_moments, gradients, at, step, packed);
        });
        self.step += 1;
        Ok(StepReport { step: self.step, losses, gradient_norm: norm })
    }

    /// The losses of a whole batch and, left in the arena, its gradients.
    pub fn compute_gradients(&mut self, batch: &TrainingBatch, parts: usize) -> Result<Losses, Error> {
        batch.check(&self.network.config, &self.network.parameters)?;
        let examples = batch.examples();
        let parts = parts.clamp(1, examples.max(1));
        let totals = batch.totals();
        let draws = Some(Draws { seed: self.seed, step: self.step as u32 });
        let Trainer { network, workspace, gradients, declaration, .. } = self;
        let all = Span { start: 0, len: declaration.len };
        let mut sums = Losses::default();
        network.kernels.scope(|| {
            network.kernels.zero_vector(gradients, all);
            workspace.start_gradients(network, &batch.batch)?;
            for part in 0..parts {
                // Parts as equal as they can be, the longer ones first.
                let range = part_range(examples, parts, part);
                let first = batch.first_sequence(range.start);
                let part = batch.part(range);
                let gradients = Some((&mut *gradients, &*declaration));
                losses(network, workspace, &mut sums, gradients, &part, first, totals, draws)?;
            }
            workspace.finish_gradients(network, gradients, declaration)
        })?;
        Ok(sums)
    }

    /// The losses of a batch without dropout and without gradients, added to `sums`.
    pub fn evaluate(&mut self, sums: &mut Losses, batch: &TrainingBatch) -> Result<(), Error> {
        batch.check(&self.network.config, &self.network.parameters)?;
        let Trainer { network, workspace, .. } = self;
        network.kernels.scope(|| losses(network, workspace, sums, None, batch, 0, batch.totals(), None))
    }

    /// One parameter's gradient after [`Trainer::compute_gradients`] or [`Trainer::step`].
    pub fn gradient(&self, name: &str) -> Result<Option<Vec<f64>>, Error> {
        let Some(parameter) = self.declaration.parameters.iter().find(|parameter| parameter.name == name) else {
            return Ok(None);
        };
        read_vector(&self.network.kernels, &self.gradients, parameter.span).map(Some)
    }

    /// The weights in f64, in arena order.
    pub fn weights(&self) -> Result<Vec<f64>, Error> {
        read_vector(&self.network.kernels, &self.weights, Span { start: 0, len: self.declaration.len })
    }

    /// Replaces the weights.
    pub fn set_weights(&mut self, weights: &[f64]) -> Result<(), Error> {
        let values: Vec<K::Real> = weights.iter().map(|&value| K::Real::from_f64(value)).collect();
        self.network.kernels.write_vector(&mut self.weights, 0, &values)?;
        self.network.refresh(&self.declaration, &self.weights);
        Ok(())
    }
}

impl<K: Kernels<Real = f32>> Trainer<K> {
    /// Copies the whole state out.
    pub fn state(&self) -> Result<TrainerState, Error> {
        let read = |vector| -> Result<Vec<f32>, Error> {
            let mut values = zeros(self.declaration.len, "the state of the training")?;
            self.network.kernels.read_vector(&mut values, vector, 0)?;
            Ok(values)
        };
        Ok(TrainerState {
            step: self.step,
            weights: read(&self.weights)?,
            first_moments: read(&self.first_moments)?,
            second_moments: read(&self.second_moments)?,
        })
    }

    /// Goes on from a state that [`Trainer::state`] gave.
    pub fn restore(&mut self, state: &TrainerState) -> Result<(), Error> {
        let kernels = &self.network.kernels;
        kernels.write_vector(&mut self.weights, 0, &state.weights)?;
        kernels.write_vector(&mut self.first_moments, 0, &state.first_moments)?;
        kernels.write_vector(&mut self.second_moments, 0, &state.second_moments)?;
        self.step = state.step;
        self.network.refresh(&self.declaration, &self.weights);
        Ok(())
    }
}

/// The examples of part `part` of `parts`.
fn part_range(examples: usize, parts: usize, part: usize) -> std::ops::Range<usize> {
    let (size, longer) = (examples / parts, examples % parts);
    let start = part * size + part.min(longer);
    start..start + size + usize::from(part < longer)
}

fn vector_of<K: Kernels>(kernels: &K, values: &[f32]) -> Result<K::Vector, Error> {
    let mut vector = kernels.vector(values.len())?;
    let mut at = 0;
    for chunk in values.chunks(1 << 16) {
        let chunk: Vec<K::Real> = chunk.iter().map(|&value| K::Real::from_f64(f64::from(value))).collect();
        kernels.write_vector(&mut vector, at, &chunk)?;
        at += chunk.len();
    }
    Ok(vector)
}

fn read_vector<K: Kernels>(kernels: &K, vector: &K::Vector, at: Span) -> Result<Vec<f64>, Error> {
    let mut values = vec![K::Real::from_f64(0.0); at.len];
    kernels.read_vector(&mut values, vector, at.start)?;
    Ok(values.into_iter().map(Real::to_f64).collect())
}

#[cfg(test)]
mod tests {
    use super::part_range;

    #[test]
    fn parts_are_consecutive_and_as_equal_as_they_can_be() {
        let ranges: Vec<_> = (0..3).map(|part| part_range(8, 3, part)).collect();
        assert_eq!(ranges, [0..3, 3..6, 6..8]);
    }
}
