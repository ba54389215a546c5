//! Ends of jobs as their handlers record them, for tests of what is written.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use messages::{AssetId, DeliverWebhook, EndpointId, EventId, EventMessage, FileId, Job, JobId, MediaReady, UserId};
use store::{
    CancelReason, Discard, DiscardCode, End, Error, Failed, Fence, JobRecord, JobState, Pace, Published, Record,
    Recount, Rescue, Retry, Role, Settle, Store, StoredMedia,
};

/// How a job ended, and what it was about.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub state: JobState,
    pub owner: Option<UserId>,
    pub role: Option<Role>,
    pub url: Option<String>,
    pub file: Option<FileId>,
    pub follow_ups: Vec<JobRecord>,
    pub events: Vec<EventMessage>,
}

enum Work {
    Upload { asset: AssetId, stored: StoredMedia },
    Superseded { asset: AssetId },
    Deletion { asset: AssetId },
    Recount { recount: Recount, pace: Pace },
    Delivery { endpoint: EndpointId, event: EventId, end: DeliveryEnd },
    Discard(Discard),
}

/// How a delivery of a webhook ends.
#[derive(Debug, Clone, Copy)]
pub enum DeliveryEnd {
    Delivered,
    /// So this address says.
    Gone(&'static str),
}

struct Performed {
    store: Store,
    work: Work,
}

impl Record for Performed {
    fn record<'a>(&'a self, settle: &'a mut Settle<'_>) -> BoxFuture<'a, Result<End, Error>> {
        async move {
            let media = self.store.media();
            match &self.work {
                Work::Upload { asset, stored } => match media.publish(settle, *asset, stored).await? {
                    Published::Ready { owner } => {
                        let (job, url) = (settle.job().id, stored.url.clone());
                        settle.announce(MediaReady { job, asset: *asset, owner, url }, Some(owner));
                        Ok(End::Completed)
                    }
                    Published::Deleted { .. } => Ok(End::Completed),
                    Published::Superseded => Ok(End::Cancelled(CancelReason::Superseded)),
                },
                Work::Superseded { asset } => {
                    media.mark_superseded(settle, *asset).await?;
                    Ok(End::Cancelled(CancelReason::Superseded))
                }
                Work::Deletion { asset } => {
                    media.mark_deleted(settle, *asset).await?;
                    Ok(End::Completed)
                }
                Work::Recount { recount, pace } => {
                    settle.keep_for(std::time::Duration::from_secs(60 * 60));
                    self.store.counters().store_recount(settle, recount, pace).await?;
                    Ok(End::Completed)
                }
                Work::Delivery { endpoint, event, end } => {
                    let (webhooks, endpoint, event) = (self.store.webhooks(), *endpoint, *event);
                    match end {
                        DeliveryEnd::Delivered => webhooks.delivered(settle, endpoint, event).await?,
                        DeliveryEnd::Gone(url) => webhooks.gone(settle, endpoint, event, url).await?,
                    }
                    Ok(End::Completed)
                }
                Work::Discard(discard) => {
                    let upload = settle.job().asset.filter(|_| settle.job().kind == "media.upload.v1");
                    if let Some(asset) = upload
                        && media.fail(settle, asset, discard).await? == Failed::Superseded
                    {
                        return Ok(End::Cancelled(CancelReason::Superseded));
                    }
                    Ok(End::Discarded(discard.clone()))
                }
            }
        }
        .boxed()
    }
}

/// A job as an attempt of its sees it.
async fn attempted(store: &Store, id: JobId, attempt: u32) -> Result<Arc<JobRecord>, Error> {
    let job = store.jobs().find(id).await?.ok_or(Error::NotFound { what: "job" })?;
    Ok(Arc::new(JobRecord { attempt, ..job }))
}

async fn settle(store: &Store, job: &Arc<JobRecord>, fence: Fence, work: Work) -> Result<Ended, Error> {
    let url = match &work {
        Work::Upload { stored, .. } => Some(stored.url.clone()),
        _ => None,
    };
    let outcome = store.jobs().settle(job, fence, Arc::new(Performed { store: store.clone(), work })).await?;
    let asset = match job.asset {
        Some(asset) => store.media().find(asset).await?,
        None => None,
    };
    Ok(Ended {
        state: outcome.state,
        owner: asset.as_ref().map(|asset| asset.owner),
        role: asset.map(|asset| asset.role),
        url: url.filter(|_| outcome.state == JobState::Completed),
        file: outcome.files.first().copied(),
        follow_ups: outcome.follow_ups,
        events: outcome.events,
    })
}

/// What handlers do with jobs.
pub trait Ends {
    async fn complete_upload(&self, id: JobId, n: u32, asset: AssetId, stored: StoredMedia) -> Result<Ended, Error>;
    async fn cancel_superseded(&self, id: JobId, n: u32, asset: AssetId) -> Result<Ended, Error>;
    async fn complete_delete(&self, id: JobId, n: u32, asset: AssetId) -> Result<Ended, Error>;
    async fn complete_recompute(&self, id: JobId, n: u32, recount: &Recount, pace: &Pace) -> Result<Ended, Error>;
    async fn end_delivery(&self, id: JobId, n: u32, end: DeliveryEnd) -> Result<Ended, Error>;
    async fn retry(&self, id: JobId, n: u32, retry: &Retry) -> Result<Ended, Error>;
    async fn discard(&self, id: JobId, n: u32, reason: &str, replayable: bool) -> Result<Ended, Error>;
    async fn discard_poisoned(&self, job: &JobRecord, rescue: &Rescue) -> Result<(JobRecord, Ended), Error>;
}

impl Ends for Store {
    async fn complete_upload(&self, id: JobId, n: u32, asset: AssetId, stored: StoredMedia) -> Result<Ended, Error> {
        let job = attempted(self, id, n).await?;
        settle(self, &job, Fence::Attempt(n), Work::Upload { asset, stored }).await
    }

    async fn cancel_superseded(&self, id: JobId, n: u32, asset: AssetId) -> Result<Ended, Error> {
        let job = attempted(self, id, n).await?;
        settle(self, &job, Fence::Attempt(n), Work::Superseded { asset }).await
    }

    async fn complete_delete(&self, id: JobId, n: u32, asset: AssetId) -> Result<Ended, Error> {
        let job = attempted(self, id, n).await?;
        settle(self, &job, Fence::Attempt(n), Work::Deletion { asset }).await
    }

    async fn complete_recompute(&self, id: JobId, n: u32, recount: &Recount, pace: &Pace) -> Result<Ended, Error> {
        let job = attempted(self, id, n).await?;
        let work = Work::Recount { recount: recount.clone(), pace: pace.clone() };
        settle(self, &job, Fence::Attempt(n), work).await
    }

    async fn end_delivery(&self, id: JobId, n: u32, end: DeliveryEnd) -> Result<Ended, Error> {
        let job = attempted(self, id, n).await?;
        let Ok(Job::DeliverWebhook(DeliverWebhook { endpoint, event })) = job.job() else { panic!("{job:?}") };
        settle(self, &job, Fence::Attempt(n), Work::Delivery { endpoint, event, end }).await
    }

    async fn retry(&self, id: JobId, n: u32, retry: &Retry) -> Result<Ended, Error> {
        let job = attempted(self, id, n).await?;
        if !self.jobs().retry(&job, retry).await? {
            return settle(self, &job, Fence::Attempt(n), Work::Discard(Discard::out_of_attempts(retry))).await;
        }
        let (state, follow_ups, events) = (JobState::Retryable, Vec::new(), Vec::new());
        Ok(Ended { state, owner: None, role: None, url: None, file: None, follow_ups, events })
    }

    async fn discard(&self, id: JobId, n: u32, reason: &str, replayable: bool) -> Result<Ended, Error> {
        let job = attempted(self, id, n).await?;
        settle(self, &job, Fence::Attempt(n), Work::Discard(Discard::new(DiscardCode::Refused, reason, replayable)))
            .await
    }

    async fn discard_poisoned(&self, job: &JobRecord, rescue: &Rescue) -> Result<(JobRecord, Ended), Error> {
        let fence = Fence::Abandoned { attempt: job.attempt, rescue: rescue.clone() };
        let ended = settle(self, &Arc::new(job.clone()), fence, Work::Discard(Discard::poisoned(job))).await?;
        Ok((self.jobs().find(job.id).await?.ok_or(Error::NotFound { what: "job" })?, ended))
    }
}
