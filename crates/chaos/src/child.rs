//! A process that is killed, stopped and started again: one of our programs, the broker or the database.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use xtask::process::{Lifetime, Process};
use xtask::services::{MongoDb, RabbitMq, ports};

/// What a program may take to end in order: 25 seconds for what it does, and 10 to release the rest.
const TO_END: Duration = Duration::from_secs(40);
const TO_START: Duration = Duration::from_secs(30);

/// One of our programs, and how to start it.
#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    pub path: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(&'static str, String)>,
    pub log: PathBuf,
    /// Where something answers once it is up.
    pub port: u16,
    pub process: Option<Process>,
    /// Of all processes that it was so far.
    pub pids: Vec<i32>,
}

/// Everything blocks.
#[derive(Debug)]
pub enum Child {
    Program(Program),
    Broker(RabbitMq),
    Database(MongoDb),
}

impl Child {
    /// The process, while there is one.
    pub fn process(&mut self) -> Option<&mut Process> {
        match self {
            Self::Program(program) => program.process.as_mut(),
            Self::Broker(node) => node.process(),
            Self::Database(server) => server.process(),
        }
    }

    /// Its process id, which worker names contain.
    pub fn pid(&mut self) -> Option<i32> {
        self.process().map(|process| process.identity().pid)
    }

    /// The process ids that it has had so far, of one of our programs.
    pub fn pids(&self) -> Vec<i32> {
        match self {
            Self::Program(program) => program.pids.clone(),
            _ => Vec::new(),
        }
    }

    pub fn kill(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Program(program) => {
                let mut process = program.process.take().context("it does not run")?;
                process.ensure_running()?;
                process.kill();
            }
            Self::Broker(node) => node.kill()?,
            Self::Database(server) => server.kill()?,
        }
        Ok(())
    }

    /// SIGTERM, and waits until it has ended.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Program(program) => {
                let mut process = program.process.take().context("it does not run")?;
                process.ensure_running()?;
                if !process.stop(TO_END) {
                    bail!("{} did not end within {TO_END:?} of SIGTERM", program.name);
                }
                if process.ended() != Some("exit code 0") {
                    bail!("{} answered SIGTERM with {:?}", program.name, process.ended());
                }
            }
            Self::Broker(node) => node.stop()?,
            Self::Database(server) => server.stop()?,
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT. On a slow machine it may come after the kill that was to follow: then there is nothing to do.
    pub fn pause(&mut self, paused: bool) {
        if let Some(process) = self.process() {
            process.pause(paused);
        }
    }

    /// Starts it with what it had, and waits until it listens.
    pub fn start(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Program(program) => program.start()?,
            Self::Broker(node) => node.start_again()?,
            Self::Database(server) => server.start_again()?,
        }
        Ok(())
    }

    /// Lets the broker think that its memory is used up, or what it thinks by default. One that does not run thinks nothing, and
    /// starts again with the default.
    pub fn alarm(&mut self, raised: bool) -> anyhow::Result<()> {
        if self.pid().is_none() {
            return Ok(());
        }
        let Self::Broker(node) = self else { bail!("only the broker has an alarm") };
        node.control(&["set_vm_memory_high_watermark", if raised { "0" } else { "0.6" }])?;
        Ok(())
    }
}

impl Program {
    fn start(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.path);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        let process = self.process.insert(Process::spawn(self.name, command, &self.log, Lifetime::Owned)?);
        self.pids.push(process.identity().pid);
        let deadline = Instant::now() + TO_START;
        while !ports::answers(self.port) {
            process.ensure_running()?;
            if Instant::now() > deadline {
                bail!("{} does not listen: see {}", self.name, self.log.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
