//! What stands in a path: an id, or any text.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use messages::InvalidId;

use crate::http::problem::Problem;

/// What stands for `{id}` in a route. What is no id of this kind is refused with 422. Whether something has that id is
/// another question.
#[derive(Debug)]
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: FromStr<Err = InvalidId>, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(PathText(text)) = PathText::from_request_parts(parts, state).await;
        Self::parse(&text)
    }
}

impl<T: FromStr<Err = InvalidId>> PathId<T> {
    /// For a route in which more than the id stands there.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        Self::named("id", text)
    }

    /// For a route with several ids: one that has another name than `id`.
    pub(crate) fn named(field: &'static str, text: &str) -> Result<Self, Problem> {
        text.parse().map(Self).map_err(|error| Problem::invalid(field, format!("must be {}", error.expected)))
    }
}

/// What stands for the ids of a route with several, in their order. What is not UTF-8 leaves none.
#[derive(Debug)]
pub(crate) struct PathIds(pub(crate) Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for PathIds {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let texts = Path::<Vec<String>>::from_request_parts(parts, state).await;
        Ok(Self(texts.map_or_else(|_| Vec::new(), |Path(texts)| texts)))
    }
}

/// Any text. What is not UTF-8 is empty, which names nothing.
#[derive(Debug)]
pub(crate) struct PathText(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.map_or_else(|_| String::new(), |Path(text)| text)))
    }
}
