//! `POST /api/v1/users/register`.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use store::{IdempotencyKey, Image, NewUser, Role, User};

use super::images::{AVATAR, COVER_IMAGE};
use super::registration::Registration;
use super::views::UserView;
use crate::auth::{Asker, ClientAddress, Guard, Rule, key, network, party};
use crate::http::request_log::trace;
use crate::http::{Answer, Envelope, FieldError, Problem, ProblemKind, idempotency};
use crate::openapi::{ChangesThings, LimitsAttempts, MakesUnique, NeedsStore, Refusals, TakesFiles};
use crate::routes::jobs::views::{WithJobs, with_jobs};
use crate::state::App;
use crate::uploads::{Admitted, Early, FileField, Files, Part, Upload, UploadForm, upload_form};

upload_form! {
    /// The form of somebody who registers.
    RegistrationForm { AVATAR, FileField { is_required: false, ..COVER_IMAGE } } and Registration
}

/// Registers a user with an avatar and perhaps a cover image.
///
/// Text fields may come before or after the files; if they come first, a name that is taken is refused before any file is
/// read. With an `Idempotency-Key` a repetition within a day gets the first answer and does nothing else.
#[utoipa::path(
    post,
    path = "/api/v1/users/register",
    operation_id = "register",
    params(("Idempotency-Key" = Option<String>, Header, description = "Marks repetitions of one request",
        nullable = false, min_length = 1, max_length = 255, pattern = "^[ -~]+$")),
    request_body(content = RegistrationForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "The user, whose images can be seen already, and the jobs that move them",
            body = Envelope<WithJobs<UserView>>, headers(
                ("Location" = String, description = "The first job"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` if this is the answer to an earlier request"),
            )),
        Refusals<(NeedsStore, TakesFiles, MakesUnique, ChangesThings, LimitsAttempts)>,
    ),
)]
pub(crate) async fn register(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    upload: Upload<RegistrationForm>,
) -> Response {
    let mut guard = Guard::new(&app.store);
    let result = take_in(&app, &mut guard, address, upload).await;
    guard.mark(result.into_response())
}

async fn take_in(
    app: &App,
    guard: &mut Guard<'_>,
    address: IpAddr,
    mut upload: Upload<RegistrationForm>,
) -> Result<Answer<WithJobs<UserView>>, Early> {
    // Before the body is read; its scope is known after that.
    idempotency::key(&upload.headers, String::new())?;
    let admitted = app.uploads.admit(upload.declared_length())?;
    if !app.has_indexes() {
        let detail = "the database does not answer yet; try again in a moment";
        return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(5).into());
    }
    let limit = app.auth.settings.register_limit_address;
    guard.admit(vec![Rule::new("address", limit, key("register-address", &[&network(address)]))]).await?;
    let (registration, key, files) = receive(app, admitted, &mut upload).await?;
    let asker = Asker { party: party(address), is_known: false };
    let password_hash = app.auth.passwords.hash(&asker, registration.password).await?;
    let (uploads, files) = files.commit(&app.uploads).await?;

    let image = |role| match uploads.iter().find(|upload| upload.role == role) {
        Some(upload) => Image {
            pending: Some(upload.asset),
            content_type: Some(upload.media_type.content_type.clone()),
            ..Image::default()
        },
        None => Image::default(),
    };
    let now = app.store.now().await?;
    let user = User {
        id: store::new_user_id(),
        username: registration.username,
        email: registration.email,
        full_name: registration.full_name,
        avatar: image(Role::Avatar),
        cover_image: image(Role::CoverImage),
        watch_history: Vec::new(),
        admin: None,
        created_at: now,
        updated_at: now,
    };
    let new_user = NewUser {
        id: user.id,
        username: user.username.clone(),
        email: user.email.clone(),
        full_name: user.full_name.clone(),
        password_hash,
    };
    let user = UserView::new(app, user);
    let answer = with_jobs(app, StatusCode::CREATED, user, &uploads, "User registered successfully");

    let remembered = key.map(|key| (key, answer.stored()));
    let (store, trace) = (app.store.clone(), trace(&upload.headers));
    let transaction = async move { store.media().register(new_user, uploads, remembered, trace).await };
    app.uploads.submit(files, transaction).await?;
    Ok(answer)
}

/// Reads the form. If the text fields come first, they are checked before a file is read.
async fn receive(
    app: &App,
    admitted: Admitted,
    upload: &mut Upload<RegistrationForm>,
) -> Result<(Registration, Option<IdempotencyKey>, Files), Early> {
    let headers = upload.headers.clone();
    let mut form = upload.form(&app.uploads)?;
    let (mut registration, mut files) = (Registration::default(), Files::new(admitted));
    let mut checked = None;
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } => registration.set(&name, value)?,
            Part::File(file) => {
                if checked.is_none() && registration.is_complete() {
                    checked = Some(check(app, &registration, Vec::new(), &headers).await?);
                }
                files.receive(file, &app.uploads).await?;
            }
        }
    }
    let missing = files.missing(RegistrationForm::FILES);
    let key = match checked {
        Some(key) => {
            Problem::invalid_fields(missing)?;
            key
        }
        None => check(app, &registration, missing, &headers).await?,
    };
    Ok((registration, key, files))
}

/// Checks the fields, and whether somebody has the names. `missing` are files that are refused together with the fields.
async fn check(
    app: &App,
    registration: &Registration,
    missing: Vec<FieldError>,
    headers: &HeaderMap,
) -> Result<Option<IdempotencyKey>, Early> {
    Problem::invalid_fields([registration.errors(), missing].concat())?;
    // Two people who choose the same key must not get each other's answer.
    let scope = format!("POST /users/register {} {}", registration.username, registration.email);
    let key = idempotency::key(headers, scope)?;
    let taken = app.store.users().taken(&registration.username, &registration.email).await?;
    // In this order: if a repetition of this request has the name, its answer is there too.
    app.uploads.replay(key.as_ref()).await?;
    match taken {
        Some(field) => Err(store::Error::Taken { field }.into()),
        None => Ok(key),
    }
}
