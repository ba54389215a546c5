//! Reads on after a refusal.
//!
//! Many clients read the answer only when they have sent everything, and see a broken pipe if the server hangs up
//! earlier. So the rest of a refused request's body is read and thrown away, within bounds. No library does that. What
//! comes beyond them meets a connection that [lingers](Unread).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, SizeHint};

use crate::http::server::Unread;

/// As much of an unread body is read.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// For so long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Wraps the body in one that is drained when it is dropped.
pub(crate) fn drain(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let (parts, body) = request.into_parts();
    // Reading a body that the client still holds back would invite it to send.
    let held_back = parts.headers.contains_key(header::EXPECT);
    let unread = parts.extensions.get().cloned().unwrap_or_default();
    Request::from_parts(parts, Body::new(Drained { body, held_back, unread }))
}

struct Drained {
    body: Body,
    held_back: bool,
    unread: Unread,
}

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.held_back = false;
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            return;
        }
        let runtime = tokio::runtime::Handle::try_current();
        let (false, Ok(runtime)) = (self.held_back, runtime) else {
            self.unread.note();
            return;
        };
        let (body, unread) = (std::mem::take(&mut self.body), self.unread.clone());
        runtime.spawn(async move {
            let mut body = Limited::new(body, MAX_BYTES);
            let to_its_end = async {
                while let Some(frame) = body.frame().await {
                    frame?;
                }
                Ok::<_, axum::BoxError>(())
            };
            // Noted before the body is dropped, which ends the connection.
            if !matches!(tokio::time::timeout(TIMEOUT, to_its_end).await, Ok(Ok(()))) {
                unread.note();
            }
        });
    }
}
