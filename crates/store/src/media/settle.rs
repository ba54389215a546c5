//! What the outcomes of jobs mean for assets and for what their owners show. Each is written in the transaction that ends the job.

use bson::{Document, doc};
use messages::{AssetId, DeleteMedia, MediaFailed, UserId};

use super::images::image_of;
use crate::codec::{decode, decode_found, object_id};
use crate::users::document::UserDocument;
use crate::{Asset, AssetState, CancelReason, Discard, End, Error, Media, Role, Settle, StoredMedia};

/// What became of an asset that is stored at Cloudinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is ready, and shown if it is an image of its owner's.
    Ready { owner: UserId },
    /// A newer upload had taken its place, or is shown: it is being deleted.
    Superseded,
    /// Somebody has deleted it at the media host since it was stored. It was shown at no time.
    Deleted { owner: UserId },
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

impl Media {
    /// Makes an asset ready that is stored at Cloudinary, and shows it if it is an image of its owner's.
    ///
    /// An image is replaced only by a newer one. A replaced asset gets a job that deletes it, and so does this one if a newer
    /// upload has taken its place. What the media host has told of it since it was stored holds too.
    pub async fn publish(
        &self,
        settle: &mut Settle<'_>,
        asset: AssetId,
        stored: &StoredMedia,
    ) -> Result<Published, Error> {
        let media = bson::serialize_to_bson(stored).map_err(|cause| Error::Database(cause.into()))?;
        let update = doc! {
            "$set": { "state": AssetState::Ready.as_str(), "stored": media, "updatedAt": settle.now() },
            "$unset": { "spool": "", "reason": "", "code": "" },
        };
        if let Some(before) = self.change_asset(settle, asset, AssetState::Pending, update).await? {
            release(settle, &before);
            if before.role == Role::Media || self.show(settle, &before, &stored.url).await? {
                let owner = before.owner;
                let is_deleted = self.catch_up(settle, before, stored).await?;
                return Ok(if is_deleted { Published::Deleted { owner } } else { Published::Ready { owner } });
            }
        }
        self.mark_superseded(settle, asset).await?;
        Ok(Published::Superseded)
    }

    /// Marks an asset whose place a newer upload has taken. Something may be stored at Cloudinary if an earlier attempt went
    /// that far, so the asset gets a job that deletes it. [`Error::NotFound`] when the asset is gone.
    pub async fn mark_superseded(&self, settle: &mut Settle<'_>, asset: AssetId) -> Result<(), Error> {
        let update = doc! {
            "$set": { "state": AssetState::Superseded.as_str(), "updatedAt": settle.now() },
            "$unset": { "spool": "", "stored": "" },
        };
        let asset = doc! { "_id": object_id(asset.bytes()) };
        let asset = settle.update(&self.assets, asset, update, doc! {}).await?;
        let asset: Asset = decode("asset", &asset.ok_or(Error::NotFound { what: "asset" })?)?;
        release(settle, &asset);
        delete(settle, &asset, None);
        Ok(())
    }

    /// Marks the asset of a job that is discarded; the owner's image falls back to what it was. What its attempts may have left
    /// at Cloudinary gets a job that deletes it, under the name that the asset has now: a redriven upload takes another one. The
    /// file of a replayable job stays.
    pub async fn fail(&self, settle: &mut Settle<'_>, asset: AssetId, discard: &Discard) -> Result<Failed, Error> {
        // What the media host refuses at once it does not have.
        let may_have_left_something = !discard.is_refused_at_once(settle.job());
        let mut set = doc! {
            "state": AssetState::Failed.as_str(),
            "reason": &discard.reason,
            "code": discard.code.as_str(),
            "updatedAt": settle.now(),
        };
        if may_have_left_something {
            set.insert("nameSpent", true);
        }
        let mut update = doc! { "$set": set };
        if !discard.replayable {
            update.insert("$unset", doc! { "spool": "" });
        }
        let Some(before) = self.change_asset(settle, asset, AssetState::Pending, update).await? else {
            let superseded = doc! { "_id": object_id(asset.bytes()), "state": AssetState::Superseded.as_str() };
            let found = self.assets.find_one(superseded).session(&mut **settle.session().await).await?;
            if found.is_none() {
                return Ok(Failed::Gone);
            }
            self.mark_superseded(settle, asset).await?;
            return Ok(Failed::Superseded);
        };
        if before.role != Role::Media {
            let pending = format!("steep.{}.pending", before.role);
            let shown = doc! {
                "_id": object_id(before.owner.bytes()),
                format!("{pending}.asset"): object_id(asset.bytes()),
            };
            let failed = doc! {
                "asset": object_id(asset.bytes()),
                "seq": before.seq,
                "reason": &discard.reason,
                "code": discard.code.as_str(),
            };
            // For the owner, until something newer is accepted or shown.
            let fall_back =
                doc! { "$unset": { pending: "" }, "$set": { format!("steep.{}.failed", before.role): failed } };
            settle.update(&self.users.documents, shown, fall_back, doc! { "_id": 1 }).await?;
        }
        if !discard.replayable {
            release(settle, &before);
        }
        if may_have_left_something {
            delete(settle, &before, Some(before.public_id.clone()));
        }
        Ok(Failed::Now)
    }

    /// What it means that an upload is discarded: see [`Media::fail`]. Its owner is told, unless a newer one had taken its place: then it
    /// is cancelled.
    pub async fn discard_upload(&self, settle: &mut Settle<'_>, discard: &Discard) -> Result<End, Error> {
        let Some(asset) = settle.job().asset else { return Ok(End::Discarded(discard.clone())) };
        let failed = self.fail(settle, asset, discard).await?;
        match (failed, settle.job().owner) {
            (Failed::Superseded, _) => return Ok(End::Cancelled(CancelReason::Superseded)),
            (Failed::Now | Failed::Gone, Some(owner)) => {
                let reason = discard.reason.clone();
                settle.announce(MediaFailed { job: settle.job().id, asset, owner, reason }, Some(owner));
            }
            (Failed::Now | Failed::Gone, None) => {}
        }
        Ok(End::Discarded(discard.clone()))
    }

    /// Marks an asset that is no longer at Cloudinary. One that is shown, or kept for a redrive, stays what it is: then what was
    /// deleted are leftovers. [`Error::NotFound`] when the asset is gone.
    pub async fn mark_deleted(&self, settle: &mut Settle<'_>, asset: AssetId) -> Result<(), Error> {
        let id = object_id(asset.bytes());
        let unwanted = [AssetState::Superseded, AssetState::Deleting, AssetState::Deleted].map(AssetState::as_str);
        let unwanted = doc! { "_id": id, "state": { "$in": unwanted.as_slice() } };
        let update = doc! { "$set": { "state": AssetState::Deleted.as_str(), "updatedAt": settle.now() } };
        let before = settle.update(&self.assets, unwanted, update, doc! {}).await?;
        if let Some(before) = decode_found("asset", before)? {
            release(settle, &before);
            return Ok(());
        }
        let kept = self.assets.find_one(doc! { "_id": id }).session(&mut **settle.session().await).await?;
        kept.map(|_| ()).ok_or(Error::NotFound { what: "asset" })
    }

    /// Makes an asset the one that its owner shows, and has the one before it deleted. `false`: a newer one is shown or on its
    /// way, or the owner is gone.
    async fn show(&self, settle: &mut Settle<'_>, asset: &Asset, url: &str) -> Result<bool, Error> {
        let image = format!("steep.{}", asset.role);
        let newest = doc! {
            "_id": object_id(asset.owner.bytes()),
            // Also true where there is no such field.
            format!("{image}.pending.seq"): { "$not": { "$gt": asset.seq } },
            format!("{image}.current.seq"): { "$not": { "$gte": asset.seq } },
        };
        let update = doc! {
            "$set": {
                asset.role.as_str(): url,
                format!("{image}.current"): { "asset": object_id(asset.id.bytes()), "seq": asset.seq },
                "updatedAt": settle.now(),
            },
            "$unset": { format!("{image}.pending"): "" },
        };
        let before = settle.update(&self.users.documents, newest, update, doc! { "steep": 1 }).await?;
        let before = decode_found::<UserDocument>("user", before)?;
        let Some(before) = before else { return Ok(false) };
        if let Some(replaced) = image_of(&before, asset.role).and_then(|image| image.current.as_ref()) {
            let update = doc! { "$set": { "state": AssetState::Deleting.as_str(), "updatedAt": settle.now() } };
            let from = if replaced.hidden { AssetState::Failed } else { AssetState::Ready };
            let replaced = self.change_asset(settle, replaced.asset, from, update).await?;
            if let Some(replaced) = replaced {
                delete(settle, &replaced, None);
            }
        }
        Ok(true)
    }

    /// Changes an asset that is in a state, and answers with what it was before.
    async fn change_asset(
        &self,
        settle: &Settle<'_>,
        asset: AssetId,
        from: AssetState,
        update: Document,
    ) -> Result<Option<Asset>, Error> {
        let filter = doc! { "_id": object_id(asset.bytes()), "state": from.as_str() };
        decode_found("asset", settle.update(&self.assets, filter, update, doc! {}).await?)
    }
}

/// Nothing needs the asset's file once the outcome is durable.
fn release(settle: &mut Settle<'_>, asset: &Asset) {
    if let Some(spooled) = &asset.spooled {
        settle.release(spooled.file);
    }
}

/// Has an asset deleted from Cloudinary, or what lies there under a name that it had.
fn delete(settle: &mut Settle<'_>, asset: &Asset, public_id: Option<String>) {
    settle.submit(DeleteMedia { asset: asset.id, public_id }, Some(asset.owner), Some(asset.id));
}
