//! Pages that stay up to date.
//!
//! A stream says every two seconds that it is time to look; the script then asks for what is in the middle of its page. All who look
//! at the same page within that time get what was made for the first of them, so a page costs the database the same however
//! many have it open. What has not changed is not sent again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::entry::Visit;
use crate::http::Problem;
use crate::http::server::Endless;

/// How often a page is made anew, at the most.
const EVERY: Duration = Duration::from_secs(2);
/// How long a stream lasts. Its client then comes again, and is asked again who it is.
const LASTS: Duration = Duration::from_secs(60);
/// So many pages are kept, for as long as they are new.
const MAX_KEPT: usize = 32;
/// The longest page that is kept.
const MAX_BYTES: usize = 1024 * 1024;

const TICK: Bytes = Bytes::from_static(b"event: look\ndata:\n\n");
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// The path with its query, and whether who looks may change things.
type Key = (String, bool);

/// What was made lately. While one is made, others who want the same wait for it.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Option<Snapshot>>>>>);

#[derive(Debug, Clone)]
struct Snapshot {
    made: Instant,
    content: Bytes,
    tag: String,
}

impl Snapshots {
    /// What `make` answers, or what another call for the same answered within the last two seconds. 304 if the client has it.
    /// Answers but 200 are not kept.
    pub(super) async fn shared(&self, key: Key, headers: &HeaderMap, make: impl Future<Output = Response>) -> Response {
        let place = self.place(key);
        let mut kept = place.lock().await;
        let snapshot = match kept.as_ref().filter(|snapshot| snapshot.made.elapsed() < EVERY) {
            Some(snapshot) => snapshot.clone(),
            None => {
                let answer = make.await;
                if answer.status() != StatusCode::OK {
                    return answer;
                }
                let content = match to_bytes(answer.into_body(), MAX_BYTES).await {
                    Ok(content) => content,
                    Err(error) => return Problem::internal(error).into_response(),
                };
                let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&content)[..16]));
                kept.insert(Snapshot { made: Instant::now(), content, tag }).clone()
            }
        };
        drop(kept);
        let tag = [(header::ETAG, snapshot.tag.clone())];
        if headers.get(header::IF_NONE_MATCH).is_some_and(|had| had.as_bytes() == snapshot.tag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, tag).into_response();
        }
        (tag, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], snapshot.content).into_response()
    }

    /// Has every page made anew: somebody has changed something, and would be shown what was before.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn place(&self, key: Key) -> Arc<tokio::sync::Mutex<Option<Snapshot>>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MAX_KEPT && !places.contains_key(&key) {
            // One that is being made or read is locked, and its key stays.
            places.retain(|_, place| {
                let is_new = |kept: &Option<Snapshot>| kept.as_ref().is_some_and(|kept| kept.made.elapsed() < EVERY);
                place.try_lock().map_or(true, |kept| is_new(&kept))
            });
        }
        if places.len() >= MAX_KEPT && !places.contains_key(&key) {
            return Arc::default();
        }
        Arc::clone(places.entry(key).or_default())
    }
}

/// Says when to look. It tells nothing of what there is to see.
pub(super) async fn stream(_: Visit, endless: Option<Extension<Endless>>) -> Response {
    let endless = endless.map(|Extension(endless)| endless).unwrap_or_default();
    endless.set(true);
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ticks = Ticks { every, until: Instant::now() + LASTS, is_begun: false };
    ([(header::CONTENT_TYPE, "text/event-stream")], [UNBUFFERED], Body::new(ticks)).into_response()
}

struct Ticks {
    every: Interval,
    until: Instant,
    is_begun: bool,
}

impl HttpBody for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.is_begun {
            self.is_begun = true;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"retry: 2000\n\n")))));
        }
        if Instant::now() >= self.until {
            return Poll::Ready(None);
        }
        self.every.poll_tick(cx).map(|_| Some(Ok(Frame::data(TICK))))
    }
}
