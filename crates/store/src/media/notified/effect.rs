//! How an asset and its owner change by a notice.

use bson::{DateTime, Document, doc};

use super::address::address;
use crate::codec::object_id;
use crate::{Asset, AssetState, Role};

/// Why an asset that was rejected is not shown, for programs and for its owner. The code is permanent.
const REJECTED: (&str, &str) = ("rejected-by-moderation", "rejected by moderation");

/// How an asset changes, and what its owner shows if it is that.
#[derive(Default)]
pub(super) struct Effect {
    /// What is set in the asset.
    pub set: Document,
    pub unset: Document,
    /// The update of the owner, while they show it.
    pub owner: Option<Document>,
    /// That of the failure that they are told of, unless something newer has failed. To be made first: it looks whether they show it.
    pub failure: Option<Document>,
    pub is_deletion: bool,
}

impl Effect {
    /// The update of the asset.
    pub(super) fn update(&mut self) -> Document {
        let (set, unset) = (std::mem::take(&mut self.set), std::mem::take(&mut self.unset));
        let mut update = doc! { "$set": set };
        if !unset.is_empty() {
            update.insert("$unset", unset);
        }
        update
    }
}

/// The owner, while they show this asset.
pub(super) fn shown_by(asset: &Asset) -> Document {
    doc! {
        "_id": object_id(asset.owner.bytes()),
        format!("steep.{}.current.asset", asset.role): object_id(asset.id.bytes()),
    }
}

/// The owner, while they show this asset and nothing newer has failed.
pub(super) fn told_of_nothing_newer(asset: &Asset) -> Document {
    let mut shown = shown_by(asset);
    shown.insert(format!("steep.{}.failed.seq", asset.role), doc! { "$not": { "$gt": asset.seq } });
    shown
}

/// What changes for an owner who shows the asset. Only images are shown.
fn owner(asset: &Asset, update: Document) -> Option<Document> {
    (asset.role != Role::Media).then_some(update)
}

pub(super) fn deletion(asset: &Asset, now: DateTime) -> Effect {
    let role = asset.role.as_str();
    let empty = doc! {
        "$set": { role: "", "updatedAt": now },
        "$unset": { format!("steep.{role}.current"): "" },
    };
    Effect {
        set: doc! { "state": AssetState::Deleted.as_str(), "updatedAt": now },
        unset: doc! { "reason": "", "code": "" },
        owner: owner(asset, empty),
        // What was there before it, and a rejection of its own, are of no interest beside an empty image.
        failure: owner(asset, doc! { "$unset": { format!("steep.{role}.failed"): "" } }),
        is_deletion: true,
    }
}

/// A rejected image stays the current one, so that it can be shown again and is deleted when it is replaced.
pub(super) fn rejection(asset: &Asset, now: DateTime) -> Effect {
    let (role, (code, reason)) = (asset.role.as_str(), REJECTED);
    let failed = doc! { "asset": object_id(asset.id.bytes()), "seq": asset.seq, "reason": reason, "code": code };
    let hide = doc! { "$set": {
        role: "",
        format!("steep.{role}.current.hidden"): true,
        "updatedAt": now,
    } };
    Effect {
        set: doc! { "state": AssetState::Failed.as_str(), "reason": reason, "code": code, "updatedAt": now },
        owner: owner(asset, hide),
        failure: owner(asset, doc! { "$set": { format!("steep.{role}.failed"): failed } }),
        ..Effect::default()
    }
}

pub(super) fn approval(asset: &Asset, now: DateTime) -> Effect {
    let role = asset.role.as_str();
    let url = asset.stored.as_ref().map_or("", |stored| stored.url.as_str());
    let show = doc! {
        "$set": { role: url, "updatedAt": now },
        "$unset": { format!("steep.{role}.current.hidden"): "" },
    };
    Effect {
        set: doc! { "state": AssetState::Ready.as_str(), "updatedAt": now },
        unset: doc! { "reason": "", "code": "" },
        owner: owner(asset, show),
        ..Effect::default()
    }
}

/// The address follows the name. Of an asset that is not shown the owner has no address.
pub(super) fn renaming(asset: &Asset, name: &str, now: DateTime) -> Effect {
    let mut effect = Effect { set: doc! { "updatedAt": now }, ..Effect::default() };
    if let Some(url) = asset.stored.as_ref().and_then(|stored| address(stored, name)) {
        if asset.state == AssetState::Ready {
            effect.owner = owner(asset, doc! { "$set": { asset.role.as_str(): &url, "updatedAt": now } });
        }
        effect.set.insert("stored.url", url);
    }
    effect
}
