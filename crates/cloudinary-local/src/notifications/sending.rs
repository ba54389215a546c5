//! Sends what was signed, and again if it was not taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use cloudinary::notification::{SIGNATURE, TIMESTAMP};
use cloudinary::signature::{self, Algorithm};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};
use url::Url;

use crate::config::Account;
use crate::state::State;
use crate::upload::reach;

/// How often one is sent that nobody takes: as at Cloudinary, whose pauses are 3, 6 and 9 minutes.
const TRIES: u32 = 4;
/// How long a receiver may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Notifications that are sent at a time.
const AT_ONCE: usize = 16;
/// Notifications that wait. More are lost, as they may be.
const WAITING: u64 = 10_000;

/// Notifications since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct NotificationCount {
    /// That somebody took.
    pub delivered: u64,
    /// That nobody took, however often they were sent.
    pub lost: u64,
    /// That are still to be taken.
    pub waiting: u64,
}

/// Sends in the background. Clones share the counts.
#[derive(Debug, Clone)]
pub(crate) struct Sender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Semaphore,
    /// Made at the first use: everything else shall work without root certificates. One goes anywhere, the other stays out of this
    /// machine and its networks.
    anywhere: OnceCell<Client>,
    outside: OnceCell<Client>,
    delivered: AtomicU64,
    lost: AtomicU64,
    waiting: AtomicU64,
}

impl Default for Sender {
    fn default() -> Self {
        Self(Arc::new(Inner {
            slots: Semaphore::new(AT_ONCE),
            anywhere: OnceCell::new(),
            outside: OnceCell::new(),
            delivered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }))
    }
}

impl Sender {
    pub(crate) fn count(&self) -> NotificationCount {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        NotificationCount {
            delivered: read(&self.0.delivered),
            lost: read(&self.0.lost),
            waiting: read(&self.0.waiting),
        }
    }

    /// Returns at once. When the server stops, what was not taken is lost.
    pub(super) fn send(&self, state: &Arc<State>, account: &Account, target: Url, body: Bytes) {
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.0.waiting.fetch_sub(1, Ordering::Relaxed);
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%target, "too many notifications wait; this one is lost");
            return;
        }
        let (sender, state, account) = (self.clone(), state.clone(), account.clone());
        tokio::spawn(async move {
            let delivering = sender.deliver(&state, &account, &target, &body);
            let delivered = state.stopping.run_until_cancelled(delivering).await.unwrap_or(false);
            let ended = if delivered { &sender.0.delivered } else { &sender.0.lost };
            ended.fetch_add(1, Ordering::Relaxed);
            sender.0.waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Whether somebody took it.
    async fn deliver(&self, state: &State, account: &Account, target: &Url, body: &Bytes) -> bool {
        for failed in 0..TRIES {
            tokio::time::sleep(state.config.notification_retry * failed).await;
            match self.post(state, account, target, body).await {
                Ok(status) if status.is_success() => return true,
                Ok(status) => tracing::info!(%target, status = status.as_u16(), "a notification was not taken"),
                Err(error) => {
                    tracing::info!(%target, error = reach::reason(error), "a notification did not arrive");
                }
            }
        }
        false
    }

    /// It is not documented whether a repetition is signed anew. Ours is.
    async fn post(
        &self,
        state: &State,
        account: &Account,
        target: &Url,
        body: &Bytes,
    ) -> reqwest::Result<reqwest::StatusCode> {
        // Never closed.
        let _slot = self.0.slots.acquire().await.ok();
        let is_known = state.config.fetch_private || state.notifications.always().contains(target);
        let (client, anywhere) = if is_known { (&self.0.anywhere, true) } else { (&self.0.outside, false) };
        let client = client.get_or_try_init(|| async move { reach::sender(anywhere, WITHIN) }).await?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let timestamp = seconds.to_string();
        let algorithm = if state.config.require_sha256 { Algorithm::Sha256 } else { Algorithm::Sha1 };
        let text = [body.as_ref(), timestamp.as_bytes()].concat();
        let signature = signature::hash(&text, account.secret(), algorithm);
        let request = client.post(target.clone()).header(CONTENT_TYPE, "application/json");
        let request = request.header(TIMESTAMP, timestamp).header(SIGNATURE, signature).body(body.clone());
        Ok(request.send().await?.status())
    }
}
