use std::path::{Path, PathBuf};

/// What can go wrong outside of a programmer's control. Every message names the file, and the line,
/// column, tensor or field where there is one; says what was expected and found; and what to do where
/// something can be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried: "read", "create", "write to".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A data file does not hold what it should.
    #[error("{}{}: {message}", .path.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
    Data {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: Option<usize>,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A field of `config.json` or of a companion file is missing, unreadable, or asks for what this is not.
    #[error("{}: field `{field}`: {message}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What was expected and found.
        message: String,
    },
    /// A checkpoint file is damaged or does not fit its configuration.
    #[error("{}: {}{message}", .path.display(), .tensor.as_ref().map(|name| format!("tensor `{name}`: ")).unwrap_or_default())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The tensor, if one is at fault.
        tensor: Option<String>,
        /// What was expected and found.
        message: String,
    },
    /// Several files are at fault, each by an error of its own.
    #[error("{} files cannot be read:{}", .0.len(), .0.iter().map(|error| format!("\n  {error}")).collect::<String>())]
    Several(Vec<Error>),
    /// Another process writes to a folder, or reads what is to be replaced.
    #[error("{what} {}; {remedy}", .path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Who does what.
        what: String,
        /// Remedy.
        remedy: &'static str,
    },
    /// A command was interrupted while it wrote a folder.
    #[error(
        "{} is unfinished: {command} was interrupted while it wrote there; give the same command again, or --overwrite to begin anew", .path.display()
    )]
    Unfinished {
        /// The folder.
        path: PathBuf,
        /// The command.
        command: String,
    },
    /// An argument or a combination of settings makes no sense.
    #[error("{0}")]
    Settings(String),
    /// A loss, a gradient or a weight is infinite or not a number.
    #[error(
        "step {step}: {what} is not finite ({value}); the last checkpoint is left as it was. A lower learning rate or a longer warm-up usually helps, sometimes a smaller norm for clipping"
    )]
    NotFinite {
        /// The optimizer step, from 1.
        step: u64,
        /// The loss, or what of which tensor it is.
        what: String,
        /// The value found.
        value: f64,
    },
    /// The system has no memory for a large buffer.
    #[error("no memory for {what}, {bytes} bytes; give the process more (ulimit -v, limits of its cgroup)")]
    Memory {
        /// The contents of the buffer.
        what: &'static str,
        /// Size of the buffer in bytes.
        bytes: u64,
    },
    /// A model's answer to an input is infinite or not a number.
    #[error(
        "the output of {place} is not a number for this input: the model's weights are too large, or were damaged; compare the files with their checksums, or train again with a lower learning rate"
    )]
    Overflow {
        /// The first layer, or the head, whose output is not finite.
        place: String,
    },
    /// The tokenizer's files or input.
    #[error(transparent)]
    Tokenizer(#[from] cloze_tokenizer::Error),
    /// The kernels: out of memory, no threads.
    #[error(transparent)]
    Kernels(#[from] cloze_kernels::Error),
}

impl Error {
    /// Errors of several files as one; a single error as it is.
    ///
    /// # Panics
    /// If there are none.
    pub(crate) fn together(mut errors: Vec<Error>) -> Error {
        assert!(!errors.is_empty(), "no error to tell");
        if errors.len() == 1 { errors.remove(0) } else { Error::Several(errors) }
    }
}

/// Gives an I/O error the path it happened at: `fs::read(path).map_err(at("read", path))`.
pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { action, path, source }
}
