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
//! example are those at thresholds that were tuned on the other folds. Copies of a text are in one fold.
//!
//! Cross-fitting looks at the examples some 40 times. So they are sorted once; then each look is one pass.

use serde::{Deserialize, Serialize};

use super::metrics::ratio;
use super::multi_label::predict;

/// Parts that examples are dealt to for cross-validation.
const FOLDS: usize = 5;

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
    /// Aim where this metric chooses the weights: micro F1, unless the metric is another one of labels.
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

/// Examples that a model gave probabilities.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// `[examples][labels]`
    pub probabilities: &'a [Vec<f64>],
    /// `[examples][labels]`
    pub gold: &'a [Vec<bool>],
    /// Hash of the text of each example, the same for copies.
    pub texts: &'a [u64],
}

/// The question whether an example has a label.
#[derive(Clone, Copy, Debug)]
struct Decision {
    probability: f64,
    example: u32,
    /// Twice the label, and 1 more if the example has it: 16 bytes a decision, as there may be many millions.
    label_and_gold: u32,
}

impl Decision {
    fn new(probability: f64, example: usize, label: usize, is_gold: bool) -> Decision {
        let number = |number: usize| u32::try_from(number).expect("fewer than 2^31 examples and labels");
        Decision { probability, example: number(example), label_and_gold: number(2 * label + usize::from(is_gold)) }
    }

    fn label(self) -> usize {
        self.label_and_gold as usize / 2
    }

    fn is_gold(self) -> bool {
        !self.label_and_gold.is_multiple_of(2)
    }
}

/// All decisions on some examples, sorted.
struct Sorted<'a> {
    scored: Scored<'a>,
    /// The most probable first.
    decisions: Vec<Decision>,
}

impl<'a> Sorted<'a> {
    fn new(scored: Scored<'a>) -> Sorted<'a> {
        let Scored { probabilities, gold, texts } = scored;
        assert_eq!(
            (probabilities.len(), texts.len()),
            (gold.len(), gold.len()),
            "rows of probabilities, texts, and gold"
        );
        let mut decisions = Vec::with_capacity(gold.iter().map(Vec::len).sum());
        for (example, (row, gold)) in probabilities.iter().zip(gold).enumerate() {
            let of_row = row.iter().zip(gold).enumerate();
            decisions.extend(of_row.map(|(label, (&own, &is_gold))| Decision::new(own, example, label, is_gold)));
        }
        // Of equal ones the gold first, so that steps can be told from the front.
        let order =
            |a: &Decision, b: &Decision| b.probability.total_cmp(&a.probability).then(b.is_gold().cmp(&a.is_gold()));
        decisions.sort_unstable_by(order);
        Sorted { scored, decisions }
    }

    fn all(&self) -> Examples<'_> {
        Examples { sorted: self, is_chosen: vec![true; self.scored.gold.len()] }
    }
}

/// Some of the examples.
struct Examples<'a> {
    sorted: &'a Sorted<'a>,
    is_chosen: Vec<bool>,
}

impl<'a> Examples<'a> {
    fn labels(&self) -> usize {
        self.sorted.scored.gold.first().map_or(0, Vec::len)
    }

    /// Places of the examples.
    fn places(&self) -> impl Iterator<Item = usize> {
        self.is_chosen.iter().enumerate().filter(|(_, is_chosen)| **is_chosen).map(|(at, _)| at)
    }

    /// Those of the examples for whose place `is_chosen`.
    fn chosen(&self, is_chosen: impl Fn(usize) -> bool) -> Examples<'a> {
        let is_chosen = self.is_chosen.iter().enumerate().map(|(at, own)| *own && is_chosen(at)).collect();
        Examples { sorted: self.sorted, is_chosen }
    }

    /// The decisions, the most probable first.
    fn decisions(&self) -> impl Iterator<Item = Decision> {
        self.sorted.decisions.iter().copied().filter(|decision| self.is_chosen[decision.example as usize])
    }

    /// Each part of the examples, and the others. Texts are dealt in the order of their hashes, each with its copies; so the
    /// order of the examples does not matter. None for fewer than two texts.
    fn folds(&self) -> Option<Vec<(Examples<'a>, Examples<'a>)>> {
        let texts = self.sorted.scored.texts;
        let distinct = distinct(self.places().map(|at| texts[at]));
        let folds = FOLDS.min(distinct.len());
        let fold_of: Vec<usize> =
            texts.iter().map(|text| distinct.binary_search(text).unwrap_or_default() % folds.max(1)).collect();
        let fold = |fold| (self.chosen(|at| fold_of[at] == fold), self.chosen(|at| fold_of[at] != fold));
        (folds >= 2).then(|| (0..folds).map(fold).collect())
    }

    /// Steps of all labels together, and of each label.
    fn steps(&self) -> Steps {
        let (mut shared, mut columns) = (Vec::new(), vec![Vec::new(); self.labels()]);
        for decision in self.decisions() {
            push(&mut shared, decision);
            push(&mut columns[decision.label()], decision);
        }
        Steps { shared, columns }
    }
}

/// Decisions that a threshold gives together: those of one probability with a gold label among them, or all those
/// without one up to the next with one. No threshold between the latter is the best: it gives more, and nothing right.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Probability of the first decision.
    probability: f64,
    given: usize,
    right: usize,
}

/// Steps of all labels together, and of each label, the most probable first.
struct Steps {
    shared: Vec<Step>,
    columns: Vec<Vec<Step>>,
}

/// Adds a decision that is no more probable than those before.
fn push(steps: &mut Vec<Step>, decision: Decision) {
    let (probability, right) = (decision.probability, usize::from(decision.is_gold()));
    match steps.last_mut() {
        Some(step) if (step.right > 0 && step.probability == probability) || step.right + right == 0 => {
            step.given += 1;
            step.right += right;
        }
        _ => steps.push(Step { probability, given: 1, right }),
    }
}

fn support(steps: &[Step]) -> usize {
    steps.iter().map(|step| step.right).sum()
}

/// The thresholds, one for each label, with the best `aim` on these examples, and how many were tuned.
pub fn tune_thresholds(scored: Scored, aim: Aim) -> (Vec<f64>, Sharing) {
    tune(&Sorted::new(scored).all(), aim)
}

/// The labels of each example at thresholds that were tuned on the other folds. None for fewer than two texts.
pub fn cross_fitted(scored: Scored, aim: Aim) -> Option<Vec<Vec<bool>>> {
    let sorted = Sorted::new(scored);
    let all = sorted.all();
    let mut predicted = vec![Vec::new(); scored.gold.len()];
    for (own, others) in all.folds()? {
        let (thresholds, _) = tune(&others, aim);
        own.places().for_each(|at| predicted[at] = predict(&scored.probabilities[at], &thresholds));
    }
    Some(predicted)
}

fn tune(examples: &Examples, aim: Aim) -> (Vec<f64>, Sharing) {
    match aim {
        Aim::ExactMatch => (vec![exact_threshold(examples); examples.labels()], Sharing::One),
        Aim::MacroF1 => (macro_thresholds(examples), Sharing::ByLabel),
        Aim::MicroF1 => {
            // With thresholds by label, and with one for all.
            let (mut by_label, mut shared) = (Counts::default(), Counts::default());
            for (own, others) in examples.folds().unwrap_or_default() {
                let steps = others.steps();
                by_label = by_label.plus(Counts::of(&own, &micro_thresholds(&others, &steps)));
                shared = shared.plus(Counts::of(&own, &shared_thresholds(&steps)));
            }
            let steps = examples.steps();
            match by_label.f1() > shared.f1() {
                true => (micro_thresholds(examples, &steps), Sharing::ByLabel),
                false => (shared_thresholds(&steps), Sharing::One),
            }
        }
    }
}

/// The same threshold for every label: that with the best micro F1.
fn shared_thresholds(steps: &Steps) -> Vec<f64> {
    vec![f1_threshold(&steps.shared); steps.columns.len()]
}

/// The threshold with the best F1 of these decisions; 0.5 if nothing is gold.
fn f1_threshold(steps: &[Step]) -> f64 {
    let mut counts = Counts { gold: support(steps), ..Counts::default() };
    if counts.gold == 0 {
        return 0.5;
    }
    best_threshold(0.0, steps.iter().map(|step| (step.probability, counts.give(step).f1())))
}

/// The threshold of each label with the best F1 of the label. Labels that few examples have share the best for all.
fn macro_thresholds(examples: &Examples) -> Vec<f64> {
    let steps = examples.steps();
    let shared = f1_threshold(&steps.shared);
    let of_label = |column: &Vec<Step>| if support(column) < SUPPORT_MIN { shared } else { f1_threshold(column) };
    steps.columns.iter().map(of_label).collect()
}

/// The threshold of each label that together have the best micro F1. Labels that few examples have share the best for
/// all.
fn micro_thresholds(examples: &Examples, steps: &Steps) -> Vec<f64> {
    let shared = f1_threshold(&steps.shared);
    let is_rare: Vec<bool> = steps.columns.iter().map(|column| support(column) < SUPPORT_MIN).collect();
    // All counts at the shared threshold, and those of rare labels, which keep it: it may be anywhere in their steps.
    let mut found = Counts { gold: support(&steps.shared), ..Counts::default() };
    let mut fixed = found;
    for decision in examples.decisions().take_while(|decision| decision.probability >= shared) {
        let step = Step { probability: shared, given: 1, right: usize::from(decision.is_gold()) };
        found.give(&step);
        if is_rare[decision.label()] {
            fixed.give(&step);
        }
    }
    let mut best = vec![shared; is_rare.len()];
    loop {
        // 2 right − f · given with f = 2 found.right / (found.given + found.gold), times that denominator / 2.
        let (right, all) = (found.right as i128, (found.given + found.gold) as i128);
        let (mut next, mut counts) = (best.clone(), fixed);
        for (label, column) in steps.columns.iter().enumerate().filter(|(label, _)| !is_rare[*label]) {
            let mut own = Counts::default();
            let score = |own: &Counts| own.right as i128 * all - right * own.given as i128;
            let scores = column.iter().map(|step| (step.probability, score(own.give(step))));
            next[label] = best_threshold(0, scores);
            let given = column.iter().take_while(|step| step.probability >= next[label]);
            given.for_each(|step| _ = counts.give(step));
        }
        if counts.f1() <= found.f1() {
            return best;
        }
        (best, found) = (next, counts);
    }
}

/// The one threshold at which the most examples have exactly their labels.
fn exact_threshold(examples: &Examples) -> f64 {
    let gold = examples.sorted.scored.gold.iter();
    let mut wrong: Vec<usize> = gold.map(|gold| gold.iter().filter(|&&gold| gold).count()).collect();
    let start = examples.places().filter(|&at| wrong[at] == 0).count();
    let mut exact = start;
    let mut give = |decision: Decision| {
        let wrong = &mut wrong[decision.example as usize];
        exact -= usize::from(*wrong == 0);
        *wrong = if decision.is_gold() { *wrong - 1 } else { *wrong + 1 };
        exact += usize::from(*wrong == 0);
        exact
    };
    let mut decisions = examples.decisions().peekable();
    let scores = std::iter::from_fn(|| {
        let first = decisions.next()?;
        let mut score = give(first);
        while let Some(same) = decisions.next_if(|next| next.probability == first.probability) {
            score = give(same);
        }
        Some((first.probability, score))
    });
    best_threshold(start, scores)
}

/// Labels that are given, gold, and both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    right: usize,
    given: usize,
    gold: usize,
}

impl Counts {
    /// Figures of these examples at `thresholds`.
    fn of(examples: &Examples, thresholds: &[f64]) -> Counts {
        let Scored { probabilities, gold, .. } = examples.sorted.scored;
        let mut counts = Counts::default();
        for at in examples.places() {
            for ((probability, threshold), &gold) in probabilities[at].iter().zip(thresholds).zip(&gold[at]) {
                let given = probability >= threshold;
                counts.right += usize::from(given && gold);
                counts.given += usize::from(given);
                counts.gold += usize::from(gold);
            }
        }
        counts
    }

    fn give(&mut self, step: &Step) -> &Counts {
        self.right += step.right;
        self.given += step.given;
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

/// The threshold with the best score, where `start` is that of nothing given.
///
/// `scores` are a probability, the greatest first, and the score of what is given then. The best threshold is the middle
/// of the interval of equally good ones; of several such intervals the one whose middle is the nearest to 0.5 counts, of
/// two equally near the lower.
fn best_threshold<S: PartialOrd + Copy>(start: S, scores: impl Iterator<Item = (f64, S)>) -> f64 {
    let mut scores = scores.peekable();
    // The interval at hand, (below, above], and its score.
    let mut current = (scores.peek().map_or(0.0, |first| first.0), 1.0, start);
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
    while let Some((above, score)) = scores.next() {
        let below = scores.peek().map_or(0.0, |next| next.0);
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

/// Number of parts for cross-validation on examples of these texts; below 2 there is none.
pub(crate) fn number_of_folds(texts: &[u64]) -> usize {
    FOLDS.min(distinct(texts.iter().copied()).len())
}

/// The different texts, in the order of their hashes.
fn distinct(texts: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut texts: Vec<u64> = texts.collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

#[cfg(test)]
mod tests;
