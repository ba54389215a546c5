//! `/api/v1/admin/webhook-endpoints`: everybody's endpoints to be seen, and the operator's own, which get everybody's events, to be
//! changed.

pub(crate) mod changes;
pub(crate) mod replays;

use axum::extract::{RawQuery, State};
use messages::{EndpointId, UserId};
use serde::Serialize;
use store::{Endpoint, EndpointPage, EndpointPosition, Holder};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor;
use crate::auth::AdminReader;
use crate::http::page::{self, number, values};
use crate::http::{Answer, Envelope, Problem, ProblemKind};
use crate::openapi::{NeedsAdmin, Refusals, TakesParameters};
use crate::routes::webhook_endpoints::views::EndpointView;
use crate::state::App;

const LIST: &str = "webhook-endpoints";
const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 100;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, changes::register))
        .routes(routes!(changes::remove))
        .routes(routes!(changes::enable))
        .routes(routes!(changes::disable))
        .routes(routes!(changes::rotate))
        .routes(routes!(replays::one))
        .routes(routes!(replays::range))
}

/// A part of the list of endpoints.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnybodysWebhookEndpointPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointsView {
    /// Newest first.
    pub(crate) items: Vec<AnybodysEndpointView>,
    /// What to ask for as `cursor`, with the same `holder`, to get more; null at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// An endpoint of anybody's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnybodysWebhookEndpoint)]
pub(crate) struct AnybodysEndpointView {
    /// Whose it is; null if it is the operator's, which gets everybody's events.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{24}$", required)]
    pub(crate) owner: Option<UserId>,
    #[serde(flatten)]
    pub(crate) endpoint: EndpointView,
}

impl AnybodysEndpointView {
    fn new(endpoint: Endpoint) -> Self {
        Self { owner: endpoint.owner, endpoint: EndpointView::new(endpoint) }
    }
}

/// Endpoints of webhooks, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webhook-endpoints",
    operation_id = "listAnybodysWebhookEndpoints",
    params(
        ("holder" = Option<String>, Query, nullable = false, description = "`operator`: only those that get everybody's events"),
        ("limit" = Option<u64>, Query, description = "Endpoints at once, 50 by default; above 100 it is 100", nullable = false,
            minimum = 1),
        ("cursor" = Option<String>, Query, nullable = false, description = "The `nextCursor` of the answer before"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "A part of the list", body = Envelope<EndpointsView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn list(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<EndpointsView>, Problem> {
    let page = load(&app, query.as_deref().unwrap_or_default()).await?;
    Ok(Answer::ok(page, "Endpoints fetched successfully"))
}

/// A part of the list of endpoints, as the query says.
pub(crate) async fn load(app: &App, query: &str) -> Result<EndpointsView, Problem> {
    let holder = |text: &str| (text == "operator").then_some(());
    let is_operators = !values(query, "holder", holder, || "operator".to_owned())?.is_empty();
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    // There are so few of the operator's that they are one part.
    let after = page::cursor(query, |text| position(text).filter(|_| !is_operators))?;
    let webhooks = app.store.webhooks();
    let page = if is_operators {
        let mut items = webhooks.endpoints_of(Holder::Operator).await?;
        items.reverse();
        EndpointPage { items, next: None }
    } else {
        webhooks.all_endpoints(after, u32::try_from(limit).unwrap_or(u32::MAX)).await?
    };
    let next_cursor = page.next.map(|next| cursor::write(LIST, next.created_at, &next.id.to_string()));
    Ok(EndpointsView { items: page.items.into_iter().map(AnybodysEndpointView::new).collect(), next_cursor })
}

fn position(text: &str) -> Option<EndpointPosition> {
    let (created_at, id): (OffsetDateTime, &str) = cursor::read(LIST, text)?;
    Some(EndpointPosition { created_at, id: id.parse::<EndpointId>().ok()? })
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "the operator has no such endpoint")
}
