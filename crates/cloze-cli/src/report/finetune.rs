//! The report of a fine-tuning.

use std::path::{Path, PathBuf};

use cloze::eval::thresholds::Sharing;
use cloze::settings::{FinetuneSettings, FinetuneTask, Start};
use cloze::train::shell_word;
use serde_json::Value;

use crate::output::grouped;

use super::chart::smoothed;
use super::outcome::{self, cross_fitted, interval, shown};
use super::run::{FinishedRun, run_facts, settings_facts, verdict};
use super::{Chart, Highlight, Line, Report, Series, Unit, save};

/// Points of the curve of the training loss, at most about this many.
const POINTS: usize = 80;

/// Writes the report of the finished fine-tuning in a folder, and gives its path.
pub fn write(dir: &Path) -> anyhow::Result<PathBuf> {
    save(dir, &report(&FinishedRun::read(dir)?))
}

/// What a report tells of a fine-tuning.
fn report(run: &FinishedRun) -> Report {
    Report {
        title: match run.is_measured() {
            true => format!("{}: {} {}", title(run), run.metric(), best_value(run)),
            false => format!("{}: not measured", title(run)),
        },
        introduction: introduction(run),
        highlights: highlights(run),
        charts: charts(run),
        tables: outcome::tables(run),
        fills: Vec::new(),
        facts: facts(run),
        commands: commands(run),
    }
}

/// What the task is.
fn title(run: &FinishedRun) -> &'static str {
    match run.settings.task {
        FinetuneTask::Classification => "Classification",
        FinetuneTask::Regression => "Regression",
        FinetuneTask::MultiLabel => "Several labels",
        FinetuneTask::Tokens => "Labels of words",
        FinetuneTask::Questions => "Answers to questions",
    }
}

/// The metric that chose the weights, of the model as it is stored.
fn best_value(run: &FinishedRun) -> String {
    let metric = run.metric();
    let task = run.settings.task;
    let value = run.evaluation.metrics.get(metric).and_then(Value::as_f64);
    value.map_or("not defined".to_string(), |value| shown(task, metric, value))
}

/// What the training started from.
pub(super) fn start(settings: &FinetuneSettings) -> String {
    match &settings.start {
        Start::Preset(name) => format!("random weights of the size {name}"),
        Start::Config(path) => format!("random weights of the sizes in {}", path.display()),
        Start::Model(dir) => dir.display().to_string(),
    }
}

fn introduction(run: &FinishedRun) -> String {
    let settings = &run.settings;
    let start = start(settings);
    let (steps, epochs) = (run.state.global_step, settings.epochs);
    let best = run.state.best_global_step.map_or(String::new(), |best| {
        format!(" The weights are those after step {}, the best by {}.", grouped(best), run.metric())
    });
    format!(
        "Fine-tuned from {start} on {} for {} steps, {epochs} epoch{}; {}.{best}{}",
        settings.train.display(),
        grouped(steps),
        if epochs == 1 { "" } else { "s" },
        run.measured_on(),
        verdict(&run.stored),
    )
}

fn highlights(run: &FinishedRun) -> Vec<Highlight> {
    if !run.is_measured() {
        return Vec::new();
    }
    let evaluation = &run.evaluation;
    let metric = run.metric();
    let highlight = |name: &str, value: String, against: String| Highlight { name: name.to_string(), value, against };
    let mut highlights = vec![highlight(
        metric,
        best_value(run),
        match (cross_fitted(run, metric), interval(run, metric)) {
            (Some(honest), _) => format!("tuned; cross-fitted {honest}"),
            (None, Some(own)) => format!("95 %: {own}"),
            (None, None) => "on the development set".to_string(),
        },
    )];
    if let Some(loss) = evaluation.metrics.get("loss").and_then(Value::as_f64).filter(|_| metric != "loss") {
        highlights.push(highlight("loss", format!("{loss:.3}"), "on the development set".to_string()));
    }
    if let Some(calibration) = &evaluation.calibration {
        let error = format!("{:.1} %", 100.0 * calibration.error);
        highlights.push(highlight("calibration error", error, "how far probabilities are off".to_string()));
    }
    if let Some(best) = run.state.best_global_step {
        let of = format!("of {} steps", grouped(run.state.global_step));
        highlights.push(highlight("best step", grouped(best), of));
    }
    highlights
}

fn charts(run: &FinishedRun) -> Vec<Chart> {
    let best = run.state.best_global_step;
    let reference = best.map(|best| (format!("best step, {}", grouped(best)), Line::At(best as f64)));
    let chart = |title: &str, unit, series| Chart {
        title: title.to_string(),
        x_label: "step".to_string(),
        // The same for all, so that a step has one place.
        x_range: Some((0.0, run.state.global_step as f64)),
        unit,
        series,
        bars: None,
        reference: reference.clone(),
    };
    let curve = |name: &str, points| Series { name: name.to_string(), points };
    let evaluated = |metric: &str| run.points("step", &format!("eval_{metric}"));
    let mut charts = vec![chart(
        "Loss",
        Unit::Figure,
        vec![
            curve("training", smoothed(&run.points("step", "loss"), POINTS)),
            curve("development set", evaluated("loss")),
        ],
    )];
    let names = run.evaluation.main_metrics(run.metric());
    let names: Vec<&String> = names.iter().filter(|name| *name != "loss" && evaluated(name).len() > 1).collect();
    // The metric that decides has a chart of its own.
    let (decides, others): (Vec<&String>, Vec<&String>) = names.into_iter().partition(|name| *name == run.metric());
    for names in [decides.as_slice()].into_iter().chain(others.chunks(3)).filter(|names| !names.is_empty()) {
        let title: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let title = format!("{} on the development set", title.join(", "));
        let curves = names.iter().map(|name| curve(name, evaluated(name))).collect();
        charts.push(chart(&title, Unit::Figure, curves));
    }
    charts.push(chart("Learning rate", Unit::Rate, vec![curve("of each step", run.points("step", "learning_rate"))]));
    charts.extend(reliability(run));
    charts
}

/// How often answers of some probability are right.
fn reliability(run: &FinishedRun) -> Option<Chart> {
    let calibration = run.evaluation.calibration.as_ref()?;
    let total = calibration.bins.iter().map(|bin| bin.count).sum::<usize>().max(1) as f64;
    let filled = || calibration.bins.iter().filter(|bin| bin.count > 0);
    let first = calibration.bins.first()?;
    let curve = |name: &str, points| Series { name: name.to_string(), points };
    Some(Chart {
        title: format!("Reliability: expected calibration error {:.4}", calibration.error),
        x_label: "probability that the model gives its answer".to_string(),
        x_range: None,
        unit: Unit::Percent,
        series: vec![
            curve(
                "answers that are right",
                filled().map(|bin| ((bin.above + bin.up_to) / 2.0, bin.accuracy)).collect(),
            ),
            curve(
                "share of all answers",
                filled().map(|bin| ((bin.above + bin.up_to) / 2.0, bin.count as f64 / total)).collect(),
            ),
        ],
        bars: Some(first.up_to - first.above),
        reference: Some(("as probable as said".to_string(), Line::Diagonal)),
    })
}

/// What is stored with the model, then the settings by the names that they have in `cloze.json`.
fn facts(run: &FinishedRun) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let fact = |name: &str, value: String| (name.to_string(), value);
    if let Some(temperature) = run.stored.temperature {
        facts.push(fact("temperature", format!("{temperature:.4}, fitted on the development set")));
    }
    if let Some(thresholds) = &run.stored.thresholds {
        let own = match (run.stored.tuning.as_ref().map(|tuning| tuning.thresholds), thresholds.first()) {
            (Some(Sharing::One), Some(threshold)) => format!("{threshold:.4} for all labels"),
            _ => {
                let names = run.evaluation.classes.keys().map(String::as_str).chain(std::iter::repeat(""));
                let own = names.zip(thresholds).map(|(name, value)| format!("{name} {value:.4}"));
                own.collect::<Vec<_>>().join(", ")
            }
        };
        facts.push(fact("thresholds", format!("{own}; the best on the development set")));
    }
    if let Some(threshold) = run.stored.questions.and_then(|questions| questions.answers.null_threshold) {
        let found = if run.is_measured() { ", the best on the development set" } else { "" };
        facts.push(fact("no answer", format!("if its odds are above {threshold:.4}{found}")));
    }
    facts.extend(settings(run));
    facts.extend(run_facts(&run.run));
    facts
}

/// Every setting of a run that is set and that its task has.
fn settings(run: &FinishedRun) -> Vec<(String, String)> {
    let others = [("questions", FinetuneTask::Questions), ("subtokens", FinetuneTask::Tokens)];
    let others = others.into_iter().filter(|(_, task)| run.settings.task != *task).map(|(name, _)| name);
    let is_own = |(name, _): &(String, String)| !others.clone().any(|other| name.split('.').next() == Some(other));
    settings_facts(&run.settings).into_iter().filter(is_own).collect()
}

fn commands(run: &FinishedRun) -> Vec<(String, String)> {
    let dir = shell_word(&run.dir.display().to_string());
    let columns = run.settings.columns.as_ref();
    let columns = columns.map_or_else(String::new, |columns| format!(" --columns {}", shell_word(columns)));
    let dev = run.settings.dev.as_ref().map(|dev| shell_word(&dev.display().to_string()));
    let dev = dev.unwrap_or_else(|| "FILE".to_string()) + &columns;
    let text = match run.settings.task {
        FinetuneTask::Tokens => "--text \"Ann Smith came from Oslo.\"",
        FinetuneTask::Questions => "--text \"Who came?\" --text-b \"Ann came late.\"",
        _ => "--text \"The milk was good.\"",
    };
    let command = |purpose: &str, command: String| (purpose.to_string(), command);
    vec![
        command("Ask the model; texts may also come from a file:", format!("cloze predict --model {dir} {text}")),
        command("Measure it on other data:", format!("cloze evaluate --model {dir} --input {dev}")),
        command("Tell whether another model is better:", format!("cloze compare {dir} OTHER --data {dev}")),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cloze::train::{MARK, REPORT};
    use serde_json::json;

    use super::*;

    /// The files of a finished classification, as `cloze finetune` leaves them.
    fn folder(change: impl FnOnce(&mut Value, &mut Value, &mut Value)) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let settings = FinetuneSettings::new(
            FinetuneTask::Classification,
            Start::Model("start".into()),
            "train.tsv",
            "my dev.tsv",
        );
        let run = json!({
            "settings": { "finetune": settings }, "data": "00ff", "machine": "cpu", "version": "1", "finished": true
        });
        let mut stored = json!({ "temperature": 1.25, "run": run });
        let mut state = json!({
            "metric_for_best_model": "macro_f1", "best_global_step": 20, "global_step": 30,
            "log_history": [
                { "step": 10, "loss": 0.7, "learning_rate": 2e-5 },
                { "step": 10, "eval_loss": 0.6, "eval_macro_f1": 0.5, "eval_accuracy": 0.7 },
                { "step": 20, "loss": 0.5, "learning_rate": 1e-5 },
                { "step": 20, "eval_loss": 0.5, "eval_macro_f1": 0.75, "eval_accuracy": 0.8 },
            ],
        });
        let mut evaluation = json!({
            "task": "classification", "examples": 1408,
            "metrics": { "loss": 0.5, "accuracy": 0.8, "macro_f1": 0.75 },
            "intervals": { "macro_f1": { "low": 0.7, "high": 0.8125, "undefined": 0 } },
            "classes": {
                "a": { "precision": 0.5, "recall": 0.25, "f1": 0.3333, "support": 8 },
                "b": { "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 4 },
            },
            "labels": ["a", "b"],
            "confusion": [[2, 6], [0, 4]],
            "calibration": {
                "error": 0.125,
                "bins": [{ "above": 0.5, "up_to": 0.75, "count": 3, "confidence": 0.6, "accuracy": 0.5 }],
            },
            "slices": [{ "from": 1, "to": 16, "count": 12, "metric": { "accuracy": 0.8 } }],
            "mistakes": [{
                "place": "line 7", "text": "<script>alert(1)</script>", "gold": "a", "predicted": "b",
                "probability": 0.875,
            }],
        });
        change(&mut stored, &mut state, &mut evaluation);
        for (name, value) in [("cloze.json", stored), ("trainer_state.json", state), ("evaluation.json", evaluation)] {
            fs::write(dir.path().join(name), value.to_string()).unwrap();
        }
        dir
    }

    fn page(dir: &tempfile::TempDir) -> String {
        fs::read_to_string(write(dir.path()).unwrap()).unwrap()
    }

    #[test]
    fn a_report_has_every_part() {
        let page = page(&folder(|_, _, _| ()));
        for part in [
            "<h1>Classification: macro_f1 0.7500</h1>",
            "measured on 1,408 examples of my dev.tsv. The weights are those after step 20, the best by macro_f1.",
            "<strong>0.7500</strong><span>95 %: 0.7000 to 0.8125</span>",
            "<figcaption>Loss</figcaption>",
            "<figcaption>Learning rate</figcaption>",
            "<figcaption>macro_f1 on the development set</figcaption>",
            "<figcaption>accuracy on the development set</figcaption>",
            "<span class=\"reference\">best step, 20</span>",
            "<figcaption>Reliability: expected calibration error 0.1250</figcaption>",
            "<td class=\"figure\" data-column=\"95 % interval\">0.7000 to 0.8125</td>",
            "<th>a</th><td class=\"figure\">0.5000</td><td class=\"figure\">0.2500</td>",
            "<th>a</th><td class=\"shade\" style=\"--share:0.25\">2</td><td class=\"shade\" style=\"--share:0.75\">6</td>",
            "<th>1 to 16</th><td class=\"figure\">12</td><td class=\"figure\">0.8000</td>",
            "<th class=\"place short\">line 7</th>",
            "<td class=\"figure\" data-column=\"how sure\">87.5 %</td>",
            "<dt>update.learning_rate</dt><dd>0.00002</dd>",
            "<dt>temperature</dt><dd>1.2500, fitted",
            "<dd>00ff</dd>",
            "--input 'my dev.tsv'",
            MARK,
        ] {
            assert!(page.contains(part), "{part}\n--- is not in\n{page}");
        }
    }

    #[test]
    fn commands_read_the_columns_that_the_training_read() {
        let page = page(&folder(|stored, _, _| {
            stored["run"]["settings"]["finetune"]["columns"] = json!("text=the review,label=stars");
        }));
        for part in ["--input 'my dev.tsv' --columns 'text=the review,label=stars'", "--data 'my dev.tsv' --columns"] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }

    #[test]
    fn what_the_data_says_is_no_markup() {
        let page = page(&folder(|_, _, evaluation| {
            evaluation["labels"] = json!(["<script>", "b"]);
            evaluation["mistakes"][0]["gold"] = json!("<script>");
        }));
        assert!(!page.contains("<script"));
        assert_eq!(page.matches("&lt;script&gt;").count(), 4, "text, gold, row and column of the matrix");
    }

    #[test]
    fn parts_that_a_task_has_not_are_left_out() {
        let page = page(&folder(|stored, state, evaluation| {
            stored["run"]["settings"]["finetune"]["task"] = json!("regression");
            state["metric_for_best_model"] = json!("pearson");
            *evaluation = json!({
                "task": "regression", "examples": 3, "metrics": { "loss": 0.5 }, "intervals": {}, "classes": {},
                "labels": [], "confusion": [], "calibration": null, "slices": [], "mistakes": [],
            });
        }));
        assert!(page.contains("<h1>Regression: pearson not defined</h1>"), "{page}");
        for part in ["taken for", "Reliability", "Mistakes", "By length"] {
            assert!(!page.contains(part), "{part}");
        }
    }

    #[test]
    fn what_squad_measures_is_in_per_cent() {
        let page = page(&folder(|stored, state, evaluation| {
            stored["run"]["settings"]["finetune"]["task"] = json!("qa");
            state["metric_for_best_model"] = json!("f1");
            evaluation["metrics"] = json!({ "loss": 0.5, "exact_match": 70.0, "f1": 81.25, "total": 12.0 });
        }));
        assert!(page.contains("<h1>Answers to questions: f1 81.25 %</h1>"), "{page}");
        assert!(page.contains("<strong>0.500</strong>") && !page.contains("<th>total</th>"));
    }

    #[test]
    fn other_folders_are_refused_with_what_they_are() {
        let error = |dir: &Path| format!("{:#}", write(dir).unwrap_err());
        let empty = tempfile::tempdir().unwrap();
        assert!(error(empty.path()).contains("not the --output of a `cloze finetune`"));
        let unfinished = folder(|stored, _, _| stored["run"]["finished"] = json!(false));
        assert!(error(unfinished.path()).contains("has not finished"));
        let old = folder(|_, _, _| ());
        fs::remove_file(old.path().join("evaluation.json")).unwrap();
        assert!(error(old.path()).contains("older version"));
        let damaged = folder(|_, state, _| *state = json!({ "log_history": 3 }));
        assert!(error(damaged.path()).contains("trainer_state.json is damaged"));
        let foreign = folder(|_, _, _| ());
        fs::write(foreign.path().join(REPORT), "<html>mine</html>").unwrap();
        assert!(error(foreign.path()).contains("move it away"));
        assert_eq!(fs::read_to_string(foreign.path().join(REPORT)).unwrap(), "<html>mine</html>");
    }
}
