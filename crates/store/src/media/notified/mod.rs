//! What the media host tells of an asset by itself: that somebody has deleted, renamed or moderated it there.
//!
//! It may tell things twice and in any order, and tells of our own deletions too. So each change is conditional: what is known already
//! changes nothing, and of two renamings or moderations the later one counts, by the media host's own clock. An asset that is not ready
//! yet only takes note, and [`Media::publish`] catches up.

mod address;
mod effect;

use bson::{DateTime, Document, doc};
use messages::{AssetId, EventId, EventMessage, MediaDeleted};
use mongodb::ClientSession;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use time::OffsetDateTime;

use self::address::id_in;
use self::effect::{Effect, approval, deletion, rejection, renaming, shown_by, told_of_nothing_newer};
use crate::codec::{decode_found, object_id};
use crate::{Asset, AssetState, Error, Media, ResourceType, Settle, StoredMedia};

/// What the media host tells of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its name there, before a renaming.
    pub public_id: String,
    /// None if it does not say.
    pub resource_type: Option<ResourceType>,
    pub of: Incarnation,
    pub change: MediaChange,
}

/// What has become of an asset at the media host. Times are by its clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaChange {
    Deleted,
    Renamed { to: String, at: OffsetDateTime },
    Moderated { rejected: bool, at: OffsetDateTime },
}

/// What was stored under a name. Another attempt may store something there anew.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incarnation {
    /// The media host's own id, which survives renaming.
    pub asset_id: Option<String>,
    pub version: Option<i64>,
}

/// What a notice has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    Changed(AssetId),
    /// It was known, is older than what is known, or does not matter any more.
    Unchanged(AssetId),
    /// We have no such asset.
    Unknown,
}

/// What an asset remembers of notices.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notices {
    /// When the renaming that counts was made.
    renamed_at: Option<DateTime>,
    /// The moderation that counts.
    moderated: Option<Moderated>,
    /// What was deleted before it was ready here.
    deleted: Option<Incarnation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Moderated {
    at: DateTime,
    rejected: bool,
    #[serde(default)]
    of: Incarnation,
}

impl Media {
    /// Makes true here what the media host tells of an asset. A second call changes nothing.
    ///
    /// A deleted asset is deleted, and its owner's image empty. A renamed one has its new name and address. A rejected one has failed as
    /// far as anybody sees, until it is approved.
    pub async fn notice(&self, notice: &Notice) -> Result<Noticed, Error> {
        let Some(asset) = self.find_noticed(notice).await? else { return Ok(Noticed::Unknown) };
        // Most notices are of what we did ourselves.
        if notice.effect(&asset, self.connection.now().await?).is_none() {
            return Ok(Noticed::Unchanged(asset.id));
        }
        let mut subject = (asset.id, notice.clone());
        self.connection
            .transaction(self, &mut subject, |media, session, subject| {
                Box::pin(media.take_notice(session, subject.0, &subject.1))
            })
            .await
    }

    /// By its first name, which holds our id; or by the media host's id, if it was renamed.
    async fn find_noticed(&self, notice: &Notice) -> Result<Option<Asset>, Error> {
        if let Some(id) = id_in(&notice.public_id)
            && let Some(asset) = self.find(id).await?
            && notice.concerns(&asset)
        {
            return Ok(Some(asset));
        }
        let Some(asset_id) = &notice.of.asset_id else { return Ok(None) };
        let found = self.connection.bounded(self.assets.find_one(doc! { "stored.assetId": asset_id })).await?;
        Ok(decode_found::<Asset>("asset", found)?.filter(|asset| notice.concerns(asset)))
    }

    async fn take_notice(
        &self,
        session: &mut ClientSession,
        asset: AssetId,
        notice: &Notice,
    ) -> Result<Noticed, Error> {
        let now = self.connection.now().await?;
        let id = doc! { "_id": object_id(asset.bytes()) };
        let found = self.assets.find_one(id.clone()).session(&mut *session).await?;
        let found = decode_found::<Asset>("asset", found)?.filter(|asset| notice.concerns(asset));
        let effect = found.as_ref().and_then(|found| notice.effect(found, now));
        let (Some(found), Some(mut effect)) = (found, effect) else { return Ok(Noticed::Unchanged(asset)) };
        self.assets.update_one(id, effect.update()).session(&mut *session).await?;
        let users = &self.users.documents;
        if let Some(update) = effect.failure {
            users.update_one(told_of_nothing_newer(&found), update).session(&mut *session).await?;
        }
        if let Some(update) = effect.owner {
            users.update_one(shown_by(&found), update).session(&mut *session).await?;
        }
        if effect.is_deletion {
            let event = MediaDeleted { job: found.job, asset }.into();
            let message = EventMessage { id: EventId::new(), event };
            self.jobs.events.insert_all(session, &[(message, Some(found.owner))], now).await?;
        }
        Ok(Noticed::Changed(asset))
    }

    /// Does to an asset that has just become ready what the media host has told of it before. `true`: it is deleted.
    pub(super) async fn catch_up(
        &self,
        settle: &Settle<'_>,
        before: Asset,
        stored: &StoredMedia,
    ) -> Result<bool, Error> {
        let Some(notices) = before.notices.clone() else { return Ok(false) };
        let (now, asset) = (settle.now(), Asset { state: AssetState::Ready, stored: Some(stored.clone()), ..before });
        if notices.deleted.is_some_and(|deleted| deleted.is(stored) == Some(true)) {
            self.apply(settle, &asset, deletion(&asset, now)).await?;
            return Ok(true);
        }
        // Stored under its first name, or found under the one that it has since.
        if notices.renamed_at.is_some() {
            self.apply(settle, &asset, renaming(&asset, &asset.public_id, now)).await?;
        }
        if notices.moderated.is_some_and(|last| last.rejected && last.of.is(stored) != Some(false)) {
            self.apply(settle, &asset, rejection(&asset, now)).await?;
        }
        Ok(false)
    }

    async fn apply(&self, settle: &Settle<'_>, asset: &Asset, mut effect: Effect) -> Result<(), Error> {
        let id = doc! { "_id": object_id(asset.id.bytes()) };
        settle.update(&self.assets, id, effect.update(), doc! { "_id": 1 }).await?;
        if let Some(update) = effect.failure {
            settle.update(&self.users.documents, told_of_nothing_newer(asset), update, doc! { "_id": 1 }).await?;
        }
        if let Some(update) = effect.owner {
            settle.update(&self.users.documents, shown_by(asset), update, doc! { "_id": 1 }).await?;
        }
        Ok(())
    }
}

impl Notice {
    /// Whether it is about what the asset has at the media host, or will have.
    fn concerns(&self, asset: &Asset) -> bool {
        if self.resource_type.is_some_and(|resource_type| resource_type != asset.media_type.resource_type) {
            return false;
        }
        let is_same = asset.stored.as_ref().and_then(|stored| self.of.is(stored));
        is_same.unwrap_or(asset.public_id == self.public_id)
    }

    fn effect(&self, asset: &Asset, now: DateTime) -> Option<Effect> {
        let notices = asset.notices.clone().unwrap_or_default();
        match &self.change {
            MediaChange::Deleted => match asset.state {
                AssetState::Ready => Some(deletion(asset, now)),
                AssetState::Failed if asset.stored.is_some() => Some(deletion(asset, now)),
                // Of something that has no identity nobody can tell later whether it is what was stored.
                AssetState::Pending
                    if self.of != Incarnation::default() && notices.deleted.as_ref() != Some(&self.of) =>
                {
                    Some(Effect { set: doc! { "notices.deleted": self.of.document() }, ..Effect::default() })
                }
                _ => None,
            },
            MediaChange::Renamed { to, at } => {
                let at = DateTime::from(*at);
                let is_later = notices.renamed_at.is_none_or(|last| {
                    // Within one moment, those that follow each other.
                    at > last || (at == last && asset.public_id == self.public_id)
                });
                if !is_later || !may_lie_there(asset) {
                    return None;
                }
                let mut effect = renaming(asset, to, now);
                effect.set.extend(doc! { "publicId": to, "notices.renamedAt": at });
                Some(effect)
            }
            MediaChange::Moderated { rejected, at } => {
                let moderated = Moderated { at: DateTime::from(*at), rejected: *rejected, of: self.of.clone() };
                // Within one moment it stays rejected.
                let counts = |of: &Moderated| (of.at, of.rejected);
                if notices.moderated.is_some_and(|last| counts(&moderated) <= counts(&last)) {
                    return None;
                }
                let mut effect = match (asset.state, *rejected) {
                    (AssetState::Ready, true) => rejection(asset, now),
                    (AssetState::Failed, false) if asset.stored.is_some() => approval(asset, now),
                    (AssetState::Ready | AssetState::Pending, _) => Effect::default(),
                    (AssetState::Failed, true) if asset.stored.is_some() => Effect::default(),
                    _ => return None,
                };
                let Moderated { at, rejected, of } = moderated;
                let noted = doc! { "at": at, "rejected": rejected, "of": of.document() };
                effect.set.insert("notices.moderated", noted);
                Some(effect)
            }
        }
    }
}

impl Incarnation {
    /// Whether it is what was stored. None if that cannot be told.
    fn is(&self, stored: &StoredMedia) -> Option<bool> {
        match &self.asset_id {
            Some(id) if !stored.asset_id.is_empty() => Some(*id == stored.asset_id),
            _ => self.version.map(|version| version == stored.version),
        }
    }

    fn document(&self) -> Document {
        let mut document = Document::new();
        if let Some(id) = &self.asset_id {
            document.insert("assetId", id);
        }
        if let Some(version) = self.version {
            document.insert("version", version);
        }
        document
    }
}

/// Whether something of the asset may lie at the media host under the name that it has here.
fn may_lie_there(asset: &Asset) -> bool {
    match asset.state {
        AssetState::Pending | AssetState::Ready | AssetState::Superseded | AssetState::Deleting => true,
        AssetState::Failed => asset.stored.is_some(),
        AssetState::Deleted => false,
    }
}
