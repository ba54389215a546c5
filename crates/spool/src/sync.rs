//! Syncs a directory, once for all that ask at the same time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Makes new names in a directory survive a power failure.
///
/// fsync(2): syncing a file "does not necessarily ensure that the entry in the directory containing the file has also
/// reached disk. For that an explicit fsync() on a file descriptor for the directory is also needed."
#[derive(Debug)]
pub(crate) struct DirectorySync {
    dir: File,
    /// Names that were ever added to the directory.
    renamed: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// So many of the names are on disk.
    synced: u64,
    /// So many may not be, even if a later sync succeeds: the kernel reports a failed write only once.
    failed: u64,
}

/// A name that was added, by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name(u64);

impl DirectorySync {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self { dir: File::open(dir)?, renamed: AtomicU64::new(0), state: Mutex::default() })
    }

    /// Counts a name, as soon as the directory has it: every sync that begins later covers it.
    pub(crate) fn added(&self) -> Name {
        Name(self.renamed.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Returns when the name is on disk. While one caller syncs, others wait at the lock. The next one syncs for all of them.
    pub(crate) fn sync(&self, name: Name) -> io::Result<()> {
        let Name(mine) = name;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed >= mine {
            return Err(io::Error::other("a sync of the directory has failed"));
        }
        if state.synced >= mine {
            return Ok(());
        }
        let all = self.renamed.load(Ordering::SeqCst);
        let synced = self.dir.sync_all();
        match &synced {
            Ok(()) => state.synced = all,
            Err(_) => state.failed = all,
        }
        synced
    }
}
