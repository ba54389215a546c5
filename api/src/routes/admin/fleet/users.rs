//! Users who are paused.

use axum::extract::State;
use store::Controlled;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::audited::By;
use super::controls::{self, ControlForm, SteeredView};
use crate::auth::{AdminWriter, ClientAddress};
use crate::http::{Answer, Envelope, Json, PathText, Problem, ProblemKind};
use crate::openapi::{ChangesThings, MakesUnique, NeedsAdmin, Refusals, TakesJson, TakesName};
use crate::state::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(pause, resume))
}

/// Pauses a user's jobs.
///
/// Their uploads are accepted, and wait: a worker that takes a job of theirs leaves it alone, which counts as no failure. What runs is
/// finished. Calling it again changes nothing. A thousand users can be paused at once; one more is 409.
#[utoipa::path(
    put,
    path = "/api/v1/admin/users/{name}/pause",
    operation_id = "pauseUser",
    params(("name" = String, Path, description = "The username, in any case")),
    request_body = ControlForm,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Their jobs wait", body = Envelope<SteeredView>),
        Refusals<(NeedsAdmin, TakesName, TakesJson, ChangesThings, MakesUnique)>,
    ),
)]
async fn pause(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathText(name): PathText,
    Json(form): Json<ControlForm>,
) -> Result<Answer<SteeredView>, Problem> {
    let view = set_pause(&app, &By::new(&admin, from), &name, form).await?;
    let message = if view.changed { "The user is paused" } else { "The user was paused already" };
    Ok(Answer::ok(view, message))
}

/// The same for any page.
pub(crate) async fn set_pause(app: &App, by: &By, name: &str, form: ControlForm) -> Result<SteeredView, Problem> {
    let what = known(app, name).await?;
    controls::set(app, by, "user.pause", what, name, form).await
}

/// Resumes a user who is paused.
///
/// Their jobs are due at once. Calling it again changes nothing.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/users/{name}/pause",
    operation_id = "resumeUser",
    params(("name" = String, Path, description = "The username, in any case")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Their jobs go on", body = Envelope<SteeredView>),
        Refusals<(NeedsAdmin, TakesName, ChangesThings)>,
    ),
)]
async fn resume(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathText(name): PathText,
) -> Result<Answer<SteeredView>, Problem> {
    let view = lift_pause(&app, &By::new(&admin, from), &name).await?;
    let message = if view.changed { "The user's jobs go on" } else { "The user was not paused" };
    Ok(Answer::ok(view, message))
}

/// The same for any page.
pub(crate) async fn lift_pause(app: &App, by: &By, name: &str) -> Result<SteeredView, Problem> {
    let what = known(app, name).await?;
    controls::lift(app, by, "user.resume", what, name).await
}

async fn known(app: &App, name: &str) -> Result<Controlled, Problem> {
    let user = app.store.users().by_name(name).await?;
    user.map(Controlled::User).ok_or_else(|| Problem::new(ProblemKind::NotFound, "there is no such user"))
}
