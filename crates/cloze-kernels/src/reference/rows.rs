//! Rows: tables of embeddings, gathering and scattering.

use super::memory::{add_scaled, row, row_mut};
use crate::{Size, Span};

pub(super) fn embedding_forward(y: &mut [f64], tables: &[(&Vec<f64>, &Vec<u32>)], size: Size) {
    for r in 0..size.rows {
        let y = row_mut(y, r, size.columns);
        y.fill(0.0);
        for (table, index) in tables {
            add_scaled(y, 1.0, row(table, index[r] as usize, size.columns));
        }
    }
}

pub(super) fn embedding_backward(gradients: &mut [f64], table: Span, dy: &[f64], index: &[u32], size: Size) {
    scatter_add_rows(&mut gradients[table.range()], dy, index, size);
}

pub(super) fn gather_rows(y: &mut [f64], x: &[f64], rows: &[u32], size: Size) {
    for (r, from) in rows[..size.rows].iter().enumerate() {
        row_mut(y, r, size.columns).copy_from_slice(row(x, *from as usize, size.columns));
    }
}

pub(super) fn scatter_add_rows(dx: &mut [f64], dy: &[f64], rows: &[u32], size: Size) {
    for (r, to) in rows[..size.rows].iter().enumerate() {
        add_scaled(row_mut(dx, *to as usize, size.columns), 1.0, row(dy, r, size.columns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { rows: 3, columns: 2 };

    #[test]
    fn tables_are_summed_row_by_row() {
        let words = vec![1.0, 2.0, 3.0, 4.0];
        let positions = vec![10.0, 20.0, 30.0, 40.0, 50.0, 60.0];
        let mut y = [f64::NAN; 6];
        embedding_forward(&mut y, &[(&words, &vec![1, 0, 1]), (&positions, &vec![0, 1, 2])], SIZE);
        assert_eq!(y, [13.0, 24.0, 31.0, 42.0, 53.0, 64.0]);
    }

    #[test]
    fn a_row_taken_twice_gets_both_gradients() {
        let mut y = [f64::NAN; 6];
        gather_rows(&mut y, &[1.0, 2.0, 3.0, 4.0], &[1, 0, 1], SIZE);
        assert_eq!(y, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
        let mut dx = [100.0; 4];
        scatter_add_rows(&mut dx, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[1, 0, 1], SIZE);
        assert_eq!(dx, [103.0, 104.0, 106.0, 108.0]);
    }
}
