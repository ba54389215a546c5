//! Debian packages, as root or through sudo.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::plan::{Privilege, examine};
use super::{install_log, succeeds};
use crate::process::interrupt;
use crate::shell;

/// How long another apt-get may be at work.
const LOCKED_FOR: Duration = Duration::from_secs(300);

/// Packages that start a service, and its name.
const SERVICES: [(&str, &str); 3] = [
    ("rabbitmq-server", "rabbitmq-server.service"),
    ("redis-server", "redis-server.service"),
    ("nginx-light", "nginx.service"),
];

/// Installs Debian packages that a command needs.
pub fn apt(packages: &[&str]) -> anyhow::Result<()> {
    let machine = examine();
    if !machine.debian || machine.privilege == Privilege::None {
        bail!(
            "this needs {}, which can be installed from here on Debian and Ubuntu as root only",
            packages.join(" and ")
        );
    }
    install(packages, machine.privilege)
}

pub(super) fn install(packages: &[&str], privilege: Privilege) -> anyhow::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
