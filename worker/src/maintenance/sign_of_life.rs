//! Tells that this worker lives and what it does, and learns what it is told: which queues and users are paused, and whether it is to
//! drain.
//!
//! Costs little: a look at a few names every two seconds, and one small update every five.

use std::sync::Arc;
use std::time::Duration;

use store::{Controlled, Orders, Sign, SlotsOf, SpoolFill};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::database_gate;
use crate::context::Context;
use crate::error::in_full;
use crate::{health, identity, jobs};

/// How soon it asks again that does not know yet what it is told.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a worker that ends tries to say so.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Signs until the worker ends, and then says that it has ended.
pub(crate) async fn run(context: Arc<Context>) {
    let now = context.stop.now.clone();
    now.run_until_cancelled(live(&context)).await;
    // What runs is about to be released.
    let _ = timeout(LAST_WORD, context.deliveries.wait()).await;
    let last_word = async {
        if context.is_drained() {
            // No other worker has the name.
            context.store.controls().lift(&Controlled::Worker(context.worker.clone())).await?;
        }
        context.store.workers().leave(&sign(&context).await).await
    };
    match timeout(LAST_WORD, last_word).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::debug!(cause = in_full(&cause), "cannot say now that this worker ends"),
        Err(_) => tracing::debug!("cannot say in time that this worker ends"),
    }
}

async fn live(context: &Context) {
    while context.orders.borrow().is_none() {
        database_gate::is_up(&context.database).await;
        if !learn(context).await {
            tokio::time::sleep(AGAIN).await;
        }
    }
    let mut look = interval(context.settings.learn_every);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Learned just now.
    look.tick().await;
    let mut signed: Option<Instant> = None;
    let mut orders = context.orders.subscribe();
    let mut is_ending = false;
    loop {
        let due = signed.map_or_else(Instant::now, |signed| signed + context.settings.sign_every);
        tokio::select! {
            _ = look.tick() => drop(learn(context).await),
            () = tokio::time::sleep_until(due) => {
                signed = Some(Instant::now());
                write(context).await;
            }
            // At once, so that whoever told it sees that it does so.
            Ok(()) = orders.changed() => signed = None,
            () = context.stop.soon.cancelled(), if !is_ending => (is_ending, signed) = (true, None),
        }
    }
}

/// Learns what this worker is told. Without an answer what it was told before holds. `false`: there was none.
async fn learn(context: &Context) -> bool {
    match context.store.controls().orders(&context.worker).await {
        Ok(orders) => {
            let is_news = context.orders.send_if_modified(|known| {
                let is_news = known.as_ref() != Some(&orders);
                *known = Some(orders);
                is_news
            });
            if is_news {
                tell(context);
            }
            true
        }
        Err(cause) => {
            tracing::debug!(cause = in_full(&cause), "cannot learn now what this worker is told");
            false
        }
    }
}

fn tell(context: &Context) {
    let Some(Orders { queues, users, drain }) = context.orders.borrow().clone() else { return };
    if drain || !queues.is_empty() || !users.is_empty() {
        tracing::info!(drain, ?queues, users = users.len(), "this worker is told what not to take");
    }
}

async fn write(context: &Context) {
    let sign = sign(context).await;
    if let Err(cause) = context.store.workers().sign(&sign).await {
        tracing::debug!(cause = in_full(&cause), "cannot tell now that this worker lives");
    }
}

async fn sign(context: &Context) -> Sign {
    let free = health::ask_spool(context).await.free;
    let fill = (*context.spool_use.borrow()).map(|areas| SpoolFill {
        files: areas.iter().map(|area| area.files).sum(),
        bytes: areas.iter().map(|area| area.bytes).sum(),
        free_bytes: free.map(|free| free.bytes),
    });
    let used = |kind: &str| context.slots.used().find(|(known, _)| *known == kind).map_or(0, |(_, used)| used);
    let slots = jobs::slots(&context.settings).map(|(handler, slots)| {
        let kind = handler.kind();
        SlotsOf { kind: kind.to_owned(), slots: slots.get().into(), used: used(kind) }
    });
    Sign {
        name: context.worker.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: identity::host(),
        spool: context.spool.id().to_string(),
        draining: context.is_drained() || context.stop.soon.is_cancelled(),
        slots: slots.collect(),
        running: context.runs.longest_first(),
        clock_offset_ms: context.store.clock_offset(),
        spool_fill: fill,
    }
}
