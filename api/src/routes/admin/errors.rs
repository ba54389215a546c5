//! `/api/v1/admin/errors`: failures in groups.

use axum::extract::{RawQuery, State};
use messages::{Job, JobId};
use serde::Serialize;
use store::{ErrorGroup, ErrorGroupId, ErrorGroupPage, ErrorGroupPosition};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor;
use crate::auth::AdminReader;
use crate::http::page::{self, number, text};
use crate::http::response::iso;
use crate::http::{Answer, Envelope, PathText, Problem, ProblemKind};
use crate::openapi::{NeedsAdmin, Refusals, TakesId, TakesParameters};
use crate::state::App;

const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 100;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// A part of the groups.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorGroupPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorsView {
    /// Those that were met last are first.
    pub(crate) items: Vec<ErrorGroupView>,
    /// What to ask for as `cursor`, with the same filter, to get more; null at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// Failures that are the same but for what differs each time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorGroup)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorGroupView {
    #[schema(value_type = String, pattern = "^[0-9a-f]{16}$")]
    pub(crate) id: ErrorGroupId,
    /// Of the jobs.
    #[schema(example = "media.upload.v1")]
    pub(crate) kind: String,
    /// What the attempts ran into, for programs.
    #[schema(example = "media-host-busy")]
    pub(crate) code: String,
    /// What the media host answered, if that was it.
    #[schema(required, example = 503)]
    pub(crate) status: Option<u16>,
    /// The error, with `<n>`, `<id>`, `<address>` and `<text>` for what differs each time.
    #[schema(example = "the media host answered <n>")]
    pub(crate) message: String,
    /// How often it was met: a little too small if a worker has crashed.
    pub(crate) count: u64,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) first_seen: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) last_seen: OffsetDateTime,
    pub(crate) example: ErrorExampleView,
}

/// The latest failure of a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorExample)]
pub(crate) struct ErrorExampleView {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) job: JobId,
    /// As it was recorded.
    pub(crate) error: String,
    #[schema(required)]
    pub(crate) worker: Option<String>,
}

impl ErrorGroupView {
    fn new(group: ErrorGroup) -> Self {
        let store::ErrorExample { job, error, worker } = group.example;
        Self {
            id: group.id,
            kind: group.kind,
            code: group.code,
            status: group.status,
            message: group.message,
            count: group.count,
            first_seen: group.first_seen,
            last_seen: group.last_seen,
            example: ErrorExampleView { job, error, worker },
        }
    }
}

/// Failures of jobs in groups, those that were met last first.
///
/// A group is kept for 30 days after it was last met. `findJobs` with its id as `errorGroup` finds the jobs whose latest failure is in
/// it.
#[utoipa::path(
    get,
    path = "/api/v1/admin/errors",
    operation_id = "listErrors",
    params(
        ("kind" = Option<String>, Query, nullable = false, description = "A kind of jobs", example = "media.upload.v1"),
        ("limit" = Option<u64>, Query, description = "Groups at once, 50 by default; above 100 it is 100", nullable = false,
            minimum = 1),
        ("cursor" = Option<String>, Query, nullable = false,
            description = "The `nextCursor` of the answer before. It belongs to the kind that was asked for then"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "A part of the groups", body = Envelope<ErrorsView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn list(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<ErrorsView>, Problem> {
    let groups = load(&app, query.as_deref().unwrap_or_default()).await?;
    Ok(Answer::ok(groups, "Errors fetched successfully"))
}

/// A group of failures.
#[utoipa::path(
    get,
    path = "/api/v1/admin/errors/{id}",
    operation_id = "showError",
    params(("id" = String, Path, description = "The group's id", pattern = "^[0-9a-f]{16}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The group", body = Envelope<ErrorGroupView>),
        Refusals<(NeedsAdmin, TakesId)>,
    ),
)]
async fn show(
    State(app): State<App>,
    _: AdminReader,
    PathText(id): PathText,
) -> Result<Answer<ErrorGroupView>, Problem> {
    Ok(Answer::ok(load_one(&app, &id).await?, "Error fetched successfully"))
}

/// A part of the groups, as the query says.
pub(crate) async fn load(app: &App, query: &str) -> Result<ErrorsView, Problem> {
    let kind = text(query, "kind")?;
    let kind = match kind.trim() {
        "" => None,
        kind if Job::KINDS.contains(&kind) => Some(kind),
        _ => return Err(Problem::invalid("kind", format!("must be one of {}", Job::KINDS.join(", ")))),
    };
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    let name = format!("errors {}", kind.unwrap_or_default());
    let after = page::cursor(query, |text| position(&name, text))?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let ErrorGroupPage { items, next } = app.store.error_groups().list(kind, after.as_ref(), limit).await?;
    let next = next.map(|ErrorGroupPosition { last_seen, id }| cursor::write(&name, last_seen, &id.to_string()));
    Ok(ErrorsView { items: items.into_iter().map(ErrorGroupView::new).collect(), next_cursor: next })
}

/// A group by its id, which is text of anybody's.
pub(crate) async fn load_one(app: &App, id: &str) -> Result<ErrorGroupView, Problem> {
    let id: ErrorGroupId = id.parse().map_err(|_| Problem::invalid("id", "must be 16 hexadecimal digits"))?;
    let unknown = || Problem::new(ProblemKind::NotFound, "there is no such group of errors (any more)");
    app.store.error_groups().find(id).await?.map(ErrorGroupView::new).ok_or_else(unknown)
}

fn position(list: &str, text: &str) -> Option<ErrorGroupPosition> {
    let (last_seen, id) = cursor::read(list, text)?;
    Some(ErrorGroupPosition { last_seen, id: id.parse().ok()? })
}
