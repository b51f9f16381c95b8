//! How the labels of words mark entities: the schemes, which one a file has, and where it is broken.
//!
//! A label is `O` outside of entities, or a prefix, a dash and the entity's type: `B-LOC`. A type may hold dashes.
//! A prefix alone (`B`, as where there is only one kind of entity) has the type `_`. BILOU's `L-` and `U-` are other
//! spellings of `E-` and `S-`. Everything else is a plain label, such as a part of speech.

use std::fmt;

use crate::data::conll::Sentence;

/// How labels mark where entities begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `I-X` for the words of an entity; `B-X` for the first word of one that follows another of its type at once.
    Iob1,
    /// `B-X` for the first word of an entity, `I-X` for the others. Also called BIO.
    Iob2,
    /// `B-X` for the first word, `E-X` for the last, `I-X` between them, `S-X` for a single one. Also called IOBES, or
    /// with the letters L and U, BILOU.
    Bioes,
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
/// As [`Scheme::of_labels`] says, but where there are `B-` and `I-`, the order of the labels tells IOB1 from IOB2: it
/// is the one that they break less often, and IOB2 where they break both as often.
pub fn detect(sentences: &[Sentence]) -> Scheme {
    let scheme = Scheme::of_labels(sentences.iter().flat_map(|sentence| &sentence.labels));
    let faults = |scheme| -> usize { sentences.iter().map(|sentence| faults(&sentence.labels, scheme).count()).sum() };
    if scheme == Scheme::Iob2 && faults(Scheme::Iob1) < faults(Scheme::Iob2) { Scheme::Iob1 } else { scheme }
}

/// All labels that `scheme` does not allow where they stand, in the order of the file. Plain labels
/// ([`Scheme::None`]) allow everything.
pub fn check(sentences: &[Sentence], scheme: Scheme) -> Vec<Violation> {
    let in_sentence = |sentence: &Sentence| -> Vec<Violation> {
        let violation = |(position, fault): (usize, Fault)| Violation {
            line: sentence.line,
            position,
            word: sentence.words[position].clone(),
            label: sentence.labels[position].clone(),
            problem: fault.message(&sentence.labels[position], scheme),
        };
        faults(&sentence.labels, scheme).map(violation).collect()
    };
    sentences.iter().flat_map(in_sentence).collect()
}

/// The same entities in IOB2. What breaks its scheme is read as `conlleval` reads it: an `I-X` may open an entity.
/// Plain labels stay as they are.
pub fn to_iob2<L: AsRef<str>>(labels: &[L]) -> Vec<String> {
    let mut previous = OUTSIDE;
    let mut converted = Vec::with_capacity(labels.len());
    for label in labels {
        let place = parse(label.as_ref());
        converted.push(match place {
            Some(place) if place != OUTSIDE => {
                format!("{}-{}", if place.opens_after(previous) { "B" } else { "I" }, place.kind)
            }
            _ => label.as_ref().to_string(),
        });
        previous = place.unwrap_or(OUTSIDE);
    }
    converted
}

impl Scheme {
    /// The scheme of a set of labels: BIOES if there is `E-` or `S-` (`L-`, `U-`); else IOB2 if there is `B-`; else IO
    /// if there is `I-`; else none.
    ///
    /// A set cannot tell everything. With `B-` and `I-` it might be IOB1, see [`detect`]. Labels of IOB1 without
    /// any `B-` look like IO, and there mean the same. Labels without prefix are taken for plain ones, even
    /// if they name types of entities. One label with a prefix is enough for a scheme; the plain ones among them are
    /// then for [`check`] to find.
    pub fn of_labels<L: AsRef<str>>(labels: impl IntoIterator<Item = L>) -> Scheme {
        let (mut ends, mut begins, mut inside) = (false, false, false);
        for label in labels {
            match parse(label.as_ref()).map(|place| place.prefix) {
                Some(Prefix::End | Prefix::Single) => ends = true,
                Some(Prefix::Begin) => begins = true,
                Some(Prefix::Inside) => inside = true,
                Some(Prefix::Outside) | None => {}
            }
        }
        match (ends, begins, inside) {
            (true, _, _) => Scheme::Bioes,
            (_, true, _) => Scheme::Iob2,
            (_, _, true) => Scheme::Io,
            _ => Scheme::None,
        }
    }

    pub(crate) fn allows(self, prefix: Prefix) -> bool {
        match (self, prefix) {
            (Scheme::None, _) => false,
            (_, Prefix::Outside | Prefix::Inside) | (Scheme::Bioes, _) => true,
            (Scheme::Iob1 | Scheme::Iob2, Prefix::Begin) => true,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Outside,
    Begin,
    Inside,
    End,
    Single,
}

/// What a label says of a word: where in an entity it stands, and of which type that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) prefix: Prefix,
    pub(crate) kind: &'a str,
}

pub(crate) const OUTSIDE: Place = Place { prefix: Prefix::Outside, kind: "" };

/// The type of a prefix that stands alone.
const NO_KIND: &str = "_";

impl Place<'_> {
    /// Whether an entity that the word before is in, not its last by its label, may go on here.
    pub(crate) fn goes_on_after(self, previous: Place) -> bool {
        matches!(previous.prefix, Prefix::Begin | Prefix::Inside) && self.kind == previous.kind
    }

    /// Whether an entity opens here, as `conlleval` reads labels, also such as break their scheme.
    pub(crate) fn opens_after(self, previous: Place) -> bool {
        match self.prefix {
            Prefix::Outside => false,
            Prefix::Begin | Prefix::Single => true,
            Prefix::Inside | Prefix::End => !self.goes_on_after(previous),
        }
    }
}

/// `None` for a plain label.
pub(crate) fn parse(label: &str) -> Option<Place<'_>> {
    if label == "O" {
        return Some(OUTSIDE);
    }
    let mut characters = label.chars();
    let prefix = match characters.next()? {
        'B' => Prefix::Begin,
        'I' => Prefix::Inside,
        'E' | 'L' => Prefix::End,
        'S' | 'U' => Prefix::Single,
        _ => return None,
    };
    match characters.as_str() {
        "" | "-" => Some(Place { prefix, kind: NO_KIND }),
        rest => rest.strip_prefix('-').map(|kind| Place { prefix, kind }),
    }
}

enum Fault {
    /// The label is plain or has a prefix of another scheme.
    Foreign,
    /// It goes on with an entity that is not there.
    NothingBefore,
    /// It divides two entities where there is only one.
    NothingToDivide,
    /// It opens an entity, or goes on with one, that has no end.
    NoEnd,
}

impl Fault {
    fn message(&self, label: &str, scheme: Scheme) -> String {
        let kind = parse(label).map_or("", |place| place.kind);
        match (self, scheme) {
            (Fault::Foreign, Scheme::Iob1 | Scheme::Iob2) => "has no prefix of the scheme; expected B-, I- or O".into(),
            (Fault::Foreign, Scheme::Io) => "has no prefix of the scheme; expected I- or O".into(),
            (Fault::Foreign, _) => "has no prefix of the scheme; expected B-, I-, E-, S- or O".into(),
            (Fault::NothingBefore, _) => {
                format!("follows no B-{kind} or I-{kind}; expected B-{kind} to open an entity")
            }
            (Fault::NothingToDivide, _) => {
                format!("follows no entity of its type; expected I-{kind}, as B- only divides entities in IOB1")
            }
            (Fault::NoEnd, _) => format!("is not followed by I-{kind} or E-{kind}; expected an end of the entity"),
        }
    }
}

/// Places whose label breaks the scheme, one fault each.
fn faults<L: AsRef<str>>(labels: &[L], scheme: Scheme) -> impl Iterator<Item = (usize, Fault)> {
    let place = move |index: usize| labels.get(index).map_or(Some(OUTSIDE), |label| parse(label.as_ref()));
    let fault = move |index: usize| {
        let Some(here) = place(index).filter(|here| scheme.allows(here.prefix)) else { return Some(Fault::Foreign) };
        let previous = index.checked_sub(1).and_then(place).unwrap_or(OUTSIDE);
        let next = place(index + 1).unwrap_or(OUTSIDE);
        let follows = here.goes_on_after(previous);
        let is_followed = matches!(next.prefix, Prefix::Inside | Prefix::End) && next.kind == here.kind;
        match (scheme, here.prefix) {
            (Scheme::Iob1, Prefix::Begin) if !follows => Some(Fault::NothingToDivide),
            (Scheme::Iob2, Prefix::Inside) if !follows => Some(Fault::NothingBefore),
            (Scheme::Bioes, Prefix::Inside | Prefix::End) if !follows => Some(Fault::NothingBefore),
            (Scheme::Bioes, Prefix::Begin | Prefix::Inside) if !is_followed => Some(Fault::NoEnd),
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
        let sentence = |text: &&str| Sentence { words: labels(text), labels: labels(text), line: 7 };
        texts.iter().map(sentence).collect()
    }

    #[test]
    fn labels_have_a_prefix_and_a_type() {
        let parsed = |label| parse(label).map(|place| (place.prefix, place.kind));
        assert_eq!(parsed("O"), Some((Prefix::Outside, "")));
        assert_eq!(parsed("B-creative-work"), Some((Prefix::Begin, "creative-work")));
        assert_eq!(parsed("I--x"), Some((Prefix::Inside, "-x")));
        assert_eq!((parsed("E-X"), parsed("L-X")), (Some((Prefix::End, "X")), Some((Prefix::End, "X"))));
        assert_eq!((parsed("S-X"), parsed("U-X")), (Some((Prefix::Single, "X")), Some((Prefix::Single, "X"))));
        assert_eq!((parsed("I"), parsed("I-")), (Some((Prefix::Inside, "_")), Some((Prefix::Inside, "_"))));
        for plain in ["", "NOUN", "B_X", "b-X", "BX", "IN", "o", "O-X", "X-B", "É-X"] {
            assert_eq!(parsed(plain), None, "{plain}");
        }
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
        assert!(found[1].contains("`X` has no prefix of the scheme; expected B-, I- or O"), "{found:?}");
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
            "O E-X I-X S-X E-X S-Y O I-Y",
        ] {
            let expected =
                if text.starts_with("O E-X") { "O B-X B-X B-X B-X B-Y O B-Y" } else { "O B-X I-X B-X I-X B-Y O B-Y" };
            assert_eq!(to_iob2(&labels(text)), labels(expected), "{text}");
        }
        assert_eq!(to_iob2(&labels("NOUN B I O I I-X")), labels("NOUN B-_ I-_ O B-_ B-X"));
    }
}
