//! Admins, and everything that is theirs alone.
//!
//! Whether somebody is one is read from the database with every request, in the look-up that tells who they are: who is no admin any
//! more is refused at once.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use store::AdminRole;

use super::{Auth, Caller};
use crate::http::problem::{Problem, ProblemKind};

/// Where everything is the admins'.
const ADMINS: &str = "/api/v1/admin";

/// An admin, who may look. 401 for who has not signed in, 403 for any other user.
#[derive(Debug, Clone)]
pub(crate) struct AdminReader(pub(crate) Caller);

/// An admin who may change things too. 403 for one who may only look.
#[derive(Debug, Clone)]
pub(crate) struct AdminWriter(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for AdminReader
where
    Arc<Auth>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        admitted(parts, &Arc::<Auth>::from_ref(state), AdminRole::ReadOnly).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AdminWriter
where
    Arc<Auth>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        admitted(parts, &Arc::<Auth>::from_ref(state), AdminRole::Full).await.map(Self)
    }
}

/// Lets nobody but admins come to anything below [`ADMINS`], whether it exists or not: strangers get one answer everywhere, before
/// anything else of their request is looked at. What is no question is for those who may change things, whatever its handler asks for.
pub(crate) async fn guard(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> Response {
    if !is_admins(request.uri().path()) {
        return next.run(request).await;
    }
    let needed = match *request.method() {
        Method::GET | Method::HEAD => AdminRole::ReadOnly,
        _ => AdminRole::Full,
    };
    let (mut parts, body) = request.into_parts();
    match admitted(&mut parts, &auth, needed).await {
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

fn is_admins(path: &str) -> bool {
    let Some((start, rest)) = path.split_at_checked(ADMINS.len()) else { return false };
    start.eq_ignore_ascii_case(ADMINS) && (rest.is_empty() || rest.starts_with('/'))
}

/// Who asks, if they have a role or a higher one. They are looked up once a request.
async fn admitted(parts: &mut Parts, auth: &Arc<Auth>, needed: AdminRole) -> Result<Caller, Problem> {
    let caller = match parts.extensions.get::<AdminReader>() {
        Some(AdminReader(caller)) => caller.clone(),
        None => Caller::from_request_parts(parts, auth).await?,
    };
    let may = match caller.user.admin {
        Some(AdminRole::Full) => true,
        Some(AdminRole::ReadOnly) => needed == AdminRole::ReadOnly,
        None => false,
    };
    if !may {
        return Err(Problem::new(ProblemKind::Forbidden, "you may not do this"));
    }
    parts.extensions.insert(AdminReader(caller.clone()));
    Ok(caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_admins_begins_with_their_path() {
        for path in
            ["/api/v1/admin", "/api/v1/admin/", "/api/v1/admin/jobs", "/API/v1/Admin/nothing", "/api/v1/admin//"]
        {
            assert!(is_admins(path), "{path}");
        }
        for path in ["/", "", "/api/v1/administrators", "/api/v1/admi", "/api/v1/users/admin", "/api/v1/admiñ"] {
            assert!(!is_admins(path), "{path}");
        }
    }
}
