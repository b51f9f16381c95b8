//! Rows of tables and buffers, picked by index: embeddings, gather, scatter.

use std::ops::Deref;

use rayon::prelude::*;

use super::disjoint::{for_each_stripe, rows_per_task, stripe_width};
use super::simd::{Level, multiversion};
use crate::{Size, Span};

/// `y[r] = Σ_t table_t[index_t[r]]`, the tables in the given order: y `[rows, columns]`.
pub(crate) fn embedding_forward<V, I>(level: Level, y: &mut [f32], tables: &[(&V, &I)], size: Size)
where
    V: Deref<Target = [f32]> + Sync,
    I: Deref<Target = [u32]> + Sync,
{
    let Size { rows, columns } = size;
    if rows * columns == 0 {
        return;
    }
    let task_rows = rows_per_task(columns);
    let tasks = y[..rows * columns].par_chunks_mut(task_rows * columns).enumerate();
    tasks.for_each(|(task, y)| {
        let first = task * task_rows;
        for (row, y) in (first..).zip(y.chunks_exact_mut(columns)) {
            let Some(((table, index), others)) = tables.split_first() else {
                y.fill(0.0);
                continue;
            };
            y.copy_from_slice(table_row(table, index[row], columns));
            for (table, index) in others {
                add(level, y, table_row(table, index[row], columns));
            }
        }
    });
}

/// Adds the gradient of one table to `gradients[table]`: `table[index[r]] += dy[r]`, rows in order.
pub(crate) fn embedding_backward(
    level: Level,
    gradients: &mut [f32],
    table: Span,
    dy: &[f32],
    index: &[u32],
    size: Size,
) {
    add_rows(level, &mut gradients[table.range()], dy, index, size);
}

/// `y[r] = x[rows[r]]`; `size` is that of y.
pub(crate) fn gather(y: &mut [f32], x: &[f32], rows: &[u32], size: Size) {
    let Size { rows: count, columns } = size;
    if count * columns == 0 {
        return;
    }
    let task_rows = rows_per_task(columns);
    let tasks = y[..count * columns].par_chunks_mut(task_rows * columns).zip(rows[..count].par_chunks(task_rows));
    tasks.for_each(|(y, rows)| {
        for (y, row) in y.chunks_exact_mut(columns).zip(rows) {
            y.copy_from_slice(table_row(x, *row, columns));
        }
    });
}

/// `dx[rows[r]] += dy[r]`, rows in order; `size` is that of dy.
pub(crate) fn scatter_add(level: Level, dx: &mut [f32], dy: &[f32], rows: &[u32], size: Size) {
    add_rows(level, dx, dy, rows, size);
}

/// `x[index[r]] += dy[r]`. An index may occur many times, therefore threads split the columns.
fn add_rows(level: Level, x: &mut [f32], dy: &[f32], index: &[u32], size: Size) {
    let Size { rows, columns } = size;
    if rows * columns == 0 {
        return;
    }
    let (dy, index) = (&dy[..rows * columns], &index[..rows]);
    // A buffer may end with less than a row.
    let whole = x.len() - x.len() % columns;
    for_each_stripe(&mut x[..whole], columns, stripe_width(columns, rows * columns), |mut stripe| {
        let range = stripe.columns();
        for (dy, row) in dy.chunks_exact(columns).zip(index) {
            add(level, stripe.row(*row as usize), &dy[range.clone()]);
        }
    });
}

fn table_row(table: &[f32], row: u32, columns: usize) -> &[f32] {
    let start = row as usize * columns;
    assert!(start + columns <= table.len(), "row {row} of {} rows", table.len() / columns);
    &table[start..start + columns]
}

multiversion! {
    /// `y += x`.
    fn add(y: &mut [f32], x: &[f32]) = add_body
}

#[inline(always)]
fn add_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}
