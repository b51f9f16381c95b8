//! The sizes and settings of a model: `config.json` as Hugging Face writes it.

mod fields;
pub(crate) mod labels;
#[cfg(test)]
mod tests;

use std::path::Path;

use cloze_kernels::{Activation, Heads};
use serde_json::{Map, Value, json};

pub(crate) use fields::{Fields, parse_json, read_if_there, read_json, short};

use crate::checkpoint::write_file;
use crate::error::Error;

/// The function between the two products of a feed-forward layer, spelt as in `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenAct {
    /// `"gelu"`: by the error function.
    Gelu,
    /// `"gelu_python"`: the same as `"gelu"`.
    GeluPython,
    /// `"gelu_new"`: by tanh.
    GeluNew,
    /// `"gelu_fast"`: the same as `"gelu_new"`.
    GeluFast,
    /// `"gelu_accurate"`: the same as `"gelu_new"`.
    GeluAccurate,
    /// `"gelu_pytorch_tanh"`: the same as `"gelu_new"`.
    GeluPytorchTanh,
    /// `"gelu_python_tanh"`: the same as `"gelu_new"`.
    GeluPythonTanh,
    /// `"quick_gelu"`: by a sigmoid.
    QuickGelu,
    /// `"silu"`
    Silu,
    /// `"swish"`: the same as `"silu"`.
    Swish,
    /// `"relu"`
    Relu,
    /// `"tanh"`
    Tanh,
}

impl HiddenAct {
    const NAMES: [(&'static str, HiddenAct); 12] = [
        ("gelu", HiddenAct::Gelu),
        ("gelu_python", HiddenAct::GeluPython),
        ("gelu_new", HiddenAct::GeluNew),
        ("gelu_fast", HiddenAct::GeluFast),
        ("gelu_accurate", HiddenAct::GeluAccurate),
        ("gelu_pytorch_tanh", HiddenAct::GeluPytorchTanh),
        ("gelu_python_tanh", HiddenAct::GeluPythonTanh),
        ("quick_gelu", HiddenAct::QuickGelu),
        ("silu", HiddenAct::Silu),
        ("swish", HiddenAct::Swish),
        ("relu", HiddenAct::Relu),
        ("tanh", HiddenAct::Tanh),
    ];

    /// Spelling in `config.json`.
    pub fn name(self) -> &'static str {
        name_of(&HiddenAct::NAMES, &self)
    }
}

/// What a classifier's outputs mean, and with that its loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemType {
    /// Real numbers; mean squared error.
    Regression,
    /// One label for each example; softmax.
    SingleLabelClassification,
    /// Any number of labels for each example; sigmoid.
    MultiLabelClassification,
}

impl ProblemType {
    const NAMES: [(&'static str, ProblemType); 3] = [
        ("regression", ProblemType::Regression),
        ("single_label_classification", ProblemType::SingleLabelClassification),
        ("multi_label_classification", ProblemType::MultiLabelClassification),
    ];
}

/// The spelling of a value in a table of names; every value is in its table.
fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, other)| other == value).map_or("", |(name, _)| name)
}

/// The sizes and settings of a model, under the names of `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Entries of the word embeddings.
    pub vocab_size: usize,
    /// Columns of a token's vector.
    pub hidden_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Attention heads of each layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Columns between the two products of a feed-forward layer.
    pub intermediate_size: usize,
    /// The function between them, and in the masked language model head.
    pub hidden_act: HiddenAct,
    /// Dropout after embeddings, attention and feed-forward layers, in `[0, 1)`.
    pub hidden_dropout_prob: f32,
    /// Dropout on attention probabilities, in `[0, 1)`.
    pub attention_probs_dropout_prob: f32,
    /// Entries of the position embeddings: the longest input in tokens.
    pub max_position_embeddings: usize,
    /// Entries of the segment embeddings.
    pub type_vocab_size: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f64,
    /// The id of `[PAD]`.
    pub pad_token_id: u32,
    /// Dropout before a classifier; `hidden_dropout_prob` if there is none.
    pub classifier_dropout: Option<f32>,
    /// A classifier's labels in the order of their ids; empty if the file names none.
    pub labels: Vec<String>,
    /// What a classifier's outputs mean, if the file says so.
    pub problem_type: Option<ProblemType>,
    /// The names of Hugging Face's classes for this model.
    pub architectures: Vec<String>,
    /// All other keys of the file, written back as they were read.
    pub other: Map<String, Value>,
}

// Far above every BERT there is; with them no sum or product of sizes overflows.
const VOCAB_SIZE_MAX: usize = 1 << 24;
const HIDDEN_SIZE_MAX: usize = 1 << 16;
const LAYERS_MAX: usize = 1 << 10;
const INTERMEDIATE_SIZE_MAX: usize = 1 << 18;
/// Positions have 16 bits in the counter of random numbers.
const POSITIONS_MAX: usize = 1 << 16;
const TYPE_VOCAB_SIZE_MAX: usize = 1 << 16;
/// 64 GiB of weights in f32.
const PARAMETERS_MAX: usize = 1 << 34;

/// Keys that are not written back: they would be wrong for what is written (f32, tied, by this
/// program), or name a place on somebody's machine.
const DROPPED: [&str; 9] = [
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "auto_map",
    "dtype",
    "num_labels",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
];

/// The configuration in the directories of Google's program.
pub(crate) const GOOGLES_FILE: &str = "bert_config.json";

impl Config {
    /// Reads and checks a `config.json`. What is not this BERT is an error that names the field.
    ///
    /// In a file called `bert_config.json`, which Google's program reads, `gelu` is the form with tanh.
    pub fn read(path: &Path) -> Result<Config, Error> {
        let mut fields = Fields::read(path)?;
        refuse_other_models(&mut fields)?;
        let num_labels = fields.optional_size("num_labels", 0, labels::LABELS_MAX)?;
        let labels = labels::take(&mut fields, num_labels)?;
        let mut config = Config {
            vocab_size: fields.size("vocab_size", 1, VOCAB_SIZE_MAX)?,
            hidden_size: fields.size("hidden_size", 1, HIDDEN_SIZE_MAX)?,
            num_hidden_layers: fields.size("num_hidden_layers", 1, LAYERS_MAX)?,
            num_attention_heads: fields.size("num_attention_heads", 1, HIDDEN_SIZE_MAX)?,
            intermediate_size: fields.size("intermediate_size", 1, INTERMEDIATE_SIZE_MAX)?,
            hidden_act: fields.choice("hidden_act", &HiddenAct::NAMES)?.unwrap_or(HiddenAct::Gelu),
            hidden_dropout_prob: fields.probability("hidden_dropout_prob")?.unwrap_or(0.1),
            attention_probs_dropout_prob: fields.probability("attention_probs_dropout_prob")?.unwrap_or(0.1),
            max_position_embeddings: fields.optional_size("max_position_embeddings", 1, POSITIONS_MAX)?.unwrap_or(512),
            type_vocab_size: fields.optional_size("type_vocab_size", 1, TYPE_VOCAB_SIZE_MAX)?.unwrap_or(2),
            initializer_range: fields.number("initializer_range", 0.0..=1e3)?.unwrap_or(0.02),
            layer_norm_eps: fields.number("layer_norm_eps", 1e-30..=1.0)?.unwrap_or(1e-12),
            pad_token_id: fields.optional_size("pad_token_id", 0, VOCAB_SIZE_MAX)?.unwrap_or(0) as u32,
            classifier_dropout: fields.probability("classifier_dropout")?,
            labels,
            problem_type: fields.choice("problem_type", &ProblemType::NAMES)?,
            architectures: fields.strings("architectures")?.unwrap_or_default(),
            other: fields.rest(&DROPPED),
        };
        if path.file_name().is_some_and(|name| name == GOOGLES_FILE) && config.hidden_act == HiddenAct::Gelu {
            config.hidden_act = HiddenAct::GeluNew;
        }
        config.check().map_err(|(field, message)| Error::Config { path: path.into(), field: field.into(), message })?;
        Ok(config)
    }

    /// Writes a `config.json` with Hugging Face's keys, sorted.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let id2label: Map<_, _> =
            self.labels.iter().enumerate().map(|(id, label)| (id.to_string(), label.as_str().into())).collect();
        let mut label2id: Vec<_> =
            self.labels.iter().enumerate().map(|(id, label)| (label.clone(), Value::from(id))).collect();
        label2id.sort_by(|a, b| a.0.cmp(&b.0));
        let known = json!({
            "architectures": self.architectures,
            "attention_probs_dropout_prob": shortest(self.attention_probs_dropout_prob),
            "classifier_dropout": self.classifier_dropout.map(shortest),
            "hidden_act": self.hidden_act.name(),
            "hidden_dropout_prob": shortest(self.hidden_dropout_prob),
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "layer_norm_eps": self.layer_norm_eps,
            "max_position_embeddings": self.max_position_embeddings,
            "model_type": "bert",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "pad_token_id": self.pad_token_id,
            "type_vocab_size": self.type_vocab_size,
            "vocab_size": self.vocab_size,
        });
        let mut all = self.other.clone();
        all.extend(known.as_object().cloned().unwrap_or_default());
        if !self.labels.is_empty() {
            all.insert("id2label".into(), id2label.into());
            all.insert("label2id".into(), label2id.into_iter().collect::<Map<_, _>>().into());
        }
        if let Some(problem_type) = &self.problem_type {
            all.insert("problem_type".into(), name_of(&ProblemType::NAMES, problem_type).into());
        }
        let mut sorted: Vec<_> = all.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let text = format!("{:#}\n", Value::Object(sorted.into_iter().collect()));
        write_file(path, text.as_bytes())
    }

    /// The published sizes by name: `tiny`, `mini`, `small`, `medium`, `base`, `large`.
    pub fn preset(name: &str) -> Option<Config> {
        let (num_hidden_layers, hidden_size, num_attention_heads) = match name {
            "tiny" => (2, 128, 2),
            "mini" => (4, 256, 4),
            "small" => (4, 512, 8),
            "medium" => (8, 512, 8),
            "base" => (12, 768, 12),
            "large" => (24, 1024, 16),
            _ => return None,
        };
        Some(Config {
            vocab_size: 30522,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size: 4 * hidden_size,
            hidden_act: HiddenAct::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
            classifier_dropout: None,
            labels: Vec::new(),
            problem_type: None,
            architectures: Vec::new(),
            other: Map::new(),
        })
    }

    /// The preset `tiny`: 2 layers of 128.
    pub fn tiny() -> Config {
        Config::preset("tiny").expect("tiny is a preset")
    }

    /// The preset `base`: 12 layers of 768.
    pub fn base() -> Config {
        Config::preset("base").expect("base is a preset")
    }

    /// `hidden_act` as the kernels call it.
    pub fn activation(&self) -> Activation {
        match self.hidden_act {
            HiddenAct::Gelu | HiddenAct::GeluPython => Activation::GeluErf,
            HiddenAct::GeluNew
            | HiddenAct::GeluFast
            | HiddenAct::GeluAccurate
            | HiddenAct::GeluPytorchTanh
            | HiddenAct::GeluPythonTanh => Activation::GeluTanh,
            HiddenAct::QuickGelu => Activation::QuickGelu,
            HiddenAct::Silu | HiddenAct::Swish => Activation::Silu,
            HiddenAct::Relu => Activation::Relu,
            HiddenAct::Tanh => Activation::Tanh,
        }
    }

    /// The heads of each attention.
    pub fn heads(&self) -> Heads {
        Heads { count: self.num_attention_heads, size: self.hidden_size / self.num_attention_heads }
    }

    /// What no field shows on its own: the field at fault and the reason.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        if !hidden.is_multiple_of(heads) {
            return Err(("num_attention_heads", format!("{heads} heads do not divide hidden_size {hidden}")));
        }
        let tables = self.vocab_size + self.max_position_embeddings + self.type_vocab_size;
        let layer = 4 * hidden + 2 * self.intermediate_size;
        let parameters = tables as u128 * hidden as u128 + self.num_hidden_layers as u128 * (layer * hidden) as u128;
        if parameters > PARAMETERS_MAX as u128 {
            let message =
                format!("with the other sizes this makes {parameters} parameters, more than {PARAMETERS_MAX}");
            return Err(("hidden_size", message));
        }
        Ok(())
    }
}

/// The f64 that is printed with as few digits as the f32: 0.1, not 0.10000000149.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// Errors for what would silently compute something else.
fn refuse_other_models(fields: &mut Fields) -> Result<(), Error> {
    const ONLY: &str = "only an encoder like BERT's can be read";
    match fields.take("model_type") {
        None => {}
        Some(Value::String(name)) if name == "bert" => {}
        Some(found) => {
            return Err(fields.error("model_type", format!("expected \"bert\", found {}; {ONLY}", short(&found))));
        }
    }
    match fields.get("position_embedding_type") {
        None => {}
        Some(Value::String(name)) if name == "absolute" => {}
        Some(found) => {
            let message = format!("expected \"absolute\", found {}; {ONLY}", short(found));
            return Err(fields.error("position_embedding_type", message));
        }
    }
    for field in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        match fields.get(field) {
            None | Some(Value::Bool(false)) => {}
            Some(found) => {
                let message = format!("expected false, found {}; {ONLY}", short(found));
                return Err(fields.error(field, message));
            }
        }
    }
    for field in ["pruned_heads", "quantization_config"] {
        match fields.get(field) {
            None => {}
            Some(Value::Object(map)) if map.is_empty() => {}
            Some(_) => return Err(fields.error(field, "models with pruned or quantised weights cannot be read".into())),
        }
    }
    Ok(())
}
