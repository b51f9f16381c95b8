//! `cloze evaluate`: how good a model is.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use cloze::eval::{Evaluation, EvaluationOptions, PretrainingData, evaluate, evaluate_pretraining};
use cloze::infer::{ReadOptions, Task};
use cloze::train::Event;
use serde_json::{Map, Value, json};

use crate::arguments::{Common, at_least, open_model};
use crate::data_args::DataArgs;
use crate::input::{LongArgs, TextArgs};
use crate::output::{Output, grouped};
use crate::questions::AnswerArgs;
use crate::reporter::{Reporter, figure, perplexity};

/// Flags of `cloze evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze evaluate --model classifier --input dev.tsv --json\n  \
    cloze evaluate --model answerer --input dev-v2.0.json --output answers\n  \
    cloze evaluate --model pretrained --input held-out.txt")]
pub struct Arguments {
    /// Evaluate this model directory: a fine-tuned one on labelled examples, a pre-trained one on raw text
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Evaluate on this file: .tsv, .csv, .jsonl, .json or .parquet; words also .conll; for a pre-trained model text or a
    /// store
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    text: TextArgs,
    /// Cut or window texts at N tokens, special tokens included [default: as the model was trained]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize), help_heading = "Data")]
    max_length: Option<usize>,
    #[command(flatten)]
    long: LongArgs,
    /// Measure F1 of this label, of two [default: as stored with the model, or the one with id 1]
    #[arg(long, value_name = "LABEL")]
    positive_label: Option<String>,
    #[command(flatten)]
    answers: AnswerArgs,
}

/// A matrix of more classes is only in the answer with --json.
const MATRIX_SHOWN: usize = 12;

/// Runs `cloze evaluate`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let model = open_model(&arguments.model, common)?;
    if model.task() != Some(Task::Questions) {
        arguments.answers.refuse_files()?;
    }
    let mut reporter = Reporter::new(false);
    let observer = &mut |event: &Event| {
        reporter.show(event);
        reporter.verdict()
    };
    let evaluation = match (model.task(), arguments.input.as_slice()) {
        (Some(Task::NextSentence) | None, files) => {
            let data = PretrainingData {
                corpus: arguments.text.corpus_options(),
                max_seq_length: arguments.max_length,
                seed: common.seed,
            };
            evaluate_pretraining(&model, files, data, observer)?
        }
        (_, [file]) => {
            let options = EvaluationOptions {
                data: arguments.data.options()?,
                reading: ReadOptions { max_length: arguments.max_length, long: arguments.long.choice() },
                questions: Some(arguments.answers.settings(&model)),
                positive_label: arguments.positive_label.clone(),
                seed: common.seed,
            };
            evaluate(&model, file, &options, observer)?
        }
        _ => bail!("--input: labelled examples come in one file; evaluate others one by one"),
    };
    reporter.clear();
    if let Some(answers) = &evaluation.answers {
        arguments.answers.write_files(&answers.questions, &answers.nbest)?;
    }
    let mut output = Output::new(common.json);
    output.answer(&line(&evaluation), || readable(&evaluation))?;
    Ok(output.finish()?)
}

/// All of it on one line, the metrics by their names.
fn line(evaluation: &Evaluation) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("task".to_string(), evaluation.task.into());
    line.insert("examples".to_string(), evaluation.examples.into());
    for (name, value) in &evaluation.metrics {
        line.insert(name.clone(), (*value).into());
    }
    if let Some(label) = &evaluation.details.positive_label {
        line.insert("positive_label".to_string(), label.as_str().into());
    }
    if evaluation.task != "pretraining" {
        line.insert("details".to_string(), json!(evaluation.details));
    }
    line
}

/// A figure a line, then tables.
fn readable(evaluation: &Evaluation) -> String {
    let Evaluation { task, examples, metrics, details, .. } = evaluation;
    let mut text = format!("task\t{task}\nexamples\t{}", grouped(*examples as u64));
    for (name, value) in metrics {
        let interval = details.intervals.iter().find(|(own, _)| own == name);
        let interval = interval.map(|(_, own)| format!("\t95 % within {:.4} and {:.4}", own.low, own.high));
        let value = if name == "mlm_perplexity" { perplexity(*value) } else { figure(*value) };
        let _ = write!(text, "\n{name}\t{value}{}", interval.unwrap_or_default());
        if let Some(label) = details.positive_label.as_ref().filter(|_| name == "f1") {
            let _ = write!(text, "\tof the label {label}");
        }
        if evaluation.cross_fitted(name).is_some() {
            text.push_str("\ttuned on these examples");
        }
    }
    if let Some(calibration) = &details.calibration {
        let _ = write!(text, "\nexpected_calibration_error\t{:.4}", calibration.error);
    }
    if !details.classes.is_empty() {
        text.push_str("\n\nlabel\tprecision\trecall\tf1\tsupport");
        for (label, own) in &details.classes {
            let (precision, recall, f1, support) = (own.precision, own.recall, own.f1, own.support);
            let _ = write!(text, "\n{label}\t{precision:.4}\t{recall:.4}\t{f1:.4}\t{support}");
        }
    }
    if !details.confusion.is_empty() && details.labels.len() <= MATRIX_SHOWN {
        let _ = write!(text, "\n\nis, taken for\t{}", details.labels.join("\t"));
        for (label, row) in details.labels.iter().zip(&details.confusion) {
            let counts: Vec<String> = row.iter().map(usize::to_string).collect();
            let _ = write!(text, "\n{label}\t{}", counts.join("\t"));
        }
    }
    if details.slices.len() > 1 {
        text.push_str("\n\ntokens\texamples");
        let names: Vec<&String> = details.slices.iter().flat_map(|slice| slice.metric.keys()).collect();
        let mut columns: Vec<&String> = Vec::new();
        names.into_iter().for_each(|name| {
            if !columns.contains(&name) {
                columns.push(name)
            }
        });
        columns.iter().for_each(|name| text.push_str(&format!("\t{name}")));
        for slice in &details.slices {
            let _ = write!(text, "\n{} to {}\t{}", slice.from, slice.to, slice.count);
            for name in &columns {
                match slice.metric.get(*name).and_then(Value::as_f64) {
                    Some(value) => text.push_str(&format!("\t{value:.4}")),
                    None => text.push_str("\t-"),
                }
            }
        }
    }
    text
}
