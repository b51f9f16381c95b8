//! Metrics by length: whether a model is as good on long texts as on short ones.

use serde::{Deserialize, Serialize};

/// The longest texts of the first slice, in tokens. Every slice ends at twice the one before.
const SHORTEST: usize = 16;

/// The examples of similar length, and a metric of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice<M> {
    /// The fewest tokens of an example.
    pub from: usize,
    /// The most tokens of an example.
    pub to: usize,
    /// Examples in the slice.
    pub count: usize,
    /// Their metric.
    pub metric: M,
}

/// Splits examples by their number of tokens: 1 to 16, 17 to 32, 33 to 64 and so on. `metric` gets the indices of the
/// examples of a slice, ascending. Slices without examples are left out; an example of no tokens is in the first one.
pub fn by_length<M>(lengths: &[usize], mut metric: impl FnMut(&[usize]) -> M) -> Vec<Slice<M>> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut slices = Vec::new();
    let (mut from, mut to) = (1, SHORTEST);
    while from <= longest.max(1) {
        let is_within = |&index: &usize| (from..=to).contains(&lengths[index].max(1));
        let indices: Vec<usize> = (0..lengths.len()).filter(is_within).collect();
        if !indices.is_empty() {
            slices.push(Slice { from, to, count: indices.len(), metric: metric(&indices) });
        }
        (from, to) = (to + 1, 2 * to);
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_end_at_powers_of_two() {
        let lengths = [16, 513, 17, 3, 32, 0, 512, 33, 16];
        let slices = by_length(&lengths, |indices| indices.to_vec());
        let expected = [
            (1, 16, vec![0, 3, 5, 8]),
            (17, 32, vec![2, 4]),
            (33, 64, vec![7]),
            (257, 512, vec![6]),
            (513, 1024, vec![1]),
        ];
        let expected = expected.map(|(from, to, metric)| Slice { from, to, count: metric.len(), metric });
        assert_eq!(slices, expected);
    }

    #[test]
    fn no_examples_have_no_slices() {
        assert_eq!(by_length(&[], |indices| indices.len()), []);
        assert_eq!(by_length(&[0], |indices| indices.len()), [Slice { from: 1, to: 16, count: 1, metric: 1 }]);
    }
}
