//! What follows a durable outcome: files go, the delivery is settled, and others are told.

use broker::{Delivery, Disposition};
use store::Outcome;

use crate::context::Context;
use crate::maintenance::publishing;

/// A delivery that may have to be let go before its work is done.
pub(super) struct Settlement {
    delivery: Option<Delivery>,
}

impl Settlement {
    pub(super) fn of(delivery: Delivery) -> Self {
        Self { delivery: Some(delivery) }
    }

    /// Settles the delivery, unless that has been done.
    pub(super) async fn settle(&mut self, disposition: Disposition) {
        let Some(delivery) = self.delivery.take() else { return };
        tracing::trace!(?disposition, "settling");
        if let Err(cause) = delivery.settle(disposition).await {
            // The broker delivers it again; the claim tells that delivery what has become of the job.
            tracing::debug!(%cause, "the delivery could not be settled");
        }
    }
}

/// Removes files that nothing needs any more. Only when the outcome is durable.
pub(super) async fn unlink(context: &Context, outcome: &Outcome) {
    for file in &outcome.files {
        if let Err(cause) = context.spool.remove(*file).await {
            tracing::warn!(%cause, "the file stays until it is swept");
        }
    }
}

/// Publishes what the outcome brought about. A crash in between leaves it to the relay.
pub(super) async fn publish(context: &Context, outcome: Outcome) {
    // All of kinds that this version knows: it has just made them.
    let follow_ups = outcome.follow_ups.into_iter().filter_map(|job| job.try_into().ok()).collect();
    publishing::publish(context, follow_ups).await;
    for message in outcome.events {
        publishing::publish_event(context, message).await;
    }
}
