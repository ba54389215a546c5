//! What changes among jobs, told to those who show it.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use messages::{JobId, UserId};
use store::{CatchUp, Change, Changed, Feed, JobState, Role, UploadPosition};
use time::OffsetDateTime;

use crate::ends::Ends;
use crate::support::{Fixture, HOUR, LEASE, stored, upload};

/// The next change of a job.
async fn next(feed: &mut Feed, job: JobId) -> Change {
    let change = async {
        loop {
            if let Some(change) = feed.next().await.expect("a feed")
                && change.job == job
            {
                return change;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), change).await.expect("a change in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_owner_sees_of_a_job_is_told_and_nothing_else() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let jobs = fixture.store.jobs();
    let mut feed = jobs.watch().await.expect("a feed");
    let new = upload(Role::Media);
    let job = fixture.submit_file(owner, &new, None).await.id;
    let accepted = next(&mut feed, job).await;
    assert_eq!((accepted.owner, accepted.what), (Some(owner), Changed::State));
    let now = fixture.store.now().await.expect("a time");
    assert!((now - accepted.at).abs() < time::Duration::seconds(30), "{} is not {now}", accepted.at);

    jobs.mark_new_queued(&[job]).await.expect("noted");
    assert_eq!(next(&mut feed, job).await.what, Changed::State);
    let attempt = fixture.claim(job).await.attempt;
    assert_eq!(next(&mut feed, job).await.what, Changed::State);
    let position = UploadPosition { upload_id: "u".to_owned(), acknowledged_bytes: 5, chunk_size: 5, begun: 1 };
    for _ in 0..2 {
        // Its lease says nothing to its owner.
        jobs.renew(job, attempt, LEASE).await.expect("held");
        jobs.note_progress(job, attempt, LEASE, &position).await.expect("noted");
        assert_eq!(next(&mut feed, job).await.what, Changed::Progress);
    }
    fixture.store.discard(job, attempt, "the account is full", true).await.expect("discarded");
    assert_eq!(next(&mut feed, job).await.what, Changed::State);
    fixture.store.media().redrive(job).await.expect("redriven");
    assert_eq!(next(&mut feed, job).await.what, Changed::Redriven);
    let attempt = fixture.claim(job).await.attempt;
    assert_eq!(next(&mut feed, job).await.what, Changed::State);
    fixture.store.complete_upload(job, attempt, new.asset, stored(new.asset)).await.expect("completed");
    assert_eq!((next(&mut feed, job).await.what, fixture.job(job).await.state), (Changed::State, JobState::Completed));
}

/// Ids and states of all that somebody is told who catches up.
async fn caught_up(fixture: &Fixture, owner: UserId, since: OffsetDateTime) -> Vec<(JobId, JobState)> {
    let (mut all, mut from) = (Vec::new(), Some(CatchUp::START));
    let mut parts = 0;
    while let Some(at) = from {
        let (jobs, next) = fixture.store.jobs().catch_up(owner, since, at, 2).await.expect("an answer");
        assert!(jobs.len() <= 4 && parts < 100, "{jobs:?}");
        all.extend(jobs.iter().map(|job| (job.id, job.state)));
        (from, parts) = (next, parts + 1);
    }
    all
}

async fn end(fixture: &Fixture, job: JobId) {
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.discard(job, attempt, "the account is full", true).await.expect("discarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_catches_up_is_told_what_is_unfinished_and_what_has_ended_since_however_much_that_is() {
    let fixture = Fixture::new().await;
    let (owner, other) = (fixture.user().await, fixture.user().await);
    let mut jobs = Vec::new();
    for _ in 0..9 {
        jobs.push(fixture.submit(owner).await.id);
        fixture.submit(other).await;
    }
    for job in &jobs[..4] {
        end(&fixture, *job).await;
    }
    // The first one did so an hour ago.
    let now = fixture.store.now().await.expect("a time");
    let (before, between) = (now - 2 * HOUR, now - HOUR / 2);
    let earlier = doc! { "$set": { "finishedAt": DateTime::from(now - HOUR) } };
    let first = doc! { "_id": jobs[0].to_string() };
    fixture.collection("jobs").update_one(first, earlier).await.expect("earlier");

    let unfinished: Vec<_> = jobs[4..].iter().map(|job| (*job, JobState::Pending)).collect();
    let ended = |jobs: &[JobId]| jobs.iter().map(|job| (*job, JobState::Discarded)).collect::<Vec<_>>();
    assert_eq!(caught_up(&fixture, owner, before).await, [unfinished.clone(), ended(&jobs[..4])].concat());
    assert_eq!(caught_up(&fixture, owner, between).await, [unfinished, ended(&jobs[1..4])].concat());

    // All of an owner's, of which there are few, and none of others.
    fixture.profiling(caught_up(&fixture, owner, before)).await;
    let commands = fixture.profiled().await;
    let of_jobs = |command: &&Document| command.get_str("ns").is_ok_and(|ns| ns.ends_with(".jobs"));
    assert!(commands.iter().filter(of_jobs).count() >= 4, "{commands:?}");
    for command in commands.iter().filter(of_jobs) {
        let explained = fixture.explain(command).await;
        assert!(explained.docs_examined <= 5 && !explained.stages.contains(&"COLLSCAN".to_owned()), "{explained:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_with_its_latest_attempt_only() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let job = fixture.submit(owner).await.id;
    for attempt in 1..=3 {
        fixture.claim(job).await;
        fixture.store.jobs().release(job, attempt).await.expect("released");
    }
    let since = fixture.store.now().await.expect("a time");
    let (caught_up, _) = fixture.store.jobs().catch_up(owner, since, CatchUp::START, 9).await.expect("an answer");
    for shown in [fixture.store.jobs().current(&[job, JobId::new()]).await.expect("an answer"), caught_up] {
        let [shown] = &*shown else { panic!("{shown:?}") };
        assert_eq!(shown.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [3]);
        assert_eq!((shown.id, shown.attempt), (job, 3));
    }
}
