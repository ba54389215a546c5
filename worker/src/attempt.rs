//! One attempt at a job: the work, bounded in time, under a lease that is renewed as long as it runs.

use std::any::Any;
use std::sync::Arc;

use anyhow::anyhow;
use store::Claimed;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::context::Context;
use crate::error::{JobResult, OrElse};
use crate::jobs::{self, Done};

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    Result(JobResult<Done>),
    /// Another attempt holds the job now. The work was stopped.
    Fenced,
    /// The worker shuts down. The work was stopped.
    Stopped,
}

/// Performs a job until it ends, the lease is lost, or the worker must stop.
///
/// The work runs in a task of its own, so a panic in it ends this attempt and nothing else.
pub(crate) async fn run(context: &Arc<Context>, claimed: &Claimed) -> Ended {
    let mut work = AbortOnDropHandle::new(tokio::spawn({
        let (context, record) = (Arc::clone(context), claimed.job.clone());
        let limit = context.settings.attempt_limit;
        async move {
            let performed = tokio::time::timeout(limit, jobs::perform(&context, &record)).await;
            performed.map_err(|_| anyhow!("the attempt did not end within {limit:?}")).or_retry()?
        }
        .in_current_span()
    }));
    let ended = tokio::select! {
        result = &mut work => return Ended::Result(result.unwrap_or_else(panicked)),
        () = hold_lease(context, claimed) => Ended::Fenced,
        () = context.stop.now.cancelled() => Ended::Stopped,
    };
    work.abort();
    match work.await {
        // It ended while we made up our mind: better than stopped, and the fence decides whether it counts.
        Ok(result) => Ended::Result(result),
        Err(_) => ended,
    }
}

/// Renews the lease; returns when it is lost.
async fn hold_lease(context: &Context, claimed: &Claimed) {
    let lease = context.settings.lease;
    loop {
        tokio::time::sleep(context.settings.renew_every()).await;
        match context.store.renew(claimed.job.id, claimed.attempt, lease).await {
            Ok(()) => {}
            Err(store::Error::Fenced) => return,
            // Even past its end the lease is ours until somebody takes it; what we record is fenced.
            Err(cause) => tracing::warn!(%cause, "cannot renew the lease now"),
        }
    }
}

fn panicked(error: JoinError) -> JobResult<Done> {
    let cause = match error.try_into_panic() {
        Ok(panic) => anyhow!("a defect in the worker: {}", message(panic.as_ref())),
        Err(error) => anyhow!("the attempt was stopped: {error}"),
    };
    Err(cause).or_retry()
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::JobError;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_says_what_happened() {
        let text = "a text made at run time".to_owned();
        for (work, said) in [
            (tokio::spawn(async { panic!("a text in the code") }), "a text in the code"),
            (tokio::spawn(async move { panic!("{text}") }), "a text made at run time"),
        ] {
            let work: tokio::task::JoinHandle<()> = work;
            let result = panicked(work.await.expect_err("a panic"));
            let Err(JobError::Retry { cause, after: None }) = result else { panic!("{result:?}") };
            assert_eq!(cause.to_string(), format!("a defect in the worker: {said}"));
        }
    }
}
