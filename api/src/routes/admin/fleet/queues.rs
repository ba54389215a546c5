//! Queues and what goes through them.

use axum::extract::{RawQuery, State};
use messages::{Job, Queue};
use serde::Serialize;
use store::{Controlled, Ended, JobState, Latencies, Rollup, Rollups, Window};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::audited::By;
use super::controls::{self, ControlForm, ControlView, SteeredView};
use super::figures::{Figures, Waits, gather};
use super::overview;
use crate::auth::{AdminReader, AdminWriter, ClientAddress};
use crate::http::response::iso;
use crate::http::{Answer, Envelope, Json, PathText, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsAdmin, Refusals, TakesJson, TakesName, TakesParameters};
use crate::state::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(pause, resume))
}

/// All queues.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queues)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueuesView {
    /// When what waits was counted, by MongoDB's clock; null if no worker has counted yet. A worker counts every ten seconds.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) counted_at: Option<OffsetDateTime>,
    pub(crate) queues: Vec<QueueView>,
}

/// A queue, in all spools, which holds the jobs of one kind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueView {
    /// The name that settings know it by.
    #[schema(example = "media.upload")]
    pub(crate) queue: &'static str,
    #[schema(example = "media.upload.v1")]
    pub(crate) kind: &'static str,
    /// Who has paused it; null if nobody has.
    #[schema(required)]
    pub(crate) paused: Option<ControlView>,
    /// Jobs that wait for a worker.
    pub(crate) waiting: AmountView,
    pub(crate) running: AmountView,
    /// Jobs that have failed, or whose user is paused, and wait for their next attempt.
    pub(crate) retryable: AmountView,
    /// How long the one is due that waits longest, seconds; null if none waits.
    #[schema(required, example = 12)]
    pub(crate) oldest_age_seconds: Option<u64>,
    pub(crate) slots: SlotsView,
    /// What has ended in the window.
    pub(crate) finished: FinishedView,
    /// How many end in a minute, on average of the window.
    #[schema(example = 4.5)]
    pub(crate) per_minute: f64,
    /// How long those took that were completed in the window, from when they were accepted.
    pub(crate) latency: LatencyView,
    /// The window in parts, the oldest first: 60 minutes, 144 times ten minutes or 168 hours. The last one is not over.
    #[schema(max_items = 168)]
    pub(crate) series: Vec<PointView>,
}

/// A number that is counted up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Amount)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AmountView {
    pub(crate) count: u64,
    /// Whether there are more.
    pub(crate) at_least: bool,
}

impl From<Waits> for AmountView {
    fn from(waits: Waits) -> Self {
        Self { count: waits.count, at_least: waits.at_least }
    }
}

/// Slots of all workers that live, and how many of them are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Slots)]
pub(crate) struct SlotsView {
    pub(crate) slots: u64,
    pub(crate) used: u64,
}

impl From<(u64, u64)> for SlotsView {
    fn from((slots, used): (u64, u64)) -> Self {
        Self { slots, used }
    }
}

/// How many jobs have ended, by how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Finished)]
pub(crate) struct FinishedView {
    pub(crate) completed: u64,
    pub(crate) discarded: u64,
    pub(crate) cancelled: u64,
}

impl FinishedView {
    fn of(ended: Option<&Ended>) -> Self {
        let Some(Ended { completed, discarded, cancelled, .. }) = ended else { return Self::default() };
        Self { completed: *completed, discarded: *discarded, cancelled: *cancelled }
    }
}

/// Percentiles in milliseconds, to within a quarter; null if nothing was completed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = Latency)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LatencyView {
    #[schema(required, example = 820)]
    pub(crate) p50_ms: Option<u64>,
    #[schema(required, example = 2400)]
    pub(crate) p95_ms: Option<u64>,
    #[schema(required, example = 5100)]
    pub(crate) p99_ms: Option<u64>,
}

impl LatencyView {
    fn of(latencies: Option<&Latencies>) -> Self {
        let percentile = |share| {
            let time = latencies?.percentile(share)?;
            u64::try_from(time.as_millis()).ok()
        };
        Self { p50_ms: percentile(0.5), p95_ms: percentile(0.95), p99_ms: percentile(0.99) }
    }
}

/// A part of the window.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Point)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PointView {
    /// When it began.
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) at: OffsetDateTime,
    #[serde(flatten)]
    pub(crate) finished: FinishedView,
    #[serde(flatten)]
    pub(crate) latency: LatencyView,
}

impl PointView {
    fn of(part: &Rollup, kind: &str) -> Self {
        let ended = part.kinds.iter().find(|ended| ended.kind == kind);
        Self {
            at: part.at,
            finished: FinishedView::of(ended),
            latency: LatencyView::of(ended.map(|ended| &ended.latency)),
        }
    }
}

/// All queues, of what was read.
pub(super) fn of(figures: &Figures, window: Window) -> Vec<QueueView> {
    let sums = Rollups::sum(&figures.parts);
    let minutes = window.stretch().length().as_secs_f64() * f64::from(window.parts()) / 60.0;
    let view = |&(kind, queue): &(&'static str, Queue)| {
        let ended = sums.iter().find(|ended| ended.kind == kind);
        let waiting = figures.waits(kind, &[JobState::Pending, JobState::Queued]);
        let retryable = figures.waits(kind, &[JobState::Retryable]);
        let oldest = [waiting.since, retryable.since].into_iter().flatten().min();
        QueueView {
            queue: queue.name,
            kind,
            paused: figures.pause_of(queue.name).map(ControlView::new),
            waiting: waiting.into(),
            running: figures.waits(kind, &[JobState::Running]).into(),
            retryable: retryable.into(),
            oldest_age_seconds: oldest.map(|since| figures.age(since).as_secs()),
            slots: figures.slots(Some(kind)).into(),
            finished: FinishedView::of(ended),
            per_minute: ended.map_or(0.0, |ended| ended.count() as f64 / minutes),
            latency: LatencyView::of(ended.map(|ended| &ended.latency)),
            series: figures.parts.iter().map(|part| PointView::of(part, kind)).collect(),
        }
    };
    Job::QUEUES.iter().map(view).collect()
}

/// The queues, with what waits in each and what has ended in the last hour, day or week.
#[utoipa::path(
    get,
    path = "/api/v1/admin/queues",
    operation_id = "listQueues",
    params(("window" = Option<String>, Query, nullable = false, example = "day",
        description = "`hour`, which is meant if there is none, `day` or `week`")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "All queues", body = Envelope<QueuesView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn list(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<QueuesView>, Problem> {
    let window = overview::window(query.as_deref().unwrap_or_default())?;
    Ok(Answer::ok(load(&app, window).await?, "Queues fetched successfully"))
}

/// The same for any page.
pub(crate) async fn load(app: &App, window: Window) -> Result<QueuesView, Problem> {
    let figures = Box::pin(gather(app, window)).await?;
    let counted_at = figures.snapshot.as_ref().map(|snapshot| snapshot.at);
    Ok(QueuesView { counted_at, queues: of(&figures, window) })
}

/// Pauses a queue in all spools.
///
/// Workers stop taking its jobs within a few seconds and finish those that run. Other queues go on, and so does accepting uploads. Calling
/// it again changes nothing.
#[utoipa::path(
    put,
    path = "/api/v1/admin/queues/{queue}/pause",
    operation_id = "pauseQueue",
    params(("queue" = String, Path, description = "The queue's name, such as media.upload")),
    request_body = ControlForm,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is paused", body = Envelope<SteeredView>),
        Refusals<(NeedsAdmin, TakesName, TakesJson, ChangesThings)>,
    ),
)]
async fn pause(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathText(queue): PathText,
    Json(form): Json<ControlForm>,
) -> Result<Answer<SteeredView>, Problem> {
    let view = set_pause(&app, &By::new(&admin, from), &queue, form).await?;
    let message = if view.changed { "The queue is paused" } else { "The queue was paused already" };
    Ok(Answer::ok(view, message))
}

/// The same for any page.
pub(crate) async fn set_pause(app: &App, by: &By, queue: &str, form: ControlForm) -> Result<SteeredView, Problem> {
    let queue = known(queue)?;
    controls::set(app, by, "queue.pause", Controlled::Queue(queue.to_owned()), queue, form).await
}

/// Resumes a queue that is paused.
///
/// Workers take its jobs again within a few seconds. Calling it again changes nothing.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/queues/{queue}/pause",
    operation_id = "resumeQueue",
    params(("queue" = String, Path, description = "The queue's name, such as media.upload")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is not paused", body = Envelope<SteeredView>),
        Refusals<(NeedsAdmin, TakesName, ChangesThings)>,
    ),
)]
async fn resume(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathText(queue): PathText,
) -> Result<Answer<SteeredView>, Problem> {
    let view = lift_pause(&app, &By::new(&admin, from), &queue).await?;
    let message = if view.changed { "The queue goes on" } else { "The queue was not paused" };
    Ok(Answer::ok(view, message))
}

/// The same for any page.
pub(crate) async fn lift_pause(app: &App, by: &By, queue: &str) -> Result<SteeredView, Problem> {
    let queue = known(queue)?;
    controls::lift(app, by, "queue.resume", Controlled::Queue(queue.to_owned()), queue).await
}

fn known(name: &str) -> Result<&'static str, Problem> {
    let known = Job::QUEUES.iter().find(|(_, queue)| queue.name == name);
    known.map(|(_, queue)| queue.name).ok_or_else(|| Problem::new(ProblemKind::NotFound, "there is no such queue"))
}
