//! The id in a path.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use messages::InvalidId;
use url::form_urlencoded;

use crate::http::problem::Problem;

/// What stands for `{id}` in a route. Anything that is no id of the kind is 422; whether there is something of that id is
/// another question.
#[derive(Debug)]
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: FromStr<Err = InvalidId>, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What is not UTF-8 is no id either.
        let text =
            Path::<String>::from_request_parts(parts, state).await.map_or_else(|_| String::new(), |Path(text)| text);
        text.parse().map(Self).map_err(|error| Problem::invalid("id", format!("must be {}", error.expected)))
    }
}

/// The same as text, whatever it says. What is not UTF-8 is empty, which names nothing.
#[derive(Debug)]
pub(crate) struct PathText(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.map_or_else(|_| String::new(), |Path(text)| text)))
    }
}

/// A number of at least 1; an empty value is none.
pub(crate) fn number(query: &str, field: &'static str, default: u64) -> Result<u64, Problem> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == field);
    let value = values.next().map(|(_, value)| value.into_owned()).unwrap_or_default();
    if values.next().is_some() {
        return Err(Problem::invalid(field, "was sent twice"));
    }
    match value.trim() {
        "" => Ok(default),
        text => text
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| Problem::invalid(field, "must be a number of at least 1")),
    }
}
