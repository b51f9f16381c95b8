//! How labels of words are spelled: `B-LOC`, `B_LOC`, `LOC-B`, or the letter alone.
//!
//! A letter says where in an entity a word stands: `B` (first), `I` or `M` (between), `E` or `L` (last), `S`, `U` or
//! `W` (alone). `O` is outside. One label alone does not show its spelling: `S` may be a part of speech, and `B-S`
//! could be read from both ends. So a notation is chosen once for the set of all labels.

use std::collections::BTreeSet;

/// How the labels of a set name entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// The labels mark no entities, such as parts of speech.
    Plain,
    /// The letter alone, as for one type of entities or for word segmentation: `B`, `I`, `O`.
    Bare,
    /// The letter, this character and the type: `B-LOC`. A type may hold the character, too.
    Prefix(char),
    /// The type, this character and the letter: `LOC-B`.
    Suffix(char),
}

/// Characters between letter and type; of two that fit equally well, the earlier one is chosen.
const SEPARATORS: [char; 6] = ['-', '_', ':', '/', '|', '.'];

/// The type of a letter that stands alone.
const NO_KIND: &str = "_";

/// Where in an entity a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Outside,
    Begin,
    Inside,
    End,
    Single,
}

/// Place of a word in an entity, and the type of the entity, as a label gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) prefix: Prefix,
    pub(crate) kind: &'a str,
}

pub(crate) const OUTSIDE: Place = Place { prefix: Prefix::Outside, kind: "" };

impl Notation {
    /// The notation of a set of labels.
    ///
    /// - [`Notation::Bare`] if every label is a letter or `O`, and `B` or `I` is among them. One other label, and all
    ///   of them are plain: `E`, `N`, `S`, `V` are parts of speech.
    /// - Otherwise the separator and side that most labels fit, if at least half of the labels other than `O` do and
    ///   `B` or `I` is among their letters, or if all of them do.
    /// - Otherwise [`Notation::Plain`], even if labels name types of entities.
    pub fn of<L: AsRef<str>>(labels: impl IntoIterator<Item = L>) -> Notation {
        let labels: BTreeSet<String> = labels.into_iter().map(|label| label.as_ref().to_string()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).filter(|label| *label != "O").collect();
        // The letters of the labels that have a type in this notation.
        let letters = |notation: Notation| -> Vec<&str> {
            let split = labels.iter().filter_map(|label| notation.split(label));
            split.filter(|(letter, kind)| !kind.is_empty() && is_letter(letter)).map(|(letter, _)| letter).collect()
        };
        let opens = |letter: &&str| matches!(*letter, "B" | "I");
        let bare = || labels.iter().filter_map(|label| Notation::Bare.split(label)).map(|(letter, _)| letter);
        if bare().all(is_letter) && bare().any(|letter| opens(&letter)) {
            return Notation::Bare;
        }
        let mut best = (Notation::Plain, 0);
        for notation in SEPARATORS.into_iter().flat_map(|own| [Notation::Prefix(own), Notation::Suffix(own)]) {
            let found = letters(notation);
            let fits = found.len() == labels.len() || 2 * found.len() >= labels.len() && found.iter().any(opens);
            if fits && found.len() > best.1 {
                best = (notation, found.len());
            }
        }
        best.0
    }

    /// The place that a label names; `None` for a plain label.
    pub(crate) fn parse(self, label: &str) -> Option<Place<'_>> {
        if label == "O" {
            return Some(OUTSIDE);
        }
        let (letter, kind) = self.split(label)?;
        let prefix = match letter {
            "B" => Prefix::Begin,
            "I" | "M" => Prefix::Inside,
            "E" | "L" => Prefix::End,
            "S" | "U" | "W" => Prefix::Single,
            _ => return None,
        };
        Some(Place { prefix, kind: if kind.is_empty() { NO_KIND } else { kind } })
    }

    /// The letter and the type of a label, whatever they are.
    fn split(self, label: &str) -> Option<(&str, &str)> {
        match self {
            Notation::Plain => None,
            Notation::Bare => Some((label.strip_suffix('-').unwrap_or(label), "")),
            Notation::Prefix(separator) => label.split_once(separator),
            Notation::Suffix(separator) => label.rsplit_once(separator).map(|(kind, letter)| (letter, kind)),
        }
    }

    /// A label of this notation for a word in an entity of type `kind`.
    pub(crate) fn label(self, letter: &str, kind: &str) -> String {
        match self {
            Notation::Plain | Notation::Prefix('-') => format!("{letter}-{kind}"),
            Notation::Bare => letter.to_string(),
            Notation::Prefix(separator) => format!("{letter}{separator}{kind}"),
            Notation::Suffix(separator) => format!("{kind}{separator}{letter}"),
        }
    }
}

fn is_letter(letter: &str) -> bool {
    Notation::Bare.parse(letter).is_some_and(|place| place != OUTSIDE) && letter.len() == 1
}

impl Place<'_> {
    /// True if an entity that the word before is in, and does not end with, may continue here.
    pub(crate) fn continues(self, previous: Place) -> bool {
        matches!(previous.prefix, Prefix::Begin | Prefix::Inside) && self.kind == previous.kind
    }

    /// True if an entity opens here, as `conlleval` reads labels, also such as break their scheme.
    pub(crate) fn opens_after(self, previous: Place) -> bool {
        match self.prefix {
            Prefix::Outside => false,
            Prefix::Begin | Prefix::Single => true,
            Prefix::Inside | Prefix::End => !self.continues(previous),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notation(labels: &str) -> Notation {
        Notation::of(labels.split_whitespace())
    }

    #[test]
    fn letters_alone_are_a_notation_only_if_all_labels_are() {
        for labels in ["B I O", "B I", "I O", "B M E S", "B I E S O", "B I L U O", "B- I- O"] {
            assert_eq!(notation(labels), Notation::Bare, "{labels}");
        }
        // Parts of speech of Italian and Russian treebanks, of PROIEL, and such that hold no B or I.
        for labels in ["E N S V", "A B E R S V", "S V A O", "S V", "S E", "A- I- S- V-", "O", "", "S", "L U"] {
            assert_eq!(notation(labels), Notation::Plain, "{labels}");
        }
        // A letter among labels with types is a plain label.
        assert_eq!(notation("B-PER I-PER O S"), Notation::Prefix('-'));
        assert_eq!(Notation::Prefix('-').parse("S"), None);
    }

    #[test]
    fn separators_and_sides_are_recognised() {
        for (labels, expected) in [
            ("O B-PER I-PER", Notation::Prefix('-')),
            ("O B_PER I_PER", Notation::Prefix('_')),
            ("O B:PER I:PER", Notation::Prefix(':')),
            ("O PER-B PER-I LOC-B", Notation::Suffix('-')),
            ("O PER_B PER_I", Notation::Suffix('_')),
            ("O B-first_name I-first_name", Notation::Prefix('-')),
            ("O B_first-name I_first-name", Notation::Prefix('_')),
            ("B-S I-S O", Notation::Prefix('-')),
            ("S-LOC O", Notation::Prefix('-')),
            ("O B-PER LOC", Notation::Prefix('-')),
            ("O M-x F-x", Notation::Plain),
            ("O B-PER LOC ORG", Notation::Plain),
            ("b-PER i-PER O", Notation::Plain),
            ("DET NOUN PRP$ -LRB- NN-SBJ", Notation::Plain),
        ] {
            assert_eq!(notation(labels), expected, "{labels}");
        }
    }

    #[test]
    fn labels_have_a_letter_and_a_type() {
        let parsed =
            |notation: Notation, label: &str| notation.parse(label).map(|own| (own.prefix, own.kind.to_string()));
        let place = |prefix, kind: &str| Some((prefix, kind.to_string()));
        let dash = Notation::Prefix('-');
        assert_eq!(parsed(dash, "O"), place(Prefix::Outside, ""));
        assert_eq!(parsed(dash, "B-creative-work"), place(Prefix::Begin, "creative-work"));
        assert_eq!(parsed(dash, "I--x"), place(Prefix::Inside, "-x"));
        assert_eq!(parsed(dash, "M-X"), place(Prefix::Inside, "X"));
        assert_eq!(parsed(Notation::Suffix('-'), "creative-work-E"), place(Prefix::End, "creative-work"));
        for label in ["E-X", "L-X"] {
            assert_eq!(parsed(dash, label), place(Prefix::End, "X"));
        }
        for label in ["S-X", "U-X", "W-X"] {
            assert_eq!(parsed(dash, label), place(Prefix::Single, "X"));
        }
        for label in ["I", "I-"] {
            assert_eq!(parsed(Notation::Bare, label), place(Prefix::Inside, "_"));
        }
        assert_eq!(parsed(dash, "I-"), place(Prefix::Inside, "_"));
        for plain in ["", "B", "NOUN", "B_X", "b-X", "BX", "IN", "o", "O-X", "X-B", "É-X"] {
            assert_eq!(parsed(dash, plain), None, "{plain}");
        }
        for notation in [dash, Notation::Prefix('_'), Notation::Suffix('-'), Notation::Bare] {
            let (label, expected) = (notation.label("E", "X"), if notation == Notation::Bare { "_" } else { "X" });
            assert_eq!(parsed(notation, &label), place(Prefix::End, expected));
        }
    }
}
