//! Cancelling an upload, which is its owner's decision, or an operator's.

use std::fmt;

use bson::{DateTime, Document, doc};
use messages::{AssetId, DeleteMedia, EventId, EventMessage, JobId, MediaCancelled, Payload, UploadMedia, UserId};
use mongodb::ClientSession;
use mongodb::options::ReturnDocument;

use crate::codec::{decode_found, object_id};
use crate::jobs::transitions;
use crate::{Asset, AssetState, CancelReason, Error, JobRecord, JobState, Media, Outcome, Role};

/// What became of a cancellation.
#[derive(Debug, Clone, PartialEq)]
pub enum Cancel {
    Done(Box<Cancelled>),
    /// The job stays what it was. Nothing was written.
    Refused(CancelRefusal),
}

/// An upload that is cancelled.
#[derive(Debug, Clone, PartialEq)]
pub struct Cancelled {
    /// The job as it is now.
    pub job: JobRecord,
    /// The asset as it is now, if it still exists.
    pub asset: Option<Asset>,
    /// What is left to do about it.
    pub outcome: Outcome,
}

/// Why a job is not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelRefusal {
    /// The user has no such job, perhaps no longer.
    Unknown,
    /// Nobody waits for it but the system itself.
    NotAnUpload,
    /// It was faster.
    Ended(JobState),
}

impl fmt::Display for CancelRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("you have no such job"),
            Self::NotAnUpload => f.write_str("only uploads can be cancelled, and this job is none"),
            Self::Ended(state) => write!(f, "the job is {state}, and what has ended cannot be cancelled"),
        }
    }
}

/// Who cancels.
#[derive(Debug, Clone, Copy)]
enum Canceller {
    /// A user, who may cancel what is theirs.
    Owner(UserId),
    Operator,
}

impl Canceller {
    const fn reason(self) -> CancelReason {
        match self {
            Self::Owner(_) => CancelReason::ByOwner,
            Self::Operator => CancelReason::ByOperator,
        }
    }

    /// Which jobs are theirs to cancel.
    fn theirs(self, mut filter: Document) -> Document {
        if let Self::Owner(owner) = self {
            filter.insert("owner", object_id(owner.bytes()));
        }
        filter
    }
}

impl Media {
    /// Cancels an unfinished upload of a user's, whether or not it runs: job and asset end, the owner's image falls back to what it was,
    /// and what an attempt may have stored at Cloudinary gets a job that deletes it.
    ///
    /// An attempt that runs is fenced from here on: it records nothing, whatever it has done. Of a cancellation and a completion at the
    /// same time one wins, and the other is told: here with [`CancelRefusal::Ended`], there with [`Error::Fenced`]. A second call
    /// finds the job cancelled and is refused.
    pub async fn cancel(&self, owner: UserId, id: JobId) -> Result<Cancel, Error> {
        self.cancel_by(Canceller::Owner(owner), id).await
    }

    /// The same of anybody's upload, for whoever runs the system.
    pub async fn cancel_by_operator(&self, id: JobId) -> Result<Cancel, Error> {
        self.cancel_by(Canceller::Operator, id).await
    }

    async fn cancel_by(&self, canceller: Canceller, id: JobId) -> Result<Cancel, Error> {
        let mut wanted = (canceller, id);
        let cancelled = self.connection.transaction(self, &mut wanted, |media, session, (canceller, id)| {
            Box::pin(media.cancel_in(session, *canceller, *id))
        });
        cancelled.await
    }

    /// Writes the job first: there a claim, an outcome and another cancellation meet it.
    async fn cancel_in(&self, session: &mut ClientSession, canceller: Canceller, id: JobId) -> Result<Cancel, Error> {
        let mut unfinished = canceller.theirs(transitions::unfinished(id, JobState::Cancelled));
        unfinished.insert("kind", UploadMedia::KIND);
        let update = transitions::cancel(canceller.reason(), transitions::FINISHED_KEPT);
        let cancel = self.jobs.documents.find_one_and_update(unfinished, update);
        let job = cancel.return_document(ReturnDocument::After).session(&mut *session).await?;
        let Some(job) = decode_found::<JobRecord>("job", job)? else {
            return Ok(Cancel::Refused(self.why_not(session, canceller, id).await?));
        };
        let now = self.connection.now().await?;
        let mut cancelled = Cancelled { outcome: Outcome::of(job.state), job, asset: None };
        if let Some(asset) = cancelled.job.asset {
            self.cancel_asset(session, asset, now, canceller.reason(), &mut cancelled).await?;
            // An upload has an owner.
            if let Some(owner) = cancelled.job.owner {
                let event = MediaCancelled { job: id, asset, owner, reason: canceller.reason().as_str().to_owned() };
                cancelled.outcome.events.push(EventMessage { id: EventId::new(), event: event.into() });
            }
        }
        let owner = cancelled.job.owner;
        let events: Vec<_> = cancelled.outcome.events.iter().map(|event| (event.clone(), owner)).collect();
        self.jobs.events.insert_all(session, &events, now).await?;
        let follow_ups: Vec<JobId> = cancelled.outcome.follow_ups.iter().map(|job| job.id).collect();
        let events: Vec<EventId> = cancelled.outcome.events.iter().map(|event| event.id).collect();
        if let Some(note) = transitions::bring_about(&events, &follow_ups) {
            self.jobs.documents.update_one(doc! { "_id": id.to_string() }, vec![note]).session(&mut *session).await?;
            (cancelled.job.events, cancelled.job.follow_ups) = (events, follow_ups);
        }
        Ok(Cancel::Done(Box::new(cancelled)))
    }

    async fn cancel_asset(
        &self,
        session: &mut ClientSession,
        asset: AssetId,
        now: DateTime,
        why: CancelReason,
        cancelled: &mut Cancelled,
    ) -> Result<(), Error> {
        let id = doc! { "_id": object_id(asset.bytes()) };
        let found = self.assets.find_one(id.clone()).session(&mut *session).await?;
        let Some(before) = decode_found::<Asset>("asset", found)? else { return Ok(()) };
        let was_attempted = cancelled.job.attempt > 0;
        let mut set = doc! { "updatedAt": now };
        let is_pending = match before.state {
            AssetState::Pending => {
                // To programs of before this is an upload that failed for good, which they know what to do with.
                set.insert("state", AssetState::Failed.as_str());
                set.insert("reason", why.as_str());
                set.insert("code", why.code());
                if was_attempted {
                    set.insert("nameSpent", true);
                }
                true
            }
            // A newer upload took its place while it ran.
            AssetState::Superseded => false,
            AssetState::Ready | AssetState::Failed | AssetState::Deleting | AssetState::Deleted => {
                cancelled.asset = Some(before);
                return Ok(());
            }
        };
        let update = doc! { "$set": set, "$unset": { "spool": "" } };
        let after = self.assets.find_one_and_update(id, update).return_document(ReturnDocument::After);
        cancelled.asset = decode_found("asset", after.session(&mut *session).await?)?;
        cancelled.outcome.files.extend(before.spooled.map(|spooled| spooled.file));
        if is_pending && before.role != Role::Media {
            let pending = format!("steep.{}.pending", before.role);
            let shown = doc! {
                "_id": object_id(before.owner.bytes()),
                format!("{pending}.asset"): object_id(asset.bytes()),
            };
            let fall_back = doc! { "$unset": { pending: "" } };
            self.users.documents.update_one(shown, fall_back).session(&mut *session).await?;
        }
        if was_attempted {
            let deletion = DeleteMedia { asset, public_id: is_pending.then_some(before.public_id) };
            cancelled.outcome.follow_ups.push(self.insert_deletion(session, deletion, before.owner).await?);
        }
        Ok(())
    }

    /// Why there was nothing to cancel.
    async fn why_not(
        &self,
        session: &mut ClientSession,
        canceller: Canceller,
        id: JobId,
    ) -> Result<CancelRefusal, Error> {
        let own = canceller.theirs(doc! { "_id": id.to_string() });
        let found = self.jobs.documents.find_one(own).session(session).await?;
        Ok(match decode_found::<JobRecord>("job", found)? {
            None => CancelRefusal::Unknown,
            Some(job) if job.kind != UploadMedia::KIND => CancelRefusal::NotAnUpload,
            Some(job) => CancelRefusal::Ended(job.state),
        })
    }
}
