//! The installed faults, and how often each has struck.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;

use crate::faults::{Effect, Fault, When};

/// What faults look at in a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub action: &'a str,
    pub public_id: Option<&'a str>,
}

impl When {
    fn fits(&self, target: Target<'_>) -> bool {
        let contains =
            |whole: &str, part: &Option<String>| part.as_ref().is_none_or(|part| whole.contains(part.as_str()));
        self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(target.method))
            && contains(target.path, &self.path)
            && self.action.as_ref().is_none_or(|action| action == target.action)
            && contains(target.public_id.unwrap_or_default(), &self.public_id)
    }
}

/// How much of a budget is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub limit: u64,
    pub remaining: u64,
    pub exceeded: bool,
    /// When the window ends.
    pub reset: OffsetDateTime,
}

/// An effect that strikes a request, with the budget that it spends from.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    pub effect: Effect,
    pub quota: Option<Quota>,
}

/// A fault and how often it has struck.
#[derive(Debug, Clone, Serialize)]
pub struct InstalledFault {
    pub id: u64,
    pub struck: u64,
    #[serde(flatten)]
    pub fault: Fault,
    #[serde(skip)]
    passed: u64,
    #[serde(skip)]
    window: Option<(OffsetDateTime, u64)>,
}

impl InstalledFault {
    fn strike(&mut self, now: OffsetDateTime) -> Option<Strike> {
        if self.passed < self.fault.when.skip {
            self.passed += 1;
            return None;
        }
        if self.fault.when.times.is_some_and(|times| self.struck >= times) {
            return None;
        }
        self.struck += 1;
        let quota = match self.fault.effect {
            Effect::RateLimit { limit, reset_seconds } => {
                Some(Quota { limit, remaining: 0, exceeded: true, reset: after(now, reset_seconds) })
            }
            Effect::Budget { limit, window_seconds } => Some(self.spend(now, limit, window_seconds)),
            _ => None,
        };
        Some(Strike { effect: self.fault.effect.clone(), quota })
    }

    fn spend(&mut self, now: OffsetDateTime, limit: u64, window_seconds: u64) -> Quota {
        let (end, used) = match self.window {
            Some((end, used)) if now < end => (end, used + 1),
            _ => (after(now, window_seconds), 1),
        };
        self.window = Some((end, used));
        Quota { limit, remaining: limit.saturating_sub(used), exceeded: used > limit, reset: end }
    }
}

fn after(now: OffsetDateTime, seconds: u64) -> OffsetDateTime {
    now.saturating_add(time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    installed: Mutex<(u64, Vec<InstalledFault>)>,
}

impl Faults {
    pub(crate) fn install(&self, fault: Fault) -> u64 {
        let mut guard = self.lock();
        let (last, installed) = &mut *guard;
        *last += 1;
        installed.push(InstalledFault { id: *last, struck: 0, fault, passed: 0, window: None });
        *last
    }

    pub(crate) fn clear(&self) {
        self.lock().1.clear();
    }

    /// `false` if no fault has that id.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut guard = self.lock();
        let before = guard.1.len();
        guard.1.retain(|installed| installed.id != id);
        guard.1.len() < before
    }

    pub(crate) fn list(&self) -> Vec<InstalledFault> {
        self.lock().1.clone()
    }

    /// The effects that strike a request, each counted. `early` ones act before or while its body is read.
    pub(crate) fn strike(&self, target: Target<'_>, early: bool) -> Vec<Strike> {
        let now = OffsetDateTime::now_utc();
        let mut guard = self.lock();
        let fitting =
            guard.1.iter_mut().filter(|one| one.fault.effect.is_early() == early && one.fault.when.fits(target));
        fitting.filter_map(|installed| installed.strike(now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Vec<InstalledFault>)> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPLOAD: Target<'_> =
        Target { method: "POST", path: "/v1_1/demo/image/upload", action: "upload", public_id: Some("a/b") };

    #[test]
    fn a_fault_lets_some_pass_strikes_some_and_is_spent() {
        let faults = Faults::default();
        faults.install(Fault::new(Effect::Truncate).on("upload").public_id("a/").skip(1).times(2));
        let struck: Vec<bool> = (0..5).map(|_| !faults.strike(UPLOAD, false).is_empty()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert!(faults.strike(Target { public_id: Some("other"), ..UPLOAD }, false).is_empty());
    }

    #[test]
    fn a_budget_counts_down_and_then_refuses() {
        let faults = Faults::default();
        faults.install(Fault::new(Effect::Budget { limit: 2, window_seconds: 3600 }));
        let quota = || faults.strike(UPLOAD, false).first().and_then(|strike| strike.quota).expect("a quota");
        assert_eq!((quota().remaining, quota().remaining), (1, 0));
        assert!(quota().exceeded);
    }
}
