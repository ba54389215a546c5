//! Accepting work: what the user asked for, the asset and the job become durable together, or not at all.

use messages::{AssetId, FileId, JobId, SpoolId, UserId};

use crate::{Error, IdempotencyKey, JobRecord, MediaType, PasswordHash, Role, Store, StoredAnswer, User};

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

impl Store {
    /// Registers a user with an avatar, a cover image or neither.
    ///
    /// # Errors
    ///
    /// [`Error::Taken`], [`Error::Replayed`], [`Error::Unavailable`], [`Error::Corrupt`] or [`Error::Database`]: nothing was
    /// written. [`Error::Unknown`]: it may have been, so the files must stay.
    pub async fn register(
        &self,
        _user: NewUser,
        _uploads: Vec<NewUpload>,
        _idempotency: Option<(IdempotencyKey, StoredAnswer)>,
        _traceparent: Option<String>,
    ) -> Result<Accepted, Error> {
        todo!()
    }

    /// Accepts a new avatar or cover image. An earlier one that is not ready is superseded: its job is cancelled unless it is
    /// running, in which case it cancels itself when it ends.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such user; otherwise as [`Store::register`].
    pub async fn replace_image(
        &self,
        _owner: UserId,
        _upload: NewUpload,
        _traceparent: Option<String>,
    ) -> Result<Accepted, Error> {
        todo!()
    }

    /// Accepts a file that is no image of the user.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such user; otherwise as [`Store::register`].
    pub async fn submit_media(
        &self,
        _owner: UserId,
        _upload: NewUpload,
        _idempotency: Option<(IdempotencyKey, StoredAnswer)>,
        _traceparent: Option<String>,
    ) -> Result<Accepted, Error> {
        todo!()
    }
}
