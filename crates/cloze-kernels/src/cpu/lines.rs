//! Memory in cache lines, so that a row of a packed panel never straddles two of them.

use crate::Error;

/// Numbers in a line.
pub(crate) const LINE: usize = 16;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; LINE]);

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

/// Types for which memory full of zero bytes holds valid values.
///
/// # Safety
///
/// All bits zero are a value of the type.
pub(crate) unsafe trait Zero {}

// SAFETY: these bits are 0.0.
unsafe impl Zero for f32 {}
// SAFETY: as for the numbers in it.
unsafe impl Zero for Line {}

/// `len` zeros, or an error where memory does not suffice. The system has zeroed the memory, and gives it
/// only when it is first touched.
pub(crate) fn try_zeros<T: Zero>(len: usize) -> Result<Vec<T>, Error> {
    let out_of_memory = || Error::OutOfMemory { bytes: len as u128 * size_of::<T>() as u128 };
    let layout = std::alloc::Layout::array::<T>(len).map_err(|_| out_of_memory())?;
    if layout.size() == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the size is not zero.
    let memory = unsafe { std::alloc::alloc_zeroed(layout) }.cast::<T>();
    if memory.is_null() {
        return Err(out_of_memory());
    }
    // SAFETY: the global allocator gave this memory for `len` elements, and zeros are values of them.
    let mut values = unsafe { Vec::from_raw_parts(memory, 0, len) };
    ask_for_large_pages(values.spare_capacity_mut());
    // SAFETY: as above.
    unsafe { values.set_len(len) };
    Ok(values)
}

/// Room for `len` more elements, or an error where memory does not suffice.
pub(crate) fn try_reserve<T>(values: &mut Vec<T>, len: usize) -> Result<(), Error> {
    let bytes = len as u128 * size_of::<T>() as u128;
    values.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { bytes })?;
    ask_for_large_pages(values.spare_capacity_mut());
    Ok(())
}

/// Asks the system to back memory that nobody has touched yet with pages of 2 MiB. The processor then
/// reads ahead further, looks up fewer addresses, and the system hands it out faster. No more than a wish.
fn ask_for_large_pages<T>(memory: &mut [std::mem::MaybeUninit<T>]) {
    const LARGE_PAGE: usize = 2 << 20;
    const PAGE: usize = 4096;
    let bytes = size_of_val(memory);
    if bytes < 2 * LARGE_PAGE {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        let address = memory.as_mut_ptr() as usize;
        let first = address.next_multiple_of(PAGE);
        let whole = (address + bytes - first) / PAGE * PAGE;
        // SAFETY: the range lies within memory of ours; the advice changes nothing that can be seen.
        unsafe { libc::madvise(first as *mut libc::c_void, whole, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = PAGE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_seen_as_their_numbers() {
        let mut lines = try_zeros::<Line>(3).expect("memory");
        floats_mut(&mut lines)[17] = 5.0;
        assert_eq!(floats(&lines).len(), 48);
        assert_eq!(lines[1].0[1], 5.0);
        assert_eq!(floats(&lines).as_ptr() as usize % 64, 0);
    }

    #[test]
    fn too_much_memory_is_an_error() {
        let error = try_zeros::<Line>(usize::MAX / 64).expect_err("no machine has this much memory");
        assert!(error.to_string().contains("bytes"), "{error}");
    }
}
