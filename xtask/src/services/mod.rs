//! The two services as one: those that variables point to, those which `cargo xtask services up` left running, or our own.

pub(crate) mod install;
pub mod locate;
pub mod mongodb;
pub mod ports;
mod rabbitmq;
pub(crate) mod rabbitmq_versions;

use std::fs::File;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use crate::Error;
use crate::process::{Lifetime, Process};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::shell::variable;

pub use mongodb::{MongoDb, MongoDbRecord};
pub use rabbitmq::{RabbitMq, RabbitMqPorts, RabbitMqRecord};

/// Services that somebody else runs, named by the variables that the programs read themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// `RABBITMQ_URL`.
    pub rabbitmq: Option<String>,
    /// `RABBITMQ_MANAGEMENT_URL`, which only tests need.
    pub management: Option<String>,
    /// `MONGODB_URI`.
    pub mongodb: Option<String>,
}

impl Given {
    pub fn from_env() -> Given {
        let rabbitmq = variable("RABBITMQ_URL");
        let management = variable("RABBITMQ_MANAGEMENT_URL").or_else(|| rabbitmq.as_deref().and_then(usual_management));
        Given { rabbitmq, management, mongodb: variable("MONGODB_URI") }
    }
}

/// The management plugin's usual address on the host of an AMQP address: port 15672.
fn usual_management(amqp: &str) -> Option<String> {
    let rest = amqp.strip_prefix("amqp://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host_and_port.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host_and_port,
    };
    (!host.is_empty()).then(|| format!("http://{host}:15672"))
}

/// Ports of the private copies; chosen once, so that addresses stay the same from day to day.
#[derive(Debug, Clone, clap::Args)]
pub struct DevPorts {
    /// Port of the private RabbitMQ
    #[arg(long, value_name = "PORT", env = "STEEP_RABBITMQ_PORT", default_value_t = 5673)]
    pub rabbitmq_port: u16,
    /// Port of its management pages
    #[arg(long, value_name = "PORT", env = "STEEP_RABBITMQ_MANAGEMENT_PORT", default_value_t = 15673)]
    pub rabbitmq_management_port: u16,
    /// Port of the private MongoDB
    #[arg(long, value_name = "PORT", env = "STEEP_MONGODB_PORT", default_value_t = 27018)]
    pub mongodb_port: u16,
}

/// Addresses of running services, and those of them that are ours to stop.
#[derive(Debug)]
pub struct Services {
    pub rabbitmq_url: String,
    /// Without user and password; `None` for a service of somebody else on an address from which it cannot be told.
    pub management_url: Option<String>,
    pub mongodb_url: String,
    rabbitmq: Option<RabbitMq>,
    mongodb: Option<MongoDb>,
    /// Started by `cargo xtask services up`, not by this run.
    background: bool,
}

/// What `.steep/dev/services.json` says about services in the background.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    rabbitmq: Option<RabbitMqRecord>,
    mongodb: Option<MongoDbRecord>,
}

/// Where development keeps everything.
pub fn dev_folder() -> PathBuf {
    locate::steep_folder().join("dev")
}

fn record_file() -> PathBuf {
    dev_folder().join("services.json")
}

impl Services {
    /// Installs what is missing; see [`install::ensure`].
    pub fn install(given: &Given) -> anyhow::Result<Duration> {
        install::ensure(given.rabbitmq.is_none(), given.mongodb.is_none())
    }

    /// Starts what is not given, with data in `folder`, on free ports.
    pub fn start_private(given: &Given, folder: &Path) -> anyhow::Result<Services> {
        let (rabbitmq, mongodb) = (folder.join("rabbitmq"), folder.join("mongodb"));
        Services::start(given, || RabbitMq::start(&rabbitmq), || MongoDb::start(&mongodb))
    }

    /// Starts what is not given, with the data and on the ports of development.
    pub fn start_dev(given: &Given, chosen: &DevPorts, lifetime: Lifetime) -> anyhow::Result<Services> {
        chosen.ensure_free(given)?;
        let folder = dev_folder();
        let broker = || {
            let mut all = RabbitMqPorts::free()?;
            all.amqp = chosen.rabbitmq_port;
            all.management = chosen.rabbitmq_management_port;
            RabbitMq::start_on(&folder.join("rabbitmq"), all, lifetime)
        };
        Services::start(given, broker, || MongoDb::start_on(&folder.join("mongodb"), chosen.mongodb_port, lifetime))
    }

    fn start(
        given: &Given,
        rabbitmq: impl FnOnce() -> Result<RabbitMq, Error> + Send,
        mongodb: impl FnOnce() -> Result<MongoDb, Error>,
    ) -> anyhow::Result<Services> {
        let (mut rabbitmq, mut mongodb) = thread::scope(|scope| {
            let broker = given.rabbitmq.is_none().then(|| scope.spawn(rabbitmq));
            let database = given.mongodb.is_none().then(mongodb);
            let broker = broker.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            (broker, database)
        });
        // One of them may have started while the other failed. An owned one dies with its value, a detached one does not.
        if let (Some(Err(_)), Some(Ok(mongodb))) = (&rabbitmq, &mut mongodb) {
            mongodb.stop()?;
        }
        if let (Some(Ok(rabbitmq)), Some(Err(_))) = (&mut rabbitmq, &mongodb) {
            rabbitmq.stop()?;
        }
        Ok(Services::of(given, rabbitmq.transpose()?, mongodb.transpose()?))
    }

    fn of(given: &Given, rabbitmq: Option<RabbitMq>, mongodb: Option<MongoDb>) -> Services {
        let ours = rabbitmq.as_ref();
        Services {
            rabbitmq_url: ours.map(RabbitMq::url).or_else(|| given.rabbitmq.clone()).unwrap_or_default(),
            management_url: ours.map(RabbitMq::management_url).or_else(|| given.management.clone()),
            mongodb_url: mongodb.as_ref().map(MongoDb::url).or_else(|| given.mongodb.clone()).unwrap_or_default(),
            rabbitmq,
            mongodb,
            background: false,
        }
    }

    /// Those that `cargo xtask services up` started, as far as they still run; `None` if neither does.
    pub fn in_background(given: &Given) -> Option<Services> {
        let record = read_record();
        let folder = dev_folder();
        let rabbitmq = record.rabbitmq.and_then(|record| RabbitMq::adopt(&folder.join("rabbitmq"), &record));
        let mongodb = record.mongodb.and_then(|record| MongoDb::adopt(&folder.join("mongodb"), &record));
        (rabbitmq.is_some() || mongodb.is_some())
            .then(|| Services { background: true, ..Services::of(given, rabbitmq, mongodb) })
    }

    /// As [`Services::in_background`], but only if nothing is missing: what is left of a broken pair is stopped.
    pub fn complete_in_background(given: &Given) -> anyhow::Result<Option<Services>> {
        let Some(mut services) = Services::in_background(given) else { return Ok(None) };
        if services.rabbitmq_url.is_empty() || services.mongodb_url.is_empty() {
            services.stop()?;
            return Ok(None);
        }
        Ok(Some(services))
    }

    /// Remembers what runs in the background.
    pub fn remember(&self) -> anyhow::Result<()> {
        let record = Record {
            rabbitmq: self.rabbitmq.as_ref().and_then(RabbitMq::record),
            mongodb: self.mongodb.as_ref().and_then(MongoDb::record),
        };
        let text = serde_json::to_string_pretty(&record)?;
        fs::create_dir_all(dev_folder())?;
        fs::write(record_file(), text).with_context(|| format!("writing {}", record_file().display()))
    }

    /// Makes ours fit for tests, of which each makes a database and drops it; see [`MongoDb::forget_soon`].
    pub fn expect_many_databases(&self) -> Result<(), Error> {
        self.mongodb.as_ref().map_or(Ok(()), MongoDb::forget_soon)
    }

    /// Stops ours, both at once; fails, afterwards, if one had ended by itself.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(rabbitmq) = &mut self.rabbitmq {
            rabbitmq.terminate();
        }
        let mongodb = self.mongodb.as_mut().map_or(Ok(()), MongoDb::stop);
        let rabbitmq = self.rabbitmq.as_mut().map_or(Ok(()), RabbitMq::stop);
        Ok(mongodb.and(rabbitmq)?)
    }

    /// As [`Services::stop`], but what runs in the background goes on.
    pub fn stop_owned(&mut self) -> anyhow::Result<()> {
        if self.background { Ok(()) } else { self.stop() }
    }

    /// The processes that are ours.
    pub fn processes(&mut self) -> Vec<&mut Process> {
        let rabbitmq = self.rabbitmq.as_mut().and_then(RabbitMq::process);
        let mongodb = self.mongodb.as_mut().and_then(MongoDb::process);
        rabbitmq.into_iter().chain(mongodb).collect()
    }

    /// What programs and tests read.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("RABBITMQ_URL", self.rabbitmq_url.clone()), ("MONGODB_URI", self.mongodb_url.clone())];
        all.extend(self.test_variables());
        all.retain(|(_, value)| !value.is_empty());
        all
    }

    /// What the test suite reads.
    pub fn test_variables(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("STEEP_TEST_RABBITMQ_URL", self.rabbitmq_url.clone()),
            ("STEEP_TEST_MONGODB_URI", self.mongodb_url.clone()),
        ];
        all.extend(self.management_url.clone().map(|url| ("STEEP_TEST_RABBITMQ_MANAGEMENT_URL", url)));
        all
    }
}

impl DevPorts {
    /// Fails with one line if somebody else has one of them.
    pub fn ensure_free(&self, given: &Given) -> Result<(), Error> {
        if given.rabbitmq.is_none() {
            ports::ensure_free(self.rabbitmq_port, "RabbitMQ", &advice("--rabbitmq-port", "STEEP_RABBITMQ_PORT"))?;
            ports::ensure_free(
                self.rabbitmq_management_port,
                "RabbitMQ's management pages",
                &advice("--rabbitmq-management-port", "STEEP_RABBITMQ_MANAGEMENT_PORT"),
            )?;
        }
        if given.mongodb.is_none() {
            ports::ensure_free(self.mongodb_port, "MongoDB", &advice("--mongodb-port", "STEEP_MONGODB_PORT"))?;
        }
        Ok(())
    }
}

/// How to choose another port.
pub fn advice(option: &str, variable: &str) -> String {
    format!("choose another with {option} or {variable}, or end what uses it")
}

/// Keeps a second run away from the data and ports of development. The lock ends with this process, however that ends.
pub fn lock_dev() -> anyhow::Result<File> {
    let path = locate::steep_folder().join("dev.lock");
    fs::create_dir_all(locate::steep_folder()).context("creating .steep")?;
    let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => anyhow::bail!("`cargo xtask dev` is already running in this checkout"),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// Forgets what ran in the background.
pub fn forget() -> anyhow::Result<()> {
    match fs::remove_file(record_file()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", record_file().display()))
        }
        _ => Ok(()),
    }
}

/// A record that cannot be read is one of another version, or half-written: then nothing is known to run.
fn read_record() -> Record {
    let text = fs::read_to_string(record_file()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_management_address_is_told_from_the_usual_port_on_the_same_host() {
        let of = |url: &str| usual_management(url);
        assert_eq!(of("amqp://guest:guest@127.0.0.1:5672").as_deref(), Some("http://127.0.0.1:15672"));
        assert_eq!(of("amqp://u:p%40@mq.example/vhost?heartbeat=10").as_deref(), Some("http://mq.example:15672"));
        assert_eq!(of("amqp://localhost").as_deref(), Some("http://localhost:15672"));
        assert_eq!(of("amqps://mq.example"), None, "TLS is a service elsewhere; its pages could be anywhere");
        assert_eq!(of("amqp://"), None);
    }
}
