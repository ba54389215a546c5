//! What the outcomes of jobs mean for assets and for what their owners show. Each is written in the transaction that ends the job.

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use messages::{AssetId, DeleteMedia, UserId};
use mongodb::ClientSession;

use super::images::image_of;
use crate::codec::{decode, object_id};
use crate::media::document::AssetDocument;
use crate::users::document::UserDocument;
use crate::{AssetState, Discard, Error, Media, Role, Settle, StoredMedia};

/// What became of an asset that is stored at Cloudinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is ready, and shown if it is an image of its owner's.
    Ready { owner: UserId },
    /// A newer upload had taken its place, or is shown: it is being deleted.
    Superseded,
}

/// What became of the asset of a job that is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It has failed with the job.
    Now,
    /// A newer upload had taken its place: it is being deleted.
    Superseded,
    /// There is none, or it does not wait for this job.
    Gone,
}

/// Whether an asset became the one that its owner shows.
enum Shown {
    /// Instead of this one.
    Instead(Option<ObjectId>),
    /// A newer one is shown or on its way, or the owner is gone.
    No,
}

impl Media {
    /// Makes an asset ready that is stored at Cloudinary, and shows it if it is an image of its owner's.
    ///
    /// An image is replaced only by a newer one. A replaced asset gets a job that deletes it, and so does this one if a newer
    /// upload has taken its place.
    pub async fn publish(
        &self,
        settle: &mut Settle<'_>,
        asset: AssetId,
        stored: &StoredMedia,
    ) -> Result<Published, Error> {
        let id = object_id(asset.bytes());
        let media = bson::serialize_to_bson(stored).map_err(|cause| Error::Database(cause.into()))?;
        let update = doc! {
            "$set": { "state": AssetState::Ready.as_str(), "stored": media, "updatedAt": DateTime::now() },
            "$unset": { "spool": "", "reason": "" },
        };
        let Some(before) = self.change_asset(settle.session(), id, AssetState::Pending, update).await? else {
            self.mark_superseded(settle, asset).await?;
            return Ok(Published::Superseded);
        };
        if let Some(spool) = &before.spool {
            settle.release(spool.file);
        }
        if before.role != Role::Media {
            match self.show(settle.session(), &before, &stored.url).await? {
                Shown::Instead(None) => {}
                Shown::Instead(Some(replaced)) => self.delete_replaced(settle, replaced).await?,
                Shown::No => {
                    self.mark_superseded(settle, asset).await?;
                    return Ok(Published::Superseded);
                }
            }
        }
        Ok(Published::Ready { owner: before.owner() })
    }

    /// Marks an asset whose place a newer upload has taken. Something may be stored at Cloudinary if an earlier attempt went
    /// that far, so the asset gets a job that deletes it. [`Error::NotFound`] when the asset is gone.
    pub async fn mark_superseded(&self, settle: &mut Settle<'_>, asset: AssetId) -> Result<(), Error> {
        let update = doc! {
            "$set": { "state": AssetState::Superseded.as_str(), "updatedAt": DateTime::now() },
            "$unset": { "spool": "", "stored": "" },
        };
        let asset = doc! { "_id": object_id(asset.bytes()) };
        let asset = self.assets.find_one_and_update(asset, update).session(settle.session()).await?;
        let asset: AssetDocument = decode("asset", &asset.ok_or(Error::NotFound { what: "asset" })?)?;
        if let Some(spool) = &asset.spool {
            settle.release(spool.file);
        }
        delete(settle, &asset);
        Ok(())
    }

    /// Marks the asset of a job that is discarded; the owner's image falls back to what it was. What its attempts may have left
    /// at Cloudinary gets a job that deletes it, under the name that the asset has now: a redriven upload takes another one. The
    /// file of a replayable job stays.
    pub async fn fail(&self, settle: &mut Settle<'_>, asset: AssetId, discard: &Discard) -> Result<Failed, Error> {
        let id = object_id(asset.bytes());
        // What the media host refuses at once it does not have.
        let may_have_left_something = !discard.is_refused_at_once(settle.job());
        let mut set = doc! {
            "state": AssetState::Failed.as_str(),
            "reason": &discard.reason,
            "updatedAt": DateTime::now(),
        };
        if may_have_left_something {
            set.insert("nameSpent", true);
        }
        let mut update = doc! { "$set": set };
        if !discard.replayable {
            update.insert("$unset", doc! { "spool": "" });
        }
        let Some(before) = self.change_asset(settle.session(), id, AssetState::Pending, update).await? else {
            let superseded = doc! { "_id": id, "state": AssetState::Superseded.as_str() };
            if self.assets.find_one(superseded).session(settle.session()).await?.is_none() {
                return Ok(Failed::Gone);
            }
            self.mark_superseded(settle, asset).await?;
            return Ok(Failed::Superseded);
        };
        if before.role != Role::Media {
            let pending = format!("steep.{}.pending", before.role);
            let shown = doc! { "_id": before.owner, format!("{pending}.asset"): before.id };
            let fall_back = doc! { "$unset": { pending: "" } };
            self.users.documents.update_one(shown, fall_back).session(settle.session()).await?;
        }
        if let Some(spool) = before.spool.as_ref().filter(|_| !discard.replayable) {
            settle.release(spool.file);
        }
        if may_have_left_something {
            let leftovers = DeleteMedia { asset, public_id: Some(before.public_id.clone()) };
            settle.submit(leftovers, Some(before.owner()), Some(asset));
        }
        Ok(Failed::Now)
    }

    /// Marks an asset that is no longer at Cloudinary. One that is shown, or kept for a redrive, stays what it is: then what was
    /// deleted are leftovers. [`Error::NotFound`] when the asset is gone.
    pub async fn mark_deleted(&self, settle: &mut Settle<'_>, asset: AssetId) -> Result<(), Error> {
        let id = object_id(asset.bytes());
        let unwanted = [AssetState::Superseded, AssetState::Deleting, AssetState::Deleted].map(AssetState::as_str);
        let unwanted = doc! { "_id": id, "state": { "$in": unwanted.as_slice() } };
        let update = doc! { "$set": { "state": AssetState::Deleted.as_str(), "updatedAt": DateTime::now() } };
        let before = self.assets.find_one_and_update(unwanted, update).session(settle.session()).await?;
        if let Some(before) = before {
            let before: AssetDocument = decode("asset", &before)?;
            if let Some(spool) = before.spool {
                settle.release(spool.file);
            }
            return Ok(());
        }
        let kept = self.assets.find_one(doc! { "_id": id }).session(settle.session()).await?;
        kept.map(|_| ()).ok_or(Error::NotFound { what: "asset" })
    }

    /// Has an asset deleted from Cloudinary, if it is there.
    async fn delete_replaced(&self, settle: &mut Settle<'_>, asset: ObjectId) -> Result<(), Error> {
        let update = doc! { "$set": { "state": AssetState::Deleting.as_str(), "updatedAt": DateTime::now() } };
        if let Some(asset) = self.change_asset(settle.session(), asset, AssetState::Ready, update).await? {
            delete(settle, &asset);
        }
        Ok(())
    }

    /// Makes an asset the one that its owner shows.
    async fn show(&self, session: &mut ClientSession, asset: &AssetDocument, url: &str) -> Result<Shown, Error> {
        let image = format!("steep.{}", asset.role);
        let newest = doc! {
            "_id": asset.owner,
            // Also true where there is no such field.
            format!("{image}.pending.seq"): { "$not": { "$gt": asset.seq } },
            format!("{image}.current.seq"): { "$not": { "$gte": asset.seq } },
        };
        let update = doc! {
            "$set": {
                asset.role.as_str(): url,
                format!("{image}.current"): { "asset": asset.id, "seq": asset.seq },
                "updatedAt": DateTime::now(),
            },
            "$unset": { format!("{image}.pending"): "" },
        };
        let before = self
            .users
            .documents
            .find_one_and_update(newest, update)
            .projection(doc! { "steep": 1 })
            .session(&mut *session)
            .await?;
        let Some(before) = before else { return Ok(Shown::No) };
        let before: UserDocument = decode("user", &before)?;
        let shown = image_of(&before, asset.role).and_then(|image| image.current.as_ref());
        Ok(Shown::Instead(shown.map(|current| current.asset)))
    }

    /// Changes an asset that is in a state, and answers with what it was before.
    pub(crate) async fn change_asset(
        &self,
        session: &mut ClientSession,
        asset: ObjectId,
        from: AssetState,
        update: Document,
    ) -> Result<Option<AssetDocument>, Error> {
        let filter = doc! { "_id": asset, "state": from.as_str() };
        let before = self.assets.find_one_and_update(filter, update).session(session).await?;
        before.map(|asset| decode("asset", &asset)).transpose()
    }
}

fn delete(settle: &mut Settle<'_>, asset: &AssetDocument) {
    settle.submit(DeleteMedia { asset: asset.id(), public_id: None }, Some(asset.owner()), Some(asset.id()));
}
