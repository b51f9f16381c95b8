//! Pre-training: masked language model and next sentence prediction over a corpus.

use cloze_kernels::Cpu;
use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::data::{Corpus, Objective};
use crate::infer::threads;
use crate::optim::Schedule;
use crate::precision::check_training;
use crate::settings::{PretrainSettings, RunSettings, StoredSettings};

use super::Trainer;
use super::events::{Event, Observer, Outcome, RunOptions, StepLog};
use super::pace::Pace;
use super::run::{Found, Run, look};
use super::setup;
use super::source::{HeldOut, Source};

/// Runs a pre-training to its end, or goes on with one; the result is a model directory.
///
/// # Errors
/// If files cannot be read or written, if the output folder belongs to another run, and if a loss or
/// gradient is not finite: the last checkpoint is then left as it was.
pub fn pretrain(settings: &PretrainSettings, options: &RunOptions, observer: &mut Observer) -> Result<Outcome, Error> {
    check(settings)?;
    let run_settings = RunSettings::Pretrain(settings.clone());
    let found = look(options, &run_settings)?;
    if matches!(found, Found::Finished) {
        return Ok(Outcome::AlreadyFinished);
    }
    let kernels = Cpu::with_precision(threads(options.threads)?, settings.update.precision)?;
    let tokenizer = setup::open_tokenizer(settings.tokenizer.as_ref(), settings.cased, &settings.start)?;
    let (mut config, checkpoint) =
        setup::open_start(&settings.start, &tokenizer, settings.tokenizer.as_ref(), observer)?;
    setup::apply_update_settings(&mut config, &settings.update, settings.max_seq_length)?;
    config.labels.clear();
    config.problem_type = None;

    let (corpus, held_out) = read_corpora(settings, &tokenizer, observer)?;
    let prepared = setup::Prepared {
        kernels,
        tokenizer: tokenizer.clone(),
        config,
        heads: setup::pretraining_heads(settings.objective == Objective::MlmNsp),
        checkpoint,
        settings: run_settings,
        update: settings.update.clone(),
        stored: StoredSettings { max_seq_length: Some(settings.max_seq_length), ..StoredSettings::default() },
        data: data_hash(&corpus, held_out.as_ref()),
        steps: settings.steps,
    };
    let (mut run, mut trainer) = prepared.begin(options, found, observer)?;
    let source = Source::new(&corpus, settings, &tokenizer);
    let held_out = held_out.as_ref().map(|corpus| HeldOut::new(corpus, settings, &tokenizer));
    train(settings, &mut trainer, &mut run, source, held_out.as_ref(), observer)
}

fn train(
    settings: &PretrainSettings,
    trainer: &mut Trainer,
    run: &mut Run,
    mut source: Source,
    held_out: Option<&HeldOut>,
    observer: &mut Observer,
) -> Result<Outcome, Error> {
    let update = &settings.update;
    let schedule = Schedule {
        decay: update.decay,
        peak: update.learning_rate,
        warmup_steps: setup::warmup_steps(update.warmup, settings.steps),
        total_steps: settings.steps,
        kind: update.optimizer.kind,
    };
    let eval_steps = settings.eval_steps.unwrap_or(settings.steps.div_ceil(10)).max(1);
    source.seek(run.state.epoch, run.state.position);
    if source.is_empty() {
        return Err(Error::Settings("the corpus is too small to make a single instance of it".to_string()));
    }
    let mut pace = Pace::new();
    let mut metrics = run.state.history.metrics_of(trainer.step_count());
    while trainer.step_count() < settings.steps {
        let batch = source.next_batch(update.batch_size);
        (run.state.epoch, run.state.position) = source.position();
        let learning_rate = schedule.rate(trainer.step_count());
        let report = trainer.step(&batch, update.accumulate, learning_rate)?;
        let step = report.step;
        let epoch = source.epochs_done();
        let (tokens_per_second, seconds_left) = pace.step(batch.batch.tokens(), settings.steps - step);
        let nsp = (report.losses.nsp.count > 0).then_some(report.losses.nsp);
        let log = StepLog {
            step,
            steps: settings.steps,
            epoch,
            loss: report.losses.total(),
            learning_rate,
            grad_norm: report.gradient_norm,
            mlm_loss: Some(report.losses.mlm.mean_loss()),
            mlm_perplexity: Some(report.losses.mlm.mean_loss().exp()),
            mlm_accuracy: Some(report.losses.mlm.accuracy()),
            nsp_loss: nsp.map(|nsp| nsp.mean_loss()),
            nsp_accuracy: nsp.map(|nsp| nsp.accuracy()),
            tokens_per_second,
            seconds_left,
        };
        run.log_step(&log)?;
        let mut stop = observer(&Event::Step(log)).is_break();
        if let Some(held_out) = held_out.filter(|_| step.is_multiple_of(eval_steps) || step == settings.steps) {
            metrics = held_out.evaluate(|losses, batch| trainer.evaluate(losses, batch), observer)?;
            run.log_evaluation(step, epoch, &metrics)?;
            stop |= observer(&Event::Evaluated { step, epoch, metrics: metrics.clone() }).is_break();
        }
        let last = step == settings.steps;
        if stop || last || run.wants_checkpoint(step) {
            run.save(&trainer.state()?, epoch, settings.steps, observer)?;
            if stop && !last {
                return Ok(Outcome::Stopped { step });
            }
        }
        pace.pause();
    }
    let state = trainer.state()?;
    run.write_result(&state.weights, state.step, source.epochs_done())?;
    run.finish()?;
    Ok(Outcome::Finished(metrics))
}

fn check(settings: &PretrainSettings) -> Result<(), Error> {
    let wrong = |message: &str| Err(Error::Settings(message.to_string()));
    check_training(settings.update.precision)?;
    if settings.steps == 0 {
        return wrong("0 steps train nothing; give --steps");
    }
    let lengths = settings.objective.sequence_lengths();
    if !lengths.contains(&settings.max_seq_length) {
        return Err(Error::Settings(format!(
            "a maximum sequence length of {}; this objective needs {} to {}",
            settings.max_seq_length,
            lengths.start(),
            lengths.end()
        )));
    }
    if !(0.0..1.0).contains(&settings.dev_fraction) {
        return wrong("the share of held-out documents must be at least 0 and below 1");
    }
    if !(0.0..=1.0).contains(&settings.masked_lm_prob) || settings.masked_lm_prob == 0.0 {
        return wrong("the share of tokens to predict must be above 0 and at most 1");
    }
    if !(0.0..=1.0).contains(&settings.short_seq_prob) {
        return wrong("the probability of short instances must be between 0 and 1");
    }
    Ok(())
}

/// The documents to train on and the held-out ones.
fn read_corpora(
    settings: &PretrainSettings,
    tokenizer: &Tokenizer,
    observer: &mut Observer,
) -> Result<(Corpus, Option<Corpus>), Error> {
    let mut read = |files: &[std::path::PathBuf], what: &'static str| {
        let mut progress = |done, total| {
            let _ = observer(&Event::Progress { what, done, total });
        };
        Corpus::read(files, tokenizer, settings.document, settings.sentences, &mut progress)
    };
    let corpus = read(&settings.input, "reading the corpus")?;
    let (corpus, held_out) = if settings.dev.is_empty() {
        corpus.hold_out(settings.dev_fraction, settings.update.seed)
    } else {
        (corpus, Some(read(&settings.dev, "reading the held-out text")?))
    };
    let mut note = |text: String| {
        let _ = observer(&Event::Note(text));
    };
    note(format!(
        "{} documents, {} sentences, {} tokens to train on",
        corpus.documents(),
        corpus.sentences(),
        corpus.tokens()
    ));
    match &held_out {
        Some(held_out) => note(format!(
            "{} documents, {} tokens held out; their unigram entropy is {:.4} nats a token",
            held_out.documents(),
            held_out.tokens(),
            held_out.unigram_entropy(tokenizer.vocab_size())
        )),
        None if settings.dev_fraction > 0.0 => note(format!(
            "no documents are held out: there are only {}; give --dev to evaluate on other text",
            corpus.documents()
        )),
        None => {}
    }
    if settings.objective == Objective::MlmNsp && corpus.is_single_document() {
        note(
            "there is only one document: the random next sentences come from itself, which makes next sentence \
             prediction harder; separate documents by blank lines or give several files"
                .to_string(),
        );
    }
    Ok((corpus, held_out))
}

fn data_hash(corpus: &Corpus, held_out: Option<&Corpus>) -> String {
    match held_out {
        None => corpus.hash(),
        Some(held_out) => format!("{}+{}", corpus.hash(), held_out.hash()),
    }
}
