use std::io;
use std::path::{Path, PathBuf};

use messages::{FileId, SpoolId};

/// What can go wrong with the spool, by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot serve as a spool: stop the program.
    #[error("SPOOL_DIR: expected a directory that can be made and written, but {}: {cause}", dir.display())]
    Unusable {
        /// The directory as it was given.
        dir: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// `incoming/` and `ready/` are on two filesystems: stop the program.
    #[error("SPOOL_DIR: expected incoming/ and ready/ in {} on one filesystem, but one of them is a mount of its own", dir.display())]
    Split {
        /// The directory as it was given.
        dir: PathBuf,
    },
    /// The directory belongs to a spool of another name: stop the program.
    #[error("SPOOL_ID: expected {stored}, the id that {} already has, but was given {given}", dir.display())]
    IdDiffers {
        /// The directory.
        dir: PathBuf,
        /// The id written down there.
        stored: SpoolId,
        /// The id asked for.
        given: SpoolId,
    },
    /// The file that keeps the spool's id holds something else: stop the program.
    #[error("SPOOL_DIR: expected a spool's id in {}, but {cause}", path.display())]
    IdUnreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: messages::InvalidId,
    },
    /// No space is left, or a quota is used up. Nothing of the file remains; later there may be room.
    #[error("no space left in the spool")]
    Full,
    /// There is no such file: it was removed, or never committed.
    #[error("file {file} is not in the spool")]
    Missing {
        /// The file that was asked for.
        file: FileId,
    },
    /// The file became shorter or was taken away by somebody else, or an earlier write failed. Nothing of it remains.
    #[error("an earlier write of this file failed")]
    Broken,
    /// The program is shutting down and does no more file operations.
    #[error("the program is shutting down")]
    Stopping,
    /// The operating system refused.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried: `write`, `sync`, …
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { doing, path: path.to_owned(), cause },
        }
    }
}
