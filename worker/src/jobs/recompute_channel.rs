//! `channel.recompute.v1`: counts a channel anew.
//!
//! Counting is the work, and changes nothing: it may take as long as the channel is large, and ends with the attempt. Storing the
//! numbers, forgetting the changes that are in them and ending the job are one transaction (`Store::complete_recompute`), so that
//! an attempt that dies anywhere has changed nothing, and a second one finds that it is fenced.

use messages::RecomputeChannel;

use super::Done;
use crate::context::Context;
use crate::error::JobResult;
use crate::patience::Patience;

pub(super) async fn perform(context: &Context, job: &RecomputeChannel) -> JobResult<Done> {
    let mut patience = Patience::new(context.settings.database_patience);
    loop {
        let cause = match context.store.counters().count(job.channel).await {
            Ok(recount) => return Ok(Done::Recompute { recount: Box::new(recount) }),
            Err(cause) => cause,
        };
        tracing::warn!(%cause, "cannot count now");
        if !cause.is_transient() || !patience.wait().await {
            return Err(cause.into());
        }
    }
}
