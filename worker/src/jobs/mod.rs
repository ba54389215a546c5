//! What each kind of job does in the world outside the database. An attempt may run twice, and both may run at once: every
//! `perform` must be harmless when it was done before.

mod delete_media;
mod recompute_channel;
mod upload_media;

use cloudinary::Resume;
use messages::{AssetId, FileId, Job};
use store::{JobRecord, Recount, StoredMedia};
use tokio::sync::watch;

use crate::context::Context;
use crate::error::{JobResult, OrElse};

/// What an attempt has done outside the database, to be recorded in it.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    /// The asset's file is at the media host.
    Uploaded {
        asset: AssetId,
        /// Where the bytes still lie.
        file: FileId,
        stored: StoredMedia,
    },
    /// There was nothing to do: a newer upload has taken the asset's place.
    Superseded { asset: AssetId },
    /// The asset is not at the media host any more.
    Deleted { asset: AssetId },
    /// The channel is counted.
    Recompute { recount: Box<Recount> },
}

/// Does what a job asks for, and tells how far an upload has come. Adding a kind begins here.
pub(crate) async fn perform(
    context: &Context,
    record: &JobRecord,
    progress: watch::Sender<Option<Resume>>,
) -> JobResult<Done> {
    // The document counts, not the message: a message is only the news that there is something to do.
    match record.job().or_discard()? {
        Job::UploadMedia(job) => upload_media::perform(context, &job, record, progress).await,
        Job::DeleteMedia(job) => delete_media::perform(context, &job, record).await,
        Job::RecomputeChannel(job) => recompute_channel::perform(context, &job).await,
    }
}

pub(crate) const fn resource_type(resource_type: store::ResourceType) -> cloudinary::ResourceType {
    match resource_type {
        store::ResourceType::Image => cloudinary::ResourceType::Image,
        store::ResourceType::Video => cloudinary::ResourceType::Video,
    }
}
