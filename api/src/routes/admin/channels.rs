//! `/api/v1/admin/channels`: stored counts of a channel against a recount.

use axum::extract::State;
use messages::UserId;
use serde::Serialize;
use store::{Act, Checked, Numbers, Pace};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audited::{Acted, By, audited};
use crate::auth::{AdminWriter, ClientAddress};
use crate::http::{Answer, Envelope, PathText, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsAdmin, Refusals, TakesName, schemas};
use crate::state::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(reconcile))
}

/// What a comparison found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reconciled)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReconciledView {
    #[schema(schema_with = schemas::object_id)]
    pub(crate) channel: UserId,
    /// `right`: what is stored and what waits to be counted add up to a recount. `first`: nobody had counted it before. `mended`: they
    /// did not, and the recount is stored.
    #[schema(example = "right")]
    pub(crate) outcome: &'static str,
    /// What was stored, with the changes that waited to be counted; null unless it was wrong.
    #[schema(required)]
    pub(crate) stored: Option<CountsView>,
    /// What was counted, and is stored now; null unless what was stored was wrong.
    #[schema(required)]
    pub(crate) counted: Option<CountsView>,
}

/// Counts of a channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChannelCounts)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountsView {
    pub(crate) subscribers_count: i64,
    #[schema(required)]
    pub(crate) channels_subscribed_to_count: Option<i64>,
}

impl From<Numbers> for CountsView {
    fn from(numbers: Numbers) -> Self {
        Self { subscribers_count: numbers.number, channels_subscribed_to_count: numbers.exact }
    }
}

/// Compares a channel's stored counts with a recount now, and mends them if they differ.
#[utoipa::path(
    post,
    path = "/api/v1/admin/channels/{name}/reconcile",
    operation_id = "reconcileChannel",
    params(("name" = String, Path, description = "The channel's username, in any case")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "They are right now", body = Envelope<ReconciledView>),
        Refusals<(NeedsAdmin, TakesName, ChangesThings)>,
    ),
)]
async fn reconcile(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathText(name): PathText,
) -> Result<Answer<ReconciledView>, Problem> {
    let view = compare(&app, &By::new(&admin, from), &name).await?;
    let message = match view.outcome {
        "right" => "The stored counts are right",
        "first" => "The channel is counted for the first time",
        _ => "The stored counts were wrong, and are mended",
    };
    Ok(Answer::ok(view, message))
}

/// The same for any page. An entry in the audit counts what was mended.
pub(crate) async fn compare(app: &App, by: &By, name: &str) -> Result<ReconciledView, Problem> {
    let channel = app.store.users().by_name(name).await?.ok_or_else(unknown)?;
    let act = Act { detail: Some(name.to_owned()), ..by.does_to("channel.reconcile", "channel", &channel) };
    let store = app.store.clone();
    audited(app, act, async move {
        let checked = store.counters().reconcile(&store::subscribers(channel), &Pace::default()).await?;
        let (outcome, count, drift) = match checked {
            Checked::Right => ("right", 0, None),
            Checked::First => ("first", 1, None),
            Checked::Mended(drift) => ("mended", 1, Some(drift)),
            Checked::Gone => return Err(unknown()),
        };
        let (stored, counted) = drift.map(|drift| (drift.stored.into(), drift.counted.into())).unzip();
        Ok(Acted { answer: ReconciledView { channel, outcome, stored, counted }, count })
    })
    .await
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such channel")
}
