//! What can be broken, what that strikes, and for how long.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// Processes of one of our programs, by number.
pub const APIS: usize = 2;
/// See [`APIS`].
pub const WORKERS: usize = 3;

/// A process that can be killed, stopped and started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    Api(usize),
    Worker(usize),
    Media,
    Broker,
    Database,
}

/// A connection between one of our programs and what it depends on, which leads through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    pub from: Target,
    pub to: Target,
}

/// What is done to a process or a connection. Times are how long it lasts.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// SIGKILL; started again after a time.
    Kill(Target, Duration),
    /// SIGTERM; started again once it has ended.
    Terminate(Target),
    /// SIGSTOP, and SIGCONT after a time.
    Stop(Target, Duration),
    /// Every connection of the link is closed, once.
    Cut(Link),
    /// Nothing passes; connections stay open.
    Hold(Link, Duration),
    /// Everything passes late by so much, for a time.
    Delay(Link, Duration, Duration),
    /// A fault of the media host, for a time.
    Media(Value, Duration),
    /// The broker takes nothing from publishers, for a time.
    Alarm(Duration),
    /// The database is no primary any more, for a time.
    StepDown(Duration),
    /// The clock of a program's machine is set to be so many seconds fast, and stays so.
    Clock(Target, i64),
}

/// Lasts longer than any lease of this run, see `system`.
pub const PAST_THE_LEASE: u64 = 6_500;
/// Every connection that leads through a proxy.
pub fn links() -> Vec<Link> {
    let ours = (0..APIS).map(Target::Api).chain((0..WORKERS).map(Target::Worker));
    let two = ours.flat_map(|from| [Target::Database, Target::Broker].map(|to| Link { from, to }));
    two.chain((0..WORKERS).map(|number| Link { from: Target::Worker(number), to: Target::Media })).collect()
}

impl Fault {
    /// The word for it in the report.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(..) => "kill",
            Self::Terminate(_) => "terminate",
            Self::Stop(..) => "stop",
            Self::Cut(_) => "cut",
            Self::Hold(..) => "hold",
            Self::Delay(..) => "delay",
            Self::Media(..) if self.is_for_an_operator() => "media host, 401 or 403",
            Self::Media(..) => "media host",
            Self::Alarm(_) => "memory alarm",
            Self::StepDown(_) => "step-down",
            Self::Clock(..) => "clock",
        }
    }

    /// Whether it is to be mended by an operator, as wrong credentials are.
    pub fn is_for_an_operator(&self) -> bool {
        matches!(self, Self::Media(effect, _) if effect["status"] == 401 || effect["status"] == 403)
    }

    /// How long it lasts, as planned: a start takes what it takes.
    pub fn lasts(&self) -> Duration {
        match self {
            // The broker takes longest to come back.
            Self::Kill(Target::Broker, time) => *time + Duration::from_secs(8),
            Self::Kill(_, time) => *time + Duration::from_secs(2),
            Self::Terminate(_) => Duration::from_secs(4),
            Self::Cut(_) | Self::Clock(..) => Duration::ZERO,
            // It elects itself again a moment after that.
            Self::StepDown(time) => *time + Duration::from_secs(2),
            Self::Stop(_, time) | Self::Hold(_, time) | Self::Delay(_, _, time) => *time,
            // rabbitmqctl takes a second or two, twice, and hangs with a broker that is stopped.
            Self::Alarm(time) => *time + Duration::from_secs(4),
            Self::Media(_, time) => *time,
        }
    }

    /// What must be left alone meanwhile.
    pub fn targets(&self) -> Vec<Target> {
        match self {
            Self::Kill(target, _) | Self::Terminate(target) | Self::Stop(target, _) => vec![*target],
            Self::Hold(link, _) | Self::Delay(link, ..) => vec![link.from],
            Self::Alarm(_) => vec![Target::Broker],
            Self::StepDown(_) => vec![Target::Database],
            Self::Cut(_) | Self::Media(..) | Self::Clock(..) => Vec::new(),
        }
    }

    /// Whether a worker that it strikes may leave jobs running under its name.
    pub fn looks_like_a_crash(&self) -> bool {
        match self {
            Self::Kill(target, _) => matches!(target, Target::Worker(_) | Target::Database),
            Self::Stop(target, time) => {
                matches!(target, Target::Worker(_) | Target::Database)
                    && time.as_millis() > u128::from(PAST_THE_LEASE) / 2
            }
            Self::Hold(link, _) => matches!(link.from, Target::Worker(_)),
            _ => false,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(number) => write!(f, "api-{number}"),
            Self::Worker(number) => write!(f, "worker-{number}"),
            Self::Media => f.write_str("cloudinary-local"),
            Self::Broker => f.write_str("RabbitMQ"),
            Self::Database => f.write_str("MongoDB"),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target, time) => write!(f, "kill {target}, start it after {time:?}"),
            Self::Terminate(target) => write!(f, "terminate {target}"),
            Self::Stop(target, time) => write!(f, "stop {target} for {time:?}"),
            Self::Cut(link) => write!(f, "cut {link}"),
            Self::Hold(link, time) => write!(f, "hold {link} for {time:?}"),
            Self::Delay(link, by, time) => write!(f, "delay {link} by {by:?} for {time:?}"),
            Self::Media(effect, time) => write!(f, "media host for {time:?}: {effect}"),
            Self::Alarm(time) => write!(f, "memory alarm for {time:?}"),
            Self::StepDown(time) => write!(f, "step MongoDB down for {time:?}"),
            Self::Clock(target, seconds) => write!(f, "set the clock of {target} to {seconds:+} s"),
        }
    }
}
