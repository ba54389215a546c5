//! `media.delete.v1`: deletes an asset that nothing shows any more from the media host.
//!
//! Deleting what is not there is a success. An upload that was given up in the middle may still arrive at the media host after
//! its deletion, so an asset that was never seen to be ready is deleted twice, with some time in between.

use std::time::Duration;

use anyhow::anyhow;
use messages::DeleteMedia;
use store::{Asset, AssetState, JobRecord};
use time::OffsetDateTime;

use super::{Done, resource_type};
use crate::context::Context;
use crate::error::{JobError, JobResult};

pub(super) async fn perform(context: &Context, job: &DeleteMedia, record: &JobRecord) -> JobResult<Done> {
    let Some(asset) = context.store.find_asset(job.asset).await? else {
        return Err(JobError::discard(format!(
            "asset {} does not exist, so its name at the media host is not known",
            job.asset
        )));
    };
    if is_in_use(asset.state) {
        return Err(JobError::discard(format!("asset {} is {} and was not deleted", asset.id, asset.state)));
    }

    let destroyed = context.media.destroy(resource_type(asset.media_type.resource_type), &asset.public_id).await;
    context.media_host.answered(&destroyed);
    let found = destroyed?;

    if let Some(after) = second_look(&asset, record, OffsetDateTime::now_utc(), context.settings.second_look) {
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

/// How long to wait before looking again, if that is called for.
fn second_look(asset: &Asset, record: &JobRecord, now: OffsetDateTime, delay: Duration) -> Option<Duration> {
    if asset.stored.is_some() {
        return None;
    }
    let left = record.created_at + delay - now;
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}
