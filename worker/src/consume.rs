//! Taking deliveries, one task for each. The prefetch bounds how many there are at once.

use std::sync::Arc;
use std::time::Duration;

use broker::{Consumer, ConsumerStatus, QueueSpec};

use crate::context::{Consuming, Context};
use crate::{database, process};

/// How often the consumer's state is looked at, for readiness.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why no more deliveries are taken.
#[derive(PartialEq, Eq)]
enum Why {
    Stopping,
    NoDatabase,
}

/// Consumes until the worker stops, and then stays connected until every delivery is settled.
///
/// While the database is away nothing is consumed: messages that nobody can work on would only go round.
pub(crate) async fn consume(context: Arc<Context>, broker: broker::Config, queues: Vec<QueueSpec>) {
    let mut database = context.database.clone();
    while context.stop.soon.run_until_cancelled(database::is_up(&mut database)).await.is_some() {
        let mut consumer = Consumer::start(&broker, &context.worker, &queues, &context.publisher);
        let why = take(&context, &mut consumer).await;
        consumer.stop().await;
        note(&context, ConsumerStatus::Stopped);
        if why == Why::Stopping {
            context.deliveries.close();
            context.deliveries.wait().await;
        } else {
            tracing::warn!("consuming nothing until mongodb answers");
            let waiting = ConsumerStatus::Waiting { why: "mongodb does not answer".to_owned() };
            note(&context, waiting);
            // The connection stays, and with it the claims of what is still running.
            context.stop.soon.run_until_cancelled(database::is_up(&mut database)).await;
        }
        consumer.close().await;
    }
    context.deliveries.close();
    note(&context, ConsumerStatus::Stopped);
}

async fn take(context: &Arc<Context>, consumer: &mut Consumer) -> Why {
    let presence = consumer.presence();
    let mut database = context.database.clone();
    let patience = context.settings.database_patience;
    let mut no_database = Box::pin(database::is_down_for(&mut database, patience));
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = context.stop.soon.cancelled() => return Why::Stopping,
            () = &mut no_database => return Why::NoDatabase,
            _ = look.tick() => note(context, consumer.status()),
            delivery = consumer.recv() => {
                let Some(delivery) = delivery else { return Why::Stopping };
                let handled = process::handle(Arc::clone(context), presence.clone(), delivery);
                context.deliveries.spawn(context.stop.dead.clone().run_until_cancelled_owned(handled));
            }
        }
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
