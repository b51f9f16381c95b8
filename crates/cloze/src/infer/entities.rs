//! From the probabilities of tokens' labels to entities in the text.

use std::ops::Range;

use crate::characters::Characters;
use crate::data::Notation;
use crate::data::entity_spans::{EntityMode, entity_spans};
use crate::data::notation::Prefix;

use super::argmax;

/// How the labels of tokens become those of words and entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// They do not: every token by itself, with its whole label.
    None,
    /// Neighbouring tokens of one type are an entity, even within a word.
    Simple,
    /// A word has the label of its first token; then as [`Aggregation::Simple`].
    First,
    /// A word has the mean of its tokens' probabilities.
    Average,
    /// A word has the probabilities of the token that is surest of its label.
    Max,
}

/// A token of a text. `[CLS]` and `[SEP]` are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it stands in the text, in characters.
    pub characters: Range<usize>,
    /// The word that it is a part of; a word's tokens follow one another.
    pub word: usize,
}

/// A stretch of the text and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// Type of the entity: the label without prefix or suffix. The whole label with [`Aggregation::None`], and where
    /// labels mark no entities.
    pub label: String,
    /// Its first character in the text.
    pub start: usize,
    /// One more than its last character.
    pub end: usize,
    /// The text from `start` to `end`.
    pub text: String,
    /// The mean of its tokens' (or words') probabilities of their labels.
    pub score: f64,
}

/// The entities of a text, from left to right; what is `O` is left out. `probabilities` is `[tokens, labels]`.
///
/// Tokens (or words) are grouped by [`entity_spans`] as evaluation groups words, in BIOES, BMES and BILOU, too. In IOB1,
/// IOB2 and IO this is what transformers' `TokenClassificationPipeline` gives: a token belongs to the entity before it
/// if the type is the same and its own prefix is not `B-`. The pipeline takes entities of other schemes apart; it also
/// guesses whether a token continues a word by comparing the lengths of the token and of its text; here that is known.
/// With [`Aggregation::Simple`] tokens of one word with the same label are one piece, if that label ends an entity
/// (`E-`, `S-`).
///
/// Where labels mark no entities, such as parts of speech, neighbours with the same label make an "entity". Of equal
/// probabilities the first label is taken. Characters that the text does not have are cut off.
pub fn entities(
    text: &str,
    tokens: &[Token],
    probabilities: &[f64],
    labels: &[String],
    aggregation: Aggregation,
) -> Vec<Entity> {
    assert_eq!(probabilities.len(), tokens.len() * labels.len(), "probabilities of {} labels", labels.len());
    assert!(!labels.is_empty(), "there are no labels");
    let pieces = pieces(tokens, probabilities.chunks_exact(labels.len()), labels, aggregation);
    let characters = Characters::of(text);
    if aggregation == Aggregation::None {
        let each = pieces.iter().filter(|piece| labels[piece.label] != OUTSIDE);
        return each.map(|piece| entity(&characters, std::slice::from_ref(piece), &labels[piece.label])).collect();
    }
    grouped(&characters, &pieces, labels)
}

/// The label of words in no entity.
const OUTSIDE: &str = "O";

/// A token or a word with the label it has got.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    /// The label's id.
    pub label: usize,
    /// The sum of the probabilities of this label over the tokens that are counted.
    pub score: f64,
    /// How many those are.
    pub count: usize,
    /// First character in the text.
    pub start: usize,
    /// One more than its last character.
    pub end: usize,
}

/// The entities that neighbouring pieces make up.
pub(super) fn grouped(characters: &Characters, pieces: &[Piece], labels: &[String]) -> Vec<Entity> {
    let notation = Notation::of(labels);
    let names: Vec<&str> = pieces.iter().map(|piece| labels[piece.label].as_str()).collect();
    if notation == Notation::Plain {
        let groups = pieces.chunk_by(|a, b| a.label == b.label);
        let groups = groups.map(|group| (group, labels[group[0].label].as_str())).filter(|(_, name)| *name != OUTSIDE);
        return groups.map(|(group, name)| entity(characters, group, name)).collect();
    }
    let spans = entity_spans(&names, notation, EntityMode::Conlleval);
    spans.iter().map(|span| entity(characters, &pieces[span.start..span.end], span.kind)).collect()
}

fn entity(characters: &Characters, group: &[Piece], label: &str) -> Entity {
    let range = characters.clamp(group[0].start..group[group.len() - 1].end);
    let count: usize = group.iter().map(|piece| piece.count).sum();
    Entity {
        label: label.to_string(),
        start: range.start,
        end: range.end,
        text: characters.slice(range).to_string(),
        score: group.iter().map(|piece| piece.score).sum::<f64>() / count as f64,
    }
}

/// Tokens one by one, or joined to words.
fn pieces<'a>(
    tokens: &[Token],
    mut rows: impl Iterator<Item = &'a [f64]>,
    labels: &[String],
    aggregation: Aggregation,
) -> Vec<Piece> {
    let of_words = !matches!(aggregation, Aggregation::None | Aggregation::Simple);
    let piece = |word: &[Token]| {
        let rows: Vec<&[f64]> = rows.by_ref().take(word.len()).collect();
        let row = match aggregation {
            Aggregation::Average => mean(&rows),
            Aggregation::Max => {
                let highest: Vec<f64> = rows.iter().map(|row| row[argmax(row)]).collect();
                rows[argmax(&highest)].to_vec()
            }
            Aggregation::None | Aggregation::Simple | Aggregation::First => rows[0].to_vec(),
        };
        let label = argmax(&row);
        let (start, end) = (word[0].characters.start, word[word.len() - 1].characters.end);
        Piece { label, score: row[label], count: 1, start, end }
    };
    let pieces: Vec<Piece> = tokens.chunk_by(|a, b| of_words && a.word == b.word).map(piece).collect();
    if aggregation != Aggregation::Simple {
        return pieces;
    }
    let notation = Notation::of(labels);
    let ends = |label: usize| {
        let place = notation.parse(&labels[label]);
        place.is_some_and(|place| matches!(place.prefix, Prefix::End | Prefix::Single))
    };
    let mut joined: Vec<Piece> = Vec::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        match joined.last_mut() {
            Some(last) if last.label == piece.label && tokens[at].word == tokens[at - 1].word && ends(piece.label) => {
                (last.score, last.count, last.end) = (last.score + piece.score, last.count + 1, piece.end);
            }
            _ => joined.push(piece),
        }
    }
    joined
}

fn mean(rows: &[&[f64]]) -> Vec<f64> {
    let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>();
    (0..rows[0].len()).map(|column| sum(column) / rows.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The pipeline sums a long entity's scores in another order.
    const SUM: f64 = 1e-14;

    /// transformers 5.24.0, by `checks/python/pipeline_entities.py`.
    #[test]
    fn entities_equal_those_of_the_pipeline() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pipeline_entities.json");
        let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut compared = [0; 5];
        for case in fixture.as_array().unwrap() {
            let list = |field: &str| case[field].as_array().unwrap();
            let index = |value: &Value| value.as_u64().unwrap() as usize;
            let labels: Vec<String> = list("labels").iter().map(|label| label.as_str().unwrap().to_string()).collect();
            let token =
                |token: &Value| Token { characters: index(&token[0])..index(&token[1]), word: index(&token[2]) };
            let tokens: Vec<Token> = list("tokens").iter().map(token).collect();
            let rows = list("scores").iter().flat_map(|row| row.as_array().unwrap());
            let probabilities: Vec<f64> = rows.map(|value| value.as_f64().unwrap()).collect();
            let text = case["text"].as_str().unwrap();
            for (at, (name, aggregation)) in [
                ("none", Aggregation::None),
                ("simple", Aggregation::Simple),
                ("first", Aggregation::First),
                ("average", Aggregation::Average),
                ("max", Aggregation::Max),
            ]
            .into_iter()
            .enumerate()
            {
                let found = entities(text, &tokens, &probabilities, &labels, aggregation);
                let expected = case[name].as_array().unwrap();
                assert_eq!(found.len(), expected.len(), "{name} of {case}: {found:?}");
                for (found, expected) in found.iter().zip(expected) {
                    // [label, start, end, text, score]
                    assert_eq!(found.label, expected[0].as_str().unwrap(), "{name} of {case}");
                    assert_eq!(
                        (found.start, found.end),
                        (index(&expected[1]), index(&expected[2])),
                        "{name} of {case}"
                    );
                    assert_eq!(found.text, expected[3].as_str().unwrap(), "{name} of {case}");
                    let expected = expected[4].as_f64().unwrap();
                    assert!((found.score - expected).abs() <= SUM, "{name} of {case}: {} not {expected}", found.score);
                    compared[at] += 1;
                }
            }
        }
        assert!(compared.iter().all(|&entities| entities >= 90), "{compared:?}");
    }

    /// A word split into three, of which each strategy believes another. The figures are made by hand.
    #[test]
    fn strategies_choose_among_a_words_tokens() {
        let labels = ["O", "B-X", "I-X", "B-Y"].map(str::to_string);
        let tokens: Vec<Token> = (0..3).map(|at| Token { characters: at..at + 1, word: 4 }).collect();
        let probabilities = [0.5, 0.25, 0.25, 0.0, 0.0, 0.125, 0.125, 0.75, 0.0, 0.375, 0.625, 0.0];
        let found = |aggregation| -> Vec<(String, usize, usize, f64)> {
            let found = entities("äöü", &tokens, &probabilities, &labels, aggregation);
            found.into_iter().map(|entity| (entity.label, entity.start, entity.end, entity.score)).collect()
        };
        let entity = |label: &str, start, end, score| (label.to_string(), start, end, score);
        assert_eq!(found(Aggregation::None), [entity("B-Y", 1, 2, 0.75), entity("I-X", 2, 3, 0.625)]);
        assert_eq!(found(Aggregation::Simple), [entity("Y", 1, 2, 0.75), entity("X", 2, 3, 0.625)]);
        assert_eq!(found(Aggregation::First), []);
        assert_eq!(found(Aggregation::Average), [entity("X", 0, 3, 1.0 / 3.0)]);
        assert_eq!(found(Aggregation::Max), [entity("Y", 0, 3, 0.75)]);
    }

    #[test]
    fn no_tokens_have_no_entities() {
        assert_eq!(entities("", &[], &[], &["O".to_string(), "B-X".to_string()], Aggregation::Average), []);
    }
}
