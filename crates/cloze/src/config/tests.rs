use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A `config.json` of a small model, with `change` made to its fields.
fn file(change: impl FnOnce(&mut Map<String, Value>)) -> (TempDir, PathBuf) {
    let mut value = json!({
        "vocab_size": 11, "hidden_size": 6, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 5,
    });
    change(value.as_object_mut().unwrap());
    written(value.to_string().as_bytes())
}

fn written(contents: &[u8]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("config.json");
    fs::write(&path, contents).unwrap();
    (dir, path)
}

fn read_with(field: &str, value: Value) -> Result<Config, Error> {
    let (_dir, path) = file(|map| {
        map.insert(field.to_string(), value);
    });
    Config::read(&path)
}

#[track_caller]
fn expect_error(result: Result<Config, Error>, parts: &[&str]) {
    let message = result.expect_err("an error").to_string();
    for part in ["config.json"].iter().chain(parts) {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn presets_have_the_published_sizes() {
    for (name, layers, hidden, heads, intermediate) in [
        ("tiny", 2, 128, 2, 512),
        ("mini", 4, 256, 4, 1024),
        ("small", 4, 512, 8, 2048),
        ("medium", 8, 512, 8, 2048),
        ("base", 12, 768, 12, 3072),
        ("large", 24, 1024, 16, 4096),
    ] {
        let config = Config::preset(name).unwrap();
        assert_eq!((config.num_hidden_layers, config.hidden_size), (layers, hidden));
        assert_eq!((config.num_attention_heads, config.intermediate_size), (heads, intermediate));
        assert_eq!(config.heads().columns(), hidden);
        config.check().unwrap();
    }
    assert_eq!(Config::preset("huge"), None);
}

#[test]
fn what_is_left_out_has_the_usual_value() {
    let (_dir, path) = file(|_| {});
    let sizes = |config: Config| Config {
        vocab_size: 11,
        hidden_size: 6,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 5,
        ..config
    };
    assert_eq!(Config::read(&path).unwrap(), sizes(Config::tiny()));
}

/// Google's own releases: no model type, no epsilon, no id of `[PAD]`, and keys of the pooler.
#[test]
fn old_style_file() {
    let (_dir, path) = written(
        br#"{
  "attention_probs_dropout_prob": 0.1,
  "directionality": "bidi",
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "hidden_size": 768,
  "initializer_range": 0.02,
  "intermediate_size": 3072,
  "max_position_embeddings": 512,
  "num_attention_heads": 12,
  "num_hidden_layers": 12,
  "pooler_fc_size": 768,
  "type_vocab_size": 2,
  "vocab_size": 30522
}"#,
    );
    let mut config = Config::read(&path).unwrap();
    assert_eq!(std::mem::take(&mut config.other).len(), 2);
    assert_eq!(config, Config::base());
}

#[test]
fn activations() {
    for (name, activation) in [
        ("gelu", Activation::GeluErf),
        ("gelu_python", Activation::GeluErf),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_fast", Activation::GeluTanh),
        ("gelu_accurate", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("gelu_python_tanh", Activation::GeluTanh),
        ("quick_gelu", Activation::QuickGelu),
        ("silu", Activation::Silu),
        ("swish", Activation::Silu),
        ("relu", Activation::Relu),
        ("tanh", Activation::Tanh),
    ] {
        let config = read_with("hidden_act", name.into()).unwrap();
        assert_eq!(config.activation(), activation);
        let (dir, path) = file(|_| {});
        config.write(&path).unwrap();
        assert_eq!(Fields::read(&path).unwrap().get("hidden_act"), Some(&name.into()));
        drop(dir);
    }
    expect_error(read_with("hidden_act", "mish".into()), &["`hidden_act`", "\"gelu_new\"", "found \"mish\""]);
}

#[test]
fn gelu_of_googles_file_is_the_form_with_tanh() {
    for (name, activation) in [("gelu", Activation::GeluTanh), ("relu", Activation::Relu)] {
        let (dir, path) = file(|map| {
            map.insert("hidden_act".to_string(), name.into());
        });
        let googles = dir.path().join(GOOGLES_FILE);
        fs::rename(path, &googles).unwrap();
        assert_eq!(Config::read(&googles).unwrap().activation(), activation);
    }
}

#[test]
fn what_is_written_reads_back() {
    let config = Config {
        hidden_act: HiddenAct::GeluPytorchTanh,
        hidden_dropout_prob: 0.3,
        attention_probs_dropout_prob: 0.0,
        initializer_range: 0.015,
        layer_norm_eps: 1e-5,
        pad_token_id: 3,
        classifier_dropout: Some(0.2),
        labels: (0..12).map(|id| format!("label {}", 11 - id)).collect(),
        problem_type: Some(ProblemType::MultiLabelClassification),
        architectures: vec!["BertForSequenceClassification".into()],
        other: Map::from_iter([("use_cache".into(), true.into()), ("task".into(), json!({ "a": [1, 2.5] }))]),
        ..Config::tiny()
    };
    let (_dir, path) = file(|_| {});
    config.write(&path).unwrap();
    assert_eq!(Config::read(&path).unwrap(), config);
    let text = fs::read_to_string(&path).unwrap();
    let keys: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
    assert!(keys.is_sorted() && keys.len() == 21, "{keys:?}");
    assert!(text.contains("\"hidden_dropout_prob\": 0.3,"), "{text}");
    assert!(text.contains("\"layer_norm_eps\": 0.00001,"), "{text}");
    let ids: Vec<usize> = (0..12).map(|id| text.find(&format!("\"{id}\": \"label")).unwrap()).collect();
    assert!(ids.is_sorted(), "labels are written by number: 2 before 10");
}

#[test]
fn keys_that_would_be_wrong_are_not_written_back() {
    let (_dir, path) = file(|map| {
        for key in DROPPED.iter().filter(|key| !key.contains("num_labels")) {
            map.insert(key.to_string(), "x".into());
        }
        map.insert("gradient_checkpointing".into(), false.into());
    });
    let config = Config::read(&path).unwrap();
    assert_eq!(config.other.keys().collect::<Vec<_>>(), ["gradient_checkpointing"]);
}

#[test]
fn labels_of_either_map() {
    let names = |pairs: Value| read_with("id2label", pairs).unwrap().labels;
    assert_eq!(names(json!({ "1": "b", "0": "a" })), ["a", "b"]);
    let names = |pairs: Value| read_with("label2id", pairs).unwrap().labels;
    assert_eq!(names(json!({ "x": 1, "y": 0 })), ["y", "x"]);
    assert_eq!(read_with("num_labels", 3.into()).unwrap().labels, ["LABEL_0", "LABEL_1", "LABEL_2"]);
    assert_eq!(read_with("id2label", Value::Null).unwrap().labels, [""; 0]);
    expect_error(read_with("num_labels", (1_u64 << 40).into()), &["`num_labels`", "1099511627776"]);
}

#[test]
fn labels_of_both_maps_must_agree_but_for_defaults() {
    let both = |by_id: Value, by_label: Value| {
        let (_dir, path) = file(|map| {
            map.insert("id2label".into(), by_id);
            map.insert("label2id".into(), by_label);
        });
        Config::read(&path)
    };
    let named = json!({ "0": "a", "1": "b" });
    assert_eq!(both(named.clone(), json!({ "b": 1, "a": 0 })).unwrap().labels, ["a", "b"]);
    assert_eq!(both(named.clone(), json!({ "LABEL_0": 0, "LABEL_1": 1 })).unwrap().labels, ["a", "b"]);
    let numbered = json!({ "0": "LABEL_0", "1": "LABEL_1" });
    assert_eq!(both(numbered.clone(), json!({ "a": 0, "b": 1 })).unwrap().labels, ["a", "b"]);
    expect_error(both(named, json!({ "a": 1, "b": 0 })), &["`label2id`", "id2label"]);
    expect_error(both(numbered, json!({ "a": 0 })), &["`label2id`", "id2label"]);
}

#[test]
fn labels_that_make_no_list() {
    expect_error(read_with("id2label", json!({ "0": "a", "2": "b" })), &["`id2label`", "found 2 in place of 1"]);
    expect_error(read_with("id2label", json!({ "0": "a", "00": "b" })), &["`id2label`", "found 0 in place of 1"]);
    expect_error(read_with("id2label", json!({ "0": "a", "1": "a" })), &["`id2label`", "\"a\" comes twice"]);
    expect_error(read_with("id2label", json!({ "x": "a" })), &["`id2label`", "found \"x\""]);
    expect_error(read_with("id2label", json!({ "0": 5 })), &["`id2label`", "found 5"]);
    expect_error(read_with("id2label", json!(["a", "b"])), &["`id2label`", "an object"]);
    expect_error(read_with("label2id", json!({ "a": "b" })), &["`label2id`", "\"b\""]);
    let (_dir, path) = file(|map| {
        map.insert("id2label".into(), json!({ "0": "a" }));
        map.insert("num_labels".into(), 2.into());
    });
    expect_error(Config::read(&path), &["`num_labels`", "names 1 labels"]);
}

#[test]
fn other_models_are_refused() {
    expect_error(read_with("model_type", "roberta".into()), &["`model_type`", "found \"roberta\"", "BERT"]);
    for kind in ["relative_key", "relative_key_query"] {
        expect_error(
            read_with("position_embedding_type", kind.into()),
            &["`position_embedding_type`", "absolute", kind],
        );
    }
    for field in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        expect_error(read_with(field, true.into()), &[field, "expected false, found true"]);
        assert!(read_with(field, false.into()).is_ok());
    }
    expect_error(read_with("pruned_heads", json!({ "0": [1] })), &["`pruned_heads`", "pruned"]);
    expect_error(read_with("quantization_config", json!({ "bits": 4 })), &["`quantization_config`", "quantised"]);
    for (field, value) in
        [("model_type", "bert".into()), ("position_embedding_type", "absolute".into()), ("pruned_heads", json!({}))]
    {
        assert!(read_with(field, value).is_ok(), "{field}");
    }
}

#[test]
fn sizes_out_of_bounds() {
    for field in ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"] {
        let (_dir, path) = file(|map| {
            map.remove(field);
        });
        expect_error(Config::read(&path), &[field, "missing"]);
    }
    for field in [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
        "type_vocab_size",
    ] {
        for value in [json!(0), json!(-1), json!(1.5), json!("7"), json!(u64::MAX), json!(1_u64 << 32), json!(1e300)] {
            expect_error(read_with(field, value.clone()), &[field, "whole number", &value.to_string()]);
        }
    }
    expect_error(read_with("pad_token_id", (-1).into()), &["`pad_token_id`"]);
    expect_error(read_with("num_attention_heads", 4.into()), &["`num_attention_heads`", "do not divide"]);
    let (_dir, path) = file(|map| {
        map.insert("vocab_size".into(), (1 << 24).into());
        map.insert("hidden_size".into(), (3 << 14).into());
    });
    expect_error(Config::read(&path), &["`hidden_size`", "parameters"]);
}

#[test]
fn numbers_out_of_bounds() {
    for field in ["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"] {
        for value in [json!(1), json!(-0.1), json!("0.1"), json!(0.999_999_999_9), json!(true)] {
            expect_error(read_with(field, value.clone()), &[field, "a share", &value.to_string()]);
        }
    }
    for value in [json!(0), json!(-1e-12), json!(2), json!("1e-12")] {
        expect_error(read_with("layer_norm_eps", value.clone()), &["`layer_norm_eps`", &value.to_string()]);
    }
    expect_error(read_with("initializer_range", json!(-0.02)), &["`initializer_range`", "-0.02"]);
    expect_error(read_with("problem_type", "ranking".into()), &["`problem_type`", "\"regression\"", "\"ranking\""]);
    expect_error(read_with("architectures", "BertModel".into()), &["`architectures`", "a list of strings"]);
}

#[test]
fn files_that_are_no_json_object() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("config.json");
    expect_error(Config::read(&path), &["cannot read"]);
    fs::create_dir(&path).unwrap();
    expect_error(Config::read(&path), &["not a regular file"]);
    for contents in [&b""[..], b"{\n\"vocab_size\": 1,\n", b"{\"a\": \"\xff\"}", b"\xef\xbb\xbf{}"] {
        let (_dir, path) = written(contents);
        expect_error(Config::read(&path), &["JSON"]);
    }
    let (_dir, path) = written(b"{\n\"vocab_size\": x}");
    expect_error(Config::read(&path), &["config.json:2:"]);
    let (_dir, path) = written("[".repeat(100_000).as_bytes());
    expect_error(Config::read(&path), &["JSON"]);
    let (_dir, path) = written(b"[1, 2]");
    expect_error(Config::read(&path), &["object", "[1,2]"]);
    let (_dir, path) = file(|_| {});
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    expect_error(Config::read(&path), &["larger than"]);
}

#[test]
fn found_values_are_cut_to_fit_a_message() {
    let message = read_with("model_type", "é".repeat(10_000).into()).unwrap_err().to_string();
    assert!(message.len() < 400, "{}", message.len());
}
