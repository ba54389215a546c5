//! The request body as the multipart reader gets it: counted, paced and bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::config::Limits;

/// Why there is no more of a body, in words for the client.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the upload came too slowly and was cut off")]
    Slow,
    #[error("the request must not be longer than {limit} bytes")]
    TooLong { limit: u64 },
    #[error("the head of a part has no end")]
    LongHead,
    #[error("the request was cut off before its end")]
    Broken(#[source] axum::Error),
}

/// The bytes that may still arrive before the head of the next part is complete; `u64::MAX` while contents are read.
#[derive(Debug, Clone)]
pub(super) struct HeadBudget(Arc<AtomicU64>);

impl HeadBudget {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    pub(super) fn limit(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn spend(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

struct Reader<'a> {
    body: &'a mut Body,
    head: HeadBudget,
    max_bytes: u64,
    /// The longest silence, and how long we wait for the client before the average counts.
    idle: Duration,
    /// Bytes a second that a body must reach on average, counting only the time that we waited for the client.
    min_rate: u64,
    received: u64,
    waited: Duration,
}

/// The body's chunks, up to an error when the client is too slow or sends more than `max_bytes`.
pub(super) fn body_stream<'a>(
    body: &'a mut Body,
    head: HeadBudget,
    max_bytes: u64,
    limits: &Limits,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + use<'a> {
    let (idle, min_rate) = (limits.upload_idle_timeout, limits.upload_min_rate.max(1));
    let reader = Reader { body, head, max_bytes, idle, min_rate, received: 0, waited: Duration::ZERO };
    stream::try_unfold(reader, |mut reader| async move { reader.next().await.map(|chunk| Some((chunk?, reader))) })
}

impl Reader<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        // The multipart reader reads all there is before it parses any of it: give it one chunk at a time, or a client
        // that sends faster than we write fills the memory.
        if self.received > 0 {
            tokio::task::yield_now().await;
        }
        loop {
            let asked = Instant::now();
            let allowed = self.idle + Duration::from_millis(self.received.saturating_mul(1000) / self.min_rate);
            let patience = allowed.saturating_sub(self.waited).min(self.idle);
            let frame = tokio::time::timeout(patience, self.body.frame()).await.map_err(|_| BodyError::Slow)?;
            self.waited += asked.elapsed();
            let Some(frame) = frame else { return Ok(None) };
            // Else trailers.
            let Ok(chunk) = frame.map_err(BodyError::Broken)?.into_data() else { continue };

            self.received = self.received.saturating_add(chunk.len() as u64);
            if self.received > self.max_bytes {
                return Err(BodyError::TooLong { limit: self.max_bytes });
            }
            if !self.head.spend(chunk.len() as u64) {
                return Err(BodyError::LongHead);
            }
            return Ok(Some(chunk));
        }
    }
}
