//! The trait of a kind's handler, and how a delivery calls one without knowing its kind.

use std::sync::Arc;
use std::time::Duration;

use cloudinary::Resume;
use futures_util::future::{BoxFuture, FutureExt};
use messages::{Payload, Queue};
use store::{Discard, DiscardCode, End, JobRecord, Outcome, Record, Settle};
use tokio::sync::watch;

use crate::context::Context;
use crate::error::{JobError, JobResult};
use crate::{RetryPolicy, Settings};

/// Tells how far an upload has come.
pub(crate) type Progress = watch::Sender<Option<Resume>>;

/// A job of a kind that this worker holds.
pub(crate) struct Task<P> {
    pub context: Arc<Context>,
    pub job: Arc<JobRecord>,
    pub payload: P,
}

/// What a worker does for the jobs of one kind.
///
/// An attempt may run twice, and both at once: `perform` must be harmless when it was done before. `record` is called by the
/// attempt that holds the job alone, and is the only place that knows what the outcome means.
pub(crate) trait Handler: Send + Sync + 'static {
    type Payload: Payload;
    /// What was done outside of the database, to be recorded in it.
    type Done: Send + Sync + 'static;

    /// How many run at once in a worker that is not told otherwise; also the prefetch of the queue.
    const CONCURRENCY: u16 = 4;
    /// Whether what `record` writes is little, so that it may share a transaction with others.
    const SHARES: bool = true;
    /// How long a job is kept once it is completed or cancelled.
    const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    fn retry(settings: &Settings) -> &RetryPolicy {
        &settings.retry
    }

    /// Does the work outside of the database.
    fn perform(task: &Task<Self::Payload>, progress: Progress) -> impl Future<Output = JobResult<Self::Done>> + Send;

    /// Writes what the work means, in the transaction that ends the job. May run several times; the last time counts.
    fn record(
        task: &Task<Self::Payload>,
        done: &Self::Done,
        settle: &mut Settle<'_>,
    ) -> impl Future<Output = Result<End, store::Error>> + Send;

    /// Writes what it means that a job is discarded, in the same way. The payload may be what is wrong with it.
    fn discard(
        _context: &Context,
        discard: &Discard,
        _settle: &mut Settle<'_>,
    ) -> impl Future<Output = Result<End, store::Error>> + Send {
        std::future::ready(Ok(End::Discarded(discard.clone())))
    }

    /// Cleans up after an attempt whose outcome does not count, because another one holds the job or has ended it. `done`: what it
    /// has done, unless it was stopped. Or the outcome is its own, and the answer of the commit was lost.
    fn overtaken(task: &Task<Self::Payload>, _done: Option<&Self::Done>) -> impl Future<Output = Outcome> + Send {
        std::future::ready(Outcome::of(task.job.state))
    }
}

/// A handler of any kind.
pub(crate) trait Kind: Send + Sync {
    fn kind(&self) -> &'static str;
    fn queue(&self) -> Queue;
    fn concurrency(&self) -> u16;
    fn retry<'a>(&self, settings: &'a Settings) -> &'a RetryPolicy;
    fn perform(
        &self,
        context: Arc<Context>,
        job: Arc<JobRecord>,
        progress: Progress,
    ) -> BoxFuture<'static, JobResult<Arc<dyn Performed>>>;
    fn discard<'a>(
        &self,
        context: &'a Context,
        discard: &'a Discard,
        settle: &'a mut Settle<'_>,
    ) -> BoxFuture<'a, Result<End, store::Error>>;
    /// See [`Handler::overtaken`], of an attempt that was stopped.
    fn stopped(&self, context: Arc<Context>, job: Arc<JobRecord>) -> BoxFuture<'static, Outcome>;
}

/// Work that is done and has to be recorded.
pub(crate) trait Performed: Record {
    fn overtaken(&self) -> BoxFuture<'_, Outcome>;
}

struct Work<H: Handler> {
    task: Task<H::Payload>,
    done: H::Done,
}

impl<H: Handler> Record for Work<H> {
    fn record<'a>(&'a self, settle: &'a mut Settle<'_>) -> BoxFuture<'a, Result<End, store::Error>> {
        settle.keep_for(H::KEPT);
        H::record(&self.task, &self.done, settle).boxed()
    }

    fn shares(&self) -> bool {
        H::SHARES
    }
}

impl<H: Handler> Performed for Work<H> {
    fn overtaken(&self) -> BoxFuture<'_, Outcome> {
        H::overtaken(&self.task, Some(&self.done)).boxed()
    }
}

/// The document counts, not the message: a message is only the news that there is something to do.
fn task<P: Payload>(context: Arc<Context>, job: Arc<JobRecord>) -> JobResult<Task<P>> {
    match P::from_data(job.data.clone()) {
        Ok(payload) => Ok(Task { context, job, payload }),
        // What was not foreseen is for a person to judge.
        Err(cause) => {
            Err(JobError::Discard { code: DiscardCode::Impossible, reason: cause.to_string(), replayable: true })
        }
    }
}

impl<H: Handler> Kind for H {
    fn kind(&self) -> &'static str {
        H::Payload::KIND
    }

    fn queue(&self) -> Queue {
        H::Payload::QUEUE
    }

    fn concurrency(&self) -> u16 {
        H::CONCURRENCY
    }

    fn retry<'a>(&self, settings: &'a Settings) -> &'a RetryPolicy {
        H::retry(settings)
    }

    fn perform(
        &self,
        context: Arc<Context>,
        job: Arc<JobRecord>,
        progress: Progress,
    ) -> BoxFuture<'static, JobResult<Arc<dyn Performed>>> {
        async move {
            let task = task(context, job)?;
            let done = H::perform(&task, progress).await?;
            Ok(Arc::new(Work::<H> { task, done }) as Arc<dyn Performed>)
        }
        .boxed()
    }

    fn discard<'a>(
        &self,
        context: &'a Context,
        discard: &'a Discard,
        settle: &'a mut Settle<'_>,
    ) -> BoxFuture<'a, Result<End, store::Error>> {
        H::discard(context, discard, settle).boxed()
    }

    fn stopped(&self, context: Arc<Context>, job: Arc<JobRecord>) -> BoxFuture<'static, Outcome> {
        async move {
            let state = job.state;
            match task(context, job) {
                Ok(task) => H::overtaken(&task, None).await,
                Err(_) => Outcome::of(state),
            }
        }
        .boxed()
    }
}

/// A discarded job. Its handler knows what that means; of a kind that a newer version made nobody does.
pub(crate) struct Discarded {
    pub context: Arc<Context>,
    pub discard: Discard,
}

impl Record for Discarded {
    fn record<'a>(&'a self, settle: &'a mut Settle<'_>) -> BoxFuture<'a, Result<End, store::Error>> {
        match super::handler(&settle.job().kind) {
            Some(handler) => handler.discard(&self.context, &self.discard, settle),
            None => std::future::ready(Ok(End::Discarded(self.discard.clone()))).boxed(),
        }
    }
}
