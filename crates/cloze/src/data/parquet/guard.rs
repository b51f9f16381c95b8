//! Panics of other people's code on damaged files, caught and told as errors.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use parquet::errors::ParquetError;

use super::reason;

thread_local! {
    /// True if panics of this thread are caught, so that nobody is told of them.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Result of `read`; its error, or the fact that it panicked, as a text.
///
/// Data that `read` was working on must not be used after a panic.
pub(crate) fn caught<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    quiet_panics();
    let before = IS_GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(before);
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(reason(&error)),
        Err(_) => Err("its parts do not fit together".to_string()),
    }
}

/// Keeps the message of a panic that is caught from standard error, once for the whole process.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                before(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_errors_become_texts() {
        assert_eq!(caught(|| Ok(3)), Ok(3));
        let error = ParquetError::General("short".to_string());
        assert_eq!(caught(|| Err::<(), _>(error)), Err("short".to_string()));
        assert_eq!(caught(|| -> Result<(), ParquetError> { panic!("out of bounds") }).unwrap_err(), {
            "its parts do not fit together"
        });
        assert!(!IS_GUARDED.get());
    }
}
