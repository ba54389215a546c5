//! `channel.recompute.v1`: counts a channel anew.
//!
//! Counting is the work, and changes nothing: it may take as long as the channel is large. Storing the numbers, forgetting the
//! intents that are in them and ending the job are one transaction: an attempt that dies anywhere has changed nothing.

use std::time::Duration;

use messages::RecomputeChannel;
use store::{End, Recount, Settle};

use super::{Handler, Progress, Task};
use crate::error::JobResult;
use crate::retry::Waits;

pub(super) struct Recompute;

impl Handler for Recompute {
    type Payload = RecomputeChannel;
    type Done = Recount;

    const CONCURRENCY: u16 = 2;
    /// A busy channel makes one every few seconds, and nobody asks for it.
    const KEPT: Duration = Duration::from_secs(60 * 60);

    async fn perform(task: &Task<RecomputeChannel>, _: Progress) -> JobResult<Recount> {
        let counters = task.context.store.counters();
        let mut waits = Waits::until(task.context.settings.database_patience);
        loop {
            let cause = match counters.count(&store::subscribers(task.payload.channel)).await {
                Ok(recount) => return Ok(recount),
                Err(cause) => cause,
            };
            tracing::warn!(%cause, "cannot count now");
            if !cause.is_transient() || !waits.next().await {
                return Err(cause.into());
            }
        }
    }

    async fn record(
        task: &Task<RecomputeChannel>,
        recount: &Recount,
        settle: &mut Settle<'_>,
    ) -> Result<End, store::Error> {
        task.context.store.counters().store_recount(settle, recount, &task.context.settings.pace()).await?;
        Ok(End::Completed)
    }
}
