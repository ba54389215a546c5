//! Stored counts: what is in none of them yet, and what comparing them with recounts has found.

use axum::extract::State;
use serde::Serialize;
use store::{LastDrift, Reconciliation};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::AdminReader;
use crate::http::response::iso;
use crate::http::{Answer, Envelope, Problem};
use crate::openapi::{NeedsAdmin, Refusals};
use crate::state::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Stored counts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredCounts)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountersView {
    /// When the next two were counted; null if no worker has counted yet.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) counted_at: Option<OffsetDateTime>,
    /// How many channels have changes that are in no stored count; null if no worker has counted yet.
    #[schema(required)]
    pub(crate) dirty: Option<u64>,
    /// How long the oldest of those changes waits, seconds; null if none does.
    #[schema(required)]
    pub(crate) lag_seconds: Option<u64>,
    /// When some counts were last compared with a recount; null if none ever was.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) reconciled_at: Option<OffsetDateTime>,
    /// How many were compared then.
    pub(crate) checked: u64,
    /// How many of those were wrong, and were mended.
    pub(crate) drifted: u64,
    /// How many were ever compared.
    pub(crate) checked_ever: u64,
    /// How many were ever wrong.
    pub(crate) drifted_ever: u64,
    /// The one that was wrong last; null if none ever was.
    #[schema(required)]
    pub(crate) last_drift: Option<DriftView>,
}

/// A count that was wrong, and was mended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Drift)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DriftView {
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) at: OffsetDateTime,
    /// Which count, and of whom.
    #[schema(example = "subscribers:65a1b2c3d4e5f60718293a01")]
    pub(crate) key: String,
    /// The channel's name.
    pub(crate) title: String,
    /// What was stored, with the changes that waited to be counted.
    pub(crate) stored: i64,
    pub(crate) counted: i64,
}

impl From<LastDrift> for DriftView {
    fn from(LastDrift { at, key, title, stored, counted }: LastDrift) -> Self {
        Self { at, key, title, stored, counted }
    }
}

/// Stored counts: what is in none of them yet, and how many were wrong.
#[utoipa::path(
    get,
    path = "/api/v1/admin/counters",
    operation_id = "getCounters",
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The counts", body = Envelope<CountersView>), Refusals<(NeedsAdmin,)>),
)]
async fn show(State(app): State<App>, _: AdminReader) -> Result<Answer<CountersView>, Problem> {
    Ok(Answer::ok(load(&app).await?, "Counters fetched successfully"))
}

/// The same for any page.
pub(crate) async fn load(app: &App) -> Result<CountersView, Problem> {
    let (snapshot, found) = tokio::try_join!(app.store.rollups().snapshot(), app.store.counters().reconciled())?;
    let lag = snapshot.as_ref().and_then(|snapshot| Some((snapshot.at - snapshot.dirty_since?).whole_seconds()));
    let mut view = CountersView {
        counted_at: snapshot.as_ref().map(|snapshot| snapshot.at),
        dirty: snapshot.as_ref().map(|snapshot| snapshot.dirty),
        lag_seconds: lag.map(|seconds| u64::try_from(seconds).unwrap_or(0)),
        reconciled_at: None,
        checked: 0,
        drifted: 0,
        checked_ever: 0,
        drifted_ever: 0,
        last_drift: None,
    };
    if let Some(Reconciliation { at, checked, drifted, checked_ever, drifted_ever, last_drift }) = found {
        view.reconciled_at = Some(at);
        (view.checked, view.drifted) = (checked, drifted);
        (view.checked_ever, view.drifted_ever) = (checked_ever, drifted_ever);
        view.last_drift = last_drift.map(Into::into);
    }
    Ok(view)
}
