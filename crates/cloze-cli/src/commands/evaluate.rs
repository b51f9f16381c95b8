//! `cloze evaluate`: how good a model is.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use crate::arguments::{Common, open_model};
use crate::input::ColumnArgs;
use crate::output::Output;
use crate::training::Reporter;

/// Flags of `cloze evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze evaluate --model classifier --input dev.tsv --json\n  \
    cloze evaluate --model pretrained --input held-out.txt")]
pub struct Arguments {
    /// A fine-tuned model directory, or a pre-trained one, which is measured on raw text
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Labelled examples (.tsv, .csv, .jsonl), or raw text (.txt) for a pre-trained model
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Longest text in tokens [default: the model's]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
}

/// Runs `cloze evaluate`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let model = open_model(&arguments.model, common)?;
    let mut reporter = Reporter::new(false);
    let columns = arguments.columns.parse()?;
    let evaluation =
        evaluate(&model, &arguments.input, columns.as_ref(), arguments.max_length, &mut |event| {
            reporter.show(event);
            reporter.verdict()
        })?;
    reporter.finish()?;
    let mut line = Map::new();
    line.insert("task".to_string(), evaluation.task.into());
    line.insert("examples".to_string(), evaluation.examples.into());
    line.insert("loss".to_string(), evaluation.loss.into());
    for (name, value) in evaluation.metrics.iter() {
        line.insert(name.to_string(), (*value).into());
    }
    let mut output = Output::new(common.json);
    output.answer(&line, || readable(&line))?;
    Ok(output.finish()?)
}

/// A figure a line.
fn readable(line: &Map<String, Value>) -> String {
    let figure = |(name, value): (&String, &Value)| match value.as_f64() {
        Some(number) if value.is_f64() => format!("{name}\t{number:.4}"),
        _ => format!("{name}\t{}", value.as_str().map_or_else(|| value.to_string(), str::to_string)),
    };
    line.iter().map(figure).collect::<Vec<_>>().join("\n")
}
