//! What is broken when, drawn from a seed. The seed and the length are all that it depends on, so that a run that found
//! something can be had again; what the clients do meanwhile is up to the moment.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

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

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// After the start.
    pub at: Duration,
    pub fault: Fault,
}

/// Lasts longer than any lease of this run, see `system`.
const PAST_THE_LEASE: u64 = 6_500;
/// After a worker has crashed, it is left alone for so long: a job that is running at three crashes is discarded as their cause, and
/// innocent ones should have ended by then.
const WORKERS_RECOVER: Duration = Duration::from_secs(6);

/// Every so many faults one is not left to chance, until each of [`Draw::whatever_else`] has had its turn.
const CHANCE: usize = 2;
/// Jobs that were refused for the sake of our credentials wait for long, so there is no such refusal towards the end: this part of
/// the time, in tenths, has some.
const REFUSED_FOR: u32 = 6;

/// By how much a machine's clock may be wrong, seconds: right, minutes and days, fast and slow.
const CLOCKS: [i64; 7] = [0, 40 * 60, -10 * 60, 2 * 3600, -2 * 3600, 3 * 24 * 3600, -3 * 24 * 3600];

/// By how much the clocks are wrong from the start, seconds.
pub const fn first_clock(target: Target) -> i64 {
    match target {
        Target::Worker(1) | Target::Api(1) => 40 * 60,
        Target::Worker(2) => -10 * 60,
        _ => 0,
    }
}

/// Draws a schedule. Its last fault ends before `length`.
pub fn draw(seed: u64, length: Duration) -> Vec<Event> {
    let rng = fastrand::Rng::with_seed(seed);
    let mut draw = Draw { rng, length, free_at: HashMap::new(), workers_at: Duration::ZERO };
    let mut certain = draw.whatever_else();
    let mut at = Duration::from_secs(2);
    let mut events = Vec::new();
    while at < length {
        // What cannot be done now has its turn later.
        let next =
            if events.len() % CHANCE == 0 { certain.iter().position(|fault| draw.fits(fault, at)) } else { None };
        let fault = match next {
            Some(next) => certain.remove(next),
            None => draw.fault(at),
        };
        if draw.fits(&fault, at) {
            draw.take(&fault, at);
            events.push(Event { at, fault });
        }
        at += draw.milliseconds(500, 2_600);
    }
    events
}

struct Draw {
    rng: fastrand::Rng,
    length: Duration,
    /// When what was done to a target is over.
    free_at: HashMap<Target, Duration>,
    /// When the next worker may crash.
    workers_at: Duration,
}

impl Draw {
    fn milliseconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.u64(from..=to))
    }

    /// What happens in every run that is long enough, in an order that is drawn too.
    fn whatever_else(&mut self) -> Vec<Fault> {
        let worker = Target::Worker(self.rng.usize(0..WORKERS));
        let mut all = vec![
            Fault::Kill(Target::Database, self.milliseconds(100, 2_500)),
            Fault::Kill(worker, self.milliseconds(100, 2_500)),
            Fault::Kill(Target::Api(self.rng.usize(0..APIS)), self.milliseconds(100, 2_500)),
            Fault::Kill(Target::Broker, self.milliseconds(100, 2_500)),
            Fault::Kill(Target::Media, self.milliseconds(100, 2_500)),
            Fault::Stop(worker, self.milliseconds(PAST_THE_LEASE, PAST_THE_LEASE + 2_500)),
            Fault::Terminate(self.one_of_ours()),
            Fault::Cut(self.link()),
            Fault::Hold(self.link(), self.milliseconds(500, 5_000)),
            Fault::Delay(self.link(), self.milliseconds(20, 400), self.milliseconds(1_000, 6_000)),
            Fault::Alarm(self.milliseconds(1_000, 6_000)),
            Fault::StepDown(self.milliseconds(1_000, 3_000)),
            Fault::Media(self.wrong_credentials(401), self.milliseconds(500, 5_000)),
            Fault::Media(self.wrong_credentials(403), self.milliseconds(500, 5_000)),
            Fault::Clock(worker, 3 * 24 * 3600),
            Fault::Clock(self.one_of_ours(), -2 * 3600),
        ];
        self.rng.shuffle(&mut all);
        all
    }

    fn fault(&mut self, at: Duration) -> Fault {
        match self.rng.u32(0..100) {
            0..24 => {
                let target = self.target();
                Fault::Kill(target, self.milliseconds(100, 2_500))
            }
            24..32 => Fault::Terminate(self.one_of_ours()),
            32..44 => {
                let target = self.target();
                let longest = if matches!(target, Target::Worker(_)) { PAST_THE_LEASE + 2_500 } else { 4_000 };
                Fault::Stop(target, self.milliseconds(300, longest))
            }
            44..54 => Fault::Cut(self.link()),
            54..60 => {
                let link = self.link();
                Fault::Hold(link, self.milliseconds(500, 5_000))
            }
            60..68 => {
                let link = self.link();
                let by = self.milliseconds(20, 400);
                Fault::Delay(link, by, self.milliseconds(1_000, 6_000))
            }
            68..90 => {
                let effect = if at < self.length * REFUSED_FOR / 10 && self.rng.u32(0..15) == 0 {
                    let status = if self.rng.bool() { 401 } else { 403 };
                    self.wrong_credentials(status)
                } else {
                    self.effect()
                };
                Fault::Media(effect, self.milliseconds(500, 5_000))
            }
            90..94 => {
                let target = self.one_of_ours();
                Fault::Clock(target, CLOCKS[self.rng.usize(0..CLOCKS.len())])
            }
            94..96 => Fault::StepDown(self.milliseconds(1_000, 3_000)),
            _ => Fault::Alarm(self.milliseconds(1_000, 6_000)),
        }
    }

    /// Whether a fault would be over in time, and strikes nothing that is being dealt with.
    fn fits(&self, fault: &Fault, at: Duration) -> bool {
        let is_free = |target: &Target| self.free_at.get(target).is_none_or(|free_at| *free_at <= at);
        let crashes_too_soon = fault.looks_like_a_crash() && at < self.workers_at;
        let refuses_too_late = fault.is_for_an_operator() && at >= self.length * REFUSED_FOR / 10;
        let is_over_in_time = at + fault.lasts() <= self.length;
        is_over_in_time && fault.targets().iter().all(is_free) && !crashes_too_soon && !refuses_too_late
    }

    fn take(&mut self, fault: &Fault, at: Duration) {
        let over = at + fault.lasts();
        if fault.looks_like_a_crash() {
            self.workers_at = over + WORKERS_RECOVER;
        }
        for target in fault.targets() {
            self.free_at.insert(target, over + Duration::from_millis(500));
        }
    }

    /// No job may be discarded for it.
    fn wrong_credentials(&mut self, status: u16) -> Value {
        let message = if status == 401 { "Invalid Signature" } else { "Forbidden" };
        json!({"effect": "status", "status": status, "message": message, "times": self.rng.u64(1..=4)})
    }

    fn target(&mut self) -> Target {
        match self.rng.u32(0..10) {
            0..6 => self.one_of_ours(),
            6 | 7 => Target::Media,
            8 => Target::Broker,
            _ => Target::Database,
        }
    }

    fn one_of_ours(&mut self) -> Target {
        match self.rng.usize(0..APIS + WORKERS) {
            number if number < APIS => Target::Api(number),
            number => Target::Worker(number - APIS),
        }
    }

    fn link(&mut self) -> Link {
        let all = links();
        all[self.rng.usize(0..all.len())]
    }

    fn effect(&mut self) -> Value {
        let times = self.rng.u64(1..=6);
        match self.rng.u32(0..13) {
            0 => json!({"effect": "status", "status": 503, "action": "upload"}),
            1 => json!({"effect": "status", "status": 500, "at": "after_storing", "action": "upload", "times": times}),
            2 => json!({"effect": "status", "status": 502, "html": "<h1>Bad Gateway</h1>"}),
            3 => json!({"effect": "drop", "at": "after_storing", "times": times}),
            4 => json!({"effect": "drop", "at": "reading", "after_bytes": 5_000, "action": "upload", "times": times}),
            5 => json!({"effect": "drop", "at": "before_storing", "times": times}),
            6 => json!({"effect": "delay", "ms": self.rng.u64(50..=2_000)}),
            7 => json!({"effect": "hang", "action": "upload", "times": times}),
            8 => json!({"effect": "hang", "at": "after_storing", "times": times}),
            9 => json!({"effect": "truncate", "times": times}),
            10 => json!({"effect": "rate_limit", "reset_seconds": 2, "action": "upload", "times": times}),
            11 => json!({"effect": "slow_read", "bytes_per_second": 30_000}),
            // The one for which uploads are discarded: the reason is in their record.
            _ => json!({"effect": "status", "status": 400, "message": REFUSAL, "action": "upload", "times": 1}),
        }
    }
}

/// What the media host says when it refuses an upload for good, by which such a job is known.
pub const REFUSAL: &str = "Refused by chaos";

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
    fn targets(&self) -> Vec<Target> {
        match self {
            Self::Kill(target, _) | Self::Terminate(target) | Self::Stop(target, _) => vec![*target],
            Self::Hold(link, _) | Self::Delay(link, ..) => vec![link.from],
            Self::Alarm(_) => vec![Target::Broker],
            Self::StepDown(_) => vec![Target::Database],
            Self::Cut(_) | Self::Media(..) | Self::Clock(..) => Vec::new(),
        }
    }

    /// Whether a worker that it strikes may leave jobs running under its name.
    fn looks_like_a_crash(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(600);

    #[test]
    fn the_seed_fixes_the_whole_schedule() {
        assert_eq!(draw(7, LENGTH), draw(7, LENGTH));
        assert_ne!(draw(7, LENGTH), draw(8, LENGTH));
    }

    #[test]
    fn every_kind_of_fault_has_its_turn_and_all_are_over_in_time() {
        // Two minutes are what CI runs.
        for (seed, seconds) in [(1, 120), (2, 120), (3, 120), (4, 120), (5, 600)] {
            let length = Duration::from_secs(seconds);
            let events = draw(seed, length);
            let kinds = [
                "kill",
                "terminate",
                "stop",
                "cut",
                "hold",
                "delay",
                "media host",
                "memory alarm",
                "step-down",
                "clock",
            ];
            for kind in kinds {
                assert!(events.iter().any(|event| event.fault.kind() == kind), "seed {seed}: no {kind}");
            }
            type Strikes = fn(&Target) -> bool;
            let killed: [Strikes; 5] = [
                |target| matches!(target, Target::Api(_)),
                |target| matches!(target, Target::Worker(_)),
                |target| *target == Target::Media,
                |target| *target == Target::Broker,
                |target| *target == Target::Database,
            ];
            for (index, strikes) in killed.iter().enumerate() {
                let kill = |event: &Event| matches!(&event.fault, Fault::Kill(target, _) if strikes(target));
                assert!(events.iter().any(kill), "seed {seed}: no kill of the {index}th");
            }
            for status in [401, 403] {
                let refuses =
                    |event: &Event| matches!(&event.fault, Fault::Media(effect, _) if effect["status"] == status);
                assert!(events.iter().any(refuses), "seed {seed}: no {status}");
            }
            assert!(events.iter().all(|event| event.at + event.fault.lasts() <= length));
        }
    }

    #[test]
    fn nothing_is_struck_again_before_it_has_recovered() {
        let mut free_at = HashMap::new();
        for event in draw(3, LENGTH) {
            for target in event.fault.targets() {
                let before = free_at.insert(target, event.at + event.fault.lasts());
                assert!(before.is_none_or(|before| before <= event.at), "{target} at {:?}", event.at);
            }
        }
    }
}
