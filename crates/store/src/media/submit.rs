//! Accepting work: what the user asked for, the asset and the job become durable together, or not at all.

use bson::{DateTime, Document, RawDocumentBuf, doc};
use messages::{AssetId, FileId, Job, JobId, SpoolId, Trace, UploadMedia, UserId};
use mongodb::ClientSession;

use crate::batching::Shared;
use crate::codec::{decode, encode};
use crate::users::document::UserDocument;
use crate::users::taken;
use crate::{
    Asset, AssetState, Error, IdempotencyKey, JobRecord, Media, MediaType, NewUser, Role, Spooled, StoredAnswer, User,
    public_id,
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
    /// CRC-32 of the file.
    pub crc32: u32,
    /// The file's name at the client.
    pub original_name: String,
}

/// What was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The user as of now, or as the caller knew them if nothing of theirs has changed.
    pub user: User,
    /// The new jobs, in the order of the uploads. Publish them; the relay does if nobody else does.
    pub jobs: Vec<JobRecord>,
    /// Files of uploads that this one superseded: nothing needs them, remove them.
    pub superseded: Vec<FileId>,
}

/// An upload as it is written.
pub(crate) struct Prepared {
    pub asset: Asset,
    pub job: JobRecord,
}

/// What is accepted as one.
pub(crate) struct Submission {
    idempotency: Option<(IdempotencyKey, StoredAnswer)>,
    user: Option<RawDocumentBuf>,
    uploads: Vec<Prepared>,
}

impl Shared for Submission {
    type Family = Media;
    type Done = ();

    const NAME: &'static str = "transaction accept";

    async fn make_all(media: &Media, submissions: &mut Vec<Self>) -> Result<Option<Vec<Option<()>>>, Error> {
        let inserted = media.connection.shared_transaction(media, submissions, |media, session, submissions| {
            Box::pin(media.insert(session, submissions))
        });
        Ok(inserted.await?.map(|()| vec![Some(()); submissions.len()]))
    }

    async fn make(media: &Media, submission: &mut Self) -> Result<(), Error> {
        let inserted = media.connection.transaction(media, submission, |media, session, submission| {
            Box::pin(media.insert(session, std::slice::from_ref(submission)))
        });
        inserted.await
    }
}

impl Media {
    /// Registers a user with an avatar, a cover image or neither. [`Error::Unknown`]: it may have been written, so the files must
    /// stay. Any other error, such as [`Error::Taken`] and [`Error::Replayed`]: nothing was.
    pub async fn register(
        &self,
        user: NewUser,
        uploads: Vec<NewUpload>,
        idempotency: Option<(IdempotencyKey, StoredAnswer)>,
        trace: Option<Trace>,
    ) -> Result<Accepted, Error> {
        let mut steep = Document::new();
        let mut prepared = Vec::with_capacity(uploads.len());
        let now = self.connection.now().await?;
        for upload in uploads {
            let mut upload = self.prepare(user.id, upload, trace.as_ref(), now);
            let role = upload.asset.role;
            if role != Role::Media {
                upload.asset.seq = 1;
                steep.insert(role.as_str(), doc! { "seq": 1_i64, "pending": upload.asset.pending(1_i64) });
            }
            prepared.push(upload);
        }
        let document = user.document(steep, now)?;
        let user = decode::<UserDocument>("user", &document)?.into();
        let mut submission = Submission { idempotency, user: Some(document), uploads: prepared };
        // Alone, since a name or an address is taken more often than a key is used again.
        Submission::make(self, &mut submission).await?;
        Ok(accepted(user, submission))
    }

    /// Accepts files that are no image of their owner, whatever roles they name: all of them or none. The owner is not looked up
    /// again: uploads of one who has gone since are finished as any other, and nobody sees them. Errors are those of
    /// [`Media::register`].
    pub async fn submit(
        &self,
        owner: User,
        uploads: Vec<NewUpload>,
        idempotency: Option<(IdempotencyKey, StoredAnswer)>,
        trace: Option<Trace>,
    ) -> Result<Accepted, Error> {
        let now = self.connection.now().await?;
        let uploads = uploads.into_iter().map(|upload| NewUpload { role: Role::Media, ..upload });
        let uploads = uploads.map(|upload| self.prepare(owner.id, upload, trace.as_ref(), now)).collect();
        let submission = Submission { idempotency, user: None, uploads };
        let (submission, ()) = self.submissions.make(&self.connection, self, submission).await?;
        Ok(accepted(owner, submission))
    }

    /// Inserts submissions, all of them or none.
    async fn insert(&self, session: &mut ClientSession, submissions: &[Submission]) -> Result<(), Error> {
        if let [Submission { idempotency: Some((key, answer)), .. }] = submissions {
            self.idempotency.remember(session, key, answer).await?;
        } else {
            let answers = submissions.iter().filter_map(|submission| submission.idempotency.as_ref());
            self.idempotency.remember_all(session, answers).await?;
        }
        for user in submissions.iter().filter_map(|submission| submission.user.as_ref()) {
            self.users.documents.insert_one(user).session(&mut *session).await.map_err(taken)?;
        }
        self.insert_uploads(session, submissions.iter().flat_map(|submission| &submission.uploads)).await
    }

    /// Inserts assets and jobs.
    pub(super) async fn insert_uploads<'a>(
        &self,
        session: &mut ClientSession,
        uploads: impl Iterator<Item = &'a Prepared>,
    ) -> Result<(), Error> {
        let (mut assets, mut jobs) = (Vec::new(), Vec::new());
        for upload in uploads {
            assets.push(encode(&upload.asset)?);
            jobs.push(encode(&upload.job)?);
        }
        if !assets.is_empty() {
            self.assets.insert_many(assets).session(&mut *session).await?;
            self.jobs.documents.insert_many(jobs).session(session).await?;
        }
        Ok(())
    }

    pub(super) fn prepare(&self, owner: UserId, upload: NewUpload, trace: Option<&Trace>, now: DateTime) -> Prepared {
        let job = Job::UploadMedia(UploadMedia { asset: upload.asset, spool: upload.spool.clone() });
        let mut job = self.jobs.new_job(upload.job, &job, Some(owner), Some(upload.asset), trace, now);
        let asset = Asset {
            id: upload.asset,
            owner,
            role: upload.role,
            seq: 0,
            state: AssetState::Pending,
            spooled: Some(Spooled { spool: upload.spool, file: upload.file }),
            media_type: upload.media_type,
            bytes: upload.bytes,
            md5: String::new(),
            crc32: Some(upload.crc32),
            original_name: upload.original_name,
            public_id: public_id(upload.role, upload.asset),
            name_spent: false,
            job: upload.job,
            stored: None,
            reason: None,
            code: None,
            notices: None,
            created_at: now.into(),
            updated_at: now.into(),
        };
        job.source = asset.source();
        Prepared { asset, job }
    }
}

fn accepted(user: User, submission: Submission) -> Accepted {
    let jobs = submission.uploads.into_iter().map(|upload| upload.job).collect();
    Accepted { user, jobs, superseded: Vec::new() }
}
