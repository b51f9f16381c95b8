//! Modules that change the vector of a text after pooling: linear layers, and scaling to length 1.

use cloze_kernels::{Activation, Cpu, Kernels, MatrixShape, Purpose, Role};

use crate::Error;
use crate::checkpoint::{Dense, DenseActivation, SentenceModule};

use super::classify::logistic;

/// A module that is ready to be used.
pub(super) enum PackedModule {
    Dense(PackedDense),
    Normalize,
}

/// A linear layer and the function after it.
pub(super) struct PackedDense {
    weight: <Cpu as Kernels>::Matrix,
    bias: <Cpu as Kernels>::Vector,
    pub inputs: usize,
    pub outputs: usize,
    activation: DenseActivation,
}

impl PackedModule {
    pub fn new(kernels: &Cpu, module: &SentenceModule) -> Result<PackedModule, Error> {
        match module {
            SentenceModule::Normalize => Ok(PackedModule::Normalize),
            SentenceModule::Dense(dense) => Ok(PackedModule::Dense(PackedDense::new(kernels, dense)?)),
        }
    }
}

impl PackedDense {
    fn new(kernels: &Cpu, dense: &Dense) -> Result<PackedDense, Error> {
        let shape = MatrixShape { outputs: dense.out_features, inputs: dense.in_features };
        let mut weight = kernels.matrix(shape, Purpose::Inference, Role::Head)?;
        kernels.pack_rows(&mut weight, 0, &dense.weight);
        let mut bias = kernels.vector(dense.out_features)?;
        kernels.write_vector(&mut bias, 0, &dense.bias)?;
        let (inputs, outputs) = (dense.in_features, dense.out_features);
        Ok(PackedDense { weight, bias, inputs, outputs, activation: dense.activation })
    }

    /// `[rows, outputs]` from `[rows, inputs]`.
    pub fn forward(&self, kernels: &Cpu, x: &[f32]) -> Result<Vec<f32>, Error> {
        let rows = x.len() / self.inputs;
        let len = rows * self.outputs;
        let mut input = kernels.activations(x.len())?;
        kernels.write_activations(&mut input, x)?;
        let mut linear = kernels.activations(len)?;
        kernels.linear_forward(&mut linear, &input, &self.weight, Some(&self.bias), rows, 0..self.outputs);
        let mut y = vec![0.0; len];
        let activation = match self.activation {
            DenseActivation::Identity | DenseActivation::Sigmoid => None,
            DenseActivation::Tanh => Some(Activation::Tanh),
            DenseActivation::Relu => Some(Activation::Relu),
            DenseActivation::Gelu => Some(Activation::GeluErf),
            DenseActivation::Silu => Some(Activation::Silu),
        };
        match activation {
            None => kernels.read_activations(&mut y, &linear)?,
            Some(activation) => {
                let mut output = kernels.activations(len)?;
                kernels.activation_forward(&mut output, &linear, activation, len);
                kernels.read_activations(&mut y, &output)?;
            }
        }
        if self.activation == DenseActivation::Sigmoid {
            y.iter_mut().for_each(|value| *value = logistic(f64::from(*value)) as f32);
        }
        Ok(y)
    }
}
