use cloze_kernels::Kernels;

use crate::Error;
use crate::heads::{LinearTape, first_rows, linear_logits};
use crate::model::{Batch, Keep, PackedBatch, PoolerTape, Tape, encoder_forward, pooler_forward};
use crate::params::TaskHead;

use super::Model;
use super::finite::name;

/// Everything that a model computes on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// The embeddings' output, then each layer's: `[tokens, hidden]` each.
    pub hidden_states: Vec<Vec<f32>>,
    /// `[sequences, hidden]`, if the model has a pooler.
    pub pooled: Option<Vec<f32>>,
    /// What the head of the model's task says, if it has one: `[sequences, labels]`, or for words and answers
    /// `[tokens, labels]`, where an answer's labels are start and end.
    pub logits: Option<Vec<f32>>,
    /// If asked for, of each layer, sequence after sequence: `[heads, tokens, tokens]`.
    pub attention_probabilities: Option<Vec<Vec<f32>>>,
}

impl Model {
    /// All hidden states of a packed batch, the pooled output, the logits of the task and, `with_attention`, the attention
    /// probabilities.
    ///
    /// # Errors
    /// If an output is not finite; the error names the layer.
    pub fn forward(&self, batch: &Batch, with_attention: bool) -> Result<Outputs, Error> {
        batch.check(&self.config)?;
        let network = &self.network;
        let (kernels, config) = (&network.kernels, &network.config);
        let keep = if with_attention { Keep::Everything } else { Keep::HiddenStates };
        let mut tape = Tape::new(kernels, config, keep)?;
        let mut packed = PackedBatch::new(kernels);
        packed.write(kernels, batch, 0)?;
        kernels.scope(|| encoder_forward(network, &mut tape, &packed, None, None))?;

        let read = |buffer, len, place: &str| -> Result<Vec<f32>, Error> {
            let mut values = vec![0.0; len];
            kernels.read_activations(&mut values, buffer)?;
            match values.iter().all(|value: &f32| value.is_finite()) {
                true => Ok(values),
                false => Err(Error::Overflow { place: place.to_string() }),
            }
        };
        let mut hidden_states = Vec::with_capacity(tape.hidden.len());
        for (layer, hidden) in tape.hidden.iter().enumerate() {
            let place = name(layer, config.num_hidden_layers);
            hidden_states.push(read(hidden, batch.tokens() * config.hidden_size, &place)?);
        }
        let mut pooler = PoolerTape::new(kernels)?;
        let mut pooled = None;
        if self.declaration.heads.pooler {
            let mut first = kernels.indices();
            kernels.write_indices(&mut first, first_rows(batch))?;
            pooler_forward(network, &mut pooler, &tape.hidden[config.num_hidden_layers], &first, batch.sequences())?;
            pooled = Some(read(&pooler.pooled, batch.sequences() * config.hidden_size, "the pooler")?);
        }
        let mut logits = None;
        if let (Some(task), Some(head)) = (self.declaration.heads.task, &network.parameters.task) {
            let (input, rows, outputs) = match task {
                TaskHead::Pooled(labels) => (&pooler.pooled, batch.sequences(), labels),
                TaskHead::Tokens(labels) => (&tape.hidden[config.num_hidden_layers], batch.tokens(), labels),
                TaskHead::Span => (&tape.hidden[config.num_hidden_layers], batch.tokens(), 2),
            };
            let mut of_head = LinearTape::new(kernels)?;
            linear_logits(network, &mut of_head, input, head, outputs, None, rows)?;
            logits = Some(read(of_head.logits(), rows * outputs, "the head")?);
        }
        let mut attention_probabilities = None;
        if with_attention {
            let starts = packed.all_starts();
            let squares: usize = (0..batch.sequences()).map(|sequence| batch.rows(sequence).len().pow(2)).sum();
            let mut layers = Vec::with_capacity(tape.layers.len());
            for layer in &tape.layers {
                let mut probabilities = kernels.vector(config.num_attention_heads * squares)?;
                kernels.attention_probabilities(
                    &mut probabilities,
                    &layer.q,
                    &layer.kv,
                    &layer.log_sum_exp,
                    starts,
                    config.heads(),
                );
                let mut values = vec![0.0; config.num_attention_heads * squares];
                kernels.read_vector(&mut values, &probabilities, 0)?;
                layers.push(values);
            }
            attention_probabilities = Some(layers);
        }
        Ok(Outputs { hidden_states, pooled, logits, attention_probabilities })
    }
}
