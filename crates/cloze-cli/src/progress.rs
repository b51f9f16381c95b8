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
        self.show(what, done, total, None);
    }

    /// The same with more about it: how far it is, beside the bar, and figures, on a line below it.
    pub fn with_figures(&self, what: &str, done: u64, total: u64, place: &str, figures: &str) {
        self.show(what, done, total, Some((place, figures)));
    }

    fn show(&self, what: &str, done: u64, total: u64, more: Option<(&str, &str)>) {
        if !self.terminal {
            if self.last_line.get().elapsed() >= LINE_INTERVAL {
                self.last_line.set(Instant::now());
                let percent = 100 * done / total.max(1);
                let more = more.map_or_else(String::new, |(place, figures)| format!(", {place}, {figures}"));
                eprintln!("{what}: {percent} %{more}");
            }
            return;
        }
        let mut bar = self.bar.borrow_mut();
        if bar.as_ref().is_none_or(|(name, _)| name != what) {
            if let Some((_, old)) = bar.take() {
                old.finish_and_clear();
            }
            *bar = Some((what.to_string(), new_bar(what, total, more.is_some())));
        }
        if let Some((_, bar)) = bar.as_ref() {
            bar.set_length(total);
            bar.set_position(done);
            if let Some((place, figures)) = more {
                bar.set_prefix(format!("{what}, {place}"));
                bar.set_message(figures.to_string());
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

fn new_bar(what: &str, total: u64, figures: bool) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // Figures that do not fit on the line are cut, for a line that wraps makes a mess of narrow terminals.
    let template = match figures {
        false => "{bar:30.cyan/blue} {percent:>3} % {prefix}",
        true => "{bar:30.cyan/blue} {percent:>3} % {prefix}\n{wide_msg}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
    bar.set_style(style);
    bar.set_prefix(what.to_string());
    bar
}
