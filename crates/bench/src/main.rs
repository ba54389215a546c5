//! `cargo xtask bench NAME`: figures of ours beside yardsticks of the same run, so that a slow machine slows both.
//!
//! Further words name the parts to run; without any, all of them run.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is what this program is for")]

mod accept;
mod accounts;
mod aggregates;
mod commands;
mod drain;
mod fleet;
mod load;
mod media_host;
mod peers;
mod rescue;
mod system;
mod table;
mod uploads;
mod usage;

use std::process::ExitCode;

use testkit::Services;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter("warn,lapin=off").with_writer(std::io::stderr).init();
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<ExitCode> {
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
        "fleet" => fleet::measure(&root, &services, &only).await,
        // Its tables are its own.
        "peers" => peers::measure(&root, &services, &only).await.map(|()| Vec::new()),
        "rescue" => rescue::measure(&root, &services, &only).await,
        "uploads" => uploads::measure(&root, &services, &only).await,
        other => Err(anyhow::anyhow!("no benchmark is called {other:?}: see `cargo xtask bench`")),
    };
    std::fs::remove_dir_all(&root)?;
    let rows = rows?;
    if rows.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let code = table::print(&rows);
    if name == "uploads" {
        uploads::print_first_upload(&steep)?;
    }
    Ok(code)
}
