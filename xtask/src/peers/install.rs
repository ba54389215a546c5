//! Getting the peers onto this machine, each by name and version into a folder that git ignores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::peers::{self, System};
use crate::process::interrupt;
use crate::services::{install, locate};
use crate::shell;
use anyhow::{Context as _, bail, ensure};

/// The manifest of what a folder holds, written when it is complete.
const COMPLETE: &str = "complete";

/// Installs what these systems need. Returns those that this machine cannot have, with the reason in one line.
pub fn install(systems: &[System]) -> anyhow::Result<Vec<(System, String)>> {
    let mut skipped = Vec::new();
    for &system in systems {
        let installed = match system {
            System::Steep => Ok(()),
            System::Apalis => redis().and_then(|()| apalis()),
            System::Bullmq => redis().and_then(|()| bullmq()),
            System::AioPika | System::Celery => python(),
        };
        let Err(error) = installed else { continue };
        if interrupt::requested() {
            return Err(error);
        }
        let reason = format!("{error:#}").replace('\n', " ");
        eprintln!("skipped: {}: {reason}", system.name());
        skipped.push((system, reason));
    }
    Ok(skipped)
}

fn redis() -> anyhow::Result<()> {
    install::program("redis-server", "redis-server")
}

/// Built as our own programs are, apart from them.
fn apalis() -> anyhow::Result<()> {
    let mut command = build::cargo();
    command.current_dir(peers::sources().join("apalis")).args(["build", "--release", "--locked", "--target-dir"]);
    command.arg(peers::folder().join("apalis"));
    shell::quietly("building apalis", &mut command, &log("apalis"))
}

fn bullmq() -> anyhow::Result<()> {
    install::program("node", "nodejs")?;
    install::program("npm", "npm")?;
    let sources = peers::sources().join("node");
    let script = peers::bullmq();
    let folder = script.parent().context("a script lies in a folder")?;
    fill(folder, &sources.join("package.json"), |folder| {
        fs::copy(sources.join("package.json"), folder.join("package.json"))?;
        let mut npm = Command::new("npm");
        // A Node that is too old is an error now, not later.
        npm.args(["install", "--engine-strict", "--no-package-lock", "--no-audit", "--no-fund"]).current_dir(folder);
        shell::quietly("installing BullMQ", &mut npm, &log("bullmq"))
    })?;
    // Node looks for packages beside the script.
    fs::copy(sources.join("peer.mjs"), &script).with_context(|| format!("writing {}", script.display()))?;
    Ok(())
}

fn python() -> anyhow::Result<()> {
    let pip = || {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip"]);
        pip
    };
    if !install::succeeds(pip().arg("--version")) {
        install::apt(&["python3-pip"])?;
        ensure!(
            install::succeeds(pip().arg("--version")),
            "python3-pip was installed, and `python3 -m pip` does not run"
        );
    }
    let requirements = peers::sources().join("python/requirements.txt");
    fill(&peers::python(), &requirements, |folder| {
        let mut pip = pip();
        pip.args(["install", "--disable-pip-version-check", "--no-input", "--root-user-action=ignore", "--target"]);
        pip.arg(folder).arg("--requirement").arg(&requirements);
        shell::quietly("installing Celery and aio-pika", &mut pip, &log("python"))
    })
}

/// Fills a folder, unless it holds what this manifest names. One that was interrupted is emptied first.
fn fill(folder: &Path, manifest: &Path, install: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let wanted = fs::read(manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let complete = folder.join(COMPLETE);
    if fs::read(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("removing {}: {error}", folder.display());
        }
        _ => {}
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    install(folder)?;
    fs::write(&complete, wanted).with_context(|| format!("writing {}", complete.display()))
}

fn log(name: &str) -> PathBuf {
    locate::steep_folder().join("log").join(format!("install-{name}.log"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_folder_is_filled_once_for_each_manifest_and_anew_after_a_failure() {
        let root = tempfile::tempdir().unwrap();
        let (folder, manifest) = (root.path().join("installed"), root.path().join("manifest"));
        let times = Cell::new(0);
        let fill_it = || {
            fill(&folder, &manifest, |folder| {
                times.set(times.get() + 1);
                Ok(fs::write(folder.join(format!("package-{}", times.get())), "")?)
            })
        };
        assert!(fill_it().is_err(), "there is no manifest");
        fs::write(&manifest, "one").unwrap();
        fill_it().unwrap();
        fill_it().unwrap();
        assert_eq!(times.get(), 1);

        fs::write(&manifest, "two").unwrap();
        assert!(fill(&folder, &manifest, |_| bail!("no network")).is_err());
        fill_it().unwrap();
        assert_eq!(times.get(), 2);
        assert!(!folder.join("package-1").exists());
    }

    #[test]
    fn every_version_of_a_package_is_fixed() {
        let requirements = fs::read_to_string(peers::sources().join("python/requirements.txt")).unwrap();
        assert!(requirements.lines().all(|line| line.contains("==")), "{requirements}");
        let package = fs::read_to_string(peers::sources().join("node/package.json")).unwrap();
        let package: serde_json::Value = serde_json::from_str(&package).unwrap();
        for (name, version) in package["dependencies"].as_object().unwrap() {
            let version = version.as_str().unwrap();
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{name} {version}");
        }
        assert!(peers::sources().join("apalis/Cargo.lock").is_file());
    }
}
