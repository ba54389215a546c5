//! The fleet at a glance.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use store::{Controlled, Window, WorkerState};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::alerts::{self, AlertView};
use super::figures::{Figures, gather};
use super::queues::{self, QueueView, SlotsView};
use super::workers::SpoolFillView;
use crate::auth::AdminReader;
use crate::http::page::values;
use crate::http::response::iso;
use crate::http::{Answer, Envelope, Problem};
use crate::openapi::{NeedsAdmin, Refusals, TakesParameters};
use crate::state::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The fleet at a glance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Overview)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OverviewView {
    /// `hour`, `day` or `week`.
    #[schema(example = "hour")]
    pub(crate) window: &'static str,
    /// When the window begins.
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) from: OffsetDateTime,
    /// Now, by MongoDB's clock.
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) to: OffsetDateTime,
    /// When what waits was counted; null if no worker has counted yet. A worker counts every ten seconds.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) counted_at: Option<OffsetDateTime>,
    pub(crate) queues: Vec<QueueView>,
    pub(crate) slots: SlotsView,
    pub(crate) workers: WorkerCountsView,
    pub(crate) spools: Vec<SpoolView>,
    /// Messages that wait for a person; null if the broker does not say so within a second.
    #[schema(required)]
    pub(crate) dead_letters: Option<u32>,
    /// How many channels have changes that are in no stored count; null if no worker has counted yet.
    #[schema(required)]
    pub(crate) channels_dirty: Option<u64>,
    /// The names of queues that are paused.
    pub(crate) paused_queues: Vec<String>,
    /// The names of users who are paused, as they were then.
    pub(crate) paused_users: Vec<String>,
    /// What somebody has to look at now; the worst first.
    pub(crate) alerts: Vec<AlertView>,
}

/// How many workers there are, by their state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WorkerCounts)]
pub(crate) struct WorkerCountsView {
    pub(crate) alive: u64,
    pub(crate) draining: u64,
    /// Within a week.
    pub(crate) vanished: u64,
}

/// A spool, as the worker told that gave the latest sign of life.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Spool)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpoolView {
    pub(crate) spool: String,
    /// When that was.
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) at: OffsetDateTime,
    #[serde(flatten)]
    pub(crate) fill: SpoolFillView,
}

/// The fleet at a glance: what waits, what has ended, who works, and what somebody has to look at.
///
/// Nothing is counted for the answer: workers count every ten seconds, and what has ended is kept by the minute for two days, by ten
/// minutes for a week and by the hour for sixty days.
#[utoipa::path(
    get,
    path = "/api/v1/admin/overview",
    operation_id = "getOverview",
    params(("window" = Option<String>, Query, nullable = false, example = "day",
        description = "`hour`, which is meant if there is none, `day` or `week`")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The fleet", body = Envelope<OverviewView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn show(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<OverviewView>, Problem> {
    let window = window(query.as_deref().unwrap_or_default())?;
    Ok(Answer::ok(load(&app, window).await?, "Overview fetched successfully"))
}

/// The window that a query asks for.
pub(crate) fn window(query: &str) -> Result<Window, Problem> {
    let names = Window::ALL.map(Window::as_str);
    let expected = || format!("one of {}", names.join(", "));
    let known = |text: &str| names.into_iter().find(|name| *name == text);
    let asked = values(query, "window", known, expected)?;
    if asked.len() > 1 {
        return Err(Problem::invalid("window", format!("must be {}", expected())));
    }
    let asked = Window::ALL.into_iter().find(|window| asked.contains(window.as_str()));
    Ok(asked.unwrap_or(Window::Hour))
}

/// The same for any page.
pub(crate) async fn load(app: &App, window: Window) -> Result<OverviewView, Problem> {
    let figures = Box::pin(gather(app, window)).await?;
    Ok(view(&figures, window))
}

fn view(figures: &Figures, window: Window) -> OverviewView {
    let mut workers = WorkerCountsView::default();
    for worker in &figures.workers {
        match worker.state() {
            WorkerState::Alive => workers.alive += 1,
            WorkerState::Draining => workers.draining += 1,
            WorkerState::Vanished => workers.vanished += 1,
            WorkerState::Left => {}
        }
    }
    let spool = |(spool, worker): (&str, &store::Worker)| {
        Some(SpoolView { spool: spool.to_owned(), at: worker.last_sign, fill: worker.spool_fill?.into() })
    };
    let paused = |is_user: bool| {
        let is_asked = move |what: &Controlled| match what {
            Controlled::Queue(_) => !is_user,
            Controlled::User(_) => is_user,
            Controlled::Worker(_) => false,
        };
        let controls = figures.controls.iter().filter(move |control| is_asked(&control.what));
        controls.map(|control| control.title.clone()).collect()
    };
    OverviewView {
        window: window.as_str(),
        from: figures.parts.first().map_or(figures.now, |part| part.at),
        to: figures.now,
        counted_at: figures.snapshot.as_ref().map(|snapshot| snapshot.at),
        queues: queues::of(figures, window),
        slots: figures.slots(None).into(),
        workers,
        spools: figures.spools().into_iter().filter_map(spool).collect(),
        dead_letters: figures.dead_letters,
        channels_dirty: figures.snapshot.as_ref().map(|snapshot| snapshot.dirty),
        paused_queues: paused(false),
        paused_users: paused(true),
        alerts: alerts::fire(figures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_an_hour_unless_another_one_is_asked_for() {
        for (query, expected) in [
            ("", Window::Hour),
            ("window=", Window::Hour),
            ("window=hour", Window::Hour),
            ("a=b&window=day", Window::Day),
            ("window=week", Window::Week),
        ] {
            assert_eq!(window(query).expect(query), expected, "{query}");
        }
        for query in ["window=year", "window=Hour", "window=hour&window=day", "window=hour,week"] {
            assert!(format!("{:?}", window(query).expect_err(query)).contains("field: \"window\""), "{query}");
        }
    }
}
