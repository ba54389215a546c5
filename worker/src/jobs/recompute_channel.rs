//! `channel.recompute.v1`: recounts a channel's subscribers. Any other count is a `counter.recount.v1`.

use std::time::Duration;

use messages::RecomputeChannel;
use store::{End, Recount, Settle};

use super::{Handler, Progress, Task, recount_counter};
use crate::error::JobResult;

pub(super) struct Recompute;

impl Handler for Recompute {
    type Payload = RecomputeChannel;
    type Done = Recount;

    const CONCURRENCY: u16 = 2;
    /// The intents that it forgets may be many.
    const SHARES: bool = false;
    const KEPT: Duration = recount_counter::KEPT;

    async fn perform(task: &Task<RecomputeChannel>, _: Progress) -> JobResult<Recount> {
        recount_counter::count(&task.context, store::subscribers(task.payload.channel)).await
    }

    async fn record(
        task: &Task<RecomputeChannel>,
        recount: &Recount,
        settle: &mut Settle<'_>,
    ) -> Result<End, store::Error> {
        recount_counter::store(&task.context, recount, settle).await
    }
}
