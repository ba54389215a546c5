//! Programs that a test needs and that a machine may lack: SDKs, generators of requests, browsers.
//!
//! Packages are installed by name and version into `.steep` of the workspace, and found there the next time. A machine
//! without the program itself sees the test reported as skipped, with the reason; everything else that goes wrong is a failure.

pub mod browser;
mod nginx;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

pub use nginx::Nginx;

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

/// The folder in `.steep/<shelf>` in which `install` has put something. It is filled under another name first, so that one
/// that was interrupted is never taken for complete.
pub fn installed(
    shelf: &str,
    name: &str,
    install: impl Fn(&Path) -> Result<String, String>,
) -> Result<PathBuf, String> {
    let parent = workspace().join(".steep").join(shelf);
    std::fs::create_dir_all(&parent).map_err(|error| error.to_string())?;
    let target = parent.join(name);
    if target.is_dir() {
        return Ok(target);
    }
    let temporary = TempDir::new_in(&parent).map_err(|error| error.to_string())?;
    install(temporary.path())?;
    let temporary = temporary.keep();
    // Another run may have been faster; its folder is as good.
    if std::fs::rename(&temporary, &target).is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    if target.is_dir() { Ok(target) } else { Err(format!("{} is missing", target.display())) }
}

/// A package of PyPI, installed into a folder for `PYTHONPATH`. `None` on a machine without Python.
pub fn python_package(shelf: &str, package: &str, version: &str) -> Result<Option<PathBuf>, String> {
    if run(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        return Ok(None);
    }
    let folder = installed(shelf, &format!("{package}-{version}"), |folder| {
        run(Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(folder)
            .arg(format!("{package}=={version}")))
    });
    folder.map(Some)
}

pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders up")
}
