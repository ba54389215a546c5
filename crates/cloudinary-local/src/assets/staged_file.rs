//! Bytes that have arrived but belong to no asset yet: small ones in memory, large ones in a file that vanishes with them.

use std::fs;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use tokio::io::{AsyncWriteExt, BufWriter};
use uuid::Uuid;

/// Up to this size bytes stay in memory; an avatar then costs one file write, made when it is stored.
const IN_MEMORY: usize = 256 * 1024;

/// Bytes that are complete, with their length and MD5.
#[derive(Debug)]
pub(crate) struct StagedFile {
    place: Place,
    pub len: u64,
    pub md5: String,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    File(TempPath),
}

/// A file that is removed when this is dropped, unless it was moved away before.
#[derive(Debug)]
pub(crate) struct TempPath(PathBuf);

impl TempPath {
    /// A name in `folder` that nothing else has.
    pub(crate) fn new_in(folder: &Path) -> Self {
        Self(folder.join(Uuid::new_v4().simple().to_string()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves the file, which then stays.
    pub(crate) fn persist(self, to: &Path) -> io::Result<()> {
        fs::rename(&self.0, to)
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        // Gone already if it was persisted or never written; what else could fail is cleaned up at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

/// Something to read an image's or a file's bytes from.
pub(crate) trait Source: BufRead + Seek + Send {}
impl<T: BufRead + Seek + Send> Source for T {}

impl StagedFile {
    /// Bytes that are in memory already.
    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        let md5 = hex::encode(Md5::digest(&bytes));
        Self { len: bytes.len() as u64, md5, place: Place::Memory(bytes) }
    }

    /// Reads everything from `reader` into a file in `folder`, or into memory if it is little. Blocks.
    pub(crate) fn copy_from(mut reader: impl Read, folder: &Path) -> io::Result<Self> {
        let mut head = Vec::new();
        reader.by_ref().take(IN_MEMORY as u64).read_to_end(&mut head)?;
        if head.len() < IN_MEMORY {
            return Ok(Self::from_bytes(Bytes::from(head)));
        }
        let temp = TempPath::new_in(folder);
        let mut file = fs::File::create_new(temp.path())?;
        let mut md5 = Md5::new();
        let (mut len, mut piece) = (0_u64, head);
        while !piece.is_empty() {
            md5.update(&piece);
            io::Write::write_all(&mut file, &piece)?;
            len += piece.len() as u64;
            piece.clear();
            reader.by_ref().take(IN_MEMORY as u64).read_to_end(&mut piece)?;
        }
        Ok(Self { place: Place::File(temp), len, md5: hex::encode(md5.finalize()) })
    }

    /// Opens the bytes for reading from the start. Blocks.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Source>> {
        Ok(match &self.place {
            Place::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
            Place::File(temp) => Box::new(BufReader::new(fs::File::open(temp.path())?)),
        })
    }

    /// The first bytes, at most `count`. Blocks.
    pub(crate) fn head(&self, count: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.open()?.take(count).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Puts the bytes where they stay. Blocks.
    pub(crate) fn persist(self, to: &Path) -> io::Result<()> {
        match self.place {
            Place::Memory(bytes) => fs::write(to, bytes),
            Place::File(temp) => temp.persist(to),
        }
    }
}

/// Takes bytes in as they arrive. Dropped before [`StagedFileWriter::finish`], it leaves nothing behind.
pub(crate) struct StagedFileWriter<'a> {
    folder: &'a Path,
    memory: BytesMut,
    file: Option<(TempPath, BufWriter<tokio::fs::File>)>,
    md5: Md5,
    len: u64,
}

impl<'a> StagedFileWriter<'a> {
    /// A writer whose overflow goes into `folder`.
    pub(crate) fn new(folder: &'a Path) -> Self {
        Self { folder, memory: BytesMut::new(), file: None, md5: Md5::new(), len: 0 }
    }

    /// Takes the next piece.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.md5.update(piece);
        self.len += piece.len() as u64;
        if let Some((_, file)) = &mut self.file {
            return file.write_all(piece).await;
        }
        if self.memory.len() + piece.len() <= IN_MEMORY {
            self.memory.extend_from_slice(piece);
            return Ok(());
        }
        let temp = TempPath::new_in(self.folder);
        let mut file = BufWriter::with_capacity(IN_MEMORY, tokio::fs::File::create_new(temp.path()).await?);
        file.write_all(&std::mem::take(&mut self.memory)).await?;
        file.write_all(piece).await?;
        self.file = Some((temp, file));
        Ok(())
    }

    /// How much has been taken.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Ends the writing: all bytes can now be read.
    pub(crate) async fn finish(self) -> io::Result<StagedFile> {
        let place = match self.file {
            None => Place::Memory(self.memory.freeze()),
            Some((temp, mut file)) => {
                file.flush().await?;
                Place::File(temp)
            }
        };
        Ok(StagedFile { place, len: self.len, md5: hex::encode(self.md5.finalize()) })
    }
}
