//! Tests of the choice of thresholds.

use super::*;
use crate::eval::multi_label::{MultiLabelFigures, multi_label_figures};
use crate::eval::oracle::oracle;
use crate::random::{Purpose, Random};

const AIMS: [Aim; 3] = [Aim::MicroF1, Aim::MacroF1, Aim::ExactMatch];

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
    let all = Examples::new(&expected.probabilities, &expected.gold);
    assert_eq!(shared_threshold(&all), expected.shared_threshold);
    assert_eq!(macro_thresholds(&all), expected.macro_thresholds);
    assert_eq!(exact_threshold(&all), expected.exact_threshold);
    let of = |thresholds: &[f64]| figures(&expected.probabilities, &expected.gold, thresholds);
    assert_eq!(of(&micro_thresholds(&all)).micro_f1, expected.micro_f1_by_label);
    let plain = of(&[0.5; 5]);
    assert!(expected.micro_f1_by_label > of(&shared_thresholds(&all)).micro_f1 + 0.01);
    assert!(of(&shared_thresholds(&all)).micro_f1 > plain.micro_f1);
    assert!(of(&macro_thresholds(&all)).macro_f1 > plain.macro_f1 + 0.01);
}

/// Every choice of three thresholds is tried.
#[test]
fn no_other_thresholds_are_better() {
    for seed in 0..20 {
        let (probabilities, gold) = examples(seed, 61, &[0.5, 0.3, 0.4], 5);
        let all = Examples::new(&probabilities, &gold);
        assert!((0..3).all(|label| support(&all.column(label)) >= SUPPORT_MIN), "seed {seed}");
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
        assert_eq!(of(micro_thresholds(&all)).micro_f1, micro, "seed {seed}");
        assert_eq!(of(macro_thresholds(&all)).macro_f1, macro_f1, "seed {seed}");
        assert_eq!(of(vec![exact_threshold(&all); 3]).subset_accuracy, exact, "seed {seed}");
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
        assert_eq!(cross_fitted(&probabilities, &gold, aim), cross_fitted(&probabilities, &gold, aim));
    }
}

/// The labels of a fold do not depend on its own gold labels.
#[test]
fn a_fold_is_predicted_without_its_gold_labels() {
    let (probabilities, mut gold) = examples(11, 60, &[0.4, 0.2], 100);
    let fold_of = folds_of(60, FOLDS);
    let before = AIMS.map(|aim| cross_fitted(&probabilities, &gold, aim).unwrap());
    let own: Vec<usize> = (0..60).filter(|&at| fold_of[at] == 2).collect();
    own.iter().for_each(|&at| gold[at].iter_mut().for_each(|gold| *gold = !*gold));
    let after = AIMS.map(|aim| cross_fitted(&probabilities, &gold, aim).unwrap());
    for (before, after) in before.iter().zip(&after) {
        assert!(own.iter().all(|&at| before[at] == after[at]));
    }
    assert_ne!(before, after);
}

#[test]
fn folds_are_equal_in_size() {
    for count in [2, 3, 7, 13, 100] {
        let folds = FOLDS.min(count);
        let fold_of = folds_of(count, folds);
        let sizes: Vec<usize> = (0..folds).map(|fold| fold_of.iter().filter(|&&own| own == fold).count()).collect();
        assert!(sizes.iter().all(|size| count / folds <= *size && *size <= count.div_ceil(folds)), "{sizes:?}");
    }
    assert_eq!(folds_of(1_000, 5)[..12], folds_of(1_000, 5)[..12]);
    assert_ne!((0..100).map(|at| at % 5).collect::<Vec<_>>(), folds_of(100, 5), "neighbors are not dealt in turn");
    assert_eq!(cross_fitted(&[vec![0.5]], &[vec![true]], Aim::MicroF1), None);
    assert_eq!(cross_fitted(&[], &[], Aim::MicroF1), None);
}

#[test]
fn rare_labels_share_a_threshold() {
    let (probabilities, mut gold) = examples(2, 200, &[0.4, 0.4, 0.4, 0.4], 100);
    for (at, row) in gold.iter_mut().enumerate() {
        (row[1], row[2]) = (false, at < SUPPORT_MIN - 1);
    }
    let (thresholds, _) = tune_thresholds(&probabilities, &gold, Aim::MacroF1);
    let shared = shared_threshold(&Examples::new(&probabilities, &gold));
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
        let decision = |&(probability, is_gold): &(f64, bool)| Decision { probability, is_gold, example: 0 };
        f1_threshold(&sorted(examples.iter().map(decision).collect()))
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
    let scores = [0, 5, 5, 5, 3];
    let decision = |probability| Decision { probability, is_gold: true, example: 0 };
    let decisions = [1.0, 0.75, 0.5, 0.25].map(decision);
    let mut given = 0;
    let threshold = best_threshold(&decisions, |new| {
        given += new.len();
        scores[given]
    });
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
