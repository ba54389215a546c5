//! `media.delete.v1`: deletes an asset that nothing shows any more from the media host.
//!
//! So is what an upload may have left that was given up, under the name that it had; if its job is put back it takes another.
//!
//! Deleting what is not there is a success. An upload that was given up in the middle may still arrive at the media host after
//! its deletion, so an asset is deleted twice, with some time in between, unless the only attempt at its upload is known to have
//! ended. An attempt that goes on for longer finds out that it was overtaken, and has deleted what it stored (see `record`).

use std::time::Duration;

use anyhow::anyhow;
use messages::DeleteMedia;
use store::{Asset, AssetState, JobRecord};
use time::OffsetDateTime;

use super::{Done, resource_type};
use crate::context::Context;
use crate::error::{JobError, JobResult};

pub(super) async fn perform(context: &Context, job: &DeleteMedia, record: &JobRecord) -> JobResult<Done> {
    let Some(asset) = context.store.media().find(job.asset).await? else {
        return Err(JobError::discard(format!(
            "asset {} does not exist, so its name at the media host is not known",
            job.asset
        )));
    };
    let name = job.public_id.as_ref().unwrap_or(&asset.public_id);
    if *name == asset.public_id && is_in_use(asset.state) {
        return Err(JobError::discard(format!("asset {} is {} and was not deleted", asset.id, asset.state)));
    }

    let destroyed = context.media.destroy(resource_type(asset.media_type.resource_type), name).await;
    context.media_host.answered(&destroyed);
    let found = destroyed?;

    let delay = context.settings.second_look;
    if let Some(after) = left(record, OffsetDateTime::now_utc(), delay)
        && (job.public_id.is_some() || may_arrive_late(context, &asset).await?)
    {
        let cause = anyhow!("deleted ({found:?}); looking again, because its upload may arrive late");
        return Err(JobError::Retry { cause, after: Some(after) });
    }
    Ok(Done::Deleted { asset: asset.id })
}

/// Whether somebody may be looking at the asset: then the job that wants it deleted is wrong.
const fn is_in_use(state: AssetState) -> bool {
    match state {
        AssetState::Pending | AssetState::Ready => true,
        AssetState::Failed | AssetState::Superseded | AssetState::Deleting | AssetState::Deleted => false,
    }
}

/// Whether something of the asset may be on its way to the media host. Attempts that failed, were overtaken or crashed count: that a
/// request was given up here does not mean that the other side has.
async fn may_arrive_late(context: &Context, asset: &Asset) -> JobResult<bool> {
    if asset.stored.is_none() {
        return Ok(true);
    }
    // A job that is not kept any more has ended long ago.
    let upload = context.store.jobs().find(asset.job).await?;
    Ok(upload.is_some_and(|upload| upload.attempts.len() > 1))
}

/// How long to wait before looking again.
fn left(record: &JobRecord, now: OffsetDateTime, delay: Duration) -> Option<Duration> {
    Duration::try_from(record.created_at + delay - now).ok().filter(|left| !left.is_zero())
}
