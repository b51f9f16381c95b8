//! Precision, recall and F1 of entities, as `conlleval` and seqeval count them.
//!
//! An entity is right if its type, its first and its last word are. Where a division by zero arises (no entity
//! predicted, none in the gold labels, no type, no word) the figure is 0.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::data::labelling::{OUTSIDE, Place, Prefix, Scheme, parse};

/// How labels are read that break their scheme. Both read valid labels alike.
///
/// Labels that are neither `O` nor have a prefix (`B-`, `I-`, `E-`, `S-`, `L-`, `U-`) are in no entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityMode {
    /// As the script `conlleval` of CoNLL-2000 and 2003 does, and seqeval by default: an `I-X` or `E-X` with no X
    /// before it opens an entity; an entity ends where another opens or the next label is `O`.
    ///
    /// On labels with `B-` and `I-` all three agree. The script knows no `S-` and does not part `E-X` from a `B-X`
    /// behind it; there this is seqeval. BILOU's `L-` and `U-`, which neither knows, are `E-` and `S-`.
    Conlleval,
    /// As seqeval's strict mode: only what the scheme allows is an entity. In IOB2 it opens with `B-X`, in BIOES it
    /// also ends with `E-X` or is `S-X`. Labels with the prefix of another scheme, at which seqeval stops with an
    /// error, are in no entity. IO, which seqeval does not have, is read as IOB1 without `B-`.
    Strict(Scheme),
}

/// An entity in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntitySpan<'a> {
    /// Its type: the label without prefix; `_` where a label is a prefix alone.
    pub kind: &'a str,
    /// Index of its first word.
    pub start: usize,
    /// One more than the index of its last word.
    pub end: usize,
}

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
pub fn entity_scores<L: AsRef<str>>(predictions: &[Vec<L>], gold: &[Vec<L>], mode: EntityMode) -> EntityScores {
    assert_eq!(predictions.len(), gold.len(), "sentences with predictions and with gold labels");
    let mut kinds: BTreeMap<String, Counts> = BTreeMap::new();
    let (mut words, mut right_words) = (0, 0);
    for (predictions, gold) in predictions.iter().zip(gold) {
        assert_eq!(predictions.len(), gold.len(), "predicted and gold labels of a sentence");
        words += gold.len();
        right_words += predictions.iter().zip(gold).filter(|(p, g)| p.as_ref() == g.as_ref()).count();
        let gold: BTreeSet<EntitySpan> = entity_spans(gold, mode).into_iter().collect();
        for span in &gold {
            kinds.entry(span.kind.to_string()).or_default().gold += 1;
        }
        for span in entity_spans(predictions, mode) {
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

/// The entities that a sentence's labels mark, from left to right.
pub fn entity_spans<L: AsRef<str>>(labels: &[L], mode: EntityMode) -> Vec<EntitySpan<'_>> {
    let mut places: Vec<Place> = labels.iter().map(|label| parse(label.as_ref()).unwrap_or(OUTSIDE)).collect();
    let ranges = match mode {
        EntityMode::Conlleval => lenient_ranges(&places),
        EntityMode::Strict(scheme) => {
            places.iter_mut().filter(|place| !scheme.allows(place.prefix)).for_each(|place| *place = OUTSIDE);
            strict_ranges(&places, scheme)
        }
    };
    let span = |range: Range<usize>| EntitySpan { kind: places[range.start].kind, start: range.start, end: range.end };
    ranges.into_iter().map(span).collect()
}

/// An entity goes on until another opens or a word is outside.
fn lenient_ranges(places: &[Place]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut previous = OUTSIDE;
    for (index, &place) in places.iter().enumerate() {
        if place.opens_after(previous) {
            ranges.push(index..index + 1);
        } else if place.prefix != Prefix::Outside {
            ranges.last_mut().expect("what does not open an entity goes on with one").end = index + 1;
        }
        previous = place;
    }
    ranges
}

/// From a label that may open an entity over all that may go on with it; what they make counts if it may end there.
fn strict_ranges(places: &[Place], scheme: Scheme) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < places.len() {
        let previous = if start == 0 { OUTSIDE } else { places[start - 1] };
        if !strictly_opens(places[start], previous, scheme) {
            start += 1;
            continue;
        }
        let goes_on = |&end: &usize| {
            matches!(places[end].prefix, Prefix::Inside | Prefix::End) && places[end].goes_on_after(places[end - 1])
        };
        let end = start + 1 + (start + 1..places.len()).take_while(goes_on).count();
        if strictly_ends(places[end - 1], places.get(end).copied().unwrap_or(OUTSIDE), scheme) {
            ranges.push(start..end);
        }
        start = end;
    }
    ranges
}

fn strictly_opens(place: Place, previous: Place, scheme: Scheme) -> bool {
    match (scheme, place.prefix) {
        (Scheme::Iob2 | Scheme::Bioes, prefix) => matches!(prefix, Prefix::Begin | Prefix::Single),
        // An `I-` behind a `B-` is only asked where that `B-` opened nothing itself.
        (Scheme::Iob1 | Scheme::Io, Prefix::Inside) => previous.prefix != Prefix::Inside || previous.kind != place.kind,
        (Scheme::Iob1, Prefix::Begin) => place.goes_on_after(previous),
        _ => false,
    }
}

fn strictly_ends(last: Place, next: Place, scheme: Scheme) -> bool {
    match scheme {
        Scheme::Bioes => matches!(last.prefix, Prefix::End | Prefix::Single),
        // A `B-` that divides nothing is not allowed, and seqeval does not count the `B-` before it either.
        Scheme::Iob1 => !(last.prefix == Prefix::Begin && next.prefix == Prefix::Begin && last.kind != next.kind),
        _ => true,
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
    use crate::data::labelling::to_iob2;

    /// A figure may be read from JSON one bit off, and seqeval sums the types' figures in another order.
    const LAST_BIT: f64 = 1e-15;

    fn labels(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    fn spans(text: &str, mode: EntityMode) -> Vec<(String, usize, usize)> {
        let labels = labels(text);
        entity_spans(&labels, mode).iter().map(|span| (span.kind.to_string(), span.start, span.end)).collect()
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
                "IOBES" | "BILOU" => Scheme::Bioes,
                "IO" => Scheme::Io,
                other => panic!("{other}"),
            };
            for (field, mode) in [("default", EntityMode::Conlleval), ("strict", EntityMode::Strict(scheme))] {
                let expected = &case[field];
                if expected.is_null() {
                    continue;
                }
                let found = entity_scores(&predictions, &gold, mode);
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
        assert!(compared >= 100 && above_zero > compared / 2, "{compared} comparisons, {above_zero} above 0");
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
            let scores = entity_scores(&sentences, &sentences, EntityMode::Conlleval);
            assert_eq!(scores, EntityScores { micro: zero, macro_mean: zero, kinds: vec![], token_accuracy: 0.0 });
        }
        let scores = entity_scores(&[labels("O O")], &[labels("O O")], EntityMode::Conlleval);
        assert_eq!((scores.micro, scores.macro_mean, scores.token_accuracy), (zero, zero, 1.0));
        let scores = entity_scores(&[labels("O B-X")], &[labels("O O")], EntityMode::Conlleval);
        assert_eq!((scores.micro, scores.token_accuracy), (zero, 0.5));
        assert_eq!(scores.kinds, [("X".to_string(), zero)]);
    }

    #[test]
    #[should_panic(expected = "predicted and gold labels of a sentence")]
    fn sentences_of_different_lengths_are_refused() {
        entity_scores(&[labels("O O")], &[labels("O")], EntityMode::Conlleval);
    }

    proptest! {
        /// Conversion keeps what `conlleval` reads, in labels that are valid IOB2.
        #[test]
        fn iob2_has_the_same_entities(labels in prop::collection::vec("O|[BIESLU]-[XY]|X", 0..12)) {
            let converted = to_iob2(&labels);
            let expected = entity_spans(&labels, EntityMode::Conlleval);
            prop_assert_eq!(&entity_spans(&converted, EntityMode::Conlleval), &expected);
            prop_assert_eq!(&entity_spans(&converted, EntityMode::Strict(Scheme::Iob2)), &expected);
        }
    }
}
