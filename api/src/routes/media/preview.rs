//! `GET /api/v1/media/:id`: what was uploaded, from the moment it was accepted.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use file_types::{Shown, TYPES, Taken};
use messages::AssetId;
use store::{Asset, AssetState, Spooled};
use tower::ServiceExt;
use tower_http::services::ServeFile;
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, RefOr, ResponseBuilder};

use super::conditions::Version;
use crate::http::{PathId, PathText, Problem, ProblemKind};
use crate::openapi::{GivesRanges, NeedsStore, Refusals, TakesId};
use crate::state::App;

/// Bytes that are read from the spool at a time.
const CHUNK: usize = 64 * 1024;
/// Front ends on other origins show uploads in `<img>` and `<video>`.
const OPEN_TO_OTHER_ORIGINS: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
/// In a moment the same address redirects.
const NOT_KEPT: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
/// Short, because a replaced image is deleted from the media host.
const REDIRECT_IS_KEPT: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
/// What an upload may do in a browser that opens it: nothing, in no frame.
const POLICY: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox";

/// Shows an upload to anyone who has its address.
///
/// The spooled bytes until it is at the media host, then a redirect to there.
#[utoipa::path(
    get,
    path = "/api/v1/media/{id}",
    operation_id = "showMedia",
    params(
        ("id" = String, Path, pattern = "^[0-9a-fA-F]{24}(\\.[0-9A-Za-z]{1,8})?$",
            description = "The asset's id, perhaps with an extension, which does not matter"),
        ("Range" = Option<String>, Header, nullable = false,
            description = "A part of the bytes, such as `bytes=0-1023` or, from the end, `bytes=-500`"),
        ("If-Range" = Option<String>, Header, nullable = false,
            description = "The `ETag` of the bytes that a part is wanted of; all are answered if they are others"),
        ("If-None-Match" = Option<String>, Header, nullable = false,
            description = "The `ETag` of what the client has, before or after the move to the media host"),
    ),
    responses(File, Refusals<(NeedsStore, TakesId, GivesRanges)>),
)]
pub(crate) async fn show(
    State(app): State<App>,
    PathText(name): PathText,
    request: Request,
) -> Result<Response, Problem> {
    let PathId(id) = PathId::<AssetId>::parse(without_extension(&name))?;
    let (parts, _) = request.into_parts();
    // If the upload becomes ready while we look, its file is gone and the second look finds the address.
    for _ in 0..2 {
        let asset = app.store.media().find(id).await?.ok_or_else(gone)?;
        let version = Version::of(&asset)?;
        let shown = match (asset.state, &asset.stored, &asset.spooled) {
            // Whoever has the bytes of the upload may not be able to show them: they are not what is delivered.
            (AssetState::Ready, Some(stored), _) if stored.url.contains("/f_auto/") => return redirect(&stored.url),
            (AssetState::Ready, Some(stored), _) => match version.refuses(&parts.headers) {
                Some(status) => Some(without_bytes(status, REDIRECT_IS_KEPT)),
                None => Some(redirect(&stored.url)?),
            },
            (AssetState::Pending, _, Some(spooled)) => serve(&app, &asset, spooled, &version, &parts).await?,
            _ => return Err(gone()),
        };
        if let Some(mut response) = shown {
            version.mark(response.headers_mut());
            return Ok(response);
        }
    }
    Err(gone())
}

/// Addresses are handed out with the extension of the type, and were without one before. Any other is as good.
fn without_extension(name: &str) -> &str {
    match name.split_once('.') {
        Some((id, extension))
            if (1..=8).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            id
        }
        _ => name,
    }
}

fn gone() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such upload, or it failed")
}

fn redirect(url: &str) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(url).map_err(Problem::internal)?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location), REDIRECT_IS_KEPT, OPEN_TO_OTHER_ORIGINS]).into_response())
}

/// What the request's conditions come to. Only that the client has the bytes already is worth keeping.
fn without_bytes(status: StatusCode, kept: (HeaderName, HeaderValue)) -> Response {
    let kept = (status == StatusCode::NOT_MODIFIED).then_some([kept]);
    (status, kept, [OPEN_TO_OTHER_ORIGINS]).into_response()
}

/// The bytes from the spool. `None` when the file is no longer there.
async fn serve(
    app: &App,
    asset: &Asset,
    spooled: &Spooled,
    version: &Version,
    request: &Parts,
) -> Result<Option<Response>, Problem> {
    if spooled.spool != *app.uploads.spool.id() {
        let detail = "this upload is still on another machine; try again in a moment";
        return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(5));
    }
    let content_type: mime::Mime = asset.media_type.content_type.parse().map_err(Problem::internal)?;
    let opened = match app.uploads.spool.open_file(spooled.file).await {
        Err(spool::Error::Missing(_)) => return Ok(None),
        opened => opened?,
    };
    if let Some(status) = version.refuses(&request.headers) {
        return Ok(Some(without_bytes(status, NOT_KEPT)));
    }
    // Opened by the spool, which follows no links; by this name the same file is opened once more, whatever its path leads to now.
    let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let file =
        ServeFile::new_with_mime(path, &content_type).with_buf_chunk_size(CHUNK).ignore_multi_range_requests(true);
    // Its conditions are of the file's time.
    let mut bare = Request::new(Body::empty());
    bare.method_mut().clone_from(&request.method);
    bare.headers_mut().extend(version.range(&request.headers).map(|range| (header::RANGE, range)));
    let response = file.oneshot(bare).await.map_err(Problem::internal)?;
    drop(opened);
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
    // Bytes from strangers on our origin: shown as the type that was found, and nothing in them runs.
    let known = file_types::by_content_type(&asset.media_type.content_type);
    let disposition = match known.map(|known| known.shown) {
        Some(Shown::Inline) => "inline",
        Some(Shown::Attachment) | None => "attachment",
    };
    let headers = [
        (header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        NOT_KEPT,
        OPEN_TO_OTHER_ORIGINS,
    ];
    Ok(Some((headers, response.map(Body::new)).into_response()))
}

/// The bytes of an upload, all or a range, or where they are now.
struct File;

impl IntoResponses for File {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let text = HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build();
        let plain = |description: &str| ResponseBuilder::new().description(description).header("ETag", text.clone());
        let mut whole = plain("The bytes, from the spool");
        let mut range = plain("The range of the bytes that `Range` asked for").header("Content-Range", text.clone());
        for known in TYPES.iter().filter(|known| !matches!(known.taken, Taken::Nowhere(_))) {
            whole = whole.content(known.content_type, ContentBuilder::new().build());
            range = range.content(known.content_type, ContentBuilder::new().build());
        }
        BTreeMap::from([
            ("200".to_owned(), whole.build().into()),
            ("206".to_owned(), range.build().into()),
            ("302".to_owned(), plain("It is at the media host").header("Location", text.clone()).build().into()),
            ("304".to_owned(), plain("The client has it").build().into()),
            ("412".to_owned(), plain("It is not what the request was meant for").build().into()),
        ])
    }
}
