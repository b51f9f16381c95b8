//! `cloze check`: what is wrong with data, model and settings, before anything is trained.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cloze::check::{
    CheckReport, CheckSettings, Depth, Estimate, FileFigures, Finding, LabelCount, Lengths, Place, Severity, check,
};
use cloze::settings::Start;
use cloze::train::BATCH_SIZE_MAX;
use serde::Serialize;

use crate::arguments::{Common, at_least, between};
use crate::data_args::{DataArgs, LabelArgs};
use crate::input::LongArgs;
use crate::layout::wrapped;
use crate::models;
use crate::output::{Output, duration, grouped};
use crate::questions::QuestionArgs;
use crate::training::{TaskName, TokenizerArgs, max_seq_length};

/// Labels that are listed; the others are counted.
const LABELS_LISTED: usize = 40;

/// Flags of `cloze check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloze check --task classification --model model \\\n    --train train.tsv --dev dev.tsv\n  \
    cloze check --task tokens --tokenizer vocab.txt --cased \\\n    --train train.conll --json\n\n\
    Every finding names file and line. The exit code is 1 if one of them is an error. With --json each finding is a \
    line, and the last line has the figures."
)]
pub struct Arguments {
    /// Choose what to predict
    #[arg(long, value_name = "TASK")]
    task: TaskName,
    /// Check against this model directory, from which the training will start
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    model: Option<PathBuf>,
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// Check these training examples: .tsv, .csv, .jsonl, .json or .parquet; words also .conll, .conllu or
    /// .ann; questions also SQuAD's .json
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    train: PathBuf,
    /// Check these examples, on which the training will be evaluated
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    dev: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    long: LongArgs,
    /// Cut or window texts at N tokens, special tokens included [default: 128 (qa: 384), or what the model reads if that
    /// is less]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize), help_heading = "Data")]
    max_seq_length: Option<usize>,
    /// Estimate for N passes over the training examples
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least(1_u64), help_heading = "Estimate")]
    epochs: u64,
    /// Estimate for N examples an optimizer step
    #[arg(
        long,
        value_name = "N",
        default_value = "32",
        value_parser = between(1, BATCH_SIZE_MAX),
        help_heading = "Estimate"
    )]
    batch_size: NonZeroUsize,
    /// Estimate for batches that are computed in N parts
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = at_least(NonZeroUsize::MIN),
        help_heading = "Estimate"
    )]
    accumulate: NonZeroUsize,
    /// Allow a model whose head is for other labels: the training will replace it
    #[arg(long, help_heading = "Model")]
    new_head: bool,
    #[command(flatten)]
    questions: QuestionArgs,
}

/// The last line with `--json`.
#[derive(Serialize)]
struct Figures<'a> {
    errors: usize,
    warnings: usize,
    notes: usize,
    #[serde(flatten)]
    report: &'a CheckReport,
}

impl Arguments {
    fn settings(&self, common: &Common) -> CheckSettings {
        let defaults = CheckSettings::new(self.task.into(), &self.train);
        let start = self.model.clone().map(Start::Model);
        CheckSettings {
            dev: self.dev.clone(),
            columns: self.data.columns(),
            reading: self.data.settings(self.labels.labels.clone()),
            tokenizer: self.tokenizer.tokenizer.clone(),
            cased: self.tokenizer.cased,
            tokenizer_file: common.tokenizer_file,
            new_head: self.new_head,
            max_seq_length: max_seq_length(self.max_seq_length, defaults.max_seq_length, start.as_ref()),
            start,
            long: self.long.choice().unwrap_or(defaults.long),
            batch_size: self.batch_size.get(),
            questions: self.questions.applied_to(defaults.questions),
            accumulate: self.accumulate.get(),
            epochs: self.epochs,
            precision: common.training_precision(),
            ..defaults
        }
    }
}

/// Runs `cloze check`. The exit code is that of a failure if there are errors.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<ExitCode> {
    arguments.model.as_deref().map_or(Ok(()), models::need)?;
    let report = check(&arguments.settings(common), Depth::Full, common.threads())?;
    let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note].map(|of| report.count(of));
    let mut output = Output::new(common.json);
    if common.json {
        for finding in &report.findings {
            output.answer(finding, String::new)?;
        }
    }
    let figures = Figures { errors, warnings, notes, report: &report };
    let columns = output.columns();
    output.answer(&figures, || readable(&figures, columns))?;
    output.finish()?;
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The figures for people; at a terminal of so many columns, findings are wrapped.
fn readable(figures: &Figures, columns: Option<usize>) -> String {
    let report = figures.report;
    let mut sections = vec![files(&report.files), findings(figures, columns)];
    if !report.labels.is_empty() {
        sections.push(labels(report));
    }
    if !report.lengths.is_empty() {
        sections.push(lengths(report));
    }
    sections.extend(report.estimate.as_ref().map(estimate));
    sections.join("\n\n")
}

fn files(files: &[FileFigures]) -> String {
    if files.is_empty() {
        return "read\n  nothing".to_string();
    }
    let line = |file: &FileFigures| {
        let mut line = format!("  {}\t{} examples", file.path.display(), grouped(file.examples as u64));
        if let Some(words) = file.words {
            line += &format!(", {} words", grouped(words as u64));
        }
        if let Some(scheme) = file.scheme {
            line += &format!(", {scheme}");
        }
        if let Some(labels) = file.labels_per_example {
            line += &format!(", {labels:.2} labels each");
        }
        if let Some(values) = file.values {
            line += &format!(", values {} to {}, mean {:.3}", values.min, values.max, values.mean);
        }
        line
    };
    format!("read\n{}", files.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn findings(figures: &Figures, columns: Option<usize>) -> String {
    let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let mut lines = vec![format!(
        "findings: {}, {}, {}",
        counted(figures.errors, "error"),
        counted(figures.warnings, "warning"),
        counted(figures.notes, "note")
    )];
    for finding in &figures.report.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        lines.extend(wrapped(&format!("  {severity:<7}  "), &format!("{finding} [{}]", finding.kind), columns));
        lines.extend(places(finding));
    }
    lines.join("\n")
}

/// Where else something was found, a line each.
fn places(finding: &Finding) -> Vec<String> {
    let of = |line: Option<usize>| line.map_or_else(String::new, |line| format!("line {line}"));
    let width = finding.places.iter().map(|place| of(place.line).len()).max().unwrap_or(0);
    let gap = if width == 0 { "" } else { "  " };
    let place = |place: &Place| format!("             {:width$}{gap}{}", of(place.line), place.what);
    let mut lines: Vec<String> = finding.places.iter().map(place).collect();
    let more = finding.count.saturating_sub(finding.places.len());
    if more > 0 && !finding.places.is_empty() {
        lines.push(format!("             and {} more", grouped(more as u64)));
    }
    lines
}

fn labels(report: &CheckReport) -> String {
    let shown = &report.labels[..report.labels.len().min(LABELS_LISTED)];
    let all = |of: fn(&LabelCount) -> usize| report.labels.iter().map(of).sum::<usize>().max(1) as f64;
    let (train, dev) = (all(|label| label.train), all(|label| label.dev));
    let has_dev = report.labels.iter().any(|label| label.dev > 0);
    let cells = |count: usize, all: f64| format!("\t{}\t{:.1} %", grouped(count as u64), 100.0 * count as f64 / all);
    let mut lines = vec![format!("labels\ttrain\t{}", if has_dev { "\tdev\t" } else { "" })];
    for label in shown {
        let dev = if has_dev { cells(label.dev, dev) } else { String::new() };
        lines.push(format!("  {}{}{dev}", label.label, cells(label.train, train)));
    }
    if shown.len() < report.labels.len() {
        lines.push(format!("  and {} more", grouped((report.labels.len() - shown.len()) as u64)));
    }
    lines.join("\n")
}

fn lengths(report: &CheckReport) -> String {
    let name = |file: &Lengths| file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let row = |title: &str, of: &dyn Fn(&Lengths) -> String| {
        let cells: String = report.lengths.iter().map(|file| format!("\t{}", of(file))).collect();
        format!("{title}{cells}")
    };
    let count = |count: usize| grouped(count as u64);
    let mut lines = vec![
        row("lengths in tokens", &name),
        row("  all", &|file| count(file.tokens)),
        row("  mean", &|file| format!("{:.1}", file.mean)),
        row("  median", &|file| count(file.median)),
        row("  95 of 100 are up to", &|file| count(file.percentile_95)),
        row("  longest", &|file| count(file.max)),
    ];
    let mut before = 0;
    for (at, bar) in report.lengths[0].histogram.iter().enumerate() {
        let range = match bar.up_to {
            Some(up_to) => format!("  {} to {}", count(before + 1), count(up_to)),
            None => format!("  {} and more", count(before + 1)),
        };
        before = bar.up_to.unwrap_or(before);
        if report.lengths.iter().any(|file| file.histogram[at].examples > 0) {
            lines.push(row(&range, &|file| count(file.histogram[at].examples)));
        }
    }
    lines.push(row("  unknown words", &|file| {
        format!("{:.2} %", 100.0 * file.unknown_words as f64 / file.words.max(1) as f64)
    }));
    lines.push(String::new());
    lines.push(row("longer than", &|file| format!("{}: texts\ttokens lost", name(file))));
    for (at, cut) in report.lengths[0].cuts.iter().enumerate() {
        let share = |file: &Lengths| {
            let cut = file.cuts[at];
            format!("{:.1} %\t{:.1} %", 100.0 * cut.examples, 100.0 * cut.tokens)
        };
        lines.push(row(&format!("  {}", count(cut.max_seq_length)), &share));
    }
    lines.join("\n")
}

fn estimate(estimate: &Estimate) -> String {
    let gigabytes = |bytes: f64| format!("{:.2} GB", bytes / 1e9);
    let (fixed, kept) = (estimate.bytes_of_parameters, estimate.bytes_of_activations);
    [
        "estimate of the training".to_string(),
        format!("  steps   {}", grouped(estimate.steps)),
        format!(
            "  memory  about {}: {} for {} parameters, {} for a batch",
            gigabytes(fixed + kept),
            gigabytes(fixed),
            grouped(estimate.parameters as u64),
            gigabytes(kept)
        ),
        format!("  time    about {}, at {:.0} GFLOP/s measured now", duration(estimate.seconds), estimate.gflops),
    ]
    .join("\n")
}
