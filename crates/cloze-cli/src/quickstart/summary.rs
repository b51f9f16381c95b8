//! What a quickstart found: figures, table, report.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use cloze::data::{Corpus, CorpusOptions};
use cloze::train::shell_word;
use cloze::{Model, Text};
use serde::Serialize;
use serde_json::Value;

use crate::arguments::{Common, open_model};
use crate::output::{duration, grouped};
use crate::program::program;
use crate::report::{Cell, Chart, Fill, Highlight, Line, Report, Series, Table, Unit, points, pretrain};

use super::worlds::WORLDS;
use super::{AMOUNTS, BATCH_SIZE, DEV_FRACTION, EPOCHS, FINETUNE_RATE, Folder, PRETRAIN_RATE};

/// What `--json` answers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// On held-out stories, nats a masked token.
    pub mlm_loss: f64,
    /// Share of the masked tokens that the model names.
    pub mlm_accuracy: f64,
    /// Share that one would name by always saying the most frequent token.
    pub mlm_chance: f64,
    /// Share of the pairs told right.
    pub nsp_accuracy: f64,
    /// On dev.tsv, after pre-training and fine-tuning.
    pub accuracy_pretrained: f64,
    /// On dev.tsv, after the same fine-tuning from random weights.
    pub accuracy_random: f64,
}

/// Everything that table and report need.
pub struct Summary {
    /// The figures.
    pub figures: Figures,
    folder: String,
    /// The loss of a model that knows the frequency of each token and nothing else.
    unigram_entropy: f64,
    /// What one would tell right by always giving the more frequent answer.
    nsp_majority: f64,
    parameters: usize,
    vocabulary: usize,
    words: usize,
    elapsed: Duration,
    pretraining_steps: u64,
    pretraining: Vec<Value>,
    finetuned: Vec<Value>,
    from_scratch: Vec<Value>,
    fills: Vec<Fill>,
}

/// Sentences with a word to guess; the other words of the sentence, or of the one before, decide it.
const TO_FILL: [&str; 3] = [
    "Clara and the sailor hoisted the [MASK].",
    "The nurse prepared the syrup. Peter met the [MASK] at the clinic.",
    "The farmer left the barn and went to the [MASK].",
];

/// A row of the table of results.
struct ResultRow {
    /// What was measured.
    name: String,
    /// The outcome.
    value: String,
    /// What guessing would give.
    chance: String,
    /// What the figure means.
    meaning: String,
}

/// Reads back what the steps have written.
pub fn gather(folder: &Folder, common: &Common, elapsed: Duration) -> anyhow::Result<Summary> {
    let pretraining = log_history(&folder.path("pretrained"))?;
    let finetuned = log_history(&folder.path("finetuned"))?;
    let from_scratch = log_history(&folder.path("from-scratch"))?;
    let model = open_model(&folder.path("pretrained"), common)?;
    let held_out = held_out(folder, &model, common.seed)?;
    let vocabulary = model.tokenizer().vocab_size();
    let last =
        |name| last_value(&pretraining, name).with_context(|| format!("pretrained/trainer_state.json has no {name}"));
    let figures = Figures {
        mlm_loss: last("eval_mlm_loss")?,
        mlm_accuracy: last("eval_mlm_accuracy")?,
        mlm_chance: most_frequent_share(&held_out, vocabulary)?,
        nsp_accuracy: last("eval_nsp_accuracy")?,
        accuracy_pretrained: best_value(&finetuned, "eval_accuracy")
            .context("finetuned/trainer_state.json has no accuracy")?,
        accuracy_random: best_value(&from_scratch, "eval_accuracy")
            .context("from-scratch/trainer_state.json has no accuracy")?,
    };
    let fills = TO_FILL.iter().map(|text| fill(&model, text)).collect::<Result<_, _>>()?;
    let corpus = fs::read_to_string(folder.path("corpus.txt")).context("cannot read corpus.txt")?;
    Ok(Summary {
        figures,
        folder: folder.root.display().to_string(),
        unigram_entropy: held_out.unigram_entropy(vocabulary)?,
        nsp_majority: last("eval_nsp_majority")?,
        parameters: model.declaration().len,
        vocabulary,
        words: corpus.split_whitespace().count(),
        elapsed,
        pretraining_steps: pretraining.iter().filter_map(|entry| entry["step"].as_u64()).max().unwrap_or(0),
        pretraining,
        finetuned,
        from_scratch,
        fills,
    })
}

/// The stories that pre-training has held out.
fn held_out(folder: &Folder, model: &Model, seed: u64) -> anyhow::Result<Corpus> {
    let files = [folder.path("corpus.txt")];
    let read = Corpus::read(&files, model.tokenizer(), &CorpusOptions::default(), &mut |_, _| ())?;
    read.corpus.hold_out(DEV_FRACTION, seed)?.1.context("no stories are held out")
}

fn most_frequent_share(corpus: &Corpus, vocabulary: usize) -> Result<f64, cloze::Error> {
    let counts = corpus.token_counts(vocabulary)?;
    Ok(counts.into_iter().max().unwrap_or(0) as f64 / corpus.tokens().max(1) as f64)
}

fn log_history(run: &Path) -> anyhow::Result<Vec<Value>> {
    let path = run.join("trainer_state.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let state: Value = serde_json::from_str(&text).with_context(|| format!("{}: not JSON", path.display()))?;
    Ok(state["log_history"].as_array().cloned().unwrap_or_default())
}

fn fill(model: &Model, text: &str) -> Result<Fill, cloze::Error> {
    let masks = model.fill(Text::from(text), 5)?;
    let candidates = masks.into_iter().flat_map(|mask| mask.candidates);
    Ok(Fill {
        text: text.to_string(),
        candidates: candidates.map(|candidate| (candidate.token, candidate.score)).collect(),
    })
}

fn last_value(history: &[Value], name: &str) -> Option<f64> {
    points(history, "step", name).last().map(|point| point.1)
}

fn best_value(history: &[Value], name: &str) -> Option<f64> {
    points(history, "step", name).into_iter().map(|point| point.1).max_by(f64::total_cmp)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

impl Summary {
    fn rows(&self) -> Vec<ResultRow> {
        let figures = &self.figures;
        let row = |name: &str, value: String, chance: String, meaning: &str| ResultRow {
            name: name.to_string(),
            value,
            chance,
            meaning: meaning.to_string(),
        };
        let world_chance = percent(1.0 / WORLDS.len() as f64);
        vec![
            row(
                "Masked words, loss",
                format!("{:.2} nats", figures.mlm_loss),
                format!("{:.2} nats", self.unigram_entropy),
                "How surprised the model is by a hidden word; by chance: knowing how frequent each word is.",
            ),
            row(
                "Masked words, guessed right",
                percent(figures.mlm_accuracy),
                percent(figures.mlm_chance),
                "By chance: always saying the most frequent token.",
            ),
            row(
                "Next passage, told right",
                percent(figures.nsp_accuracy),
                percent(self.nsp_majority),
                "Whether a passage goes on with another, or was put beside it.",
            ),
            row(
                "World of a sentence, pre-trained",
                percent(figures.accuracy_pretrained),
                world_chance.clone(),
                "Farm, sea, music or medicine? No word of a world stands both in train.tsv and in dev.tsv. That they belong together was learnt from the stories; then the task is easy.",
            ),
            row(
                "World of a sentence, random start",
                percent(figures.accuracy_random),
                world_chance,
                "The same sentences, steps and settings, without the stories: the words of dev.tsv are new to this model. Of both models, the best epoch counts.",
            ),
        ]
    }

    /// For the report.
    fn results(&self) -> Table {
        let row = |row: ResultRow| {
            vec![Cell::Text(row.name), Cell::Value(row.value), Cell::Text(row.chance), Cell::Text(row.meaning)]
        };
        Table {
            title: "Results".to_string(),
            note: String::new(),
            class: "results",
            columns: ["Measured on held-out text", "Result", "By chance", "What it means"].map(String::from).to_vec(),
            rows: self.rows().into_iter().map(row).collect(),
        }
    }

    /// For the terminal.
    pub fn table(&self) -> String {
        let mut lines = vec![format!("{:<36}{:>12}{:>14}", "on held-out text", "result", "by chance")];
        lines.extend(self.rows().iter().map(|row| format!("{:<36}{:>12}{:>14}", row.name, row.value, row.chance)));
        for fill in &self.fills {
            let best: Vec<String> =
                fill.candidates.iter().take(3).map(|(word, p)| format!("{word} {:.0} %", 100.0 * p)).collect();
            lines.push(format!("\n{}\n  {}", fill.text, best.join(", ")));
        }
        lines.join("\n")
    }

    fn commands(&self) -> Vec<(String, String)> {
        let folder = shell_word(&self.folder);
        let cloze = program();
        let command = |purpose: &str, command: String| (purpose.to_string(), command);
        vec![
            command(
                "Ask the models that were just made:",
                format!(
                    "{cloze} fill --model {folder}/pretrained \\\n    --text \"The farmer fed the [MASK].\"\n\
                     {cloze} predict --model {folder}/finetuned \\\n    --text \"The ferryman moored the yacht at the quay.\""
                ),
            ),
            command(
                "Your own text, in files with a blank line between documents. First a vocabulary:",
                format!("{cloze} vocab --input my-text.txt --output my-vocab --size 8000"),
            ),
            command(
                "Then pre-training; interrupted, the same command resumes it:",
                format!(
                    "{cloze} pretrain --input my-text.txt --tokenizer my-vocab \\\n    \
                     --preset tiny --time 8m --output my-model"
                ),
            ),
            command(
                "Then a task of your own, from tables with the columns text and label:",
                format!(
                    "{cloze} finetune --task classification --model my-model \\\n    \
                     --train my-train.tsv --dev my-dev.tsv --output my-classifier"
                ),
            ),
        ]
    }

    /// For the terminal, below the table.
    pub fn next_steps(&self) -> String {
        let commands = self.commands().into_iter().map(|(purpose, command)| {
            let indented: Vec<String> = command.lines().map(|line| format!("  {line}")).collect();
            format!("{purpose}\n{}", indented.join("\n"))
        });
        commands.collect::<Vec<_>>().join("\n")
    }

    fn charts(&self) -> Vec<Chart> {
        let curve = |name: &str, points: Vec<(f64, f64)>| Series { name: name.to_string(), points };
        let (chance, majority) = (self.figures.mlm_chance, self.nsp_majority);
        let mut charts =
            pretrain::learning(&self.pretraining, Some(self.unigram_entropy), Some(chance), Some(majority), 60);
        charts.push(Chart {
            title: "World of a sentence: told right".to_string(),
            x_label: "epoch of fine-tuning".to_string(),
            x_range: None,
            unit: Unit::Percent,
            series: vec![
                curve("pre-trained", points(&self.finetuned, "epoch", "eval_accuracy")),
                curve("random start", points(&self.from_scratch, "epoch", "eval_accuracy")),
            ],
            bars: None,
            reference: Some(("chance".to_string(), Line::Level(1.0 / WORLDS.len() as f64))),
        });
        charts
    }

    /// The page.
    pub fn report(&self) -> Report {
        let figures = &self.figures;
        let highlight = |name: &str, value: f64, against: String| Highlight {
            name: name.to_string(),
            value: format!("{:.0} %", 100.0 * value),
            against,
        };
        let fact = |name: &str, value: String| (name.to_string(), value);
        Report {
            title: "Cloze quickstart".to_string(),
            introduction: format!(
                "A small BERT, made from nothing in {}: vocabulary, pre-training, fine-tuning. The text is generated: \
                 short stories of four worlds (farm, sea, music, medicine). They show that everything works and what \
                 pre-training is good for; they do not show how good a model of real text is.",
                duration(self.elapsed.as_secs_f64())
            ),
            highlights: vec![
                highlight(
                    "Masked words guessed",
                    figures.mlm_accuracy,
                    format!("{} by chance", percent(figures.mlm_chance)),
                ),
                highlight(
                    "Next passage told",
                    figures.nsp_accuracy,
                    format!("{} by chance", percent(self.nsp_majority)),
                ),
                highlight(
                    "Worlds told",
                    figures.accuracy_pretrained,
                    format!("{} without pre-training", percent(figures.accuracy_random)),
                ),
            ],
            charts: self.charts(),
            tables: vec![self.results()],
            fills: self.fills.clone(),
            facts: vec![
                fact(
                    "Text",
                    format!(
                        "{} generated stories, {} words; one in 50 held out",
                        grouped(AMOUNTS.documents as u64),
                        grouped(self.words as u64)
                    ),
                ),
                fact(
                    "Labelled sentences",
                    format!(
                        "{} to learn from, {} to measure with, {} worlds",
                        AMOUNTS.train_rows,
                        grouped(AMOUNTS.dev_rows as u64),
                        WORLDS.len()
                    ),
                ),
                fact(
                    "Pre-training",
                    format!(
                        "{} steps of {BATCH_SIZE} pairs of passages, at a learning rate of up to {PRETRAIN_RATE:e}",
                        grouped(self.pretraining_steps)
                    ),
                ),
                fact(
                    "Fine-tuning",
                    format!(
                        "{EPOCHS} epochs at a learning rate of up to {FINETUNE_RATE:e}, for both models alike; the best \
                         epoch is kept"
                    ),
                ),
                fact("Vocabulary", format!("{} tokens", grouped(self.vocabulary as u64))),
                fact("Model", format!("BERT, 2 layers, 128 wide, {} parameters", grouped(self.parameters as u64))),
                fact("Folder", self.folder.clone()),
            ],
            commands: self.commands(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn curves_are_read_from_the_log() {
        let history =
            [json!({"step": 1, "loss": 2.0}), json!({"step": 2, "eval_loss": 3.0}), json!({"step": 2, "loss": 1.0})];
        assert_eq!(last_value(&history, "eval_loss"), Some(3.0));
        assert_eq!(best_value(&history, "loss"), Some(2.0));
        assert_eq!(last_value(&history, "other"), None);
    }
}
