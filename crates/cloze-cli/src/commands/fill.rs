//! `cloze fill`: the words behind `[MASK]`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use cloze::infer::{self, FilledMask};
use serde::Serialize;

use crate::arguments::{Common, at_least, open_model};
use crate::input::{InputArgs, InputText, for_each_group};
use crate::output::{Output, grouped};

/// Flags of `cloze fill`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze fill --model model --text \"The farmer fed the [MASK].\"\n  \
    cloze fill --model model --input texts.txt --top-k 10 --json \\\n    > candidates.jsonl")]
pub struct Arguments {
    /// Use this pre-trained model directory
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Give the K most probable tokens for each mask
    #[arg(long, value_name = "K", default_value = "5", value_parser = at_least(NonZeroUsize::MIN))]
    top_k: NonZeroUsize,
    #[command(flatten)]
    input: InputArgs,
}

/// One line with `--json`.
#[derive(Serialize)]
struct Line {
    text: String,
    masks: Vec<Mask>,
}

#[derive(Serialize)]
struct Mask {
    position: usize,
    candidates: Vec<Candidate>,
}

#[derive(Serialize)]
struct Candidate {
    token: String,
    id: u32,
    score: f64,
}

/// Runs `cloze fill`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let model = open_model(&arguments.model, common)?;
    if !model.heads().mlm {
        bail!(
            "{}: this model has no masked language model head, so it cannot fill masks; pre-train it, with \
             cloze pretrain --model",
            arguments.model.display()
        );
    }
    let mut output = Output::new(common.json);
    let (mut answered, mut skipped) = (0, 0);
    for_each_group(arguments.input.texts(model.settings())?, "filling", &mut output, |group, output| {
        for text in group {
            let place = arguments.input.place(text);
            match model.fill(text.borrow(), arguments.top_k.get()) {
                Ok(masks) => {
                    let line = Line { text: joined(text), masks: masks.into_iter().map(Mask::from).collect() };
                    output.answer(&line, || readable(&line))?;
                    answered += 1;
                }
                // A text without a mask, or a mask that would be cut off: the other texts of a file have answers.
                Err(cloze::Error::Settings(message)) if !arguments.input.is_single() => {
                    if skipped < SKIPPED_NAMED {
                        say!("note: {place}: skipped: {message}");
                    }
                    skipped += 1;
                }
                Err(error) => bail!("{place}: {error}"),
            }
        }
        Ok(())
    })?;
    output.finish()?;
    if skipped > SKIPPED_NAMED {
        say!("note: {} texts were skipped; the first {SKIPPED_NAMED} are named above", grouped(skipped));
    }
    if answered == 0 && skipped > 0 {
        bail!("no text could be filled; write [MASK] for the words to fill in");
    }
    Ok(())
}

/// Skipped texts that are named; the others are counted.
const SKIPPED_NAMED: u64 = 20;

impl From<FilledMask> for Mask {
    fn from(mask: FilledMask) -> Mask {
        let candidate = |candidate: infer::Candidate| Candidate {
            token: candidate.token,
            id: candidate.id,
            score: candidate.score,
        };
        Mask { position: mask.position, candidates: mask.candidates.into_iter().map(candidate).collect() }
    }
}

/// A pair as it is typed, with a tab.
fn joined(text: &InputText) -> String {
    text.b.as_ref().map_or_else(|| text.a.clone(), |b| format!("{}\t{b}", text.a))
}

/// The text with its masks replaced in order; a piece that continues a word is joined to it.
fn fill_in(text: &str, tokens: &[&str]) -> String {
    let mut parts = text.split("[MASK]");
    let mut filled = parts.next().unwrap_or_default().to_string();
    for (part, token) in parts.zip(tokens) {
        match token.strip_prefix("##") {
            Some(piece) => {
                filled.truncate(filled.trim_end().len());
                filled.push_str(piece);
            }
            None => filled.push_str(token),
        }
        filled.push_str(part);
    }
    filled
}

/// The filled text, and below it a line of candidates for each mask.
fn readable(line: &Line) -> String {
    let best: Vec<&str> =
        line.masks.iter().map(|mask| mask.candidates.first().map_or("", |best| &best.token)).collect();
    let mut text = fill_in(&line.text, &best);
    for mask in &line.masks {
        let candidates = mask.candidates.iter().map(|c| format!("{} {:.1} %", c.token, 100.0 * c.score));
        text.push_str(&format!("\n  {}", candidates.collect::<Vec<_>>().join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_replaced_in_order() {
        assert_eq!(fill_in("The [MASK] fed a [MASK].", &["farmer", "cow"]), "The farmer fed a cow.");
        assert_eq!(fill_in("a farm [MASK] sang", &["##er"]), "a farmer sang");
        assert_eq!(fill_in("no mask", &[]), "no mask");
    }
}
