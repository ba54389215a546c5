//! Everything about HTTP that no single route owns.

pub(crate) mod content_coding;
pub(crate) mod cors;
pub(crate) mod csrf;
pub(crate) mod drain_body;
pub(crate) mod idempotency;
pub(crate) mod json;
pub(crate) mod list;
pub(crate) mod page;
pub(crate) mod params;
pub(crate) mod path_case;
pub(crate) mod problem;
pub(crate) mod request_log;
pub(crate) mod request_metrics;
pub(crate) mod response;
pub(crate) mod security_headers;
pub(crate) mod server;

pub(crate) use json::Json;
pub(crate) use list::{Listing, Part};
pub(crate) use params::{PathId, PathIds, PathText};
pub(crate) use problem::{FieldError, Problem, ProblemKind};
pub(crate) use response::{Answer, Envelope, Nothing};
