//! The entries of a spool, for the sweeper.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use messages::FileId;

use crate::{Error, Spool, blocking, remove_file};

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

/// The name of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A regular file that this crate named.
    Ours(FileId),
    /// Anything else: another name, a link, a directory. Never removed.
    Foreign(OsString),
}

/// An entry of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub area: Area,
    /// Its name.
    pub name: Name,
    /// When its content last changed.
    pub modified: SystemTime,
    /// Its length.
    pub bytes: u64,
}

/// Walks all entries, a page at a time, in no order. May miss files that come or go meanwhile.
#[derive(Debug)]
pub struct Entries {
    todo: Vec<(Area, PathBuf)>,
    reading: Option<(Area, fs::ReadDir)>,
}

impl Spool {
    /// All entries of the spool.
    pub fn entries(&self) -> Entries {
        let todo = vec![(Area::Ready, self.inner.ready.clone()), (Area::Incoming, self.inner.incoming.clone())];
        Entries { todo, reading: None }
    }

    /// Removes an entry without an owner. `false`: it is gone already, or foreign and stays.
    pub async fn remove_entry(&self, entry: &Entry) -> Result<bool, Error> {
        let Name::Ours(file) = entry.name else { return Ok(false) };
        let area = match entry.area {
            Area::Incoming => &self.inner.incoming,
            Area::Ready => &self.inner.ready,
        };
        let path = area.join(file.to_string());
        blocking(move || remove_file(&path)).await?
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

/// `None` if it was removed meanwhile.
fn entry(area: Area, found: &fs::DirEntry) -> Result<Option<Entry>, Error> {
    // Follows no link.
    let metadata = match found.metadata() {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Error::io("inspect", &found.path(), cause)),
    };
    let modified = metadata.modified().map_err(|cause| Error::io("inspect", &found.path(), cause))?;
    let name = found.file_name();
    let ours = name.to_str().and_then(|text| text.parse::<FileId>().ok().filter(|id| id.to_string() == text));
    let name = match ours {
        Some(id) if metadata.is_file() => Name::Ours(id),
        _ => Name::Foreign(name),
    };
    Ok(Some(Entry { area, name, modified, bytes: metadata.len() }))
}
