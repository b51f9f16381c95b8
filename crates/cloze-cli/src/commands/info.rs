//! `cloze info`: what a model directory holds.

use std::path::{Path, PathBuf};

use clap::Args;
use cloze::Model;
use cloze::checkpoint::{Pooling, SentenceSettings};
use cloze::config::HiddenAct;
use cloze::infer::Task;
use cloze::params::TaskHead;
use cloze::precision;
use cloze_tokenizer::Casing;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::arguments::{Common, open_model};
use crate::output::{Output, grouped};

/// Flags of `cloze info`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze info model\n  cloze info model --json")]
pub struct Arguments {
    /// Model directory to look at
    #[arg(value_name = "DIR")]
    model: PathBuf,
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Info<'a> {
    model: &'a Path,
    layers: usize,
    hidden_size: usize,
    attention_heads: usize,
    intermediate_size: usize,
    hidden_act: &'static str,
    max_position_embeddings: usize,
    parameters: usize,
    parts: Map<String, Value>,
    bytes_f32: usize,
    /// Whether the encoder's weights are stored in int8.
    quantized: bool,
    /// What the model computes in.
    precision: &'static str,
    tokenizer: TokenizerInfo,
    heads: Vec<String>,
    labels: &'a [String],
    max_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<EmbeddingInfo>,
    missing: &'a [String],
    unused: &'a [String],
}

#[derive(Serialize)]
struct TokenizerInfo {
    tokens: usize,
    cased: bool,
}

/// How the model's files say that its embeddings are made.
#[derive(Serialize)]
struct EmbeddingInfo {
    pooling: &'static str,
    normalize: bool,
    max_length: Option<usize>,
}

impl From<&SentenceSettings> for EmbeddingInfo {
    fn from(settings: &SentenceSettings) -> EmbeddingInfo {
        let pooling = match settings.pooling {
            Pooling::Cls => "cls",
            Pooling::Mean => "mean",
            Pooling::Max => "max",
        };
        EmbeddingInfo { pooling, normalize: settings.normalize, max_length: settings.max_length }
    }
}

/// Runs `cloze info`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let model = open_model(&arguments.model, common)?;
    let parts = parts(&model);
    let config = model.config();
    let parameters = model.declaration().len;
    let info = Info {
        model: &arguments.model,
        layers: config.num_hidden_layers,
        hidden_size: config.hidden_size,
        attention_heads: config.num_attention_heads,
        intermediate_size: config.intermediate_size,
        hidden_act: activation(config.hidden_act),
        max_position_embeddings: config.max_position_embeddings,
        parameters,
        parts: parts.iter().map(|(name, count)| (name.to_string(), (*count).into())).collect(),
        bytes_f32: 4 * parameters,
        quantized: model.is_quantized(),
        precision: precision::name(model.precision()),
        tokenizer: TokenizerInfo {
            tokens: model.tokenizer().vocab_size(),
            cased: model.tokenizer().casing() == Casing::Cased,
        },
        heads: heads(&model),
        labels: &config.labels,
        max_length: model.max_length(),
        embedding: model.sentence_settings().map(EmbeddingInfo::from),
        missing: &model.load_report().missing,
        unused: &model.load_report().unused,
    };
    let mut output = Output::new(common.json);
    output.answer(&info, || readable(&info, &parts))?;
    Ok(output.finish()?)
}

/// As in `config.json`.
fn activation(hidden_act: HiddenAct) -> &'static str {
    match hidden_act {
        HiddenAct::Gelu => "gelu",
        HiddenAct::GeluNew => "gelu_new",
        HiddenAct::GeluPytorchTanh => "gelu_pytorch_tanh",
        HiddenAct::Relu => "relu",
    }
}

/// Parameters by part, in the order of the network.
fn parts(model: &Model) -> Vec<(&'static str, usize)> {
    let mut parts: Vec<(&'static str, usize)> = Vec::new();
    for parameter in &model.declaration().parameters {
        let part = part_of(&parameter.name);
        match parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, count)) => *count += parameter.span.len,
            None => parts.push((part, parameter.span.len)),
        }
    }
    parts
}

fn part_of(name: &str) -> &'static str {
    const PARTS: [(&str, &str); 7] = [
        ("bert.embeddings.", "embeddings"),
        ("bert.encoder.", "encoder"),
        ("bert.pooler.", "pooler"),
        ("cls.predictions.", "masked language model head"),
        ("cls.seq_relationship.", "next sentence head"),
        ("classifier.", "classifier"),
        ("qa_outputs.", "answer head"),
    ];
    PARTS.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or("other", |(_, part)| part)
}

fn heads(model: &Model) -> Vec<String> {
    let heads = model.heads();
    let mut names = Vec::new();
    for (present, name) in
        [(heads.pooler, "pooler"), (heads.mlm, "masked language model"), (heads.nsp, "next sentence prediction")]
    {
        if present {
            names.push(name.to_string());
        }
    }
    names.extend(heads.task.map(|head| match (model.task(), head) {
        (Some(Task::Regression), _) => "regression".to_string(),
        (_, TaskHead::Span) => "answers to questions".to_string(),
        (_, TaskHead::Tokens(labels)) => format!("classifier of tokens with {labels} labels"),
        (_, TaskHead::Pooled(labels)) => format!("classifier of {labels} labels"),
    }));
    names
}

fn readable(info: &Info, parts: &[(&str, usize)]) -> String {
    let mut lines = vec![
        format!("{}", info.model.display()),
        format!(
            "  {} layers, {} wide, {} attention heads, {} in between, {}",
            info.layers, info.hidden_size, info.attention_heads, info.intermediate_size, info.hidden_act
        ),
        format!("  {} parameters, {:.1} MB in f32", grouped(info.parameters as u64), info.bytes_f32 as f64 / 1e6),
    ];
    let stored = if info.quantized { "weights of the encoder stored in int8, " } else { "" };
    lines.push(format!("  {stored}computes in {}", info.precision));
    for (name, count) in parts {
        lines.push(format!("    {:>13}  {name}", grouped(*count as u64)));
    }
    lines.push(format!(
        "  tokenizer: {} tokens, {}",
        grouped(info.tokenizer.tokens as u64),
        if info.tokenizer.cased { "cased" } else { "uncased" }
    ));
    lines.push(format!("  up to {} tokens ({} positions)", info.max_length, info.max_position_embeddings));
    lines.push(format!("  heads: {}", if info.heads.is_empty() { "none".to_string() } else { info.heads.join(", ") }));
    if !info.labels.is_empty() {
        lines.push(format!("  labels: {}", info.labels.join(", ")));
    }
    if let Some(EmbeddingInfo { pooling, normalize, max_length }) = &info.embedding {
        let normalized = if *normalize { ", scaled to length 1" } else { "" };
        let length = max_length.map_or_else(String::new, |length| format!(", up to {length} tokens"));
        lines.push(format!("  embeddings: {pooling} pooling{normalized}{length}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_belongs_to_a_part() {
        use cloze::Config;
        use cloze::params::{Declaration, HeadSet};
        let heads = HeadSet { pooler: true, mlm: true, nsp: true, task: Some(TaskHead::Pooled(2)) };
        for parameter in Declaration::new(&Config::tiny(), heads).parameters {
            assert_ne!(part_of(&parameter.name), "other", "{}", parameter.name);
        }
    }
}
