//! Precision, recall and F1 of entities, as `conlleval` and seqeval count them.
//!
//! An entity is right if its type, its first and its last word are. Where a division by zero arises (no entity
//! predicted, none in the gold labels, no type, no word) the figure is 0.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::Notation;
pub use crate::data::entity_spans::{EntityMode, EntitySpan, entity_spans};

/// How good predicted entities are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// The share of predicted entities that are right.
    pub precision: f64,
    /// The share of gold entities that were found.
    pub recall: f64,
    /// `2 precision recall / (precision + recall)`.
    pub f1: f64,
    /// The number of gold entities.
    pub support: usize,
}

/// How good the labels of sentences are.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityScores {
    /// Of all entities together; the usual figures.
    pub micro: Scores,
    /// The means of the types' precision, recall and F1, every type counting the same.
    pub macro_mean: Scores,
    /// Of each type that occurs among gold or predicted entities, by code point.
    pub kinds: Vec<(String, Scores)>,
    /// The share of words whose label is right, `O` included.
    pub token_accuracy: f64,
}

/// Compares predicted labels with gold labels, sentence by sentence.
pub fn entity_scores<L: AsRef<str>>(
    predictions: &[Vec<L>],
    gold: &[Vec<L>],
    notation: Notation,
    mode: EntityMode,
) -> EntityScores {
    assert_eq!(predictions.len(), gold.len(), "sentences with predictions and with gold labels");
    let mut kinds: BTreeMap<String, Counts> = BTreeMap::new();
    let (mut words, mut right_words) = (0, 0);
    for (predictions, gold) in predictions.iter().zip(gold) {
        assert_eq!(predictions.len(), gold.len(), "predicted and gold labels of a sentence");
        words += gold.len();
        right_words += predictions.iter().zip(gold).filter(|(p, g)| p.as_ref() == g.as_ref()).count();
        let gold: BTreeSet<EntitySpan> = entity_spans(gold, notation, mode).into_iter().collect();
        for span in &gold {
            kinds.entry(span.kind.to_string()).or_default().gold += 1;
        }
        for span in entity_spans(predictions, notation, mode) {
            let counts = kinds.entry(span.kind.to_string()).or_default();
            counts.predicted += 1;
            counts.right += usize::from(gold.contains(&span));
        }
    }
    let mut all = Counts::default();
    for counts in kinds.values() {
        all.right += counts.right;
        all.predicted += counts.predicted;
        all.gold += counts.gold;
    }
    let kinds: Vec<(String, Scores)> = kinds.into_iter().map(|(kind, counts)| (kind, counts.scores())).collect();
    let mean =
        |figure: fn(&Scores) -> f64| ratio(kinds.iter().map(|(_, scores)| figure(scores)).sum(), kinds.len() as f64);
    EntityScores {
        micro: all.scores(),
        macro_mean: Scores {
            precision: mean(|scores| scores.precision),
            recall: mean(|scores| scores.recall),
            f1: mean(|scores| scores.f1),
            support: all.gold,
        },
        kinds,
        token_accuracy: ratio(right_words as f64, words as f64),
    }
}

#[derive(Default)]
struct Counts {
    right: usize,
    predicted: usize,
    gold: usize,
}

impl Counts {
    fn scores(&self) -> Scores {
        let precision = ratio(self.right as f64, self.predicted as f64);
        let recall = ratio(self.right as f64, self.gold as f64);
        let f1 = ratio(2.0 * precision * recall, precision + recall);
        Scores { precision, recall, f1, support: self.gold }
    }
}

fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::data::Scheme;
    use crate::data::labelling::to_iob2;

    const DASH: Notation = Notation::Prefix('-');

    /// A figure may be read from JSON one bit off, and seqeval sums the types' figures in another order.
    const LAST_BIT: f64 = 1e-15;

    fn labels(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    fn spans(text: &str, mode: EntityMode) -> Vec<(String, usize, usize)> {
        let labels = labels(text);
        entity_spans(&labels, DASH, mode).iter().map(|span| (span.kind.to_string(), span.start, span.end)).collect()
    }

    /// seqeval 1.2.2 on valid and on random labels, by `checks/python/entity_scores.py`; by default it agrees with
    /// `conlleval` on them, which the same script checks.
    #[test]
    fn scores_equal_seqeval() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/entity_scores.json");
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let (mut compared, mut above_zero) = (0, 0);
        for case in &cases {
            let sentences = |field: &str| -> Vec<Vec<String>> {
                case[field].as_array().unwrap().iter().map(|text| labels(text.as_str().unwrap())).collect()
            };
            let (gold, predictions) = (sentences("gold"), sentences("predictions"));
            let scheme = match case["scheme"].as_str().unwrap() {
                "IOB1" => Scheme::Iob1,
                "IOB2" => Scheme::Iob2,
                "IOBES" | "BILOU" | "BMES" => Scheme::Bioes,
                "IOE2" => Scheme::Ioe2,
                "IO" => Scheme::Io,
                other => panic!("{other}"),
            };
            let notation = if case["suffix"] == true { Notation::Suffix('-') } else { DASH };
            for (field, mode) in [("default", EntityMode::Conlleval), ("strict", EntityMode::Strict(scheme))] {
                let expected = &case[field];
                if expected.is_null() {
                    continue;
                }
                let found = entity_scores(&predictions, &gold, notation, mode);
                let what = format!("{mode:?} of {} and {}", case["predictions"], case["gold"]);
                let expected_kinds = expected["kinds"].as_object().unwrap();
                let kinds: Vec<&String> = found.kinds.iter().map(|(kind, _)| kind).collect();
                assert_eq!(kinds, expected_kinds.keys().collect::<Vec<_>>(), "{what}");
                let mut figures = vec![(found.token_accuracy, &case["accuracy"])];
                let rows = [(&found.micro, &expected["micro"]), (&found.macro_mean, &expected["macro"])];
                let kinds = found.kinds.iter().map(|(kind, scores)| (scores, &expected_kinds[kind]));
                for (scores, row) in rows.into_iter().chain(kinds) {
                    let listed = [scores.precision, scores.recall, scores.f1, scores.support as f64];
                    figures.extend(listed.into_iter().zip(row.as_array().unwrap()));
                }
                for (found, expected) in figures {
                    let expected = expected.as_f64().unwrap();
                    assert!((found - expected).abs() <= LAST_BIT, "{what}: {found}, expected {expected}");
                }
                compared += 1;
                above_zero += usize::from(found.micro.f1 > 0.0);
            }
        }
        assert!(compared >= 200 && above_zero > compared / 2, "{compared} comparisons, {above_zero} above 0");
    }

    #[test]
    fn labels_that_break_the_scheme_are_read_in_two_ways() {
        let text = "I-X I-X O B-X I-Y E-Y S-Y";
        let lenient = [("X", 0, 2), ("X", 3, 4), ("Y", 4, 6), ("Y", 6, 7)];
        let owned = |list: &[(&str, usize, usize)]| -> Vec<_> {
            list.iter().map(|&(kind, start, end)| (kind.to_string(), start, end)).collect()
        };
        assert_eq!(spans(text, EntityMode::Conlleval), owned(&lenient));
        assert_eq!(spans(text, EntityMode::Strict(Scheme::Iob2)), owned(&[("X", 3, 4)]));
        assert_eq!(spans(text, EntityMode::Strict(Scheme::Bioes)), owned(&[("Y", 6, 7)]));
        assert_eq!(spans(text, EntityMode::Strict(Scheme::Io)), owned(&[("X", 0, 2), ("Y", 4, 5)]));
        assert_eq!(spans(text, EntityMode::Strict(Scheme::None)), owned(&[]));
    }

    #[test]
    fn plain_labels_are_in_no_entity() {
        assert_eq!(spans("NOUN B-X NOUN I-X X", EntityMode::Conlleval), spans("O B-X O I-X O", EntityMode::Conlleval));
    }

    #[test]
    fn nothing_scores_zero() {
        let zero = Scores::default();
        for sentences in [vec![], vec![labels("")]] {
            let scores = entity_scores(&sentences, &sentences, DASH, EntityMode::Conlleval);
            assert_eq!(scores, EntityScores { micro: zero, macro_mean: zero, kinds: vec![], token_accuracy: 0.0 });
        }
        let scores = entity_scores(&[labels("O O")], &[labels("O O")], DASH, EntityMode::Conlleval);
        assert_eq!((scores.micro, scores.macro_mean, scores.token_accuracy), (zero, zero, 1.0));
        let scores = entity_scores(&[labels("O B-X")], &[labels("O O")], DASH, EntityMode::Conlleval);
        assert_eq!((scores.micro, scores.token_accuracy), (zero, 0.5));
        assert_eq!(scores.kinds, [("X".to_string(), zero)]);
    }

    #[test]
    #[should_panic(expected = "predicted and gold labels of a sentence")]
    fn sentences_of_different_lengths_are_refused() {
        entity_scores(&[labels("O O")], &[labels("O")], DASH, EntityMode::Conlleval);
    }

    proptest! {
        /// Conversion keeps what `conlleval` reads, in labels that are valid IOB2.
        #[test]
        fn iob2_has_the_same_entities(labels in prop::collection::vec("O|[BIESLUMW]-[XY]|X", 0..12)) {
            let converted = to_iob2(&labels, DASH);
            let expected = entity_spans(&labels, DASH, EntityMode::Conlleval);
            prop_assert_eq!(&entity_spans(&converted, DASH, EntityMode::Conlleval), &expected);
            prop_assert_eq!(&entity_spans(&converted, DASH, EntityMode::Strict(Scheme::Iob2)), &expected);
        }
    }
}
