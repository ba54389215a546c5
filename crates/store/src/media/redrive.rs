//! Putting a discarded job back, which is a person's decision.

use std::fmt;

use bson::{DateTime, doc};
use messages::{JobId, Payload, UploadMedia};
use mongodb::ClientSession;
use mongodb::options::ReturnDocument;

use crate::codec::{decode, decode_found, object_id};
use crate::error::duplicate_key;
use crate::jobs::transitions;
use crate::{Asset, AssetState, Error, JobRecord, JobState, Media, Role, public_id};

/// What became of a redrive.
#[derive(Debug, Clone, PartialEq)]
pub enum Redrive {
    /// It is pending again, and the relay publishes it.
    Done(Box<JobRecord>),
    /// It stays what it was. Nothing was written.
    Refused(Refusal),
}

/// Why a job cannot be redriven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such job, perhaps no longer.
    Unknown,
    NotDiscarded(JobState),
    /// It can never succeed as it is.
    NotReplayable,
    /// Its file has been released from the spool, or its asset is gone.
    FileReleased,
    /// A newer image of the user is shown, or one is on its way.
    Newer,
    /// Another job does the same by now.
    Doubled,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such job (any more)"),
            Self::NotDiscarded(state) => write!(f, "the job is {state}, and only a discarded one can be redriven"),
            Self::NotReplayable => f.write_str("the job can never succeed as it is; the file has to be uploaded again"),
            Self::FileReleased => f.write_str("the job's file is no longer kept; it has to be uploaded again"),
            Self::Doubled => f.write_str("another job does the same already"),
            Self::Newer => f.write_str("a newer upload has taken its place, or another one is on its way"),
        }
    }
}

impl Media {
    /// Puts a discarded job back, due at once and with its failures and crashes forgotten; its attempts stay on record, and their
    /// number goes on. The asset of an upload is pending again, and so is the owner's image, unless a newer one is shown or
    /// another one is on its way. If what an earlier attempt may have stored is deleted, the upload takes another name at Cloudinary,
    /// so that neither is in the way of the other, and begins at its first byte. A second call finds the job pending and is refused.
    ///
    /// That the file is still where the asset says is for the caller to see: only who can open the spool can tell.
    pub async fn redrive(&self, id: JobId) -> Result<Redrive, Error> {
        let mut id = id;
        let redriving =
            self.connection.transaction(self, &mut id, |media, session, id| Box::pin(media.redrive_in(session, *id)));
        match redriving.await {
            // Of its unique key.
            Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => Ok(Redrive::Refused(Refusal::Doubled)),
            redriven => redriven,
        }
    }

    /// Reads everything before it writes anything, so that a refusal has written nothing.
    async fn redrive_in(&self, session: &mut ClientSession, id: JobId) -> Result<Redrive, Error> {
        let refused = |refusal| Ok(Redrive::Refused(refusal));
        let found = self.jobs.documents.find_one(doc! { "_id": id.to_string() }).session(&mut *session).await?;
        let Some(job) = decode_found::<JobRecord>("job", found)? else { return refused(Refusal::Unknown) };
        if job.state != JobState::Discarded {
            return refused(Refusal::NotDiscarded(job.state));
        }
        if !job.replayable {
            return refused(Refusal::NotReplayable);
        }
        let now = self.connection.now().await?;
        let mut anew = false;
        if job.kind == UploadMedia::KIND {
            let asset = job.asset.map(|asset| object_id(asset.bytes()));
            let failed = doc! { "_id": asset, "state": AssetState::Failed.as_str() };
            let asset = self.assets.find_one(failed.clone()).session(&mut *session).await?;
            let asset = decode_found("asset", asset)?.filter(|asset: &Asset| asset.spooled.is_some());
            let Some(asset) = asset else { return refused(Refusal::FileReleased) };
            if asset.role != Role::Media && !self.show_again(session, &asset, now).await? {
                return refused(Refusal::Newer);
            }
            let mut set = doc! { "state": AssetState::Pending.as_str(), "updatedAt": now };
            anew = asset.name_spent;
            if anew {
                // Attempts are numbered on and on, so no name comes twice.
                set.insert("publicId", format!("{}-{}", public_id(asset.role, asset.id), job.attempt));
            }
            let update = doc! { "$set": set, "$unset": { "reason": "", "code": "", "nameSpent": "" } };
            self.assets.update_one(failed, update).session(&mut *session).await?;
        }
        let discarded = transitions::discarded(id, JobState::Pending);
        let redriven = self.jobs.documents.find_one_and_update(discarded, transitions::redrive(anew));
        let after = redriven.return_document(ReturnDocument::After).session(session).await?;
        // What was read in this transaction cannot have changed, or the transaction would have been refused.
        Ok(Redrive::Done(Box::new(decode("job", &after.ok_or(Error::Fenced)?)?)))
    }

    /// Makes a failed image the owner's pending one again, if there is neither a newer one nor another on its way.
    async fn show_again(&self, session: &mut ClientSession, asset: &Asset, now: DateTime) -> Result<bool, Error> {
        let image = format!("steep.{}", asset.role);
        let free = doc! {
            "_id": object_id(asset.owner.bytes()),
            format!("{image}.pending"): { "$exists": false },
            // Also true where there is no such field.
            format!("{image}.current.seq"): { "$not": { "$gte": asset.seq } },
        };
        let pending = asset.pending(asset.seq);
        let update = doc! { "$set": { format!("{image}.pending"): pending, "updatedAt": now } };
        Ok(self.users.documents.update_one(free, update).session(session).await?.matched_count == 1)
    }
}
