//! `cloze embed`: vectors of texts.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cloze::infer::{EmbedOptions, Extent, Pooling, Prompt, ReadOptions};
use serde::Serialize;

use crate::arguments::{Common, at_least, open_model};
use crate::input::{InputArgs, LongArgs, borrow, for_each_group};
use crate::output::{Cut, Output};

/// Flags of `cloze embed`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze embed --model model --text \"A sentence.\" --json\n  \
    cloze embed --model model --input sentences.txt --pooling mean \\\n    --normalize --json > vectors.jsonl\n  \
    cloze embed --model model --input questions.txt --prompt-name query \\\n    --dimensions 256 --json")]
pub struct Arguments {
    /// Use this model directory
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    /// Choose how the vectors of a text's tokens become one; the vectors of several, as cls,max, stand side by side
    /// [default: as the model's files say, else mean]
    #[arg(long, value_name = "HOW", value_delimiter = ',', help_heading = "Vectors")]
    pooling: Vec<PoolingName>,
    /// Put the model's prompt of this name before each text [default: the model's default prompt, if it has one]
    #[arg(long, value_name = "NAME", conflicts_with = "prompt", help_heading = "Vectors")]
    prompt_name: Option<String>,
    /// Put this prompt before each text; '' means none [default: the model's default prompt, if it has one]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, help_heading = "Vectors")]
    prompt: Option<String>,
    /// Take the vectors after layer N; 0 means the embeddings [default: the last layer]
    #[arg(long, value_name = "N", value_parser = at_least(0_usize), help_heading = "Vectors")]
    layer: Option<usize>,
    /// Keep the first N numbers of each vector [default: as the model's files say, else all]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize), help_heading = "Vectors")]
    dimensions: Option<usize>,
    /// Scale vectors to length 1, after all else [default: as the model's files say, else no]
    #[arg(long, help_heading = "Vectors")]
    normalize: bool,
    /// Cut or window texts at N tokens, special tokens included [default: as the model's files say]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize), help_heading = "Data")]
    max_length: Option<usize>,
    #[command(flatten)]
    long: LongArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum PoolingName {
    /// No pooling: one vector for each token
    None,
    /// The vector of the first token, [CLS]
    Cls,
    /// The mean of the tokens' vectors
    Mean,
    /// The largest value of each component
    Max,
    /// The sum of the tokens' vectors, divided by the root of their number
    MeanSqrtLenTokens,
    /// The mean of the tokens' vectors, the n-th weighted by n
    #[value(name = "weightedmean")]
    WeightedMean,
    /// The vector of the last token, [SEP]
    #[value(name = "lasttoken")]
    LastToken,
    /// The output of the model's pooler
    Pooler,
}

impl From<PoolingName> for Pooling {
    fn from(name: PoolingName) -> Pooling {
        match name {
            PoolingName::None => Pooling::None,
            PoolingName::Cls => Pooling::Cls,
            PoolingName::Mean => Pooling::Mean,
            PoolingName::Max => Pooling::Max,
            PoolingName::MeanSqrtLenTokens => Pooling::MeanSqrtLen,
            PoolingName::WeightedMean => Pooling::WeightedMean,
            PoolingName::LastToken => Pooling::LastToken,
            PoolingName::Pooler => Pooling::Pooler,
        }
    }
}

/// One line with `--json`.
#[derive(Serialize)]
struct Line<'a> {
    embedding: Vectors<'a>,
    tokens: usize,
    windows: usize,
    truncated: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vectors<'a> {
    One(&'a [f32]),
    EachToken(&'a [Vec<f32>]),
}

/// Runs `cloze embed`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let model = open_model(&arguments.model, common)?;
    let pooling: Vec<Pooling> = arguments.pooling.iter().copied().map(Pooling::from).collect();
    let prompt = match (&arguments.prompt_name, &arguments.prompt) {
        (Some(name), _) => Some(Prompt::Named(name)),
        (None, Some(text)) => Some(Prompt::Text(text)),
        (None, None) => None,
    };
    if prompt.is_none() && !model.default_prompt().is_empty() {
        say!(
            "note: the model's default prompt, {:?}, is put before each text; --prompt '' leaves it out",
            model.default_prompt()
        );
    }
    let options = EmbedOptions {
        pooling: (!pooling.is_empty()).then_some(&pooling[..]),
        prompt,
        layer: arguments.layer,
        dimensions: arguments.dimensions,
        normalize: arguments.normalize.then_some(true),
        read: ReadOptions { max_length: arguments.max_length, long: arguments.long.choice() },
    };
    let each_token = arguments.pooling == [PoolingName::None];
    let mut output = Output::new(common.json);
    let mut cut = Cut::default();
    for_each_group(arguments.input.texts(model.settings())?, "embedding", &mut output, |group, output| {
        for embedding in model.embed(&borrow(group), options)? {
            let Extent { tokens, windows, truncated } = embedding.extent;
            cut.add(truncated);
            let vectors = match embedding.vectors.as_slice() {
                [one] if !each_token => Vectors::One(one),
                vectors => Vectors::EachToken(vectors),
            };
            let line = Line { embedding: vectors, tokens, windows, truncated };
            output.answer(&line, || readable(&embedding.vectors))?;
        }
        Ok(())
    })?;
    output.finish()?;
    cut.report();
    Ok(())
}

/// A vector a line, its numbers separated by spaces.
fn readable(vectors: &[Vec<f32>]) -> String {
    let line = |vector: &Vec<f32>| vector.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
    vectors.iter().map(line).collect::<Vec<_>>().join("\n")
}
