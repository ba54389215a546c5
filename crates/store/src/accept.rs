//! Accepting work: what the user asked for, the asset and the job become durable together, or not at all.

use bson::{DateTime, Document, doc};
use messages::{AssetId, FileId, Job, JobId, SpoolId, UploadMedia, UserId};
use mongodb::ClientSession;

use crate::documents::{
    AssetDocument, JobDocument, PendingDocument, SpoolDocument, UserDocument, decode, encode, object_id,
};
use crate::error::duplicate_key;
use crate::{
    AssetState, Error, Field, IdempotencyKey, JobRecord, JobState, MediaType, PasswordHash, Role, Store, StoredAnswer,
    User, public_id, transitions, users,
};

/// A file that was received and lies, synced, in the spool.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// The asset's id, from [`crate::new_asset_id`].
    pub asset: AssetId,
    /// The id of the job that will upload it.
    pub job: JobId,
    /// What it is to its owner.
    pub role: Role,
    /// The spool that holds the file.
    pub spool: SpoolId,
    /// The file.
    pub file: FileId,
    /// What the file is.
    pub media_type: MediaType,
    /// Size of the file.
    pub bytes: u64,
    /// MD5 of the file, hexadecimal.
    pub md5: String,
    /// The file's name at the client.
    pub original_name: String,
}

/// Somebody who registers.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The user's id, from [`crate::new_user_id`].
    pub id: UserId,
    /// Stored in lower case.
    pub username: String,
    /// Stored in lower case.
    pub email: String,
    /// As the user wrote it.
    pub full_name: String,
    /// The password's hash.
    pub password_hash: PasswordHash,
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
struct Prepared {
    role: Role,
    asset: AssetDocument,
    job: JobDocument,
}

impl Store {
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
        traceparent: Option<String>,
    ) -> Result<Accepted, Error> {
        let mut images = Document::new();
        let mut assets = Vec::with_capacity(uploads.len());
        let mut jobs = Vec::with_capacity(uploads.len());
        let mut accepted = Vec::with_capacity(uploads.len());
        for upload in uploads {
            let mut prepared = self.prepare(user.id, upload, traceparent.as_deref());
            if prepared.role != Role::Media {
                prepared.asset.seq = 1;
                images.insert(prepared.role.as_str(), doc! { "seq": 1_i64, "pending": pending(&prepared) });
            }
            assets.push(encode(&prepared.asset)?);
            jobs.push(encode(&prepared.job)?);
            accepted.push(JobRecord::from(prepared.job));
        }
        let now = DateTime::now();
        let user = encode(&doc! {
            "_id": object_id(user.id.bytes()),
            "username": user.username.to_lowercase(),
            "email": user.email.to_lowercase(),
            "fullName": user.full_name,
            "avatar": "",
            "coverImage": "",
            "watchHistory": [],
            "password": user.password_hash.expose(),
            "createdAt": now,
            "updatedAt": now,
            "steep": images,
        })?;

        self.transaction(async |session| {
            if let Some((key, answer)) = &idempotency {
                self.remember(session, key, answer).await?;
            }
            self.users().insert_one(&user).session(&mut *session).await.map_err(taken)?;
            if !assets.is_empty() {
                self.assets().insert_many(&assets).session(&mut *session).await?;
                self.jobs().insert_many(&jobs).session(&mut *session).await?;
            }
            Ok(())
        })
        .await?;
        let user: UserDocument = decode("user", &user)?;
        Ok(Accepted { user: user.into(), jobs: accepted, superseded: Vec::new() })
    }

    /// Accepts a new avatar or cover image. An earlier one that is not ready is superseded: its job is cancelled unless it is
    /// running, in which case it cancels itself when it ends.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such user; otherwise as [`Store::register`].
    pub async fn replace_image(
        &self,
        owner: UserId,
        upload: NewUpload,
        traceparent: Option<String>,
    ) -> Result<Accepted, Error> {
        if upload.role == Role::Media {
            return self.submit_media(owner, upload, None, traceparent).await;
        }
        let mut prepared = self.prepare(owner, upload, traceparent.as_deref());
        let job = encode(&prepared.job)?;
        let (user, superseded) = self
            .transaction(async |session| {
                let mut user = self.issue(session, owner, &prepared).await?;
                let image = user.take_image(prepared.role);
                let superseded = match &image.pending {
                    Some(older) => self.supersede(session, older).await?,
                    None => None,
                };
                prepared.asset.seq = image.seq + 1;
                self.assets().insert_one(encode(&prepared.asset)?).session(&mut *session).await?;
                self.jobs().insert_one(&job).session(&mut *session).await?;
                Ok((User::from(user), superseded))
            })
            .await?;
        let user = user.with_pending(prepared.role, AssetId::from_bytes(prepared.asset.id.bytes()));
        Ok(Accepted { user, jobs: vec![prepared.job.into()], superseded: superseded.into_iter().collect() })
    }

    /// Accepts a file that is no image of the user, whatever role it names.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such user; otherwise as [`Store::register`].
    pub async fn submit_media(
        &self,
        owner: UserId,
        upload: NewUpload,
        idempotency: Option<(IdempotencyKey, StoredAnswer)>,
        traceparent: Option<String>,
    ) -> Result<Accepted, Error> {
        let user = self.find_user(owner).await?.ok_or(Error::NotFound { what: "user" })?;
        let prepared = self.prepare(owner, NewUpload { role: Role::Media, ..upload }, traceparent.as_deref());
        let asset = encode(&prepared.asset)?;
        let job = encode(&prepared.job)?;
        self.transaction(async |session| {
            if let Some((key, answer)) = &idempotency {
                self.remember(session, key, answer).await?;
            }
            self.assets().insert_one(&asset).session(&mut *session).await?;
            self.jobs().insert_one(&job).session(&mut *session).await?;
            Ok(())
        })
        .await?;
        Ok(Accepted { user, jobs: vec![prepared.job.into()], superseded: Vec::new() })
    }

    fn prepare(&self, owner: UserId, upload: NewUpload, traceparent: Option<&str>) -> Prepared {
        let now = DateTime::now();
        let job = Job::UploadMedia(UploadMedia { asset: upload.asset, spool: upload.spool.clone() });
        Prepared {
            role: upload.role,
            job: self.new_job(upload.job, &job, owner, upload.asset, traceparent),
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
                job: upload.job,
                stored: None,
                reason: None,
                created_at: now,
                updated_at: now,
            },
        }
    }

    /// Makes an upload the newest of its user's in its role, and answers with the user as it was before. The first statement
    /// of its transaction: two uploads of one user at once meet here, and their order is the order of their numbers.
    async fn issue(
        &self,
        session: &mut ClientSession,
        owner: UserId,
        upload: &Prepared,
    ) -> Result<UserDocument, Error> {
        let field = format!("steep.{}", upload.role);
        let seq = format!("{field}.seq");
        let update = vec![
            doc! { "$set": { &seq: { "$add": [{ "$ifNull": [format!("${seq}"), 0_i64] }, 1_i64] }, "updatedAt": "$$NOW" } },
            doc! { "$set": { format!("{field}.pending"): {
                "asset": upload.asset.id,
                "job": upload.job.id.to_string(),
                "seq": format!("${seq}"),
            } } },
        ];
        let user = self
            .users()
            .find_one_and_update(doc! { "_id": object_id(owner.bytes()) }, update)
            .projection(users::without_secrets())
            .session(session)
            .await?
            .ok_or(Error::NotFound { what: "user" })?;
        decode("user", &user)
    }

    /// Takes an older upload out of the way of a newer one. Answers with its file if nothing needs that any more.
    async fn supersede(&self, session: &mut ClientSession, older: &PendingDocument) -> Result<Option<FileId>, Error> {
        let cancelled = self
            .jobs()
            .find_one_and_update(transitions::waiting(older.job, JobState::Cancelled), transitions::cancel())
            .session(&mut *session)
            .await?;
        let mut update = doc! { "$set": { "state": AssetState::Superseded.as_str(), "updatedAt": DateTime::now() } };
        // A job that runs still reads the file, and lets go of it when it ends.
        if cancelled.is_some() {
            update.insert("$unset", doc! { "spool": "" });
        }
        let asset = self
            .assets()
            .find_one_and_update(doc! { "_id": older.asset, "state": AssetState::Pending.as_str() }, update)
            .session(&mut *session)
            .await?;
        let Some(cancelled) = cancelled else { return Ok(None) };
        let cancelled: JobDocument = decode("job", &cancelled)?;
        let Some(asset) = asset else { return Ok(None) };
        let asset: AssetDocument = decode("asset", &asset)?;
        // An attempt may have got as far as storing it.
        if cancelled.attempt > 0 {
            self.insert_deletion(session, &asset).await?;
        }
        Ok(asset.spool.map(|spool| spool.file))
    }
}

fn pending(upload: &Prepared) -> Document {
    doc! { "asset": upload.asset.id, "job": upload.job.id.to_string(), "seq": upload.asset.seq }
}

/// The field that another user has, if that is what is wrong.
fn taken(error: mongodb::error::Error) -> Error {
    // E11000 duplicate key error collection: videotube.users index: email_1 dup key: { email: "a@example.com" }
    let key = duplicate_key(&error).and_then(|message| message.split_once("dup key: { ")).map(|(_, key)| key);
    match key {
        Some(key) if key.starts_with("username:") => Error::Taken { field: Field::Username },
        Some(key) if key.starts_with("email:") => Error::Taken { field: Field::Email },
        _ => error.into(),
    }
}
