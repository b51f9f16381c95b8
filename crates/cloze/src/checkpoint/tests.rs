//! Every variation of a model directory that is accepted, and what is made of it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use tempfile::TempDir;

use super::*;

pub(super) const ALL: HeadSet = HeadSet { pooler: true, mlm: true, nsp: true, task: Some(TaskHead::Pooled(3)) };

/// Odd sizes, so that no two tensors can be mixed up.
pub(super) fn small_config() -> Config {
    Config {
        vocab_size: 11,
        hidden_size: 6,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 5,
        max_position_embeddings: 7,
        labels: ["bad", "good", "neither"].map(String::from).to_vec(),
        ..Config::tiny()
    }
}

/// Weights that f16 and bf16 hold exactly: small whole numbers, in a pattern without short period.
pub(super) fn weights(declaration: &Declaration) -> Vec<f32> {
    (0..declaration.len).map(|index| (index * index % 251) as f32 - 125.0).collect()
}

#[derive(Clone)]
pub(super) struct Stored {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The tensors of a model, as a directory may hold them in f32.
pub(super) fn stored(declaration: &Declaration, weights: &[f32]) -> Vec<Stored> {
    let parameters = declaration.parameters.iter();
    parameters
        .map(|parameter| f32_tensor(&parameter.name, &parameter.shape, &weights[parameter.span.range()]))
        .collect()
}

fn f32_tensor(name: &str, shape: &[usize], values: &[f32]) -> Stored {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored { name: name.to_string(), dtype: Dtype::F32, shape: shape.to_vec(), bytes }
}

/// Written by the safetensors crate, not by what is tested here.
pub(super) fn write_stored(path: &Path, tensors: &[Stored]) {
    let views = tensors
        .iter()
        .map(|tensor| (&tensor.name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap()));
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

/// A model with all heads, its tensors as `change` leaves them.
pub(super) struct Model {
    dir: TempDir,
    declaration: Declaration,
    weights: Vec<f32>,
}

fn model(change: impl FnOnce(&mut Vec<Stored>)) -> Model {
    model_with(&small_config(), change)
}

pub(super) fn model_with(config: &Config, change: impl FnOnce(&mut Vec<Stored>)) -> Model {
    let dir = TempDir::new().unwrap();
    let declaration = Declaration::new(config, ALL);
    let weights = weights(&declaration);
    let mut tensors = stored(&declaration, &weights);
    change(&mut tensors);
    config.write(&dir.path().join("config.json")).unwrap();
    write_stored(&dir.path().join("model.safetensors"), &tensors);
    Model { dir, declaration, weights }
}

impl Model {
    pub(super) fn open(&self) -> Result<Checkpoint, Error> {
        Checkpoint::open(self.dir.path())
    }

    /// Reads all heads over NaNs.
    fn read(&self) -> Result<(Report, Vec<f32>), Error> {
        let mut read = vec![f32::NAN; self.declaration.len];
        let report = self.open()?.read(&self.declaration, &mut read)?;
        Ok((report, read))
    }

    /// The directory must give exactly the model's weights, and nothing must be left over.
    fn expect_all(&self) {
        let (report, read) = self.read().unwrap();
        assert_eq!(report, Report::default());
        assert_eq!(read, self.weights);
    }

    fn expect_error(&self, parts: &[&str]) {
        expect_error(self.read(), parts);
    }
}

pub(super) fn expect_error<T>(result: Result<T, Error>, parts: &[&str]) {
    let message = result.err().expect("an error").to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

fn rename(tensors: &mut [Stored], from: &str, to: &str) {
    for tensor in tensors {
        tensor.name = tensor.name.replace(from, to);
    }
}

fn tensor<'a>(tensors: &'a mut [Stored], name: &str) -> &'a mut Stored {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

fn copy(tensors: &mut Vec<Stored>, from: &str, to: &str) {
    let copy = Stored { name: to.to_string(), ..tensor(tensors, from).clone() };
    tensors.push(copy);
}

const WORDS: &str = "bert.embeddings.word_embeddings.weight";
const DECODER: &str = "cls.predictions.decoder.weight";

#[test]
fn with_the_prefix_and_without_a_decoder() {
    let model = model(|_| {});
    assert_eq!(model.open().unwrap().heads(), ALL);
    model.expect_all();
}

#[test]
fn without_the_prefix() {
    model(|tensors| rename(tensors, "bert.", "")).expect_all();
}

#[test]
fn gamma_and_beta() {
    model(|tensors| {
        rename(tensors, "LayerNorm.weight", "LayerNorm.gamma");
        rename(tensors, "LayerNorm.bias", "LayerNorm.beta");
    })
    .expect_all();
}

#[test]
fn a_name_in_two_spellings_is_an_error() {
    let twice = model(|tensors| copy(tensors, "bert.pooler.dense.bias", "pooler.dense.bias"));
    twice.expect_error(&["model.safetensors", "`pooler.dense.bias`", "`bert.pooler.dense.bias`"]);
}

#[test]
fn a_stored_decoder_that_equals_the_embeddings() {
    let model = model(|tensors| {
        copy(tensors, WORDS, DECODER);
        copy(tensors, "cls.predictions.bias", "cls.predictions.decoder.bias");
    });
    model.expect_all();
}

#[test]
fn a_decoder_stored_in_place_of_what_it_is_tied_to() {
    model(|tensors| {
        rename(tensors, WORDS, DECODER);
        rename(tensors, "cls.predictions.bias", "cls.predictions.decoder.bias");
    })
    .expect_all();
}

#[test]
fn a_decoder_of_its_own_is_an_error() {
    let untied = model(|tensors| {
        copy(tensors, WORDS, DECODER);
        // The lowest bit of the sixth number.
        tensor(tensors, DECODER).bytes[5 * 4] ^= 1;
    });
    untied.expect_error(&["model.safetensors", DECODER, "element 5", "tied"]);
    let untied_bias = model(|tensors| {
        copy(tensors, "cls.predictions.bias", "cls.predictions.decoder.bias");
        tensor(tensors, "cls.predictions.decoder.bias").bytes[3] ^= 1;
    });
    untied_bias.expect_error(&["cls.predictions.decoder.bias", "element 0"]);
}

#[test]
fn stored_position_ids() {
    model(|tensors| {
        let bytes = (0..7_i64).flat_map(i64::to_le_bytes).collect();
        let name = "bert.embeddings.position_ids".to_string();
        tensors.push(Stored { name, dtype: Dtype::I64, shape: vec![1, 7], bytes });
    })
    .expect_all();
}

#[test]
fn half_precision_of_both_kinds() {
    let halve = |tensors: &mut [Stored], dtype, bytes: fn(f32) -> [u8; 2]| {
        for tensor in tensors {
            let (values, _) = tensor.bytes.as_chunks();
            tensor.bytes = values.iter().flat_map(|&value| bytes(f32::from_le_bytes(value))).collect();
            tensor.dtype = dtype;
        }
    };
    model(|tensors| halve(tensors, Dtype::F16, |value| f16::from_f32(value).to_le_bytes())).expect_all();
    model(|tensors| halve(tensors, Dtype::BF16, |value| bf16::from_f32(value).to_le_bytes())).expect_all();
    model(|tensors| halve(&mut tensors[10..20], Dtype::BF16, |value| bf16::from_f32(value).to_le_bytes())).expect_all();
}

#[test]
fn double_precision_is_rounded() {
    let double = |tensor: &mut Stored, change: fn(f64) -> f64| {
        let (values, _) = tensor.bytes.as_chunks();
        tensor.bytes =
            values.iter().flat_map(|&value| change(f64::from(f32::from_le_bytes(value))).to_le_bytes()).collect();
        tensor.dtype = Dtype::F64;
    };
    // A hundredth of the distance to the next f32, which rounding takes away.
    let all = model(|tensors| tensors.iter_mut().for_each(|tensor| double(tensor, |value| value * (1.0 + 5e-10))));
    all.expect_all();
    let large = model(|tensors| double(tensor(tensors, WORDS), |value| value * 1e38));
    large.expect_error(&["model.safetensors", WORDS, "inf"]);
}

#[test]
fn a_directory_of_googles_program_is_told_how_to_convert() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["bert_config.json", "bert_model.ckpt.index", "vocab.txt"] {
        fs::write(dir.path().join(name), "{}").unwrap();
    }
    let error = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("TensorFlow") && error.contains("save_pretrained"), "{error}");
}

#[test]
fn a_head_is_whole_or_not_there() {
    for name in ["cls.predictions.transform.LayerNorm.weight", "cls.seq_relationship.bias", "bert.pooler.dense.bias"] {
        model(|tensors| tensors.retain(|tensor| tensor.name != name)).expect_error(&[
            "model.safetensors",
            name,
            "missing",
        ]);
    }
}

#[test]
fn heads_that_are_missing_are_named_and_left_alone() {
    let encoder = model(|tensors| {
        tensors.retain(|tensor| tensor.name.starts_with("bert.e"));
    });
    assert_eq!(encoder.open().unwrap().heads(), HeadSet::default());
    let (report, read) = encoder.read().unwrap();
    assert!(report.missing.contains(&"bert.pooler.dense.weight".to_string()));
    assert!(report.missing.contains(&"cls.predictions.transform.LayerNorm.bias".to_string()));
    assert_eq!(report.missing.len(), 2 + 5 + 2 + 2);
    for parameter in &encoder.declaration.parameters {
        let values = &read[parameter.span.range()];
        let missing = report.missing.contains(&parameter.name);
        assert_eq!(missing, values.iter().all(|value| value.is_nan()), "{}", parameter.name);
        assert!(missing || values == &encoder.weights[parameter.span.range()]);
    }
}

#[test]
fn without_a_pooler_there_is_no_head_on_it() {
    let model = model(|tensors| tensors.retain(|tensor| !tensor.name.contains("pooler")));
    assert_eq!(
        model.open().unwrap().heads(),
        HeadSet {
            // A classifier that has no pooler to read from reads tokens.
            task: Some(TaskHead::Tokens(3)),
            mlm: true,
            ..HeadSet::default()
        }
    );
}

#[test]
fn what_a_model_has_no_place_for_is_named_as_it_is_stored() {
    let model = model(|tensors| {
        rename(tensors, "bert.", "");
        copy(tensors, "classifier.bias", "qa_outputs.bias");
        copy(tensors, "embeddings.word_embeddings.weight", DECODER);
    });
    let declaration = Declaration::new(&small_config(), HeadSet::default());
    let mut read = vec![0.0; declaration.len];
    let report = model.open().unwrap().read(&declaration, &mut read).unwrap();
    assert_eq!(read, model.weights[..declaration.len]);
    assert!(report.missing.is_empty());
    assert!(report.unused.contains(&"qa_outputs.bias".to_string()));
    assert!(report.unused.contains(&"pooler.dense.weight".to_string()));
    assert_eq!(report.unused.len(), 1 + 2 + 5 + 2 + 2);
}

#[test]
fn an_encoder_that_is_incomplete_is_an_error() {
    let name = "bert.encoder.layer.1.output.dense.bias";
    let incomplete = model(|tensors| tensors.retain(|tensor| tensor.name != name));
    incomplete.expect_error(&["model.safetensors", name, "missing", "[6]"]);
}

#[test]
fn a_shape_that_does_not_fit_is_an_error() {
    let wrong = model(|tensors| tensor(tensors, "bert.encoder.layer.0.intermediate.dense.weight").shape.reverse());
    wrong.expect_error(&["bert.encoder.layer.0.intermediate.dense.weight", "[5, 6]", "[6, 5]"]);
    let vocabulary = model(|tensors| {
        let words = tensor(tensors, WORDS);
        words.shape[0] = 10;
        words.bytes.truncate(10 * 6 * 4);
    });
    vocabulary.expect_error(&[WORDS, "[11, 6]", "[10, 6]"]);
}

#[test]
fn a_type_that_cannot_be_read_is_an_error() {
    let integers = model(|tensors| tensor(tensors, WORDS).dtype = Dtype::I32);
    integers.expect_error(&["model.safetensors", WORDS, "type F32, F16, BF16 or F64, found I32"]);
}

#[test]
fn a_number_that_is_not_finite_is_an_error() {
    let broken = model(|tensors| {
        tensor(tensors, WORDS).bytes[7 * 4..8 * 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    broken.expect_error(&["model.safetensors", WORDS, "element 7", "NaN"]);
}

#[test]
fn a_classifier_of_tokens_is_not_one_of_texts() {
    let model = model(|_| {});
    let config = Config { architectures: vec!["BertForTokenClassification".into()], ..small_config() };
    config.write(&model.dir.path().join("config.json")).unwrap();
    assert_eq!(model.open().unwrap().heads().task, Some(TaskHead::Tokens(3)));
    let mut forgotten = model.open().unwrap();
    forgotten.forget_task();
    let report = forgotten.report(&Declaration::new(&config, ALL)).unwrap();
    assert_eq!(report.missing, ["classifier.weight", "classifier.bias"]);
    assert_eq!(report.unused, ["classifier.bias", "classifier.weight"]);
}

#[test]
fn a_classifier_must_have_a_row_for_each_label() {
    let model = model(|_| {});
    let config = Config { labels: vec!["a".into(), "b".into()], ..small_config() };
    config.write(&model.dir.path().join("config.json")).unwrap();
    model.expect_error(&["classifier.weight", "2 labels", "found 3"]);
}

#[test]
fn a_classifier_without_named_labels_has_numbered_ones() {
    let model = model(|_| {});
    Config { labels: Vec::new(), ..small_config() }.write(&model.dir.path().join("config.json")).unwrap();
    assert_eq!(model.open().unwrap().config().labels, ["LABEL_0", "LABEL_1", "LABEL_2"]);
    model.expect_all();
}

#[test]
fn a_forgotten_classifier_makes_room_for_one_with_other_labels() {
    let model = model(|_| {});
    let declaration = Declaration::new(&small_config(), HeadSet { task: Some(TaskHead::Pooled(5)), ..ALL });
    let mut read = vec![0.0; declaration.len];
    let mut checkpoint = model.open().unwrap();
    expect_error(checkpoint.read(&declaration, &mut read), &["classifier.weight", "[5, 6]", "[3, 6]"]);
    checkpoint.forget_task();
    let report = checkpoint.read(&declaration, &mut read).unwrap();
    assert_eq!(report.missing, ["classifier.weight", "classifier.bias"]);
    assert_eq!(report.unused, ["classifier.bias", "classifier.weight"]);
}

/// Two shards and their index, as `change` leaves it.
fn sharded(change: impl FnOnce(&mut serde_json::Value)) -> Model {
    let model = model(|_| {});
    let dir = model.dir.path();
    let tensors = stored(&model.declaration, &model.weights);
    fs::remove_file(dir.join("model.safetensors")).unwrap();
    let (first, second) = tensors.split_at(9);
    let mut weight_map = serde_json::Map::new();
    for (shard, tensors) in [("model-00001-of-00002.safetensors", first), ("model-00002-of-00002.safetensors", second)]
    {
        write_stored(&dir.join(shard), tensors);
        weight_map.extend(tensors.iter().map(|tensor| (tensor.name.clone(), shard.into())));
    }
    let mut index = json!({ "metadata": { "total_size": 1 }, "weight_map": weight_map });
    change(&mut index);
    fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
    model
}

#[test]
fn shards_with_an_index() {
    sharded(|_| {}).expect_all();
}

#[test]
fn a_missing_shard_is_an_error() {
    let model = sharded(|_| {});
    fs::remove_file(model.dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    model.expect_error(&["model-00002-of-00002.safetensors", "missing", "index.json"]);
}

#[test]
fn an_index_that_does_not_fit_its_shards_is_an_error() {
    let elsewhere = sharded(|index| index["weight_map"][WORDS] = "model-00002-of-00002.safetensors".into());
    elsewhere.expect_error(&["model-0000", WORDS, "index.json"]);
    let unlisted = sharded(|index| {
        index["weight_map"].as_object_mut().unwrap().remove(WORDS);
    });
    unlisted.expect_error(&["model-00001-of-00002.safetensors", WORDS, "index.json"]);
    let invented = sharded(|index| index["weight_map"]["bert.x"] = "model-00001-of-00002.safetensors".into());
    invented.expect_error(&["model-00001-of-00002.safetensors", "bert.x", "missing"]);
    let empty = sharded(|index| index["weight_map"] = serde_json::Value::Null);
    empty.expect_error(&["index.json", "weight_map"]);
}

#[test]
fn an_index_that_leads_out_of_the_folder_is_an_error() {
    let outside = TempDir::new().unwrap();
    let absolute = outside.path().join("x.safetensors");
    for name in ["../x.safetensors", "sub/x.safetensors", "..", ".", "", "a\\b", "./x", absolute.to_str().unwrap()] {
        let model = sharded(|index| index["weight_map"][WORDS] = name.into());
        model.expect_error(&["index.json", WORDS, "same folder"]);
    }
}

#[test]
fn a_directory_with_pickled_weights_only_says_how_to_convert_them() {
    let model = model(|_| {});
    let dir = model.dir.path();
    fs::rename(dir.join("model.safetensors"), dir.join("pytorch_model.bin")).unwrap();
    model.expect_error(&["pytorch_model.bin", "model.safetensors", "save_pretrained"]);
    fs::remove_file(dir.join("pytorch_model.bin")).unwrap();
    model.expect_error(&["neither model.safetensors nor model.safetensors.index.json"]);
}

#[test]
fn a_model_written_by_transformers() {
    for activation in ["gelu", "gelu_new", "relu"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(activation);
        let checkpoint = Checkpoint::open(&dir).unwrap();
        assert_eq!(checkpoint.heads(), ALL);
        let declaration = Declaration::new(checkpoint.config(), ALL);
        let mut read = vec![f32::NAN; declaration.len];
        assert_eq!(checkpoint.read(&declaration, &mut read).unwrap(), Report::default());
        assert!(read.iter().all(|weight| weight.is_finite()));
    }
}
