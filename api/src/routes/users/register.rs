//! `POST /api/v1/users/register`.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use store::{IdempotencyKey, Image, NewUser, Role, StoredAnswer, User};
use time::OffsetDateTime;

use super::images::{AVATAR, COVER_IMAGE};
use super::registration::{Draft, Registration};
use super::views::UserView;
use crate::auth::{ClientAddress, Guard, Rule, key, party};
use crate::http::idempotency;
use crate::http::problem::{FieldError, Problem, ProblemKind};
use crate::http::request_log::trace;
use crate::http::response::{self, Answer, Envelope};
use crate::openapi::{ChangesThings, LimitsAttempts, MakesUnique, NeedsStore, Refusals, TakesFiles};
use crate::routes::jobs::views::{JobLink, WithJobs};
use crate::state::App;
use crate::uploads::{Decision, FileField, Files, Part, Upload, UploadForm, upload_form};

upload_form! {
    /// The form of somebody who registers.
    RegistrationForm { AVATAR, FileField { is_required: false, ..COVER_IMAGE } } and Draft
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
) -> Result<Response, Problem> {
    idempotency::key(upload.headers(), String::new())?;
    app.uploads.admit(upload.declared_length())?;
    if !app.has_indexes() {
        let detail = "the database does not answer yet; try again in a moment";
        return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(5));
    }
    let limit = app.auth.settings.register_limit_address;
    guard.admit(vec![Rule::new("address", limit, key("register-address", &[&party(address)]))]).await?;
    let headers = upload.headers().clone();
    let (registration, key, files) = match receive(app, &mut upload, &headers).await? {
        Step::Go { registration, key, files } => (registration, key, files),
        Step::Replay(answer) => return Ok(response::replay(answer)),
    };
    let password_hash = app.auth.passwords.hash(registration.password.clone()).await?;
    let (uploads, files) = files.commit(&app.uploads.spool).await?;

    let pending = |role| uploads.iter().find(|upload| upload.role == role).map(|upload| upload.asset);
    let now = OffsetDateTime::now_utc();
    let user = User {
        id: store::new_user_id(),
        username: registration.username,
        email: registration.email,
        full_name: registration.full_name,
        avatar: Image { url: String::new(), pending: pending(Role::Avatar) },
        cover_image: Image { url: String::new(), pending: pending(Role::CoverImage) },
        watch_history: Vec::new(),
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
    let jobs = uploads.iter().map(|upload| JobLink::of_upload(app, upload)).collect();
    let data = WithJobs::new(UserView::new(app, user), jobs);
    let location = data.location();
    let answer = Answer::created(data, "User registered successfully").located(location);

    let remembered = key.map(|key| (key, answer.stored()));
    let (store, trace) = (app.store.clone(), trace(&headers));
    let transaction = async move { store.media().register(new_user, uploads, remembered, trace).await };
    match app.uploads.submit(files, transaction).await? {
        Decision::Accepted(_) => Ok(answer.into_response()),
        Decision::Replayed(answer) => Ok(response::replay(answer)),
    }
}

enum Step {
    Go { registration: Registration, key: Option<IdempotencyKey>, files: Files },
    Replay(StoredAnswer),
}

/// The fields, once they are known and nobody else has them.
enum Known {
    Free(Registration, Option<IdempotencyKey>),
    Replay(StoredAnswer),
}

/// Reads the form. If the text fields come first, they are checked before a file is read.
async fn receive(app: &App, upload: &mut Upload<RegistrationForm>, headers: &HeaderMap) -> Result<Step, Problem> {
    let mut form = upload.form(&app.uploads)?;
    let mut draft = Draft::default();
    let mut checked = None;
    let mut files = Files::default();
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } => draft.set(&name, value)?,
            Part::File(file) => {
                if checked.is_none() && draft.is_complete() {
                    match look_up(app, std::mem::take(&mut draft), headers, Vec::new()).await? {
                        Known::Free(registration, key) => checked = Some((registration, key)),
                        Known::Replay(answer) => return Ok(Step::Replay(answer)),
                    }
                }
                files.receive(file, &app.uploads.spool).await?;
            }
        }
    }
    let missing = files.missing(RegistrationForm::FILES);
    let (registration, key) = match checked {
        Some(checked) => {
            Problem::invalid_fields(missing)?;
            checked
        }
        None => match look_up(app, draft, headers, missing).await? {
            Known::Free(registration, key) => (registration, key),
            Known::Replay(answer) => return Ok(Step::Replay(answer)),
        },
    };
    Ok(Step::Go { registration, key, files })
}

/// Checks the fields, and whether somebody has the names. `missing` are files that are refused together with the fields.
async fn look_up(app: &App, draft: Draft, headers: &HeaderMap, mut missing: Vec<FieldError>) -> Result<Known, Problem> {
    let (registration, mut errors) = draft.check();
    errors.append(&mut missing);
    Problem::invalid_fields(errors)?;
    // Two people who choose the same key must not get each other's answer.
    let scope = format!("POST /users/register {} {}", registration.username, registration.email);
    let key = idempotency::key(headers, scope)?;
    let taken = app.store.users().taken(&registration.username, &registration.email).await?;
    // In this order: if a repetition of this request has the name, its answer is there too.
    if let Some(key) = &key
        && let Some(answer) = app.store.idempotency().find(key).await?
    {
        return Ok(Known::Replay(answer));
    }
    if let Some(field) = taken {
        return Err(store::Error::Taken { field }.into());
    }
    Ok(Known::Free(registration, key))
}
