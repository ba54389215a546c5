//! `cargo xtask bench uploads`: what accepting and finishing uploads costs, beside what it cannot cost less than.
//!
//! With a name (`pipeline`, `accept`, `hung`, `large`) only that part runs.
//!
//! Every figure of ours stands beside a yardstick that ran in the same run, in turns, so that a slow machine slows both.

#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

mod accept;
mod hung;
mod large;
mod nginx;
mod parts;
mod pipeline;

use std::path::Path;
use std::process::ExitCode;

use testkit::Services;
use testkit::bench::{self, Row, world};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_env_filter("warn,lapin=off").with_writer(std::io::stderr).init();
    let services = Services::from_env();
    let root = std::env::current_dir()?.join(".steep").join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    let rows = measure(&root, &services, std::env::args().nth(1).as_deref()).await;
    std::fs::remove_dir_all(&root)?;
    let rows = rows?;
    let code = bench::print(&rows);
    print_first_upload(Path::new(".steep"))?;
    Ok(code)
}

/// All measurements, or the one that is named.
async fn measure(root: &Path, services: &Services, only: Option<&str>) -> anyhow::Result<Vec<Row>> {
    let wanted = |name| only.is_none_or(|only| only == name);
    let mut rows = Vec::new();
    // First, before others fill the disk: it is about milliseconds.
    if wanted("pipeline") {
        rows.extend(pipeline::measure(root, services).await?);
    }
    if wanted("accept") {
        rows.extend(accept::measure(root, services).await?);
    }
    if wanted("hung") {
        rows.push(hung::measure(root, services).await?);
    }
    if wanted("large") {
        rows.extend(large::measure(root, services).await?);
    }
    anyhow::ensure!(!rows.is_empty(), "there is no such measurement: name pipeline, accept, hung, large or none");
    Ok(rows)
}

/// What `cargo xtask dev` noted of its last run from nothing.
fn print_first_upload(folder: &Path) -> anyhow::Result<()> {
    let file = folder.join("dev").join("timings.txt");
    if file.exists() {
        println!("\nfrom a fresh clone until uploads are taken (last `cargo xtask dev` that built):");
        print!("{}", std::fs::read_to_string(file)?);
    }
    Ok(())
}
