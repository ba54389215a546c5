//! Programs run as their users run them: as processes of their own, which can be killed.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::secrets;

/// A running program; terminated when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to `<dir>/<name>.log`.
    ///
    /// # Errors
    ///
    /// The program cannot be started, or the log cannot be written.
    pub fn spawn(
        name: &str,
        program: &Path,
        args: &[&str],
        env: &[(&str, String)],
        dir: &Path,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let log = dir.join(format!("{name}.log"));
        secrets::will_log(&log);
        let output = File::create(&log)?;
        let mut command = Command::new(program);
        command.args(args).envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("could not start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until something listens, for at most half a minute.
    ///
    /// # Errors
    ///
    /// Nothing does.
    pub async fn wait_for_port(&self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if Instant::now() > deadline {
                bail!("{} does not listen on {address}: see {}", self.name, self.log.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until a path answers 200, for at most half a minute.
    ///
    /// # Errors
    ///
    /// It does not.
    pub async fn wait_for_ok(&self, url: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if reqwest::get(url).await.is_ok_and(|reply| reply.status().is_success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready at {url}: see {}", self.name, self.log.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Resident memory now, bytes.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn resident(&self) -> anyhow::Result<u64> {
        self.status("VmRSS:")
    }

    /// Highest resident memory since the start or the last [`Self::reset_peak`], bytes.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn peak(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    /// Forgets the peak (proc(5), `clear_refs`, value 5).
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn reset_peak(&self) -> anyhow::Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn status(&self, field: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib: u64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context("no such field")?;
        Ok(kib * 1024)
    }

    /// Stops the process where it is (SIGSTOP), or lets it go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn pause(&self, paused: bool) -> anyhow::Result<()> {
        self.signal(if paused { Signal::STOP } else { Signal::CONT })
    }

    /// Kills it without a chance to clean up (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    ///
    /// It is gone already.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn ask_to_end(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Asks it to end (SIGTERM) and waits for its exit code, for at most half a minute.
    ///
    /// # Errors
    ///
    /// It does not end, or was ended by a signal.
    pub async fn terminate(mut self) -> anyhow::Result<i32> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return status.code().with_context(|| format!("{}: {status}", self.name));
            }
            if Instant::now() > deadline {
                bail!("{} did not end: see {}", self.name, self.log.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has ended by itself, for at most a minute.
    ///
    /// # Errors
    ///
    /// It has not.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} goes on: see {}", self.name, self.log.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    ///
    /// That cannot be told.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it has printed so far.
    ///
    /// # Errors
    ///
    /// The log is gone.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no such process")?;
        Ok(kill_process(pid, signal)?)
    }
}

/// An address on this machine that nobody listens on.
///
/// # Errors
///
/// There is none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// One of our programs, beside the one that runs.
///
/// # Errors
///
/// It is not built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    path.exists().then_some(path).with_context(|| format!("{name} is not built: run this by `cargo xtask`"))
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = self.signal(Signal::CONT);
        let _ = self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
