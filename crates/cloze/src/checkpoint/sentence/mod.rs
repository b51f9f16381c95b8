//! The files that sentence-transformers keeps beside a model: which modules there are, how the vectors of a text's
//! tokens become one vector, and what is put before a text.

mod dense;
mod pooling;
mod prompts;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Component, Path, PathBuf};

use cloze_tokenizer::{Casing, Tokenizer, TokenizerFile};
use serde_json::{Map, Value, json};

use super::save::write_file;
use crate::config::{Config, Fields, read_json};
use crate::error::{Error, at};

pub use dense::{Dense, DenseActivation};
pub use pooling::Pooling;
pub use prompts::Prompts;
use prompts::SentenceConfig;

/// Settings of a model of sentence-transformers: one that embeds texts, or a cross-encoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentenceSettings {
    /// How texts are embedded; none in a cross-encoder, whose head is in the model itself.
    pub embedder: Option<EmbedderSettings>,
    /// Longest input in tokens, if the files say so.
    pub max_length: Option<usize>,
    /// True if texts are lower-cased, whatever the tokenizer does.
    pub lower_case: bool,
    /// Function that a cross-encoder applies to its scores, as torch spells it.
    pub activation: Option<String>,
    /// Other keys of `config_sentence_transformers.json`, written back as they were read.
    pub other: Map<String, Value>,
}

/// How texts are embedded.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedderSettings {
    /// How the vectors of a text's tokens become one; the results of several stand side by side.
    pub pooling: Vec<Pooling>,
    /// True if the tokens of a prompt are pooled, too.
    pub include_prompt: bool,
    /// Modules after pooling, in order.
    pub modules: Vec<SentenceModule>,
    /// Texts that are put before a text.
    pub prompts: Prompts,
    /// Columns that are kept of the vector, the first ones; all if absent.
    pub dimensions: Option<usize>,
}

/// Module after pooling.
#[derive(Clone, Debug, PartialEq)]
pub enum SentenceModule {
    /// A linear layer and a function.
    Dense(Dense),
    /// Scaling to length 1.
    Normalize,
}

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling";
const CONFIG: &str = "config.json";
const SENTENCE_CONFIG: &str = "config_sentence_transformers.json";
/// The name in new files, and those that old releases wrote for models of other names.
const TRANSFORMER_CONFIGS: [&str; 2] = ["sentence_bert_config.json", "sentence_distilbert_config.json"];
/// Before the names of the modules; old and new releases of sentence-transformers know it.
const MODULE_PREFIX: &str = "sentence_transformers.models.";

impl EmbedderSettings {
    /// True if the vector is scaled to length 1 at the end.
    pub fn is_normalized(&self) -> bool {
        self.modules.last() == Some(&SentenceModule::Normalize)
    }
}

impl SentenceSettings {
    /// Settings of a model that embeds texts, which has this pooling.
    pub fn embedder(pooling: Pooling, normalize: bool, max_length: Option<usize>) -> SentenceSettings {
        let modules = if normalize { vec![SentenceModule::Normalize] } else { Vec::new() };
        let prompts = Prompts::default();
        let embedder =
            EmbedderSettings { pooling: vec![pooling], include_prompt: true, modules, prompts, dimensions: None };
        SentenceSettings { embedder: Some(embedder), max_length, ..SentenceSettings::default() }
    }

    /// Reads `modules.json` and the files that it leads to; none if the directory has no such file, and with it is no
    /// model of sentence-transformers.
    pub fn read(dir: &Path) -> Result<Option<SentenceSettings>, Error> {
        let path = dir.join(MODULES);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let modules = modules(&path)?;
        let kinds: Vec<&str> = modules.iter().map(|(kind, _)| kind.as_str()).collect();
        let is_known = |kind: &&str| ["Dense", "Normalize", "Dropout"].contains(kind);
        if !(kinds == ["Transformer"]
            || (kinds.starts_with(&["Transformer", "Pooling"]) && kinds[2..].iter().all(is_known)))
        {
            let message = format!(
                "expected the modules Transformer and Pooling, then any of Dense, Normalize and Dropout, or Transformer \
                 alone for a cross-encoder; found {}",
                kinds.join(", ")
            );
            return Err(data(&path, message));
        }
        let SentenceConfig { prompts, dimensions, activation, other } =
            SentenceConfig::read(&dir.join(SENTENCE_CONFIG))?;
        let (max_length, lower_case) = transformer_settings(&dir.join(&modules[0].1))?;
        let mut settings = SentenceSettings { embedder: None, max_length, lower_case, activation, other };
        if kinds.len() == 1 {
            if !prompts.default_text().is_empty() {
                let message = "a cross-encoder with a default prompt cannot be used".to_string();
                let (path, field) = (dir.join(SENTENCE_CONFIG), "default_prompt_name".to_string());
                return Err(Error::Config { path, field, message });
            }
            return Ok(Some(settings));
        }
        let (pooling, include_prompt) = pooling::read(&dir.join(&modules[1].1).join(CONFIG))?;
        let mut after = Vec::new();
        for (kind, folder) in &modules[2..] {
            match kind.as_str() {
                "Dense" => after.push(SentenceModule::Dense(Dense::read(&dir.join(folder))?)),
                "Normalize" => after.push(SentenceModule::Normalize),
                // Dropout does nothing but in training.
                _ => {}
            }
        }
        settings.embedder = Some(EmbedderSettings { pooling, include_prompt, modules: after, prompts, dimensions });
        Ok(Some(settings))
    }

    /// Writes the files beside a model whose token vectors have `hidden_size` columns, so that sentence-transformers
    /// loads the directory.
    pub fn write(&self, dir: &Path, hidden_size: usize) -> Result<(), Error> {
        let mut modules = vec![("Transformer", String::new())];
        let mut config = SentenceConfig {
            activation: self.activation.clone(),
            other: self.other.clone(),
            ..SentenceConfig::default()
        };
        if let Some(embedder) = &self.embedder {
            let EmbedderSettings { pooling, include_prompt, modules: after, prompts, dimensions } = embedder;
            config.prompts = prompts.clone();
            config.dimensions = *dimensions;
            create(&dir.join(POOLING))?;
            let contents = pooling::contents(pooling, *include_prompt, hidden_size);
            write_json(&dir.join(POOLING).join(CONFIG), &contents)?;
            modules.push(("Pooling", POOLING.to_string()));
            for module in after {
                let kind = if *module == SentenceModule::Normalize { "Normalize" } else { "Dense" };
                let name = format!("{}_{kind}", modules.len());
                match module {
                    SentenceModule::Normalize => create(&dir.join(&name))?,
                    SentenceModule::Dense(dense) => dense.write(&dir.join(&name))?,
                }
                modules.push((kind, name));
            }
        }
        write_json(
            &dir.join(TRANSFORMER_CONFIGS[0]),
            &json!({ "max_seq_length": self.max_length, "do_lower_case": self.lower_case }),
        )?;
        write_json(&dir.join(SENTENCE_CONFIG), &config.contents())?;
        // Last, because the others are looked for only where it is.
        let modules = modules.iter().enumerate().map(|(idx, (kind, folder))| {
            json!({ "idx": idx, "name": idx.to_string(), "path": folder, "type": format!("{MODULE_PREFIX}{kind}") })
        });
        write_json(&dir.join(MODULES), &modules.collect())
    }
}

/// The folder in which a model's configuration, weights and tokenizer are: the directory itself, or as old releases of
/// sentence-transformers have it, one inside of it that `modules.json` names.
pub fn model_folder(dir: &Path) -> Result<PathBuf, Error> {
    let path = dir.join(MODULES);
    if path.symlink_metadata().is_err() {
        return Ok(dir.to_path_buf());
    }
    match modules(&path)?.first() {
        Some((kind, folder)) if kind == "Transformer" && !folder.is_empty() => Ok(dir.join(folder)),
        _ => Ok(dir.to_path_buf()),
    }
}

/// Opens the tokenizer of a model directory, or a file of one, as [`Tokenizer::open_by`] does; texts are lower-cased
/// where the files of sentence-transformers ask for it.
pub fn open_tokenizer(
    path: &Path,
    casing: impl Into<Option<Casing>>,
    file: Option<TokenizerFile>,
) -> Result<Tokenizer, Error> {
    let tokenizer = Tokenizer::open_by(&model_folder(path)?, casing, file)?;
    let lower_case = match path.join(MODULES).symlink_metadata() {
        Ok(_) => transformer_settings(&model_folder(path)?)?.1,
        Err(_) => false,
    };
    Ok(if lower_case { tokenizer.with_lower_case() } else { tokenizer })
}

/// Function that a cross-encoder applies to its scores, as torch spells it: as the files of sentence-transformers say,
/// else as `config.json` does, in which older releases put it.
pub(crate) fn score_function<'a>(settings: Option<&'a SentenceSettings>, config: &'a Config) -> Option<&'a str> {
    let of_settings = settings.and_then(|settings| settings.activation.as_deref());
    let in_config = || {
        let new = config.other.get("sentence_transformers").and_then(|own| own.get("activation_fn"));
        new.or_else(|| config.other.get("sbert_ce_default_activation_function")).and_then(Value::as_str)
    };
    of_settings.or_else(in_config)
}

/// Forgets the function that a cross-encoder applies to its scores, for a model that is to be another.
pub(crate) fn forget_score_function(config: &mut Config) {
    for key in ["sentence_transformers", "sbert_ce_default_activation_function"] {
        config.other.shift_remove(key);
    }
}

/// Longest input, and whether texts are lower-cased.
fn transformer_settings(folder: &Path) -> Result<(Option<usize>, bool), Error> {
    let Some(path) =
        TRANSFORMER_CONFIGS.iter().map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_ok())
    else {
        return Ok((None, false));
    };
    let mut fields = Fields::read(&path)?;
    let max_length = fields.optional_size("max_seq_length", 1, u32::MAX as usize)?;
    Ok((max_length, fields.boolean("do_lower_case")?.unwrap_or(false)))
}

/// The modules in order: the last part of the type's name, and the folder.
fn modules(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let value = read_json(path)?;
    let list = value.as_array().ok_or_else(|| data(path, "expected a list of modules".into()))?;
    let module = |module: &Value| {
        let kind = module.get("type")?.as_str()?.rsplit('.').next()?;
        let folder = module.get("path")?.as_str()?;
        let inside = Path::new(folder).components().all(|component| matches!(component, Component::Normal(_)));
        inside.then(|| (kind.to_string(), folder.to_string()))
    };
    list.iter()
        .enumerate()
        .map(|(number, entry)| {
            module(entry).ok_or_else(|| {
                data(path, format!("module {number}: expected its `type` and, as `path`, a folder inside of this one"))
            })
        })
        .collect()
}

fn create(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(at("create", folder))
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    write_file(path, format!("{value:#}\n").as_bytes())
}

fn data(path: &Path, message: String) -> Error {
    Error::Data { path: path.to_path_buf(), line: None, message }
}
