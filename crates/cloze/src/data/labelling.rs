//! Schemes of labels that mark entities: which one a file has, and where it is broken.
//!
//! The letters of [`Notation`] are the same for all schemes: `M-` is another spelling of `I-`, `L-` of `E-`, `U-` and
//! `W-` of `S-`. Every label that its notation does not know is plain, such as a part of speech.

use std::fmt;

use crate::data::conll::Sentence;
use crate::data::notation::{Notation, OUTSIDE, Prefix};

/// How labels mark where entities begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `I-X` for the words of an entity; `B-X` for the first word of one that follows another of its type at once.
    Iob1,
    /// `B-X` for the first word of an entity, `I-X` for the others. Also called BIO.
    Iob2,
    /// `B-X` for the first word, `E-X` for the last, `I-X` between them, `S-X` for a single one. Also called IOBES;
    /// with the letters L and U BILOU, with M BMES, with M and W BMEWO.
    Bioes,
    /// `E-X` for the last word of an entity, `I-X` for the others.
    Ioe2,
    /// `I-X` for every word of an entity. Entities of one type that touch are one.
    Io,
    /// Labels that mark no entities, such as parts of speech.
    None,
}

/// A label that its scheme does not allow where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The line of the file at which the sentence begins: [`Sentence::line`].
    pub line: usize,
    /// The place of the word in the sentence, from 0.
    pub position: usize,
    /// The word.
    pub word: String,
    /// Its label.
    pub label: String,
    /// What is wrong, and what was expected.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Violation { line, position, word, label, problem } = self;
        write!(formatter, "sentence in line {line}, word {} `{word}`: `{label}` {problem}", position + 1)
    }
}

/// The scheme of labelled sentences.
///
/// As [`Scheme::of_labels`] says, but where there are `B-` and `I-`, the order of the labels tells IOB1 from IOB2.
pub fn detect(sentences: &[Sentence]) -> Scheme {
    let labels = || sentences.iter().flat_map(|sentence| &sentence.labels);
    let sequences = || sentences.iter().map(|sentence| sentence.labels.as_slice());
    Scheme::of_labels(labels()).told_by_order(Notation::of(labels()), sequences)
}

/// All labels that `scheme` does not allow where they stand, in the order of the file. Plain labels
/// ([`Scheme::None`]) allow everything.
pub fn check(sentences: &[Sentence], scheme: Scheme) -> Vec<Violation> {
    let notation = Notation::of(sentences.iter().flat_map(|sentence| &sentence.labels));
    let in_sentence = |sentence: &Sentence| -> Vec<Violation> {
        let violation = |(position, fault): (usize, Fault)| Violation {
            line: sentence.line,
            position,
            word: sentence.words[position].clone(),
            label: sentence.labels[position].clone(),
            problem: fault.message(&sentence.labels[position], notation, scheme),
        };
        faults(&sentence.labels, notation, scheme).map(violation).collect()
    };
    sentences.iter().flat_map(in_sentence).collect()
}

/// The same entities in IOB2. Labels that break their scheme are read as `conlleval` reads them: an `I-X` may open an
/// entity. Plain labels stay as they are.
pub fn to_iob2<L: AsRef<str>>(labels: &[L], notation: Notation) -> Vec<String> {
    let mut previous = OUTSIDE;
    let mut converted = Vec::with_capacity(labels.len());
    for label in labels {
        let place = notation.parse(label.as_ref());
        converted.push(match place {
            Some(place) if place != OUTSIDE => {
                notation.label(if place.opens_after(previous) { "B" } else { "I" }, place.kind)
            }
            _ => label.as_ref().to_string(),
        });
        previous = place.unwrap_or(OUTSIDE);
    }
    converted
}

impl Scheme {
    /// The scheme of a set of labels: BIOES if there is `S-`, or `E-` with `B-`; IOE2 if there is `E-` alone; else
    /// IOB2 if there is `B-`; else IO if there is `I-`; else none.
    ///
    /// A set cannot tell everything. With `B-` and `I-` it might be IOB1, see [`detect`]. Labels of IOB1 without
    /// any `B-` look like IO, and there mean the same. Labels of which [`Notation::of`] makes nothing have no scheme;
    /// the plain ones among others are for [`check`] to find.
    pub fn of_labels<L: AsRef<str>>(labels: impl IntoIterator<Item = L> + Clone) -> Scheme {
        let notation = Notation::of(labels.clone());
        let (mut singles, mut ends, mut begins, mut inside) = (false, false, false, false);
        for label in labels {
            match notation.parse(label.as_ref()).map(|place| place.prefix) {
                Some(Prefix::Single) => singles = true,
                Some(Prefix::End) => ends = true,
                Some(Prefix::Begin) => begins = true,
                Some(Prefix::Inside) => inside = true,
                Some(Prefix::Outside) | None => {}
            }
        }
        match (singles, ends, begins, inside) {
            (true, ..) | (_, true, true, _) => Scheme::Bioes,
            (_, true, ..) => Scheme::Ioe2,
            (_, _, true, _) => Scheme::Iob2,
            (_, _, _, true) => Scheme::Io,
            _ => Scheme::None,
        }
    }

    /// IOB1 instead of IOB2 if the label sequences of sentences break it less often.
    pub(crate) fn told_by_order<'a, L: AsRef<str> + 'a, S: Iterator<Item = &'a [L]>>(
        self,
        notation: Notation,
        sequences: impl Fn() -> S,
    ) -> Scheme {
        let broken = |scheme| -> usize { sequences().map(|labels| faults(labels, notation, scheme).count()).sum() };
        if self == Scheme::Iob2 && broken(Scheme::Iob1) < broken(Scheme::Iob2) { Scheme::Iob1 } else { self }
    }

    pub(crate) fn allows(self, prefix: Prefix) -> bool {
        match (self, prefix) {
            (Scheme::None, _) => false,
            (_, Prefix::Outside | Prefix::Inside) | (Scheme::Bioes, _) => true,
            (Scheme::Iob1 | Scheme::Iob2, Prefix::Begin) | (Scheme::Ioe2, Prefix::End) => true,
            _ => false,
        }
    }
}

enum Fault {
    /// The label is plain or of another scheme.
    Foreign,
    /// It continues an entity that is not there.
    NothingBefore,
    /// It divides two entities where there is only one.
    NothingToDivide,
    /// It opens or continues an entity that has no end.
    NoEnd,
}

impl Fault {
    fn message(&self, label: &str, notation: Notation, scheme: Scheme) -> String {
        let kind = notation.parse(label).map_or("", |place| place.kind);
        let name = |letter: &str| notation.label(letter, kind);
        let spelled = |letters: &[&str]| -> String {
            let letters = letters.iter().map(|letter| notation.label(letter, ""));
            letters.collect::<Vec<_>>().join(", ")
        };
        let expected = match scheme {
            Scheme::Iob1 | Scheme::Iob2 => &["B", "I"][..],
            Scheme::Io => &["I"],
            Scheme::Ioe2 => &["I", "E"],
            Scheme::Bioes | Scheme::None => &["B", "I", "E", "S"],
        };
        match self {
            Fault::Foreign => format!("is no label of the scheme; expected {} or O", spelled(expected)),
            Fault::NothingBefore => {
                format!("follows no {} or {}; expected {} to open an entity", name("B"), name("I"), name("B"))
            }
            Fault::NothingToDivide => {
                let (inside, begin) = (name("I"), spelled(&["B"]));
                format!("follows no entity of its type; expected {inside}, as {begin} only divides entities in IOB1")
            }
            Fault::NoEnd if scheme == Scheme::Ioe2 => {
                format!("is not followed by {} or {}; expected {} to end the entity", name("I"), name("E"), name("E"))
            }
            Fault::NoEnd => {
                format!("is not followed by {} or {}; expected an end of the entity", name("I"), name("E"))
            }
        }
    }
}

/// Places whose label breaks the scheme, one fault each.
fn faults<L: AsRef<str>>(
    labels: &[L],
    notation: Notation,
    scheme: Scheme,
) -> impl Iterator<Item = (usize, Fault)> + use<'_, L> {
    let place = move |index: usize| labels.get(index).map_or(Some(OUTSIDE), |label| notation.parse(label.as_ref()));
    let fault = move |index: usize| {
        let Some(here) = place(index).filter(|here| scheme.allows(here.prefix)) else { return Some(Fault::Foreign) };
        let previous = index.checked_sub(1).and_then(place).unwrap_or(OUTSIDE);
        let next = place(index + 1).unwrap_or(OUTSIDE);
        let follows = here.continues(previous);
        let is_followed = matches!(next.prefix, Prefix::Inside | Prefix::End) && next.kind == here.kind;
        match (scheme, here.prefix) {
            (Scheme::Iob1, Prefix::Begin) if !follows => Some(Fault::NothingToDivide),
            (Scheme::Iob2, Prefix::Inside) if !follows => Some(Fault::NothingBefore),
            (Scheme::Bioes, Prefix::Inside | Prefix::End) if !follows => Some(Fault::NothingBefore),
            (Scheme::Bioes, Prefix::Begin | Prefix::Inside) if !is_followed => Some(Fault::NoEnd),
            (Scheme::Ioe2, Prefix::Inside) if !is_followed => Some(Fault::NoEnd),
            _ => None,
        }
    };
    let len = if scheme == Scheme::None { 0 } else { labels.len() };
    (0..len).filter_map(move |index| fault(index).map(|fault| (index, fault)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    fn sentences(texts: &[&str]) -> Vec<Sentence> {
        let sentence =
            |text: &&str| Sentence { words: labels(text), labels: labels(text), line: 7, ..Sentence::default() };
        texts.iter().map(sentence).collect()
    }

    #[test]
    fn the_scheme_is_told_by_the_labels() {
        for (texts, expected) in [
            (&["O B-X I-X O", "B-X B-X I-X"][..], Scheme::Iob2),
            (&["O B-X O B-Y"], Scheme::Iob2),
            (&["B I O"], Scheme::Iob2),
            (&["O I-X I-X O", "I-X B-X I-X I-Y"], Scheme::Iob1),
            // One fault in each is undecided; one more decides.
            (&["I-X", "B-Y"], Scheme::Iob2),
            (&["I-X", "I-X", "B-Y"], Scheme::Iob1),
            (&["O I-X I-X I-Y"], Scheme::Io),
            (&["B-X E-X S-Y O"], Scheme::Bioes),
            (&["S-Y O"], Scheme::Bioes),
            (&["B-X I-X L-X U-Y O"], Scheme::Bioes),
            (&["B-PER M-PER E-PER O O S-LOC"], Scheme::Bioes),
            (&["B M E S"], Scheme::Bioes),
            (&["B-X M-X E-X W-Y O"], Scheme::Bioes),
            (&["O I-X E-X E-X O"], Scheme::Ioe2),
            (&["O E-X"], Scheme::Ioe2),
            (&["O I_X I_X O", "I_X B_X I_X I_Y"], Scheme::Iob1),
            (&["O X-I X-I O", "X-I X-B X-I Y-I"], Scheme::Iob1),
            // One-letter parts of speech.
            (&["N V E S", "S V E N"], Scheme::None),
            (&["S V A"], Scheme::None),
            (&["DET NOUN PRP$ -LRB-"], Scheme::None),
            (&["PER O O"], Scheme::None),
            (&["O O"], Scheme::None),
            (&["O B-X LOC"], Scheme::Iob2),
        ] {
            assert_eq!(detect(&sentences(texts)), expected, "{texts:?}");
        }
        assert_eq!(Scheme::of_labels(["O", "I-X", "I-Y", "B-Y"]), Scheme::Iob2);
    }

    /// The places of the labels that break a scheme.
    #[test]
    fn violations_are_found() {
        for (scheme, text, expected) in [
            (Scheme::Iob2, "O B-X I-X B-X I-X O B-Y", &[][..]),
            (Scheme::Iob2, "I-X I-X O I-X B-X I-Y I-Y", &[0, 3, 5]),
            (Scheme::Iob2, "B-X E-X I-X S-X X U-X", &[1, 2, 3, 4, 5]),
            (Scheme::Bioes, "B-PER M-PER E-PER O O S-LOC", &[]),
            (Scheme::Bioes, "PER-B PER-M PER-E O O LOC-S PER-M", &[6]),
            (Scheme::Ioe2, "I-X E-X O I-X I-Y E-Y E-X I-X", &[3, 7]),
            (Scheme::Iob1, "I-X B-X B-X I-X I-Y O I-X", &[]),
            (Scheme::Iob1, "B-X I-X O B-X I-X B-Y", &[0, 3, 5]),
            (Scheme::Io, "I-X I-X I-Y O", &[]),
            (Scheme::Io, "B-X I-X", &[0]),
            (Scheme::Bioes, "S-X B-X E-X B-X I-X I-X E-X O", &[]),
            (Scheme::Bioes, "U-X B-X L-X B-X I-X L-X O", &[]),
            (Scheme::Bioes, "E-X O B-X O B-X I-X S-X B-X B-X E-Y I-X E-X", &[0, 2, 5, 7, 8, 9, 10]),
            (Scheme::Bioes, "B-X", &[0]),
            (Scheme::None, "NOUN I-X B-X O", &[]),
        ] {
            let found: Vec<usize> = check(&sentences(&[text]), scheme).iter().map(|found| found.position).collect();
            assert_eq!(found, expected, "{text} in {scheme:?}");
        }
    }

    #[test]
    fn violations_say_where_and_what() {
        let messages = |text, scheme| -> Vec<String> {
            check(&sentences(&["O", text]), scheme).iter().map(Violation::to_string).collect()
        };
        let expected = "sentence in line 7, word 2 `I-X`: `I-X` follows no B-X or I-X; expected B-X to open an entity";
        assert_eq!(messages("O I-X", Scheme::Iob2), [expected]);
        let found = messages("B-X X", Scheme::Iob1);
        assert!(found[0].contains("word 1 `B-X`: `B-X` follows no entity of its type; expected I-X"), "{found:?}");
        assert!(found[1].contains("`X` is no label of the scheme; expected B-, I- or O"), "{found:?}");
        let found = messages("B-X", Scheme::Bioes);
        assert!(found[0].contains("`B-X` is not followed by I-X or E-X"), "{found:?}");
    }

    #[test]
    fn every_scheme_becomes_iob2() {
        for text in [
            "O I-X I-X B-X I-X I-Y O I-Y",
            "O B-X I-X B-X I-X B-Y O B-Y",
            "O B-X E-X B-X E-X S-Y O S-Y",
            "O B-X L-X B-X L-X U-Y O U-Y",
            "O I-X E-X I-X E-X E-Y O E-Y",
            "O E-X I-X S-X E-X S-Y O I-Y",
        ] {
            let expected =
                if text.starts_with("O E-X") { "O B-X B-X B-X B-X B-Y O B-Y" } else { "O B-X I-X B-X I-X B-Y O B-Y" };
            assert_eq!(to_iob2(&labels(text), Notation::Prefix('-')), labels(expected), "{text}");
        }
        assert_eq!(to_iob2(&labels("B M E S O"), Notation::Bare), labels("B I I B O"));
        assert_eq!(to_iob2(&labels("X_B X_E NOUN X_S"), Notation::Suffix('_')), labels("X_B X_I NOUN X_B"));
        assert_eq!(to_iob2(&labels("NOUN B I O S"), Notation::Plain), labels("NOUN B I O S"));
    }
}
