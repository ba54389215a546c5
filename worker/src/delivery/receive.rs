//! Taking deliveries, one task for each. The prefetch bounds how many there are at once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use broker::{Consumer, ConsumerStatus, Delivery, Presence};
use futures_util::FutureExt;

use crate::context::{Consuming, Context};
use crate::jobs;
use crate::maintenance::database_gate;

/// How often the consumer's state is looked at, for readiness.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why no more deliveries are taken.
#[derive(PartialEq, Eq)]
enum Why {
    Stopping,
    NoDatabase,
    Defect,
}

/// Consumes until the worker stops, and then stays connected until every delivery is settled.
///
/// While the database is away nothing is consumed: messages that nobody can work on would only go round.
pub(crate) async fn run(context: Arc<Context>) {
    let queues = jobs::queues(&context.spool, &context.settings);
    while context.stop.soon.run_until_cancelled(may_consume(&context)).await.is_some() {
        let mut consumer = Consumer::start(&context.broker, &context.worker, &queues, &context.publisher);
        let why = take(&context, &mut consumer).await;
        consumer.stop().await;
        note_replaced(&context, &consumer);
        note(&context, ConsumerStatus::Stopped);
        match why {
            Why::Defect => break,
            Why::Stopping => {
                context.deliveries.close();
                context.deliveries.wait().await;
            }
            Why::NoDatabase => {
                tracing::warn!("consuming nothing until mongodb takes writes");
                note(
                    &context,
                    ConsumerStatus::Waiting { why: "mongodb takes no writes or does not answer".to_owned() },
                );
                // The connection stays, and with it this worker's presence: what runs is not taken over.
                context.stop.soon.run_until_cancelled(database_gate::is_up(&context.database)).await;
            }
        }
        consumer.close().await;
    }
    context.deliveries.close();
    note(&context, ConsumerStatus::Stopped);
}

/// Waits until the database takes writes, and what this worker is told is known.
async fn may_consume(context: &Context) {
    database_gate::is_up(&context.database).await;
    // Fails only without a sender.
    let _ = context.orders.subscribe().wait_for(Option::is_some).await;
}

/// Consumes what this worker is told to. Nothing is received before that: to connect takes longer.
fn obey(context: &Context, consumer: &Consumer) {
    let orders = context.orders.borrow().clone().unwrap_or_default();
    consumer.pause(jobs::paused(&context.spool, &orders));
}

async fn take(context: &Arc<Context>, consumer: &mut Consumer) -> Why {
    let presence = consumer.presence();
    let patience = context.settings.database_patience;
    let mut no_database = Box::pin(database_gate::is_down_for(&context.database, patience));
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut orders = context.orders.subscribe();
    obey(context, consumer);
    loop {
        tokio::select! {
            () = context.stop.soon.cancelled() => return Why::Stopping,
            () = context.stop.defect.cancelled() => return Why::Defect,
            () = &mut no_database => return Why::NoDatabase,
            _ = look.tick() => {
                note(context, consumer.status());
                note_replaced(context, consumer);
            }
            Ok(()) = orders.changed() => obey(context, consumer),
            delivery = consumer.recv() => {
                let Some(delivery) = delivery else { return Why::Stopping };
                context.deliveries.spawn(handle(Arc::clone(context), presence.clone(), delivery));
            }
        }
    }
}

async fn handle(context: Arc<Context>, presence: Presence, delivery: Delivery) {
    let work = Box::pin(super::handle(Arc::clone(&context), presence, delivery));
    let handled = AssertUnwindSafe(work).catch_unwind();
    if let Some(Err(_)) = context.stop.dead.run_until_cancelled(handled).await {
        // Jobs panic in tasks of their own, so this one did outside of any. Its delivery is neither settled nor free.
        context.stop.defect.cancel();
    }
}

fn note(context: &Context, status: ConsumerStatus) {
    context.consuming.send_if_modified(|current| {
        let changed = current.status != status;
        if changed {
            *current = Consuming::new(status);
        }
        changed
    });
}

fn note_replaced(context: &Context, consumer: &Consumer) {
    for queue in consumer.take_replaced() {
        context.replaced.note(queue);
    }
}
