//! Reads a request's body: counts it, bounds it, slows or cuts it for a fault, and reads it to its end whatever the
//! handler does.
//!
//! If an answer leaves before the body is read, the server closes the connection, and a client that reuses it gets a
//! broken pipe. So [`RequestBody::drain`] always reads last.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::Sleep;

use crate::http::traffic::Meter;

/// How many bytes beyond the limit are read before the connection is closed.
const DRAIN_BEYOND: u64 = 256 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than one request may be")]
    TooLarge,
    #[error("a fault cut the body short")]
    Cut,
    #[error("the body broke off: {0}")]
    Broken(axum::Error),
}

/// A body. The handler reads it as a stream, the server drains the rest through a clone.
#[derive(Clone)]
pub(crate) struct RequestBody(Arc<Mutex<Reader>>);

struct Reader {
    body: Body,
    received: u64,
    limit: u64,
    cut_after: Option<u64>,
    cut: bool,
    draining: bool,
    ended: bool,
    bytes_per_second: Option<u64>,
    pause: Option<Pin<Box<Sleep>>>,
    meter: Option<Arc<Meter>>,
}

impl RequestBody {
    /// The handler sees at most `limit` bytes.
    pub(crate) fn new(body: Body, limit: u64, meter: Option<Arc<Meter>>) -> Self {
        Self(Arc::new(Mutex::new(Reader {
            body,
            received: 0,
            limit,
            cut_after: None,
            cut: false,
            draining: false,
            ended: false,
            bytes_per_second: None,
            pause: None,
            meter,
        })))
    }

    pub(crate) fn slow_down(&self, bytes_per_second: u64) {
        self.lock().bytes_per_second = Some(bytes_per_second.max(1));
    }

    pub(crate) fn cut_after(&self, bytes: u64) {
        let mut reader = self.lock();
        reader.cut_after = Some(bytes);
        reader.cut = bytes == 0;
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.lock().cut
    }

    /// Reads the rest and drops it, up to a bound.
    pub(crate) async fn drain(&self) {
        self.lock().draining = true;
        let mut rest = self.clone();
        while let Some(Ok(_)) = rest.next().await {}
    }

    fn lock(&self) -> MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lock().poll(cx)
    }
}

impl Reader {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if self.cut {
                return Poll::Ready(Some(Err(BodyError::Cut)));
            }
            let bound = if self.draining { self.limit.saturating_add(DRAIN_BEYOND) } else { self.limit };
            if self.received > bound {
                return Poll::Ready(Some(Err(BodyError::TooLarge)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                self.ended = true;
                continue;
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(BodyError::Broken(error))));
                }
            };
            let Ok(piece) = frame.into_data() else { continue };
            self.count(piece.len() as u64);
            if !self.cut && (self.draining || self.received <= self.limit) {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }

    fn count(&mut self, bytes: u64) {
        self.received += bytes;
        if let Some(meter) = &self.meter {
            meter.add(bytes);
        }
        self.cut = self.cut_after.is_some_and(|after| self.received >= after);
        if let Some(rate) = self.bytes_per_second {
            let pause = Duration::from_secs(bytes) / u32::try_from(rate).unwrap_or(u32::MAX);
            self.pause = Some(Box::pin(tokio::time::sleep(pause)));
        }
    }
}
