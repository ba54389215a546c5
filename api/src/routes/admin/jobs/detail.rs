//! `GET /api/v1/admin/jobs/{id}`: everything of a job.

use std::time::Duration;

use axum::extract::State;
use messages::{AssetId, EndpointId, EventId, JobId};
use serde::Serialize;
use serde_json::Value;
use store::{Around, Asset, Attempt, AttemptOutcome, Delivery, JobEvent, JobRecord};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::views::AdminJobView;
use crate::auth::AdminReader;
use crate::http::response::iso;
use crate::http::{Answer, Envelope, PathId, Problem, ProblemKind};
use crate::openapi::{NeedsAdmin, Refusals, TakesId, schemas};
use crate::routes::jobs::progress::ProgressView;
use crate::routes::jobs::waits::{self, WaitView};
use crate::state::App;

/// Everything of a job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminJob)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDetailView {
    #[serde(flatten)]
    pub(crate) job: AdminJobView,
    /// Its payload.
    #[schema(value_type = Object)]
    pub(crate) data: Value,
    /// At most one unfinished job has it.
    #[schema(required)]
    pub(crate) unique_key: Option<String>,
    /// The latest attempts, oldest first.
    pub(crate) attempts: Vec<AttemptDetailView>,
    /// Why it waits; null if it runs or has ended.
    #[schema(required)]
    pub(crate) waits: Option<WaitView>,
    // Until when its worker holds it, unless the lease is renewed.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) lease_until: Option<OffsetDateTime>,
    // When a relay looks at it, until it has ended.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) due_at: Option<OffsetDateTime>,
    /// The asset that it is about; null if there is none (any more).
    #[schema(required)]
    pub(crate) about: Option<AssetDetailView>,
    pub(crate) trace: TraceView,
    /// What it has announced, oldest first. Events are kept for seven days, and are not known of jobs of earlier releases.
    pub(crate) events: Vec<EventView>,
    /// What became of its events at the endpoints of webhooks.
    pub(crate) deliveries: Vec<EventDeliveryView>,
    /// Jobs that it has brought about.
    pub(crate) follow_ups: Vec<AdminJobView>,
    /// Other jobs about the same asset, newest first, at most 50: what waits for it, or it for them.
    pub(crate) same_asset: Vec<AdminJobView>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminAttempt)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptDetailView {
    pub(crate) number: u32,
    pub(crate) worker: String,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) started_at: OffsetDateTime,
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) ended_at: Option<OffsetDateTime>,
    /// Milliseconds from the end of the attempt before, or from when it was accepted; null if that is not known.
    #[schema(required)]
    pub(crate) waited_ms: Option<u64>,
    /// Milliseconds that it took; null while it runs.
    #[schema(required)]
    pub(crate) took_ms: Option<u64>,
    #[schema(schema_with = schemas::maybe_outcome, required)]
    pub(crate) outcome: Option<&'static str>,
    /// What it ran into, as it was recorded.
    #[schema(required)]
    pub(crate) error: Option<String>,
    /// The error for programs.
    #[schema(required, example = "media-host-busy")]
    pub(crate) code: Option<String>,
    /// The HTTP status that the media host answered, if that was the error.
    #[schema(required, example = 503)]
    pub(crate) status: Option<u16>,
}

/// An asset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminJobAsset)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetDetailView {
    #[schema(schema_with = schemas::object_id)]
    pub(crate) id: AssetId,
    #[schema(schema_with = schemas::asset_state)]
    pub(crate) state: &'static str,
    /// `avatar`, `coverImage` or `media`.
    #[schema(example = "media")]
    pub(crate) role: &'static str,
    #[schema(example = "image/png")]
    pub(crate) content_type: String,
    #[schema(schema_with = schemas::resource_type)]
    pub(crate) resource_type: &'static str,
    pub(crate) bytes: u64,
    /// At the client. Not to be trusted.
    pub(crate) original_name: String,
    /// Its name at the media host.
    pub(crate) public_id: String,
    /// Where it can be seen.
    #[schema(format = Uri)]
    pub(crate) url: String,
    /// Where the media host serves it; null until it does.
    #[schema(required)]
    pub(crate) media_host_url: Option<String>,
    /// Why it failed; null otherwise.
    #[schema(required)]
    pub(crate) reason: Option<String>,
}

/// By what a job is found in traces and logs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminJobTrace)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TraceView {
    /// Of the request that submitted it; null if it was not traced.
    #[schema(required, example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub(crate) trace_id: Option<String>,
    #[schema(required)]
    pub(crate) traceparent: Option<String>,
    #[schema(required)]
    pub(crate) request_id: Option<String>,
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminJobEvent)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventView {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) id: EventId,
    #[schema(example = "media.ready.v1")]
    pub(crate) kind: String,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) at: OffsetDateTime,
    /// Whether the broker has it.
    pub(crate) published: bool,
}

/// What became of an event at an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminJobDelivery)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventDeliveryView {
    #[schema(schema_with = schemas::object_id)]
    pub(crate) endpoint: EndpointId,
    #[schema(value_type = String, format = Uuid)]
    pub(crate) event: EventId,
    #[schema(schema_with = schemas::delivery_state)]
    pub(crate) state: &'static str,
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// The job that sends it.
    #[schema(value_type = Option<String>, format = Uuid, required)]
    pub(crate) job: Option<JobId>,
    /// How often it was tried, of the latest attempts.
    pub(crate) attempts: usize,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) updated_at: OffsetDateTime,
}

/// Tells everything of a job, whosever it is.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/{id}",
    operation_id = "showJob",
    params(("id" = String, Path, description = "The job's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The job", body = Envelope<JobDetailView>),
        Refusals<(NeedsAdmin, TakesId)>,
    ),
)]
pub(super) async fn show(
    State(app): State<App>,
    _: AdminReader,
    PathId(id): PathId<JobId>,
) -> Result<Answer<JobDetailView>, Problem> {
    let view = load(&app, id).await?;
    let message = format!("Job is {}", view.job.state);
    Ok(Answer::ok(view, message))
}

/// Everything of a job. 404 if there is none (any more).
pub(crate) async fn load(app: &App, id: JobId) -> Result<JobDetailView, Problem> {
    // It asks for much at once, and so is large.
    Box::pin(gather(app, id)).await
}

async fn gather(app: &App, id: JobId) -> Result<JobDetailView, Problem> {
    let unknown = || Problem::new(ProblemKind::NotFound, "there is no such job");
    let job = app.store.jobs().find(id).await?.ok_or_else(unknown)?;
    let asset = async {
        match job.asset {
            Some(asset) => app.store.media().find(asset).await,
            None => Ok(None),
        }
    };
    let (asset, waits, around, deliveries) = tokio::try_join!(
        asset,
        waits::of(app, &job, "of its owner"),
        app.store.jobs().around(&job),
        app.store.webhooks().deliveries_of(job.owner, &job.events),
    )?;
    let Around { events, follow_ups, of_asset } = around;
    let (number, more) = (follow_ups.len(), [follow_ups, of_asset].concat());
    // One look-up of names for all of them.
    let mut views = AdminJobView::of_all(app, [vec![job.clone()], more].concat()).await?.into_iter();
    let mut view = views.next().ok_or_else(unknown)?;
    view.progress = ProgressView::of(&job, asset.as_ref());
    let (follow_ups, same_asset) = (views.by_ref().take(number).collect(), views.collect());
    Ok(JobDetailView {
        job: view,
        attempts: attempts(&job),
        waits,
        about: asset.map(|asset| AssetDetailView::new(app, asset)),
        trace: TraceView::new(&job),
        events: events.into_iter().map(EventView::new).collect(),
        deliveries: deliveries.into_iter().map(EventDeliveryView::new).collect(),
        follow_ups,
        same_asset,
        data: job.data,
        unique_key: job.unique_key,
        lease_until: job.lease_until,
        due_at: job.due_at,
    })
}

fn attempts(job: &JobRecord) -> Vec<AttemptDetailView> {
    let first = job.attempts.first().filter(|attempt| attempt.number == 1).map(|_| job.created_at);
    let before = std::iter::once(first).chain(job.attempts.iter().map(|attempt| attempt.ended_at));
    job.attempts.iter().zip(before).map(|(attempt, before)| AttemptDetailView::new(attempt, before)).collect()
}

impl AttemptDetailView {
    fn new(attempt: &Attempt, before: Option<OffsetDateTime>) -> Self {
        Self {
            number: attempt.number,
            worker: attempt.worker.clone(),
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            waited_ms: before.map(|before| milliseconds(before, attempt.started_at)),
            took_ms: attempt.ended_at.map(|ended| milliseconds(attempt.started_at, ended)),
            outcome: attempt.outcome.map(AttemptOutcome::as_str),
            error: attempt.error.clone(),
            code: attempt.code.clone(),
            status: attempt.status,
        }
    }
}

/// From one time to another one; none if that is not later.
fn milliseconds(from: OffsetDateTime, to: OffsetDateTime) -> u64 {
    let took = Duration::try_from(to - from).unwrap_or_default();
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

impl AssetDetailView {
    fn new(app: &App, asset: Asset) -> Self {
        Self {
            url: app.media_url(asset.id, Some(&asset.media_type.content_type)),
            id: asset.id,
            state: asset.state.as_str(),
            role: asset.role.as_str(),
            resource_type: asset.media_type.resource_type.as_str(),
            content_type: asset.media_type.content_type,
            bytes: asset.bytes,
            original_name: asset.original_name,
            public_id: asset.public_id,
            media_host_url: asset.stored.map(|stored| stored.url),
            reason: asset.reason,
        }
    }
}

impl TraceView {
    fn new(job: &JobRecord) -> Self {
        // https://www.w3.org/TR/trace-context/: version, trace, parent, flags.
        let trace_id = job.traceparent.as_deref().and_then(|parent| parent.split('-').nth(1)).map(str::to_owned);
        Self { trace_id, traceparent: job.traceparent.clone(), request_id: job.request_id.clone() }
    }
}

impl EventView {
    fn new(event: JobEvent) -> Self {
        Self { published: event.is_published(), id: event.id, kind: event.kind, at: event.at }
    }
}

impl EventDeliveryView {
    fn new(delivery: Delivery) -> Self {
        Self {
            endpoint: delivery.endpoint,
            event: delivery.event,
            state: delivery.state.as_str(),
            reason: delivery.reason,
            job: delivery.job,
            attempts: delivery.attempts.len(),
            updated_at: delivery.updated_at,
        }
    }
}
