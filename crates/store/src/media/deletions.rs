//! Deleting from Cloudinary what nothing shows any more.

use bson::doc;
use messages::{AssetId, DeleteMedia, Job, JobId, UserId};
use mongodb::ClientSession;

use crate::codec::{decode_found, encode, object_id};
use crate::{Asset, AssetState, Error, JobRecord, Media};

impl Media {
    /// Has what an attempt may have stored deleted although it was overtaken: its successor may have ended, and the asset have been
    /// replaced and deleted, before the attempt stored it again. `None`: the asset is shown, may be again, or does not exist.
    ///
    /// A second call has it deleted a second time, which is harmless.
    pub async fn delete_leftovers(&self, asset: AssetId) -> Result<Option<JobRecord>, Error> {
        let mut asset = asset;
        self.connection
            .transaction(self, &mut asset, |media, session, asset| Box::pin(media.submit_deletion(session, *asset)))
            .await
    }

    async fn submit_deletion(&self, session: &mut ClientSession, asset: AssetId) -> Result<Option<JobRecord>, Error> {
        let id = doc! { "_id": object_id(asset.bytes()) };
        let found = self.assets.find_one(id.clone()).session(&mut *session).await?;
        let Some(asset) = decode_found::<Asset>("asset", found)? else { return Ok(None) };
        let mut deletion = DeleteMedia { asset: asset.id, public_id: None };
        match asset.state {
            AssetState::Pending | AssetState::Ready => return Ok(None),
            // Rejected, and perhaps approved again.
            AssetState::Failed if asset.stored.is_some() => return Ok(None),
            AssetState::Failed => {
                // Under the name that it has now: a redriven upload takes another one.
                deletion.public_id = Some(asset.public_id);
                self.assets.update_one(id, doc! { "$set": { "nameSpent": true } }).session(&mut *session).await?;
            }
            AssetState::Superseded | AssetState::Deleting | AssetState::Deleted => {}
        }
        Ok(Some(self.insert_deletion(session, deletion, asset.owner).await?))
    }

    /// Submits the job that deletes an asset from Cloudinary.
    pub(super) async fn insert_deletion(
        &self,
        session: &mut ClientSession,
        deletion: DeleteMedia,
        owner: UserId,
    ) -> Result<JobRecord, Error> {
        let asset = deletion.asset;
        let (job, now) = (Job::DeleteMedia(deletion), self.connection.now().await?);
        let job = self.jobs.new_job(JobId::new(), &job, Some(owner), Some(asset), None, now);
        self.jobs.documents.insert_one(encode(&job)?).session(session).await?;
        Ok(job)
    }
}
