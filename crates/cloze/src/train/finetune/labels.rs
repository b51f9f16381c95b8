//! The labels of a run, and how much each counts.

use crate::checkpoint::Checkpoint;
use crate::config::labels::is_label;
use crate::params::TaskHead;
use crate::settings::{ClassWeights, FinetuneSettings};
use crate::train::{Event, Observer};
use crate::{Config, Error};

/// Sets the labels: the model's own if its head is for these, else `labels`, for which a fresh head is needed. Answers to
/// questions have none.
/// `same_kind` says whether the head that the model has is of the kind that is asked for.
pub(super) fn choose(
    settings: &FinetuneSettings,
    config: &mut Config,
    checkpoint: Option<&mut Checkpoint>,
    labels: Vec<String>,
    same_kind: bool,
    observer: &mut Observer,
) -> Result<(), Error> {
    let Some((head, checkpoint)) = checkpoint.and_then(|checkpoint| Some((checkpoint.heads().task?, checkpoint)))
    else {
        config.labels = labels;
        return Ok(());
    };
    let known = |label: &String| config.labels.iter().any(|own| is_label(own, label));
    // The number of a regression has no name that matters.
    let is_value = labels.len() == 1 && config.labels.len() == 1;
    if same_kind && (is_value || labels.iter().all(known)) {
        return Ok(());
    }
    let what = match head {
        TaskHead::Span => "answers to questions".to_string(),
        TaskHead::Pooled(_) => format!("the labels {} of texts", config.labels.join(", ")),
        TaskHead::Tokens(_) => format!("the labels {} of words", config.labels.join(", ")),
    };
    if !settings.new_head {
        return Err(Error::Settings(format!(
            "the starting model has a head for {what}, the data has {}; give --new-head to replace the head",
            if labels.is_empty() { "answers to questions".to_string() } else { labels.join(", ") }
        )));
    }
    checkpoint.forget_task();
    let _ = observer(&Event::Note(format!("the head for {what} is replaced by a new one")));
    config.labels = labels;
    Ok(())
}

/// How much a class counts, for each class; nothing where all count the same. `classes` are those of the training
/// targets.
pub(super) fn weights(
    weights: &ClassWeights,
    classes: impl Iterator<Item = usize>,
    labels: &[String],
) -> Result<Vec<f64>, Error> {
    let wrong = |message: String| Err(Error::Settings(format!("class weights: {message}")));
    match weights {
        ClassWeights::None => Ok(Vec::new()),
        ClassWeights::Balanced => {
            let mut counts = vec![0_usize; labels.len()];
            classes.for_each(|class| counts[class] += 1);
            let all: usize = counts.iter().sum();
            // A label that never occurs has no target that its weight could count for.
            Ok(counts.iter().map(|&count| all as f64 / (labels.len() * count.max(1)) as f64).collect())
        }
        ClassWeights::Given(given) => {
            if let Some((label, _)) = given.iter().find(|(label, _)| !labels.contains(label)) {
                return wrong(format!("no label `{label}`; the labels are {}", labels.join(", ")));
            }
            if let Some((label, weight)) = given.iter().find(|(_, weight)| !(weight.is_finite() && *weight > 0.0)) {
                return wrong(format!("{weight} for `{label}`; a weight must be above 0"));
            }
            let of = |label: &String| given.iter().find(|(name, _)| name == label).map_or(1.0, |(_, weight)| *weight);
            Ok(labels.iter().map(of).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_balance_or_are_as_given() {
        let labels = ["a", "b", "c"].map(str::to_string);
        let of = |chosen: ClassWeights| weights(&chosen, [0, 0, 0, 2].into_iter(), &labels);
        assert!(of(ClassWeights::None).unwrap().is_empty());
        assert_eq!(of(ClassWeights::Balanced).unwrap(), [4.0 / 9.0, 4.0 / 3.0, 4.0 / 3.0]);
        let given = |label: &str, weight| ClassWeights::Given(vec![(label.to_string(), weight)]);
        assert_eq!(of(given("b", 2.5)).unwrap(), [1.0, 2.5, 1.0]);
        assert!(of(given("d", 1.0)).unwrap_err().to_string().contains("no label `d`; the labels are a, b, c"));
        assert!(of(given("a", 0.0)).unwrap_err().to_string().contains("0 for `a`"));
    }
}
