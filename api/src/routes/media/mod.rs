//! Uploads that are nobody's avatar: `POST` and `GET /api/v1/media`; and the bytes of every upload.

mod conditions;
mod preview;
pub(crate) mod processing;
mod views;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use store::Role;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::config::Limits;
use crate::http::page::number;
use crate::http::request_log::trace;
use crate::http::{Answer, Envelope, Problem, idempotency};
use crate::openapi::{self, ChangesThings, MakesWork, NeedsUser, Refusals, TakesFiles, TakesParameters};
use crate::routes::jobs::views::{WithJobs, with_jobs};
use crate::state::App;
use crate::uploads::{Accepts, Early, FileField, Upload, upload_form};
use views::{AssetView, Listing};

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(list, submit)).routes(routes!(preview::show));
    openapi::tagged("media", "Uploads that are nobody's avatar, and the bytes of every upload", routes)
}

const DEFAULT_LIMIT: u64 = 10;
const MAX_LIMIT: u64 = 100;
/// Beyond this nobody pages, and skipping has its price.
const MAX_PAGE: u64 = 100_000;

const FILE: FileField =
    FileField { name: "file", accepts: Accepts::Media, limit: Limits::MEDIA, is_required: true, role: Role::Media };

upload_form! {
    /// The form with an upload.
    MediaForm { FILE }
}

/// Takes an image, a video or a sound.
///
/// With an `Idempotency-Key` a repetition within a day gets the first answer and does nothing else.
#[utoipa::path(
    post,
    path = "/api/v1/media",
    operation_id = "submitMedia",
    params(("Idempotency-Key" = Option<String>, Header, description = "Marks repetitions of one request",
        nullable = false, min_length = 1, max_length = 255, pattern = "^[ -~]+$")),
    request_body(content = MediaForm, content_type = "multipart/form-data"),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 202, description = "Accepted: the asset, and the job that moves it",
            body = Envelope<WithJobs<AssetView>>, headers(
                ("Location" = String, description = "The job"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` if this is the answer to an earlier request"),
            )),
        Refusals<(NeedsUser, TakesFiles, ChangesThings, MakesWork)>,
    ),
)]
async fn submit(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    mut upload: Upload<MediaForm>,
) -> Result<Answer<WithJobs<AssetView>>, Early> {
    let key = idempotency::key(&upload.headers, format!("POST /media {}", user.id))?;
    app.uploads.replay(key.as_ref()).await?;
    let admitted = app.uploads.admit_user(user.id, upload.declared_length()).await?;
    let (uploads, files) = upload.receive(&app.uploads, admitted).await?.commit(&app.uploads).await?;
    let [file] = &*uploads else { return Err(Problem::internal("this form has one file").into()) };

    let asset = AssetView::of_upload(&app, file, app.store.now().await?);
    let answer = with_jobs(&app, StatusCode::ACCEPTED, asset, &uploads, "Upload accepted");
    let remembered = key.map(|key| (key, answer.stored()));
    let (store, trace) = (app.store.clone(), trace(&upload.headers));
    let transaction = async move { store.media().submit(user, uploads, remembered, trace).await };
    app.uploads.submit(files, transaction).await?;
    Ok(answer)
}

/// Lists the user's uploads, newest first.
///
/// Only what came by this address: no avatars and cover images.
#[utoipa::path(
    get,
    path = "/api/v1/media",
    operation_id = "listMedia",
    params(
        ("page" = Option<u64>, Query, description = "From 1; above 100000 it is 100000", nullable = false, minimum = 1),
        ("limit" = Option<u64>, Query, description = "Uploads a page, 10 by default; above 100 it is 100", nullable = false, minimum = 1),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "One page", body = Envelope<Listing>),
        Refusals<(NeedsUser, TakesParameters)>,
    ),
)]
async fn list(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    RawQuery(query): RawQuery,
) -> Result<Answer<Listing>, Problem> {
    let query = query.as_deref().unwrap_or_default();
    let page = number(query, "page", 1)?.min(MAX_PAGE);
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    let found = app.store.media().list(user.id, page, limit).await?;
    let docs = found.items.into_iter().map(|asset| AssetView::new(&app, asset)).collect();
    Ok(Answer::ok(Listing::new(docs, found.total, page, limit), "Uploads fetched successfully"))
}
