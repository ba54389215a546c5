//! What each kind of job does. Adding a kind: a file here with its [`Handler`], and its line in [`HANDLERS`].

mod act_on_jobs;
mod delete_media;
mod deliver_webhook;
mod handler;
mod recompute_channel;
mod recount_counter;
mod upload_media;

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use broker::QueueSpec;
use spool::Spool;
use store::Orders;

use crate::Settings;

pub(crate) use handler::{Discarded, Handler, Kind, Performed, Progress, Task};

/// One line a kind.
const HANDLERS: &[&dyn Kind] = &[
    &upload_media::Upload,
    &delete_media::Delete,
    &recompute_channel::Recompute,
    &recount_counter::RecountAny,
    &deliver_webhook::Deliver,
    &act_on_jobs::Act,
];

/// The handler of a kind, unless a newer version made it.
pub(crate) fn handler(kind: &str) -> Option<&'static dyn Kind> {
    HANDLERS.iter().copied().find(|handler| handler.kind() == kind)
}

/// The names by which settings know the kinds.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    HANDLERS.iter().map(|handler| handler.queue().name)
}

/// How many jobs of each kind a worker runs at once.
pub(crate) fn slots(settings: &Settings) -> impl Iterator<Item = (&'static dyn Kind, NonZeroU16)> {
    let told = settings.told_concurrency();
    HANDLERS.iter().copied().map(move |handler| {
        let usual = || NonZeroU16::new(handler.concurrency()).unwrap_or(NonZeroU16::MIN);
        (handler, told.get(handler.queue().name).copied().unwrap_or_else(usual))
    })
}

/// The queues from which a worker takes jobs, and how many of each at once.
pub(crate) fn queues(spool: &Spool, settings: &Settings) -> Vec<QueueSpec> {
    let queue = |(handler, prefetch): (&'static dyn Kind, NonZeroU16)| QueueSpec {
        name: handler.queue().of(spool.id()),
        prefetch,
    };
    slots(settings).map(queue).collect()
}

/// Those queues from which it is told to take nothing.
pub(crate) fn paused(spool: &Spool, orders: &Orders) -> BTreeSet<String> {
    let is_paused = |handler: &&dyn Kind| orders.drain || orders.queues.contains(handler.queue().name);
    HANDLERS.iter().copied().filter(is_paused).map(|handler| handler.queue().of(spool.id())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_handler() {
        let handled: Vec<&str> = HANDLERS.iter().map(|handler| handler.kind()).collect();
        assert_eq!(handled, messages::Job::KINDS);
    }
}
