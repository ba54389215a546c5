//! What happens at a point when there is something to happen.

use std::fmt::Display;
use std::io::Write;
use std::process::abort;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Point, VARIABLE};

/// Where to crash, as the environment says.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    point: String,
    subject: Option<String>,
    /// At which time of getting there, from 1.
    turn: u32,
}

pub(crate) fn reach_with(point: Point, subjects: &[&dyn Display]) {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    static TURNS: AtomicU32 = AtomicU32::new(0);
    let plan = PLAN.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| Plan::parse(&text)));
    let Some(plan) = plan else { return };
    if !plan.fits(point, subjects) || TURNS.fetch_add(1, Ordering::Relaxed) + 1 != plan.turn {
        return;
    }
    // Nothing else may run: neither destructors nor whatever flushes and closes at an exit.
    let _ = writeln!(std::io::stderr(), "crashing at {}", point.name());
    abort();
}

impl Plan {
    fn parse(text: &str) -> Self {
        let (rest, turn) = match text.rsplit_once('#') {
            Some((rest, turn)) => (rest, turn.parse().ok()),
            None => (text, Some(1)),
        };
        let (point, subject) = match rest.split_once('=') {
            Some((point, subject)) => (point, Some(subject.to_owned())),
            None => (rest, None),
        };
        let known = Point::ALL.iter().any(|known| known.name() == point);
        let (true, Some(turn)) = (known, turn) else {
            // A test that crashes nothing must not pass.
            let _ = writeln!(std::io::stderr(), "{VARIABLE}: expected a point such as worker.claimed, not {text:?}");
            abort();
        };
        Self { point: point.to_owned(), subject, turn }
    }

    fn fits(&self, point: Point, subjects: &[&dyn Display]) -> bool {
        let Some(wanted) = &self.subject else { return point.name() == self.point };
        point.name() == self.point && subjects.iter().any(|subject| subject.to_string() == *wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_a_point_perhaps_a_subject_and_a_turn() {
        let plan = |point: &str, subject: Option<&str>, turn| Plan {
            point: point.to_owned(),
            subject: subject.map(str::to_owned),
            turn,
        };
        assert_eq!(Plan::parse("worker.claimed"), plan("worker.claimed", None, 1));
        assert_eq!(Plan::parse("worker.claimed#3"), plan("worker.claimed", None, 3));
        assert_eq!(Plan::parse("worker.claimed=a-job#2"), plan("worker.claimed", Some("a-job"), 2));
    }

    #[test]
    fn a_plan_fits_its_point_and_its_subject() {
        let anything = Plan::parse("worker.claimed");
        assert!(anything.fits(Point::WorkerClaimed, &[]) && anything.fits(Point::WorkerClaimed, &[&"a-job"]));
        assert!(!anything.fits(Point::WorkerDecoded, &[]));
        let one = Plan::parse("worker.claimed=a-job");
        assert!(one.fits(Point::WorkerClaimed, &[&"another", &"a-job"]));
        assert!(!one.fits(Point::WorkerClaimed, &[&"another"]) && !one.fits(Point::WorkerClaimed, &[]));
    }
}
