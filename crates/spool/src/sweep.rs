//! The files of a spool, for the sweeper.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use messages::FileId;
use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW, futimens};

use crate::{Error, Spool, blocking, hold, remove_file};

/// The file that asks the volume for its time.
pub(crate) const CLOCK: &str = "clock";
/// Entries of a page: a spool of a million files costs no more memory than a small one.
const PAGE: usize = 512;

/// One of the two directories of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Area {
    /// Files being received. A killed process left those that have not changed for long.
    Incoming,
    /// Whole files.
    Ready,
}

impl Area {
    /// Every area.
    pub const ALL: [Self; 2] = [Self::Incoming, Self::Ready];

    /// The name of its directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Ready => "ready",
        }
    }
}

/// A regular file that this crate named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub area: Area,
    /// Its name.
    pub file: FileId,
    /// When its content last changed, by the clock that [`Spool::time`] reads.
    pub modified: SystemTime,
    /// Its length.
    pub bytes: u64,
}

/// Walks all files, a page at a time, in no order. May miss files that come or go meanwhile.
#[derive(Debug)]
pub struct Entries {
    todo: Vec<(Area, PathBuf)>,
    reading: Option<(Area, fs::ReadDir)>,
}

impl Spool {
    /// All files of the spool. What this crate did not name (another name, a link, a directory) is not among them.
    pub fn entries(&self) -> Entries {
        let todo = vec![(Area::Ready, self.inner.ready.clone()), (Area::Incoming, self.inner.incoming.clone())];
        Entries { todo, reading: None }
    }

    /// What the clock shows that the files are dated by. It is the volume's, which may be another machine's.
    pub async fn time(&self) -> Result<SystemTime, Error> {
        let path = self.inner.root.join(CLOCK);
        blocking(move || touch(&path).map_err(|cause| Error::io("date", &path, cause))).await?
    }

    /// Whether a living process may still commit the file or have it accepted. `false` on a volume without locks, and of a file
    /// that is gone.
    pub async fn is_held(&self, entry: &Entry) -> Result<bool, Error> {
        let path = self.path_of(entry);
        blocking(move || hold::is_held(&path)).await
    }

    /// Removes a file without an owner. `false`: it is gone already.
    pub async fn remove_entry(&self, entry: &Entry) -> Result<bool, Error> {
        let path = self.path_of(entry);
        blocking(move || remove_file(&path)).await?
    }

    fn path_of(&self, entry: &Entry) -> PathBuf {
        let area = match entry.area {
            Area::Incoming => &self.inner.incoming,
            Area::Ready => &self.inner.ready,
        };
        area.join(entry.file.to_string())
    }
}

impl Entries {
    /// The next page, empty at the end. After an error begin a new walk.
    pub async fn next_page(&mut self) -> Result<Vec<Entry>, Error> {
        let mut walk = Self { todo: std::mem::take(&mut self.todo), reading: self.reading.take() };
        let (walk, page) = blocking(move || {
            let page = walk.read_page();
            (walk, page)
        })
        .await?;
        *self = walk;
        page
    }

    fn read_page(&mut self) -> Result<Vec<Entry>, Error> {
        let mut page = Vec::new();
        while page.len() < PAGE {
            let Some((area, dir)) = &mut self.reading else {
                let Some((area, path)) = self.todo.pop() else { break };
                let dir = fs::read_dir(&path).map_err(|cause| Error::io("list", &path, cause))?;
                self.reading = Some((area, dir));
                continue;
            };
            match dir.next() {
                None => self.reading = None,
                Some(Ok(found)) => page.extend(entry(*area, &found)?),
                Some(Err(cause)) => return Err(Error::io("list", &PathBuf::from("the spool"), cause)),
            }
        }
        Ok(page)
    }
}

/// Has the volume date a file, and reads the date: a full disk allows that too, once the file is there.
pub(crate) fn touch(path: &Path) -> io::Result<SystemTime> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).custom_flags(flags).open(path)?;
    // For the other programs of a group, too, whatever our umask; its owner alone may say so.
    let _ = file.set_permissions(fs::Permissions::from_mode(0o660));
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    futimens(&file, &Timestamps { last_access: now, last_modification: now })?;
    file.metadata()?.modified()
}

/// `None` if it is not a file of ours, or was removed meanwhile.
fn entry(area: Area, found: &fs::DirEntry) -> Result<Option<Entry>, Error> {
    let name = found.file_name();
    let ours = name.to_str().and_then(|text| text.parse::<FileId>().ok().filter(|id| id.to_string() == text));
    let Some(file) = ours else { return Ok(None) };
    // Follows no link.
    match found.metadata().and_then(|metadata| Ok((metadata.is_file(), metadata.modified()?, metadata.len()))) {
        Ok((is_file, modified, bytes)) => Ok(is_file.then_some(Entry { area, file, modified, bytes })),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::io("inspect", &found.path(), cause)),
    }
}
