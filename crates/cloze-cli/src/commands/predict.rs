//! `cloze predict`: what a model answers for new texts.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use cloze::infer::Task;
use cloze::{Model, Text};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::arguments::{Common, open_model};
use crate::input::{InputArgs, borrow, for_each_group};
use crate::output::{Output, report_truncated};

/// Flags of `cloze predict`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze predict --model classifier --text \"The milk was good.\"\n  \
    cloze predict --model pretrained --text \"It rained.\" --text-b \"The street was wet.\" --json")]
pub struct Arguments {
    /// A fine-tuned model directory, or a pre-trained one with a next sentence head, for pairs
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    /// Longest text in tokens [default: the model's]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
}

#[derive(Serialize)]
struct ClassificationLine {
    label: String,
    score: f64,
    scores: Map<String, Value>,
    tokens: usize,
    truncated: usize,
}

#[derive(Serialize)]
struct RegressionLine {
    score: f64,
    tokens: usize,
    truncated: usize,
}

#[derive(Serialize)]
struct NextSentenceLine {
    is_next: f64,
    tokens: usize,
    truncated: usize,
}

/// Runs `cloze predict`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let model = open_model(&arguments.model, common)?;
    let Some(task) = model.task() else {
        bail!(
            "{}: this model has no head to answer with; fine-tune it first, with cloze finetune",
            arguments.model.display()
        );
    };
    let mut output = Output::new(common.json);
    let mut truncated = 0;
    for_each_group(arguments.input.texts()?, |group| {
        truncated += answer(&model, task, &borrow(group), arguments.max_length, &mut output)?;
        Ok(())
    })?;
    output.finish()?;
    report_truncated(truncated);
    Ok(())
}

/// Answers for a group and returns how many texts were cut.
fn answer(
    model: &Model,
    task: Task,
    texts: &[Text],
    max_length: Option<usize>,
    output: &mut Output,
) -> anyhow::Result<usize> {
    let mut truncated = 0;
    match task {
        Task::Classification => {
            for answer in model.classify(texts, max_length)? {
                truncated += usize::from(answer.truncated > 0);
                let readable = format!("{}\t{:.4}", answer.label, answer.score);
                let line = ClassificationLine {
                    label: answer.label,
                    score: answer.score,
                    scores: answer.scores.into_iter().map(|(label, score)| (label, score.into())).collect(),
                    tokens: answer.tokens,
                    truncated: answer.truncated,
                };
                output.answer(&line, || readable)?;
            }
        }
        Task::Regression => {
            for answer in model.regress(texts, max_length)? {
                truncated += usize::from(answer.truncated > 0);
                let line = RegressionLine { score: answer.score, tokens: answer.tokens, truncated: answer.truncated };
                output.answer(&line, || answer.score)?;
            }
        }
        Task::NextSentence => {
            for answer in model.is_next(texts, max_length)? {
                truncated += usize::from(answer.truncated > 0);
                let line =
                    NextSentenceLine { is_next: answer.is_next, tokens: answer.tokens, truncated: answer.truncated };
                output.answer(&line, || format!("is next: {:.4}", answer.is_next))?;
            }
        }
    }
    Ok(truncated)
}
