//! `cargo xtask bench aggregates`: what subscriptions, counts and channel profiles cost, beside their bounds.
//!
//! With names (`profile`, `toggles`, `recompute`, `burst`, `adopt`) only those parts run.

mod adopt;
mod burst;
mod profile;
mod recompute;
mod stage;
mod toggles;

use std::path::Path;

use testkit::Services;

use crate::table::Row;

/// All measurements, or those that are named.
pub async fn measure(root: &Path, services: &Services, only: &[String]) -> anyhow::Result<Vec<Row>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let mut rows = Vec::new();
    if ["profile", "toggles", "recompute", "burst"].into_iter().any(wanted) {
        let stage = stage::Stage::set(root, services).await?;
        if wanted("profile") {
            rows.extend(profile::measure(&stage).await?);
        }
        if wanted("toggles") {
            rows.push(toggles::measure(&stage).await?);
        }
        if wanted("recompute") {
            rows.extend(recompute::measure(&stage).await?);
        }
        if wanted("burst") {
            rows.extend(burst::measure(&stage).await?);
        }
        stage.system.remove().await?;
    }
    if wanted("adopt") {
        rows.extend(adopt::measure(root, services).await?);
    }
    anyhow::ensure!(
        !rows.is_empty(),
        "there is no such measurement: name profile, toggles, recompute, burst, adopt or none"
    );
    Ok(rows)
}
