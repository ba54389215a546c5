//! Uploads a file, also again.

use std::path::PathBuf;

use crash_points::Point;
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::watch;

use crate::asset::{ResourceType, Stored, is_complete};
use crate::checksum::Checksum;
use crate::chunks::{Chunk, Resume, plan};
use crate::classify::is_stale;
use crate::client::Client;
use crate::error::{Error, Mismatch, Refusal};
use crate::request::{FilePart, Operation, Post, Reply};
use crate::signature::verify_response;
use crate::source::Source;

/// An upload. Record all of it before the first attempt: only an attempt that repeats it exactly finds out what became
/// of the one before.
#[derive(Debug, Clone)]
pub struct Upload {
    /// How Cloudinary treats the file.
    pub resource_type: ResourceType,
    /// The id of the asset. No other file may ever have it.
    pub public_id: String,
    /// Where the file is. A symbolic link is not followed.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What is known of its bytes.
    pub checksum: Checksum,
    /// Its name at Cloudinary. Other characters than ASCII letters, digits, `.`, `_` and `-` are replaced.
    pub file_name: String,
    /// The start of a chunked upload's ids. No other file may ever have it.
    pub name: String,
    /// Where an earlier attempt stopped. Ignored if it does not fit the file.
    pub resume: Option<Resume>,
    /// Receives where the next attempt resumes: after each chunk, and when the upload begins anew.
    pub progress: Option<watch::Sender<Option<Resume>>>,
}

impl Upload {
    fn report(&self, position: &Resume) {
        if let Some(progress) = &self.progress {
            progress.send_replace(Some(position.clone()));
        }
    }
}

impl Client {
    /// Stores a file, or finds that an earlier attempt has stored it: [`Stored::existing`]. A file above the configured
    /// chunk size is sent in chunks, one after the other.
    ///
    /// Dropping the future is like a lost reply: the next attempt finds out. [`Error::Occupied`]: another file has the id.
    pub async fn upload(&self, upload: &Upload) -> Result<Stored, Error> {
        let source = &Source::new(&upload.path, upload.bytes, &upload.checksum).await?;
        let chunk_size = self.config.chunk_size;
        if let Some(resume) = upload.resume.as_ref().filter(|resume| resume.fits(upload.bytes)) {
            match self.resume(upload, source, resume).await {
                // Once. A file that is really refused is refused again from the start.
                Err(Error::Refused(refusal)) if resume.acknowledged_bytes > 0 && may_have_forgotten(&refusal) => {
                    tracing::warn!(public_id = %upload.public_id, %refusal, "cannot resume the upload, beginning anew");
                    let anew = resume.anew(&upload.name, chunk_size);
                    upload.report(&anew);
                    return self.send_chunks(upload, source, anew).await;
                }
                outcome => return outcome,
            }
        }
        if upload.bytes > chunk_size {
            return self.send_chunks(upload, source, Resume::first(&upload.name, chunk_size)).await;
        }
        let whole = Chunk { first: 0, length: upload.bytes };
        let (reply, json) = self.send(upload, source, whole, None).await?;
        match Stored::from_reply(&json) {
            Some(stored) => self.verify(upload, source, &reply, &json, stored).await,
            None => Err(self.unreadable(&reply)),
        }
    }

    async fn resume(&self, upload: &Upload, source: &Source, position: &Resume) -> Result<Stored, Error> {
        // If only the last chunk is missing, its reply may have been lost, and it is not known how Cloudinary answers a
        // second last chunk.
        let last = upload.bytes - position.acknowledged_bytes <= position.chunk_size;
        if last && let Some(found) = self.lookup(upload.resource_type, &upload.public_id).await? {
            return self.existing(upload, source, found).await;
        }
        self.send_chunks(upload, source, position.clone()).await
    }

    async fn send_chunks(&self, upload: &Upload, source: &Source, mut position: Resume) -> Result<Stored, Error> {
        for chunk in plan(upload.bytes, position.chunk_size, position.acknowledged_bytes) {
            let (reply, json) = self.send(upload, source, chunk, Some(&position.upload_id)).await?;
            if let Some(stored) = Stored::from_reply(&json) {
                let verified = self.verify(upload, source, &reply, &json, stored).await;
                if let Err(Error::Corrupted(_)) = verified {
                    // Of the chunks that it has, the same would come again.
                    upload.report(&position.anew(&upload.name, self.config.chunk_size));
                }
                return verified;
            }
            if chunk.end() == upload.bytes && is_complete(&json) {
                upload.report(&position.anew(&upload.name, self.config.chunk_size));
                return Err(self.unreadable(&reply));
            }
            if chunk.end() < upload.bytes {
                position.acknowledged_bytes = chunk.end();
                upload.report(&position);
            }
        }
        upload.report(&position.anew(&upload.name, self.config.chunk_size));
        Err(Error::Unassembled(upload.public_id.clone()))
    }

    async fn send(
        &self,
        upload: &Upload,
        source: &Source,
        chunk: Chunk,
        upload_id: Option<&str>,
    ) -> Result<(Reply, Value), Error> {
        let mut fields = vec![("public_id", upload.public_id.as_str()), ("overwrite", "false")];
        fields.extend(self.config.notification_field());
        let post = Post {
            operation: if upload_id.is_some() { Operation::Chunk } else { Operation::Upload },
            path: [upload.resource_type.as_str(), "upload"],
            fields: &fields,
            file: Some(FilePart { source, file_name: &upload.file_name, chunk, upload_id }),
        };
        let reply = self.post(&post).await?;
        crash_points::reach(Point::UploadAnswered);
        let json = self.accept(&reply)?;
        Ok((reply, json))
    }

    /// Accepts a reply only if it is signed with our secret and shows our asset with our bytes.
    async fn verify(
        &self,
        upload: &Upload,
        source: &Source,
        reply: &Reply,
        json: &Value,
        stored: Stored,
    ) -> Result<Stored, Error> {
        let public_id = &upload.public_id;
        let secret = self.config.api_secret.expose_secret();
        let signature = json.get("signature").and_then(Value::as_str);
        let signed = signature.map(|signature| verify_response(&stored.public_id, stored.version, secret, signature));
        if signed == Some(false) || (signed.is_none() && !stored.existing) {
            return Err(Error::Forged(public_id.clone()));
        }
        if stored.public_id != *public_id {
            return Err(Error::Renamed { public_id: public_id.clone(), found: self.told(&stored.public_id, "") });
        }
        if stored.existing {
            if signed.is_some() && stored.etag.is_some() {
                return self.existing(upload, source, stored).await;
            }
            let found = self.lookup(upload.resource_type, public_id).await?;
            return self.existing(upload, source, found.ok_or_else(|| self.unreadable(reply))?).await;
        }
        // We have just sent these bytes over a connection that checks them. Without an etag their number suffices.
        if stored.bytes == upload.bytes && stored.etag.is_none() {
            return Ok(stored);
        }
        let md5 = source.md5().await?;
        if stored.holds(upload.bytes, &md5) {
            return Ok(stored);
        }
        let found = self.mismatch(upload, md5, &stored);
        tracing::warn!(%public_id, bytes = found.found_bytes, etag = found.found_etag, "the stored bytes are not ours, deleting them");
        self.destroy(upload.resource_type, public_id).await?;
        Err(Error::Corrupted(found))
    }

    /// An asset that existed before. With our bytes it is ours: an attempt stored it, and its reply was lost.
    async fn existing(&self, upload: &Upload, source: &Source, found: Stored) -> Result<Stored, Error> {
        let md5 = source.md5().await?;
        if found.holds(upload.bytes, &md5) {
            return Ok(found);
        }
        Err(Error::Occupied(self.mismatch(upload, md5, &found)))
    }

    fn mismatch(&self, upload: &Upload, md5: String, found: &Stored) -> Mismatch {
        Mismatch {
            public_id: upload.public_id.clone(),
            bytes: upload.bytes,
            md5,
            found_bytes: found.bytes,
            found_etag: self.told(found.etag.as_deref().unwrap_or("none"), ""),
        }
    }
}

/// Whether Cloudinary may have refused a chunk because it has forgotten those before. Its text for that is not known,
/// its status is.
fn may_have_forgotten(refusal: &Refusal) -> bool {
    refusal.status == StatusCode::BAD_REQUEST && !is_stale(refusal.status, &refusal.message)
}
