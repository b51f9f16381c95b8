//! Lines on standard error.

/// Writes a line to standard error, like `eprintln!`, but does not panic if nobody reads it: a closed pipe or a full disk
/// is no reason to end a training.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let mut line = format!($($part)*);
        line.push('\n');
        // At once, so that lines of several threads do not mix.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }};
}
