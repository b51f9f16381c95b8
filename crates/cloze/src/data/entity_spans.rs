//! From the labels of a sentence's words to its entities: the one place where words are grouped.

use std::ops::Range;

use super::labelling::Scheme;
use super::notation::{Notation, OUTSIDE, Place, Prefix};

/// How labels are read that break their scheme. Both modes read valid labels alike.
///
/// Labels that the notation does not know are in no entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityMode {
    /// As the script `conlleval` of CoNLL-2000 and 2003 does, and seqeval by default: an `I-X` or `E-X` with no X
    /// before it opens an entity; an entity ends where another opens or the next label is `O`.
    ///
    /// On labels with `B-` and `I-` all three agree. The script knows no `S-` and does not part `E-X` from a `B-X`
    /// behind it; there this is seqeval. Letters that neither knows are read as their synonyms: `L-` as `E-`, `U-` and
    /// `W-` as `S-`, and `M-`, which seqeval reads right in valid labels only, as `I-`.
    Conlleval,
    /// As seqeval's strict mode: only what the scheme allows is an entity. In IOB2 it opens with `B-X`, in BIOES it
    /// also ends with `E-X` or is `S-X`, in IOE2 it ends with `E-X`. Labels with the prefix of another scheme, at which
    /// seqeval stops with an error, are in no entity. IO, which seqeval does not have, is read as IOB1 without `B-`.
    Strict(Scheme),
}

/// An entity in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntitySpan<'a> {
    /// Type of the entity: the label without prefix; `_` where a label is a prefix alone.
    pub kind: &'a str,
    /// Index of its first word.
    pub start: usize,
    /// One more than the index of its last word.
    pub end: usize,
}

/// The entities that a sentence's labels mark, from left to right. Training, evaluation and prediction all group words
/// with this function, so that users get the entities that were measured.
pub fn entity_spans<L: AsRef<str>>(labels: &[L], notation: Notation, mode: EntityMode) -> Vec<EntitySpan<'_>> {
    let places = labels.iter().map(|label| notation.parse(label.as_ref()).unwrap_or(OUTSIDE));
    let mut places: Vec<Place> = places.collect();
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

/// An entity continues until another opens or a word is outside.
fn lenient_ranges(places: &[Place]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut previous = OUTSIDE;
    for (index, &place) in places.iter().enumerate() {
        if place.opens_after(previous) {
            ranges.push(index..index + 1);
        } else if place.prefix != Prefix::Outside {
            ranges.last_mut().expect("what opens no entity continues one").end = index + 1;
        }
        previous = place;
    }
    ranges
}

/// From a label that may open an entity over all that may continue it; an entity only if it may end there.
fn strict_ranges(places: &[Place], scheme: Scheme) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < places.len() {
        let previous = if start == 0 { OUTSIDE } else { places[start - 1] };
        if !strictly_opens(places[start], previous, scheme) {
            start += 1;
            continue;
        }
        let is_inside = |&end: &usize| {
            matches!(places[end].prefix, Prefix::Inside | Prefix::End) && places[end].continues(places[end - 1])
        };
        let end = start + 1 + (start + 1..places.len()).take_while(is_inside).count();
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
        (Scheme::Iob1 | Scheme::Io, Prefix::Inside) | (Scheme::Ioe2, Prefix::Inside | Prefix::End) => {
            previous.prefix != Prefix::Inside || previous.kind != place.kind
        }
        (Scheme::Iob1, Prefix::Begin) => place.continues(previous),
        _ => false,
    }
}

fn strictly_ends(last: Place, next: Place, scheme: Scheme) -> bool {
    match scheme {
        Scheme::Bioes => matches!(last.prefix, Prefix::End | Prefix::Single),
        Scheme::Ioe2 => last.prefix == Prefix::End,
        // A `B-` that divides nothing is not allowed, and seqeval does not count the `B-` before it either.
        Scheme::Iob1 => !(last.prefix == Prefix::Begin && next.prefix == Prefix::Begin && last.kind != next.kind),
        _ => true,
    }
}
