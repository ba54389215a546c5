//! What this machine lacks and lets us do, and what to do about it.

use std::fs;
use std::io::IsTerminal as _;
use std::process::Command;

use super::succeeds;
use crate::services::locate;

/// What this machine lets us do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    /// Debian, Ubuntu or a derivative, with apt-get.
    pub debian: bool,
    pub x86_64: bool,
    pub privilege: Privilege,
    /// `python3 -m pip` works.
    pub pip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privilege {
    Root,
    /// sudo is there and needs no password, or somebody sits at the terminal to type it.
    Sudo,
    None,
}

/// What is missing, after everything that exists was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub rabbitmq: bool,
    pub mongodb: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Debian packages to install, as root or through sudo.
    pub packages: Vec<&'static str>,
    /// Whether to download MongoDB.
    pub mongodb: bool,
}

/// Decides how to get what is missing, or says in one line why it cannot be had.
pub(super) fn plan(missing: Missing, machine: Machine) -> Result<Plan, String> {
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

pub(super) fn examine() -> Machine {
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
}
