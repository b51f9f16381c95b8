//! Classes, values, and labels of texts and pairs.

use std::path::Path;

use cloze_kernels::Kernels;
use cloze_tokenizer::Tokenizer;
use sha2::{Digest, Sha256};

use crate::checkpoint::Checkpoint;
use crate::config::ProblemType;
use crate::data::{DataOptions, Example, Labelling, label_set, read_examples, read_label_names};
use crate::eval::{self, Gold, Source, TextResults, classes, several_labels, values};
use crate::heads::{Targets, TrainingBatch, WindowPooling};
use crate::infer::{InferenceWorkspace, ReadText, Reading, logits_of_read_texts, pooled_rows};
use crate::model::Batch;
use crate::numbers::Count;
use crate::params::{HeadSet, TaskHead};
use crate::settings::{ClassWeights, FinetuneSettings, FinetuneTask};
use crate::train::{Event, Observer, Trainer};
use crate::{Config, Error};

use super::data::{Sets, TaskData, dev_name, hash_ids};
use super::held_out;
use super::labels;

/// Reads the files, and chooses the labels.
pub(super) fn read(
    settings: &FinetuneSettings,
    config: &mut Config,
    checkpoint: Option<&mut Checkpoint>,
    tokenizer: &Tokenizer,
    options: &DataOptions,
    observer: &mut Observer,
) -> Result<Sets, Error> {
    let labelling = match settings.task {
        FinetuneTask::MultiLabel => Labelling::Several,
        FinetuneTask::Regression => Labelling::Value,
        _ => Labelling::One,
    };
    let train_examples = read_examples(&settings.train, options, labelling)?.told(observer);
    let (train_examples, dev_examples) = match &settings.dev {
        Some(path) => (train_examples, Some(read_examples(path, options, labelling)?.told(observer))),
        None => {
            let division = held_out::divide_texts(&train_examples, settings.task);
            division.part(train_examples, &settings.train, observer)
        }
    };
    choose_labels(settings, config, checkpoint, &train_examples, observer)?;
    let is_classification = settings.task == FinetuneTask::Classification;
    if let Some(label) = &settings.positive_label {
        eval::check_positive_label(label, is_classification, &config.labels)?;
    }
    if is_classification && config.labels.len() == 2 {
        let label = settings.positive_label.as_ref().unwrap_or(&config.labels[1]);
        let _ = observer(&Event::Note(format!("f1 is that of the label {label}")));
    }
    let mut train = TextData::new(settings, config, tokenizer, &settings.train, &train_examples, observer)?;
    train.weights = example_weights(&settings.class_weights, &train.gold, &config.labels)?;
    let path = dev_name(settings);
    let dev = dev_examples.as_ref();
    let dev = dev.map(|examples| TextData::new(settings, config, tokenizer, &path, examples, observer)).transpose()?;
    let head = TaskHead::Pooled(config.labels.len());
    let heads = HeadSet { pooler: true, task: Some(head), ..HeadSet::default() };
    let held_out = dev_examples.filter(|_| settings.dev.is_none()).map(Source::Examples);
    Ok(Sets { train: TaskData::Texts(train), dev: dev.map(TaskData::Texts), held_out, heads })
}

/// Sets labels and kind of problem.
fn choose_labels(
    settings: &FinetuneSettings,
    config: &mut Config,
    checkpoint: Option<&mut Checkpoint>,
    examples: &[Example],
    observer: &mut Observer,
) -> Result<(), Error> {
    let wrong = |message: String| Err(Error::Data { path: settings.train.clone(), line: None, message });
    let given = settings.reading.labels.as_deref().map(read_label_names).transpose()?;
    let found = given.unwrap_or_else(|| label_set(examples));
    let (labels, problem) = match settings.task {
        FinetuneTask::Regression => (vec!["LABEL_0".to_string()], ProblemType::Regression),
        FinetuneTask::MultiLabel if found.is_empty() => return wrong("no example has a label".to_string()),
        FinetuneTask::MultiLabel => (found, ProblemType::MultiLabelClassification),
        _ if found.len() < 2 => {
            let label = found.join("");
            return wrong(format!("all examples have the label `{label}`; a classifier needs two or more"));
        }
        _ => (found, ProblemType::SingleLabelClassification),
    };
    let head = checkpoint.as_ref().and_then(|checkpoint| checkpoint.heads().task);
    if let (Some(TaskHead::Pooled(values @ 2..)), FinetuneTask::Regression, Some(ProblemType::Regression), false) =
        (head, settings.task, config.problem_type, settings.new_head)
    {
        return Err(Error::Settings(format!(
            "the starting model gives {values} numbers ({}), and one number is what can be trained; give --new-head to \
             replace its head by one for that",
            config.labels.join(", ")
        )));
    }
    let of_texts = matches!(head, Some(TaskHead::Pooled(_)));
    let same_kind = of_texts
        && match settings.task {
            FinetuneTask::Regression => {
                head == Some(TaskHead::Pooled(1)) && config.problem_type.is_none_or(|own| own == problem)
            }
            FinetuneTask::MultiLabel => config.problem_type == Some(problem),
            _ => config.problem_type.is_none_or(|own| own == problem),
        };
    labels::choose(settings, config, checkpoint, labels, same_kind, observer)?;
    config.problem_type = Some(problem);
    let _ = observer(&Event::Note(match settings.task {
        FinetuneTask::Regression => format!("{} examples to train on", Count(examples.len())),
        _ => format!("{} examples to train on, labels {}", Count(examples.len()), config.labels.join(", ")),
    }));
    Ok(())
}

/// How much the loss of each example counts, by its class; nothing where all count the same.
fn example_weights(weights: &ClassWeights, gold: &Gold, labels: &[String]) -> Result<Vec<f64>, Error> {
    match gold {
        Gold::Classes(gold) => {
            let of_classes = labels::weights(weights, gold.iter().copied(), labels)?;
            Ok(if of_classes.is_empty() { of_classes } else { gold.iter().map(|&class| of_classes[class]).collect() })
        }
        _ if *weights == ClassWeights::None => Ok(Vec::new()),
        _ => Err(Error::Settings("class weights need one label for each example".to_string())),
    }
}

/// Examples as the model reads them.
pub(super) struct TextData {
    texts: Vec<ReadText>,
    gold: Gold,
    pooling: WindowPooling,
    /// The label whose F1 is measured, if another than the second of two.
    positive_label: Option<String>,
    /// How much the loss of each example counts; empty where all count the same.
    weights: Vec<f64>,
}

impl TextData {
    fn new(
        settings: &FinetuneSettings,
        config: &Config,
        tokenizer: &Tokenizer,
        path: &Path,
        examples: &[Example],
        observer: &mut Observer,
    ) -> Result<TextData, Error> {
        let gold = match settings.task {
            FinetuneTask::Regression => values(examples, path)?,
            FinetuneTask::MultiLabel => several_labels(examples, &config.labels, path)?,
            _ => classes(examples, &config.labels, path)?,
        };
        let reading = Reading { max_length: settings.max_seq_length, long: settings.long };
        let (texts, note) = eval::read(tokenizer, examples, reading, path);
        if let Some(note) = note {
            let _ = observer(&Event::Note(note));
        }
        let (pooling, positive_label) = (settings.window_pooling, settings.positive_label.clone());
        Ok(TextData { texts, gold, pooling, positive_label, weights: Vec::new() })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// The examples `chosen` as a batch.
    pub fn batch(&self, chosen: &[usize]) -> TrainingBatch {
        let mut batch = Batch::default();
        let mut windows = Vec::with_capacity(chosen.len());
        for &example in chosen {
            let own = &self.texts[example].windows;
            own.iter().for_each(|window| batch.push(&window.ids, &window.token_type_ids));
            windows.push(own.len() as u32);
        }
        let targets = match &self.gold {
            Gold::Classes(gold) => Targets::Classes(chosen.iter().map(|&example| gold[example] as u32).collect()),
            Gold::Values(gold) => Targets::Values(chosen.iter().map(|&example| gold[example]).collect()),
            Gold::Labels(gold) => Targets::Labels(chosen.iter().map(|&example| gold[example].clone()).collect()),
        };
        let weights = match self.weights.is_empty() {
            true => Vec::new(),
            false => chosen.iter().map(|&example| self.weights[example]).collect(),
        };
        TrainingBatch { windows, weights, pooling: self.pooling, ..TrainingBatch::new(batch, targets) }
    }

    /// What the model says of them.
    pub fn results(
        &self,
        trainer: &Trainer,
        workspace: &mut InferenceWorkspace,
        labels: &[String],
        observer: &mut Observer,
    ) -> Result<TextResults, Error> {
        let network = trainer.network();
        let head = network.parameters.task.as_ref().expect("fine-tuning has a classifier");
        let logits_of = |texts: &[ReadText]| {
            logits_of_read_texts(texts, self.pooling, |windows| {
                network.kernels.scope(|| pooled_rows(network, workspace, head, labels.len(), windows))
            })
        };
        let mut results = TextResults::of(&self.texts, self.gold.clone(), labels, logits_of, observer)?;
        results.choose_positive(self.positive_label.as_deref());
        Ok(results)
    }

    /// Adds token ids and what they should give.
    pub fn hash(&self, hasher: &mut Sha256) {
        for window in self.texts.iter().flat_map(|text| &text.windows) {
            hash_ids(hasher, &window.ids);
            hash_ids(hasher, &window.token_type_ids);
        }
        match &self.gold {
            Gold::Classes(gold) => gold.iter().for_each(|&class| hasher.update((class as u64).to_le_bytes())),
            Gold::Values(gold) => gold.iter().for_each(|value| hasher.update(value.to_le_bytes())),
            Gold::Labels(gold) => gold.iter().flatten().for_each(|&label| hasher.update([u8::from(label)])),
        }
    }
}
