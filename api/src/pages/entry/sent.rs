//! Forms that admins send to change something.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Redirect, Response};
use url::form_urlencoded;

use super::flash;
use super::visit::Visit;
use crate::auth::{AdminWriter, ClientAddress};
use crate::http::json::read_whole;
use crate::pages::layout;
use crate::routes::admin::audited::By;
use crate::state::App;

const MAX_BYTES: usize = 64 * 1024;

/// A form of an admin who may change things, and who was asked and has said yes. Who may not is refused; who was not asked is
/// answered with the question, and nothing is done.
#[derive(Debug)]
pub(in crate::pages) struct Sent {
    pub(in crate::pages) by: By,
    fields: Vec<(String, String)>,
}

impl Sent {
    pub(in crate::pages) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.trim())
    }
}

impl FromRequest<App> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, app).await.map_err(IntoResponse::into_response)?;
        let admin = AdminWriter::from_request_parts(&mut parts, app).await.map_err(IntoResponse::into_response)?;
        let from = ClientAddress::from_request_parts(&mut parts, app).await.map_err(IntoResponse::into_response)?;
        let body = read_whole(&parts.headers, body, MAX_BYTES).await.map_err(IntoResponse::into_response)?;
        let fields: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        let sent = Self { by: By::new(&admin, from), fields };
        if sent.field("confirmed") != "yes" {
            return Err(layout::confirmation(&visit, layout::Tab::None, parts.uri.path(), &sent.fields));
        }
        Ok(sent)
    }
}

/// Goes on to a page, which tells what was done.
pub(in crate::pages) fn done(next: &str, text: &str) -> Response {
    (flash::leave(text), Redirect::to(next)).into_response()
}
