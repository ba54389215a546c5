//! `cargo xtask screenshots`: pictures of the pages of operators.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::Context as _;

/// The test that takes them when it is told to write.
const TEST: &str = "screenshots_in_docs";

/// Starts a system of its own, uploads a few files, some of which fail, and takes the pictures in `docs/screenshots` anew.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut command = Command::new(env::current_exe().context("finding this program")?);
    let status = command.args(["test", "--", TEST]).env("STEEP_WRITE_DOCS", "1").status();
    let code = status.context("running this program again")?.code();
    Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
