//! Chunked uploads: ranges, what has arrived, and the assembly at the last one.
//!
//! Chunks lie in a folder per upload with a `partial.json`, so that an upload can go on after a restart. A repeated range
//! replaces what was there; a repeated last chunk gets the reply of the first time.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_RANGE;
use axum::response::{IntoResponse, Response};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::asset::ResourceType;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::held::{Held, TempPath};
use crate::refusal::Refusal;
use crate::upload::{self, Plan, blocking};

const UPLOAD_ID: &str = "x-unique-upload-id";
const PART_NUMBER: &str = "x-upload-part-number";

/// A `Content-Range` as uploads use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub first: u64,
    pub len: u64,
    /// Unknown before the last chunk for clients that read from a stream: `-1`, `*` or nothing.
    pub total: Option<u64>,
}

impl ContentRange {
    fn end(self) -> u64 {
        self.first.saturating_add(self.len)
    }

    fn is_last(self) -> bool {
        self.total == Some(self.end())
    }
}

impl FromStr for ContentRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "expected bytes <first>-<last>/<total>";
        let range = text.strip_prefix("bytes ").ok_or(FORM)?.trim();
        if range == "0--1/0" {
            return Ok(Self { first: 0, len: 0, total: Some(0) });
        }
        let (range, total) = match range.split_once('/') {
            None | Some((_, "-1" | "*")) => (range.split('/').next().unwrap_or_default(), None),
            Some((range, total)) => (range, Some(total.parse::<u64>().map_err(|_| FORM)?)),
        };
        let (first, last) = range.split_once('-').ok_or(FORM)?;
        let (first, last): (u64, u64) = (first.parse().map_err(|_| FORM)?, last.parse().map_err(|_| FORM)?);
        if last < first {
            return Err("the last byte lies before the first");
        }
        if total.is_some_and(|total| last >= total) {
            return Err("the last byte lies beyond the total");
        }
        let len = (last - first).checked_add(1).ok_or(FORM)?;
        Ok(Self { first, len, total })
    }
}

/// The range of a request that brings a chunk, `None` if it brings a whole file.
pub(crate) fn header(headers: &HeaderMap) -> Result<Option<ContentRange>, Refusal> {
    let Some(value) = headers.get(CONTENT_RANGE) else {
        if headers.contains_key(PART_NUMBER) {
            return Err(Refusal::bad_request("X-Upload-Part-Number is not supported; send Content-Range"));
        }
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    text.parse().map(Some).map_err(|reason| Refusal::bad_request(format!("Invalid Content-Range {text}: {reason}")))
}

/// The unfinished uploads.
#[derive(Debug)]
pub(crate) struct Partials {
    folder: PathBuf,
    by_key: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Partial>>>>,
}

/// One unfinished upload, or a finished one whose reply may be asked for again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Partial {
    key: String,
    public_id: String,
    total: Option<u64>,
    /// Length by first byte.
    pieces: BTreeMap<u64, u64>,
    /// The reply to the last chunk.
    finished: Option<Map<String, Value>>,
    /// Unix seconds of the last chunk.
    touched: i64,
}

impl Partials {
    /// Finds the uploads that an earlier run left.
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
                // A process was killed before its first chunk was kept: nobody was told that it was.
                Err(_) => fs::remove_dir_all(&path).map_err(failed)?,
            }
        }
        Ok(Self { folder: folder.to_owned(), by_key: Mutex::new(by_key) })
    }

    /// The folder of an upload. Its name is a hash, as the key comes from the client.
    fn folder(&self, key: &str) -> PathBuf {
        self.folder.join(hex::encode(Md5::digest(key)))
    }

    fn open(
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

    fn forget(&self, key: &str) {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let _ = fs::remove_dir_all(self.folder(key));
    }

    /// Forgets what nobody has continued since `before`.
    fn expire(&self, before: i64) {
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

/// Takes a chunk. The last one stores the asset.
pub(crate) async fn take(
    exchange: &Exchange,
    mut plan: Plan,
    held: Held,
    range: ContentRange,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let upload_id = headers.get(UPLOAD_ID).and_then(|value| value.to_str().ok());
    let upload_id = upload_id.ok_or_else(|| Refusal::missing("X-Unique-Upload-Id"))?;
    let (state, now) = (&exchange.state, exchange.now().unix_timestamp());
    if held.len != range.len {
        let message = format!("Content-Range announces {} bytes, the file has {}", range.len, held.len);
        return Err(Refusal::bad_request(message));
    }
    if !range.is_last() && range.len < state.config.min_chunk {
        return Err(Refusal::bad_request("All parts except EOF-chunk must be larger than 5mb"));
    }
    state.partials.expire(now.saturating_sub(i64::try_from(state.config.partial_ttl).unwrap_or(i64::MAX)));

    let kind = plan.resource_type.map_or("auto", ResourceType::as_str);
    let key = format!("{}/{kind}/{upload_id}", plan.caller.account.cloud);
    let partial = state.partials.open(&key, || {
        // The first chunk comes first; a later one of an upload that is unknown, or forgotten, belongs to nothing.
        if range.first > 0 {
            return Err(Refusal::bad_request("Parts are missing: nothing has arrived at byte 0"));
        }
        let public_id = plan.id_for(plan.resource_type.unwrap_or(ResourceType::Video))?;
        let pieces = BTreeMap::new();
        Ok(Partial { key: key.clone(), public_id, total: None, pieces, finished: None, touched: now })
    })?;
    let mut partial = partial.lock().await;
    exchange.is_about(&partial.public_id);
    if let (Some(known), Some(total)) = (partial.total, range.total)
        && known != total
    {
        return Err(Refusal::bad_request(format!(
            "Content-Range announces {total} bytes in total, before it was {known}"
        )));
    }
    if let (Some(reply), true) = (&partial.finished, range.is_last()) {
        return Ok(Json(reply.clone()).into_response());
    }
    partial.touched = now;
    partial.total = partial.total.or(range.total);
    keep(state.partials.folder(&key), &mut partial, held, range).await?;

    if !range.is_last() || exchange.distortions().never_done {
        let received: u64 = partial.pieces.values().sum();
        let mut reply = json!({ "done": false, "bytes": received, "kind": "upload", "public_id": partial.public_id });
        if let (Value::Object(fields), Some(resource_type)) = (&mut reply, plan.resource_type) {
            fields.insert("resource_type".to_owned(), json!(resource_type));
        }
        return Ok(Json(reply).into_response());
    }
    if let Some(missing) = first_gap(&partial.pieces, range.end()) {
        return Err(Refusal::bad_request(format!("Parts are missing: nothing has arrived at byte {missing}")));
    }
    plan.public_id = Some(partial.public_id.clone());
    let (folder, pieces) = (state.partials.folder(&key), partial.pieces.keys().copied().collect());
    let assembled = assemble(folder, pieces, state.store.incoming().to_owned()).await?;
    let mut reply = match upload::store(exchange, plan, assembled).await {
        Ok(reply) => reply,
        Err(refusal) => {
            state.partials.forget(&key);
            return Err(refusal);
        }
    };
    reply.insert("done".to_owned(), Value::Bool(true));
    finish(state.partials.folder(&key), &mut partial, reply.clone()).await?;
    Ok(Json(reply).into_response())
}

/// Puts a chunk into the upload's folder and notes it.
async fn keep(folder: PathBuf, partial: &mut Partial, held: Held, range: ContentRange) -> Result<(), Refusal> {
    partial.pieces.insert(range.first, range.len);
    let note = partial.clone();
    blocking(move || {
        fs::create_dir_all(&folder)?;
        held.persist(&folder.join(range.first.to_string()))?;
        Ok(write_note(&folder, &note)?)
    })
    .await
}

/// Keeps the reply in place of the chunks.
async fn finish(folder: PathBuf, partial: &mut Partial, reply: Map<String, Value>) -> Result<(), Refusal> {
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
fn first_gap(pieces: &BTreeMap<u64, u64>, total: u64) -> Option<u64> {
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

/// Writes the chunks, which follow each other without gaps, into one.
async fn assemble(folder: PathBuf, pieces: Vec<u64>, incoming: PathBuf) -> Result<Held, Refusal> {
    blocking(move || {
        let paths = pieces.into_iter().map(|first| folder.join(first.to_string())).rev().collect();
        Ok(Held::copy_from(Pieces { paths, current: None }, &incoming)?)
    })
    .await
}

/// Reads files one after the other, the last of the list first.
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

    fn range(first: u64, len: u64, total: Option<u64>) -> ContentRange {
        ContentRange { first, len, total }
    }

    #[test]
    fn ranges_are_understood_in_every_sdks_spelling() {
        for (text, expected) in [
            ("bytes 0-999/2500", range(0, 1000, Some(2500))),
            ("bytes 0-999/-1", range(0, 1000, None)),
            ("bytes 1000-1999/*", range(1000, 1000, None)),
            ("bytes 0-0", range(0, 1, None)),
            ("bytes 0--1/0", range(0, 0, Some(0))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn impossible_ranges_are_refused() {
        let texts = [
            "",
            "0-1/2",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes a-b/c",
            "bytes 0/10",
            "bytes 0--1/5",
            "bytes -1-3/5",
            "bytes 0-18446744073709551615/-1",
        ];
        for text in texts {
            assert!(text.parse::<ContentRange>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_the_chunk_that_reaches_the_total_is_the_last() {
        assert!(range(1000, 1000, Some(2000)).is_last());
        assert!(range(0, 0, Some(0)).is_last());
        assert!(!range(0, 1000, Some(2000)).is_last());
        assert!(!range(1000, 1000, None).is_last());
    }

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
