//! Deleting from Cloudinary what nothing shows any more.

use bson::doc;
use bson::oid::ObjectId;
use messages::{AssetId, DeleteMedia, Job, JobId, UserId};
use mongodb::ClientSession;

use crate::codec::{decode, encode, object_id};
use crate::media::document::AssetDocument;
use crate::{AssetState, Error, JobRecord, Media};

impl Media {
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

    /// Submits the job that deletes leftovers of a discarded upload, under the name that the asset has now: a redriven upload takes
    /// another one.
    async fn delete_name(&self, session: &mut ClientSession, asset: &AssetDocument) -> Result<JobRecord, Error> {
        let spent = doc! { "$set": { "nameSpent": true } };
        self.assets.update_one(doc! { "_id": asset.id }, spent).session(&mut *session).await?;
        let deletion = DeleteMedia { asset: asset.id(), public_id: Some(asset.public_id.clone()) };
        let job = self.deletion(deletion, asset.owner());
        self.jobs.documents.insert_one(encode(&job)?).session(session).await?;
        Ok(job)
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
        Ok(job)
    }

    fn deletion(&self, deletion: DeleteMedia, owner: UserId) -> JobRecord {
        let asset = deletion.asset;
        self.jobs.new_job(JobId::new(), &Job::DeleteMedia(deletion), Some(owner), Some(asset), None)
    }
}
