//! Fine-tuning: classification and regression of texts and pairs.

use std::path::Path;

use cloze_kernels::{Cpu, Kernels};
use cloze_tokenizer::{Encoding, Tokenizer};
use sha2::{Digest, Sha256};

use crate::checkpoint::Checkpoint;
use crate::config::ProblemType;
use crate::data::{ColumnSpec, Example, label_set, read_examples};
use crate::eval::{Gold, classes, encode, task_metrics, values};
use crate::heads::{Targets, TrainingBatch};
use crate::infer::{InferenceWorkspace, pooled_rows, threads};
use crate::model::Batch;
use crate::optim::Schedule;
use crate::params::HeadSet;
use crate::precision::check_training;
use crate::random::{Purpose, Random};
use crate::settings::{FinetuneSettings, FinetuneTask, RunSettings};
use crate::{Config, Error};

use super::Trainer;
use super::events::{Event, Metrics, Observer, Outcome, RunOptions, StepLog};
use super::pace::Pace;
use super::run::{Best, Found, Run, look};
use super::setup;

/// Runs a fine-tuning to its end, or goes on with one; the result is a model directory with the weights
/// of the best epoch.
///
/// # Errors
/// If files cannot be read or written, a label is unknown, the output folder belongs to another run, or
/// a loss or gradient is not finite: the last checkpoint is then left as it was.
pub fn finetune(settings: &FinetuneSettings, options: &RunOptions, observer: &mut Observer) -> Result<Outcome, Error> {
    let metric = check(settings)?;
    let run_settings = RunSettings::Finetune(settings.clone());
    let found = look(options, &run_settings)?;
    if matches!(found, Found::Finished) {
        return Ok(Outcome::AlreadyFinished);
    }
    let kernels = Cpu::with_precision(threads(options.threads)?, settings.update.precision)?;
    let tokenizer = setup::open_tokenizer(settings.tokenizer.as_ref(), settings.cased, &settings.start)?;
    let (mut config, mut checkpoint) =
        setup::open_start(&settings.start, &tokenizer, settings.tokenizer.as_ref(), observer)?;
    setup::apply_update_settings(&mut config, &settings.update, settings.max_seq_length)?;

    let columns: Option<ColumnSpec> = settings.columns.as_deref().map(str::parse).transpose()?;
    let train_examples = read_examples(&settings.train, columns.as_ref(), true)?;
    let dev_examples = read_examples(&settings.dev, columns.as_ref(), true)?;
    choose_labels(settings, &mut config, checkpoint.as_mut(), &train_examples, observer)?;
    let train_data = Data::new(settings, &config, &tokenizer, &settings.train, &train_examples, observer)?;
    let dev_data = Data::new(settings, &config, &tokenizer, &settings.dev, &dev_examples, observer)?;

    let steps_per_epoch = (train_data.encodings.len() as u64).div_ceil(settings.update.batch_size as u64);
    let steps = steps_per_epoch.checked_mul(settings.epochs).ok_or_else(|| {
        Error::Settings(format!("{} epochs of {steps_per_epoch} steps are more than can be counted", settings.epochs))
    })?;
    let prepared = setup::Prepared {
        kernels,
        tokenizer,
        heads: HeadSet { pooler: true, classifier: Some(config.labels.len()), ..HeadSet::default() },
        config,
        checkpoint,
        settings: run_settings,
        update: settings.update.clone(),
        max_seq_length: settings.max_seq_length,
        data: data_hash(&[&train_data, &dev_data]),
        steps,
    };
    let (mut run, mut trainer) = prepared.begin(options, found, observer)?;
    train(settings, metric, &mut trainer, &mut run, &train_data, &dev_data, observer)
}

fn train(
    settings: &FinetuneSettings,
    metric: &str,
    trainer: &mut Trainer,
    run: &mut Run,
    train_data: &Data,
    dev_data: &Data,
    observer: &mut Observer,
) -> Result<Outcome, Error> {
    let update = &settings.update;
    let examples = train_data.encodings.len();
    let steps_per_epoch = (examples as u64).div_ceil(update.batch_size as u64);
    let steps = steps_per_epoch * settings.epochs;
    let schedule = Schedule {
        peak: update.learning_rate,
        warmup_steps: setup::warmup_steps(update.warmup, steps),
        total_steps: steps,
        kind: update.optimizer.kind,
    };
    let mut workspace = InferenceWorkspace::new(&trainer.network().kernels, &run.config)?;
    let mut pace = Pace::new();
    let mut order = Vec::new();
    let mut order_of = None;
    while trainer.step_count() < steps {
        let (epoch, place) = (trainer.step_count() / steps_per_epoch, trainer.step_count() % steps_per_epoch);
        if order_of != Some(epoch) {
            order = epoch_order(examples, update.shuffle, update.seed, epoch);
            order_of = Some(epoch);
        }
        let first = place as usize * update.batch_size;
        let batch = train_data.batch(&order[first..(first + update.batch_size).min(examples)]);
        let learning_rate = schedule.rate(trainer.step_count());
        let parts = update.accumulate.min(batch.batch.sequences());
        let report = trainer.step(&batch, parts, learning_rate)?;
        let step = report.step;
        let epochs_done = step as f64 / steps_per_epoch as f64;
        let (tokens_per_second, seconds_left) = pace.step(batch.batch.tokens(), steps - step);
        let log = StepLog {
            step,
            steps,
            epoch: epochs_done,
            loss: report.losses.total(),
            learning_rate,
            grad_norm: report.gradient_norm,
            tokens_per_second,
            seconds_left,
            ..StepLog::default()
        };
        run.state.history.step(&log);
        (run.state.epoch, run.state.position) = (step / steps_per_epoch, (first + batch.batch.sequences()) as u64);
        let mut stop = observer(&Event::Step(log)).is_break();
        let epoch_ends = step.is_multiple_of(steps_per_epoch);
        if epoch_ends {
            run.state.position = 0;
            let metrics = dev_data.evaluate(trainer, &mut workspace, &run.config, observer)?;
            run.state.history.evaluation(step, epochs_done, &metrics);
            note_best(run, metric, step, &metrics);
            stop |= observer(&Event::Evaluated { step, epoch: epochs_done, metrics }).is_break();
        }
        if stop || epoch_ends || run.wants_checkpoint(step) {
            run.save(&trainer.state()?, epochs_done, steps, observer)?;
            if stop && step < steps {
                return Ok(Outcome::Stopped { step });
            }
        }
        pace.pause();
    }
    let best = run.state.best.map_or(steps, |best| best.step);
    let weights = run.weights_at(best)?;
    run.finish(&weights, steps, settings.epochs as f64)?;
    Ok(Outcome::Finished(run.state.history.metrics_of(best)))
}

/// The metric that chooses the best epoch.
fn check(settings: &FinetuneSettings) -> Result<&str, Error> {
    check_training(settings.update.precision)?;
    if settings.epochs == 0 {
        return Err(Error::Settings("0 epochs train nothing; use 1 or more".to_string()));
    }
    let known: &[&str] = match settings.task {
        FinetuneTask::Classification => &["accuracy", "f1", "macro_f1", "matthews_correlation", "loss"],
        FinetuneTask::Regression => &["pearson", "spearman", "loss"],
    };
    let metric = settings.metric.as_deref().unwrap_or(known[0]);
    if !known.contains(&metric) {
        return Err(Error::Settings(format!("no metric `{metric}` for this task; there are {}", known.join(", "))));
    }
    Ok(metric)
}

/// Notes the evaluation after `step` if it is better than all before. The loss is better when smaller.
fn note_best(run: &mut Run, metric: &str, step: u64, metrics: &Metrics) {
    // A metric that is not defined (a correlation of constants, F1 of three labels) is worse than any.
    let found = metrics.iter().find(|(name, _)| name == metric).map_or(f64::NEG_INFINITY, |(_, value)| *value);
    let better = match run.state.best {
        None => true,
        Some(best) if metric == "loss" => found < best.metric,
        Some(best) => found > best.metric,
    };
    if better {
        run.state.best = Some(Best { step, metric: found });
    }
}

/// Sets the labels: the model's own if it has all of these, else those of the training examples.
fn choose_labels(
    settings: &FinetuneSettings,
    config: &mut Config,
    checkpoint: Option<&mut Checkpoint>,
    examples: &[Example],
    observer: &mut Observer,
) -> Result<(), Error> {
    let (labels, problem) = match settings.task {
        FinetuneTask::Regression => (vec!["LABEL_0".to_string()], ProblemType::Regression),
        FinetuneTask::Classification => (label_set(examples), ProblemType::SingleLabelClassification),
    };
    if settings.task == FinetuneTask::Classification && labels.len() < 2 {
        return Err(Error::Data {
            path: settings.train.clone(),
            line: None,
            message: format!("all examples have the label `{}`; a classifier needs two or more", labels.join("")),
        });
    }
    let head = checkpoint.as_ref().and_then(|checkpoint| checkpoint.heads().classifier);
    let same_kind = match settings.task {
        FinetuneTask::Regression => head == Some(1) && config.problem_type.is_none_or(|p| p == problem),
        FinetuneTask::Classification => config.problem_type.is_none_or(|p| p == problem),
    };
    let continued = head.is_some() && same_kind && {
        let known = |label: &String| {
            config.labels.iter().any(|own| own == label || own.strip_prefix("LABEL_") == Some(label.as_str()))
        };
        settings.task == FinetuneTask::Regression || labels.iter().all(known)
    };
    if !continued {
        if let (Some(_), Some(checkpoint)) = (head, checkpoint) {
            if !settings.new_head {
                return Err(Error::Settings(format!(
                    "the starting model has a head for the labels {}, the data has {}; \
                     give --new-head to replace the head",
                    config.labels.join(", "),
                    labels.join(", ")
                )));
            }
            checkpoint.forget_classifier();
            let note = format!("the head for the labels {} is replaced by a new one", config.labels.join(", "));
            let _ = observer(&Event::Note(note));
        }
        config.labels = labels;
    }
    config.problem_type = Some(problem);
    let _ = observer(&Event::Note(match settings.task {
        FinetuneTask::Regression => format!("{} examples to train on", examples.len()),
        FinetuneTask::Classification => {
            format!("{} examples to train on, labels {}", examples.len(), config.labels.join(", "))
        }
    }));
    Ok(())
}

/// Examples as the model reads them.
struct Data {
    encodings: Vec<Encoding>,
    gold: Gold,
}

impl Data {
    fn new(
        settings: &FinetuneSettings,
        config: &Config,
        tokenizer: &Tokenizer,
        path: &Path,
        examples: &[Example],
        observer: &mut Observer,
    ) -> Result<Data, Error> {
        let gold = match settings.task {
            FinetuneTask::Classification => classes(examples, &config.labels, path)?,
            FinetuneTask::Regression => values(examples, path)?,
        };
        let (encodings, note) = encode(tokenizer, examples, settings.max_seq_length, path);
        if let Some(note) = note {
            let _ = observer(&Event::Note(note));
        }
        Ok(Data { encodings, gold })
    }

    /// The examples `chosen` as a batch.
    fn batch(&self, chosen: &[usize]) -> TrainingBatch {
        let mut batch = Batch::default();
        for &example in chosen {
            batch.push(&self.encodings[example].ids, &self.encodings[example].token_type_ids);
        }
        let targets = match &self.gold {
            Gold::Classes(gold) => Targets::Classes(chosen.iter().map(|&example| gold[example] as u32).collect()),
            Gold::Values(gold) => Targets::Values(chosen.iter().map(|&example| gold[example]).collect()),
        };
        TrainingBatch { batch, targets }
    }

    fn evaluate(
        &self,
        trainer: &Trainer,
        workspace: &mut InferenceWorkspace,
        config: &Config,
        observer: &mut Observer,
    ) -> Result<Metrics, Error> {
        let network = trainer.network();
        let head = network.parameters.classifier.as_ref().expect("fine-tuning has a classifier");
        let mut logits = Vec::with_capacity(self.encodings.len());
        for chunk in self.encodings.chunks(256) {
            let rows = network.kernels.scope(|| pooled_rows(network, workspace, head, config.labels.len(), chunk))?;
            logits.extend(rows);
            let (done, total) = (logits.len() as u64, self.encodings.len() as u64);
            let _ = observer(&Event::Progress { what: "evaluating", done, total });
        }
        Ok(task_metrics(&logits, &self.gold, config.labels.len()))
    }
}

/// The order of the examples in an epoch.
fn epoch_order(examples: usize, shuffle: bool, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    if shuffle {
        Random::new(seed, Purpose::Shuffle, epoch, 0).shuffle(&mut order);
    }
    order
}

/// SHA-256 of the examples as the model reads them: token ids and what they should give.
fn data_hash(files: &[&Data]) -> String {
    let mut hasher = Sha256::new();
    for data in files {
        hasher.update((data.encodings.len() as u64).to_le_bytes());
        for encoding in &data.encodings {
            hasher.update((encoding.len() as u64).to_le_bytes());
            for id in encoding.ids.iter().chain(&encoding.token_type_ids) {
                hasher.update(id.to_le_bytes());
            }
        }
        match &data.gold {
            Gold::Classes(gold) => gold.iter().for_each(|&class| hasher.update((class as u64).to_le_bytes())),
            Gold::Values(gold) => gold.iter().for_each(|value| hasher.update(value.to_le_bytes())),
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
