//! What becomes of jobs, as it happens: `GET /api/v1/events` and `GET /api/v1/jobs/:id/events`, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! A stream tells how jobs *are*, not what has happened to them: first all that are unfinished or have ended lately, and then each
//! that changes. One [feed](store::Feed) per process says which jobs change; their documents are then read, many at once, and written
//! to whoever is [interested](reader). Where anything was or may have been missed (a stream is new, its client came again or was slow,
//! the feed broke), the documents are read again. So nothing is lost, and what a client reads twice says the same.

mod follow;
mod hub;
mod position;
mod reader;
mod stream;

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use messages::JobId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::http::server::Endless;
use crate::http::{PathId, Problem, ProblemKind};
use crate::openapi::{self, NeedsUser, OpensStreams, Refusals, TakesId, TakesParameters};
use crate::routes::jobs;
use crate::state::App;
use hub::TooMany;
use position::Position;
use reader::Reader;

pub(crate) use follow::follow;
pub(crate) use hub::{Hub, Limits as StreamLimits};

/// Of jobs that have ended, those are told to a client that is new that did so since.
const LATELY: Duration = Duration::from_secs(10 * 60);

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(of_user)).routes(routes!(of_job));
    openapi::tagged("events", "What becomes of jobs, as it happens", routes)
}

/// Follows all jobs of the user.
///
/// Server-sent events, for `EventSource` too: each has the type `job`, and its data is a job as `GET /api/v1/jobs/{id}` has it in `data`, but
/// with the latest of its `attempts` only. First come all unfinished jobs and those that ended in the last ten minutes, then each that
/// changes, as it is by then: states that follow each other quickly may come as one, but the last always comes. A job may come twice,
/// and then says the same.
///
/// Who comes again with the id of the last event as `Last-Event-ID`, as `EventSource` does, is told all that has changed since, by
/// whichever process. A comment comes at least every 15 seconds. The stream ends when the server stops, and within half a minute
/// after its session has ended; a client that does not read is cut off.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "followJobs",
    params(("Last-Event-ID" = Option<String>, Header, nullable = false, pattern = "^[0-9]{1,15}$",
        description = "The id of the last event of this stream that the client has")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Events, without an end", body = String, content_type = "text/event-stream"),
        Refusals<(NeedsUser, TakesParameters, OpensStreams)>,
    ),
)]
async fn of_user(
    State(app): State<App>,
    Caller { user, session }: Caller,
    endless: Option<Extension<Endless>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now = app.store.now().await?;
    let told = Position::of_client(&headers)?.map_or(Position::at(now - LATELY), |told| told.min(Position::at(now)));
    open(&app, Reader::new(user.id, session, None, told), endless)
}

/// Follows a job.
///
/// As `GET /api/v1/events`, of one job: as it is, and then whenever it changes. The stream ends when the job has ended and that was told.
/// Who then comes again with the id of the last event is answered 204, which tells `EventSource` to come no more.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/events",
    operation_id = "followJob",
    params(
        ("id" = String, Path, description = "The job's id", format = Uuid),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, pattern = "^[0-9]{1,15}$",
            description = "The id of the last event of this stream that the client has"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Events, until the job has ended", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The job has ended, and the client knows how"),
        Refusals<(NeedsUser, TakesId, OpensStreams)>,
    ),
)]
async fn of_job(
    State(app): State<App>,
    Caller { user, session }: Caller,
    PathId(id): PathId<JobId>,
    endless: Option<Extension<Endless>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let told = Position::of_client(&headers)?;
    // Of its attempts, of which there may be hundreds, the latest alone.
    let mut found = app.store.jobs().current(&[id]).await?;
    let job = found.pop().filter(|job| job.owner == Some(user.id)).ok_or_else(jobs::unknown)?;
    let updated = Position::at(job.updated_at);
    if job.state.is_finished() && told.is_some_and(|told| told >= updated) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    open(&app, Reader::new(user.id, session, Some(id), updated), endless)
}

fn open(app: &App, reader: Reader, endless: Option<Extension<Endless>>) -> Result<Response, Problem> {
    let reader = app.events.enter(reader).map_err(|too_many| match too_many {
        TooMany::OfUser(limit) => {
            let detail = format!("you have {limit} event streams open here, which is the most (USER_MAX_STREAMS)");
            Problem::new(ProblemKind::TooMany, detail).retry_after(15)
        }
        TooMany::OfAll => {
            let detail = "too many event streams are open at the moment; try again in a moment";
            Problem::new(ProblemKind::Unavailable, detail)
                .retry_after(15)
                .because("half of MAX_CONNECTIONS are streams")
        }
    })?;
    Ok(stream::answer(app.events.clone(), reader, &endless.map(|Extension(endless)| endless).unwrap_or_default()))
}
