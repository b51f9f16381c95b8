//! The files of model directories: each is changed while the others are those of a small model.

use std::fs;
use std::path::Path;

use cloze::checkpoint::{self, Pooling, SentenceSettings};
use cloze::infer::{EmbedOptions, OpenOptions, ReadOptions, Task};
use cloze::params::{Declaration, HeadSet, TaskHead};
use cloze::settings::StoredSettings;
use cloze::{Config, Model, Text};
use cloze_tokenizer::{Casing, Tokenizer};

use super::packed::{from_safetensors, safetensors};
use super::{LONG, Run, TIMES, Target, told, write};
use crate::mutate::Shape;

pub const CONFIG: Target = Target {
    name: "config-json",
    what: "config.json of a model",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| of_model(folder, &["config.json"]),
    prepare: |folder| {
        let (model, copy) = (folder.join("model"), folder.join("copy.json"));
        make_model(&model);
        Box::new(move |input| {
            write(&model.join("config.json"), input);
            let read = told(Config::read(&model.join("config.json")), |config| {
                config.write(&copy).expect("a file");
                let again = Config::read(&copy).expect("what was written is read");
                assert_eq!(format!("{again:?}"), format!("{config:?}"));
                "read".to_string()
            });
            read + &use_model(&model)
        })
    },
};

pub const SETTINGS: Target = Target {
    name: "cloze-json",
    what: "cloze.json beside a model",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| {
        let settings = r#"{"version": "0.1.0", "max_length": 12, "long": "window", "pooling": "mean", "threshold": 0.5,
            "thresholds": [0.5, 0.25], "temperature": 1.5, "subtokens": "first", "columns": "text=a,label=b"}"#;
        vec![b"{}".to_vec(), settings.as_bytes().to_vec()]
    },
    prepare: |folder| {
        let model = folder.join("model");
        make_model(&model);
        Box::new(move |input| {
            write(&model.join("cloze.json"), input);
            told(StoredSettings::read(&model), |settings| format!("{settings:?}")) + &use_model(&model)
        })
    },
};

const SAFETENSORS_SHAPE: Shape = Shape::Packed { unpack: from_safetensors, pack: safetensors, inner: &Shape::Json };

pub const SAFETENSORS: Target = Target {
    name: "safetensors",
    what: "model.safetensors",
    shape: SAFETENSORS_SHAPE,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| of_model(folder, &["model.safetensors"]),
    prepare: |folder| file_of_model(folder, "model.safetensors"),
};

pub const INT8: Target = Target {
    name: "int8",
    what: "the weights of a model in int8",
    shape: SAFETENSORS_SHAPE,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| {
        let (model, small) = (folder.join("model"), folder.join("small"));
        make_model(&model);
        cloze::quantize::quantize(&model, None, &small, false).expect("a quantized model");
        vec![fs::read(weights_of(&small)).expect("its weights")]
    },
    prepare: |folder| {
        let (model, small) = (folder.join("model"), folder.join("small"));
        make_model(&model);
        cloze::quantize::quantize(&model, None, &small, false).expect("a quantized model");
        let weights = weights_of(&small);
        Box::new(move |input| {
            write(&weights, input);
            use_model(&small)
        })
    },
};

pub const SHARD_INDEX: Target = Target {
    name: "shard-index",
    what: "model.safetensors.index.json",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| {
        let declaration = declaration(&config());
        let _ = folder;
        let map: serde_json::Map<String, serde_json::Value> =
            declaration.parameters.iter().map(|of| (of.name.clone(), "a.safetensors".into())).collect();
        vec![serde_json::json!({"metadata": {"total_size": 9}, "weight_map": map}).to_string().into_bytes()]
    },
    prepare: |folder| {
        let model = folder.join("model");
        make_model(&model);
        fs::rename(model.join("model.safetensors"), model.join("a.safetensors")).expect("another name");
        Box::new(move |input| {
            write(&model.join("model.safetensors.index.json"), input);
            use_model(&model)
        })
    },
};

pub const MODULES: Target = Target {
    name: "modules-json",
    what: "modules.json of sentence-transformers",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| of_model(folder, &["modules.json"]),
    prepare: |folder| file_of_model(folder, "modules.json"),
};

pub const POOLING: Target = Target {
    name: "pooling-json",
    what: "1_Pooling/config.json of sentence-transformers",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| {
        let mut seeds = of_model(folder, &["1_Pooling/config.json"]);
        seeds.push(br#"{"word_embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": true}"#.to_vec());
        seeds
    },
    prepare: |folder| file_of_model(folder, "1_Pooling/config.json"),
};

pub const SENTENCE_CONFIG: Target = Target {
    name: "sentence-config",
    what: "sentence_bert_config.json, and config_sentence_transformers.json with the same bytes",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| {
        let mut seeds = of_model(folder, &["sentence_bert_config.json"]);
        let prompts = r#"{"__version__": {"transformers": "4.0"}, "prompts": {"query": "the "},
            "default_prompt_name": "query", "similarity_fn_name": "cosine"}"#;
        seeds.push(prompts.as_bytes().to_vec());
        seeds
    },
    prepare: |folder| {
        let model = folder.join("model");
        make_model(&model);
        Box::new(move |input| {
            write(&model.join("sentence_bert_config.json"), input);
            write(&model.join("config_sentence_transformers.json"), input);
            use_model(&model)
        })
    },
};

pub fn config() -> Config {
    Config {
        vocab_size: 10,
        hidden_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 8,
        max_position_embeddings: 16,
        labels: vec!["no".to_string(), "yes".to_string()],
        ..Config::tiny()
    }
}

fn declaration(config: &Config) -> Declaration {
    Declaration::new(config, HeadSet { pooler: true, mlm: true, nsp: true, task: Some(TaskHead::Pooled(2)) })
}

pub fn tokenizer() -> Tokenizer {
    let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "cat", "dog", "sat"];
    Tokenizer::from_tokens(tokens.map(String::from).to_vec(), Casing::Uncased).expect("a vocabulary")
}

/// A model with all heads but those for tokens and answers, and the files of an embedding model.
fn make_model(folder: &Path) {
    let config = config();
    let declaration = declaration(&config);
    let weights = declaration.initial_weights(0.2, 1);
    checkpoint::save(folder, &config, &declaration, &weights).expect("a saved model");
    tokenizer().save(folder).expect("a saved tokenizer");
    SentenceSettings::embedder(Pooling::Mean, true, Some(12))
        .write(folder, config.hidden_size)
        .expect("the files of an embedding model");
}

/// Files of a model as seeds.
fn of_model(folder: &Path, names: &[&str]) -> Vec<Vec<u8>> {
    make_model(folder);
    names.iter().map(|name| fs::read(folder.join(name)).expect("a file of a model")).collect()
}

fn file_of_model(folder: &Path, name: &'static str) -> Run {
    let model = folder.join("model");
    make_model(&model);
    Box::new(move |input| {
        write(&model.join(name), input);
        use_model(&model)
    })
}

/// The one file with the weights of a model.
fn weights_of(folder: &Path) -> std::path::PathBuf {
    let is_weights = |path: &std::path::PathBuf| path.extension().is_some_and(|ending| ending == "safetensors");
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(is_weights)
        .expect("weights")
}

/// Opens a model and asks it everything.
fn use_model(folder: &Path) -> String {
    let model = match Model::open_with(folder, OpenOptions { threads: Some(1), ..OpenOptions::default() }) {
        Ok(model) => model,
        Err(error) => return error.to_string(),
    };
    let texts: [Text; 3] = ["the cat sat".into(), "".into(), ("a dog", "the cat sat the cat sat the cat sat").into()];
    let mut answers = told(model.embed(&texts, EmbedOptions::default()), |all| format!("{} vectors", all.len()));
    answers += &match model.task() {
        Some(Task::Classification) => told(model.classify(&texts, ReadOptions::default()), |all| format!("{all:?}")),
        Some(Task::Regression) => told(model.regress(&texts, ReadOptions::default()), |all| format!("{all:?}")),
        Some(Task::MultiLabel) => told(model.label(&texts, ReadOptions::default()), |all| format!("{all:?}")),
        Some(Task::NextSentence) => told(model.is_next(&texts[2..], None), |all| format!("{all:?}")),
        other => format!("{other:?}"),
    };
    answers + &told(model.fill("the [MASK] sat".into(), 2), |all| format!("{} masks", all.len()))
}
