//! `jobs.act.v1`: retries, discards or cancels all jobs that match a filter, as an admin has decided.
//!
//! The work goes on in batches, and the action's document says how far it has come: the next attempt goes on there, and one that runs at
//! the same time is fenced at its next batch.

use messages::{ActOnJobs, JobId};
use store::{Batch, BulkAction, BulkState, Discard, End, Settle, Step};

use super::{Handler, Progress, Task};
use crate::context::Context;
use crate::error::JobResult;
use crate::retry::patiently;

pub(super) struct Act;

pub(super) enum Done {
    /// There is nothing more to do, and it ends so.
    Ends(Box<BulkAction>, BulkState),
    /// It had ended before.
    Over,
}

impl Handler for Act {
    type Payload = ActOnJobs;
    type Done = Done;

    const CONCURRENCY: u16 = 1;

    async fn perform(task: &Task<ActOnJobs>, _: Progress) -> JobResult<Done> {
        let (context, action) = (&task.context, task.payload.action);
        let bulk = context.store.bulk();
        loop {
            let mut batch = match patiently(context, || bulk.next(action)).await? {
                Step::Next(batch) => *batch,
                Step::End(action, state) => return Ok(Done::Ends(action, state)),
                Step::Over => return Ok(Done::Over),
            };
            let lost = lost(context, &batch).await;
            batch.without(lost);
            match bulk.act(context.store.operator(), batch).await {
                Ok(files) => {
                    for file in files {
                        if let Err(cause) = context.spool.remove(file).await {
                            tracing::warn!(%file, %cause, "cannot remove a file that nothing needs; the sweeper will");
                        }
                    }
                }
                // Another attempt was faster, or a job has changed since it was read.
                Err(store::Error::Fenced) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn record(task: &Task<ActOnJobs>, done: &Done, settle: &mut Settle<'_>) -> Result<End, store::Error> {
        if let Done::Ends(action, state) = done {
            task.context.store.bulk().end(settle, action, *state).await?;
        }
        Ok(End::Completed)
    }

    async fn discard(context: &Context, discard: &Discard, settle: &mut Settle<'_>) -> Result<End, store::Error> {
        context.store.bulk().discard_action(settle, discard).await
    }
}

/// Uploads whose files are gone from this worker's spool. What lies in another one only its workers can tell.
async fn lost(context: &Context, batch: &Batch) -> Vec<JobId> {
    let mut lost = Vec::new();
    for (job, spooled) in batch.files() {
        if spooled.spool != *context.spool.id() {
            continue;
        }
        if let Err(spool::Error::Missing { .. }) = context.spool.open_file(spooled.file).await {
            lost.push(job);
        }
    }
    lost
}
