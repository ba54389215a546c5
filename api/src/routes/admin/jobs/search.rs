//! `GET /api/v1/admin/jobs/search`: what an id or a name is.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use store::LookedUp;
use utoipa::ToSchema;

use crate::auth::AdminReader;
use crate::http::page::text;
use crate::http::{Answer, Envelope, Problem};
use crate::openapi::{NeedsAdmin, Refusals, TakesParameters};
use crate::state::App;

/// Something that has an id or a name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminFound)]
pub(crate) struct FoundView {
    /// `job`, `asset`, `user` or `errorGroup`.
    #[schema(example = "job")]
    pub(crate) what: &'static str,
    pub(crate) id: String,
    /// Of a user.
    #[schema(required)]
    pub(crate) name: Option<String>,
}

/// Tells what an id or a name is.
///
/// The id of a job, an asset, a user or a group of errors, or the name of a user. There is nothing in the list if nothing has it.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/search",
    operation_id = "lookUp",
    params(("q" = String, Query, description = "An id or a name", example = "grace")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "What has it", body = Envelope<Vec<FoundView>>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
pub(super) async fn search(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<Vec<FoundView>>, Problem> {
    let found = load(&app, query.as_deref().unwrap_or_default()).await?;
    Ok(Answer::ok(found, "Looked up successfully"))
}

/// What has the id or name that stands in the query.
pub(crate) async fn load(app: &App, query: &str) -> Result<Vec<FoundView>, Problem> {
    let asked = text(query, "q")?;
    if asked.trim().is_empty() {
        return Err(Problem::invalid("q", "must be an id or a name"));
    }
    let found = app.store.look_up(&asked).await?;
    Ok(found.into_iter().map(FoundView::new).collect())
}

impl FoundView {
    fn new(found: LookedUp) -> Self {
        let (what, id, name) = match found {
            LookedUp::Job(id) => ("job", id.to_string(), None),
            LookedUp::Asset(id) => ("asset", id.to_string(), None),
            LookedUp::User { id, username } => ("user", id.to_string(), Some(username)),
            LookedUp::ErrorGroup(id) => ("errorGroup", id.to_string(), None),
        };
        Self { what, id, name }
    }
}
