use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::IoContext as _;
use crate::process::{Identity, Lifetime, Process, interrupt};
use crate::services::{locate, ports};

/// A start takes six seconds on an idle machine, many times that beside a build on two cores.
const START: Duration = Duration::from_secs(120);
/// An orderly end closes listeners and connections and syncs queues, in a fraction of a second when the machine is idle.
const CLOSE: Duration = Duration::from_secs(3);
/// After that the node of 3.10 waits another five seconds for a part of the management plugin that does not end. Nothing of
/// value happens then, so it is not given the time.
const LINGER: Duration = Duration::from_millis(800);
/// `guest:guest` in the header's encoding. RabbitMQ lets this user in from the loopback address only.
const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

const NODE: &str = "steep@localhost";

/// The ports of a node, all on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RabbitMqPorts {
    pub amqp: u16,
    /// Management pages and HTTP API.
    pub management: u16,
    /// Metrics for Prometheus.
    pub prometheus: u16,
    /// Erlang's distribution, which the command line tools use.
    pub distribution: u16,
    /// Erlang's port mapper. Ours is private, so that any number of nodes with the same name run beside each other and
    /// none leaves a port mapper behind.
    pub epmd: u16,
}

impl RabbitMqPorts {
    /// Ports that were free a moment ago.
    pub fn free() -> Result<RabbitMqPorts, Error> {
        let [amqp, management, prometheus, distribution, epmd] = ports::free()?;
        Ok(RabbitMqPorts { amqp, management, prometheus, distribution, epmd })
    }
}

/// A private RabbitMQ node with management and metrics, on the loopback address, with the user guest/guest.
#[derive(Debug)]
pub struct RabbitMq {
    program: PathBuf,
    folder: PathBuf,
    ports: RabbitMqPorts,
    lifetime: Lifetime,
    epmd: Option<Process>,
    server: Option<Process>,
}

/// What to remember about a detached [`RabbitMq`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RabbitMqRecord {
    pub ports: RabbitMqPorts,
    pub server: Identity,
    /// Its port mapper.
    pub epmd: Identity,
}

impl RabbitMq {
    /// Starts a node with its data in `folder`, on free ports, and waits until it accepts connections and the management API
    /// answers.
    pub fn start(folder: &Path) -> Result<RabbitMq, Error> {
        ports::try_again(|| RabbitMq::start_on(folder, RabbitMqPorts::free()?, Lifetime::Owned))
    }

    /// As [`RabbitMq::start`], on ports of the caller's choice.
    pub fn start_on(folder: &Path, ports: RabbitMqPorts, lifetime: Lifetime) -> Result<RabbitMq, Error> {
        let program = locate::rabbitmq_server()
            .ok_or_else(|| Error::Missing { program: "rabbitmq-server", advice: locate::WAYS_OUT.into() })?;
        let mut this = RabbitMq { program, folder: folder.to_owned(), ports, lifetime, epmd: None, server: None };
        this.start_again()?;
        Ok(this)
    }

    /// Takes over a detached node; `None` if it does not run any more.
    pub fn adopt(folder: &Path, record: &RabbitMqRecord) -> Option<RabbitMq> {
        let epmd = Process::adopt("epmd", &record.epmd, &folder.join("epmd.log"));
        let server = Process::adopt("RabbitMQ", &record.server, &log(folder));
        if server.is_none() {
            if let Some(mut epmd) = epmd {
                epmd.kill();
            }
            return None;
        }
        Some(RabbitMq {
            program: locate::rabbitmq_server().unwrap_or_else(|| "rabbitmq-server".into()),
            folder: folder.to_owned(),
            ports: record.ports.clone(),
            lifetime: Lifetime::Detached,
            epmd,
            server,
        })
    }

    /// What [`RabbitMq::adopt`] needs; `None` while it is stopped.
    pub fn record(&self) -> Option<RabbitMqRecord> {
        Some(RabbitMqRecord {
            ports: self.ports.clone(),
            server: self.server.as_ref()?.identity().clone(),
            epmd: self.epmd.as_ref()?.identity().clone(),
        })
    }

    /// `amqp://guest:guest@127.0.0.1:<port>`, the default virtual host; stays the same over a restart.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.ports.amqp)
    }

    /// `http://127.0.0.1:<port>`: pages at `/`, API under `/api`, both guest/guest.
    pub fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.management)
    }

    pub fn ports(&self) -> &RabbitMqPorts {
        &self.ports
    }

    /// The node's process, if it was started and not stopped.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.server.as_mut()
    }

    /// Starts it after [`RabbitMq::stop`] or [`RabbitMq::kill`], on the same ports with the same data; returns when it accepts
    /// connections. Does nothing if it runs.
    pub fn start_again(&mut self) -> Result<(), Error> {
        if self.server.as_mut().is_some_and(|server| server.ended().is_none()) {
            return Ok(());
        }
        self.write_configuration()?;
        let started = self.start_processes();
        if started.is_err() {
            for mut process in [self.server.take(), self.epmd.take()].into_iter().flatten() {
                process.kill();
            }
        }
        started
    }

    fn start_processes(&mut self) -> Result<(), Error> {
        let mut epmd = Command::new(locate::epmd()?);
        epmd.args(["-address", "127.0.0.1", "-port", &self.ports.epmd.to_string()]);
        let epmd = self.epmd.insert(Process::spawn("epmd", epmd, &self.folder.join("epmd.log"), self.lifetime)?);
        let deadline = Instant::now() + Duration::from_secs(10);
        // The node would start a port mapper of its own, which outlives it, if it did not find this one.
        while !ports::answers(self.ports.epmd) {
            epmd.ensure_running()?;
            if Instant::now() > deadline {
                return Err(epmd.not_ready(Duration::from_secs(10), "it does not answer"));
            }
            interrupt::pause(Duration::from_millis(10))?;
        }

        let mut node = Command::new(&self.program);
        // A RABBITMQ_ variable of the caller's shell, meant for another node, must not reach this one.
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RABBITMQ_")) {
            node.env_remove(name);
        }
        node.envs([
            ("RABBITMQ_NODENAME", NODE),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null"),
            ("ERL_EPMD_ADDRESS", "127.0.0.1"),
            // The distribution port too on loopback; and no scheduler that spins when idle, for the sake of small machines.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
            ),
        ])
        .env("RABBITMQ_NODE_PORT", self.ports.amqp.to_string())
        .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
        .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
        .env("RABBITMQ_MNESIA_BASE", self.folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", self.folder.join("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.folder.join("enabled_plugins"))
        .env("RABBITMQ_CONFIG_FILE", self.folder.join("rabbitmq.conf"))
        // Where the Erlang cookie is.
        .env("HOME", &self.folder)
        .current_dir(&self.folder);
        let node = self.server.insert(Process::spawn("RabbitMQ", node, &log(&self.folder), self.lifetime)?);
        until_ready(node, &self.ports)
    }

    fn write_configuration(&self) -> Result<(), Error> {
        let RabbitMqPorts { amqp, management, prometheus, .. } = self.ports;
        let configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             prometheus.tcp.ip = 127.0.0.1\n\
             prometheus.tcp.port = {prometheus}\n\
             disk_free_limit.absolute = 200MB\n\
             # 512 MiB by default, for every node that starts.\n\
             raft.wal_max_size_bytes = 67108864\n"
        );
        fs::create_dir_all(&self.folder).doing(|| format!("creating {}", self.folder.display()))?;
        let plugins = "[rabbitmq_management,rabbitmq_prometheus].\n";
        for (name, content) in [("rabbitmq.conf", configuration.as_str()), ("enabled_plugins", plugins)] {
            let file = self.folder.join(name);
            fs::write(&file, content).doing(|| format!("writing {}", file.display()))?;
        }
        Ok(())
    }

    /// Runs `rabbitmqctl` for this node, which takes about a second: `["set_vm_memory_high_watermark", "0"]` raises an alarm.
    pub fn control(&self, arguments: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(self.program.with_file_name("rabbitmqctl"));
        command.args(["--node", NODE]).args(arguments);
        command.env("HOME", &self.folder).env("ERL_EPMD_PORT", self.ports.epmd.to_string());
        let output = command.output().doing(|| format!("running {}", command.get_program().display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(Error::Control(String::from_utf8_lossy(&said).trim().to_owned()))
    }

    /// Asks it to end; returns at once. [`RabbitMq::stop`] then waits.
    pub fn terminate(&mut self) {
        if let Some(server) = &mut self.server {
            server.terminate();
        }
    }

    /// Ends the node in order, or with SIGKILL after a few seconds.
    pub fn stop(&mut self) -> Result<(), Error> {
        let epmd = self.epmd.take();
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let ran = server.ensure_running();
        server.terminate();
        let deadline = Instant::now() + CLOSE;
        while server.ended().is_none() && ports::answers(self.ports.amqp) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        server.stop(LINGER);
        if let Some(mut epmd) = epmd {
            epmd.kill();
        }
        ran
    }

    /// SIGKILL to the node, as a crash. A quorum queue that was declared within the last second or so may have no leader
    /// afterwards (seen on 3.10): let new queues settle before killing their node.
    pub fn kill(&mut self) -> Result<(), Error> {
        let epmd = self.epmd.take();
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let ran = server.ensure_running();
        server.kill();
        if let Some(mut epmd) = epmd {
            epmd.kill();
        }
        ran
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("rabbitmq.log")
}

fn until_ready(node: &mut Process, ports: &RabbitMqPorts) -> Result<(), Error> {
    let begun = Instant::now();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(3)))
        .http_status_as_error(false)
        .build()
        .into();
    let overview = format!("http://127.0.0.1:{}/api/overview", ports.management);
    loop {
        node.ensure_running()?;
        let state = if !ports::answers(ports.amqp) {
            "it does not accept connections".to_owned()
        } else if !ports::answers(ports.prometheus) {
            // The last that it listens on; it ends where somebody else has that port.
            "it serves no metrics".to_owned()
        } else {
            match agent.get(&overview).header("Authorization", GUEST).call() {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("the management API answers {}", answer.status()),
                Err(error) => format!("the management API: {error}"),
            }
        };
        if begun.elapsed() > START {
            return Err(node.not_ready(START, state));
        }
        interrupt::pause(Duration::from_millis(100))?;
    }
}
