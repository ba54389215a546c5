//! Receiving a file.

use bytes::Bytes;
use crash_points::Point;
use messages::FileId;
use tokio::task::JoinHandle;

use crate::partial::{Partial, Unlink};
use crate::{Error, Spool, blocking};

/// A file up to this size touches the disk once, in [`Writer::commit`]: create, write, sync and rename in one go. An
/// avatar usually is that small.
const FIRST_BATCH: usize = 256 * 1024;
/// A larger file goes to disk in pieces of this size, one being written while the next is received. Twice this is what an
/// upload costs in memory.
const BATCH: usize = 64 * 1024;
/// So many chunks are also a full batch, however small they are: a client that sends a byte at a time must not make us
/// keep a list of them. It is less than the 1,024 that one writev(2) takes.
const BATCH_CHUNKS: usize = 512;

/// A file that is being received. Dropping it, at any time, removes what was written.
#[derive(Debug)]
pub struct Writer {
    spool: Spool,
    file: FileId,
    bytes: u64,
    first_batch: usize,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    disk: Disk,
}

#[derive(Debug)]
enum Disk {
    /// No file yet.
    Untouched,
    /// A batch is being written. If the writer is dropped, the task ends and drops the file, which removes it.
    Busy(JoinHandle<Result<Partial, Error>>),
    /// Waiting for the next batch.
    Idle(Partial),
    /// An earlier batch could not be written; the file is removed.
    Broken,
}

impl Writer {
    pub(crate) fn new(spool: Spool) -> Self {
        Self {
            spool,
            file: FileId::new(),
            bytes: 0,
            first_batch: FIRST_BATCH,
            batch: Vec::new(),
            batch_bytes: 0,
            disk: Disk::Untouched,
        }
    }

    /// Prepares for about so many bytes. More than fit one batch are sent to the disk from the start, so that many large
    /// files at once do not first fill the memory. A wrong guess costs a little time or memory, nothing else.
    #[must_use]
    pub fn expecting(mut self, bytes: u64) -> Self {
        if bytes > FIRST_BATCH as u64 {
            self.first_batch = BATCH;
        }
        self
    }

    /// The file's name.
    pub fn file(&self) -> FileId {
        self.file
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes. Usually they are only kept; when a batch is full it is sent to the disk, and this waits until
    /// the batch before it is written, which is how a slow disk slows the sender down. May be cancelled at any time.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] or [`Error::Io`] from this or an earlier batch; then the file is already removed.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.batch_is_full() {
            self.send_batch().await?;
        }
        self.bytes += chunk.len() as u64;
        self.batch_bytes += chunk.len();
        self.batch.push(chunk);
        Ok(())
    }

    /// Makes the file durable: bytes synced, named in `ready/`, and the name synced.
    ///
    /// The file now belongs to the returned guard. Hand it over to a job with [`Spooled::keep`] once the job is durable; a
    /// process killed in between leaves a file without a job, for the sweeper.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] or [`Error::Io`]; then nothing of the file remains.
    pub async fn commit(mut self) -> Result<Spooled, Error> {
        let partial = self.settle_disk().await?;
        let (spool, file, bytes, batch) = (self.spool, self.file, self.bytes, self.batch);
        let work = move || {
            let mut partial = match partial {
                Some(partial) => partial,
                None => Partial::create(&spool, file)?,
            };
            partial.append(&batch)?;
            partial.finish(&spool, file)
        };
        let (md5, unlink) = blocking(work).await??;
        Ok(Spooled { file, bytes, md5, unlink })
    }

    fn batch_is_full(&self) -> bool {
        let limit = if matches!(self.disk, Disk::Untouched) { self.first_batch } else { BATCH };
        self.batch_bytes >= limit || self.batch.len() >= BATCH_CHUNKS
    }

    async fn send_batch(&mut self) -> Result<(), Error> {
        let partial = self.settle_disk().await?;
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let (spool, file) = (self.spool.clone(), self.file);
        self.disk = Disk::Busy(tokio::task::spawn_blocking(move || {
            let mut partial = match partial {
                Some(partial) => partial,
                None => Partial::create(&spool, file)?,
            };
            partial.append(&batch)?;
            crash_points::reach(Point::SpoolWritten);
            Ok(partial)
        }));
        Ok(())
    }

    /// Waits for the batch in flight and takes the file out, if there is one yet. After an error, or if the caller does not
    /// put it back, the writer is broken. Cancelled while waiting, it has changed nothing.
    async fn settle_disk(&mut self) -> Result<Option<Partial>, Error> {
        if let Disk::Busy(writing) = &mut self.disk {
            let written = writing.await.map_err(|_| Error::Stopping).flatten();
            self.disk = match written {
                Ok(partial) => Disk::Idle(partial),
                Err(error) => {
                    self.disk = Disk::Broken;
                    return Err(error);
                }
            };
        }
        match std::mem::replace(&mut self.disk, Disk::Broken) {
            Disk::Untouched => Ok(None),
            Disk::Idle(partial) => Ok(Some(partial)),
            Disk::Busy(_) | Disk::Broken => Err(Error::Broken),
        }
    }
}

/// A durable file without an owner. Dropping it removes the file; [`Spooled::keep`] hands it to a job.
#[derive(Debug)]
#[must_use = "dropping it removes the file"]
pub struct Spooled {
    /// The file's name in the spool.
    pub file: FileId,
    /// Its length.
    pub bytes: u64,
    /// Its MD5 in lower-case hexadecimal digits, which is also the `etag` that Cloudinary answers with.
    pub md5: String,
    unlink: Unlink,
}

impl Spooled {
    /// Keeps the file: a durable job owns it now.
    pub fn keep(self) {
        self.unlink.disarm();
    }
}
