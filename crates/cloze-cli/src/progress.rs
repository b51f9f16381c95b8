//! Progress on standard error: a bar on a terminal, now and then a line elsewhere.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal as _, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::layout::hanging;
use crate::output::grouped;

/// Between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Work that takes less shows nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Columns of the bar, where there is room.
const BAR: usize = 30;
/// Columns of a terminal that does not tell its width.
const WIDTH: usize = 80;

/// A bar that appears with the first report and can be told of several pieces of work, one after another.
pub struct Progress {
    terminal: bool,
    bar: RefCell<Option<(String, ProgressBar)>>,
    /// The time from which the next plain line is due.
    next_line: Cell<Instant>,
    /// The time before which nothing is shown.
    shown_from: Instant,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Progress {
        let now = Instant::now();
        Progress {
            terminal: stderr().is_terminal(),
            bar: RefCell::new(None),
            next_line: Cell::new(now + LINE_INTERVAL),
            shown_from: now,
        }
    }

    /// Progress of a command whose answers are read while it works. The first two seconds show nothing. Nor does a terminal
    /// that shows the answers: they are the progress, and a bar would run into them.
    pub fn of_answers() -> Option<Progress> {
        let now = Instant::now();
        let progress = Progress { next_line: Cell::new(now + PATIENCE), shown_from: now + PATIENCE, ..Progress::new() };
        (!(progress.terminal && stdout().is_terminal())).then_some(progress)
    }

    /// `done` of `total` of the work called `what`.
    pub fn at(&self, what: &str, done: u64, total: u64) {
        self.show(what, done, Some(total), &[], &[]);
    }

    /// `done` texts of nobody knows how many.
    pub fn counted(&self, what: &str, done: u64) {
        self.show(what, done, None, &[], &[]);
    }

    /// The same with more about it, in parts of falling interest: how far it is, beside the bar, and figures, on a line
    /// below it. A narrow terminal shows the parts that fit.
    pub fn with_figures(&self, what: &str, done: u64, total: u64, place: &[String], figures: &[String]) {
        self.show(what, done, Some(total), place, figures);
    }

    fn show(&self, what: &str, done: u64, total: Option<u64>, place: &[String], figures: &[String]) {
        let now = Instant::now();
        if now < self.shown_from {
            return;
        }
        let share = total.map(|total| 100 * done / total.max(1));
        if !self.terminal {
            if now >= self.next_line.get() {
                self.next_line.set(now + LINE_INTERVAL);
                let far = share.map_or_else(|| grouped(done), |percent| format!("{percent} %"));
                let parts: Vec<&str> = [far.as_str()].into_iter().chain(parts_of(&[place, figures])).collect();
                say!("{what}: {}", parts.join(", "));
            }
            return;
        }
        let mut bar = self.bar.borrow_mut();
        if bar.as_ref().is_none_or(|(name, _)| name != what) {
            if let Some((_, old)) = bar.take() {
                old.finish_and_clear();
            }
            *bar = Some((what.to_string(), new_bar(total, !figures.is_empty())));
        }
        if let Some((_, bar)) = bar.as_ref() {
            let width = width();
            let far = share.map_or_else(|| grouped(done), |percent| format!("{percent:>3} %"));
            let place = fitting(&format!("{far} {what}"), parts_of(&[place]), width);
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            bar.set_style(style(BAR.min(width.saturating_sub(place.chars().count() + 1)), !figures.is_empty()));
            bar.set_prefix(place);
            if let Some((first, others)) = figures.split_first() {
                bar.set_message(fitting(first, parts_of(&[others]), width));
            }
        }
    }

    /// A line of its own, above the bar if there is one.
    pub fn line(&self, text: &str) {
        let text = if self.terminal { hanging(text, width()) } else { text.to_string() };
        match self.bar.borrow().as_ref() {
            Some((_, bar)) => bar.suspend(|| say!("{text}")),
            None => say!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some((_, bar)) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

fn parts_of<'a>(lists: &[&'a [String]]) -> impl Iterator<Item = &'a str> {
    lists.iter().copied().flatten().map(String::as_str)
}

/// Columns of the terminal.
pub fn width() -> usize {
    terminal_size::terminal_size_of(stderr()).map_or(WIDTH, |(columns, _)| usize::from(columns.0).max(1))
}

/// `first` and as many of the parts behind it as fit in a line. A line that is too long by itself is cut between words.
fn fitting<'a>(first: &str, parts: impl Iterator<Item = &'a str>, width: usize) -> String {
    let length = |text: &str| text.chars().count();
    let mut line = first.to_string();
    for part in parts {
        if length(&line) + 2 + length(part) > width {
            break;
        }
        line.push_str(", ");
        line.push_str(part);
    }
    while length(&line) > width {
        match line.rfind(' ') {
            Some(space) if space > 0 => line.truncate(space),
            _ => line = line.chars().take(width).collect(),
        }
    }
    line
}

fn new_bar(total: Option<u64>, figures: bool) -> ProgressBar {
    let bar = ProgressBar::new(total.unwrap_or(0));
    bar.set_style(style(BAR, figures));
    bar
}

/// A bar of so many columns, of which few are none; below it a line for figures.
fn style(columns: usize, figures: bool) -> ProgressStyle {
    let bar = if columns < 5 { String::new() } else { format!("{{bar:{columns}.cyan/blue}} ") };
    let template = format!("{bar}{{prefix}}{}", if figures { "\n{msg}" } else { "" });
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_the_parts_that_fit() {
        let parts = ["step 1,200 of 16,000", "12 min left"];
        let line = |width| fitting("  7 % training", parts.into_iter(), width);
        assert_eq!(line(80), "  7 % training, step 1,200 of 16,000, 12 min left");
        assert_eq!(line(40), "  7 % training, step 1,200 of 16,000");
        assert_eq!(line(20), "  7 % training");
        assert_eq!(line(10), "  7 %", "cut between words");
        assert_eq!(fitting("123456", [].into_iter(), 3), "123");
    }
}
