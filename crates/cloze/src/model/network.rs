use cloze_kernels::{Dropout, Kernels, LayerNorm, MatrixShape, Purpose, Role, RowCoordinates, Span};

use crate::params::{self, Declaration, EncoderLayer, Parameter, Parameters};
use crate::{Config, Error};

use super::{PackedBatch, ReadRows};

/// The parameters as a backend computes with them, and their sizes.
pub struct Network<K: Kernels> {
    /// What the network runs on.
    pub kernels: K,
    /// Its sizes.
    pub config: Config,
    /// Its parameters, packed.
    pub parameters: Parameters<K::Matrix, K::Vector>,
}

impl<K: Kernels> Network<K> {
    /// Packs the parameters from an arena.
    pub fn new(
        kernels: K,
        config: &Config,
        declaration: &Declaration,
        weights: &K::Vector,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let parameters = declaration.layout.try_map(
            |at| {
                let mut matrix = kernels.matrix(at.shape, purpose, at.role)?;
                kernels.pack(&mut matrix, weights, at.span);
                Ok::<_, Error>(matrix)
            },
            |&at| {
                let mut vector = kernels.vector(at.len)?;
                kernels.copy_vector(&mut vector, weights, at);
                Ok(vector)
            },
        )?;
        Ok(Network { kernels, config: config.clone(), parameters })
    }

    /// The packed decoder of the masked language model. A network that was opened without it packs it now, from its
    /// word embeddings; of two threads that are the first to ask both may, and one result is kept.
    pub fn decoder(&self) -> Result<&K::Matrix, Error> {
        let decoder = &self.parameters.mlm.as_ref().expect("the network has an MLM head").decoder;
        if let Some(decoder) = decoder.get() {
            return Ok(decoder);
        }
        let shape = MatrixShape { outputs: self.config.vocab_size, inputs: self.config.hidden_size };
        let mut packed = self.kernels.matrix(shape, Purpose::Inference, Role::Head)?;
        let all = Span { start: 0, len: shape.outputs * shape.inputs };
        self.kernels.pack(&mut packed, &self.parameters.embeddings.word, all);
        Ok(decoder.get_or_init(|| packed))
    }

    /// Changes the arena, and the packed parameters with it. `change` is called once for each parameter: with the
    /// arena, the parameter's place in the declaration, the parameter, and the matrix and the first of its rows that it
    /// is packed in, which `change` refreshes; none if it is no part of a matrix.
    pub fn update(
        &mut self,
        declaration: &Declaration,
        weights: &mut K::Vector,
        mut change: impl FnMut(&K, &mut K::Vector, usize, &Parameter, Option<(&mut K::Matrix, usize)>),
    ) {
        let Network { kernels, parameters, .. } = self;
        let mut packed = vec![false; declaration.parameters.len()];
        parameters.zip_mut(
            &declaration.layout,
            |matrix, at| {
                for (index, parameter) in declaration.parameters.iter().enumerate() {
                    if at.span.range().contains(&parameter.span.start) {
                        packed[index] = true;
                        let first = (parameter.span.start - at.span.start) / at.shape.inputs;
                        change(kernels, weights, index, parameter, Some((&mut *matrix, first)));
                    }
                }
            },
            |_, _| {},
        );
        for (index, parameter) in declaration.parameters.iter().enumerate().filter(|(index, _)| !packed[*index]) {
            change(kernels, weights, index, parameter, None);
        }
        parameters.zip_mut(&declaration.layout, |_, _| {}, |vector, &at| kernels.copy_vector(vector, weights, at));
    }

    /// Packs the parameters again, after the arena has changed.
    pub fn refresh(&mut self, declaration: &Declaration, weights: &K::Vector) {
        let Network { kernels, parameters, .. } = self;
        kernels.scope(|| {
            parameters.zip_mut(
                &declaration.layout,
                |matrix, at| kernels.pack(matrix, weights, at.span),
                |vector, &at| kernels.copy_vector(vector, weights, at),
            );
        });
    }
}

/// What dropout draws from in one step of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// The run's seed.
    pub seed: u64,
    /// The optimizer step.
    pub step: u32,
}

/// The places of the network that have dropout; each draws numbers of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Site {
    /// After the embeddings' LayerNorm.
    Embeddings,
    /// On the attention probabilities of a layer.
    AttentionProbabilities(usize),
    /// After the attention output of a layer.
    AttentionOutput(usize),
    /// After the feed-forward output of a layer.
    Output(usize),
    /// On the pooled output before the classifier.
    Classifier,
}

impl Site {
    fn number(self) -> u32 {
        match self {
            Site::Embeddings => 0,
            Site::Classifier => 1,
            Site::AttentionProbabilities(layer) => 2 + 3 * layer as u32,
            Site::AttentionOutput(layer) => 3 + 3 * layer as u32,
            Site::Output(layer) => 4 + 3 * layer as u32,
        }
    }
}

/// The dropout of a site, or `None` where nothing is dropped.
pub(crate) fn dropout<I>(
    draws: Option<Draws>,
    probability: f32,
    site: Site,
    rows: &RowCoordinates<I>,
) -> Option<Dropout<'_, I>> {
    let draws = draws.filter(|_| probability > 0.0)?;
    Some(Dropout { probability, seed: draws.seed, step: draws.step, site: site.number(), rows })
}

/// A LayerNorm as the kernels take it.
pub(crate) fn layer_norm<'a, V>(config: &Config, parameters: &'a params::LayerNorm<V>) -> LayerNorm<'a, V> {
    LayerNorm { gamma: &parameters.weight, beta: &parameters.bias, epsilon: config.layer_norm_eps }
}

/// One layer on one batch: what its forward and backward refer to.
pub(crate) struct LayerCall<'a, K: Kernels> {
    pub network: &'a Network<K>,
    pub index: usize,
    pub batch: &'a PackedBatch<K>,
    /// The rows whose output is read; `None`: all.
    pub read: Option<&'a ReadRows<K>>,
    pub draws: Option<Draws>,
}

impl<K: Kernels> LayerCall<'_, K> {
    pub fn parameters(&self) -> &EncoderLayer<K::Matrix, K::Vector> {
        &self.network.parameters.layers[self.index]
    }

    /// Number of rows that are read.
    pub fn rows(&self) -> usize {
        self.read.map_or(self.batch.tokens, |read| read.count)
    }

    /// First read row of each sequence, then their number.
    pub fn row_starts(&self) -> &K::Indices {
        self.read.map_or(&self.batch.starts, |read| &read.starts)
    }

    /// Where the read rows stand.
    pub fn coordinates(&self) -> &RowCoordinates<K::Indices> {
        self.read.map_or(&self.batch.coordinates, |read| &read.coordinates)
    }

    /// The dropout of a site on the read rows.
    pub fn dropout(&self, probability: f32, site: Site) -> Option<Dropout<'_, K::Indices>> {
        dropout(self.draws, probability, site, self.coordinates())
    }
}
