//! One attempt at a job: the work, bounded in time, under a lease that is renewed as long as it runs. How far the work has
//! come is noted with the lease.

use std::sync::Arc;

use anyhow::anyhow;
use cloudinary::Resume;
use messages::DecodeError;
use store::{Claimed, DiscardCode, FailureCode, UploadPosition};
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::policy::{self, Verdict};
use super::wanted::Entry;
use crate::context::Context;
use crate::error::{JobError, JobResult, panic_text};
use crate::jobs::{self, Kind, Performed};

/// Performs a job until it ends, the lease is lost, the job is cancelled, or the worker must stop.
///
/// The work runs in a task of its own, so a panic in it ends this attempt and nothing else.
pub(super) async fn run(context: &Arc<Context>, claimed: &Claimed) -> Verdict {
    let Some(handler) = jobs::handler(&claimed.job.kind) else {
        let reason = DecodeError::unknown_kind(&claimed.job.kind).to_string();
        return Verdict::Discard { code: DiscardCode::Impossible, reason, replayable: true };
    };
    let (progress, position) = watch::channel(None);
    let work = handler.perform(Arc::clone(context), Arc::clone(&claimed.job), progress);
    let mut work = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
    let entry = context.wanted.enter(claimed.job.id, claimed.attempt);
    let mut keeper = LeaseKeeper { context, claimed, entry, position, noted: None };
    let limit = context.settings.attempt_limit;
    let stopped = tokio::select! {
        result = &mut work => return keeper.conclude(handler, result.unwrap_or_else(panicked)).await,
        () = keeper.keep() => Verdict::Overtaken,
        () = context.stop.now.cancelled() => Verdict::Stopped,
        () = tokio::time::sleep(limit) => Verdict::GoOn,
    };
    work.abort();
    match work.await {
        // It ended while we made up our mind: better than stopped, and the fence decides whether it counts.
        Ok(result) => keeper.conclude(handler, result).await,
        Err(_) if matches!(stopped, Verdict::GoOn) && !keeper.got_further() => {
            let late = anyhow!("the attempt did not end within {limit:?}");
            let late = JobError::retry(FailureCode::TooLong, late);
            keeper.conclude(handler, Err(late)).await
        }
        Err(_) => {
            if !matches!(stopped, Verdict::Overtaken) {
                keeper.note_last().await;
            }
            stopped
        }
    }
}

struct LeaseKeeper<'a> {
    context: &'a Context,
    claimed: &'a Claimed,
    entry: Entry<'a>,
    /// Where the work stands.
    position: watch::Receiver<Option<Resume>>,
    /// Where the job says that it stands.
    noted: Option<Resume>,
}

impl LeaseKeeper<'_> {
    /// Renews the lease and notes how far the work has come; returns when the lease is lost.
    async fn keep(&mut self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.context.settings.renew_every()) => {}
                Ok(()) = self.position.changed() => {}
                // The job may have been cancelled.
                () = self.entry.doubted() => {}
            }
            match self.renew().await {
                Ok(()) => {}
                Err(store::Error::Fenced) => return,
                // Even past its end the lease is ours until somebody takes it; what we record is fenced.
                Err(cause) => tracing::warn!(%cause, "cannot renew the lease now"),
            }
        }
    }

    async fn conclude(&mut self, handler: &dyn Kind, result: JobResult<Arc<dyn Performed>>) -> Verdict {
        match result {
            Ok(done) => Verdict::Done(done),
            Err(error) => {
                self.note_last().await;
                policy::on_error(error, &self.claimed.job, handler.retry(&self.context.settings))
            }
        }
    }

    async fn renew(&mut self) -> Result<(), store::Error> {
        let (store, lease) = (&self.context.store, self.context.settings.lease);
        let (id, attempt) = (self.claimed.job.id, self.claimed.attempt);
        let position = self.position.borrow_and_update().clone();
        match &position {
            Some(reached) if position != self.noted => {
                store.jobs().note_progress(id, attempt, lease, &to_store(reached)).await?;
                self.noted = position;
                Ok(())
            }
            _ => store.jobs().renew(id, attempt, lease).await,
        }
    }

    /// Notes what the work has reached since, before the attempt is recorded as ended. If that fails, a chunk is sent twice.
    async fn note_last(&mut self) {
        if *self.position.borrow() == self.noted {
            return;
        }
        if let Err(cause) = self.renew().await {
            tracing::warn!(%cause, "cannot note how far the upload has come");
        }
    }

    /// Whether this attempt has got beyond what any before it reached.
    fn got_further(&self) -> bool {
        let before = self.claimed.job.upload.as_ref().map_or(0, |upload| upload.furthest_bytes);
        self.position.borrow().as_ref().is_some_and(|reached| reached.acknowledged_bytes > before)
    }
}

fn to_store(reached: &Resume) -> UploadPosition {
    UploadPosition {
        upload_id: reached.upload_id.clone(),
        acknowledged_bytes: reached.acknowledged_bytes,
        chunk_size: reached.chunk_size,
        begun: reached.begun,
    }
}

fn panicked<T>(error: JoinError) -> JobResult<T> {
    let cause = match error.try_into_panic() {
        Ok(panic) => anyhow!("a defect in the worker: {}", panic_text(panic.as_ref())),
        Err(error) => anyhow!("the attempt was stopped: {error}"),
    };
    Err(JobError::retry(FailureCode::Defect, cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_says_what_happened() {
        let text = "a text made at run time".to_owned();
        for (work, said) in [
            (tokio::spawn(async { panic!("a text in the code") }), "a text in the code"),
            (tokio::spawn(async move { panic!("{text}") }), "a text made at run time"),
        ] {
            let work: tokio::task::JoinHandle<()> = work;
            let result = panicked::<()>(work.await.expect_err("a panic"));
            let Err(JobError::Retry { code: FailureCode::Defect, cause, after: None }) = result else {
                panic!("{result:?}")
            };
            assert_eq!(cause.to_string(), format!("a defect in the worker: {said}"));
        }
    }
}
