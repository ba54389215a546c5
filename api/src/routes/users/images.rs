//! `PATCH /api/v1/users/avatar` and `/cover-image`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use store::Role;

use super::views::UserView;
use crate::auth::Caller;
use crate::config::Limits;
use crate::http::problem::Problem;
use crate::http::request_log::trace;
use crate::http::response::{self, Answer, Envelope};
use crate::openapi::{ChangesThings, MakesWork, NeedsUser, Refusals, TakesFiles};
use crate::routes::jobs::views::{JobLink, WithJobs};
use crate::state::App;
use crate::uploads::{Accepts, Decision, FileField, Upload, UploadForm, upload_form};

pub(super) const AVATAR: FileField = FileField {
    name: "avatar",
    accepts: Accepts::Images,
    limit: Limits::AVATAR,
    is_required: true,
    role: Role::Avatar,
};

pub(super) const COVER_IMAGE: FileField = FileField {
    name: "coverImage",
    accepts: Accepts::Images,
    limit: Limits::COVER_IMAGE,
    is_required: true,
    role: Role::CoverImage,
};

upload_form! {
    /// The form with a new avatar.
    AvatarForm { AVATAR }
}

upload_form! {
    /// The form with a new cover image.
    CoverImageForm { COVER_IMAGE }
}

/// Replaces the avatar.
///
/// The newest wins, however many are under way.
#[utoipa::path(
    patch,
    path = "/api/v1/users/avatar",
    operation_id = "replaceAvatar",
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
    caller: Caller,
    upload: Upload<AvatarForm>,
) -> Result<Response, Problem> {
    replace(&app, caller, upload, "Avatar accepted").await
}

/// Replaces the cover image.
///
/// The newest wins, however many are under way.
#[utoipa::path(
    patch,
    path = "/api/v1/users/cover-image",
    operation_id = "replaceCoverImage",
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
    caller: Caller,
    upload: Upload<CoverImageForm>,
) -> Result<Response, Problem> {
    replace(&app, caller, upload, "Cover image accepted").await
}

async fn replace<F: UploadForm>(
    app: &App,
    Caller { user, .. }: Caller,
    mut upload: Upload<F>,
    message: &'static str,
) -> Result<Response, Problem> {
    app.uploads.admit_user(user.id, upload.declared_length()).await?;
    let trace = trace(upload.headers());
    let (mut uploads, files) = upload.receive(&app.uploads).await?.commit(&app.uploads.spool).await?;
    let Some(image) = uploads.pop() else { return Err(Problem::internal("the form of an image takes no file")) };
    let job = JobLink::of_upload(app, &image);
    let store = app.store.clone();
    let transaction = async move { store.media().replace_image(user.id, image, trace).await };
    match app.uploads.submit(files, transaction).await? {
        Decision::Accepted(accepted) => {
            let data = WithJobs::new(UserView::new(app, accepted.user), vec![job]);
            let location = data.location();
            Ok(Answer::accepted(data, message).located(location).into_response())
        }
        Decision::Replayed(answer) => Ok(response::replay(answer)),
    }
}
