//! A file that is being received, on disk. Everything here blocks and runs on the blocking pool.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crash_points::Point;
use messages::FileId;

use crate::hold::{self, Hold};
use crate::{Error, Spool, remove_file};

/// Removes a file when dropped. On a runtime the blocking pool does it, because unlinking a large file takes a while. A
/// runtime that shuts down drops that task unrun, and the file is removed right there.
#[derive(Debug)]
pub(crate) struct Unlink(Option<PathBuf>);

impl Unlink {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(Some(path))
    }

    /// The file stays.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }

    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }
}

impl Drop for Unlink {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        let now = UnlinkNow(path);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(now));
        }
    }
}

struct UnlinkNow(PathBuf);

impl Drop for UnlinkNow {
    fn drop(&mut self) {
        if let Err(error) = remove_file(&self.0) {
            tracing::warn!(%error, "an abandoned file stays in the spool until it is swept");
        }
    }
}

/// A file in `incoming/`, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    crc32: crc32fast::Hasher,
    unlink: Unlink,
}

impl Partial {
    /// Appends the chunks to the file, which is made if there is none yet.
    pub(crate) fn write(partial: Option<Self>, spool: &Spool, id: FileId, chunks: &[Bytes]) -> Result<Self, Error> {
        let mut partial = match partial {
            Some(partial) => partial,
            None => Self::create(spool, id)?,
        };
        partial.append(chunks)?;
        Ok(partial)
    }

    fn create(spool: &Spool, id: FileId) -> Result<Self, Error> {
        let path = spool.inner.incoming.join(id.to_string());
        let created = File::options().write(true).create_new(true).mode(0o640).open(&path);
        let file = created.map_err(|cause| Error::io("create", &path, cause))?;
        hold::begin(&file);
        Ok(Self { file, crc32: crc32fast::Hasher::new(), unlink: Unlink::new(path) })
    }

    /// Appends the chunks with few system calls and without copying.
    fn append(&mut self, chunks: &[Bytes]) -> Result<(), Error> {
        for chunk in chunks {
            self.crc32.update(chunk);
        }
        let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.file.write_vectored(left) {
                Ok(0) => return Err(self.failed("write", io::ErrorKind::WriteZero.into())),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.failed("write", cause)),
            }
        }
        Ok(())
    }

    /// Makes the file durable in `ready/`. Returns its CRC-32, the guard of its new name, and the hold on it.
    pub(crate) fn finish(self, spool: &Spool, id: FileId) -> Result<(u32, Unlink, Hold), Error> {
        let ready = spool.path(id);
        // rename(2) is atomic: the file is in one area or the other, whenever we are killed.
        //
        // It comes before the sync, so that the commit that a journal needs for the bytes takes the name along, and the sync
        // of the directory finds it done. A power failure in between may leave the name without the bytes. Nobody takes that
        // for a file: no job has it before this returns, and the sweeper removes it.
        fs::rename(self.unlink.path(), &ready).map_err(|cause| self.failed("rename", cause))?;
        self.unlink.disarm();
        let unlink = Unlink::new(ready);
        let name = spool.inner.ready_sync.added();
        crash_points::reach(Point::SpoolRenamed);
        // fdatasync(2) suffices: it flushes the data and what is needed to read it, such as the size.
        self.file.sync_data().map_err(|cause| Error::io("sync", unlink.path(), cause))?;
        spool.inner.ready_sync.sync(name).map_err(|cause| Error::io("sync", &spool.inner.ready, cause))?;
        crash_points::reach(Point::SpoolSynced);
        Ok((self.crc32.finalize(), unlink, Hold::new(self.file)))
    }

    fn failed(&self, doing: &'static str, cause: io::Error) -> Error {
        Error::io(doing, self.unlink.path(), cause)
    }
}
