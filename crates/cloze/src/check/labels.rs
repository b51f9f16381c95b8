//! The labels of a check: how often each occurs, which are missing where, and which the model's head knows.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;

use crate::config::ProblemType;
use crate::config::labels::is_label;
use crate::data::label_order;
use crate::numbers::Count;
use crate::params::TaskHead;
use crate::settings::{ClassWeights, FinetuneTask};

use super::CheckSettings;
use super::finding::{Finding, Places, Severity, shown};
use super::model::Opened;
use super::read::{Data, NoValue, value_of};

/// So many times as often as the rarest label may the most frequent one occur without a warning.
const UNBALANCED: usize = 10;
/// From so many labels on they may be numbers that were taken for classes.
const MANY_LABELS: usize = 20;

/// How often a label occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelCount {
    /// The label; of questions `answered` or `impossible`.
    pub label: String,
    /// In the training file.
    pub train: usize,
    /// In the development file.
    pub dev: usize,
}

/// The values of a regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Values {
    /// The smallest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

/// The counts of all labels, in their order.
pub(super) fn counts(train: Option<&Data>, dev: Option<&Data>) -> Vec<LabelCount> {
    let count = |data: Option<&Data>| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (label, _) in data.map(Data::labels).unwrap_or_default() {
            match counts.get_mut(label) {
                Some(count) => *count += 1,
                None => drop(counts.insert(label.to_string(), 1)),
            }
        }
        counts
    };
    let (train, dev) = (count(train), count(dev));
    let of = |counts: &HashMap<String, usize>, label: &String| counts.get(label).copied().unwrap_or(0);
    let labels = label_order(train.keys().chain(dev.keys()));
    labels.into_iter().map(|label| LabelCount { train: of(&train, &label), dev: of(&dev, &label), label }).collect()
}

/// The values of a file for regression, and the labels that are none.
pub(super) fn values(data: &Data, path: &Path, findings: &mut Vec<Finding>) -> Option<Values> {
    let mut values = Vec::new();
    let (mut places, mut large) = (Places::default(), Places::default());
    for (label, line) in data.labels() {
        match value_of(label) {
            Ok(value) => values.push(value),
            Err(NoValue::TooLarge) => large.add(line, || shown(label)),
            Err(NoValue::NoNumber) => places.add(line, || shown(label)),
        }
    }
    let all_are_values = places.count + large.count == 0;
    places.tell(findings, Severity::Error, "not-a-number", path, |count| {
        format!("labels that are no numbers: {count}; regression needs one for each example")
    });
    large.tell(findings, Severity::Error, "too-large", path, |count| {
        format!("labels beyond 3.4e38, the largest number that can be learnt: {count}; scale the values down")
    });
    let (min, max) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    // Where labels are broken, the others say nothing about all.
    if min == max && all_are_values {
        let message = format!("all examples have the value {min}; there is nothing to learn");
        findings.push(Finding::new(Severity::Warning, "one-value", path, None, message));
    }
    Some(Values { min, mean: values.iter().sum::<f64>() / values.len() as f64, max })
}

/// What is wrong with labels; with values and answers only whether the model's head is for such.
pub(super) fn check(
    settings: &CheckSettings,
    counts: &[LabelCount],
    dev: Option<&Data>,
    model: &Opened,
    findings: &mut Vec<Finding>,
) {
    let trained: Vec<&LabelCount> = counts.iter().filter(|label| label.train > 0).collect();
    let labels = model.config.as_ref().map_or(&[][..], |config| config.labels.as_slice());
    let fits = head(settings, &trained, labels, model, findings);
    if matches!(settings.task, FinetuneTask::Regression | FinetuneTask::Questions) {
        return;
    }
    one_class(settings, &trained, findings);
    balance(settings, &trained, findings);
    spellings(&settings.train, counts, findings);
    let examples: usize = trained.iter().map(|label| label.train).sum();
    if settings.task == FinetuneTask::Classification && trained.len() > MANY_LABELS && examples < 3 * trained.len() {
        let message = format!(
            "{} labels in {} examples; if they are values, train with --task regression; if the wrong column \
             was read, choose it with --columns",
            Count(trained.len()),
            Count(examples)
        );
        findings.push(Finding::new(Severity::Warning, "many-labels", &settings.train, None, message));
    }
    if let (Some(dev), Some(path)) = (dev, &settings.dev) {
        let known = |label: &str| {
            trained.iter().any(|own| own.label == label) || (fits && labels.iter().any(|own| is_label(own, label)))
        };
        unknown(dev, path, known, findings);
        let missing: Vec<&str> =
            trained.iter().filter(|label| label.dev == 0).map(|label| label.label.as_str()).collect();
        if !missing.is_empty() {
            let message = format!("labels that never occur here, so are not measured: {}", missing.join(", "));
            findings.push(Finding::new(Severity::Note, "label-not-in-dev", path, None, message));
        }
    }
}

fn one_class(settings: &CheckSettings, trained: &[&LabelCount], findings: &mut Vec<Finding>) {
    let message = match (settings.task, trained) {
        (FinetuneTask::MultiLabel, []) => "no example has a label; there is nothing to learn".to_string(),
        (FinetuneTask::Classification, [one]) => {
            format!("all examples have the label {}; a classifier needs two or more", shown(&one.label))
        }
        (FinetuneTask::Tokens, [one]) => {
            format!("all words have the label {}; a classifier needs two or more", shown(&one.label))
        }
        _ => return,
    };
    findings.push(Finding::new(Severity::Error, "one-class", &settings.train, None, message));
}

fn balance(settings: &CheckSettings, trained: &[&LabelCount], findings: &mut Vec<Finding>) {
    // Most words are outside of entities; that is no fault of the data.
    let outside = |label: &LabelCount| settings.task == FinetuneTask::Tokens && label.label == "O";
    let counted = || trained.iter().filter(|label| !outside(label));
    let (Some(most), Some(least)) =
        (counted().max_by_key(|label| label.train), counted().min_by_key(|label| label.train))
    else {
        return;
    };
    if most.train <= UNBALANCED * least.train || settings.class_weights != ClassWeights::None {
        return;
    }
    let remedy = match settings.task {
        FinetuneTask::MultiLabel => "look at macro_f1, in which they all count the same",
        _ => "--class-weights balanced lets rare labels count more, and macro_f1 as metric shows how they do",
    };
    let message = format!(
        "the label {} occurs {} times, {} only {} times; {remedy}",
        shown(&most.label),
        most.train,
        shown(&least.label),
        least.train
    );
    findings.push(Finding::new(Severity::Warning, "unbalanced-labels", &settings.train, None, message));
}

/// Labels that differ in capitals or whitespace alone.
fn spellings(path: &Path, counts: &[LabelCount], findings: &mut Vec<Finding>) {
    let mut spelt: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for LabelCount { label, .. } in counts {
        let folded = label.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        spelt.entry(folded).or_default().push(label);
    }
    let mut places = Places::default();
    for labels in spelt.into_values().filter(|labels| labels.len() > 1) {
        places.add(None, || labels.iter().map(|label| shown(label)).collect::<Vec<_>>().join(" and "));
    }
    places.tell(findings, Severity::Warning, "label-spelling", path, |count| {
        format!("labels that differ in capitals or spaces alone: {count}; if they mean the same, write them the same")
    });
}

/// Whether the head that the model has, if any, is for these labels.
fn head(
    settings: &CheckSettings,
    trained: &[&LabelCount],
    labels: &[String],
    model: &Opened,
    findings: &mut Vec<Finding>,
) -> bool {
    let (Some(config), Some(head)) = (&model.config, model.head) else { return false };
    let problem = config.problem_type;
    let (is_kind, what) = match head {
        TaskHead::Span => (settings.task == FinetuneTask::Questions, "answers to questions"),
        TaskHead::Tokens(_) => (settings.task == FinetuneTask::Tokens, "labels of words"),
        TaskHead::Pooled(1) if problem.is_none_or(|own| own == ProblemType::Regression) => {
            (settings.task == FinetuneTask::Regression, "a value")
        }
        TaskHead::Pooled(_) if problem == Some(ProblemType::MultiLabelClassification) => {
            (settings.task == FinetuneTask::MultiLabel, "several labels of texts")
        }
        TaskHead::Pooled(_) => (settings.task == FinetuneTask::Classification, "labels of texts"),
    };
    let by_name =
        matches!(settings.task, FinetuneTask::Classification | FinetuneTask::MultiLabel | FinetuneTask::Tokens);
    let unknown: Vec<&str> = trained
        .iter()
        .map(|label| label.label.as_str())
        .filter(|label| by_name && !labels.iter().any(|own| is_label(own, label)))
        .collect();
    if is_kind && unknown.is_empty() {
        return true;
    }
    if !settings.new_head {
        let found = match is_kind {
            false => format!("the model has a head for {what}, which is another task"),
            true => format!("the model's head knows the labels {}, but not {}", labels.join(", "), unknown.join(", ")),
        };
        let message = format!("{found}; --new-head puts a fresh head on it");
        findings.push(Finding::new(Severity::Error, "head-labels", &settings.train, None, message));
    }
    false
}

/// Labels of the development set that nothing is known of.
fn unknown(dev: &Data, path: &Path, known: impl Fn(&str) -> bool, findings: &mut Vec<Finding>) {
    let mut places = Places::default();
    let mut seen: HashMap<&str, bool> = HashMap::new();
    for (label, line) in dev.labels() {
        if !*seen.entry(label).or_insert_with(|| known(label)) {
            places.add(line, || shown(label));
        }
    }
    places.tell(findings, Severity::Error, "unknown-label", path, |count| {
        format!(
            "labels that never occur in the training file: {count}; correct them, or add examples of them to the \
             training file"
        )
    });
}
