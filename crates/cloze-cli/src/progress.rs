//! Progress on standard error: a bar on a terminal, now and then a line elsewhere.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// A bar that appears with the first report and can be told of several pieces of work, one after another.
pub struct Progress {
    terminal: bool,
    bar: RefCell<Option<(String, ProgressBar)>>,
    last_line: Cell<Instant>,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Progress {
        Progress { terminal: stderr().is_terminal(), bar: RefCell::new(None), last_line: Cell::new(Instant::now()) }
    }

    /// `done` of `total` of the work called `what`.
    pub fn at(&self, what: &str, done: u64, total: u64) {
        self.with_message(what, done, total, "");
    }

    /// The same, with figures behind the bar.
    pub fn with_message(&self, what: &str, done: u64, total: u64, message: &str) {
        if !self.terminal {
            if self.last_line.get().elapsed() >= LINE_INTERVAL {
                self.last_line.set(Instant::now());
                let percent = 100 * done / total.max(1);
                eprintln!("{what}: {percent} %{}{message}", if message.is_empty() { "" } else { ", " });
            }
            return;
        }
        let mut bar = self.bar.borrow_mut();
        if bar.as_ref().is_none_or(|(name, _)| name != what) {
            if let Some((_, old)) = bar.take() {
                old.finish_and_clear();
            }
            *bar = Some((what.to_string(), new_bar(what, total)));
        }
        if let Some((_, bar)) = bar.as_ref() {
            bar.set_length(total);
            bar.set_position(done);
            if !message.is_empty() {
                bar.set_message(message.to_string());
            }
        }
    }

    /// A line of its own, above the bar if there is one.
    pub fn line(&self, text: &str) {
        match self.bar.borrow().as_ref() {
            Some((_, bar)) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some((_, bar)) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(what: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{prefix} {bar:30.cyan/blue} {percent:>3} % {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    bar.set_style(style);
    bar.set_prefix(what.to_string());
    bar
}
