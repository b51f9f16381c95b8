use cloze_kernels::{Cpu, Kernels};
use cloze_tokenizer::Encoding;

use crate::heads::{LinearTape, MlmTape, first_rows, linear_logits};
use crate::model::{Batch, Keep, Network, PackedBatch, PoolerTape, ReadRows, Tape, encoder_forward, pooler_forward};
use crate::params::Linear;
use crate::{Config, Error};

use super::finite::all_finite;

/// The buffers of one call.
pub(crate) struct InferenceWorkspace<K: Kernels = Cpu> {
    pub packed: PackedBatch<K>,
    pub read: ReadRows<K>,
    pub first: K::Indices,
    pub tape: Tape<K>,
    pub pooler: PoolerTape<K>,
    pub head: LinearTape<K>,
    pub mlm: MlmTape<K>,
}

impl<K: Kernels> InferenceWorkspace<K> {
    pub fn new(kernels: &K, config: &Config) -> Result<Self, Error> {
        Ok(InferenceWorkspace {
            packed: PackedBatch::new(kernels),
            read: ReadRows::new(kernels),
            first: kernels.indices(),
            tape: Tape::new(kernels, config, Keep::LastHiddenState)?,
            pooler: PoolerTape::new(kernels)?,
            head: LinearTape::new(kernels)?,
            mlm: MlmTape::new(kernels)?,
        })
    }

    /// The last hidden state of `rows` of the batch is then at `self.hidden()`.
    pub fn encode(&mut self, network: &Network<K>, batch: &Batch, rows: &[u32]) -> Result<(), Error> {
        batch.check(&network.config)?;
        self.packed.write(&network.kernels, batch, 0)?;
        self.read.write(&network.kernels, batch, rows, 0)?;
        let InferenceWorkspace { packed, read, tape, .. } = self;
        network.kernels.scope(|| encoder_forward(network, tape, packed, Some(read), None))
    }

    /// The last hidden state of all tokens is then at `self.hidden()`.
    pub fn encode_all(&mut self, network: &Network<K>, batch: &Batch) -> Result<(), Error> {
        batch.check(&network.config)?;
        self.packed.write(&network.kernels, batch, 0)?;
        let InferenceWorkspace { packed, tape, .. } = self;
        network.kernels.scope(|| encoder_forward(network, tape, packed, None, None))
    }

    /// The last hidden state of all tokens is then at `self.hidden()`, the pooled output of each sequence at
    /// `self.pooler.pooled`, if the network has a pooler.
    pub fn encode_and_pool_all(&mut self, network: &Network<K>, batch: &Batch) -> Result<(), Error> {
        self.encode_all(network, batch)?;
        match network.parameters.pooler {
            Some(_) => self.pool_rows(network, first_rows(batch)),
            None => Ok(()),
        }
    }

    pub fn hidden(&self, config: &Config) -> &K::Activations {
        &self.tape.hidden[self.tape.hidden_index(config.num_hidden_layers)]
    }

    /// The pooled output of each sequence is then at `self.pooler.pooled`.
    pub fn pool(&mut self, network: &Network<K>, batch: &Batch) -> Result<(), Error> {
        self.encode(network, batch, first_rows(batch))?;
        let first: Vec<u32> = (0..batch.sequences() as u32).collect();
        self.pool_rows(network, &first)
    }

    /// The pooled output of these rows of `self.hidden()`.
    fn pool_rows(&mut self, network: &Network<K>, rows: &[u32]) -> Result<(), Error> {
        network.kernels.write_indices(&mut self.first, rows)?;
        let InferenceWorkspace { tape, pooler, first, .. } = self;
        let hidden = &tape.hidden[tape.hidden_index(network.config.num_hidden_layers)];
        pooler_forward(network, pooler, hidden, first, rows.len())
    }
}

/// The encodings as one packed batch.
pub(crate) fn pack(encodings: &[Encoding]) -> Batch {
    let mut batch = Batch::default();
    for encoding in encodings {
        batch.push(&encoding.ids, &encoding.token_type_ids);
    }
    batch
}

/// The logits of a head on the pooled output, one row of `labels` an encoding.
pub(crate) fn pooled_rows<K: Kernels<Real = f32>>(
    network: &Network<K>,
    workspace: &mut InferenceWorkspace<K>,
    head: &Linear<K::Matrix, K::Vector>,
    labels: usize,
    encodings: &[Encoding],
) -> Result<Vec<Vec<f64>>, Error> {
    let mut rows = Vec::with_capacity(encodings.len());
    for encodings in super::batches(encodings) {
        let batch = pack(encodings);
        workspace.pool(network, &batch)?;
        let InferenceWorkspace { pooler, head: tape, .. } = &mut *workspace;
        linear_logits(network, tape, &pooler.pooled, head, labels, None, batch.sequences())?;
        let mut logits = vec![0.0; batch.sequences() * labels];
        network.kernels.read_activations(&mut logits, tape.logits())?;
        all_finite(network, &batch, "the pooler or the head", &logits)?;
        rows.extend(logits.chunks(labels).map(in_f64));
    }
    Ok(rows)
}

/// The logits of a head on the tokens `rows` of a batch, ascending: `[rows, outputs]`.
pub(crate) fn token_rows<K: Kernels<Real = f32>>(
    network: &Network<K>,
    workspace: &mut InferenceWorkspace<K>,
    head: &Linear<K::Matrix, K::Vector>,
    outputs: usize,
    batch: &Batch,
    rows: &[u32],
) -> Result<Vec<f64>, Error> {
    workspace.encode(network, batch, rows)?;
    let InferenceWorkspace { tape, head: logits_tape, .. } = workspace;
    let hidden = &tape.hidden[tape.hidden_index(network.config.num_hidden_layers)];
    linear_logits(network, logits_tape, hidden, head, outputs, None, rows.len())?;
    let mut logits = vec![0.0; rows.len() * outputs];
    network.kernels.read_activations(&mut logits, logits_tape.logits())?;
    all_finite(network, batch, "the head", &logits)?;
    Ok(in_f64(&logits))
}

fn in_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
