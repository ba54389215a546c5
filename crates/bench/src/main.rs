//! `cargo xtask bench NAME`: figures of ours beside yardsticks of the same run, so that a slow machine slows both.
//!
//! Further words name the parts to run; without any, all of them run.

#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

mod accounts;
mod aggregates;
mod load;
mod rescue;
mod system;
mod table;
mod uploads;

use std::process::ExitCode;

use testkit::Services;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_env_filter("warn,lapin=off").with_writer(std::io::stderr).init();
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let only: Vec<String> = words.collect();
    let services = Services::from_env();
    let steep = std::env::current_dir()?.join(".steep");
    let root = steep.join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    let rows = match name.as_str() {
        "accounts" => accounts::measure(&root, &services, &only).await,
        "aggregates" => aggregates::measure(&root, &services, &only).await,
        "rescue" => rescue::measure(&root, &services, &only).await,
        "uploads" => uploads::measure(&root, &services, &only).await,
        other => Err(anyhow::anyhow!("no benchmark is called {other:?}: see `cargo xtask bench`")),
    };
    std::fs::remove_dir_all(&root)?;
    let code = table::print(&rows?);
    if name == "uploads" {
        uploads::print_first_upload(&steep)?;
    }
    Ok(code)
}
