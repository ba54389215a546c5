//! Recording how an attempt ended. Every call is fenced: it counts only while the attempt still holds the job.

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use messages::{AssetId, FileId, JobId, UserId};
use mongodb::ClientSession;
use time::OffsetDateTime;

use super::images::image_of;
use crate::codec::{decode, object_id};
use crate::jobs::document::JobDocument;
use crate::jobs::transitions::{self, Discard};
use crate::media::document::AssetDocument;
use crate::users::document::UserDocument;

use crate::{AssetState, AttemptOutcome, Error, JobRecord, JobState, Media, Rescue, Role, StoredMedia};

/// How a job ended, and what is left to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// [`JobState::Completed`], [`JobState::Discarded`], or [`JobState::Cancelled`] when a newer upload had taken its place;
    /// [`JobState::Retryable`] when it was only put off.
    pub state: JobState,
    /// The asset's owner. None for a job of a kind without an asset.
    pub owner: Option<UserId>,
    /// What the asset is to its owner.
    pub role: Option<Role>,
    /// Where the asset is served from, if it is ready.
    pub url: Option<String>,
    /// A file that nothing needs any more: remove it.
    pub file: Option<FileId>,
    /// Jobs that this outcome brought about. Publish them; the relay does if nobody else does.
    pub follow_ups: Vec<JobRecord>,
}

/// A failure that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// When to try again.
    pub run_at: OffsetDateTime,
    /// What went wrong.
    pub error: String,
    /// Whether it counts against the job's attempts. A wrong configuration of ours does not.
    pub counts: bool,
}

impl Media {
    /// Records that an asset is stored at Cloudinary: asset, owner's image and job change together.
    ///
    /// The image is replaced only by a newer one. A replaced asset gets a job that deletes it, and so does this one if a newer
    /// upload has taken its place: then the job is cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] (also on a second call), [`Error::NotFound`] when the asset is gone; [`Error::Unavailable`],
    /// [`Error::Unknown`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn complete_upload(
        &self,
        id: JobId,
        attempt: u32,
        asset: AssetId,
        stored: StoredMedia,
    ) -> Result<Outcome, Error> {
        let mut upload = Upload { id, attempt, asset: object_id(asset.bytes()), stored };
        self.connection
            .transaction(self, &mut upload, |media, session, upload| Box::pin(media.publish(session, upload)))
            .await
    }

    /// Ends a job whose asset was superseded before the upload began or while it failed. Something may be stored at Cloudinary
    /// if an earlier attempt went that far, so the asset gets a job that deletes it.
    pub async fn cancel_superseded(&self, id: JobId, attempt: u32, asset: AssetId) -> Result<Outcome, Error> {
        let mut change = (transitions::held(id, attempt, JobState::Cancelled), object_id(asset.bytes()));
        self.connection
            .transaction(self, &mut change, |media, session, (held, asset)| {
                Box::pin(media.cancel(session, held.clone(), *asset))
            })
            .await
    }

    /// Puts a job off. At the last attempt that counts it is given up instead, replayable, as by [`Media::discard`].
    pub async fn retry(&self, id: JobId, attempt: u32, retry: &Retry) -> Result<Outcome, Error> {
        let held = transitions::held(id, attempt, JobState::Retryable);
        let mut allowed = held.clone();
        let (outcome, failures) = match retry.counts {
            true => (AttemptOutcome::Retry, 1),
            false => (AttemptOutcome::Operator, 0),
        };
        if retry.counts {
            allowed.insert("$expr", doc! { "$lt": [{ "$add": ["$failures", 1] }, "$maxAttempts"] });
        }
        let update = transitions::retry(DateTime::from(retry.run_at), outcome, Some(&retry.error), failures);
        if self.connection.bounded(self.jobs.documents.update_one(allowed, update)).await?.matched_count == 1 {
            return Ok(Outcome::without_asset(JobState::Retryable));
        }
        let discard = Discard {
            // Shown to the owner. What went wrong each time stands in the attempts, for those who run the system.
            reason: "gave up after too many failures",
            error: &retry.error,
            replayable: true,
            outcome,
            failures,
            crashes: 0,
        };
        self.give_up(transitions::held(id, attempt, JobState::Discarded), discard).await
    }

    /// Gives a job up. Its asset has failed, and the owner's image falls back to what it was. The file of a replayable job
    /// stays; otherwise it may be removed. What its attempts may have left at Cloudinary gets a job that deletes it. If a newer
    /// upload had taken the asset's place, the job is cancelled instead.
    pub async fn discard(&self, id: JobId, attempt: u32, reason: &str, replayable: bool) -> Result<Outcome, Error> {
        let discard =
            Discard { reason, error: reason, replayable, outcome: AttemptOutcome::Discarded, failures: 0, crashes: 0 };
        self.give_up(transitions::held(id, attempt, JobState::Discarded), discard).await
    }

    /// Discards a job whose worker has vanished once too often, as [`Claim::Poisoned`](crate::Claim::Poisoned) found it, and as
    /// [`Media::discard`] does; its file stays, so that a person may redrive it.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] when its worker has shown since, or another claim was faster.
    pub async fn discard_poisoned(&self, job: &JobRecord, rescue: &Rescue) -> Result<(JobRecord, Outcome), Error> {
        let reason = &format!("{} workers vanished while they ran it", job.crashes + 1);
        let discard = Discard {
            reason,
            error: reason,
            replayable: true,
            outcome: AttemptOutcome::Crashed,
            failures: 0,
            crashes: 1,
        };
        let outcome = self.give_up(transitions::poisoned(job.id, job.attempt, rescue), discard).await?;
        Ok((self.jobs.find(job.id).await?.ok_or(Error::NotFound { what: "job" })?, outcome))
    }

    async fn give_up(&self, held: Document, discard: Discard<'_>) -> Result<Outcome, Error> {
        self.connection
            .transaction(self, &mut (held, discard), |media, session, (held, discard)| {
                Box::pin(media.record_failure(session, held, discard))
            })
            .await
    }

    async fn publish(&self, session: &mut ClientSession, upload: &Upload) -> Result<Outcome, Error> {
        let media = bson::serialize_to_bson(&upload.stored).map_err(|cause| Error::Database(cause.into()))?;
        let cancelling = transitions::held(upload.id, upload.attempt, JobState::Cancelled);
        let update = doc! {
            "$set": { "state": AssetState::Ready.as_str(), "stored": media, "updatedAt": DateTime::now() },
            "$unset": { "spool": "", "reason": "" },
        };
        let Some(asset) = self.change_asset(session, upload.asset, AssetState::Pending, update).await? else {
            return self.cancel(session, cancelling, upload.asset).await;
        };
        let mut follow_ups = Vec::new();
        if asset.role != Role::Media {
            match self.show(session, &asset, &upload.stored.url).await? {
                Shown::Instead(None) => {}
                Shown::Instead(Some(replaced)) => follow_ups.extend(self.delete_replaced(session, replaced).await?),
                Shown::No => {
                    let outcome = self.cancel(session, cancelling, asset.id).await?;
                    return Ok(Outcome { file: asset.spool.map(|spool| spool.file), ..outcome });
                }
            }
        }
        let completing = transitions::held(upload.id, upload.attempt, JobState::Completed);
        self.jobs.end(session, completing, transitions::complete()).await?;
        Ok(Outcome { url: Some(upload.stored.url.clone()), follow_ups, ..Outcome::of(JobState::Completed, asset) })
    }

    async fn record_failure(
        &self,
        session: &mut ClientSession,
        held: &Document,
        discard: &Discard<'_>,
    ) -> Result<Outcome, Error> {
        let job = self.jobs.documents.find_one(held.clone()).session(&mut *session).await?.ok_or(Error::Fenced)?;
        let job: JobDocument = decode("job", &job)?;
        let mut outcome = Outcome {
            state: JobState::Discarded,
            owner: job.owner.map(|id| UserId::from_bytes(id.bytes())),
            role: None,
            url: None,
            file: None,
            follow_ups: Vec::new(),
        };
        if let Some(asset) = job.asset.filter(|_| job.kind == JobRecord::UPLOAD) {
            match self.fail(session, asset, discard).await? {
                Failed::Now(asset) => {
                    // What the media host refuses at once it does not have.
                    let is_refused_at_once = job.attempt <= 1 && discard.outcome == AttemptOutcome::Discarded;
                    let deletion = match is_refused_at_once {
                        true => None,
                        false => Some(self.delete_name(session, &asset).await?),
                    };
                    outcome = Outcome::of(JobState::Discarded, *asset);
                    outcome.file = outcome.file.filter(|_| !discard.replayable);
                    outcome.follow_ups.extend(deletion);
                }
                Failed::Superseded => return self.cancel(session, held.clone(), asset).await,
                Failed::Gone => {}
            }
        }
        self.jobs.end(session, held.clone(), transitions::discard(discard)).await?;
        Ok(outcome)
    }

    /// Marks the asset of a job that is given up; the owner's image falls back to what it was.
    async fn fail(&self, session: &mut ClientSession, asset: ObjectId, discard: &Discard<'_>) -> Result<Failed, Error> {
        let mut update = doc! { "$set": {
            "state": AssetState::Failed.as_str(),
            "reason": discard.reason,
            "updatedAt": DateTime::now(),
        } };
        if !discard.replayable {
            update.insert("$unset", doc! { "spool": "" });
        }
        if let Some(asset) = self.change_asset(session, asset, AssetState::Pending, update).await? {
            if asset.role != Role::Media {
                let pending = format!("steep.{}.pending", asset.role);
                let shown = doc! { "_id": asset.owner, format!("{pending}.asset"): asset.id };
                self.users
                    .documents
                    .update_one(shown, doc! { "$unset": { pending: "" } })
                    .session(&mut *session)
                    .await?;
            }
            return Ok(Failed::Now(Box::new(asset)));
        }
        let superseded = doc! { "_id": asset, "state": AssetState::Superseded.as_str() };
        match self.assets.find_one(superseded).session(&mut *session).await? {
            Some(_) => Ok(Failed::Superseded),
            None => Ok(Failed::Gone),
        }
    }

    /// Ends the job of an asset that a newer one has taken the place of.
    async fn cancel(&self, session: &mut ClientSession, held: Document, asset: ObjectId) -> Result<Outcome, Error> {
        self.jobs.end(session, held, transitions::cancel()).await?;
        let update = doc! {
            "$set": { "state": AssetState::Superseded.as_str(), "updatedAt": DateTime::now() },
            "$unset": { "spool": "", "stored": "" },
        };
        let asset = self.assets.find_one_and_update(doc! { "_id": asset }, update).session(&mut *session).await?;
        let asset: AssetDocument = decode("asset", &asset.ok_or(Error::NotFound { what: "asset" })?)?;
        let deletion = self.insert_deletion(session, asset.id(), asset.owner()).await?;
        Ok(Outcome { follow_ups: vec![deletion], ..Outcome::of(JobState::Cancelled, asset) })
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

/// An upload that is stored at Cloudinary.
struct Upload {
    id: JobId,
    attempt: u32,
    asset: ObjectId,
    stored: StoredMedia,
}

/// What became of the asset of a job that is given up.
enum Failed {
    /// It has failed with the job.
    Now(Box<AssetDocument>),
    /// A newer one had taken its place.
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

impl Outcome {
    /// What has to do with no asset.
    pub(crate) fn without_asset(state: JobState) -> Self {
        Self { state, owner: None, role: None, url: None, file: None, follow_ups: Vec::new() }
    }

    pub(crate) fn of(state: JobState, asset: AssetDocument) -> Self {
        Self {
            state,
            owner: Some(asset.owner()),
            role: Some(asset.role),
            url: None,
            file: asset.spool.map(|spool| spool.file),
            follow_ups: Vec::new(),
        }
    }
}
