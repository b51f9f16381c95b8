/// What can go wrong outside of a programmer's control.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system has no memory left for a buffer.
    #[error("no memory for a buffer of {bytes} bytes; use a smaller batch or a shorter sequence length")]
    OutOfMemory {
        /// Size of the buffer that was asked for.
        bytes: u128,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// Number of threads asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}
