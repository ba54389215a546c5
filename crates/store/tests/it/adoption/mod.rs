//! Databases that chai-backend has filled.

mod subscriptions;
mod users;
