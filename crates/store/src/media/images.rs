//! Replacing an image of a user: the newest upload wins, and an older one that is not ready makes way for it.

use bson::{DateTime, Document, doc};
use messages::{AssetId, FileId, JobId, Trace, UserId};
use mongodb::ClientSession;
use serde::{Deserialize, Serialize};

use crate::batching::group_commit::Replaced;
use crate::codec::{decode, encode};
use crate::connection::Documents;
use crate::jobs::transitions;
use crate::media::submit::Prepared;
use crate::users;
use crate::users::document::{PendingDocument, UserDocument};
use crate::{Accepted, AssetState, Error, JobState, NewUpload, Role, Store, User};

impl Store {
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
        trace: Option<Trace>,
    ) -> Result<Accepted, Error> {
        if upload.role == Role::Media {
            return self.submit_media(owner, upload, None, trace).await;
        }
        let prepared = self.prepare(owner, upload, trace.as_ref());
        let (user, prepared, superseded) = self.replace_grouped(prepared).await?;
        let user = user.with_pending(prepared.role, prepared.asset.id(), prepared.asset.created_at.into());
        Ok(Accepted { user, jobs: vec![prepared.job.into()], superseded: superseded.into_iter().collect() })
    }

    /// The same in a transaction of its own.
    pub(crate) async fn replace_alone(&self, mut upload: Prepared) -> Result<Replaced, Error> {
        let (user, superseded) =
            self.transaction(&mut upload, |store, session, upload| Box::pin(store.replace(session, upload))).await?;
        Ok((user, upload, superseded))
    }

    /// Answers with the user as it was before, and the file that nothing needs any more.
    async fn replace(
        &self,
        session: &mut ClientSession,
        upload: &mut Prepared,
    ) -> Result<(User, Option<FileId>), Error> {
        let mut user = self.issue(session, upload).await?;
        let image = user.take_image(upload.role);
        upload.asset.seq = image.seq + 1;
        let file = match &image.pending {
            Some(older) => self.supersede(session, older, upload).await?,
            None => {
                self.assets().insert_one(encode(&upload.asset)?).session(&mut *session).await?;
                self.jobs().insert_one(encode(&upload.job)?).session(&mut *session).await?;
                None
            }
        };
        Ok((User::from(user), file))
    }

    /// Makes an upload the newest of its user's in its role, and answers with the user as it was before. The first statement
    /// of its transaction: two uploads of one user at once meet here, and their order is the order of their numbers.
    async fn issue(&self, session: &mut ClientSession, upload: &Prepared) -> Result<UserDocument, Error> {
        let field = format!("steep.{}", upload.role);
        let seq = format!("{field}.seq");
        let update = vec![
            doc! { "$set": { &seq: { "$add": [{ "$ifNull": [format!("${seq}"), 0_i64] }, 1_i64] }, "updatedAt": upload.asset.created_at } },
            doc! { "$set": { format!("{field}.pending"): upload.pending(format!("${seq}")) } },
        ];
        let user = self
            .users()
            .find_one_and_update(doc! { "_id": upload.asset.owner }, update)
            .projection(users::without_secrets())
            .session(session)
            .await?
            .ok_or(Error::NotFound { what: "user" })?;
        decode("user", &user)
    }

    /// Takes an older upload out of the way and inserts the newer one, with one statement a collection unless the older one
    /// has been attempted. Answers with the older one's file if nothing needs that any more.
    async fn supersede(
        &self,
        session: &mut ClientSession,
        older: &PendingDocument,
        newer: &Prepared,
    ) -> Result<Option<FileId>, Error> {
        let mut untouched = transitions::waiting(older.job, JobState::Cancelled);
        untouched.insert("attempt", 0);
        let cancel = doc! { "q": untouched, "u": transitions::cancel() };
        let untouched = self.update_and_insert(session, self.jobs(), cancel, &newer.job).await?;
        let attempted = !untouched && self.cancel_attempted(session, older.job).await?;

        let mut update = doc! { "$set": { "state": AssetState::Superseded.as_str(), "updatedAt": DateTime::now() } };
        // A job that runs still reads the file, and lets go of it when it ends.
        if untouched || attempted {
            update.insert("$unset", doc! { "spool": "" });
        }
        let supersede = doc! { "q": { "_id": older.asset, "state": AssetState::Pending.as_str() }, "u": update };
        self.update_and_insert(session, self.assets(), supersede, &newer.asset).await?;

        // An attempt may have got as far as storing it.
        if attempted {
            let owner = UserId::from_bytes(newer.asset.owner.bytes());
            self.insert_deletion(session, AssetId::from_bytes(older.asset.bytes()), owner).await?;
        }
        Ok(older.file.filter(|_| untouched || attempted))
    }

    /// Cancels a job that has run before and does not run now.
    async fn cancel_attempted(&self, session: &mut ClientSession, job: JobId) -> Result<bool, Error> {
        let waiting = transitions::waiting(job, JobState::Cancelled);
        Ok(self.jobs().update_one(waiting, transitions::cancel()).session(session).await?.matched_count == 1)
    }

    /// Makes an update and inserts a document in one round trip, and answers whether the update found anything. The driver
    /// has no method for that before MongoDB 8.
    async fn update_and_insert<T: Serialize>(
        &self,
        session: &mut ClientSession,
        documents: &Documents,
        update: Document,
        new: &T,
    ) -> Result<bool, Error> {
        let mut new = bson::serialize_to_document(new).map_err(|cause| Error::Database(cause.into()))?;
        let id = new.remove("_id");
        let insert = doc! { "q": { "_id": &id }, "u": { "$setOnInsert": new }, "upsert": true };
        let command = doc! { "update": documents.name(), "updates": [update, insert] };
        let reply = self.database().run_command(command).session(session).await?;
        let reply: UpdateReply =
            bson::deserialize_from_document(reply).map_err(|cause| Error::Database(cause.into()))?;
        if reply.upserted.len() != 1 {
            let id = id.map_or_else(String::new, |id| id.to_string());
            return Err(Error::Corrupt { what: "new upload", id, cause: "it was submitted before".into() });
        }
        Ok(reply.n == 2)
    }
}

/// Reply to the `update` command: https://www.mongodb.com/docs/manual/reference/command/update/#output
#[derive(Deserialize)]
pub(crate) struct UpdateReply {
    /// Documents found or inserted.
    pub n: i64,
    #[serde(default)]
    upserted: Vec<Document>,
}
