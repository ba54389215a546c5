//! `POST /api/v1/users/register`.

use std::net::IpAddr;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use store::{IdempotencyKey, Image, NewUser, Role, StoredAnswer, User};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::images::{avatar_field, cover_image_field};
use super::registration::{Draft, Registration};
use crate::auth::{ClientAddress, Guard, Rule, key, party};
use crate::http::problem::{FieldError, Problem, ProblemKind};
use crate::http::request_log::trace;
use crate::http::response::{self, Answer, Envelope};
use crate::http::{idempotency, path_case as paths};
use crate::openapi::{ChangesThings, LimitsAttempts, MakesUnique, NeedsStore, Refusals, TakesFiles, schemas};
use crate::routes::jobs::views::{JobLink, WithJobs};
use crate::routes::users::views::UserView;
use crate::state::App;
use crate::uploads::admission;
use crate::uploads::submission::{self, Decision};
use crate::uploads::{Incoming, Part, Received};

/// The form of somebody who registers.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read part by part")]
struct RegistrationForm {
    #[schema(min_length = 1, max_length = 100, example = "Ada Lovelace")]
    full_name: String,
    /// Kept in NFKC and lower case; nobody else may have it.
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    email: String,
    /// Letters and digits of any script, dots, hyphens and underscores, but not `.` or `..`, which are no names in an address.
    /// Kept in NFKC and lower case; nobody else may have it.
    #[schema(min_length = 1, max_length = 50, example = "ada")]
    username: String,
    #[schema(format = Password, min_length = 8, max_length = 128, example = "analytical engine")]
    password: String,
    #[schema(schema_with = schemas::image_file)]
    avatar: (),
    #[schema(schema_with = schemas::image_file, required = false)]
    cover_image: (),
}

/// Registers a user with an avatar and perhaps a cover image.
///
/// Text fields may come before or after the files; if they come first, a name that is taken is refused before any file is
/// read. With an `Idempotency-Key` a repetition within a day gets the first answer and does nothing else.
#[utoipa::path(
    post,
    path = paths::REGISTER,
    operation_id = "register",
    tag = "users",
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
    incoming: Incoming,
) -> Response {
    let mut guard = Guard::new(&app);
    let result = take_in(&app, &mut guard, address, incoming).await;
    guard.mark(result.into_response())
}

async fn take_in(
    app: &App,
    guard: &mut Guard<'_>,
    address: IpAddr,
    mut incoming: Incoming,
) -> Result<Response, Problem> {
    idempotency::key(incoming.headers(), String::new())?;
    admission::admit(app, incoming.declared_length())?;
    if !app.pressure().is_database_prepared() {
        let detail = "the database does not answer yet; try again in a moment";
        return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(5));
    }
    let limit = app.sign_in_limits().register_address;
    guard.admit(vec![Rule::new("address", limit, key("register-address", &[&party(address)]))]).await?;
    let trace = trace(incoming.headers());
    let headers = incoming.headers().clone();
    let (registration, key, received) = match receive(app, &mut incoming, &headers).await? {
        Step::Go { registration, key, received } => (registration, key, received),
        Step::Replay(answer) => return Ok(response::replay(answer)),
    };

    let password_hash = app.passwords().hash(registration.password.clone()).await?;
    let (mut uploads, mut files) = (Vec::new(), Vec::new());
    for received in received {
        let role = if received.field == "avatar" { Role::Avatar } else { Role::CoverImage };
        let (upload, file) = submission::make_durable(app, received, role).await?;
        uploads.push(upload);
        files.push(file);
    }

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
        password_hash: password_hash.expose_secret().to_owned().into(),
    };
    let jobs = uploads.iter().map(|upload| JobLink::of_upload(app, upload)).collect();
    let data = WithJobs::new(UserView::new(app, user), jobs);
    let location = data.location();
    let answer = Answer::created(data, "User registered successfully").located(location);

    let remembered = key.map(|key| (key, answer.stored()));
    let store = app.store().clone();
    let transaction = async move { store.media().register(new_user, uploads, remembered, trace).await };
    match submission::submit(app, files, transaction).await? {
        Decision::Accepted(_) => Ok(answer.into_response()),
        Decision::Replayed(answer) => Ok(response::replay(answer)),
    }
}

enum Step {
    Go { registration: Registration, key: Option<IdempotencyKey>, received: Vec<Received> },
    Replay(StoredAnswer),
}

/// The fields, once they are known and nobody else has them.
enum Known {
    Free(Registration, Option<IdempotencyKey>),
    Replay(StoredAnswer),
}

async fn receive(app: &App, incoming: &mut Incoming, headers: &axum::http::HeaderMap) -> Result<Step, Problem> {
    let fields = [avatar_field(app.limits()), cover_image_field(app.limits())];
    let mut form = incoming.form(&fields, app.limits().pace())?;
    let mut draft = Draft::default();
    let mut checked = None;
    let mut received: Vec<Received> = Vec::new();
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } => draft.set(&name, value)?,
            Part::File(file) => {
                if checked.is_none() && draft.is_complete() {
                    match look_up(app, std::mem::take(&mut draft), headers, true).await? {
                        Known::Free(registration, key) => checked = Some((registration, key)),
                        Known::Replay(answer) => return Ok(Step::Replay(answer)),
                    }
                }
                received.extend(file.receive(app.spool()).await?);
            }
        }
    }
    let has_avatar = received.iter().any(|file| file.field == "avatar");
    let (registration, key) = match checked {
        Some(checked) if has_avatar => checked,
        Some(_) => return Err(Problem::invalid("avatar", "is required")),
        None => match look_up(app, draft, headers, has_avatar).await? {
            Known::Free(registration, key) => (registration, key),
            Known::Replay(answer) => return Ok(Step::Replay(answer)),
        },
    };
    Ok(Step::Go { registration, key, received })
}

async fn look_up(
    app: &App,
    draft: Draft,
    headers: &axum::http::HeaderMap,
    avatar_may_come: bool,
) -> Result<Known, Problem> {
    let (registration, mut errors) = match draft.check() {
        Ok(registration) => (Some(registration), Vec::new()),
        Err(errors) => (None, errors),
    };
    if !avatar_may_come {
        errors.push(FieldError { field: "avatar".into(), message: "is required".into() });
    }
    let registration = match (registration, Problem::invalid_fields(errors)) {
        (Some(registration), None) => registration,
        (_, problem) => return Err(problem.unwrap_or_else(|| Problem::new(ProblemKind::Invalid, "fields are missing"))),
    };
    // Two people who happen to choose the same key must not get each other's answer.
    let scope = format!("POST /users/register {} {}", registration.username, registration.email);
    let key = idempotency::key(headers, scope)?;
    let taken = app.store().users().taken(&registration.username, &registration.email).await?;
    // In this order: if a twin of this request has the name, its answer is there too.
    if let Some(key) = &key
        && let Some(answer) = app.store().idempotency().find(key).await?
    {
        return Ok(Known::Replay(answer));
    }
    if let Some(field) = taken {
        return Err(store::Error::Taken { field }.into());
    }
    Ok(Known::Free(registration, key))
}
