//! Tells a file that somebody may still commit or accept from one that a dead process left behind, without a look at a clock.
//!
//! Whoever receives a file holds a lock on it (flock(2)) from its first byte until it is known whether a job owns it. The
//! kernel ends the lock with the process. Where the volume knows no locks nothing is held, and the sweeper has the file's age
//! and its second look.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// While it lives, no sweeper removes the file.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "closing it ends the lock")] File);

impl Hold {
    /// Of a file that was held from its beginning.
    pub(crate) fn new(file: File) -> Self {
        Self(file)
    }
}

/// Nobody else knows a new file, so this fails only where there are no locks.
pub(crate) fn begin(file: &File) {
    if let Err(cause) = flock(file, FlockOperation::NonBlockingLockExclusive) {
        tracing::debug!(%cause, "the spool's volume has no locks");
    }
}

/// Whether somebody holds a file. One that is gone, or that cannot be opened, nobody does.
pub(crate) fn is_held(path: &Path) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    // Shared, for which NFS does not ask that the file be opened for writing, and sweepers do not take one another for holders.
    opened.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
}
