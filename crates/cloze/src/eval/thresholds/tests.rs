//! Tests of the choice of thresholds.

use super::*;
use crate::eval::multi_label::{MultiLabelFigures, multi_label_figures};
use crate::eval::oracle::oracle;
use crate::random::{Purpose, Random};

const AIMS: [Aim; 3] = [Aim::MicroF1, Aim::MacroF1, Aim::ExactMatch];

/// Hashes of texts that are all different.
fn texts(count: usize) -> Vec<u64> {
    let mut random = Random::new(1, Purpose::Sample, 0, 0);
    (0..count).map(|_| random.below(u64::MAX)).collect()
}

fn tune_thresholds(probabilities: &[Vec<f64>], gold: &[Vec<bool>], aim: Aim) -> (Vec<f64>, Sharing) {
    super::tune_thresholds(Scored { probabilities, gold, texts: &texts(gold.len()) }, aim)
}

fn cross_fitted(probabilities: &[Vec<f64>], gold: &[Vec<bool>], aim: Aim) -> Option<Vec<Vec<bool>>> {
    super::cross_fitted(Scored { probabilities, gold, texts: &texts(gold.len()) }, aim)
}

/// Tuned on all examples: thresholds by label for micro F1, those for macro F1, the shared one, that for whole
/// examples; and the support of each label.
fn tuned(probabilities: &[Vec<f64>], gold: &[Vec<bool>]) -> (Vec<f64>, Vec<f64>, f64, f64, Vec<usize>) {
    let texts = texts(gold.len());
    let sorted = Sorted::new(Scored { probabilities, gold, texts: &texts });
    let (all, steps) = (sorted.all(), sorted.all().steps());
    let supports = steps.columns.iter().map(|column| support(column)).collect();
    let shared = f1_threshold(&steps.shared);
    (micro_thresholds(&all, &steps), macro_thresholds(&all), shared, exact_threshold(&all), supports)
}

fn figures(probabilities: &[Vec<f64>], gold: &[Vec<bool>], thresholds: &[f64]) -> MultiLabelFigures {
    let predicted: Vec<Vec<bool>> = probabilities.iter().map(|row| predict(row, thresholds)).collect();
    multi_label_figures(&predicted, gold)
}

/// Random examples whose probabilities say little; `levels` of them, so that many are equal.
fn examples(seed: u64, count: usize, rates: &[f64], levels: u64) -> (Vec<Vec<f64>>, Vec<Vec<bool>>) {
    let mut random = Random::new(seed, Purpose::Sample, 0, 0);
    let mut example = |_| {
        let row = rates.iter().map(|rate| {
            let is_gold = random.uniform() < *rate;
            let level = random.below(levels) + u64::from(is_gold) * random.below(levels);
            ((level + 1) as f64 / (2 * levels) as f64, is_gold)
        });
        row.unzip()
    };
    (0..count).map(&mut example).unzip()
}

#[test]
fn thresholds_equal_those_of_a_search_with_scikit_learn() {
    let expected = oracle().multi_label;
    let (by_micro, by_macro, shared, exact, _) = tuned(&expected.probabilities, &expected.gold);
    assert_eq!(shared, expected.shared_threshold);
    assert_eq!(by_macro, expected.macro_thresholds);
    assert_eq!(exact, expected.exact_threshold);
    let of = |thresholds: &[f64]| figures(&expected.probabilities, &expected.gold, thresholds);
    assert_eq!(of(&by_micro).micro_f1, expected.micro_f1_by_label);
    let plain = of(&[0.5; 5]);
    assert!(expected.micro_f1_by_label > of(&[shared; 5]).micro_f1 + 0.01);
    assert!(of(&[shared; 5]).micro_f1 > plain.micro_f1);
    assert!(of(&by_macro).macro_f1 > plain.macro_f1 + 0.01);
}

/// Every choice of three thresholds is tried.
#[test]
fn no_other_thresholds_are_better() {
    for seed in 0..20 {
        let (probabilities, gold) = examples(seed, 61, &[0.5, 0.3, 0.4], 5);
        let (by_micro, by_macro, _, one, supports) = tuned(&probabilities, &gold);
        assert!(supports.iter().all(|&support| support >= SUPPORT_MIN), "seed {seed}");
        let candidates: Vec<f64> = (0..=10).map(|level| f64::from(level) / 10.0 + 0.05).collect();
        let (mut micro, mut macro_f1) = (0.0f64, 0.0f64);
        for at in 0..candidates.len().pow(3) {
            let digits = [at, at / candidates.len(), at / candidates.len().pow(2)];
            let found = figures(&probabilities, &gold, &digits.map(|digit| candidates[digit % candidates.len()]));
            (micro, macro_f1) = (micro.max(found.micro_f1), macro_f1.max(found.macro_f1));
        }
        let exact = candidates.iter().map(|&one| figures(&probabilities, &gold, &[one; 3]).subset_accuracy);
        let exact = exact.fold(0.0, f64::max);
        let of = |thresholds: Vec<f64>| figures(&probabilities, &gold, &thresholds);
        assert_eq!(of(by_micro).micro_f1, micro, "seed {seed}");
        assert_eq!(of(by_macro).macro_f1, macro_f1, "seed {seed}");
        assert_eq!(of(vec![one; 3]).subset_accuracy, exact, "seed {seed}");
    }
}

/// Labels that need other thresholds get them; labels that are alike share one.
#[test]
fn cross_validation_decides_on_thresholds_by_label() {
    let (mut probabilities, gold) = examples(3, 300, &[0.4, 0.4, 0.4], 40);
    assert_eq!(tune_thresholds(&probabilities, &gold, Aim::MicroF1).1, Sharing::One);
    probabilities.iter_mut().for_each(|row| row[2] /= 8.0);
    let (thresholds, sharing) = tune_thresholds(&probabilities, &gold, Aim::MicroF1);
    assert_eq!(sharing, Sharing::ByLabel);
    assert!(thresholds[2] < thresholds[0] / 4.0, "{thresholds:?}");
}

/// A model that knows nothing of 28 labels, each with 1 of 25 texts: its labels are not those of every text.
#[test]
fn a_weak_model_gives_no_more_labels_than_the_metric_asks_for() {
    let (probabilities, gold) = examples(5, 500, &[0.04; 28], 1000);
    let given = |aim| {
        let (thresholds, _) = tune_thresholds(&probabilities, &gold, aim);
        let rows = probabilities.iter().map(|row| predict(row, &thresholds).iter().filter(|&&given| given).count());
        (rows.sum::<usize>() as f64 / 500.0, figures(&probabilities, &gold, &thresholds))
    };
    let ((by_micro, micro), (by_macro, macro_f1)) = (given(Aim::MicroF1), given(Aim::MacroF1));
    assert!(by_micro < 2.0 * 28.0 * 0.04, "{by_micro} labels a text");
    assert!(micro.micro_f1 > macro_f1.micro_f1 && macro_f1.macro_f1 > micro.macro_f1, "{by_macro} labels a text");
}

/// Noise has no honest F1, whatever the thresholds that fit it best say.
#[test]
fn cross_fitted_figures_are_not_those_of_the_tuned_ones() {
    let (probabilities, gold) = examples(9, 120, &[0.1; 20], 1000);
    for aim in AIMS {
        let (thresholds, _) = tune_thresholds(&probabilities, &gold, aim);
        let tuned = figures(&probabilities, &gold, &thresholds);
        let honest = multi_label_figures(&cross_fitted(&probabilities, &gold, aim).unwrap(), &gold);
        let of = |figures: &MultiLabelFigures| match aim {
            Aim::MicroF1 => figures.micro_f1,
            Aim::MacroF1 => figures.macro_f1,
            Aim::ExactMatch => figures.subset_accuracy,
        };
        assert!(of(&honest) < of(&tuned), "{aim:?}: {} against {}", of(&honest), of(&tuned));
    }
}

/// The labels of a fold do not depend on its own gold labels.
#[test]
fn a_fold_is_predicted_without_its_gold_labels() {
    let (probabilities, mut gold) = examples(11, 60, &[0.4, 0.2], 100);
    let texts = texts(60);
    let sorted_gold = gold.clone();
    let sorted = Sorted::new(Scored { probabilities: &probabilities, gold: &sorted_gold, texts: &texts });
    let own: Vec<usize> = sorted.all().folds().unwrap()[2].0.places().collect();
    let before = AIMS.map(|aim| cross_fitted(&probabilities, &gold, aim).unwrap());
    own.iter().for_each(|&at| gold[at].iter_mut().for_each(|gold| *gold = !*gold));
    let after = AIMS.map(|aim| cross_fitted(&probabilities, &gold, aim).unwrap());
    for (before, after) in before.iter().zip(&after) {
        assert!(own.iter().all(|&at| before[at] == after[at]));
    }
    assert_ne!(before, after);
}

/// The fold of each example.
fn folds_of(texts: &[u64]) -> Option<Vec<usize>> {
    let (probabilities, gold) = (vec![vec![0.5]; texts.len()], vec![vec![true]; texts.len()]);
    let sorted = Sorted::new(Scored { probabilities: &probabilities, gold: &gold, texts });
    let folds = sorted.all().folds()?;
    let fold_of = |at: usize| folds.iter().position(|(own, others)| own.is_chosen[at] && !others.is_chosen[at]);
    (0..texts.len()).map(fold_of).collect()
}

#[test]
fn texts_are_dealt_to_folds_with_their_copies() {
    for count in [2, 3, 7, 13, 100] {
        let (texts, folds) = (texts(count), FOLDS.min(count));
        assert_eq!(number_of_folds(&texts), folds);
        let fold_of = folds_of(&texts).unwrap();
        let sizes: Vec<usize> = (0..folds).map(|fold| fold_of.iter().filter(|&&own| own == fold).count()).collect();
        assert!(sizes.iter().all(|size| count / folds <= *size && *size <= count.div_ceil(folds)), "{sizes:?}");
    }
    // By rank: 2, 20, 30, 40, 50, 60, 70.
    let texts = [30, 20, 2, 30, 70, 60, 50, 40, 20];
    assert_eq!(folds_of(&texts).unwrap(), [2, 1, 0, 2, 1, 0, 4, 3, 1]);
    let mut turned = texts;
    turned.reverse();
    assert_eq!(folds_of(&turned).unwrap(), [1, 3, 4, 0, 1, 2, 0, 1, 2], "the order of the examples");
    assert_eq!((number_of_folds(&[5, 5, 6]), folds_of(&[5, 5, 6])), (2, Some(vec![0, 0, 1])));
    assert_eq!((number_of_folds(&[5, 5]), folds_of(&[5, 5])), (1, None));
    assert_eq!((number_of_folds(&[]), folds_of(&[])), (0, None));
    assert_eq!(cross_fitted(&[vec![0.5]], &[vec![true]], Aim::MicroF1), None);
    assert_eq!(cross_fitted(&[], &[], Aim::MicroF1), None);
}

/// Thresholds between decisions without a gold label are left out of the search; with them it finds the same.
#[test]
fn steps_find_the_thresholds_of_all_decisions() {
    let found = |decisions: &[(f64, bool)]| {
        let gold = decisions.iter().filter(|(_, is_gold)| *is_gold).count();
        let mut counts = Counts { gold, ..Counts::default() };
        let groups = decisions.chunk_by(|a, b| a.0 == b.0).map(|group| {
            let right = group.iter().filter(|(_, is_gold)| *is_gold).count();
            (group[0].0, counts.give(&Step { probability: 0.0, given: group.len(), right }).f1())
        });
        best_threshold(0.0, groups)
    };
    for (seed, levels) in (0..40).map(|seed| (seed, [3, 20, 1_000_000][seed as usize % 3])) {
        let (probabilities, gold) = examples(seed, 80, &[0.1, 0.3, 0.6], levels);
        let (_, by_label, shared, _, supports) = tuned(&probabilities, &gold);
        let decisions =
            |label: usize| probabilities.iter().zip(&gold).map(move |(row, gold)| (row[label], gold[label]));
        let sorted = |mut decisions: Vec<(f64, bool)>| {
            decisions.sort_by(|a, b| b.0.total_cmp(&a.0));
            decisions
        };
        assert_eq!(shared, found(&sorted((0..3).flat_map(decisions).collect())), "seed {seed}");
        for label in (0..3).filter(|&label| supports[label] >= SUPPORT_MIN) {
            assert_eq!(by_label[label], found(&sorted(decisions(label).collect())), "seed {seed}, label {label}");
        }
    }
}

#[test]
fn rare_labels_share_a_threshold() {
    let (probabilities, mut gold) = examples(2, 200, &[0.4, 0.4, 0.4, 0.4], 100);
    for (at, row) in gold.iter_mut().enumerate() {
        (row[1], row[2]) = (false, at < SUPPORT_MIN - 1);
    }
    let (thresholds, _) = tune_thresholds(&probabilities, &gold, Aim::MacroF1);
    let (_, _, shared, _, _) = tuned(&probabilities, &gold);
    assert_eq!((thresholds[1], thresholds[2]), (shared, shared));
    assert_ne!(thresholds[0], shared);
    let nothing = vec![vec![false; 4]; 200];
    for aim in [Aim::MicroF1, Aim::MacroF1] {
        assert_eq!(tune_thresholds(&probabilities, &nothing, aim).0, [0.5; 4]);
    }
    assert_eq!(tune_thresholds(&[], &[], Aim::MicroF1).0, Vec::<f64>::new());
}

#[test]
fn thresholds_in_corners() {
    let tune = |examples: &[(f64, bool)]| {
        let (probabilities, gold): (Vec<_>, Vec<_>) =
            examples.iter().map(|&(own, gold)| (vec![own], vec![gold])).unzip();
        let (_, _, shared, _, _) = tuned(&probabilities, &gold);
        shared
    };
    // Never gold; always gold, so that all should be above; one right above all others.
    assert_eq!(tune(&[(0.9, false), (0.1, false)]), 0.5);
    assert_eq!(tune(&[(0.75, true), (0.25, true)]), 0.125);
    assert_eq!(tune(&[(0.75, true), (0.25, false)]), 0.5);
    // F1 is 2/3 with the first alone and with all: 0.6875 or 0.125.
    assert_eq!(tune(&[(0.75, true), (0.625, false), (0.5, false), (0.25, true)]), 0.6875);
    // F1 is 2/3 above 0 and everywhere up to 1: the middle.
    assert_eq!(tune(&[(1.0, true), (0.5, true), (0.5, false), (0.5, false), (0.0, false)]), 0.5);
    // No number lies between two neighbors. Halfway is rounded down from 0.5, and up from the next one.
    let next = 0.5f64.next_up();
    for (below, above) in [(0.5, next), (next, next.next_up())] {
        assert_eq!(tune(&[(above, true), (below, false)]), above);
        assert_eq!(predict(&[below, above], &[above, above]), [false, true]);
    }
    // Probabilities of 1 reach every threshold, those of 0 the threshold 0.
    assert_eq!(tune(&[(1.0, false), (1.0, true), (0.5, false)]), 0.75);
    assert_eq!(tune(&[(0.0, true), (0.0, true)]), 0.0);
}

#[test]
fn the_middle_of_equally_good_intervals_is_taken() {
    // Scores 0, 5, 5, 5, 3: every threshold from 0.25 to 1 has given one to three decisions.
    let scores = [(1.0, 5), (0.75, 5), (0.5, 5), (0.25, 3)];
    let threshold = best_threshold(0, scores.into_iter());
    assert_eq!(threshold, (1.0 + 0.25) / 2.0);
}

/// The text of a JSON file gives back every bit.
#[test]
fn thresholds_stay_exact_when_stored() {
    let (probabilities, gold) = examples(4, 97, &[0.3; 7], 1_000_003);
    let (thresholds, _) = tune_thresholds(&probabilities, &gold, Aim::MacroF1);
    let text = serde_json::to_string(&thresholds).unwrap();
    assert_eq!(serde_json::from_str::<Vec<f64>>(&text).unwrap(), thresholds);
}
