//! From a connection to a handler and back.

pub(crate) mod blocking;
pub(crate) mod body;
pub(crate) mod control;
pub(crate) mod dispatch;
pub(crate) mod form;
pub(crate) mod params;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod server;
pub(crate) mod traffic;
