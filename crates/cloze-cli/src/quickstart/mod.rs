//! `cloze quickstart`: the whole way on a generated sample, with the very functions that the other
//! commands call.

mod generator;
mod summary;
mod words;
mod worlds;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use cloze::Config;
use cloze::checkpoint::write_file;
use cloze::optim::{OptimizerKind, OptimizerSettings};
use cloze::settings::{FinetuneSettings, FinetuneTask, PretrainSettings, Start};
use cloze::train::{RunOptions, finetune, pretrain};
use cloze_tokenizer::train::TrainOptions;

use crate::arguments::{Common, create_folder};
use crate::commands::vocab;
use crate::output::{Output, duration};
use crate::training::{Ending, train};
use generator::Amounts;

/// Flags of `cloze quickstart`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze quickstart\n\n\
    The sample is generated: short stories of four worlds (farm, sea, music, medicine), and labelled sentences.\n\
    It shows that everything works and what pre-training is good for, not how good a model of real text is.")]
pub struct Arguments {
    /// Folder for everything [default: cloze-quickstart, or the next free cloze-quickstart-N]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Steps of pre-training; fewer are faster and teach less
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
}

/// How much is generated. The stories are as many words as a long novel.
const AMOUNTS: Amounts = Amounts { documents: 3_000, train_rows: 400, dev_rows: 1_000 };
/// The share of the documents that is held out.
const DEV_FRACTION: f64 = 0.02;
/// Room for every word of the stories, so that none is cut into pieces.
const VOCABULARY_SIZE: usize = 1_200;
/// A pair of passages of two sentences each.
const MAX_SEQ_LENGTH: usize = 32;

/// The folder and what lies in it.
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Runs `cloze quickstart`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let root = match &arguments.output {
        Some(path) => path.clone(),
        None => free_folder()?,
    };
    create_folder(&root)?;
    let folder = Folder { root };
    heading(1, &format!("A sample of generated stories, in {}", folder.root.display()));
    write_sample(&folder, common.seed)?;

    heading(2, "A vocabulary");
    let options = TrainOptions { size: VOCABULARY_SIZE, ..TrainOptions::default() };
    let tokens = vocab::make(&[folder.path("corpus.txt")], &folder.path("vocab"), &options)?;
    eprintln!("{tokens} tokens");
    config(tokens).write(&folder.path("config.json"))?;

    heading(3, "Pre-training a small BERT on the stories");
    let settings = pretrain_settings(&folder, arguments.steps, common.seed);
    if !ended(train(false, |observer| pretrain(&settings, &options_for(&folder, "pretrained", common), observer))?) {
        return stopped(&folder);
    }

    heading(4, "Fine-tuning it on labelled sentences");
    let pretrained = Start::Model(folder.path("pretrained"));
    let settings = finetune_settings(&folder, pretrained, common.seed);
    if !ended(train(false, |observer| finetune(&settings, &options_for(&folder, "finetuned", common), observer))?) {
        return stopped(&folder);
    }

    heading(5, "The same for a twin that starts from random weights");
    let scratch = Start::Config(folder.path("config.json"));
    let settings = finetune_settings(&folder, scratch, common.seed);
    if !ended(train(false, |observer| finetune(&settings, &options_for(&folder, "from-scratch", common), observer))?) {
        return stopped(&folder);
    }

    let summary = summary::gather(&folder, common, started.elapsed())?;
    let report = folder.path("report.html");
    write_file(&report, summary.report().html().as_bytes())?;
    eprintln!();
    let mut output = Output::new(common.json);
    output.answer(&summary.figures, || summary.table())?;
    output.finish()?;
    eprintln!("\nDone in {}. Curves and more: {}", duration(started.elapsed().as_secs_f64()), report.display());
    eprintln!("\n{}", summary.next_steps());
    Ok(ExitCode::SUCCESS)
}

fn heading(number: usize, text: &str) {
    eprintln!("\n[{number}/5] {text}");
}

/// Whether a training came to its end, now or before.
fn ended(ending: Ending) -> bool {
    !matches!(ending, Ending::Stopped { .. })
}

fn stopped(folder: &Folder) -> anyhow::Result<ExitCode> {
    eprintln!("stopped; to go on: cloze quickstart --output {}", folder.root.display());
    Ok(ExitCode::FAILURE)
}

/// `cloze-quickstart`, or the first `cloze-quickstart-N` that is not there yet.
fn free_folder() -> anyhow::Result<PathBuf> {
    let names = std::iter::once("cloze-quickstart".to_string()).chain((2..).map(|n| format!("cloze-quickstart-{n}")));
    names.map(PathBuf::from).find(|path| !path.exists()).context("no free name for the folder")
}

/// Writes corpus.txt, train.tsv and dev.tsv. The same seed writes the same
/// bytes, so that an interrupted quickstart can go on.
fn write_sample(folder: &Folder, seed: u64) -> anyhow::Result<()> {
    let sample = generator::generate(AMOUNTS, seed);
    for (name, text) in [("corpus.txt", &sample.corpus), ("train.tsv", &sample.train), ("dev.tsv", &sample.dev)] {
        write_file(&folder.path(name), text.as_bytes())?;
    }
    eprintln!("corpus.txt: {} stories; train.tsv, dev.tsv: labelled sentences", AMOUNTS.documents);
    Ok(())
}

/// BERT-tiny with more heads and fewer positions. Short runs on little text learn best without dropout
/// and with larger first weights than a long run would start from.
fn config(vocab_size: usize) -> Config {
    Config {
        vocab_size,
        num_attention_heads: 4,
        max_position_embeddings: 64,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        initializer_range: 0.05,
        ..Config::tiny()
    }
}

fn options_for(folder: &Folder, name: &str, common: &Common) -> RunOptions {
    RunOptions { output: folder.path(name), overwrite: false, threads: common.threads(), save_steps: None }
}

fn pretrain_settings(folder: &Folder, steps: u64, seed: u64) -> PretrainSettings {
    let start = Start::Config(folder.path("config.json"));
    let mut settings = PretrainSettings::new(vec![folder.path("corpus.txt")], folder.path("vocab"), start, steps);
    settings.dev_fraction = DEV_FRACTION;
    settings.eval_steps = Some((steps / 20).max(1));
    settings.max_seq_length = MAX_SEQ_LENGTH;
    // Many small steps learn more from a given number of tokens than a few large ones. At this rate the optimizer needs
    // its bias correction. At twice the rate the model learns the grammar as fast, but hardly any meaning.
    settings.update.optimizer = OptimizerSettings::new(OptimizerKind::AdamW);
    settings.update.batch_size = 16;
    settings.update.learning_rate = 7e-4;
    settings.update.warmup = 0.1;
    settings.update.seed = seed;
    settings
}

fn finetune_settings(folder: &Folder, start: Start, seed: u64) -> FinetuneSettings {
    let train = folder.path("train.tsv");
    let mut settings = FinetuneSettings::new(FinetuneTask::Classification, start, train, folder.path("dev.tsv"));
    settings.tokenizer = Some(folder.path("vocab"));
    settings.max_seq_length = MAX_SEQ_LENGTH;
    settings.epochs = 5;
    settings.update.batch_size = 16;
    settings.update.learning_rate = 3e-4;
    settings.update.seed = seed;
    settings
}
