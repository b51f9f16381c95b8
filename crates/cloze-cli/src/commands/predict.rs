//! `cloze predict`: what a model answers for new texts.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use cloze::infer::Task;
use cloze::{Model, Text};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::arguments::{Common, open_model};
use crate::input::{InputArgs, InputText, LongArgs, borrow, for_each_group};
use crate::output::{Cut, Output};

/// Flags of `cloze predict`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze predict --model classifier --text \"The milk was good.\"\n  \
    cloze predict --model classifier --input texts.tsv --json > answers.jsonl\n  \
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
    #[command(flatten)]
    long: LongArgs,
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
    arguments.long.check()?;
    let model = open_model(&arguments.model, common)?;
    let Some(task) = model.task() else {
        bail!(
            "{}: this model has no head to answer with; fine-tune it first, with cloze finetune",
            arguments.model.display()
        );
    };
    let mut output = Output::new(common.json);
    let mut cut = Cut::default();
    for_each_group(arguments.input.texts()?, |group| {
        if task == Task::NextSentence {
            need_pairs(arguments, group)?;
        }
        answer(&model, task, &borrow(group), arguments.max_length, &mut output, &mut cut)
    })?;
    output.finish()?;
    cut.report();
    Ok(())
}

/// Refuses single texts, naming where they stand.
fn need_pairs(arguments: &Arguments, texts: &[InputText]) -> anyhow::Result<()> {
    match texts.iter().find(|text| text.b.is_none()) {
        None => Ok(()),
        Some(single) => bail!(
            "{}: a single text, but {} tells whether one text follows another: give pairs (--text-b, a column \
             text_b, or a tab in a line of standard input), or fine-tune the model first",
            arguments.input.place(single),
            arguments.model.display()
        ),
    }
}

/// Answers for a group.
fn answer(
    model: &Model,
    task: Task,
    texts: &[Text],
    max_length: Option<usize>,
    output: &mut Output,
    cut: &mut Cut,
) -> anyhow::Result<()> {
    match task {
        Task::Classification => {
            for answer in model.classify(texts, max_length)? {
                cut.add(answer.truncated);
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
                cut.add(answer.truncated);
                let line = RegressionLine { score: answer.score, tokens: answer.tokens, truncated: answer.truncated };
                output.answer(&line, || answer.score)?;
            }
        }
        Task::NextSentence => {
            for answer in model.is_next(texts, max_length)? {
                cut.add(answer.truncated);
                let line =
                    NextSentenceLine { is_next: answer.is_next, tokens: answer.tokens, truncated: answer.truncated };
                output.answer(&line, || format!("is next: {:.4}", answer.is_next))?;
            }
        }
    }
    Ok(())
}
