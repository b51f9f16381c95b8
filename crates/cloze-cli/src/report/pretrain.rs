//! The report of a pre-training, finished or under way.

use std::path::{Path, PathBuf};

use cloze::settings::Start;
use cloze::train::shell_word;
use serde_json::Value;

use crate::output::{duration, grouped};

use super::chart::{points, smoothed};
use super::run::{PretrainingRun, run_facts, settings_facts};
use super::{Cell, Chart, Highlight, Line, Report, Series, Table, Unit, save};

/// Points of the curves of single steps, at most about this many.
const POINTS: usize = 120;
/// Evaluations that the tables show.
const EVALUATIONS: usize = 6;

/// Writes the report of the pre-training in a folder, and gives its path.
pub fn write(dir: &Path) -> anyhow::Result<PathBuf> {
    save(dir, &report(&PretrainingRun::read(dir)?))
}

/// What a report tells of a pre-training.
fn report(run: &PretrainingRun) -> Report {
    let last = |name: &str| last(run, name);
    let loss = last("eval_mlm_loss").or_else(|| last("mlm_loss"));
    let where_to = if run.run.finished { String::new() } else { format!(", {} so far", steps(run)) };
    Report {
        title: format!(
            "Pre-training: loss of masked words {}{where_to}",
            loss.map_or("not known".to_string(), |loss| format!("{loss:.3}"))
        ),
        introduction: introduction(run),
        highlights: highlights(run),
        charts: charts(run),
        tables: [samples(run), evaluations(run)].into_iter().flatten().collect(),
        fills: Vec::new(),
        facts: facts(run),
        commands: commands(run),
    }
}

/// The newest value of a name in the log.
fn last(run: &PretrainingRun, name: &str) -> Option<f64> {
    run.state.log_history.iter().rev().find_map(|entry| entry[name].as_f64())
}

fn steps(run: &PretrainingRun) -> String {
    format!("{} of {} steps", grouped(run.state.global_step), grouped(run.state.max_steps))
}

fn introduction(run: &PretrainingRun) -> String {
    let settings = &run.settings;
    let start = match &settings.start {
        Start::Preset(name) => format!("random weights of the size {name}"),
        Start::Config(path) => format!("random weights of the sizes in {}", path.display()),
        Start::Model(dir) => dir.display().to_string(),
    };
    let time = last(run, "seconds").map_or(String::new(), |seconds| format!(" in {}", duration(seconds)));
    let state = if run.run.finished { "finished" } else { "under way" };
    format!(
        "From {start}, {} sequences a step, {}{time}; {state}. Held-out text is measured with masks that are the same \
         each time.{}",
        settings.update.batch_size,
        steps(run),
        run.verdict
    )
}

fn highlights(run: &PretrainingRun) -> Vec<Highlight> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let highlight = |name: &str, value: Option<String>, against: String| {
        value.map(|value| Highlight { name: name.to_string(), value, against })
    };
    let against = |name: &str, text: &str| last(run, name).map_or(String::new(), |value| format!("{value:.2} {text}"));
    let majority = last(run, "eval_nsp_majority")
        .map_or(String::new(), |share| format!("{} by always saying the same", percent(share)));
    let speed = last(run, "fraction_of_ceiling")
        .map_or(String::new(), |share| format!("{:.0} % of what the machine's arithmetic allows", 100.0 * share));
    let shown = [
        highlight(
            "masked words, loss",
            last(run, "eval_mlm_loss").map(|loss| format!("{loss:.3}")),
            against("eval_unigram_entropy", "by knowing how frequent words are"),
        ),
        highlight("masked words, predicted", last(run, "eval_mlm_accuracy").map(percent), "held out".to_string()),
        highlight("next sentence, told right", last(run, "eval_nsp_accuracy").map(percent), majority),
        highlight("tokens a second", last(run, "tokens_per_second").map(|speed| grouped(speed as u64)), speed),
    ];
    shown.into_iter().flatten().collect()
}

fn charts(run: &PretrainingRun) -> Vec<Chart> {
    let log = &run.state.log_history;
    let mut charts = learning(log, last(run, "eval_unigram_entropy"), None, last(run, "eval_nsp_majority"), POINTS);
    let (unit, seconds_each) = if last(run, "seconds").is_some_and(|seconds| seconds > 7200.0) {
        ("hours", 3600.0)
    } else {
        ("minutes", 60.0)
    };
    let over_time = |name: &str| -> Vec<(f64, f64)> {
        let mut time = 0.0;
        let point = |entry: &Value| {
            // An evaluation has the time of the steps before it.
            time = entry["seconds"].as_f64().map_or(time, |seconds| seconds / seconds_each);
            Some((time, entry[name].as_f64()?))
        };
        log.iter().filter_map(point).collect()
    };
    let curve = |name: &str, points| Series { name: name.to_string(), points };
    let chart = |title: &str, x_label: &str, unit, series| Chart {
        title: title.to_string(),
        x_label: x_label.to_string(),
        x_range: None,
        unit,
        series,
        bars: None,
        reference: None,
    };
    charts.push(chart(
        "Masked words: loss over time",
        unit,
        Unit::Nats,
        vec![
            curve("training", smoothed(&over_time("mlm_loss"), POINTS)),
            curve("held out", over_time("eval_mlm_loss")),
        ],
    ));
    let over_steps = |name: &str| smoothed(&points(log, "step", name), POINTS);
    charts.push(chart("Learning rate", "step", Unit::Rate, vec![curve("of each step", over_steps("learning_rate"))]));
    charts.push(chart(
        "Tokens a second",
        "step",
        Unit::Figure,
        vec![curve("training", over_steps("tokens_per_second"))],
    ));
    charts.retain(|chart| chart.series.iter().any(|series| series.points.len() > 1));
    charts
}

/// The charts of what is learnt, each held against what needs no learning.
pub fn learning(
    log: &[Value],
    unigram_entropy: Option<f64>,
    most_frequent: Option<f64>,
    nsp_majority: Option<f64>,
    count: usize,
) -> Vec<Chart> {
    let chart = |title: &str, unit, name: &str, reference: Option<(&str, f64)>| Chart {
        title: title.to_string(),
        x_label: "step".to_string(),
        x_range: None,
        unit,
        series: vec![
            Series { name: "training".to_string(), points: smoothed(&points(log, "step", name), count) },
            Series { name: "held out".to_string(), points: points(log, "step", &format!("eval_{name}")) },
        ],
        bars: None,
        reference: reference.map(|(name, level)| (name.to_string(), Line::Level(level))),
    };
    vec![
        chart(
            "Masked words: loss",
            Unit::Nats,
            "mlm_loss",
            unigram_entropy.map(|entropy| ("word frequencies alone", entropy)),
        ),
        chart(
            "Masked words: guessed right",
            Unit::Percent,
            "mlm_accuracy",
            most_frequent.map(|share| ("always the most frequent", share)),
        ),
        chart(
            "Next passage: told right",
            Unit::Percent,
            "nsp_accuracy",
            nsp_majority.map(|share| ("always the same answer", share)),
        ),
    ]
}

/// The log's evaluations, or some of them with the first and the last, by step.
fn chosen<'a>(run: &'a PretrainingRun, name: &str) -> Vec<&'a Value> {
    let all: Vec<&Value> = run.state.log_history.iter().filter(|entry| !entry[name].is_null()).collect();
    if all.len() <= EVALUATIONS {
        return all;
    }
    (0..EVALUATIONS).map(|place| all[place * (all.len() - 1) / (EVALUATIONS - 1)]).collect()
}

/// What was put in the place of some masked words, over time.
fn samples(run: &PretrainingRun) -> Option<Table> {
    let evaluations = chosen(run, "samples");
    if evaluations.is_empty() || run.state.samples.is_empty() {
        return None;
    }
    let predicted = |evaluation: &Value, sample: usize| {
        let best = evaluation["samples"][sample].as_array().into_iter().flatten();
        let words = best.filter_map(|best| Some(format!("{} {:.0} %", best[0].as_str()?, 100.0 * best[1].as_f64()?)));
        words.collect::<Vec<_>>().join(" · ")
    };
    let mut columns = vec!["held-out text".to_string(), "the word".to_string()];
    columns.extend(
        evaluations.iter().map(|entry| format!("step {}", grouped(entry["step"].as_u64().unwrap_or_default()))),
    );
    let rows = run.state.samples.iter().enumerate().map(|(number, sample)| {
        let mut row = vec![Cell::Text(sample.text.clone()), Cell::Value(sample.answer.clone())];
        row.extend(evaluations.iter().map(|entry| Cell::Text(predicted(entry, number))));
        row
    });
    Some(Table {
        title: "Masked words, predicted again and again".to_string(),
        note:
            "The best three for [MASK] at that step. The model reads more than is shown; … are words that are masked \
               or replaced, too."
                .to_string(),
        class: "",
        columns,
        rows: rows.collect(),
    })
}

/// The metrics on held-out text.
fn evaluations(run: &PretrainingRun) -> Option<Table> {
    let evaluations = chosen(run, "eval_mlm_loss");
    if evaluations.is_empty() {
        return None;
    }
    let metrics = [
        ("eval_mlm_loss", "loss, masked words"),
        ("eval_mlm_perplexity", "perplexity"),
        ("eval_mlm_accuracy", "predicted"),
        ("eval_nsp_loss", "loss, next sentence"),
        ("eval_nsp_accuracy", "told right"),
    ];
    let metrics: Vec<_> = metrics.into_iter().filter(|(name, _)| last(run, name).is_some()).collect();
    let mut columns = vec!["step".to_string(), "epoch".to_string()];
    columns.extend(metrics.iter().map(|(_, shown)| shown.to_string()));
    let figure = |entry: &Value, name: &str, digits: usize| {
        Cell::Figure(entry[name].as_f64().map_or("–".to_string(), |value| format!("{value:.digits$}")))
    };
    let rows = evaluations.into_iter().map(|entry| {
        let step = grouped(entry["step"].as_u64().unwrap_or_default());
        let mut row = vec![Cell::Text(step), figure(entry, "epoch", 2)];
        row.extend(metrics.iter().map(|(name, _)| figure(entry, name, 4)));
        row
    });
    Some(Table {
        title: "Measured on held-out text".to_string(),
        note: String::new(),
        class: "",
        columns,
        rows: rows.collect(),
    })
}

fn facts(run: &PretrainingRun) -> Vec<(String, String)> {
    let mut facts = settings_facts(&run.settings);
    if let Some(best) = run.state.best_global_step {
        facts.push(("best step by loss".to_string(), grouped(best)));
    }
    facts.extend(run_facts(&run.run));
    facts
}

fn commands(run: &PretrainingRun) -> Vec<(String, String)> {
    let dir = shell_word(&run.model.display().to_string());
    let command = |purpose: &str, command: String| (purpose.to_string(), command);
    vec![
        command("Ask the model:", format!("cloze fill --model {dir} --text \"It was a [MASK] night.\"")),
        command(
            "Teach it a task, from tables with the columns text and label:",
            format!(
                "cloze finetune --task classification --model {dir} --train train.tsv --dev dev.tsv --output classifier"
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cloze::settings::PretrainSettings;
    use serde_json::json;

    use super::*;

    /// The files of a pre-training as `cloze pretrain` leaves them, its log in `log`.
    fn folder(finished: bool, log: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let settings = PretrainSettings::new(vec!["a.txt".into()], "vocab", Start::Preset("tiny".to_string()), 40);
        let run = json!({
            "settings": { "pretrain": settings }, "data": "00ff", "machine": "cpu", "version": "1", "finished": finished
        });
        let evaluation = |step: u64, loss: f64, word: &str| {
            json!({
                "step": step, "epoch": 0.5, "eval_loss": loss + 0.7, "eval_mlm_loss": loss,
                "eval_mlm_accuracy": 0.25, "eval_unigram_entropy": 6.5, "eval_nsp_accuracy": 0.75,
                "eval_nsp_majority": 0.5, "samples": [[[word, 0.5], ["<b>", 0.25]]],
            })
        };
        let step = |step: u64| {
            json!({
                "step": step, "seconds": step, "mlm_loss": 5.0, "mlm_accuracy": 0.1, "learning_rate": 1e-4,
                "tokens_per_second": 12345.0, "fraction_of_ceiling": 0.5,
            })
        };
        let state = json!({
            "best_global_step": 40, "global_step": 40, "max_steps": if finished { 40 } else { 100 },
            "log_history": [step(10), evaluation(10, 4.5, "the"), step(40), evaluation(40, 3.25, "night")],
            "samples": [{ "text": "a dark [MASK] & …", "answer": "night" }],
        });
        fs::create_dir_all(dir.path().join(log)).unwrap();
        fs::write(dir.path().join("cloze.json"), json!({ "run": run }).to_string()).unwrap();
        fs::write(dir.path().join(log).join("trainer_state.json"), state.to_string()).unwrap();
        dir
    }

    #[test]
    fn a_report_has_every_part() {
        let page = fs::read_to_string(write(folder(true, "").path()).unwrap()).unwrap();
        for part in [
            "<h1>Pre-training: loss of masked words 3.250</h1>",
            "40 of 40 steps in 40 s; finished.",
            "<strong>3.250</strong><span>6.50 by knowing how frequent words are</span>",
            "<strong>75.0 %</strong><span>50.0 % by always saying the same</span>",
            "<strong>12,345</strong><span>50 % of what",
            "<figcaption>Masked words: loss</figcaption>",
            "<figcaption>Next passage: told right</figcaption>",
            "<figcaption>Masked words: loss over time</figcaption>",
            "<figcaption>Learning rate</figcaption>",
            "a dark [MASK] &amp; …",
            "<td>the 50 % · &lt;b&gt; 25 %</td><td>night 50 % · &lt;b&gt; 25 %</td>",
            "<h2>Measured on held-out text</h2>",
            "<dt>update.learning_rate</dt><dd>0.0001</dd>",
            "<dd>00ff</dd>",
            "cloze fill --model",
        ] {
            assert!(page.contains(part), "{part}\n--- is not in\n{page}");
        }
    }

    #[test]
    fn a_run_under_way_is_told_from_its_newest_checkpoint() {
        let dir = folder(false, "checkpoint-40");
        fs::create_dir(dir.path().join("checkpoint-5")).unwrap();
        fs::create_dir(dir.path().join("checkpoint-50.tmp")).unwrap();
        let page = fs::read_to_string(write(dir.path()).unwrap()).unwrap();
        assert!(page.contains("40 of 100 steps so far</h1>"), "{page}");
        assert!(page.contains("checkpoint-40 --text"), "the checkpoint is the model there is");
        fs::remove_dir_all(dir.path().join("checkpoint-40")).unwrap();
        fs::remove_dir_all(dir.path().join("checkpoint-5")).unwrap();
        let error = format!("{:#}", write(dir.path()).unwrap_err());
        assert!(error.contains("has no checkpoint yet"), "{error}");
    }
}
