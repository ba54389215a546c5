//! A request's body on its way in: counted, bounded, slowed or cut where a fault says so, and read to its end whatever the
//! handler does.
//!
//! An answer that is sent while a part of the body is still unread makes the server close the connection, and a client
//! that is about to reuse it gets a broken pipe. So the last one to read is never the handler but [`RequestBody::drain`].

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

/// How much is read beyond the limit before the client is cut off.
const DRAIN_BEYOND: u64 = 256 * 1024 * 1024;

/// Why no more of the body comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than one request may be")]
    TooLarge,
    #[error("a fault cut the body short")]
    Cut,
    #[error("the body broke off: {0}")]
    Broken(axum::Error),
}

/// Both ends of a body: the handler reads a stream of it, the server drains the rest.
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
    /// Reads `body`, of which the handler sees at most `limit` bytes.
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

    /// Reads no faster than this from now on.
    pub(crate) fn slow_down(&self, bytes_per_second: u64) {
        self.lock().bytes_per_second = Some(bytes_per_second.max(1));
    }

    /// Stops reading after so many bytes.
    pub(crate) fn cut_after(&self, bytes: u64) {
        let mut reader = self.lock();
        reader.cut_after = Some(bytes);
        reader.cut = bytes == 0;
    }

    /// Whether [`RequestBody::cut_after`] has struck.
    pub(crate) fn is_cut(&self) -> bool {
        self.lock().cut
    }

    /// Reads what is left and throws it away, up to a bound.
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
