//! `cargo xtask bench accounts`: what knowing who asks costs, beside the look-up that it cannot do without, and what it costs
//! everybody else that some sign in.
//!
//! With names (`current-user`, `sign-in`) only those parts run.

mod current_user;
mod sign_in;

use std::path::Path;

use testkit::Services;

use crate::load::Request;
use crate::system::System;
use crate::table::Row;

/// Users who are signed in.
const USERS: usize = 1000;

/// All measurements, or those that are named.
pub async fn measure(root: &Path, services: &Services, only: &[String]) -> anyhow::Result<Vec<Row>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let mut rows = Vec::new();
    if wanted("current-user") {
        rows.push(current_user::measure(root, services).await?);
    }
    if wanted("sign-in") {
        rows.push(sign_in::measure(root, services).await?);
    }
    anyhow::ensure!(!rows.is_empty(), "there is no such measurement: name current-user, sign-in or none");
    Ok(rows)
}

/// `GET /current-user` by the user whose turn it is.
fn current_user_of(system: &System) -> impl Fn(usize) -> Request + Clone + use<> {
    let tokens = system.tokens.clone();
    move |number| {
        let authorization = format!("authorization: Bearer {}\r\n", tokens[number % tokens.len()]);
        Request::new("GET", "/api/v1/users/current-user", &authorization, Vec::new())
    }
}
