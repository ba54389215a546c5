//! Packages of PyPI and npm, installed by name and version into `.steep` of the workspace, and found there the next time.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{run, workspace};

/// A package of PyPI, installed into a folder for `PYTHONPATH`. `None` on a machine without Python or pip.
pub fn python_package(shelf: &str, package: &str, version: &str) -> Result<Option<PathBuf>, String> {
    python_packages(shelf, &[format!("{package}=={version}")])
}

/// Several packages of PyPI in one folder, each as `name==version`.
pub fn python_packages(shelf: &str, packages: &[String]) -> Result<Option<PathBuf>, String> {
    if run(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        return Ok(None);
    }
    let folder = installed(shelf, &packages.join("+").replace("==", "-"), |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(folder);
        run(pip.args(packages))
    });
    folder.map(Some)
}

/// A package of npm, installed into a folder for `NODE_PATH`. `None` on a machine without Node or npm.
pub fn node_package(shelf: &str, package: &str, version: &str) -> Result<Option<PathBuf>, String> {
    node_packages(shelf, &[format!("{package}@{version}")])
}

/// Several packages of npm in one folder, each as `name@version`.
pub fn node_packages(shelf: &str, packages: &[String]) -> Result<Option<PathBuf>, String> {
    for program in ["node", "npm"] {
        if run(Command::new(program).arg("--version")).is_err() {
            return Ok(None);
        }
    }
    let folder = installed(shelf, &format!("node-{}", packages.join("+").replace(['@', '/'], "-")), |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]).arg(folder);
        run(npm.args(packages))
    });
    folder.map(|folder| Some(folder.join("node_modules")))
}

/// The folder in `.steep/<shelf>` in which `install` has put something. It is filled under another name first, so that one
/// that was interrupted is never taken for complete.
fn installed(shelf: &str, name: &str, install: impl Fn(&Path) -> Result<String, String>) -> Result<PathBuf, String> {
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
