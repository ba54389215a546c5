//! `media.upload.v1`: moves a spooled file to the media host.
//!
//! The asset's public id is fixed before the first attempt and the upload never overwrites, so a second attempt finds what the
//! first one stored and takes it for its own.

use anyhow::anyhow;
use cloudinary::Upload;
use messages::UploadMedia;
use store::{Asset, AssetState, Spooled, StoredMedia};

use super::{Done, resource_type};
use crate::context::Context;
use crate::error::{JobError, JobResult};

pub(super) async fn perform(context: &Context, job: &UploadMedia) -> JobResult<Done> {
    let Some(asset) = context.store.find_asset(job.asset).await? else {
        return Err(JobError::discard(format!("asset {} does not exist (any more)", job.asset)));
    };
    if is_superseded(asset.state) {
        return Ok(Done::Superseded { asset: asset.id });
    }
    let Some(spooled) = asset.spooled.clone() else {
        return Err(JobError::discard("the uploaded file was released from the spool; upload it again"));
    };
    if spooled.spool != *context.spool.id() {
        return Err(JobError::Operator { cause: elsewhere(&spooled, context), after: None });
    }
    // Says so in words of its own if the file is gone, which the client of the media host cannot.
    match context.spool.open_file(spooled.file).await {
        Err(spool::Error::Missing { .. }) if !context.spool.is_intact() => {
            let cause = anyhow!("the spool is not where it was: check SPOOL_DIR, and that its volume is mounted");
            return Err(JobError::Operator { cause, after: None });
        }
        opened => drop(opened?),
    }

    let uploaded = context.media.upload(&upload(context, &asset, &spooled)).await;
    context.media_host.answered(&uploaded);
    Ok(Done::Uploaded { asset: asset.id, file: spooled.file, stored: stored_media(uploaded?) })
}

const fn is_superseded(state: AssetState) -> bool {
    match state {
        AssetState::Superseded | AssetState::Deleting | AssetState::Deleted => true,
        AssetState::Pending | AssetState::Ready | AssetState::Failed => false,
    }
}

fn elsewhere(spooled: &Spooled, context: &Context) -> anyhow::Error {
    anyhow!(
        "the file lies in spool {}, and this worker serves spool {}: check SPOOL_DIR and SPOOL_ID",
        spooled.spool,
        context.spool.id()
    )
}

fn upload(context: &Context, asset: &Asset, spooled: &Spooled) -> Upload {
    Upload {
        resource_type: resource_type(asset.media_type.resource_type),
        public_id: asset.public_id.clone(),
        path: context.spool.path(spooled.file),
        bytes: asset.bytes,
        md5: asset.md5.clone(),
        file_name: asset.original_name.clone(),
        resume: None,
        progress: None,
    }
}

fn stored_media(stored: cloudinary::Stored) -> StoredMedia {
    let pixels = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
    StoredMedia {
        url: stored.secure_url,
        version: i64::try_from(stored.version).unwrap_or(i64::MAX),
        asset_id: stored.asset_id.unwrap_or_default(),
        width: pixels(stored.width),
        height: pixels(stored.height),
        format: stored.format,
        duration: stored.duration,
    }
}
