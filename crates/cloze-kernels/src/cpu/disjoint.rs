//! How the threads share a buffer: which one writes what.
//!
//! Work is split where no sum runs. An operation whose rows do not depend on each other is split by
//! rows, with the slices' own `par_chunks_mut`; one that adds up rows is split by columns, with
//! [`for_each_stripe`], so that every column remains one chain in the order of the rows.

use std::ops::Range;

use super::pool;
use super::shared::SharedMut;
use crate::Span;

/// Elements that are worth a task of their own; less stays on the thread that asks. 16,384 cheap
/// operations take about as long as waking another thread.
pub(crate) const GRAIN: usize = 16 * 1024;

/// Rows of `columns` elements that are worth a task of their own.
pub(crate) fn rows_per_task(columns: usize) -> usize {
    (GRAIN / columns.max(1)).max(1)
}

/// How wide to cut the stripes of a buffer of rows of `columns` elements when the work on the whole
/// of it is `elements`: one stripe for each thread, or fewer when there is little to do. A width is a
/// multiple of a cache line, so that two threads rarely write the same one.
pub(crate) fn stripe_width(columns: usize, elements: usize) -> usize {
    let tasks = elements / GRAIN;
    let tasks = if tasks > 1 { tasks.min(pool::threads()) } else { 1 };
    columns.div_ceil(tasks).next_multiple_of(16).max(16)
}

/// Some neighbouring columns of all rows of a buffer, for one thread to write.
pub(crate) struct Stripe<'a> {
    buffer: SharedMut<'a>,
    /// Elements from the beginning of a row to the beginning of the next.
    stride: usize,
    columns: Range<usize>,
}

impl Stripe<'_> {
    /// The columns of the buffer that this stripe has.
    pub(crate) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The stripe's part of one row.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        let start = row * self.stride;
        // SAFETY: the columns are the first `stride`, so that the part lies in this row and in these
        // columns, which no other stripe has; and the parts of this stripe are lent out one at a time,
        // by `&mut self`.
        unsafe { self.buffer.slice(start + self.columns.start..start + self.columns.end) }
    }
}

/// Cuts the rows `[rows, columns]` of `buffer` into stripes of `width` columns (the last may be
/// narrower), and calls `work` once for each, in parallel if there are several.
pub(crate) fn for_each_stripe(buffer: &mut [f32], columns: usize, width: usize, work: impl Fn(Stripe) + Sync + Send) {
    if columns == 0 {
        return;
    }
    assert!(width > 0 && buffer.len().is_multiple_of(columns), "{} elements in rows of {columns}", buffer.len());
    let buffer = SharedMut::new(buffer);
    let stripe = |index: usize| {
        let columns_of_stripe = index * width..((index + 1) * width).min(columns);
        Stripe { buffer, stride: columns, columns: columns_of_stripe }
    };
    match columns.div_ceil(width) {
        1 => work(stripe(0)),
        count => pool::for_each(count, |index| work(stripe(index))),
    }
}

/// Two spans of one vector, which must not overlap.
pub(crate) fn two_spans_mut(x: &mut [f32], first: Span, second: Span) -> (&mut [f32], &mut [f32]) {
    if first.start > second.start {
        let (second, first) = two_spans_mut(x, second, first);
        return (first, second);
    }
    assert!(first.start + first.len <= second.start, "{first:?} overlaps {second:?}");
    let (front, back) = x.split_at_mut(second.start);
    (&mut front[first.range()], &mut back[..second.len])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_cover_every_element_once() {
        for (rows, columns, width) in [(0, 5, 2), (1, 1, 1), (7, 37, 16), (13, 48, 16), (3, 16, 64)] {
            let mut buffer = vec![0.0; rows * columns];
            for_each_stripe(&mut buffer, columns, width, |mut stripe| {
                let first = stripe.columns().start;
                for row in 0..rows {
                    for (column, x) in stripe.row(row).iter_mut().enumerate() {
                        *x += (row * columns + first + column) as f32 + 1.0;
                    }
                }
            });
            for (index, x) in buffer.iter().enumerate() {
                assert_eq!(*x, index as f32 + 1.0, "{rows} rows of {columns}, width {width}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "of 6 elements")]
    fn a_stripe_has_no_row_behind_the_last() {
        for_each_stripe(&mut [0.0; 6], 3, 3, |mut stripe| stripe.row(2).fill(1.0));
    }

    #[test]
    fn little_work_is_one_stripe() {
        assert_eq!(stripe_width(768, GRAIN), 768);
        assert_eq!(stripe_width(5, 1 << 30) % 16, 0);
    }
}
