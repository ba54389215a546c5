//! What follows a durable outcome: the file goes, the delivery is settled, and others are told.

use broker::{Delivery, Disposition};
use messages::{EventId, EventMessage};

use super::record::Aftermath;
use crate::context::Context;
use crate::maintenance::relay;

/// A delivery that may have to be let go before its work is done.
pub(crate) struct Settlement {
    pub(super) delivery: Option<Delivery>,
}

impl Settlement {
    /// Settles the delivery, unless that has been done.
    pub(crate) async fn settle(&mut self, disposition: Disposition) {
        let Some(delivery) = self.delivery.take() else { return };
        tracing::trace!(?disposition, "settling");
        if let Err(cause) = delivery.settle(disposition).await {
            // The broker delivers it again; the claim tells that delivery what has become of the job.
            tracing::debug!(%cause, "the delivery could not be settled");
        }
    }
}

/// How a delivery ends, and what is left to do afterwards.
pub(super) struct Ending {
    pub disposition: Disposition,
    pub aftermath: Aftermath,
}

impl From<Disposition> for Ending {
    fn from(disposition: Disposition) -> Self {
        Self { disposition, aftermath: Aftermath::default() }
    }
}

/// Removes the file that nothing needs any more. Only when the outcome is durable.
pub(super) async fn unlink(context: &Context, aftermath: &Aftermath) {
    let Some(file) = aftermath.file else { return };
    if let Err(cause) = context.spool.remove(file).await {
        tracing::warn!(%cause, "the file stays until it is swept");
    }
}

/// What need not be durable or is so already: a crash in between costs an event, or leaves a job to the relay.
pub(super) async fn finish(context: &Context, aftermath: Aftermath) {
    for job in aftermath.follow_ups {
        relay::publish_record(&context.publisher, &context.store, &job).await;
    }
    let Some(event) = aftermath.event else { return };
    let message = EventMessage { id: EventId::new(), event };
    if let Err(cause) = context.publisher.publish_event(&message).await {
        tracing::debug!(%cause, event = message.event.kind(), "nobody is told of this event");
    }
}
