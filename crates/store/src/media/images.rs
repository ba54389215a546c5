//! Images of users: the newest upload wins, and an older one that is not ready makes way for it.

use std::collections::HashMap;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{AssetId, FileId, JobId, Trace, UserId};
use mongodb::ClientSession;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::submit::Prepared;
use crate::batching::Grouped;
use crate::codec::{decode, encode};
use crate::connection::Documents;
use crate::jobs::transitions;
use crate::users::document::{ImageDocument, PendingDocument, UserDocument};
use crate::users::without_secrets;
use crate::{Accepted, AssetState, Error, JobState, Media, NewUpload, Role, User};

/// What comes of a new image: the user as of now, and a file that nothing needs any more.
type Replaced = (User, Option<FileId>);

impl Grouped for Prepared {
    type Family = Media;
    type Done = Replaced;

    async fn make_all(media: &Media, uploads: &mut Vec<Self>) -> Result<Option<Vec<Option<Replaced>>>, Error> {
        let deadline = Instant::now() + media.connection.config().timeout;
        let mut session = media.connection.session(deadline).await?;
        media
            .connection
            .try_transaction(&mut session, deadline, media, uploads, |media, session, uploads| {
                Box::pin(media.replace_all(session, uploads))
            })
            .await
    }

    async fn make(media: &Media, upload: &mut Self) -> Result<Replaced, Error> {
        media
            .connection
            .transaction(media, upload, |media, session, upload| Box::pin(media.replace(session, upload)))
            .await
    }
}

impl Media {
    /// Accepts a new avatar or cover image. An earlier one that is not ready is superseded: its job is cancelled unless it is
    /// running, in which case it cancels itself when it ends.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such user; otherwise as [`Media::register`].
    pub async fn replace_image(
        &self,
        owner: UserId,
        upload: NewUpload,
        trace: Option<Trace>,
    ) -> Result<Accepted, Error> {
        if upload.role == Role::Media {
            return self.submit(owner, vec![upload], None, trace).await;
        }
        let prepared = self.prepare(owner, upload, trace.as_ref());
        let (prepared, (user, superseded)) = self.replacements.make(&self.connection, self, prepared).await?;
        Ok(Accepted { user, jobs: vec![prepared.job], superseded: superseded.into_iter().collect() })
    }

    /// Replaces images of several users. One that has an older upload to supersede is left out, and so is a user's second in
    /// the same role, and one whose user does not exist.
    async fn replace_all(
        &self,
        session: &mut ClientSession,
        uploads: &mut Vec<Prepared>,
    ) -> Result<Vec<Option<Replaced>>, Error> {
        let statements = uploads.iter().map(|upload| {
            let nothing_pending = doc! { "_id": upload.asset.owner, format!("steep.{}.pending", upload.role): null };
            doc! { "q": nothing_pending, "u": issue(upload) }
        });
        let command = doc! { "update": self.users.documents.name(), "updates": statements.collect::<Vec<_>>() };
        self.connection.database().run_command(command).session(&mut *session).await?;

        let owners = self.read_owners(session, uploads).await?;
        let (mut assets, mut jobs) = (Vec::new(), Vec::new());
        let mut replaced = Vec::with_capacity(uploads.len());
        for upload in uploads {
            let user = owners.get(&upload.asset.owner);
            let user = user.map(|user| decode::<UserDocument>("user", user)).transpose()?;
            let issued = user
                .as_ref()
                .and_then(|user| image_of(user, upload.role))
                .filter(|image| image.pending.as_ref().is_some_and(|pending| pending.asset == upload.asset.id));
            let (Some(seq), Some(user)) = (issued.map(|image| image.seq), user) else {
                replaced.push(None);
                continue;
            };
            upload.asset.seq = seq;
            assets.push(encode(&upload.asset)?);
            jobs.push(encode(&upload.job)?);
            replaced.push(Some((User::from(user), None)));
        }
        if !assets.is_empty() {
            self.assets.insert_many(assets).session(&mut *session).await?;
            self.jobs.documents.insert_many(jobs).session(&mut *session).await?;
        }
        Ok(replaced)
    }

    async fn read_owners(
        &self,
        session: &mut ClientSession,
        uploads: &[Prepared],
    ) -> Result<HashMap<ObjectId, RawDocumentBuf>, Error> {
        let ids: Vec<Bson> = uploads.iter().map(|upload| upload.asset.owner.into()).collect();
        let query = self.users.documents.find(doc! { "_id": { "$in": ids } }).projection(without_secrets());
        let mut found = query.session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
        Ok(found.into_iter().filter_map(|user| Some((user.get_object_id("_id").ok()?, user))).collect())
    }

    /// Replaces one. The first statement numbers it: two uploads of one user at once meet there.
    async fn replace(&self, session: &mut ClientSession, upload: &mut Prepared) -> Result<Replaced, Error> {
        let user = self
            .users
            .documents
            .find_one_and_update(doc! { "_id": upload.asset.owner }, issue(upload))
            .projection(without_secrets())
            .session(&mut *session)
            .await?
            .ok_or(Error::NotFound { what: "user" })?;
        let before: UserDocument = decode("user", &user)?;
        let image = image_of(&before, upload.role);
        upload.asset.seq = image.map_or(0, |image| image.seq) + 1;
        let file = match image.and_then(|image| image.pending.as_ref()) {
            Some(older) => self.supersede(session, older, upload).await?,
            None => {
                self.assets.insert_one(encode(&upload.asset)?).session(&mut *session).await?;
                self.jobs.documents.insert_one(encode(&upload.job)?).session(&mut *session).await?;
                None
            }
        };
        Ok((with_pending(before.into(), upload), file))
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
        let cancel = doc! { "q": untouched, "u": transitions::cancel(transitions::FINISHED_KEPT) };
        let untouched = self.update_and_insert(session, &self.jobs.documents, cancel, &newer.job).await?;
        let attempted = !untouched && self.cancel_attempted(session, older.job).await?;

        let mut update = doc! { "$set": { "state": AssetState::Superseded.as_str(), "updatedAt": DateTime::now() } };
        // A job that runs still reads the file, and lets go of it when it ends.
        if untouched || attempted {
            update.insert("$unset", doc! { "spool": "" });
        }
        let supersede = doc! { "q": { "_id": older.asset, "state": AssetState::Pending.as_str() }, "u": update };
        self.update_and_insert(session, &self.assets, supersede, &newer.asset).await?;

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
        Ok(self
            .jobs
            .documents
            .update_one(waiting, transitions::cancel(transitions::FINISHED_KEPT))
            .session(session)
            .await?
            .matched_count
            == 1)
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
        let reply = self.connection.database().run_command(command).session(session).await?;
        let reply: UpdateReply =
            bson::deserialize_from_document(reply).map_err(|cause| Error::Database(cause.into()))?;
        if reply.upserted.len() != 1 {
            let id = id.map_or_else(String::new, |id| id.to_string());
            return Err(Error::Corrupt { what: "new upload", id, cause: "it was submitted before".into() });
        }
        Ok(reply.n == 2)
    }
}

/// Numbers an upload and makes it the newest of its user's in its role.
fn issue(upload: &Prepared) -> Vec<Document> {
    let field = format!("steep.{}", upload.role);
    let seq = format!("{field}.seq");
    let next = doc! { "$add": [{ "$ifNull": [format!("${seq}"), 0_i64] }, 1_i64] };
    vec![
        doc! { "$set": { &seq: next, "updatedAt": upload.asset.created_at } },
        doc! { "$set": { format!("{field}.pending"): upload.pending(format!("${seq}")) } },
    ]
}

/// What a user's document says about an image.
pub(super) fn image_of(user: &UserDocument, role: Role) -> Option<&ImageDocument> {
    let steep = user.steep.as_ref()?;
    match role {
        Role::Avatar => steep.avatar.as_ref(),
        Role::CoverImage => steep.cover_image.as_ref(),
        Role::Media => None,
    }
}

/// A user with an upload that has become the newest in its role.
fn with_pending(mut user: User, upload: &Prepared) -> User {
    user.updated_at = upload.asset.created_at.into();
    let pending = Some(upload.asset.id());
    match upload.role {
        Role::Avatar => user.avatar.pending = pending,
        Role::CoverImage => user.cover_image.pending = pending,
        Role::Media => {}
    }
    user
}

/// Reply to the `update` command: https://www.mongodb.com/docs/manual/reference/command/update/#output
#[derive(Deserialize)]
struct UpdateReply {
    /// Documents found or inserted.
    n: i64,
    #[serde(default)]
    upserted: Vec<Document>,
}
