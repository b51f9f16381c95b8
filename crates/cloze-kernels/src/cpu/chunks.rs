//! Slices cut into chunks of one length, for the threads of a pool: several slices in step.

use std::marker::PhantomData;

use super::pool;

/// Something that can be handed out in parts, each once.
///
/// # Safety
///
/// Different parts may be used by different threads at the same time.
pub(crate) unsafe trait Parts: Sync {
    /// One part.
    type Part;

    /// Number of parts.
    fn count(&self) -> usize;

    /// The part `at`, below the number of parts.
    ///
    /// # Safety
    ///
    /// Each part is asked for at most once.
    unsafe fn part(&self, at: usize) -> Self::Part;
}

/// Calls `work` with every part and its number, in parallel; there are as many as the shortest has.
pub(crate) fn for_each_part<P: Parts>(parts: P, work: impl Fn(usize, P::Part) + Sync) {
    // SAFETY: every number comes once.
    pool::for_each(parts.count(), |at| work(at, unsafe { parts.part(at) }));
}

/// Chunks of `len` elements to be written; the last may be shorter.
pub(crate) struct ChunksMut<'a, T> {
    pointer: *mut T,
    elements: usize,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

/// Cuts a slice.
pub(crate) fn chunks_mut<T>(slice: &mut [T], len: usize) -> ChunksMut<'_, T> {
    assert!(len > 0);
    ChunksMut { pointer: slice.as_mut_ptr(), elements: slice.len(), len, borrow: PhantomData }
}

// SAFETY: it stands for an exclusive borrow, whose parts do not overlap.
unsafe impl<T: Send> Sync for ChunksMut<'_, T> {}

// SAFETY: parts do not overlap.
unsafe impl<'a, T: Send> Parts for ChunksMut<'a, T> {
    type Part = &'a mut [T];

    fn count(&self) -> usize {
        self.elements.div_ceil(self.len)
    }

    unsafe fn part(&self, at: usize) -> &'a mut [T] {
        assert!(at < self.count());
        let first = at * self.len;
        // SAFETY: the chunk lies within the slice, and is lent out once.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(first), self.len.min(self.elements - first)) }
    }
}

/// Chunks of `len` elements to be read; the last may be shorter.
pub(crate) struct Chunks<'a, T> {
    slice: &'a [T],
    len: usize,
}

/// Cuts a slice.
pub(crate) fn chunks<T>(slice: &[T], len: usize) -> Chunks<'_, T> {
    assert!(len > 0);
    Chunks { slice, len }
}

// SAFETY: parts are only read.
unsafe impl<'a, T: Sync> Parts for Chunks<'a, T> {
    type Part = &'a [T];

    fn count(&self) -> usize {
        self.slice.len().div_ceil(self.len)
    }

    unsafe fn part(&self, at: usize) -> &'a [T] {
        let first = at * self.len;
        &self.slice[first..self.slice.len().min(first + self.len)]
    }
}

/// Nothing or parts, handed out as an option.
// SAFETY: those of the inner parts.
unsafe impl<P: Parts> Parts for Option<P> {
    type Part = Option<P::Part>;

    fn count(&self) -> usize {
        self.as_ref().map_or(usize::MAX, P::count)
    }

    unsafe fn part(&self, at: usize) -> Option<P::Part> {
        // SAFETY: passed on.
        self.as_ref().map(|parts| unsafe { parts.part(at) })
    }
}

macro_rules! in_step {
    ($($name:ident $index:tt),*) => {
        // SAFETY: those of each.
        unsafe impl<$($name: Parts),*> Parts for ($($name,)*) {
            type Part = ($($name::Part,)*);

            fn count(&self) -> usize {
                [$(self.$index.count()),*].into_iter().min().unwrap_or(0)
            }

            unsafe fn part(&self, at: usize) -> Self::Part {
                // SAFETY: passed on.
                unsafe { ($(self.$index.part(at),)*) }
            }
        }
    };
}

in_step!(A 0, B 1);
in_step!(A 0, B 1, C 2);
in_step!(A 0, B 1, C 2, D 3);
in_step!(A 0, B 1, C 2, D 3, E 4);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::on_threads;

    #[test]
    fn slices_in_step_are_covered_once() {
        let from: Vec<u32> = (0..1001).collect();
        let (mut doubled, mut counts) = (vec![0; 1001], vec![0; 11]);
        on_threads(3, || {
            let parts =
                (chunks_mut(&mut doubled, 100), chunks(&from, 100), chunks_mut(&mut counts, 1), None::<Chunks<u8>>);
            for_each_part(parts, |at, (to, from, count, nothing)| {
                assert!(nothing.is_none() && from[0] == 100 * at as u32);
                to.iter_mut().zip(from).for_each(|(to, from)| *to += 2 * from);
                count[0] += to.len();
            });
        });
        assert!(doubled.iter().zip(&from).all(|(doubled, from)| *doubled == 2 * from));
        assert_eq!(counts, [vec![100; 10], vec![1]].concat());
    }
}
