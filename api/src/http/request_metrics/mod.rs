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
struct Route(Arc<OnceLock<MatchedPath>>);

/// Measures a request from outside of everything else.
pub(crate) async fn measure(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, route) = (request.method().clone(), Route::default());
    let is_upload = is_form(&request);
    request.extensions_mut().insert(route.clone());
    let mut response = next.run(request).await;
    let template = route.0.get().map_or("", MatchedPath::as_str);
    let status = response.status();
    let labels = [method.as_str(), template, status.as_str()];
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
