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

/// What to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// The programs alone, compiled as fast as can be: see `[profile.quick]`.
    Quick,
    /// All programs, with optimisation.
    Release,
    /// All programs and tests, in one go: both then have the same features, and nothing is compiled twice.
    Tests,
}

impl Build {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            // What `cargo xtask` itself was built with, so that what both need is compiled once. TLS to the broker is a tenth of
            // a first build.
            Build::Quick => &["--bins", "--profile", "quick", "--no-default-features"],
            Build::Release => &["--workspace", "--bins", "--release"],
            Build::Tests => &["--workspace", "--bins", "--tests"],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Build::Quick => "quick",
            Build::Release => "release",
            Build::Tests => "debug",
        }
    }
}

pub fn programs(build: Build) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut command = cargo();
    command.arg("build").args(build.arguments());
    if build == Build::Quick && shell::variable("RABBITMQ_URL").is_some_and(|url| url.starts_with("amqps:")) {
        command.args(["--features", "api/amqps,worker/amqps"]);
    }
    shell::check(&mut command)?;
    Ok(begun.elapsed())
}

/// Where cargo puts what it builds, as it says itself: configuration and environment can move it.
pub fn folder(build: Build) -> anyhow::Result<PathBuf> {
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
    Ok(metadata.target_directory.join(build.folder()))
}
