//! Programs run as their users run them: as processes of their own, which can be killed.

mod clock;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::net::TcpStream;
use xtask::process::{Lifetime, Process};

use crate::secrets;

pub use clock::FalseClock;

/// What a program may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a program whose output goes to `<dir>/<name>.log`. It is killed when dropped.
pub fn spawn(name: &str, program: &Path, args: &[&str], env: &[(&str, String)], dir: &Path) -> anyhow::Result<Process> {
    let log = dir.join(format!("{name}.log"));
    secrets::will_log(&log);
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().map(|(name, value)| (name, value)));
    Ok(Process::spawn(name, command, &log, Lifetime::Owned)?)
}

/// Waits until something listens.
pub async fn until_listening(process: &mut Process, address: SocketAddr) -> anyhow::Result<()> {
    until(process, "does not listen", async || TcpStream::connect(address).await.is_ok()).await
}

/// Waits until an address answers with success.
pub async fn until_ok(process: &mut Process, url: &str) -> anyhow::Result<()> {
    until(process, "is not ready", async || reqwest::get(url).await.is_ok_and(|reply| reply.status().is_success()))
        .await
}

/// Waits until it has ended by itself. Answers how: `exit code 0`, `signal 6`.
pub async fn until_ended(process: &mut Process) -> anyhow::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(ended) = process.ended() {
            return Ok(ended.to_owned());
        }
        ensure!(Instant::now() < deadline, "{} goes on: see {}", process.name(), process.log().display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks it to end (SIGTERM), and fails unless it does with exit code 0.
pub async fn end(mut process: Process) -> anyhow::Result<()> {
    process.terminate();
    let ended = until_ended(&mut process).await?;
    ensure!(ended == "exit code 0", "{} ended with {ended}: see {}", process.name(), process.log().display());
    Ok(())
}

async fn until(process: &mut Process, state: &str, condition: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        process.ensure_running()?;
        if Instant::now() > deadline {
            bail!("{} {state}: see {}", process.name(), process.log().display());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Resident memory now, bytes.
pub fn resident_memory(process: &Process) -> anyhow::Result<u64> {
    memory(process, "VmRSS:")
}

/// Highest resident memory since the start or [`forget_peak_memory`], bytes.
pub fn peak_memory(process: &Process) -> anyhow::Result<u64> {
    memory(process, "VmHWM:")
}

/// proc(5), `clear_refs`, value 5.
pub fn forget_peak_memory(process: &Process) -> anyhow::Result<()> {
    Ok(std::fs::write(format!("/proc/{}/clear_refs", process.identity().pid), "5")?)
}

fn memory(process: &Process, field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.identity().pid))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: u64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context("no such field")?;
    Ok(kib * 1024)
}

/// An address on this machine that nobody listens on.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let [port] = xtask::services::ports::free()?;
    Ok(([127, 0, 0, 1], port).into())
}

/// One of our programs, which lies beside the one that runs; tests run one folder below, in `deps`.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().context("a program lies in a folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = folder.join(name);
    path.exists().then_some(path).with_context(|| format!("{name} is not built: use `cargo xtask`"))
}
