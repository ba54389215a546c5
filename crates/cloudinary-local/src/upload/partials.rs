//! Unfinished chunked uploads.
//!
//! Each upload has a folder with its chunks and a `partial.json`, so it can resume after a restart. A repeated range
//! replaces the earlier bytes; a repeated last chunk gets the same reply again.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::assets::staged_file::{StagedFile, TempPath};
use crate::error::Error;
use crate::http::blocking::blocking;
use crate::http::refusal::Refusal;
use crate::upload::content_range::ContentRange;

#[derive(Debug)]
pub(crate) struct Partials {
    folder: PathBuf,
    by_key: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Partial>>>>,
}

/// An unfinished upload, or a finished one whose last chunk may be repeated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Partial {
    pub key: String,
    pub public_id: String,
    pub total: Option<u64>,
    /// Length by first byte.
    pub pieces: BTreeMap<u64, u64>,
    /// The reply to the last chunk.
    pub finished: Option<Map<String, Value>>,
    /// Unix seconds of the last chunk.
    pub touched: i64,
}

impl Partials {
    /// Loads what an earlier run left.
    pub(crate) fn load(folder: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Data { path: folder.to_owned(), source };
        let mut by_key = HashMap::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let text = fs::read(path.join("partial.json")).unwrap_or_default();
            match serde_json::from_slice::<Partial>(&text) {
                Ok(partial) => {
                    by_key.insert(partial.key.clone(), Arc::new(tokio::sync::Mutex::new(partial)));
                }
                // The process was killed before it had stored the first chunk. No client was told otherwise.
                Err(_) => fs::remove_dir_all(&path).map_err(failed)?,
            }
        }
        Ok(Self { folder: folder.to_owned(), by_key: Mutex::new(by_key) })
    }

    /// Named by a hash, because the key comes from the client.
    pub(crate) fn folder(&self, key: &str) -> PathBuf {
        self.folder.join(hex::encode(Md5::digest(key)))
    }

    pub(crate) fn open(
        &self,
        key: &str,
        new: impl FnOnce() -> Result<Partial, Refusal>,
    ) -> Result<Arc<tokio::sync::Mutex<Partial>>, Refusal> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(partial) = by_key.get(key) {
            return Ok(partial.clone());
        }
        let partial = Arc::new(tokio::sync::Mutex::new(new()?));
        by_key.insert(key.to_owned(), partial.clone());
        Ok(partial)
    }

    pub(crate) fn forget(&self, key: &str) {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let _ = fs::remove_dir_all(self.folder(key));
    }

    /// Removes uploads without a chunk since `before`.
    pub(crate) fn expire(&self, before: i64) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        by_key.retain(|key, partial| {
            let expired = partial.try_lock().is_ok_and(|partial| partial.touched < before);
            if expired {
                let _ = fs::remove_dir_all(self.folder(key));
            }
            !expired
        });
    }
}

/// Stores a chunk and notes it.
pub(crate) async fn keep(
    folder: PathBuf,
    partial: &mut Partial,
    staged: StagedFile,
    range: ContentRange,
) -> Result<(), Refusal> {
    partial.pieces.insert(range.first, range.len);
    let note = partial.clone();
    blocking(move || {
        fs::create_dir_all(&folder)?;
        staged.persist(&folder.join(range.first.to_string()))?;
        Ok(write_note(&folder, &note)?)
    })
    .await
}

/// Replaces the chunks by the reply.
pub(crate) async fn finish(folder: PathBuf, partial: &mut Partial, reply: Map<String, Value>) -> Result<(), Refusal> {
    partial.finished = Some(reply);
    let pieces = std::mem::take(&mut partial.pieces);
    let note = partial.clone();
    blocking(move || {
        write_note(&folder, &note)?;
        for first in pieces.into_keys() {
            let _ = fs::remove_file(folder.join(first.to_string()));
        }
        Ok(())
    })
    .await
}

fn write_note(folder: &Path, partial: &Partial) -> io::Result<()> {
    let temp = TempPath::new_in(folder);
    fs::write(temp.path(), serde_json::to_vec(partial)?)?;
    temp.persist(&folder.join("partial.json"))
}

/// The first byte below `total` that no piece covers.
pub(crate) fn first_gap(pieces: &BTreeMap<u64, u64>, total: u64) -> Option<u64> {
    let mut covered = 0;
    for (first, len) in pieces {
        if *first > covered {
            return Some(covered);
        }
        if *first < covered {
            return Some(*first);
        }
        covered += len;
    }
    (covered != total).then_some(covered)
}

/// Joins chunks that have no gaps between them.
pub(crate) async fn assemble(folder: PathBuf, pieces: Vec<u64>, incoming: PathBuf) -> Result<StagedFile, Refusal> {
    blocking(move || {
        let paths = pieces.into_iter().map(|first| folder.join(first.to_string())).rev().collect();
        Ok(StagedFile::copy_from(Pieces { paths, current: None }, &incoming)?)
    })
    .await
}

/// Reads files one after the other, from the end of the list.
struct Pieces {
    paths: Vec<PathBuf>,
    current: Option<File>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.current {
                let read = file.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            let Some(path) = self.paths.pop() else { return Ok(0) };
            self.current = Some(File::open(path)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_overlaps_are_found() {
        let pieces = |list: &[(u64, u64)]| list.iter().copied().collect::<BTreeMap<_, _>>();
        assert_eq!(first_gap(&pieces(&[(0, 5), (5, 5)]), 10), None);
        assert_eq!(first_gap(&pieces(&[(0, 0)]), 0), None);
        assert_eq!(first_gap(&pieces(&[(5, 5)]), 10), Some(0));
        assert_eq!(first_gap(&pieces(&[(0, 5)]), 10), Some(5));
        assert_eq!(first_gap(&pieces(&[(0, 6), (5, 5)]), 10), Some(5));
    }
}
