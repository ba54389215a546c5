//! The file of an upload, on disk. It is read off the async threads.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use crash_points::Point;
use futures_util::future::Either;
use futures_util::{Stream, stream};
use rustix::fs::OFlags;

use crate::chunks::Chunk;
use crate::error::Error;

/// A file up to this length is opened once, and read at once. Most are.
const SMALL: u64 = 1 << 20;
/// A larger one is read in pieces of this length, each when the one before is on its way.
const PIECE: u64 = 256 << 10;

/// A file of a length that was recorded.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// All of it, if it is small.
    content: Option<Bytes>,
}

/// Why a file cannot be read while it is sent. `reqwest` returns it like an error of the connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Unread(pub io::Error);

impl Source {
    /// Reads a small file. Of a large one nobody knows yet whether it is there.
    pub async fn new(path: &Path, bytes: u64) -> Result<Self, Error> {
        let mut source = Self { path: path.to_owned(), bytes, content: None };
        if bytes <= SMALL {
            source.content = Some(source.with_file(move |file| read(&file, 0, bytes)).await?);
        }
        Ok(source)
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
        let pieces = move |first| read_piece(file.clone(), first, chunk.end());
        Ok(Either::Right(stream::try_unfold(chunk.first, pieces)))
    }

    /// Opens the file for `work`, off the async threads. Fails if it is not as long as it should be.
    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (path, expected) = (self.path.clone(), self.bytes);
        let task = tokio::task::spawn_blocking(move || {
            let failed = |source| Error::File { path: path.clone(), source };
            let file = open(&path).map_err(failed)?;
            let found = file.metadata().map_err(failed)?.len();
            if found != expected {
                return Err(Error::FileChanged { path, expected, found });
            }
            work(file).map_err(failed)
        });
        // Not run, during shutdown.
        task.await.unwrap_or_else(|cause| Err(Error::File { path: self.path.clone(), source: cause.into() }))
    }
}

async fn read_piece(file: Arc<File>, first: u64, end: u64) -> Result<Option<(Bytes, u64)>, Unread> {
    let length = PIECE.min(end - first);
    if length == 0 {
        return Ok(None);
    }
    let read = tokio::task::spawn_blocking(move || read(&file, first, length));
    let piece = read.await.map_err(io::Error::from).flatten().map_err(Unread)?;
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
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, first)?;
    Ok(bytes.into())
}

/// A chunk of a file that is as long as it should be.
fn part_of(bytes: &Bytes, chunk: Chunk) -> Bytes {
    let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(chunk.first)..at(chunk.end()))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    /// A file of that length, and its bytes.
    fn file(folder: &Path, bytes: u64) -> (PathBuf, Vec<u8>) {
        let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let path = folder.join(bytes.to_string());
        std::fs::write(&path, &content).unwrap();
        (path, content)
    }

    async fn pieces(source: &Source, chunk: Chunk) -> Vec<Bytes> {
        source.read(chunk).await.unwrap().try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn a_small_file_is_one_piece_and_a_large_one_many() {
        let folder = tempfile::tempdir().unwrap();
        let (small, piece) = (SMALL as usize, PIECE as usize);
        for (bytes, lengths) in
            [(0, &[0][..]), (1, &[1]), (SMALL, &[small]), (SMALL + 1, &[piece, piece, piece, piece, 1])]
        {
            let (path, content) = file(folder.path(), bytes);
            let source = Source::new(&path, bytes).await.unwrap();
            let whole = pieces(&source, Chunk { first: 0, length: bytes }).await;
            assert_eq!(whole.iter().map(Bytes::len).collect::<Vec<_>>(), lengths, "{bytes}");
            assert!(whole.concat() == content, "{bytes}");
            let (first, end) = (bytes / 3, bytes - bytes / 4);
            let part = pieces(&source, Chunk { first, length: end - first }).await;
            assert!(part.concat() == content[first as usize..end as usize], "{bytes}");
        }
    }

    #[tokio::test]
    async fn a_small_file_is_not_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, content) = file(folder.path(), 5_000);
        let source = Source::new(&path, 5_000).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(pieces(&source, Chunk { first: 0, length: 5_000 }).await, [content.clone()]);
        }
    }

    #[tokio::test]
    async fn a_large_file_that_goes_between_two_chunks_or_becomes_shorter_in_one_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = 3 * SMALL;
        let (path, _) = file(folder.path(), bytes);
        let source = Source::new(&path, bytes).await.unwrap();
        let whole = Chunk { first: 0, length: bytes };
        let reading = source.read(whole).await.unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(SMALL).unwrap();
        let read: Result<Vec<Bytes>, _> = reading.try_collect().await;
        assert_eq!(read.unwrap_err().0.kind(), io::ErrorKind::UnexpectedEof);
        assert!(matches!(source.read(whole).await, Err(Error::FileChanged { found: SMALL, .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(source.read(whole).await, Err(Error::File { .. })));
    }
}
