//! `/openapi.json`, and at `/docs` a page that shows it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::params::PathText;
use crate::http::problem::{Problem, ProblemKind};
use crate::openapi::{self, Document, Refusals, TakesName};
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(document)).routes(routes!(page)).routes(routes!(page_file));
    openapi::tagged("documentation", "This document and the page that shows it", routes)
}

/// It loads files below its own path only, so that it works without a network.
const PAGE: &str = include_str!("viewer/index.html");
const START: &str = include_str!("viewer/start.js");
/// What the page may load: files of its own and this document. The viewer sets styles on its elements.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// These change with the program only.
const CACHE: &str = "public, max-age=3600";

/// Answers this document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getDocument",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value), Refusals<()>),
)]
pub(crate) async fn document(Extension(Document(json)): Extension<Document>) -> Response {
    file("application/json", json)
}

/// Shows this document.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "showDocument",
    responses((status = 200, description = "A page", body = String, content_type = "text/html"), Refusals<()>),
)]
pub(crate) async fn page() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)], file("text/html; charset=utf-8", PAGE)).into_response()
}

/// Answers a file of the page.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "getPageFile",
    params(("file" = String, Path, description = "The file's name")),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/css"), (String = "text/javascript"), (String = "image/png"),
        )),
        Refusals<(TakesName,)>,
    ),
)]
pub(crate) async fn page_file(PathText(name): PathText) -> Result<Response, Problem> {
    let unknown = || Problem::new(ProblemKind::NotFound, "the page has no such file");
    let content_type = match name.as_str() {
        "start.js" => return Ok(file("text/javascript", START)),
        "swagger-ui-bundle.js" => "text/javascript",
        "swagger-ui.css" => "text/css",
        "favicon-32x32.png" => "image/png",
        _ => return Err(unknown()),
    };
    let found =
        utoipa_swagger_ui::serve(&name, Arc::default()).map_err(|error| Problem::internal(error.to_string()))?;
    let found = found.ok_or_else(unknown)?;
    // Every browser takes it, and it makes the program smaller by megabytes.
    let encoding = found.gzpipped.then_some([(header::CONTENT_ENCODING, "gzip")]);
    Ok((encoding, file(content_type, found.bytes)).into_response())
}

fn file(content_type: &'static str, content: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, CACHE)], content.into()).into_response()
}
