//! The model and the settings of a check.

use std::path::{Path, PathBuf};

use cloze_tokenizer::{Casing, Note, Tokenizer};

use crate::Config;
use crate::checkpoint::{Checkpoint, open_tokenizer};
use crate::folder;
use crate::infer::check_vocabulary;
use crate::numbers::Count;
use crate::params::TaskHead;
use crate::settings::Start;

use super::finding::{Finding, Severity, percent};
use super::read::{Data, Item};
use super::{CheckSettings, Depth};

/// Tokens with capitals that a vocabulary for lower-cased text may have: names of added tokens and the like.
const CAPITALS_IN_UNCASED: f64 = 0.01;

/// What could be opened of the model.
#[derive(Default)]
pub(super) struct Opened {
    pub config: Option<Config>,
    /// The head that it was fine-tuned with.
    pub head: Option<TaskHead>,
    pub tokenizer: Option<Tokenizer>,
}

impl Opened {
    /// The tokenizer's path.
    fn tokenizer_path(settings: &CheckSettings) -> Option<&PathBuf> {
        match (&settings.tokenizer, &settings.start) {
            (Some(path), _) | (None, Some(Start::Model(path))) => Some(path),
            _ => None,
        }
    }
}

/// Opens what the settings name. The tokenizer is not needed where nothing is tokenized.
pub(super) fn open(settings: &CheckSettings, depth: Depth, findings: &mut Vec<Finding>) -> Opened {
    let mut opened = Opened::default();
    if let (Some(path), Depth::Full) = (Opened::tokenizer_path(settings), depth) {
        let casing = settings.cased.then_some(Casing::Cased);
        let tokenizer = folder::read(path).and_then(|_reading| open_tokenizer(path, casing, settings.tokenizer_file));
        match tokenizer {
            Ok(tokenizer) => {
                let note = |note: &Note| Finding::new(Severity::Note, "tokenizer", path, None, note.to_string());
                findings.extend(tokenizer.notes().iter().map(note));
                opened.tokenizer = Some(tokenizer);
            }
            Err(error) => findings.push(Finding::of_error("tokenizer", path, &error)),
        }
    }
    match &settings.start {
        None => {}
        Some(Start::Preset(name)) => {
            opened.config = Config::preset(name);
            if let (Some(config), Some(tokenizer)) = (&mut opened.config, &opened.tokenizer) {
                config.vocab_size = tokenizer.vocab_size();
            }
        }
        Some(Start::Config(path)) => match Config::read(path) {
            Ok(config) => opened.config = Some(config),
            Err(error) => findings.push(Finding::of_error("model", path, &error)),
        },
        Some(Start::Model(path)) => {
            let checkpoint = Checkpoint::open(path).and_then(|checkpoint| {
                checkpoint.expect_all_digits("train")?;
                Ok(checkpoint)
            });
            match checkpoint {
                Ok(checkpoint) => {
                    opened.head = checkpoint.heads().task;
                    opened.config = Some(checkpoint.config().clone());
                }
                Err(error) => findings.push(Finding::of_error("model", path, &error)),
            }
        }
    }
    opened
}

/// Settings that do not fit the model, or each other.
pub(super) fn check_settings(
    settings: &CheckSettings,
    model: &Opened,
    train: Option<&Data>,
    findings: &mut Vec<Finding>,
) {
    let path = match &settings.start {
        Some(Start::Model(path) | Start::Config(path)) => path,
        _ => &settings.train,
    };
    let mut tell = |severity, kind, path: &Path, message| {
        findings.push(Finding::new(severity, kind, path, None, message));
    };
    let &CheckSettings { max_seq_length, batch_size, accumulate, .. } = settings;
    if let Some(config) = model.config.as_ref().filter(|config| max_seq_length > config.max_position_embeddings) {
        let most = config.max_position_embeddings;
        let message = format!(
            "--max-seq-length {max_seq_length}, but the model reads up to {most} tokens (max_position_embeddings); give \
             {most} or less"
        );
        tell(Severity::Error, "max-seq-length", path, message);
    }
    if max_seq_length < 5 {
        let message = format!("--max-seq-length {max_seq_length} leaves no room for text; give 5 or more");
        tell(Severity::Error, "max-seq-length", path, message);
    }
    if accumulate > batch_size {
        let message = format!("--batch-size {batch_size} cannot be computed in --accumulate {accumulate} parts");
        tell(Severity::Error, "accumulate", &settings.train, message);
    }
    if let Some(examples) = train.map(Data::len).filter(|&examples| examples < batch_size) {
        let message = format!(
            "--batch-size {batch_size}, but there are only {} examples: each epoch is a single step; give a \
             smaller batch",
            Count(examples)
        );
        tell(Severity::Warning, "batch-size", &settings.train, message);
    }
}

/// A tokenizer that does not fit the model, or whose vocabulary was made for text in another case.
pub(super) fn check_tokenizer(
    settings: &CheckSettings,
    model: &Opened,
    data: &[Vec<Item>],
    findings: &mut Vec<Finding>,
) {
    let (Some(tokenizer), Some(path)) = (&model.tokenizer, Opened::tokenizer_path(settings)) else { return };
    let mut tell = |severity, kind, message| findings.push(Finding::new(severity, kind, path, None, message));
    if let Some(config) = &model.config {
        if let Err(error) = check_vocabulary(tokenizer, config, path) {
            tell(Severity::Error, "vocabulary", error.to_string());
        } else if tokenizer.vocab_size() < config.vocab_size {
            let message = format!(
                "the vocabulary has {} tokens, the model's word embeddings have {}; that is as it should be if they \
                 were padded, otherwise use the tokenizer that belongs to the model",
                Count(tokenizer.vocab_size()),
                Count(config.vocab_size)
            );
            tell(Severity::Note, "vocabulary", message);
        }
    }
    let fits_model =
        model.config.as_ref().is_none_or(|config| settings.max_seq_length <= config.max_position_embeddings);
    let shorter = |&length: &usize| length < settings.max_seq_length;
    if let Some(length) = tokenizer.model_max_length().filter(shorter).filter(|_| fits_model) {
        let message = format!(
            "tokenizer_config.json names {length} tokens as the longest input (model_max_length), --max-seq-length is \
             {}",
            settings.max_seq_length
        );
        tell(Severity::Note, "max-seq-length", message);
    }
    let words = (0..tokenizer.vocab_size() as u32).filter_map(|id| tokenizer.token(id));
    let words: Vec<&str> = words.filter(|token| !(token.starts_with('[') && token.ends_with(']'))).collect();
    let capitals = words.iter().filter(|token| has_capital(token)).count();
    let share = capitals as f64 / words.len().max(1) as f64;
    if tokenizer.casing() == Casing::Uncased && share > CAPITALS_IN_UNCASED {
        let message = format!(
            "text is lower-cased, but {capitals} tokens of the vocabulary ({}) have capitals and can never occur: it \
             is a cased model's; give --cased, or `\"do_lower_case\": false` in tokenizer_config.json",
            percent(capitals, words.len())
        );
        tell(Severity::Warning, "casing", message);
    }
    let has_letters = words.iter().any(|token| token.chars().any(char::is_lowercase));
    if tokenizer.casing() == Casing::Cased && capitals == 0 && has_letters {
        let all = || data.iter().flat_map(|items| items.iter());
        let with_capitals = all().filter(|item| item.parts.iter().any(|part| has_capital(part))).count();
        if with_capitals > 0 {
            let message = format!(
                "text keeps its capitals, but no token of the vocabulary has one: words with capitals become [UNK], in \
                 {} of {} examples; leave --cased out, or give `\"do_lower_case\": true` in \
                 tokenizer_config.json",
                Count(with_capitals),
                Count(all().count())
            );
            tell(Severity::Warning, "casing", message);
        }
    }
}

fn has_capital(text: &str) -> bool {
    text.chars().any(char::is_uppercase)
}
