mod identity;
pub mod interrupt;
pub mod restart;

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::process::{Pid, Signal};

use crate::Error;
use crate::error::IoContext as _;

pub use identity::Identity;

const POLL: Duration = Duration::from_millis(20);

/// How long a process may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as its owner: `Drop` kills it, and on Linux so does the death of our process.
    Owned,
    /// Until somebody stops it: it survives us, in a session of its own.
    Detached,
}

/// A program that runs in a process group of its own, so that a Ctrl-C at the terminal reaches only us and we end everything
/// in order; its output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    identity: Identity,
    /// `None`: adopted from an earlier run, not our child.
    child: Option<Child>,
    lifetime: Lifetime,
    /// Some programs take a second SIGTERM for impatience.
    asked_to_end: bool,
    ended: Option<String>,
}

impl Process {
    /// Starts `command` with its output appended to `log` and no input.
    pub fn spawn(name: &str, mut command: Command, log: &Path, lifetime: Lifetime) -> Result<Process, Error> {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).doing(|| format!("creating {}", folder.display()))?;
        }
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let output = open().doing(|| format!("opening {}", log.display()))?;
        let errors = output.try_clone().doing(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        match lifetime {
            Lifetime::Owned => {
                command.process_group(0);
                end_with_us(&mut command, Signal::TERM);
            }
            Lifetime::Detached => new_session(&mut command),
        }
        let program = command.get_program().to_owned();
        let child = spawn_lasting(command).doing(|| format!("running {}", program.display()))?;
        let identity = Identity::of(child.id().cast_signed());
        Ok(Process {
            name: name.to_owned(),
            log: log.to_owned(),
            identity,
            child: Some(child),
            lifetime,
            asked_to_end: false,
            ended: None,
        })
    }

    /// Takes over a detached process which an earlier run left; `None` if it has ended since.
    pub fn adopt(name: &str, identity: &Identity, log: &Path) -> Option<Process> {
        let (identity, log) = (identity.clone(), log.to_owned());
        identity.alive().then_some(Process {
            name: name.to_owned(),
            log,
            identity,
            child: None,
            lifetime: Lifetime::Detached,
            asked_to_end: false,
            ended: None,
        })
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What to remember in order to find it again.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it has printed so far.
    pub fn printed(&self) -> Result<String, Error> {
        fs::read_to_string(&self.log).doing(|| format!("reading {}", self.log.display()))
    }

    /// How it ended, if it has: `exit code 0`, `signal 9`.
    pub fn ended(&mut self) -> Option<&str> {
        if self.ended.is_none() {
            self.ended = match &mut self.child {
                Some(child) => child.try_wait().ok().flatten().map(describe),
                None => (!self.identity.alive()).then(|| "ended".to_owned()),
            };
        }
        self.ended.as_deref()
    }

    /// Fails when it has ended without being asked to.
    pub fn ensure_running(&mut self) -> Result<(), Error> {
        let Some(status) = self.ended().map(str::to_owned) else { return Ok(()) };
        if self.asked_to_end {
            return Ok(());
        }
        Err(Error::Died { program: self.name.clone(), status, log: self.log.clone(), tail: last_lines(&self.log, 12) })
    }

    /// The error of a program that did not become ready.
    pub(crate) fn not_ready(&self, after: Duration, state: impl Into<String>) -> Error {
        Error::NotReady {
            program: self.name.clone(),
            seconds: after.as_secs(),
            state: state.into(),
            log: self.log.clone(),
            tail: last_lines(&self.log, 12),
        }
    }

    /// Asks it to end; returns at once. Asking again does nothing.
    pub fn terminate(&mut self) {
        if !self.asked_to_end && self.ended().is_none() {
            self.asked_to_end = true;
            self.signal(Signal::TERM);
        }
    }

    /// Asks it to end, waits for `patience`, then kills it and whatever it started. True if it ended by itself.
    pub fn stop(&mut self, patience: Duration) -> bool {
        self.terminate();
        let deadline = Instant::now() + patience;
        while self.ended().is_none() && Instant::now() < deadline && !interrupt::insisted() {
            thread::sleep(POLL);
        }
        let orderly = self.ended().is_some();
        self.kill();
        orderly
    }

    /// SIGKILL to it and its group; returns when it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        // The kernel does this at once unless the process hangs in a device; nothing more could be done about that.
        let deadline = Instant::now() + Duration::from_secs(2);
        while (self.ended().is_none() || self.identity.group_lives()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops it where it is (SIGSTOP), or lets it go on (SIGCONT).
    pub fn pause(&self, paused: bool) {
        self.signal(if paused { Signal::STOP } else { Signal::CONT });
    }

    fn signal(&self, signal: Signal) {
        // The group outlives its leader while a grandchild runs. Once all are gone the number could be another's, which takes
        // a whole round of pids; an adopted one is older, and is signalled only while its leader is known to be the same.
        if self.child.is_none() && !self.identity.alive() {
            return;
        }
        if let Some(group) = Pid::from_raw(self.identity.pid) {
            let _already_gone = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Owned {
            self.kill();
        }
    }
}

/// The last `lines` lines of a log, as far as its last 16 KiB hold them; empty if it cannot be read.
pub fn last_lines(log: &Path, lines: usize) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    last.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Has the kernel send `signal` to the child when we die, however that happens.
#[cfg(target_os = "linux")]
pub(crate) fn end_with_us(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    #[allow(
        unsafe_code,
        reason = "prctl and getppid are async-signal-safe, and nothing allocates between fork and exec"
    )]
    // SAFETY: see the reason; the closure touches only values that it copied.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // We may have died before the kernel knew what to do about it.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}

/// Elsewhere a killed `cargo xtask` leaves its children behind; an ended or interrupted one does not.
#[cfg(not(target_os = "linux"))]
pub(crate) fn end_with_us(_: &mut Command, _: Signal) {}

fn new_session(command: &mut Command) {
    #[allow(unsafe_code, reason = "setsid is async-signal-safe, and nothing allocates between fork and exec")]
    // SAFETY: see the reason.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

type Request = (Command, Sender<io::Result<Child>>);

/// Starts a child from a thread that lives as long as our process: the parent-death signal of prctl(2) fires when the
/// *thread* that forked ends, and callers come from thread pools whose threads end when idle.
pub(crate) fn spawn_lasting(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in requests {
                let _caller_is_gone = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the spawning thread is gone");
    spawner.lock().map_err(|_| gone())?.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_ends_by_itself_is_reported_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log/x.log");
        let mut process =
            Process::spawn("x", shell("echo first; echo last >&2; exit 3"), &log, Lifetime::Owned).unwrap();
        while process.ended().is_none() {
            thread::sleep(POLL);
        }
        let message = process.ensure_running().unwrap_err().to_string();
        assert!(message.contains("exit code 3"), "{message}");
        assert!(message.ends_with("    first\n    last"), "{message}");
    }

    #[test]
    fn stopping_ends_grandchildren_that_ignore_the_polite_signal() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let script = "trap '' TERM; (trap '' TERM; exec sleep 1000) & echo $!; wait";
        let mut process = Process::spawn("x", shell(script), &log, Lifetime::Owned).unwrap();
        let grandchild = loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some(line) = text.lines().next().filter(|_| text.ends_with('\n')) {
                break Identity::of(line.parse().unwrap());
            }
            thread::sleep(POLL);
        };
        assert!(grandchild.alive());
        assert!(!process.stop(Duration::from_millis(100)), "it ignores SIGTERM");
        assert_eq!(process.ended(), Some("signal 9"));
        let deadline = Instant::now() + Duration::from_secs(5);
        while grandchild.alive() {
            assert!(Instant::now() < deadline, "the grandchild still runs");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it_but_not_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let asked = thread::spawn(move || Process::spawn("x", shell("exec sleep 1000"), &log, Lifetime::Owned));
        let mut process = asked.join().unwrap().unwrap();
        thread::sleep(Duration::from_millis(100));
        assert_eq!(process.ended(), None);
        let identity = process.identity().clone();
        drop(process);
        assert!(!identity.alive());
    }

    #[test]
    fn a_detached_process_survives_its_handle_and_is_found_and_stopped_later() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let process = Process::spawn("x", shell("exec sleep 1000"), &log, Lifetime::Detached).unwrap();
        let identity = process.identity().clone();
        drop(process);
        assert!(identity.alive());
        let mut found = Process::adopt("x", &identity, &log).unwrap();
        assert!(found.stop(Duration::from_secs(5)));
        assert!(Process::adopt("x", &identity, &log).is_none());
    }
}
