//! Working memory that each thread keeps for the next call.
//!
//! After the first calls have grown the buffers, a launch allocates nothing.

use std::cell::RefCell;

use super::lines::{LINE, Line, floats_mut, try_zeros};

thread_local! {
    /// The buffers that are not in use.
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `len` numbers of working memory, aligned to a cache line. What they hold at first
/// is unspecified: NaN in builds with debug assertions, so that a read before the first write shows.
pub(crate) fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let needed = len.div_ceil(LINE);
    let mut lines = FREE.with_borrow_mut(|free| take_best(free, needed));
    if lines.len() < needed {
        // The old memory goes first, and its numbers are not copied.
        drop(std::mem::take(&mut lines));
        lines =
            try_zeros(needed).unwrap_or_else(|error| panic!("working memory of a launch, which cannot fail: {error}"));
    }
    let numbers = &mut floats_mut(&mut lines)[..len];
    if cfg!(debug_assertions) {
        numbers.fill(f32::NAN);
    }
    let result = work(numbers);
    FREE.with_borrow_mut(|free| free.push(lines));
    result
}

/// The smallest buffer that suffices; otherwise the largest, which has to grow, so that there are never more
/// large ones than are in use at once.
fn take_best(free: &mut Vec<Vec<Line>>, needed: usize) -> Vec<Line> {
    let fitting = (0..free.len()).filter(|&at| free[at].len() >= needed).min_by_key(|&at| free[at].len());
    let best = fitting.or_else(|| (0..free.len()).max_by_key(|&at| free[at].len()));
    best.map(|at| free.swap_remove(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_memory_comes_back() {
        let first = with(100, |outer| {
            outer.fill(1.0);
            with(10, |inner| inner.fill(2.0));
            assert!(outer.iter().all(|&number| number == 1.0));
            outer.as_ptr() as usize
        });
        let second = with(90, |outer| outer.as_ptr() as usize);
        assert_eq!(first, second);
        assert_eq!(first % 64, 0);
    }
}
