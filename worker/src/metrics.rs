//! `/metrics`: what was counted and measured, and how this worker is.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use meters::{Program, Scrape};
use spool::Area;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::health::{self, Starting};
use crate::jobs;

/// Begins to record: from here on somebody may ask.
pub(crate) fn record() {
    meters::record(Program::Worker);
}

/// Keeps what is recorded small, until the worker ends.
pub(crate) async fn upkeep(stop: CancellationToken) {
    stop.run_until_cancelled(meters::upkeep()).await;
}

pub(crate) async fn metrics(State(context): State<Starting>) -> impl IntoResponse {
    let scrape = Scrape::default();
    scrape.flag(&meters::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], true);
    match context.get() {
        Some(context) => set(context, &scrape).await,
        None => scrape.flag(&meters::READY, &[], false),
    }
    ([(header::CONTENT_TYPE, meters::CONTENT_TYPE)], scrape.text())
}

async fn set(context: &Context, scrape: &Scrape) {
    let (store, broker) = &context.gauges;
    let (spool, (), ()) = tokio::join!(
        health::ask_spool(context),
        store.set(&context.store, scrape),
        broker.set(&context.publisher, scrape),
    );
    if let Some(free) = spool.free {
        scrape.count(&meters::SPOOL_FREE_BYTES, &[], free.bytes);
        if let Some(inodes) = free.inodes {
            scrape.count(&meters::SPOOL_FREE_INODES, &[], inodes);
        }
    }
    scrape.flag(&meters::READY, &[], health::readiness(context, spool.state).ready);
    scrape.flag(&meters::DRAINING, &[], context.stop.soon.is_cancelled() || context.is_drained());
    for (kind, slots) in jobs::slots(&context.settings) {
        scrape.count(&meters::WORKER_SLOTS, &[kind.kind()], slots.get().into());
    }
    for (kind, used) in context.slots.used() {
        scrape.count(&meters::WORKER_SLOTS_USED, &[kind], used.into());
    }
    if let Some(used) = *context.spool_use.borrow() {
        for (area, used) in Area::ALL.into_iter().zip(used) {
            scrape.count(&meters::SPOOL_FILES, &[area.as_str()], used.files);
            scrape.count(&meters::SPOOL_BYTES, &[area.as_str()], used.bytes);
        }
    }
    if let Some(remaining) = context.media.rate_limit_remaining() {
        scrape.count(&meters::MEDIA_HOST_RATE_LIMIT, &[], remaining);
    }
}
