//! `counter.recount.v1`: recounts what a counter counts of one subject.
//!
//! Counting is the work, and changes nothing: it may take as long as there is much to count. Storing the numbers, forgetting the
//! intents that are in them and ending the job are one transaction: an attempt that dies anywhere has changed nothing.

use std::time::Duration;

use messages::RecountCounter;
use store::{CounterKey, DiscardCode, End, Recount, Settle};

use super::{Handler, Progress, Task};
use crate::context::Context;
use crate::error::{JobError, JobResult};
use crate::retry::patiently;

/// How long a recount is kept: a busy subject makes one every few seconds, and nobody asks for it.
pub(super) const KEPT: Duration = Duration::from_secs(60 * 60);

pub(super) struct RecountAny;

impl Handler for RecountAny {
    type Payload = RecountCounter;
    type Done = Recount;

    const CONCURRENCY: u16 = 2;
    /// The intents that it forgets may be many.
    const SHARES: bool = false;
    const KEPT: Duration = KEPT;

    async fn perform(task: &Task<RecountCounter>, _: Progress) -> JobResult<Recount> {
        let counter = &task.payload.counter;
        let Some(key) = task.context.store.counters().key(counter) else {
            let reason = format!("this version knows no counter {counter}");
            return Err(JobError::Discard { code: DiscardCode::Impossible, reason, replayable: true });
        };
        count(&task.context, key).await
    }

    async fn record(
        task: &Task<RecountCounter>,
        recount: &Recount,
        settle: &mut Settle<'_>,
    ) -> Result<End, store::Error> {
        store(&task.context, recount, settle).await
    }
}

pub(super) async fn count(context: &Context, key: CounterKey) -> JobResult<Recount> {
    let counters = context.store.counters();
    Ok(patiently(context, || counters.count(&key)).await?)
}

pub(super) async fn store(context: &Context, recount: &Recount, settle: &mut Settle<'_>) -> Result<End, store::Error> {
    context.store.counters().store_recount(settle, recount, &context.settings.pace()).await?;
    Ok(End::Completed)
}
