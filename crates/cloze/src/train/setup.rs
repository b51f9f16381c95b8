//! What every training begins with: tokenizer, configuration, first weights.

use std::path::PathBuf;

use cloze_kernels::Cpu;
use cloze_tokenizer::{Casing, Tokenizer, TokenizerFile};

use crate::checkpoint::{self, Checkpoint, forget_score_function, model_folder};
use crate::extend::{RowSource, move_rows, rows_by_token};
use crate::first_weights::FirstWeights;
use crate::folder;
use crate::infer::check_vocabulary;
use crate::optim::Schedule;
use crate::params::{Declaration, HeadSet};
use crate::precision::{self, Precision};
use crate::settings::{RunSettings, Start, StoredRun, StoredSettings, UpdateSettings, places};
use crate::{Config, Error};

use super::Trainer;
use super::events::{Event, Observer, RunOptions};
use super::found::Found;
use super::run::{Run, RunModel};

/// The tokenizer of a run: as asked for, else that of the model to start from. What was assumed is said.
pub(super) fn open_tokenizer(
    tokenizer: Option<&PathBuf>,
    cased: bool,
    start: &Start,
    options: &RunOptions,
    observer: &mut Observer,
) -> Result<Tokenizer, Error> {
    let casing = cased.then_some(Casing::Cased);
    let path = match (tokenizer, start) {
        (Some(path), _) | (None, Start::Model(path)) => path,
        _ => {
            return Err(Error::Settings(
                "random weights need a tokenizer: give --tokenizer with a model directory or a vocab.txt".to_string(),
            ));
        }
    };
    // The folder of the run, which this process has, may hold the tokenizer.
    let _reading = match (path.canonicalize(), options.output.canonicalize()) {
        (Ok(path), Ok(output)) if path == output => None,
        _ => Some(folder::read(path)?),
    };
    let tokenizer = checkpoint::open_tokenizer(path, casing, options.tokenizer_file)?;
    for note in tokenizer.notes() {
        let _ = observer(&Event::Note(note.to_string()));
    }
    Ok(tokenizer)
}

/// Where the rows of the word embeddings come from, if a run starts from a model and has another vocabulary than it; how
/// many of them are kept is said. A model without a tokenizer of its own is taken to have been made with this one.
///
/// # Errors
/// If the model's own tokenizer cannot be read, or does not fit the model.
pub(super) fn other_vocabulary(
    start: &Start,
    tokenizer: &Tokenizer,
    observer: &mut Observer,
) -> Result<Option<Vec<RowSource>>, Error> {
    let Start::Model(path) = start else { return Ok(None) };
    let folder = model_folder(path)?;
    if !Tokenizer::FILES.iter().any(|name| folder.join(name).exists()) {
        return Ok(None);
    }
    // Only the tokens matter here, not how text is normalized, so it does not matter which file is right about that.
    let _reading = folder::read(path)?;
    let file = folder.join("tokenizer.json").exists().then_some(TokenizerFile::TokenizerJson);
    let own = checkpoint::open_tokenizer(path, tokenizer.casing(), file)?;
    check_vocabulary(&own, Checkpoint::open(path)?.config(), path)?;
    let size = tokenizer.vocab_size();
    let is_prefix = (0..size as u32).all(|id| own.token(id) == tokenizer.token(id));
    if is_prefix && size <= own.vocab_size() {
        return Ok(None);
    }
    let rows = rows_by_token(&own, tokenizer);
    let count = |is: fn(&RowSource) -> bool| rows.iter().filter(|row| is(row)).count();
    let _ = observer(&Event::Note(format!(
        "the vocabulary is not the model's: {} of its {size} tokens are the model's, too, and keep their rows; {} get the \
         mean of the rows of their pieces, {} are drawn anew",
        count(|row| matches!(row, RowSource::Row(_))),
        count(|row| matches!(row, RowSource::Mean(_))),
        count(|row| matches!(row, RowSource::Drawn)),
    )));
    Ok(Some(rows))
}

/// The configuration to start from, and the checkpoint if there is one. A preset takes the tokenizer's
/// vocabulary size, and so does a model whose vocabulary is replaced.
///
/// `tokenizer_path` is what [`open_tokenizer`] was given.
pub(super) fn open_start(
    start: &Start,
    tokenizer: &Tokenizer,
    tokenizer_path: Option<&PathBuf>,
    is_replaced: bool,
    observer: &mut Observer,
) -> Result<(Config, Option<Checkpoint>), Error> {
    let (config, checkpoint, start_path) = match start {
        Start::Preset(name) => {
            let config = Config { vocab_size: tokenizer.vocab_size(), ..start.config()? };
            (config, None, PathBuf::from(name))
        }
        Start::Config(path) => (Config::read(path)?, None, path.clone()),
        Start::Model(path) => {
            let checkpoint = Checkpoint::open(path)?;
            checkpoint.expect_all_digits("train")?;
            let mut config = checkpoint.config().clone();
            if is_replaced {
                config.vocab_size = tokenizer.vocab_size();
            }
            // It belongs to the scores of the head that the model had.
            forget_score_function(&mut config);
            for note in checkpoint.notes() {
                let _ = observer(&Event::Note(format!("{}: {note}", path.display())));
            }
            (config, Some(checkpoint), path.clone())
        }
    };
    let tokenizer_path = tokenizer_path.unwrap_or(&start_path);
    check_vocabulary(tokenizer, &config, tokenizer_path)?;
    if tokenizer.vocab_size() < config.vocab_size {
        let _ = observer(&Event::Note(format!(
            "the vocabulary of {} has {} tokens, the model's word embeddings have {}: the rest stays unused; \
             check that it is the model's own",
            tokenizer_path.display(),
            tokenizer.vocab_size(),
            config.vocab_size
        )));
    }
    Ok((Config { pad_token_id: tokenizer.special().pad, ..config }, checkpoint))
}

/// The most sequences of an optimizer step: more than was ever trained with, and no more than memory can list.
pub const BATCH_SIZE_MAX: usize = 1 << 20;

/// What the settings say about every update, checked; dropout goes to the configuration.
pub(super) fn apply_update_settings(
    config: &mut Config,
    update: &UpdateSettings,
    max_seq_length: usize,
) -> Result<(), Error> {
    let wrong = |message: String| Err(Error::Settings(message));
    if max_seq_length > config.max_position_embeddings {
        return wrong(format!(
            "a maximum sequence length of {max_seq_length}: the model reads up to {} tokens (max_position_embeddings)",
            config.max_position_embeddings
        ));
    }
    if max_seq_length < 5 {
        return wrong(format!("a maximum sequence length of {max_seq_length} leaves no room for text; use 5 or more"));
    }
    if update.batch_size == 0 || update.accumulate == 0 {
        return wrong("batch size and number of accumulated parts must be 1 or more".to_string());
    }
    if update.batch_size > BATCH_SIZE_MAX {
        return wrong(format!("a batch of {} sequences; use {BATCH_SIZE_MAX} at most", update.batch_size));
    }
    if update.accumulate > update.batch_size {
        let (parts, size) = (update.accumulate, update.batch_size);
        return wrong(format!("a batch of {size} sequences cannot be computed in {parts} parts"));
    }
    if !(update.learning_rate.is_finite() && update.learning_rate > 0.0) {
        return wrong(format!("a learning rate of {}; it must be above 0", update.learning_rate));
    }
    if !(0.0..=1.0).contains(&update.warmup) {
        return wrong(format!("a warm-up of {}; it is a share of the steps, from 0 to 1", update.warmup));
    }
    if let Some(dropout) = update.dropout {
        if !(0.0..1.0).contains(&dropout) {
            return wrong(format!("a dropout of {dropout}; it must be at least 0 and below 1"));
        }
        config.hidden_dropout_prob = dropout;
        config.attention_probs_dropout_prob = dropout;
        config.classifier_dropout = None;
    }
    Ok(())
}

/// A run whose data and model are known.
pub(super) struct Prepared {
    pub kernels: Cpu,
    pub tokenizer: Tokenizer,
    pub config: Config,
    pub heads: HeadSet,
    /// What the run starts from, if it is a model.
    pub checkpoint: Option<Checkpoint>,
    /// Where the rows of tokens come from, if that model has another vocabulary.
    pub rows: Option<Vec<RowSource>>,
    /// How the weights are drawn, if the run starts from none.
    pub first_weights: FirstWeights,
    /// How often each token occurs in the text to train on, `[vocab]`; empty where that does not matter.
    pub token_counts: Vec<u64>,
    pub settings: RunSettings,
    pub update: UpdateSettings,
    /// What is stored with the model.
    pub stored: StoredSettings,
    /// SHA-256 of the data.
    pub data: String,
}

impl Prepared {
    /// Reads first weights, or those that an unfinished run has stopped with, and changes nothing in the output folder:
    /// [`Run::begin`] is yet to be called.
    pub fn open(self, options: &RunOptions, found: Found, observer: &mut Observer) -> Result<(Run, Trainer), Error> {
        let Prepared { kernels, tokenizer, config, update, .. } = self;
        let declaration = Declaration::new(&config, self.heads);
        let stored = StoredRun {
            places: places(&self.settings, &options.output),
            settings: self.settings,
            data: self.data,
            machine: machine(&kernels, update.precision),
            version: env!("CARGO_PKG_VERSION").to_string(),
            steps: None,
            eval_steps: None,
            replans: Vec::new(),
            finished: false,
        };
        if let Some(note) = kernels.substitute() {
            let _ = observer(&Event::Note(note.to_string()));
        }
        // The limit of the model that the files belong to, and not of the one that the tokenizer comes from.
        let positions = config.max_position_embeddings;
        let tokenizer = match self.checkpoint.is_some() && self.rows.is_none() {
            true => tokenizer.limited_to(positions),
            false => tokenizer.with_model_max_length(positions),
        };
        let model = RunModel { stored: self.stored, config, declaration, tokenizer };
        let (run, restored) = Run::open(options, found, stored, model, observer)?;
        let (config, declaration) = (&run.config, &run.declaration);
        let weights = match &restored {
            Some(state) => state.weights.clone(),
            None => {
                let drawn = self.first_weights.draw(config, declaration, &self.token_counts, update.seed);
                match &self.checkpoint {
                    None => drawn,
                    Some(checkpoint) => {
                        weights_of(checkpoint, self.rows.as_deref(), config, declaration, drawn, update.seed, observer)?
                    }
                }
            }
        };
        let mut trainer = Trainer::new(kernels, config, declaration, &weights, update.optimizer, update.seed)?;
        drop(weights);
        if let Some(state) = &restored {
            trainer.restore(state)?;
        }
        Ok((run, trainer))
    }
}

/// First weights from a checkpoint, its rows of tokens rearranged if `rows` says so. Weights that it lacks stay as `drawn`;
/// the observer is told which, and which of its tensors are not used.
fn weights_of(
    checkpoint: &Checkpoint,
    rows: Option<&[RowSource]>,
    config: &Config,
    declaration: &Declaration,
    drawn: Vec<f32>,
    seed: u64,
    observer: &mut Observer,
) -> Result<Vec<f32>, Error> {
    let mut weights = drawn;
    let report = match rows {
        None => checkpoint.read(declaration, &mut weights)?,
        Some(rows) => {
            let own = Config { vocab_size: checkpoint.config().vocab_size, ..config.clone() };
            let own_declaration = Declaration::new(&own, declaration.heads);
            let mut own_weights = own_declaration.initial_weights(config.initializer_range, seed);
            let report = checkpoint.read(&own_declaration, &mut own_weights)?;
            move_rows(&own_weights, &own_declaration, &mut weights, declaration, rows);
            report
        }
    };
    if !report.missing.is_empty() {
        let note = format!("not in the starting model, drawn anew: {}", report.missing.join(", "));
        let _ = observer(&Event::Note(note));
    }
    if !report.changed.is_empty() {
        let note = format!("the starting model has changed since it was written: {}", report.changed.join(", "));
        let _ = observer(&Event::Note(note));
    }
    if !report.unused.is_empty() {
        let note = format!("in the starting model, not used: {}", report.unused.join(", "));
        let _ = observer(&Event::Note(note));
    }
    Ok(weights)
}

/// What the run computes with, for its record.
fn machine(kernels: &Cpu, precision: Precision) -> String {
    format!("{} ({}, {})", std::env::consts::ARCH, kernels.instructions(), precision::name(precision))
}

/// The learning rates of a run of so many steps. The share of warm-up is rounded up.
pub(super) fn schedule(update: &UpdateSettings, steps: u64) -> Schedule {
    Schedule {
        decay: update.decay,
        peak: update.learning_rate,
        warmup_steps: (update.warmup * steps as f64).ceil() as u64,
        total_steps: steps,
        kind: update.optimizer.kind,
    }
}

/// All heads of pre-training.
pub(super) fn pretraining_heads(with_nsp: bool) -> HeadSet {
    HeadSet { mlm: true, nsp: with_nsp, pooler: with_nsp, task: None }
}
