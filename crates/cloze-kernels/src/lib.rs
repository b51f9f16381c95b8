//! The arithmetic that BERT is made of, behind one trait.
//!
//! [`Kernels`] is the seam to the hardware: a list of some thirty operations on flat buffers, each
//! with its formula, its shapes, what it overwrites, what it adds to, and the order in which its
//! sums run. The operations know nothing of BERT. Two implementations stand behind it:
//!
//! - [`Reference`]: plain loops in f64, never optimised. It is the definition, and the oracle of
//!   every test.
//! - [`Cpu`]: f32, multi-threaded, vectorised.
//!
//! # Shapes
//!
//! All buffers are row-major and flat; a shape such as `[rows, columns]` in this documentation says
//! how a call reads the front of a buffer. A buffer may be longer than a call needs, never shorter
//! (that is a programmer's error, and panics). Batches are packed: the rows of all sequences follow
//! each other without padding, and `starts [sequences + 1]` holds the first row of each sequence,
//! then the number of rows.
//!
//! # The same bits
//!
//! On one implementation and one instruction set a result depends on the arguments alone, never on
//! the number of threads. In particular:
//!
//! - A row of an output depends on its own row of the input and on the parameters, not on the number
//!   of rows or on its place among them: products walk the inner dimension in order, in one chain of
//!   multiply-adds for each element, whatever the shape.
//! - A sum over rows (the gradient of a weight, a bias, a table) is one chain in the order of the
//!   rows which starts from the stored value. Products of short numbers take several rows at a step:
//!   neighbours in one sequence, counted from its first row. Adding the gradients of two parts of a
//!   batch, each of whole sequences, one call after the other, therefore gives the bits of one call
//!   with the whole batch. Threads split columns, never rows.

#![warn(missing_docs)]

mod cpu;
mod error;
pub mod philox;
mod reference;

use std::ops::Range;

pub use cpu::{Cpu, quantize_rows};
pub use error::Error;
pub use reference::Reference;

/// A floating-point number that parameters, gradients and moments are kept in: f32, or f64 in
/// [`Reference`].
pub trait Real: Copy + Send + Sync + PartialEq + std::fmt::Debug + 'static {
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// The same value in f64, exactly.
    fn to_f64(self) -> f64;
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// A stretch of a vector: `vector[start .. start + len]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first element.
    pub start: usize,
    /// The number of elements.
    pub len: usize,
}

impl Span {
    /// The indices that the span covers.
    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }

    /// The stretch of `len` elements that begins `offset` elements into this one.
    pub fn part(self, offset: usize, len: usize) -> Span {
        assert!(offset + len <= self.len, "part {offset}+{len} of a span of {}", self.len);
        Span { start: self.start + offset, len }
    }
}

/// The shape of the weight of a linear layer, stored as in checkpoints: `[outputs, inputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixShape {
    /// Rows of the stored weight; columns of the layer's output.
    pub outputs: usize,
    /// Columns of the stored weight; columns of the layer's input.
    pub inputs: usize,
}

/// The shape of a buffer of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns of each row.
    pub columns: usize,
}

/// The parameters of a LayerNorm.
#[derive(Debug)]
pub struct LayerNorm<'a, V> {
    /// What normalized rows are multiplied by: `[columns]`
    pub gamma: &'a V,
    /// What is added then: `[columns]`
    pub beta: &'a V,
    /// What is added to the variance.
    pub epsilon: f64,
}

impl<V> Clone for LayerNorm<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for LayerNorm<'_, V> {}

/// What a packed matrix will be used for; training needs it in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Only [`Kernels::linear_forward`].
    Inference,
    /// Also [`Kernels::linear_backward_input`].
    Training,
}

/// What a matrix belongs to. An implementation that computes with short numbers may keep more digits
/// where they cost little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The layers that all tokens go through, where the time is spent.
    Encoder,
    /// What follows them for few rows.
    Head,
}

/// The numbers that products of matrices are computed with. Sums, and everything else, are f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    F32,
    /// Operands of 16 bits, eight of them for the mantissa.
    Bf16,
    /// Operands of 8 bits, weights scaled by output, activations by row. For inference only.
    Int8,
}

/// Whether a product replaces what its output holds or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The chain of multiply-adds starts from zero.
    Overwrite,
    /// The chain of multiply-adds starts from the stored value.
    Add,
}

/// A function applied to each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x) = x/2 · (1 + erf(x/√2))`.
    GeluErf,
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
    GeluTanh,
    /// `x · σ(1.702 x)`, where `σ(x) = 1 / (1 + exp(−x))`.
    QuickGelu,
    /// `x · σ(x)`.
    Silu,
    /// `max(x, 0)`, NaN staying NaN; its derivative at 0 is 0.
    Relu,
    /// `tanh(x)`.
    Tanh,
}

/// Where each row of a buffer stands: its sequence in the whole batch (not only in the micro-batch)
/// and its position in that sequence, each `[rows]`. Random draws depend on these, not on where the
/// row lies in memory.
#[derive(Clone, Debug, Default)]
pub struct RowCoordinates<I> {
    /// Index of the row's sequence in the whole batch.
    pub sequences: I,
    /// Position of the row in its sequence; below 65,536.
    pub positions: I,
}

/// Which numbers dropout draws. Nothing is stored: backward draws the same numbers again.
///
/// Element `(row, column)` is dropped if the 32-bit number drawn for it (see
/// [`philox::dropout_counter`]) is below `probability · 2³²`; what stays is multiplied by
/// `1 / (1 − probability)`.
#[derive(Debug)]
pub struct Dropout<'a, I> {
    /// Share of the elements that are dropped, in `[0, 1)`.
    pub probability: f32,
    /// The run's seed.
    pub seed: u64,
    /// The optimizer step.
    pub step: u32,
    /// The place in the network, below 65,536.
    pub site: u32,
    /// Where the rows stand.
    pub rows: &'a RowCoordinates<I>,
}

impl<I> Clone for Dropout<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Dropout<'_, I> {}

/// The heads of an attention; a row has `count · size` columns, head after head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// Columns of one head.
    pub size: usize,
}

impl Heads {
    /// Columns of all heads.
    pub fn columns(self) -> usize {
        self.count * self.size
    }
}

/// The sequences of a packed batch, as attention sees them: queries and keys are counted separately,
/// because a caller may want only some query rows of each sequence.
#[derive(Debug)]
pub struct AttentionStarts<'a, I> {
    /// First query row of each sequence, then the number of query rows: exactly `sequences + 1` integers.
    pub queries: &'a I,
    /// First key row of each sequence, then the number of key rows: exactly `sequences + 1` integers.
    pub keys: &'a I,
}

impl<I> Clone for AttentionStarts<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for AttentionStarts<'_, I> {}

/// The numbers of one step of Adam with decoupled weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay; times the learning rate.
    pub weight_decay: f64,
    /// Every gradient is multiplied by this first (clipping).
    pub gradient_scale: f64,
    /// `1 − beta1^t`, or 1 without bias correction.
    pub bias_correction1: f64,
    /// `1 − beta2^t`, or 1 without bias correction.
    pub bias_correction2: f64,
}

/// The operations, and the buffers they work on.
///
/// Arguments come in one order: outputs, inputs, parameters, sizes. Unless it says "adds", an
/// operation overwrites its outputs. Allocations and copies can fail and return a [`Result`];
/// launches cannot: wrong sizes are a programmer's error and panic.
pub trait Kernels: Send + Sync + Sized {
    /// The number type of parameters and statistics.
    type Real: Real;
    /// A buffer of activations, in the precision of this implementation.
    type Activations: Send + Sync;
    /// A buffer of [`Kernels::Real`]: an arena, a bias, a table, a statistic for each row.
    type Vector: Send + Sync;
    /// The weight of a linear layer, laid out as this implementation likes it.
    type Matrix: Send + Sync;
    /// A buffer of unsigned 32-bit integers: ids, labels, rows, starts.
    type Indices: Send + Sync;

    /// Runs `work` where launches are cheapest (inside the thread pool, on a CPU). Every launch also
    /// works outside of it.
    fn scope<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R;

    // ---- memory ---------------------------------------------------------------------------------

    /// A new buffer of `len` zeros.
    fn activations(&self, len: usize) -> Result<Self::Activations, Error>;
    /// Elements of a buffer.
    fn activations_len(&self, x: &Self::Activations) -> usize;
    /// A new vector of `len` zeros.
    fn vector(&self, len: usize) -> Result<Self::Vector, Error>;
    /// Elements of a vector.
    fn vector_len(&self, x: &Self::Vector) -> usize;
    /// A new, empty buffer of integers.
    fn indices(&self) -> Self::Indices;
    /// Makes `x` hold exactly `values`; reuses its memory where it suffices.
    fn write_indices(&self, x: &mut Self::Indices, values: &[u32]) -> Result<(), Error>;
    /// Copies the first `values.len()` integers out.
    fn read_indices(&self, values: &mut [u32], x: &Self::Indices) -> Result<(), Error>;
    /// Copies `values` to `x[start ..]`.
    fn write_vector(&self, x: &mut Self::Vector, start: usize, values: &[Self::Real]) -> Result<(), Error>;
    /// Copies `x[start .. start + values.len()]` out.
    fn read_vector(&self, values: &mut [Self::Real], x: &Self::Vector, start: usize) -> Result<(), Error>;
    /// Copies `values` to the front of `x`, rounded to its precision.
    fn write_activations(&self, x: &mut Self::Activations, values: &[Self::Real]) -> Result<(), Error>;
    /// Copies the first `values.len()` elements out.
    fn read_activations(&self, values: &mut [Self::Real], x: &Self::Activations) -> Result<(), Error>;
    /// A new matrix of zeros.
    fn matrix(&self, shape: MatrixShape, purpose: Purpose, role: Role) -> Result<Self::Matrix, Error>;

    /// Refreshes rows of a matrix, from `first` on: `rows [any number, inputs]`, as stored in checkpoints.
    fn pack_rows(&self, matrix: &mut Self::Matrix, first: usize, rows: &[Self::Real]);
    /// Refreshes a matrix from `source[at]`, `[outputs, inputs]` row-major.
    fn pack(&self, matrix: &mut Self::Matrix, source: &Self::Vector, at: Span);
    /// `y[0 .. at.len] = x[at]`.
    fn copy_vector(&self, y: &mut Self::Vector, x: &Self::Vector, at: Span);
    /// Sets `x[at]` to zero.
    fn zero_vector(&self, x: &mut Self::Vector, at: Span);
    /// Sets the first `len` elements to zero.
    fn zero_activations(&self, x: &mut Self::Activations, len: usize);

    // ---- linear layers --------------------------------------------------------------------------

    /// `y[r, o] = bias[o] + Σ_i x[r, i] · weight[o, i]` for the outputs `o` in `outputs` only:
    /// x `[rows, inputs]`, y `[rows, outputs.len()]`. The chain starts from the bias (or 0) and walks
    /// `i` in order. `bias` is indexed like the weight: `[matrix outputs]`.
    fn linear_forward(
        &self,
        y: &mut Self::Activations,
        x: &Self::Activations,
        weight: &Self::Matrix,
        bias: Option<&Self::Vector>,
        rows: usize,
        outputs: Range<usize>,
    );

    /// [`Kernels::linear_forward`] for several ranges of outputs, each to a buffer of its own.
    fn linear_forward_parts<const PARTS: usize>(
        &self,
        parts: [(&mut Self::Activations, Range<usize>); PARTS],
        x: &Self::Activations,
        weight: &Self::Matrix,
        bias: Option<&Self::Vector>,
        rows: usize,
    );

    /// `pre = linear_forward(x)`, `y = activation(pre)`, both `[rows, outputs]`, for all outputs. With
    /// no place for `pre` it is not kept.
    #[allow(clippy::too_many_arguments)]
    fn linear_activation_forward(
        &self,
        y: &mut Self::Activations,
        pre: Option<&mut Self::Activations>,
        x: &Self::Activations,
        weight: &Self::Matrix,
        bias: &Self::Vector,
        activation: Activation,
        rows: usize,
    );

    /// `y = LayerNorm(residual + linear_forward(x))`, for inference: x `[rows, inputs]`, y and residual
    /// `[rows, outputs]`. The bits are those of [`Kernels::linear_forward`] and then
    /// [`Kernels::layer_norm_forward`].
    fn linear_layer_norm(
        &self,
        y: &mut Self::Activations,
        x: &Self::Activations,
        layer: (&Self::Matrix, &Self::Vector),
        residual: &Self::Activations,
        norm: LayerNorm<Self::Vector>,
        rows: usize,
    );

    /// `y = LayerNorm(x + second(activation(first(x))))`, for inference: x and y `[rows, columns]`. The bits are
    /// those of [`Kernels::linear_activation_forward`], then [`Kernels::linear_forward`], then
    /// [`Kernels::layer_norm_forward`]; what lies between the layers may be in `hidden`,
    /// `[rows, first outputs]`, or nowhere.
    #[allow(clippy::too_many_arguments)]
    fn feed_forward_layer_norm(
        &self,
        y: &mut Self::Activations,
        hidden: &mut Self::Activations,
        x: &Self::Activations,
        first: (&Self::Matrix, &Self::Vector),
        second: (&Self::Matrix, &Self::Vector),
        activation: Activation,
        norm: LayerNorm<Self::Vector>,
        rows: usize,
    );

    /// `dx[r, i] (+)= Σ_o dy[r, o] · weight[o, i]` over the outputs `o` in `outputs` only, in order:
    /// dy `[rows, outputs.len()]`, dx `[rows, inputs]`.
    fn linear_backward_input(
        &self,
        dx: &mut Self::Activations,
        dy: &Self::Activations,
        weight: &Self::Matrix,
        store: Store,
        rows: usize,
        outputs: Range<usize>,
    );

    /// Adds the gradients of a linear layer of shape `shape` to `gradients`: at `weight`
    /// `[outputs, inputs]` `+= Σ_r dy[r, o] · x[r, i]`, at `bias` `[outputs]` `+= Σ_r dy[r, o]`; each
    /// element is one chain over the rows in order, starting from the stored value. `starts` holds the
    /// first row of each sequence, then the number of rows: exactly `sequences + 1` integers. A step of
    /// the chain may take two rows of one sequence, the first with an even number in it, but never rows
    /// of two sequences.
    #[allow(clippy::too_many_arguments)]
    fn linear_backward_weight(
        &self,
        gradients: &mut Self::Vector,
        weight: Span,
        bias: Option<Span>,
        dy: &Self::Activations,
        x: &Self::Activations,
        shape: MatrixShape,
        starts: &Self::Indices,
    );

    /// `y = activation(x)`, the first `len` elements.
    fn activation_forward(&self, y: &mut Self::Activations, x: &Self::Activations, activation: Activation, len: usize);

    /// `dx *= activation'(pre)`, then `pre = activation(pre)`, the first `len` elements. `dx` holds the
    /// gradient of the activation's output before, of its input after. What forward gave is made again,
    /// with the same bits, because two buffers of it would be the largest that training keeps.
    fn activation_backward(
        &self,
        dx: &mut Self::Activations,
        pre: &mut Self::Activations,
        activation: Activation,
        len: usize,
    );

    // ---- rows -----------------------------------------------------------------------------------

    /// `y[r] = Σ_t table_t[index_t[r]]`, the tables `[entries, columns]` summed in the given order:
    /// y `[rows, columns]`.
    fn embedding_forward(&self, y: &mut Self::Activations, tables: &[(&Self::Vector, &Self::Indices)], size: Size);

    /// Adds the gradient of one table to `gradients[table]`: `table[index[r]] += dy[r]`, rows in order.
    fn embedding_backward(
        &self,
        gradients: &mut Self::Vector,
        table: Span,
        dy: &Self::Activations,
        index: &Self::Indices,
        size: Size,
    );

    /// `y[r] = x[rows[r]]`; `size` is that of y.
    fn gather_rows(&self, y: &mut Self::Activations, x: &Self::Activations, rows: &Self::Indices, size: Size);

    /// `dx[rows[r]] += dy[r]`, rows in order; `size` is that of dy.
    fn scatter_add_rows(&self, dx: &mut Self::Activations, dy: &Self::Activations, rows: &Self::Indices, size: Size);

    /// `y = dropout(x)`, also the backward of itself: `dx = dropout(dy)`.
    fn dropout(&self, y: &mut Self::Activations, x: &Self::Activations, dropout: Dropout<Self::Indices>, size: Size);

    // ---- LayerNorm ------------------------------------------------------------------------------

    /// `s = residual + dropout(x)`; `normalized = (s − mean(s)) · rstd`, `rstd = 1/√(var(s) + epsilon)`
    /// with the biased variance; `y = normalized · gamma + beta`. x comes in `normalized`, which is
    /// overwritten; rstd is `[rows]`, the rest `[rows, columns]`.
    #[allow(clippy::too_many_arguments)]
    fn layer_norm_forward(
        &self,
        y: &mut Self::Activations,
        normalized: &mut Self::Activations,
        rstd: &mut Self::Vector,
        residual: Option<&Self::Activations>,
        dropout: Option<Dropout<Self::Indices>>,
        gamma: &Self::Vector,
        beta: &Self::Vector,
        epsilon: f64,
        size: Size,
    );

    /// The backward of [`Kernels::layer_norm_forward`]. With `g = dy · gamma`:
    /// `ds = rstd · (g − mean(g) − normalized · mean(g · normalized))`, means over the columns;
    /// `dresidual = ds`, `dx = dropout(ds)`. dy comes in `dx`, which is overwritten. Adds
    /// `Σ_r dy · normalized` to `gradients[gamma_at]` and `Σ_r dy` to `gradients[beta_at]`, rows in order.
    #[allow(clippy::too_many_arguments)]
    fn layer_norm_backward(
        &self,
        dx: &mut Self::Activations,
        dresidual: Option<&mut Self::Activations>,
        gradients: &mut Self::Vector,
        gamma_at: Span,
        beta_at: Span,
        normalized: &Self::Activations,
        rstd: &Self::Vector,
        dropout: Option<Dropout<Self::Indices>>,
        gamma: &Self::Vector,
        size: Size,
    );

    // ---- attention ------------------------------------------------------------------------------

    /// For each sequence and head, with `Q` its query rows of `q`, `K` and `V` its key rows of `kv`:
    /// `S = Q Kᵀ / √size`, `P = softmax(S)` over the keys, `y = dropout(P) · V`.
    /// q, y `[query rows, heads]`; kv `[key rows, 2 · heads]`, the keys' columns then the values';
    /// log_sum_exp `[query rows, head count]` keeps `ln Σ exp S` of each row for backward. The sums
    /// over keys run in an order that depends on the number of keys alone. In dropout the row's
    /// position is that of the query, the column is the index of the key in its sequence, and the head
    /// is drawn for separately; `rows` are the query rows.
    #[allow(clippy::too_many_arguments)]
    fn attention_forward(
        &self,
        y: &mut Self::Activations,
        log_sum_exp: &mut Self::Vector,
        q: &Self::Activations,
        kv: &Self::Activations,
        dropout: Option<Dropout<Self::Indices>>,
        starts: AttentionStarts<Self::Indices>,
        heads: Heads,
    );

    /// The backward of [`Kernels::attention_forward`]: overwrites dq (shape of q) and dkv (shape of kv).
    /// `P` is made again from `log_sum_exp`; with `dP = dropout(dy Vᵀ)`:
    /// `dV = dropout(P)ᵀ dy`, `dS = P ∘ (dP − rowsum(dy ∘ y))`, `dQ = dS K / √size`, `dK = dSᵀ Q / √size`.
    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        dq: &mut Self::Activations,
        dkv: &mut Self::Activations,
        dy: &Self::Activations,
        y: &Self::Activations,
        q: &Self::Activations,
        kv: &Self::Activations,
        log_sum_exp: &Self::Vector,
        dropout: Option<Dropout<Self::Indices>>,
        starts: AttentionStarts<Self::Indices>,
        heads: Heads,
    );

    /// The probabilities `P` themselves, sequence after sequence, each `[head count, queries, keys]`.
    fn attention_probabilities(
        &self,
        probabilities: &mut Self::Vector,
        q: &Self::Activations,
        kv: &Self::Activations,
        log_sum_exp: &Self::Vector,
        starts: AttentionStarts<Self::Indices>,
        heads: Heads,
    );

    // ---- losses ---------------------------------------------------------------------------------

    /// `losses[r] = log_sum_exp[r] − logits[r, labels[r]]`, `log_sum_exp[r] = ln Σ_c exp logits[r, c]`,
    /// `predictions[r]` = the first column with the largest logit. `predictions` is made to hold
    /// exactly `rows` integers; logits `[rows, columns]`.
    fn cross_entropy_forward(
        &self,
        losses: &mut Self::Vector,
        log_sum_exp: &mut Self::Vector,
        predictions: &mut Self::Indices,
        logits: &Self::Activations,
        labels: &Self::Indices,
        size: Size,
    );

    /// `dlogits[r, c] = scale · (exp(logits[r, c] − log_sum_exp[r]) − [c = labels[r]])`. The logits come
    /// in `dlogits`, which is overwritten.
    fn cross_entropy_backward(
        &self,
        dlogits: &mut Self::Activations,
        log_sum_exp: &Self::Vector,
        labels: &Self::Indices,
        scale: f64,
        size: Size,
    );

    // ---- optimizer ------------------------------------------------------------------------------

    /// `Σ x[at]²` in f64, in an order that does not depend on threads.
    fn sum_of_squares(&self, x: &Self::Vector, at: Span) -> Result<f64, Error>;

    /// One step of Adam on `[at]` of the four arenas, element by element. With
    /// `g = gradient · gradient_scale`:
    /// `m = beta1 m + (1 − beta1) g`, `v = beta2 v + (1 − beta2) g²`,
    /// `w −= learning_rate · (m / bias_correction1 / (√(v / bias_correction2) + epsilon) + weight_decay · w)`.
    ///
    /// With a matrix, its rows from the given one on are refreshed with the new weights, as by
    /// [`Kernels::pack_rows`].
    #[allow(clippy::too_many_arguments)]
    fn adam_step(
        &self,
        weights: &mut Self::Vector,
        first_moments: &mut Self::Vector,
        second_moments: &mut Self::Vector,
        gradients: &Self::Vector,
        at: Span,
        step: AdamStep,
        packed: Option<(&mut Self::Matrix, usize)>,
    );

    /// The first half of a step: changes the moments as [`Kernels::adam_step`] does, and gives `Σ u²` in f64, in an
    /// order that does not depend on threads, of
    /// `u = m / bias_correction1 / (√(v / bias_correction2) + epsilon) + weight_decay · w`.
    ///
    /// A step with `beta1` and `beta2` 1 then takes the second half: it finds the moments as they are to be.
    fn adam_moments(
        &self,
        first_moments: &mut Self::Vector,
        second_moments: &mut Self::Vector,
        weights: &Self::Vector,
        gradients: &Self::Vector,
        at: Span,
        step: AdamStep,
    ) -> Result<f64, Error>;
}
