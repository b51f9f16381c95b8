//! The same fine-tuning with several seeds: how much of a result is chance.

use std::collections::HashSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Error;
use crate::checkpoint::write_file;
use crate::error::at;
use crate::folder::{Folder, remove, temporary};
use crate::settings::{FinetuneSettings, StoredSettings};

use super::events::{Event, Metrics, Observer, Outcome, RunOptions};
use super::finetune;
use super::state::RUN_STATE;

/// Runs a fine-tuning once with each seed, into `seed-<N>` below the output folder, and writes `summary.json`
/// beside them: the metrics of each, their mean and sample standard deviation, and the seeds whose model has
/// learnt nothing. An interrupted series goes on where it was.
///
/// # Errors
/// As [`finetune`]; and if a seed is given twice.
pub fn finetune_seeds(
    settings: &FinetuneSettings,
    seeds: &[u64],
    options: &RunOptions,
    observer: &mut Observer,
) -> Result<Outcome, Error> {
    if let Some(seed) = seeds.iter().enumerate().find(|(at, seed)| seeds[..*at].contains(seed)).map(|(_, seed)| seed) {
        return Err(Error::Settings(format!("seed {seed} is given twice")));
    }
    // What is to be said of data and starting model is the same for every seed.
    let mut told = HashSet::new();
    let mut observer = |event: &Event| match event {
        Event::Note(note) if !told.insert(note.clone()) => ControlFlow::Continue(()),
        _ => observer(event),
    };
    let mut folder = Folder::take(&options.output, "finetune")?;
    let before = fs::read(options.output.join(SUMMARY)).ok();
    if options.overwrite || before.is_none() {
        // A summary of runs that are replaced one by one would be of neither.
        folder.begin()?;
        remove(&options.output.join(SUMMARY))?;
    }
    let mut all = Vec::with_capacity(seeds.len());
    let mut is_new = false;
    for &seed in seeds {
        let _ = observer(&Event::Note(format!("seed {seed}")));
        let mut settings = settings.clone();
        settings.update.seed = seed;
        let output = options.output.join(format!("seed-{seed}"));
        match finetune(&settings, &RunOptions { output: output.clone(), ..options.clone() }, &mut observer)? {
            Outcome::Stopped { step } => return Ok(Outcome::Stopped { step }),
            Outcome::Finished(_) => is_new = true,
            Outcome::AlreadyFinished => {}
        }
        all.push(SeedRun::read(seed, &output)?);
    }
    let metric = watched(&options.output.join(format!("seed-{}", seeds[0])))?;
    let summary = summary(&all, &metric);
    if let Some(note) = note(&summary) {
        let _ = observer(&Event::Note(note));
    }
    let text = format!("{summary:#}\n");
    if before.as_deref() != Some(text.as_bytes()) || folder.is_unfinished() {
        write_file(&options.output.join(SUMMARY), text.as_bytes())?;
        if let Some(seed) = summary["best"]["seed"].as_u64() {
            link_best(&options.output, seed)?;
        }
    }
    if folder.is_unfinished() {
        folder.finish()?;
    }
    let mean = summary["mean"].as_object().expect("just made").iter();
    let mean = mean.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
    Ok(if is_new { Outcome::Finished(mean) } else { Outcome::AlreadyFinished })
}

/// A finished run of the series.
struct SeedRun {
    seed: u64,
    /// Metrics of its best weights.
    metrics: Metrics,
    /// Verdict of the run.
    has_learnt: Option<bool>,
}

impl SeedRun {
    fn read(seed: u64, output: &Path) -> Result<SeedRun, Error> {
        let stored = StoredSettings::read(output)?;
        let metrics = stored.metrics.unwrap_or_default();
        let metrics = metrics.into_iter().map(|(name, value)| (name, value.as_f64().unwrap_or(f64::NAN))).collect();
        Ok(SeedRun { seed, metrics, has_learnt: stored.verdict.and_then(|verdict| verdict.has_learnt) })
    }
}

/// The name of the file with the figures of all seeds.
pub const SUMMARY: &str = "summary.json";
/// The name of the link to the folder of the best seed.
const BEST: &str = "best";

/// The metric that has chosen the weights of a finished run.
fn watched(output: &Path) -> Result<String, Error> {
    let path = output.join(RUN_STATE);
    let text = fs::read_to_string(&path).map_err(at("read", &path))?;
    let state: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(state["metric_for_best_model"].as_str().unwrap_or("loss").to_string())
}

/// The best of all runs by the metric that has chosen their weights; of equals the one with the lower loss, then the first.
fn best(runs: &[SeedRun], metric: &str) -> Option<(u64, f64)> {
    let value = |metrics: &Metrics, name: &str| {
        let found = metrics.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
        found.filter(|value| !value.is_nan())
    };
    let mut best: Option<(u64, f64, f64)> = None;
    for SeedRun { seed, metrics, .. } in runs {
        let Some(found) = value(metrics, metric) else { continue };
        let rank = if metric == "loss" { -found } else { found };
        let loss = value(metrics, "loss").unwrap_or(f64::INFINITY);
        let is_better = best.is_none_or(|(_, rank_before, loss_before)| {
            rank > rank_before || rank == rank_before && loss < loss_before
        });
        if is_better {
            best = Some((*seed, rank, loss));
        }
    }
    best.map(|(seed, rank, _)| (seed, if metric == "loss" { -rank } else { rank }))
}

/// Makes `best` a link to the folder of this seed, unless something else of that name is there.
fn link_best(output: &Path, seed: u64) -> Result<(), Error> {
    let link = output.join(BEST);
    match fs::symlink_metadata(&link) {
        Ok(found) if !found.is_symlink() => return Ok(()),
        _ => {}
    }
    #[cfg(unix)]
    {
        let new = temporary(&link);
        std::os::unix::fs::symlink(format!("seed-{seed}"), &new).map_err(at("create", &new))?;
        fs::rename(&new, &link).map_err(at("create", &link))?;
    }
    // Elsewhere a link needs rights that a user may lack; the summary names the seed.
    #[cfg(not(unix))]
    let _ = seed;
    Ok(())
}

/// Contents of `summary.json`; `metric` decides which run is the best.
fn summary(runs: &[SeedRun], metric: &str) -> Value {
    let object = |metrics: &Metrics| -> Map<String, Value> {
        metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    };
    let (mut mean, mut deviation) = (Map::new(), Map::new());
    for (name, _) in runs.iter().take(1).flat_map(|run| &run.metrics) {
        let find = |metrics: &Metrics| metrics.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
        // A metric that is undefined for one seed has no mean.
        let Some(values) = runs.iter().map(|run| find(&run.metrics)).collect::<Option<Vec<f64>>>() else {
            continue;
        };
        let count = values.len() as f64;
        let average = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - average).powi(2)).sum();
        mean.insert(name.clone(), json!(average));
        if values.len() > 1 {
            deviation.insert(name.clone(), json!((squares / (count - 1.0)).sqrt()));
        }
    }
    let degenerate: Vec<u64> = runs.iter().filter(|run| run.has_learnt == Some(false)).map(|run| run.seed).collect();
    let each: Vec<Value> =
        runs.iter().map(|run| json!({ "seed": run.seed, "metrics": object(&run.metrics) })).collect();
    let best = best(runs, metric).map(|(seed, value)| json!({ "seed": seed, "metric": metric, "value": value }));
    json!({ "runs": each, "mean": mean, "standard_deviation": deviation, "degenerate": degenerate, "best": best })
}

/// The seeds that have learnt nothing, in a sentence.
fn note(summary: &Value) -> Option<String> {
    let seeds: Vec<String> = summary["degenerate"].as_array()?.iter().map(Value::to_string).collect();
    (!seeds.is_empty()).then(|| {
        format!(
            "with seed {} the model has learnt nothing; a lower learning rate or a longer warm-up usually helps",
            seeds.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(values: &[(&str, f64)]) -> Metrics {
        values.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    }

    #[test]
    fn a_summary_has_mean_spread_and_names_what_failed() {
        let run = |seed, has_learnt, values: &[(&str, f64)]| SeedRun {
            seed,
            metrics: metrics(values),
            has_learnt: Some(has_learnt),
        };
        let runs = [
            run(1, true, &[("loss", 0.5), ("accuracy", 0.75), ("matthews_correlation", 0.5)]),
            run(7, false, &[("loss", 0.7), ("accuracy", 0.5), ("matthews_correlation", 0.0)]),
            run(3, true, &[("loss", 0.6), ("accuracy", 1.0), ("matthews_correlation", 1.0)]),
        ];
        let summary = summary(&runs, "accuracy");
        assert_eq!(summary["best"], json!({ "seed": 3, "metric": "accuracy", "value": 1.0 }));
        assert_eq!(summary["mean"]["accuracy"], json!(0.75));
        assert_eq!(summary["standard_deviation"]["accuracy"], json!(0.25));
        assert_eq!(summary["degenerate"], json!([7]));
        assert_eq!(summary["runs"][1]["seed"], json!(7));
        assert!(note(&summary).unwrap().contains("seed 7"));
    }

    #[test]
    fn the_best_seed_has_the_best_metric_then_the_lower_loss_then_comes_first() {
        let run = |seed, loss, f1| {
            let metrics = metrics(&[("loss", loss), ("f1", f1)]);
            SeedRun { seed, metrics, has_learnt: None }
        };
        let runs = [run(4, 0.5, 0.75), run(2, 0.4, 0.75), run(9, 0.4, 0.75), run(1, 0.1, 0.5), run(7, 0.0, f64::NAN)];
        assert_eq!(best(&runs, "f1"), Some((2, 0.75)));
        assert_eq!(best(&runs[..4], "loss"), Some((1, 0.1)));
        assert_eq!(best(&runs, "pearson"), None);
    }
}
