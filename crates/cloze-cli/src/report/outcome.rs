//! The tables of a fine-tuning's report: how good the model is, and where it is not.

use cloze::eval::slices::Slice;
use cloze::eval::{CROSS_FITTED, Mistake};
use cloze::settings::FinetuneTask;
use serde_json::{Map, Value};

use crate::output::grouped;

use super::run::FinishedRun;
use super::{Cell, Table};

/// Labels up to which the names above a matrix lie flat. Of more they stand upright, so that all columns fit on a page.
const UPRIGHT: usize = 6;
/// Of more labels, only the most frequent confusions are shown.
const MATRIX_SHOWN: usize = 40;
/// Confusions shown then.
const CONFUSIONS: usize = 30;

/// All tables that there is something for.
pub fn tables(run: &FinishedRun) -> Vec<Table> {
    let tables = [
        run.is_measured().then(|| metrics_table(run)),
        classes_table(run),
        confusion_table(run),
        slices_table(run),
        mistakes_table(&run.evaluation.mistakes),
    ];
    tables.into_iter().flatten().collect()
}

/// What SQuAD's scripts say is in per cent, everything else as it is.
pub fn shown(task: FinetuneTask, metric: &str, value: f64) -> String {
    match task {
        FinetuneTask::Questions if metric != "loss" => format!("{value:.2} %"),
        _ => format!("{value:.4}"),
    }
}

/// The interval of a metric, if it has one.
pub fn interval(run: &FinishedRun, metric: &str) -> Option<String> {
    let own = run.evaluation.intervals.get(metric)?;
    let end = |name: &str| Some(shown(run.settings.task, metric, own[name].as_f64()?));
    Some(format!("{} to {}", end("low")?, end("high")?))
}

/// The honest value of a metric at thresholds that the same examples chose; none of other metrics.
pub fn cross_fitted(run: &FinishedRun, metric: &str) -> Option<String> {
    let value = run.evaluation.metrics.get(&format!("{CROSS_FITTED}{metric}"))?.as_f64()?;
    Some(shown(run.settings.task, metric, value))
}

fn metrics_table(run: &FinishedRun) -> Table {
    let task = run.settings.task;
    let row = |name: String| {
        let value = run.evaluation.metrics.get(&name).and_then(Value::as_f64);
        vec![
            Cell::Text(name.clone()),
            Cell::Value(value.map_or("not defined".to_string(), |value| shown(task, &name, value))),
            Cell::Figure(interval(run, &name).unwrap_or_default()),
            Cell::Text(match &run.evaluation.positive_label {
                Some(label) if name == "f1" => format!("Precision and recall in one, of the label {label}."),
                _ if name.starts_with(CROSS_FITTED) => {
                    "The same at thresholds that were tuned on other examples: an honest figure.".to_string()
                }
                _ if cross_fitted(run, &name).is_some() => {
                    format!("{} At thresholds tuned on these examples.", meaning(task, &name))
                }
                _ => meaning(task, &name).to_string(),
            }),
        ]
    };
    Table {
        title: "Metrics".to_string(),
        note: "On the development set, of the model as it is stored. On other data of the kind, a metric would lie \
               within its interval 95 times of 100."
            .to_string(),
        class: "metrics",
        columns: columns(&["metric", "value", "95 % interval", "what it means"]),
        rows: run.evaluation.main_metrics(run.metric()).into_iter().map(row).collect(),
    }
}

/// What a metric means; nothing of what explains itself.
fn meaning(task: FinetuneTask, metric: &str) -> &'static str {
    match (task, metric) {
        (FinetuneTask::Regression, "loss") => "The mean of the squared differences between answers and values.",
        (_, "loss") => "What training makes smaller: how surprised the model is by the right answers.",
        (FinetuneTask::Tokens, "accuracy") => "The share of the words whose label is right.",
        (_, "accuracy") => "The share of the examples that are right.",
        (FinetuneTask::Questions, "f1") => "How many words of the answers are those of the right ones.",
        (FinetuneTask::Questions, "exact_match") => "The share of the answers that are word for word right.",
        (FinetuneTask::Questions, "best_f1" | "best_exact") => "What the best threshold for no answer gives.",
        (FinetuneTask::Questions, name) if name.starts_with("HasAns") => "Of the questions with an answer.",
        (FinetuneTask::Questions, name) if name.starts_with("NoAns") => "Of the questions without an answer.",
        (FinetuneTask::Tokens, "f1") => "Precision and recall of entities in one.",
        (FinetuneTask::Classification, "f1") => "Precision and recall in one, of the second label.",
        (FinetuneTask::MultiLabel, "f1") => "Precision and recall in one, of all labels together.",
        (_, "strict_f1") => "F1, if only entities count whose labels follow their scheme.",
        (_, "strict_precision" | "strict_recall") => "Of entities whose labels follow their scheme.",
        (FinetuneTask::Tokens, "macro_f1") => {
            "The mean of the F1 of each type: rare ones count as much as frequent ones."
        }
        (_, "macro_f1") => "The mean of the F1 of each label: rare ones count as much as frequent ones.",
        (_, "matthews_correlation") => "From -1 to 1; 0 if answers tell nothing of the labels.",
        (FinetuneTask::Tokens, "precision") => "The share of the entities found that are right.",
        (FinetuneTask::Tokens, "recall") => "The share of the entities that are found.",
        (_, "precision") => "The share of the labels given that are right.",
        (_, "recall") => "The share of the right labels that are given.",
        (_, "exact_match") => "The share of the examples with all labels right and none too many.",
        (_, "pearson") => "From -1 to 1; 1 if answers and values lie on a rising line.",
        (_, "spearman") => "From -1 to 1; 1 if answers and values are in the same order.",
        _ => "",
    }
}

fn classes_table(run: &FinishedRun) -> Option<Table> {
    let classes = &run.evaluation.classes;
    let row = |(name, own): (&String, &Value)| {
        let figure = |name: &str| Cell::Figure(own[name].as_f64().map_or(String::new(), |value| format!("{value:.4}")));
        let support = own["support"].as_u64().unwrap_or_default();
        vec![
            Cell::Text(name.clone()),
            figure("precision"),
            figure("recall"),
            figure("f1"),
            Cell::Figure(grouped(support)),
        ]
    };
    let is_entity = run.settings.task == FinetuneTask::Tokens && run.evaluation.metrics.contains_key("f1");
    let (title, name) = if is_entity { ("Each type of entity", "type") } else { ("Each label", "label") };
    (!classes.is_empty()).then(|| Table {
        title: title.to_string(),
        note:
            "Precision: of what the model calls so, the share that is. Recall: of what is so, the share that it finds."
                .to_string(),
        class: "",
        columns: columns(&[name, "precision", "recall", "F1", "in the development set"]),
        rows: classes.iter().map(row).collect(),
    })
}

fn confusion_table(run: &FinishedRun) -> Option<Table> {
    let (labels, matrix) = (&run.evaluation.labels, &run.evaluation.confusion);
    if matrix.is_empty() {
        return None;
    }
    if labels.len() > MATRIX_SHOWN {
        return Some(frequent_confusions(labels, matrix));
    }
    let row = |(label, counts): (&String, &Vec<usize>)| {
        let total = counts.iter().sum::<usize>().max(1) as f64;
        let cells = counts.iter().map(|&count| Cell::Shade(count, count as f64 / total));
        std::iter::once(Cell::Text(label.clone())).chain(cells).collect()
    };
    Some(Table {
        title: "What is taken for what".to_string(),
        note: "A row holds what has a label, a column what the model calls so; the shade is the share of the row."
            .to_string(),
        class: if labels.len() > UPRIGHT { "matrix upright" } else { "matrix" },
        columns: std::iter::once("is, taken for".to_string()).chain(labels.iter().cloned()).collect(),
        rows: labels.iter().zip(matrix).map(row).collect(),
    })
}

/// Of a matrix that is too large to be read.
fn frequent_confusions(labels: &[String], matrix: &[Vec<usize>]) -> Table {
    let mut wrong: Vec<(usize, usize, usize)> = Vec::new();
    for (gold, counts) in matrix.iter().enumerate() {
        let others = counts.iter().enumerate().filter(|&(predicted, &count)| predicted != gold && count > 0);
        wrong.extend(others.map(|(predicted, &count)| (count, gold, predicted)));
    }
    wrong.sort_by_key(|&(count, ..)| std::cmp::Reverse(count));
    wrong.truncate(CONFUSIONS);
    let row = |(count, gold, predicted): (usize, usize, usize)| {
        let total = matrix[gold].iter().sum::<usize>().max(1) as f64;
        vec![
            Cell::Text(labels[gold].clone()),
            Cell::Text(labels[predicted].clone()),
            Cell::Shade(count, count as f64 / total),
        ]
    };
    Table {
        title: "What is taken for what".to_string(),
        note: format!(
            "The most frequent confusions of {} labels; the shade is the share of all that has the first label.",
            labels.len()
        ),
        class: "matrix",
        columns: columns(&["is", "taken for", "how often"]),
        rows: wrong.into_iter().map(row).collect(),
    }
}

fn slices_table(run: &FinishedRun) -> Option<Table> {
    let slices = &run.evaluation.slices;
    let mut names: Vec<&String> = Vec::new();
    for name in slices.iter().flat_map(|slice| slice.metric.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let row = |slice: &Slice<Map<String, Value>>| {
        let figure = |name: &&String| {
            let value = slice.metric.get(*name).and_then(Value::as_f64);
            Cell::Figure(value.map_or("–".to_string(), |value| shown(run.settings.task, name, value)))
        };
        let mut cells =
            vec![Cell::Text(format!("{} to {}", slice.from, slice.to)), Cell::Figure(grouped(slice.count as u64))];
        cells.extend(names.iter().map(figure));
        cells
    };
    (!slices.is_empty()).then(|| Table {
        title: "By length".to_string(),
        note: String::new(),
        class: "lengths",
        columns: columns(&["tokens", "examples"])
            .into_iter()
            .chain(names.iter().map(|name| name.to_string()))
            .collect(),
        rows: slices.iter().map(row).collect(),
    })
}

fn mistakes_table(mistakes: &[Mistake]) -> Option<Table> {
    let are_sure = mistakes.iter().any(|mistake| mistake.probability.is_some());
    let or_none = |text: &str| Cell::Long(if text.is_empty() { "–".to_string() } else { text.to_string() });
    let row = |mistake: &Mistake| {
        let Mistake { place, text, gold, predicted, probability } = mistake;
        let mut cells = vec![Cell::Place(place.clone()), Cell::Long(text.clone()), or_none(gold), or_none(predicted)];
        if are_sure {
            let sure = probability.map_or(String::new(), |probability| format!("{:.1} %", 100.0 * probability));
            cells.push(Cell::Figure(sure));
        }
        cells
    };
    let names = ["place", "text", "right", "the model says", "how sure"];
    (!mistakes.is_empty()).then(|| Table {
        title: "Mistakes".to_string(),
        note: match (are_sure, mistakes.len()) {
            (true, count) => format!("{count} of the development set, the surest first."),
            (false, count) => format!("{count} of the development set, in its order."),
        },
        class: "tall",
        columns: columns(&names[..if are_sure { 5 } else { 4 }]),
        rows: mistakes.iter().map(row).collect(),
    })
}

pub fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_labels_the_most_frequent_confusions_are_told() {
        let labels: Vec<String> = (0..50).map(|label| format!("l{label}")).collect();
        let mut matrix = vec![vec![0; 50]; 50];
        (0..50).for_each(|label| matrix[label][label] = 100);
        matrix[3][4] = 7;
        matrix[40][2] = 20;
        let table = frequent_confusions(&labels, &matrix);
        let row = |gold: &str, predicted: &str, count, share| {
            vec![Cell::Text(gold.to_string()), Cell::Text(predicted.to_string()), Cell::Shade(count, share)]
        };
        assert_eq!(table.rows, [row("l40", "l2", 20, 20.0 / 120.0), row("l3", "l4", 7, 7.0 / 107.0)]);
    }

    #[test]
    fn mistakes_without_a_probability_have_no_column_for_it() {
        let mistake = |probability| Mistake {
            place: "line 2".to_string(),
            text: "Oslo".to_string(),
            gold: String::new(),
            predicted: "Oslo (place)".to_string(),
            probability,
        };
        let table = mistakes_table(&[mistake(None)]).unwrap();
        assert_eq!((table.columns.len(), table.rows[0].len()), (4, 4));
        assert_eq!(table.rows[0][2], Cell::Long("–".to_string()), "nothing is shown as such");
        let table = mistakes_table(&[mistake(Some(0.5))]).unwrap();
        assert_eq!(table.rows[0][4], Cell::Figure("50.0 %".to_string()));
    }
}
