//! Directories with the encoder's weights in int8: what is accepted, and every damage by its name.

use std::collections::HashMap;
use std::fs;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

use super::pieces::Rows;
use super::tests::{ALL, Stored, expect_error, small_config, weights};
use super::*;
use crate::quantize::quantize;

const QUERY: &str = "bert.encoder.layer.1.attention.self.query.weight";
const SCALES: &str = "bert.encoder.layer.1.attention.self.query.weight_scale";

/// A small model, quantized, its tensors as `change` leaves them.
fn quantized(change: impl FnOnce(&mut Vec<Stored>)) -> TempDir {
    with_metadata(change, &[("format", "cloze-int8"), ("version", "1")])
}

fn with_metadata(change: impl FnOnce(&mut Vec<Stored>), metadata: &[(&str, &str)]) -> TempDir {
    let (source, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let declaration = Declaration::new(&small_config(), ALL);
    save(source.path(), &small_config(), &declaration, &weights(&declaration)).unwrap();
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"].map(str::to_string).to_vec();
    let tokenizer = cloze_tokenizer::Tokenizer::from_tokens(words, cloze_tokenizer::Casing::Uncased).unwrap();
    tokenizer.save(source.path()).unwrap();
    quantize(source.path(), None, dir.path(), false).unwrap();

    let path = dir.path().join("model.int8.safetensors");
    let bytes = fs::read(&path).unwrap();
    let mut tensors: Vec<Stored> = SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .map(|(name, tensor)| Stored {
            name,
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
            bytes: tensor.data().to_vec(),
        })
        .collect();
    change(&mut tensors);
    let views = tensors
        .iter()
        .map(|tensor| (&tensor.name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap()));
    let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect::<HashMap<_, _>>();
    fs::write(&path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    dir
}

fn tensor<'a>(tensors: &'a mut [Stored], name: &str) -> &'a mut Stored {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

/// Opens a directory and reads every tensor.
fn read_all(dir: &TempDir) -> Result<Report, Error> {
    let checkpoint = Checkpoint::open(dir.path())?;
    let declaration = Declaration::new(checkpoint.config(), checkpoint.heads());
    for parameter in &declaration.parameters {
        checkpoint.for_each_piece(parameter, &mut |_, _| Ok(()))?;
    }
    checkpoint.report(&declaration)
}

#[track_caller]
fn expect_damaged(change: impl FnOnce(&mut Vec<Stored>), parts: &[&str]) {
    let dir = quantized(change);
    expect_error(read_all(&dir), &["model.int8.safetensors"]);
    expect_error(read_all(&dir), parts);
}

#[test]
fn what_quantizing_wrote_is_read_with_all_its_tensors() {
    let dir = quantized(|_| {});
    let report = read_all(&dir).unwrap();
    assert_eq!((report.missing, report.unused), (Vec::new(), Vec::new()));
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert!(checkpoint.is_quantized());
    assert_eq!((checkpoint.heads(), &checkpoint.config().labels), (ALL, &small_config().labels));

    let declaration = Declaration::new(&small_config(), ALL);
    let weights = weights(&declaration);
    for parameter in &declaration.parameters {
        let source = &weights[parameter.span.range()];
        let mut pieces = 0;
        let mut check = |first: usize, rows: Rows| {
            assert_eq!(first, 0);
            pieces += 1;
            match rows {
                Rows::Numbers(numbers) => {
                    assert!(!parameter.is_encoder_weight(), "{}", parameter.name);
                    assert_eq!(numbers, source, "{}", parameter.name);
                }
                Rows::Quantized { values, scales } => {
                    assert!(parameter.is_encoder_weight(), "{}", parameter.name);
                    let mut expected = (vec![0; source.len()], vec![0.0; parameter.shape[0]]);
                    cloze_kernels::quantize_rows(&mut expected.0, &mut expected.1, source);
                    assert_eq!((values, scales), (&expected.0[..], &expected.1[..]), "{}", parameter.name);
                    assert!(values.iter().any(|&value| value.abs() == 127), "{}", parameter.name);
                }
            }
            Ok(())
        };
        checkpoint.for_each_piece(parameter, &mut check).unwrap();
        assert_eq!(pieces, 1, "{}", parameter.name);
    }
}

#[test]
fn a_file_in_f32_is_preferred() {
    let dir = quantized(|_| {});
    let declaration = Declaration::new(&small_config(), ALL);
    save(dir.path(), &small_config(), &declaration, &weights(&declaration)).unwrap();
    assert!(!Checkpoint::open(dir.path()).unwrap().is_quantized());
}

#[test]
fn training_needs_all_digits() {
    let dir = quantized(|_| {});
    let declaration = Declaration::new(&small_config(), ALL);
    let result = Checkpoint::open(dir.path()).unwrap().read(&declaration, &mut weights(&declaration));
    expect_error(result, &["model.int8.safetensors", "int8", "train", "quantized from"]);
}

#[test]
fn missing_scales() {
    expect_damaged(|tensors| tensors.retain(|tensor| tensor.name != SCALES), &[SCALES, "missing", "quantize"]);
}

#[test]
fn missing_values() {
    expect_damaged(|tensors| tensors.retain(|tensor| tensor.name != QUERY), &[QUERY, "missing"]);
}

#[test]
fn values_in_another_type() {
    let unsigned = |tensors: &mut Vec<Stored>| tensor(tensors, QUERY).dtype = Dtype::U8;
    expect_damaged(unsigned, &[QUERY, "type I8, found U8"]);
    let in_f32 = |tensors: &mut Vec<Stored>| {
        let query = tensor(tensors, QUERY);
        query.dtype = Dtype::F32;
        query.bytes.resize(4 * 36, 0);
    };
    expect_damaged(in_f32, &[QUERY, "type I8, found F32"]);
    let embeddings = "bert.embeddings.word_embeddings.weight";
    let in_i8 = |tensors: &mut Vec<Stored>| {
        let words = tensor(tensors, embeddings);
        words.dtype = Dtype::I8;
        words.bytes.truncate(66);
    };
    expect_damaged(in_i8, &[embeddings, "F16, BF16 or F64, found I8"]);
}

#[test]
fn scales_in_another_type() {
    let integers = |tensors: &mut Vec<Stored>| tensor(tensors, SCALES).dtype = Dtype::I32;
    expect_damaged(integers, &[SCALES, "type F32, found I32"]);
}

#[test]
fn shapes_that_do_not_fit() {
    let values = |tensors: &mut Vec<Stored>| tensor(tensors, QUERY).shape = vec![4, 9];
    expect_damaged(values, &[QUERY, "[6, 6]", "[4, 9]"]);
    let scales = |tensors: &mut Vec<Stored>| tensor(tensors, SCALES).shape = vec![6, 1];
    expect_damaged(scales, &[SCALES, "[6]", "[6, 1]"]);
    let one_for_all = |tensors: &mut Vec<Stored>| {
        let scales = tensor(tensors, SCALES);
        scales.shape = vec![1];
        scales.bytes.truncate(4);
    };
    expect_damaged(one_for_all, &[SCALES, "[6]", "[1]"]);
}

#[test]
fn scales_that_no_rounding_gives() {
    for (scale, found) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-0.5, "-0.5")] {
        let change = |tensors: &mut Vec<Stored>| {
            tensor(tensors, SCALES).bytes[8..12].copy_from_slice(&scale.to_le_bytes());
        };
        expect_damaged(change, &[SCALES, "element 2 is", found, "damaged"]);
    }
}

#[test]
fn a_value_that_no_rounding_gives() {
    let change = |tensors: &mut Vec<Stored>| tensor(tensors, QUERY).bytes[7] = 0x80;
    expect_damaged(change, &[QUERY, "element 7 is -128", "damaged"]);
}

#[test]
fn a_file_that_is_not_ours() {
    for (metadata, parts) in [
        (&[][..], ["`cloze-int8` as `format`", "found nothing"]),
        (&[("format", "pt")], ["`cloze-int8` as `format`", "found `pt`"]),
        (&[("format", "cloze-int8"), ("version", "2")], ["`1` as `version`", "found `2`"]),
    ] {
        let dir = with_metadata(|_| {}, metadata);
        expect_error(Checkpoint::open(dir.path()), &["model.int8.safetensors", parts[0], parts[1], "quantize"]);
    }
}

#[test]
fn every_truncation_is_an_error() {
    let dir = quantized(|_| {});
    let path = dir.path().join("model.int8.safetensors");
    let bytes = fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(61) {
        fs::write(&path, &bytes[..length]).unwrap();
        expect_error(read_all(&dir), &["model.int8.safetensors"]);
    }
}
