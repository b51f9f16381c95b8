//! Files of instances: JSON lines, which people can read, and the TFRecord files of Google's script.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use cloze_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::checkpoint::{hex, write_with};
use crate::data::encoding::utf8;
use crate::data::tfrecord::{read_record, write_record};
use crate::error::at;
use crate::folder::remove_stale_of;

use super::example::{from_example, to_example};
use super::{Instance, InstanceOptions};

/// What a file of instances looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// `.jsonl`: an object a line, with the names of Google's script and tokens as strings, without padding.
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

/// A line with an instance.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    tokens: Vec<Cow<'a, str>>,
    segment_ids: Vec<u8>,
    is_random_next: bool,
    masked_lm_positions: Vec<u32>,
    #[serde(borrow)]
    masked_lm_labels: Vec<Cow<'a, str>>,
}

/// Writes a file of instances in the format that its name's ending tells. The file has its name only when it is whole.
///
/// `options` are those the instances were made with: the maxima are what they are padded to.
///
/// # Errors
///
/// An ending that tells no format; what the system says about the file.
///
/// # Panics
///
/// If an instance is longer than the maxima.
pub fn write_instances(
    path: &Path,
    instances: &[Instance],
    tokenizer: &Tokenizer,
    options: &InstanceOptions,
) -> Result<(), Error> {
    let format = FileFormat::of(path)?;
    remove_stale_of(path);
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
    let strings = |ids: &[u32]| ids.iter().map(|&id| tokenizer.token(id).unwrap_or_default().into()).collect();
    let line = Line {
        tokens: strings(&instance.tokens),
        segment_ids: instance.segment_ids.clone(),
        is_random_next: instance.is_random_next,
        masked_lm_positions: instance.masked_lm_positions.clone(),
        masked_lm_labels: strings(&instance.masked_lm_labels),
    };
    serde_json::to_writer(&mut *file, &line)?;
    file.write_all(b"\n")
}

/// Files of instances, of this program's or of Google's, that stay on the disk: any instance can be read at any time.
#[derive(Debug)]
pub struct InstanceFiles {
    tokenizer: Tokenizer,
    files: Vec<InstanceFile>,
    /// Where each instance begins: number of the file, byte.
    places: Vec<(u32, u64)>,
    longest: usize,
    tokens: u64,
    /// How often each token is to be predicted, `[vocab]`.
    label_counts: Vec<u64>,
    hash: String,
}

#[derive(Debug)]
struct InstanceFile {
    path: PathBuf,
    format: FileFormat,
    file: File,
    /// Instances in the files before it.
    before: usize,
}

impl InstanceFiles {
    /// Reads all files once, so that no fault is found later. `progress` is told the bytes done and the bytes in total.
    ///
    /// # Errors
    ///
    /// An ending that tells no format; a file that cannot be read or holds no instances. With the line or the number of
    /// the record, from 1: what is no such object or message; lengths that do not fit each other; a segment other than
    /// 0 and 1; positions that do not rise or lie outside of the tokens; tokens that the vocabulary does not have.
    pub fn open(
        paths: &[PathBuf],
        tokenizer: &Tokenizer,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<InstanceFiles, Error> {
        let mut total = 0;
        for path in paths {
            total += std::fs::metadata(path).map_err(at("read", path))?.len();
        }
        let mut opened = InstanceFiles {
            tokenizer: tokenizer.clone(),
            files: Vec::new(),
            places: Vec::new(),
            longest: 0,
            tokens: 0,
            label_counts: vec![0; tokenizer.vocab_size()],
            hash: String::new(),
        };
        let mut hasher = Sha256::new();
        let mut bytes_before = 0;
        for path in paths {
            let format = FileFormat::of(path)?;
            let file = File::open(path).map_err(at("read", path))?;
            let mut reader = Reader { path, format, input: BufReader::new(&file), offset: 0, number: 0, tokenizer };
            let before = opened.places.len();
            loop {
                let place = (opened.files.len() as u32, reader.offset);
                let Some(instance) = reader.next_instance()? else { break };
                opened.places.push(place);
                opened.tokens += instance.tokens.len() as u64;
                opened.longest = opened.longest.max(instance.tokens.len());
                instance.masked_lm_labels.iter().for_each(|&label| opened.label_counts[label as usize] += 1);
                hash_instance(&mut hasher, &instance);
                if reader.number.is_multiple_of(1024) {
                    progress(bytes_before + reader.offset, total);
                }
            }
            if opened.places.len() == before {
                let message =
                    "there are no instances in it; leave it out, or check that it is the right one".to_string();
                return Err(Error::Data { path: path.clone(), line: None, message });
            }
            bytes_before += reader.offset;
            opened.files.push(InstanceFile { path: path.clone(), format, file, before });
        }
        opened.hash = hex(hasher);
        Ok(opened)
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none, which only an empty list of files gives.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Tokens of the longest instance.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Tokens of all instances.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// How often each token is to be predicted, `[vocab]`.
    pub fn label_counts(&self) -> &[u64] {
        &self.label_counts
    }

    /// SHA-256 of all instances, in hexadecimal: equal for equal instances, whatever files they stand in.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Some instances in a row, in the order of the files.
    ///
    /// # Errors
    ///
    /// As [`InstanceFiles::open`], if a file has changed since.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<Instance>, Error> {
        range.map(|index| self.read_one(index)).collect()
    }

    fn read_one(&self, index: usize) -> Result<Instance, Error> {
        let (file, offset) = self.places[index];
        let InstanceFile { path, format, file, before } = &self.files[file as usize];
        let mut input = BufReader::with_capacity(4096, file);
        input.seek(SeekFrom::Start(offset)).map_err(at("read", path))?;
        let number = index - before;
        let mut reader = Reader { path, format: *format, input, offset, number, tokenizer: &self.tokenizer };
        reader.next_instance()?.ok_or_else(|| Error::Data {
            path: path.clone(),
            line: None,
            message: "the file has become shorter since it was opened; restore it".to_string(),
        })
    }
}

/// A file of instances that is being read.
struct Reader<'a> {
    path: &'a Path,
    format: FileFormat,
    input: BufReader<&'a File>,
    /// Bytes before the next instance.
    offset: u64,
    /// Instances before it.
    number: usize,
    tokenizer: &'a Tokenizer,
}

impl Reader<'_> {
    fn next_instance(&mut self) -> Result<Option<Instance>, Error> {
        let mut bytes = Vec::new();
        let instance = match self.format {
            FileFormat::JsonLines => {
                let read = self.input.read_until(b'\n', &mut bytes).map_err(at("read", self.path))?;
                if read == 0 {
                    return Ok(None);
                }
                self.offset += read as u64;
                from_line(utf8(&bytes, self.path, self.number)?, self.tokenizer)
            }
            FileFormat::TfRecord => {
                if !read_record(&mut bytes, &mut self.input, &mut self.offset, self.path)? {
                    return Ok(None);
                }
                from_example(&bytes)
            }
        };
        self.number += 1;
        let checked = instance.and_then(|instance| check(&instance, self.tokenizer.vocab_size()).map(|()| instance));
        checked.map(Some).map_err(|message| {
            let (line, message) = match self.format {
                FileFormat::JsonLines => (Some(self.number), message),
                FileFormat::TfRecord => {
                    let expected = "expected an example of pre-training, as create_pretraining_data.py writes it";
                    (None, format!("record {}: {message}; {expected}", self.number))
                }
            };
            Error::Data { path: self.path.to_path_buf(), line, message }
        })
    }
}

fn from_line(text: &str, tokenizer: &Tokenizer) -> Result<Instance, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| format!("not the object of an instance: {error}"))?;
    let id = |token: &Cow<str>| tokenizer.id(token).ok_or_else(|| format!("`{token}` is not in the vocabulary"));
    let ids = |tokens: &[Cow<str>]| tokens.iter().map(id).collect::<Result<Vec<u32>, String>>();
    Ok(Instance {
        tokens: ids(&line.tokens)?,
        masked_lm_labels: ids(&line.masked_lm_labels)?,
        segment_ids: line.segment_ids,
        is_random_next: line.is_random_next,
        masked_lm_positions: line.masked_lm_positions,
    })
}

/// What does not fit together in an instance that was read.
fn check(instance: &Instance, vocab_size: usize) -> Result<(), String> {
    let tokens = instance.tokens.len();
    if tokens == 0 {
        return Err("there are no tokens".to_string());
    }
    let mut ids = instance.tokens.iter().chain(&instance.masked_lm_labels);
    if let Some(id) = ids.find(|&&id| id as usize >= vocab_size) {
        return Err(format!("token {id} of a vocabulary of {vocab_size}"));
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

fn hash_instance(hasher: &mut Sha256, instance: &Instance) {
    let lists = [&instance.tokens, &instance.masked_lm_positions, &instance.masked_lm_labels];
    for list in lists {
        hasher.update((list.len() as u64).to_le_bytes());
        list.iter().for_each(|number| hasher.update(number.to_le_bytes()));
    }
    hasher.update(&instance.segment_ids);
    hasher.update([u8::from(instance.is_random_next)]);
}
