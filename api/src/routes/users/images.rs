//! `PATCH /api/v1/users/avatar` and `/cover-image`.

use axum::extract::State;
use axum::http::StatusCode;
use store::{Role, User};

use super::views::UserView;
use crate::auth::Caller;
use crate::config::Limits;
use crate::http::request_log::trace;
use crate::http::{Answer, Envelope, Problem};
use crate::openapi::{ChangesThings, MakesWork, NeedsUser, Refusals, TakesFiles};
use crate::routes::jobs::views::{WithJobs, with_jobs};
use crate::state::App;
use crate::uploads::{Accepts, Early, FileField, Upload, UploadForm, upload_form};

pub(super) const AVATAR: FileField = FileField {
    name: "avatar",
    accepts: Accepts::Images,
    limit: Limits::AVATAR,
    is_required: true,
    role: Role::Avatar,
};

pub(super) const COVER_IMAGE: FileField =
    FileField { name: "coverImage", limit: Limits::COVER_IMAGE, role: Role::CoverImage, ..AVATAR };

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
    Caller { user, .. }: Caller,
    upload: Upload<AvatarForm>,
) -> Result<Answer<WithJobs<UserView>>, Early> {
    replace(&app, &user, upload, "Avatar accepted").await
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
    Caller { user, .. }: Caller,
    upload: Upload<CoverImageForm>,
) -> Result<Answer<WithJobs<UserView>>, Early> {
    replace(&app, &user, upload, "Cover image accepted").await
}

async fn replace<F: UploadForm>(
    app: &App,
    user: &User,
    mut upload: Upload<F>,
    message: &'static str,
) -> Result<Answer<WithJobs<UserView>>, Early> {
    let admitted = app.uploads.admit_user(user.id, upload.declared_length()).await?;
    let (uploads, files) = upload.receive(&app.uploads, admitted).await?.commit(&app.uploads).await?;
    let [image] = &*uploads else { return Err(Problem::internal("the form of an image has one file").into()) };
    let (store, user, image, trace) = (app.store.clone(), user.id, image.clone(), trace(&upload.headers));
    let transaction = async move { store.media().replace_image(user, image, trace).await };
    let accepted = app.uploads.submit(files, transaction).await?;
    Ok(with_jobs(app, StatusCode::ACCEPTED, UserView::new(app, accepted.user), &uploads, message))
}
