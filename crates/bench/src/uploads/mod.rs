//! `cargo xtask bench uploads`: what accepting and finishing uploads costs, beside what it cannot cost less than.
//!
//! With names (`pipeline`, `drain`, `accept`, `hung`, `idle`, `large`) only those parts run.

mod accept;
mod drain;
mod hung;
mod idle;
mod large;
mod nginx;
mod parts;
mod pipeline;

use std::path::Path;

use testkit::Services;

use crate::table::Row;

/// All measurements, or those that are named.
pub async fn measure(root: &Path, services: &Services, only: &[String]) -> anyhow::Result<Vec<Row>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let mut rows = Vec::new();
    // First, before others fill the disk: it is about milliseconds.
    if wanted("pipeline") {
        rows.extend(pipeline::measure(root, services).await?);
    }
    if wanted("drain") {
        rows.extend(drain::measure(root, services).await?);
    }
    if wanted("accept") {
        rows.extend(accept::measure(root, services).await?);
    }
    if wanted("hung") {
        rows.push(hung::measure(root, services).await?);
    }
    if wanted("idle") {
        rows.extend(idle::measure(root, services).await?);
    }
    if wanted("large") {
        rows.extend(large::measure(root, services).await?);
    }
    anyhow::ensure!(
        !rows.is_empty(),
        "there is no such measurement: name pipeline, drain, accept, hung, idle, large or none"
    );
    Ok(rows)
}

/// What `cargo xtask dev` noted of its last run from nothing.
pub fn print_first_upload(steep: &Path) -> anyhow::Result<()> {
    let file = steep.join("dev").join("timings.txt");
    if file.exists() {
        println!("\nfrom a fresh clone until uploads are taken (last `cargo xtask dev` that built):");
        print!("{}", std::fs::read_to_string(file)?);
    }
    Ok(())
}
