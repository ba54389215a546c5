//! One connection, kept up for ever.
//!
//! A connection that fails is dropped, and a new one is made. lapin could recover it, but then the meaning of a
//! channel, a consumer or an acknowledgement would depend on when it was made. Here they end with their connection.

pub(crate) mod presence;
pub(crate) mod socket;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{Stream, StreamExt};
use lapin::Event;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connection::socket::{Connected, connect};
use crate::{Config, Error};

/// After a connection that lasted this long the delays begin anew. A broker that closes at once is asked ever more
/// seldom.
const GOOD: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is checked, in case no event tells of its end.
const LOOK: Duration = Duration::from_millis(500);

/// The state of the connection.
#[derive(Clone)]
pub(crate) enum Link {
    Up(Arc<Connected>),
    /// And why.
    Down(String),
    Closed,
}

impl Link {
    /// The connection, or why there is none.
    pub(crate) fn connection(&self) -> Result<Arc<Connected>, String> {
        match self {
            Self::Up(connection) if connection.amqp.status().connected() => Ok(Arc::clone(connection)),
            Self::Up(_) => Err("the connection was just lost".to_owned()),
            Self::Down(why) => Err(why.clone()),
            Self::Closed => Err("closed".to_owned()),
        }
    }
}

/// Delays between attempts: from 100 ms to 3 s, half of it random, so that not all clients meet a restarted broker at
/// once. The first is short, because a worker's jobs wait until it is back; and the last ones are no longer, because a worker
/// that has died with the broker is found out only by those that are back.
pub(crate) fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_millis(1500))
        .with_jitter()
        .without_max_times()
        .build()
}

pub(crate) fn next(delays: &mut ExponentialBackoff) -> Duration {
    delays.next().unwrap_or(Duration::from_secs(3))
}

/// Keeps a connection up until `stop`.
pub(crate) fn keep_up(config: Config, role: &'static str, stop: CancellationToken) -> watch::Receiver<Link> {
    let (link, watched) = watch::channel(Link::Down("not connected yet".to_owned()));
    tokio::spawn(async move {
        let told = stop.clone();
        told.run_until_cancelled(supervise(&config, role, &link)).await;
        if let Link::Up(connection) = link.send_replace(Link::Closed) {
            close(&connection).await;
        }
    });
    watched
}

async fn supervise(config: &Config, role: &'static str, link: &watch::Sender<Link>) {
    let mut delays = delays();
    let mut is_first = true;
    loop {
        let why = match connect(config, role).await {
            Ok(connection) => {
                if !std::mem::take(&mut is_first) {
                    meters::BROKER_RECONNECTS.add(&[], 1);
                }
                tracing::info!(broker = ?config.address, connection = role, "connected to the broker");
                let since = Instant::now();
                let events = connection.amqp.events_listener();
                let connection = Arc::new(connection);
                link.send_replace(Link::Up(Arc::clone(&connection)));
                let why = lost(&connection, events, role).await;
                if since.elapsed() > GOOD {
                    delays = self::delays();
                }
                tracing::warn!(broker = ?config.address, connection = role, why, "lost the broker");
                why
            }
            Err(Error::Unavailable(why)) => {
                tracing::warn!(broker = ?config.address, connection = role, why, "no broker");
                why
            }
            Err(error) => {
                tracing::error!(broker = ?config.address, connection = role, %error, "the broker cannot be used");
                error.to_string()
            }
        };
        link.send_replace(Link::Down(why));
        let delay = next(&mut delays);
        tracing::info!(connection = role, delay_ms = delay.as_millis(), "waiting for the broker");
        tokio::time::sleep(delay).await;
    }
}

/// Waits for the connection's end and returns the reason.
async fn lost(connection: &Connected, events: impl Stream<Item = Event>, role: &str) -> String {
    let mut events = std::pin::pin!(events);
    let mut why = "the connection ended".to_owned();
    loop {
        match tokio::time::timeout(LOOK, events.next()).await {
            Ok(Some(Event::Error(error))) => why = error.to_string(),
            Ok(Some(Event::ConnectionBlocked(reason))) => {
                tracing::warn!(connection = role, reason, "the broker raised an alarm and takes no messages");
            }
            Ok(Some(Event::ConnectionUnblocked)) => {
                tracing::info!(connection = role, "the broker takes messages again");
            }
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => tokio::time::sleep(LOOK).await,
        }
        if !connection.amqp.status().connected() {
            return why;
        }
    }
}

/// Closes in good order if the broker answers.
pub(crate) async fn close(connection: &Connected) {
    let closing = connection.amqp.close(200, "goodbye".into());
    if let Ok(Err(error)) = tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
        tracing::debug!(%error, "the connection was already gone");
    }
}
