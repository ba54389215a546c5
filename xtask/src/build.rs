//! Calling cargo.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::services::locate;
use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::shell;

/// The cargo that runs us, in the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(locate::workspace());
    // Set for us by `cargo run`; a test or build script that looks at it means its own package.
    command.env_remove("CARGO_MANIFEST_DIR");
    command
}

/// What to build beside the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// Programs as they are developed.
    Debug,
    /// Programs with optimisation.
    Release,
    /// Programs and tests, in one go: both then have the same features, and nothing is compiled twice.
    Tests,
}

/// Builds all programs of the workspace (`-p` would resolve features differently and compile dependencies again).
pub fn programs(build: Build) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut command = cargo();
    command.args(["build", "--workspace", "--bins"]);
    command.args(match build {
        Build::Debug => [].as_slice(),
        Build::Release => &["--release"],
        Build::Tests => &["--tests"],
    });
    shell::check(&mut command)?;
    Ok(begun.elapsed())
}

/// Where cargo puts what it builds, as it says itself: configuration and environment can move it.
pub fn folder(release: bool) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let output =
        cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output().context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    Ok(metadata.target_directory.join(if release { "release" } else { "debug" }))
}
