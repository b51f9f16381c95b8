//! The module Dense: a linear layer on the vector of a text, and a function on its output.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::super::save::{write_file, write_tensors};
use super::super::tensors::{TensorFile, error};
use crate::config::Fields;
use crate::error::{Error, at};

/// A linear layer on the vector of a text, and the function after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// Columns that it reads.
    pub in_features: usize,
    /// Columns that it gives.
    pub out_features: usize,
    /// Function after it.
    pub activation: DenseActivation,
    /// `[out_features, in_features]`
    pub weight: Vec<f32>,
    /// `[out_features]`; zeros where the module has none.
    pub bias: Vec<f32>,
}

/// Function after a dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseActivation {
    /// None.
    Identity,
    /// `tanh(x)`
    Tanh,
    /// `1 / (1 + exp(−x))`
    Sigmoid,
    /// `max(x, 0)`
    Relu,
    /// `x Φ(x)`
    Gelu,
    /// `x / (1 + exp(−x))`
    Silu,
}

/// The names of the functions as torch spells them.
const ACTIVATIONS: [(&str, DenseActivation); 6] = [
    ("torch.nn.modules.linear.Identity", DenseActivation::Identity),
    ("torch.nn.modules.activation.Tanh", DenseActivation::Tanh),
    ("torch.nn.modules.activation.Sigmoid", DenseActivation::Sigmoid),
    ("torch.nn.modules.activation.ReLU", DenseActivation::Relu),
    ("torch.nn.modules.activation.GELU", DenseActivation::Gelu),
    ("torch.nn.modules.activation.SiLU", DenseActivation::Silu),
];
const FEATURES_MAX: usize = 1 << 18;
const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const WEIGHT: &str = "linear.weight";
const BIAS: &str = "linear.bias";

impl Dense {
    /// Reads the module in a folder.
    pub(super) fn read(folder: &Path) -> Result<Dense, Error> {
        let mut fields = Fields::read(&folder.join(CONFIG))?;
        let in_features = fields.size("in_features", 1, FEATURES_MAX)?;
        let out_features = fields.size("out_features", 1, FEATURES_MAX)?;
        let activation = fields.choice("activation_function", &ACTIVATIONS)?.unwrap_or(DenseActivation::Tanh);
        let has_bias = fields.boolean("bias")?.unwrap_or(true);
        for field in ["module_input_name", "module_output_name"] {
            match fields.take(field) {
                Some(name) if name != "sentence_embedding" => {
                    let message = format!(
                        "expected \"sentence_embedding\", found {name}: a Dense on anything but the vector of a text cannot be used"
                    );
                    return Err(fields.error(field, message));
                }
                _ => {}
            }
        }
        if fields.boolean("use_residual")? == Some(true) {
            let message = "expected false: a Dense with a residual connection cannot be used".to_string();
            return Err(fields.error("use_residual", message));
        }
        let path = folder.join(WEIGHTS);
        let pickled = folder.join("pytorch_model.bin");
        if !path.exists() && pickled.exists() {
            let message = format!(
                "weights are read from {WEIGHTS} only; load this model with sentence-transformers and save it again, \
                 which makes that file"
            );
            return Err(error(&pickled, None, message));
        }
        let file = TensorFile::open(&path)?;
        // Before memory is taken for shapes that only the configuration states.
        file.check_shape(WEIGHT, &[out_features, in_features])?;
        let mut weight = vec![0.0; out_features * in_features];
        file.read(WEIGHT, &[out_features, in_features], &mut weight)?;
        let mut bias = vec![0.0; out_features];
        if has_bias {
            file.read(BIAS, &[out_features], &mut bias)?;
        }
        for (name, values) in [(WEIGHT, &weight), (BIAS, &bias)] {
            if let Some(element) = values.iter().position(|value| !value.is_finite()) {
                return Err(error(
                    &path,
                    Some(name),
                    format!("element {element} is {}: the file is damaged", values[element]),
                ));
            }
        }
        Ok(Dense { in_features, out_features, activation, weight, bias })
    }

    /// Writes the module to a folder, which is made.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(at("create", folder))?;
        let activation = ACTIVATIONS.iter().find(|(_, activation)| *activation == self.activation);
        let contents = json!({
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": true,
            "activation_function": activation.map_or("", |(name, _)| name),
        });
        write_file(&folder.join(CONFIG), format!("{contents:#}\n").as_bytes())?;
        let tensors = [
            (BIAS.to_string(), vec![self.out_features], &self.bias[..]),
            (WEIGHT.to_string(), vec![self.out_features, self.in_features], &self.weight[..]),
        ];
        write_tensors(&folder.join(WEIGHTS), &tensors, &[("format".to_string(), "pt".to_string())])
    }
}
