//! Files of instances: JSON lines, which people can read, and the TFRecord files of Google's script.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use cloze_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::checkpoint::write_with;
use crate::data::blocks::utf8;
use crate::data::tfrecord::{read_record, write_record};
use crate::error::at;

use super::example::{from_example, to_example};
use super::{Instance, InstanceOptions};

/// What a file of instances looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// `.jsonl`: an object a line, with tokens as ids and as strings, without padding.
    JsonLines,
    /// `.tfrecord`: `tf.train.Example` messages with the features that BERT's training scripts read, padded.
    TfRecord,
}

impl FileFormat {
    /// The format that the ending of a file's name tells.
    ///
    /// # Errors
    ///
    /// If it tells none.
    pub fn of(path: &Path) -> Result<FileFormat, Error> {
        match path.extension().map(|ending| ending.to_ascii_lowercase()).as_deref().and_then(|ending| ending.to_str()) {
            Some("jsonl") => Ok(FileFormat::JsonLines),
            Some("tfrecord") => Ok(FileFormat::TfRecord),
            _ => Err(Error::Settings(format!(
                "{}: the ending names no format of instances; expected .jsonl or .tfrecord",
                path.display()
            ))),
        }
    }
}

/// A line with an instance. Strings are for those who read it; only ids are read back.
#[derive(Serialize)]
struct Line<'a> {
    tokens: Vec<&'a str>,
    segment_ids: &'a [u8],
    is_random_next: bool,
    masked_lm_positions: &'a [u32],
    masked_lm_labels: Vec<&'a str>,
    input_ids: &'a [u32],
    masked_lm_ids: &'a [u32],
}

#[derive(Deserialize)]
struct ReadLine {
    segment_ids: Vec<u8>,
    is_random_next: bool,
    masked_lm_positions: Vec<u32>,
    input_ids: Vec<u32>,
    masked_lm_ids: Vec<u32>,
}

/// Writes a file of instances in the format that its name's ending tells. The file has its name only when it is whole.
///
/// `options` are those the instances were made with: the maxima are what they are padded to.
///
/// # Errors
///
/// An ending that tells no format; what the system says about the file.
pub fn write_instances(
    path: &Path,
    instances: &[Instance],
    tokenizer: &Tokenizer,
    options: &InstanceOptions,
) -> Result<(), Error> {
    let format = FileFormat::of(path)?;
    write_with(path, |file| {
        for instance in instances {
            let written = match format {
                FileFormat::JsonLines => write_line(file, instance, tokenizer),
                FileFormat::TfRecord => write_record(file, &to_example(instance, options)),
            };
            written.map_err(at("write to", path))?;
        }
        Ok(())
    })
}

fn write_line(file: &mut impl Write, instance: &Instance, tokenizer: &Tokenizer) -> std::io::Result<()> {
    let strings = |ids: &[u32]| ids.iter().map(|&id| tokenizer.token(id).unwrap_or_default()).collect();
    let line = Line {
        tokens: strings(&instance.tokens),
        segment_ids: &instance.segment_ids,
        is_random_next: instance.is_random_next,
        masked_lm_positions: &instance.masked_lm_positions,
        masked_lm_labels: strings(&instance.masked_lm_labels),
        input_ids: &instance.tokens,
        masked_lm_ids: &instance.masked_lm_labels,
    };
    serde_json::to_writer(&mut *file, &line)?;
    file.write_all(b"\n")
}

/// The instances of a file, of this program's or of Google's, without padding.
///
/// # Errors
///
/// An ending that tells no format; a file that cannot be read. With the line or the number of the record, from 1: what
/// is no such object or message; lengths that do not fit each other; a segment other than 0 and 1; positions that do
/// not rise or lie outside of the tokens.
pub fn read_instances(path: &Path) -> Result<Vec<Instance>, Error> {
    match FileFormat::of(path)? {
        FileFormat::JsonLines => read_lines(path),
        FileFormat::TfRecord => read_records(path),
    }
}

fn read_lines(path: &Path) -> Result<Vec<Instance>, Error> {
    let mut reader = BufReader::new(File::open(path).map_err(at("read", path))?);
    let mut instances = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(at("read", path))? == 0 {
            break;
        }
        let fault = |message: String| Error::Data { path: path.to_path_buf(), line: Some(line), message };
        let text = utf8(&bytes, path, line - 1)?;
        let read: ReadLine =
            serde_json::from_str(text).map_err(|error| fault(format!("not the object of an instance: {error}")))?;
        let instance = Instance {
            tokens: read.input_ids,
            segment_ids: read.segment_ids,
            is_random_next: read.is_random_next,
            masked_lm_positions: read.masked_lm_positions,
            masked_lm_labels: read.masked_lm_ids,
        };
        check(&instance).map_err(fault)?;
        instances.push(instance);
    }
    Ok(instances)
}

fn read_records(path: &Path) -> Result<Vec<Instance>, Error> {
    let mut reader = BufReader::new(File::open(path).map_err(at("read", path))?);
    let (mut instances, mut record, mut offset) = (Vec::new(), Vec::new(), 0);
    while read_record(&mut record, &mut reader, &mut offset, path)? {
        let instance = from_example(&record).and_then(|instance| check(&instance).map(|()| instance));
        instances.push(instance.map_err(|message| Error::Data {
            path: path.to_path_buf(),
            line: None,
            message: format!(
                "record {}: {message}; expected an example of pre-training, as create_pretraining_data.py writes it",
                instances.len() + 1
            ),
        })?);
    }
    Ok(instances)
}

/// What does not fit together in an instance that was read.
fn check(instance: &Instance) -> Result<(), String> {
    let tokens = instance.tokens.len();
    if tokens == 0 {
        return Err("there are no tokens".to_string());
    }
    if instance.segment_ids.len() != tokens {
        return Err(format!("{} segments for {tokens} tokens", instance.segment_ids.len()));
    }
    if let Some(segment) = instance.segment_ids.iter().find(|&&segment| segment > 1) {
        return Err(format!("segment {segment}; expected 0 or 1"));
    }
    let (positions, labels) = (&instance.masked_lm_positions, instance.masked_lm_labels.len());
    if positions.len() != labels {
        return Err(format!("{} masked positions with {labels} labels", positions.len()));
    }
    if positions.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("the masked positions do not rise".to_string());
    }
    match positions.last() {
        Some(&last) if last as usize >= tokens => Err(format!("position {last} of {tokens} tokens, counted from 0")),
        _ => Ok(()),
    }
}
