//! What somebody has to look at now: the alerts of `deploy/prometheus` that follow from what is known here, for whoever has no
//! Prometheus. They have the same names, thresholds and sections, and fire at once: nothing is remembered between two looks.

use std::time::Duration;

use messages::{DeliverWebhook, Job, Payload};
use serde::Serialize;
use store::{JobState, WorkerState};
use utoipa::ToSchema;

use super::figures::Figures;

const MINUTE: Duration = Duration::from_secs(60);

/// Jobs that wait to be published.
const BACKLOG: u64 = 50_000;
/// How long a job may wait that is due.
const WAITS: Duration = Duration::from_secs(600);
/// How long a job may have no worker that had one.
const LEASE_RAN_OUT: Duration = MINUTE;
/// Workers that may vanish within a quarter of an hour.
const VANISH: usize = 3;
const VANISH_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Jobs of a kind that may be discarded within an hour.
const DISCARDED: u64 = 5;
/// Four times the free space below which uploads are refused.
const SPOOL_FREE: u64 = 2_147_483_648;
/// How long a change may be in no stored count.
const LAG: Duration = Duration::from_secs(300);
/// How wrong a clock may be, milliseconds.
const CLOCK: u64 = 1_000;

/// Something that somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct AlertView {
    /// As in `deploy/prometheus/alerts.yml`.
    #[schema(example = "SteepJobsWait")]
    pub(crate) name: &'static str,
    /// `page`: somebody has to come; `ticket`: by tomorrow.
    #[schema(example = "page")]
    pub(crate) severity: &'static str,
    /// A sentence for people.
    pub(crate) summary: String,
    /// The section that says what to do.
    #[schema(example = "docs/operations.md#metrics-and-alerts")]
    pub(crate) runbook: &'static str,
}

/// Its name, its severity, and the section that says what to do.
type Rule = (&'static str, &'static str, &'static str);

const WORKER_GONE: Rule = ("SteepWorkerGone", "page", "docs/operations.md#when-a-worker-dies");
const BROKER_DOWN: Rule = ("SteepBrokerDown", "page", "docs/operations.md#when-something-else-fails");
const BACKLOG_GROWS: Rule = ("SteepBacklog", "page", "docs/operations.md#when-something-else-fails");
const JOBS_WAIT: Rule = ("SteepJobsWait", "page", "docs/operations.md#metrics-and-alerts");
const NOBODY_TAKES_OVER: Rule = ("SteepLeaseRanOut", "page", "docs/operations.md#when-a-worker-dies");
const WORKERS_VANISH: Rule = ("SteepWorkersVanish", "page", "docs/operations.md#when-a-worker-dies");
const SPOOL_FILLS: Rule = ("SteepSpoolFills", "page", "docs/operations.md#when-something-else-fails");
const SLOTS_FULL: Rule = ("SteepSlotsFull", "ticket", "docs/operations.md#metrics-and-alerts");
const DEAD_LETTERS: Rule = ("SteepDeadLetters", "ticket", "docs/operations.md#dead-letters");
const JOBS_DISCARDED: Rule = ("SteepJobsDiscarded", "ticket", "docs/operations.md#discarded-jobs");
const COUNTS_LAG: Rule = ("SteepCountsLag", "ticket", "docs/operations.md#metrics-and-alerts");
const CLOCK_WRONG: Rule = ("SteepClockWrong", "ticket", "docs/operations.md#when-something-else-fails");

/// Those that fire, in the order of how bad they are.
pub(super) fn fire(figures: &Figures) -> Vec<AlertView> {
    let mut alerts = Vec::new();
    let mut add = |(name, severity, runbook): Rule, summary: String| {
        alerts.push(AlertView { name, severity, summary, runbook });
    };
    if figures.living().next().is_none() {
        add(WORKER_GONE, "No worker gives a sign of life; uploads are accepted and wait".to_owned());
    }
    if !figures.broker_is_up {
        add(BROKER_DOWN, "The api has no connection to RabbitMQ".to_owned());
    }
    let unpublished: u64 = Job::KINDS.iter().map(|kind| figures.waits(kind, &[JobState::Pending]).count).sum();
    if unpublished > BACKLOG {
        add(BACKLOG_GROWS, format!("{unpublished} jobs wait to be published; at MAX_BACKLOG uploads are refused"));
    }
    for (kind, queue) in Job::QUEUES {
        for state in [JobState::Pending, JobState::Queued, JobState::Retryable] {
            let Some(since) = figures.waits(kind, &[state]).since else { continue };
            let age = figures.age(since);
            if age > WAITS {
                let paused = if figures.pause_of(queue.name).is_some() { "; its queue is paused" } else { "" };
                add(JOBS_WAIT, format!("A {kind} has been {state} for {}{paused}", minutes(age)));
            }
        }
        if let Some(since) = figures.waits(kind, &[JobState::Running]).since {
            let age = figures.age(since);
            if age > LEASE_RAN_OUT {
                let summary = format!("Nobody takes over a {kind} whose worker vanished {} ago", minutes(age));
                add(NOBODY_TAKES_OVER, summary);
            }
        }
    }
    let vanished = figures.workers.iter().filter(|worker| {
        let silent = Duration::from_millis(u64::try_from(worker.silent_ms).unwrap_or(0));
        worker.state() == WorkerState::Vanished && silent < VANISH_WITHIN
    });
    let vanished = vanished.count();
    if vanished > VANISH {
        add(WORKERS_VANISH, format!("{vanished} workers vanished within a quarter of an hour"));
    }
    for (spool, worker) in figures.spools() {
        if worker.spool_fill.and_then(|fill| fill.free_bytes).is_some_and(|free| free < SPOOL_FREE) {
            add(SPOOL_FILLS, format!("The disk of spool {spool} is nearly full"));
        }
    }
    for &kind in Job::KINDS {
        let (slots, used) = figures.slots(Some(kind));
        if slots > 0 && used * 10 > slots * 9 {
            add(SLOTS_FULL, format!("{used} of the workers' {slots} slots for {kind} are used"));
        }
    }
    if let Some(count) = figures.dead_letters.filter(|count| *count > 0) {
        add(DEAD_LETTERS, format!("{count} messages wait for a person"));
    }
    // Webhooks fail for their receivers' sake, whose owners see it.
    for ended in figures.last_hour.iter().filter(|ended| ended.kind != DeliverWebhook::KIND) {
        if ended.discarded > DISCARDED {
            add(JOBS_DISCARDED, format!("{} {} were discarded within an hour", ended.discarded, ended.kind));
        }
    }
    if let Some(since) = figures.snapshot.as_ref().and_then(|snapshot| snapshot.dirty_since) {
        let lag = figures.age(since);
        if lag > LAG {
            add(COUNTS_LAG, format!("A change has not been counted for {}", minutes(lag)));
        }
    }
    for worker in figures.living() {
        if let Some(offset) = worker.clock_offset_ms.filter(|offset| offset.unsigned_abs() > CLOCK) {
            add(CLOCK_WRONG, format!("The clock of {} is off by {} s", worker.host, offset as f64 / 1000.0));
        }
    }
    alerts
}

/// A time for people.
fn minutes(time: Duration) -> String {
    match time.as_secs() / 60 {
        0 => format!("{} s", time.as_secs()),
        minutes if minutes < 120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use store::{Control, Controlled, Ended, SlotsOf, Snapshot, SpoolFill, WaitingIn, Worker};
    use time::OffsetDateTime;

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-30 14:02:30 UTC);

    fn worker(silent_ms: i64) -> Worker {
        Worker {
            name: format!("host-{silent_ms}"),
            version: String::new(),
            host: "host".to_owned(),
            spool: "here".to_owned(),
            since: NOW,
            last_sign: NOW,
            left_at: None,
            draining: false,
            slots: vec![SlotsOf { kind: "media.upload.v1".to_owned(), slots: 10, used: 9 }],
            running: Vec::new(),
            running_count: 0,
            clock_offset_ms: Some(-1_000),
            spool_fill: Some(SpoolFill { files: 0, bytes: 0, free_bytes: Some(SPOOL_FREE) }),
            silent_ms,
        }
    }

    fn waiting(state: JobState, count: u64, since: Duration) -> WaitingIn {
        let queue = "media.upload.here".to_owned();
        WaitingIn { queue, state, count, at_least: false, waiting_since: NOW - since }
    }

    /// Everything is as much as it may be.
    fn healthy() -> Figures {
        let ended = |kind: &str, discarded| Ended { kind: kind.to_owned(), discarded, ..Ended::default() };
        Figures {
            now: NOW,
            snapshot: Some(Snapshot {
                at: NOW,
                queues: vec![waiting(JobState::Pending, BACKLOG, WAITS), waiting(JobState::Running, 3, LEASE_RAN_OUT)],
                dirty: 1,
                dirty_since: Some(NOW - LAG),
            }),
            parts: Vec::new(),
            last_hour: vec![ended("media.upload.v1", DISCARDED), ended("webhook.deliver.v1", 1_000)],
            workers: vec![worker(0), worker(30_000), worker(40_000), worker(50_000), worker(3_600_000)],
            controls: Vec::new(),
            dead_letters: Some(0),
            broker_is_up: true,
        }
    }

    fn fired(change: impl FnOnce(&mut Figures)) -> Vec<(&'static str, String)> {
        let mut figures = healthy();
        change(&mut figures);
        fire(&figures).into_iter().map(|alert| (alert.name, alert.summary)).collect()
    }

    fn snapshot(figures: &mut Figures) -> &mut Snapshot {
        figures.snapshot.as_mut().expect("a snapshot")
    }

    #[test]
    fn nothing_fires_as_long_as_everything_is_within_its_bounds_and_what_is_not_known_fires_nothing() {
        assert_eq!(fired(|_| {}), []);
        let unknown = fired(|figures| (figures.snapshot, figures.dead_letters) = (None, None));
        assert_eq!(unknown, []);
    }

    #[test]
    fn each_alert_fires_for_what_it_is_about_and_alone() {
        let second = Duration::from_secs(1);
        type Change = Box<dyn Fn(&mut Figures)>;
        let cases: Vec<(&str, &str, Change)> = vec![
            ("SteepWorkerGone", "No worker", Box::new(|figures| figures.workers.clear())),
            ("SteepBrokerDown", "RabbitMQ", Box::new(|figures| figures.broker_is_up = false)),
            ("SteepBacklog", "50001 jobs", Box::new(|figures| snapshot(figures).queues[0].count += 1)),
            (
                "SteepJobsWait",
                "A media.upload.v1 has been pending for 10 min",
                Box::new(move |figures| snapshot(figures).queues[0].waiting_since -= second),
            ),
            (
                "SteepLeaseRanOut",
                "vanished 1 min ago",
                Box::new(move |figures| snapshot(figures).queues[1].waiting_since -= second),
            ),
            ("SteepWorkersVanish", "4 workers", Box::new(|figures| figures.workers.push(worker(60_000)))),
            (
                "SteepSpoolFills",
                "spool here",
                Box::new(|figures| {
                    let fill = figures.workers[0].spool_fill.as_mut().expect("a spool");
                    fill.free_bytes = Some(SPOOL_FREE - 1);
                }),
            ),
            ("SteepSlotsFull", "10 of", Box::new(|figures| figures.workers[0].slots[0].used = 10)),
            ("SteepDeadLetters", "1 messages", Box::new(|figures| figures.dead_letters = Some(1))),
            ("SteepJobsDiscarded", "6 media.upload.v1", Box::new(|figures| figures.last_hour[0].discarded += 1)),
            (
                "SteepCountsLag",
                "5 min",
                Box::new(move |figures| snapshot(figures).dirty_since = Some(NOW - LAG - second)),
            ),
            (
                "SteepClockWrong",
                "off by -1.001 s",
                Box::new(|figures| figures.workers[0].clock_offset_ms = Some(-1_001)),
            ),
        ];
        for (name, text, change) in &cases {
            let fired = fired(change);
            assert!(
                matches!(&fired[..], [(one, summary)] if one == name && summary.contains(text)),
                "{name}: {fired:?}"
            );
        }
    }

    #[test]
    fn what_waits_in_a_paused_queue_says_so() {
        let paused = fired(|figures| {
            snapshot(figures).queues[0].waiting_since -= Duration::from_secs(1);
            let what = Controlled::Queue("media.upload".to_owned());
            let (title, by, why) = (String::new(), String::new(), String::new());
            figures.controls.push(Control { what, title, by, why, at: NOW });
        });
        assert!(paused[0].1.ends_with("; its queue is paused"), "{paused:?}");
    }

    #[test]
    fn names_severities_and_sections_are_those_of_prometheus() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/alerts.yml");
        let deployed = std::fs::read_to_string(path).expect("the alerts");
        let deployed: Vec<&str> = deployed.split("- alert: ").collect();
        for (name, severity, runbook) in [
            WORKER_GONE,
            BROKER_DOWN,
            BACKLOG_GROWS,
            JOBS_WAIT,
            NOBODY_TAKES_OVER,
            WORKERS_VANISH,
            SPOOL_FILLS,
            SLOTS_FULL,
            DEAD_LETTERS,
            JOBS_DISCARDED,
            COUNTS_LAG,
            CLOCK_WRONG,
        ] {
            let alert = deployed.iter().find(|alert| alert.lines().next() == Some(name));
            let alert = alert.unwrap_or_else(|| panic!("there is no {name}"));
            assert!(alert.contains(&format!("severity: {severity} ")), "{alert}");
            assert!(alert.contains(&format!("runbook: {runbook}\n")), "{alert}");
        }
    }
}
