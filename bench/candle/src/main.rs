//! candle's forward of a BERT, as a worker of the benchmark; the protocol stands in ../peers/protocol.py.
//!
//!     cloze-bench-candle --model DIR
//!
//! The number of threads comes from RAYON_NUM_THREADS. candle's BERT has no pooler, and computes none.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, IndexOp, Tensor, safetensors};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use serde_json::{Value, json};

/// Milliseconds; a run that takes longer does not profit from another one before it.
const LONG_RUN: f64 = 500.0;

/// A rectangle of sequences, padded on the right to its longest.
struct Part {
    ids: Tensor,
    types: Tensor,
    /// None if there is no padding.
    mask: Option<Tensor>,
    /// Places in the batch, and lengths.
    sequences: Vec<(usize, usize)>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--model").context("--model DIR")?;
    let dir = Path::new(arguments.get(at + 1).context("--model DIR")?);
    let config: Config = serde_json::from_str(&std::fs::read_to_string(dir.join("config.json"))?)?;
    let weights = safetensors::load(dir.join("model.safetensors"), &Device::Cpu)?;
    let model = BertModel::load(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu), &config)?;

    let mut parts = Vec::new();
    let mut first = 0.0;
    for line in std::io::stdin().lock().lines() {
        let job = serde_json::from_str(&line?)?;
        let answer = answer(&model, &job, &mut parts, &mut first);
        let answer = answer.unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(model: &BertModel, job: &Value, parts: &mut Vec<Part>, first: &mut f64) -> Result<Value> {
    if job["do"] == "prepare" {
        let path = job["batch"].as_str().context("batch")?;
        *parts = padded_parts(path, job["buckets"].as_u64().context("buckets")? as usize)?;
        let start = Instant::now();
        forward(model, parts)?;
        *first = 1e3 * start.elapsed().as_secs_f64();
        // The kernel counts the peak of memory anew, where that is allowed.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        return Ok(json!({"milliseconds": *first}));
    }
    if *first < LONG_RUN {
        forward(model, parts)?;
    }
    let mut times = Vec::new();
    let mut outputs = Vec::new();
    for _ in 0..job["repetitions"].as_u64().context("repetitions")? {
        let start = Instant::now();
        outputs = forward(model, parts)?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    if let Some(path) = job["output"].as_str() {
        write(path, parts, &outputs)?;
    }
    Ok(json!({"milliseconds": median(times), "peak_rss_bytes": peak_rss_bytes()?}))
}

fn forward(model: &BertModel, parts: &[Part]) -> Result<Vec<Tensor>> {
    let run = |part: &Part| Ok(model.forward(&part.ids, &part.types, part.mask.as_ref())?);
    parts.iter().map(run).collect()
}

/// One rectangle, or as many as `buckets` says, of equally many sequences sorted by length.
fn padded_parts(path: &str, buckets: usize) -> Result<Vec<Part>> {
    let batch = safetensors::load(path, &Device::Cpu)?;
    let numbers = |name: &str| -> Result<Vec<i64>> {
        Ok(batch.get(name).with_context(|| format!("no {name}"))?.to_dtype(DType::I64)?.to_vec1()?)
    };
    let (ids, types, lengths) = (numbers("input_ids")?, numbers("token_type_ids")?, numbers("lengths")?);
    let mut starts = vec![0];
    for &length in &lengths {
        starts.push(starts[starts.len() - 1] + length as usize);
    }
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    if buckets > 1 {
        order.sort_by_key(|&sequence| lengths[sequence]);
    }
    if !order.len().is_multiple_of(buckets) {
        bail!("{} sequences do not make {buckets} equal buckets", order.len());
    }
    order.chunks(order.len() / buckets).map(|part| rectangle(part, &starts, &ids, &types)).collect()
}

fn rectangle(part: &[usize], starts: &[usize], ids: &[i64], types: &[i64]) -> Result<Part> {
    let sequences: Vec<_> = part.iter().map(|&sequence| (sequence, starts[sequence + 1] - starts[sequence])).collect();
    let longest = sequences.iter().map(|&(_, length)| length).max().unwrap_or(0);
    let shape = (part.len(), longest);
    let filled = |value: &dyn Fn(usize) -> u32| -> Result<Tensor> {
        let mut values = vec![0; part.len() * longest];
        for (row, &(sequence, length)) in sequences.iter().enumerate() {
            for at in 0..length {
                values[row * longest + at] = value(starts[sequence] + at);
            }
        }
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    };
    let padded = sequences.iter().any(|&(_, length)| length < longest);
    let mask = if padded { Some(filled(&|_| 1)?) } else { None };
    Ok(Part { ids: filled(&|at| ids[at] as u32)?, types: filled(&|at| types[at] as u32)?, mask, sequences })
}

/// Writes the hidden states in the order of the batch, without padding.
fn write(path: &str, parts: &[Part], outputs: &[Tensor]) -> Result<()> {
    let mut rows = Vec::new();
    for (part, output) in parts.iter().zip(outputs) {
        for (row, &(sequence, length)) in part.sequences.iter().enumerate() {
            rows.push((sequence, output.i((row, ..length))?));
        }
    }
    rows.sort_by_key(|&(sequence, _)| sequence);
    let rows: Vec<Tensor> = rows.into_iter().map(|(_, tensor)| tensor).collect();
    let hidden = Tensor::cat(&rows, 0)?;
    Ok(safetensors::save(&HashMap::from([("last_hidden_state", hidden)]), path)?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn peak_rss_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(1024 * line.trim().trim_end_matches(" kB").parse::<u64>()?)
}
