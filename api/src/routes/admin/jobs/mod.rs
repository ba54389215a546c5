//! `/api/v1/admin/jobs`: everybody's jobs.

pub(crate) mod detail;
pub(crate) mod filter;
pub(crate) mod search;
pub(crate) mod views;

use axum::extract::{RawQuery, State};
use serde::Serialize;
use store::{JobPosition, Search, SearchPage};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor;
use crate::auth::AdminReader;
use crate::http::page::{self, number};
use crate::http::{Answer, Envelope, Problem};
use crate::openapi::{NeedsAdmin, Refusals, TakesParameters};
use crate::state::App;
use views::{AdminJobView, JobsView};

const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 100;
/// Jobs that are counted.
const COUNTED: u64 = 10_000;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(count))
        .routes(routes!(search::search))
        .routes(routes!(detail::show))
}

/// How many jobs fit a filter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminJobCount)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountView {
    #[schema(maximum = 10_000)]
    pub(crate) count: u64,
    /// Whether there are more, or may be: no more than 10,000 jobs are counted, and fewer where each has to be looked at.
    pub(crate) at_least: bool,
}

/// Finds jobs of anybody, newest first.
///
/// A job is found if it fits everything that is given; `state` and `kind` may be sent several times or hold several values with commas
/// between them. An empty filter is none, and one that is unknown is refused. However many jobs there are, a bounded number is looked at:
/// then there are fewer items than were asked for, perhaps none, `searchedTo` says how far that was, and `nextCursor` goes on.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs",
    operation_id = "findJobs",
    params(
        ("state" = Option<Vec<String>>, Query, nullable = false, example = json!(["discarded"]),
            description = "`pending`, `queued`, `running`, `retryable`, `completed`, `discarded` or `cancelled`"),
        ("kind" = Option<Vec<String>>, Query, nullable = false, example = json!(["media.upload.v1"]),
            description = "A kind of jobs"),
        ("queue" = Option<String>, Query, nullable = false, example = "media.upload",
            description = "A queue, such as `media.upload.here`, or the beginning that those of all spools have, such as `media.upload`"),
        ("user" = Option<String>, Query, nullable = false, description = "Whose they are: an id or a username"),
        ("errorGroup" = Option<String>, Query, nullable = false, pattern = "^([0-9a-f]{16})?$",
            description = "The group of their latest failure"),
        ("worker" = Option<String>, Query, nullable = false, description = "A worker that has made an attempt of theirs"),
        ("asset" = Option<String>, Query, nullable = false, pattern = "^([0-9a-f]{24})?$", description = "What they are about"),
        ("from" = Option<String>, Query, nullable = false, example = "2026-01-02T03:04:05Z",
            description = "Accepted at this time or later"),
        ("to" = Option<String>, Query, nullable = false, description = "Accepted before this time"),
        ("limit" = Option<u64>, Query, description = "Jobs at once, 50 by default; above 100 it is 100", nullable = false,
            minimum = 1),
        ("cursor" = Option<String>, Query, nullable = false,
            description = "The `nextCursor` of the answer before. It belongs to the filters that were sent then"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "What is found", body = Envelope<JobsView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn list(State(app): State<App>, _: AdminReader, RawQuery(query): RawQuery) -> Result<Answer<JobsView>, Problem> {
    let query = query.as_deref().unwrap_or_default();
    filter::only(query, &["limit", "cursor"])?;
    Ok(Answer::ok(load(&app, query).await?, "Jobs fetched successfully"))
}

/// Counts jobs of anybody that fit a filter, which is given as to `findJobs`.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/count",
    operation_id = "countJobs",
    params(
        ("state" = Option<Vec<String>>, Query, nullable = false, description = "As of `findJobs`"),
        ("kind" = Option<Vec<String>>, Query, nullable = false, description = "As of `findJobs`"),
        ("queue" = Option<String>, Query, nullable = false, description = "As of `findJobs`"),
        ("user" = Option<String>, Query, nullable = false, description = "As of `findJobs`"),
        ("errorGroup" = Option<String>, Query, nullable = false, description = "As of `findJobs`"),
        ("worker" = Option<String>, Query, nullable = false, description = "As of `findJobs`"),
        ("asset" = Option<String>, Query, nullable = false, description = "As of `findJobs`"),
        ("from" = Option<String>, Query, nullable = false, description = "As of `findJobs`"),
        ("to" = Option<String>, Query, nullable = false, description = "As of `findJobs`"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "How many there are", body = Envelope<CountView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn count(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<CountView>, Problem> {
    let query = query.as_deref().unwrap_or_default();
    filter::only(query, &[])?;
    Ok(Answer::ok(load_count(&app, query).await?, "Jobs counted successfully"))
}

/// A part of the jobs that fit, as the query says.
pub(crate) async fn load(app: &App, query: &str) -> Result<JobsView, Problem> {
    let wanted = filter::read(app, query).await?;
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    let list = named(&wanted);
    let after = page::cursor(query, |text| position(&list, text))?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let SearchPage { items, next, searched_to } = app.store.jobs().search(&wanted, after.as_ref(), limit).await?;
    let items = AdminJobView::of_all(app, items).await?;
    let next_cursor = next.map(|JobPosition { created_at, id }| cursor::write(&list, created_at, &id.to_string()));
    Ok(JobsView { items, next_cursor, searched_to })
}

/// How many jobs fit, as the query says.
pub(crate) async fn load_count(app: &App, query: &str) -> Result<CountView, Problem> {
    let wanted = filter::read(app, query).await?;
    let counted = app.store.jobs().count(&wanted, COUNTED).await?;
    Ok(CountView { count: counted.count, at_least: counted.more })
}

/// What tells a list from every other one: it has all filters in it.
fn named(wanted: &Search) -> String {
    format!("jobs {wanted:?}")
}

fn position(list: &str, text: &str) -> Option<JobPosition> {
    let (created_at, id) = cursor::read(list, text)?;
    Some(JobPosition { created_at, id: id.parse().ok()? })
}
