//! `GET /api/v1/admin/audit`: what admins did.

use axum::extract::{RawQuery, State};
use messages::UserId;
use serde::Serialize;
use store::{AuditEntry, AuditId, AuditPosition};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor;
use crate::auth::AdminReader;
use crate::http::page::{self, number};
use crate::http::response::iso;
use crate::http::{Answer, Envelope, Problem};
use crate::openapi::{NeedsAdmin, Refusals, TakesParameters};
use crate::state::App;

const LIST: &str = "audit";
const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 100;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A part of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditPageView {
    /// Newest first.
    pub(crate) items: Vec<AuditEntryView>,
    /// What to ask for as `cursor` to get more; null at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// What somebody did. An entry is written before the action begins, and completed when it has ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEntryView {
    #[schema(pattern = "^[0-9a-f]{24}$")]
    pub(crate) id: String,
    /// When it began.
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) at: OffsetDateTime,
    pub(crate) by: ActorView,
    /// The client's address; null of the command line.
    #[schema(required, example = "192.0.2.1")]
    pub(crate) from: Option<String>,
    #[schema(example = "job.retry")]
    pub(crate) action: String,
    /// What was acted upon; null if that is no single thing.
    #[schema(required)]
    pub(crate) target: Option<TargetView>,
    /// What else was asked for.
    #[schema(required)]
    pub(crate) detail: Option<String>,
    /// `begun`, `done` or `failed`. What stays `begun` may have happened: its process ended in the middle of it.
    #[schema(example = "done")]
    pub(crate) outcome: String,
    /// Why it was refused or has failed; null otherwise.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// How many things it has changed; null unless it is done.
    #[schema(required)]
    pub(crate) count: Option<u64>,
    /// When it ended.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) ended_at: Option<OffsetDateTime>,
}

/// Who acted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditActor)]
pub(crate) struct ActorView {
    /// The user's id; null of the command line.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{24}$", required)]
    pub(crate) user: Option<UserId>,
    /// Their name at that time.
    pub(crate) name: String,
}

/// What was acted upon.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditTarget)]
pub(crate) struct TargetView {
    #[schema(example = "job")]
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl AuditEntryView {
    fn new(entry: AuditEntry) -> Self {
        Self {
            id: entry.id().to_string(),
            at: entry.at,
            by: ActorView { user: entry.by.user, name: entry.by.name },
            from: entry.from,
            action: entry.action,
            target: entry.target.map(|target| TargetView { kind: target.kind, id: target.id }),
            detail: entry.detail,
            outcome: entry.outcome,
            reason: entry.reason,
            count: entry.count,
            ended_at: entry.ended_at,
        }
    }
}

/// What admins did, newest first.
///
/// Also what was refused. Entries are kept for 400 days.
#[utoipa::path(
    get,
    path = "/api/v1/admin/audit",
    operation_id = "listAudit",
    params(
        ("limit" = Option<u64>, Query, description = "Entries at once, 50 by default; above 100 it is 100", nullable = false,
            minimum = 1),
        ("cursor" = Option<String>, Query, nullable = false, description = "The `nextCursor` of the answer before"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "A part of the audit", body = Envelope<AuditPageView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn list(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<AuditPageView>, Problem> {
    let page = load(&app, query.as_deref().unwrap_or_default()).await?;
    Ok(Answer::ok(page, "Audit fetched successfully"))
}

/// A part of the audit, as the query says.
pub(crate) async fn load(app: &App, query: &str) -> Result<AuditPageView, Problem> {
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    let after = page::cursor(query, position)?;
    let page = app.store.audit().list(after, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
    let next_cursor = page.next.map(|AuditPosition { at, id }| cursor::write(LIST, at, &id.to_string()));
    Ok(AuditPageView { items: page.items.into_iter().map(AuditEntryView::new).collect(), next_cursor })
}

fn position(text: &str) -> Option<AuditPosition> {
    let (at, id) = cursor::read(LIST, text)?;
    Some(AuditPosition { at, id: id.parse::<AuditId>().ok()? })
}
