//! The same fine-tuning with several seeds: how much of a result is chance.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Error;
use crate::checkpoint::write_file;
use crate::settings::{FinetuneSettings, StoredSettings};

use super::events::{Event, Metrics, Observer, Outcome, RunOptions};
use super::finetune;

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
    let summary = summary(&all);
    if let Some(note) = note(&summary) {
        let _ = observer(&Event::Note(note));
    }
    write_summary(&options.output, &summary)?;
    let mean = summary["mean"].as_object().expect("just made").iter();
    let mean = mean.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
    Ok(if is_new { Outcome::Finished(mean) } else { Outcome::AlreadyFinished })
}

/// A finished run of the series.
struct SeedRun {
    seed: u64,
    /// Metrics of its best weights.
    metrics: Metrics,
    /// Its verdict.
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

fn write_summary(output: &Path, summary: &Value) -> Result<(), Error> {
    write_file(&output.join("summary.json"), format!("{summary:#}\n").as_bytes())
}

/// Contents of `summary.json`.
fn summary(runs: &[SeedRun]) -> Value {
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
    json!({ "runs": each, "mean": mean, "standard_deviation": deviation, "degenerate": degenerate })
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
        let summary = summary(&runs);
        assert_eq!(summary["mean"]["accuracy"], json!(0.75));
        assert_eq!(summary["standard_deviation"]["accuracy"], json!(0.25));
        assert_eq!(summary["degenerate"], json!([7]));
        assert_eq!(summary["runs"][1]["seed"], json!(7));
        assert!(note(&summary).unwrap().contains("seed 7"));
    }
}
