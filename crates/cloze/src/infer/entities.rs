//! From the probabilities of tokens' labels to entities in the text.

use std::ops::Range;

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
    /// Its type: the label without what stands before the first dash. With [`Aggregation::None`] the whole label.
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
/// The rules are those of transformers' `TokenClassificationPipeline`: a token (or word) belongs to the entity before
/// it if the type is the same and its own prefix is not `B-`. Prefixes other than `B-` and `I-` count as a part of the
/// type, so entities in BIOES come in pieces; so do words with plain labels, such as parts of speech, unless neighbours
/// have the same. Of equal probabilities the first label is taken. One thing differs: the pipeline guesses whether a
/// token goes on with a word by comparing the lengths of the token and of its text; here it is known.
pub fn entities(
    text: &str,
    tokens: &[Token],
    probabilities: &[f64],
    labels: &[String],
    aggregation: Aggregation,
) -> Vec<Entity> {
    assert_eq!(probabilities.len(), tokens.len() * labels.len(), "probabilities of {} labels", labels.len());
    assert!(!labels.is_empty(), "there are no labels");
    let pieces = pieces(tokens, probabilities.chunks_exact(labels.len()), aggregation);
    let goes_on = |previous: &Piece, piece: &Piece| {
        let (previous, label) = (&labels[previous.label], &labels[piece.label]);
        aggregation != Aggregation::None && !label.starts_with("B-") && kind(previous) == kind(label)
    };
    let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let entity = |group: &[Piece]| {
        let label = &labels[group[0].label];
        let label = if aggregation == Aggregation::None { label } else { after_first_dash(label) };
        let (start, end) = (group[0].start, group[group.len() - 1].end);
        Entity {
            label: label.to_string(),
            start,
            end,
            text: text[bytes[start]..bytes[end]].to_string(),
            score: group.iter().map(|piece| piece.score).sum::<f64>() / group.len() as f64,
        }
    };
    pieces.chunk_by(goes_on).map(entity).filter(|entity| entity.label != "O").collect()
}

/// A token or a word with the label it has got.
struct Piece {
    label: usize,
    score: f64,
    start: usize,
    end: usize,
}

/// Tokens one by one, or joined to words.
fn pieces<'a>(tokens: &[Token], mut rows: impl Iterator<Item = &'a [f64]>, aggregation: Aggregation) -> Vec<Piece> {
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
        Piece { label, score: row[label], start, end }
    };
    tokens.chunk_by(|a, b| of_words && a.word == b.word).map(piece).collect()
}

fn mean(rows: &[&[f64]]) -> Vec<f64> {
    let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>();
    (0..rows[0].len()).map(|column| sum(column) / rows.len() as f64).collect()
}

/// The type by which neighbours are compared.
fn kind(label: &str) -> &str {
    label.strip_prefix("B-").or_else(|| label.strip_prefix("I-")).unwrap_or(label)
}

fn after_first_dash(label: &str) -> &str {
    label.split_once('-').map_or(label, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The pipeline sums a long entity's scores in another order.
    const SUM: f64 = 1e-14;

    /// transformers 5.23.0, by `checks/python/pipeline_entities.py`.
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
