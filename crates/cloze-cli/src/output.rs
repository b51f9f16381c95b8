//! Results on standard output, as JSON lines or for people; errors on standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal as _, LineWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

pub use cloze::grouped;
use serde::Serialize;

use crate::layout::aligned;

/// Standard output. Lines appear at once on a terminal, and in blocks in a file or pipe.
pub struct Output {
    writer: Box<dyn Write>,
    json: bool,
    terminal: bool,
    flushed: Instant,
}

/// Answers in a pipe are held back no longer than this, as long as there are new ones.
const HELD_BACK: Duration = Duration::from_millis(200);

impl Output {
    /// Answers as JSON lines or for people.
    pub fn new(json: bool) -> Output {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let writer: Box<dyn Write> = if terminal {
            Box::new(LineWriter::new(stdout.lock()))
        } else {
            Box::new(BufWriter::with_capacity(1 << 16, stdout.lock()))
        };
        Output { writer, json, terminal, flushed: Instant::now() }
    }

    /// Columns of the terminal that answers go to, if they go to one.
    pub fn columns(&self) -> Option<usize> {
        let terminal = self.terminal.then(|| terminal_size::terminal_size_of(io::stdout())).flatten();
        terminal.map(|(columns, _)| usize::from(columns.0))
    }

    /// One answer: `value` with `--json`, else the lines that `readable` makes. Tabs between cells become columns at a
    /// terminal.
    pub fn answer<S: Display>(&mut self, value: &impl Serialize, readable: impl FnOnce() -> S) -> io::Result<()> {
        let written = if self.json {
            serde_json::to_writer(&mut self.writer, value).map_err(io::Error::from)
        } else {
            let text = readable().to_string();
            let text = if self.terminal { aligned(&text) } else { text };
            self.writer.write_all(text.as_bytes())
        };
        written.and_then(|()| self.writer.write_all(b"\n")).map_err(named)
    }

    /// Hands over what is still held back, for whoever waits for it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.writer.flush().map_err(named)
    }

    /// The same, if the last time was a while ago.
    pub fn flush_if_due(&mut self) -> io::Result<()> {
        if self.flushed.elapsed() >= HELD_BACK { self.flush() } else { Ok(()) }
    }

    /// Hands over what is still held back. Every command ends with it, so that an error is seen.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

/// Writes a path into JSON, which has no place for what is not UTF-8 in it.
pub fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The same error with the name of the stream; a closed pipe stays one.
fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))
}

/// Whether somewhere below this error stands a closed pipe.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

/// "error: …", with each cause that its error does not already tell on a line of its own.
pub fn print_error(error: &anyhow::Error) {
    let mut told = error.to_string();
    say!("error: {told}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !told.contains(&cause) {
            say!("  because: {cause}");
            told = cause;
        }
    }
}

/// What was cut off from texts that were too long.
#[derive(Debug, Default)]
pub struct Cut {
    texts: usize,
    tokens: usize,
}

impl Cut {
    /// Notes a text of which `tokens` tokens were cut off; none is no cut.
    pub fn add(&mut self, tokens: usize) {
        self.texts += usize::from(tokens > 0);
        self.tokens += tokens;
    }

    /// Tokens that were cut off.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Says it, if anything was cut off.
    pub fn report(&self) {
        let Cut { texts, tokens } = self;
        if *texts > 0 {
            let (texts, tokens) = (grouped(*texts as u64), grouped(*tokens as u64));
            say!("note: texts that were too long and cut: {texts}; tokens lost: {tokens} (see --max-length)");
        }
    }
}

/// 0.1234 as "12.34 %".
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A duration as "45 s", "12 min" or "3 h 5 min".
pub fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        _ if seconds < 99.5 => format!("{seconds:.0} s"),
        _ if minutes < 100 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(12.4), "12 s");
        assert_eq!(duration(99.6), "2 min");
        assert_eq!(duration(3_000.0), "50 min");
        assert_eq!(duration(11_100.0), "3 h 5 min");
    }

    #[test]
    fn a_closed_pipe_is_found_below_other_errors() {
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(pipe).context("writing")));
        assert!(!is_broken_pipe(&anyhow::anyhow!("another")));
    }
}
