//! What follows a durable outcome: files go, and the delivery is settled.

use broker::{Delivery, Disposition};
use store::Outcome;
use tracing::{Instrument, Span};

use super::spans;
use crate::context::Context;

/// A delivery that may have to be let go before its work is done.
pub(super) struct Settlement {
    delivery: Option<Delivery>,
    /// Of the attempt that it led to.
    span: Span,
}

impl Settlement {
    pub(super) fn of(delivery: Delivery) -> Self {
        Self { delivery: Some(delivery), span: Span::none() }
    }

    /// The attempt that the delivery led to is exported as this.
    pub(super) fn traced(&mut self, span: Span) {
        self.span = span;
    }

    /// What is done there belongs to the attempt.
    pub(super) fn in_span<T>(&self, what: impl FnOnce() -> T) -> T {
        self.span.in_scope(what)
    }

    /// Settles the delivery, unless that has been done.
    pub(super) async fn settle(&mut self, disposition: Disposition) {
        let Some(delivery) = self.delivery.take() else { return };
        tracing::trace!(?disposition, "settling");
        let span = self.in_span(|| spans::settle(&delivery, &disposition));
        if let Err(cause) = delivery.settle(disposition).instrument(span).await {
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
