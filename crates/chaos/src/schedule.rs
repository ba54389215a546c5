//! What is broken when, drawn from a seed. The seed and the length are all that it depends on, so that a run that found
//! something can be had again; what the clients do meanwhile is up to the moment.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::{APIS, Fault, Link, PAST_THE_LEASE, Target, WORKERS, links};

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// After the start.
    pub at: Duration,
    pub fault: Fault,
}

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
