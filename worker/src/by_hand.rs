//! What the program does when it is not to work: `worker reconcile` and `worker adopt`.

use store::{Finding, Pace, Store};

use crate::error::Error;
use crate::reconciler::{self, Reconciled};
use crate::{adoption, worker};

/// Findings that are printed. Whoever has more of them needs a query.
const FINDINGS: u32 = 1_000_000;

/// Compares the stored counts of a channel, or of everybody, with a recount, and mends what differs.
///
/// # Errors
///
/// [`Error::Store`], also when there is no such channel. What was mended stays so.
pub async fn reconcile(store: &store::Config, channel: Option<&str>) -> Result<Reconciled, Error> {
    let store = worker::connect(store).await?;
    let reconciled = compare(&store, channel).await;
    store.close().await;
    reconciled
}

async fn compare(store: &Store, channel: Option<&str>) -> Result<Reconciled, Error> {
    let pace = Pace::default();
    let Some(name) = channel else { return Ok(reconciler::everybody(store, &pace).await?) };
    let channel = store.find_by_username(name).await?.ok_or(store::Error::NotFound { what: "channel" })?;
    Ok(reconciler::compare(store, vec![channel], &pace).await?)
}

/// Takes over the subscriptions of an adopted database once more, whatever was done before, and answers with everything that could
/// not be taken over as it was.
///
/// # Errors
///
/// [`Error::Store`]. What was taken over stays so; the next call goes on.
pub async fn adopt(store: &store::Config) -> Result<Vec<Finding>, Error> {
    let store = worker::connect(store).await?;
    let findings = take_over(&store).await;
    store.close().await;
    findings
}

async fn take_over(store: &Store) -> Result<Vec<Finding>, Error> {
    store.repeat_adoption().await?;
    adoption::adopt(store, &worker::name(), &Pace::default()).await?;
    Ok(store.adoption_findings(FINDINGS).await?)
}
