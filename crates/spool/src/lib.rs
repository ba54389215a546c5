//! The spool: where an upload's bytes wait until a worker has moved them.
//!
//! A spool is one directory on one filesystem:
//!
//! ```text
//! <SPOOL_DIR>/id         the spool's name, part of the name of the queue whose jobs need its files
//! <SPOOL_DIR>/incoming/  files that are being received; worthless after a crash
//! <SPOOL_DIR>/ready/     whole files, synced to disk, waiting for a job
//! ```
//!
//! What the crate guarantees:
//!
//! * a file in `ready/` is whole and survives a power failure from the moment that [`Writer::commit`] returns;
//! * a [`Writer`] that is not committed, and a [`Spooled`] that is not kept, remove their file when they are dropped, also
//!   when the request they belong to is cancelled. Only a killed process leaves files behind, for the sweeper;
//! * names are made here, never by a client, and symbolic links are not followed: nothing outside the directory is ever
//!   opened, and nothing that this crate did not name is ever removed.
//!
//! Removing is idempotent and opening a file that is gone is an error of its own, because a job may be delivered twice.

#![warn(missing_docs)]

mod args;
mod error;
mod identity;
mod partial;
mod sweep;
mod sync;
mod writer;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use messages::{FileId, SpoolId};
use rustix::fs::OFlags;

pub use args::SpoolArgs;
pub use error::Error;
pub use sweep::{Area, Entries, Entry, Name};
pub use writer::{Spooled, Writer};

use sync::DirectorySync;

/// A handle on the spool. Cloning is cheap; all clones are the same spool.
#[derive(Debug, Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: SpoolId,
    root: PathBuf,
    incoming: PathBuf,
    ready: PathBuf,
    ready_sync: DirectorySync,
}

impl Spool {
    /// Opens the spool in a directory, which is made if it is missing, and checks that it can do what a spool must.
    ///
    /// The spool's id is written down at the first start and read ever after: queues carry it in their names, so it must
    /// not change while jobs wait. Programs that start together agree on one. It blocks for a few disk operations: call it
    /// once, at start.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when the directory cannot be made or written, [`Error::Split`] when its two areas are not on one
    /// filesystem, [`Error::IdDiffers`] when the directory already has another id than the one given.
    pub fn open(dir: &Path, id: Option<SpoolId>) -> Result<Self, Error> {
        let unusable = |cause| Error::Unusable { dir: dir.to_owned(), cause };
        let root = std::path::absolute(dir).map_err(unusable)?;
        let incoming = root.join("incoming");
        let ready = root.join("ready");
        for area in [&incoming, &ready] {
            // Uploads are private until their owner's asset says otherwise.
            fs::DirBuilder::new().recursive(true).mode(0o750).create(area).map_err(unusable)?;
            if !fs::symlink_metadata(area).map_err(unusable)?.is_dir() {
                return Err(unusable(io::ErrorKind::NotADirectory.into()));
            }
        }
        // rename(2) is atomic only within a filesystem and fails with EXDEV across two.
        if fs::metadata(&incoming).map_err(unusable)?.dev() != fs::metadata(&ready).map_err(unusable)?.dev() {
            return Err(Error::Split { dir: dir.to_owned() });
        }
        probe(&incoming, &ready).map_err(unusable)?;
        let id = identity::read_or_create(&root, id)?;
        let ready_sync = DirectorySync::open(&ready).map_err(unusable)?;
        Ok(Self { inner: Arc::new(Inner { id, root, incoming, ready, ready_sync }) })
    }

    /// The spool's name.
    pub fn id(&self) -> &SpoolId {
        &self.inner.id
    }

    /// Begins a new file with a name of its own. Nothing touches the disk before the first bytes are written, so this does
    /// not fail; a full disk shows at [`Writer::write`] or [`Writer::commit`].
    pub fn create(&self) -> Writer {
        Writer::new(self.clone())
    }

    /// Where a committed file lies. The file may be gone by the time the path is used.
    pub fn path(&self, file: FileId) -> PathBuf {
        self.inner.ready.join(file.to_string())
    }

    /// Opens a committed file for reading.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when there is no such file, which for a second delivery of a finished job is no fault.
    pub async fn open_file(&self, file: FileId) -> Result<tokio::fs::File, Error> {
        let path = self.path(file);
        let open = move || {
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let opened = fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path);
            match opened.and_then(|opened| Ok((opened.metadata()?.is_file(), opened))) {
                Ok((true, opened)) => Ok(opened),
                // A link or a directory under one of our names was put there by somebody else: not our file.
                Ok((false, _)) => Err(Error::Missing { file }),
                Err(cause) if is_missing(&cause) => Err(Error::Missing { file }),
                Err(cause) => Err(Error::io("open", &path, cause)),
            }
        };
        blocking(open).await?.map(tokio::fs::File::from_std)
    }

    /// Removes a committed file. `false`: it was not there, as on a second delivery.
    ///
    /// The removal is not synced: if a power failure undoes it, the sweeper finds a file without a job and removes it again.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file is there and cannot be removed.
    pub async fn remove(&self, file: FileId) -> Result<bool, Error> {
        let path = self.path(file);
        blocking(move || remove_file(&path)).await?
    }

    /// Whether the directory still is this spool. `false`: its volume is not mounted any more, or another one is in its place,
    /// so that a missing file says nothing about the file. Blocks for one small read.
    pub fn is_intact(&self) -> bool {
        let id = identity::read(&self.inner.root).ok().flatten();
        id.as_ref() == Some(&self.inner.id) && self.inner.ready.is_dir()
    }

    /// Bytes that a process without privileges can still write (`f_bavail` of statvfs(3)). One system call, no cache.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the filesystem cannot say, for example because it was unmounted.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(&self.inner.root)
            .map_err(|cause| Error::io("measure", &self.inner.root, cause.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Does once what every upload will do, so that a spool that cannot work stops the program at its start.
fn probe(incoming: &Path, ready: &Path) -> io::Result<()> {
    let name = FileId::new().to_string();
    let (from, to) = (incoming.join(&name), ready.join(&name));
    fs::File::create_new(&from)?.sync_data()?;
    let renamed = fs::rename(&from, &to);
    let removed = fs::remove_file(if renamed.is_ok() { &to } else { &from });
    renamed.and(removed)
}

fn remove_file(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(Error::io("remove", path, cause)),
    }
}

/// open(2) answers ELOOP for a symbolic link when it is told not to follow.
fn is_missing(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::NotFound || cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Runs file operations where they may block. The outer error means that the program is shutting down.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Stopping)
}
