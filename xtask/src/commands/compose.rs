//! `cargo xtask compose`: `docker compose up`, tried by `deploy/walk`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::services::{install, locate};

/// What this machine has of Docker.
#[derive(Debug, Clone, Copy)]
struct Machine {
    /// A daemon answers.
    answers: bool,
    /// A daemon could be started.
    dockerd: bool,
    root: bool,
}

/// Becomes that script, which cleans up by itself, or says why not.
pub fn run() -> anyhow::Result<ExitCode> {
    let machine = Machine {
        answers: install::succeeds(Command::new("docker").arg("version")),
        dockerd: ["docker", "dockerd"].iter().all(|program| locate::on_path(program).is_some()),
        root: rustix::process::geteuid().is_root(),
    };
    if let Some(reason) = skipped(machine) {
        println!("skipped: {reason}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut walk = Command::new(locate::workspace().join("deploy/walk"));
    // For images that cannot be pulled, as where no Docker runs yet. One that runs has its own way to them.
    if machine.root && !machine.answers {
        install::ensure(false, true)?;
        if locate::on_path("debootstrap").is_none() {
            install::apt(&["debootstrap"])?;
        }
        walk.envs(locate::mongod().map(|mongod| ("STEEP_MONGOD", mongod)));
    }
    Err(walk.exec()).context("running deploy/walk")
}

fn skipped(machine: Machine) -> Option<&'static str> {
    match machine {
        Machine { answers: true, .. } | Machine { dockerd: true, root: true, .. } => None,
        Machine { dockerd: true, .. } => Some("no Docker answers this user, and only root can start one"),
        Machine { .. } => {
            Some("no Docker answers, and there is no dockerd to start (on Debian: apt-get install docker.io)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_skipped_with_a_reason_where_docker_neither_runs_nor_can_be_started() {
        let nothing = Machine { answers: false, dockerd: false, root: false };
        for machine in [nothing, Machine { root: true, ..nothing }] {
            assert!(skipped(machine).unwrap().contains("docker.io"));
        }
        assert!(skipped(Machine { dockerd: true, ..nothing }).unwrap().contains("root"));
        for machine in [Machine { answers: true, ..nothing }, Machine { dockerd: true, root: true, ..nothing }] {
            assert_eq!(skipped(machine), None);
        }
    }
}
