use std::collections::HashSet;
use std::time::Duration;

use bson::{DateTime, doc};
use messages::{Job, JobId, Trace};
use store::{FailureCode, JobState, Retry, Role};

use crate::ends::Ends;
use crate::support::{Fixture, HOUR, LEASE, upload};

const HOLD: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_take_every_due_job_once() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let mut jobs = HashSet::new();
    for _ in 0..60 {
        jobs.insert(fixture.submit(owner).await.id);
    }
    let relays: Vec<_> = (0..4)
        .map(|_| {
            let store = fixture.store.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                loop {
                    let due = store.jobs().take_due(7, HOLD).await.expect("an answer");
                    taken.extend(due.iter().map(|due| due.id));
                    // Another relay may have been faster with all seven, so only an empty table ends this.
                    if due.is_empty()
                        && store.jobs().next_due_in().await.expect("an answer").is_none_or(|left| !left.is_zero())
                    {
                        return taken;
                    }
                }
            })
        })
        .collect();
    let mut taken: Vec<JobId> = Vec::new();
    for relay in relays {
        taken.extend(relay.await.expect("no panic"));
    }
    assert_eq!(taken.len(), jobs.len());
    assert_eq!(taken.into_iter().collect::<HashSet<_>>(), jobs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_relay_died_is_due_again_after_the_hold() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let new = upload(Role::Media);
    let trace = Trace {
        request_id: Some("a-request".to_owned()),
        traceparent: Some("00-trace".to_owned()),
        tracestate: Some("vendor=1".to_owned()),
    };
    fixture.submit_file(owner, &new, Some(trace.clone())).await;
    let due = fixture.store.jobs().take_due(10, HOLD).await.expect("an answer");
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].id, due[0].trace.clone()), (new.job, Some(trace)));
    assert!(matches!(&due[0].job, Job::UploadMedia(job) if job.asset == new.asset));
    assert_eq!(fixture.store.jobs().take_due(10, HOLD).await.expect("an answer"), []);
    fixture.pass(HOLD).await;
    let again = fixture.store.jobs().take_due(10, HOLD).await.expect("an answer");
    assert_eq!(again, due);
    assert_eq!(fixture.store.jobs().mark_queued(&[new.job]).await.expect("an answer"), 1);
    fixture.pass(HOLD * 10).await;
    assert_eq!(fixture.store.jobs().take_due(10, HOLD).await.expect("an answer"), []);
    assert_eq!(fixture.store.jobs().next_due_in().await.expect("an answer"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_job_is_left_to_whoever_accepted_it_for_a_while() {
    let fixture = Fixture::without_indexes(|config| config.publish_grace = Duration::from_secs(20)).await;
    let job = fixture.media_job().await;
    assert_eq!(fixture.store.jobs().take_due(10, HOLD).await.expect("an answer"), []);
    let left = fixture.store.jobs().next_due_in().await.expect("an answer").expect("a time");
    assert!((Duration::from_secs(10)..=Duration::from_secs(20)).contains(&left), "{left:?}");
    assert_eq!(job.due_at, Some(job.created_at + Duration::from_secs(20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_earliest_due_jobs_come_first() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (later, earlier) = (fixture.submit(owner).await, fixture.submit(owner).await);
    for (job, after) in [(&later, HOUR * 2), (&earlier, HOUR)] {
        let attempt = fixture.claim(job.id).await.attempt;
        let retry = Retry { after, error: "busy".to_owned(), code: FailureCode::Answered(503), counts: true };
        fixture.store.retry(job.id, attempt, &retry).await.expect("retried later");
    }
    fixture.pass(HOUR * 3).await;
    for job in [earlier, later] {
        let due = fixture.store.jobs().take_due(1, HOLD).await.expect("an answer");
        assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [job.id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_due_is_not_looked_at() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let due = fixture.submit(owner).await;
    for _ in 0..50 {
        fixture.submit(owner).await;
    }
    let others = doc! { "_id": { "$ne": due.id.to_string() } };
    let later = vec![doc! { "$set": { "dueAt": { "$add": ["$dueAt", 3_600_000_i64] } } }];
    fixture.collection("jobs").update_many(others, later).await.expect("changed");

    let taken = fixture.profiling(fixture.store.jobs().take_due(10, HOLD)).await.expect("an answer");
    assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), [due.id]);
    assert_looked_at_few(&fixture).await;
}

/// Asserts that what was profiled was found by an index.
async fn assert_looked_at_few(fixture: &Fixture) {
    let commands = fixture.profiled().await;
    assert!(!commands.is_empty(), "nothing was recorded");
    for command in commands {
        let explained = fixture.explain(&command).await;
        assert!(explained.keys_examined <= 10 && explained.docs_examined <= 10, "{explained:?} of {command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_after_its_queue_was_replaced_is_not_looked_at() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let before = fixture.submit(owner).await;
    assert_eq!(fixture.store.jobs().mark_queued(&[before.id]).await.expect("an answer"), 1);
    fixture.pass(HOUR).await;
    let mut after = Vec::new();
    for _ in 0..50 {
        after.push(fixture.submit(owner).await.id);
    }
    assert_eq!(fixture.store.jobs().mark_queued(&after).await.expect("an answer"), 50);
    let jobs = fixture.store.jobs();
    // As soon as the queue was replaced, and for as long as a worker has to look for what went with it.
    for expected in [1, 0] {
        let losing = jobs.lose(HOUR / 2, HOUR / 2, "media.upload.here", 10);
        assert_eq!(fixture.profiling(losing).await.expect("an answer"), expected);
        assert_looked_at_few(&fixture).await;
    }
    assert_eq!(fixture.job(before.id).await.state, JobState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_job_whose_message_is_lost_is_found_in_its_queue_only() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    assert_eq!(fixture.store.jobs().mark_queued(&[job.id]).await.expect("an answer"), 1);
    assert_eq!(fixture.store.jobs().mark_queued(&[job.id]).await.expect("an answer"), 0, "it is queued already");
    let take = async |queue: &str| {
        let lost = fixture.store.jobs().take_lost(queue, 10, HOLD).await.expect("an answer");
        lost.into_iter().map(|due| due.id).collect::<Vec<_>>()
    };
    assert_eq!(take("media.upload.here").await, []);
    fixture.pass(fixture.config.queued_check).await;
    assert_eq!(take("media.upload.there").await, []);
    assert_eq!(take("media.upload.here").await, [job.id]);
    assert_eq!(take("media.upload.here").await, [], "held by the relay that took it");
    assert_eq!(fixture.job(job.id).await.state, JobState::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_messages_went_with_their_queue_are_due_until_they_are_published_and_later_ones_are_not() {
    let fixture = Fixture::new().await;
    let jobs = fixture.store.jobs();
    let before = fixture.media_job().await;
    assert_eq!(jobs.mark_queued(&[before.id]).await.expect("an answer"), 1);
    fixture.pass(HOUR).await;
    let after = fixture.media_job().await;
    assert_eq!(jobs.mark_queued(&[after.id]).await.expect("an answer"), 1);
    assert_eq!(jobs.lose(HOUR / 2, HOUR / 2, "media.upload.there", 10).await.expect("an answer"), 0);
    assert_eq!(jobs.lose(HOUR / 2, HOUR / 2, "media.upload.here", 10).await.expect("an answer"), 1);
    // Whoever took it could not publish it: another does.
    for _ in 0..2 {
        let due = jobs.take_due(10, HOLD).await.expect("an answer");
        assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [before.id]);
        fixture.pass(HOLD).await;
    }
    assert_eq!(jobs.mark_queued(&[before.id]).await.expect("an answer"), 1);
    // Also not those that were published again, when all are looked at once more.
    assert_eq!(jobs.lose(HOUR / 2, HOUR / 2, "media.upload.here", 10).await.expect("an answer"), 0);
    assert_eq!(fixture.job(after.id).await.state, JobState::Queued);
    assert_eq!(jobs.lose(Duration::ZERO, HOUR, "media.upload.here", 10).await.expect("an answer"), 1);
    assert_eq!(fixture.job(before.id).await.state, JobState::Queued);
    assert_eq!(fixture.job(after.id).await.state, JobState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_confirmation_does_not_take_a_running_job_back() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    fixture.claim(job.id).await;
    assert_eq!(fixture.store.jobs().mark_queued(&[job.id]).await.expect("an answer"), 0);
    assert_eq!(fixture.job(job.id).await.state, JobState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_confirmation_does_not_cut_a_failed_jobs_delay_short() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    for after in [HOUR, Duration::ZERO] {
        let job = fixture.submit(owner).await;
        let attempt = fixture.claim(job.id).await.attempt;
        let retry = Retry { after, error: "busy".to_owned(), code: FailureCode::Answered(503), counts: true };
        fixture.store.retry(job.id, attempt, &retry).await.expect("retried later");
        // A worker may be that fast: the message is used up before its publisher says that it is there.
        assert_eq!(fixture.store.jobs().mark_queued(&[job.id]).await.expect("an answer"), 0);
        assert_eq!(fixture.job(job.id).await.state, JobState::Retryable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_the_relay_published_is_queued_again() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let attempt = fixture.claim(job.id).await.attempt;
    let retry =
        Retry { after: Duration::ZERO, error: "busy".to_owned(), code: FailureCode::Answered(503), counts: true };
    fixture.store.retry(job.id, attempt, &retry).await.expect("retried later");
    assert_eq!(fixture.store.jobs().take_due(10, HOLD).await.expect("an answer").len(), 1);
    // Whoever published it before the attempt says so only now, while the relay looks what it has got.
    assert_eq!(fixture.store.jobs().mark_new_queued(&[job.id]).await.expect("an answer"), 0);
    assert_eq!(fixture.job(job.id).await.state, JobState::Retryable);
    assert_eq!(fixture.store.jobs().mark_queued(&[job.id]).await.expect("an answer"), 1);
    assert_eq!(fixture.job(job.id).await.state, JobState::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_job_is_found_once_and_stays_running() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    fixture.claim(job.id).await;
    assert_eq!(fixture.store.jobs().take_abandoned(10, HOLD).await.expect("an answer"), []);
    fixture.pass(LEASE).await;
    let abandoned = fixture.store.jobs().take_abandoned(10, HOLD).await.expect("an answer");
    assert_eq!(abandoned.iter().map(|due| due.id).collect::<Vec<_>>(), [job.id]);
    assert_eq!(fixture.store.jobs().take_abandoned(10, HOLD).await.expect("an answer"), []);
    let after = fixture.job(job.id).await;
    assert_eq!((after.state, after.crashes), (JobState::Running, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_newer_version_is_left_alone_and_keeps_nobody_waiting() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (strange, known) = (fixture.submit(owner).await, fixture.submit(owner).await);
    let change = doc! { "$set": { "kind": "media.stamp.v9" } };
    fixture.collection("jobs").update_one(doc! { "_id": strange.id.to_string() }, change).await.expect("changed");
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.extend(fixture.store.jobs().take_due(1, HOLD).await.expect("an answer"));
    }
    assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), [known.id]);
    assert_eq!(fixture.job(strange.id).await.state, JobState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_defect_that_its_message_does_not_show_is_published_for_its_claim_to_find() {
    let fixture = Fixture::new().await;
    let job = fixture.submit(fixture.user().await).await;
    let change = doc! { "$set": { "createdAt": "long ago" } };
    fixture.collection("jobs").update_one(doc! { "_id": job.id.to_string() }, change).await.expect("changed");
    let due = fixture.store.jobs().take_due(10, HOLD).await.expect("an answer");
    assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [job.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_jobs_are_counted_by_queue_and_state() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (queued, running, ended) =
        (fixture.submit(owner).await, fixture.submit(owner).await, fixture.submit(owner).await);
    let (first, _) = (fixture.submit(owner).await, fixture.submit(owner).await);
    fixture.store.jobs().mark_queued(&[queued.id]).await.expect("an answer");
    fixture.claim(running.id).await;
    let attempt = fixture.claim(ended.id).await.attempt;
    fixture.store.discard(ended.id, attempt, "no", true).await.expect("discarded");
    let ages = fixture.profiling(fixture.store.jobs().queue_ages()).await.expect("an answer");
    let read = fixture.collection("system.profile").find_one(doc! { "command.aggregate": "jobs" }).await;
    let read = read.expect("an answer").expect("the count");
    assert_eq!(read.get_i32("docsExamined").unwrap_or(-1), 0, "from an index alone: {read}");
    let counts: Vec<_> = ages.iter().map(|age| (age.queue.as_str(), age.state, age.count)).collect();
    let queue = "media.upload.here";
    assert_eq!(counts, [(queue, JobState::Pending, 2), (queue, JobState::Queued, 1), (queue, JobState::Running, 1)]);
    assert_eq!(ages[0].waiting_since, first.created_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_relays_take_in_vain_waits_since_it_was_due_or_its_lease_ran_out() {
    let fixture = Fixture::new().await;
    let jobs = fixture.store.jobs();
    let owner = fixture.user().await;
    let (pending, running) = (fixture.submit(owner).await, fixture.submit(owner).await);
    fixture.claim(running.id).await;
    let lapsed = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    let lapse = doc! { "$set": { "leaseUntil": lapsed, "dueAt": lapsed } };
    fixture.collection("jobs").update_one(doc! { "_id": running.id.to_string() }, lapse).await.expect("changed");
    for _ in 0..2 {
        let ages = jobs.queue_ages().await.expect("an answer");
        let since: Vec<_> = ages.iter().map(|age| (age.state, age.waiting_since)).collect();
        let lapsed = lapsed.to_time_0_3();
        assert_eq!(since, [(JobState::Pending, pending.run_at), (JobState::Running, lapsed)]);
        jobs.take_due(10, HOLD).await.expect("an answer");
        jobs.take_abandoned(10, HOLD).await.expect("an answer");
    }
}
