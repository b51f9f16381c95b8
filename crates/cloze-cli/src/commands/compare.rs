//! `cloze compare`: which of two models is better, and how sure that is.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use cloze::eval::{EvaluationOptions, ModelComparison, compare};
use cloze::infer::ReadOptions;
use cloze::train::Event;
use serde_json::{Map, Value, json};

use crate::arguments::{Common, at_least, open_model};
use crate::data_args::DataArgs;
use crate::input::LongArgs;
use crate::output::{Output, grouped};
use crate::reporter::Reporter;

/// Flags of `cloze compare`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze compare small-model large-model --data dev.tsv\n\n\
    Both models answer the same examples. Each metric has its difference, the 95 % interval of the difference (paired \
    bootstrap), and p, the probability of such a difference by chance.")]
pub struct Arguments {
    /// Model directory of the first model
    #[arg(value_name = "A")]
    first: PathBuf,
    /// Model directory of the second model
    #[arg(value_name = "B")]
    second: PathBuf,
    /// Compare on these labelled examples: .tsv, .csv or .jsonl; .conll for words; .json for questions
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    #[command(flatten)]
    reading: DataArgs,
    /// Cut or window texts at N tokens, special tokens included [default: as each model was trained]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize))]
    max_length: Option<usize>,
    #[command(flatten)]
    long: LongArgs,
}

/// Runs `cloze compare`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let (first, second) = (open_model(&arguments.first, common)?, open_model(&arguments.second, common)?);
    let options = EvaluationOptions {
        data: arguments.reading.options()?,
        reading: ReadOptions { max_length: arguments.max_length, long: arguments.long.choice() },
        questions: None,
        positive_label: None,
        seed: common.seed,
    };
    let mut reporter = Reporter::new(false);
    let observer = &mut |event: &Event| {
        reporter.show(event);
        reporter.verdict()
    };
    let comparison = compare([&first, &second], &arguments.data, &options, observer)?;
    reporter.clear();
    let mut output = Output::new(common.json);
    output.answer(&line(&comparison), || readable(&comparison))?;
    Ok(output.finish()?)
}

fn line(comparison: &ModelComparison) -> Value {
    let metrics = |of: usize| -> Map<String, Value> {
        comparison.metrics[of].iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    };
    let differences: Map<String, Value> =
        comparison.differences.iter().map(|(name, own)| (name.clone(), json!(own))).collect();
    json!({
        "task": comparison.task,
        "examples": comparison.examples,
        "a": metrics(0),
        "b": metrics(1),
        "differences": differences,
        "mcnemar_p": comparison.mcnemar,
    })
}

fn readable(comparison: &ModelComparison) -> String {
    let mut text = format!("task\t{}\nexamples\t{}\n\n", comparison.task, grouped(comparison.examples as u64));
    text.push_str("metric\tA\tB\tA - B\t95 % within\tp");
    let of = |at: usize, name: &str| {
        let found = comparison.metrics[at].iter().find(|(own, _)| own == name);
        found.map_or("-".to_string(), |(_, value)| format!("{value:.4}"))
    };
    for (name, own) in &comparison.differences {
        let (low, high) = (own.interval.low, own.interval.high);
        let _ = write!(
            text,
            "\n{name}\t{}\t{}\t{:+.4}\t{low:+.4} and {high:+.4}\t{:.4}",
            of(0, name),
            of(1, name),
            own.difference,
            own.p_value
        );
    }
    if let Some(p) = comparison.mcnemar {
        let _ = write!(text, "\n\nright or wrong, McNemar's exact test: p {p:.4}");
    }
    text
}
