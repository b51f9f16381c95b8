//! A model directory with the encoder's weights in int8, a quarter of their size, from another model directory.
//!
//! The weights are in `model.int8.safetensors`, which `docs/int8.md` describes. The rounding is that of opening
//! the source in int8, so both give the same answers to the bit.

use std::fs;
use std::path::Path;

use cloze_kernels::quantize_rows;
use cloze_tokenizer::{Tokenizer, TokenizerFile};
use safetensors::Dtype;

use crate::Error;
use crate::checkpoint::index::{QUANTIZED, QUANTIZED_METADATA, SHARDS, SINGLE};
use crate::checkpoint::{
    Checkpoint, Report, SentenceSettings, TensorHead, holds_model, open_tokenizer, scale_name, write_tensor_file,
};
use crate::error::at;
use crate::folder::{Folder, Replacement};
use crate::infer::check_vocabulary;
use crate::params::{Declaration, Parameter};
use crate::settings::StoredSettings;
use crate::train::{CARD, EVALUATION, REPORT, RUN_STATE, TRAINER_STATE, is_ours};

/// What was quantized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantized {
    /// What the source lacks, and what it has that the model has no place for and is left out.
    pub report: Report,
    /// Of the file with the weights.
    pub bytes: u64,
    /// Of the same weights in f32.
    pub bytes_f32: u64,
}

/// Writes the model of the directory `model`, with the encoder's weights in int8, to the directory `output`,
/// together with everything that the model is used with: configuration, tokenizer, pooling, stored settings. Where the
/// files of the tokenizer contradict each other, `file` decides.
///
/// # Errors
/// If the source is damaged, no BERT, or in int8 already; if `output` is the source, or holds a model and is not
/// to be overwritten; if files cannot be written.
pub fn quantize(model: &Path, file: Option<TokenizerFile>, output: &Path, overwrite: bool) -> Result<Quantized, Error> {
    let checkpoint = Checkpoint::open(model)?;
    checkpoint.expect_all_digits("quantize")?;
    let config = checkpoint.config();
    let tokenizer = open_tokenizer(model, None, file)?;
    check_vocabulary(&tokenizer, config, model)?;
    let sentence = SentenceSettings::read(model)?;
    let settings = StoredSettings { run: None, files: None, ..StoredSettings::read(model)? };
    let declaration = Declaration::new(config, checkpoint.heads());
    let report = checkpoint.report(&declaration)?;
    let mut folder = take_folder(model, output, overwrite, "quantize")?;

    let obsolete = obsolete(output);
    let new = Replacement::new(&mut folder)?;
    let path = new.path().join(QUANTIZED);
    write_weights(&checkpoint, &declaration, &report, &path)?;
    let bytes = fs::metadata(&path).map_err(at("read", &path))?.len();
    config.write(&new.path().join("config.json"))?;
    tokenizer.limited_to(config.max_position_embeddings).save(new.path())?;
    if let Some(sentence) = sentence {
        sentence.write(new.path(), config.hidden_size)?;
    }
    new.install(settings, &obsolete)?;
    Ok(Quantized { report, bytes, bytes_f32: 4 * declaration.len as u64 })
}

/// Takes the folder, unless it is the model itself or holds a model that is to be kept.
pub(crate) fn take_folder(model: &Path, output: &Path, overwrite: bool, command: &str) -> Result<Folder, Error> {
    fs::create_dir_all(output).map_err(at("create", output))?;
    let place = |path: &Path| fs::canonicalize(path).map_err(at("read", path));
    let shown = output.display();
    if place(model)? == place(output)? {
        return Err(Error::Settings(format!(
            "{shown} is the model itself, which stays as it is; choose another --output"
        )));
    }
    let folder = Folder::take(output, command)?;
    if overwrite {
        return Ok(folder);
    }
    folder.expect_own()?;
    // What the same command has left half-replaced is nobody's loss.
    if !folder.was_unfinished() && (holds_model(output) || StoredSettings::read(output)?.run.is_some()) {
        return Err(Error::Settings(format!(
            "{shown} already holds a model; choose another --output, or give --overwrite to replace it"
        )));
    }
    Ok(folder)
}

/// The files that an overwritten model or its training may have left, and that would be read as the new one's.
pub(crate) fn obsolete(output: &Path) -> Vec<&'static str> {
    let mut names = vec![
        SINGLE,
        SHARDS,
        QUANTIZED,
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        TRAINER_STATE,
        RUN_STATE,
    ];
    names.push(EVALUATION);
    names.extend(Tokenizer::FILES);
    names.extend([CARD, REPORT].into_iter().filter(|name| is_ours(&output.join(name))));
    names
}

/// Writes the tensors that the directory has, in the order of the declaration: a weight of the encoder in int8
/// and then its scales, all others in f32. A tensor at a time is in memory.
fn write_weights(
    checkpoint: &Checkpoint,
    declaration: &Declaration,
    report: &Report,
    path: &Path,
) -> Result<(), Error> {
    let is_there = |parameter: &&Parameter| !report.missing.contains(&parameter.name);
    let parameters: Vec<&Parameter> = declaration.parameters.iter().filter(is_there).collect();
    let mut heads = Vec::new();
    for parameter in &parameters {
        if parameter.is_encoder_weight() {
            heads.push(TensorHead::new(&parameter.name, Dtype::I8, &parameter.shape));
            heads.push(TensorHead::new(scale_name(parameter), Dtype::F32, &parameter.shape[..1]));
        } else {
            heads.push(TensorHead::new(&parameter.name, Dtype::F32, &parameter.shape));
        }
    }
    let metadata = QUANTIZED_METADATA.map(|(key, value)| (key.to_string(), value.to_string()));
    write_tensor_file(path, &heads, &metadata, |file| {
        for parameter in &parameters {
            if !parameter.is_encoder_weight() {
                checkpoint.for_each_piece(parameter, &mut |_, rows| file.f32(rows.numbers()))?;
                continue;
            }
            let mut scales = vec![0.0; parameter.shape[0]];
            let mut values = Vec::new();
            checkpoint.for_each_piece(parameter, &mut |first, rows| {
                let rows = rows.numbers();
                values.resize(rows.len(), 0);
                quantize_rows(&mut values, &mut scales[first..first + rows.len() / parameter.columns()], rows);
                file.i8(&values)
            })?;
            file.f32(&scales)?;
        }
        Ok(())
    })
}
