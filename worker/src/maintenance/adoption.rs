//! Adopts a database of chai-backend: in the background, while everything is served, and once. An adoption that was broken off
//! goes on where it was.

use std::time::Duration;

use messages::UserId;
use store::{Adopting, Pace, Store};

use super::reconciler;

/// How often to ask whether another adopter has finished or vanished.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often to say that we are still at it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// Lines of the report that the log gets.
const LINES: u32 = 20;

/// Takes over what there is, unless that has been done; waits for another adopter to finish.
pub(crate) async fn adopt(store: &Store, name: &str, pace: &Pace) -> Result<(), store::Error> {
    loop {
        match store.adoption().begin(name).await? {
            Adopting::Done => return Ok(()),
            Adopting::Others => tokio::time::sleep(LOOK_EVERY).await,
            Adopting::Yours => break,
        }
    }
    tokio::select! {
        done = steps(store, pace) => done?,
        gone = keep(store, name) => return Err(gone),
    }
    store.adoption().finish().await
}

/// Keeps others from beginning the same.
async fn keep(store: &Store, name: &str) -> store::Error {
    loop {
        tokio::time::sleep(SIGN_OF_LIFE).await;
        if let Err(cause) = store.adoption().begin(name).await
            && !cause.is_transient()
        {
            return cause;
        }
    }
}

async fn steps(store: &Store, pace: &Pace) -> Result<(), store::Error> {
    // Or counting would walk over all subscriptions for every user. Whoever else is making them is waited for.
    store.ensure_indexes().await?;
    let aside = store.adoption().set_duplicates_aside().await?;
    if aside > 0 {
        tracing::warn!(aside, "subscriptions that were there twice are set aside, in subscriptions_set_aside");
    }
    let lowered = store.adoption().lower_case_names().await?;
    if lowered > 0 {
        tracing::info!(lowered, "usernames and email addresses are in lower case now");
    }
    store.adoption().report_what_stays().await?;
    let findings = store.adoption().findings(LINES).await?;
    for finding in &findings {
        tracing::warn!("adopting: {finding}");
    }
    if findings.len() >= LINES as usize {
        tracing::warn!("there is more: `worker adopt` prints the whole list");
    }
    count_all(store, pace).await
}

/// Counts everybody whom nobody has counted yet.
async fn count_all(store: &Store, pace: &Pace) -> Result<(), store::Error> {
    let total = store.users().estimated_count().await?;
    let (mut counted, mut after) = (0, None);
    loop {
        let users = store.adoption().count_next(after).await?;
        let Some(last) = users.last() else { break };
        (after, counted) = (Some(*last), counted + users.len());
        tracing::info!(counted, total, "counting adopted users");
    }
    // Those whose subscriptions changed at the time, one by one.
    let mut after: Option<UserId> = None;
    loop {
        let left = store.adoption().uncounted_users(after).await?;
        let Some(last) = left.last() else { return Ok(()) };
        after = Some(*last);
        reconciler::compare(store, left.into_iter().map(store::subscribers).collect(), pace).await?;
    }
}
