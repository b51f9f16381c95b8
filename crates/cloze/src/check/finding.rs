//! What a check found, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::numbers::Count;

/// Places of one kind that are listed; the others are counted.
const PLACES_LISTED: usize = 5;
/// Characters of a text that are shown.
const TEXT_SHOWN: usize = 60;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Training would fail, or learn from something that is wrong.
    Error,
    /// Probably a mistake.
    Warning,
    /// Good to know.
    Note,
}

/// Something that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A short name of what it is, such as `unknown-label`.
    pub kind: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The first line of the file, from 1, where it was found.
    pub line: Option<usize>,
    /// What was found, and what to do.
    pub message: String,
    /// How often it was found.
    pub count: usize,
    /// The first few places.
    pub places: Vec<Place>,
}

/// One of the places where something was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line of the file, from 1.
    pub line: Option<usize>,
    /// What stands there.
    pub what: String,
}

/// Places of one kind of finding while they are gathered.
#[derive(Debug, Default)]
pub(super) struct Places {
    listed: Vec<Place>,
    /// How many there are, those that are not listed included.
    pub count: usize,
}

impl fmt::Display for Finding {
    /// Place and message, as compilers write them.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        write!(formatter, ": {}", self.message)
    }
}

impl Finding {
    /// One that stands for itself.
    pub(super) fn new(
        severity: Severity,
        kind: &'static str,
        path: &Path,
        line: Option<usize>,
        message: String,
    ) -> Finding {
        Finding { severity, kind, path: path.to_path_buf(), line, message, count: 1, places: Vec::new() }
    }

    /// An error that reading `path` gave.
    pub(super) fn of_error(kind: &'static str, path: &Path, error: &Error) -> Finding {
        let (path, line, message) = match error {
            Error::Data { path, line, message } => (path.as_path(), *line, message.clone()),
            other => (path, None, other.to_string()),
        };
        Finding::new(Severity::Error, kind, path, line, message)
    }
}

impl Places {
    /// Notes one more place.
    pub fn add(&mut self, line: Option<usize>, what: impl FnOnce() -> String) {
        if self.listed.len() < PLACES_LISTED {
            self.listed.push(Place { line, what: what() });
        }
        self.count += 1;
    }

    /// Adds the finding that they are; none of no place. `message` is told how many there are.
    pub fn tell(
        self,
        findings: &mut Vec<Finding>,
        severity: Severity,
        kind: &'static str,
        path: &Path,
        message: impl FnOnce(Count) -> String,
    ) {
        let Places { listed, count } = self;
        if count > 0 {
            let line = listed.iter().find_map(|place| place.line);
            let finding = Finding::new(severity, kind, path, line, message(Count(count)));
            findings.push(Finding { count, places: listed, ..finding });
        }
    }
}

/// The beginning of a text in backticks, with everything that cannot be seen written out.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::from("`");
    for (index, c) in text.chars().enumerate() {
        if index == TEXT_SHOWN {
            shown.push('…');
            break;
        }
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown + "`"
}

/// "3.2 %" of a part of a whole.
pub(super) fn percent(part: usize, whole: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_places_are_listed_and_all_are_counted() {
        let mut findings = Vec::new();
        Places::default().tell(&mut findings, Severity::Note, "none", Path::new("a"), |_| unreachable!());
        let mut places = Places::default();
        (3..10).for_each(|line| places.add(Some(line), || format!("place {line}")));
        places.tell(&mut findings, Severity::Warning, "some", Path::new("a"), |count| format!("{count} of them"));
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!((finding.line, finding.count, finding.message.as_str()), (Some(3), 7, "7 of them"));
        assert_eq!(finding.places.len(), PLACES_LISTED);
        assert_eq!(finding.places[4], Place { line: Some(7), what: "place 7".to_string() });
    }

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(shown("it's a\u{200b}\té"), "`it's a\\u{200b}\\té`");
        assert_eq!(shown(&"x".repeat(61)), format!("`{}…`", "x".repeat(60)));
    }
}
