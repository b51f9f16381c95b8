//! How a model's token vectors become one vector of a text: the files that sentence-transformers keeps
//! beside the model.

use std::fs;
use std::path::{Component, Path};

use serde_json::{Map, Value, json};

use super::save::write_file;
use crate::config::{Fields, read_json, short};
use crate::error::{Error, at};

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The vector of the first token.
    Cls,
    /// The mean over all tokens.
    Mean,
    /// The largest value of each column over all tokens.
    Max,
}

/// The settings of an embedding model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceSettings {
    /// How the vectors of a text's tokens become one.
    pub pooling: Pooling,
    /// Whether the result is scaled to length 1.
    pub normalize: bool,
    /// The longest input in tokens, if the files say so.
    pub max_length: Option<usize>,
}

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling";
const NORMALIZE: &str = "2_Normalize";
const CONFIG: &str = "config.json";
const TRANSFORMER_CONFIG: &str = "sentence_bert_config.json";
/// Before the names of the modules; old and new releases of sentence-transformers know it.
const MODULE_PREFIX: &str = "sentence_transformers.models.";

impl Pooling {
    /// The name of each mode in new files, and the flag that old files have for it.
    const NAMES: [(&str, &str, Pooling); 3] = [
        ("cls", "pooling_mode_cls_token", Pooling::Cls),
        ("mean", "pooling_mode_mean_tokens", Pooling::Mean),
        ("max", "pooling_mode_max_tokens", Pooling::Max),
    ];
    /// Modes that exist elsewhere.
    const UNKNOWN_FLAGS: [&str; 3] =
        ["pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"];
}

impl SentenceSettings {
    /// Reads `modules.json` and the files that it leads to; none if the directory has no such file,
    /// and with it says nothing about embeddings.
    pub fn read(dir: &Path) -> Result<Option<SentenceSettings>, Error> {
        let path = dir.join(MODULES);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let modules = modules(&path)?;
        let kinds: Vec<&str> = modules.iter().map(|(kind, _)| kind.as_str()).collect();
        let normalize = match kinds[..] {
            ["Transformer", "Pooling"] => false,
            ["Transformer", "Pooling", "Normalize"] => true,
            _ => {
                let found = kinds.join(", ");
                let message = format!(
                    "expected the modules Transformer, Pooling and perhaps Normalize, in this order, found {found}"
                );
                return Err(data(&path, message));
            }
        };
        if !modules[0].1.is_empty() {
            let message = format!("expected the transformer in this folder itself, found it in `{}`", modules[0].1);
            return Err(data(&path, message));
        }
        let transformer = dir.join(TRANSFORMER_CONFIG);
        let max_length = match transformer.symlink_metadata() {
            Ok(_) => Fields::read(&transformer)?.optional_size("max_seq_length", 1, u32::MAX as usize)?,
            Err(_) => None,
        };
        Ok(Some(SentenceSettings { pooling: pooling(&dir.join(&modules[1].1).join(CONFIG))?, normalize, max_length }))
    }

    /// Writes the files beside a model whose token vectors have `hidden_size` columns, so that
    /// sentence-transformers loads the directory.
    pub fn write(&self, dir: &Path, hidden_size: usize) -> Result<(), Error> {
        let mut modules = vec![("Transformer", ""), ("Pooling", POOLING)];
        if self.normalize {
            modules.push(("Normalize", NORMALIZE));
        }
        for (_, folder) in &modules {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).map_err(at("create", &folder))?;
        }
        let mut pooling = Map::from_iter([("word_embedding_dimension".to_string(), Value::from(hidden_size))]);
        for (_, flag, mode) in Pooling::NAMES {
            pooling.insert(flag.into(), (mode == self.pooling).into());
        }
        for flag in Pooling::UNKNOWN_FLAGS {
            pooling.insert(flag.into(), false.into());
        }
        write_json(&dir.join(POOLING).join(CONFIG), &pooling.into())?;
        write_json(
            &dir.join(TRANSFORMER_CONFIG),
            &json!({ "max_seq_length": self.max_length, "do_lower_case": false }),
        )?;
        // Last, because the others are looked for only where it is.
        let modules = modules.iter().enumerate().map(|(idx, (kind, folder))| {
            json!({ "idx": idx, "name": idx.to_string(), "path": folder, "type": format!("{MODULE_PREFIX}{kind}") })
        });
        write_json(&dir.join(MODULES), &modules.collect())
    }
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

/// The one mode that a pooling module is set to.
fn pooling(path: &Path) -> Result<Pooling, Error> {
    let mut fields = Fields::read(path)?;
    let mut chosen = Vec::new();
    // New files name the mode, or list several; old ones have a flag for each.
    let named = match fields.take("pooling_mode") {
        Some(Value::Array(list)) => list,
        Some(value) => vec![value],
        None => Vec::new(),
    };
    for name in &named {
        match Pooling::NAMES.iter().find(|(mode, ..)| name.as_str() == Some(mode)) {
            Some(&(_, _, mode)) => chosen.push(mode),
            None => {
                return Err(fields.error("pooling_mode", format!("expected cls, mean or max, found {}", short(name))));
            }
        }
    }
    for flag in Pooling::UNKNOWN_FLAGS {
        if fields.boolean(flag)? == Some(true) {
            return Err(fields.error(flag, "this pooling is not known; cls, mean and max are".into()));
        }
    }
    for (_, flag, mode) in Pooling::NAMES {
        if fields.boolean(flag)? == Some(true) && named.is_empty() {
            chosen.push(mode);
        }
    }
    match chosen[..] {
        [mode] => Ok(mode),
        // Nothing chosen means the mean for sentence-transformers.
        [] => Ok(Pooling::Mean),
        _ => Err(fields.error("pooling_mode", "several poolings side by side; expected one".into())),
    }
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    write_file(path, format!("{value:#}\n").as_bytes())
}

fn data(path: &Path, message: String) -> Error {
    Error::Data { path: path.to_path_buf(), line: None, message }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const TRANSFORMER: &str = r#"{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"}"#;
    const POOL: &str = r#"{"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}"#;

    fn directory(modules: &str, pooling: &str, transformer: Option<&str>) -> TempDir {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join(POOLING)).unwrap();
        fs::write(dir.path().join(MODULES), modules).unwrap();
        fs::write(dir.path().join(POOLING).join(CONFIG), pooling).unwrap();
        if let Some(transformer) = transformer {
            fs::write(dir.path().join(TRANSFORMER_CONFIG), transformer).unwrap();
        }
        dir
    }

    #[track_caller]
    fn expect_error(dir: &TempDir, parts: &[&str]) {
        let message = SentenceSettings::read(dir.path()).expect_err("an error").to_string();
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (pooling, normalize, max_length) in
            [(Pooling::Cls, false, None), (Pooling::Mean, true, Some(256)), (Pooling::Max, true, Some(1))]
        {
            let dir = TempDir::new().unwrap();
            let settings = SentenceSettings { pooling, normalize, max_length };
            settings.write(dir.path(), 384).unwrap();
            assert_eq!(SentenceSettings::read(dir.path()).unwrap(), Some(settings));
        }
    }

    #[test]
    fn files_of_new_and_old_releases() {
        let old = r#"{"word_embedding_dimension":384,"pooling_mode_cls_token":false,"pooling_mode_max_tokens":true}"#;
        let dir = directory(&format!("[{TRANSFORMER},{POOL}]"), old, Some(r#"{"max_seq_length":null}"#));
        let expected = SentenceSettings { pooling: Pooling::Max, normalize: false, max_length: None };
        assert_eq!(SentenceSettings::read(dir.path()).unwrap(), Some(expected));
        let modules = r#"[{"path":"","type":"sentence_transformers.base.modules.transformer.Transformer"},
            {"path":"1_Pooling","type":"sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
            {"path":"2_Normalize","type":"sentence_transformers.base.modules.normalize.Normalize"}]"#;
        for mode in [r#""cls""#, r#"["cls"]"#] {
            let dir = directory(modules, &format!(r#"{{"embedding_dimension":384,"pooling_mode":{mode}}}"#), None);
            let expected = SentenceSettings { pooling: Pooling::Cls, normalize: true, max_length: None };
            assert_eq!(SentenceSettings::read(dir.path()).unwrap(), Some(expected));
        }
    }

    #[test]
    fn a_model_without_these_files() {
        assert_eq!(SentenceSettings::read(TempDir::new().unwrap().path()).unwrap(), None);
    }

    #[test]
    fn modules_that_are_not_known() {
        let dense = r#"{"path":"2_Dense","type":"sentence_transformers.models.Dense"}"#;
        let dir = directory(&format!("[{TRANSFORMER},{POOL},{dense}]"), "{}", None);
        expect_error(&dir, &[MODULES, "found Transformer, Pooling, Dense"]);
        let elsewhere = TRANSFORMER.replace(r#""path":"""#, r#""path":"0_Transformer""#);
        expect_error(&directory(&format!("[{elsewhere},{POOL}]"), "{}", None), &[MODULES, "`0_Transformer`"]);
        for path in ["../other", "/etc", "."] {
            let outside = POOL.replace("1_Pooling", path);
            expect_error(
                &directory(&format!("[{TRANSFORMER},{outside}]"), "{}", None),
                &[MODULES, "module 1", "inside"],
            );
        }
        for modules in ["{}", "[]", "[1]", r#"[{"type":"Transformer"}]"#] {
            expect_error(&directory(modules, "{}", None), &[MODULES]);
        }
    }

    #[test]
    fn poolings_that_are_not_known() {
        let modules = format!("[{TRANSFORMER},{POOL}]");
        let lasttoken = r#"{"pooling_mode_lasttoken":true}"#;
        expect_error(&directory(&modules, lasttoken, None), &["1_Pooling", "`pooling_mode_lasttoken`"]);
        expect_error(
            &directory(&modules, r#"{"pooling_mode":"lasttoken"}"#, None),
            &["1_Pooling", "found \"lasttoken\""],
        );
        let two = r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true}"#;
        expect_error(&directory(&modules, two, None), &["1_Pooling", "side by side"]);
        expect_error(
            &directory(&modules, "{}", Some(r#"{"max_seq_length":0}"#)),
            &[TRANSFORMER_CONFIG, "max_seq_length"],
        );
    }
}
