//! Bytes that have arrived but belong to no asset yet: in memory if they are few, otherwise in a file that is removed
//! with them.

use std::fs;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use tokio::io::{AsyncWriteExt, BufWriter};
use uuid::Uuid;

/// So many bytes stay in memory. An avatar then costs one file write, when it is stored.
const IN_MEMORY: usize = 256 * 1024;

/// All bytes of a file or a chunk.
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

/// Removes its file when dropped, unless the file was moved before.
#[derive(Debug)]
pub(crate) struct TempPath(PathBuf);

impl TempPath {
    pub(crate) fn new_in(folder: &Path) -> Self {
        Self(folder.join(Uuid::new_v4().simple().to_string()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn persist(self, to: &Path) -> io::Result<()> {
        fs::rename(&self.0, to)
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        // Usually there is no file any more. What is left is removed at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) trait Source: BufRead + Seek + Send {}
impl<T: BufRead + Seek + Send> Source for T {}

impl StagedFile {
    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        let md5 = hex::encode(Md5::digest(&bytes));
        Self { len: bytes.len() as u64, md5, place: Place::Memory(bytes) }
    }

    /// Reads everything from `reader`, into `folder` if it is much. Blocks.
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

    /// Blocks.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Source>> {
        Ok(match &self.place {
            Place::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
            Place::File(temp) => Box::new(BufReader::new(fs::File::open(temp.path())?)),
        })
    }

    /// The first `count` bytes, or fewer. Blocks.
    pub(crate) fn head(&self, count: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.open()?.take(count).read_to_end(&mut head)?;
        Ok(head)
    }

    /// The same with another last byte, if there is one. Blocks.
    pub(crate) fn spoiled(self, folder: &Path) -> io::Result<Self> {
        let Some(before) = self.len.checked_sub(1) else { return Ok(self) };
        let mut last = [0];
        let mut reader = self.open()?;
        reader.seek(SeekFrom::Start(before))?;
        reader.read_exact(&mut last)?;
        Self::copy_from(self.open()?.take(before).chain(Cursor::new([last[0] ^ 1])), folder)
    }

    /// Moves the bytes to `to`. Blocks.
    pub(crate) fn persist(self, to: &Path) -> io::Result<()> {
        match self.place {
            Place::Memory(bytes) => fs::write(to, bytes),
            Place::File(temp) => temp.persist(to),
        }
    }
}

/// Stages bytes as they arrive. Dropped before [`StagedFileWriter::finish`], it leaves nothing behind.
pub(crate) struct StagedFileWriter<'a> {
    folder: &'a Path,
    memory: BytesMut,
    file: Option<(TempPath, BufWriter<tokio::fs::File>)>,
    md5: Md5,
    len: u64,
}

impl<'a> StagedFileWriter<'a> {
    /// Many bytes go into `folder`.
    pub(crate) fn new(folder: &'a Path) -> Self {
        Self { folder, memory: BytesMut::new(), file: None, md5: Md5::new(), len: 0 }
    }

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

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

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
