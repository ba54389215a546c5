//! `POST` and `GET /api/v1/media`: uploads that are nobody's avatar.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::Role;
use utoipa::ToSchema;

use crate::auth::SignedIn;
use crate::http::params::number;
use crate::http::problem::Problem;
use crate::http::request_log::trace;
use crate::http::response::{self, Answer, Envelope};
use crate::http::{idempotency, path_case as paths};
use crate::openapi::{ChangesThings, MakesWork, NeedsUser, Refusals, TakesFiles, TakesParameters, schemas};
use crate::routes::jobs::views::{JobLink, WithJobs};
use crate::routes::media::views::AssetView;
use crate::routes::users::images::receive_one;
use crate::state::App;
use crate::uploads::admission;
use crate::uploads::submission::{self, Decision};
use crate::uploads::{Accepts, FileField, Incoming};

/// The form with an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is read part by part")]
struct MediaForm {
    #[schema(schema_with = schemas::media_file)]
    file: (),
}

/// Takes an image or a video.
///
/// With an `Idempotency-Key` a repetition within a day gets the first answer and does nothing else.
#[utoipa::path(
    post,
    path = paths::MEDIA,
    operation_id = "submitMedia",
    tag = "media",
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
    SignedIn(user): SignedIn,
    mut incoming: Incoming,
) -> Result<Response, Problem> {
    let key = idempotency::key(incoming.headers(), format!("POST /media {}", user.id))?;
    if let Some(key) = &key
        && let Some(answer) = app.store().idempotency().find(key).await?
    {
        return Ok(response::replay(answer));
    }
    admission::admit(&app, incoming.declared_length())?;
    admission::admit_user(&app, user.id).await?;
    let trace = trace(incoming.headers());

    let max_bytes = app.limits().media_max_bytes;
    let field = FileField { name: "file", max_bytes, accepts: Accepts::ImagesAndVideos };
    let received = receive_one(&app, &mut incoming, field).await?;
    let (upload, file) = submission::make_durable(&app, received, Role::Media).await?;

    let jobs = vec![JobLink::of_upload(&app, &upload)];
    let data = WithJobs::new(AssetView::of_upload(&app, &upload), jobs);
    let location = data.location();
    let answer = Answer::accepted(data, "Upload accepted").located(location);

    let remembered = key.map(|key| (key, answer.stored()));
    let store = app.store().clone();
    let transaction = async move { store.media().submit(user.id, upload, remembered, trace).await };
    match submission::submit(&app, vec![file], transaction).await? {
        Decision::Accepted(_) => Ok(answer.into_response()),
        Decision::Replayed(answer) => Ok(response::replay(answer)),
    }
}

const DEFAULT_LIMIT: u64 = 10;
const MAX_LIMIT: u64 = 100;
/// Beyond this nobody pages, and skipping has its price.
const MAX_PAGE: u64 = 100_000;

/// A page as mongoose-aggregate-paginate-v2 gives it to front ends of the original.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssetPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing {
    docs: Vec<AssetView>,
    total_docs: u64,
    #[schema(minimum = 1, maximum = 100)]
    limit: u64,
    #[schema(minimum = 1)]
    page: u64,
    total_pages: u64,
    paging_counter: u64,
    has_prev_page: bool,
    has_next_page: bool,
    #[schema(required)]
    prev_page: Option<u64>,
    #[schema(required)]
    next_page: Option<u64>,
}

/// Lists the user's uploads, newest first.
///
/// Only what came by this address: no avatars and cover images.
#[utoipa::path(
    get,
    path = paths::MEDIA,
    operation_id = "listMedia",
    tag = "media",
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
    SignedIn(user): SignedIn,
    RawQuery(query): RawQuery,
) -> Result<Answer<Listing>, Problem> {
    let query = query.as_deref().unwrap_or_default();
    let page = number(query, "page", 1)?.min(MAX_PAGE);
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    let found = app.store().media().list(user.id, page, limit).await?;
    let total_pages = found.total.div_ceil(limit).max(1);
    let listing = Listing {
        docs: found.items.into_iter().map(|asset| AssetView::new(&app, asset)).collect(),
        total_docs: found.total,
        limit,
        page,
        total_pages,
        paging_counter: (page - 1) * limit + 1,
        has_prev_page: page > 1,
        has_next_page: page < total_pages,
        prev_page: (page > 1).then(|| page - 1),
        next_page: (page < total_pages).then(|| page + 1),
    };
    Ok(Answer::ok(listing, "Uploads fetched successfully"))
}
