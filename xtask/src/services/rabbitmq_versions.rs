//! Another version of RabbitMQ for a run of the tests: a Debian that has it, unpacked in a folder of `.steep` and never
//! installed.
//!
//! Beside it lie start scripts, which `STEEP_RABBITMQ_SERVER` and `STEEP_EPMD` then name. What a script mounts, it mounts in a
//! namespace of its process alone, so that it is gone with the process, however that ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::services::{install, locate};
use crate::shell;

/// Versions, and which of Debian's suites have them. That changes with Debian, so what was unpacked is looked at.
const SUITES: [(&str, &str); 2] = [("4.0", "trixie"), ("4.3", "sid")];
/// `guest:guest`.
const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

/// The start scripts of a version, made if need be.
#[derive(Debug)]
pub struct Scripts {
    /// For `STEEP_RABBITMQ_SERVER`. `rabbitmqctl` lies beside it.
    pub server: PathBuf,
    /// For `STEEP_EPMD`.
    pub epmd: PathBuf,
}

/// Unpacks a Debian with this version, unless an earlier run has.
pub fn prepare(version: &str) -> anyhow::Result<Scripts> {
    let folder = locate::steep_folder().join("rabbitmq").join(version);
    let debian = folder.join("debian");
    let suite = suite(version).map_err(anyhow::Error::msg)?;
    if !rustix::process::geteuid().is_root() {
        bail!("a RabbitMQ {version} is unpacked and started with chroot, which needs root; {}", other_ways(version));
    }
    if !debian.exists() {
        unpack(version, suite, &folder, &debian)?;
    }
    let write = |name: &str, script: String| -> anyhow::Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, script).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("making a script executable")?;
        Ok(path)
    };
    for program in ["rabbitmq-server", "rabbitmqctl"] {
        write(program, script(&debian, program))?;
    }
    let epmd = write("epmd", format!("#!/bin/sh\nexec chroot {} epmd \"$@\"\n", quoted(&debian)))?;
    Ok(Scripts { server: folder.join("rabbitmq-server"), epmd })
}

/// Fails unless the broker whose management API is at this address is of the version, such as `4.0`.
pub fn ensure(version: &str, management: &str) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Overview {
        rabbitmq_version: String,
    }
    let answer = ureq::get(format!("{management}/api/overview")).header("Authorization", GUEST).call();
    let overview: Overview = answer
        .and_then(|mut answer| answer.body_mut().read_json())
        .with_context(|| format!("asking {management} for its version"))?;
    let found = overview.rabbitmq_version;
    if !is_of(&found, version) {
        bail!("this is RabbitMQ {found} and not {version}; {}", other_ways(version));
    }
    eprintln!("the broker is RabbitMQ {found}");
    Ok(())
}

/// Whether `4.0.5` is of `4.0`.
fn is_of(found: &str, version: &str) -> bool {
    found == version || found.strip_prefix(version).is_some_and(|rest| rest.starts_with(['.', '-', '~', '+']))
}

fn suite(version: &str) -> Result<&'static str, String> {
    let found = SUITES.iter().find(|(known, _)| *known == version);
    found.map(|(_, suite)| *suite).ok_or_else(|| {
        let known = SUITES.map(|(known, _)| known).join(" and ");
        format!("only RabbitMQ {known} can be had from Debian; {}", other_ways(version))
    })
}

fn other_ways(version: &str) -> String {
    format!(
        "set STEEP_RABBITMQ_SERVER to the sbin/rabbitmq-server of an unpacked RabbitMQ {version}, or RABBITMQ_URL to a \
         running one"
    )
}

fn unpack(version: &str, suite: &str, folder: &Path, debian: &Path) -> anyhow::Result<()> {
    if locate::on_path("debootstrap").is_none() {
        install::apt(&["debootstrap"])?;
    }
    let making = folder.join("making");
    remove(&making)?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--", "debootstrap", "--variant=minbase", "--include=rabbitmq-server", suite])
        .arg(&making);
    let log = locate::steep_folder().join("log").join(format!("rabbitmq-{version}.log"));
    let what = format!("unpacking RabbitMQ {version} from Debian's {suite} (about 400 MB)");
    let made = shell::quietly(&what, &mut command, &log).and_then(|()| finish(version, suite, &making));
    if made.is_err() {
        remove(&making)?;
        return made;
    }
    // In one step: what is there under this name is whole.
    fs::rename(&making, debian).with_context(|| format!("moving {}", making.display()))
}

fn finish(version: &str, suite: &str, debian: &Path) -> anyhow::Result<()> {
    // The node's name is steep@localhost.
    fs::write(debian.join("etc/hosts"), "127.0.0.1 localhost\n").context("writing etc/hosts")?;
    let mut query = Command::new("chroot");
    query.arg(debian).args(["dpkg-query", "--show", "--showformat=${Version}", "rabbitmq-server"]);
    let output = query.output().context("running dpkg-query")?;
    let found = String::from_utf8_lossy(&output.stdout);
    if !is_of(&found, version) {
        bail!("Debian's {suite} has RabbitMQ {found} now and not {version}; {}", other_ways(version));
    }
    Ok(())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Starts a program of that Debian with the variables that [`super::RabbitMq`] sets: they name files in HOME, which
/// is /srv inside.
fn script(debian: &Path, program: &str) -> String {
    format!(
        r#"#!/bin/sh
# Written by `cargo xtask test --rabbitmq`.
set -e
if [ -z "$STEEP_NAMESPACE" ]; then
    STEEP_NAMESPACE=own exec unshare --mount -- "$0" "$@"
fi
unset STEEP_NAMESPACE
debian={debian}
mount --rbind /proc "$debian/proc"
mount --rbind /dev "$debian/dev"
mount --bind "$HOME" "$debian/srv"
for name in MNESIA_BASE LOG_BASE ENABLED_PLUGINS_FILE CONFIG_FILE; do
    eval "value=\"\$RABBITMQ_$name\""
    if [ -n "$value" ]; then
        export "RABBITMQ_$name=/srv${{value#"$HOME"}}"
    fi
done
export HOME=/srv
exec chroot "$debian" /usr/lib/rabbitmq/bin/{program} "$@"
"#,
        debian = quoted(debian)
    )
}

/// A path as one word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_recognised_with_what_packages_add_to_it() {
        for found in ["4.0", "4.0.5", "4.0.5-6+deb13u2", "4.0~rc1"] {
            assert!(is_of(found, "4.0"), "{found}");
        }
        for found in ["4.01", "4.3.0", "14.0.5", ""] {
            assert!(!is_of(found, "4.0"), "{found}");
        }
    }

    #[test]
    fn a_version_that_cannot_be_had_gets_one_line_that_names_the_ways_out() {
        assert_eq!(suite("4.3"), Ok("sid"));
        let message = suite("4.1").unwrap_err();
        for word in ["4.0 and 4.3", "RabbitMQ 4.1", "STEEP_RABBITMQ_SERVER", "RABBITMQ_URL"] {
            assert!(message.contains(word), "{word} is not in: {message}");
        }
        assert!(!message.contains('\n'));
    }

    #[test]
    fn a_script_bears_any_path() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        fs::write(&path, script(Path::new("/a b/it's"), "rabbitmqctl")).unwrap();
        let checked = Command::new("/bin/sh").arg("-n").arg(&path).status().unwrap();
        assert!(checked.success());
    }
}
