//! Thresholds of labels, tuned for the metric that is reported.
//!
//! A text gets every label whose probability reaches the label's threshold. Which thresholds are best depends on the
//! metric (Lipton, Elkan and Naryanaswamy 2014, "Optimal thresholding of classifiers to maximize F1 measure"):
//!
//! - Macro F1 is a mean over labels, so each label's threshold maximises the label's own F1.
//! - Micro F1, `2 right / (given + gold)` over all labels together, is maximised by thresholds that depend on each other.
//!   With `f` the best value, each label maximises `2 right − f · given` for itself. So `f` is found by iteration
//!   (Dinkelbach 1967): thresholds for the `f` of before give the next, greater `f`, until it stays.
//! - Thresholds by label fit a small data set better than they do others. For micro F1 all labels share one threshold,
//!   unless cross-validation says that thresholds by label do better.
//!
//! Figures on the examples that chose the thresholds are too good. Honest ones are cross-fitted: the labels of each
//! example are those at thresholds that were tuned on the other folds.

use cloze_kernels::philox::philox4x32;
use serde::{Deserialize, Serialize};

use super::metrics::ratio;
use super::multi_label::predict;

/// Parts that examples are dealt to for cross-validation.
pub(crate) const FOLDS: usize = 5;

/// Examples that must have a label before it gets a threshold of its own; with fewer the best one is luck.
const SUPPORT_MIN: usize = 5;

/// The metric that thresholds maximise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// F1 of all labels of all examples together.
    MicroF1,
    /// The mean of the labels' F1.
    MacroF1,
    /// The share of the examples all of whose labels are right.
    ExactMatch,
}

impl Aim {
    /// What to maximise where this metric chooses the weights: micro F1, unless the metric is another one of labels.
    pub fn of_metric(metric: &str) -> Aim {
        match metric {
            "macro_f1" => Aim::MacroF1,
            "exact_match" => Aim::ExactMatch,
            _ => Aim::MicroF1,
        }
    }

    /// Name of the metric.
    pub fn metric(self) -> &'static str {
        match self {
            Aim::MicroF1 => "f1",
            Aim::MacroF1 => "macro_f1",
            Aim::ExactMatch => "exact_match",
        }
    }
}

/// Number of thresholds that were tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// One for all labels.
    One,
    /// One for each label that enough examples have.
    ByLabel,
}

/// Probabilities and gold labels of some examples, each `[examples][labels]`.
#[derive(Clone, Debug)]
struct Examples<'a> {
    probabilities: Vec<&'a [f64]>,
    gold: Vec<&'a [bool]>,
}

impl<'a> Examples<'a> {
    fn new(probabilities: &'a [Vec<f64>], gold: &'a [Vec<bool>]) -> Examples<'a> {
        assert_eq!(probabilities.len(), gold.len(), "rows of probabilities and of gold labels");
        Examples {
            probabilities: probabilities.iter().map(Vec::as_slice).collect(),
            gold: gold.iter().map(Vec::as_slice).collect(),
        }
    }

    fn len(&self) -> usize {
        self.gold.len()
    }

    fn labels(&self) -> usize {
        self.gold.first().map_or(0, |gold| gold.len())
    }

    /// Those examples for whose place `is_chosen`.
    fn chosen(&self, is_chosen: impl Fn(usize) -> bool) -> Examples<'a> {
        let places = || (0..self.len()).filter(|&at| is_chosen(at));
        Examples {
            probabilities: places().map(|at| self.probabilities[at]).collect(),
            gold: places().map(|at| self.gold[at]).collect(),
        }
    }

    /// The decisions on one label, the most probable first.
    fn column(&self, label: usize) -> Vec<Decision> {
        let decision = |(at, (row, gold)): (usize, (&&[f64], &&[bool]))| Decision {
            probability: row[label],
            is_gold: gold[label],
            example: at,
        };
        sorted(self.probabilities.iter().zip(&self.gold).enumerate().map(decision).collect())
    }

    /// The decisions on all labels, the most probable first.
    fn decisions(&self) -> Vec<Decision> {
        let rows = self.probabilities.iter().zip(&self.gold).enumerate();
        let of_row = |(example, (row, gold)): (usize, (&&'a [f64], &&'a [bool]))| {
            row.iter().zip(*gold).map(move |(&probability, &is_gold)| Decision { probability, is_gold, example })
        };
        sorted(rows.flat_map(of_row).collect())
    }
}

/// The question whether an example has a label.
#[derive(Clone, Copy, Debug)]
struct Decision {
    probability: f64,
    is_gold: bool,
    example: usize,
}

fn sorted(mut decisions: Vec<Decision>) -> Vec<Decision> {
    decisions.sort_unstable_by(|a, b| b.probability.total_cmp(&a.probability));
    decisions
}

fn support(decisions: &[Decision]) -> usize {
    decisions.iter().filter(|decision| decision.is_gold).count()
}

/// The thresholds, one for each label, with the best `aim` on these examples, and how many were tuned.
pub fn tune_thresholds(probabilities: &[Vec<f64>], gold: &[Vec<bool>], aim: Aim) -> (Vec<f64>, Sharing) {
    tune(&Examples::new(probabilities, gold), aim)
}

/// The labels of each example at thresholds that were tuned on the other folds. None for fewer than two examples.
pub fn cross_fitted(probabilities: &[Vec<f64>], gold: &[Vec<bool>], aim: Aim) -> Option<Vec<Vec<bool>>> {
    predict_across(&Examples::new(probabilities, gold), |others| tune(others, aim).0)
}

fn tune(examples: &Examples, aim: Aim) -> (Vec<f64>, Sharing) {
    match aim {
        Aim::ExactMatch => (vec![exact_threshold(examples); examples.labels()], Sharing::One),
        Aim::MacroF1 => (macro_thresholds(examples), Sharing::ByLabel),
        Aim::MicroF1 => {
            let score = |thresholds: fn(&Examples) -> Vec<f64>| {
                predict_across(examples, thresholds).map_or(0.0, |predicted| Counts::of(examples, &predicted).f1())
            };
            match score(micro_thresholds) > score(shared_thresholds) {
                true => (micro_thresholds(examples), Sharing::ByLabel),
                false => (shared_thresholds(examples), Sharing::One),
            }
        }
    }
}

/// The same threshold for every label.
fn shared_thresholds(examples: &Examples) -> Vec<f64> {
    vec![shared_threshold(examples); examples.labels()]
}

/// The one threshold with the best micro F1.
fn shared_threshold(examples: &Examples) -> f64 {
    f1_threshold(&examples.decisions())
}

/// The threshold with the best F1 of these decisions; 0.5 if nothing is gold.
fn f1_threshold(decisions: &[Decision]) -> f64 {
    let mut counts = Counts { gold: support(decisions), ..Counts::default() };
    if counts.gold == 0 {
        return 0.5;
    }
    best_threshold(decisions, |given| counts.give(given).f1())
}

/// The threshold of each label with the best F1 of the label. Labels that few examples have share the best for all.
fn macro_thresholds(examples: &Examples) -> Vec<f64> {
    let shared = shared_threshold(examples);
    let columns = (0..examples.labels()).map(|label| examples.column(label));
    columns.map(|column| if support(&column) < SUPPORT_MIN { shared } else { f1_threshold(&column) }).collect()
}

/// The threshold of each label that together have the best micro F1. Labels that few examples have share the best for
/// all.
fn micro_thresholds(examples: &Examples) -> Vec<f64> {
    let columns: Vec<Vec<Decision>> = (0..examples.labels()).map(|label| examples.column(label)).collect();
    let mut best = shared_thresholds(examples);
    let counts = |thresholds: &[f64]| {
        let of_label = |(column, &threshold): (&Vec<Decision>, &f64)| {
            let given = column.partition_point(|decision| decision.probability >= threshold);
            *Counts { gold: support(column), ..Counts::default() }.give(&column[..given])
        };
        columns.iter().zip(thresholds).map(of_label).fold(Counts::default(), Counts::plus)
    };
    let mut found = counts(&best);
    loop {
        // 2 right − f · given with f = 2 found.right / (found.given + found.gold), times that denominator / 2.
        let (right, all) = (found.right as i128, (found.given + found.gold) as i128);
        let of_label = |(column, &shared): (&Vec<Decision>, &f64)| {
            if support(column) < SUPPORT_MIN {
                return shared;
            }
            let mut counts = Counts::default();
            best_threshold(column, |given| {
                let Counts { right: own, given, .. } = *counts.give(given);
                own as i128 * all - right * given as i128
            })
        };
        let next: Vec<f64> = columns.iter().zip(&best).map(of_label).collect();
        let next_counts = counts(&next);
        if next_counts.f1() <= found.f1() {
            return best;
        }
        (best, found) = (next, next_counts);
    }
}

/// The one threshold at which the most examples have exactly their labels.
fn exact_threshold(examples: &Examples) -> f64 {
    let mut wrong: Vec<usize> = examples.gold.iter().map(|gold| gold.iter().filter(|&&gold| gold).count()).collect();
    let mut exact = wrong.iter().filter(|&&wrong| wrong == 0).count();
    best_threshold(&examples.decisions(), |given| {
        for decision in given {
            let wrong = &mut wrong[decision.example];
            exact -= usize::from(*wrong == 0);
            *wrong = if decision.is_gold { *wrong - 1 } else { *wrong + 1 };
            exact += usize::from(*wrong == 0);
        }
        exact
    })
}

/// Labels that are given, gold, and both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    right: usize,
    given: usize,
    gold: usize,
}

impl Counts {
    fn of(examples: &Examples, predicted: &[Vec<bool>]) -> Counts {
        let pairs = predicted.iter().zip(&examples.gold).flat_map(|(predicted, gold)| predicted.iter().zip(*gold));
        pairs.fold(Counts::default(), |counts, (&given, &gold)| Counts {
            right: counts.right + usize::from(given && gold),
            given: counts.given + usize::from(given),
            gold: counts.gold + usize::from(gold),
        })
    }

    fn give(&mut self, decisions: &[Decision]) -> &Counts {
        self.right += support(decisions);
        self.given += decisions.len();
        self
    }

    fn plus(self, other: Counts) -> Counts {
        let Counts { right, given, gold } = other;
        Counts { right: self.right + right, given: self.given + given, gold: self.gold + gold }
    }

    /// F1. Equal fractions of such counts are equal numbers.
    fn f1(self) -> f64 {
        ratio(2.0 * self.right as f64, (self.given + self.gold) as f64)
    }
}

/// The threshold with the best score of decisions that are sorted, the most probable first.
///
/// `score_with` is called from no decision that reaches the threshold to all that do, each time with those that are new,
/// and scores all so far. The best threshold is the middle of the interval of equally good ones; of several such
/// intervals the one whose middle is the nearest to 0.5 counts, of two equally near the lower.
fn best_threshold<S: PartialOrd + Copy>(decisions: &[Decision], mut score_with: impl FnMut(&[Decision]) -> S) -> f64 {
    // The interval at hand, (below, above], and its score.
    let mut current = (decisions.first().map_or(0.0, |first| first.probability), 1.0, score_with(&[]));
    let mut best: Option<(f64, S)> = None;
    let mut consider = |(below, above, score): (f64, f64, S)| {
        let middle = between(below, above);
        let is_better = best.is_none_or(|(threshold, best)| {
            score > best || score == best && (middle - 0.5f64).abs() <= (threshold - 0.5f64).abs()
        });
        // A probability of 1 reaches every threshold.
        if is_better && below < above.max(f64::MIN_POSITIVE) {
            best = Some((middle, score));
        }
    };
    let mut groups = decisions.chunk_by(|a, b| a.probability == b.probability).peekable();
    while let Some(group) = groups.next() {
        let above = group[0].probability;
        let below = groups.peek().map_or(0.0, |next| next[0].probability);
        let score = score_with(group);
        if score == current.2 {
            current.0 = below;
        } else {
            consider(current);
            current = (below, above, score);
        }
    }
    consider(current);
    best.map_or(0.5, |(threshold, _)| threshold)
}

/// Halfway between two probabilities, in such a way that only the upper one reaches it.
fn between(below: f64, above: f64) -> f64 {
    let middle = below + (above - below) / 2.0;
    if middle == below { above } else { middle }
}

/// The labels of each example at `thresholds` of the examples in the other folds.
fn predict_across(examples: &Examples, thresholds: impl Fn(&Examples) -> Vec<f64>) -> Option<Vec<Vec<bool>>> {
    let folds = FOLDS.min(examples.len());
    if folds < 2 {
        return None;
    }
    let fold_of = folds_of(examples.len(), folds);
    let mut predicted = vec![Vec::new(); examples.len()];
    for fold in 0..folds {
        let thresholds = thresholds(&examples.chosen(|at| fold_of[at] != fold));
        for at in (0..examples.len()).filter(|&at| fold_of[at] == fold) {
            predicted[at] = predict(examples.probabilities[at], &thresholds);
        }
    }
    Some(predicted)
}

/// The fold of each example, of sizes that differ by 1 at most: examples are dealt in the order of a hash of their place.
fn folds_of(examples: usize, folds: usize) -> Vec<usize> {
    let hash = |at: usize| (philox4x32([at as u32, (at as u64 >> 32) as u32, 0, 0], [0; 2])[0], at);
    let mut order: Vec<usize> = (0..examples).collect();
    order.sort_by_cached_key(|&at| hash(at));
    let mut fold_of = vec![0; examples];
    order.into_iter().enumerate().for_each(|(rank, at)| fold_of[at] = rank % folds);
    fold_of
}

#[cfg(test)]
mod tests;
