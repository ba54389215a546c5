//! `POST` and `GET /api/v1/media`: uploads that are nobody's avatar.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use store::Role;

use super::views::{AssetView, Listing};
use crate::auth::Caller;
use crate::config::Limits;
use crate::http::idempotency;
use crate::http::page::number;
use crate::http::problem::Problem;
use crate::http::request_log::trace;
use crate::http::response::{self, Answer, Envelope};
use crate::openapi::{ChangesThings, MakesWork, NeedsUser, Refusals, TakesFiles, TakesParameters};
use crate::routes::jobs::views::{JobLink, WithJobs};
use crate::state::App;
use crate::uploads::{Accepts, Decision, FileField, Upload, upload_form};

const DEFAULT_LIMIT: u64 = 10;
const MAX_LIMIT: u64 = 100;
/// Beyond this nobody pages, and skipping has its price.
const MAX_PAGE: u64 = 100_000;

const FILE: FileField = FileField {
    name: "file",
    accepts: Accepts::ImagesAndVideos,
    limit: Limits::MEDIA,
    is_required: true,
    role: Role::Media,
};

upload_form! {
    /// The form with an upload.
    MediaForm { FILE }
}

/// Takes an image or a video.
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
pub(crate) async fn submit(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    mut upload: Upload<MediaForm>,
) -> Result<Response, Problem> {
    let key = idempotency::key(upload.headers(), format!("POST /media {}", user.id))?;
    if let Some(key) = &key
        && let Some(answer) = app.store.idempotency().find(key).await?
    {
        return Ok(response::replay(answer));
    }
    app.uploads.admit_user(user.id, upload.declared_length()).await?;
    let trace = trace(upload.headers());
    let (uploads, files) = upload.receive(&app.uploads).await?.commit(&app.uploads.spool).await?;
    let [file] = &*uploads else { return Err(Problem::internal("this form has one file")) };

    let jobs = vec![JobLink::of_upload(&app, file)];
    let data = WithJobs::new(AssetView::of_upload(&app, file), jobs);
    let location = data.location();
    let answer = Answer::accepted(data, "Upload accepted").located(location);

    let remembered = key.map(|key| (key, answer.stored()));
    let store = app.store.clone();
    let transaction = async move { store.media().submit(user.id, uploads, remembered, trace).await };
    match app.uploads.submit(files, transaction).await? {
        Decision::Accepted(_) => Ok(answer.into_response()),
        Decision::Replayed(answer) => Ok(response::replay(answer)),
    }
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
pub(crate) async fn list(
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
