//! Using a model: open a directory, then embed, classify, fill masks, or take the hidden states.

mod classify;
mod dense;
mod embed;
mod entities;
mod fill;
mod finite;
mod label_words;
mod load;
mod outputs;
mod pooling;
mod questions;
mod reading;
mod sentences;
pub mod spans;
mod text_head;
mod words;
mod workspace;

use std::path::Path;
use std::sync::Mutex;

use cloze_kernels::Cpu;
use cloze_tokenizer::{Encoding, Tokenizer, TokenizerFile};
use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, EmbedderSettings, Report, SentenceSettings, TakeRows, open_tokenizer};
use crate::model::Network;
use crate::params::{Declaration, HeadSet, Parameter, TaskHead};
use crate::precision::{self, Precision};
use crate::settings::StoredSettings;
use crate::{Config, Error};

use dense::PackedModule;

pub use classify::{Classification, Labels, NextSentence, Regression};
pub(crate) use classify::{DEFAULT_THRESHOLD, argmax, cross_entropy, logistic, logits_of_read_texts, softmax};
pub use embed::{EmbedOptions, Embedding, Prompt};
pub use entities::{Aggregation, Entity, Token, entities};
pub use fill::{Candidate, FilledMask};
pub(crate) use fill::{best_tokens, masked_logits};
pub(crate) use finite::first_place;
pub use label_words::{WordLabels, Words};
pub(crate) use load::load;
pub use outputs::Outputs;
pub use pooling::Pooling;
pub use questions::QuestionAnswer;
pub(crate) use questions::{ReadQuestion, SpanLogits, read_questions, span_logits};
pub use reading::Long;
pub(crate) use reading::{ReadText, Reading, read_texts};
pub use sentences::note_on_truncation_side;
pub(crate) use sentences::{ReadSentence, SentenceWindow, logits_of_words, read_sentences_of_words, window_logits};
pub use text_head::{ScoreFunction, TextHead};
pub use words::Subtokens;
pub(crate) use workspace::{InferenceWorkspace, pooled_rows};

/// Tokens of one packed batch. Results do not depend on it; memory and the fill of the cores do.
pub(crate) const TOKENS_PER_BATCH: usize = 4096;

/// The most threads that a model computes on. Starting thousands takes longer than what they would compute.
pub const THREADS_MAX: usize = 1024;

/// The shortest limit of an input: a pair has three special tokens.
const SHORTEST_INPUT: usize = 3;

/// How a model is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Number of threads to compute with; by default as many as the process may use. Files are read and
    /// texts are tokenized on rayon's threads.
    pub threads: Option<usize>,
    /// The numbers to compute with; by default f32, or int8 where the weights are stored so.
    pub precision: Option<Precision>,
    /// Which file decides where those of the tokenizer contradict each other; by default they must agree.
    pub tokenizer_file: Option<TokenizerFile>,
}

impl OpenOptions {
    /// The precision that is meant.
    pub(crate) fn precision(&self) -> Precision {
        self.precision.unwrap_or_default()
    }

    /// What they ask to compute on.
    pub(crate) fn kernels(&self) -> Result<Cpu, Error> {
        Ok(Cpu::with_precision(threads(self.threads)?, self.precision())?)
    }
}

/// A text or a pair of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The text, or the first of the pair.
    pub a: &'a str,
    /// The second of the pair.
    pub b: Option<&'a str>,
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(a: &'a str) -> Self {
        Text { a, b: None }
    }
}

impl<'a> From<(&'a str, &'a str)> for Text<'a> {
    fn from((a, b): (&'a str, &'a str)) -> Self {
        Text { a, b: Some(b) }
    }
}

/// How texts are read; what is `None` is as stored with the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Tokens that are read at once; by default [`Model::max_length`].
    pub max_length: Option<usize>,
    /// What becomes of longer texts; by default they are cut.
    pub long: Option<Long>,
}

/// How much of a text was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Tokens that the model read, each counted once, special ones included.
    pub tokens: usize,
    /// The windows that they were read in.
    pub windows: usize,
    /// Tokens that were cut off.
    pub truncated: usize,
}

/// What a model answers with its heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A label for each text or pair.
    Classification,
    /// A number for each text or pair, or several.
    Regression,
    /// Any number of labels for each text or pair.
    MultiLabel,
    /// A label for each word.
    Tokens,
    /// The answer to a question in a text.
    Questions,
    /// Whether the second text of a pair follows the first.
    NextSentence,
}

/// A model ready to be used, from any number of threads at once.
///
/// An answer depends on its own text alone: the same text gives the same bits by itself and among
/// thousands.
pub struct Model {
    config: Config,
    tokenizer: Tokenizer,
    declaration: Declaration,
    report: Report,
    notes: Vec<String>,
    sentence: Option<SentenceSettings>,
    /// Module after pooling.
    modules: Vec<PackedModule>,
    /// Meaning of the outputs of a head on texts.
    text_head: Option<TextHead>,
    settings: StoredSettings,
    precision: Precision,
    quantized: bool,
    network: Network<Cpu>,
    /// Buffers that no call uses at the moment.
    workspaces: Mutex<Vec<InferenceWorkspace>>,
}

impl Model {
    /// Opens a Hugging Face model directory, in f32, on all threads that the process may use.
    pub fn open(dir: impl AsRef<Path>) -> Result<Model, Error> {
        Model::open_with(dir, OpenOptions::default())
    }

    /// Opens a Hugging Face model directory.
    ///
    /// # Errors
    /// If the directory is damaged, unfinished or no BERT, or the tokenizer has more tokens than the model.
    pub fn open_with(dir: impl AsRef<Path>, options: OpenOptions) -> Result<Model, Error> {
        let dir = dir.as_ref();
        Model::load(dir, Checkpoint::open(dir)?, options)
    }

    /// Opens a directory that this process is writing.
    pub(crate) fn open_own(dir: &Path, options: OpenOptions) -> Result<Model, Error> {
        Model::load(dir, Checkpoint::open_own(dir)?, options)
    }

    fn load(dir: &Path, checkpoint: Checkpoint, options: OpenOptions) -> Result<Model, Error> {
        let options = OpenOptions { precision: Some(precision_of(&checkpoint, options.precision)?), ..options };
        let tokenizer = open_tokenizer(dir, None, options.tokenizer_file)?;
        let config = checkpoint.config().clone();
        check_vocabulary(&tokenizer, &config, dir)?;
        let declaration = Declaration::new(&config, checkpoint.heads());
        let kernels = options.kernels()?;
        let read = |parameter: &Parameter, take: &mut TakeRows| checkpoint.for_each_piece(parameter, take);
        let network = load(kernels, &config, &declaration, read)?;
        let settings = StoredSettings::read(dir)?;
        settings.check(config.labels.len())?;
        let report = checkpoint.report(&declaration)?;
        let sentence = SentenceSettings::read(dir)?;
        let after_pooling =
            sentence.as_ref().and_then(|settings| settings.embedder.as_ref()).map_or(&[][..], |own| &own.modules);
        let modules: Vec<PackedModule> =
            after_pooling.iter().map(|module| PackedModule::new(&network.kernels, module)).collect::<Result<_, _>>()?;
        let text_head = match declaration.heads.task {
            Some(TaskHead::Pooled(labels)) => Some(TextHead::of(&config, sentence.as_ref(), labels)?),
            _ => None,
        };
        Ok(Model {
            tokenizer,
            declaration,
            report,
            notes: checkpoint.notes().to_vec(),
            sentence,
            modules,
            text_head,
            settings,
            precision: options.precision(),
            quantized: checkpoint.is_quantized(),
            network,
            workspaces: Mutex::new(Vec::new()),
            config,
        })
    }

    /// Opens everything of a directory that this process is writing, but for the numbers in the weights.
    ///
    /// # Errors
    /// As [`Model::open_with`].
    pub(crate) fn check_own(dir: &Path) -> Result<(), Error> {
        let checkpoint = Checkpoint::open_own(dir)?;
        check_vocabulary(&open_tokenizer(dir, None, None)?, checkpoint.config(), dir)?;
        StoredSettings::read(dir)?.check(checkpoint.config().labels.len())?;
        SentenceSettings::read(dir)?;
        Ok(())
    }

    /// The sizes and labels.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The parameters: names, shapes, counts.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// The heads that the directory has weights of.
    pub fn heads(&self) -> HeadSet {
        self.declaration.heads
    }

    /// Tensors that were missing or not used.
    pub fn load_report(&self) -> &Report {
        &self.report
    }

    /// Sentences for the user on how the head of the task was chosen.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The numbers that products are computed with.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether the encoder's weights were stored in int8.
    pub fn is_quantized(&self) -> bool {
        self.quantized
    }

    /// What is computed instead, in a sentence for the user, where the processor lacks the instructions for
    /// this precision.
    pub fn substitute(&self) -> Option<&'static str> {
        self.network.kernels.substitute()
    }

    /// What is stored with the model beyond Hugging Face's files.
    pub fn settings(&self) -> &StoredSettings {
        &self.settings
    }

    /// Settings of sentence-transformers, if the directory has its files.
    pub fn sentence_settings(&self) -> Option<&SentenceSettings> {
        self.sentence.as_ref()
    }

    /// How texts are embedded, if the directory says.
    fn embedder(&self) -> Option<&EmbedderSettings> {
        self.sentence.as_ref().and_then(|settings| settings.embedder.as_ref())
    }

    /// Meaning of the outputs of the head on texts, if the model has one.
    pub fn text_head(&self) -> Option<TextHead> {
        self.text_head
    }

    /// Task of the model's heads; none for an encoder alone or a masked language model.
    pub fn task(&self) -> Option<Task> {
        match (self.declaration.heads.task, self.text_head) {
            (Some(TaskHead::Tokens(_)), _) => Some(Task::Tokens),
            (Some(TaskHead::Span), _) => Some(Task::Questions),
            (_, Some(TextHead::Labels)) => Some(Task::MultiLabel),
            (_, Some(TextHead::Values(_))) => Some(Task::Regression),
            (_, Some(TextHead::Classes)) => Some(Task::Classification),
            _ if self.declaration.heads.nsp && self.declaration.heads.pooler => Some(Task::NextSentence),
            _ => None,
        }
    }

    /// The longest input of the model's task, in tokens: as trained, else as the files of sentence-transformers say,
    /// else as the tokenizer's do, never more than the position table has.
    pub fn max_length(&self) -> usize {
        let of_files = self.sentence.as_ref().and_then(|settings| settings.max_length);
        let wanted = self.settings.max_seq_length.or(of_files).or(self.tokenizer.model_max_length());
        wanted.unwrap_or(usize::MAX).min(self.config.max_position_embeddings)
    }

    /// `wanted`, or `default` if nothing is wanted, if the model can read that many tokens. The default
    /// comes from files, which may say anything.
    pub(crate) fn checked_length(&self, wanted: Option<usize>, default: usize) -> Result<usize, Error> {
        let length = wanted.unwrap_or(default);
        if (SHORTEST_INPUT..=self.config.max_position_embeddings).contains(&length) {
            return Ok(length);
        }
        let source = if wanted.is_none() { ", as its files say" } else { "" };
        Err(Error::Settings(format!(
            "a maximum length of {length} tokens{source}: the model reads {SHORTEST_INPUT} to {} \
             (max_position_embeddings)",
            self.config.max_position_embeddings
        )))
    }

    /// How texts are read for a task.
    pub(crate) fn reading(&self, options: ReadOptions) -> Result<Reading, Error> {
        self.reading_up_to(options, self.max_length())
    }

    /// The same with another length if `options` name none.
    pub(crate) fn reading_up_to(&self, options: ReadOptions, default_length: usize) -> Result<Reading, Error> {
        let max_length = self.checked_length(options.max_length, default_length)?;
        let long = options.long.or(self.settings.long).unwrap_or(Long::Truncate);
        if long == Long::Window && max_length < reading::SHORTEST_WINDOW {
            return Err(Error::Settings(format!(
                "windows of {max_length} tokens; they need {} or more",
                reading::SHORTEST_WINDOW
            )));
        }
        Ok(Reading { max_length, long })
    }

    /// Token ids of texts.
    fn encode(&self, texts: &[Text], max_length: usize) -> Vec<Encoding> {
        encode_texts(&self.tokenizer, texts, max_length)
    }

    /// The packed parameters.
    pub fn network(&self) -> &Network<Cpu> {
        &self.network
    }

    /// Runs `work` with buffers of its own.
    fn with_workspace<R>(
        &self,
        work: impl FnOnce(&Network<Cpu>, &mut InferenceWorkspace) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let free = self.workspaces.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        let mut workspace = match free {
            Some(workspace) => workspace,
            None => InferenceWorkspace::new(&self.network.kernels, &self.config)?,
        };
        let result = work(&self.network, &mut workspace);
        self.workspaces.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(workspace);
        result
    }

    fn needs(&self, has: bool, what: &str) -> Result<(), Error> {
        if has { Ok(()) } else { Err(Error::Settings(format!("the model has no {what}"))) }
    }
}

/// The precision to open a directory in: as wanted, else int8 where the weights have no more digits, else f32.
fn precision_of(checkpoint: &Checkpoint, wanted: Option<Precision>) -> Result<Precision, Error> {
    match wanted {
        Some(wanted) if wanted != Precision::Int8 => {
            checkpoint.expect_all_digits(&format!("compute in {}", precision::name(wanted)))?;
            Ok(wanted)
        }
        _ if checkpoint.is_quantized() => Ok(Precision::Int8),
        _ => Ok(wanted.unwrap_or_default()),
    }
}

/// Token ids of texts, on rayon's threads.
pub(crate) fn encode_texts(tokenizer: &Tokenizer, texts: &[Text], max_length: usize) -> Vec<Encoding> {
    let encode = |text: &Text| match text.b {
        None => tokenizer.encode(text.a, Some(max_length)),
        Some(b) => tokenizer.encode_pair(text.a, b, Some(max_length)),
    };
    texts.par_iter().with_min_len(64).map(encode).collect()
}

/// Consecutive encodings that fit in a batch of [`TOKENS_PER_BATCH`] tokens, at least one each.
pub(crate) fn batches(encodings: &[Encoding]) -> Vec<&[Encoding]> {
    let mut batches = Vec::new();
    let (mut first, mut tokens) = (0, 0);
    for (index, encoding) in encodings.iter().enumerate() {
        if index > first && tokens + encoding.len() > TOKENS_PER_BATCH {
            batches.push(&encodings[first..index]);
            (first, tokens) = (index, 0);
        }
        tokens += encoding.len();
    }
    if first < encodings.len() {
        batches.push(&encodings[first..]);
    }
    batches
}

/// Refuses a tokenizer whose ids go beyond the model's word embeddings.
pub(crate) fn check_vocabulary(tokenizer: &Tokenizer, config: &Config, tokenizer_path: &Path) -> Result<(), Error> {
    if tokenizer.vocab_size() <= config.vocab_size {
        return Ok(());
    }
    Err(Error::Settings(format!(
        "the vocabulary of {} has {} tokens, the model's word embeddings have {} (vocab_size): \
         use the tokenizer that belongs to the model",
        tokenizer_path.display(),
        tokenizer.vocab_size(),
        config.vocab_size
    )))
}

/// A number of threads: as wanted, or what the process may use.
pub(crate) fn threads(wanted: Option<usize>) -> Result<usize, Error> {
    match wanted {
        Some(0) => Err(Error::Settings("0 threads cannot compute anything; use 1 or more".to_string())),
        Some(threads) if threads > THREADS_MAX => Err(Error::Settings(format!(
            "{threads} threads; use {THREADS_MAX} at most, best as many as there are cores"
        ))),
        Some(threads) => Ok(threads),
        // On Linux this counts the processors that the process may run on (`taskset`, the cgroup's cpuset),
        // and no more than the quota of its cgroup allows (version 1 or 2, rounded down, at least 1).
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}
