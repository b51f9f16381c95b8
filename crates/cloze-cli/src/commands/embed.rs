//! `cloze embed`: vectors of texts.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cloze::infer::{EmbedOptions, Extent, Pooling, ReadOptions};
use serde::Serialize;

use crate::arguments::{Common, at_least, open_model};
use crate::input::{InputArgs, LongArgs, borrow, for_each_group};
use crate::output::{Cut, Output};

/// Flags of `cloze embed`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze embed --model model --text \"A sentence.\" --json\n  \
    cloze embed --model model --input sentences.txt --pooling mean \\\n    --normalize --json > vectors.jsonl")]
pub struct Arguments {
    /// Use this model directory
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    /// Choose how the vectors of a text's tokens become one [default: as the model's files say, else mean]
    #[arg(long, value_name = "HOW", help_heading = "Vectors")]
    pooling: Option<PoolingName>,
    /// Take the vectors after layer N; 0 means the embeddings [default: the last layer]
    #[arg(long, value_name = "N", value_parser = at_least(0_usize), help_heading = "Vectors")]
    layer: Option<usize>,
    /// Scale vectors to length 1 [default: as the model's files say, else no]
    #[arg(long, help_heading = "Vectors")]
    normalize: bool,
    /// Cut or window texts at N tokens, special tokens included [default: as the model's files say]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize), help_heading = "Data")]
    max_length: Option<usize>,
    #[command(flatten)]
    long: LongArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PoolingName {
    /// No pooling: one vector for each token
    None,
    /// The vector of the first token, [CLS]
    Cls,
    /// The mean of the tokens' vectors
    Mean,
    /// The largest value of each component
    Max,
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
    let options = EmbedOptions {
        pooling: arguments.pooling.map(Pooling::from),
        layer: arguments.layer,
        normalize: arguments.normalize.then_some(true),
        read: ReadOptions { max_length: arguments.max_length, long: arguments.long.choice() },
    };
    let each_token = matches!(arguments.pooling, Some(PoolingName::None));
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
