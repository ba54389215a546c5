//! `GET /api/v1/media/:id`: what was uploaded, from the moment it was accepted.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use messages::AssetId;
use store::{Asset, AssetState, Spooled};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::bytes::File;
use crate::http::params::PathId;
use crate::http::problem::{Problem, ProblemKind};
use crate::openapi::{GivesRanges, NeedsStore, Refusals, TakesId};
use crate::state::App;

/// Bytes that are read from the spool at a time.
const CHUNK: usize = 64 * 1024;

/// Shows an upload to anyone who has its address.
///
/// The spooled bytes until it is at the media host, then a redirect to there.
#[utoipa::path(
    get,
    path = "/api/v1/media/{id}",
    operation_id = "showMedia",
    params(
        ("id" = String, Path, description = "The asset's id", pattern = "^[0-9a-fA-F]{24}$"),
        ("Range" = Option<String>, Header, description = "A part of the bytes, such as `bytes=0-1023`", nullable = false),
    ),
    responses(File, Refusals<(NeedsStore, TakesId, GivesRanges)>),
)]
pub(crate) async fn show(
    State(app): State<App>,
    PathId(id): PathId<AssetId>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    // If the upload becomes ready while we look, its file is gone and the second look finds the address.
    for _ in 0..2 {
        let asset = app.store.media().find(id).await?.ok_or_else(gone)?;
        match (asset.state, &asset.stored, &asset.spooled) {
            (AssetState::Ready, Some(stored), _) => return redirect(&stored.url),
            (AssetState::Pending, _, Some(spooled)) => {
                let request = Request::from_parts(parts.clone(), Body::empty());
                if let Some(response) = serve(&app, &asset, spooled, request).await? {
                    return Ok(response);
                }
            }
            _ => return Err(gone()),
        }
    }
    Err(gone())
}

fn gone() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such upload, or it failed")
}

fn redirect(url: &str) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(url).map_err(Problem::internal)?;
    let mut response = StatusCode::FOUND.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    // Short, because a replaced image is deleted from there.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    open_to_other_origins(headers);
    Ok(response)
}

/// The bytes from the spool. `None` when the file is no longer there.
async fn serve(app: &App, asset: &Asset, spooled: &Spooled, request: Request) -> Result<Option<Response>, Problem> {
    if spooled.spool != *app.uploads.spool.id() {
        let detail = "this upload is still on another machine; try again in a moment";
        return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(5));
    }
    let content_type: mime::Mime = asset.media_type.content_type.parse().map_err(Problem::internal)?;
    let file = ServeFile::new_with_mime(app.uploads.spool.path(spooled.file), &content_type).with_buf_chunk_size(CHUNK);
    let response = file.oneshot(request).await.map_err(Problem::internal)?;
    match response.status() {
        StatusCode::NOT_FOUND => return Ok(None),
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let detail = format!("the file has {} bytes", asset.bytes);
            let mut problem = Problem::new(ProblemKind::RangeNotSatisfiable, detail).into_response();
            if let Some(range) = response.headers().get(header::CONTENT_RANGE) {
                problem.headers_mut().insert(header::CONTENT_RANGE, range.clone());
            }
            return Ok(Some(problem));
        }
        _ => {}
    }
    let mut response = response.map(Body::new);
    protect(response.headers_mut(), &content_type);
    Ok(Some(response))
}

/// What an upload may do in a browser that opens it: nothing, in no frame.
const POLICY: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox";

/// Shows bytes from strangers on our origin as the type that was found, and lets nothing in them run.
fn protect(headers: &mut HeaderMap, content_type: &mime::Mime) {
    let disposition = match content_type.type_() {
        mime::IMAGE | mime::VIDEO => "inline",
        _ => "attachment",
    };
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // In a moment the same address redirects.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    open_to_other_origins(headers);
}

/// Front ends on other origins show these in `<img>` and `<video>`.
fn open_to_other_origins(headers: &mut HeaderMap) {
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
}
