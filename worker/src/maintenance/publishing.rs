//! Publishing what is durable, jobs and events, with a note in the database that it is published. A crash in between leaves
//! both to a relay, and a note that is lost costs a repetition.
//!
//! What outcomes bring about is published behind them: no delivery waits for the broker's confirm, and no job for its note.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use broker::PublisherStatus;
use crash_points::Point;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use messages::{Envelope, EventId, EventMessage, JobId};
use program::telemetry::TraceContext;
use store::{Due, Outcome};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::context::Context;
use crate::error::in_full;
use crate::retry::Waits;

/// Messages that wait for the broker's confirm at once.
pub(super) const CONCURRENCY: usize = 32;
/// How long a broker may refuse a message before the job is left to a relay's next turn.
const HICCUP: Duration = Duration::from_secs(3);
/// The relay waits for longer than that before it publishes what nobody has noted.
const COLLECTED_FOR: Duration = Duration::from_millis(200);
/// Notes that are waited for at once.
const BATCH: usize = 1000;
/// What may wait to be published at once. As much again would come while it does.
pub(crate) const WAITING: usize = 1024;

/// What an outcome has brought about.
enum Message {
    Job(Due),
    Event(EventMessage),
}

/// What waits to be published, and the span of the job that it is of, for the log.
pub(crate) struct Waiting {
    message: Message,
    of: Span,
    /// Of the attempt that brought it about.
    trace: Option<TraceContext>,
}

/// What is published, to be noted in the database.
pub(crate) enum Published {
    Job(JobId),
    Event(EventId),
}

/// Waits for the broker. `false`: it takes no messages at present. Taking jobs that cannot be published would only delay them.
pub(super) async fn is_possible(context: &Context) -> bool {
    context.publisher.connected().await;
    context.publisher.status() == PublisherStatus::Connected
}

pub(crate) async fn publish(context: &Context, jobs: Vec<Due>) {
    let published: Vec<JobId> = futures_util::stream::iter(jobs)
        .map(|job| async move { publish_one(context, job).await })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if let Err(cause) = context.store.jobs().mark_queued(&published).await {
        tracing::debug!(%cause, "published, which the database was not told");
    }
}

/// Publishes a job, and answers with it if its message is at the broker. If not, a relay tries again.
async fn publish_one(context: &Context, Due { id, job, trace }: Due) -> Option<JobId> {
    let envelope = Envelope::new(id, job, trace);
    // A job that was taken is nobody else's for a while, so a hiccup of the broker is better waited for here.
    let mut waits = Waits::until(HICCUP);
    while let Err(cause) = context.publisher.publish_anew(&envelope).await {
        if !waits.next().await {
            let request_id = envelope.request_id.as_deref();
            tracing::warn!(%cause, job.id = %id, request_id, "cannot publish the job now");
            return None;
        }
    }
    Some(id)
}

/// Publishes an event, and has noted that it is published.
pub(crate) async fn publish_event(context: &Context, message: EventMessage) {
    match context.publisher.publish_event(&message).await {
        Ok(()) => {
            crash_points::reach_with(Point::EventPublished, &[&message.event.kind()]);
            // Without a reader the worker has ended.
            let _ = context.published.send(Published::Event(message.id));
        }
        Err(cause) => tracing::debug!(%cause, event = message.event.kind(), "cannot publish the event now"),
    }
}

/// Has published what an outcome brought about, and waits for nobody. Without room it is left to a relay. `trace`: of the attempt.
pub(crate) fn publish_later(context: &Context, outcome: Outcome, trace: Option<&TraceContext>) {
    // All of kinds that this version knows: it has just made them.
    let jobs = outcome.follow_ups.into_iter().filter_map(|job| Some(Message::Job(job.try_into().ok()?)));
    for message in jobs.chain(outcome.events.into_iter().map(Message::Event)) {
        if context.outbox.try_send(Waiting { message, of: Span::current(), trace: trace.cloned() }).is_err() {
            tracing::debug!("too much waits to be published; left to a relay");
        }
    }
}

/// Publishes what outcomes bring about and notes what is published, until the worker ends, its deliveries have ended and all
/// that they left is published.
pub(crate) async fn run(context: Arc<Context>, outbox: Receiver<Waiting>, published: UnboundedReceiver<Published>) {
    let sent = CancellationToken::new();
    let sending = async {
        send(&context, outbox).await;
        sent.cancel();
    };
    tokio::join!(sending, note(&context, published, &sent));
}

async fn send(context: &Context, mut outbox: Receiver<Waiting>) {
    let mut ended = pin!(async {
        context.stop.now.cancelled().await;
        context.deliveries.wait().await;
    });
    let mut sending = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = sending.next() => {}
            waiting = outbox.recv(), if sending.len() < CONCURRENCY => match waiting {
                Some(Waiting { message, of, trace }) => sending.push(send_in(context, message, trace).instrument(of)),
                None => break,
            },
            () = &mut ended, if !outbox.is_closed() => outbox.close(),
        }
    }
    while sending.next().await.is_some() {}
}

async fn send_in(context: &Context, message: Message, trace: Option<TraceContext>) {
    let sending = send_one(context, message);
    match trace {
        Some(trace) => trace.around(sending).await,
        None => sending.await,
    }
}

async fn send_one(context: &Context, message: Message) {
    match message {
        Message::Job(due) => {
            if let Some(job) = publish_one(context, due).await {
                // Without a reader the worker has ended.
                let _ = context.published.send(Published::Job(job));
            }
        }
        Message::Event(message) => publish_event(context, message).await,
    }
}

/// Notes in the database what is published, much at a time, until everything is `sent`.
async fn note(context: &Context, mut published: UnboundedReceiver<Published>, sent: &CancellationToken) {
    let mut notes = Vec::new();
    loop {
        let first = sent.run_until_cancelled(published.recv_many(&mut notes, BATCH)).await;
        if first.is_some() {
            sent.run_until_cancelled(tokio::time::sleep(COLLECTED_FOR)).await;
        }
        while let Ok(another) = published.try_recv() {
            notes.push(another);
        }
        mark(context, &notes).await;
        if first.is_none() {
            return;
        }
        notes.clear();
    }
}

/// Notes that events are published, and has webhooks sent of them.
async fn note_events(context: &Context, events: &[EventId]) -> Result<(), store::Error> {
    let deliveries = context.store.webhooks().note_published(events).await?;
    for delivery in deliveries.into_iter().filter_map(|job| job.try_into().ok()) {
        if context.outbox.try_send(Waiting { message: Message::Job(delivery), of: Span::none(), trace: None }).is_err()
        {
            tracing::debug!("too much waits to be published; left to a relay");
        }
    }
    Ok(())
}

async fn mark(context: &Context, published: &[Published]) {
    let (mut jobs, mut events) = (Vec::new(), Vec::new());
    for published in published {
        match published {
            Published::Job(job) => jobs.push(*job),
            Published::Event(event) => events.push(*event),
        }
    }
    let mark_jobs = context.store.jobs();
    let (marked, noted) = tokio::join!(mark_jobs.mark_new_queued(&jobs), note_events(context, &events));
    match &noted {
        Ok(()) if !events.is_empty() => crash_points::reach(Point::EventMarked),
        _ => {}
    }
    for cause in [marked.err(), noted.err()].into_iter().flatten() {
        let (jobs, events) = (jobs.len(), events.len());
        tracing::debug!(cause = in_full(&cause), jobs, events, "published, which the database was not told");
    }
}
