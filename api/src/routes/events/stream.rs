//! The body of an answer that has no end.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::hub::Hub;
use super::reader::{Next, Reader};
use crate::http::server::Endless;

/// How long a stream is silent at the most. Proxies take a connection for dead that is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A comment.
const BEAT: Bytes = Bytes::from_static(b":\n\n");
/// After how many milliseconds a client comes again whose stream has ended, at the least. Each is given another time, up to three times
/// as long: at a deploy all of them come.
const RETRY: u64 = 1_000;
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// nginx would collect what is sent.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Tells a client what there is to tell, as fast as it reads.
struct Events {
    hub: Hub,
    reader: Arc<Reader>,
    /// What comes before anything else.
    head: Option<Bytes>,
    /// The rest of the event whose id was sent.
    text: Option<Bytes>,
    beat: Interval,
}

/// The answer whose body is a stream.
pub(super) fn answer(hub: Hub, reader: Arc<Reader>, endless: &Endless) -> Response {
    endless.set(true);
    let retry = RETRY + RandomState::new().hash_one(RETRY) % (2 * RETRY);
    // So that a client to whom nothing was told yet comes back with an id, too. Of one job that would claim that it was told.
    let id = reader.only.is_none().then(|| format!("id: {}\n", reader.told()));
    let head = Some(format!("retry: {retry}\n{}\n", id.unwrap_or_default()).into());
    let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events { hub, reader, head, text: None, beat };
    ([(header::CONTENT_TYPE, EVENT_STREAM)], [UNBUFFERED], Body::new(events)).into_response()
}

impl Events {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(piece) = self.head.take().or_else(|| self.text.take()) {
            self.beat.reset();
            return Poll::Ready(Some(piece));
        }
        match self.reader.next(cx) {
            Next::Tell(position, text) => {
                self.text = Some(text);
                return Poll::Ready(Some(format!("id: {position}\n").into()));
            }
            Next::End => return Poll::Ready(None),
            Next::Wait { asks: true } => self.hub.ask(&self.reader),
            Next::Wait { asks: false } => {}
        }
        self.beat.poll_tick(cx).map(|_| Some(BEAT))
    }
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.poll_piece(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.hub.leave(&self.reader);
    }
}
