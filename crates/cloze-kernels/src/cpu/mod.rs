//! f32 on the processor's cores and vector units.
//!
//! An operation lives in a file of its own, forward and backward together, as a free function on slices;
//! here they are only put together. Each divides its own work among the threads of the pool it runs in.

mod activation;
mod attention;
mod ceiling;
mod chunks;
mod disjoint;
mod dropout;
mod gemm;
mod layer_norm;
mod linear;
mod lines;
mod loss;
mod math;
mod matrix;
mod operand;
mod optimizer;
mod panels;
mod pool;
mod residual;
mod row_steps;
mod rows;
mod scratch;
mod shared;
mod simd;
mod tile;

use std::ops::Range;
use std::time::Duration;

use self::lines::{try_reserve, try_zeros};
use self::matrix::Matrix;
pub use self::operand::quantize_rows;
use self::operand::{Arithmetic, Kind, detect_bf16, detect_int8};
use self::optimizer::Arenas;
use self::pool::Pool;
use self::simd::Level;
use crate::{
    Activation, AdamStep, AttentionStarts, Dropout, Error, Heads, Kernels, LayerNorm, MatrixShape, Precision, Purpose,
    Role, Size, Span, Store,
};

/// f32 on several threads, with the best vector instructions that the processor has.
///
/// Results do not depend on the number of threads. They do depend on the instructions: a fused
/// multiply-add rounds once, a multiplication and an addition twice.
#[derive(Debug)]
pub struct Cpu {
    pool: Pool,
    level: Level,
    precision: Precision,
    /// The numbers of the encoder's products.
    encoder: Kind,
    /// The numbers of all other products.
    other: Kind,
}

impl Cpu {
    /// Starts `threads` threads, one or more.
    pub fn new(threads: usize) -> Result<Cpu, Error> {
        Cpu::with_level(threads, Level::detect())
    }

    /// Starts `threads` threads that compute products in `precision`, or in what [`Cpu::substitute`] says
    /// where the processor lacks the instructions.
    pub fn with_precision(threads: usize, precision: Precision) -> Result<Cpu, Error> {
        let mut cpu = Cpu::with_level(threads, Level::detect())?;
        cpu.precision = precision;
        let bf16 = detect_bf16().unwrap_or(Kind::F32);
        (cpu.encoder, cpu.other) = match precision {
            Precision::F32 => (Kind::F32, Kind::F32),
            Precision::Bf16 => (bf16, bf16),
            Precision::Int8 => (detect_int8().unwrap_or(Kind::F32), bf16),
        };
        Ok(cpu)
    }

    /// What is computed instead where the processor lacks the instructions for the precision asked for.
    pub fn substitute(&self) -> Option<&'static str> {
        match (self.precision, self.encoder) {
            (Precision::Bf16, Kind::F32) => {
                Some("this processor has no dot products of bf16 (AVX-512-BF16): computing in f32")
            }
            (Precision::Int8, Kind::F32) => Some(
                "this processor has no dot products of int8 (AVX-512-VNNI): computing in f32 with the rounded weights",
            ),
            _ => None,
        }
    }

    /// Refreshes rows of an int8 matrix, from `first` on, with rows that [`quantize_rows`] made:
    /// `values [scales.len(), inputs]`.
    pub fn pack_quantized_rows(&self, matrix: &mut Matrix, first: usize, values: &[i8], scales: &[f32]) {
        self.scope(|| matrix.pack_quantized(first, values, scales));
    }

    /// Billions of operations a second that all threads together do in registers alone, in the precision of
    /// the encoder's products: the ceiling of any product of matrices. Measured for about `milliseconds`.
    pub fn ceiling_gflops(&self, milliseconds: u64) -> f64 {
        let arithmetic = Arithmetic { level: self.level, kind: self.encoder };
        self.scope(|| ceiling::gflops(arithmetic, Duration::from_millis(milliseconds)))
    }

    /// Like [`Cpu::new`], but with the instructions that every processor of this architecture has, so
    /// that tests reach the code that older machines run.
    pub fn portable(threads: usize) -> Result<Cpu, Error> {
        Cpu::with_level(threads, Level::Portable)
    }

    /// The instructions that the kernels run on. Results have the same bits on the same instructions.
    pub fn instructions(&self) -> &'static str {
        match self.level {
            Level::Portable => "portable",
            Level::Avx2 => "AVX2 and FMA",
            Level::Avx512 => match self.encoder {
                Kind::F32 => "AVX-512",
                Kind::Bf16 => "AVX-512 with BF16",
                Kind::Int8 => "AVX-512 with VNNI",
            },
        }
    }

    /// Of products of activations with each other.
    fn other(&self) -> Arithmetic {
        Arithmetic { level: self.level, kind: self.other }
    }

    fn with_level(threads: usize, level: Level) -> Result<Cpu, Error> {
        if threads == 0 {
            return Err(Error::Threads { threads, reason: "at least one is needed".to_string() });
        }
        let pool = Pool::new(threads).map_err(|error| Error::Threads { threads, reason: error.to_string() })?;
        Ok(Cpu { pool, level, precision: Precision::F32, encoder: Kind::F32, other: Kind::F32 })
    }
}

impl Kernels for Cpu {
    type Real = f32;
    type Activations = Vec<f32>;
    type Vector = Vec<f32>;
    type Matrix = Matrix;
    type Indices = Vec<u32>;

    fn scope<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.scope(work)
    }

    // ---- memory ---------------------------------------------------------------------------------

    fn activations(&self, len: usize) -> Result<Vec<f32>, Error> {
        try_zeros(len)
    }

    fn activations_len(&self, x: &Vec<f32>) -> usize {
        x.len()
    }

    fn vector(&self, len: usize) -> Result<Vec<f32>, Error> {
        try_zeros(len)
    }

    fn vector_len(&self, x: &Vec<f32>) -> usize {
        x.len()
    }

    fn indices(&self) -> Vec<u32> {
        Vec::new()
    }

    fn write_indices(&self, x: &mut Vec<u32>, values: &[u32]) -> Result<(), Error> {
        x.clear();
        try_reserve(x, values.len())?;
        x.extend_from_slice(values);
        Ok(())
    }

    fn read_indices(&self, values: &mut [u32], x: &Vec<u32>) -> Result<(), Error> {
        values.copy_from_slice(&x[..values.len()]);
        Ok(())
    }

    fn write_vector(&self, x: &mut Vec<f32>, start: usize, values: &[f32]) -> Result<(), Error> {
        x[start..start + values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read_vector(&self, values: &mut [f32], x: &Vec<f32>, start: usize) -> Result<(), Error> {
        values.copy_from_slice(&x[start..start + values.len()]);
        Ok(())
    }

    fn write_activations(&self, x: &mut Vec<f32>, values: &[f32]) -> Result<(), Error> {
        x[..values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read_activations(&self, values: &mut [f32], x: &Vec<f32>) -> Result<(), Error> {
        values.copy_from_slice(&x[..values.len()]);
        Ok(())
    }

    fn matrix(&self, shape: MatrixShape, purpose: Purpose, role: Role) -> Result<Matrix, Error> {
        let kind = match role {
            Role::Encoder => self.encoder,
            Role::Head if self.encoder == Kind::Int8 => Kind::F32,
            Role::Head => self.other,
        };
        assert!(purpose == Purpose::Inference || kind != Kind::Int8, "int8 is for inference");
        Matrix::zeros(self.level, kind, shape)
    }

    fn pack_rows(&self, matrix: &mut Matrix, first: usize, rows: &[f32]) {
        self.scope(|| matrix.pack(first, rows));
    }

    fn pack(&self, matrix: &mut Matrix, source: &Vec<f32>, at: Span) {
        self.scope(|| matrix.pack(0, &source[at.range()]));
    }

    fn copy_vector(&self, y: &mut Vec<f32>, x: &Vec<f32>, at: Span) {
        y[..at.len].copy_from_slice(&x[at.range()]);
    }

    fn zero_vector(&self, x: &mut Vec<f32>, at: Span) {
        x[at.range()].fill(0.0);
    }

    fn zero_activations(&self, x: &mut Vec<f32>, len: usize) {
        x[..len].fill(0.0);
    }

    // ---- linear layers --------------------------------------------------------------------------

    fn linear_forward(
        &self,
        y: &mut Vec<f32>,
        x: &Vec<f32>,
        weight: &Matrix,
        bias: Option<&Vec<f32>>,
        rows: usize,
        outputs: Range<usize>,
    ) {
        self.scope(|| linear::forward(self.level, y, x, weight, bias.map(Vec::as_slice), rows, outputs));
    }

    fn linear_forward_parts<const PARTS: usize>(
        &self,
        parts: [(&mut Vec<f32>, Range<usize>); PARTS],
        x: &Vec<f32>,
        weight: &Matrix,
        bias: Option<&Vec<f32>>,
        rows: usize,
    ) {
        let parts = parts.map(|(y, outputs)| (y.as_mut_slice(), outputs));
        self.scope(|| linear::forward_parts(self.level, parts, x, weight, bias.map(Vec::as_slice), rows));
    }

    fn linear_activation_forward(
        &self,
        y: &mut Vec<f32>,
        pre: Option<&mut Vec<f32>>,
        x: &Vec<f32>,
        weight: &Matrix,
        bias: &Vec<f32>,
        activation: Activation,
        rows: usize,
    ) {
        let pre = pre.map(Vec::as_mut_slice);
        self.scope(|| linear::activation_forward(self.level, y, pre, x, weight, bias, activation, rows));
    }

    fn linear_layer_norm(
        &self,
        y: &mut Vec<f32>,
        x: &Vec<f32>,
        (weight, bias): (&Matrix, &Vec<f32>),
        residual: &Vec<f32>,
        norm: LayerNorm<Vec<f32>>,
        rows: usize,
    ) {
        self.scope(|| residual::linear_forward(self.level, y, x, (weight, bias), residual, norm, rows));
    }

    fn feed_forward_layer_norm(
        &self,
        y: &mut Vec<f32>,
        hidden: &mut Vec<f32>,
        x: &Vec<f32>,
        first: (&Matrix, &Vec<f32>),
        second: (&Matrix, &Vec<f32>),
        activation: Activation,
        norm: LayerNorm<Vec<f32>>,
        rows: usize,
    ) {
        let (first, second) = ((first.0, first.1.as_slice()), (second.0, second.1.as_slice()));
        self.scope(|| residual::feed_forward(self.level, y, hidden, x, first, second, activation, norm, rows));
    }

    fn linear_backward_input(
        &self,
        dx: &mut Vec<f32>,
        dy: &Vec<f32>,
        weight: &Matrix,
        store: Store,
        rows: usize,
        outputs: Range<usize>,
    ) {
        self.scope(|| linear::backward_input(self.level, dx, dy, weight, store, rows, outputs));
    }

    fn linear_backward_weight(
        &self,
        gradients: &mut Vec<f32>,
        weight: Span,
        bias: Option<Span>,
        dy: &Vec<f32>,
        x: &Vec<f32>,
        shape: MatrixShape,
        starts: &Vec<u32>,
    ) {
        let arithmetic = self.other();
        self.scope(|| linear::backward_weight(arithmetic, gradients, weight, bias, dy, x, shape, starts));
    }

    fn activation_forward(&self, y: &mut Vec<f32>, x: &Vec<f32>, activation: Activation, len: usize) {
        self.scope(|| activation::forward(self.level, &mut y[..len], &x[..len], activation));
    }

    fn activation_backward(&self, dx: &mut Vec<f32>, pre: &mut Vec<f32>, activation: Activation, len: usize) {
        let short = self.other != Kind::F32;
        self.scope(|| activation::backward(self.level, &mut dx[..len], &mut pre[..len], activation, short));
    }

    // ---- rows -----------------------------------------------------------------------------------

    fn embedding_forward(&self, y: &mut Vec<f32>, tables: &[(&Vec<f32>, &Vec<u32>)], size: Size) {
        self.scope(|| rows::embedding_forward(self.level, y, tables, size));
    }

    fn embedding_backward(&self, gradients: &mut Vec<f32>, table: Span, dy: &Vec<f32>, index: &Vec<u32>, size: Size) {
        self.scope(|| rows::embedding_backward(self.level, gradients, table, dy, index, size));
    }

    fn gather_rows(&self, y: &mut Vec<f32>, x: &Vec<f32>, rows: &Vec<u32>, size: Size) {
        self.scope(|| rows::gather(y, x, rows, size));
    }

    fn scatter_add_rows(&self, dx: &mut Vec<f32>, dy: &Vec<f32>, rows: &Vec<u32>, size: Size) {
        self.scope(|| rows::scatter_add(self.level, dx, dy, rows, size));
    }

    fn dropout(&self, y: &mut Vec<f32>, x: &Vec<f32>, dropout: Dropout<Vec<u32>>, size: Size) {
        self.scope(|| dropout::forward(self.level, y, x, dropout, size));
    }

    // ---- LayerNorm ------------------------------------------------------------------------------

    fn layer_norm_forward(
        &self,
        y: &mut Vec<f32>,
        normalized: &mut Vec<f32>,
        rstd: &mut Vec<f32>,
        residual: Option<&Vec<f32>>,
        dropout: Option<Dropout<Vec<u32>>>,
        gamma: &Vec<f32>,
        beta: &Vec<f32>,
        epsilon: f64,
        size: Size,
    ) {
        let residual = residual.map(Vec::as_slice);
        self.scope(|| {
            layer_norm::forward(self.level, y, normalized, rstd, residual, dropout, gamma, beta, epsilon, size);
        });
    }

    fn layer_norm_backward(
        &self,
        dx: &mut Vec<f32>,
        dresidual: Option<&mut Vec<f32>>,
        gradients: &mut Vec<f32>,
        gamma_at: Span,
        beta_at: Span,
        normalized: &Vec<f32>,
        rstd: &Vec<f32>,
        dropout: Option<Dropout<Vec<u32>>>,
        gamma: &Vec<f32>,
        size: Size,
    ) {
        let dresidual = dresidual.map(Vec::as_mut_slice);
        self.scope(|| {
            layer_norm::backward(
                self.level, dx, dresidual, gradients, gamma_at, beta_at, normalized, rstd, dropout, gamma, size,
            );
        });
    }

    // ---- attention ------------------------------------------------------------------------------

    fn attention_forward(
        &self,
        y: &mut Vec<f32>,
        log_sum_exp: &mut Vec<f32>,
        q: &Vec<f32>,
        kv: &Vec<f32>,
        dropout: Option<Dropout<Vec<u32>>>,
        starts: AttentionStarts<Vec<u32>>,
        heads: Heads,
    ) {
        self.scope(|| attention::forward(self.other(), y, log_sum_exp, q, kv, dropout, starts, heads));
    }

    fn attention_backward(
        &self,
        dq: &mut Vec<f32>,
        dkv: &mut Vec<f32>,
        dy: &Vec<f32>,
        y: &Vec<f32>,
        q: &Vec<f32>,
        kv: &Vec<f32>,
        log_sum_exp: &Vec<f32>,
        dropout: Option<Dropout<Vec<u32>>>,
        starts: AttentionStarts<Vec<u32>>,
        heads: Heads,
    ) {
        self.scope(|| attention::backward(self.other(), dq, dkv, dy, y, q, kv, log_sum_exp, dropout, starts, heads));
    }

    fn attention_probabilities(
        &self,
        probabilities: &mut Vec<f32>,
        q: &Vec<f32>,
        kv: &Vec<f32>,
        log_sum_exp: &Vec<f32>,
        starts: AttentionStarts<Vec<u32>>,
        heads: Heads,
    ) {
        self.scope(|| attention::probabilities(self.other(), probabilities, q, kv, log_sum_exp, starts, heads));
    }

    // ---- losses ---------------------------------------------------------------------------------

    fn cross_entropy_forward(
        &self,
        losses: &mut Vec<f32>,
        log_sum_exp: &mut Vec<f32>,
        predictions: &mut Vec<u32>,
        logits: &Vec<f32>,
        labels: &Vec<u32>,
        size: Size,
    ) {
        self.scope(|| loss::cross_entropy_forward(self.level, losses, log_sum_exp, predictions, logits, labels, size));
    }

    fn cross_entropy_backward(
        &self,
        dlogits: &mut Vec<f32>,
        log_sum_exp: &Vec<f32>,
        labels: &Vec<u32>,
        scale: f64,
        size: Size,
    ) {
        self.scope(|| loss::cross_entropy_backward(self.level, dlogits, log_sum_exp, labels, scale, size));
    }

    // ---- optimizer ------------------------------------------------------------------------------

    fn sum_of_squares(&self, x: &Vec<f32>, at: Span) -> Result<f64, Error> {
        Ok(self.scope(|| optimizer::sum_of_squares(self.level, &x[at.range()])))
    }

    fn adam_step(
        &self,
        weights: &mut Vec<f32>,
        first_moments: &mut Vec<f32>,
        second_moments: &mut Vec<f32>,
        gradients: &Vec<f32>,
        at: Span,
        step: AdamStep,
        packed: Option<(&mut Matrix, usize)>,
    ) {
        let arenas = Arenas {
            weights: &mut weights[at.range()],
            first_moments: &mut first_moments[at.range()],
            second_moments: &mut second_moments[at.range()],
            gradients: &gradients[at.range()],
        };
        self.scope(|| optimizer::adam_step(self.level, arenas, step, packed));
    }

    fn adam_moments(
        &self,
        first_moments: &mut Vec<f32>,
        second_moments: &mut Vec<f32>,
        weights: &Vec<f32>,
        gradients: &Vec<f32>,
        at: Span,
        step: AdamStep,
    ) -> Result<f64, Error> {
        let moments = [&mut first_moments[at.range()], &mut second_moments[at.range()]];
        let (weights, gradients) = (&weights[at.range()], &gradients[at.range()]);
        Ok(self.scope(|| optimizer::adam_moments(self.level, moments, weights, gradients, step)))
    }
}
