pub mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bson::doc;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::IoContext as _;
use crate::process::{Identity, Lifetime, Process, interrupt};
use crate::services::mongodb::wire::Role;
use crate::services::{locate, ports};

/// Opening a cold, large data folder on a busy machine takes a while; a healthy start takes two seconds.
const START: Duration = Duration::from_secs(90);
/// An orderly end writes a checkpoint.
const STOP: Duration = Duration::from_secs(4);
/// A member with sound data elects itself well within this; past it, its configuration names another address.
const ELECTION: Duration = Duration::from_secs(4);

/// A private `mongod` on the loopback address, the only member of the replica set `rs0`, which transactions and change streams
/// need. Without access control: it is for development and tests.
#[derive(Debug)]
pub struct MongoDb {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    lifetime: Lifetime,
    server: Option<Process>,
}

/// What to remember about a detached [`MongoDb`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MongoDbRecord {
    pub port: u16,
    /// The process.
    pub server: Identity,
}

impl MongoDb {
    /// Starts one with its data in `folder`, on a free port, and waits until it accepts writes.
    pub fn start(folder: &Path) -> Result<MongoDb, Error> {
        ports::try_again(|| {
            let [port] = ports::free()?;
            MongoDb::start_on(folder, port, Lifetime::Owned)
        })
    }

    /// As [`MongoDb::start`], on a port of the caller's choice.
    pub fn start_on(folder: &Path, port: u16, lifetime: Lifetime) -> Result<MongoDb, Error> {
        let program =
            locate::mongod().ok_or_else(|| Error::Missing { program: "mongod", advice: locate::WAYS_OUT.into() })?;
        let mut this = MongoDb { program, folder: folder.to_owned(), port, lifetime, server: None };
        this.start_again()?;
        Ok(this)
    }

    /// Takes over a detached one; `None` if it does not run any more.
    pub fn adopt(folder: &Path, record: &MongoDbRecord) -> Option<MongoDb> {
        Some(MongoDb {
            program: locate::mongod().unwrap_or_else(|| "mongod".into()),
            folder: folder.to_owned(),
            port: record.port,
            lifetime: Lifetime::Detached,
            server: Some(Process::adopt("MongoDB", &record.server, &log(folder))?),
        })
    }

    /// What [`MongoDb::adopt`] needs; `None` while it is stopped.
    pub fn record(&self) -> Option<MongoDbRecord> {
        Some(MongoDbRecord { port: self.port, server: self.server.as_ref()?.identity().clone() })
    }

    /// `mongodb://127.0.0.1:<port>/?replicaSet=rs0`; stays the same over a restart.
    pub fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server process, if it was started and not stopped.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.server.as_mut()
    }

    /// Starts it after [`MongoDb::stop`] or [`MongoDb::kill`], on the same port with the same data; returns when it accepts
    /// writes. Does nothing if it runs.
    pub fn start_again(&mut self) -> Result<(), Error> {
        if self.server.as_mut().is_some_and(|server| server.ended().is_none()) {
            return Ok(());
        }
        let data = self.folder.join("data");
        fs::create_dir_all(&data).doing(|| format!("creating {}", data.display()))?;
        let mut command = Command::new(&self.program);
        command
            .args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", "rs0", "--wiredTigerCacheSizeGB", "0.5"])
            // A primary waits this long, 15 s by default, for secondaries to take over; there are none.
            .args(["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            // What a program had open in a transaction when it was killed stays locked for so long, a minute by default.
            .args(["--setParameter", "transactionLifetimeLimitSeconds=5"])
            .args(["--port", &self.port.to_string()])
            .arg("--dbpath")
            .arg(&data);
        let server = Process::spawn("MongoDB", command, &log(&self.folder), self.lifetime)?;
        let server = self.server.insert(server);
        let ready = until_primary(server, self.port);
        if ready.is_err() {
            server.kill();
            self.server = None;
        }
        ready
    }

    /// From now on the files of dropped collections are removed within half a minute, and not after five: each is an open file,
    /// and a thousand databases have more than a process may have. Reads of a moment that is longer ago fail.
    pub fn forget_soon(&self) -> Result<(), Error> {
        for (name, seconds) in [("syncdelay", 10), ("minSnapshotHistoryWindowInSeconds", 10)] {
            wire::command(self.port, doc! { "setParameter": 1, name: seconds })?;
        }
        Ok(())
    }

    /// Asks it to end; returns at once. [`MongoDb::stop`] then waits.
    pub fn terminate(&mut self) {
        if let Some(server) = &mut self.server {
            server.terminate();
        }
    }

    /// Ends it in order, or with SIGKILL after a few seconds.
    pub fn stop(&mut self) -> Result<(), Error> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let ran = server.ensure_running();
        server.stop(STOP);
        ran
    }

    /// SIGKILL, as a crash. What was not journaled is lost.
    pub fn kill(&mut self) -> Result<(), Error> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let ran = server.ensure_running();
        server.kill();
        ran
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("mongod.log")
}

fn until_primary(server: &mut Process, port: u16) -> Result<(), Error> {
    let begun = Instant::now();
    let mut member_since: Option<Instant> = None;
    let (mut configured, mut refused) = (false, None);
    loop {
        server.ensure_running()?;
        let role = wire::role(port);
        match &role {
            Ok(Role::Primary) => return Ok(()),
            // One that is still reading its configuration says so too. It refuses another, and says next time what it is.
            Ok(Role::Uninitiated) if !configured => match wire::become_only_member(port, "rs0") {
                Ok(()) => {
                    configured = true;
                    continue;
                }
                Err(error) => refused = Some(error),
            },
            Ok(Role::NotYet) => {
                let since = *member_since.get_or_insert_with(Instant::now);
                if !configured && since.elapsed() > ELECTION {
                    wire::become_only_member(port, "rs0")?;
                    configured = true;
                }
            }
            _ => {}
        }
        if begun.elapsed() > START {
            let role = role.map(|role| refused.map_or_else(|| format!("{role:?}"), |error| error.to_string()));
            let state = role.unwrap_or_else(|error| error.to_string());
            return Err(server.not_ready(START, state));
        }
        interrupt::pause(Duration::from_millis(50))?;
    }
}
