//! `cloze info`: what a model directory holds.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use cloze::Model;
use cloze::checkpoint::{EmbedderSettings, SentenceModule};
use cloze::folder::verify;
use cloze::infer::{ScoreFunction, TextHead};
use cloze::params::TaskHead;
use cloze::precision;
use cloze_tokenizer::Casing;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::arguments::{Common, open_model};
use crate::output::{Output, grouped};

/// Flags of `cloze info`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze info model\n  cloze info model --json\n  cloze info model --verify")]
pub struct Arguments {
    /// Model directory to look at; with --verify also a tokenizer or a checkpoint
    #[arg(value_name = "DIR")]
    model: PathBuf,
    /// Compare every byte with the checksums that were stored when the directory was written, and do nothing else
    #[arg(long)]
    verify: bool,
}

/// The one line of `--verify` with `--json`.
#[derive(Serialize)]
struct Verified<'a> {
    #[serde(serialize_with = "crate::output::lossy")]
    model: &'a Path,
    files: usize,
    changed: &'a [String],
}

/// The one line with `--json`.
#[derive(Serialize)]
struct Info<'a> {
    #[serde(serialize_with = "crate::output::lossy")]
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
    embedding: Option<EmbeddingInfo<'a>>,
    /// How the head was chosen, where `config.json` does not say.
    notes: &'a [String],
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
struct EmbeddingInfo<'a> {
    /// Several are separated by commas, as in `--pooling`.
    pooling: String,
    /// Sizes of the linear layers after pooling.
    dense: Vec<usize>,
    normalize: bool,
    max_length: Option<usize>,
    dimensions: Option<usize>,
    prompts: Map<String, Value>,
    default_prompt: Option<&'a str>,
    /// True if the tokens of a prompt are pooled.
    include_prompt: bool,
}

impl<'a> EmbeddingInfo<'a> {
    fn new(model: &Model, embedder: &'a EmbedderSettings) -> EmbeddingInfo<'a> {
        let size = |module: &SentenceModule| match module {
            SentenceModule::Dense(dense) => Some(dense.out_features),
            SentenceModule::Normalize => None,
        };
        let prompts = embedder.prompts.texts.iter();
        EmbeddingInfo {
            pooling: embedder.pooling.iter().map(|mode| mode.name()).collect::<Vec<_>>().join(","),
            dense: embedder.modules.iter().filter_map(size).collect(),
            normalize: embedder.is_normalized(),
            max_length: model.sentence_settings().and_then(|settings| settings.max_length),
            dimensions: embedder.dimensions,
            prompts: prompts.map(|(name, text)| (name.clone(), text.as_str().into())).collect(),
            default_prompt: embedder.prompts.default.as_deref(),
            include_prompt: embedder.include_prompt,
        }
    }

    /// Lines for people.
    fn readable(&self) -> Vec<String> {
        let mut line = format!("  embeddings: {} pooling", self.pooling);
        self.dense.iter().for_each(|size| line += &format!(", linear layer to {size}"));
        line += if self.normalize { ", scaled to length 1" } else { "" };
        line += &self.dimensions.map_or_else(String::new, |size| format!(", the first {size} dimensions"));
        line += &self.max_length.map_or_else(String::new, |length| format!(", up to {length} tokens"));
        let prompt = |(name, text): (&String, &Value)| {
            let default = if self.default_prompt == Some(name) { " (default)" } else { "" };
            format!("  prompt {name}{default}: {text}")
        };
        let mut lines = vec![line];
        lines.extend(self.prompts.iter().map(prompt));
        if !self.include_prompt {
            lines.push("  the tokens of a prompt are not pooled".to_string());
        }
        lines
    }
}

/// Runs `cloze info`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    if arguments.verify {
        return verified(&arguments.model, common);
    }
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
        hidden_act: config.hidden_act.name(),
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
        embedding: model
            .sentence_settings()
            .and_then(|settings| settings.embedder.as_ref())
            .map(|embedder| EmbeddingInfo::new(&model, embedder)),
        notes: model.notes(),
        missing: &model.load_report().missing,
        unused: &model.load_report().unused,
    };
    let mut output = Output::new(common.json);
    output.answer(&info, || readable(&info, &parts))?;
    Ok(output.finish()?)
}

/// Compares a directory with its checksums; changes are an error.
fn verified(dir: &Path, common: &Common) -> anyhow::Result<()> {
    let (files, changed) = verify(dir)?;
    let shown = dir.display();
    let mut output = Output::new(common.json);
    output.answer(&Verified { model: dir, files, changed: &changed }, || match changed.as_slice() {
        [] => format!("{shown}: all {files} files are as they were written"),
        changed => changed.iter().map(|change| format!("{shown}: {change}")).collect::<Vec<_>>().join("\n"),
    })?;
    output.finish()?;
    if !changed.is_empty() {
        bail!("{shown} has changed since it was written");
    }
    Ok(())
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
    names.extend(heads.task.map(|head| match (model.text_head(), head) {
        (_, TaskHead::Span) => "answers to questions".to_string(),
        (_, TaskHead::Tokens(labels)) => format!("classifier of tokens with {labels} labels"),
        (Some(TextHead::Values(function)), TaskHead::Pooled(labels)) => regression(function, labels),
        (Some(TextHead::Labels), TaskHead::Pooled(labels)) => format!("any of {labels} labels"),
        (_, TaskHead::Pooled(labels)) => format!("classifier of {labels} labels"),
    }));
    names
}

/// Description of the numbers that a regression gives.
fn regression(function: ScoreFunction, labels: usize) -> String {
    let count = if labels == 1 { String::new() } else { format!(" of {labels} numbers") };
    match function {
        ScoreFunction::Identity => format!("regression{count}"),
        ScoreFunction::Sigmoid => {
            format!(
                "regression{count} through a sigmoid (files that say problem_type regression give the number itself)"
            )
        }
        ScoreFunction::Tanh => format!("regression{count} through tanh (activation_fn)"),
    }
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
    lines.extend(info.embedding.iter().flat_map(EmbeddingInfo::readable));
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
