//! Dropout (Srivastava et al. 2014), in the form that scales while training.

use super::memory::{row, row_mut};
use crate::{Dropout, Size, philox};

pub(super) fn dropout(y: &mut [f64], x: &[f64], dropout: Dropout<'_, Vec<u32>>, size: Size) {
    for r in 0..size.rows {
        let x = row(x, r, size.columns);
        let y = row_mut(y, r, size.columns);
        for (column, (y, x)) in y.iter_mut().zip(x).enumerate() {
            *y = factor(Some(dropout), r, 0, column) * x;
        }
    }
}

/// What dropout multiplies an element by: 0, or `1 / (1 − probability)`; 1 without dropout. `head` is 0
/// outside of attention, where `column` is the index of the key.
pub(super) fn factor(dropout: Option<Dropout<'_, Vec<u32>>>, row: usize, head: usize, column: usize) -> f64 {
    let Some(Dropout { probability, seed, step, site, rows }) = dropout else { return 1.0 };
    let (sequence, position) = (rows.sequences[row], rows.positions[row]);
    let (block, number) = (column / 4, column % 4);
    let counter = philox::dropout_counter(step, site, head as u32, sequence, position, block as u32);
    let drawn = philox::philox4x32(counter, philox::key(seed))[number];
    if drawn < philox::dropout_threshold(probability) { 0.0 } else { 1.0 / (1.0 - f64::from(probability)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RowCoordinates;

    const PROBABILITY: f32 = 0.25;

    fn factors(step: u32, site: u32, head: usize) -> Vec<f64> {
        let rows = RowCoordinates { sequences: vec![3; 100], positions: (0..100).collect() };
        let dropout = Dropout { probability: PROBABILITY, seed: 1 << 40 | 7, step, site, rows: &rows };
        (0..10_000).map(|i| factor(Some(dropout), i / 100, head, i % 100)).collect()
    }

    #[test]
    fn drops_its_share_and_keeps_the_mean() {
        let factors = factors(1, 2, 0);
        let dropped = factors.iter().filter(|factor| **factor == 0.0).count();
        // The standard deviation of the count is √(10,000 · ¼ · ¾) = 43.
        assert!(dropped.abs_diff(2_500) < 5 * 43, "{dropped} dropped");
        assert!(factors.iter().all(|factor| [0.0, 4.0 / 3.0].contains(factor)));
    }

    #[test]
    fn every_coordinate_matters() {
        let base = factors(1, 2, 0);
        assert_eq!(base, factors(1, 2, 0));
        for other in [factors(2, 2, 0), factors(1, 3, 0), factors(1, 2, 1)] {
            let agreeing = base.iter().zip(&other).filter(|(a, b)| a == b).count();
            // Independent draws agree in ¾² + ¼² of the elements, 6,250, with a deviation of 48.
            assert!(agreeing.abs_diff(6_250) < 5 * 48, "{agreeing} of 10,000 agree");
        }
    }
}
