//! The one declaration of the parameters: names as in checkpoints, shapes, decay, initialisation.
//!
//! Every parameter is a [`Span`] of one arena, a flat vector; gradients and moments are arenas of the
//! same layout. Loading, saving, clipping, optimizing and counting are loops over spans. What a model
//! computes with is packed from the arena: the structures below hold spans in [`Declaration::layout`],
//! and matrices and vectors of a backend in a network, under the same field names.

use std::sync::OnceLock;

use cloze_kernels::{MatrixShape, Role, Span};

use crate::config::Config;
use crate::random::{Purpose, Random};

/// A linear layer: weight `[outputs, inputs]`, bias `[outputs]`.
#[derive(Clone, Debug)]
pub struct Linear<M, V> {
    /// `[outputs, inputs]`
    pub weight: M,
    /// `[outputs]`
    pub bias: V,
}

/// A LayerNorm: weight (gamma) and bias (beta), each `[hidden]`.
#[derive(Clone, Debug)]
pub struct LayerNorm<V> {
    /// `[hidden]`
    pub weight: V,
    /// `[hidden]`
    pub bias: V,
}

/// The three tables that are summed, and the LayerNorm after them.
#[derive(Clone, Debug)]
pub struct Embeddings<V> {
    /// `[vocab, hidden]`
    pub word: V,
    /// `[max_position, hidden]`
    pub position: V,
    /// `[type_vocab, hidden]`
    pub token_type: V,
    /// After the sum.
    pub layer_norm: LayerNorm<V>,
}

/// One encoder layer.
#[derive(Clone, Debug)]
pub struct EncoderLayer<M, V> {
    /// Query, key and value, one matrix `[3 hidden, hidden]` of three named tensors.
    pub qkv: Linear<M, V>,
    /// `attention.output.dense`, `[hidden, hidden]`
    pub attention_output: Linear<M, V>,
    /// After attention.
    pub attention_layer_norm: LayerNorm<V>,
    /// `[intermediate, hidden]`
    pub intermediate: Linear<M, V>,
    /// `[hidden, intermediate]`
    pub output: Linear<M, V>,
    /// After the feed-forward layer.
    pub output_layer_norm: LayerNorm<V>,
}

/// The masked language model head.
#[derive(Clone, Debug)]
pub struct MlmHead<M, V> {
    /// `[hidden, hidden]`
    pub transform: Linear<M, V>,
    /// After the transform's activation.
    pub layer_norm: LayerNorm<V>,
    /// The word embeddings again, as a matrix `[vocab, hidden]`. Whoever only uses a model may leave it out until
    /// masks are filled: [`Network::decoder`](crate::model::Network::decoder) makes it.
    pub decoder: OnceLock<M>,
    /// `[vocab]`
    pub decoder_bias: V,
}

/// All parameters of a model, as matrices `M` and vectors `V`.
#[derive(Clone, Debug)]
pub struct Parameters<M, V> {
    /// The input tables.
    pub embeddings: Embeddings<V>,
    /// The encoder layers, first to last.
    pub layers: Vec<EncoderLayer<M, V>>,
    /// `[hidden, hidden]`
    pub pooler: Option<Linear<M, V>>,
    /// Masked language model.
    pub mlm: Option<MlmHead<M, V>>,
    /// Next sentence prediction, `[2, hidden]`
    pub nsp: Option<Linear<M, V>>,
    /// The head of the task that the model was fine-tuned for, `[outputs, hidden]`
    pub task: Option<Linear<M, V>>,
}

impl Parameter {
    /// Elements of a row: of all dimensions but the first.
    pub fn columns(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Whether it is a weight of a linear layer of the encoder, where the time is spent.
    pub fn is_encoder_weight(&self) -> bool {
        self.role == Some(Role::Encoder)
    }
}

impl<M, V> Linear<M, V> {
    fn try_map<M2, V2, E>(
        &self,
        matrix: &mut impl FnMut(&M) -> Result<M2, E>,
        vector: &mut impl FnMut(&V) -> Result<V2, E>,
    ) -> Result<Linear<M2, V2>, E> {
        Ok(Linear { weight: matrix(&self.weight)?, bias: vector(&self.bias)? })
    }
}

impl<V> LayerNorm<V> {
    fn try_map<V2, E>(&self, vector: &mut impl FnMut(&V) -> Result<V2, E>) -> Result<LayerNorm<V2>, E> {
        Ok(LayerNorm { weight: vector(&self.weight)?, bias: vector(&self.bias)? })
    }
}

impl<M, V> Parameters<M, V> {
    /// The same structure with every matrix and every vector replaced, in a fixed order.
    pub fn try_map<M2, V2, E>(
        &self,
        mut matrix: impl FnMut(&M) -> Result<M2, E>,
        mut vector: impl FnMut(&V) -> Result<V2, E>,
    ) -> Result<Parameters<M2, V2>, E> {
        let (m, v) = (&mut matrix, &mut vector);
        let embeddings = Embeddings {
            word: v(&self.embeddings.word)?,
            position: v(&self.embeddings.position)?,
            token_type: v(&self.embeddings.token_type)?,
            layer_norm: self.embeddings.layer_norm.try_map(v)?,
        };
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            layers.push(EncoderLayer {
                qkv: layer.qkv.try_map(m, v)?,
                attention_output: layer.attention_output.try_map(m, v)?,
                attention_layer_norm: layer.attention_layer_norm.try_map(v)?,
                intermediate: layer.intermediate.try_map(m, v)?,
                output: layer.output.try_map(m, v)?,
                output_layer_norm: layer.output_layer_norm.try_map(v)?,
            });
        }
        let mlm = match &self.mlm {
            None => None,
            Some(head) => Some(MlmHead {
                transform: head.transform.try_map(m, v)?,
                layer_norm: head.layer_norm.try_map(v)?,
                decoder: match head.decoder.get() {
                    Some(decoder) => OnceLock::from(m(decoder)?),
                    None => OnceLock::new(),
                },
                decoder_bias: v(&head.decoder_bias)?,
            }),
        };
        let mut optional =
            |linear: &Option<Linear<M, V>>| linear.as_ref().map(|linear| linear.try_map(m, v)).transpose();
        Ok(Parameters {
            embeddings,
            layers,
            pooler: optional(&self.pooler)?,
            mlm,
            nsp: optional(&self.nsp)?,
            task: optional(&self.task)?,
        })
    }
}

impl<M, V> Linear<M, V> {
    fn zip_mut<M2, V2>(
        &mut self,
        other: &Linear<M2, V2>,
        matrix: &mut impl FnMut(&mut M, &M2),
        vector: &mut impl FnMut(&mut V, &V2),
    ) {
        matrix(&mut self.weight, &other.weight);
        vector(&mut self.bias, &other.bias);
    }
}

impl<V> LayerNorm<V> {
    fn zip_mut<V2>(&mut self, other: &LayerNorm<V2>, vector: &mut impl FnMut(&mut V, &V2)) {
        vector(&mut self.weight, &other.weight);
        vector(&mut self.bias, &other.bias);
    }
}

impl<M, V> Parameters<M, V> {
    /// Calls `matrix` and `vector` with every field and its counterpart in a structure of the same heads.
    pub fn zip_mut<M2, V2>(
        &mut self,
        other: &Parameters<M2, V2>,
        mut matrix: impl FnMut(&mut M, &M2),
        mut vector: impl FnMut(&mut V, &V2),
    ) {
        let (m, v) = (&mut matrix, &mut vector);
        v(&mut self.embeddings.word, &other.embeddings.word);
        v(&mut self.embeddings.position, &other.embeddings.position);
        v(&mut self.embeddings.token_type, &other.embeddings.token_type);
        self.embeddings.layer_norm.zip_mut(&other.embeddings.layer_norm, v);
        for (layer, other) in self.layers.iter_mut().zip(&other.layers) {
            layer.qkv.zip_mut(&other.qkv, m, v);
            layer.attention_output.zip_mut(&other.attention_output, m, v);
            layer.attention_layer_norm.zip_mut(&other.attention_layer_norm, v);
            layer.intermediate.zip_mut(&other.intermediate, m, v);
            layer.output.zip_mut(&other.output, m, v);
            layer.output_layer_norm.zip_mut(&other.output_layer_norm, v);
        }
        if let (Some(head), Some(other)) = (&mut self.mlm, &other.mlm) {
            head.transform.zip_mut(&other.transform, m, v);
            head.layer_norm.zip_mut(&other.layer_norm, v);
            if let (Some(decoder), Some(other)) = (head.decoder.get_mut(), other.decoder.get()) {
                m(decoder, other);
            }
            v(&mut head.decoder_bias, &other.decoder_bias);
        }
        for (linear, other) in
            [(&mut self.pooler, &other.pooler), (&mut self.nsp, &other.nsp), (&mut self.task, &other.task)]
        {
            if let (Some(linear), Some(other)) = (linear, other) {
                linear.zip_mut(other, m, v);
            }
        }
    }
}

/// A matrix in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixSpan {
    /// Where it lies.
    pub span: Span,
    /// Its shape.
    pub shape: MatrixShape,
    /// What it belongs to.
    pub role: Role,
}

/// Which heads a model has, on top of embeddings and encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadSet {
    /// The pooler. Next sentence prediction and classification need it.
    pub pooler: bool,
    /// Masked language model.
    pub mlm: bool,
    /// Next sentence prediction.
    pub nsp: bool,
    /// What the model was fine-tuned for.
    pub task: Option<TaskHead>,
}

/// The head of a task: a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskHead {
    /// On the pooled output, with this number of labels: classes, values, or several labels at once.
    Pooled(usize),
    /// On every token, with this number of labels.
    Tokens(usize),
    /// On every token: whether an answer starts there, and whether it ends there.
    Span,
}

impl TaskHead {
    /// Numbers that it computes for a text or a token.
    pub fn outputs(self) -> usize {
        match self {
            TaskHead::Pooled(labels) | TaskHead::Tokens(labels) => labels,
            TaskHead::Span => 2,
        }
    }

    /// Its name in checkpoints.
    pub(crate) fn name(self) -> &'static str {
        match self {
            TaskHead::Pooled(_) | TaskHead::Tokens(_) => "classifier",
            TaskHead::Span => "qa_outputs",
        }
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialization {
    /// Normal with the configured deviation, drawn again beyond two deviations.
    TruncatedNormal,
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
}

/// One named tensor.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name in checkpoints, with the prefix `bert.` where it belongs to the encoder.
    pub name: String,
    /// `[outputs, inputs]`, `[entries, hidden]` or `[columns]`.
    pub shape: Vec<usize>,
    /// Where it lies in the arenas.
    pub span: Span,
    /// Whether weight decay applies: everywhere but on biases and LayerNorm.
    pub decay: bool,
    /// How it starts.
    pub initialization: Initialization,
    /// What it belongs to, if it is the weight of a linear layer.
    pub role: Option<Role>,
}

/// All parameters of a model: by name, and by place in the network.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The named tensors, in arena order.
    pub parameters: Vec<Parameter>,
    /// The heads among them.
    pub heads: HeadSet,
    /// The same by their place in the network.
    pub layout: Parameters<MatrixSpan, Span>,
    /// Elements of the arena of weights and of each moment.
    pub len: usize,
}

/// Hands out consecutive spans and notes their names.
struct Arena {
    parameters: Vec<Parameter>,
    len: usize,
}

impl Arena {
    fn declare(&mut self, name: String, shape: &[usize], decay: bool, initialization: Initialization) -> Span {
        let span = Span { start: self.len, len: shape.iter().product() };
        self.len += span.len;
        self.parameters.push(Parameter { name, shape: shape.to_vec(), span, decay, initialization, role: None });
        span
    }

    fn table(&mut self, name: &str, entries: usize, columns: usize) -> Span {
        self.declare(format!("{name}.weight"), &[entries, columns], true, Initialization::TruncatedNormal)
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) -> Linear<MatrixSpan, Span> {
        self.joined_linear(&[name.to_string()], outputs, inputs)
    }

    /// Several linear layers on the same input, stacked to one: first all weights, then all biases.
    fn joined_linear(&mut self, names: &[String], outputs: usize, inputs: usize) -> Linear<MatrixSpan, Span> {
        let start = self.len;
        let role = if names[0].starts_with("bert.encoder.") { Role::Encoder } else { Role::Head };
        let first = self.parameters.len();
        for name in names {
            self.declare(format!("{name}.weight"), &[outputs, inputs], true, Initialization::TruncatedNormal);
        }
        self.parameters[first..].iter_mut().for_each(|weight| weight.role = Some(role));
        let weight = Span { start, len: self.len - start };
        for name in names {
            self.declare(format!("{name}.bias"), &[outputs], false, Initialization::Zeros);
        }
        let bias = Span { start: weight.start + weight.len, len: names.len() * outputs };
        let shape = MatrixShape { outputs: names.len() * outputs, inputs };
        Linear { weight: MatrixSpan { span: weight, shape, role }, bias }
    }

    fn layer_norm(&mut self, name: &str, columns: usize) -> LayerNorm<Span> {
        LayerNorm {
            weight: self.declare(format!("{name}.weight"), &[columns], false, Initialization::Ones),
            bias: self.declare(format!("{name}.bias"), &[columns], false, Initialization::Zeros),
        }
    }
}

impl Declaration {
    /// The parameters of a model with this configuration and these heads.
    pub fn new(config: &Config, heads: HeadSet) -> Declaration {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let mut arena = Arena { parameters: Vec::new(), len: 0 };
        let embeddings = Embeddings {
            word: arena.table("bert.embeddings.word_embeddings", config.vocab_size, hidden),
            position: arena.table("bert.embeddings.position_embeddings", config.max_position_embeddings, hidden),
            token_type: arena.table("bert.embeddings.token_type_embeddings", config.type_vocab_size, hidden),
            layer_norm: arena.layer_norm("bert.embeddings.LayerNorm", hidden),
        };
        let layers = (0..config.num_hidden_layers)
            .map(|index| {
                let layer = format!("bert.encoder.layer.{index}");
                let qkv = ["query", "key", "value"].map(|part| format!("{layer}.attention.self.{part}"));
                EncoderLayer {
                    qkv: arena.joined_linear(&qkv, hidden, hidden),
                    attention_output: arena.linear(&format!("{layer}.attention.output.dense"), hidden, hidden),
                    attention_layer_norm: arena.layer_norm(&format!("{layer}.attention.output.LayerNorm"), hidden),
                    intermediate: arena.linear(&format!("{layer}.intermediate.dense"), intermediate, hidden),
                    output: arena.linear(&format!("{layer}.output.dense"), hidden, intermediate),
                    output_layer_norm: arena.layer_norm(&format!("{layer}.output.LayerNorm"), hidden),
                }
            })
            .collect();
        let pooler = heads.pooler.then(|| arena.linear("bert.pooler.dense", hidden, hidden));
        let mlm = heads.mlm.then(|| MlmHead {
            transform: arena.linear("cls.predictions.transform.dense", hidden, hidden),
            layer_norm: arena.layer_norm("cls.predictions.transform.LayerNorm", hidden),
            decoder: OnceLock::from(MatrixSpan {
                span: embeddings.word,
                shape: MatrixShape { outputs: config.vocab_size, inputs: hidden },
                role: Role::Head,
            }),
            decoder_bias: arena.declare(
                "cls.predictions.bias".to_string(),
                &[config.vocab_size],
                false,
                Initialization::Zeros,
            ),
        });
        let nsp = heads.nsp.then(|| arena.linear("cls.seq_relationship", 2, hidden));
        let task = heads.task.map(|head| arena.linear(head.name(), head.outputs(), hidden));
        let layout = Parameters { embeddings, layers, pooler, mlm, nsp, task };
        Declaration { parameters: arena.parameters, heads, layout, len: arena.len }
    }

    /// Fresh weights of all parameters, in arena order.
    pub fn initial_weights(&self, deviation: f64, seed: u64) -> Vec<f32> {
        let mut weights = vec![0.0; self.len];
        for parameter in &self.parameters {
            Declaration::initialize(parameter, deviation, seed, &mut weights[parameter.span.range()]);
        }
        weights
    }

    /// Fresh values of one parameter: from the seed and the parameter's name alone, so that a head
    /// starts the same whatever else a model has.
    pub fn initialize(parameter: &Parameter, deviation: f64, seed: u64, values: &mut [f32]) {
        assert_eq!(values.len(), parameter.span.len);
        match parameter.initialization {
            Initialization::Zeros => values.fill(0.0),
            Initialization::Ones => values.fill(1.0),
            Initialization::TruncatedNormal => {
                let mut random = Random::new(seed, Purpose::Initialisation, 0, name_number(&parameter.name));
                for value in values {
                    let draw = loop {
                        let draw = random.normal();
                        if draw.abs() <= 2.0 {
                            break draw;
                        }
                    };
                    *value = (draw * deviation) as f32;
                }
            }
        }
    }
}

/// The upper 56 bits of the FNV-1a hash of a name.
fn name_number(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: HeadSet = HeadSet { pooler: true, mlm: true, nsp: true, task: Some(TaskHead::Pooled(3)) };

    #[test]
    fn spans_cover_the_arena_without_gaps() {
        let declaration = Declaration::new(&Config::tiny(), ALL);
        let mut next = 0;
        for parameter in &declaration.parameters {
            assert_eq!(parameter.span.start, next, "{}", parameter.name);
            assert_eq!(parameter.span.len, parameter.shape.iter().product::<usize>());
            next += parameter.span.len;
        }
        assert_eq!(next, declaration.len);
    }

    #[test]
    fn base_has_110_million_parameters() {
        let heads = HeadSet { pooler: true, mlm: true, nsp: true, task: None };
        // Embeddings 23,837,184; encoder 85,054,464; pooler 590,592; MLM 622,650; NSP 1,538.
        assert_eq!(Declaration::new(&Config::base(), heads).len, 110_106_428);
    }

    #[test]
    fn the_encoder_has_six_weights_a_layer_in_roles_as_in_the_layout() {
        let declaration = Declaration::new(&Config::tiny(), ALL);
        let names: Vec<&str> = declaration
            .parameters
            .iter()
            .filter(|parameter| parameter.is_encoder_weight())
            .map(|parameter| parameter.name.as_str())
            .collect();
        assert_eq!(names.len(), 6 * 2);
        assert!(names.iter().all(|name| name.starts_with("bert.encoder.") && name.ends_with(".weight")), "{names:?}");
        assert!(names.iter().all(|name| !name.contains("LayerNorm")), "{names:?}");
        assert_eq!(declaration.layout.layers[0].output.weight.role, Role::Encoder);
        assert_eq!(declaration.layout.pooler.unwrap().weight.role, Role::Head);
    }

    #[test]
    fn decay_spares_biases_and_layer_norm() {
        for parameter in Declaration::new(&Config::tiny(), ALL).parameters {
            let spared = parameter.name.contains("bias") || parameter.name.contains("LayerNorm");
            assert_eq!(parameter.decay, !spared, "{}", parameter.name);
        }
    }

    #[test]
    fn initialization_is_cut_at_two_deviations_and_differs_by_name() {
        let declaration = Declaration::new(&Config::tiny(), ALL);
        let values = |name: &str, seed| {
            let parameter = declaration.parameters.iter().find(|parameter| parameter.name == name).unwrap();
            let mut values = vec![0.0; parameter.span.len];
            Declaration::initialize(parameter, 0.02, seed, &mut values);
            values
        };
        let query = values("bert.encoder.layer.0.attention.self.query.weight", 1);
        assert!(query.iter().all(|value| value.abs() <= 0.04));
        let mean_square = query.iter().map(|value| f64::from(value * value)).sum::<f64>() / query.len() as f64;
        // A normal cut at two deviations has variance 0.774.
        assert!((mean_square / (0.02 * 0.02) - 0.774).abs() < 0.02, "{mean_square}");
        assert_ne!(query, values("bert.encoder.layer.1.attention.self.query.weight", 1));
        assert_ne!(query, values("bert.encoder.layer.0.attention.self.query.weight", 2));
        assert_eq!(query, values("bert.encoder.layer.0.attention.self.query.weight", 1));
    }
}
