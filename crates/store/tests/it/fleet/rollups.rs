//! What has ended and how long it took, and what waits.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use messages::JobId;
use store::{Ended, JobState, Made, Rollups, Window};

use crate::support::Fixture;

const MINUTE: i64 = 60_000;
const UPLOAD: &str = "media.upload.v1";

/// A job that ended so long ago, and was accepted so long before. No more than rollups need.
fn ended(kind: &str, state: JobState, now: DateTime, ago: i64, took: i64) -> Document {
    let finished = now.timestamp_millis() - ago;
    doc! {
        "_id": JobId::new().to_string(), "kind": kind, "state": state.as_str(), "queue": "media.upload.here",
        "finishedAt": DateTime::from_millis(finished), "createdAt": DateTime::from_millis(finished - took),
    }
}

/// A job that waits.
fn waiting(state: JobState, queue: &str, now: DateTime, since: i64) -> Document {
    let at = DateTime::from_millis(now.timestamp_millis() - since);
    doc! {
        "_id": JobId::new().to_string(), "kind": UPLOAD, "state": state.as_str(), "queue": queue,
        "runAt": at, "leaseUntil": at, "dueAt": now, "createdAt": at,
    }
}

async fn now(fixture: &Fixture) -> DateTime {
    fixture.store.now().await.expect("a time").into()
}

async fn insert(fixture: &Fixture, jobs: Vec<Document>) {
    fixture.collection("jobs").insert_many(jobs).await.expect("inserted");
}

async fn make(fixture: &Fixture) {
    for _ in 0..1_000 {
        if fixture.store.rollups().make("one").await.expect("made") == Made::UpToDate {
            return;
        }
    }
    panic!("it is never up to date");
}

async fn sums(fixture: &Fixture, window: Window) -> Vec<Ended> {
    let parts = fixture.store.rollups().window(window).await.expect("rollups");
    assert_eq!(parts.len(), window.parts() as usize);
    assert!(parts.windows(2).all(|two| two[1].at - two[0].at == window.stretch().length()));
    Rollups::sum(&parts)
}

fn numbers(ended: &[Ended]) -> Vec<(&str, u64, u64, u64)> {
    ended.iter().map(|kind| (kind.kind.as_str(), kind.completed, kind.discarded, kind.cancelled)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_is_told_by_kind_for_an_hour_a_day_and_a_week_and_telling_it_twice_changes_nothing() {
    let fixture = Fixture::new().await;
    let now = now(&fixture).await;
    let mut jobs = Vec::new();
    for number in 0..60 {
        jobs.push(ended(UPLOAD, JobState::Completed, now, number * MINUTE / 2 + 1, 100));
    }
    jobs.push(ended(UPLOAD, JobState::Discarded, now, 20 * MINUTE, 5_000));
    jobs.push(ended("media.delete.v1", JobState::Cancelled, now, 5 * MINUTE, 5));
    jobs.push(ended(UPLOAD, JobState::Completed, now, 5 * 60 * MINUTE, 60_000));
    jobs.push(ended(UPLOAD, JobState::Completed, now, 6 * 24 * 60 * MINUTE, 1));
    // Longer ago than anybody looks.
    jobs.push(ended(UPLOAD, JobState::Completed, now, 8 * 24 * 60 * MINUTE, 1));
    insert(&fixture, jobs).await;
    for _ in 0..2 {
        make(&fixture).await;
        let hour = sums(&fixture, Window::Hour).await;
        assert_eq!(numbers(&hour), [("media.delete.v1", 0, 0, 1), (UPLOAD, 60, 1, 0)]);
        let median = hour[1].latency.percentile(0.5).expect("some took a time").as_millis();
        assert!((80..=127).contains(&median), "{median} ms");
        assert_eq!(hour[0].latency.percentile(0.5), None, "what was cancelled took no time");
        let day = sums(&fixture, Window::Day).await;
        assert_eq!(numbers(&day)[1], (UPLOAD, 61, 1, 0));
        assert_eq!(numbers(&sums(&fixture, Window::Week).await)[1], (UPLOAD, 62, 1, 0));
        let longest = day[1].latency.percentile(1.0).expect("some took a time").as_secs();
        assert!((48..=77).contains(&longest), "{longest} s");
    }
    // What has ended since is told in the place of what was told of the same minute.
    insert(&fixture, vec![ended(UPLOAD, JobState::Completed, now, 0, 100)]).await;
    make(&fixture).await;
    assert_eq!(numbers(&sums(&fixture, Window::Hour).await)[1], (UPLOAD, 61, 1, 0));
    assert_eq!(numbers(&sums(&fixture, Window::Week).await)[1], (UPLOAD, 63, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_no_worker_told_it_is_caught_up() {
    let fixture = Fixture::new().await;
    make(&fixture).await;
    let now = now(&fixture).await;
    let since = DateTime::from_millis(now.timestamp_millis() - 3 * 60 * MINUTE);
    let claim = doc! { "$set": { "through": since } };
    fixture.collection("rollups").update_one(doc! { "_id": "claim" }, claim).await.expect("changed");
    let jobs = (0..17).map(|number| ended(UPLOAD, JobState::Completed, now, number * 10 * MINUTE, 9)).collect();
    insert(&fixture, jobs).await;
    make(&fixture).await;
    assert_eq!(numbers(&sums(&fixture, Window::Day).await), [(UPLOAD, 17, 0, 0)]);
    assert_eq!(numbers(&sums(&fixture, Window::Week).await), [(UPLOAD, 17, 0, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_tells_it_at_a_time_and_another_one_once_it_is_not_heard_of() {
    let fixture = Fixture::new().await;
    let rollups = fixture.store.rollups();
    assert_eq!(rollups.make("one").await.expect("made"), Made::UpToDate);
    assert_eq!(rollups.make("other").await.expect("an answer"), Made::NotOurs);
    assert_eq!(rollups.make("one").await.expect("made"), Made::UpToDate);
    let past = vec![doc! { "$set": { "until": { "$subtract": ["$$NOW", 1] } } }];
    fixture.collection("rollups").update_one(doc! { "_id": "claim" }, past).await.expect("changed");
    assert_eq!(rollups.make("other").await.expect("made"), Made::UpToDate);
    assert_eq!(rollups.make("one").await.expect("an answer"), Made::NotOurs);
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_what_ended_and_what_waits_reads_an_index_and_no_job() {
    let fixture = Fixture::new().await;
    let now = now(&fixture).await;
    let recent = (0..50).map(|number| ended(UPLOAD, JobState::Completed, now, number, 100));
    // Many that ended before.
    let old = (0..400).map(|number| ended(UPLOAD, JobState::Completed, now, 60 * MINUTE + number, 100));
    let waits = (0..30).map(|number| waiting(JobState::Queued, "media.upload.here", now, number));
    insert(&fixture, recent.chain(old).chain(waits).collect()).await;
    make(&fixture).await;
    let rollups = fixture.store.rollups();
    let work = async {
        rollups.make("one").await.expect("made");
        rollups.take_snapshot().await.expect("taken");
    };
    fixture.profiling(work).await;
    let mut counts = 0;
    for command in fixture.profiled().await {
        if command.get_str("ns").is_ok_and(|name| name.ends_with(".jobs")) {
            counts += 1;
            let explained = fixture.explain(&command).await;
            assert!(explained.stages.iter().any(|stage| stage == "IXSCAN"), "{explained:?} of {command}");
            assert_eq!(explained.docs_examined, 0, "{explained:?} of {command}");
            assert!(explained.keys_examined <= 110, "{explained:?} of {command}");
        }
    }
    assert!(counts >= 5, "{counts} counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_by_queue_and_state_with_the_time_of_the_one_that_waits_longest() {
    let fixture = Fixture::new().await;
    let rollups = fixture.store.rollups();
    assert_eq!(rollups.snapshot().await.expect("an answer"), None);
    let now = now(&fixture).await;
    let jobs = vec![
        waiting(JobState::Queued, "media.upload.here", now, 5_000),
        waiting(JobState::Queued, "media.upload.here", now, 9_000),
        waiting(JobState::Queued, "media.delete", now, 1_000),
        waiting(JobState::Running, "media.delete", now, 2_000),
        ended(UPLOAD, JobState::Completed, now, 1, 1),
    ];
    insert(&fixture, jobs).await;
    rollups.take_snapshot().await.expect("taken");
    let told = rollups.snapshot().await.expect("an answer").expect("a snapshot");
    let queues: Vec<_> = told.queues.iter().map(|one| (one.queue.as_str(), one.state, one.count)).collect();
    let expected = [
        ("media.delete", JobState::Queued, 1),
        ("media.upload.here", JobState::Queued, 2),
        ("media.delete", JobState::Running, 1),
    ];
    assert_eq!(queues, expected);
    let oldest = DateTime::from(told.queues[1].waiting_since);
    assert_eq!(oldest, DateTime::from_millis(now.timestamp_millis() - 9_000));
    assert!(told.queues.iter().all(|one| !one.at_least));
    assert_eq!((told.dirty, told.dirty_since), (0, None));
    assert!(told.at >= time::OffsetDateTime::from(now) - Duration::from_secs(1));
}
