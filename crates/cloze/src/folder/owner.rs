//! Who writes to a folder, or has left it unfinished.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The most bytes of the file that are read.
const BYTES_MAX: usize = 4096;

/// A process that writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    /// The sub-command, such as `vocab extend`.
    pub command: String,
    /// The number of the process.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// The start, in seconds since 1970.
    pub since: u64,
}

impl Owner {
    /// This process.
    pub fn this(command: &str) -> Owner {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Owner { command: command.to_string(), pid: std::process::id(), host: host(), since }
    }

    /// The owner that a file tells of; one that is damaged tells of nobody in particular.
    pub fn parse(bytes: &[u8]) -> Owner {
        serde_json::from_slice(&bytes[..bytes.len().min(BYTES_MAX)]).unwrap_or_default()
    }

    /// The contents of the file.
    pub fn text(&self) -> String {
        let fields = serde_json::to_value(self).expect("strings and numbers");
        format!("{fields:#}\n")
    }

    /// The error of a folder in which this process was interrupted.
    pub fn unfinished(&self, dir: &Path) -> Error {
        let command =
            if self.command.is_empty() { "a command".to_string() } else { format!("`cloze {}`", self.command) };
        Error::Unfinished { path: dir.to_path_buf(), command }
    }

    /// A description such as `finetune, process 17 on host, since 12:00:03 UTC`.
    pub fn describe(&self) -> String {
        if self.pid == 0 {
            return "of which nothing is known".to_string();
        }
        format!("cloze {}, process {} on {}, since {}", self.command, self.pid, self.host, clock(self.since))
    }

    /// True if the file tells of the process that reads it.
    pub fn is_this_process(&self) -> bool {
        self.pid == std::process::id() && self.host == host()
    }

    /// True if the process may still run. None of another machine is known to have ended.
    pub fn may_run(&self) -> bool {
        self.host != host() || !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}

/// The name of the machine.
fn host() -> String {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = name.map(|name| name.trim().to_string()).unwrap_or_default();
    if name.is_empty() { "this machine".to_string() } else { name }
}

/// A time as `2026-11-30 12:00:03 UTC`.
fn clock(since: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(since.min(u64::from(u32::MAX)));
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// The date of a day since 1970 in the Gregorian calendar: years begin in March, so that the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (since, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_796_083_262, "2026-12-01 00:01:02 UTC"),
            (u64::MAX, "2106-02-07 06:28:15 UTC"),
        ] {
            assert_eq!(clock(since), expected);
        }
    }

    #[test]
    fn an_owner_is_read_back_and_known_to_run() {
        let owner = Owner::this("finetune");
        assert_eq!(Owner::parse(owner.text().as_bytes()), owner);
        assert!(owner.may_run());
        assert!(Owner { host: "elsewhere".to_string(), pid: u32::MAX, ..owner.clone() }.may_run());
        if Path::new("/proc/self").exists() {
            assert!(!Owner { pid: u32::MAX, ..owner }.may_run());
        }
    }
}
