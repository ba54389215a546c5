//! The description of the API, and a page that shows it.

pub(crate) mod handlers;
