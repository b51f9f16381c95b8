//! The buffers of a forward pass: what backward needs, and what inference shares between layers.

use cloze_kernels::{Kernels, Size, Span};

use crate::{Config, Error};

/// What a forward pass keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything that backward needs.
    Everything,
    /// The hidden states; backward runs each layer's forward again from its input.
    HiddenStates,
    /// The last hidden state.
    LastHiddenState,
}

/// The buffers of one encoder layer. `rows` are the rows that somebody reads: all tokens, but in the
/// last layer.
pub struct LayerTape<K: Kernels> {
    /// The layer's input at the read rows, if these are not all: `[rows, hidden]`
    pub input_rows: K::Activations,
    /// `[rows, hidden]`
    pub q: K::Activations,
    /// `[tokens, 2 hidden]`
    pub kv: K::Activations,
    /// `[rows, heads]`
    pub log_sum_exp: K::Vector,
    /// What attention gives, before its output layer: `[rows, hidden]`
    pub context: K::Activations,
    /// What backward needs of attention's LayerNorm; empty, like its rstd, where backward does not follow:
    /// `[rows, hidden]`
    pub attention_normalized: K::Activations,
    /// `[rows]`
    pub attention_rstd: K::Vector,
    /// After attention's LayerNorm: `[rows, hidden]`
    pub attention_output: K::Activations,
    /// Before the activation: `[rows, intermediate]`; empty where backward does not follow. Backward turns
    /// it into what stood after the activation.
    pub intermediate_pre: K::Activations,
    /// Of the output's LayerNorm, likewise: `[rows, hidden]`
    pub output_normalized: K::Activations,
    /// `[rows]`
    pub output_rstd: K::Vector,
}

/// The buffers of embeddings and encoder.
pub struct Tape<K: Kernels> {
    /// What is kept.
    pub keep: Keep,
    /// `[tokens, hidden]`
    pub embedding_normalized: K::Activations,
    /// `[tokens]`
    pub embedding_rstd: K::Vector,
    /// After the LayerNorm, before dropout: `[tokens, hidden]`
    pub embedding_output: K::Activations,
    /// The input of every layer, and the output of the last; or two in turn.
    pub hidden: Vec<K::Activations>,
    /// After the activation of the layer at hand: `[tokens, intermediate]`
    pub intermediate: K::Activations,
    /// One for each layer, or one for all in turn.
    pub layers: Vec<LayerTape<K>>,
}

/// Buffers for the gradients of activations.
pub struct ActivationGradients<K: Kernels> {
    /// Of the hidden state that backward has come to: `[tokens, hidden]`
    pub dhidden: K::Activations,
    /// Of the hidden state before it: `[tokens, hidden]`
    pub dinput: K::Activations,
    /// `[tokens, hidden]`
    pub dattention_output: K::Activations,
    /// `[tokens, hidden]`
    pub dcontext: K::Activations,
    /// `[tokens, hidden]`
    pub dq: K::Activations,
    /// `[tokens, 2 hidden]`
    pub dkv: K::Activations,
    /// `[tokens, intermediate]`
    pub dintermediate: K::Activations,
    /// Of the last layer's input at the read rows: `[rows, hidden]`
    pub dinput_rows: K::Activations,
    /// Of the word embeddings as input table.
    pub table: TableGradient<K>,
}

/// The gradient of the word embeddings as input table, for the tokens that occur in a batch. As decoder of the
/// masked language model they get another one, at another moment; in one buffer the order of the two would
/// depend on the parts of the batch, so this one gathers here and is added once, at the end of the whole batch.
pub struct TableGradient<K: Kernels> {
    /// The tokens of the whole batch, ascending.
    tokens: Vec<u32>,
    /// `[tokens, hidden]`
    rows: K::Activations,
    /// The row of each token of the part at hand.
    places: K::Indices,
}

impl<K: Kernels> TableGradient<K> {
    /// Zeros for the tokens of a whole batch.
    pub fn start(&mut self, kernels: &K, config: &Config, ids: &[u32]) -> Result<(), Error> {
        self.tokens.clear();
        self.tokens.extend_from_slice(ids);
        self.tokens.sort_unstable();
        self.tokens.dedup();
        let len = self.tokens.len() * config.hidden_size;
        grow(kernels, &mut self.rows, len)?;
        kernels.zero_activations(&mut self.rows, len);
        Ok(())
    }

    /// Goes on with the part of the batch that has these ids.
    pub fn enter(&mut self, kernels: &K, ids: &[u32]) -> Result<(), Error> {
        let place = |id| self.tokens.binary_search(id).expect("a part of the batch that was started") as u32;
        let places: Vec<u32> = ids.iter().map(place).collect();
        Ok(kernels.write_indices(&mut self.places, &places)?)
    }

    /// Adds the gradient of the part's embeddings, row by row: `[tokens of the part, hidden]`
    pub(super) fn add(&mut self, kernels: &K, dsum: &K::Activations, size: Size) {
        kernels.scatter_add_rows(&mut self.rows, dsum, &self.places, size);
    }

    /// Adds all that has gathered to the gradient of the matrix.
    pub fn finish(&mut self, kernels: &K, config: &Config, gradients: &mut K::Vector, at: Span) -> Result<(), Error> {
        kernels.write_indices(&mut self.places, &self.tokens)?;
        let size = Size { rows: self.tokens.len(), columns: config.hidden_size };
        kernels.embedding_backward(gradients, at, &self.rows, &self.places, size);
        Ok(())
    }
}

/// Makes sure that a buffer holds at least `len` elements; its contents are lost if it has to grow.
pub fn grow<K: Kernels>(kernels: &K, buffer: &mut K::Activations, len: usize) -> Result<(), Error> {
    if kernels.activations_len(buffer) < len {
        // The old memory goes first, so that both never stand side by side.
        *buffer = kernels.activations(0)?;
        *buffer = kernels.activations(len)?;
    }
    Ok(())
}

/// The same for a vector.
pub fn grow_vector<K: Kernels>(kernels: &K, buffer: &mut K::Vector, len: usize) -> Result<(), Error> {
    if kernels.vector_len(buffer) < len {
        *buffer = kernels.vector(0)?;
        *buffer = kernels.vector(len)?;
    }
    Ok(())
}

impl<K: Kernels> LayerTape<K> {
    fn new(kernels: &K) -> Result<Self, Error> {
        let buffer = || kernels.activations(0);
        Ok(LayerTape {
            input_rows: buffer()?,
            q: buffer()?,
            kv: buffer()?,
            log_sum_exp: kernels.vector(0)?,
            context: buffer()?,
            attention_normalized: buffer()?,
            attention_rstd: kernels.vector(0)?,
            attention_output: buffer()?,
            intermediate_pre: buffer()?,
            output_normalized: buffer()?,
            output_rstd: kernels.vector(0)?,
        })
    }

    /// Room for `tokens` tokens of which `rows` are read (`None`: all).
    pub fn reserve(
        &mut self,
        kernels: &K,
        config: &Config,
        tokens: usize,
        rows: Option<usize>,
        keep: Keep,
    ) -> Result<(), Error> {
        let hidden = config.hidden_size;
        if let Some(rows) = rows {
            grow(kernels, &mut self.input_rows, rows * hidden)?;
        }
        let rows = rows.unwrap_or(tokens);
        grow(kernels, &mut self.q, rows * hidden)?;
        grow(kernels, &mut self.kv, tokens * 2 * hidden)?;
        grow_vector(kernels, &mut self.log_sum_exp, rows * config.num_attention_heads)?;
        grow(kernels, &mut self.context, rows * hidden)?;
        grow(kernels, &mut self.attention_output, rows * hidden)?;
        if keep == Keep::LastHiddenState {
            return Ok(());
        }
        grow(kernels, &mut self.attention_normalized, rows * hidden)?;
        grow_vector(kernels, &mut self.attention_rstd, rows)?;
        grow(kernels, &mut self.intermediate_pre, rows * config.intermediate_size)?;
        grow(kernels, &mut self.output_normalized, rows * hidden)?;
        grow_vector(kernels, &mut self.output_rstd, rows)
    }
}

impl<K: Kernels> Tape<K> {
    /// Empty buffers for a model of `config`.
    pub fn new(kernels: &K, config: &Config, keep: Keep) -> Result<Self, Error> {
        let layers = config.num_hidden_layers;
        let (hidden, tapes) = match keep {
            Keep::Everything => (layers + 1, layers),
            Keep::HiddenStates => (layers + 1, 1),
            Keep::LastHiddenState => (2, 1),
        };
        Ok(Tape {
            keep,
            embedding_normalized: kernels.activations(0)?,
            embedding_rstd: kernels.vector(0)?,
            embedding_output: kernels.activations(0)?,
            intermediate: kernels.activations(0)?,
            hidden: (0..hidden).map(|_| kernels.activations(0)).collect::<Result<_, _>>()?,
            layers: (0..tapes).map(|_| LayerTape::new(kernels)).collect::<Result<_, _>>()?,
        })
    }

    /// The index in `hidden` of the input of layer `layer`; of the last output for the number of layers.
    pub fn hidden_index(&self, layer: usize) -> usize {
        layer % self.hidden.len()
    }

    /// The index in `layers` of layer `layer`.
    pub fn layer_index(&self, layer: usize) -> usize {
        layer % self.layers.len()
    }
}

impl<K: Kernels> ActivationGradients<K> {
    /// Empty buffers.
    pub fn new(kernels: &K) -> Result<Self, Error> {
        let buffer = || kernels.activations(0);
        Ok(ActivationGradients {
            dhidden: buffer()?,
            dinput: buffer()?,
            dattention_output: buffer()?,
            dcontext: buffer()?,
            dq: buffer()?,
            dkv: buffer()?,
            dintermediate: buffer()?,
            dinput_rows: buffer()?,
            table: TableGradient { tokens: Vec::new(), rows: buffer()?, places: kernels.indices() },
        })
    }

    /// Room for `tokens` tokens.
    pub fn reserve(&mut self, kernels: &K, config: &Config, tokens: usize) -> Result<(), Error> {
        let hidden = config.hidden_size;
        for buffer in [
            &mut self.dhidden,
            &mut self.dinput,
            &mut self.dattention_output,
            &mut self.dcontext,
            &mut self.dq,
            &mut self.dinput_rows,
        ] {
            grow(kernels, buffer, tokens * hidden)?;
        }
        grow(kernels, &mut self.dkv, tokens * 2 * hidden)?;
        grow(kernels, &mut self.dintermediate, tokens * config.intermediate_size)?;
        Ok(())
    }
}
