//! Threads that share loops.
//!
//! A forward pass is hundreds of loops of some ten microseconds, one after the other. Waking a sleeping
//! thread takes as long as such a loop, so threads that have nothing to do look for the next loop for a
//! while before they sleep. A loop's turns are handed out one by one, so that a thread which is held up
//! does not hold up the others.
//!
//! ```text
//! caller: job = loop; open; while (turn = next++) < count { work(turn) }; close; wait until nobody is in
//! worker: when open: enter; while (turn = next++) < count { work(turn) }; leave
//! ```
//!
//! Nobody has to come: a worker that wakes up too late finds the job closed.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an idle thread looks for work before it sleeps.
const PATIENCE: Duration = Duration::from_micros(200);

/// The lowest bit of the state: the job may be entered.
const OPEN: u64 = 1;
/// One thread more in the job.
const INSIDE: u64 = 2;
/// The bits that count the threads inside, and the open bit.
const OPEN_AND_INSIDE: u64 = (1 << 32) - 1;
/// One job more.
const JOB: u64 = 1 << 32;

/// A number of threads, the caller's included.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    workers: Vec<JoinHandle<()>>,
}

/// A loop: its body, by address, and the number of turns.
#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    count: usize,
}

struct Shared {
    /// The number of the job, how many workers are in it, and whether more may enter.
    state: AtomicU64,
    /// Written by the owner while the job is closed and empty, read by workers that are in it.
    job: Cell<Option<Job>>,
    /// The next turn of the job.
    next: AtomicUsize,
    /// Whether some caller has a job; another one then works alone.
    owned: AtomicBool,
    /// A panic of a worker, for the owner.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Workers that sleep, or are about to.
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
}

// SAFETY: `job` is written by the one owner, while no worker is in the job, and read by workers only
// while they are; entering and leaving go through `state`, which orders them. The address in it is of a
// function that may be called from any thread.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

thread_local! {
    /// The pool whose scope this thread is in; none while it takes part in a loop.
    static CURRENT: Cell<Option<*const Pool>> = const { Cell::new(None) };
}

impl Pool {
    /// Starts a pool of `threads` threads, of which the caller of [`Pool::scope`] is one.
    pub(crate) fn new(threads: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: Cell::new(None),
            next: AtomicUsize::new(0),
            owned: AtomicBool::new(false),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let mut pool = Pool { shared, threads, workers: Vec::new() };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new().name(format!("cpu-{index}"));
            // The workers that have started are stopped when `pool` is dropped.
            pool.workers.push(worker.spawn(move || shared.serve())?);
        }
        Ok(pool)
    }

    /// Runs `work` on this thread; the loops in it are shared with the pool's other threads.
    pub(crate) fn scope<R>(&self, work: impl FnOnce() -> R) -> R {
        let _restore = Restore(CURRENT.replace(Some(self)));
        work()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(guard(&self.shared.lock));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its work, and has none of its own.
            let _ = worker.join();
        }
    }
}

/// Puts back the pool that a thread had, also when its work panics.
struct Restore(Option<*const Pool>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Threads that a loop would be shared by.
pub(crate) fn threads() -> usize {
    // SAFETY: the pool outlives the scope that it was set for.
    CURRENT.get().map_or(1, |pool| unsafe { (*pool).threads })
}

/// Calls `work` once with every number below `count`, on all threads of the pool in whose scope this is;
/// in no scope, or within such a call, on this thread alone.
pub(crate) fn for_each(count: usize, work: impl Fn(usize) + Sync) {
    let pool = match CURRENT.get() {
        // SAFETY: the pool outlives the scope that it was set for.
        Some(pool) if count > 1 => unsafe { &*pool },
        _ => return (0..count).for_each(work),
    };
    if pool.threads == 1 || pool.shared.owned.swap(true, Ordering::Acquire) {
        return (0..count).for_each(work);
    }
    let _restore = Restore(CURRENT.replace(None));
    let shared = &*pool.shared;
    let work: &(dyn Fn(usize) + Sync) = &work;
    // SAFETY: only the lifetime changes. Nobody is left in the job when this function returns.
    let work: *const (dyn Fn(usize) + Sync) =
        unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(work) };
    shared.job.set(Some(Job { work, count }));
    shared.next.store(0, Ordering::Relaxed);
    shared.state.fetch_add(JOB + OPEN, Ordering::SeqCst);
    if shared.sleepers.load(Ordering::SeqCst) > 0 {
        drop(guard(&shared.lock));
        shared.wake.notify_all();
    }
    let result = catch_unwind(AssertUnwindSafe(|| shared.take_part()));
    // After a panic the turns that are left are not taken any more.
    shared.next.store(usize::MAX / 2, Ordering::Relaxed);
    shared.state.fetch_and(!OPEN, Ordering::SeqCst);
    let mut looks = 0_u32;
    while shared.state.load(Ordering::Acquire) & OPEN_AND_INSIDE != 0 {
        pause(&mut looks);
    }
    let panic = guard(&shared.panic).take();
    shared.owned.store(false, Ordering::Release);
    if let Some(panic) = result.err().or(panic) {
        resume_unwind(panic);
    }
}

impl Shared {
    /// What a worker does for the whole of its life.
    fn serve(&self) {
        let mut last = 0;
        while let Some(state) = self.wait_for_job(last) {
            let entered = state + INSIDE;
            if self.state.compare_exchange(state, entered, Ordering::SeqCst, Ordering::Relaxed).is_err() {
                continue;
            }
            last = state / JOB;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take_part())) {
                *guard(&self.panic) = Some(panic);
            }
            self.state.fetch_sub(INSIDE, Ordering::Release);
        }
    }

    /// Takes turns until there are none.
    fn take_part(&self) {
        let Job { work, count } = self.job.get().expect("a job that can be entered was set");
        loop {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            if turn >= count {
                break;
            }
            // SAFETY: the owner waits until this thread has left the job, and keeps the function until then.
            unsafe { (*work)(turn) };
        }
    }

    /// The state when it shows a job that may be entered and is not number `last`; none when the pool stops.
    fn wait_for_job(&self, last: u64) -> Option<u64> {
        let is_new = |state: u64| state & OPEN != 0 && state / JOB != last;
        loop {
            let start = Instant::now();
            let mut looks = 0;
            while start.elapsed() < PATIENCE {
                let state = self.state.load(Ordering::Acquire);
                if is_new(state) {
                    return Some(state);
                }
                for _ in 0..16 {
                    pause(&mut looks);
                }
            }
            let lock = guard(&self.lock);
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            let state = self.state.load(Ordering::SeqCst);
            let stop = self.stop.load(Ordering::SeqCst);
            if !is_new(state) && !stop {
                drop(self.wake.wait(lock).unwrap_or_else(PoisonError::into_inner));
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
            if stop {
                return None;
            }
        }
    }
}

/// Waits a moment; after many moments, lets other programs use the core.
fn pause(looks: &mut u32) {
    *looks += 1;
    if looks.is_multiple_of(4096) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// The lock; that another thread panicked while it had it changes nothing here.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pool: &Pool, count: usize) -> Vec<usize> {
        let counts: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        pool.scope(|| {
            for_each(count, |at| {
                counts[at].fetch_add(1, Ordering::Relaxed);
            });
        });
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn every_turn_is_taken_once() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads).expect("threads");
            for count in [0, 1, 2, 7, 1000] {
                for _ in 0..50 {
                    assert!(counts(&pool, count).iter().all(|count| *count == 1), "{count} turns, {threads} threads");
                }
            }
        }
    }

    #[test]
    fn threads_that_slept_take_part_again() {
        let pool = Pool::new(2).expect("threads");
        for _ in 0..20 {
            std::thread::sleep(2 * PATIENCE);
            assert_eq!(counts(&pool, 100), vec![1; 100]);
        }
        // Both threads are needed: each waits for the other.
        let barrier = std::sync::Barrier::new(2);
        std::thread::sleep(5 * PATIENCE);
        pool.scope(|| {
            for_each(2, |_| {
                barrier.wait();
            });
        });
    }

    #[test]
    fn a_loop_within_a_loop_and_one_outside_of_a_scope_run_alone() {
        let pool = Pool::new(3).expect("threads");
        let sum = AtomicUsize::new(0);
        let add = |at: usize| {
            sum.fetch_add(at, Ordering::Relaxed);
        };
        pool.scope(|| {
            assert_eq!(threads(), 3);
            for_each(10, |_| {
                assert_eq!(threads(), 1);
                for_each(10, add);
            });
        });
        assert_eq!(threads(), 1);
        for_each(10, add);
        assert_eq!(sum.into_inner(), 11 * 45);
    }

    #[test]
    fn callers_at_the_same_time_get_all_their_turns() {
        let pool = Pool::new(2).expect("threads");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| assert_eq!(counts(&pool, 20), vec![1; 20])));
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2).expect("threads");
        for turn in [0, 5, 99] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.scope(|| for_each(100, |at| assert!(at != turn, "turn {at}")));
            }));
            let message = result.expect_err("a panic");
            assert!(message.downcast_ref::<String>().is_some_and(|text| text.contains(&format!("turn {turn}"))));
            assert_eq!(threads(), 1);
            assert_eq!(counts(&pool, 50), vec![1; 50]);
        }
    }
}
