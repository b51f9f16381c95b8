//! SIGINT, SIGTERM and SIGHUP. The first one lets a training finish its step and write a checkpoint. Any other command,
//! and a training at the second signal, ends at once. The exit code is 128 and the signal's number, as of a program that
//! the signal has killed: 130 after Ctrl-C, 143 after SIGTERM.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::Context as _;

static CAN_STOP: AtomicBool = AtomicBool::new(false);
/// Number of the first signal that came; 0 before.
static STOPPED_BY: AtomicI32 = AtomicI32::new(0);

/// Takes over the signals. Called once, first of all.
///
/// A signal that the caller has the program ignore stays ignored: `nohup` does so with SIGHUP, and a shell with SIGINT
/// for what it runs in the background.
#[cfg(unix)]
pub fn install() -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let ignored = std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored_in(&status));
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = signal_hook::iterator::Signals::new(wanted).context("cannot install a handler for signals")?;
    let listen = move || signals.forever().for_each(on_signal);
    std::thread::Builder::new().name("signals".to_string()).spawn(listen).context("cannot start a thread")?;
    Ok(())
}

/// Leaves signals to the system, which ends the program.
#[cfg(not(unix))]
pub fn install() -> anyhow::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn on_signal(signal: i32) {
    let first = STOPPED_BY.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    if !first || !CAN_STOP.load(Ordering::SeqCst) {
        std::process::exit(128 + signal);
    }
    say!("\nstopping: finishing this step and writing a checkpoint (once more to end at once)");
}

/// The mask of ignored signals in `/proc/self/status`; 0 where it has none.
#[cfg(unix)]
fn ignored_in(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// From here on a first signal is only noted, for [`stop_requested`] to tell.
pub fn stop_at_next_step() {
    CAN_STOP.store(true, Ordering::SeqCst);
}

/// The opposite: a signal ends the program at once.
pub fn stop_at_once() {
    CAN_STOP.store(false, Ordering::SeqCst);
}

/// Whether a signal came.
pub fn stop_requested() -> bool {
    STOPPED_BY.load(Ordering::SeqCst) != 0
}

/// Exit code of a command that a signal has stopped in order.
pub fn exit_code() -> ExitCode {
    let signal = STOPPED_BY.load(Ordering::SeqCst);
    u8::try_from(128 + signal).ok().filter(|_| signal != 0).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        let status = "Name:\tcloze\nSigBlk:\t0000000000000004\nSigIgn:\t0000000000001001\nSigCgt:\t00\n";
        assert_eq!(ignored_in(status), 0x1001, "SIGHUP is 1, SIGPIPE is 13");
        assert_eq!(ignored_in("Name:\tcloze\n"), 0);
        assert_eq!(ignored_in("SigIgn:\tmany\n"), 0);
    }
}
