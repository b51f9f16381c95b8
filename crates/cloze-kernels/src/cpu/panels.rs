//! Operands of a product, rearranged into the order in which the inner loop reads them.
//!
//! A *panel* holds `WIDTH` neighbouring rows of A (or columns of B) side by side: for each step `k` of
//! the inner dimension the `WIDTH` numbers that the step needs, so that the inner loop reads memory
//! front to back. The last panel is filled up with zeros; what is computed from those is never stored.

use std::ops::Range;

/// Columns of a panel of B, and of a tile of the result.
pub(crate) const COLUMNS: usize = 16;

/// An operand in its ordinary layout. Element `(index, k)`, where `index` counts rows of A or columns
/// of B and `k` walks the inner dimension, is `data[index · index_stride + k · inner_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    index_stride: usize,
    inner_stride: usize,
}

impl<'a> View<'a> {
    /// The index counts rows of `stride` numbers; the inner dimension runs along a row.
    pub(crate) fn rows(data: &'a [f32], stride: usize) -> View<'a> {
        View { data, index_stride: stride, inner_stride: 1 }
    }

    /// The index counts columns; the inner dimension runs down rows of `stride` numbers.
    pub(crate) fn columns(data: &'a [f32], stride: usize) -> View<'a> {
        View { data, index_stride: 1, inner_stride: stride }
    }
}

/// B in panels, `[panels][depth][COLUMNS]`, of which a product walks the steps from `first` on.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// The packed numbers.
    pub(crate) data: &'a [f32],
    /// Steps in each panel.
    pub(crate) depth: usize,
    /// The step of the panels which is step 0 of the product.
    pub(crate) first: usize,
}

impl<'a> Panels<'a> {
    /// Panels whose steps are all used.
    pub(crate) fn new(data: &'a [f32], depth: usize) -> Panels<'a> {
        Panels { data, depth, first: 0 }
    }

    /// The product's steps `inner` of a panel: `[inner.len()][COLUMNS]`.
    #[inline(always)]
    pub(crate) fn part(self, panel: usize, inner: &Range<usize>) -> &'a [f32] {
        assert!(self.first + inner.end <= self.depth, "{inner:?} + {} of {} steps", self.first, self.depth);
        let start = (panel * self.depth + self.first + inner.start) * COLUMNS;
        &self.data[start..start + inner.len() * COLUMNS]
    }
}

/// Numbers that `pack::<WIDTH>` writes for `indices` rows of A or columns of B and `inner` steps.
pub(crate) fn packed_len<const WIDTH: usize>(indices: usize, inner: usize) -> usize {
    indices.div_ceil(WIDTH) * WIDTH * inner
}

/// Packs the rows (or columns) `indices` and the steps `inner` of an operand:
/// `packed [panels][inner.len()][WIDTH]`.
pub(crate) fn pack<const WIDTH: usize>(packed: &mut [f32], view: View<'_>, indices: Range<usize>, inner: Range<usize>) {
    assert_eq!(packed.len(), packed_len::<WIDTH>(indices.len(), inner.len()));
    if inner.is_empty() {
        return;
    }
    let starts = indices.clone().step_by(WIDTH);
    for (start, panel) in starts.zip(packed.chunks_exact_mut(WIDTH * inner.len())) {
        let width = WIDTH.min(indices.end - start);
        if view.index_stride == 1 {
            pack_columns::<WIDTH>(panel, view, start, width, inner.clone());
        } else {
            pack_rows::<WIDTH>(panel, view, start, width, inner.clone());
        }
    }
}

/// One panel of a view whose index is contiguous: each step is a copy.
fn pack_columns<const WIDTH: usize>(
    panel: &mut [f32],
    view: View<'_>,
    start: usize,
    width: usize,
    inner: Range<usize>,
) {
    let (steps, _) = panel.as_chunks_mut::<WIDTH>();
    for (k, step) in inner.zip(steps) {
        let source = &view.data[start + k * view.inner_stride..][..width];
        if let Some(full) = source.first_chunk::<WIDTH>() {
            *step = *full;
        } else {
            step[..width].copy_from_slice(source);
            step[width..].fill(0.0);
        }
    }
}

/// One panel of a view whose inner dimension is contiguous: a transpose.
///
/// It goes through a square of `WIDTH` rows by `SQUARE` steps. Reading step after step across the rows
/// instead would touch `WIDTH` cache lines for each step, and where the stride is a multiple of the
/// page size they evict each other.
fn pack_rows<const WIDTH: usize>(panel: &mut [f32], view: View<'_>, start: usize, width: usize, inner: Range<usize>) {
    const SQUARE: usize = 16;
    let mut square = [[0.0; SQUARE]; WIDTH];
    let (steps, _) = panel.as_chunks_mut::<WIDTH>();
    for (k, steps) in inner.clone().step_by(SQUARE).zip(steps.chunks_mut(SQUARE)) {
        for (index, row) in square.iter_mut().enumerate().take(width) {
            let source = &view.data[(start + index) * view.index_stride + k..][..steps.len()];
            match source.first_chunk::<SQUARE>() {
                Some(full) => *row = *full,
                None => row[..steps.len()].copy_from_slice(source),
            }
        }
        for (k, step) in steps.iter_mut().enumerate() {
            for (index, number) in step.iter_mut().enumerate() {
                *number = square[index][k];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs part of a matrix through both views and compares with the definition of a panel.
    fn check<const WIDTH: usize>(indices: Range<usize>, inner: Range<usize>) {
        let (rows, columns) = (indices.end + 2, inner.end + 3);
        let number = |index: usize, k: usize| (index * 1000 + k) as f32;
        let by_rows: Vec<f32> = (0..rows * columns).map(|at| number(at / columns, at % columns)).collect();
        let by_columns: Vec<f32> = (0..rows * columns).map(|at| number(at % rows, at / rows)).collect();
        for view in [View::rows(&by_rows, columns), View::columns(&by_columns, rows)] {
            let mut packed = vec![f32::NAN; packed_len::<WIDTH>(indices.len(), inner.len())];
            pack::<WIDTH>(&mut packed, view, indices.clone(), inner.clone());
            for (at, &got) in packed.iter().enumerate() {
                let (panel, k, lane) = (at / WIDTH / inner.len(), at / WIDTH % inner.len(), at % WIDTH);
                let index = indices.start + panel * WIDTH + lane;
                let expected = if index < indices.end { number(index, inner.start + k) } else { 0.0 };
                assert_eq!(got, expected, "panel {panel}, step {k}, lane {lane}");
            }
        }
    }

    #[test]
    fn panels_hold_what_their_definition_says() {
        for len in [0, 1, 5, 6, 7, 13, 16, 17, 37] {
            check::<6>(2..2 + len, 3..40);
            check::<COLUMNS>(0..len, 1..17);
            check::<COLUMNS>(1..18, 0..len);
        }
    }
}
