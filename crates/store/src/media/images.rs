//! Images of users: the newest upload wins, and an older one that is not ready makes way for it.

use std::collections::HashMap;

use bson::oid::ObjectId;
use bson::{DateTime, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{DeleteMedia, FileId, Trace, UserId};
use mongodb::ClientSession;
use serde::Serialize;

use super::submit::Prepared;
use crate::batching::Shared;
use crate::codec::{decode, decode_found, object_id, whole};
use crate::connection::Documents;
use crate::jobs::transitions;
use crate::users::document::{ImageDocument, PendingDocument, UserDocument};
use crate::users::without_secrets;
use crate::{Accepted, Asset, AssetState, CancelReason, Error, JobState, Media, NewUpload, Role, User};

/// What comes of a new image: the user as of now, and a file that nothing needs any more.
type Replaced = (User, Option<FileId>);

impl Shared for Prepared {
    type Family = Media;
    type Done = Replaced;

    const NAME: &'static str = "transaction replace";

    async fn make_all(media: &Media, uploads: &mut Vec<Self>) -> Result<Option<Vec<Option<Replaced>>>, Error> {
        let replaced = media.connection.shared_transaction(media, uploads, |media, session, uploads| {
            Box::pin(media.replace_all(session, uploads))
        });
        replaced.await
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
    /// running, in which case it cancels itself when it ends. [`Error::NotFound`] when there is no such user; otherwise errors are
    /// those of [`Media::register`].
    pub async fn replace_image(
        &self,
        owner: UserId,
        upload: NewUpload,
        trace: Option<Trace>,
    ) -> Result<Accepted, Error> {
        if upload.role == Role::Media {
            let owner = self.users.find(owner).await?.ok_or(Error::NotFound { what: "user" })?;
            return self.submit(owner, vec![upload], None, trace).await;
        }
        let prepared = self.prepare(owner, upload, trace.as_ref(), self.connection.now().await?);
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
            let owner = object_id(upload.asset.owner.bytes());
            let nothing_pending = doc! { "_id": owner, format!("steep.{}.pending", upload.asset.role): null };
            doc! { "q": nothing_pending, "u": issue(upload) }
        });
        let command = doc! { "update": self.users.documents.name(), "updates": statements.collect::<Vec<_>>() };
        self.connection.database().run_command(command).session(&mut *session).await?;

        let ids: Vec<ObjectId> = uploads.iter().map(|upload| object_id(upload.asset.owner.bytes())).collect();
        let query = self.users.documents.find(doc! { "_id": { "$in": ids } }).projection(without_secrets());
        let mut found = query.session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(&mut *session).try_collect().await?;
        let by_id = found.iter().filter_map(|user| Some((user.get_object_id("_id").ok()?, user)));
        let owners: HashMap<ObjectId, &RawDocumentBuf> = by_id.collect();

        let (mut issued, mut replaced) = (Vec::new(), Vec::with_capacity(uploads.len()));
        for upload in uploads {
            let asset = &mut upload.asset;
            let user = owners.get(&object_id(asset.owner.bytes()));
            let user = user.map(|user| decode::<UserDocument>("user", user)).transpose()?;
            let image = user.as_ref().and_then(|user| image_of(user, asset.role));
            let is_issued =
                image.and_then(|image| image.pending.as_ref()).is_some_and(|newest| newest.asset == asset.id);
            if is_issued {
                asset.seq = image.map_or(0, |image| image.seq);
                issued.push(&*upload);
            }
            replaced.push(user.filter(|_| is_issued).map(|user| (User::from(user), None)));
        }
        self.insert_uploads(session, issued.into_iter()).await?;
        Ok(replaced)
    }

    /// Replaces one. The first statement numbers it: two uploads of one user at once meet there.
    async fn replace(&self, session: &mut ClientSession, upload: &mut Prepared) -> Result<Replaced, Error> {
        let owner = doc! { "_id": object_id(upload.asset.owner.bytes()) };
        let issued = self.users.documents.find_one_and_update(owner, issue(upload)).projection(without_secrets());
        let before = decode_found("user", issued.session(&mut *session).await?)?;
        let before: UserDocument = before.ok_or(Error::NotFound { what: "user" })?;
        let image = image_of(&before, upload.asset.role);
        upload.asset.seq = image.map_or(0, |image| image.seq) + 1;
        let mut file = None;
        match image.and_then(|image| image.pending.as_ref()) {
            Some(older) => file = self.supersede(session, older, upload).await?,
            None => self.insert_uploads(session, [&*upload].into_iter()).await?,
        }
        Ok((with_pending(before.into(), &upload.asset), file))
    }

    /// Takes an older upload out of the way and inserts the newer one, with one statement a collection unless the older one
    /// has been attempted. Answers with the older one's file if nothing needs that any more.
    async fn supersede(
        &self,
        session: &mut ClientSession,
        older: &PendingDocument,
        newer: &Prepared,
    ) -> Result<Option<FileId>, Error> {
        let waiting = transitions::waiting(older.job, JobState::Cancelled);
        let cancel = transitions::cancel(CancelReason::Superseded, transitions::FINISHED_KEPT);
        let mut untouched = waiting.clone();
        untouched.insert("attempt", 0);
        let cancel_untouched = doc! { "q": untouched, "u": cancel.clone() };
        let untouched = self.update_and_insert(session, &self.jobs.documents, cancel_untouched, &newer.job).await?;
        let attempted = !untouched
            && self.jobs.documents.update_one(waiting, cancel).session(&mut *session).await?.matched_count == 1;

        let now = DateTime::from(newer.asset.created_at);
        let mut update = doc! { "$set": { "state": AssetState::Superseded.as_str(), "updatedAt": now } };
        // A job that runs still reads the file, and lets go of it when it ends.
        if untouched || attempted {
            update.insert("$unset", doc! { "spool": "" });
        }
        let pending = doc! { "_id": object_id(older.asset.bytes()), "state": AssetState::Pending.as_str() };
        let supersede = doc! { "q": pending, "u": update };
        self.update_and_insert(session, &self.assets, supersede, &newer.asset).await?;

        // An attempt may have got as far as storing it.
        if attempted {
            let deletion = DeleteMedia { asset: older.asset, public_id: None };
            self.insert_deletion(session, deletion, newer.asset.owner).await?;
        }
        Ok(older.file.filter(|_| untouched || attempted))
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
        // https://www.mongodb.com/docs/manual/reference/command/update/#output
        let command = doc! { "update": documents.name(), "updates": [update, insert] };
        let reply = self.connection.database().run_command(command).session(session).await?;
        if !reply.get_array("upserted").is_ok_and(|upserted| upserted.len() == 1) {
            let id = id.map_or_else(String::new, |id| id.to_string());
            return Err(Error::Corrupt { what: "new upload", id, cause: "it was submitted before".into() });
        }
        // Documents found or inserted.
        Ok(reply.get("n").and_then(whole) == Some(2))
    }
}

/// Numbers an upload and makes it the newest of its user's in its role.
fn issue(Prepared { asset, .. }: &Prepared) -> Vec<Document> {
    let field = format!("steep.{}", asset.role);
    let seq = format!("{field}.seq");
    let next = doc! { "$add": [{ "$ifNull": [format!("${seq}"), 0_i64] }, 1_i64] };
    vec![
        doc! { "$set": { &seq: next, "updatedAt": DateTime::from(asset.created_at) } },
        doc! { "$set": { format!("{field}.pending"): asset.pending(format!("${seq}")) } },
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
fn with_pending(mut user: User, upload: &Asset) -> User {
    user.updated_at = upload.created_at;
    let image = match upload.role {
        Role::Avatar => &mut user.avatar,
        Role::CoverImage => &mut user.cover_image,
        Role::Media => return user,
    };
    image.pending = Some(upload.id);
    image.content_type = Some(upload.media_type.content_type.clone());
    image.failed = None;
    user
}
