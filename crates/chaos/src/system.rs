//! Everything of one run, as processes: two apis, three workers, the media host, the broker and the database, with a proxy on every
//! connection from our programs to what they depend on.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use testkit::process::{FalseClock, program};
use testkit::proxy::Proxy;
use testkit::{ACCESS_TOKEN_SECRET, REFRESH_TOKEN_SECRET};
use xtask::process::Lifetime;
use xtask::services::{MongoDb, RabbitMq, RabbitMqPorts};

use crate::child::{Child, Program};
use crate::fault::{APIS, Link, Target, WORKERS, links};
use crate::schedule::first_clock;

pub const DATABASE: &str = "chaos";

/// See the module. Dropping it kills everything.
#[derive(Debug)]
pub struct System {
    children: BTreeMap<Target, Arc<Mutex<Child>>>,
    pub proxies: BTreeMap<Link, Arc<Proxy>>,
    /// Of the machines of apis and workers. An error says why all clocks are right: faketime is missing.
    pub clocks: Result<BTreeMap<Target, FalseClock>, String>,
    pub folder: PathBuf,
    /// Base addresses of the apis.
    pub apis: Vec<String>,
    /// Addresses of the workers' health pages.
    pub workers: Vec<String>,
    pub media: String,
    pub management: String,
    /// Past the proxies.
    pub mongodb: String,
}

impl System {
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let mut ports = Ports::new();
        let (broker_folder, database_folder) = (folder.join("rabbitmq"), folder.join("mongodb"));
        let broker_ports = RabbitMqPorts {
            amqp: ports.next()?,
            management: ports.next()?,
            prometheus: ports.next()?,
            distribution: ports.next()?,
            epmd: ports.next()?,
        };
        let (amqp, management, database_port) = (broker_ports.amqp, broker_ports.management, ports.next()?);
        let place = broker_folder.clone();
        let node = tokio::task::spawn_blocking(move || RabbitMq::start_on(&place, broker_ports, Lifetime::Owned));
        let start = move || MongoDb::start_on(&database_folder, database_port, Lifetime::Owned);
        let database = tokio::task::spawn_blocking(start).await??;
        let node = node.await??;
        let media_port = ports.next()?;

        let mut proxies = BTreeMap::new();
        for link in links() {
            let port = match link.to {
                Target::Broker => amqp,
                Target::Database => database_port,
                _ => media_port,
            };
            proxies.insert(link, Proxy::start(local(port)).await?);
        }

        let mut system = Self {
            children: BTreeMap::new(),
            proxies,
            clocks: clocks(&folder),
            apis: Vec::new(),
            workers: Vec::new(),
            media: format!("http://{}", local(media_port)),
            management: format!("http://{}", local(management)),
            mongodb: database.url(),
            folder,
        };
        system.add(Target::Broker, Child::Broker(node));
        system.add(Target::Database, Child::Database(database));
        let media = system.media(media_port)?;
        system.add(Target::Media, media);
        for number in 0..APIS {
            let api = system.api(number, ports.next()?)?;
            system.add(Target::Api(number), api);
        }
        for number in 0..WORKERS {
            let worker = system.worker(number, ports.next()?)?;
            system.add(Target::Worker(number), worker);
        }
        for target in system.programs() {
            system.with(target, Child::start).await?;
        }
        Ok(system)
    }

    /// The clock of a program's machine, if that can be wrong.
    pub fn clock(&self, target: Target) -> Option<&FalseClock> {
        self.clocks.as_ref().ok()?.get(&target)
    }

    pub fn programs(&self) -> Vec<Target> {
        let all = self.children.keys().copied();
        all.filter(|target| !matches!(target, Target::Broker | Target::Database)).collect()
    }

    /// Which worker had which process id.
    pub async fn worker_pids(&self) -> anyhow::Result<Vec<(i32, Target)>> {
        let mut all = Vec::new();
        for target in (0..WORKERS).map(Target::Worker) {
            let pids = self.with(target, |child| Ok(child.pids())).await?;
            all.extend(pids.into_iter().map(|pid| (pid, target)));
        }
        Ok(all)
    }

    /// Does something to a process that may take a while.
    pub async fn with<T: Send + 'static>(
        &self,
        target: Target,
        work: impl FnOnce(&mut Child) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let child = self.children.get(&target).context("no such process")?.clone();
        let work = move || work(&mut child.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await?.with_context(|| target.to_string())
    }

    fn add(&mut self, target: Target, child: Child) {
        self.children.insert(target, Arc::new(Mutex::new(child)));
    }

    fn proxy(&self, from: Target, to: Target) -> anyhow::Result<SocketAddr> {
        Ok(self.proxies.get(&Link { from, to }).context("no such link")?.address)
    }

    fn media(&self, port: u16) -> anyhow::Result<Child> {
        let data = self.folder.join("media").display().to_string();
        let args = ["--listen", &local(port).to_string(), "--data", &data, "--admin"].map(str::to_owned).to_vec();
        self.program("cloudinary-local", "cloudinary-local", port, args, Vec::new())
    }

    fn api(&mut self, number: usize, port: u16) -> anyhow::Result<Child> {
        self.apis.push(format!("http://{}", local(port)));
        let mut env = self.shared(Target::Api(number))?;
        env.extend([
            ("PORT", port.to_string()),
            ("ACCESS_TOKEN_SECRET", ACCESS_TOKEN_SECRET.to_owned()),
            ("REFRESH_TOKEN_SECRET", REFRESH_TOKEN_SECRET.to_owned()),
            ("ACCESS_TOKEN_EXPIRY", "12h".to_owned()),
            // All clients come from one address and are never refused for their number: that has tests of its own.
            ("LOGIN_LIMIT_ADDRESS", "off".to_owned()),
            ("LOGIN_LIMIT_ACCOUNT", "off".to_owned()),
            ("LOGIN_LIMIT_STRANGERS", "off".to_owned()),
            ("REGISTER_LIMIT_ADDRESS", "off".to_owned()),
            ("USER_MAX_UNFINISHED", "100000".to_owned()),
        ]);
        self.program("api", ["api-0", "api-1"][number], port, Vec::new(), env)
    }

    fn worker(&mut self, number: usize, port: u16) -> anyhow::Result<Child> {
        self.workers.push(format!("http://{}", local(port)));
        let target = Target::Worker(number);
        let media = self.proxy(target, Target::Media)?;
        let mut env = self.shared(target)?;
        env.extend([
            ("WORKER_HEALTH", local(port).to_string()),
            (
                "CLOUDINARY_URL",
                format!("cloudinary://1234:abcd@demo?upload_prefix=http://{media}&timeout=5&chunk_size=5242880"),
            ),
            // Everything that takes minutes takes seconds here.
            ("WORKER_LEASE", "5s".to_owned()),
            ("WORKER_RETRY_CAP", "4s".to_owned()),
            // As long as what a worker that was killed or stopped has sent may still arrive.
            ("WORKER_SECOND_LOOK", "15s".to_owned()),
            ("WORKER_SWEEP_EVERY", "2s".to_owned()),
            ("WORKER_SWEEP_GRACE", "1m".to_owned()),
            // As long as MongoDB lets a transaction live.
            ("WORKER_SWEEP_SECOND_LOOK", "1m".to_owned()),
            // It would mend what the checks are to find.
            ("WORKER_RECONCILE_EVERY", "24h".to_owned()),
        ]);
        self.program("worker", ["worker-0", "worker-1", "worker-2"][number], port, Vec::new(), env)
    }

    fn shared(&self, from: Target) -> anyhow::Result<Vec<(&'static str, String)>> {
        let (database, broker) = (self.proxy(from, Target::Database)?, self.proxy(from, Target::Broker)?);
        let mut shared = self.clock(from).map(FalseClock::settings).unwrap_or_default();
        shared.extend([
            ("STEEP_ENV", "development".to_owned()),
            // A driver that discovers the replica set would go past the proxy.
            ("MONGODB_URI", format!("mongodb://{database}/?directConnection=true")),
            ("MONGODB_DATABASE", DATABASE.to_owned()),
            ("RABBITMQ_URL", format!("amqp://guest:guest@{broker}")),
            ("SPOOL_DIR", self.folder.join("spool").display().to_string()),
        ]);
        Ok(shared)
    }

    fn program(
        &self,
        path: &str,
        name: &'static str,
        port: u16,
        args: Vec<String>,
        env: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Child> {
        let (path, log) = (program(path)?, self.folder.join(format!("{name}.log")));
        Ok(Child::Program(Program { name, path, args, env, log, port, process: None, pids: Vec::new() }))
    }
}

fn clocks(folder: &Path) -> Result<BTreeMap<Target, FalseClock>, String> {
    let ours = (0..APIS).map(Target::Api).chain((0..WORKERS).map(Target::Worker));
    let clock = |target: Target| FalseClock::new(folder, &target.to_string(), first_clock(target));
    let clocks: Result<_, String> = ours.map(|target| clock(target).map(|clock| (target, clock))).collect();
    clocks.inspect_err(|reason| tracing::warn!(reason, "all clocks are right"))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Free ports below those that the kernel gives to outgoing connections: a port has to be free still when its program comes back.
struct Ports {
    next: u16,
}

impl Ports {
    fn new() -> Self {
        Self { next: fastrand::u16(15_000..30_000) }
    }

    fn next(&mut self) -> anyhow::Result<u16> {
        for _ in 0..1000 {
            self.next += 1;
            if TcpListener::bind(local(self.next)).is_ok() {
                return Ok(self.next);
            }
        }
        anyhow::bail!("no free port below {}", self.next)
    }
}
