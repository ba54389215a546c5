//! How each peer is called. What it then does is in `crates/bench/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use xtask::peers::{self, System};
use xtask::services::locate;

use crate::{accept, drain};

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

impl Invocation {
    fn new(program: impl Into<PathBuf>, words: &str) -> Self {
        Self { program: program.into(), arguments: words.split_whitespace().map(str::to_owned).collect() }
    }

    fn script(interpreter: &str, script: &Path, words: &str) -> Self {
        let mut invocation = Self::new(interpreter, words);
        invocation.arguments.insert(0, script.display().to_string());
        invocation
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// How it performs jobs: two processes where a language uses one processor for each.
pub fn works(system: System) -> &'static str {
    match system {
        System::Steep => "Steep",
        System::Apalis => "apalis-redis, 32",
        System::Bullmq => "BullMQ, 32",
        System::AioPika => "aio-pika, 2 × 16",
        System::Celery => "Celery, gevent, 2 × 16",
    }
}

/// How it accepts them.
pub fn accepts(system: System) -> &'static str {
    match system {
        System::Steep => "Steep",
        System::Apalis => "apalis-redis, 16",
        System::Bullmq => "BullMQ, 16",
        System::AioPika => "aio-pika, 2 × 8",
        System::Celery => "Celery, gevent, 2 × 8",
    }
}

/// Messages for all jobs that MongoDB has.
pub fn load(system: System) -> anyhow::Result<Invocation> {
    call(system, "load")
}

/// The workers.
pub fn work(system: System) -> anyhow::Result<Vec<Invocation>> {
    let at_once = drain::AT_ONCE / processes(system);
    if system != System::Celery {
        return Ok(vec![call(system, &format!("work {at_once}"))?; processes(system)]);
    }
    let worker = |number: usize| {
        let words = format!(
            "-m celery -A celery_peer worker -l warning -P gevent -c {at_once} -n peer{number}@%h -Q peers \
             --without-gossip --without-mingle --without-heartbeat"
        );
        Invocation::new("python3", &words)
    };
    Ok((0..processes(system)).map(worker).collect())
}

/// Those who accept so many jobs together.
pub fn accept(system: System, count: usize) -> anyhow::Result<Vec<Invocation>> {
    let processes = processes(system);
    let words = format!("accept {} {}", count / processes, accept::AT_ONCE / processes);
    Ok(vec![call(system, &words)?; processes])
}

fn call(system: System, words: &str) -> anyhow::Result<Invocation> {
    let python = peers::sources().join("python");
    Ok(match system {
        System::Steep => bail!("Steep is called in its own way"),
        System::Apalis => Invocation::new(peers::apalis(), words),
        System::Bullmq => Invocation::script("node", &peers::bullmq(), words),
        System::AioPika => Invocation::script("python3", &python.join("aio_pika_peer.py"), words),
        System::Celery => Invocation::script("python3", &python.join("celery_peer.py"), words),
    })
}

fn processes(system: System) -> usize {
    match system {
        System::Steep | System::Apalis | System::Bullmq => 1,
        System::AioPika | System::Celery => 2,
    }
}

/// Where Python finds packages and what both of its peers share.
pub fn python_path() -> String {
    format!("{}:{}", peers::sources().join("python").display(), peers::python().display())
}

/// Whether it stands on Redis instead of RabbitMQ.
pub fn needs_redis(system: System) -> bool {
    matches!(system, System::Apalis | System::Bullmq)
}

/// The server, where Debian's package puts it too.
pub fn redis_server() -> PathBuf {
    locate::on_path("redis-server").unwrap_or_else(|| "redis-server".into())
}
