//! `media.upload.v1`: moves a spooled file to the media host.
//!
//! The asset's public id is fixed before the first attempt and the upload never overwrites, so a second attempt finds what the
//! first one stored and takes it for its own. A large file goes in chunks, and the second attempt goes on where the first one
//! got to.

use std::time::Duration;

use anyhow::anyhow;
use cloudinary::{Resume, Upload};
use messages::UploadMedia;
use store::{Asset, AssetState, JobRecord, Spooled, StoredMedia, UploadProgress};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::{Done, resource_type};
use crate::context::Context;
use crate::error::{JobError, JobResult};
use crate::health::UNMOUNTED;

/// How long after its last chunk an upload is gone on with. Cloudinary does not say how long it keeps one; going on with one that
/// it has forgotten but does not refuse would fail for ever.
const KEPT: Duration = Duration::from_secs(60 * 60);

pub(super) async fn perform(
    context: &Context,
    job: &UploadMedia,
    record: &JobRecord,
    progress: watch::Sender<Option<Resume>>,
) -> JobResult<Done> {
    let Some(asset) = context.store.media().find(job.asset).await? else {
        return Err(JobError::discard(format!("asset {} does not exist (any more)", job.asset)));
    };
    if is_over(asset.state) {
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
        Err(spool::Error::Missing { .. }) if !context.spool.is_intact() => return Err(unmounted()),
        opened => drop(opened?),
    }

    let upload = upload(context, &asset, &spooled, record, progress);
    let uploaded = context.media.upload(&upload).await;
    context.media_host.answered(&uploaded);
    // Each chunk opens the file again.
    let lacks_the_file =
        matches!(uploaded, Err(cloudinary::Error::File { .. } | cloudinary::Error::FileChanged { .. }));
    if lacks_the_file && !context.spool.is_intact() {
        return Err(unmounted());
    }
    Ok(Done::Uploaded { asset: asset.id, file: spooled.file, stored: stored_media(uploaded?) })
}

/// Whether there is nothing to upload any more: a newer upload has taken the asset's place, or an attempt that has overtaken this one
/// has given it up. The outcome of this one is fenced then.
const fn is_over(state: AssetState) -> bool {
    match state {
        AssetState::Superseded | AssetState::Deleting | AssetState::Deleted | AssetState::Failed => true,
        AssetState::Pending | AssetState::Ready => false,
    }
}

/// The file may well be there still.
fn unmounted() -> JobError {
    JobError::Operator { cause: anyhow!(UNMOUNTED), after: None }
}

fn elsewhere(spooled: &Spooled, context: &Context) -> anyhow::Error {
    anyhow!(
        "the file lies in spool {}, and this worker serves spool {}: check SPOOL_DIR and SPOOL_ID",
        spooled.spool,
        context.spool.id()
    )
}

fn upload(
    context: &Context,
    asset: &Asset,
    spooled: &Spooled,
    record: &JobRecord,
    progress: watch::Sender<Option<Resume>>,
) -> Upload {
    let name = record.id.to_string();
    let chunk_size = context.media.config().chunk_size();
    let resume = record.upload.as_ref().map(|reached| resume(reached, &name, chunk_size, OffsetDateTime::now_utc()));
    if let Some(resume) = &resume {
        tracing::info!(
            at = resume.acknowledged_bytes,
            of = asset.bytes,
            begun = resume.begun,
            "going on with an upload"
        );
    }
    Upload {
        resource_type: resource_type(asset.media_type.resource_type),
        public_id: asset.public_id.clone(),
        path: context.spool.path(spooled.file),
        bytes: asset.bytes,
        md5: asset.md5.clone(),
        file_name: asset.original_name.clone(),
        name,
        resume,
        progress: Some(progress),
    }
}

/// Where to go on with an upload.
fn resume(reached: &UploadProgress, name: &str, chunk_size: u64, now: OffsetDateTime) -> Resume {
    let position = &reached.position;
    let resume = Resume {
        upload_id: position.upload_id.clone(),
        acknowledged_bytes: position.acknowledged_bytes,
        chunk_size: position.chunk_size,
        begun: position.begun,
    };
    if now - reached.noted_at > KEPT { resume.anew(name, chunk_size) } else { resume }
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

#[cfg(test)]
mod tests {
    use store::UploadPosition;

    use super::*;

    #[test]
    fn an_upload_goes_on_where_it_is_unless_that_is_long_ago() {
        let now = OffsetDateTime::now_utc();
        let position =
            UploadPosition { upload_id: "job-10-1".to_owned(), acknowledged_bytes: 20, chunk_size: 10, begun: 1 };
        let reached = |noted_at| UploadProgress { position: position.clone(), furthest_bytes: 20, noted_at };
        let young = resume(&reached(now - KEPT), "job", 30, now);
        assert_eq!((young.upload_id.as_str(), young.acknowledged_bytes, young.chunk_size), ("job-10-1", 20, 10));
        let old = resume(&reached(now - KEPT - Duration::from_secs(1)), "job", 30, now);
        assert_eq!((old.upload_id.as_str(), old.acknowledged_bytes, old.begun), ("job-30-2", 0, 2));
        // A database whose clock is ahead of ours.
        assert_eq!(resume(&reached(now + KEPT), "job", 30, now), young);
    }
}
