//! `PATCH /api/v1/users/avatar` and `/cover-image`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use store::Role;
use utoipa::ToSchema;

use crate::auth::SignedIn;
use crate::config::Limits;
use crate::http::path_case as paths;
use crate::http::problem::Problem;
use crate::http::request_log::trace;
use crate::http::response::{self, Answer, Envelope};
use crate::openapi::{ChangesThings, MakesWork, NeedsUser, Refusals, TakesFiles, schemas};
use crate::routes::jobs::views::{JobLink, WithJobs};
use crate::routes::users::views::UserView;
use crate::state::App;
use crate::uploads::admission;
use crate::uploads::submission::{self, Decision};
use crate::uploads::{Accepts, FileField, Incoming, Part};

pub(crate) const fn avatar_field(limits: &Limits) -> FileField {
    FileField { name: "avatar", max_bytes: limits.avatar_max_bytes, accepts: Accepts::Images }
}

pub(crate) const fn cover_image_field(limits: &Limits) -> FileField {
    FileField { name: "coverImage", max_bytes: limits.cover_image_max_bytes, accepts: Accepts::Images }
}

/// The form with a new avatar.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is read part by part")]
struct AvatarForm {
    #[schema(schema_with = schemas::image_file)]
    avatar: (),
}

/// The form with a new cover image.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read part by part")]
struct CoverImageForm {
    #[schema(schema_with = schemas::image_file)]
    cover_image: (),
}

/// Replaces the avatar.
///
/// The newest wins, however many are under way.
#[utoipa::path(
    patch,
    path = paths::AVATAR,
    operation_id = "replaceAvatar",
    tag = "users",
    request_body(content = AvatarForm, content_type = "multipart/form-data"),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 202, description = "Accepted: the user, who shows it already, and the job that moves it",
            body = Envelope<WithJobs<UserView>>, headers(("Location" = String, description = "The job"))),
        Refusals<(NeedsUser, TakesFiles, ChangesThings, MakesWork)>,
    ),
)]
pub(crate) async fn replace_avatar(
    State(app): State<App>,
    signed_in: SignedIn,
    incoming: Incoming,
) -> Result<Response, Problem> {
    let field = avatar_field(app.limits());
    replace(&app, signed_in, incoming, field, Role::Avatar, "Avatar accepted").await
}

/// Replaces the cover image.
///
/// The newest wins, however many are under way.
#[utoipa::path(
    patch,
    path = paths::COVER_IMAGE,
    operation_id = "replaceCoverImage",
    tag = "users",
    request_body(content = CoverImageForm, content_type = "multipart/form-data"),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 202, description = "Accepted: the user, who shows it already, and the job that moves it",
            body = Envelope<WithJobs<UserView>>, headers(("Location" = String, description = "The job"))),
        Refusals<(NeedsUser, TakesFiles, ChangesThings, MakesWork)>,
    ),
)]
pub(crate) async fn replace_cover_image(
    State(app): State<App>,
    signed_in: SignedIn,
    incoming: Incoming,
) -> Result<Response, Problem> {
    let field = cover_image_field(app.limits());
    replace(&app, signed_in, incoming, field, Role::CoverImage, "Cover image accepted").await
}

async fn replace(
    app: &App,
    SignedIn(user): SignedIn,
    mut incoming: Incoming,
    field: FileField,
    role: Role,
    message: &'static str,
) -> Result<Response, Problem> {
    admission::admit(app, incoming.declared_length())?;
    admission::admit_user(app, user.id).await?;
    let trace = trace(incoming.headers());

    let received = receive_one(app, &mut incoming, field).await?;
    let (upload, file) = submission::make_durable(app, received, role).await?;
    let job = JobLink::of_upload(app, &upload);
    let store = app.store().clone();
    let transaction = async move { store.media().replace_image(user.id, upload, trace).await };
    match submission::submit(app, vec![file], transaction).await? {
        Decision::Accepted(accepted) => {
            let data = WithJobs::new(UserView::new(app, accepted.user), vec![job]);
            let location = data.location();
            Ok(Answer::accepted(data, message).located(location).into_response())
        }
        Decision::Replayed(answer) => Ok(response::replay(answer)),
    }
}

/// Reads a form for the one file that it is about.
pub(crate) async fn receive_one(
    app: &App,
    incoming: &mut Incoming,
    field: FileField,
) -> Result<crate::uploads::Received, Problem> {
    let fields = [field];
    let mut form = incoming.form(&fields, app.limits().pace())?;
    let mut received = None;
    while let Some(part) = form.next().await? {
        if let Part::File(file) = part {
            received = file.receive(app.spool()).await?;
        }
    }
    received.ok_or_else(|| Problem::invalid(field.name, "is required"))
}
