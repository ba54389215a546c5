//! Deleting from Cloudinary what nothing shows any more.

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use messages::{AssetId, DeleteMedia, Job, JobId, UserId};
use mongodb::ClientSession;

use crate::codec::{decode, encode, object_id};
use crate::jobs::Subject;
use crate::jobs::document::JobDocument;
use crate::jobs::transitions;
use crate::media::document::AssetDocument;
use crate::{AssetState, Error, JobRecord, JobState, Media, Outcome};

impl Media {
    /// Records that an asset is no longer at Cloudinary.
    pub async fn complete_delete(&self, id: JobId, attempt: u32, asset: AssetId) -> Result<Outcome, Error> {
        let mut change = (transitions::held(id, attempt, JobState::Completed), object_id(asset.bytes()));
        self.connection
            .transaction(self, &mut change, |media, session, (held, asset)| {
                Box::pin(media.record_deletion(session, held.clone(), *asset))
            })
            .await
    }

    /// Has what an attempt may have stored deleted although it was overtaken: its successor may have ended, and the asset have been
    /// replaced and deleted, before the attempt stored it again. `None`: the asset is shown, is to be, or does not exist.
    ///
    /// A second call has it deleted a second time, which is harmless.
    pub async fn delete_leftovers(&self, asset: AssetId) -> Result<Option<JobRecord>, Error> {
        let mut asset = object_id(asset.bytes());
        self.connection
            .transaction(self, &mut asset, |media, session, asset| Box::pin(media.submit_deletion(session, *asset)))
            .await
    }

    async fn submit_deletion(&self, session: &mut ClientSession, asset: ObjectId) -> Result<Option<JobRecord>, Error> {
        let found = self.assets.find_one(doc! { "_id": asset }).session(&mut *session).await?;
        let Some(found) = found else { return Ok(None) };
        let asset: AssetDocument = decode("asset", &found)?;
        match asset.state {
            AssetState::Pending | AssetState::Ready => Ok(None),
            AssetState::Failed => Ok(Some(self.delete_name(session, &asset).await?)),
            AssetState::Superseded | AssetState::Deleting | AssetState::Deleted => {
                Ok(Some(self.insert_deletion(session, asset.id(), asset.owner()).await?))
            }
        }
    }

    async fn record_deletion(
        &self,
        session: &mut ClientSession,
        held: Document,
        asset: ObjectId,
    ) -> Result<Outcome, Error> {
        self.jobs.end(session, held, transitions::complete()).await?;
        // What an upload left that was given up has a deletion of its own, which says nothing about the asset.
        let unwanted = doc! { "_id": asset, "state": { "$in": unwanted().as_slice() } };
        let update = doc! { "$set": { "state": AssetState::Deleted.as_str(), "updatedAt": DateTime::now() } };
        if let Some(deleted) = self.assets.find_one_and_update(unwanted, update).session(&mut *session).await? {
            return Ok(Outcome::of(JobState::Completed, decode("asset", &deleted)?));
        }
        let kept = self.assets.find_one(doc! { "_id": asset }).session(session).await?;
        let kept = decode("asset", &kept.ok_or(Error::NotFound { what: "asset" })?)?;
        // Its file is kept with it.
        Ok(Outcome { file: None, ..Outcome::of(JobState::Completed, kept) })
    }

    /// Has an asset deleted from Cloudinary, if it is there.
    pub(crate) async fn delete_replaced(
        &self,
        session: &mut ClientSession,
        asset: ObjectId,
    ) -> Result<Option<JobRecord>, Error> {
        let update = doc! { "$set": { "state": AssetState::Deleting.as_str(), "updatedAt": DateTime::now() } };
        let Some(asset) = self.change_asset(session, asset, AssetState::Ready, update).await? else { return Ok(None) };
        Ok(Some(self.insert_deletion(session, asset.id(), asset.owner()).await?))
    }

    /// Submits the job that deletes what the attempts at an upload may have left that is given up. It deletes what lies under the name
    /// that the asset has now; the asset takes another one if its job is put back.
    pub(crate) async fn delete_name(
        &self,
        session: &mut ClientSession,
        asset: &AssetDocument,
    ) -> Result<JobRecord, Error> {
        let spent = doc! { "$set": { "nameSpent": true } };
        self.assets.update_one(doc! { "_id": asset.id }, spent).session(&mut *session).await?;
        let deletion = DeleteMedia { asset: asset.id(), public_id: Some(asset.public_id.clone()) };
        let mut job = self.deletion(deletion, asset.owner());
        // Not everybody who gives a job up publishes what follows, so it is left to the relay at once.
        job.due_at = Some(job.run_at);
        self.jobs.documents.insert_one(encode(&job)?).session(session).await?;
        Ok(job.into())
    }

    /// Submits the job that deletes an asset from Cloudinary.
    pub(crate) async fn insert_deletion(
        &self,
        session: &mut ClientSession,
        asset: AssetId,
        owner: UserId,
    ) -> Result<JobRecord, Error> {
        let job = self.deletion(DeleteMedia { asset, public_id: None }, owner);
        self.jobs.documents.insert_one(encode(&job)?).session(session).await?;
        Ok(job.into())
    }

    fn deletion(&self, deletion: DeleteMedia, owner: UserId) -> JobDocument {
        let subject = Subject::upload(owner, deletion.asset);
        self.jobs.new_job(JobId::new(), &Job::DeleteMedia(deletion), subject, None)
    }
}

/// The states of an asset that nothing shows nor will.
fn unwanted() -> [&'static str; 3] {
    [AssetState::Superseded, AssetState::Deleting, AssetState::Deleted].map(AssetState::as_str)
}
