//! Prompts of an embedding model, and what else `config_sentence_transformers.json` says.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::{Fields, short};
use crate::error::Error;

/// Texts that are put before a text, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// Name and text of each, sorted by name.
    pub texts: Vec<(String, String)>,
    /// Name of the one that is used where no other is asked for.
    pub default: Option<String>,
}

/// Names that every model of sentence-transformers has, with an empty text where the file says nothing.
const ALWAYS: [&str; 2] = ["document", "query"];
const PROMPTS: &str = "prompts";
const DEFAULT: &str = "default_prompt_name";
const DIMENSIONS: &str = "truncate_dim";
const ACTIVATION: &str = "activation_fn";

impl Prompts {
    /// The text of a prompt.
    pub fn text(&self, name: &str) -> Option<&str> {
        let own = self.texts.iter().find(|(own, _)| own == name).map(|(_, text)| text.as_str());
        own.or_else(|| ALWAYS.contains(&name).then_some(""))
    }

    /// The text that is put before a text where no other is asked for; empty if there is none.
    pub fn default_text(&self) -> &str {
        self.default.as_deref().and_then(|name| self.text(name)).unwrap_or_default()
    }
}

/// Contents of `config_sentence_transformers.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SentenceConfig {
    pub prompts: Prompts,
    pub dimensions: Option<usize>,
    /// Function on the scores of a cross-encoder, as torch spells it.
    pub activation: Option<String>,
    /// All other keys, written back as they were read.
    pub other: Map<String, Value>,
}

impl SentenceConfig {
    /// Reads the file; nothing is said where there is none.
    pub fn read(path: &Path) -> Result<SentenceConfig, Error> {
        if path.symlink_metadata().is_err() {
            return Ok(SentenceConfig::default());
        }
        let mut fields = Fields::read(path)?;
        let mut texts = Vec::new();
        for (name, text) in fields.object(PROMPTS)?.unwrap_or_default() {
            match text {
                Value::String(text) => texts.push((name, text)),
                // A prompt that was declared and not filled in is empty for sentence-transformers.
                Value::Null => texts.push((name, String::new())),
                found => {
                    return Err(
                        fields.error(PROMPTS, format!("expected a string for \"{name}\", found {}", short(&found)))
                    );
                }
            }
        }
        texts.sort();
        let default = string(&mut fields, DEFAULT)?;
        let prompts = Prompts { texts, default };
        if let Some(name) = prompts.default.as_ref().filter(|name| prompts.text(name).is_none()) {
            let names: Vec<&str> = prompts.texts.iter().map(|(name, _)| name.as_str()).collect();
            return Err(fields.error(DEFAULT, format!("\"{name}\" is none of the prompts ({})", names.join(", "))));
        }
        let dimensions = fields.optional_size(DIMENSIONS, 1, u32::MAX as usize)?;
        let activation = string(&mut fields, ACTIVATION)?;
        Ok(SentenceConfig { prompts, dimensions, activation, other: fields.rest(&[]) })
    }

    /// Contents of the file.
    pub fn contents(&self) -> Value {
        let mut map = self.other.clone();
        let texts: Map<_, _> =
            self.prompts.texts.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect();
        map.insert(PROMPTS.into(), texts.into());
        map.insert(DEFAULT.into(), self.prompts.default.clone().into());
        if let Some(dimensions) = self.dimensions {
            map.insert(DIMENSIONS.into(), dimensions.into());
        }
        if let Some(activation) = &self.activation {
            map.insert(ACTIVATION.into(), activation.as_str().into());
        }
        map.into()
    }
}

fn string(fields: &mut Fields, field: &str) -> Result<Option<String>, Error> {
    match fields.take(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(found) => Err(fields.error(field, format!("expected a string, found {}", short(&found)))),
    }
}
