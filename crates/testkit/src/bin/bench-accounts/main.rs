//! `cargo xtask bench accounts`: what knowing who asks costs, beside the look-up that it cannot do without, and what it costs
//! everybody else that some sign in.
//!
//! With a name (`current-user`, `sign-in`) only that part runs.

mod current_user;
mod sign_in;
mod world;

use std::path::Path;
use std::process::ExitCode;

use testkit::Services;
use testkit::bench::{self, Row};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_env_filter("warn,lapin=off").with_writer(std::io::stderr).init();
    let services = Services::from_env();
    let root = std::env::current_dir()?.join(".steep").join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    let rows = measure(&root, &services, std::env::args().nth(1).as_deref()).await;
    std::fs::remove_dir_all(&root)?;
    Ok(bench::print(&rows?))
}

/// All measurements, or the one that is named.
async fn measure(root: &Path, services: &Services, only: Option<&str>) -> anyhow::Result<Vec<Row>> {
    let wanted = |name| only.is_none_or(|only| only == name);
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
