//! `media.delete.v1`: deletes an asset that nothing shows any more from the media host. Also deletes leftovers of discarded
//! uploads, under the name that they had; a redriven upload takes another name.
//!
//! Deleting what is not there is a success. An upload that was stopped in the middle may still arrive at the media host after
//! its deletion, so an asset is deleted twice, with some time in between, unless the only attempt at its upload is known to have
//! ended. An attempt that goes on for longer finds out that it was overtaken, and has what it stored deleted (see `upload_media`).

use std::time::Duration;

use anyhow::anyhow;
use messages::{DeleteMedia, MediaDeleted};
use store::{Asset, AssetState, DiscardCode, End, FailureCode, Settle};

use super::upload_media::resource_type;
use super::{Handler, Progress, Task};
use crate::context::Context;
use crate::error::{JobError, JobResult};

pub(super) struct Delete;

impl Handler for Delete {
    type Payload = DeleteMedia;
    type Done = ();

    async fn perform(task: &Task<DeleteMedia>, _: Progress) -> JobResult<()> {
        let (context, payload) = (&task.context, &task.payload);
        let Some(asset) = context.store.media().find(payload.asset).await? else {
            let reason = format!("asset {} does not exist, so its name at the media host is not known", payload.asset);
            return Err(JobError::discard(DiscardCode::Impossible, reason));
        };
        let name = payload.public_id.as_ref().unwrap_or(&asset.public_id);
        if *name == asset.public_id && is_in_use(asset.state) {
            let reason = format!("asset {} is {} and was not deleted", asset.id, asset.state);
            return Err(JobError::discard(DiscardCode::Impossible, reason));
        }
        let destroyed = context.media.destroy(resource_type(asset.media_type.resource_type), name).await;
        context.media_host.answered(&destroyed);
        let found = destroyed?;
        let left = task.job.created_at + context.settings.second_look - context.store.now().await?;
        if let Some(after) = Duration::try_from(left).ok().filter(|left| !left.is_zero())
            && (payload.public_id.is_some() || may_arrive_late(context, &asset).await?)
        {
            let cause = anyhow!("deleted ({found:?}); looking again, because its upload may arrive late");
            return Err(JobError::Retry { code: FailureCode::SecondLook, cause, after: Some(after) });
        }
        Ok(())
    }

    async fn record(task: &Task<DeleteMedia>, (): &(), settle: &mut Settle<'_>) -> Result<End, store::Error> {
        let DeleteMedia { asset, public_id } = &task.payload;
        task.context.store.media().mark_deleted(settle, *asset).await?;
        // Nobody has heard of the leftovers of a discarded upload.
        if public_id.is_none() {
            settle.announce(MediaDeleted { job: task.job.id, asset: *asset }, task.job.owner);
        }
        Ok(End::Completed)
    }
}

/// Whether somebody may be looking at the asset, or will be: then a job that wants it deleted is wrong.
pub(super) const fn is_in_use(state: AssetState) -> bool {
    match state {
        AssetState::Pending | AssetState::Ready => true,
        AssetState::Failed | AssetState::Superseded | AssetState::Deleting | AssetState::Deleted => false,
    }
}

/// Whether something of the asset may be on its way to the media host. Attempts that failed, were overtaken or crashed count: that
/// we stopped a request does not mean that the other side has.
async fn may_arrive_late(context: &Context, asset: &Asset) -> JobResult<bool> {
    if asset.stored.is_none() {
        return Ok(true);
    }
    // A job that is not kept any more has ended long ago.
    let upload = context.store.jobs().find(asset.job).await?;
    Ok(upload.is_some_and(|upload| upload.attempts.len() > 1))
}
