//! Accepting work: what the user asked for, the asset and the job become durable together, or not at all.

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use messages::{AssetId, FileId, Job, JobId, SpoolId, Trace, UploadMedia, UserId};
use mongodb::ClientSession;

use crate::codec::{decode, encode, object_id};
use crate::media::document::{AssetDocument, SpoolDocument};
use crate::users::document::UserDocument;
use crate::users::taken;
use crate::{
    AssetState, Error, IdempotencyKey, JobRecord, Media, MediaType, NewUser, Role, StoredAnswer, User, public_id,
};

/// A file that was received and lies, synced, in the spool.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// The asset's id, from [`crate::new_asset_id`].
    pub asset: AssetId,
    pub job: JobId,
    pub role: Role,
    pub spool: SpoolId,
    pub file: FileId,
    pub media_type: MediaType,
    pub bytes: u64,
    /// MD5 of the file, hexadecimal.
    pub md5: String,
    /// The file's name at the client.
    pub original_name: String,
}

/// What was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The user as of now.
    pub user: User,
    /// The new jobs, in the order of the uploads. Publish them; the relay does if nobody else does.
    pub jobs: Vec<JobRecord>,
    /// Files of uploads that this one superseded: nothing needs them, remove them.
    pub superseded: Vec<FileId>,
}

/// An upload as it is written: the asset's document and the job's.
pub(crate) struct Prepared {
    pub role: Role,
    pub asset: AssetDocument,
    pub job: JobRecord,
}

impl Prepared {
    /// What the user's document says about it until it is ready. `seq` may be an expression.
    pub(crate) fn pending(&self, seq: impl Into<Bson>) -> Document {
        let file = self.asset.spool.as_ref().map(|spool| spool.file.to_string());
        doc! { "asset": self.asset.id, "seq": seq.into(), "job": self.job.id.to_string(), "file": file }
    }
}

/// What one transaction inserts.
struct Submission {
    idempotency: Option<(IdempotencyKey, StoredAnswer)>,
    user: Option<RawDocumentBuf>,
    assets: Vec<RawDocumentBuf>,
    jobs: Vec<RawDocumentBuf>,
}

impl Media {
    /// Registers a user with an avatar, a cover image or neither.
    ///
    /// # Errors
    ///
    /// [`Error::Taken`], [`Error::Replayed`], [`Error::Unavailable`], [`Error::Corrupt`] or [`Error::Database`]: nothing was
    /// written. [`Error::Unknown`]: it may have been, so the files must stay.
    pub async fn register(
        &self,
        user: NewUser,
        uploads: Vec<NewUpload>,
        idempotency: Option<(IdempotencyKey, StoredAnswer)>,
        trace: Option<Trace>,
    ) -> Result<Accepted, Error> {
        let mut steep = Document::new();
        let mut assets = Vec::with_capacity(uploads.len());
        let mut jobs = Vec::with_capacity(uploads.len());
        let mut accepted = Vec::with_capacity(uploads.len());
        for upload in uploads {
            let mut prepared = self.prepare(user.id, upload, trace.as_ref());
            if prepared.role != Role::Media {
                prepared.asset.seq = 1;
                steep.insert(prepared.role.as_str(), doc! { "seq": 1_i64, "pending": prepared.pending(1_i64) });
            }
            assets.push(encode(&prepared.asset)?);
            jobs.push(encode(&prepared.job)?);
            accepted.push(prepared.job);
        }
        let user = user.document(steep)?;
        let accepted_user: UserDocument = decode("user", &user)?;
        let mut submission = Submission { idempotency, user: Some(user), assets, jobs };
        self.connection
            .transaction(self, &mut submission, |media, session, submission| {
                Box::pin(media.insert(session, submission))
            })
            .await?;
        Ok(Accepted { user: accepted_user.into(), jobs: accepted, superseded: Vec::new() })
    }

    /// Accepts files that are no image of the user, whatever roles they name: all of them or none.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such user; otherwise as [`Media::register`].
    pub async fn submit(
        &self,
        owner: UserId,
        uploads: Vec<NewUpload>,
        idempotency: Option<(IdempotencyKey, StoredAnswer)>,
        trace: Option<Trace>,
    ) -> Result<Accepted, Error> {
        let user = self.users.find(owner).await?.ok_or(Error::NotFound { what: "user" })?;
        let mut submission = Submission { idempotency, user: None, assets: Vec::new(), jobs: Vec::new() };
        let mut jobs = Vec::with_capacity(uploads.len());
        for upload in uploads {
            let prepared = self.prepare(owner, NewUpload { role: Role::Media, ..upload }, trace.as_ref());
            submission.assets.push(encode(&prepared.asset)?);
            submission.jobs.push(encode(&prepared.job)?);
            jobs.push(prepared.job);
        }
        self.connection
            .transaction(self, &mut submission, |media, session, submission| {
                Box::pin(media.insert(session, submission))
            })
            .await?;
        Ok(Accepted { user, jobs, superseded: Vec::new() })
    }

    async fn insert(&self, session: &mut ClientSession, submission: &Submission) -> Result<(), Error> {
        if let Some((key, answer)) = &submission.idempotency {
            self.idempotency.remember(session, key, answer).await?;
        }
        if let Some(user) = &submission.user {
            self.users.documents.insert_one(user).session(&mut *session).await.map_err(taken)?;
        }
        if !submission.assets.is_empty() {
            self.assets.insert_many(&submission.assets).session(&mut *session).await?;
            self.jobs.documents.insert_many(&submission.jobs).session(&mut *session).await?;
        }
        Ok(())
    }

    pub(crate) fn prepare(&self, owner: UserId, upload: NewUpload, trace: Option<&Trace>) -> Prepared {
        let now = DateTime::now();
        let job = Job::UploadMedia(UploadMedia { asset: upload.asset, spool: upload.spool.clone() });
        Prepared {
            role: upload.role,
            job: self.jobs.new_job(upload.job, &job, Some(owner), Some(upload.asset), trace),
            asset: AssetDocument {
                id: object_id(upload.asset.bytes()),
                owner: object_id(owner.bytes()),
                role: upload.role,
                seq: 0,
                state: AssetState::Pending,
                spool: Some(SpoolDocument { id: upload.spool, file: upload.file }),
                content_type: upload.media_type.content_type,
                resource_type: upload.media_type.resource_type,
                bytes: upload.bytes,
                md5: upload.md5,
                original_name: upload.original_name,
                public_id: public_id(upload.role, upload.asset),
                name_spent: false,
                job: upload.job,
                stored: None,
                reason: None,
                created_at: now,
                updated_at: now,
            },
        }
    }
}
