//! Finding out whether the worker whose name stands on a job is dead, when the broker delivers the job's message again.
//!
//! A worker that is killed loses its connection to the broker at once, long before its lease runs out. But so does one that
//! lives on when the network is cut or the broker restarts, and that one comes back. Taking its job would be safe, since
//! outcomes are fenced, but it would do the work twice and count a crash that never was.
//!
//! Without this, a lease that runs out would rescue the job: [`dead_holder`] saves half a minute and can be taken out.

use std::time::Duration;

use broker::Presence;
use messages::JobId;
use store::Rescue;
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

/// The right to take a job over from a holder that is gone, as far as can be told in a short time. In doubt it is not: the
/// lease decides then. What a dead holder has left open in the database, and may be in the way, is ended.
pub(super) async fn dead_holder(
    context: &Context,
    job: JobId,
    holder: &str,
    lease_until: OffsetDateTime,
    present: &Presence,
) -> Option<Rescue> {
    if !is_absent_for(RETURNS_WITHIN, present, holder).await {
        return None;
    }
    let settings = &context.settings;
    if context.consuming.borrow().since.elapsed() <= settings.broker_settles_within {
        // Perhaps everybody lost the broker. A living holder shows in the database, where it renews its lease.
        let due = lease_until - settings.lease + settings.renew_every() + SLACK;
        let now = context.store.now().await.ok()?;
        let left = Duration::try_from(due - now).unwrap_or_default();
        // A lease of another length than ours says nothing about when it was renewed.
        let left = left.min(settings.renew_every() + SLACK);
        if !is_absent_for(left, present, holder).await || has_renewed(context, job, lease_until).await {
            return None;
        }
    }
    tracing::info!(holder, "the worker that held the job is gone: taking over");
    match context.store.end_transactions_of(&application(holder)).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(holder, count, "ended what it had left open in the database"),
        Err(cause) => tracing::debug!(%cause, holder, "what it had left open in the database ends by itself"),
    }
    Some(Rescue::HolderGone { worker: holder.to_owned() })
}

async fn is_absent_for(time: Duration, present: &Presence, worker: &str) -> bool {
    let begin = Instant::now();
    loop {
        match present.is_present(worker).await {
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

async fn has_renewed(context: &Context, job: JobId, lease_until: OffsetDateTime) -> bool {
    match context.store.jobs().find(job).await {
        Ok(Some(job)) => job.lease_until.is_none_or(|until| until > lease_until),
        Ok(None) | Err(_) => true,
    }
}
