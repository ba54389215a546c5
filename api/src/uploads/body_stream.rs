//! The request body as the multipart reader gets it: counted, paced and bounded.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep};

use crate::config::Limits;

/// How slowly a client may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The longest silence.
    idle: Duration,
    /// Bytes a second that a body must reach on average, counting only the time that we waited for the client.
    min_rate: u64,
    /// How long we wait for the client before the average counts.
    grace: Duration,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let idle = limits.upload_idle_timeout;
        Self { idle, min_rate: limits.upload_min_rate, grace: idle }
    }

    fn allowance(&self, received: u64) -> Duration {
        self.grace + Duration::from_millis(received.saturating_mul(1000) / self.min_rate.max(1))
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the client sends too slowly")]
    Slow,
    #[error("the body is longer than {limit} bytes")]
    TooLong { limit: u64 },
    #[error("a part's head is too long")]
    LongHead,
    #[error("the body ended early: {0}")]
    Broken(axum::Error),
}

/// The bytes that may still arrive before the head of the next part is complete. `u64::MAX` while contents are read.
#[derive(Debug, Clone)]
pub(crate) struct HeadBudget(Arc<AtomicU64>);

impl HeadBudget {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    pub(crate) fn limit(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn lift(&self) {
        self.limit(u64::MAX);
    }

    fn spend(&self, bytes: u64) -> bool {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => true,
            left => {
                let fits = left >= bytes;
                self.limit(left.saturating_sub(bytes));
                fits
            }
        }
    }
}

/// The body as a stream of chunks that ends with an error when the client is too slow or sends too much.
#[derive(Debug)]
pub(crate) struct BodyStream<'a> {
    body: &'a mut Body,
    pace: Pace,
    limit: u64,
    head: HeadBudget,
    received: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    gave: bool,
}

impl<'a> BodyStream<'a> {
    pub(crate) fn new(body: &'a mut Body, pace: Pace, limit: u64, head: HeadBudget) -> Self {
        let (received, waited) = (0, Duration::ZERO);
        Self { body, pace, limit, head, received, waited, waiting_since: None, timer: None, gave: false }
    }

    fn accept(&mut self, chunk: Bytes) -> Result<Bytes, BodyError> {
        let bytes = chunk.len() as u64;
        self.received = self.received.saturating_add(bytes);
        if self.received > self.limit {
            return Err(BodyError::TooLong { limit: self.limit });
        }
        match self.head.spend(bytes) {
            true => Ok(chunk),
            false => Err(BodyError::LongHead),
        }
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if self.waiting_since.is_none() {
            self.waiting_since = Some(now);
            let left = self.pace.allowance(self.received).saturating_sub(self.waited);
            let deadline = now + left.min(self.pace.idle);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Stream for BodyStream<'_> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // The multipart reader reads all there is before it parses any of it: give it one chunk at a time, or a client
        // that sends faster than we write fills the memory.
        if std::mem::take(&mut this.gave) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut *this.body).poll_frame(cx) else {
                return this.poll_timeout(cx).map(|()| Some(Err(BodyError::Slow)));
            };
            if let Some(since) = this.waiting_since.take() {
                this.waited += since.elapsed();
            }
            return match frame {
                None => Poll::Ready(None),
                Some(Err(error)) => Poll::Ready(Some(Err(BodyError::Broken(error)))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => {
                        this.gave = true;
                        Poll::Ready(Some(this.accept(chunk)))
                    }
                    // Trailers.
                    Err(_) => continue,
                },
            };
        }
    }
}
