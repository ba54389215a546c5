//! What we have from the shell that we run in: variables, and programs in the foreground, whose Ctrl-C is also ours.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{interrupt, last_lines};
use anyhow::{Context as _, bail};

/// What a program may take to end by itself after Ctrl-C reached it.
const GRACE: Duration = Duration::from_secs(5);

/// Runs `command` with our terminal and waits for it; SIGTERM to us is passed on to it.
pub fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    let mut child = command.spawn().with_context(|| format!("running {}", shown(command)))?;
    wait(&mut child, || {})
}

/// As [`run`], and anything but success is an error.
pub fn check(command: &mut Command) -> anyhow::Result<()> {
    let status = run(command)?;
    if interrupt::requested() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs `command` with its output in `log` and one line on the terminal that shows it is alive.
pub fn quietly(what: &str, command: &mut Command, log: &Path) -> anyhow::Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let errors = output.try_clone().with_context(|| format!("creating {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut line = Ticker::new(what);
    let mut child = command.spawn().with_context(|| format!("running {}", shown(command)))?;
    let status = wait(&mut child, || line.tick())?;
    line.end(status.success());
    if interrupt::requested() {
        bail!("interrupted");
    }
    if !status.success() {
        let (log, tail) = (log.display(), last_lines(log, 8));
        bail!("`{}` failed ({status}); the last lines of {log}:\n{tail}", shown(command));
    }
    Ok(())
}

/// A variable that is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn wait(child: &mut Child, mut meanwhile: impl FnMut()) -> anyhow::Result<ExitStatus> {
    let mut since: Option<Instant> = None;
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupt::requested() {
            // At a terminal the program got its own Ctrl-C; after a plain SIGTERM to us it did not.
            let waited = since.get_or_insert_with(Instant::now).elapsed();
            if !told && waited > Duration::from_secs(1) {
                told = true;
                if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                    let _already_gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
            }
            if waited > GRACE || (interrupt::insisted() && told) {
                child.kill()?;
            }
        }
        meanwhile();
        thread::sleep(Duration::from_millis(30));
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// A line that counts seconds on a terminal, and is printed once at the end elsewhere.
struct Ticker<'a> {
    what: &'a str,
    begun: Instant,
    shown: u64,
    terminal: bool,
}

impl<'a> Ticker<'a> {
    fn new(what: &'a str) -> Ticker<'a> {
        let terminal = std::io::stderr().is_terminal();
        if !terminal {
            eprintln!("  {what} ...");
        }
        Ticker { what, begun: Instant::now(), shown: u64::MAX, terminal }
    }

    fn tick(&mut self) {
        let seconds = self.begun.elapsed().as_secs();
        if self.terminal && seconds != self.shown {
            self.shown = seconds;
            eprint!("\r  {} ... {seconds} s", self.what);
            let _only_progress = std::io::stderr().flush();
        }
    }

    fn end(&self, good: bool) {
        let outcome = if good { "done in" } else { "failed after" };
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{start}  {} {outcome} {:.1} s", self.what, self.begun.elapsed().as_secs_f32());
    }
}
