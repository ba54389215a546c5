//! Whether the person at the keyboard wants to stop. The program's signal handler counts here; every wait in this crate
//! looks, so that Ctrl-C works at any moment. A process without such a handler, as a test, never sees an interrupt.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::Error;

static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Called by the signal handler for SIGINT, SIGTERM and SIGHUP.
pub fn record() {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

/// Whether at least one signal came.
pub fn requested() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}

/// Whether a second signal came: the person has lost patience, and what still runs is killed.
pub fn insisted() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 1
}

/// Sleeps, in a loop that polls for something.
pub fn pause(duration: Duration) -> Result<(), Error> {
    if requested() {
        return Err(Error::Interrupted);
    }
    thread::sleep(duration);
    if requested() { Err(Error::Interrupted) } else { Ok(()) }
}
