//! Workers, by their signs of life.

use axum::extract::{RawQuery, State};
use messages::JobId;
use serde::Serialize;
use store::{Controlled, SlotsOf, Worker, WorkerPage, WorkerPosition, WorkerState};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::audited::By;
use super::super::cursor;
use super::controls::{self, ControlForm, ControlView, SteeredView};
use crate::auth::{AdminReader, AdminWriter, ClientAddress};
use crate::http::page::{self, number, values};
use crate::http::response::iso;
use crate::http::{Answer, Envelope, Json, PathText, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsAdmin, Refusals, TakesJson, TakesName, TakesParameters};
use crate::state::App;

const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 100;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(drain, undrain))
}

/// A part of the list of workers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkersView {
    /// Those that started last come first.
    pub(crate) items: Vec<WorkerView>,
    /// What to ask for as `cursor`, with the same `left`, to get more; null at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// A worker by its last sign of life, of which it gives one every five seconds. It is remembered for a week after the last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerView {
    /// As attempts name it.
    #[schema(example = "web-1-4711-0123abcd")]
    pub(crate) name: String,
    /// `alive`; `draining`: it takes nothing, because it was told so or is about to end; `vanished`: it has given no sign of life for 20 s
    /// and had not said that it ends; `left`: it has ended in good order.
    #[schema(example = "alive")]
    pub(crate) state: &'static str,
    pub(crate) version: String,
    pub(crate) host: String,
    /// The spool whose files it can open.
    pub(crate) spool: String,
    /// When it started.
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) since: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) last_sign: OffsetDateTime,
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) left_at: Option<OffsetDateTime>,
    /// Who told it to drain; null if nobody has, or was not asked for in a list.
    #[schema(required)]
    pub(crate) drain: Option<ControlView>,
    pub(crate) slots: Vec<SlotsOfView>,
    /// The jobs that it runs, the longest first, at most 100.
    #[schema(max_items = 100)]
    pub(crate) running: Vec<RunningJobView>,
    /// How many it runs in all.
    pub(crate) running_count: u64,
    /// By how much its clock is ahead of MongoDB's, milliseconds; less than nothing if it is behind. Null if it does not know yet.
    #[schema(required)]
    pub(crate) clock_offset_ms: Option<i64>,
    /// What lay in its spool when it was last swept; null before that.
    #[schema(required)]
    pub(crate) spool_fill: Option<SpoolFillView>,
}

/// How many jobs of a kind a worker runs at once, and how many it does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SlotsOfKind)]
pub(crate) struct SlotsOfView {
    #[schema(example = "media.upload.v1")]
    pub(crate) kind: String,
    pub(crate) slots: u32,
    pub(crate) used: u32,
}

/// A job that a worker runs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunningJob)]
pub(crate) struct RunningJobView {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) job: JobId,
    #[schema(example = "media.upload.v1")]
    pub(crate) kind: String,
    /// When the attempt began.
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) since: OffsetDateTime,
}

/// What lies in a spool.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = SpoolFill)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpoolFillView {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// What is free on its disk; null if that does not say.
    #[schema(required)]
    pub(crate) free_bytes: Option<u64>,
}

impl From<store::SpoolFill> for SpoolFillView {
    fn from(store::SpoolFill { files, bytes, free_bytes }: store::SpoolFill) -> Self {
        Self { files, bytes, free_bytes }
    }
}

impl WorkerView {
    fn new(worker: Worker, drain: Option<ControlView>) -> Self {
        let slots = |SlotsOf { kind, slots, used }| SlotsOfView { kind, slots, used };
        let running = |job: store::RunningJob| RunningJobView { job: job.job, kind: job.kind, since: job.since };
        Self {
            state: worker.state().as_str(),
            name: worker.name,
            version: worker.version,
            host: worker.host,
            spool: worker.spool,
            since: worker.since,
            last_sign: worker.last_sign,
            left_at: worker.left_at,
            drain,
            slots: worker.slots.into_iter().map(slots).collect(),
            running: worker.running.into_iter().map(running).collect(),
            running_count: worker.running_count,
            clock_offset_ms: worker.clock_offset_ms,
            spool_fill: worker.spool_fill.map(Into::into),
        }
    }
}

/// Which workers are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkersQuery {
    /// Also those that have ended in good order.
    pub(crate) left: bool,
    pub(crate) limit: u32,
    pub(crate) after: Option<WorkerPosition>,
}

impl WorkersQuery {
    pub(crate) fn read(query: &str) -> Result<Self, Problem> {
        let boolean = |text: &str| text.parse::<bool>().ok();
        let left = values(query, "left", boolean, || "true or false".to_owned())?.last() == Some(&true);
        let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
        let position = |text: &str| {
            let (since, name) = cursor::read(list_name(left), text)?;
            Some(WorkerPosition { since, name: name.to_owned() })
        };
        let after = page::cursor(query, position)?;
        Ok(Self { left, limit: u32::try_from(limit).unwrap_or(u32::MAX), after })
    }
}

const fn list_name(left: bool) -> &'static str {
    if left { "workers and those that left" } else { "workers" }
}

/// The workers, those that started last first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/workers",
    operation_id = "listWorkers",
    params(
        ("left" = Option<bool>, Query, nullable = false, description = "`true`: also those that have ended in good order"),
        ("limit" = Option<u64>, Query, description = "Workers at once, 50 by default; above 100 it is 100", nullable = false,
            minimum = 1),
        ("cursor" = Option<String>, Query, nullable = false, description = "The `nextCursor` of the answer before"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "A part of the list", body = Envelope<WorkersView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn list(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<WorkersView>, Problem> {
    let query = WorkersQuery::read(query.as_deref().unwrap_or_default())?;
    Ok(Answer::ok(load(&app, query).await?, "Workers fetched successfully"))
}

/// The same for any page.
pub(crate) async fn load(app: &App, query: WorkersQuery) -> Result<WorkersView, Problem> {
    let WorkersQuery { left, limit, after } = query;
    let WorkerPage { items, next } = app.store.workers().list(left, after.as_ref(), limit).await?;
    let what: Vec<Controlled> = items.iter().map(|worker| Controlled::Worker(worker.name.clone())).collect();
    let told = app.store.controls().among(&what).await?;
    let drain = |name: &str| {
        let drain = told.iter().find(|control| matches!(&control.what, Controlled::Worker(worker) if worker == name));
        drain.map(ControlView::new)
    };
    let next_cursor = next.map(|position| cursor::write(list_name(left), position.since, &position.name));
    let items = items.into_iter().map(|worker| {
        let drain = drain(&worker.name);
        WorkerView::new(worker, drain)
    });
    Ok(WorkersView { items: items.collect(), next_cursor })
}

/// A worker.
#[utoipa::path(
    get,
    path = "/api/v1/admin/workers/{name}",
    operation_id = "getWorker",
    params(("name" = String, Path, description = "As attempts name it")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The worker", body = Envelope<WorkerView>),
        Refusals<(NeedsAdmin, TakesName)>,
    ),
)]
async fn show(State(app): State<App>, _: AdminReader, PathText(name): PathText) -> Result<Answer<WorkerView>, Problem> {
    Ok(Answer::ok(load_one(&app, &name).await?, "Worker fetched successfully"))
}

/// The same for any page.
pub(crate) async fn load_one(app: &App, name: &str) -> Result<WorkerView, Problem> {
    let what = Controlled::Worker(name.to_owned());
    let (worker, drain) = tokio::try_join!(app.store.workers().find(name), app.store.controls().find(&what))?;
    Ok(WorkerView::new(worker.ok_or_else(unknown)?, drain.as_ref().map(ControlView::new)))
}

/// Has a worker drain.
///
/// Within a few seconds it takes nothing more. It finishes what runs, stays alive, and is not ready meanwhile. Calling it again changes
/// nothing.
#[utoipa::path(
    put,
    path = "/api/v1/admin/workers/{name}/drain",
    operation_id = "drainWorker",
    params(("name" = String, Path, description = "As attempts name it")),
    request_body = ControlForm,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It drains", body = Envelope<SteeredView>),
        Refusals<(NeedsAdmin, TakesName, TakesJson, ChangesThings)>,
    ),
)]
async fn drain(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathText(name): PathText,
    Json(form): Json<ControlForm>,
) -> Result<Answer<SteeredView>, Problem> {
    let view = set_drain(&app, &By::new(&admin, from), &name, form).await?;
    let message = if view.changed { "The worker drains" } else { "The worker was told to drain already" };
    Ok(Answer::ok(view, message))
}

/// The same for any page.
pub(crate) async fn set_drain(app: &App, by: &By, name: &str, form: ControlForm) -> Result<SteeredView, Problem> {
    let worker = app.store.workers().find(name).await?.filter(|worker| worker.state() != WorkerState::Left);
    let worker = worker.ok_or_else(unknown)?;
    controls::set(app, by, "worker.drain", Controlled::Worker(worker.name.clone()), &worker.name, form).await
}

/// Has a worker that drains take jobs again.
///
/// Calling it again changes nothing.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/workers/{name}/drain",
    operation_id = "undrainWorker",
    params(("name" = String, Path, description = "As attempts name it")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is not told to drain", body = Envelope<SteeredView>),
        Refusals<(NeedsAdmin, TakesName, ChangesThings)>,
    ),
)]
async fn undrain(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathText(name): PathText,
) -> Result<Answer<SteeredView>, Problem> {
    let view = lift_drain(&app, &By::new(&admin, from), &name).await?;
    let message = if view.changed { "The worker takes jobs again" } else { "The worker was not told to drain" };
    Ok(Answer::ok(view, message))
}

/// The same for any page.
pub(crate) async fn lift_drain(app: &App, by: &By, name: &str) -> Result<SteeredView, Problem> {
    let worker = app.store.workers().find(name).await?.ok_or_else(unknown)?;
    controls::lift(app, by, "worker.undrain", Controlled::Worker(worker.name.clone()), &worker.name).await
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such worker")
}
