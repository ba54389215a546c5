//! What a test does with a job itself, as another worker would: it claims the job and ends it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use messages::JobId;
use store::{
    Claim, ClaimRequest, Discard, DiscardCode, End, Error, Fence, Outcome, Record, Rescue, Settle, Store, StoredMedia,
};

struct Upload {
    store: Store,
    stored: Result<StoredMedia, Discard>,
}

impl Record for Upload {
    fn record<'a>(&'a self, settle: &'a mut Settle<'_>) -> BoxFuture<'a, Result<End, Error>> {
        async move {
            let asset = settle.job().asset.ok_or(Error::NotFound { what: "asset" })?;
            match &self.stored {
                Ok(stored) => {
                    self.store.media().publish(settle, asset, stored).await?;
                    Ok(End::Completed)
                }
                Err(discard) => {
                    self.store.media().fail(settle, asset, discard).await?;
                    Ok(End::Discarded(discard.clone()))
                }
            }
        }
        .boxed()
    }
}

/// Claims a job in the name of a worker in which nothing else runs.
pub async fn claim(store: &Store, job: JobId, worker: &str, lease: Duration, rescue: &Rescue) -> Claim {
    let request = ClaimRequest { worker, lease, rescue, max_crashes: 3, exclusive: true };
    store.jobs().claim(job, &request).await.expect("an answer")
}

/// Completes an upload that an attempt holds.
///
/// # Errors
///
/// As the store's.
pub async fn complete_upload(store: &Store, id: JobId, attempt: u32, stored: StoredMedia) -> Result<Outcome, Error> {
    end(store, id, attempt, Ok(stored)).await
}

/// Discards an upload that an attempt holds, so that it can be redriven.
///
/// # Errors
///
/// As the store's.
pub async fn discard_upload(store: &Store, id: JobId, attempt: u32, reason: &str) -> Result<Outcome, Error> {
    end(store, id, attempt, Err(Discard::new(DiscardCode::Refused, reason, true))).await
}

async fn end(store: &Store, id: JobId, attempt: u32, stored: Result<StoredMedia, Discard>) -> Result<Outcome, Error> {
    let job = store.jobs().find(id).await?.ok_or(Error::NotFound { what: "job" })?;
    let upload = Upload { store: store.clone(), stored };
    store.jobs().settle(&Arc::new(job), Fence::Attempt(attempt), Arc::new(upload)).await
}
