//! Rows of tables and buffers, picked by index: embeddings, gather, scatter.

use std::ops::Deref;

use super::chunks::{chunks, chunks_mut, for_each_part};
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
    for_each_part(chunks_mut(&mut y[..rows * columns], task_rows * columns), |task, y| {
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
    let tasks = (chunks_mut(&mut y[..count * columns], task_rows * columns), chunks(&rows[..count], task_rows));
    for_each_part(tasks, |_, (y, rows)| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::{levels, numbers, on_threads};

    fn indices(len: usize, below: u32) -> Vec<u32> {
        (0..len as u32).map(|i| i.wrapping_mul(2_654_435_761) % below).collect()
    }

    #[test]
    fn embeddings_are_sums_of_rows_of_tables() {
        for (rows, columns) in [(0, 5), (1, 1), (7, 13), (37, 7), (50, 768)] {
            let tables = [numbers(11 * columns, 1), numbers(5 * columns, 2), numbers(2 * columns, 3)];
            let index = [indices(rows, 11), indices(rows, 5), indices(rows, 2)];
            let size = Size { rows, columns };
            for level in levels() {
                let mut y = vec![f32::NAN; rows * columns + 1];
                let all = [(&tables[0], &index[0]), (&tables[1], &index[1]), (&tables[2], &index[2])];
                embedding_forward(level, &mut y, &all, size);
                for (i, y) in y[..rows * columns].iter().enumerate() {
                    let of = |t: usize| tables[t][index[t][i / columns] as usize * columns + i % columns];
                    assert_eq!(*y, of(0) + of(1) + of(2), "element {i} of {size:?}");
                }
                assert!(y[rows * columns].is_nan(), "wrote behind the rows");
            }
        }
    }

    #[test]
    fn gradients_of_a_table_are_added_in_the_order_of_the_rows() {
        for (rows, columns) in [(0, 5), (1, 1), (37, 7), (60, 770)] {
            let (dy, index) = (numbers(rows * columns, 1), indices(rows, 5));
            let size = Size { rows, columns };
            let mut expected = numbers(5 * columns + 9, 2);
            for i in 0..rows * columns {
                expected[4 + index[i / columns] as usize * columns + i % columns] += dy[i];
            }
            for level in levels() {
                for threads in [1, 3] {
                    let mut gradients = numbers(5 * columns + 9, 2);
                    let table = Span { start: 4, len: 5 * columns };
                    on_threads(threads, || embedding_backward(level, &mut gradients, table, &dy, &index, size));
                    assert_eq!(gradients, expected, "{size:?}, {threads} threads");
                }
            }
        }
    }

    #[test]
    fn scatter_is_the_backward_of_gather() {
        for (rows, columns) in [(0, 5), (1, 1), (7, 37), (40, 1000)] {
            let size = Size { rows, columns };
            let (x, index) = (numbers(9 * columns + 1, 1), indices(rows, 9));
            let mut y = vec![0.0; rows * columns];
            gather(&mut y, &x, &index, size);
            for (i, y) in y.iter().enumerate() {
                assert_eq!(*y, x[index[i / columns] as usize * columns + i % columns]);
            }
            let mut expected = x.clone();
            for i in 0..rows * columns {
                expected[index[i / columns] as usize * columns + i % columns] += y[i];
            }
            for level in levels() {
                let mut dx = x.clone();
                on_threads(2, || scatter_add(level, &mut dx, &y, &index, size));
                assert_eq!(dx, expected);
            }
        }
    }

    #[test]
    #[should_panic(expected = "row 3 of 3 rows")]
    fn an_index_behind_the_table_is_refused() {
        gather(&mut [0.0; 2], &[0.0; 6], &[3], Size { rows: 1, columns: 2 });
    }
}
