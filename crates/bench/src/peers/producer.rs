//! A peer's process that accepts jobs, and waits before and after.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, bail};
use xtask::process::last_lines;

use super::command::Invocation;
use crate::usage::{Parts, Usage};

/// It says `ready` when it is connected and warm, and `done` when it has accepted its share; both times it then waits for a line, so
/// that starting and ending are not measured. It is killed when dropped.
#[derive(Debug)]
pub struct Producer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Producer {
    pub fn start(invocation: &Invocation, env: &[(&'static str, String)], log: &Path) -> anyhow::Result<Self> {
        let errors = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = invocation.command();
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("running {}", invocation.program.display()))?;
        let (stdin, stdout) = (child.stdin.take().context("a pipe")?, child.stdout.take().context("a pipe")?);
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), log: log.to_owned() })
    }

    fn until(&mut self, word: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        while line.trim() != word {
            line.clear();
            if self.stdout.read_line(&mut line)? == 0 {
                bail!("it ended before it was {word}:\n{}", last_lines(&self.log, 8));
            }
        }
        Ok(())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _nobody_asks = self.child.wait();
    }
}

/// Lets all of them accept at once, and measures until the last is done.
pub fn measure(mut producers: Vec<Producer>, mut parts: Parts) -> anyhow::Result<Usage> {
    for producer in &mut producers {
        producer.until("ready")?;
        parts.add("producer", producer.child.id().cast_signed());
    }
    let before = parts.read()?;
    for producer in &mut producers {
        producer.stdin.write_all(b"\n")?;
    }
    for producer in &mut producers {
        producer.until("done")?;
    }
    Ok(before.until(&parts.read()?))
}
