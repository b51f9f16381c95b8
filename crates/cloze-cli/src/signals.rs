//! SIGINT and SIGTERM: the first one lets a training finish its step and write a checkpoint; any other
//! command, and a training at the second signal, ends at once. The exit code is 1 in each case.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

static CAN_STOP: AtomicBool = AtomicBool::new(false);
static STOP: AtomicBool = AtomicBool::new(false);

/// Takes over the two signals. Called once, first of all.
pub fn install() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        let already_asked = STOP.swap(true, Ordering::SeqCst);
        if already_asked || !CAN_STOP.load(Ordering::SeqCst) {
            std::process::exit(1);
        }
        eprintln!("\nstopping: finishing this step and writing a checkpoint (once more to end at once)");
    })
    .context("cannot install a handler for signals")
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
    STOP.load(Ordering::SeqCst)
}
