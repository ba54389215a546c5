//! Finding out whether the worker whose name stands on a job is dead, when the broker delivers the job's message again.
//!
//! A worker that is killed loses its connection to the broker at once, long before its lease runs out. But so does one that
//! lives on when the network is cut or the broker restarts, and that one comes back. Taking its job would be safe, since
//! outcomes are fenced, but it would do the work twice and count a crash that never was.

use std::time::Duration;

use broker::Presence;
use messages::JobId;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::context::Context;
use crate::identity::application;

/// A worker that was cut off alone is back within this time: it tries after 100 to 200 ms.
const RETURNS_WITHIN: Duration = Duration::from_millis(450);
/// After a renewal was due: how late it may be.
const SLACK: Duration = Duration::from_millis(750);
const LOOK_EVERY: Duration = Duration::from_millis(75);
/// How long to ask a broker that does not say who is connected.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A claim takes milliseconds, unless somebody who is gone has the job locked.
const LONG_FOR_A_CLAIM: Duration = Duration::from_millis(200);

/// A search for the worker that holds a job.
pub(crate) struct Search<'a> {
    pub context: &'a Context,
    pub job: JobId,
    pub holder: &'a str,
    /// Until when it held the job when we asked.
    pub lease_until: OffsetDateTime,
}

impl Search<'_> {
    /// Whether the holder is gone, as far as can be told in a short time. In doubt it is not: the lease decides then.
    pub(crate) async fn finds_nobody(&self, holders: Option<&Presence>) -> bool {
        let Some(holders) = holders else { return false };
        if !self.is_absent_for(holders, RETURNS_WITHIN).await {
            return false;
        }
        if self.context.consuming.borrow().since.elapsed() > self.context.settings.broker_settles_within {
            return true;
        }
        // Perhaps everybody lost the broker. A living holder shows in the database, where it renews its lease.
        let due = self.lease_until - self.context.settings.lease + self.context.settings.renew_every() + SLACK;
        let left = Duration::try_from(due - OffsetDateTime::now_utc()).unwrap_or_default();
        self.is_absent_for(holders, left).await && !self.has_renewed().await
    }

    async fn is_absent_for(&self, holders: &Presence, time: Duration) -> bool {
        let begin = Instant::now();
        loop {
            match holders.is_present(self.holder).await {
                Ok(true) => return false,
                Ok(false) if begin.elapsed() >= time => return true,
                Ok(false) => {}
                Err(cause) if begin.elapsed() >= time + ANSWERS_WITHIN => {
                    tracing::debug!(%cause, "the broker does not say who is connected");
                    return false;
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn has_renewed(&self) -> bool {
        match self.context.store.jobs().find(self.job).await {
            Ok(Some(job)) => job.lease_until.is_none_or(|until| until > self.lease_until),
            Ok(None) | Err(_) => true,
        }
    }
}

/// Waits for a claim, and if that takes long ends what the dead holder had open in the database, which may be in its way.
pub(super) async fn unlocked<T>(context: &Context, holder: &str, claim: impl Future<Output = T>) -> T {
    let mut claim = std::pin::pin!(claim);
    if let Ok(answer) = tokio::time::timeout(LONG_FOR_A_CLAIM, &mut claim).await {
        return answer;
    }
    match context.store.end_transactions_of(&application(holder)).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(holder, count, "ended what it had left open in the database"),
        Err(cause) => tracing::debug!(%cause, holder, "what it had left open in the database ends by itself"),
    }
    claim.await
}
