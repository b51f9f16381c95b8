//! Buffers, and the rows in them.

use crate::Error;

/// A vector of `len` zeros.
pub(super) fn zeros(len: usize) -> Result<Vec<f64>, Error> {
    let mut values = Vec::new();
    reserve(&mut values, len)?;
    values.resize(len, 0.0);
    Ok(values)
}

/// Makes `x` hold exactly `values`.
pub(super) fn write_indices(x: &mut Vec<u32>, values: &[u32]) -> Result<(), Error> {
    x.clear();
    reserve(x, values.len())?;
    x.extend_from_slice(values);
    Ok(())
}

fn reserve<T>(values: &mut Vec<T>, len: usize) -> Result<(), Error> {
    let bytes = len as u128 * size_of::<T>() as u128;
    values.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { bytes })
}

/// Row `index` of `x [rows, columns]`.
pub(super) fn row(x: &[f64], index: usize, columns: usize) -> &[f64] {
    &x[index * columns..][..columns]
}

/// Row `index` of `x [rows, columns]`, to write to.
pub(super) fn row_mut(x: &mut [f64], index: usize, columns: usize) -> &mut [f64] {
    &mut x[index * columns..][..columns]
}

/// `Σ a · b`.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `y += scale · x`.
pub(super) fn add_scaled(y: &mut [f64], scale: f64, x: &[f64]) {
    assert_eq!(y.len(), x.len());
    for (y, x) in y.iter_mut().zip(x) {
        *y += scale * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_no_machine_has_is_an_error() {
        assert!(matches!(zeros(usize::MAX), Err(Error::OutOfMemory { bytes }) if bytes == usize::MAX as u128 * 8));
    }

    #[test]
    fn rows_follow_each_other() {
        assert_eq!(row(&[1.0, 2.0, 3.0, 4.0, 5.0], 1, 2), [3.0, 4.0]);
    }
}
