//! `media.upload.v1`: moves a spooled file to the media host.
//!
//! The asset's public id is fixed before the first attempt and the upload never overwrites, so a second attempt finds what the
//! first one stored and takes it for its own. A large file goes in chunks, and the second attempt goes on where the first one
//! got to.

use std::time::Duration;

use anyhow::anyhow;
use cloudinary::{Checksum, Resume, Upload as Request};
use messages::{FileId, MediaDeleted, MediaReady, UploadMedia};
use store::{
    CancelReason, Discard, DiscardCode, End, Outcome, Published, Settle, StoredMedia, UploadProgress, UploadSource,
};
use time::OffsetDateTime;

use super::delete_media::is_in_use;
use super::{Handler, Progress, Task};
use crate::context::Context;
use crate::error::{JobError, JobResult, in_full};
use crate::health::UNMOUNTED;
use crate::retry::patiently;

/// How long after its last chunk an upload is gone on with. Cloudinary does not say how long it keeps one; going on with one that
/// it has forgotten but does not refuse would fail for ever.
const KEPT: Duration = Duration::from_secs(60 * 60);

pub(super) struct Upload;

pub(super) enum Done {
    /// The file is at the media host.
    Stored {
        /// Where the bytes still lie.
        file: FileId,
        stored: StoredMedia,
    },
    /// There was nothing to do: a newer upload has taken the asset's place.
    Superseded,
}

impl Handler for Upload {
    type Payload = UploadMedia;
    type Done = Done;

    const CONCURRENCY: u16 = 8;

    async fn perform(task: &Task<UploadMedia>, progress: Progress) -> JobResult<Done> {
        let context = &task.context;
        let Some(source) = source(task).await? else { return Ok(Done::Superseded) };
        let spooled = &source.spooled;
        if spooled.spool != *context.spool.id() {
            let cause = anyhow!(
                "the file lies in spool {}, and this worker serves spool {}: check SPOOL_DIR and SPOOL_ID",
                spooled.spool,
                context.spool.id()
            );
            return Err(JobError::Operator { cause, after: None });
        }
        let request = request(task, &source, progress, context.store.now().await?);
        let uploaded = context.media.upload(&request).await;
        context.media_host.answered(&uploaded);
        // Each chunk opens the file again.
        if uploaded.as_ref().is_err_and(lacks_the_file) && !context.spool.is_intact() {
            return Err(unmounted());
        }
        let uploaded = uploaded?;
        if uploaded.existing {
            meters::DUPLICATES_ABSORBED.add(&["host"], 1);
        }
        let mut stored = stored_media(uploaded);
        let file_type = file_types::by_content_type(&source.media_type.content_type);
        if context.settings.f_auto && file_type.is_some_and(|known| !known.in_every_browser) {
            stored.url = with_f_auto(&stored.url);
        }
        Ok(Done::Stored { file: spooled.file, stored })
    }

    async fn record(task: &Task<UploadMedia>, done: &Done, settle: &mut Settle<'_>) -> Result<End, store::Error> {
        let (media, asset) = (task.context.store.media(), task.payload.asset);
        let Done::Stored { stored, .. } = done else {
            media.mark_superseded(settle, asset).await?;
            return Ok(End::Cancelled(CancelReason::Superseded));
        };
        let owner = match media.publish(settle, asset, stored).await? {
            Published::Ready { owner } => owner,
            Published::Superseded => return Ok(End::Cancelled(CancelReason::Superseded)),
            Published::Deleted { owner } => {
                settle.announce(MediaDeleted { job: task.job.id, asset }, Some(owner));
                return Ok(End::Completed);
            }
        };
        let ready = MediaReady { job: task.job.id, asset, owner, url: stored.url.clone() };
        settle.announce(ready, Some(owner));
        Ok(End::Completed)
    }

    async fn discard(context: &Context, discard: &Discard, settle: &mut Settle<'_>) -> Result<End, store::Error> {
        context.store.media().discard_upload(settle, discard).await
    }

    /// Whoever deleted what this attempt has stored, its successor, a newer upload or who cancelled it, may have done so before it was
    /// stored.
    async fn overtaken(task: &Task<UploadMedia>, done: Option<&Done>) -> Outcome {
        let (context, asset) = (&task.context, task.payload.asset);
        let mut outcome = Outcome::of(task.job.state);
        let media = context.store.media();
        let deletion = patiently(context, || media.delete_leftovers(asset));
        match context.stop.now.run_until_cancelled(deletion).await {
            Some(Ok(deletion)) => outcome.follow_ups.extend(deletion),
            failed => {
                let cause = failed.and_then(Result::err).map(|cause| in_full(&cause));
                tracing::warn!(cause, %asset, "what this attempt may have stored stays at the media host");
            }
        }
        // If the outcome is this attempt's own and the answer of the commit was lost, nobody else knows of the file. Nor may who cancelled
        // the job, at an api that serves another spool.
        let file = match done {
            Some(Done::Stored { file, .. }) => Some(*file),
            Some(Done::Superseded) | None => task.job.source.as_ref().map(|source| source.spooled.file),
        };
        if let Some(file) = file {
            let used = media.files_in_use(&[file]).await;
            outcome.files.extend(used.is_ok_and(|used| !used.contains(&file)).then_some(file));
        }
        outcome
    }
}

fn lacks_the_file(error: &cloudinary::Error) -> bool {
    use cloudinary::Error::{File, FileChanged, FileDamaged};
    matches!(error, File { .. } | FileChanged { .. } | FileDamaged { .. })
}

/// What there is to upload. None: a newer upload has taken the asset's place, or an attempt that has overtaken this one has discarded
/// the job; then the fence refuses the outcome of this one.
///
/// A first attempt need not ask: its claim has seen that nothing has ended the job, and with it the asset. What ends the asset from here
/// on is found out when the outcome is recorded, as it is after a look at the asset.
async fn source(task: &Task<UploadMedia>) -> JobResult<Option<UploadSource>> {
    if let (1, Some(source)) = (task.job.attempt, &task.job.source) {
        return Ok(Some(source.clone()));
    }
    let Some(asset) = task.context.store.media().find(task.payload.asset).await? else {
        let reason = format!("asset {} does not exist (any more)", task.payload.asset);
        return Err(JobError::discard(DiscardCode::Impossible, reason));
    };
    if !is_in_use(asset.state) {
        return Ok(None);
    }
    let released = "the uploaded file was released from the spool; upload it again";
    Ok(Some(asset.source().ok_or_else(|| JobError::discard(DiscardCode::FileLost, released))?))
}

/// The file may well be there still.
fn unmounted() -> JobError {
    JobError::Operator { cause: anyhow!(UNMOUNTED), after: None }
}

fn request(task: &Task<UploadMedia>, source: &UploadSource, progress: Progress, now: OffsetDateTime) -> Request {
    let (context, job) = (&task.context, &task.job);
    let name = job.id.to_string();
    let chunk_size = context.media.config.chunk_size;
    let resume = job.upload.as_ref().map(|reached| resume(reached, &name, chunk_size, now));
    if let Some(resume) = &resume {
        tracing::info!(
            at = resume.acknowledged_bytes,
            of = source.bytes,
            begun = resume.begun,
            "going on with an upload"
        );
    }
    Request {
        resource_type: resource_type(source.media_type.resource_type),
        public_id: source.public_id.clone(),
        path: context.spool.path(source.spooled.file),
        bytes: source.bytes,
        checksum: source.crc32.map_or_else(|| Checksum::Md5(source.md5.clone()), Checksum::Crc32),
        file_name: source.original_name.clone(),
        name,
        resume,
        progress: Some(progress),
    }
}

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

pub(super) const fn resource_type(resource_type: store::ResourceType) -> cloudinary::ResourceType {
    match resource_type {
        store::ResourceType::Image => cloudinary::ResourceType::Image,
        store::ResourceType::Video => cloudinary::ResourceType::Video,
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

/// The address of an image, in the format that whoever asks for it shows. Of what is no image the address stays.
fn with_f_auto(url: &str) -> String {
    const IMAGES: &str = "/image/upload/";
    match url.split_once(IMAGES) {
        Some((host, path)) => format!("{host}{IMAGES}f_auto/{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use store::UploadPosition;

    use super::*;

    #[test]
    fn an_address_with_f_auto_names_it_before_the_version() {
        let url = "https://res.cloudinary.com/demo/image/upload/v1/a/image/upload/b.heic";
        let expected = "https://res.cloudinary.com/demo/image/upload/f_auto/v1/a/image/upload/b.heic";
        assert_eq!(with_f_auto(url), expected);
        let film = "https://res.cloudinary.com/demo/video/upload/v1/a.mov";
        assert_eq!(with_f_auto(film), film);
    }

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
        // A database whose clock was set back.
        assert_eq!(resume(&reached(now + KEPT), "job", 30, now), young);
    }
}
