//! Answers to requests that carried an idempotency key, kept so that a repetition gets the same answer and does nothing.

use crate::{Error, Store};

/// Names one request of one caller. A day after its answer was stored it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// What the key is unique within: the route and the user.
    pub scope: String,
    /// What the client chose.
    pub key: String,
}

/// An answer as it was given, and will be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// The `Location` header, if there was one.
    pub location: Option<String>,
    /// The body, JSON.
    pub body: String,
}

impl Store {
    /// The answer that a request with this key was given, unless it is new or too old.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn find_answer(&self, _key: &IdempotencyKey) -> Result<Option<StoredAnswer>, Error> {
        todo!()
    }
}
