//! Verdict on a training: has the model learnt, and by which figures.

use serde::{Deserialize, Serialize};

use crate::eval::{Details, Evaluation};

use super::events::Metrics;

/// Nats under the entropy of word frequencies from which masked words count as learnt. Less is within what an output
/// bias alone gains or loses between texts.
const NATS_LEARNT: f64 = 0.1;
/// Standard errors above chance from which a share of right answers counts as learnt.
const STANDARD_ERRORS: f64 = 2.0;
/// F1 above that of the best constant answer from which several labels count as learnt. Less is within chance of small
/// development sets; thresholds that were tuned on the same examples gain a constant model about half of this.
const F1_ABOVE_CONSTANT: f64 = 0.02;
/// F1 of questions with answers, in percent, from which answering counts as learnt. Random spans reach 2 to 5.
const ANSWER_F1: f64 = 10.0;

/// Verdict on a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// True if the model does better on held-out data than an answer that ignores the input; none without such data.
    pub has_learnt: Option<bool>,
    /// The figures behind it, a sentence each.
    pub findings: Vec<String>,
    /// Advice for the next run, if the model has not learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<Advice>,
}

/// Advice for a model that has not learnt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// A run of this many steps.
    Steps(u64),
    /// This many passes over the examples.
    Epochs(u64),
    /// Another peak of the learning rate.
    LearningRate(f64),
    /// Held-out data, without which nothing can be said.
    Dev,
}

/// How long a run was, and how fast it learnt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Optimizer steps.
    pub steps: u64,
    /// Passes over the examples, of a fine-tuning.
    pub epochs: u64,
    /// Peak of the learning rate.
    pub learning_rate: f64,
}

/// Steps below which a run that has not learnt was probably too short, rather than too fast.
const SHORT: u64 = 1_000;

impl Effort {
    fn advice_for_pretraining(self) -> Advice {
        match self.steps {
            steps if steps < SHORT => Advice::Steps((10 * steps).max(2 * SHORT)),
            _ => Advice::LearningRate(self.learning_rate / 3.0),
        }
    }

    fn advice_for_finetuning(self) -> Advice {
        match (self.steps, self.learning_rate) {
            (_, rate) if rate < 1e-4 => Advice::LearningRate(rate * 5.0),
            (steps, _) if steps < SHORT => Advice::Epochs(self.epochs * 3),
            (_, rate) => Advice::LearningRate(rate / 3.0),
        }
    }
}

impl Verdict {
    /// No verdict, as there was nothing to measure with.
    fn unknown() -> Verdict {
        let finding = "nothing was held out, so nobody knows".to_string();
        Verdict { has_learnt: None, findings: vec![finding], advice: Some(Advice::Dev) }
    }

    /// The verdict on a pre-training, by the metrics of its last evaluation on `instances` held-out instances.
    pub(super) fn of_pretraining(metrics: &Metrics, instances: usize, effort: Effort) -> Verdict {
        let value = |name: &str| metrics.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
        let Some(loss) = value("mlm_loss") else {
            return Verdict::unknown();
        };
        let mut findings = Vec::new();
        let mut has_learnt = None;
        if let Some(entropy) = value("unigram_entropy") {
            let gain = entropy - loss;
            has_learnt = Some(gain > NATS_LEARNT);
            let compared = if gain > 0.0 { "under" } else { "above" };
            let gain = gain.abs();
            findings.push(format!(
                "masked words: a loss of {loss:.2} nats, {gain:.2} {compared} that of word frequencies alone ({entropy:.2})"
            ));
        }
        if let (Some(accuracy), Some(majority)) = (value("nsp_accuracy"), value("nsp_majority")) {
            let is_better = accuracy > majority + STANDARD_ERRORS * standard_error(majority, instances);
            let words = if is_better { "above" } else { "not yet above" };
            findings.push(format!(
                "next sentence: {:.1} % right, {words} the larger class ({:.1} %)",
                100.0 * accuracy,
                100.0 * majority
            ));
        }
        let advice = (has_learnt == Some(false)).then(|| effort.advice_for_pretraining());
        Verdict { has_learnt, findings, advice }
    }

    /// The verdict on a fine-tuning, by the evaluation of its best weights on the development set; none if there was no
    /// such set.
    pub(super) fn of_finetuning(evaluation: Option<&Evaluation>, effort: Effort) -> Verdict {
        let Some(evaluation) = evaluation else {
            return Verdict::unknown();
        };
        let (has_learnt, finding) = judged(evaluation);
        let advice = (!has_learnt).then(|| effort.advice_for_finetuning());
        Verdict { has_learnt: Some(has_learnt), findings: vec![finding], advice }
    }

    /// The verdict in words: whether the model has learnt, and the figures.
    pub fn text(&self) -> String {
        let start = match self.has_learnt {
            Some(true) => "the model has learnt",
            Some(false) => "the model has NOT learnt yet",
            None => "no verdict",
        };
        format!("{start}: {}", self.findings.join("; "))
    }
}

/// The standard error of a share of `count` examples.
fn standard_error(share: f64, count: usize) -> f64 {
    (share * (1.0 - share) / count.max(1) as f64).sqrt()
}

/// True if answers follow from the input, and the figure that tells.
fn judged(evaluation: &Evaluation) -> (bool, String) {
    let value = |name: &str| evaluation.metrics.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
    match evaluation.task {
        "regression" => match value("pearson") {
            None => (false, "the same value for every example".to_string()),
            Some(pearson) => {
                let bar = STANDARD_ERRORS / (evaluation.examples.max(1) as f64).sqrt();
                (pearson > bar, format!("a Pearson correlation of {pearson:.3}; chance reaches {bar:.3}"))
            }
        },
        "multi-label" => {
            let (details, examples) = (&evaluation.details, evaluation.examples);
            // Thresholds for macro F1 give more labels than micro F1 can bear.
            let is_macro = details.tuning.as_ref().is_some_and(|tuning| tuning.metric == "macro_f1");
            let (metric, name, constant) = match is_macro {
                true => ("macro_f1", "macro F1", constant_macro_f1(details, examples)),
                false => ("f1", "F1", constant_f1(details, examples)),
            };
            let (f1, what) = match evaluation.cross_fitted(metric) {
                Some(f1) => (f1, format!("a cross-fitted {name}")),
                None => (value(metric).unwrap_or(0.0), format!("an {name}")),
            };
            let finding = format!("{what} of {f1:.3}; the best answer that is the same for all has {constant:.3}");
            (f1 > constant + F1_ABOVE_CONSTANT, finding)
        }
        "qa" => {
            let f1 = value("HasAns_f1").or(value("f1")).unwrap_or(0.0);
            (f1 > ANSWER_F1, format!("an F1 of {f1:.1} on questions that have answers; random spans reach 2 to 5"))
        }
        "tokens" if value("f1").is_some() => {
            let f1 = value("f1").unwrap_or(0.0);
            (f1 > 0.0, format!("an F1 of {f1:.3} on entities; a model that finds none has 0"))
        }
        _ => chance_corrected(&evaluation.details.confusion),
    }
}

/// True if predicted classes follow from the input: accuracy beside that of the same predictions dealt out at random.
fn chance_corrected(confusion: &[Vec<usize>]) -> (bool, String) {
    let count: usize = confusion.iter().flatten().sum();
    let total = count.max(1) as f64;
    let of_gold = |class: usize| confusion[class].iter().sum::<usize>() as f64 / total;
    let of_predicted = |class: usize| confusion.iter().map(|row| row[class]).sum::<usize>() as f64 / total;
    let classes = 0..confusion.len();
    let accuracy = classes.clone().map(|class| confusion[class][class]).sum::<usize>() as f64 / total;
    let chance: f64 = classes.clone().map(|class| of_gold(class) * of_predicted(class)).sum();
    let largest = classes.clone().map(of_gold).fold(0.0, f64::max);
    if classes.clone().any(|class| of_predicted(class) == 1.0) {
        return (false, format!("the same answer to everything, right for {:.1} %", 100.0 * accuracy));
    }
    let has_learnt = accuracy > chance + STANDARD_ERRORS * standard_error(chance, count);
    let finding = format!(
        "{:.1} % right; the same answers dealt out at random are right for {:.1} %, the largest class for {:.1} %",
        100.0 * accuracy,
        100.0 * chance,
        100.0 * largest
    );
    (has_learnt, finding)
}

/// The best micro F1 of giving every example the same labels: the most frequent ones.
fn constant_f1(details: &Details, examples: usize) -> f64 {
    let mut supports: Vec<usize> = details.classes.iter().map(|(_, figures)| figures.support).collect();
    supports.sort_unstable_by(|a, b| b.cmp(a));
    let all: usize = supports.iter().sum();
    let mut right = 0;
    let mut best: f64 = 0.0;
    for (at, support) in supports.iter().enumerate() {
        right += support;
        best = best.max(2.0 * right as f64 / ((at + 1) * examples + all).max(1) as f64);
    }
    best
}

/// The macro F1 of giving every example all labels, which no other constant answer exceeds.
fn constant_macro_f1(details: &Details, examples: usize) -> f64 {
    let f1 = |support: usize| 2.0 * support as f64 / (examples + support).max(1) as f64;
    let sum: f64 = details.classes.iter().map(|(_, figures)| f1(figures.support)).sum();
    sum / details.classes.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Tuning;
    use crate::eval::confusion::ClassFigures;
    use crate::eval::thresholds::Sharing;

    const EFFORT: Effort = Effort { steps: 5_000, epochs: 3, learning_rate: 1e-3 };

    fn metrics(values: &[(&str, f64)]) -> Metrics {
        values.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    }

    fn pretraining(loss: f64, nsp: f64) -> Verdict {
        let values = [("mlm_loss", loss), ("unigram_entropy", 6.3), ("nsp_accuracy", nsp), ("nsp_majority", 0.5)];
        Verdict::of_pretraining(&metrics(&values), 1_000, EFFORT)
    }

    fn evaluation(task: &'static str, values: &[(&str, f64)], details: Details) -> Evaluation {
        Evaluation { task, examples: 100, metrics: metrics(values), details, answers: None }
    }

    fn has_learnt(evaluation: Evaluation) -> bool {
        Verdict::of_finetuning(Some(&evaluation), EFFORT).has_learnt.unwrap()
    }

    #[test]
    fn a_pretraining_has_learnt_below_word_frequencies() {
        let learnt = pretraining(4.9, 0.6);
        assert_eq!((learnt.has_learnt, learnt.advice), (Some(true), None));
        assert!(learnt.text().contains("1.40 under that of word frequencies alone (6.30)"), "{}", learnt.text());
        assert!(learnt.text().contains("60.0 % right, above the larger class (50.0 %)"), "{}", learnt.text());
        let not = pretraining(6.7, 0.52);
        assert_eq!((not.has_learnt, not.advice), (Some(false), Some(Advice::LearningRate(1e-3 / 3.0))));
        assert!(not.text().contains("0.40 above that of word frequencies"), "{}", not.text());
        assert!(not.text().contains("not yet above the larger class"), "{}", not.text());
    }

    #[test]
    fn a_short_run_is_advised_to_be_longer() {
        let effort = Effort { steps: 80, ..EFFORT };
        let values = metrics(&[("mlm_loss", 6.67), ("unigram_entropy", 6.17)]);
        assert_eq!(Verdict::of_pretraining(&values, 100, effort).advice, Some(Advice::Steps(2_000)));
    }

    #[test]
    fn without_held_out_data_there_is_no_verdict() {
        for verdict in [Verdict::of_pretraining(&metrics(&[]), 0, EFFORT), Verdict::of_finetuning(None, EFFORT)] {
            assert_eq!((verdict.has_learnt, verdict.advice), (None, Some(Advice::Dev)));
        }
    }

    #[test]
    fn classes_at_random_are_not_learnt() {
        let of = |confusion: &[&[usize]]| {
            let confusion = confusion.iter().map(|row| row.to_vec()).collect();
            has_learnt(evaluation("classification", &[], Details { confusion, ..Details::default() }))
        };
        assert!(of(&[&[40, 10], &[10, 40]]));
        assert!(!of(&[&[26, 24], &[25, 25]]), "chance");
        assert!(!of(&[&[95, 0], &[5, 0]]), "one answer to everything, and 95 % right");
        assert!(of(&[&[90, 5], &[1, 4]]), "a rare class that is found");
    }

    #[test]
    fn other_tasks_have_bars_of_their_own() {
        let of = |task, values: &[(&str, f64)]| has_learnt(evaluation(task, values, Details::default()));
        assert!(of("regression", &[("pearson", 0.5)]));
        assert!(!of("regression", &[("pearson", 0.1)]), "within chance of 100 examples");
        assert!(!of("regression", &[]), "constant answers have no correlation");
        assert!(of("tokens", &[("f1", 0.2)]) && !of("tokens", &[("f1", 0.0)]));
        assert!(of("qa", &[("f1", 40.0)]) && !of("qa", &[("f1", 50.0), ("HasAns_f1", 0.0)]));
        let figures = |support| ClassFigures { precision: 0.0, recall: 0.0, f1: 0.0, support };
        let classes = vec![("a".to_string(), figures(60)), ("b".to_string(), figures(10))];
        let details = Details { classes, ..Details::default() };
        // Every text labelled a: 2 · 60 / (100 + 70).
        assert!((constant_f1(&details, 100) - 120.0 / 170.0).abs() < 1e-12);
        assert!(!has_learnt(evaluation("multi-label", &[("f1", 0.71)], details.clone())));
        assert!(has_learnt(evaluation("multi-label", &[("f1", 0.75)], details.clone())));
        let honest =
            |f1| has_learnt(evaluation("multi-label", &[("f1", 0.9), ("cross_fitted_f1", f1)], details.clone()));
        assert!(honest(0.75) && !honest(0.71), "what thresholds gain on their own examples does not count");
        // Both labels for every text: the mean of 2 · 60 / 160 and 2 · 10 / 110.
        let constant = (0.75 + 20.0 / 110.0) / 2.0;
        assert!((constant_macro_f1(&details, 100) - constant).abs() < 1e-12);
        let tuning = Some(Tuning {
            metric: "macro_f1".to_string(),
            thresholds: Sharing::ByLabel,
            folds: 5,
            examples: String::new(),
        });
        let details = Details { tuning, ..details };
        for (macro_f1, learnt) in [(constant + 0.03, true), (constant + 0.01, false)] {
            let metrics = [("f1", 0.1), ("macro_f1", 0.9), ("cross_fitted_macro_f1", macro_f1)];
            assert_eq!(has_learnt(evaluation("multi-label", &metrics, details.clone())), learnt);
        }
    }
}
