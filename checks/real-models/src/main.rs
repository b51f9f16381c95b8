//! Real models against what transformers computes with them:
//!
//! ```text
//! real-models MINILM_DIR ANTIBERTY_DIR FIXTURES_DIR [TOKEN_CLASSIFIER_DIR]
//! ```
//!
//! The reference outputs are committed, the weights come from packages. A token classifier's folder also holds its
//! reference, `golden_onnxruntime.json`: a list of `{"text", "ids", "labels", "logits_onnxruntime"}`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cloze::infer::EmbedOptions;
use cloze::model::Batch;
use cloze::{Model, Text};
use serde::Deserialize;

/// Largest difference in an element of a vector of length 1.
const EMBEDDING: f64 = 1e-5;
/// Largest difference of a probability: logits up to 30 in f32 differ by about 2e-5.
const PROBABILITY: f64 = 1e-4;
/// Largest difference of a logit.
const LOGIT: f64 = 1e-4;

#[derive(Deserialize)]
struct EmbeddingCase {
    text: String,
    input_ids: Vec<u32>,
    embedding: Vec<f64>,
}

#[derive(Deserialize)]
struct FillCase {
    text: String,
    input_ids: Vec<u32>,
    masks: Vec<Mask>,
}

#[derive(Deserialize)]
struct LabelCase {
    text: String,
    ids: Vec<u32>,
    labels: Vec<String>,
    logits_onnxruntime: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Mask {
    position: usize,
    candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    token: String,
    id: u32,
    score: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [minilm, antiberty, fixtures, token_classifier @ ..] = &arguments[..] else {
        anyhow::bail!("usage: real-models MINILM_DIR ANTIBERTY_DIR FIXTURES_DIR [TOKEN_CLASSIFIER_DIR]");
    };
    embeddings(minilm, &fixtures.join("minilm_embeddings.json"))?;
    fills(antiberty, &fixtures.join("antiberty_fill.json"))?;
    token_classifier.iter().try_for_each(|dir| labels(dir))
}

fn labels(dir: &Path) -> Result<()> {
    let cases: Vec<LabelCase> = read(&dir.join("golden_onnxruntime.json"))?;
    let model = Model::open(dir)?;
    let names = &model.config().labels;
    let (mut worst, mut tokens) = (0.0f64, 0);
    for case in &cases {
        let encoding = model.tokenizer().encode(&case.text, None);
        ensure!(encoding.ids == case.ids, "{}: other token ids", case.text);
        let mut batch = Batch::default();
        batch.push(&encoding.ids, &encoding.token_type_ids);
        let logits = model.forward(&batch, false)?.logits.context("the model has no head")?;
        for ((row, expected), label) in logits.chunks(names.len()).zip(&case.logits_onnxruntime).zip(&case.labels) {
            ensure!(row.len() == expected.len(), "{}: {} logits", case.text, row.len());
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).context("no logits")?;
            ensure!(names[best] == *label, "{}: `{}` instead of `{label}`", case.text, names[best]);
            for (found, expected) in row.iter().zip(expected) {
                worst = worst.max((f64::from(*found) - expected).abs());
            }
            tokens += 1;
        }
    }
    ensure!(worst <= LOGIT, "logits differ by {worst:e}");
    println!("{}: {tokens} tokens, all labels equal, largest difference of a logit {worst:.1e}", dir.display());
    Ok(())
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

fn embeddings(dir: &Path, fixture: &Path) -> Result<()> {
    let cases: Vec<EmbeddingCase> = read(fixture)?;
    let model = Model::open(dir)?;
    let texts: Vec<Text> = cases.iter().map(|case| case.text.as_str().into()).collect();
    let together = model.embed(&texts, EmbedOptions::default())?;
    let mut worst = 0.0f64;
    for ((case, text), embedding) in cases.iter().zip(&texts).zip(&together) {
        ensure!(embedding.extent.tokens == case.input_ids.len(), "{}: {} tokens", case.text, embedding.extent.tokens);
        ensure!(embedding.vectors[0].len() == case.embedding.len(), "{}: wrong size", case.text);
        for (found, expected) in embedding.vectors[0].iter().zip(&case.embedding) {
            worst = worst.max((f64::from(*found) - expected).abs());
        }
        let alone = model.embed(&[*text], EmbedOptions::default())?;
        ensure!(alone[0] == *embedding, "{}: other bits alone than in a batch", case.text);
    }
    ensure!(worst <= EMBEDDING, "embeddings differ by {worst:e}");
    println!("all-MiniLM-L6-v2: {} embeddings, largest difference {worst:.1e}", cases.len());
    Ok(())
}

fn fills(dir: &Path, fixture: &Path) -> Result<()> {
    let cases: Vec<FillCase> = read(fixture)?;
    let model = Model::open(dir)?;
    let (mut worst, mut masks) = (0.0f64, 0);
    for case in &cases {
        let encoding = model.tokenizer().encode(&case.text, None);
        ensure!(encoding.ids == case.input_ids, "{}: other token ids", case.text);
        let filled = model.fill(case.text.as_str().into(), 5)?;
        ensure!(filled.len() == case.masks.len(), "{}: {} masks", case.text, filled.len());
        for (found, expected) in filled.iter().zip(&case.masks) {
            ensure!(found.position == expected.position, "{}: mask at {}", case.text, found.position);
            for (found, expected) in found.candidates.iter().zip(&expected.candidates) {
                ensure!(
                    found.id == expected.id && found.token == expected.token,
                    "{}: `{}` instead of `{}`",
                    case.text,
                    found.token,
                    expected.token
                );
                worst = worst.max((found.score - expected.score).abs());
            }
            masks += 1;
        }
    }
    ensure!(worst <= PROBABILITY, "probabilities differ by {worst:e}");
    println!("antiberty: {masks} masks, all five best tokens equal, largest difference {worst:.1e}");
    Ok(())
}
