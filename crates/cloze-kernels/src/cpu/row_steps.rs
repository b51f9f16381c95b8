//! Rows of a packed batch that a product sums over, in steps.
//!
//! A step is a word of each column ([`super::operand`]): one row in f32, two in bf16. The rows of a step are of one
//! sequence, counted from its first row, so that an odd sequence ends in a step of a single row. Nothing else works:
//! the instruction adds both products of a step before it rounds, and a batch that is cut between two sequences has to
//! give the steps of the whole. Counting from the first row of the batch would pair the last row of one part with the
//! first of the next.

use std::ops::Range;

use super::operand::Kind;

/// Rows of some sequences, all of whole steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowSteps<'a> {
    /// The rows of the batch.
    pub(crate) rows: Range<usize>,
    kind: Kind,
    /// First row of each sequence that has some of these rows, then the end of the last one.
    starts: &'a [u32],
}

impl RowSteps<'_> {
    /// Number of steps.
    pub(crate) fn count(&self) -> usize {
        self.runs().map(|rows| self.kind.steps(rows.len())).sum()
    }

    /// Rows that follow each other step by step: those of each sequence, or all where a step is one row.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let whole = (self.kind.numbers() == 1).then(|| self.rows.clone());
        let sequences = if whole.is_some() { &[] } else { self.starts };
        let within = |at: u32| (at as usize).clamp(self.rows.start, self.rows.end);
        whole.into_iter().chain(sequences.windows(2).map(move |ends| within(ends[0])..within(ends[1])))
    }
}

/// All rows of a batch in parts of at most `steps_max` steps, in order. `starts` holds the first row of each sequence,
/// then the number of rows.
pub(crate) fn parts(kind: Kind, starts: &[u32], steps_max: usize) -> impl Iterator<Item = RowSteps<'_>> {
    assert!(starts.first() == Some(&0) && starts.is_sorted(), "starts of sequences: {starts:?}");
    let (mut from, mut sequence) = (0, 0);
    std::iter::from_fn(move || {
        let (first_row, first_sequence) = (from, sequence);
        let mut left = steps_max;
        while left > 0 && sequence + 1 < starts.len() {
            let end = starts[sequence + 1] as usize;
            let steps = kind.steps(end - from);
            if steps <= left {
                (from, sequence) = (end, sequence + 1);
            } else {
                from += left * kind.numbers();
            }
            left = left.saturating_sub(steps);
        }
        let starts = &starts[first_sequence..starts.len().min(sequence + 2)];
        (from > first_row).then_some(RowSteps { rows: first_row..from, kind, starts })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every step of all parts, as its rows.
    fn steps(kind: Kind, starts: &[u32], steps_max: usize) -> Vec<Range<usize>> {
        let mut steps = Vec::new();
        for part in parts(kind, starts, steps_max) {
            let before = steps.len();
            for rows in part.runs() {
                steps.extend(
                    rows.clone().step_by(kind.numbers()).map(|first| first..rows.end.min(first + kind.numbers())),
                );
            }
            assert_eq!(steps.len() - before, part.count());
            assert!(part.count() <= steps_max);
            assert_eq!(steps[before].start..steps[steps.len() - 1].end, part.rows);
        }
        steps
    }

    #[test]
    fn pairs_stay_in_their_sequence() {
        let starts = [0, 3, 3, 4, 8];
        assert_eq!(steps(Kind::Bf16, &starts, 100), [0..2, 2..3, 3..4, 4..6, 6..8]);
        assert_eq!(steps(Kind::F32, &starts, 100), (0..8).map(|row| row..row + 1).collect::<Vec<_>>());
    }

    #[test]
    fn parts_cut_no_step() {
        let starts = [0, 3, 3, 4, 8, 8, 21, 22];
        for kind in [Kind::F32, Kind::Bf16] {
            let whole = steps(kind, &starts, usize::MAX);
            for steps_max in 1..30 {
                assert_eq!(steps(kind, &starts, steps_max), whole, "{steps_max} {kind:?} steps at a time");
            }
        }
    }

    #[test]
    fn nothing_has_no_parts() {
        for starts in [&[0][..], &[0, 0, 0]] {
            assert_eq!(parts(Kind::Bf16, starts, 10).count(), 0);
        }
    }
}
