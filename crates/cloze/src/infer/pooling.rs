//! Poolings: how the vectors of a text's tokens become one vector.

use crate::checkpoint;

/// How the vectors of a text's tokens become the text's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// No pooling: one vector a token.
    None,
    /// The first token's.
    Cls,
    /// The mean of all, `[CLS]` and `[SEP]` included.
    Mean,
    /// The largest of all in each column.
    Max,
    /// The sum of all, divided by the root of their number.
    MeanSqrtLen,
    /// The mean of all, the n-th weighted by n.
    WeightedMean,
    /// The last token's, `[SEP]`.
    LastToken,
    /// The pooler's output, which next sentence prediction has trained.
    Pooler,
}

impl From<checkpoint::Pooling> for Pooling {
    fn from(pooling: checkpoint::Pooling) -> Pooling {
        match pooling {
            checkpoint::Pooling::Cls => Pooling::Cls,
            checkpoint::Pooling::Max => Pooling::Max,
            checkpoint::Pooling::Mean => Pooling::Mean,
            checkpoint::Pooling::MeanSqrtLen => Pooling::MeanSqrtLen,
            checkpoint::Pooling::WeightedMean => Pooling::WeightedMean,
            checkpoint::Pooling::LastToken => Pooling::LastToken,
        }
    }
}

impl Pooling {
    /// True if the vector is that of a single token, so that no other has to be computed.
    pub(super) fn reads_one_token(self) -> bool {
        matches!(self, Pooling::Cls | Pooling::LastToken | Pooling::Pooler)
    }

    /// The token that the vector is of, among `tokens` of which the first `skipped` do not count.
    pub(super) fn token(self, tokens: usize, skipped: usize) -> usize {
        if self == Pooling::LastToken { tokens - 1 } else { skipped }
    }

    /// Pools the rows `values [tokens, columns]` of a text. The first `skipped`, which are less than all, do not
    /// count.
    pub(super) fn pool(self, values: &[f32], columns: usize, skipped: usize) -> Vec<f32> {
        let tokens = values.len() / columns;
        let counted = &values[skipped * columns..];
        match self {
            Pooling::None | Pooling::Pooler => unreachable!("{self:?} joins no vectors"),
            Pooling::Cls | Pooling::LastToken => values[self.token(tokens, skipped) * columns..][..columns].to_vec(),
            Pooling::Max => largest(counted, columns),
            Pooling::Mean => mean(counted, columns),
            Pooling::MeanSqrtLen => sum(counted, columns, ((tokens - skipped) as f64).sqrt(), |_| 1.0),
            Pooling::WeightedMean => {
                let weight = |token: usize| (skipped + token + 1) as f64;
                sum(counted, columns, (0..tokens - skipped).map(weight).sum(), weight)
            }
        }
    }
}

/// Mean of the rows `[rows, columns]`.
pub(super) fn mean(values: &[f32], columns: usize) -> Vec<f32> {
    sum(values, columns, (values.len() / columns) as f64, |_| 1.0)
}

/// Sum of the rows `[rows, columns]`, each times its weight, divided by `divisor`.
fn sum(values: &[f32], columns: usize, divisor: f64, weight: impl Fn(usize) -> f64) -> Vec<f32> {
    let mut sums = vec![0.0f64; columns];
    for (row, values) in values.chunks(columns).enumerate() {
        let weight = weight(row);
        sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * f64::from(value));
    }
    sums.into_iter().map(|sum| (sum / divisor) as f32).collect()
}

/// Largest value of each column of the rows `[rows, columns]`.
pub(super) fn largest(values: &[f32], columns: usize) -> Vec<f32> {
    let mut largest = vec![f32::NEG_INFINITY; columns];
    for row in values.chunks(columns) {
        largest.iter_mut().zip(row).for_each(|(largest, &value)| *largest = largest.max(value));
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four tokens of two columns.
    const VALUES: [f32; 8] = [1.0, -8.0, 2.0, -6.0, 4.0, -2.0, 9.0, -4.0];

    #[test]
    fn poolings_of_all_tokens() {
        for (pooling, expected) in [
            (Pooling::Cls, [1.0, -8.0]),
            (Pooling::LastToken, [9.0, -4.0]),
            (Pooling::Mean, [4.0, -5.0]),
            (Pooling::Max, [9.0, -2.0]),
            (Pooling::MeanSqrtLen, [8.0, -10.0]),
            (Pooling::WeightedMean, [5.3, -4.2]),
        ] {
            assert_eq!(pooling.pool(&VALUES, 2, 0), expected, "{pooling:?}");
        }
    }

    #[test]
    fn a_prompt_that_is_left_out_keeps_its_place() {
        for (pooling, expected) in [
            (Pooling::Cls, [4.0, -2.0]),
            (Pooling::LastToken, [9.0, -4.0]),
            (Pooling::Mean, [6.5, -3.0]),
            (Pooling::Max, [9.0, -2.0]),
            (Pooling::MeanSqrtLen, [13.0 / 2.0f64.sqrt(), -6.0 / 2.0f64.sqrt()].map(|value| value as f32)),
            // Weights 3 and 4, as in the whole text.
            (Pooling::WeightedMean, [48.0 / 7.0, -22.0 / 7.0]),
        ] {
            assert_eq!(pooling.pool(&VALUES, 2, 2), expected, "{pooling:?}");
        }
    }
}
