//! Memory in cache lines, so that a row of a packed panel never straddles two of them.

use crate::Error;

/// Numbers in a line.
pub(crate) const LINE: usize = 16;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; LINE]);

impl Line {
    /// A line of zeros.
    pub(crate) const ZERO: Line = Line([0.0; LINE]);
}

/// The numbers of the lines.
pub(crate) fn floats(lines: &[Line]) -> &[f32] {
    // SAFETY: a `Line` is exactly `LINE` numbers (64 bytes, aligned to 64: no padding), so the memory
    // of `lines` holds `lines.len() · LINE` initialised numbers under the same borrow.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE) }
}

/// The numbers of the lines, to be written.
pub(crate) fn floats_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: as in `floats`; the borrow is exclusive, and every bit pattern is a number.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE) }
}

/// `len` copies of `value`, or an error where memory does not suffice.
pub(crate) fn try_filled<T: Clone>(value: T, len: usize) -> Result<Vec<T>, Error> {
    let mut values = Vec::new();
    try_reserve(&mut values, len)?;
    values.resize(len, value);
    Ok(values)
}

/// Room for `len` more elements, or an error where memory does not suffice.
pub(crate) fn try_reserve<T>(values: &mut Vec<T>, len: usize) -> Result<(), Error> {
    let bytes = len as u128 * size_of::<T>() as u128;
    values.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_seen_as_their_numbers() {
        let mut lines = [Line::ZERO; 3];
        floats_mut(&mut lines)[17] = 5.0;
        assert_eq!(floats(&lines).len(), 48);
        assert_eq!(lines[1].0[1], 5.0);
        assert_eq!(floats(&lines).as_ptr() as usize % 64, 0);
    }

    #[test]
    fn too_much_memory_is_an_error() {
        let error = try_filled(Line::ZERO, usize::MAX).expect_err("no machine has this much memory");
        assert!(error.to_string().contains("bytes"), "{error}");
    }
}
