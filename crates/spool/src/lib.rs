//! The spool: the bytes of uploads wait here until a worker has stored them at the media host.
//!
//! A spool is one directory on one filesystem:
//!
//! ```text
//! <SPOOL_DIR>/id         the spool's id, part of the name of the queue whose jobs need its files
//! <SPOOL_DIR>/clock      touched to ask the volume for its time
//! <SPOOL_DIR>/incoming/  files that are being received; worthless after a crash
//! <SPOOL_DIR>/ready/     whole files of jobs that are not finished, synced to disk before there is a job
//! ```
//!
//! What the crate guarantees:
//!
//! * a file in `ready/` is whole, and survives a power failure once [`Writer::commit`] has returned. A power failure before
//!   may leave a name there without all its bytes, which no job has;
//! * a [`Writer`] that is not committed and a [`Spooled`] that is not kept remove their file when dropped, also when a
//!   request is cancelled. Only a killed process leaves files, for the sweeper;
//! * a file that a living process may still commit or have accepted is held, and whoever sweeps can tell;
//! * file names are never a client's, and a symbolic link in the place of a file is not followed: nothing outside the directory
//!   is opened, and nothing that this crate did not name is removed.
//!
//! A job may be delivered twice: a file can be removed twice, and opening a removed file is [`Error::Missing`].

#![warn(missing_docs)]

mod args;
mod error;
mod hold;
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
use rustix::fs::{OFlags, StatVfs, StatVfsMountFlags};

pub use args::SpoolArgs;
pub use error::Error;
pub use hold::Hold;
pub use sweep::{Area, Entries, Entry};
pub use writer::{Spooled, Writer};

use sync::DirectorySync;

/// A handle on the spool. Cloning is cheap.
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
    /// Opens the spool in a directory, which is made if it is missing, and checks that it can work.
    ///
    /// The first start writes the spool's id, later ones read it: queues have it in their names, so it must not change
    /// while jobs wait. Programs that start together agree on one id. Blocks. An error means: stop the program.
    pub fn open(dir: &Path, id: Option<SpoolId>) -> Result<Self, Error> {
        let unusable = |cause| Error::Unusable { dir: dir.to_owned(), cause };
        let root = std::path::absolute(dir).map_err(unusable)?;
        let incoming = root.join("incoming");
        let ready = root.join("ready");
        for area in [&incoming, &ready] {
            // Uploads are private.
            fs::DirBuilder::new().recursive(true).mode(0o750).create(area).map_err(unusable)?;
            if !fs::symlink_metadata(area).map_err(unusable)?.is_dir() {
                return Err(unusable(io::ErrorKind::NotADirectory.into()));
            }
        }
        // rename(2) is atomic only within a filesystem and fails with EXDEV across two.
        if fs::metadata(&incoming).map_err(unusable)?.dev() != fs::metadata(&ready).map_err(unusable)?.dev() {
            return Err(Error::Split(dir.to_owned()));
        }
        // A full disk passes: a worker that starts on one makes room.
        unless_full(probe(&incoming, &ready)).map_err(unusable)?;
        unless_full(sweep::touch(&root.join(sweep::CLOCK)).map(drop)).map_err(unusable)?;
        let id = identity::read_or_create(&root, id)?;
        let ready_sync = DirectorySync::open(&ready).map_err(unusable)?;
        Ok(Self { inner: Arc::new(Inner { id, root, incoming, ready, ready_sync }) })
    }

    /// The id that queues have in their names.
    pub fn id(&self) -> &SpoolId {
        &self.inner.id
    }

    /// Begins a new file. It does not touch the disk, so a full disk shows at [`Writer::write`] or [`Writer::commit`].
    pub fn create(&self) -> Writer {
        Writer::new(self.clone())
    }

    /// The path of a committed file, which may be removed at any time. Whoever opens it by this path has to see that it is no link:
    /// [`Spool::open_file`] does.
    pub fn path(&self, file: FileId) -> PathBuf {
        self.inner.ready.join(file.to_string())
    }

    /// Opens a committed file for reading. [`Error::Missing`]: there is none, as on a second delivery of a finished job.
    pub async fn open_file(&self, file: FileId) -> Result<tokio::fs::File, Error> {
        let path = self.path(file);
        let open = move || {
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let opened = fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path);
            match opened.and_then(|opened| Ok((opened.metadata()?.is_file(), opened))) {
                Ok((true, opened)) => Ok(opened),
                // A link or a directory with one of our names is not our file.
                Ok((false, _)) => Err(Error::Missing(file)),
                Err(cause) if is_missing(&cause) => Err(Error::Missing(file)),
                Err(cause) => Err(Error::io("open", &path, cause)),
            }
        };
        blocking(open).await?.map(tokio::fs::File::from_std)
    }

    /// Removes a committed file. `false`: it did not exist, as on a second delivery.
    ///
    /// The removal is not synced. If a power failure undoes it, the sweeper removes the file again.
    pub async fn remove(&self, file: FileId) -> Result<bool, Error> {
        let path = self.path(file);
        blocking(move || remove_file(&path)).await?
    }

    /// Whether the directory is still this spool. `false`: its volume is not mounted, or another one is, so a missing
    /// file proves nothing. Blocks for one small read.
    pub fn is_intact(&self) -> bool {
        let id = identity::read(&self.inner.root).ok().flatten();
        id.as_ref() == Some(&self.inner.id) && self.inner.ready.is_dir()
    }

    /// Bytes that an unprivileged process can still write (`f_bavail` of statvfs(3)). One system call, no cache.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        let stat = self.stat()?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Files that an unprivileged process can still make (`f_favail` of statvfs(3)). `None`: the filesystem has no such limit.
    pub fn free_inodes(&self) -> Result<Option<u64>, Error> {
        let stat = self.stat()?;
        Ok((stat.f_files > 0).then_some(stat.f_favail))
    }

    /// Whether a new file can be made, however short. [`Error::ReadOnly`]: the disk is. [`Error::Full`]: it has no inodes
    /// left. One system call while it has some, no cache.
    pub fn takes_files(&self) -> Result<(), Error> {
        let stat = self.stat()?;
        if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(Error::ReadOnly);
        }
        if stat.f_files == 0 || stat.f_favail > 0 {
            return Ok(());
        }
        // Some filesystems say so, and make inodes as they are needed.
        let path = self.inner.incoming.join(FileId::new().to_string());
        fs::File::create_new(&path).map_err(|cause| Error::io("create", &path, cause))?;
        remove_file(&path).map(drop)
    }

    fn stat(&self) -> Result<StatVfs, Error> {
        let root = &self.inner.root;
        rustix::fs::statvfs(root).map_err(|cause| Error::io("measure", root, cause.into()))
    }
}

fn unless_full(tried: io::Result<()>) -> io::Result<()> {
    tried.or_else(|cause| match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Ok(()),
        _ => Err(cause),
    })
}

/// Does once what every upload does, so that a spool that cannot work stops the program at start.
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

/// open(2) with O_NOFOLLOW answers ELOOP for a symbolic link.
fn is_missing(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::NotFound || cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Runs file operations on the blocking pool. Fails during shutdown.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Stopping)
}
