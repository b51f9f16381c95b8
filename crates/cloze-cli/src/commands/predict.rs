//! `cloze predict`: what a model answers for new texts.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use cloze::data::{Question, Sentence};
use cloze::infer::{Aggregation, Entity, Extent, ReadOptions, Task, WordLabels, Words, note_on_truncation_side};
use cloze::{Model, Text};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::arguments::{Common, at_least, open_model};
use crate::input::{GROUP, InputArgs, InputText, LongArgs, Meter, borrow, for_each_group};
use crate::output::{Cut, Output};
use crate::questions::AnswerArgs;

/// Flags of `cloze predict`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze predict --model classifier --text \"The milk was good.\"\n  \
    cloze predict --model classifier --input texts.tsv --json > answers.jsonl\n  \
    cloze predict --model answerer --json \\\n    --text \"Who came?\" --text-b \"Ann came late.\"\n  \
    cloze predict --model answerer --input dev-v2.0.json --output answers --json\n  \
    cloze predict --model pretrained --json \\\n    --text \"It rained.\" --text-b \"The street was wet.\"")]
pub struct Arguments {
    /// Use this model directory: a fine-tuned one, or for pairs a pre-trained one with a next sentence head
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    /// Cut or window texts at N tokens, special tokens included [default: as the model was trained]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize), help_heading = "Data")]
    max_length: Option<usize>,
    #[command(flatten)]
    long: LongArgs,
    /// Choose how labels of tokens become entities [default: from the labels of words, as evaluate measures them]
    #[arg(long, value_name = "HOW", help_heading = "Labels of words (tokens)")]
    aggregation: Option<AggregationName>,
    #[command(flatten)]
    answers: AnswerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AggregationName {
    /// Each token by itself
    None,
    /// Neighbouring tokens of one type join, also within a word
    Simple,
    /// A word has the label of its first token
    First,
    /// A word has the label of the mean of its tokens
    Average,
    /// A word has the label of its surest token
    Max,
}

impl From<AggregationName> for Aggregation {
    fn from(name: AggregationName) -> Aggregation {
        match name {
            AggregationName::None => Aggregation::None,
            AggregationName::Simple => Aggregation::Simple,
            AggregationName::First => Aggregation::First,
            AggregationName::Average => Aggregation::Average,
            AggregationName::Max => Aggregation::Max,
        }
    }
}

#[derive(Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_next: Option<f64>,
    tokens: usize,
    windows: usize,
    truncated: usize,
}

impl Line {
    fn new(extent: Extent) -> Line {
        let Extent { tokens, windows, truncated } = extent;
        Line { label: None, labels: None, score: None, scores: None, is_next: None, tokens, windows, truncated }
    }
}

/// Labels of words, and what they make up.
#[derive(Serialize)]
struct WordsLine<'a> {
    words: &'a [String],
    labels: &'a [Option<String>],
    entities: Vec<EntityLine<'a>>,
    tokens: usize,
    windows: usize,
    truncated: usize,
}

#[derive(Serialize)]
struct EntityLine<'a> {
    label: &'a str,
    start: usize,
    end: usize,
    text: &'a str,
    score: f64,
}

impl<'a> WordsLine<'a> {
    fn new(answer: &'a WordLabels) -> WordsLine<'a> {
        let WordLabels { words, labels, entities, extent } = answer;
        let entity = |entity: &'a Entity| EntityLine {
            label: &entity.label,
            start: entity.start,
            end: entity.end,
            text: &entity.text,
            score: entity.score,
        };
        let Extent { tokens, windows, truncated } = *extent;
        WordsLine { words, labels, entities: entities.iter().map(entity).collect(), tokens, windows, truncated }
    }
}

/// A word and its label a line, and an empty line at the end.
fn readable_words(answer: &WordLabels) -> String {
    let line = |(word, label): (&String, &Option<String>)| format!("{word}\t{}\n", label.as_deref().unwrap_or("-"));
    answer.words.iter().zip(&answer.labels).map(line).collect()
}

fn scores(of_labels: Vec<(String, f64)>) -> Option<Map<String, Value>> {
    Some(of_labels.into_iter().map(|(label, score)| (label, score.into())).collect())
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
    let options = ReadOptions { max_length: arguments.max_length, long: arguments.long.choice() };
    if task == Task::Questions {
        return answer_questions(arguments, &model, options, common);
    }
    arguments.answers.refuse_files()?;
    if task == Task::Tokens
        && let Some(sentences) = arguments.input.sentences(model.settings())?
    {
        return label_sentences(arguments, &model, &sentences, options, common);
    }
    let aggregation = arguments.aggregation.map(Aggregation::from);
    let mut output = Output::new(common.json);
    let mut cut = Cut::default();
    for_each_group(arguments.input.texts(model.settings())?, "predicting", &mut output, |group, output| {
        if task == Task::NextSentence {
            need_pairs(arguments, group)?;
        }
        answer(&model, task, &borrow(group), options, aggregation, output, &mut cut)
    })?;
    output.finish()?;
    cut.report();
    if task == Task::Tokens {
        note_side(&model, &cut);
    }
    Ok(())
}

/// Labels sentences that come split into words.
fn label_sentences(
    arguments: &Arguments,
    model: &Model,
    sentences: &[Sentence],
    options: ReadOptions,
    common: &Common,
) -> anyhow::Result<()> {
    let aggregation = arguments.aggregation.map(Aggregation::from);
    let mut output = Output::new(common.json);
    let mut cut = Cut::default();
    let mut meter = Meter::new("labelling", Some(sentences.len() as u64));
    for group in sentences.chunks(GROUP) {
        let words: Vec<Words> = group.iter().map(|sentence| Words::Split(&sentence.words)).collect();
        for answer in model.label_words(&words, options, aggregation)? {
            cut.add(answer.extent.truncated);
            output.answer(&WordsLine::new(&answer), || readable_words(&answer))?;
        }
        meter.add(group.len(), &mut output)?;
    }
    drop(meter);
    output.finish()?;
    cut.report();
    note_side(model, &cut);
    Ok(())
}

/// Says that words are labelled from the beginning, where the model's files say otherwise.
fn note_side(model: &Model, cut: &Cut) {
    if let Some(note) = note_on_truncation_side(model.tokenizer(), cut.tokens()) {
        say!("note: {note}");
    }
}

/// An answer to a question.
#[derive(Serialize)]
struct AnswerLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    answer: &'a str,
    score: f64,
    start: Option<usize>,
    end: Option<usize>,
    null_odds: f64,
    tokens: usize,
    windows: usize,
    truncated: usize,
}

/// Answers the questions of a file, or of pairs: a question and its text.
fn answer_questions(arguments: &Arguments, model: &Model, options: ReadOptions, common: &Common) -> anyhow::Result<()> {
    let settings = arguments.answers.settings(model);
    let (asked, have_ids) = match arguments.input.questions(model.settings())? {
        Some(questions) => (questions, true),
        None => {
            let texts = arguments.input.texts(model.settings())?.collect::<anyhow::Result<Vec<InputText>>>()?;
            let question = |text: InputText| match text.b {
                Some(context) => Ok(Question {
                    id: text.line.to_string(),
                    question: text.a,
                    context: context.into(),
                    answers: Vec::new(),
                    is_impossible: false,
                }),
                None => bail!(
                    "{}: a question without the text that it is about: give both (--text QUESTION --text-b TEXT, \
                     columns text and text_b, a .json like SQuAD's, or a .jsonl with question and context)",
                    arguments.input.place(&text)
                ),
            };
            (texts.into_iter().map(question).collect::<anyhow::Result<Vec<Question>>>()?, false)
        }
    };
    let mut output = Output::new(common.json);
    let mut cut = Cut::default();
    let mut nbest = Vec::new();
    let mut meter = Meter::new("answering", Some(asked.len() as u64));
    for group in asked.chunks(GROUP) {
        let texts: Vec<(&str, &str)> = group.iter().map(|own| (own.question.as_str(), &*own.context)).collect();
        for (question, found) in group.iter().zip(model.answer(&texts, options, settings)?) {
            let answer = found.nbest.answer();
            let Extent { tokens, windows, truncated } = found.extent;
            cut.add(truncated);
            let line = AnswerLine {
                id: have_ids.then_some(question.id.as_str()),
                answer: &answer.text,
                score: answer.probability,
                start: answer.chars.as_ref().map(|chars| chars.start),
                end: answer.chars.as_ref().map(|chars| chars.end),
                null_odds: found.nbest.null_odds,
                tokens,
                windows,
                truncated,
            };
            output.answer(&line, || format!("{}\t{:.4}", answer.text, answer.probability))?;
            if arguments.answers.want_files() {
                nbest.push(found.nbest);
            }
        }
        meter.add(group.len(), &mut output)?;
    }
    drop(meter);
    output.finish()?;
    arguments.answers.write_files(&asked, &nbest)?;
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
    options: ReadOptions,
    aggregation: Option<Aggregation>,
    output: &mut Output,
    cut: &mut Cut,
) -> anyhow::Result<()> {
    match task {
        Task::Classification => {
            // Answers come one by one: the longest label makes the column.
            let longest = || model.config().labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
            let width = output.columns().map_or(0, |_| longest());
            for answer in model.classify(texts, options)? {
                cut.add(answer.extent.truncated);
                let readable = format!("{:width$}\t{:.4}", answer.label, answer.score);
                let (label, score) = (Some(answer.label), Some(answer.score));
                let line = Line { label, score, scores: scores(answer.scores), ..Line::new(answer.extent) };
                output.answer(&line, || readable)?;
            }
        }
        Task::Regression => {
            for answer in model.regress(texts, options)? {
                cut.add(answer.extent.truncated);
                let several = answer.scores.len() > 1;
                let readable = match several {
                    true => answer
                        .scores
                        .iter()
                        .map(|(name, score)| format!("{name} {score}"))
                        .collect::<Vec<_>>()
                        .join("\t"),
                    false => answer.score.to_string(),
                };
                let line = Line::new(answer.extent);
                let line = match several {
                    true => Line { scores: scores(answer.scores), ..line },
                    false => Line { score: Some(answer.score), ..line },
                };
                output.answer(&line, || readable)?;
            }
        }
        Task::MultiLabel => {
            for answer in model.label(texts, options)? {
                cut.add(answer.extent.truncated);
                let readable = answer.labels.join(", ");
                let labels = Some(answer.labels);
                let line = Line { labels, scores: scores(answer.scores), ..Line::new(answer.extent) };
                output.answer(&line, || readable)?;
            }
        }
        Task::NextSentence => {
            for answer in model.is_next(texts, options.max_length)? {
                cut.add(answer.extent.truncated);
                let line = Line { is_next: Some(answer.is_next), ..Line::new(answer.extent) };
                output.answer(&line, || format!("is next: {:.4}", answer.is_next))?;
            }
        }
        Task::Tokens => {
            if texts.iter().any(|text| text.b.is_some()) {
                bail!(
                    "there is a second text, and this model labels the words of one: leave it out, or name the column \
                     to read with --columns text=NAME"
                );
            }
            let words: Vec<Words> = texts.iter().map(|text| Words::Text(text.a)).collect();
            for answer in model.label_words(&words, options, aggregation)? {
                cut.add(answer.extent.truncated);
                output.answer(&WordsLine::new(&answer), || readable_words(&answer))?;
            }
        }
        Task::Questions => unreachable!("questions are answered by answer_questions"),
    }
    Ok(())
}
