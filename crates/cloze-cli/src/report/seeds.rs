//! The report of the same fine-tuning with several seeds.

use std::path::{Path, PathBuf};

use cloze::settings::FinetuneTask;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::finetune::{self, write};
use super::outcome::{columns, shown};
use super::run::{FinishedRun, json};
use super::save;
use super::{Cell, Highlight, Report, Table};

pub use cloze::train::SUMMARY;

/// The contents of `summary.json`.
#[derive(Clone, Debug, Deserialize)]
struct Summary {
    runs: Vec<SeedRun>,
    mean: Map<String, Value>,
    standard_deviation: Map<String, Value>,
    /// The seeds whose model answers the same to everything.
    degenerate: Vec<u64>,
    /// Absent in the summaries of version 0.1.
    #[serde(default)]
    best: Option<BestSeed>,
}

#[derive(Clone, Debug, Deserialize)]
struct BestSeed {
    seed: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct SeedRun {
    seed: u64,
    metrics: Map<String, Value>,
}

/// Writes a report for each seed and one of all, and gives the path of that.
pub fn write_all(dir: &Path) -> anyhow::Result<PathBuf> {
    let summary: Summary = json(&dir.join(SUMMARY))?;
    let folder = |run: &SeedRun| dir.join(format!("seed-{}", run.seed));
    for run in &summary.runs {
        write(&folder(run))?;
    }
    let runs = summary.runs.iter().map(|run| FinishedRun::read(&folder(run))).collect::<anyhow::Result<Vec<_>>>()?;
    save(dir, &report(&summary, &runs))
}

fn report(summary: &Summary, runs: &[FinishedRun]) -> Report {
    // All were asked for the same, but for the seed.
    let Some(first) = runs.first() else { return Report::default() };
    if !first.is_measured() {
        return unmeasured(first, runs);
    }
    let (metric, task) = (first.metric(), first.settings.task);
    let mean = figure(task, metric, &summary.mean);
    let spread = figure(task, metric, &summary.standard_deviation);
    let highlight = |name: &str, value: String, against: &str| Highlight {
        name: name.to_string(),
        value,
        against: against.to_string(),
    };
    Report {
        title: format!("{} seeds: {metric} {mean}", runs.len()),
        introduction: format!(
            "The same fine-tuning on {}, once with each seed, {}. How far the results lie apart is chance; a change of \
             settings that moves the mean by less than that shows nothing.",
            first.settings.train.display(),
            first.measured_on()
        ),
        highlights: vec![
            highlight(&format!("mean of {metric}"), mean, "over all seeds"),
            highlight("standard deviation", spread, "between seeds"),
            highlight(
                "have learnt nothing",
                summary.degenerate.len().to_string(),
                "seeds whose model answers the same to everything",
            ),
        ],
        tables: vec![table(summary, &first.evaluation.main_metrics(metric), task)],
        facts: facts(first),
        ..Report::default()
    }
}

/// Report of seeds with which nothing was held out.
fn unmeasured(first: &FinishedRun, runs: &[FinishedRun]) -> Report {
    let link = |run: &FinishedRun| {
        let seed = run.settings.update.seed;
        vec![Cell::Link(format!("seed {seed}"), format!("seed-{seed}/report.html"))]
    };
    Report {
        title: format!("{} seeds: not measured", runs.len()),
        introduction: format!(
            "The same fine-tuning on {}, once with each seed, {}.",
            first.settings.train.display(),
            first.measured_on()
        ),
        tables: vec![Table {
            title: "Each seed".to_string(),
            columns: columns(&[""]),
            rows: runs.iter().map(link).collect(),
            ..Table::default()
        }],
        facts: facts(first),
        ..Report::default()
    }
}

fn facts(first: &FinishedRun) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_string(), value);
    vec![
        fact("start", finetune::start(&first.settings)),
        fact("epochs", first.settings.epochs.to_string()),
        fact("SHA-256 of the data", first.run.data.clone()),
        fact("machine", first.run.machine.clone()),
        fact("version of Cloze", first.run.version.clone()),
    ]
}

fn table(summary: &Summary, names: &[String], task: FinetuneTask) -> Table {
    let figures = |metrics: &Map<String, Value>| -> Vec<Cell> {
        names.iter().map(|name| Cell::Figure(figure(task, name, metrics))).collect()
    };
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for SeedRun { seed, metrics } in &summary.runs {
        let mut row = vec![Cell::Link(format!("seed {seed}"), format!("seed-{seed}/report.html"))];
        row.extend(figures(metrics));
        if summary.best.as_ref().is_some_and(|best| best.seed == *seed) {
            row.push(Cell::Text("the best".to_string()));
        }
        if summary.degenerate.contains(seed) {
            row.push(Cell::Text("has learnt nothing".to_string()));
        }
        rows.push(row);
    }
    for (name, metrics) in [("mean", &summary.mean), ("standard deviation", &summary.standard_deviation)] {
        let mut row = vec![Cell::Text(name.to_string())];
        row.extend(figures(metrics).into_iter().map(|cell| match cell {
            Cell::Figure(text) => Cell::Value(text),
            other => other,
        }));
        rows.push(row);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Table {
        title: "Each seed".to_string(),
        note: "On the development set, of each model as it is stored; the reports of each seed have more.".to_string(),
        columns: columns(&[&[""], names.as_slice()].concat()),
        rows,
        ..Table::default()
    }
}

/// A metric, if it is defined.
fn figure(task: FinetuneTask, name: &str, metrics: &Map<String, Value>) -> String {
    metrics.get(name).and_then(Value::as_f64).map_or("–".to_string(), |value| shown(task, name, value))
}
