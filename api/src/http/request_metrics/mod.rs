//! How long requests took, by method, template of the route, and status; and why uploads were refused.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;

use super::ProblemKind;

/// Where the route of a request is noted by whoever finds it. That is behind what may answer without one, or panic.
#[derive(Debug, Clone, Default)]
pub(super) struct Route(Arc<OnceLock<MatchedPath>>);

impl Route {
    /// Where that of a request is noted, from here on if it is not yet.
    pub(super) fn of(request: &mut Request) -> Self {
        request.extensions_mut().get_or_insert_default::<Self>().clone()
    }

    /// Its template; empty if none was found.
    pub(super) fn template(&self) -> &str {
        self.0.get().map_or("", MatchedPath::as_str)
    }
}

/// Measures a request from outside of everything else.
pub(crate) async fn measure(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, route) = (request.method().clone(), Route::of(&mut request));
    let is_upload = is_form(&request);
    let mut response = next.run(request).await;
    let status = response.status();
    let labels = [method.as_str(), route.template(), status.as_str()];
    meters::HTTP_REQUEST.took(&labels, began.elapsed());
    let problem: Option<ProblemKind> = response.extensions_mut().remove();
    if let Some(problem) = problem.filter(|_| is_upload) {
        meters::UPLOADS_REFUSED.add(&[problem.row().1], 1);
    }
    response
}

/// Notes the route of a request, behind the router.
pub(crate) fn note_route(request: Request) -> Request {
    if let (Some(route), Some(path)) = (request.extensions().get::<Route>(), request.extensions().get::<MatchedPath>())
    {
        route.0.get_or_init(|| path.clone());
    }
    request
}

fn is_form(request: &Request) -> bool {
    const FORM: &[u8] = b"multipart/form-data";
    let content_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    content_type.and_then(|bytes| bytes.get(..FORM.len())).is_some_and(|start| start.eq_ignore_ascii_case(FORM))
}
