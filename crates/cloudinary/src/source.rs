//! The file of an upload, on disk. It is read, and summed up, off the async threads.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crash_points::Point;
use futures_util::future::Either;
use futures_util::{Stream, stream};
use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;
use rustix::io::{pread, retry_on_intr};

use crate::checksum::{Checksum, Sums};
use crate::chunks::Chunk;
use crate::error::Error;

/// A file up to this length is opened once, and read at once. Most are.
const SMALL: u64 = 1 << 20;
/// A larger one is read in pieces of this length, each when the one before is on its way.
const PIECE: u64 = 256 << 10;
/// What a resumed upload has sent already is summed up in steps of this length: whoever does not wait for it any longer has it
/// stopped after one.
const STEP: u64 = 16 << 20;

/// A file of a length that was recorded.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// All of it, if it is small.
    content: Option<Bytes>,
    known: Known,
}

/// What is known of the bytes.
#[derive(Debug, Clone)]
enum Known {
    Md5(String),
    /// The sum that they should have, and those of what was read so far.
    Crc32(u32, Arc<Mutex<Sums>>),
}

/// Why a file cannot be read while it is sent. `reqwest` returns it like an error of the connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error("it is damaged")]
    Damaged,
}

impl Source {
    /// Reads a small file, which must not be damaged. Of a large one nobody knows yet whether it is there.
    pub async fn new(path: &Path, bytes: u64, checksum: &Checksum) -> Result<Self, Error> {
        let known = match checksum {
            Checksum::Md5(md5) => Known::Md5(md5.clone()),
            Checksum::Crc32(crc32) => Known::Crc32(*crc32, Arc::default()),
        };
        let mut source = Self { path: path.to_owned(), bytes, content: None, known };
        if bytes <= SMALL {
            let known = source.known.clone();
            let content = source.with_file(move |file| {
                let content = read(&file, 0, bytes)?;
                known.take(0, &content, bytes)?;
                Ok(content)
            });
            source.content = Some(content.await?);
        }
        Ok(source)
    }

    /// The MD5 of the file, in hex. Reads what was not read so far. Fails if the file is damaged.
    pub async fn md5(&self) -> Result<String, Error> {
        let sums = match &self.known {
            Known::Md5(md5) => return Ok(md5.clone()),
            Known::Crc32(_, sums) => sums,
        };
        if locked(sums, |sums| sums.bytes()) < self.bytes {
            let file = Arc::new(self.with_file(Ok).await?);
            self.sum_up(&file, self.bytes).await?;
        }
        self.known.take(self.bytes, &[], self.bytes).map_err(|cause| self.failed(cause))?;
        Ok(locked(sums, |sums| sums.md5()))
    }

    /// Sums up what was not read, as far as `end`.
    async fn sum_up(&self, file: &Arc<File>, end: u64) -> Result<(), Error> {
        let Known::Crc32(_, sums) = &self.known else { return Ok(()) };
        loop {
            let first = locked(sums, |sums| sums.bytes());
            if first >= end {
                return Ok(());
            }
            let (file, known, total) = (file.clone(), self.known.clone(), self.bytes);
            let step = tokio::task::spawn_blocking(move || {
                let mut first = first;
                let end = end.min(first + STEP);
                while first < end {
                    let piece = read(&file, first, PIECE.min(end - first))?;
                    known.take(first, &piece, total)?;
                    first += piece.len() as u64;
                }
                Ok(())
            });
            step.await.map_err(|cause| Unread::File(cause.into())).flatten().map_err(|cause| self.failed(cause))?;
        }
    }

    /// The bytes of a chunk. Each of a large file opens it again, so that one whose volume has gone, or that was removed because
    /// nobody needs it any more, is noticed.
    pub async fn read(&self, chunk: Chunk) -> Result<impl Stream<Item = Result<Bytes, Unread>> + Send + use<>, Error> {
        if let Some(content) = &self.content {
            let bytes = part_of(content, chunk);
            return Ok(Either::Left(stream::once(async {
                crash_points::reach(Point::UploadSending);
                Ok(bytes)
            })));
        }
        let file = Arc::new(self.with_file(Ok).await?);
        // An earlier attempt has sent it.
        self.sum_up(&file, chunk.first).await?;
        let (known, total) = (self.known.clone(), self.bytes);
        let pieces = move |first| read_piece(file.clone(), known.clone(), first, chunk.end(), total);
        Ok(Either::Right(stream::try_unfold(chunk.first, pieces)))
    }

    /// Opens the file for `work`, off the async threads. Fails if it is not as long as it should be.
    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(File) -> Result<T, Unread> + Send + 'static,
    ) -> Result<T, Error> {
        let (path, expected) = (self.path.clone(), self.bytes);
        let task = tokio::task::spawn_blocking(move || {
            let file = open(&path)?;
            let found = file.metadata()?.len();
            if found == expected { work(file).map(Ok) } else { Ok(Err(found)) }
        });
        // Not run, during shutdown.
        let done =
            task.await.map_err(|cause| Unread::File(cause.into())).flatten().map_err(|cause| self.failed(cause))?;
        done.map_err(|found| Error::FileChanged { path: self.path.clone(), expected, found })
    }

    pub fn failed(&self, cause: Unread) -> Error {
        let path = self.path.clone();
        match cause {
            Unread::File(source) => Error::File { path, source },
            Unread::Damaged => Error::FileDamaged { path },
        }
    }
}

impl Known {
    /// Sums up bytes of a file of `total`, off the async threads. Fails once they are all there and not what they should be:
    /// before the last of them is sent.
    fn take(&self, first: u64, bytes: &[u8], total: u64) -> Result<(), Unread> {
        let Self::Crc32(expected, sums) = self else { return Ok(()) };
        locked(sums, |sums| {
            sums.take(first, bytes);
            if sums.bytes() == total && sums.crc32() != *expected { Err(Unread::Damaged) } else { Ok(()) }
        })
    }
}

fn locked<T>(sums: &Mutex<Sums>, work: impl FnOnce(&mut Sums) -> T) -> T {
    work(&mut sums.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn read_piece(
    file: Arc<File>,
    known: Known,
    first: u64,
    end: u64,
    total: u64,
) -> Result<Option<(Bytes, u64)>, Unread> {
    let length = PIECE.min(end.saturating_sub(first));
    if length == 0 {
        return Ok(None);
    }
    let read = tokio::task::spawn_blocking(move || {
        let piece = read(&file, first, length)?;
        known.take(first, &piece, total)?;
        Ok(piece)
    });
    let piece = read.await.map_err(|cause| Unread::File(cause.into())).flatten()?;
    crash_points::reach(Point::UploadSending);
    Ok(Some((piece, first + length)))
}

/// Opens a file for reading. A symbolic link in its place is not followed: neither that, nor a pipe or a device, is the file that
/// was meant, so there is none.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(cause) if cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(io::ErrorKind::NotFound.into());
        }
        opened => opened?,
    };
    if opened.metadata()?.is_file() { Ok(opened) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn read(file: &File, first: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = first + bytes.len() as u64;
        if retry_on_intr(|| pread(file, spare_capacity(&mut bytes), at))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // A vector may have more room than it was asked for.
    bytes.truncate(length);
    Ok(bytes.into())
}

/// A chunk of a file that is as long as it should be.
fn part_of(bytes: &Bytes, chunk: Chunk) -> Bytes {
    let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(chunk.first)..at(chunk.end()))
}

#[cfg(test)]
mod tests;
