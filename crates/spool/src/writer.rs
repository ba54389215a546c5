//! Receives a file.

use bytes::Bytes;
use crash_points::Point;
use messages::FileId;
use tokio::task::JoinHandle;

use crate::hold::Hold;
use crate::partial::{Partial, Unlink};
use crate::{Error, Spool, blocking};

/// A file up to this size touches the disk once, in [`Writer::commit`]. Most avatars are that small.
const FIRST_BATCH: usize = 256 * 1024;
/// A larger file is written in batches of this size, one while the next is received. An upload costs twice this in
/// memory.
const BATCH: usize = 64 * 1024;
/// So many chunks are a full batch, however small: a client that sends single bytes must not make the list grow. One
/// writev(2) takes 1,024.
const BATCH_CHUNKS: usize = 512;

/// A file that is being received. Dropping it removes what was written.
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
    /// A batch is being written. If the writer is dropped, the task drops the file, which removes it.
    Busy(JoinHandle<Result<Partial, Error>>),
    /// The file was taken for the next batch and not returned, or could not be written. It is removed.
    Broken,
}

impl Writer {
    pub(crate) fn new(spool: Spool) -> Self {
        let (file, first_batch, disk) = (FileId::new(), FIRST_BATCH, Disk::Untouched);
        Self { spool, file, bytes: 0, first_batch, batch: Vec::new(), batch_bytes: 0, disk }
    }

    /// Prepares for about so many bytes. A large file goes to disk from the start, so that many at once do not fill the
    /// memory. A wrong guess costs a little time or memory.
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

    /// Takes the next bytes. When a batch is full, waits until the one before is written: a slow disk slows the sender
    /// down. May be cancelled at any time. An error may be an earlier batch's; the file is removed then.
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

    /// Makes the file durable: renames it into `ready/`, and syncs the bytes and the name.
    ///
    /// The returned guard owns the file. Call [`Spooled::keep`] before a job may own it. A process that is killed before
    /// leaves a file without a job, for the sweeper. After an error nothing of the file remains.
    pub async fn commit(mut self) -> Result<Spooled, Error> {
        let partial = self.settle_disk().await?;
        let (spool, file, bytes, batch) = (self.spool, self.file, self.bytes, self.batch);
        let work = move || Partial::write(partial, &spool, file, &batch)?.finish(&spool, file);
        let (crc32, unlink, hold) = blocking(work).await??;
        Ok(Spooled { file, bytes, crc32, unlink, hold })
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
            let partial = Partial::write(partial, &spool, file, &batch)?;
            crash_points::reach(Point::SpoolWritten);
            Ok(partial)
        }));
        Ok(())
    }

    /// Waits for the batch in flight and takes the file, if there is one yet. Cancelling it changes nothing.
    async fn settle_disk(&mut self) -> Result<Option<Partial>, Error> {
        let partial = match &mut self.disk {
            Disk::Untouched => Ok(None),
            Disk::Busy(writing) => writing.await.map_err(|_| Error::Stopping).flatten().map(Some),
            Disk::Broken => Err(Error::Broken),
        };
        self.disk = Disk::Broken;
        partial
    }
}

/// A durable file without an owner. Dropping it removes the file; [`Spooled::keep`] gives it to a job.
#[derive(Debug)]
#[must_use = "dropping it removes the file"]
pub struct Spooled {
    /// The file's name in the spool.
    pub file: FileId,
    /// Its length.
    pub bytes: u64,
    /// Its CRC-32, by which whoever reads it later tells whether the disk has kept it.
    pub crc32: u32,
    unlink: Unlink,
    hold: Hold,
}

impl Spooled {
    /// Gives the file to a job that is durable, or may be in a moment: whoever does not know yet whether there is one keeps the
    /// hold until that is known.
    pub fn keep(self) -> Hold {
        self.unlink.disarm();
        self.hold
    }
}
