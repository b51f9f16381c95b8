//! `cloze evaluate`: how good a model is.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use cloze::eval::{PretrainingData, evaluate, evaluate_pretraining};
use cloze::infer::{ReadOptions, Task};
use cloze::train::Event;
use serde_json::{Map, Value};

use crate::arguments::{Common, open_model};
use crate::input::{ColumnArgs, LongArgs, TextArgs};
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
    /// Labelled examples (.tsv, .csv, .jsonl), or text files for a pre-trained model
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    text: TextArgs,
    /// Longest text in tokens [default: the model's]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    #[command(flatten)]
    long: LongArgs,
}

/// Runs `cloze evaluate`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let model = open_model(&arguments.model, common)?;
    let mut reporter = Reporter::new(false);
    let columns = arguments.columns.parse()?;
    let observer = &mut |event: &Event| {
        reporter.show(event);
        reporter.verdict()
    };
    let options = ReadOptions { max_length: arguments.max_length, long: arguments.long.choice() };
    let evaluation = match (model.task(), arguments.input.as_slice()) {
        (Some(Task::NextSentence) | None, files) => {
            let data = PretrainingData {
                document: arguments.text.document(),
                sentences: arguments.text.sentences(),
                max_seq_length: arguments.max_length,
                seed: common.seed,
            };
            evaluate_pretraining(&model, files, data, observer)?
        }
        (_, [file]) => evaluate(&model, file, columns.as_ref(), options, observer)?,
        _ => bail!("--input: labelled examples come in one file; evaluate others one by one"),
    };
    reporter.finish()?;
    let mut line = Map::new();
    line.insert("task".to_string(), evaluation.task.into());
    line.insert("examples".to_string(), evaluation.examples.into());
    for (name, value) in evaluation.metrics {
        line.insert(name, value.into());
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
