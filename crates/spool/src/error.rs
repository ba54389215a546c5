use std::io;
use std::path::{Path, PathBuf};

use messages::{FileId, SpoolId};

/// Errors of the spool, by what to do about them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be a spool: stop the program.
    #[error("SPOOL_DIR: expected a directory that can be made and written, but {}: {cause}", dir.display())]
    Unusable {
        /// The directory as it was given.
        dir: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// `incoming/` and `ready/` are on two filesystems: stop the program.
    #[error(
        "SPOOL_DIR: expected incoming/ and ready/ in {} on one filesystem, but one of them is a mount of its own",
        .0.display()
    )]
    Split(PathBuf),
    /// The directory has another spool's id: stop the program.
    #[error("SPOOL_ID: expected {stored}, the id that {} already has, but was given {given}", dir.display())]
    IdDiffers {
        /// The directory.
        dir: PathBuf,
        /// The id that it has.
        stored: SpoolId,
        /// The id asked for.
        given: SpoolId,
    },
    /// The file with the spool's id cannot be understood: stop the program.
    #[error("SPOOL_DIR: expected a spool's id in {}, but {cause}", path.display())]
    IdUnreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: messages::InvalidId,
    },
    /// No space, inode or quota is left. Nothing of the file remains. Try again later.
    #[error("no space left in the spool")]
    Full,
    /// The disk is read-only: files stay and can be read, none can be made or removed. Somebody has to mend it.
    #[error("the spool's disk is read-only")]
    ReadOnly,
    /// The file was removed, or never committed.
    #[error("file {0} is not in the spool")]
    Missing(FileId),
    /// An earlier write failed. Nothing of the file remains.
    #[error("an earlier write of this file failed")]
    Broken,
    /// The program is shutting down.
    #[error("the program is shutting down")]
    Stopping,
    /// The operating system failed.
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
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io { doing, path: path.to_owned(), cause },
        }
    }
}
