//! One buffer, written by several threads in places that do not overlap.

use std::marker::PhantomData;
use std::ops::Range;

/// An exclusive borrow of a slice that several threads have at once, each of which writes elements of
/// its own. Splitting the slice cannot say this where the parts interleave, as the blocks of a
/// row-major matrix do.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<'a> {
    pointer: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer stands for an exclusive borrow of numbers, which may be sent and used anywhere;
// `slice` leaves it to its caller that no two threads reach the same element.
unsafe impl Send for SharedMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedMut<'_> {}

impl<'a> SharedMut<'a> {
    /// Borrows `slice` for as long as its parts are in use.
    pub(crate) fn new(slice: &'a mut [f32]) -> SharedMut<'a> {
        SharedMut { pointer: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// A pointer to the first of the elements in `range`, for code that does not go through slices.
    ///
    /// # Safety
    ///
    /// Through the pointer only these elements are read and written, and as long as that happens nothing
    /// else reads or writes them.
    pub(crate) unsafe fn pointer(self, range: Range<usize>) -> *mut f32 {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {} elements", self.len);
        // SAFETY: the range lies within the borrowed slice.
        unsafe { self.pointer.add(range.start) }
    }

    /// The elements in `range`.
    ///
    /// # Safety
    ///
    /// While the result lives, nothing else reads or writes these elements: no other result of this
    /// function, on any thread, overlaps it.
    #[inline(always)]
    pub(crate) unsafe fn slice(self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {} elements", self.len);
        // SAFETY: the range lies within the borrowed slice, and the caller keeps it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(range.start), range.end - range.start) }
    }
}
