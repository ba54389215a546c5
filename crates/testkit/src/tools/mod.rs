//! Programs that a test needs and that a machine may lack: SDKs, generators of requests, browsers.
//!
//! A machine without the program itself sees the test reported as skipped, with the reason; everything else that goes wrong is
//! a failure.

pub mod browser;
mod nginx;
mod packages;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

pub use nginx::Nginx;
pub use packages::{node_package, node_packages, python_package, python_packages};

/// Runs a command. Answers what it printed.
pub fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().map_err(|error| format!("{name}: {error}"))?;
    let (stdout, stderr) =
        (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned());
    if status.success() { Ok(stdout) } else { Err(format!("{name}: {status}\n{stdout}{stderr}")) }
}

/// Says that a test was not run, and why; `cargo xtask test` repeats it at its end.
#[allow(clippy::print_stderr, reason = "whoever runs the test alone wants to know too")]
pub fn skip(what: &str, reason: &str) {
    let line = format!("skipped: {what}: {reason}\n");
    eprint!("{line}");
    if let Some(file) = std::env::var_os(xtask::SKIPPED) {
        // One write of a line at the end: many tests do it at once.
        let file = File::options().create(true).append(true).open(file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of what was skipped");
    }
}

pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders up")
}
